"""What the init container and the resolver are asked to do: one environment variable, written by the operator.

Not for: what a user writes; that is `api.spec`.
"""

import json
import posixpath
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from enum import StrEnum
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from triton_operator.models.failure import PrepareError, Reason

ENVIRONMENT_VARIABLE = "TRITON_OPERATOR_PREPARE"
MAX_MODELS = 17  # the service's and sixteen dependencies

_MODEL_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}")
_URI = re.compile(r"(?=.{1,1024}\Z)[a-z0-9]+://[^/].*")
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_MAX_VERSION = 2**63 - 1
_VOLUMES = ("pvc", "configmap")


class Layout(StrEnum):
    """How the files of a source lie.

    Attributes:
        DIRECTORY: a model directory: config.pbtxt and a directory for each version.
        FLAT: config.pbtxt and the files of one version side by side, as the keys of a ConfigMap.
    """

    DIRECTORY = "directory"
    FLAT = "flat"


class Kind(StrEnum):
    """What instance groups become that leave their kind to Triton."""

    GPU = "KIND_GPU"
    CPU = "KIND_CPU"


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelRequest:
    """One model to prepare or to resolve.

    Attributes:
        name: name of the model, a single path component.
        version: version to serve, from 1; None for the highest one there is, which only the resolver takes.
        uri: where the model comes from, in the user's words.
        source: absolute directory where the uri's content is mounted; it ends with the path of a pvc:// uri. None for
            what is fetched.
        repository: absolute directory in which the model repository is made.
        layout: how the files lie at the source.
        kind: what instance groups become that leave their kind open; None leaves them alone.
        digest: what the source must be, "sha256:" and 64 hexadecimal digits; None: not checked.
    """

    name: str
    version: int | None
    uri: str
    source: str | None
    repository: str
    layout: Layout
    kind: Kind | None = None
    digest: str | None = None

    def __post_init__(self) -> None:
        for name in ("name", "uri", "repository"):
            if not isinstance(getattr(self, name), str):
                raise bad_request(f"{name} must be a string")
        if not _URI.fullmatch(self.uri) or not self.uri.isprintable():
            raise bad_request("uri must be SCHEME://… of at most 1024 printable characters")
        if not _MODEL_NAME.fullmatch(self.name):
            raise bad_request(
                "name must be 1 to 128 letters, digits, '_', '.' or '-', and must not begin with '.' or '-'"
            )
        if self.version is not None and (type(self.version) is not int or not 1 <= self.version <= _MAX_VERSION):
            raise bad_request("version must be null or a whole number from 1 to 2^63 - 1")
        if self.digest is not None and not (isinstance(self.digest, str) and _DIGEST.fullmatch(self.digest)):
            raise bad_request("digest must be null or sha256: and 64 hexadecimal digits")
        _require_plain_directory("repository", self.repository)
        if (self.source is not None) != (self.scheme in _VOLUMES):
            raise bad_request("source must be a directory for pvc:// and configmap://, and null for everything else")
        if (self.layout is Layout.FLAT) != (self.scheme == "configmap"):
            raise bad_request("layout must be flat for configmap://, and directory for everything else")
        if self.source is not None:
            self._check_volume(self.source)

    def _check_volume(self, directory: str) -> None:
        if not isinstance(directory, str):
            raise bad_request("source must be null or a string")
        _require_plain_directory("source", directory)
        source, repository = Path(directory), Path(self.repository)
        if source.is_relative_to(repository) or repository.is_relative_to(source):
            raise bad_request("source and repository must not lie within each other")
        if self.layout is Layout.DIRECTORY and self._path_of_uri and not directory.endswith("/" + self._path_of_uri):
            raise bad_request("source must end with the path of uri")

    @property
    def scheme(self) -> str:
        """What stands before :// in the uri."""
        return self.uri.partition("://")[0]

    @property
    def shown(self) -> str:
        """The uri as it may be shown to anybody: without user, password, query and fragment."""
        if self.scheme not in ("http", "https"):
            return self.uri
        try:
            parts = urlsplit(self.uri)
            return parts._replace(netloc=parts.netloc.rpartition("@")[2], query="", fragment="").geturl()
        except ValueError:
            return f"{self.scheme}://…"

    @property
    def _path_of_uri(self) -> str:
        _, _, after_scheme = self.uri.partition("://")
        _, _, path = after_scheme.partition("/")
        return path.strip("/")

    @property
    def path(self) -> Path:
        """`source` as a path; only for a source that is mounted."""
        if self.source is None:
            raise bad_request(f"source missing for {self.scheme}://")
        return Path(self.source)

    @property
    def volume(self) -> Path:
        """The directory where the volume is mounted; nothing outside it is ever read."""
        if self.layout is Layout.FLAT or not self._path_of_uri:
            return self.path
        return Path(str(self.path).removesuffix("/" + self._path_of_uri))

    @property
    def model_directory(self) -> Path:
        """Where the model goes."""
        return Path(self.repository) / self.name


