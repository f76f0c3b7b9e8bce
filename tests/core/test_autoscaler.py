"""From what was measured to a number of replicas, look by look."""

from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from triton_operator.api.autoscaling import Autoscaling
from triton_operator.core.autoscaler import LEAD_SECONDS, SHORTEST_HOLD_SECONDS, Memory, Sight, advance, begin
from triton_operator.core.demand import batch_seen
from triton_operator.core.load import Load

START = 1_800_000_000.0
LOOK = 5.0
ALPHA, BETA, BATCH = 0.4, 0.1, 8
WISH = Autoscaling.model_validate({"maxReplicas": 20, "objective": {"latencyMilliseconds": 2000}})


def load_of(rate: float, *, replicas: int, at: float, alpha: float = ALPHA, beta: float = BETA, **more: Any) -> Load:
    """What is measured of replicas that batch requests, which arrive at a steady rate."""
    most = BATCH / (alpha + beta * BATCH)
    each = min(rate / replicas, most)
    batch = min(float(BATCH), max(1.0, each * alpha / (1 - each * beta))) if each * beta < 1 else float(BATCH)
    seconds = alpha + beta * batch_seen(batch, BATCH)
    done = each * replicas
    given = {
        "pending": 0.0,
        "latency_seconds": 1.6 * seconds,
        "queue_seconds": 0.6 * seconds,
        "tail_seconds": 2.3 * seconds,
    } | more
    return Load(
        at=at,
        seconds=15.0,
        pods=replicas,
        silent=0,
        arrivals=rate,
        completions=done,
        executions=done / batch,
        batch_seconds=seconds if done else None,
        **given,
    )


@dataclass
class Service:
    """A service whose replicas take a time to get ready."""

    wish: Autoscaling = WISH
    lead: float = 90.0
    replicas: int = 1
    now: float = START
    more: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.memory: Memory = begin(self.replicas)
        self.ready = self.replicas
        self.starting: list[float] = []

    def look(self, rate: float | None, *, trouble: str = "", sight: dict[str, Any] | None = None, **load: Any) -> int:
        """Let a look's time pass, look, and do what was decided."""
        self.now += LOOK
        started = [at for at in self.starting if self.now - at >= self.lead]
        self.ready += len(started)
        self.starting = [at for at in self.starting if at not in started]
        measured = None if rate is None else load_of(rate, replicas=max(1, self.ready), at=self.now, **load)
        given = {
            "wish": self.wish,
            "least": self.wish.min_replicas,
            "most": self.wish.max_replicas,
            "revision": "adder-1",
            "load": measured,
            "ready": self.ready,
            "starting": len(self.starting),
            "trouble": trouble,
            "leads": (self.lead,),
            "most_batch": BATCH,
        }
        self.memory = advance(self.memory, Sight(**given | self.more | (sight or {})), self.now)
        wanted = self.memory.decision.replicas
        there = self.ready + len(self.starting)
        if wanted > there:
            self.starting += [self.now] * (wanted - there)
        elif wanted < there:
            fewer = min(len(self.starting), there - wanted)
            self.starting = self.starting[fewer:]
            self.ready -= there - wanted - fewer
        return wanted

    def looks(self, count: int, rate: float | None, **more: Any) -> list[int]:
        """Look again and again."""
        return [self.look(rate, **more) for _ in range(count)]


def wish(**more: Any) -> Autoscaling:
    """An objective and more."""
    return Autoscaling.model_validate({"maxReplicas": 20, "objective": {"latencyMilliseconds": 2000}} | more)


def test_replicas_carry_the_load_within_the_objective_and_no_more_are_bought() -> None:
    service = Service()
    settled = service.looks(200, 24.0)[-1]
    # S(b) = 0.4 + 0.1 b, k = 2.3, T = 2: l* = (1 - 0.46) / 0.1 = 5.4 requests/s, and 24 / 5.4 = 4.4
    assert settled == 5
    assert service.memory.decision.capacity == pytest.approx(5.4, rel=0.02)


def test_a_step_is_answered_in_one_go_and_not_again_while_replicas_start() -> None:
    service = Service(replicas=2)
    service.looks(60, 8.0)
    after = service.looks(12, 40.0)
    assert after[3] >= 8, "within 20 seconds"
    assert max(after) <= 16, "twice what is needed at most"


def test_no_replica_goes_before_the_hold_is_over_then_half_of_them_at_most() -> None:
    service = Service(replicas=8)
    service.looks(60, 40.0)
    before = service.memory.decision.replicas
    hold = max(SHORTEST_HOLD_SECONDS, 2 * service.lead)
    during = service.looks(int(hold / LOOK) - 1, 4.0)
    assert set(during) == {before}
    after = service.looks(60, 4.0)
    steps = [one for one, other in zip([before, *after], after, strict=False) if one != other]
    assert all(other >= one / 2 for one, other in zip([before, *after], after, strict=False))
    assert steps, "replicas that are not needed go"
    assert after[-1] == 1


