"""What one replica carries within an objective, learned from what its batches take.

A batch of b requests takes S(b) = α + β·b. A request waits for the batch that runs and is then part of one, so that at
the percentile of the objective it takes about k times as long as a batch; k is measured where somebody measures that.
Without batches requests queue for single executions (Allen and Cunneen's approximation of G/G/c).
Not for: how many requests are to be planned for; see `core.forecast`.
"""

import math
from dataclasses import dataclass, replace

MEMORY_SECONDS = 3600.0
"""After this time a measurement has lost two thirds of its weight."""
TYPICAL_RATIO = 0.25
"""β / α where batches have hardly varied: a further request makes a batch of one longer by a fifth."""
PRIOR_EXECUTIONS = 20.0
FEWEST_EXECUTIONS = 3.0
MOST_MISFIT = 0.2
BUSIEST = 0.9
"""Share of what batches of full size would carry, above which waiting grows without bound."""
LEAST_BUSY = 0.35
"""No replica is bought for less: twice the replicas that a load of 0.7 needs."""
CALM = 0.7
TAILS = {50: 1.5, 90: 2.0, 95: 2.3, 99: 2.7}
"""Multiples k of a batch's time, by percentile, of batch servers with noise of 10 % and two choices per request."""
LEAST_TAIL, MOST_TAIL = 0.7, 1.3
"""Bounds of k, as shares of the typical one: a histogram's buckets are often wider than what is to be measured."""
TAIL_GAIN = 0.1
UNSEEN_TAIL = 1.2
"""By how much k is raised for a revision that was never measured."""


@dataclass(frozen=True, slots=True)
class Curve:
    """Sums over what was measured, each weighted by its executions, older ones less.

    Attributes:
        weight: the weights themselves.
        b: weighted sum of batch sizes.
        s: of batch times, in seconds.
        bb: of squares of batch sizes.
        bs: of products of both.
        ss: of squares of batch times.
        at: when the last one was added, in seconds since the epoch.
        tail: the multiple k that was measured; 0 before.
    """

    weight: float = 0.0
    b: float = 0.0
    s: float = 0.0
    bb: float = 0.0
    bs: float = 0.0
    ss: float = 0.0
    at: float = 0.0
    tail: float = 0.0

    def add(self, batch: float, seconds: float, executions: float, now: float) -> "Curve":
        """Add what a window has shown.

        Args:
            batch: requests in a batch, as its requests see it, on average, at least 1.
            seconds: what a batch took.
            executions: batches in the window.
            now: seconds since the epoch.
        """
        if executions < FEWEST_EXECUTIONS or not (batch > 0 and seconds > 0):
            return self
        kept = math.exp(-max(0.0, now - self.at) / MEMORY_SECONDS) if self.at else 0.0
        w = min(executions, 1000.0)
        return replace(
            self,
            weight=self.weight * kept + w,
            b=self.b * kept + w * batch,
            s=self.s * kept + w * seconds,
            bb=self.bb * kept + w * batch * batch,
            bs=self.bs * kept + w * batch * seconds,
            ss=self.ss * kept + w * seconds * seconds,
            at=now,
        )

    def heard(self, tail_seconds: float, batch_seconds: float, percentile: int) -> "Curve":
        """Measure k: what requests took at the percentile of the objective, as a multiple of a batch's time."""
        typical = TAILS[percentile]
        found = min(MOST_TAIL * typical, max(LEAST_TAIL * typical, tail_seconds / batch_seconds))
        return replace(self, tail=found if not self.tail else self.tail + TAIL_GAIN * (found - self.tail))

    def seed(self) -> "Curve":
        """Give what a new revision begins with: the same curve, of which little is certain, and longer tails."""
        share = min(1.0, PRIOR_EXECUTIONS / self.weight) if self.weight else 0.0
        sums = {name: getattr(self, name) * share for name in ("weight", "b", "s", "bb", "bs", "ss")}
        return replace(self, **sums, tail=self.tail * UNSEEN_TAIL)

    def line(self) -> tuple[float, float] | None:
        """Fit α and β, in seconds, neither of them negative; None before anything was measured."""
        if not self.weight:
            return None
        b, s = self.b / self.weight, self.s / self.weight
        spread = max(0.0, self.bb / self.weight - b * b)
        along = self.bs / self.weight - b * s
        # A few executions' worth of the typical ratio: it decides where batches have hardly varied.
        typical = TYPICAL_RATIO * s / (1 + TYPICAL_RATIO * b)
        prior = PRIOR_EXECUTIONS / (PRIOR_EXECUTIONS + self.weight) * 0.25 + 0.02
        beta = (along + prior * typical) / (spread + prior)
        beta = min(max(beta, 0.0), s / b)
        return s - beta * b, beta

    def misfit(self) -> float:
        """Say how far batch times lie from the line, as a share of their mean."""
        line = self.line()
        if line is None:
            return 0.0
        alpha, beta = line
        n = self.weight
        mean = self.s / n
        rest = (
            self.ss - 2 * alpha * self.s - 2 * beta * self.bs + alpha * alpha * n + 2 * alpha * beta * self.b
            + beta * beta * self.bb
        ) / n  # fmt: skip
        return math.sqrt(max(0.0, rest)) / mean if mean else 0.0


