"""How many requests per second to plan for: their level, where it is going, and how far it strays.

Holt's method with a damped trend (Gardner and McKenzie 1985), in steps of varying length.
Not for: how many replicas that takes; see `core.autoscaler`.
"""

import math
from dataclasses import dataclass, replace

STEP_SECONDS = 5.0
LEVEL_GAIN = 0.4
TREND_GAIN = 0.1
SCATTER_GAIN = 0.1
DAMPING = 0.98
MOST_GROWTH = 2.0
"""The trend never plans for more than this multiple of the level."""


@dataclass(frozen=True, slots=True)
class Forecast:
    """What was seen of a rate.

    Attributes:
        level: where it is, per second.
        trend: by how much that grows per second.
        variance: mean square of how far it was from what was expected, a step ahead.
        at: when it was seen last, in seconds since the epoch; 0 before.
    """

    level: float = 0.0
    trend: float = 0.0
    variance: float = 0.0
    at: float = 0.0

    def add(self, rate: float, now: float) -> "Forecast":
        """Add what was seen now; what is no later than the last one changes nothing."""
        if not self.at:
            return Forecast(level=rate, at=now)
        gap = now - self.at
        if gap <= 0:
            return self
        steps = min(gap / STEP_SECONDS, 24.0)
        expected = max(0.0, self.level + self.trend * min(gap, 60.0))
        missed = rate - expected
        level = expected + (1 - (1 - LEVEL_GAIN) ** steps) * missed
        grown = (level - self.level) / gap
        trend = self.trend + (1 - (1 - TREND_GAIN) ** steps) * (grown - self.trend)
        variance = self.variance + (1 - (1 - SCATTER_GAIN) ** steps) * (missed * missed - self.variance)
        return replace(self, level=max(0.0, level), trend=trend, variance=variance, at=now)

    def ahead(self, seconds: float) -> float:
        """Say where the level will be, at least where it is: a trend downwards is not relied on.

        Args:
            seconds: how far ahead.
        """
        steps = seconds / STEP_SECONDS
        damped = STEP_SECONDS * DAMPING * (1 - DAMPING**steps) / (1 - DAMPING)
        return min(self.level + max(0.0, self.trend) * damped, MOST_GROWTH * self.level)

    @property
    def scatter(self) -> float:
        """How far the rate strays from what is expected of it, per second."""
        return math.sqrt(self.variance)
