"""Start and stop: connect, serve the probes, wait to lead, look at the whole cluster, work; and all that in reverse.

Not for: command line and exit, which are `__main__`'s.
"""

import asyncio
import logging
import os
import random
import signal
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from secrets import token_hex
from typing import Any

from triton_operator.api import names
from triton_operator.api.settings import Settings
from triton_operator.controller import events, probes
from triton_operator.controller.metrics import Metrics
from triton_operator.controller.queue import Key, Priority, WorkQueue
from triton_operator.controller.resync import Resync
from triton_operator.controller.store import Store
from triton_operator.controller.workers import Reconciles, Workers
from triton_operator.edges.errors import ApiError
from triton_operator.edges.kubernetes import Kube
from triton_operator.edges.lease import Lease

KINDS_SECONDS = 300.0
"""How often the cluster is asked which optional kinds it serves, ± 10 %: CRDs may come and go at any time."""

_GRACE_SECONDS = 10.0
_NAMESPACE_FILE = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Parts:
    """What a reconciler is made of.

    Attributes:
        kube: the API server.
        store: what the watches and the first list have shown.
        settings: the administrator's.
        metrics: counts what is applied.
        wake: queues a service.
        pressed: tells whether other users wait for their new specs to be looked at.
        instance: this process, unique, as the Lease and events name it.
    """

    kube: Kube
    store: Store
    settings: Settings
    metrics: Metrics
    wake: Callable[[Key], None]
    pressed: Callable[[], bool]
    instance: str


Reconcilers = Callable[[Parts], Reconciles]
"""Makes the reconciler of a process."""


class Unfit(Exception):
    """The operator cannot work here; the message says what an administrator must do."""


class Deposed(Exception):
    """Another replica leads now, or may: the process must end at once."""


async def run(settings: Settings, make_reconciler: Reconcilers, *, kinds_seconds: float) -> None:
    """Run the operator until SIGTERM or SIGINT.

    Args:
        settings: the administrator's.
        make_reconciler: called once, when this replica leads and the store is filled.
        kinds_seconds: how often the cluster is asked which optional kinds it serves.

    Raises:
        Unfit: the CRD is not installed.
        Deposed: leadership was lost.
        events.KopfEnded: watching has ended.
        ApiError: the API server refused or did not answer before work began.
    """
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopped.set)
    metrics = Metrics()
    async with (
        Kube.connect(concurrency=settings.workers, observer=metrics) as kube,
        # The Lease has connections of its own: a renewal must not wait behind other requests.
        Kube.connect(concurrency=2, observer=metrics) as lease_kube,
    ):
        instance = f"{os.environ.get('HOSTNAME', names.OPERATOR)}_{token_hex(4)}"
        lease = _lease(settings, lease_kube, instance)
        process = Process(settings, kube, lease, metrics, instance=instance, kinds_seconds=kinds_seconds)
        async with probes.serve(process.pulse, metrics.registry, port=settings.port):
            await process.check()
            await process.run(make_reconciler, stopped)


