"""Replicas of a model server behind a gateway, request by request.

A free instance takes up to a full batch of what waits, as Triton's dynamic batcher does without a queue delay.
Not for: how many replicas there are to be (`policies`), nor what is measured of them (`scrapes`).
"""

import heapq
import math
from bisect import bisect_left
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from random import Random

from benchmarks.autoscaling.models import Model

NEVER = math.inf
# Upper bounds of Envoy's, in seconds; above them there is one more.
BUCKETS = (0.0005, 0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)


class Balancing(StrEnum):
    """How the gateway picks a replica."""

    TWO_CHOICES = "two choices"
    ROUND_ROBIN = "round robin"


@dataclass(frozen=True, slots=True)
class Starts:
    """How long replicas take from their creation to their being ready, and from their removal to their end.

    Attributes:
        seconds: the median where a node is free.
        spread: standard deviation of the logarithm.
        free_nodes: replicas that find a node; more wait for one, unless one has become free again.
        node_seconds: the median of what a node takes.
        drain_seconds: a replica that is removed keeps its GPU for so long at least, and until it has answered.
    """

    seconds: float
    spread: float = 0.15
    free_nodes: int = 1000
    node_seconds: float = 0.0
    drain_seconds: float = 5.0


@dataclass(slots=True, eq=False)
class Replica:
    """One replica; the counters are Triton's, and are written when a request ends."""

    name: int
    created: float
    ready_at: float
    free: int
    waiting: deque[int]
    leaving: bool = False
    gone: float = NEVER
    in_flight: int = 0
    success: int = 0
    failures: int = 0
    executions: int = 0
    queue_seconds: float = 0.0
    compute_seconds: float = 0.0


