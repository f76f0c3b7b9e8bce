"""Reading over HTTP: redirects, credentials that stay with their host, ranges, and failures in plain words.

Not for: what lies at an address; that is `models.index`, `models.archive` and `models.hub`.
"""

import base64
import ssl
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass

import aiohttp
from yarl import URL

from triton_operator.models.credentials import Credentials
from triton_operator.models.failure import PrepareError, Reason, escaped
from triton_operator.models.remote import ChangedError, SourceFile, TransientError
from triton_operator.models.web_errors import proxy_refusal, shown, web_failures

KEYS = ("HTTP_USER", "HTTP_PASSWORD", "HTTP_BEARER_TOKEN")

_MAX_REDIRECTS = 10
_PIECE_BYTES = 2**20
_TIMES = aiohttp.ClientTimeout(total=None, sock_connect=15, sock_read=45)
_GONE = {404, 410}
_NO_HEAD = {403, 405, 501}  # a signed address is good for GET alone
_TRANSIENT = {408, 425, 429}


@dataclass(frozen=True, slots=True)
class Answer:
    """What a server says of an address, without its content.

    Attributes:
        size: bytes.
        tag: its ETag, else the time of its last change; None if the server gives neither.
        ranged: whether the server reads ranges.
    """

    size: int
    tag: str | None
    ranged: bool


