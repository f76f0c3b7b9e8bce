"""Kubernetes' HorizontalPodAutoscaler, autoscaling/v2: from metrics to a number of replicas.

After `pkg/controller/podautoscaler/replica_calculator.go` and `horizontal.go` of Kubernetes 1.34. KEDA scales between
1 and N by just this, on an External metric.
Not for: Resource metrics (their readiness rules are others), nor scaling from or to zero.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

SYNC_SECONDS = 15.0
TOLERANCE = 0.1


@dataclass(frozen=True, slots=True)
class Limit:
    """One policy of a behaviour: so much in a period, in pods or in per cent of what was at its begin."""

    pods: int = 0
    percent: float = 0.0
    period_seconds: float = 15.0


@dataclass(frozen=True, slots=True)
class Behaviour:
    """How the number changes; the defaults are Kubernetes'. Of several limits the one that allows most counts."""

    up_window_seconds: float = 0.0
    down_window_seconds: float = 300.0
    up: tuple[Limit, ...] = (Limit(percent=100.0), Limit(pods=4))
    down: tuple[Limit, ...] = (Limit(percent=100.0),)


@dataclass(frozen=True, slots=True)
class Memory:
    """What is carried from sync to sync: recommendations, and changes (negative ones are downwards), each with time."""

    recommendations: tuple[tuple[float, int], ...] = ()
    changes: tuple[tuple[float, int], ...] = ()


def by_pods(values: Sequence[float], *, missing: int, ignored: int, target: float, current: int) -> int:
    """What a Pods metric with a target of type AverageValue recommends.

    Args:
        values: of the pods that have one.
        missing: pods that should have one.
        ignored: pods that are pending.
        target: what a pod is to have, more than 0.
        current: replicas that there are.
    """
    if not values:
        return current
    ratio = sum(values) / len(values) / target
    if not missing and not (ignored and ratio > 1):
        return current if abs(1 - ratio) <= TOLERANCE else math.ceil(ratio * len(values))
    if ratio < 1:
        total, count = sum(values) + missing * target, len(values) + missing
    else:
        total, count = sum(values), len(values) + missing + (ignored if ratio > 1 else 0)
    filled = total / count / target
    if abs(1 - filled) <= TOLERANCE or (ratio < 1 < filled) or (ratio > 1 > filled):
        return current
    wanted = math.ceil(filled * count)
    return current if (filled < 1 and wanted > current) or (filled > 1 and wanted < current) else wanted


def by_total(total: float, *, target: float, current: int) -> int:
    """What an External metric with a target of type AverageValue recommends.

    Args:
        total: of all replicas.
        target: what a replica is to have, more than 0.
        current: replicas that there are, ready or not.
    """
    ratio = total / (target * current)
    return current if abs(1 - ratio) <= TOLERANCE else math.ceil(total / target)


def settle(
    memory: Memory, wanted: int, *, current: int, now: float, least: int, most: int, behaviour: Behaviour
) -> tuple[Memory, int]:
    """Stabilise a recommendation, limit how fast it is followed, and keep it within bounds.

    Args:
        memory: what the last sync left.
        wanted: the recommendation.
        current: replicas that there are.
        now: in seconds.
        least: replicas.
        most: replicas.
        behaviour: windows and limits.
    """
    past = memory.recommendations
    up = min([wanted, *(n for at, n in past if at > now - behaviour.up_window_seconds)])
    down = max([wanted, *(n for at, n in past if at > now - behaviour.down_window_seconds)])
    replicas = min(max(current, up), down)
    if replicas > current:
        replicas = min(replicas, max(current, max(_most(each, memory, current, now) for each in behaviour.up)))
    elif replicas < current:
        replicas = max(replicas, min(current, min(_least(each, memory, current, now) for each in behaviour.down)))
    replicas = max(least, min(most, replicas))
    kept = now - max(behaviour.up_window_seconds, behaviour.down_window_seconds)
    recommendations = (*(each for each in past if each[0] > kept), (now, wanted))
    longest = max(each.period_seconds for each in (*behaviour.up, *behaviour.down))
    changes = tuple(each for each in memory.changes if each[0] > now - longest)
    if replicas != current:
        changes = (*changes, (now, replicas - current))
    return Memory(recommendations, changes), replicas


def _begun_with(limit: Limit, memory: Memory, current: int, now: float) -> int:
    return current - sum(change for at, change in memory.changes if at > now - limit.period_seconds)


def _most(limit: Limit, memory: Memory, current: int, now: float) -> int:
    begun = _begun_with(limit, memory, current, now)
    return begun + limit.pods if limit.pods else math.ceil(begun * (1 + limit.percent / 100))


def _least(limit: Limit, memory: Memory, current: int, now: float) -> int:
    begun = _begun_with(limit, memory, current, now)
    return begun - limit.pods if limit.pods else int(begun * (1 - limit.percent / 100))
