"""What a scraper knows of the servers: counters at the times of its clock, and rates between them.

Not for: the servers themselves, nor what is made of the rates.
"""

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random
from typing import TypeVar

from benchmarks.autoscaling.servers import BUCKETS, Fleet, Replica

Each = TypeVar("Each")
KEPT_SECONDS = 120.0
SLACK = 0.5  # of the clock: a sample that is this much older than the window still belongs to it


@dataclass(frozen=True, slots=True)
class Outage:
    """A time in which nothing can be scraped.

    Attributes:
        begin: first second.
        end: the second after it.
        answers: whether queries are answered then, from what there is; else they fail.
    """

    begin: float
    end: float
    answers: bool


@dataclass(frozen=True, slots=True)
class Sample:
    """The counters of one replica at a time."""

    at: float
    success: float
    queue_seconds: float
    compute_seconds: float


@dataclass(frozen=True, slots=True)
class Rates:
    """What one replica did per second between two samples."""

    success: float
    queue_seconds: float
    compute_seconds: float


class Scrapes:
    """The samples of one scraper.

    Attributes:
        every_seconds: its interval.
    """

    def __init__(
        self, fleet: Fleet, *, every_seconds: float, outages: Sequence[Outage], lost_share: float, random: Random
    ) -> None:
        """Know nothing yet.

        Args:
            fleet: what is scraped.
            every_seconds: its interval.
            outages: when nothing is.
            lost_share: of all scrapes of a replica, those that are lost.
            random: which ones.
        """
        self.every_seconds = every_seconds
        self._fleet = fleet
        self._outages = outages
        self._lost_share = lost_share
        self._random = random
        self._replicas: dict[int, deque[Sample]] = {}
        self._arrived: deque[tuple[float, int]] = deque()
        self._answered: deque[tuple[float, list[int]]] = deque()

    def scrape(self) -> list[Replica]:
        """Take a sample of everything that is ready, and tell which replicas have answered."""
        now = self._fleet.now
        if self._outage(now):
            return []
        answered = [each for each in self._fleet.ready if self._random.random() >= self._lost_share]
        for replica in answered:
            samples = self._replicas.setdefault(replica.name, deque())
            samples.append(Sample(now, replica.success, replica.queue_seconds, replica.compute_seconds))
            _forget(samples, now, lambda sample: sample.at)
        self._arrived.append((now, self._fleet.arrived))
        self._answered.append((now, list(self._fleet.buckets)))
        _forget(self._arrived, now, lambda each: each[0])
        _forget(self._answered, now, lambda each: each[0])
        return answered

    def down(self) -> bool:
        """Whether queries fail now."""
        outage = self._outage(self._fleet.now)
        return outage is not None and not outage.answers

    def rates(self, replica: Replica, window_seconds: float) -> Rates | None:
        """What `rate()` tells of a replica, or None where it has fewer than two samples in the window."""
        since = self._fleet.now - window_seconds - SLACK
        samples = [sample for sample in self._replicas.get(replica.name, ()) if sample.at >= since]
        return between(samples[0], samples[-1]) if len(samples) > 1 else None

    def arrivals(self, window_seconds: float) -> float | None:
        """Requests per second that came to the gateway, or None where there are fewer than two samples."""
        found = [each for each in self._arrived if each[0] >= self._fleet.now - window_seconds - SLACK]
        if len(found) < 2:
            return None
        return (found[-1][1] - found[0][1]) / (found[-1][0] - found[0][0])

    def tail(self, percentile: float, window_seconds: float) -> float | None:
        """What the histogram of the gateway tells of the latency, or None without an answer."""
        found = [each for each in self._answered if each[0] >= self._fleet.now - window_seconds - SLACK]
        if len(found) < 2:
            return None
        return quantile([new - old for new, old in zip(found[-1][1], found[0][1], strict=True)], percentile / 100)

    def _outage(self, now: float) -> Outage | None:
        return next((each for each in self._outages if each.begin <= now < each.end), None)


def between(old: Sample, new: Sample) -> Rates:
    """Rates from one sample to a later one."""
    seconds = new.at - old.at
    return Rates(
        (new.success - old.success) / seconds,
        (new.queue_seconds - old.queue_seconds) / seconds,
        (new.compute_seconds - old.compute_seconds) / seconds,
    )


def quantile(buckets: Sequence[int], share: float) -> float | None:
    """Interpolate in a histogram by `BUCKETS`, as `histogram_quantile()` does; None when it is empty."""
    wanted, below, seen = share * sum(buckets), 0.0, 0
    if not wanted:
        return None
    for bound, count in zip(BUCKETS, buckets, strict=False):
        if seen + count >= wanted:
            return below + (bound - below) * (wanted - seen) / count
        seen += count
        below = bound
    return BUCKETS[-1]


def _forget(samples: deque[Each], now: float, at: Callable[[Each], float]) -> None:
    while at(samples[0]) < now - KEPT_SECONDS:
        samples.popleft()
