"""One file of a web server as a source, such as an archive.

Not for: directories; that is `models.index`.
"""

import re
from collections.abc import AsyncIterator
from urllib.parse import unquote

from yarl import URL

from triton_operator.models.failure import PrepareError, Reason
from triton_operator.models.index import origin_of
from triton_operator.models.remote import Names, SourceFile
from triton_operator.models.web import Web

_CHECKSUM = re.compile(r"sha256=([0-9a-f]{64})")


class WebFile:
    """The `Remote` that has one file of a web server.

    Args:
        web: the client.
        uri: of the file; http://… or https://…, a query and #sha256=… allowed.
        shown: the uri as it may be shown.

    Raises:
        PrepareError: BadLayout: what stands behind '#' is no checksum.
    """

    def __init__(self, web: Web, uri: str, *, shown: str) -> None:
        self._web = web
        self._shown = shown
        self.root, path = origin_of(uri)
        self.path = unquote(path, errors="surrogateescape")
        address, _, fragment = uri.partition("#")
        self._url = URL(address)
        checksum = _CHECKSUM.fullmatch(fragment)
        if fragment and not checksum:
            raise PrepareError(
                Reason.BAD_LAYOUT,
                f"{shown} has a '#' with something else behind it than sha256= and 64 hexadecimal digits: correct"
                " spec.model.uri.",
            )
        self._checksum = checksum[1] if checksum else None

    async def file(self) -> SourceFile:
        """Ask for size and tag."""
        answer = await self._web.stat(self._url)
        if answer is None:
            raise PrepareError(Reason.NOT_FOUND, f"{self._shown} does not exist (404). Correct spec.model.uri.")
        if answer.tag is None and self._checksum is None:
            raise PrepareError(
                Reason.STORAGE_ERROR,
                f"{self._shown} has neither ETag nor Last-Modified, so that nobody could see that it was overwritten:"
                " add #sha256= and its checksum to spec.model.uri.",
            )
        return SourceFile(self.path, answer.size, answer.tag or "", self._checksum, ranged=answer.ranged)

    async def names(self, directory: str) -> Names | None:
        """Nothing but the file can be listed."""
        above, _, name = self.path.rpartition("/")
        return Names((), (name,)) if directory == above else None

    async def files(self, directory: str, *, without: frozenset[str]) -> tuple[SourceFile, ...]:
        """The file."""
        return (await self.file(),)

    def read(self, file: SourceFile, *, start: int, end: int) -> AsyncIterator[bytes | memoryview]:
        """Read a range of the file, if it is still the one that was asked for."""
        return self._web.read(self._url, file, start=start, end=end, tag=file.tag or None)

    async def close(self) -> None:
        """Close all connections."""
        await self._web.close()
