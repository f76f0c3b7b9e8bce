from dataclasses import replace

import numpy as np
import pytest

from benchmarks.autoscaling import report
from benchmarks.autoscaling.inputs import (
    MEASURED_SECONDS,
    WARM_SECONDS,
    arrivals,
    azure,
    flash,
    mooncake,
    ramp,
    sawtooth,
    steps,
)
from benchmarks.autoscaling.models import Model, linear
from benchmarks.autoscaling.play import Outcome, count_changes, foresee, load_of, play
from benchmarks.autoscaling.policies import OURS, POLICIES, Ours, Planned, Policy, View
from benchmarks.autoscaling.runs import ORACLE, Run
from benchmarks.autoscaling.scenarios import REPORTED, REPORTED_SEEDS, TUNED, TUNED_SEEDS, Scenario
from triton_operator.core.autoscaler import Decision, Memory, Sight

MODEL = Model("m", linear(0.3, 0.08), 8, 1.5)
STEP = Scenario("step", lambda: steps(4.0), 4.0, MODEL, 30)


def outcome(over: float, gpu_hours: float) -> Outcome:
    return Outcome(1000, over, 0.1, 0.2, 0.3, gpu_hours, 0, 0, 0, (), ())


@pytest.mark.parametrize("rates", [steps(3.0), ramp(3.0), sawtooth(3.0, 300), flash(3.0, 200.0)])
def test_shapes_begin_at_one_and_reach_their_height(rates: np.ndarray) -> None:
    assert len(rates) == WARM_SECONDS + MEASURED_SECONDS
    assert rates[:WARM_SECONDS].mean() == pytest.approx(1.0)
    assert rates.max() == pytest.approx(3.0, rel=0.02)
    assert rates.min() > 0


def test_the_traces_have_the_requests_of_their_origins() -> None:
    assert (azure("code").sum(), azure("conv").sum()) == (8819, 19366)
    assert mooncake().sum() == pytest.approx(12031)


def test_requests_are_drawn_from_the_rates() -> None:
    drawn = arrivals(steps(4.0), 5.0, np.random.default_rng(1))

    assert drawn == sorted(drawn)
    assert sum(at < WARM_SECONDS for at in drawn) == pytest.approx(5.0 * WARM_SECONDS, rel=0.05)


def test_inputs_for_tuning_and_for_the_report_are_apart() -> None:
    def parts(scenarios: tuple[Scenario, ...]) -> set[bytes]:
        return {scenario.rates()[WARM_SECONDS:].tobytes() for scenario in scenarios}

    assert not parts(TUNED) & parts(REPORTED)
    assert not {each.model.name + str(each.model.peak) for each in TUNED} & {
        each.model.name + str(each.model.peak) for each in REPORTED
    }
    assert not set(TUNED_SEEDS) & set(REPORTED_SEEDS)
    assert len(REPORTED_SEEDS) >= 5


def test_titles_tell_scenarios_apart() -> None:
    for scenarios in (TUNED, REPORTED):
        assert len({each.title for each in scenarios}) == len(scenarios)


@pytest.mark.parametrize("name", [name for name in POLICIES if name != OURS])
def test_every_policy_keeps_within_bounds_and_is_repeatable(name: str) -> None:
    scenario = replace(STEP, most=6)
    rates, requests = load_of(scenario, 1)

    first, again = (play(scenario, requests, len(rates), POLICIES[name](), 1) for _ in range(2))

    assert first == again
    assert 1 <= min(first.replicas) <= max(first.replicas) <= 6
    assert first.requests == pytest.approx(sum(at >= WARM_SECONDS for at in requests), rel=0.01)


