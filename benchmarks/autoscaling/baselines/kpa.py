"""Knative's pod autoscaler by concurrency: a stable window, and a short one for panic.

After `pkg/autoscaler/scaling/autoscaler.go` of Knative Serving 1.2x.
Not for: scaling from or to zero, nor the sampling of replicas: all are asked here.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

TICK_SECONDS = 2.0
STABLE_SECONDS = 60
PANIC_SECONDS = 6
PANIC_THRESHOLD = 2.0
UTILIZATION = 0.7
MOST_UP = 1000.0
MOST_DOWN = 2.0


@dataclass(frozen=True, slots=True)
class Memory:
    """What is carried from tick to tick.

    Attributes:
        panic_at: since when there is panic, or None.
        panic_replicas: the most that were asked for in it.
        wanted: what was asked for, with the time, as far back as the delay goes.
    """

    panic_at: float | None = None
    panic_replicas: int = 0
    wanted: tuple[tuple[float, int], ...] = ()


def begin(replicas: int, now: float) -> Memory:
    """Begin in panic where there is more than one replica, lest a restart takes replicas away."""
    return Memory(now, replicas) if replicas > 1 else Memory()


def average(buckets: Sequence[float], seconds: int) -> float:
    """The mean of the newest buckets of a second; of all of them where there are fewer."""
    newest = buckets[-seconds:]
    return sum(newest) / len(newest) if newest else 0.0


def advance(
    memory: Memory,
    *,
    stable: float,
    panic: float,
    target: float,
    ready: int,
    now: float,
    least: int,
    most: int,
    down_delay_seconds: float,
) -> tuple[Memory, int]:
    """Tick once.

    Args:
        memory: what the last tick left.
        stable: concurrency of all replicas and of what waits for them, on the mean of the stable window.
        panic: the same of the short one.
        target: concurrency that a replica is to have, utilization taken off already; more than 0.
        ready: replicas.
        now: in seconds.
        least: replicas.
        most: replicas.
        down_delay_seconds: fewer replicas are asked for only after this time; 0 by default.
    """
    ready = max(1, ready)
    highest, lowest = math.ceil(MOST_UP * ready), math.floor(ready / MOST_DOWN)
    in_panic = math.ceil(panic / target)
    in_calm = min(max(math.ceil(stable / target), lowest), highest)
    panic_at, most_in_panic = memory.panic_at, memory.panic_replicas
    if in_panic / ready >= PANIC_THRESHOLD:
        panic_at = now
    elif panic_at is not None and panic_at + STABLE_SECONDS < now:
        panic_at, most_in_panic = None, 0
    wanted = in_calm
    if panic_at is not None:
        wanted = most_in_panic = max(most_in_panic, in_calm, min(max(in_panic, lowest), highest))
    asked = (*(each for each in memory.wanted if each[0] > now - down_delay_seconds), (now, wanted))
    return Memory(panic_at, most_in_panic, asked), max(least, min(most, max(count for _, count in asked)))
