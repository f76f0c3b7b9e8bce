"""How many requests per second to plan for: their level, where it is going, and how far it strays.

The level is smoothed exponentially; the trend is the lower median of the slopes between a few of its values (after
Theil and Sen), so that a step is not taken for the beginning of a climb, and is damped (Gardner and McKenzie 1985).
Not for: how many replicas that takes; see `core.demand`.
"""

import math
from dataclasses import dataclass, replace
from itertools import pairwise
from statistics import median_low

STEP_SECONDS = 5.0
LEVEL_GAIN = 0.4
SCATTER_GAIN = 0.1
POST_SECONDS = 10.0
POSTS = 5
DAMPING = 0.98
MOST_GROWTH = 1.25
"""The trend never plans for more than this multiple of the level."""


@dataclass(frozen=True, slots=True)
class Forecast:
    """What was seen of a rate.

    Attributes:
        level: where it is, per second.
        posts: where it was, each at least 10 s after the last, with the times, in seconds since the epoch.
        variance: mean square of how far it was above its level, a step ahead.
        at: when it was seen last, in seconds since the epoch; 0 before.
    """

    level: float = 0.0
    posts: tuple[tuple[float, float], ...] = ()
    variance: float = 0.0
    at: float = 0.0

    def add(self, rate: float, now: float) -> "Forecast":
        """Add what was seen now; what is no later than the last one changes nothing."""
        if not self.at:
            return Forecast(level=rate, posts=((now, rate),), at=now)
        if now <= self.at:
            return self
        steps = min((now - self.at) / STEP_SECONDS, 24.0)
        missed = rate - self.level
        level = self.level + (1 - (1 - LEVEL_GAIN) ** steps) * missed
        above = max(0.0, missed)  # that fewer came than was expected asks for no headroom
        variance = self.variance + (1 - (1 - SCATTER_GAIN) ** steps) * (above * above - self.variance)
        posts = self.posts
        if now - posts[-1][0] >= POST_SECONDS:
            posts = (*posts, (now, level))[-POSTS:]
        return replace(self, level=level, posts=posts, variance=variance, at=now)

    @property
    def trend(self) -> float:
        """By how much the level grows per second; 0 before enough of it was seen."""
        if len(self.posts) < POSTS or self.posts[-1][1] <= self.posts[-2][1]:
            return 0.0
        slopes = [(other - one) / (then - at) for (at, one), (then, other) in pairwise(self.posts)]
        found: float = median_low(slopes)
        return found

    def ahead(self, seconds: float) -> float:
        """Say where the level will be, at least where it is: a trend downwards is not relied on.

        Args:
            seconds: how far ahead.
        """
        steps = seconds / STEP_SECONDS
        damped: float = STEP_SECONDS * DAMPING * (1 - DAMPING**steps) / (1 - DAMPING)
        return min(self.level + max(0.0, self.trend) * damped, MOST_GROWTH * self.level)

    @property
    def scatter(self) -> float:
        """How far the rate goes above its level, per second."""
        return math.sqrt(self.variance)
