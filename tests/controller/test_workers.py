import asyncio
from collections.abc import Awaitable, Callable
from itertools import pairwise

import pytest

from triton_operator.controller.metrics import Metrics
from triton_operator.controller.queue import Key, Priority, WorkQueue
from triton_operator.controller.workers import DEADLINE_SECONDS, Workers
from triton_operator.edges.errors import ApiError, Conflict

pytestmark = pytest.mark.looptime

A = ("ns", "a")


class Reconciler:
    """Does what the test says, and notes when."""

    def __init__(self, act: Callable[[Key], Awaitable[float | None]]) -> None:
        self.act = act
        self.times: list[float] = []
        self.closed = False

    async def reconcile(self, key: Key) -> float | None:
        self.times.append(asyncio.get_running_loop().time())
        return await self.act(key)

    async def close(self) -> None:
        self.closed = True


def results(metrics: Metrics) -> dict[str, float]:
    found = {}
    for result in ("done", "again", "error"):
        labels = {"result": result}
        count = metrics.registry.get_sample_value("triton_operator_reconcile_duration_seconds_count", labels)
        if count:
            found[result] = count
    return found


async def run(act: Callable[[Key], Awaitable[float | None]], *, seconds: float) -> tuple[Reconciler, dict[str, float]]:
    metrics = Metrics()
    queue = WorkQueue(jitter=lambda: 0.5, observer=metrics)
    reconciler = Reconciler(act)
    workers = Workers(queue, reconciler, metrics, count=2)
    queue.add(A, Priority.NORMAL)
    await asyncio.sleep(seconds)
    assert workers.alive == workers.count == 2
    await workers.stop(within_seconds=1)
    return reconciler, results(metrics)


async def test_a_service_that_is_done_rests() -> None:
    async def act(key: Key) -> float | None:
        return None

    reconciler, counted = await run(act, seconds=1000)

    assert (reconciler.times, counted) == ([0.0], {"done": 1})


async def test_a_service_is_looked_at_again_when_it_asks_for_it() -> None:
    async def act(key: Key) -> float | None:
        return 30.0

    reconciler, counted = await run(act, seconds=70)

    assert (reconciler.times, counted) == ([0.0, 30.0, 60.0], {"again": 3})


@pytest.mark.parametrize(
    "error",
    [
        pytest.param(ApiError(status=500, reason="InternalError", message="no"), id="the API server"),
        pytest.param(Conflict(status=409, reason="Conflict", message="no"), id="a conflict"),
        pytest.param(KeyError("spec"), id="a mistake of ours"),
    ],
)
async def test_a_failure_is_tried_again_with_growing_pauses(error: Exception) -> None:
    async def act(key: Key) -> float | None:
        raise error

    reconciler, counted = await run(act, seconds=4)

    assert (reconciler.times, counted) == ([0.0, 0.5, 1.5, 3.5], {"error": 4})


@pytest.mark.parametrize(
    ("asked", "times"),
    [
        pytest.param(60.0, [0.0, 63.0, 126.0], id="longer than the pauses of our own"),
        pytest.param(1.0, [0.0, 1.05, 2.1, 4.1], id="shorter than those from the third on"),
    ],
)
async def test_a_server_that_says_when_to_come_back_is_left_alone_until_then(asked: float, times: list[float]) -> None:
    async def act(key: Key) -> float | None:
        raise ApiError(status=429, reason="TooManyRequests", message="no", retry_after=asked)

    reconciler, counted = await run(act, seconds=times[-1] + 1)

    assert reconciler.times == pytest.approx(times)
    assert counted == {"error": len(times)}


async def test_a_reconcile_that_hangs_ends_at_the_deadline_and_is_tried_again() -> None:
    async def act(key: Key) -> float | None:
        await asyncio.Event().wait()
        return None

    reconciler, counted = await run(act, seconds=DEADLINE_SECONDS + 1)

    assert reconciler.times == [0.0, DEADLINE_SECONDS + 0.5]
    assert counted == {"error": 1}


async def test_stopping_lets_running_reconciles_end() -> None:
    ended: list[Key] = []

    async def act(key: Key) -> float | None:
        await asyncio.sleep(5.5)
        ended.append(key)
        return None

    reconciler, _ = await run(act, seconds=5)

    assert ended == [A]
    assert reconciler.closed


async def test_stopping_cancels_reconciles_that_do_not_end() -> None:
    async def act(key: Key) -> float | None:
        await asyncio.sleep(20)
        return None

    reconciler, counted = await run(act, seconds=5)

    assert asyncio.get_running_loop().time() == 6.0
    assert counted == {}
    assert reconciler.closed


async def test_thousands_of_looks_that_wait_for_nothing_hold_nobody_up() -> None:
    looked = 0

    async def act(key: Key) -> float | None:
        nonlocal looked
        looked += 1
        return None

    queue = WorkQueue(jitter=lambda: 0.5, observer=Metrics())
    for number in range(5000):
        queue.add(("ns", str(number)), Priority.LOW)
    workers = Workers(queue, Reconciler(act), Metrics(), count=2)
    turns = [0]
    while looked < 5000:
        await asyncio.sleep(0)  # as whoever renews the Lease, or answers a probe
        turns.append(looked)
    await workers.stop(within_seconds=1)

    assert max(after - before for before, after in pairwise(turns)) <= workers.count
