"""Send requests at the times that a rate sets, and tell what became of them, second by second.

The loop is open: a request is sent when it is due, whatever became of those before, and its latency counts from when it
was due, so that a stall is seen by all requests it held up. Only so many may be in flight; those that are due beyond
that are not sent, and are counted as `skipped`.
Not for: the meaning of what is told; that is `report`.
"""

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from itertools import pairwise
from typing import Any

from .clients import Client, Failed
from .histogram import bucket

Json = dict[str, Any]

ANSWERED, SKIPPED = "answered", "skipped"
MOST_FAILURES = 1000  # that are told one by one; all are counted
FLUSH_SECONDS = 0.5


@dataclass(slots=True)
class Second:
    """The requests of one kind of client that were due in one second.

    Attributes:
        outcomes: how many were answered, and how many failed by kind.
        versions: of the model, of those answered.
        pods: that answered.
        reopened: connections that were opened anew for a request.
        buckets: latencies of those answered.
        in_flight: requests without an outcome.
    """

    outcomes: Counter[str] = field(default_factory=Counter)
    versions: Counter[str] = field(default_factory=Counter)
    pods: Counter[str] = field(default_factory=Counter)
    reopened: int = 0
    buckets: Counter[int] = field(default_factory=Counter)
    in_flight: int = 0

    def add(self, other: "Second") -> None:
        """Count another's requests as well."""
        self.outcomes.update(other.outcomes)
        self.versions.update(other.versions)
        self.pods.update(other.pods)
        self.reopened += other.reopened
        self.buckets.update(other.buckets)

    def told(self) -> Json:
        """All but what is in flight, as JSON."""
        return {
            "outcomes": self.outcomes,
            "versions": self.versions,
            "pods": self.pods,
            "reopened": self.reopened,
            "buckets": self.buckets,
        }


@dataclass(frozen=True, slots=True)
class Failure:
    """A request that was not answered.

    Attributes:
        due: when it was to be sent, in seconds since the epoch.
        failed: when it had failed.
        client: kind of client.
        connection: number of the connection among those of its kind.
        request: number of the request among those of its kind.
        kind: few words by which failures are counted.
        words: the error's own.
        reused: whether the connection had served another request before (HTTP only).
        last_pod: who had answered last on the connection.
    """

    due: float
    failed: float
    client: str
    connection: int
    request: int
    kind: str
    words: str
    reused: bool
    last_pod: str


Profile = Sequence[tuple[float, float]]
"""Seconds since the begin, rising from 0, and requests per second there; between two points the rate goes straight."""


def rate_at(profile: Profile, seconds: float) -> float:
    """Give the rate at a time.

    Args:
        profile: at least one point.
        seconds: since the begin, 0 or more.
    """
    for (at, rate), (then, other) in pairwise(profile):
        if seconds < then:
            return rate + (other - rate) * (seconds - at) / (then - at)
    return profile[-1][1]


class Generator:
    """Asks with some kinds of clients until it is told to stop."""

    def __init__(self, tell: Callable[[Json], None], *, most_in_flight: int, timeout_seconds: float) -> None:
        """Prepare; an event loop must be running.

        Args:
            tell: takes each line of the report.
            most_in_flight: requests of each kind of client that may wait for an answer, 1 or more.
            timeout_seconds: after which a request has failed.
        """
        self.stop = asyncio.Event()
        self._tell = tell
        self._most = most_in_flight
        self._timeout_seconds = timeout_seconds
        self._seconds: dict[tuple[int, str], Second] = {}
        self._in_flight: Counter[str] = Counter()
        self._failures = 0
        self._answerers: dict[tuple[str, int], str] = {}  # who answered last on each connection
        # One offset for the whole run: the loop's clock never jumps.
        self._epoch = time.time() - asyncio.get_running_loop().time()

    async def run(self, rates: Mapping[str, Profile], clients: Mapping[str, Sequence[Client]]) -> None:
        """Ask until `stop` is set and what is in flight has ended.

        Args:
            rates: requests per second over time, by kind of client.
            clients: of each kind, asked in turn.
        """
        telling = asyncio.create_task(self._keep_telling())
        try:
            async with asyncio.TaskGroup() as group:
                for kind, rate in rates.items():
                    group.create_task(self._drive(group, kind, clients[kind], rate))
        finally:
            telling.cancel()
            self._flush(before=None)

    async def _drive(self, group: asyncio.TaskGroup, kind: str, clients: Sequence[Client], rate: Profile) -> None:
        loop = asyncio.get_running_loop()
        begin, number = loop.time(), 0
        due = begin
        while True:
            if (pause := due - loop.time()) > 0:
                await asyncio.sleep(pause)
            if self.stop.is_set():
                return
            second = self._seconds.setdefault((int(self._epoch + due), kind), Second())
            if self._in_flight[kind] >= self._most:
                second.outcomes[SKIPPED] += 1
            else:
                self._in_flight[kind] += 1
                second.in_flight += 1
                index = number % len(clients)
                group.create_task(self._ask(second, kind, clients[index], index, number, due))
            number += 1
            due += 1 / rate_at(rate, due - begin)

    async def _ask(self, second: Second, kind: str, client: Client, index: int, number: int, due: float) -> None:
        try:
            answer = await client.infer(number % 1000, timeout_seconds=self._timeout_seconds)
        except Failed as failed:
            second.outcomes[failed.kind] += 1
            self._tell_failure(kind, index, number, due, failed)
        else:
            second.outcomes[ANSWERED] += 1
            second.versions[answer.version] += 1
            second.pods[answer.pod] += 1
            second.reopened += answer.reopened
            second.buckets[bucket(1000 * (asyncio.get_running_loop().time() - due))] += 1
            self._answerers[kind, index] = answer.pod
        finally:
            self._in_flight[kind] -= 1
            second.in_flight -= 1

    def _tell_failure(self, kind: str, index: int, number: int, due: float, failed: Failed) -> None:
        self._failures += 1
        if self._failures > MOST_FAILURES:
            return
        failure = Failure(
            due=self._epoch + due,
            failed=self._epoch + asyncio.get_running_loop().time(),
            client=kind,
            connection=index,
            request=number,
            kind=failed.kind,
            words=str(failed),
            reused=failed.reused,
            last_pod=self._answerers.get((kind, index), ""),
        )
        self._tell({"failure": asdict(failure)})

    async def _keep_telling(self) -> None:
        while True:
            await asyncio.sleep(FLUSH_SECONDS)
            self._flush(before=int(time.time()))

    def _flush(self, *, before: int | None) -> None:
        """Tell of the seconds that are over and of which no request is in flight; None: of all."""
        for (number, client), second in sorted(self._seconds.items(), key=lambda item: item[0]):
            if before is None or (number < before and not second.in_flight):
                del self._seconds[number, client]
                self._tell({"second": number, "client": client} | second.told())
