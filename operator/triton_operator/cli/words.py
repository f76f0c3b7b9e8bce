"""Numbers, times and shares as people read them.

Not for: sentences about a service; those stand beside what they are about.
"""

from typing import Any

from triton_operator.core.times import seconds


def number(value: int) -> str:
    """Write a whole number with commas between thousands."""
    return f"{value:,}"


def share(part: int, whole: int) -> str:
    """Write a share in percent, to two digits."""
    if not whole:
        return "–"
    percent = 100 * part / whole
    return f"{percent:.2g} %" if 0 < percent < 10 else f"{percent:.0f} %"


def duration(time: float) -> str:
    """Write a time span as kubectl does: by its one or two largest units."""
    left = max(0, int(time))
    if left < 120:
        return f"{left}s"
    if left < 600:
        return f"{left // 60}m{left % 60}s" if left % 60 else f"{left // 60}m"
    if left < 3 * 3600:
        return f"{left // 60}m"
    if left < 8 * 3600:
        return f"{left // 3600}h{left // 60 % 60}m" if left // 60 % 60 else f"{left // 3600}h"
    return f"{left // 3600}h" if left < 48 * 3600 else f"{left // 86400}d"


def age(body: dict[str, Any], now: float) -> str:
    """Write how long ago an object was made; "" if it does not say."""
    made = seconds(body["metadata"].get("creationTimestamp"))
    return duration(now - made) if made else ""


def count(amount: int, noun: str) -> str:
    """Write so many of something, which has a plural with s."""
    return f"{number(amount)} {noun}" if amount == 1 else f"{number(amount)} {noun}s"
