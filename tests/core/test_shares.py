"""How pods are shared out while one revision takes over: the cases that histories reach rarely."""

from typing import Any

import pytest

from triton_operator.api.rollout import Rollout
from triton_operator.core.shares import SETTLE_SECONDS, Room, room_of, share_out
from triton_operator.core.world import Fleet

from .simulator import TICK, Cluster, spec_of

Json = dict[str, Any]

READY = Fleet(wanted=4, pods=4, ready=4)
BROKEN = Fleet(wanted=4, pods=4, ready=0, failing=4)
LOADING = Fleet(wanted=4, pods=4, ready=3)


def shares(stable: Fleet, new: Fleet, *, room: Room, arrived: int) -> tuple[int, int]:
    fleets = {"old": stable, "new": new}
    found = share_out("new", desired=4, room=room, stable="old", fleets=fleets, arrived=arrived)
    return found["old"], found["new"]


@pytest.mark.parametrize(
    ("stable", "new", "arrived", "expected"),
    [
        pytest.param(READY, Fleet(0, 0, 0), 0, (4, 1), id="the first pod is a surplus one"),
        pytest.param(
            READY, Fleet(1, 1, 1), 0, (4, 1), id="a ready pod that the Service does not show counts for nothing"
        ),
        pytest.param(READY, Fleet(1, 1, 1), 1, (3, 1), id="the old one shrinks before the new one grows"),
        pytest.param(Fleet(3, 3, 3, ending=1), Fleet(1, 1, 1), 1, (3, 1), id="an ending pod still holds its GPU"),
        pytest.param(Fleet(3, 3, 3), Fleet(1, 1, 1), 1, (3, 2), id="when it has ended the new one grows"),
        pytest.param(BROKEN, Fleet(1, 1, 0), 0, (4, 1), id="a broken old one is kept as long as nobody needs its room"),
        pytest.param(BROKEN, Fleet(1, 1, 0, homeless=1), 0, (3, 1), id="a broken old one makes room"),
        pytest.param(READY, Fleet(1, 1, 0, homeless=1), 0, (4, 1), id="one that serves does not"),
        pytest.param(LOADING, Fleet(1, 1, 0, homeless=1), 0, (4, 1), id="one that loads does not either"),
    ],
)
def test_pods_are_shared_out(stable: Fleet, new: Fleet, arrived: int, expected: tuple[int, int]) -> None:
    assert shares(stable, new, room=Room(surge=1, keep=4), arrived=arrived) == expected


@pytest.mark.parametrize(
    ("stable", "new", "arrived", "expected"),
    [
        pytest.param(READY, Fleet(0, 0, 0), 0, (3, 0), id="one pod leaves first"),
        pytest.param(Fleet(3, 3, 3, ending=1), Fleet(0, 0, 0), 0, (3, 0), id="while it ends nobody takes its GPU"),
        pytest.param(Fleet(3, 3, 3), Fleet(0, 0, 0), 0, (3, 1), id="then the first of the new ones comes"),
        pytest.param(Fleet(3, 3, 3), Fleet(1, 1, 0), 0, (3, 1), id="while it loads nothing else leaves"),
        pytest.param(Fleet(3, 3, 3), Fleet(1, 1, 1), 1, (2, 1), id="when it serves the next one leaves"),
        pytest.param(Fleet(0, 0, 0), Fleet(3, 3, 3), 3, (0, 4), id="the last one comes into the room of the last"),
    ],
)
def test_without_a_surge_one_pod_leaves_before_one_comes(
    stable: Fleet, new: Fleet, arrived: int, expected: tuple[int, int]
) -> None:
    assert shares(stable, new, room=Room(surge=0, keep=3), arrived=arrived) == expected


@pytest.mark.parametrize(
    ("stable", "new", "expected"),
    [
        pytest.param(READY, Fleet(0, 0, 0), (0, 0), id="all leave"),
        pytest.param(Fleet(0, 1, 1, ending=3), Fleet(0, 0, 0), (0, 0), id="as long as one runs none comes"),
        pytest.param(Fleet(0, 0, 0, ending=1), Fleet(0, 0, 0), (0, 0), id="as long as one ends none comes"),
        pytest.param(Fleet(0, 0, 0), Fleet(0, 0, 0), (0, 4), id="then all come"),
        pytest.param(Fleet(0, 0, 0, ending=1), Fleet(4, 2, 1), (0, 1), id="one that serves stays"),
    ],
)
def test_to_recreate_is_to_end_all_before_the_first_begins(
    stable: Fleet, new: Fleet, expected: tuple[int, int]
) -> None:
    assert shares(stable, new, room=Room(surge=0, keep=0, apart=True), arrived=0) == expected