def test_replicas_that_are_missed_soon_after_they_went_are_kept_longer_the_next_time() -> None:
    service = Service(replicas=8)
    service.looks(60, 40.0)
    before = service.memory.hold_seconds
    service.looks(50, 4.0)
    service.looks(20, 40.0)
    assert service.memory.hold_seconds > before


def test_no_data_is_no_zero() -> None:
    service = Service(replicas=4)
    service.looks(60, 20.0)
    before = service.memory.decision.replicas
    during = service.looks(400, None, trouble="Prometheus does not answer")
    assert set(during) == {before}
    decision = service.memory.decision
    assert (decision.reason, decision.limited_by) == ("MetricsUnavailable", "metrics")
    assert decision.hold_reason
    assert decision.hold_until == 0.0


def test_in_doubt_more_may_come_and_none_goes() -> None:
    service = Service(replicas=4)
    service.looks(60, 20.0)
    before = service.memory.decision.replicas
    assert min(service.looks(100, 4.0, trouble="1 of 4 pods does not report")) == before
    assert service.looks(20, 60.0, trouble="1 of 4 pods does not report")[-1] > before


def test_what_was_needed_before_an_outage_does_not_count_as_needed_after_it_for_ever() -> None:
    service = Service(replicas=4)
    service.looks(60, 20.0)
    service.looks(100, None, trouble="away")
    assert service.looks(120, 4.0)[-1] == 1


def test_an_infeasible_objective_is_told_and_not_bought_for() -> None:
    service = Service(wish=wish(objective={"latencyMilliseconds": 500}))
    settled = service.looks(200, 24.0)[-1]
    most = BATCH / (ALPHA + BETA * BATCH)
    assert settled == pytest.approx(24.0 / (0.7 * most), abs=1)
    assert service.memory.decision.reason == "ObjectiveInfeasible"
    assert "latencyMilliseconds" in service.memory.decision.message


def test_a_service_without_batches_is_sized_by_how_requests_queue() -> None:
    service = Service(more={"most_batch": 1})
    settled = service.looks(100, 10.0, alpha=0.1, beta=0.0, tail_seconds=None)[-1]
    # Ten requests of 0.1 s at a time keep 1 server fully busy; within 2 s at p95 a second one is needed.
    assert settled == 2
    assert service.memory.decision.reason == "ObjectiveUnmeasured"


def test_nothing_is_given_up_while_a_canary_is_judged() -> None:
    service = Service(replicas=8)
    service.looks(60, 40.0)
    before = service.memory.decision.replicas
    assert min(service.looks(200, 2.0, sight={"judged": True})) == before
    assert "canary" in service.memory.decision.hold_reason
    assert service.looks(100, 2.0)[-1] == 1


def test_replicas_that_do_not_get_ready_do_not_make_more() -> None:
    service = Service(replicas=2, lead=1e9)
    service.more = {"leads": (30.0,)}
    service.looks(20, 8.0)
    first = service.looks(5, 60.0)[-1]
    later = service.looks(40, 90.0)
    assert later[-1] == later[20]
    assert service.memory.decision.reason == "ScaleUpStuck"
    assert first > 2


def test_what_lacks_is_told() -> None:
    service = Service(replicas=2)
    service.looks(20, 8.0)
    stuck = {"stuck": "InsufficientGPU: 0/3 nodes are available", "stuck_by": "nodes", "starting": 2}
    before = service.memory.decision.replicas
    assert service.looks(10, 60.0, sight=stuck)[-1] == before
    assert service.memory.decision.limited_by == "nodes"
    assert "InsufficientGPU" in service.memory.decision.message


def test_more_than_the_most_is_told_and_not_asked_for() -> None:
    service = Service(wish=wish(maxReplicas=3), replicas=3)
    service.looks(60, 60.0, pending=100.0)
    assert service.memory.decision.replicas == 3
    assert service.memory.decision.limited_by == "max"


def test_bounds_hold_at_once() -> None:
    service = Service(replicas=4)
    service.looks(60, 20.0)
    assert service.look(20.0, sight={"most": 2}) == 2
    assert service.look(20.0, sight={"least": 9}) == 9


def test_a_new_revision_begins_with_what_was_learned_of_the_last_one() -> None:
    service = Service(replicas=4)
    service.looks(60, 20.0)
    before = service.memory.decision.replicas
    service.more = {"revision": "adder-2"}
    after = service.looks(5, 20.0)
    assert max(after) <= before + 2
    slower = service.looks(150, 20.0, alpha=0.6, beta=0.15)
    assert slower[-1] > before


def test_before_any_pod_was_seen_to_start_a_lead_time_is_supposed() -> None:
    service = Service()
    service.more = {"leads": ()}
    service.look(4.0)
    assert service.memory.decision.lead_seconds == LEAD_SECONDS


