"""What the init container is asked to do: one environment variable, written by the operator, read by `models.prepare`.

Not for: what a user writes; that is `api.spec`.
"""

import json
import posixpath
import re
from dataclasses import asdict, dataclass, fields
from enum import StrEnum
from pathlib import Path

from triton_operator.models.failure import PrepareError, Reason

ENVIRONMENT_VARIABLE = "TRITON_OPERATOR_PREPARE"

_MODEL_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}")
_URI = re.compile(r"(?=.{1,1024}\Z)[a-z0-9]+://[^/].*")
_MAX_VERSION = 2**63 - 1


class Layout(StrEnum):
    """How the files of a source lie.

    Attributes:
        DIRECTORY: a model directory: config.pbtxt and a directory for each version.
        FLAT: config.pbtxt and the files of one version side by side, as the keys of a ConfigMap.
    """

    DIRECTORY = "directory"
    FLAT = "flat"


@dataclass(frozen=True, slots=True, kw_only=True)
class PrepareRequest:
    """One model to prepare.

    Attributes:
        model: name of the model, a single path component.
        version: version to serve, from 1.
        uri: where the model comes from, in the user's words; for messages, and for what of `source` is the volume.
        source: absolute directory where the uri's content is mounted; it ends with the path of a pvc:// uri.
        repository: absolute directory in which the model repository is made.
        layout: how the files lie in `source`.
        gpu: whether GPUs are asked for, so that the model must not fall back to the CPU.
    """

    model: str
    version: int
    uri: str
    source: str
    repository: str
    layout: Layout
    gpu: bool

    def __post_init__(self) -> None:
        for name in ("model", "uri", "source", "repository"):
            if not isinstance(getattr(self, name), str):
                raise _bad(f"{name} must be a string")
        if not _URI.fullmatch(self.uri) or not self.uri.isprintable():
            raise _bad("uri must be SCHEME://… of at most 1024 printable characters")
        if not _MODEL_NAME.fullmatch(self.model):
            raise _bad("model must be 1 to 128 letters, digits, '_', '.' or '-', and must not begin with '.' or '-'")
        if type(self.version) is not int or not 1 <= self.version <= _MAX_VERSION:
            raise _bad("version must be a whole number from 1 to 2^63 - 1")
        if type(self.gpu) is not bool:
            raise _bad("gpu must be true or false")
        for name in ("source", "repository"):
            _require_plain_directory(name, getattr(self, name))
        source, repository = Path(self.source), Path(self.repository)
        if source.is_relative_to(repository) or repository.is_relative_to(source):
            raise _bad("source and repository must not lie within each other")
        if self.layout is Layout.DIRECTORY and self._path_of_uri and not self.source.endswith("/" + self._path_of_uri):
            raise _bad("source must end with the path of uri")

    @property
    def _path_of_uri(self) -> str:
        _, _, after_scheme = self.uri.partition("://")
        _, _, path = after_scheme.partition("/")
        return path.strip("/")

    @property
    def volume(self) -> Path:
        """The directory where the volume is mounted; nothing outside it is ever read."""
        if self.layout is Layout.FLAT or not self._path_of_uri:
            return Path(self.source)
        return Path(self.source.removesuffix("/" + self._path_of_uri))

    @property
    def path(self) -> Path:
        """`source` as a path."""
        return Path(self.source)

    @property
    def model_directory(self) -> Path:
        """Where the model goes."""
        return Path(self.repository) / self.model

    def to_json(self) -> str:
        """Render the request as the value of the environment variable; the same request is always the same text."""
        return json.dumps(asdict(self), sort_keys=True, separators=(",", ":"))

    @classmethod
    def from_json(cls, text: str) -> "PrepareRequest":
        """Read the value of the environment variable.

        Args:
            text: a JSON object with exactly the fields of this class.

        Returns:
            The request; its paths and names are safe to use.

        Raises:
            PrepareError: BadRequest, saying which field is missing, unknown or wrong.
        """
        try:
            values = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise _bad("it is not JSON") from error
        if not isinstance(values, dict):
            raise _bad("it is not a JSON object")
        known = {field.name for field in fields(cls)}
        if missing := sorted(known - values.keys()):
            raise _bad(f"{', '.join(missing)} missing")
        if unknown := len(values.keys() - known):
            raise _bad(f"{unknown} unknown field(s); known are {', '.join(sorted(known))}")
        try:
            layout = Layout(values["layout"])
        except ValueError as error:
            raise _bad("layout must be directory or flat") from error
        return cls(**{**values, "layout": layout})


def _require_plain_directory(name: str, path: str) -> None:
    if not path.startswith("/") or "\0" in path or posixpath.normpath(path) != path or path in ("/", "//"):
        raise _bad(f"{name} must be an absolute path without '.', '..', '//' and a '/' at its end, and not '/'")


def _bad(problem: str) -> PrepareError:
    return PrepareError(
        Reason.BAD_REQUEST,
        f"The request in {ENVIRONMENT_VARIABLE} is not valid: {problem}."
        " The operator writes it: use an operator and an init container of one version.",
    )
