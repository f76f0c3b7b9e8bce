"""Waiting for a condition that nobody announces.

Not for: what a watch tells; see `services.Arrivals`.
"""

import asyncio
from collections.abc import Awaitable, Callable


class TookTooLong(Exception):
    """A condition did not come about in time."""


async def until(
    condition: Callable[[], Awaitable[bool]], what: str, *, every_seconds: float, patience_seconds: float
) -> None:
    """Ask until a condition holds.

    Args:
        condition: asked again and again.
        what: the condition in words, for the message.
        every_seconds: pause between two times.
        patience_seconds: how long to ask.

    Raises:
        TookTooLong: it did not hold in time.
    """
    loop = asyncio.get_running_loop()
    deadline = loop.time() + patience_seconds
    while not await condition():
        if loop.time() > deadline:
            raise TookTooLong(f"not so after {patience_seconds:g} s: {what}")
        await asyncio.sleep(every_seconds)
