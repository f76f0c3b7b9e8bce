"""Is the operator well? /healthz, /readyz and /metrics over HTTP, in leader and standby alike.

Not for: the health of services.
"""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest

QUEUE_SECONDS = 600.0
"""A service that waits longer than this shows that work has stopped: the backoff and the reconciles are shorter."""

SILENCE_SECONDS = 60.0
"""A standby that has not heard from the API server for this long could not take over."""


@dataclass(frozen=True, slots=True)
class Pulse:
    """What is known about the process at a moment.

    Attributes:
        leading: whether this replica acts.
        workers: workers that should run.
        workers_alive: workers that do.
        oldest_seconds: how long the longest-waiting service has waited.
        resync_seconds: age of the last complete look at the cluster; None before the first.
        resync_limit_seconds: age at which that is too long ago.
        heard_seconds: time since the API server last answered about the Lease; None before the first answer.
    """

    leading: bool
    workers: int
    workers_alive: int
    oldest_seconds: float
    resync_seconds: float | None
    resync_limit_seconds: float
    heard_seconds: float | None


def ills(pulse: Pulse) -> list[str]:
    """List what only a restart can cure; empty when the process is well.

    An API server that does not answer is none of it: a restart would not bring it back.
    """
    if not pulse.leading:
        return []
    found: list[str] = []
    if pulse.workers_alive < pulse.workers:
        found.append(f"{pulse.workers - pulse.workers_alive} of {pulse.workers} workers have ended")
    if pulse.oldest_seconds > QUEUE_SECONDS:
        found.append(f"a service has waited for {pulse.oldest_seconds:.0f} s to be looked at")
    if pulse.resync_seconds is not None and pulse.resync_seconds > pulse.resync_limit_seconds:
        found.append(f"the last complete look at the cluster was {pulse.resync_seconds:.0f} s ago")
    return found


def obstacles(pulse: Pulse) -> list[str]:
    """List why the process neither leads nor could take over; empty when it is ready."""
    found = ills(pulse)
    if pulse.leading:
        if pulse.resync_seconds is None:
            found.append("the first look at the cluster has not ended")
    elif pulse.heard_seconds is None or pulse.heard_seconds > SILENCE_SECONDS:
        found.append("the API server does not answer about the Lease")
    return found


@asynccontextmanager
async def serve(
    pulse: Callable[[], Pulse], registry: CollectorRegistry, *, port: int, host: str | None = None
) -> AsyncIterator[int]:
    """Serve the probes while inside.

    Args:
        pulse: reads the process's state.
        registry: what /metrics shows.
        port: TCP port; 0: any free one.
        host: address to listen on; None: all.

    Yields:
        The port.
    """

    def answer(found: list[str]) -> web.Response:
        return web.Response(text="\n".join(found or ["ok"]) + "\n", status=503 if found else 200)

    async def healthz(_: web.Request) -> web.Response:
        return answer(ills(pulse()))

    async def readyz(_: web.Request) -> web.Response:
        return answer(obstacles(pulse()))

    async def metrics(_: web.Request) -> web.Response:
        return web.Response(body=generate_latest(registry), headers={"Content-Type": CONTENT_TYPE_LATEST})

    app = web.Application()
    app.add_routes([web.get("/healthz", healthz), web.get("/readyz", readyz), web.get("/metrics", metrics)])
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)
    await runner.setup()
    try:
        await web.TCPSite(runner, host, port).start()
        yield runner.addresses[0][1]
    finally:
        await runner.cleanup()
