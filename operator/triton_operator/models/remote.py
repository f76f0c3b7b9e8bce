"""What every source of models can do: list names, list files, and, if it is fetched, read ranges of bytes.

Paths are relative to the root of the source and have no slash at either end: in s3://BUCKET/PATH, gs://BUCKET/PATH and
pvc://CLAIM/PATH what stands behind the bucket or claim, in az://ACCOUNT/CONTAINER/PATH behind the container, in
https://HOST/PATH behind the host, in hf://ORG/REPO@COMMIT/PATH behind the commit. "" is the root itself.
Not for: judging what lies there; that is `models.source`.
"""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Protocol

from triton_operator.models.failure import escaped


@dataclass(frozen=True, slots=True)
class Names:
    """What lies directly in a directory.

    Attributes:
        directories: names of the directories, in order.
        files: names of the files, in order.
    """

    directories: tuple[str, ...]
    files: tuple[str, ...]

    def __bool__(self) -> bool:
        return bool(self.directories or self.files)


@dataclass(frozen=True, slots=True)
class SourceFile:
    """One file of a source.

    Attributes:
        path: where it is, relative to the root of the source.
        size: its bytes.
        tag: changes whenever its bytes change: an ETag, a checksum or a time.
        sha256: 64 hexadecimal digits where the source knows them; they are compared after fetching.
        ranged: whether its server reads ranges; without them a file is one part, else each part would be read from the
            file's beginning.
    """

    path: str
    size: int
    tag: str
    sha256: str | None = None
    ranged: bool = True


class Tree(Protocol):
    """A source whose names and files can be listed.

    Every method raises PrepareError with what cannot change by trying again (AccessDenied, BadCredentials, Unreadable,
    …), and TransientError for what may.
    """

    @property
    def root(self) -> str:
        """The uri of the root as a user would write it, without a slash at the end; nothing secret in it."""

    @property
    def path(self) -> str:
        """The model directory that the uri names, relative to the root."""

    async def names(self, directory: str) -> Names | None:
        """List what lies directly in a directory; None if there is no such directory or it cannot be listed.

        Only for a directory above the uri's own path None may also mean that a server lists nothing there.
        """

    async def files(self, directory: str, *, without: frozenset[str]) -> tuple[SourceFile, ...]:
        """List all files below a directory.

        Args:
            directory: relative to the root.
            without: names of directories directly in it that are passed over.
        """


class Remote(Tree, Protocol):
    """A source that is fetched."""

    def read(self, file: SourceFile, *, start: int, end: int) -> AsyncIterator[bytes | memoryview]:
        """Read a range of a file in pieces; memory holds a few MiB of it at most.

        Args:
            file: from `files`.
            start: offset of the first byte.
            end: offset behind the last byte, above `start`. A server without ranges may be read from the beginning.

        Raises:
            ChangedError: the file is not what it was when it was listed (If-Match, or the answer's tag differs).
            TransientError: trying again from the first byte that is missing may help.
            PrepareError: trying again will not help.
        """

    async def close(self) -> None:
        """Let go of connections."""


class TransientError(Exception):
    """A request failed in a way that another try may mend: 5xx, 408, 429, a connection that was refused or broke.

    Attributes:
        message: what failed, in words for a user: the host, and the remedy if it goes on; nothing secret in it.
    """

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


class ChangedError(Exception):
    """A file was overwritten or removed since it was listed; the engine says which and what to do."""


def uri_of(tree: Tree, path: str) -> str:
    """The uri by which a user would name a path of a source; fit for a message."""
    return f"{tree.root}/{escaped(path)}" if path else tree.root


def joined(directory: str, name: str) -> str:
    """The path of a name in a directory."""
    return f"{directory}/{name}" if directory else name
