import asyncio
import json
import time
from typing import Any

import pytest

from benchmarks.load import histogram, report
from benchmarks.load.clients import Answer, Failed
from benchmarks.load.generator import Generator, rate_at
from benchmarks.load.report import Phase, Report

ANSWER = Answer(1.0, "2", "adder-x")
EVER = Phase("", 0, 1 << 40)


class Scripted:
    """A client that does what the test says, and tells the generator to stop after so many requests."""

    def __init__(self, stop: asyncio.Event, count: int) -> None:
        self.asked = 0
        self._stop, self._count = stop, count

    async def infer(self, value: float, *, timeout_seconds: float) -> Answer:
        self.asked += 1
        if self.asked == self._count:
            self._stop.set()
        return await self.act()

    async def act(self) -> Answer:
        return ANSWER

    async def close(self) -> None:
        return None


def generator(lines: list[str], *, most_in_flight: int = 1000) -> Generator:
    return Generator(lambda line: lines.append(json.dumps(line)), most_in_flight=most_in_flight, timeout_seconds=5)


async def run(made: Generator, client: Scripted, lines: list[str], *, rate: float) -> Report:
    await made.run({"http": [(0, rate)]}, {"http": [client]})
    return report.read(lines)


async def test_requests_are_sent_when_they_are_due_though_none_is_answered() -> None:
    lines: list[str] = []
    made = generator(lines)

    class Silent(Scripted):
        async def act(self) -> Answer:
            await made.stop.wait()  # a closed loop would wait for ever: the tenth request stops it
            return ANSWER

    found = await run(made, Silent(made.stop, 10), lines, rate=100)
    assert found.sum("http").outcomes["answered"] >= 10


async def test_a_stall_is_seen_by_all_requests_that_it_held_up() -> None:
    lines: list[str] = []
    made = generator(lines)

    class Stalling(Scripted):
        async def act(self) -> Answer:
            if self.asked == 1:
                time.sleep(0.5)  # noqa: ASYNC251  # nothing else of this process runs meanwhile
            return ANSWER

    found = await run(made, Stalling(made.stop, 100), lines, rate=100)
    buckets = found.sum("http").buckets
    assert sum(count for number, count in buckets.items() if histogram.middle(number) > 200) >= 25


async def test_what_may_not_be_in_flight_is_not_sent_and_counted() -> None:
    lines: list[str] = []
    made = generator(lines, most_in_flight=3)

    class Silent(Scripted):
        async def act(self) -> Answer:
            while not any(second.outcomes["skipped"] for second in made._seconds.values()):  # noqa: ASYNC110
                await asyncio.sleep(0)
            made.stop.set()
            return ANSWER

    client = Silent(made.stop, 1000)
    found = await run(made, client, lines, rate=200)
    assert found.sum("http").outcomes["skipped"] >= 1
    assert found.sum("http").outcomes["answered"] == client.asked == 3


async def test_a_failed_request_is_counted_by_its_kind_and_told_with_who_answered_before() -> None:
    lines: list[str] = []
    made = generator(lines)

    class Failing(Scripted):
        async def act(self) -> Answer:
            if self.asked == 2:
                raise Failed("reset", "ServerDisconnectedError()", reused=True)
            return ANSWER

    client = Failing(made.stop, 3)
    found = await run(made, client, lines, rate=100)
    total = found.sum("http")
    answered = client.asked - 1  # on a busy machine more than three were due when the third one stopped the run
    assert total.outcomes == {"answered": answered, "reset": 1}
    assert (total.versions, total.pods) == ({"2": answered}, {"adder-x": answered})
    (failure,) = found.failures
    assert (failure.request, failure.last_pod, failure.kind, failure.reused) == (1, "adder-x", "reset", True)
    assert "a connection used before (0, on which adder-x had answered last): reset" in report.told(failure)


async def test_a_defect_of_a_client_ends_the_run_instead_of_being_counted() -> None:
    made = generator([])

    class Broken(Scripted):
        async def act(self) -> Answer:
            raise KeyError("Y")

    with pytest.raises(ExceptionGroup):
        await made.run({"http": [(0, 100)]}, {"http": [Broken(made.stop, 1000)]})


def test_a_rate_goes_straight_from_one_point_to_the_next() -> None:
    profile = [(0, 4), (10, 24), (20, 24), (30, 4)]
    assert [rate_at(profile, seconds) for seconds in (0, 5, 10, 15, 25, 30, 99)] == [4, 14, 24, 24, 14, 4, 4]


def second(number: int, *, client: str = "http", **told: Any) -> str:
    body: dict[str, Any] = {"second": number, "client": client, "outcomes": {}, "versions": {}, "pods": {}}
    return json.dumps(body | {"reopened": 0, "buckets": {}} | told)


def test_a_phase_has_the_seconds_that_began_in_it_and_gaps_are_found() -> None:
    found = report.read(second(number, outcomes={"answered": 5}) for number in (10, 11, 13))
    phase = Phase("update", 11.7, 14.2)
    assert found.sum("http", phase).outcomes["answered"] == 10
    assert found.gaps(phase) == [(12, "http")]


def test_a_second_that_is_told_in_two_parts_is_added_up() -> None:
    found = report.read([second(10, outcomes={"answered": 5}), second(10, outcomes={"answered": 1, "reset": 1})])
    assert found.sum("http").outcomes == {"answered": 6, "reset": 1}


def test_a_line_of_the_table_tells_failures_by_kind_and_percentiles() -> None:
    buckets = {histogram.bucket(10.0): 98, histogram.bucket(500.0): 2}
    found = report.read([second(10, outcomes={"answered": 100, "reset": 2, "timeout": 1}, buckets=buckets)])
    (row, _) = found.rows([Phase("update", 10, 11)])
    name, seconds, client, requests, failed, reopened, *latencies = row
    assert (name, seconds, client, requests, failed, reopened) == (
        "update", "1", "http", "103", "2 reset, 1 timeout", "0"
    )  # fmt: skip
    assert [float(latency) for latency in latencies] == pytest.approx([10, 500, 500], rel=0.01)


def test_a_line_that_is_not_the_generators_is_not_overlooked() -> None:
    with pytest.raises(ValueError, match="Expecting value"):
        report.read([second(10), "Traceback (most recent call last):"])


@pytest.mark.parametrize("milliseconds", [0.001, 0.5, 1, 3.3, 99, 12_345])
def test_a_latency_comes_back_within_one_percent(milliseconds: float) -> None:
    assert histogram.middle(histogram.bucket(milliseconds)) == pytest.approx(milliseconds, rel=0.011)


def test_a_percentile_is_the_least_latency_that_this_share_did_not_exceed() -> None:
    buckets = {0: 90, 100: 9, 200: 1}
    assert [histogram.percentile(buckets, percent) for percent in (90, 91, 99, 100)] == [
        histogram.middle(number) for number in (0, 100, 100, 200)
    ]
    assert histogram.percentile({}, 99) is None
