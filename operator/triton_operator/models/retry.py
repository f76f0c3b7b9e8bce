"""Trying again what failed for a moment: with growing pauses, until there has been no progress for too long.

Not for: what another try cannot mend; sources raise PrepareError for that.
"""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

from triton_operator.models.failure import PrepareError, Reason
from triton_operator.models.remote import TransientError

LISTING_SECONDS = 60.0  # a source that has not answered at all is more likely wrong than ill
FETCHING_SECONDS = 300.0

Answer = TypeVar("Answer")

_FIRST_SECONDS = 0.5
_LONGEST_SECONDS = 20.0


class Patience:
    """How long to go on without progress; one for all that is fetched at the same time.

    Args:
        seconds: how long to go on without progress.
        clock: tells seconds that never go back.
        sleep: waits for seconds.
        share: a random number from 0 to 1, so that not everybody tries again at the same moment.
    """

    def __init__(
        self,
        seconds: float,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        share: Callable[[], float] = random.random,
    ) -> None:
        self._seconds = seconds
        self._clock = clock
        self._sleep = sleep
        self._share = share
        self._since = clock()

    def progress(self) -> None:
        """Note that something went on."""
        self._since = self._clock()

    async def pause(self, attempt: int, error: TransientError) -> None:
        """Wait before the next try.

        Args:
            attempt: how many tries in a row have failed, from 1.
            error: how the last one failed.

        Raises:
            PrepareError: Unreachable: there was no progress for too long.
        """
        without = self._clock() - self._since
        if without >= self._seconds:
            raise PrepareError(
                Reason.UNREACHABLE,
                f"{error.message} This has gone on for {without:.0f} s; the pod tries again by itself.",
            ) from error
        longest = min(_LONGEST_SECONDS, _FIRST_SECONDS * 2 ** min(attempt - 1, 10))
        print(f"Trying again: {error.message}", flush=True)
        await self._sleep(longest * (0.5 + self._share() / 2))


async def persist(patience: Patience, attempt: Callable[[], Awaitable[Answer]]) -> Answer:
    """Try something until it succeeds.

    Args:
        patience: how long to go on.
        attempt: makes one try; TransientError leads to another one.

    Raises:
        PrepareError: Unreachable, or what the try raises.
    """
    failures = 0
    while True:
        try:
            return await attempt()
        except TransientError as error:
            failures += 1
            await patience.pause(failures, error)
