"""What is asked of Prometheus for a person's own metrics, and where that is forbidden."""

import asyncio
from collections.abc import AsyncIterator
from copy import deepcopy
from typing import Any

import pytest
from aiohttp import web

from triton_operator.api.settings import Prometheus, Settings
from triton_operator.api.spec import InferenceServiceSpec
from triton_operator.controller.meter import Meter
from triton_operator.core.record import Record, Trial
from triton_operator.core.world import Measured, Value
from triton_operator.edges.prometheus import AT_A_TIME

Json = dict[str, Any]

ADDRESS = "127.0.0.79"  # all of 127/8 is this machine
METRICS = [{"name": "queue", "query": "secret_of_another_tenant", "success": {"max": 50}}]
SLOW = [{"name": f"slow-{n}", "query": f"slow_{n}", "success": {"max": 50}} for n in range(8)]
VECTOR = {"resultType": "vector", "result": [{"metric": {}, "value": [1_800_000_000, "12.5"]}]}
MATRIX = {"resultType": "matrix", "result": []}
SPEC: Json = {
    "model": {"name": "m", "uri": "pvc://models/m", "version": 2},
    "routing": {"gateway": {"parentRefs": [{"name": "inference"}]}},
    "rollout": {"strategy": "Canary"},
}


class Counts:
    """Answers as Prometheus does, slow queries once `held` is set, and notes what it was asked.

    `busy` is set when as many slow ones are being answered as are asked at a time.
    """

    def __init__(self) -> None:
        self.url = ""
        self.asked: list[str] = []
        self.held, self.busy = asyncio.Event(), asyncio.Event()

    async def answer(self, request: web.Request) -> web.Response:
        query = request.query["query"]
        self.asked.append(query)
        if query.startswith("slow"):
            if sum(query.startswith("slow") for query in self.asked) == AT_A_TIME:
                self.busy.set()
            await self.held.wait()
        return web.json_response({"status": "success", "data": VECTOR if "secret" in query else MATRIX})


@pytest.fixture
async def prometheus() -> AsyncIterator[Counts]:
    made = Counts()
    app = web.Application()
    app.router.add_post("/api/v1/query", made.answer)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, ADDRESS, 0)
    await site.start()
    made.url = f"http://{ADDRESS}:{runner.addresses[0][1]}"
    yield made
    made.held.set()
    await runner.cleanup()


def meter_of(settings: Prometheus) -> Meter:
    return Meter(Settings(prepareImage="operator:1", prometheus=settings))


async def read(meter: Meter, metrics: list[Json] | None = None) -> Measured:
    record = Record(stable="v-1", trial=Trial(revision="v-2", steps=""), slots=("v-1", "v-2"))
    body = deepcopy(SPEC)
    body["rollout"]["analysis"] = {"metrics": metrics} if metrics else {}
    spec = InferenceServiceSpec.model_validate(body)
    return await meter.read("models", "v", record, {}, (), now=1_800_000_000.0, spec=spec, route=None)


async def test_a_persons_own_query_is_asked(prometheus: Counts) -> None:
    found = await read(meter_of(Prometheus(url=prometheus.url)), METRICS)
    assert found.values == {"queue": Value(12.5)}
    assert "secret_of_another_tenant" in prometheus.asked


async def test_where_queries_are_forbidden_only_the_operators_own_is_asked(prometheus: Counts) -> None:
    found = await read(meter_of(Prometheus(url=prometheus.url, allowQueries=False)), METRICS)
    assert found.values == {"queue": Value(trouble="the operator's setting prometheus.allowQueries is false")}
    (asked,) = prometheus.asked
    assert "envoy_cluster" in asked
    assert "secret" not in asked


async def test_without_a_prometheus_a_metric_cannot_be_had() -> None:
    found = await read(meter_of(Prometheus()), METRICS)
    assert found.values == {"queue": Value(trouble="the operator's setting prometheus.url is empty")}


async def test_slow_queries_of_one_author_keep_no_other_service_from_being_judged(prometheus: Counts) -> None:
    meter = meter_of(Prometheus(url=prometheus.url))
    slow = asyncio.create_task(read(meter, SLOW))
    await prometheus.busy.wait()
    found = await read(meter)
    assert not slow.done()
    assert "Prometheus has no counters of" in (found.trouble or "")  # it has answered
    prometheus.held.set()
    assert len((await slow).values) == len(SLOW)
