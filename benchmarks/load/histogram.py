"""Latencies counted in buckets that grow by 2 %: percentiles to within 1 %, in bounded memory, that can be added up.

The idea is that of HdrHistogram (Gil Tene); sparse and in few lines, as it runs where only the operator's packages are.
Not for: exact extremes; a bucket knows its middle.
"""

import math
from collections import Counter
from collections.abc import Mapping

GROWTH = 1.02


def bucket(milliseconds: float) -> int:
    """The bucket of a latency.

    Args:
        milliseconds: more than 0; less than a microsecond counts as one.
    """
    return math.floor(math.log(max(milliseconds, 0.001), GROWTH))


def middle(number: int) -> float:
    """The latency that a bucket stands for, in milliseconds."""
    return float(GROWTH ** (number + 0.5))


def percentile(buckets: Mapping[int, int], percent: float) -> float | None:
    """The latency that this share of all requests did not exceed.

    Args:
        buckets: how many requests each bucket has.
        percent: more than 0, at most 100.

    Returns:
        Milliseconds, or None without a request.
    """
    wanted = math.ceil(sum(buckets.values()) * percent / 100)
    seen = 0
    for number, count in sorted(Counter(buckets).items()):
        seen += count
        if seen >= wanted > 0:
            return middle(number)
    return None
