"""What a spec's sources resolve to, once for each value of spec.model: versions, digests, contents of ConfigMaps.

The highest version is looked up when spec.model changes, or at a person's word, and never because another field has
changed; all pods of a revision get the same files. ConfigMaps are copied, as they can change under a revision; one that
a spec comes to name is copied then, and looks nothing else up. A spec that comes back finds what it resolved to, as
long as its revision is kept.
Not for: asking the sources; a pod in the user's namespace does (`resources.resolver`).
"""

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from triton_operator.api.model import sibling
from triton_operator.api.spec import InferenceServiceSpec
from triton_operator.resources.sources import Source

Json = dict[str, Any]

CONFIG_MAP = "configmap://"
_ALPHABET = "bcdfghjklmnpqrstvwxz2456789"  # as Kubernetes' own: no vowels, nothing to misread
_HASH_LENGTH = 10


@dataclass(frozen=True, slots=True)
class Resolved:
    """One model, as it was found at its source.

    Attributes:
        name: name under which Triton serves it.
        version: its version.
        digest: stands for its files; None for a ConfigMap, whose copy cannot change.
    """

    name: str
    version: int
    digest: str | None


@dataclass(frozen=True, slots=True)
class Resolution:
    """What the sources of a spec resolved to.

    Attributes:
        key: stands for what was asked, see `key_of`.
        models: the model and its dependencies, in the order of the spec.
        copies: for each ConfigMap that the spec names, the name of its immutable copy.
    """

    key: str
    models: tuple[Resolved, ...]
    copies: tuple[tuple[str, str], ...]

    def to_json(self) -> Json:
        """Lay it out for the record and for a ControllerRevision."""
        models = [{"name": m.name, "version": m.version, "digest": m.digest} for m in self.models]
        return {"key": self.key, "models": models, "copies": dict(self.copies)}


def from_json(value: Any) -> Resolution | None:
    """Read a resolution; None if it is not one."""
    try:
        models = tuple(
            Resolved(str(m["name"]), int(m["version"]), m["digest"] and str(m["digest"])) for m in value["models"]
        )
        copies = tuple(sorted((str(name), str(copy)) for name, copy in value["copies"].items()))
        return Resolution(str(value["key"]), models, copies) if models else None
    except (KeyError, TypeError, ValueError, AttributeError):
        return None


def from_answer(key: str, text: str, sources: tuple[Source, ...], copies: Mapping[str, str]) -> Resolution | None:
    """Read what the resolver found.

    Args:
        key: what it was asked.
        text: its termination message.
        sources: the models that it was asked about.
        copies: for each ConfigMap that the spec names, the name of its copy.

    Returns:
        The resolution, or None if the answer is not one to these models.
    """
    try:
        told = json.loads(text.strip().splitlines()[-1])["models"]
        models = tuple(
            Resolved(str(m["name"]), int(m["version"]), None if s.uri.startswith(CONFIG_MAP) else str(m["digest"]))
            for m, s in zip(told, sources, strict=True)
        )
    except (ValueError, RecursionError, KeyError, TypeError, IndexError):
        return None
    for model, source in zip(models, sources, strict=True):
        if model.name != source.name or source.version not in (None, model.version) or model.version < 1:
            return None
    return Resolution(key, models, tuple(sorted(copies.items())))


def at_hand(key: str, sources: tuple[Source, ...], copies: Mapping[str, str]) -> Resolution | None:
    """Resolve what needs no look at a source: models in ConfigMaps, which have one version.

    Args:
        key: what is asked.
        sources: the models.
        copies: for each ConfigMap that the spec names, the name of its copy.

    Returns:
        The resolution, or None if a source must be looked at.
    """
    if not all(source.uri.startswith(CONFIG_MAP) for source in sources):
        return None
    return Resolution(
        key, tuple(Resolved(s.name, s.version or 1, None) for s in sources), tuple(sorted(copies.items()))
    )


