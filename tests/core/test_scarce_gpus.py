"""Updates where no GPU is to spare: what is said, how they get on, and when they are called stalled."""

from typing import Any

import pytest

from triton_operator.core.rollout import START_SECONDS

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
    cluster.run(int(PROVISION_SECONDS / TICK) + 10)
    assert cluster.condition("Stalled")["status"] == "True"
    cluster.load_ticks = int((START_SECONDS + LOAD_SECONDS) / TICK) - 5
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
        assert cluster.now - began < PROVISION_SECONDS + START_SECONDS + LOAD_SECONDS + 20 * TICK


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