class Fleet:
    """The replicas of one model, and what becomes of its requests.

    Attributes:
        now: up to when all has happened.
        starting: replicas that are not ready yet.
        ready: replicas that take requests.
        took: seconds until the answer by request; infinite while there is none.
        leads: seconds from creation to being ready, of all replicas that got there, in the order in which they did.
        arrived: requests that have come to the gateway.
        busy: the integral of the requests in flight, those parked included, over time.
        buckets: answers of the gateway by `BUCKETS`.
    """

    def __init__(
        self,
        model: Model,
        arrivals: Sequence[float],
        starts: Starts,
        balancing: Balancing,
        random: Random,
        replicas: int,
    ) -> None:
        """Begin at time 0 with so many replicas that are ready.

        Args:
            model: what they serve.
            arrivals: when requests come, in order.
            starts: how long new replicas take.
            balancing: how the gateway picks a replica.
            random: for times and choices.
            replicas: 1 or more.
        """
        self.now = 0.0
        self.ready: list[Replica] = []
        self.starting: list[Replica] = []
        self.leads: list[float] = []
        self.took = [NEVER] * len(arrivals)
        self.arrived = 0
        self.busy = 0.0
        self.buckets = [0] * (len(BUCKETS) + 1)
        self.replicas: list[Replica] = []
        self._arrivals = [*arrivals, NEVER]
        self._reached = list(arrivals)
        self._parked: deque[int] = deque()
        self._events: list[tuple[float, int, Replica, list[int], float]] = []
        self._serial = 0
        self._in_flight = 0
        self._model = model
        self._curve = [0.0, *(model.curve(batch) for batch in range(1, model.most_batch + 1))]
        sigma = math.sqrt(math.log1p(model.noise**2))
        self._noise = [random.lognormvariate(-sigma * sigma / 2, sigma) for _ in range(4096)]
        self._starts = starts
        self._free_nodes = starts.free_nodes - replicas
        self._balancing = balancing
        self._random = random
        self._turn = 0
        for _ in range(replicas):
            self._create(0.0)

    @property
    def asked(self) -> int:
        """Replicas that are ready or starting."""
        return len(self.ready) + len(self.starting)

    def advance(self, until: float) -> None:
        """Let all happen that happens until a time."""
        events, arrivals = self._events, self._arrivals
        while True:
            arrival = arrivals[self.arrived]
            if events and events[0][0] < arrival:
                when, _, replica, batch, began = events[0]
                if when > until:
                    break
                heapq.heappop(events)
                self._pass(when)
                if batch:
                    self._answer(replica, batch, began)
                else:
                    self._become_ready(replica)
            else:
                if arrival > until:
                    break
                self._pass(arrival)
                self._in_flight += 1
                self.arrived += 1
                self._route(self.arrived - 1)
        self._pass(until)

    def scale(self, replicas: int) -> None:
        """Ask for so many replicas; those that are not ready go first, then the youngest.

        Args:
            replicas: 1 or more.
        """
        while self.asked < replicas:
            wait = self._starts.seconds * self._random.lognormvariate(0.0, self._starts.spread)
            if self._free_nodes <= 0:
                wait += self._starts.node_seconds * self._random.lognormvariate(0.0, self._starts.spread)
            else:
                self._free_nodes -= 1
            self._create(wait)
        while self.asked > replicas:
            self._remove(self.starting.pop() if self.starting else self.ready.pop())

    def _pass(self, now: float) -> None:
        self.busy += self._in_flight * (now - self.now)
        self.now = now

    def _create(self, wait: float) -> None:
        replica = Replica(len(self.replicas), self.now, self.now + wait, self._model.instances, deque())
        self.replicas.append(replica)
        if wait:
            self.starting.append(replica)
            self._push(replica.ready_at, replica, [])
        else:
            self.ready.append(replica)

    def _push(self, when: float, replica: Replica, batch: list[int]) -> None:
        self._serial += 1
        heapq.heappush(self._events, (when, self._serial, replica, batch, self.now))

    def _become_ready(self, replica: Replica) -> None:
        if replica.leaving:
            return
        self.starting.remove(replica)
        self.ready.append(replica)
        self.leads.append(self.now - replica.created)
        while self._parked:
            request = self._parked.popleft()
            self._reached[request] = self.now
            self._route(request)

    def _remove(self, replica: Replica) -> None:
        replica.leaving = True
        started = replica.ready_at <= self.now
        replica.gone = self.now + (self._starts.drain_seconds if started else 0.0)
        self._free_nodes += 1

    def _route(self, request: int) -> None:
        ready = self.ready
        count = len(ready)
        if not count:
            self._parked.append(request)
            return
        if self._balancing is Balancing.ROUND_ROBIN:
            self._turn += 1
            replica = ready[self._turn % count]
        else:
            random = self._random.random
            replica, other = ready[int(random() * count)], ready[int(random() * count)]
            if other.in_flight < replica.in_flight:
                replica = other
        replica.in_flight += 1
        replica.waiting.append(request)
        if replica.free:
            self._execute(replica)

    def _execute(self, replica: Replica) -> None:
        waiting, model, reached, now = replica.waiting, self._model, self._reached, self.now
        while waiting and replica.free:
            while waiting and now - reached[waiting[0]] > model.timeout_seconds:
                waiting.popleft()
                replica.failures += 1
                replica.in_flight -= 1
                self._in_flight -= 1
            if not waiting:
                break
            batch = [waiting.popleft() for _ in range(min(len(waiting), model.most_batch))]
            seconds = self._curve[len(batch)] * self._noise[self._serial & 4095]
            replica.free -= 1
            self._push(now + seconds, replica, batch)

    def _answer(self, replica: Replica, batch: list[int], began: float) -> None:
        now, took, arrivals, reached, buckets = self.now, self.took, self._arrivals, self._reached, self.buckets
        size = len(batch)
        replica.free += 1
        replica.in_flight -= size
        self._in_flight -= size
        replica.success += size
        replica.executions += 1
        replica.compute_seconds += size * (now - began)
        queued = size * began
        for request in batch:
            queued -= reached[request]
            took[request] = seconds = now - arrivals[request]
            buckets[bisect_left(BUCKETS, seconds)] += 1
        replica.queue_seconds += max(0.0, queued)  # of no time at all rounding may leave less
        if replica.waiting:
            self._execute(replica)
        if replica.leaving:
            replica.gone = max(replica.gone, now)


def gpu_seconds(replicas: Sequence[Replica], begin: float, end: float) -> float:
    """Time for which replicas had their GPUs: from creation to the end, starting and draining included."""
    return sum(max(0.0, min(each.gone, end) - max(each.created, begin)) for each in replicas)