def test_the_operators_policy_is_shown_what_it_may_know() -> None:
    seen: list[Sight] = []

    def advance(memory: Memory, sight: Sight, now: float) -> Memory:
        seen.append(sight)
        return Memory(Decision(sight.ready + sight.starting + (len(seen) == 2)))

    rates, requests = load_of(STEP, 1)
    played = play(STEP, requests, len(rates), Ours(advance), 1)

    last = seen[-1]
    assert last.load is not None
    assert last.load.arrivals == pytest.approx(4.0, rel=0.5)
    assert last.wish.objective is not None
    assert last.wish.objective.latency_milliseconds == 1500
    assert (last.least, last.most, last.most_batch, last.instances) == (1, 40, 8, 1)
    assert last.starting == 0
    assert last.leads == pytest.approx((30.0,), rel=0.5)
    assert len(played.spent) == len(seen) == pytest.approx(len(rates) / 5, abs=1)


def test_more_replicas_miss_less_and_cost_more() -> None:
    rates, requests = load_of(STEP, 1)

    few, many = (play(STEP, requests, len(rates), Planned([count], 5), 1) for count in (2, 5))

    assert few.over > 0.2 > 0.01 > many.over
    assert (few.gpu_hours, many.gpu_hours) == pytest.approx((1.0, 2.5), rel=0.02)
    assert few.minutes_over > many.minutes_over == 0


def test_requests_that_wait_at_the_end_are_over_once_they_have_waited_too_long() -> None:
    class Nobody:
        """Takes every replica out of service, and asks for none."""

        period_seconds = 5

        def replicas(self, view: View) -> int:
            view.fleet.ready.clear()
            return 1

    policy: Policy = Nobody()
    rates, requests = load_of(replace(STEP, lead_seconds=100_000), 1)
    played = play(replace(STEP, lead_seconds=100_000), requests[: len(requests) // 2], len(rates), policy, 1)

    assert played.over > 0.99


def test_the_oracle_keeps_the_objective_with_fewer_gpu_hours_than_a_constant_number_that_does() -> None:
    rates, requests = load_of(STEP, 1)

    best = foresee(STEP, requests, len(rates), 1)
    constant = next(
        played
        for count in range(1, 20)
        if (played := play(STEP, requests, len(rates), Planned([count], 5), 1)).over <= 0.05
    )

    assert best.over <= 0.05
    assert best.gpu_hours < constant.gpu_hours


@pytest.mark.parametrize(
    ("replicas", "expected"),
    [
        pytest.param([3] * 100, (0, 0), id="none"),
        pytest.param([3, 3, 5, 5, 6], (2, 0), id="two upwards"),
        pytest.param([3, 5, 4, 5], (3, 2), id="there and back"),
        pytest.param([3, *[5] * 700, 4], (2, 0), id="back after more than ten minutes"),
    ],
)
def test_changes_and_flips(replicas: list[int], expected: tuple[int, int]) -> None:
    assert count_changes(replicas) == expected


def test_misses_at_equal_gpu_hours_lie_between_the_settings_of_a_family() -> None:
    shares = {OURS: (0.01, 3.0), "KEDA, a": (0.1, 2.0), "KEDA, b": (0.001, 4.0), ORACLE: (0.05, 1.0)}
    found = report.gather([Run(STEP, 1, {name: outcome(*each) for name, each in shares.items()})])

    assert report.equal(found, "KEDA", 3.0) == (pytest.approx(0.01), True)
    assert report.equal(found, "KEDA", 9.0) == (pytest.approx(0.001), False)
    assert report.equal(found, "KEDA", 1.0) == (pytest.approx(0.1), False)
    assert report.equal(found, "nobody", 1.0) is None


def test_losses_are_told() -> None:
    shares = {OURS: (0.02, 3.0), "better": (0.01, 2.9), "dearer": (0.01, 4.0), "worse": (0.03, 2.0), ORACLE: (0.0, 1.0)}
    found = report.gather([Run(STEP, 1, {name: outcome(*each) for name, each in shares.items()})])

    assert report.losses(found).count("\n") == 0
    assert "better 1.00% with 2.90 GPU-hours, ours 2.00% with 3.00" in report.losses(found)
    assert report.dominance(found, "better") == (1, 0)
    assert report.dominance(found, "dearer") == (0, 0)
