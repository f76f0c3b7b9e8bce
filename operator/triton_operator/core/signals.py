"""What is asked of a revision and how it does, told from what its pods have counted since they began.

Increases are worked out here, from raw samples and their own times, the same way whoever has taken them. Each source of
samples, a Prometheus or the operator itself, has a history of its own: two that scrape the same pod are not mixed, so
that neither their clocks nor their duplicates matter, and the one that tells most of now is read.
No news is no zero: a pod of which there is too little, or nothing new, is silent.
Not for: taking samples (`edges.triton`, `edges.loads`), nor what follows from a load (`core.autoscaler`).
"""

import math
import statistics
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Protocol, TypeVar

from triton_operator.api.counts import Counts, Sample, Sent
from triton_operator.core.load import Load
from triton_operator.core.times import timestamp

WINDOW_SECONDS = 10.0
"""Over which time rates are taken, where samples are that close."""
TAIL_SECONDS = 60.0
"""Over which time percentiles are taken: they need more requests than means."""
KEPT_SECONDS = 90.0
"""How long samples are kept."""
NEW_SECONDS = 30.0
"""How long after its becoming ready a pod may have told nothing: so long two scrapes and their discovery may take."""

SPACING_SECONDS = 1.5
"""Samples that are closer to the last one are not kept."""
AHEAD_SECONDS = 5.0
"""How far the clock of who has taken a sample may be ahead of ours."""
_INTERVAL_SECONDS = (5.0, 60.0)
"""Between these the interval of scrapes is taken to be; the least is that of the looks."""
_FRESH_INTERVALS = 3.0
_ENOUGH = 0.5
"""The share of the ready pods that must report."""


class _Timed(Protocol):
    @property
    def at(self) -> float: ...
    @property
    def is_sound(self) -> bool: ...


T = TypeVar("T", bound=_Timed)

History = tuple[Sample, ...]
"""What one source has told of one pod, in the order of time."""


@dataclass(frozen=True, slots=True)
class Pod:
    """A ready pod.

    Attributes:
        since: when it was first seen to be ready, in seconds since the epoch; 0 where it was from the start.
        sources: the histories that there are of it.
    """

    since: float
    sources: Collection[History]


def extended(history: tuple[T, ...], found: Iterable[T], *, now: float) -> tuple[T, ...]:
    """Add samples of a source to its history.

    Args:
        history: what it has told before.
        found: what it tells now, in any order; what is not newer, or cannot be so, is left out.
        now: seconds since the epoch.

    Returns:
        The history, of which the last `KEPT_SECONDS` are kept, and the last two samples in any case.
    """
    kept = list(history)
    sound = [sample for sample in found if sample.is_sound and sample.at <= now + AHEAD_SECONDS]
    for sample in sorted(sound, key=lambda sample: sample.at):
        if not kept or sample.at >= kept[-1].at + SPACING_SECONDS:
            kept.append(sample)
    recent = [sample for sample in kept if sample.at >= kept[-1].at - KEPT_SECONDS]
    return tuple(recent if len(recent) > 1 else kept[-2:])


def interval_of(history: Sequence[_Timed]) -> float:
    """Tell how far the samples of a source are apart, in seconds: the median, within bounds."""
    least, most = _INTERVAL_SECONDS
    if len(history) < 2:
        return least
    apart = statistics.median_low(after.at - before.at for before, after in pairwise(history))
    return min(most, max(least, apart))


def is_silent(pod: Pod, *, now: float) -> bool:
    """Say whether a pod tells nothing that can be relied on."""
    return _newest(pod.sources, now, WINDOW_SECONDS) is None


def in_flight_of(pod: Pod, *, now: float) -> float | None:
    """Tell at how many requests a pod is: those that wait, and those that are executed at a time, by Little's law.

    Args:
        pod: the pod.
        now: seconds since the epoch.

    Returns:
        So many; None where it tells nothing that can be relied on.
    """
    span = _newest(pod.sources, now, WINDOW_SECONDS)
    if span is None:
        return None
    rates = _increase(span).per(_seconds(span))
    return _pending(span, rates) + rates.compute_seconds


def load_of(
    pods: Collection[Pod],
    *,
    now: float,
    percentile: int,
    arrivals: float | None = None,
    tail_seconds: float | None = None,
) -> tuple[Load | None, str]:
    """Tell the load of a revision.

    Args:
        pods: its ready pods.
        now: seconds since the epoch.
        percentile: which one of the requests' durations matters, 1 to 99.
        arrivals: requests per second that a gateway has sent it, or None where that is not known.
        tail_seconds: that percentile as a gateway has seen it, or None.

    Returns:
        The load, None where fewer than half of the pods report; and what is amiss, "" where nothing is. Pods that have
        just become ready are missed by nobody: what they take over from others is seen there.
    """
    spans = [span for pod in pods if (span := _newest(pod.sources, now, WINDOW_SECONDS))]
    missing = [pod for pod in pods if is_silent(pod, now=now)]
    silent = [pod for pod in missing if pod.since <= now - NEW_SECONDS]
    if not spans or len(spans) < _ENOUGH * (len(spans) + len(silent)):
        return None, _few(len(spans), pods, missing)
    each = [_increase(span).per(_seconds(span)) for span in spans]
    rates = Counts()
    for one in each:
        rates = rates.plus(one)
    scale = (len(spans) + len(silent)) / len(spans)
    executed = rates.executed
    came = sum(_arrivals(span, of) for span, of in zip(spans, each, strict=True)) * scale
    tail, source = (tail_seconds, "gateway") if tail_seconds is not None else (_tail(pods, now, percentile), "triton")
    load = Load(
        at=max(span[-1].at for span in spans),
        seconds=statistics.fmean(_seconds(span) for span in spans),
        pods=len(spans),
        silent=len(silent),
        arrivals=max(came, arrivals or 0.0),
        completions=executed * scale,
        executions=rates.executions * scale,
        inferences=rates.inferences * scale,
        batch_seconds=rates.compute_seconds / executed if executed > 0 else None,
        latency_seconds=max(0.0, rates.request_seconds - rates.cached_seconds) / executed if executed > 0 else None,
        queue_seconds=rates.queue_seconds / executed if executed > 0 else None,
        pending=sum(_pending(span, of) for span, of in zip(spans, each, strict=True)) * scale,
        tail_seconds=tail,
        tail_source=source if tail is not None else "",
        gpu_utilization=_utilization(spans),
    )
    if not silent:
        return load, ""
    told = f"{len(silent)} of {len(pods)} ready pods do not report{_since(silent)}: they are taken to do as the others"
    return load, told


