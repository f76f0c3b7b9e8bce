"""How pods are shared out while one revision takes over: the cases that histories reach rarely."""

import pytest

from triton_operator.api.rollout import Rollout
from triton_operator.core.shares import Room, room_of, share_out
from triton_operator.core.world import Fleet

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
