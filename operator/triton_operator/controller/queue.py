"""The work queue: which services to look at next. The semantics are those of client-go's workqueue.

A key is never worked on twice at once; adding it meanwhile runs it once more afterwards; adding it twice is adding it
once. Time is the event loop's. Not for: knowing why a service is to be looked at; reconciliation reads the world anew.
"""

import asyncio
from collections.abc import Callable
from enum import IntEnum
from typing import Protocol

Key = tuple[str, str]
"""Namespace and name of an InferenceService."""

BACKOFF_SECONDS = 0.5
BACKOFF_MOST_SECONDS = 300.0
FAILING = 3
"""Failures in a row from which on a key counts as failing."""
STARVED_SECONDS = 60.0
"""A key that waited this long goes before every other, whatever its priority, though only each fourth time."""

_STARVED_TURNS = 4  # when hundreds have starved, somebody urgent must not wait for them all


class Priority(IntEnum):
    """Whose turn it is first."""

    URGENT = 0
    """A service was created, changed or deleted: somebody waits for it."""
    NORMAL = 1
    """A child changed, a time came, or a reconcile is tried again."""
    LOW = 2
    """Periodic looks and the first list after a start."""


class QueueObserver(Protocol):
    """Whoever counts what the queue does."""

    def added(self) -> None:
        """A key was queued, or was marked for one more run."""

    def retried(self) -> None:
        """A key will be tried again after a failure."""

    def waited(self, seconds: float) -> None:
        """A key was handed out after this long in the queue."""


class Closed(Exception):
    """The queue was closed: the worker ends."""


class WorkQueue:
    """See the module. All methods but `get` return at once and must be called in the event loop's thread."""

    def __init__(self, *, jitter: Callable[[], float], observer: QueueObserver) -> None:
        """Make an empty queue.

        Args:
            jitter: a random number in [0, 1), such as `random.random`; spreads retries by ± 10 %.
            observer: told what happens.
        """
        self._jitter = jitter
        self._observer = observer
        # Invariant: a key is in at most one lane; never in a lane while active; in `_again` only while active.
        self._lanes: dict[Priority, dict[Key, float]] = {priority: {} for priority in Priority}
        self._active: set[Key] = set()
        self._again: dict[Key, Priority] = {}
        self._timers: dict[Key, asyncio.TimerHandle] = {}
        self._failures: dict[Key, int] = {}
        self._since_starved = _STARVED_TURNS
        self._wake = asyncio.Event()
        self._closed = False

    def add(self, key: Key, priority: Priority) -> None:
        """Queue a key, or raise its priority when it is queued already; its place in time is kept."""
        if self._closed:
            return
        if key in self._active:
            before = self._again.get(key)
            self._again[key] = priority if before is None else min(before, priority)
            if before is None:
                self._observer.added()
            return
        since = asyncio.get_running_loop().time()
        for queued, lane in self._lanes.items():
            if key in lane:
                if queued <= priority:
                    return
                since = lane.pop(key)
                break
        else:
            self._observer.added()
        self._lanes[priority][key] = since
        self._wake.set()

    def add_after(self, key: Key, seconds: float) -> None:
        """Queue a key later. Of several such wishes the earliest wins; handing the key out ends them all."""
        if self._closed:
            return
        loop = asyncio.get_running_loop()
        when = loop.time() + seconds
        timer = self._timers.get(key)
        if timer is not None:
            if timer.when() <= when:
                return
            timer.cancel()
        self._timers[key] = loop.call_at(when, self._due, key)

    def retry(self, key: Key, *, at_least: float = 0.0) -> float:
        """Queue a key after a failure, each time later: 0.5 s, 1 s, 2 s … 5 min, ± 10 %.

        Args:
            key: the key.
            at_least: seconds that somebody asked to wait; never less than that, and up to 10 % more.

        Returns:
            The seconds until then.
        """
        failures = self._failures.get(key, 0)
        self._failures[key] = failures + 1
        exact = min(BACKOFF_MOST_SECONDS, BACKOFF_SECONDS * 2.0 ** min(failures, 32))
        delay = max(exact * (0.9 + 0.2 * self._jitter()), at_least * (1.0 + 0.1 * self._jitter()))
        self._observer.retried()
        self.add_after(key, delay)
        return delay

    def forget(self, key: Key) -> None:
        """Let the next failure of a key count as its first."""
        self._failures.pop(key, None)

    async def get(self) -> Key:
        """Take the next key, waiting for one; the caller must call `done` with it.

        Raises:
            Closed: there is no more work to do, whatever is still queued.
        """
        while True:
            if self._closed:
                raise Closed
            if (key := self._next()) is not None:
                return key
            self._wake.clear()
            await self._wake.wait()

    def done(self, key: Key) -> None:
        """Say that work on a key has ended; it is queued again if it was added meanwhile."""
        self._active.discard(key)
        priority = self._again.pop(key, None)
        if priority is not None and not self._closed:
            self._lanes[priority][key] = asyncio.get_running_loop().time()
            self._wake.set()

    def close(self) -> None:
        """Hand out nothing more; workers that wait in `get` end."""
        self._closed = True
        for timer in self._timers.values():
            timer.cancel()
        self._timers.clear()
        self._wake.set()

    @property
    def depth(self) -> int:
        """Keys that wait to be worked on."""
        return sum(len(lane) for lane in self._lanes.values())

    @property
    def is_pressed(self) -> bool:
        """Whether a key waits that is urgent."""
        return bool(self._lanes[Priority.URGENT])

    @property
    def failing(self) -> int:
        """Keys worked on in vain several times in a row: more than a conflict explains."""
        return sum(failures >= FAILING for failures in self._failures.values())

    @property
    def active(self) -> int:
        """Keys that are worked on."""
        return len(self._active)

    @property
    def oldest_seconds(self) -> float:
        """How long the longest-waiting key has waited; 0 when none waits."""
        heads = [since for lane in self._lanes.values() if lane for since in lane.values()]
        return asyncio.get_running_loop().time() - min(heads) if heads else 0.0

    def _due(self, key: Key) -> None:
        del self._timers[key]
        self.add(key, Priority.NORMAL)

    def _next(self) -> Key | None:
        now = asyncio.get_running_loop().time()
        first: Priority | None = None
        chosen: Priority | None = None
        for priority, lane in self._lanes.items():
            if not lane:
                continue
            if first is None:
                first = chosen = priority
            elif now - next(iter(lane.values())) > STARVED_SECONDS and self._since_starved >= _STARVED_TURNS - 1:
                chosen = priority
        if chosen is None:
            return None
        self._since_starved = self._since_starved + 1 if chosen == first else 0
        lane = self._lanes[chosen]
        key = next(iter(lane))
        self._observer.waited(now - lane.pop(key))
        self._active.add(key)
        # The reconcile that begins now says itself when to look again.
        if (timer := self._timers.pop(key, None)) is not None:
            timer.cancel()
        return key
