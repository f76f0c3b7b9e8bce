"""Where the models of a revision come from: the order to the programs that read them, and what those programs need.

Not for: reading a source; that is `models`, which runs in the user's namespace.
"""

import json
from dataclasses import dataclass
from typing import Any

from triton_operator.api.model import Credentials

Json = dict[str, Any]

MODELS = "/models"
SOURCE = "/source"
CREDENTIALS = "/credentials"
ORDER = "TRITON_OPERATOR_PREPARE"  # what the programs are to do, as JSON
VOLUME_BYTES = "TRITON_OPERATOR_VOLUME_BYTES"  # how much they may write

VOLUME = "source-"
"""How the names of their volumes begin; no volume of the user's may have such a name."""

_CONFIG_MAP = "configmap://"
_CLAIM = "pvc://"


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """One model and where it comes from.

    Attributes:
        name: name under which Triton serves it.
        uri: where its model directory is, in the user's words.
        version: the version; None while it is to be found out.
        kind: what its instances run on where its configuration leaves that open; None: left to Triton.
        digest: what its files must be; None: not known.
        config_map: for a configmap:// uri the ConfigMap to read, a copy perhaps.
    """

    name: str
    uri: str
    version: int | None
    kind: str | None
    digest: str | None = None
    config_map: str | None = None

    @property
    def volume(self) -> Json | None:
        """The volume that it is on, or None if it is fetched."""
        if self.uri.startswith(_CONFIG_MAP):
            return {"configMap": {"name": self.config_map or self.uri.removeprefix(_CONFIG_MAP)}}
        if self.uri.startswith(_CLAIM):
            claim = self.uri.removeprefix(_CLAIM).partition("/")[0]
            return {"persistentVolumeClaim": {"claimName": claim, "readOnly": True}}
        return None

    @property
    def is_linked(self) -> bool:
        """Whether Triton reads it where it is, rather than from a copy."""
        return self.uri.startswith(_CLAIM)


def order(sources: tuple[Source, ...]) -> Json:
    """Write the order to the programs as the variable of a container.

    Args:
        sources: the service's model, and what it depends on.

    Returns:
        The variable.
    """
    volumes = _distinct(sources)

    def directory(source: Source) -> str | None:
        if source.volume is None:
            return None
        mounted = f"{SOURCE}/{volumes.index(source.volume)}"
        if not source.is_linked:
            return mounted
        return f"{mounted}/{source.uri.removeprefix(_CLAIM).partition('/')[2]}".rstrip("/")

    text = json.dumps(
        {
            "repository": MODELS,
            "models": [
                {
                    "name": source.name,
                    "uri": source.uri,
                    "version": source.version,
                    "layout": "flat" if source.uri.startswith(_CONFIG_MAP) else "directory",
                    "source": directory(source),
                    "kind": source.kind,
                    "digest": source.digest,
                }
                for source in sources
            ],
        },
        sort_keys=True,
    )
    return {"name": ORDER, "value": text.replace("$", "$$")}  # Kubernetes expands $(VARIABLE) in a value


def volumes(sources: tuple[Source, ...], credentials: Credentials | None) -> list[Json]:
    """List the volumes that the programs read from."""
    found: list[Json] = [{"name": f"{VOLUME}{index}"} | volume for index, volume in enumerate(_distinct(sources))]
    if credentials:
        found.append({"name": "credentials", "secret": {"secretName": credentials.secret_name}})
    return found


def mounts(sources: tuple[Source, ...], credentials: Credentials | None) -> list[Json]:
    """List where the programs find those volumes."""
    found = [_mount(index) for index in range(len(_distinct(sources)))]
    if credentials:
        found.append({"name": "credentials", "mountPath": CREDENTIALS, "readOnly": True})
    return found


def linked_mounts(sources: tuple[Source, ...]) -> list[Json]:
    """List where Triton finds the volumes that models are linked to."""
    linked = [source.volume for source in sources if source.is_linked]
    return [_mount(index) for index, volume in enumerate(_distinct(sources)) if volume in linked]


def _mount(index: int) -> Json:
    return {"name": f"{VOLUME}{index}", "mountPath": f"{SOURCE}/{index}", "readOnly": True}


def _distinct(sources: tuple[Source, ...]) -> list[Json]:
    found: list[Json] = []
    for source in sources:
        if (volume := source.volume) is not None and volume not in found:
            found.append(volume)
    return found
