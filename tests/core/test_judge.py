"""The judge: exact bounds on small counts, the written formula on large ones, and evidence that adds up."""

import math
from itertools import product
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from triton_operator.core.judge import Counts, Evidence, Limits, Verdict, heard, is_misled, overall, read

LIMITS = Limits()


@st.composite
def intervals(draw: st.DrawFn) -> Counts:
    canary, stable = draw(st.integers(0, 2000)), draw(st.integers(0, 20000))
    return Counts(canary, stable, draw(st.integers(0, canary)), draw(st.integers(0, stable)))


def evidence_of(*counts: Counts, limits: Limits = LIMITS) -> Evidence:
    found = Evidence()
    for each in counts:
        found = heard(found, each, limits)
    return found


def written(rows: list[Counts], null: float, sign: int) -> float:
    """Evaluate the mixture as its source writes it, with products of chances instead of sums of logarithms."""
    total = 0.0
    for g in range(24):
        ratio = null * math.exp(sign * (0.1 + 2.9 * g / 23))
        value = 1.0
        for row in rows:
            offered = row.canary / row.stable
            before, after = (r * offered / (1 + r * offered) for r in (null, ratio))
            value *= (after / before) ** row.canary_bad * ((1 - after) / (1 - before)) ** row.stable_bad
        total += value
    return total / 24


def chance(n: int, k: int, p: float) -> float:
    return math.comb(n, k) * p**k * (1 - p) ** (n - k)


@pytest.mark.parametrize(("canary", "stable"), [(5, 5), (3, 12), (12, 3), (1, 8), (8, 1)])
@pytest.mark.parametrize("rate", [0.01, 0.1, 0.4])
def test_evidence_against_what_is_true_grows_by_no_more_than_one_on_the_mean(
    canary: int, stable: int, rate: float
) -> None:
    """The promise of all error rates, over every outcome of an interval and with no approximation."""
    means = {"harm": 0.0, "harmless": 0.0}
    for name, ratio in (("harm", LIMITS.fail_ratio), ("harmless", LIMITS.pass_ratio)):
        for bad, other in product(range(canary + 1), range(stable + 1)):
            evidence = evidence_of(Counts(canary, stable, bad, other))
            mean = sum(math.exp(value) for value in getattr(evidence, name)) / 24
            means[name] += chance(canary, bad, rate * ratio) * chance(stable, other, rate) * mean
    assert max(means.values()) <= 1 + 1e-9
    assert min(means.values()) > 0.3  # it is no idle bound


def test_the_evidence_is_what_the_formula_says() -> None:
    rows = [Counts(50, 950, 2, 5), Counts(200, 800, 3, 4), Counts(500, 500, 9, 1)]
    evidence = evidence_of(*rows)
    harm = sum(math.exp(value) for value in evidence.harm) / 24
    harmless = sum(math.exp(value) for value in evidence.harmless) / 24
    assert harm == pytest.approx(written(rows, 1.25, 1))
    assert harmless == pytest.approx(written(rows, 2.0, -1))


def test_a_canary_without_errors_passes_by_its_own_rate_alone() -> None:
    """Without one error on either side the ratio says nothing; the source gives 4,400 to 4,750 requests for 0.1 %."""

    def passes(requests: int) -> bool:
        return read(evidence_of(Counts(requests, requests)), LIMITS).verdict == Verdict.PASS

    assert not passes(4000)
    assert passes(4750)


def test_errors_that_stable_has_too_fail_nobody() -> None:
    outage = evidence_of(*[Counts(100, 900, 50, 450)] * 50)
    assert read(outage, LIMITS).verdict != Verdict.FAIL


def test_a_difference_too_small_to_matter_fails_nobody() -> None:
    rare = evidence_of(*[Counts(10_000, 10_000, 5, 0)] * 30)  # 0.05 %, infinitely more than none
    assert read(rare, LIMITS).verdict == Verdict.PASS


def test_failures_that_come_in_batches_weigh_as_much_as_batches() -> None:
    batch = evidence_of(Counts(200, 1800, 8, 0))
    assert read(batch, LIMITS).harm > math.log(20)
    assert read(batch, Limits(cluster=8)).verdict == Verdict.CONTINUE


