"""What the autoscaler asks for is remembered, told and carried out; numbers alone write nothing."""

from dataclasses import replace
from typing import Any

import pytest

from triton_operator.core.autoscaler import SHORTEST_HOLD_SECONDS, Decision, Memory
from triton_operator.core.decide import decide
from triton_operator.core.record_text import decode
from triton_operator.core.scaled import leads_of, resumed, sight_of
from triton_operator.core.world import Fleet

from .simulator import Cluster, spec_of

Json = dict[str, Any]

WISH: Json = {"minReplicas": 1, "maxReplicas": 6, "objective": {"latencyMilliseconds": 200}}


def begun(replicas: int = 2, *, rollout: Json | None = None, **more: Any) -> Cluster:
    """A service with autoscaling that serves."""
    cluster = Cluster(spec_of(1, replicas=replicas, rollout=rollout, autoscaling=WISH | more))
    cluster.settle()
    return cluster


def scaling(cluster: Cluster) -> Json:
    body: Json = cluster.status["autoscaling"]
    return body


def reasons(cluster: Cluster) -> list[str]:
    return [announcement.reason for announcement in cluster.told]


def meddle(cluster: Cluster, replicas: int) -> None:
    """Let somebody else change the Deployment."""
    cluster.deployments[cluster.target].wanted = replicas
    del cluster.bodies["Deployment", cluster.target]
    cluster.settle()


def test_the_spec_says_with_how_many_replicas_it_begins() -> None:
    cluster = begun(3)
    assert len(cluster.pods) == 3
    assert scaling(cluster)["desired"] == 3
    assert cluster.condition("ScalingActive")["status"] == "Unknown"
    cluster.change(cluster.spec.model_copy(update={"replicas": 1}))
    cluster.settle()
    assert len(cluster.pods) == 3, "with autoscaling it says nothing any more"


def test_replicas_that_are_asked_for_come_and_go_and_are_told_once() -> None:
    cluster = begun(1)
    cluster.scale(4, because="40 requests/s need 4")
    cluster.settle()
    assert len(cluster.serving()) == 4
    assert (scaling(cluster)["desired"], scaling(cluster)["current"]) == (4, 4)
    cluster.scale(2, because="18 requests/s need 2")
    cluster.settle()
    assert len(cluster.pods) == 2
    told = [announcement.message for announcement in cluster.told if announcement.reason == "Rescaled"]
    assert told == ["1 to 4 replicas: 40 requests/s need 4", "4 to 2 replicas: 18 requests/s need 2"]


def test_numbers_alone_write_nothing() -> None:
    cluster = begun(1)
    cluster.scale(4, because="40 requests/s need 4", capacity=10.0)
    cluster.settle()
    before = cluster.writes
    cluster.scale(4, because="39 requests/s need 4", capacity=9.9, lead_seconds=61.0, measured_at=cluster.now)
    cluster.run(5)
    assert cluster.writes == before


def test_what_was_asked_for_outlasts_the_operator() -> None:
    cluster = begun(1)
    cluster.scale(4, because="40 requests/s need 4")
    cluster.settle()
    cluster.scaling = None
    cluster.restart_operator()
    cluster.run(5)
    assert len(cluster.serving()) == 4
    record = decode(cluster.record or "")
    assert record is not None
    assert record.scale is not None
    kept = replace(record.scale, hold_seconds=300.0, decision=replace(record.scale.decision, lead_seconds=40.0))
    memory = resumed(kept)
    assert (memory.decision.replicas, memory.hold_seconds, memory.decision.lead_seconds) == (4, 300.0, 40.0)
    assert resumed(record.scale).hold_seconds == SHORTEST_HOLD_SECONDS


def test_without_its_record_it_begins_with_what_there_is() -> None:
    cluster = begun(1)
    cluster.scale(4)
    cluster.settle()
    cluster.scaling = None
    cluster.lose_record()
    cluster.settle()
    assert len(cluster.serving()) == 4


def test_bounds_of_the_spec_hold_though_nothing_was_measured() -> None:
    cluster = begun(2)
    cluster.change(spec_of(1, replicas=2, autoscaling=WISH | {"minReplicas": 3}))
    cluster.settle()
    assert len(cluster.serving()) == 3


def test_what_is_only_observed_changes_no_replicas() -> None:
    cluster = begun(2, mode="Observe")
    cluster.scale(5, because="50 requests/s need 5")
    cluster.settle()
    assert len(cluster.pods) == 2
    assert (scaling(cluster)["desired"], scaling(cluster)["current"]) == (5, 2)
    assert cluster.condition("ScalingActive")["reason"] == "Observing"
    assert "ScaleRecommended" in reasons(cluster)


