import pytest

from benchmarks.autoscaling.baselines.oracle import largest, plan

BURST = [100 + n / 10 for n in range(50)]  # 10 requests per second from second 100 to 105


def test_replicas_are_asked_for_their_lead_time_before_they_are_needed() -> None:
    planned = plan(BURST, capacity=2.5, slot_seconds=5, lead_seconds=30, end=200, most=40)

    assert planned[100 // 5] == 4
    assert planned[70 // 5] == 4
    assert planned[55 // 5] == 1
    assert planned[105 // 5] == 1


def test_replicas_are_kept_through_a_gap_that_is_no_longer_than_the_lead_time() -> None:
    twice = [*BURST, *(at + 30 for at in BURST)]

    planned = plan(twice, capacity=2.5, slot_seconds=5, lead_seconds=30, end=200, most=40)

    assert min(planned[100 // 5 : 135 // 5]) == 4


def test_no_more_are_planned_than_there_may_be() -> None:
    assert max(plan(BURST, capacity=0.1, slot_seconds=5, lead_seconds=0, end=200, most=7)) == 7


def test_the_search_ends_at_the_largest_capacity_that_keeps_the_objective() -> None:
    found = largest(lambda capacity: 0.0 if capacity <= 5.0 else 1.0, allowed=0.05, low=1.0, high=10.0)

    assert found == pytest.approx(5.0, rel=0.08)
    assert found <= 5.0
