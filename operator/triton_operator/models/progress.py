"""How far a fetch has come, for people who read the init container's log.

Not for: deciding anything.
"""

import asyncio
import time
from collections.abc import Callable

INTERVAL_SECONDS = 5.0


class Progress:
    """Counts bytes and says how far it is.

    Args:
        size: bytes in all.
        done: bytes that a former process has fetched.
        clock: tells seconds that never go back.
    """

    def __init__(self, size: int, *, done: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._size = size
        self._former = done
        self._done = done
        self._clock = clock
        self._begun = clock()

    def add(self, count: int) -> None:
        """Count bytes."""
        self._done += count

    def line(self, name: str) -> str:
        """One line: bytes, percent, rate and what remains."""
        seconds = max(self._clock() - self._begun, 1e-3)
        rate = (self._done - self._former) / seconds
        percent = 100 * self._done // self._size if self._size else 100
        line = f"{name}: {_size(self._done)} of {_size(self._size)} ({percent} %), {_size(rate)}/s"
        if self._former:
            line += f", {_size(self._former)} of it from a former try"
        if self._done < self._size:
            line += f", {_time((self._size - self._done) / rate)} left" if rate else ", nothing has come yet"
        return line

    def print(self, name: str) -> None:
        """Write the line to the log."""
        print(self.line(name), flush=True)

    async def report(self, name: str) -> None:
        """Write the line to the log every five seconds, until it is cancelled."""
        while True:
            await asyncio.sleep(INTERVAL_SECONDS)
            self.print(name)


def _size(count: float) -> str:
    for unit in ("bytes", "KiB", "MiB", "GiB"):
        if count < 1024 or unit == "GiB":
            return f"{count:.0f} {unit}" if unit == "bytes" else f"{count:.1f} {unit}"
        count /= 1024
    raise AssertionError("unreachable")


def _time(seconds: float) -> str:
    whole = round(seconds)
    return f"{whole} s" if whole < 120 else f"{whole // 60} min"