def test_turned_off_the_spec_counts_again() -> None:
    cluster = begun(2)
    cluster.scale(5)
    cluster.settle()
    cluster.change(spec_of(1, replicas=2, autoscaling=WISH | {"mode": "Off"}))
    cluster.settle()
    assert len(cluster.pods) == 2
    assert "autoscaling" not in cluster.status
    assert "ScalingActive" not in {c["type"] for c in cluster.status["conditions"]}


def test_suspended_it_has_no_pods_and_comes_back_with_as_many_as_before() -> None:
    cluster = begun(1)
    cluster.scale(4)
    cluster.settle()
    cluster.change(cluster.spec.model_copy(update={"suspend": True}))
    cluster.settle()
    assert not cluster.pods
    cluster.change(cluster.spec.model_copy(update={"suspend": False}))
    cluster.settle()
    assert len(cluster.serving()) == 4


def test_replicas_that_somebody_else_changes_are_put_right_twice_then_left() -> None:
    cluster = begun(1)
    cluster.scale(3)
    cluster.settle()
    for _ in range(2):
        meddle(cluster, 5)
        assert len(cluster.pods) == 3
    meddle(cluster, 5)
    assert len(cluster.pods) == 5
    assert cluster.condition("ScalingActive")["reason"] == "Conflict"
    assert "Conflict" in reasons(cluster)
    meddle(cluster, 6)
    assert len(cluster.pods) == 6
    cluster.change(spec_of(1, replicas=2, autoscaling=WISH | {"maxReplicas": 7}))
    cluster.settle()
    assert len(cluster.pods) == 3


def test_a_service_that_lacks_nodes_for_more_is_not_stalled() -> None:
    cluster = begun(2)
    cluster.slots = 3
    cluster.scale(6)
    cluster.run(300)
    assert len(cluster.serving()) == 3
    assert cluster.condition("Stalled")["status"] == "False"
    assert cluster.condition("Ready")["status"] == "Unknown"
    cluster.slots = 6
    cluster.settle()
    assert len(cluster.serving()) == 6
    assert cluster.condition("Ready")["status"] == "True"


def test_the_pods_with_the_least_to_do_are_marked_before_there_are_fewer() -> None:
    cluster = begun(1)
    cluster.scale(4)
    cluster.settle()
    cluster.scaling = Memory(Decision(2, reason="Measured"))
    world = cluster.world()
    pods = tuple(cluster._pod(pod) for pod in cluster.pods)
    names = [pod["metadata"]["name"] for pod in pods]
    busy = {names[0]: 7.0, names[1]: 0.5, names[2]: 3.0, names[3]: 1.0}
    plan = decide(replace(world, pods=pods, in_flight=busy))
    assert sorted(mark.name for mark in plan.marks) == sorted([names[1], names[3]])
    assert not decide(replace(world, pods=pods, in_flight={})).marks


@pytest.mark.parametrize("strategy", ["RollingUpdate", "Canary", "BlueGreen", "Recreate"])
def test_a_new_revision_takes_over_with_as_many_replicas_as_are_asked_for(strategy: str) -> None:
    cluster = begun(1, rollout={"strategy": strategy})
    cluster.scale(3)
    cluster.settle()
    cluster.change(spec_of(2, replicas=1, rollout={"strategy": strategy}, autoscaling=WISH))
    cluster.settle()
    assert {pod.revision for pod in cluster.serving()} == {cluster.target}
    assert len(cluster.serving()) == 3


def test_a_look_shows_the_revision_that_serves_and_what_all_are_asked() -> None:
    cluster = begun(2)
    record = decode(cluster.record or "")
    assert record is not None
    assert record.stable
    wish = cluster.spec.autoscaling
    assert wish is not None
    failing = replace(record, failure={"reason": "InsufficientGPU", "message": "0/3 nodes", "time": ""})
    sight = sight_of(
        wish, failing, {record.stable: Fleet(wanted=4, pods=4, ready=2)}, {record.stable: None},
        asked=4, trouble="away", values={}, troubles={}, leads=[30.0], now=cluster.now,
    )  # fmt: skip
    assert (sight.revision, sight.ready, sight.starting) == (record.stable, 2, 2)
    assert (sight.stuck_by, sight.trouble) == ("nodes", "away")
    assert "0/3 nodes" in sight.stuck


def test_lead_times_are_those_of_pods_that_have_become_ready_once() -> None:
    def pod(uid: str, *, ready: str = "True", restarts: int = 0) -> Json:
        turned = {"type": "Ready", "status": ready, "lastTransitionTime": "2026-01-01T00:01:15Z"}
        labels = {"serving.triton-operator.dev/revision": "adder-1"}
        return {
            "metadata": {"uid": uid, "labels": labels, "creationTimestamp": "2026-01-01T00:00:00Z"},
            "status": {"conditions": [turned], "containerStatuses": [{"restartCount": restarts}]},
        }

    found = leads_of([pod("a"), pod("b", ready="False"), pod("c", restarts=1)], "adder-1")
    assert found == {"a": 75.0}
    assert leads_of([pod("a")], "adder-2") == {}