@pytest.mark.parametrize(
    ("metric", "more", "replicas"),
    [
        pytest.param({"type": "throughput", "target": 5}, {}, 4, id="throughput is shared out"),
        pytest.param({"type": "queueTime", "target": 100}, {"queue_seconds": 0.25}, 5, id="queue time is of each"),
        pytest.param({"type": "latency", "target": 1000}, {"latency_seconds": 0.95}, 2, id="within the tolerance"),
        pytest.param({"type": "latency", "target": 1000}, {"latency_seconds": 3.1}, 7, id="latency"),
        pytest.param({"type": "gpuUtilization", "target": 50}, {"gpu_utilization": 0.9}, 4, id="GPUs"),
        pytest.param({"type": "concurrency", "target": 4}, {"latency_seconds": 1.0}, 5, id="concurrency"),
    ],
)
def test_a_plain_metric_is_kept_at_its_target(metric: dict[str, Any], more: dict[str, Any], replicas: int) -> None:
    service = Service(wish=Autoscaling.model_validate({"maxReplicas": 20, "metrics": [metric]}), replicas=2)
    measured = replace(load_of(20.0, replicas=2, at=START + LOOK), completions=20.0, batch_seconds=0.1)
    sight = Sight(service.wish, 1, 20, "adder-1", replace(measured, **more), ready=2, starting=0)
    assert advance(service.memory, sight, START + LOOK).decision.replicas == replicas


@pytest.mark.parametrize(
    ("kind", "value", "replicas"),
    [
        pytest.param("AverageValue", 90.0, 9, id="a total is shared out"),
        pytest.param("Value", 20.0, 4, id="a value is of each"),
    ],
)
def test_a_persons_own_metric_is_as_in_autoscaling_v2(kind: str, value: float, replicas: int) -> None:
    metric = {"type": "prometheus", "query": "up", "target": 10, "metricType": kind}
    wanted = Autoscaling.model_validate({"maxReplicas": 20, "metrics": [metric]})
    sight = Sight(wanted, 1, 20, "adder-1", None, ready=2, starting=0, trouble="away", values={0: value})
    decision = advance(begin(2), sight, START).decision
    assert decision.replicas == replicas
    assert decision.reason == "Measured", "counters that nothing depends on are not missed"


def test_of_several_the_one_that_needs_most_counts_and_one_that_is_missing_keeps_what_there_is() -> None:
    metrics = [
        {"type": "throughput", "target": 10},
        {"type": "prometheus", "query": "up", "target": 1, "name": "queue"},
    ]
    wanted = Autoscaling.model_validate({"maxReplicas": 20, "metrics": metrics})
    measured = load_of(60.0, replicas=2, at=START)
    sight = Sight(wanted, 1, 20, "adder-1", measured, ready=2, starting=0, values={0: 3.0, 1: 9.0})
    assert advance(begin(2), sight, START).decision.replicas == 9
    missing = replace(sight, values={}, load=load_of(1.0, replicas=2, at=START))
    first = advance(begin(2), missing, START)
    assert (first.decision.replicas, first.decision.reason) == (2, "Starting")
    decision = advance(first, missing, START + 15).decision
    assert (decision.replicas, decision.reason) == (2, "MetricsUnavailable")
    assert "queue (spec.autoscaling.metrics[1])" in decision.message
    assert advance(begin(2), replace(sight, values={}), START).decision.replicas == 6


@given(
    rates=st.lists(st.one_of(st.none(), st.floats(0, 200)), min_size=1, max_size=60),
    least=st.integers(1, 5),
    most=st.integers(5, 30),
    replicas=st.integers(1, 30),
)
def test_whatever_comes_replicas_are_within_bounds_and_none_goes_in_doubt(
    rates: list[float | None], least: int, most: int, replicas: int
) -> None:
    service = Service(wish=wish(minReplicas=least, maxReplicas=most), replicas=replicas)
    for rate in rates:
        before = service.memory.decision.replicas
        after = service.look(rate, trouble="" if rate is not None else "away")
        assert least <= after <= most
        if rate is None and least <= before <= most:
            assert after == before
        if after < before <= most:
            assert after >= before / 2


def test_behavior_is_honoured_to_the_letter() -> None:
    slow = {"scaleUp": {"policies": [{"type": "Pods", "value": 1, "periodSeconds": 60}]}}
    service = Service(wish=wish(behavior=slow), replicas=1)
    after = service.looks(36, 60.0)
    assert after[0] <= 2
    assert after[-1] - 1 <= 3, "one a minute"
    quick = {"scaleDown": {"stabilizationWindowSeconds": 0}}
    service = Service(wish=wish(behavior=quick), replicas=8)
    service.looks(60, 40.0)
    assert service.looks(40, 0.0)[-1] == 1
    never = {"scaleDown": {"selectPolicy": "Disabled"}}
    service = Service(wish=wish(behavior=never), replicas=8)
    service.looks(60, 40.0)
    before = service.memory.decision.replicas
    assert service.looks(300, 0.0)[-1] == before
    assert "selectPolicy" in service.memory.decision.hold_reason