def sources_of(spec: InferenceServiceSpec, resolution: Resolution | None) -> tuple[Source, ...]:
    """List the models of a spec and where they come from.

    Args:
        spec: the spec.
        resolution: what they resolved to; None while that is to be found out.

    Returns:
        The model, then its dependencies.
    """
    model = spec.model
    kind = "KIND_GPU" if spec.gpu.count else None
    asked = [Source(name=model.name, uri=model.uri, version=model.version, kind=kind)]
    asked += [
        Source(
            name=dependency.name,
            uri=dependency.uri or sibling(model.uri, dependency.name),
            version=dependency.version,
            kind=dependency.instance_kind or kind,
        )
        for dependency in model.dependencies or []
    ]
    if resolution is None:
        return tuple(asked)
    copies = dict(resolution.copies)
    return tuple(
        Source(
            name=source.name,
            uri=source.uri,
            version=found.version,
            kind=source.kind,
            digest=found.digest,
            config_map=copies.get(source.uri.removeprefix(CONFIG_MAP)),
        )
        for source, found in zip(asked, resolution.models, strict=True)
    )


def config_maps_of(spec: InferenceServiceSpec) -> dict[str, bool]:
    """List the ConfigMaps whose contents are part of a revision; for each, whether it must exist."""
    named = [(name, True) for name in _models_in(spec)]
    for volume in spec.runtime.volumes or []:
        if volume.config_map:
            named.append((volume.config_map.name, not volume.config_map.optional))
    for variable in spec.runtime.env or []:
        if variable.value_from and (reference := variable.value_from.config_map_key_ref):
            named.append((reference.name, not reference.optional))
    return {name: any(must for other, must in named if other == name) for name, _ in sorted(named)}


def key_of(spec: InferenceServiceSpec) -> str:
    """Make the key of what a spec asks its sources: while it stays the same, nothing is asked again."""
    return _key(spec, _models_in(spec))


def is_answer(resolution: Resolution, spec: InferenceServiceSpec) -> bool:
    """Say whether a resolution is one of what a spec asks its sources.

    Former operators had the names of all ConfigMaps in the key. Of those that it was made with, a resolution has the
    copies: so it is found again, and nothing is looked up because the operator is another.
    """
    return resolution.key in (key_of(spec), _key(spec, (name for name, _ in resolution.copies)))


def _key(spec: InferenceServiceSpec, config_maps: Iterable[str]) -> str:
    model = spec.model.model_dump(
        exclude={"scratch"}, by_alias=True, exclude_defaults=True, exclude_none=True, mode="json"
    )
    return short_hash({"model": model, "configMaps": sorted(config_maps)})


def _models_in(spec: InferenceServiceSpec) -> set[str]:
    """List the ConfigMaps that hold models."""
    return {s.uri.removeprefix(CONFIG_MAP) for s in sources_of(spec, None) if s.uri.startswith(CONFIG_MAP)}


def copy_name(service: str, content: Json | None) -> str:
    """Name the copy of a ConfigMap after its content.

    Args:
        service: name of the service.
        content: the ConfigMap; None for one that need not exist and does not: its copy is empty.

    Returns:
        `<service>-config-<hash>`.
    """
    return f"{service}-config-{short_hash(content_of(content))}"


def content_of(config_map: Json | None) -> Json:
    """Give what of a ConfigMap is copied."""
    found = config_map or {}
    return {field: found.get(field) or {} for field in ("data", "binaryData")}


def with_copies(template: Json, copies: Iterable[tuple[str, str]]) -> Json:
    """Make a pod template use the copies of ConfigMaps.

    Args:
        template: a template that names the user's ConfigMaps in volumes and in variables of containers.
        copies: for each of them the name of its copy.

    Returns:
        The template with their names in place of the user's; an optional one has an empty copy, and stays optional.
    """
    names = dict(copies)

    def renamed(node: Any, key: str = "") -> Any:
        if isinstance(node, list):
            return [renamed(item) for item in node]
        if not isinstance(node, dict):
            return node
        inner = {name: renamed(value, name) for name, value in node.items()}
        if key in ("configMap", "configMapKeyRef") and inner.get("name") in names:
            inner["name"] = names[inner["name"]]
        return inner

    result: Json = renamed(template)
    return result


def short_hash(value: Any) -> str:
    """Hash a value of JSON into ten letters and digits, the same for the same value."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"))
    number = int.from_bytes(hashlib.sha256(text.encode()).digest())
    digits = []
    for _ in range(_HASH_LENGTH):
        number, digit = divmod(number, len(_ALPHABET))
        digits.append(_ALPHABET[digit])
    return "".join(digits)
