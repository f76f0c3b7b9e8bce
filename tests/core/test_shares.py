"""How pods are shared out while one revision takes over: the cases that histories reach rarely."""

import pytest

from triton_operator.core.rollout import share_out
from triton_operator.core.world import Fleet

READY = Fleet(wanted=4, pods=4, ready=4)
BROKEN = Fleet(wanted=4, pods=4, ready=0)


def shares(stable: Fleet, new: Fleet, *, arrived: int = 0, desired: int = 4) -> tuple[int, int]:
    found = share_out("new", desired=desired, stable="old", fleets={"old": stable, "new": new}, arrived=arrived)
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
    ],
)
def test_pods_are_shared_out(stable: Fleet, new: Fleet, arrived: int, expected: tuple[int, int]) -> None:
    assert shares(stable, new, arrived=arrived) == expected
