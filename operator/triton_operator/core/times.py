"""Times as Kubernetes writes them.

Not for: what time it is; nothing in `core` reads a clock.
"""

from datetime import UTC, datetime


def timestamp(time: float) -> str:
    """Write a time as Kubernetes does.

    Args:
        time: in seconds since the epoch.

    Returns:
        RFC 3339 in UTC, to the second.
    """
    return datetime.fromtimestamp(int(time), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def seconds(text: str | None) -> float:
    """Read a time of Kubernetes.

    Args:
        text: RFC 3339; anything else is none.

    Returns:
        Seconds since the epoch; 0 if there is none.
    """
    try:
        return datetime.fromisoformat(text or "").timestamp()
    except ValueError:
        return 0.0