def rate_of(sources: Collection[tuple[Sent, ...]], *, now: float) -> float | None:
    """Tell how many requests per second a proxy sends to a backend.

    Args:
        sources: the histories that there are of it.
        now: seconds since the epoch.

    Returns:
        The rate; None where there is too little, or nothing new.
    """
    span = _newest(sources, now, WINDOW_SECONDS)
    if span is None:
        return None
    sent = 0.0
    for before, after in pairwise(span):
        sent += after.requests if after.requests < before.requests / 2 else max(0.0, after.requests - before.requests)
    return sent / _seconds(span)


def quantile(buckets: Mapping[float, float], share: float) -> float | None:
    """Tell within which time a share of the requests was done, linear between the edges, as Prometheus does.

    Args:
        buckets: requests that took at most so long, for each edge up to infinity.
        share: the share, above 0 and below 1.

    Returns:
        The time, in the unit of the edges: the last finite edge where more is not known; None where there are too few
        requests for any of them to be beyond it.
    """
    edges = sorted(edge for edge, count in buckets.items() if math.isfinite(count) and edge > 0)
    if not edges or edges[-1] != math.inf:
        return None
    total = max(buckets[edge] for edge in edges)
    if total * (1 - share) < 1 - 1e-9:
        return None
    lower = below = 0.0
    for edge in edges:
        count = max(below, buckets[edge])
        if count >= share * total and edge != math.inf:
            return lower + (edge - lower) * (share * total - below) / (count - below)
        if edge != math.inf:
            lower, below = edge, count
    return lower or None


def _newest(sources: Iterable[tuple[T, ...]], now: float, window: float) -> tuple[T, ...] | None:
    """Pick, of the sources that can be relied on, the one that tells most of now, and what it tells of the window."""
    spans = [span for history in sources if (span := _span(history, now, window))]
    return max(spans, key=lambda span: span[0].at + span[-1].at, default=None)


def _span(history: tuple[T, ...], now: float, window: float) -> tuple[T, ...] | None:
    if len(history) < 2:
        return None
    last, slack = history[-1].at, _FRESH_INTERVALS * interval_of(history)
    if now - last > slack:
        return None
    # What lies before a gap would tell of the time in it as much as of now.
    recent = [sample for sample in history if sample.at >= last - window - slack]
    earlier = [place for place, sample in enumerate(recent[:-1]) if sample.at <= last - 0.9 * window]
    return tuple(recent[max(earlier, default=0) :]) if len(recent) > 1 else None


def _seconds(span: Sequence[_Timed]) -> float:
    return span[-1].at - span[0].at


def _increase(span: History) -> Counts:
    total = Counts()
    for before, after in pairwise(span):
        total = total.plus(after.counts.since(before.counts))
    return total


def _arrivals(span: History, rates: Counts) -> float:
    """Requests that arrived at a pod per second: those that ended, and those by which the queue has grown."""
    first, last = span[0].pending, span[-1].pending
    grown = (last - first) / _seconds(span) if first is not None and last is not None else 0.0
    return max(0.0, rates.succeeded + rates.failed + grown)


def _pending(span: History, rates: Counts) -> float:
    """Requests that wait at a pod; where Triton does not tell, on average over the window, by Little's law."""
    last = span[-1].pending
    return last if last is not None else rates.queue_seconds


def _tail(pods: Iterable[Pod], now: float, percentile: int) -> float | None:
    total = Counts()
    for pod in pods:
        if span := _newest(pod.sources, now, TAIL_SECONDS):
            total = total.plus(_increase(span))
    return quantile(total.buckets, percentile / 100)


def _utilization(spans: Iterable[History]) -> float | None:
    told = [[s.gpu_utilization for s in span[1:] if s.gpu_utilization is not None] for span in spans]
    means = [statistics.fmean(some) for some in told if some]
    return statistics.fmean(means) if means else None


def _few(reporting: int, pods: Collection[Pod], missing: Collection[Pod]) -> str:
    if not pods:
        return "there is no ready pod"
    return f"{reporting} of {len(pods)} ready pods report{_since(missing)}"


def _since(missing: Iterable[Pod]) -> str:
    """Tell since when pods do not report; a time stays the same from look to look."""
    last = max((history[-1].at for pod in missing for history in pod.sources if history), default=None)
    return "; the others have told nothing yet" if last is None else f"; the others last did at {timestamp(last)}"
