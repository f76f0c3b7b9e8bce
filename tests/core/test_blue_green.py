"""BlueGreen as users live it: one switch, a warm revision, and the way back."""

from typing import Any

import pytest
from hypothesis import given

from triton_operator.api.names import LABEL_REVISION
from triton_operator.core.record_text import decode

from .simulator import LOAD_TICKS, TICK, Cluster, spec_of
from .test_histories import CALM, RELAXED, Step, take

Json = dict[str, Any]
BLUE_GREEN: Json = {"strategy": "BlueGreen", "scaleDownDelaySeconds": 100}
BROKEN = 4


def served_by(cluster: Cluster) -> set[str]:
    return {pod.revision for pod in cluster.serving()}


def updated(version: int = 2, *, replicas: int = 3) -> tuple[Cluster, str, str]:
    """A service whose second version has just taken over; its revisions, the old one first."""
    cluster = Cluster(spec_of(1, replicas=replicas, rollout=BLUE_GREEN), broken=frozenset({BROKEN}))
    cluster.settle()
    old = cluster.target
    cluster.change(spec_of(version, replicas=replicas, rollout=BLUE_GREEN))
    cluster.run(60, until=lambda c: c.status.get("warm") is not None)
    return cluster, old, cluster.target


def test_nothing_of_the_new_revision_serves_before_all_of_it_is_ready_and_then_all_requests_move() -> None:
    cluster = Cluster(spec_of(1, replicas=3, rollout=BLUE_GREEN))
    cluster.settle()
    old = cluster.target
    cluster.change(spec_of(2, replicas=3, rollout=BLUE_GREEN))
    while old in served_by(cluster):
        cluster.tick()
        new = [pod for pod in cluster.of(cluster.target) if pod.serves]
        if len(new) < 3:
            assert served_by(cluster) == {old}
        assert len([pod for pod in cluster.of(old) if pod.serves]) == 3
    assert served_by(cluster) == {cluster.target}
    assert cluster.condition("Ready")["status"] == "True"


def test_the_old_revision_stays_warm_with_all_its_pods_until_its_time_is_up() -> None:
    cluster, old, new = updated()
    assert cluster.status["warm"]["name"] == old
    switched = cluster.now
    while cluster.of(old):
        assert len([pod for pod in cluster.of(old) if pod.serves]) == 3 or cluster.now >= switched + 100
        assert cluster.condition("Ready")["status"] == "True"
        assert served_by(cluster) == {new}
        cluster.tick()
    assert cluster.now >= switched + 100
    cluster.settle()
    assert "warm" not in cluster.status
    assert list(cluster.deployments) == [new]


def test_going_back_to_the_warm_revision_starts_no_pod() -> None:
    cluster, old, new = updated()
    pods = {pod.name for pod in cluster.pods}
    cluster.change(spec_of(1, replicas=3, rollout=BLUE_GREEN))
    cluster.run(LOAD_TICKS - 1)
    assert served_by(cluster) == {old}
    assert {pod.name for pod in cluster.pods} == pods
    assert cluster.status["warm"]["name"] == new


def test_a_third_revision_begins_only_when_the_warm_one_has_gone() -> None:
    cluster, old, new = updated()
    cluster.change(spec_of(3, replicas=3, rollout=BLUE_GREEN))
    while new in served_by(cluster):
        cluster.tick()
        cluster.check_sets()
        assert not (cluster.of(old) and cluster.of(cluster.target))
    assert cluster.status["warm"]["name"] == new


@pytest.mark.parametrize("ticks", range(0, 10))
def test_a_changed_mind_at_any_time_keeps_what_served(ticks: int) -> None:
    cluster = Cluster(spec_of(1, replicas=3, rollout=BLUE_GREEN))
    cluster.settle()
    old = cluster.target
    cluster.change(spec_of(2, replicas=3, rollout=BLUE_GREEN))
    cluster.run(ticks)
    cluster.change(spec_of(1, replicas=3, rollout=BLUE_GREEN))
    for _ in range(60):
        cluster.tick()
        assert len(cluster.serving()) >= 3
    cluster.settle()
    assert served_by(cluster) == {old}
    assert len(cluster.pods) == 3


def test_a_new_revision_that_loses_all_pods_after_the_switch_gives_way_to_the_warm_one() -> None:
    cluster, old, new = updated()
    for pod in cluster.of(new):
        pod.healthy = False
    cluster.run(8)
    assert served_by(cluster) == {old}
    assert len(cluster.serving()) == 3
    assert cluster.status["rejected"]["name"] == new
    assert "after the switch" in cluster.status["rejected"]["message"]
    assert "warm" not in cluster.status
    cluster.run(4)
    assert cluster.of(new) == []  # what has failed keeps no GPU