class Process:
    """The parts of a running operator."""

    def __init__(
        self, settings: Settings, kube: Kube, lease: Lease, metrics: Metrics, *, instance: str, kinds_seconds: float
    ) -> None:
        self._settings = settings
        self._kube = kube
        self._lease = lease
        self._metrics = metrics
        self._instance = instance
        self._kinds_seconds = kinds_seconds
        self._store = Store()
        self._queue = WorkQueue(jitter=random.random, observer=metrics)
        self._resync = Resync(kube, self._store, self._queue, settings, jitter=random.random)
        self._workers: Workers | None = None
        self._leading = False
        metrics.watch(
            depth=lambda: self._queue.depth,
            oldest_seconds=lambda: self._queue.oldest_seconds,
            failing=lambda: self._queue.failing,
            services=lambda: len(self._store.services()),
        )

    def pulse(self) -> probes.Pulse:
        """Read what the probes judge."""
        now = asyncio.get_running_loop().time()

        def ago(at: float | None) -> float | None:
            return None if at is None else now - at

        return probes.Pulse(
            leading=self._leading,
            workers=self._workers.count if self._workers else 0,
            workers_alive=self._workers.alive if self._workers else 0,
            oldest_seconds=self._queue.oldest_seconds,
            resync_seconds=ago(self._resync.ended_at),
            resync_limit_seconds=3.0 * self._settings.resyncSeconds + 60.0,
            heard_seconds=ago(self._lease.heard_at),
        )

    async def check(self) -> None:
        """Make sure that the cluster serves what the operator is for.

        Raises:
            Unfit: it does not.
        """
        if not await self._kube.served(names.INFERENCE_SERVICE):
            raise Unfit(
                f"The API server does not serve {names.INFERENCE_SERVICE.plural}.{names.GROUP} ({names.VERSION}): "
                "its CustomResourceDefinition is not installed. Install it by `kubectl apply -f crds/`"
            )

    async def run(self, make_reconciler: Reconcilers, stopped: asyncio.Event) -> None:
        """Wait to lead, then lead, until `stopped`; see `run` of the module for what is raised."""
        stop = asyncio.create_task(stopped.wait(), name="stop")
        _log.info("Waiting to lead")
        if await _first(self._lease.acquire(), stop) is stop:
            await self._lease.release()  # it may just have been taken
            return
        _log.info("Leading")
        self._leading = True
        self._metrics.leads()
        held = asyncio.create_task(self._lease.hold(), name="lease")
        led = asyncio.create_task(self._lead(make_reconciler), name="lead")
        done, _ = await asyncio.wait({stop, held, led}, return_when=asyncio.FIRST_COMPLETED)
        _log.info("Stopping")
        # The Lease is renewed until no reconcile runs any more, and given back before Kopf ends, which takes longer.
        if self._workers is not None:
            by_request = done == {stop}  # else at once: another replica may act already
            await self._workers.stop(within_seconds=_GRACE_SECONDS if by_request else 0.0)
        if held in done:
            await held
            raise Deposed("Leadership was lost")
        await _cancel(held)
        await self._lease.release()
        if led in done:
            await led  # raises why leading has failed, once the other replica may lead
        await _cancel(led)
        _log.info("Stopped")

    async def _lead(self, make_reconciler: Reconcilers) -> None:
        await self._learn()
        # A complete list comes first: without it, "no children yet" would look like children that are missing.
        await self._resync.fill()
        reconciler = make_reconciler(
            Parts(
                kube=self._kube,
                store=self._store,
                settings=self._settings,
                metrics=self._metrics,
                wake=lambda key: self._queue.add(key, Priority.NORMAL),
                pressed=lambda: self._queue.is_pressed,
                instance=self._instance,
            )
        )
        self._workers = Workers(self._queue, reconciler, self._metrics, count=self._settings.workers)
        tasks = (
            asyncio.create_task(self._resync.run(), name="resync"),
            asyncio.create_task(self._listen(), name="events"),
        )
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                await task
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)

    async def _learn(self) -> bool:
        """Find out which optional kinds the cluster serves; return whether they are others than before."""
        return self._store.serve([kind for kind in names.OPTIONAL_KINDS if await self._kube.served(kind)])

    async def _listen(self) -> None:
        """Deliver events, and begin anew when the cluster serves other kinds than before."""
        seen = partial(events.note, self._store, self._queue)
        while True:
            listening = asyncio.create_task(
                events.listen(seen, watch=self._settings.watch, kinds=self._store.kinds), name="kopf"
            )
            try:
                while not await self._has_other_kinds(listening):
                    pass
            finally:
                await _cancel(listening)
            _log.info("Watching what the cluster serves now: %s", ", ".join(kind.plural for kind in self._store.kinds))
            try:
                await self._resync.fill()
            except ApiError as error:
                _log.warning("The look at the cluster failed, and is taken again: %s", error)

    async def _has_other_kinds(self, listening: asyncio.Task[None]) -> bool:
        done, _ = await asyncio.wait({listening}, timeout=self._kinds_seconds * (0.9 + 0.2 * random.random()))
        try:
            changed = await self._learn()
        except ApiError as error:
            _log.warning("Which kinds the API server serves could not be asked, and is asked again: %s", error)
            changed = False
        if done and changed and (ended := listening.exception()):  # Kopf ends when a kind that it watches has gone
            _log.info("%s: %s", ended, ended.__cause__)
        elif done:
            await listening
        return changed


async def _first(coroutine: Coroutine[Any, Any, None], other: asyncio.Task[Any]) -> asyncio.Task[Any]:
    """Wait for a coroutine or a task, whichever ends first; the coroutine is cancelled if it is the task."""
    task = asyncio.create_task(coroutine)
    await asyncio.wait({task, other}, return_when=asyncio.FIRST_COMPLETED)
    if task.done():
        await task
        return task
    await _cancel(task)
    return other


async def _cancel(task: asyncio.Task[Any]) -> None:
    task.cancel()
    await asyncio.wait({task})


def _lease(settings: Settings, kube: Kube, identity: str) -> Lease:
    election = settings.leaderElection
    own = _NAMESPACE_FILE.read_text(encoding="utf-8").strip() if _NAMESPACE_FILE.is_file() else "default"
    return Lease(
        kube,
        namespace=election.namespace or own,
        name=election.name,
        identity=identity,
        duration_seconds=election.leaseDurationSeconds,
        renew_seconds=election.renewSeconds,
        retry_seconds=election.retrySeconds,
    )
