"""Who knows all that will come: the fewest replicas at each time, asked for early enough.

Not for: a policy that could be used; it is the bound for those that can.
"""

import math
from collections.abc import Callable, Sequence

import numpy as np

SLOTS = (5, 30)
"""Seconds over which the rate is taken: bursts that are shorter are left to the queue."""
STEPS = 5
LOW, HIGH = 0.2, 1.3
"""What a replica is taken to carry, as a share of its peak: the bounds of the search."""


def plan(
    arrivals: Sequence[float], *, capacity: float, slot_seconds: int, lead_seconds: float, end: float, most: int
) -> list[int]:
    """How many replicas to ask for in each slot.

    A replica is asked for its lead time before it is needed, and is kept through a gap that is no longer than that:
    what it does not cost meanwhile, the next one costs while it starts.

    Args:
        arrivals: when requests come.
        capacity: requests per second that a replica is taken to carry.
        slot_seconds: how long a slot is.
        lead_seconds: how long the slowest replica takes to get ready.
        end: of the time that is planned, in seconds.
        most: replicas.
    """
    counts, _ = np.histogram(np.asarray(arrivals), bins=np.arange(0, end + 2 * slot_seconds, slot_seconds))
    needed = np.clip(np.ceil(counts / slot_seconds / capacity), 1, most).astype(int)
    ahead = math.ceil(lead_seconds / slot_seconds) + 1
    return [int(needed[slot : slot + ahead + 1].max()) for slot in range(len(needed))]


def largest(over: Callable[[float], float], *, allowed: float, low: float, high: float) -> float:
    """The largest capacity with which the objective is kept, by halving the interval; `low` where none is.

    Args:
        over: the share of requests over the objective by the plan for a capacity.
        allowed: how large it may be.
        low: the smallest capacity.
        high: the largest.
    """
    for _ in range(STEPS):
        middle = math.sqrt(low * high)
        if over(middle) <= allowed:
            low = middle
        else:
            high = middle
    return low