def test_a_broken_revision_never_serves_and_gives_its_gpus_back() -> None:
    cluster = Cluster(spec_of(1, replicas=2, rollout=BLUE_GREEN), broken=frozenset({BROKEN}), final=True)
    cluster.settle()
    old = cluster.target
    cluster.change(spec_of(BROKEN, replicas=2, rollout=BLUE_GREEN))
    for _ in range(40):
        cluster.tick()
        assert served_by(cluster) == {old}
    assert {pod.revision for pod in cluster.pods} == {old}
    assert cluster.condition("Stalled")["status"] == "True"


def test_a_first_revision_that_was_given_up_before_it_was_whole_gives_way() -> None:
    cluster = Cluster(spec_of(1, replicas=2, rollout=BLUE_GREEN))
    cluster.run(LOAD_TICKS + 1)
    cluster.change(spec_of(2, replicas=1, rollout=BLUE_GREEN))
    cluster.settle()
    assert served_by(cluster) == {cluster.target}
    assert cluster.condition("Ready")["status"] == "True"


def test_suspension_takes_the_warm_pods_too() -> None:
    cluster, _, _ = updated()
    cluster.change(cluster.spec.model_copy(update={"suspend": True}))
    cluster.settle()
    assert cluster.pods == []
    assert "warm" not in cluster.status


def test_the_warm_revision_shrinks_with_the_service_and_never_grows() -> None:
    cluster, old, _ = updated()
    cluster.change(cluster.spec.model_copy(update={"replicas": 5}))
    cluster.run(8)
    assert len(cluster.of(old)) == 3
    cluster.change(cluster.spec.model_copy(update={"replicas": 1}))
    cluster.run(6)
    assert len(cluster.of(old)) == 1


def test_a_restart_of_the_operator_does_not_lengthen_the_warm_time() -> None:
    cluster, old, _ = updated()
    record = decode(cluster.record or "")
    assert record is not None
    assert record.warm is not None
    until = record.warm.until
    while cluster.of(old):
        cluster.restart_operator()
        cluster.tick()
    assert until <= cluster.now <= until + 6 * TICK


@RELAXED
@given(history=CALM)
def test_never_do_three_revisions_have_pods_nor_does_a_service_lose_its_pods(history: list[Step]) -> None:
    cluster = Cluster(spec_of(1, replicas=2, rollout=BLUE_GREEN), broken=frozenset({BROKEN}))
    cluster.run(LOAD_TICKS + 3)
    for step in history:
        take(cluster, step)
        for _ in range(step.ticks + 1):
            cluster.tick()
            cluster.check_sets()
            if selected := (cluster.selector or {}).get(LABEL_REVISION):
                assert selected in cluster.deployments


def given_up_between(*, source: str) -> Cluster:
    """Versions 1 and 2 both serve when 3 is asked for, and more pods than 1 has."""
    cluster = Cluster(spec_of(1, replicas=2, rollout=BLUE_GREEN))
    cluster.settle()
    cluster.change(spec_of(2, replicas=2, rollout=BLUE_GREEN))
    cluster.run(60, until=lambda c: len(c.serving()) == 4)
    assert len(cluster.serving()) == 4
    cluster.bytes = source
    cluster.change(spec_of(3, replicas=3, rollout=BLUE_GREEN))
    return cluster


def test_one_that_is_given_up_serves_on_until_the_stable_one_has_grown() -> None:
    cluster = given_up_between(source="a")
    for _ in range(60):
        cluster.tick()
        cluster.check_sets()
        assert len(cluster.serving()) >= 3
    cluster.settle()
    assert cluster.status["stable"]["version"] == 3


def test_one_that_is_given_up_gives_way_when_the_stable_one_cannot_grow() -> None:
    cluster = given_up_between(source="b")
    cluster.settle()
    assert cluster.status["stable"]["version"] == 3
    assert {pod.revision for pod in cluster.serving()} == {cluster.target}


@pytest.mark.parametrize("ticks", range(4))
def test_an_update_that_is_suspended_and_resumed_at_once_takes_no_more_than_two_sets(ticks: int) -> None:
    cluster = Cluster(spec_of(1, replicas=3, rollout=BLUE_GREEN))
    cluster.settle()
    cluster.change(spec_of(2, replicas=3, rollout=BLUE_GREEN))
    cluster.run(60, until=lambda c: len(c.pods) == 6)
    cluster.change(spec_of(2, replicas=3, suspend=True, rollout=BLUE_GREEN))
    cluster.run(ticks)
    cluster.change(spec_of(2, replicas=3, rollout=BLUE_GREEN))
    for _ in range(60):
        cluster.tick()  # the simulator watches over what the operator plans; its own ending pods a Deployment replaces
        assert sum(deployment.wanted for deployment in cluster.deployments.values()) <= 6
    cluster.settle()
    assert cluster.status["stable"]["version"] == 2
