"""What an archive holds: .tar, compressed or not, and .zip, as a tree of files that can be opened one by one.

Nothing is ever unpacked by the archive's own idea of paths, owners, modes or links. Not for: fetching archives, nor for
writing their files; that is `models.archived`.
"""

import gzip
import posixpath
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from lzma import LZMAError
from typing import IO

from triton_operator.models.failure import PrepareError, Reason, escaped, quoted
from triton_operator.models.remote import Names, SourceFile

_MAX_MEMBERS = 100_000
_MAX_LINKS = 40
_BROKEN = (
    gzip.BadGzipFile,
    tarfile.TarError,
    zipfile.BadZipFile,
    zlib.error,
    LZMAError,
    EOFError,
    NotImplementedError,  # zipfile: a method of compression that Python does not know
    UnicodeError,
)


@dataclass(frozen=True, slots=True)
class Member:
    """A file of an archive.

    Attributes:
        size: bytes; the stream never has more.
        open: opens it for reading.
    """

    size: int
    open: Callable[[], IO[bytes]]


class Archive:
    """The `Tree` of an archive: its files, by paths that lead nowhere else.

    One directory around everything, as `tar c model` makes it, is passed over: it is the `path`.

    Args:
        root: the archive's uri, as it may be shown.
        members: the files by their paths.
        directories: paths of the directories, the empty ones among them.
    """

    def __init__(self, root: str, members: Mapping[str, Member], directories: frozenset[str]) -> None:
        self.root = root
        self.members = members
        above = {path[:end] for path in members for end in range(len(path)) if path[end] == "/"}
        for path in sorted(above & members.keys()):
            raise PrepareError(
                Reason.BAD_LAYOUT, f"{root} holds {quoted(path)} both as a file and as a directory: pack it anew."
            )
        self._directories = directories | above
        top = self._level("")
        around = top.directories[0] if len(top.directories) == 1 and not top.files else ""
        self.path = "" if around.isdecimal() else around

    async def names(self, directory: str) -> Names | None:
        """List what lies directly in a directory; None if there is no such directory."""
        return self._level(directory) if not directory or directory in self._directories else None

    async def files(self, directory: str, *, without: frozenset[str]) -> tuple[SourceFile, ...]:
        """List all files below a directory; a file of an archive has no tag of its own."""
        below = f"{directory}/" if directory else ""
        hidden = tuple(f"{below}{name}/" for name in without)
        return tuple(
            SourceFile(path, member.size, "")
            for path, member in sorted(self.members.items())
            if path.startswith(below) and not path.startswith(hidden or ("\0",))
        )

    def _level(self, directory: str) -> Names:
        below = f"{directory}/" if directory else ""
        files = {path[len(below) :] for path in self.members if path.startswith(below)}
        directories = {path[len(below) :] for path in self._directories if path.startswith(below)}
        return Names(
            tuple(sorted(name for name in directories if name and "/" not in name)),
            tuple(sorted(name for name in files if "/" not in name)),
        )


@contextmanager
def opened(stream: IO[bytes], *, uri: str) -> Iterator[Archive]:
    """Read what an archive holds.

    Args:
        stream: the archive; must be able to seek.
        uri: where it comes from, as it may be shown; its end says what it is.

    Yields:
        The archive; its members can be opened until the context ends.

    Raises:
        PrepareError: BadLayout: it is broken, or holds a path, a link or a device that must not be.
    """
    kind = "zip" if uri.endswith(".zip") else "tar"
    try:
        if kind == "zip":
            with zipfile.ZipFile(stream) as zipped:
                yield _zip(zipped, uri)
        else:
            with tarfile.open(fileobj=stream, mode="r:*") as tar:
                yield _tar(tar, uri)
    except _BROKEN as error:
        raise PrepareError(
            Reason.BAD_LAYOUT,
            f"{uri} cannot be read as .{kind}: {escaped(str(error)) or type(error).__name__}. Pack and upload it anew.",
        ) from error


def _tar(tar: tarfile.TarFile, uri: str) -> Archive:
    entries: dict[str, tarfile.TarInfo] = {}
    for count, entry in enumerate(tar):
        _check_count(count, uri)
        if (path := _path(entry.name, uri)) is not None:
            entries[path] = entry  # of two with one name the later one counts, as with tar
    members = {}
    for path, entry in entries.items():
        found = _target(entries, path, uri)
        if found.isreg():
            members[path] = Member(found.size, partial(_content, tar, found))
        elif not found.isdir():
            raise _refused(uri, entry.name, "is a device or a pipe")
    return Archive(uri, members, frozenset(path for path, entry in entries.items() if entry.isdir()))


def _target(entries: Mapping[str, tarfile.TarInfo], path: str, uri: str) -> tarfile.TarInfo:
    """Follow a link to the file of the archive that it stands for."""
    first = entry = entries[path]
    for _ in range(_MAX_LINKS):
        if not (entry.issym() or entry.islnk()):
            break
        directory = path.rpartition("/")[0] if entry.issym() else ""
        path = posixpath.normpath(posixpath.join(directory, entry.linkname))
        entry = entries.get(path, first)
    if entry.issym() or entry.islnk() or (entry.isdir() and entry is not first):
        raise _refused(uri, first.name, f"is a link to {quoted(first.linkname)}, which is no file of the archive")
    return entry


def _content(tar: tarfile.TarFile, entry: tarfile.TarInfo) -> IO[bytes]:
    content = tar.extractfile(entry)
    if content is None:
        raise tarfile.ReadError(f"{entry.name} has no content")
    return content


def _zip(zipped: zipfile.ZipFile, uri: str) -> Archive:
    members: dict[str, Member] = {}
    directories = set()
    for count, entry in enumerate(zipped.infolist()):
        _check_count(count, uri)
        path = _path(entry.filename, uri)
        kind = stat.S_IFMT(entry.external_attr >> 16)
        if path is None:
            continue
        if entry.is_dir():
            directories.add(path)
        elif kind not in (0, stat.S_IFREG):
            raise _refused(uri, entry.filename, "is a link or a device")
        elif entry.flag_bits & 1:
            raise _refused(uri, entry.filename, "is encrypted")
        else:
            members[path] = Member(entry.file_size, partial(zipped.open, entry))
    return Archive(uri, members, frozenset(directories))


def _path(name: str, uri: str) -> str | None:
    """Make a path plain; None for what stands for the top, and for what macOS adds."""
    segments = [segment for segment in name.split("/") if segment not in ("", ".")]
    if name.startswith("/") or ".." in segments or "\0" in name:
        raise _refused(uri, name, "leads out of the archive")
    if not segments or any(segment == "__MACOSX" or segment.startswith("._") for segment in segments):
        return None
    return "/".join(segments)


def _check_count(count: int, uri: str) -> None:
    if count >= _MAX_MEMBERS:
        raise PrepareError(
            Reason.BAD_LAYOUT, f"{uri} holds more than {_MAX_MEMBERS} files: that is no model directory."
        )


def _refused(uri: str, name: str, why: str) -> PrepareError:
    return PrepareError(
        Reason.BAD_LAYOUT, f"{uri} holds {quoted(name)}, which {why}. Pack the model's files and directories only."
    )
