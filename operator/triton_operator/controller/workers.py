"""The workers: each takes a service from the queue, has it reconciled, and decides when it is its turn again.

Not for: what a reconcile does; see `controller.reconcile`.
"""

import asyncio
import logging
from secrets import token_hex
from typing import Protocol

from triton_operator.controller.logs import bound
from triton_operator.controller.metrics import Metrics, Result
from triton_operator.controller.queue import Closed, Key, WorkQueue
from triton_operator.edges.errors import ApiError, Conflict

DEADLINE_SECONDS = 30.0
"""Time limit of one reconcile."""

_log = logging.getLogger(__name__)


class Reconciles(Protocol):
    """Whoever brings a service into the state it should have."""

    async def reconcile(self, key: Key) -> float | None:
        """Look at one service and do what there is to do.

        Args:
            key: the service's namespace and name; it may be gone.

        Returns:
            Seconds until it is to be looked at again, or None when only an event can change anything.

        Raises:
            Exception: whatever it is, the look is tried again, with growing pauses.
        """

    async def close(self) -> None:
        """End what runs beside the reconciles."""


class Workers:
    """A fixed number of workers on one queue."""

    def __init__(self, queue: WorkQueue, reconciler: Reconciles, metrics: Metrics, *, count: int) -> None:
        self._queue = queue
        self._reconciler = reconciler
        self._metrics = metrics
        self._tasks = [asyncio.create_task(self._work(), name=f"worker-{number}") for number in range(count)]

    @property
    def count(self) -> int:
        """Workers that were started."""
        return len(self._tasks)

    @property
    def alive(self) -> int:
        """Workers that still run."""
        return sum(not task.done() for task in self._tasks)

    async def stop(self, *, within_seconds: float) -> None:
        """Take no new work, let the running reconciles end, cancel those that do not in time, close the reconciler."""
        self._queue.close()
        _, late = await asyncio.wait(self._tasks, timeout=within_seconds)
        for task in late:
            task.cancel()
        if late:
            _log.warning("%d reconciles did not end within %g s and were cancelled", len(late), within_seconds)
            await asyncio.wait(late)
        await self._reconciler.close()

    async def _work(self) -> None:
        while True:
            try:
                key = await self._queue.get()
            except Closed:
                return
            try:
                await self._once(key)
            finally:
                self._queue.done(key)
            # A look at a service of which nothing is to be done waits for nothing: thousands of them in a row would
            # hold up everybody else, the renewal of the Lease included.
            await asyncio.sleep(0)

    async def _once(self, key: Key) -> None:
        loop = asyncio.get_running_loop()
        started = loop.time()
        result: Result = "error"
        with bound(reconcile=token_hex(4), namespace=key[0], name=key[1]):
            try:
                async with asyncio.timeout(DEADLINE_SECONDS):
                    after = await self._reconciler.reconcile(key)
            except Conflict as error:
                # Somebody wrote at the same time; with the event of that write the next try reads the new state.
                _log.info("Tried again in %.1f s: %s", self._queue.retry(key), error)
            except (ApiError, TimeoutError) as error:
                told = str(error) or f"not done within {DEADLINE_SECONDS:g} s"
                asked = error.retry_after if isinstance(error, ApiError) else None
                _log.warning("Tried again in %.1f s: %s", self._queue.retry(key, at_least=asked or 0.0), told)
            except Exception:
                _log.exception("Tried again in %.1f s after an unexpected error", self._queue.retry(key))
            else:
                result = "done" if after is None else "again"
                self._queue.forget(key)
                if after is not None:
                    self._queue.add_after(key, after)
        self._metrics.reconciled(result, seconds=loop.time() - started)
