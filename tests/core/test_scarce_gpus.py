"""Updates where no GPU is to spare: what is said, how they get on, and when they are called stalled."""

from typing import Any

import pytest

from triton_operator.core.rollout import START_SECONDS
from triton_operator.core.times import timestamp

from .simulator import LOAD_TICKS, TICK, Cluster, spec_of

Json = dict[str, Any]
PROVISION_SECONDS = 300
LOAD_SECONDS = 600


def scarce(*, replicas: int, slots: int, **rollout: Any) -> Cluster:
    """A service that serves version 1 and is asked for version 2, on nodes with few slots."""
    given = {"provisionTimeoutSeconds": PROVISION_SECONDS, "maxSurgeGPUs": 1} | rollout
    cluster = Cluster(spec_of(1, replicas=replicas, rollout=given), slots=slots)
    cluster.settle()
    assert cluster.condition("Ready")["status"] == "True"
    cluster.change(spec_of(2, replicas=replicas, rollout=given))
    return cluster


@pytest.mark.parametrize(
    ("replicas", "remedy"),
    [
        pytest.param(1, "rollout.strategy: Recreate updates on the GPUs there are", id="one pod"),
        pytest.param(3, "rollout.maxSurgeGPUs: 0 updates pod by pod on the GPUs there are", id="several"),
    ],
)
def test_a_surge_without_a_gpu_waits_says_so_and_stalls_when_its_time_is_out(replicas: int, remedy: str) -> None:
    cluster = scarce(replicas=replicas, slots=replicas)
    cluster.run(10)
    ready = cluster.condition("Ready")
    assert (ready["status"], ready["reason"]) == ("Unknown", "Updating")
    assert "1 Insufficient nvidia.com/gpu" in ready["message"]
    assert remedy in ready["message"]
    cluster.run(int(PROVISION_SECONDS / TICK))
    stalled = cluster.condition("Stalled")
    assert (stalled["status"], stalled["reason"]) == ("True", "InsufficientGPU")
    assert f"placed on nodes within {PROVISION_SECONDS} s" in stalled["message"]
    assert len(cluster.serving()) == replicas


def test_a_gpu_that_comes_late_gives_the_pod_its_whole_time_to_load() -> None:
    cluster = scarce(replicas=2, slots=2)
    cluster.run(int(PROVISION_SECONDS / TICK) - 10)
    cluster.load_ticks = int((START_SECONDS + LOAD_SECONDS) / TICK) - 10
    cluster.slots = 3
    cluster.run(10)
    assert cluster.condition("Stalled")["status"] == "False"
    cluster.run(cluster.load_ticks - 15)
    assert cluster.condition("Stalled")["status"] == "False"
    cluster.settle()
    cluster.settle()
    assert cluster.status["stable"]["version"] == 2


def test_pods_that_lose_their_nodes_again_and_again_get_no_more_time_by_that() -> None:
    cluster = scarce(replicas=1, slots=2)
    cluster.load_ticks = 10_000
    began = cluster.now
    while cluster.condition("Stalled")["status"] != "True":
        cluster.run(20)
        lost = [pod for pod in cluster.pods if pod.placed is not None and not pod.ready]
        cluster.slots = 1 if lost else 2
        for pod in lost:
            cluster.kill(pod, gracefully=False)
        assert cluster.now - began < PROVISION_SECONDS + START_SECONDS + LOAD_SECONDS + 40 * TICK


@pytest.mark.parametrize(
    ("replicas", "rollout"),
    [
        pytest.param(1, {}, id="one pod"),
        pytest.param(3, {}, id="several"),
        pytest.param(2, {"maxSurgeGPUs": 0}, id="within the same GPUs"),
    ],
)
def test_a_pod_of_stable_that_must_load_anew_is_let_load_however_long_the_target_finds_no_node(
    replicas: int, rollout: Json
) -> None:
    cluster = scarce(replicas=replicas, slots=100, **rollout)
    cluster.nowhere = frozenset({2})
    cluster.run(5)
    serving = len(cluster.serving())
    cluster.load_ticks = 20  # longer than the operator's pauses
    cluster.kill(cluster.serving()[0], gracefully=False)
    cluster.run(cluster.load_ticks + 15)
    assert len(cluster.serving()) == serving


def test_a_pod_that_loads_and_loses_its_node_has_the_whole_time_to_find_another() -> None:
    cluster = scarce(replicas=1, slots=2)
    cluster.load_ticks = 10_000
    cluster.run(int(PROVISION_SECONDS / TICK) + 60)
    assert cluster.condition("Stalled")["status"] == "False"
    cluster.slots = 1
    (loading,) = (pod for pod in cluster.pods if not pod.ready)
    cluster.kill(loading, gracefully=False)
    cluster.run(10)
    assert "Insufficient nvidia.com/gpu" in cluster.condition("Ready")["message"]
    assert cluster.condition("Stalled")["status"] == "False"
    cluster.run(int(PROVISION_SECONDS / TICK) + 10)
    assert cluster.condition("Stalled")["reason"] == "InsufficientGPU"