def test_more_metrics_need_more_evidence_to_fail_and_no_more_to_pass() -> None:
    one, four = (read(Evidence(), LIMITS, metrics=count) for count in (1, 4))
    assert four.fails_at - one.fails_at == pytest.approx(math.log(4))
    assert four.passes_at == one.passes_at


@given(rows=st.lists(intervals(), max_size=12))
def test_evidence_is_finite_and_no_verdict_comes_from_nothing(rows: list[Counts]) -> None:
    evidence = evidence_of(*rows)
    reading = read(evidence, LIMITS)
    assert all(map(math.isfinite, (*evidence.harm, *evidence.harmless, reading.harm, reading.harmless)))
    if not evidence.counts.canary:
        assert reading.verdict == Verdict.CONTINUE
    if not evidence.counts.canary_bad:
        assert reading.verdict != Verdict.FAIL
    if evidence.counts.canary and evidence.counts.canary_bad == evidence.counts.canary:
        assert reading.verdict != Verdict.PASS or evidence.counts.stable_bad


@given(rows=st.lists(intervals(), min_size=1, max_size=6), one=intervals())
def test_the_order_of_intervals_is_of_no_account(rows: list[Counts], one: Counts) -> None:
    first, last = evidence_of(one, *rows), evidence_of(*rows, one)
    assert first.counts == last.counts
    assert first.harm == pytest.approx(last.harm, rel=1e-9, abs=1e-6)
    assert first.harmless == pytest.approx(last.harmless, rel=1e-9, abs=1e-6)


@pytest.mark.parametrize(
    ("critical", "other", "over", "verdict"),
    [
        ("PASS PASS", "", False, "PASS"),
        ("PASS PASS", "CONTINUE", False, "PASS"),
        ("PASS CONTINUE", "PASS", False, "CONTINUE"),
        ("PASS CONTINUE", "", True, "INCONCLUSIVE"),
        ("PASS PASS", "", True, "PASS"),
        ("PASS", "FAIL", False, "FAIL"),
        ("FAIL PASS", "", True, "FAIL"),
        ("", "", False, "CONTINUE"),
        ("", "PASS", True, "INCONCLUSIVE"),
    ],
)
def test_one_metric_is_enough_to_fail_and_all_are_needed_to_pass(
    critical: str, other: str, over: bool, verdict: str
) -> None:
    assert overall(map(Verdict, critical.split()), map(Verdict, other.split()), over=over) == Verdict(verdict)


@pytest.mark.parametrize("counts", [(1, 1, 2, 0), (1, 1, 0, 2), (1, 1, -1, 0), (-1, 0, 0, 0)])
def test_what_cannot_have_been_counted_is_refused(counts: tuple[int, int, int, int]) -> None:
    with pytest.raises(ValueError, match="bad requests"):
        Counts(*counts)


@pytest.mark.parametrize(
    ("to_canary", "requests", "weight", "misled"),
    [
        pytest.param(0, 300, 0.1, False, id="too few to tell"),
        pytest.param(0, 600, 0.1, True, id="none of them"),
        pytest.param(1000, 1000, 0.5, True, id="all of them"),
        pytest.param(11_500, 100_000, 0.1, False, id="a little more, of many"),
        pytest.param(14_000, 100_000, 0.1, True, id="half as many again"),
        pytest.param(6_500, 100_000, 0.1, True, id="a third less"),
        pytest.param(990, 1000, 0.99, False, id="nearly all, as it should be"),
        pytest.param(500, 1000, 0.99, True, id="half, where it should be nearly all"),
    ],
)
def test_a_share_that_is_not_the_weight_is_told(to_canary: int, requests: int, weight: float, misled: bool) -> None:
    assert is_misled(to_canary, requests, weight=weight) is misled


@pytest.mark.parametrize("weight", [0.01, 0.1, 0.5, 0.9])
def test_a_gateway_that_keeps_to_the_weight_is_not_told_of_however_often_one_looks(weight: float) -> None:
    rng = Random(7)
    for _ in range(100):
        to_canary = 0
        for look in range(1, 101):  # four requests at a time stay together
            to_canary += 4 * sum(rng.random() < weight for _ in range(10))
            assert not is_misled(to_canary, 40 * look, weight=weight)
