"""Times as Kubernetes writes them.

Not for: what time it is; nothing in `core` reads a clock.
"""

from datetime import UTC, datetime


def timestamp(seconds: float) -> str:
    """Write a time as Kubernetes does.

    Args:
        seconds: seconds since the epoch.

    Returns:
        RFC 3339 in UTC, to the second.
    """
    return datetime.fromtimestamp(int(seconds), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
