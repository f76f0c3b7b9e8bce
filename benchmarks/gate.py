"""A proxy between the operator and the API server that kills the operator at chosen writes.

The write is done, and the operator dies before it hears of it: the state that a crash between two writes leaves.
Not for: what the users do meanwhile; that is `benchmarks.every_write`.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from typing import Self

import aiohttp
from aiohttp import web

from benchmarks.api_server import ApiServer, free_ports

_READS = frozenset({"GET", "HEAD", "OPTIONS"})
# Of one connection, not of what is passed on.
_OWN = frozenset(
    {"connection", "content-length", "host", "keep-alive", "te", "trailer", "transfer-encoding", "upgrade"}
)
MOST_BYTES = 8 << 20


class Gate:
    """Passes requests on, counts the writes, and kills.

    Attributes:
        server: the API server as it is reached through here.
        writes: each write so far, its Lease's excepted, in words.
        victims: the numbers of the writes, from 1, by which the operator dies.
    """

    def __init__(self, server: ApiServer, session: aiohttp.ClientSession, kill: Callable[[], Awaitable[None]]) -> None:
        (self.port,) = free_ports(1)
        self.server = replace(server, url=f"http://127.0.0.1:{self.port}")
        self.writes: list[str] = []
        self.victims: Sequence[int] = ()
        self._behind = server.url
        self._session = session
        self._kill = kill

    @classmethod
    @asynccontextmanager
    async def before(
        cls, server: ApiServer, session: aiohttp.ClientSession, kill: Callable[[], Awaitable[None]]
    ) -> AsyncIterator[Self]:
        """Stand before an API server until the block ends.

        Args:
            server: the API server.
            session: connects to it, and does not decompress.
            kill: ends the operator, at once.
        """
        gate = cls(server, session, kill)
        app = web.Application(client_max_size=MOST_BYTES)
        app.router.add_route("*", "/{path:.*}", gate._pass)
        runner = web.AppRunner(app, shutdown_timeout=1)
        await runner.setup()
        try:
            await web.TCPSite(runner, "127.0.0.1", gate.port).start()
            yield gate
        finally:
            await runner.cleanup()

    async def _pass(self, request: web.Request) -> web.StreamResponse:
        headers = {name: value for name, value in request.headers.items() if name.lower() not in _OWN}
        body = await request.read()
        url = f"{self._behind}{request.raw_path}"
        number = 0
        if request.method not in _READS and "/leases" not in request.path:
            self.writes.append(f"{request.method} {request.path}")
            number = len(self.writes)
        async with self._session.request(
            request.method, url, headers=headers, data=body or None, skip_auto_headers={"Content-Type", "User-Agent"}
        ) as answer:
            if number in self.victims:
                await answer.read()
                await self._kill()
            told = {name: value for name, value in answer.headers.items() if name.lower() not in _OWN}
            response = web.StreamResponse(status=answer.status, headers=told)
            with suppress(ConnectionResetError):  # nobody is there any more to hear the answer
                await response.prepare(request)
                async for data in answer.content.iter_any():
                    await response.write(data)
                await response.write_eof()
            return response