@pytest.mark.parametrize(
    ("rollout", "desired", "gpus", "room", "shut"),
    [
        pytest.param({}, 1, 1, Room(1, 1), False, id="one pod and one more"),
        pytest.param({}, 9, 0, Room(3, 9), False, id="a quarter, rounded up"),
        pytest.param({}, 0, 1, Room(1, 0), False, id="none wanted"),
        pytest.param({"maxSurgeGPUs": 4}, 3, 2, Room(2, 3), False, id="GPUs of two pods"),
        pytest.param({"maxSurgeGPUs": 1}, 3, 2, Room(0, 2), False, id="GPUs of half a pod are those of none"),
        pytest.param({"maxSurgeGPUs": 0}, 3, 1, Room(0, 2), False, id="within the same GPUs"),
        pytest.param({"maxSurgeGPUs": 0}, 1, 1, Room(0, 1), True, id="one pod cannot leave"),
        pytest.param({"maxSurgeGPUs": 0, "minAvailable": 0}, 1, 1, Room(0, 0), False, id="one pod that may leave"),
        pytest.param({"maxSurgeGPUs": 0, "minAvailable": 3}, 3, 1, Room(0, 3), True, id="none of three may leave"),
        pytest.param({"maxSurgeGPUs": 0, "minAvailable": 9}, 0, 1, Room(0, 0), False, id="nothing to keep"),
        pytest.param({"minAvailable": 2}, 4, 1, Room(1, 2), False, id="a surge and two that may leave"),
        pytest.param({"strategy": "Recreate"}, 4, 1, Room(0, 0, apart=True), False, id="recreate"),
    ],
)
def test_the_room_of_a_rollout(rollout: dict, desired: int, gpus: int, room: Room, shut: bool) -> None:
    found = room_of(Rollout.model_validate(rollout), desired=desired, gpu_count=gpus)
    assert (found, found.is_shut(desired)) == (room, shut)


def test_without_any_room_pods_that_fail_make_it() -> None:
    fleets = {"old": Fleet(wanted=1, pods=1, ready=0, failing=1), "new": Fleet(0, 0, 0)}
    shut = Room(surge=0, keep=1)
    assert share_out("new", desired=1, room=shut, stable="old", fleets=fleets, arrived=0) == {"old": 0, "new": 0}
    gone = {"old": Fleet(0, 0, 0), "new": Fleet(0, 0, 0)}
    assert share_out("new", desired=1, room=shut, stable="old", fleets=gone, arrived=0) == {"old": 0, "new": 1}


def updating(*, replicas: int, **rollout: Any) -> tuple[Cluster, str]:
    """A service with a second version under way, all of whose pods serve; and its first revision."""
    cluster = Cluster(spec_of(1, replicas=replicas, rollout=rollout), final=True)
    cluster.settle()
    old = cluster.target
    cluster.change(spec_of(2, replicas=replicas, rollout=rollout))
    cluster.run(100, until=lambda c: sum(pod.serves for pod in c.of(c.target)) == replicas)
    return cluster, old


@pytest.mark.parametrize("replicas", [1, 4])
def test_a_revision_that_crashes_right_after_it_was_ready_costs_no_outage_and_is_rejected(replicas: int) -> None:
    cluster, old = updating(replicas=replicas)
    cluster.run(1)
    for pod in cluster.of(cluster.target):
        pod.healthy = False
    cluster.quiet_from = cluster.now + 3 * TICK  # the operator does not know yet
    for _ in range(20):
        cluster.tick()
        assert any(pod.revision == old for pod in cluster.serving())
    assert cluster.status["rejected"]["version"] == 2
    assert {pod.revision for pod in cluster.pods} == {old}
    assert len(cluster.serving()) == replicas


def test_the_time_in_which_a_revision_proves_itself_begins_anew_with_a_crash() -> None:
    cluster, old = updating(replicas=1)
    for _ in range(3):
        cluster.run(1)
        cluster.disturb(cluster.of(cluster.target)[0])
        cluster.run(100, until=lambda c: any(pod.serves for pod in c.of(c.target)))
        assert any(pod.revision == old for pod in cluster.serving())
    began = cluster.now
    cluster.run(100, until=lambda c: not any(pod.serves for pod in c.of(old)))
    assert cluster.now >= began + SETTLE_SECONDS
    cluster.settle()
    assert cluster.status["stable"]["version"] == 2


def test_a_crash_between_two_looks_counts_too() -> None:
    cluster, old = updating(replicas=1)
    cluster.run(2)
    (pod,) = cluster.of(cluster.target)
    pod.turned = cluster.now  # it is ready again, before anybody has seen that it was not
    cluster.run(1)
    assert cluster.deployments[old].wanted == 1
    cluster.run(1)
    assert cluster.deployments[old].wanted == 0


def test_a_clock_that_is_far_off_holds_nothing_up() -> None:
    cluster, old = updating(replicas=1)
    for pod in cluster.of(cluster.target):
        pod.turned += 3600
    cluster.settle()
    assert cluster.of(old) == []


@pytest.mark.parametrize(
    ("replicas", "rollout"),
    [
        pytest.param(1, {}, id="one replica"),
        pytest.param(4, {}, id="a surge of one"),
        pytest.param(8, {}, id="a surge of two"),
        pytest.param(2, {"maxSurgeGPUs": 2}, id="a surge of all"),
        pytest.param(3, {"maxSurgeGPUs": 0}, id="no surge"),
        pytest.param(3, {"strategy": "BlueGreen"}, id="BlueGreen"),
        pytest.param(2, {"strategy": "Recreate"}, id="Recreate"),
    ],
)
def test_an_update_takes_that_time_longer_and_no_more(
    replicas: int, rollout: Json, monkeypatch: pytest.MonkeyPatch
) -> None:
    def seconds() -> float:
        cluster = Cluster(spec_of(1, replicas=replicas, rollout=rollout))
        cluster.settle()
        cluster.change(spec_of(2, replicas=replicas, rollout=rollout))
        began = cluster.now
        cluster.run(400, until=lambda c: {pod.revision for pod in c.pods} == {c.target} and len(c.pods) == replicas)
        return cluster.now - began

    took = seconds()
    monkeypatch.setattr("triton_operator.core.shares.SETTLE_SECONDS", 0.0)
    assert 0 <= took - seconds() <= SETTLE_SECONDS