@dataclass(frozen=True, slots=True, kw_only=True)
class PrepareRequest:
    """The models of one pod.

    Attributes:
        repository: absolute directory in which the model repository is made.
        models: 1 to 17 models of different names; the service's own is the first.
    """

    repository: str
    models: tuple[ModelRequest, ...]

    def __post_init__(self) -> None:
        if not 1 <= len(self.models) <= MAX_MODELS:
            raise bad_request(f"models must be 1 to {MAX_MODELS}")
        if len({model.name for model in self.models}) < len(self.models):
            raise bad_request("the names of the models must differ")
        if any(model.repository != self.repository for model in self.models):
            raise bad_request("all models must go into one repository")

    def to_json(self) -> str:
        """Render the request as the value of the environment variable; the same request is always the same text."""
        models = [{key: value for key, value in asdict(model).items() if key != "repository"} for model in self.models]
        request = {"repository": self.repository, "models": models}
        return json.dumps(request, sort_keys=True, separators=(",", ":"))

    @classmethod
    def from_json(cls, text: str) -> "PrepareRequest":
        """Read the value of the environment variable.

        Args:
            text: a JSON object with exactly the fields of this class and, in `models`, of `ModelRequest`.

        Returns:
            The request; its paths and names are safe to use.

        Raises:
            PrepareError: BadRequest, saying which field is missing, unknown or wrong.
        """
        try:
            values = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise bad_request("it is not JSON") from error
        _require_fields(values, {"repository", "models"}, "it")
        if not isinstance(values["models"], list):
            raise bad_request("models must be a list")
        models = tuple(_model(model, values["repository"]) for model in values["models"])
        return cls(repository=values["repository"], models=models)


def _model(values: Any, repository: Any) -> ModelRequest:
    _require_fields(values, {field.name for field in fields(ModelRequest)} - {"repository"}, "a model")
    try:
        layout = Layout(values["layout"])
    except ValueError as error:
        raise bad_request("layout must be directory or flat") from error
    try:
        kind = None if values["kind"] is None else Kind(values["kind"])
    except ValueError as error:
        raise bad_request("kind must be null, KIND_GPU or KIND_CPU") from error
    return ModelRequest(**{**values, "layout": layout, "kind": kind, "repository": repository})


def _require_fields(values: Any, known: set[str], what: str) -> None:
    if not isinstance(values, Mapping):
        raise bad_request(f"{what} is not a JSON object")
    if missing := sorted(known - values.keys()):
        raise bad_request(f"{', '.join(missing)} missing")
    if unknown := len(values.keys() - known):
        raise bad_request(f"{unknown} unknown field(s); known are {', '.join(sorted(known))}")


def _require_plain_directory(name: str, path: str) -> None:
    if not path.startswith("/") or "\0" in path or posixpath.normpath(path) != path or path in ("/", "//"):
        raise bad_request(f"{name} must be an absolute path without '.', '..', '//' and a '/' at its end, and not '/'")


def bad_request(problem: str) -> PrepareError:
    """Say what is wrong with the request, as a clause."""
    return PrepareError(
        Reason.BAD_REQUEST,
        f"The request in {ENVIRONMENT_VARIABLE} is not valid: {problem}."
        " The operator writes it: use an operator and an init container of one version.",
    )