class Web:
    """A client for one server, and for those to which it leads.

    Args:
        authorization: value of the Authorization header, for the first server only; None: no credentials.
        certificates: PEM text of authorities to trust besides the system's.
    """

    def __init__(self, *, authorization: str | None, certificates: str | None) -> None:
        self._authorization = authorization
        self._certificates = certificates
        self._session: aiohttp.ClientSession | None = None

    async def close(self) -> None:
        """Close all connections."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    @asynccontextmanager
    async def ask(self, method: str, url: URL, **headers: str) -> AsyncIterator[aiohttp.ClientResponse]:
        """Send a request and follow redirects.

        Args:
            method: GET or HEAD.
            url: the address.
            headers: of the request; '_' in a name stands for '-'.

        Yields:
            The last answer, whatever its status.

        Raises:
            TransientError: no answer.
            PrepareError: Unreachable, BadCredentials: no answer, and another try will not help.
        """
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        with web_failures(url):
            response = await self._last(method, url, sent)
            async with response:
                yield response

    async def stat(self, url: URL) -> Answer | None:
        """Ask for size and tag; None if nothing is there.

        Raises:
            TransientError: another try may help.
            PrepareError: AccessDenied and others; StorageError if the server does not say the size.
        """
        async with self.ask("HEAD", url) as response:
            if response.status < 300 and "Content-Length" in response.headers:  # Apache has none for empty files
                return _answer(url, response)
            if response.status in _GONE:
                return None
            if response.status >= 300 and response.status not in _NO_HEAD:
                raise self.refusal(response, url)
        async with self.ask("GET", url, Range="bytes=0-0") as response:
            if response.status < 300 or response.status == 416:
                return _answer(url, response)
            if response.status in _GONE:
                return None
            raise self.refusal(response, url)

    async def read(self, url: URL, file: SourceFile, *, start: int, end: int, tag: str | None) -> AsyncIterator[bytes]:
        """Read a range of a file in pieces.

        Args:
            url: where the file is.
            file: the file, for its size.
            start: offset of the first byte.
            end: offset behind the last byte.
            tag: what the server must say of the file; None: not compared.

        Raises:
            ChangedError: the file is not what it was.
            TransientError: another try may help.
            PrepareError: another try will not help.
        """
        async with self.ask("GET", url, Range=f"bytes={start}-{end - 1}") as response:
            if response.status in _GONE | {412, 416}:
                raise ChangedError
            if response.status not in (200, 206):
                raise self.refusal(response, url)
            answer = _answer(url, response, size=file.size)
            if answer.size != file.size or (tag is not None and answer.tag != tag):
                raise ChangedError
            skip = start
            if response.status == 206:
                if not response.headers.get("Content-Range", "").startswith(f"bytes {start}-"):
                    raise TransientError(f"{shown(url)} sent another range than it was asked for.")
                skip = 0
            async for piece in _pieces(response, skip=skip, wanted=end - start):
                yield piece

    def refusal(self, response: aiohttp.ClientResponse, url: URL) -> Exception:
        """Say what an answer of status 400 or above means.

        Args:
            response: the answer.
            url: what was asked for.

        Returns:
            A TransientError for what may pass, a PrepareError for the rest.
        """
        status = f"{response.status} {escaped(response.reason or '')}".strip()
        where = shown(url)
        if response.url.host != url.host:
            where += f" (which leads to {escaped(response.url.host or '')})"
        if response.status >= 500 or response.status in _TRANSIENT:
            return TransientError(f"{where} answers {status}: see whether its server is well.")
        if response.status == 407:
            return proxy_refusal(where)
        if response.status in (401, 403):
            return PrepareError(Reason.ACCESS_DENIED, f"{where} answers {status}. {self._remedy()}")
        if response.status in _GONE:
            return PrepareError(Reason.NOT_FOUND, f"{where} does not exist ({status}). Correct spec.model.uri.")
        return PrepareError(Reason.STORAGE_ERROR, f"{where} answers {status}: see what its server says of it.")

    def _remedy(self) -> str:
        keys = "HTTP_USER and HTTP_PASSWORD, or HTTP_BEARER_TOKEN,"
        if self._authorization is None:
            return f"It was asked without credentials: name a Secret with {keys} in spec.model.credentials."
        return f"Correct {keys} in the Secret of spec.model.credentials, or give that user the right to read."

    async def _last(self, method: str, url: URL, headers: Mapping[str, str]) -> aiohttp.ClientResponse:
        """Follow redirects: never from https to http, and with credentials for the first server only."""
        first = url
        for _ in range(_MAX_REDIRECTS + 1):
            own = {"Authorization": self._authorization} if self._authorization else {}
            response = await self._open().request(
                method,
                url,
                headers={**headers, **(own if url.origin() == first.origin() else {})},
                allow_redirects=False,
            )
            location = response.headers.get("Location")
            if response.status not in (301, 302, 303, 307, 308) or location is None:
                return response
            response.release()
            following = url.join(URL(location, encoded=True))
            if following.scheme not in ("http", "https") or (url.scheme == "https" and following.scheme == "http"):
                raise PrepareError(
                    Reason.UNREACHABLE,
                    f"{shown(url)} leads to {escaped(following.scheme)}://, which is not encrypted: that is not"
                    " followed. Correct spec.model.uri or the server.",
                )
            url = following
        raise PrepareError(
            Reason.UNREACHABLE, f"{shown(first)} leads on more than {_MAX_REDIRECTS} times: correct spec.model.uri."
        )

    def _open(self) -> aiohttp.ClientSession:
        if self._session is None:
            trusted = ssl.create_default_context()
            if self._certificates:
                trusted.load_verify_locations(cadata=self._certificates)
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=0, ssl=trusted),
                cookie_jar=aiohttp.DummyCookieJar(),
                headers={"Accept-Encoding": "identity", "User-Agent": "triton-operator"},
                auto_decompress=False,
                timeout=_TIMES,
                trust_env=True,  # the proxies
                read_bufsize=_PIECE_BYTES,
            )
        return self._session


def web_of(uri: str, credentials: Credentials) -> Web:
    """Make a client with the credentials of the user's Secret.

    Args:
        uri: as it may be shown.
        credentials: what the user gave.

    Raises:
        PrepareError: BadCredentials: they are not complete, or ca.crt is no certificate.
    """
    credentials.check(uri=uri, keys=KEYS)
    user, password, token = (credentials.get(key) for key in KEYS)
    if (user is None) != (password is None):
        raise PrepareError(
            Reason.BAD_CREDENTIALS,
            f"The Secret in spec.model.credentials has only one of HTTP_USER and HTTP_PASSWORD: {uri} needs both.",
        )
    authorization = f"Bearer {token}" if token else None
    if user is not None and password is not None:
        authorization = f"Basic {base64.b64encode(f'{user}:{password}'.encode()).decode()}"
    if authorization is not None and not authorization.isprintable():
        raise PrepareError(
            Reason.BAD_CREDENTIALS, "A key of the Secret in spec.model.credentials holds more than one line."
        )
    return Web(authorization=authorization, certificates=credentials.certificates)


def _answer(url: URL, response: aiohttp.ClientResponse, *, size: int | None = None) -> Answer:
    """Read size and tag; `size` counts where the answer has none, as when it is sent in chunks."""
    ranged = response.status == 206 or response.headers.get("Accept-Ranges", "").lower() == "bytes"
    if response.status in (206, 416):
        total = response.headers.get("Content-Range", "").rpartition("/")[2]
    else:
        total = response.headers.get("Content-Length", "")
    if total.isdecimal():
        size = int(total)
    if size is None:
        raise PrepareError(
            Reason.STORAGE_ERROR,
            f"{shown(url)} has no size: its server sends no Content-Length. Serve it as a plain file.",
        )
    # Apache's ETag of a new file is weak, and becomes strong within seconds.
    tag = response.headers.get("ETag", "").removeprefix("W/") or response.headers.get("Last-Modified")
    return Answer(size, tag or None, ranged)


async def _pieces(response: aiohttp.ClientResponse, *, skip: int, wanted: int) -> AsyncIterator[bytes]:
    """Pass over some bytes, and give the wanted ones in pieces of about 1 MiB."""
    gathered = bytearray()
    async for some in response.content.iter_any():
        passed = min(skip, len(some))
        skip -= passed
        gathered += memoryview(some)[passed : passed + wanted]
        wanted -= min(len(some) - passed, wanted)
        if len(gathered) >= _PIECE_BYTES or not wanted:
            yield bytes(gathered)
            gathered.clear()
        if not wanted:
            return
    if gathered:
        yield bytes(gathered)
