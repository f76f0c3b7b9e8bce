"""The numbers are those of Kubernetes' replica_calculator_test.go and horizontal_test.go, but for ids with `own`."""

import pytest

from benchmarks.autoscaling.baselines.hpa import Behaviour, Limit, Memory, by_pods, by_total, settle

DEFAULT = Behaviour()
UPS = ((-100.0, 1), (-60.0, 5), (-20.0, 9))
DOWNS = ((-100.0, -1), (-60.0, -5), (-20.0, -9))


@pytest.mark.parametrize(
    ("values", "target", "missing", "ignored", "current", "expected"),
    [
        pytest.param([20.0, 10.0, 30.0], 15.0, 0, 0, 3, 4, id="scale up"),
        pytest.param([50.0, 10.0, 30.0], 15.0, 0, 0, 3, 6, id="scale up with unready pods, which count"),
        pytest.param([12.0] * 5, 20.0, 0, 0, 5, 3, id="scale down"),
        pytest.param([20.0, 21.0, 21.0], 20.0, 0, 0, 3, 3, id="tolerance"),
        pytest.param([400.0, 95.0], 1000.0, 2, 0, 4, 3, id="missing pods have the target on a scale-down"),
        pytest.param([1900.0], 1000.0, 1, 0, 2, 2, id="missing pods have nothing on a scale-up: within tolerance"),
        pytest.param(
            [600.0], 1000.0, 1, 0, 2, 2, id="no change where the direction is kept but nothing can be given up"
        ),
        pytest.param([30.0], 10.0, 0, 2, 3, 3, id="own: pending pods are taken into account on a scale-up"),
        pytest.param([5.0], 10.0, 0, 2, 3, 1, id="own: pending pods do not count on a scale-down"),
        pytest.param([30.0, 30.0], 10.0, 2, 0, 4, 6, id="own: starting pods take their part of what is asked for"),
        pytest.param([], 10.0, 3, 0, 3, 3, id="own: without a metric nothing changes"),
    ],
)
def test_a_pods_metric(
    values: list[float], target: float, missing: int, ignored: int, current: int, expected: int
) -> None:
    assert by_pods(values, missing=missing, ignored=ignored, target=target, current=current) == expected


@pytest.mark.parametrize(
    ("total", "target", "current", "expected"),
    [
        pytest.param(8.6, 2.15, 3, 4, id="scale up"),
        pytest.param(8.6, 2.867, 5, 3, id="scale down"),
        pytest.param(8.6, 2.9, 3, 3, id="tolerance"),
        pytest.param(20.166, 5.0, 4, 4, id="tolerance of an object metric"),
        pytest.param(0.0, 5.0, 4, 0, id="own: an empty answer that counts as 0 takes everything away"),
    ],
)
def test_an_external_metric_with_an_average(total: float, target: float, current: int, expected: int) -> None:
    assert by_total(total, target=target, current=current) == expected


@pytest.mark.parametrize(
    ("behaviour", "changes", "current", "wanted", "least", "most", "expected"),
    [
        pytest.param(DEFAULT, (), 5, 7, 3, 8, 7, id="within range"),
        pytest.param(DEFAULT, (), 3, 1, 2, 8, 2, id="fewer than the least"),
        pytest.param(DEFAULT, (), 100, 1000, 100, 150, 150, id="more than the most"),
        pytest.param(DEFAULT, (), 10, 50, 1, 1000, 20, id="twice as many by default"),
        pytest.param(DEFAULT, (), 1, 50, 1, 1000, 5, id="own: or four more by default"),
        pytest.param(Behaviour(up=(Limit(percent=1, period_seconds=60),)), (), 3, 1000, 1, 2000, 4, id="1 %"),
        pytest.param(Behaviour(up=(Limit(pods=100), Limit(percent=100))), (), 10, 500, 1, 1000, 110, id="100 pods"),
        pytest.param(Behaviour(up=(Limit(pods=2), Limit(percent=100))), (), 10, 500, 1, 1000, 20, id="100 %"),
        pytest.param(Behaviour(up=(Limit(pods=30),)), (), 10, 50, 1, 1000, 40, id="30 pods"),
        pytest.param(Behaviour(up=(Limit(percent=200),)), (), 10, 50, 1, 1000, 30, id="200 %"),
        pytest.param(Behaviour(down=(Limit(pods=20), Limit(percent=1))), (), 100, 2, 1, 1000, 80, id="20 pods fewer"),
        pytest.param(Behaviour(down=(Limit(pods=2), Limit(percent=1))), (), 100, 2, 1, 1000, 98, id="2 pods fewer"),
        pytest.param(Behaviour(down=(Limit(percent=100),)), (), 10, 2, 5, 1000, 5, id="100 % fewer, to the least"),
        pytest.param(Behaviour(down=(Limit(pods=5),)), (), 10, 2, 1, 1000, 5, id="5 pods fewer"),
        pytest.param(
            Behaviour(up=(Limit(pods=300, period_seconds=120),)),
            UPS,
            100,
            500,
            1,
            200,
            200,
            id="after others, to the most",
        ),
        pytest.param(
            Behaviour(up=(Limit(pods=5, period_seconds=120),)),
            UPS,
            100,
            500,
            1,
            1000,
            100,
            id="after others, none more",
        ),
        pytest.param(
            Behaviour(up=(Limit(pods=150, period_seconds=120),)),
            UPS,
            100,
            500,
            1,
            1000,
            235,
            id="after others, 150 pods",
        ),
        pytest.param(
            Behaviour(down=(Limit(pods=20, period_seconds=120),)),
            DOWNS,
            100,
            20,
            1,
            1000,
            95,
            id="own: after others fewer",
        ),
    ],
)
def test_the_number_changes_as_fast_as_the_behaviour_allows(
    behaviour: Behaviour,
    changes: tuple[tuple[float, int], ...],
    current: int,
    wanted: int,
    least: int,
    most: int,
    expected: int,
) -> None:
    memory = Memory(changes=changes)

    _, replicas = settle(memory, wanted, current=current, now=0.0, least=least, most=most, behaviour=behaviour)

    assert replicas == expected


@pytest.mark.parametrize(
    ("past", "expected"),
    [
        pytest.param((), 3, id="nothing before"),
        pytest.param(((-120.0, 4), (-60.0, 5)), 5, id="the most of the window"),
        pytest.param(((-120.0, 1), (-60.0, 2)), 3, id="less before"),
        pytest.param(((-600.0, 10), (-540.0, 9)), 3, id="more, but long ago"),
        pytest.param(((-600.0, 10), (-540.0, 9), (-120.0, 5), (-60.0, 4)), 5, id="both"),
    ],
)
def test_fewer_are_taken_only_when_none_more_were_recommended_in_the_window(
    past: tuple[tuple[float, int], ...], expected: int
) -> None:
    _, replicas = settle(Memory(past), 3, current=20, now=0.0, least=1, most=99, behaviour=DEFAULT)

    assert replicas == expected


def test_five_minutes_after_the_load_has_gone_all_go_at_once() -> None:
    memory, replicas, seen = Memory(), 10, []
    for now in range(0, 400, 15):
        memory, replicas = settle(
            memory, 10 if now == 0 else 2, current=replicas, now=now, least=1, most=99, behaviour=DEFAULT
        )
        seen.append((now, replicas))

    assert seen[19:22] == [(285, 10), (300, 2), (315, 2)]