@dataclass(frozen=True, slots=True)
class Capacity:
    """What one replica carries.

    Attributes:
        rate: requests per second within the objective.
        most: requests per second at all.
        infeasible: whether the objective cannot be met by however many replicas.
        fastest_seconds: what a request takes at the percentile where hardly any other is there.
    """

    rate: float
    most: float
    infeasible: bool
    fastest_seconds: float


def tail_of(curve: Curve, percentile: int) -> float:
    """Give the multiple k: as measured, or typical."""
    return curve.tail or TAILS[percentile]


def capacity(
    curve: Curve, *, percentile: int, objective_seconds: float, most_batch: int, instances: int
) -> Capacity | None:
    """Work out what one replica carries that batches requests.

    Args:
        curve: what its batches take.
        percentile: of the objective: 50, 90, 95 or 99.
        objective_seconds: how long a request may take.
        most_batch: the largest batch, at least 2.
        instances: executions at a time.

    Returns:
        What it carries; None before anything was measured, or where no line fits.
    """
    line = curve.line()
    if line is None or curve.misfit() > MOST_MISFIT:
        return None
    alpha, beta = line
    full = alpha + beta * most_batch
    most = most_batch / full * instances
    k = tail_of(curve, percentile)
    fastest = k * (alpha + beta)
    infeasible = k * alpha >= objective_seconds or alpha + beta >= objective_seconds
    if infeasible:
        return Capacity(CALM * most, most, True, fastest)
    rate = (1 - k * alpha / objective_seconds) / beta * instances if beta > 0 else math.inf
    return Capacity(min(max(rate, LEAST_BUSY * most), BUSIEST * most), most, False, fastest)


SCATTER = 0.25
"""Squared coefficient of variation of single executions, where only their mean is measured."""


def single_capacity(
    seconds: float, *, percentile: int, objective_seconds: float, servers: int, arrival_scatter: float
) -> float:
    """Work out what so many single executions carry together within the objective, by bisection.

    Args:
        seconds: what one execution takes.
        percentile: of the objective.
        objective_seconds: how long a request may take.
        servers: executions at a time, of all replicas.
        arrival_scatter: index of dispersion of the arrivals; 1 for independent ones.

    Returns:
        Requests per second; 0 where the objective is below what an execution takes.
    """
    patience = objective_seconds - seconds
    if patience <= 0:
        return 0.0
    most = servers / seconds
    low, high = 0.0, 0.999
    for _ in range(20):
        middle = (low + high) / 2
        if _late(middle * most, seconds, servers, patience, arrival_scatter) <= 1 - percentile / 100:
            low = middle
        else:
            high = middle
    return min(low, BUSIEST) * most


def _late(rate: float, seconds: float, servers: int, patience: float, arrival_scatter: float) -> float:
    """Share of requests that wait longer than they may: Allen and Cunneen's tail with Erlang's C."""
    offered = rate * seconds
    if offered >= servers:
        return 1.0
    blocked = 1.0
    for place in range(1, servers + 1):
        blocked = offered * blocked / (place + offered * blocked)
    busy = offered / servers
    waits = blocked / (1 - busy * (1 - blocked))
    return waits * math.exp(-2 * (servers / seconds - rate) * patience / (arrival_scatter + SCATTER))
