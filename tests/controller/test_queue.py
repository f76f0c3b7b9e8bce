import asyncio
from collections import Counter

import pytest

from triton_operator.controller.queue import (
    BACKOFF_MOST_SECONDS,
    STARVED_SECONDS,
    Closed,
    Priority,
    WorkQueue,
)

pytestmark = pytest.mark.looptime

A, B, C = ("ns", "a"), ("ns", "b"), ("ns", "c")


class Tally:
    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self.waits: list[float] = []

    def added(self) -> None:
        self.counts["added"] += 1

    def retried(self) -> None:
        self.counts["retried"] += 1

    def waited(self, seconds: float) -> None:
        self.waits.append(seconds)


@pytest.fixture
def tally() -> Tally:
    return Tally()


@pytest.fixture
def queue(tally: Tally) -> WorkQueue:
    return WorkQueue(jitter=lambda: 0.5, observer=tally)


async def take(queue: WorkQueue, count: int) -> list[tuple[str, str]]:
    taken = []
    for _ in range(count):
        taken.append(await queue.get())
        queue.done(taken[-1])
    return taken


def now() -> float:
    return asyncio.get_running_loop().time()


async def test_a_key_added_twice_is_handed_out_once(queue: WorkQueue, tally: Tally) -> None:
    queue.add(A, Priority.NORMAL)
    queue.add(A, Priority.NORMAL)

    assert await take(queue, 1) == [A]
    assert queue.depth == 0
    assert tally.counts["added"] == 1


async def test_keys_of_one_priority_come_in_the_order_they_were_added(queue: WorkQueue) -> None:
    for key in (B, A, C):
        queue.add(key, Priority.NORMAL)

    assert await take(queue, 3) == [B, A, C]


async def test_more_urgent_keys_come_first(queue: WorkQueue) -> None:
    queue.add(A, Priority.LOW)
    queue.add(B, Priority.NORMAL)
    queue.add(C, Priority.URGENT)

    assert await take(queue, 3) == [C, B, A]


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        pytest.param(Priority.LOW, Priority.URGENT, [B, A], id="raised"),
        pytest.param(Priority.URGENT, Priority.LOW, [B, A], id="never lowered"),
    ],
)
async def test_a_queued_key_keeps_its_highest_priority(
    queue: WorkQueue, first: Priority, second: Priority, expected: list[tuple[str, str]]
) -> None:
    queue.add(A, Priority.NORMAL)
    queue.add(B, first)
    queue.add(B, second)

    assert await take(queue, 2) == expected


async def test_a_low_key_is_not_passed_over_for_ever(queue: WorkQueue) -> None:
    queue.add(A, Priority.LOW)
    await asyncio.sleep(STARVED_SECONDS + 1)
    queue.add(B, Priority.URGENT)

    assert await take(queue, 2) == [A, B]


async def test_what_is_urgent_does_not_wait_for_all_that_has_starved(queue: WorkQueue) -> None:
    starved = [("ns", f"starved-{number}") for number in range(3)]
    for key in starved:
        queue.add(key, Priority.NORMAL)
    await asyncio.sleep(STARVED_SECONDS + 1)
    urgent = [("ns", f"urgent-{number}") for number in range(6)]
    for key in urgent:
        queue.add(key, Priority.URGENT)

    assert await take(queue, 9) == [starved[0], *urgent[:3], starved[1], *urgent[3:], starved[2]]


async def test_a_key_added_while_it_is_worked_on_runs_once_more_and_never_twice_at_once(queue: WorkQueue) -> None:
    queue.add(A, Priority.NORMAL)
    assert await queue.get() == A
    queue.add(A, Priority.NORMAL)
    queue.add(A, Priority.URGENT)

    with pytest.raises(TimeoutError):
        await asyncio.wait_for(queue.get(), 100)
    queue.done(A)

    assert await take(queue, 1) == [A]
    assert queue.depth == 0


async def test_a_worker_that_waits_gets_a_key_at_once(queue: WorkQueue) -> None:
    waiting = asyncio.create_task(queue.get())
    await asyncio.sleep(7)

    queue.add(A, Priority.LOW)

    assert await waiting == A
    assert now() == 7


async def test_of_several_later_wishes_the_earliest_wins(queue: WorkQueue) -> None:
    queue.add_after(A, 30)
    queue.add_after(A, 10)
    queue.add_after(A, 20)

    assert await queue.get() == A
    assert now() == 10
    queue.done(A)
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(queue.get(), 100)


