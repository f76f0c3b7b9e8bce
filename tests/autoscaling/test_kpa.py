"""The numbers are those of Knative's autoscaler_test.go, where a name says nothing else."""

import pytest

from benchmarks.autoscaling.baselines import kpa
from benchmarks.autoscaling.baselines.kpa import Memory


def tick(
    memory: Memory, now: float, stable: float, panic: float, ready: int, target: float = 1.0, delay: float = 0.0
) -> tuple[Memory, int]:
    return kpa.advance(
        memory,
        stable=stable,
        panic=panic,
        target=target,
        ready=ready,
        now=now,
        least=0,
        most=1000,
        down_delay_seconds=delay,
    )


def test_stable_mode_follows_the_stable_window() -> None:
    memory, first = tick(Memory(), 0, 50, 10, 1, target=10)
    _, second = tick(memory, 0, 100, 10, 1, target=10)

    assert (first, second) == (5, 10)


def test_stable_mode_decreases() -> None:
    memory, first = tick(Memory(), 0, 100, 100, 8, target=10)
    _, second = tick(memory, 0, 50, 50, 8, target=10)

    assert (first, second) == (10, 5)


def test_panic_ends_a_stable_window_after_a_slow_increase() -> None:
    memory, first = tick(Memory(), 0, 11, 25, 10)
    began = memory.panic_at
    memory, second = tick(memory, 30, 30, 41, 40)
    still = memory.panic_at
    memory, third = tick(memory, 62, 50, 56, 55)

    assert (first, second, third) == (25, 41, 50)
    assert (began, still, memory.panic_at) == (0, 0, None)


def test_panic_goes_on_while_the_surge_does() -> None:
    memory, _ = tick(Memory(), 0, 11, 25, 10)
    memory, replicas = tick(memory, 30, 30, 80, 40)

    assert replicas == 80
    assert memory.panic_at == 30


def test_in_panic_none_is_given_up() -> None:
    memory, first = tick(Memory(), 0, 6, 20, 5)
    _, second = tick(memory, 10, 6, 3, 20)

    assert (first, second) == (20, 20)


def test_at_most_half_go_at_once() -> None:
    _, replicas = tick(Memory(), 0, 1, 1, 10)

    assert replicas == 5


def test_a_delay_keeps_the_most_of_its_time() -> None:
    memory, seen = Memory(), []

    for minutes, concurrency in ((9, 40), (10, 30), (11, 0), (14, 0), (15, 0)):
        memory, replicas = tick(memory, 60 * minutes, concurrency, 0, 1, target=10, delay=300)
        seen.append(replicas)

    assert seen == [4, 4, 4, 3, 0]


@pytest.mark.parametrize(("replicas", "panics"), [(1, False), (2, True)])
def test_it_begins_in_panic_with_more_than_one_replica(replicas: int, panics: bool) -> None:
    assert (kpa.begin(replicas, 7.0).panic_at is not None) is panics


def test_a_window_averages_what_it_has() -> None:
    assert kpa.average([], 6) == 0.0
    assert kpa.average([9.0] * 54 + [3.0] * 6, 6) == 3.0
    assert kpa.average([4.0, 8.0], 60) == 6.0
