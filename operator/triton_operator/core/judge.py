"""The judge: is the canary worse than the stable revision beside it, by counts of requests that went badly.

Sequential tests whose evidence may be looked at after every interval: however often that is done, a canary within the
bounds is failed with a probability of at most alpha, and one beyond them passes with at most alpha. Both revisions are
counted over the same intervals, and only the share of the bad requests that is the canary's is judged, so that weights,
load and faults common to both cancel out.

The evidence against a ratio rho_0 of the two rates of bad requests is a likelihood ratio, mixed over 24 alternatives
rho_g. With n_c, n_s requests and k_c, k_s bad ones in an interval, each adds

    k_c ln(rho_g / rho_0 x (n_s + rho_0 n_c) / (n_s + rho_g n_c)) + k_s ln((n_s + rho_0 n_c) / (n_s + rho_g n_c))

to its logarithm. By 1 + x <= exp(x) its expectation is at most 1 for independent requests and every rate, so that
Ville's inequality bounds the probability that it ever exceeds 1/alpha (Ville 1939; Turner and Gruenwald, arXiv
2302.11401, treat stratified counts alike). A ratio of rare events misleads where stable has none: absolute rates guard
both verdicts.

Not for: where counts come from, or what follows from a verdict.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

ALTERNATIVES = 24
_NEAREST, _RATIOS, _RATES = 0.1, 3.0, 4.0  # logarithms: of the nearest alternative, the farthest ratio and rate
_MOST = 0.95
_NEAR, _TOGETHER, _MISLED = 1.25, 4.0, 0.001


class Verdict(StrEnum):
    """What the evidence says so far."""

    PASS = "PASS"
    FAIL = "FAIL"
    CONTINUE = "CONTINUE"
    INCONCLUSIVE = "INCONCLUSIVE"


@dataclass(frozen=True, slots=True)
class Limits:
    """How much worse a canary may be, by one metric.

    Attributes:
        fail_ratio: a canary whose rate of bad requests is at most this many times that of stable is failed with a
            probability of at most alpha; above 0.
        pass_ratio: one whose rate is at least this many times that of stable passes with at most alpha; above 0.
        material: nor is one failed whose rate is at most this; between 0 and 1, both excluded.
        floor: a rate below this passes, whatever that of stable; between 0 and 1, both excluded.
        alpha: the probability of an error, between 0 and 1.
        cluster: how many requests go badly together, 1 or more: E[B^2] / E[B] for batches of B requests.
    """

    fail_ratio: float = 1.25
    pass_ratio: float = 2.0
    material: float = 0.002
    floor: float = 0.001
    alpha: float = 0.05
    cluster: float = 1.0


@dataclass(frozen=True, slots=True)
class Counts:
    """Requests of one interval, or of all so far.

    Attributes:
        canary: answered by the canary, 0 or more.
        stable: by the stable revision.
        canary_bad: of the canary's, those that went badly; at most `canary`.
        stable_bad: of the stable revision's.
    """

    canary: int = 0
    stable: int = 0
    canary_bad: int = 0
    stable_bad: int = 0

    def __post_init__(self) -> None:
        """Refuse what cannot have been counted."""
        if not (0 <= self.canary_bad <= self.canary and 0 <= self.stable_bad <= self.stable):
            raise ValueError(f"more bad requests than requests, or less than none: {self}")

    def __add__(self, other: "Counts") -> "Counts":
        """Add an interval."""
        return Counts(
            self.canary + other.canary,
            self.stable + other.stable,
            self.canary_bad + other.canary_bad,
            self.stable_bad + other.stable_bad,
        )


_NONE = (0.0,) * ALTERNATIVES


@dataclass(frozen=True, slots=True)
class Evidence:
    """All that one metric has shown so far; it adds up, so that it may be kept and gone on with.

    Attributes:
        counts: the sums.
        harm: for each alternative, ascending from fail_ratio, its log likelihood ratio; shape (24,).
        harmless: likewise, descending from pass_ratio; shape (24,).
    """

    counts: Counts = Counts()
    harm: tuple[float, ...] = _NONE
    harmless: tuple[float, ...] = _NONE


@dataclass(frozen=True, slots=True)
class Reading:
    """What stands against which bound, as logarithms.

    Attributes:
        verdict: PASS, FAIL or CONTINUE.
        harm: evidence that the canary is worse than it may be.
        fails_at: from here on it is failed.
        harmless: evidence that it is not.
        passes_at: from here on it passes.
    """

    verdict: Verdict
    harm: float
    fails_at: float
    harmless: float
    passes_at: float


def heard(before: Evidence, counts: Counts, limits: Limits) -> Evidence:
    """Add an interval to the evidence.

    Args:
        before: the evidence so far, under the same ratios.
        counts: requests of the interval, of both revisions over the same time.
        limits: the ratios.
    """
    return replace(
        before,
        counts=before.counts + counts,
        harm=_grown(before.harm, counts, limits.fail_ratio, _away(limits.fail_ratio, _RATIOS)),
        harmless=_grown(before.harmless, counts, limits.pass_ratio, _away(limits.pass_ratio, -_RATIOS)),
    )


def read(evidence: Evidence, limits: Limits, *, metrics: int = 1) -> Reading:
    """Say what the evidence of one metric amounts to.

    Args:
        evidence: the evidence so far.
        limits: the bounds.
        metrics: how many metrics can fail the canary and share alpha, 1 or more (Bonferroni).
    """
    counts, spread = evidence.counts, limits.cluster
    harm = min(_mixed(evidence.harm, spread), _against(counts, limits.material, _RATES, spread))
    ratio, rate = _mixed(evidence.harmless, spread), _against(counts, limits.floor, -_RATES, spread)
    harmless = _log_sum((ratio, rate)) - math.log(2)
    fails_at, passes_at = math.log(metrics / limits.alpha), -math.log(limits.alpha)
    verdict = Verdict.CONTINUE
    if harm >= fails_at:
        verdict = Verdict.FAIL
    elif harmless >= passes_at:
        verdict = Verdict.PASS
    return Reading(verdict, harm, fails_at, harmless, passes_at)


def is_misled(to_canary: int, requests: int, *, weight: float) -> bool:
    """Say whether the canary certainly gets another share of the requests than it should.

    A sequential test like the others, on the share itself: at most 1 in 1,000 is called so while its share is between
    4/5 and 5/4 of the weight, however often one looks. Requests may stay together, four of them on average.

    Args:
        to_canary: requests that went to the canary, 0 or more.
        requests: all of them.
        weight: the share that it should get, between 0 and 1, both excluded.
    """
    if not requests:
        return False
    counts = Counts(canary=requests, canary_bad=to_canary)
    above = _against(counts, weight * _NEAR, _RATES, _TOGETHER) if weight * _NEAR < _MOST else -math.inf
    below = _against(counts, weight / _NEAR, -_RATES, _TOGETHER)
    return max(above, below) >= math.log(2 / _MISLED)


def overall(critical: Iterable[Verdict], other: Iterable[Verdict] = (), *, over: bool = False) -> Verdict:
    """Put the verdicts of several metrics together: one FAIL is enough, PASS takes all that are critical.

    Args:
        critical: of the metrics that must pass; without any nothing passes.
        other: of those that can only fail.
        over: whether the time for the judgement is out.
    """
    needed = tuple(critical)
    if Verdict.FAIL in (*needed, *other):
        return Verdict.FAIL
    if needed and all(verdict == Verdict.PASS for verdict in needed):
        return Verdict.PASS
    return Verdict.INCONCLUSIVE if over else Verdict.CONTINUE


def _away(start: float, reach: float) -> tuple[float, ...]:
    """Values from near `start` to exp(reach) times it, evenly spaced in the logarithm; shape (24,)."""
    sign = math.copysign(1.0, reach)
    step = (abs(reach) - _NEAREST) / (ALTERNATIVES - 1)
    return tuple(start * math.exp(sign * (_NEAREST + step * i)) for i in range(ALTERNATIVES))


def _grown(before: Sequence[float], counts: Counts, null: float, ratios: Sequence[float]) -> tuple[float, ...]:
    if not counts.canary + counts.stable:
        return tuple(before)
    expected = counts.stable + null * counts.canary
    bad = counts.canary_bad + counts.stable_bad
    return tuple(
        value
        + counts.canary_bad * math.log(ratio / null)
        + bad * math.log(expected / (counts.stable + ratio * counts.canary))
        for value, ratio in zip(before, ratios, strict=True)
    )


def _against(counts: Counts, null: float, reach: float, spread: float) -> float:
    """Evidence that the canary's own rate is above `null` (reach > 0), or below it, as a logarithm."""
    good = counts.canary - counts.canary_bad
    rates = (min(_MOST, rate) for rate in _away(null, reach))
    return _mixed(
        [counts.canary_bad * math.log(rate / null) + good * (math.log1p(-rate) - math.log1p(-null)) for rate in rates],
        spread,
    )


def _mixed(logarithms: Sequence[float], spread: float) -> float:
    """The mean of tempered likelihood ratios, as a logarithm."""
    return _log_sum([value / spread for value in logarithms]) - math.log(len(logarithms))


def _log_sum(logarithms: Sequence[float]) -> float:
    most = max(logarithms)
    return most + math.log(sum(math.exp(value - most) for value in logarithms))
