"""What is asked of Prometheus for a person's own metrics, and where that is forbidden."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp import web

from triton_operator.api.settings import Prometheus, Settings
from triton_operator.api.spec import InferenceServiceSpec
from triton_operator.controller.meter import Meter
from triton_operator.core.record import Record, Trial
from triton_operator.core.world import Measured, Value

ADDRESS = "127.0.0.79"  # all of 127/8 is this machine
VECTOR = {"resultType": "vector", "result": [{"metric": {}, "value": [1_800_000_000, "12.5"]}]}
MATRIX = {"resultType": "matrix", "result": []}
SPEC = {
    "model": {"name": "m", "uri": "pvc://models/m", "version": 2},
    "routing": {"gateway": {"parentRefs": [{"name": "inference"}]}},
    "rollout": {
        "strategy": "Canary",
        "analysis": {"metrics": [{"name": "queue", "query": "secret_of_another_tenant", "success": {"max": 50}}]},
    },
}


class Counts:
    """Answers as Prometheus does, and notes what it was asked."""

    def __init__(self) -> None:
        self.url = ""
        self.asked: list[str] = []

    async def answer(self, request: web.Request) -> web.Response:
        query = request.query["query"]
        self.asked.append(query)
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
    await runner.cleanup()


async def read(settings: Prometheus) -> Measured:
    record = Record(stable="v-1", trial=Trial(revision="v-2", steps=""), slots=("v-1", "v-2"))
    spec: Any = InferenceServiceSpec.model_validate(SPEC)
    meter = Meter(Settings(prepareImage="operator:1", prometheus=settings))
    try:
        return await meter.read("models", "v", record, {}, (), now=1_800_000_000.0, spec=spec, route=None)
    finally:
        meter.close()


async def test_a_persons_own_query_is_asked(prometheus: Counts) -> None:
    found = await read(Prometheus(url=prometheus.url))
    assert found.values == {"queue": Value(12.5)}
    assert "secret_of_another_tenant" in prometheus.asked


async def test_where_queries_are_forbidden_only_the_operators_own_is_asked(prometheus: Counts) -> None:
    found = await read(Prometheus(url=prometheus.url, allowQueries=False))
    assert found.values == {"queue": Value(trouble="the operator's setting prometheus.allowQueries is false")}
    (asked,) = prometheus.asked
    assert "envoy_cluster" in asked
    assert "secret" not in asked


async def test_without_a_prometheus_a_metric_cannot_be_had() -> None:
    found = await read(Prometheus())
    assert found.values == {"queue": Value(trouble="the operator's setting prometheus.url is empty")}