async def test_handing_a_key_out_ends_its_later_wishes(queue: WorkQueue) -> None:
    queue.add_after(A, 10)
    queue.add(A, Priority.URGENT)
    await take(queue, 1)

    with pytest.raises(TimeoutError):
        await asyncio.wait_for(queue.get(), 100)


async def test_retries_come_later_each_time_up_to_a_limit(queue: WorkQueue) -> None:
    delays = [queue.retry(A) for _ in range(12)]

    assert delays[:4] == [0.5, 1.0, 2.0, 4.0]
    assert delays[-1] == BACKOFF_MOST_SECONDS


async def test_after_a_success_the_next_failure_counts_as_the_first(queue: WorkQueue) -> None:
    queue.retry(A)
    queue.retry(A)

    queue.forget(A)

    assert queue.retry(A) == 0.5


@pytest.mark.parametrize(("jitter", "delay"), [pytest.param(0.0, 0.45, id="least"), pytest.param(1.0, 0.55, id="most")])
async def test_retries_are_spread_by_a_tenth(tally: Tally, jitter: float, delay: float) -> None:
    assert WorkQueue(jitter=lambda: jitter, observer=tally).retry(A) == pytest.approx(delay)


async def test_depth_and_age_show_the_longest_waiting_key(queue: WorkQueue, tally: Tally) -> None:
    assert (queue.depth, queue.oldest_seconds) == (0, 0.0)
    queue.add(A, Priority.LOW)
    await asyncio.sleep(3)
    queue.add(B, Priority.URGENT)
    await asyncio.sleep(2)

    assert (queue.depth, queue.oldest_seconds) == (2, 5.0)
    await take(queue, 2)
    assert tally.waits == [2.0, 5.0]


async def test_raising_the_priority_keeps_the_age(queue: WorkQueue) -> None:
    queue.add(A, Priority.LOW)
    await asyncio.sleep(3)
    queue.add(A, Priority.URGENT)

    assert queue.oldest_seconds == 3.0


async def test_closing_ends_all_waiting_workers(queue: WorkQueue) -> None:
    workers = [asyncio.create_task(queue.get()) for _ in range(3)]
    await asyncio.sleep(1)

    queue.close()

    results = await asyncio.gather(*workers, return_exceptions=True)
    assert [type(result) for result in results] == [Closed] * 3


async def test_a_closed_queue_hands_out_nothing_and_takes_nothing(queue: WorkQueue) -> None:
    queue.add(A, Priority.URGENT)
    queue.add(C, Priority.URGENT)
    assert await queue.get() == A
    queue.add(A, Priority.URGENT)
    queue.close()
    queue.add(B, Priority.URGENT)
    queue.add_after(B, 1)
    queue.done(A)

    with pytest.raises(Closed):
        await queue.get()


async def test_under_a_storm_of_events_every_key_ends_up_looked_at_after_its_last_event(queue: WorkQueue) -> None:
    keys = [("ns", str(number)) for number in range(20)]
    version: Counter[tuple[str, str]] = Counter()
    seen: Counter[tuple[str, str]] = Counter()
    busy: set[tuple[str, str]] = set()

    async def work() -> None:
        while True:
            key = await queue.get()
            assert key not in busy
            busy.add(key)
            looked_at = version[key]
            await asyncio.sleep(0.7)
            seen[key] = looked_at
            busy.remove(key)
            queue.done(key)

    workers = [asyncio.create_task(work()) for _ in range(4)]
    for turn in range(300):
        key = keys[turn * 7 % len(keys)]
        version[key] += 1
        queue.add(key, Priority(turn % 3))
        await asyncio.sleep(0.05)
    await asyncio.sleep(60)

    assert seen == version
    for worker in workers:
        worker.cancel()


async def test_the_queue_is_pressed_while_somebody_urgent_waits(queue: WorkQueue) -> None:
    queue.add(A, Priority.NORMAL)
    assert not queue.is_pressed
    queue.add(B, Priority.URGENT)
    assert queue.is_pressed
    await take(queue, 1)
    assert not queue.is_pressed


async def test_a_key_fails_from_the_third_time_in_a_row_on(queue: WorkQueue) -> None:
    for expected in (0, 0, 0, 1):
        assert queue.failing == expected
        queue.retry(A)
        queue.retry(B)
        queue.forget(B)
    queue.forget(A)
    assert queue.failing == 0