def test_a_change_of_the_spec_after_the_time_is_out_has_time_of_its_own() -> None:
    cluster = scarce(replicas=3, slots=3)
    cluster.run(int(PROVISION_SECONDS / TICK) + 100)
    assert cluster.condition("Stalled")["status"] == "True"
    advised = {"provisionTimeoutSeconds": PROVISION_SECONDS, "maxSurgeGPUs": 0}
    cluster.change(spec_of(2, replicas=3, rollout=advised))
    for _ in range(3 * (LOAD_TICKS + 20)):
        cluster.tick()
        assert cluster.condition("Stalled")["status"] == "False"
    assert cluster.condition("Ready")["status"] == "True"
    assert cluster.status["stable"]["version"] == 2


def test_a_stable_revision_that_serves_nothing_does_not_stand_in_the_way_of_its_remedy() -> None:
    cluster = scarce(replicas=1, slots=1, maxSurgeGPUs=0)
    cluster.run(5)
    assert cluster.condition("Stalled")["reason"] == "RecreateNeeded"
    cluster.broken = frozenset({1})
    for pod in cluster.pods:
        pod.healthy = False
    cluster.run(40)
    assert cluster.condition("Ready")["status"] == "True"
    assert cluster.status["stable"]["version"] == 2


@pytest.mark.parametrize("replicas", [2, 3, 5])
def test_without_a_surge_an_update_stays_within_the_gpus_and_one_pod_below(replicas: int) -> None:
    cluster = scarce(replicas=replicas, slots=replicas, maxSurgeGPUs=0)
    least, most = replicas, 0
    for _ in range(replicas * (LOAD_TICKS + 20)):
        cluster.tick()
        least, most = min(least, len(cluster.serving())), max(most, len(cluster.pods))
    assert cluster.condition("Ready")["status"] == "True"
    assert cluster.status["stable"]["version"] == 2
    assert (least, most) == (replicas - 1, replicas)


@pytest.mark.parametrize(
    ("replicas", "rollout", "remedy"),
    [
        pytest.param(1, {"maxSurgeGPUs": 0}, "rollout.minAvailable to 0", id="one pod"),
        pytest.param(3, {"maxSurgeGPUs": 0, "minAvailable": 3}, "rollout.minAvailable to 2", id="all must stay"),
    ],
)
def test_an_update_without_room_is_not_begun_and_says_what_to_change(replicas: int, rollout: Json, remedy: str) -> None:
    cluster = scarce(replicas=replicas, slots=100, **rollout)
    cluster.run(10)
    stalled = cluster.condition("Stalled")
    assert (stalled["status"], stalled["reason"]) == ("True", "RecreateNeeded")
    assert "rollout.strategy to Recreate, rollout.maxSurgeGPUs to 1 or more" in stalled["message"]
    assert remedy in stalled["message"]
    assert len(cluster.pods) == len(cluster.serving()) == replicas


def test_recreate_ends_the_old_pods_before_the_first_new_one_begins() -> None:
    before = spec_of(1, replicas=3, rollout={"strategy": "Recreate"})
    cluster = Cluster(before, slots=3)
    cluster.settle()
    cluster.change(spec_of(2, replicas=3, rollout={"strategy": "Recreate"}))
    for _ in range(40):
        cluster.tick()
        assert len({pod.revision for pod in cluster.pods}) <= 1
    assert cluster.condition("Ready")["status"] == "True"
    assert cluster.status["stable"]["version"] == 2


def test_recreate_says_that_nothing_serves_for_as_long_as_that_is_so() -> None:
    cluster = Cluster(spec_of(1, replicas=2, rollout={"strategy": "Recreate"}))
    cluster.settle()
    old = cluster.target
    cluster.change(spec_of(2, replicas=2, rollout={"strategy": "Recreate"}))
    cluster.run(2)
    assert f"{old} ends before they begin" in cluster.condition("Ready")["message"]
    cluster.run(20, until=lambda c: not c.serving())
    began, told = cluster.now, set()
    while not cluster.serving():
        available, ready, status = cluster.condition("Available"), cluster.condition("Ready"), cluster.status
        assert (available["status"], available["reason"]) == ("False", "NoReadyPods")
        assert available["lastTransitionTime"] == timestamp(began)
        assert (ready["status"], cluster.condition("Reconciling")["status"]) == ("Unknown", "True")
        assert cluster.condition("Stalled")["status"] == "False"
        assert (status["phase"], status["readyReplicas"]) == ("Loading", 0)
        assert {status[role]["weight"] for role in ("stable", "canary")} == {0}
        assert (status["stable"]["version"], status["canary"]["version"]) == (1, 2)
        told.add((ready["reason"], f"{old} no longer serves" in ready["message"]))
        cluster.tick()
    assert told == {("Updating", True), ("Checking", False)}
    cluster.settle()
    assert cluster.condition("Available")["status"] == "True"
    assert cluster.status["stable"]["version"] == 2
