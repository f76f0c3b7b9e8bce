"""A directory on a web server that lists what lies in it: https://HOST/PATH and http://HOST/PATH.

Not for: archives; that is `models.archive`.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from typing import TypeVar
from urllib.parse import quote, unquote, urlsplit

import aiohttp
from yarl import URL

from triton_operator.models.credentials import Credentials
from triton_operator.models.failure import PrepareError, Reason, escaped, quoted
from triton_operator.models.listing import ListingError, names_in_html, names_in_json
from triton_operator.models.remote import Names, SourceFile, TransientError, joined, uri_of
from triton_operator.models.web import Web, web_of

Item = TypeVar("Item")
Result = TypeVar("Result")

_AT_ONCE = 16
_PAGES = ("text/html", "application/xhtml+xml", "application/json")
_MAX_PAGE_BYTES = 16 * 2**20
_MAX_DEPTH = 32  # a link in a circle on the server has no end


def web_index(uri: str, credentials: Credentials) -> "WebIndex":
    """Make the remote of a model directory on a web server.

    Args:
        uri: http://… or https://….
        credentials: what the user gave for it.

    Raises:
        PrepareError: BadLayout for a uri that names no directory, BadCredentials.
    """
    origin, path = origin_of(uri)
    if urlsplit(uri).query or urlsplit(uri).fragment:
        raise PrepareError(
            Reason.BAD_LAYOUT,
            f"{origin}/{path} has a '?' or a '#', and is no archive (.tar, .tar.gz, .tgz, .zip): remove what stands"
            " behind it.",
        )
    return WebIndex(
        web_of(f"{origin}/{path}", credentials), origin=origin, path=unquote(path, errors="surrogateescape")
    )


def origin_of(uri: str) -> tuple[str, str]:
    """Split a uri.

    Args:
        uri: http://HOST/PATH or https://HOST/PATH.

    Returns:
        Scheme and host without a slash at the end, and the path, as it is written, without one at either end.

    Raises:
        PrepareError: BadLayout: there is no host, or there are credentials in it.
    """
    try:
        parts = urlsplit(uri)
        if not parts.hostname or parts.port == 0:
            raise ValueError
    except ValueError as error:
        raise PrepareError(
            Reason.BAD_LAYOUT, "spec.model.uri is no address: write https://HOST/PATH or https://HOST:PORT/PATH."
        ) from error
    if "@" in parts.netloc:
        raise PrepareError(
            Reason.BAD_CREDENTIALS,
            f"spec.model.uri holds a user or a password in front of {parts.hostname}: remove them, and put them as"
            " HTTP_USER and HTTP_PASSWORD into the Secret of spec.model.credentials.",
        )
    return f"{parts.scheme}://{parts.netloc}", parts.path.strip("/")


class WebIndex:
    """The `Remote` of a web server's directory.

    Args:
        web: the client.
        origin: scheme, host and port.
        path: the model directory on it, decoded.
    """

    def __init__(self, web: Web, *, origin: str, path: str) -> None:
        self._web = web
        self.root = origin
        self.path = path

    async def names(self, directory: str) -> Names | None:
        """Read the page that lists a directory; None if there is none."""
        above = not f"{directory}/".startswith(f"{self.path}/")  # nobody promised that it is listed
        url = self._url(f"{directory}/")
        async with self._web.ask("GET", url) as response:
            if response.status in (404, 410) or (above and response.status in (401, 403)):
                return None
            if response.status != 200:
                raise self._web.refusal(response, url)
            if response.content_type in _PAGES:
                page = await self._page(response)
                names = self._names(directory, page, kind=response.content_type, url=str(response.url))
                if names is not None:
                    return names
            kind = response.content_type
        if above:
            return None
        raise PrepareError(
            Reason.BAD_LAYOUT,
            f"{uri_of(self, directory)}/ answers with {escaped(kind)}, not with a page that lists a directory."
            " spec.model.uri must be such a page (nginx: autoindex on; Apache: Options +Indexes) or an archive: .tar,"
            " .tar.gz, .tgz or .zip.",
        )

    async def files(self, directory: str, *, without: frozenset[str]) -> tuple[SourceFile, ...]:
        """List all files below a directory; each is asked for its size and tag."""
        paths: list[str] = []
        level = [joined(directory, "")]
        for depth in range(_MAX_DEPTH):
            found = await _each(self.names, [path.strip("/") for path in level])
            following = []
            for above, names in zip(level, found, strict=True):
                if names is None:
                    raise TransientError(f"{uri_of(self, above.strip('/'))} has vanished while it was listed.")
                paths += [f"{above}{name}" for name in names.files]
                following += [f"{above}{name}/" for name in names.directories if depth or name not in without]
            level = following
            if not level:
                return tuple(await _each(self._file, sorted(path.lstrip("/") for path in paths)))
        raise PrepareError(
            Reason.BAD_LAYOUT,
            f"{uri_of(self, level[0].strip('/'))} is {_MAX_DEPTH} directories deep: remove the link in a circle.",
        )

    def read(self, file: SourceFile, *, start: int, end: int) -> AsyncIterator[bytes | memoryview]:
        """Read a range of a file, if it is still the one that was listed."""
        return self._web.read(self._url(file.path), file, start=start, end=end, tag=file.tag)

    async def close(self) -> None:
        """Close all connections."""
        await self._web.close()

    async def _file(self, path: str) -> SourceFile:
        answer = await self._web.stat(self._url(path))
        if answer is None:
            raise TransientError(f"{uri_of(self, path)} is listed, but is not there (404).")
        if answer.tag is None:
            raise PrepareError(
                Reason.STORAGE_ERROR,
                f"{uri_of(self, path)} has neither ETag nor Last-Modified, so that nobody could see that it was"
                " overwritten: serve it as a plain file, or pack the model into an archive and add its #sha256= to the"
                " uri.",
            )
        return SourceFile(path, answer.size, answer.tag, ranged=answer.ranged)

    def _url(self, path: str) -> URL:
        return URL(f"{self.root}/{quote(path.lstrip('/'), errors='surrogateescape')}", encoded=True)

    async def _page(self, response: aiohttp.ClientResponse) -> bytes:
        page = bytearray()
        while more := await response.content.readany():
            page += more
            if len(page) > _MAX_PAGE_BYTES:
                raise PrepareError(
                    Reason.BAD_LAYOUT,
                    f"{self.root} lists more than {_MAX_PAGE_BYTES // 2**20} MiB of names: that is no model directory.",
                )
        return bytes(page)

    def _names(self, directory: str, page: bytes, *, kind: str, url: str) -> Names | None:
        try:
            if kind == "application/json":
                return names_in_json(page)
            return names_in_html(page.decode(errors="surrogateescape"), url=url)
        except ListingError as error:
            raise PrepareError(
                Reason.BAD_LAYOUT,
                f"{uri_of(self, directory)} lists {quoted(str(error))}, which cannot be a file's name: rename or remove"
                " it.",
            ) from error


async def _each(function: Callable[[Item], Awaitable[Result]], items: Iterable[Item]) -> list[Result]:
    """Call a function for each item, some at a time; the first error ends all."""
    gate = asyncio.Semaphore(_AT_ONCE)

    async def one(item: Item) -> Result:
        async with gate:
            return await function(item)

    tasks = [asyncio.ensure_future(one(item)) for item in items]
    try:
        return await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
