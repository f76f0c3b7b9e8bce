"""What is asked of Prometheus and of pods for the load of many services, and what is made of their answers."""

import asyncio
import math
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest
from aiohttp import web

from triton_operator.api import names
from triton_operator.api.settings import Prometheus, Settings
from triton_operator.controller.gauges import MOST_PODS, TICK_SECONDS, Gauges, queries_of
from triton_operator.controller.metrics import Metrics
from triton_operator.controller.queue import Key
from triton_operator.controller.store import Store
from triton_operator.core.load import Load
from triton_operator.core.revision import SCHEMA
from triton_operator.core.signals import NEW_SECONDS
from triton_operator.edges.errors import ApiError

Json = dict[str, Any]

T0 = 1_800_000_000.0
NET = "127.0.81"  # all of 127/8 is this machine
METRICS: Json = {"nv_inference_request_success": 1, "nv_inference_request_failure": 0, "nv_inference_exec_count": 0.5}
METRICS |= {"nv_inference_count": 1, "nv_inference_request_duration_us": 5e5, "nv_inference_queue_duration_us": 1e5}
METRICS |= {
    f"nv_inference_compute_{of}_duration_us": us for of, us in {"input": 1e4, "infer": 1.8e5, "output": 1e4}.items()
}


class Clock:
    def __init__(self) -> None:
        self.now = T0

    def __call__(self) -> float:
        return self.now


class Cluster:
    """The EndpointSlices, with pods that count a request in a tenth of a second."""

    def __init__(self) -> None:
        self.slices: list[Json] = []
        self.listed = 0
        self.failing = False

    async def list_cached(self, kind: names.Kind, *, namespace: str | None, label_selector: str) -> list[Json]:
        self.listed += 1
        if self.failing:
            raise ApiError(status=0, reason="Unreachable", message="it is away")
        return self.slices

    def ready(self, service: str, *pods: str, revision: str = "") -> None:
        labels = {names.LABEL_SERVICE: service, names.LABEL_REVISION: revision or f"{service}-1"}
        endpoints = [
            {"addresses": [f"{NET}.{n + 1}"], "targetRef": {"uid": pod, "name": pod}} for n, pod in enumerate(pods)
        ]
        self.slices.append({"metadata": {"namespace": "models", "labels": labels}, "endpoints": endpoints})


class Prom:
    """Answers as Prometheus does, of pods that it has scraped every 5 s until `scraped`."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.url = ""
        self.asked: list[str] = []
        self.pods: dict[str, float] = {}  # requests per second
        self.every, self.lag, self.samples = 5.0, 1.0, 100
        self.warnings: list[str] = []
        self.more: list[Json] = []
        self.status = 200
        self.model = "m"
        self.values: dict[str, str] = {}

    def series(self, pod: str, rate: float) -> Iterator[Json]:
        times = [self.clock.now - self.lag - self.every * n for n in range(self.samples - 1, -1, -1)]
        for name, a_request in METRICS.items():
            metric = {
                "__name__": name,
                "model": self.model,
                "version": "1",
                "namespace": "models",
                "pod": pod,
                "job": "m",
            }
            yield {"metric": metric, "values": [[at, str(a_request * rate * (at - T0 + 1e6))] for at in times]}

    async def answer(self, request: web.Request) -> web.Response:
        query = request.query["query"]
        self.asked.append(query)
        if self.status != 200:
            return web.json_response({"status": "error", "errorType": "timeout", "error": "busy"}, status=self.status)
        if query in self.values:
            result: list[Json] = [{"metric": {}, "value": [self.clock.now, self.values[query]]}]
        elif "nv_inference" in query:
            result = [series for pod, rate in self.pods.items() for series in self.series(pod, rate)]
        else:
            result = [one for one in self.more if one["metric"]["__name__"] in query]
        more = {"warnings": self.warnings} if self.warnings else {}
        return web.json_response({"status": "success", "data": {"resultType": "matrix", "result": result}} | more)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def store() -> Store:
    return Store()


@pytest.fixture
def cluster() -> Cluster:
    return Cluster()


@pytest.fixture
async def prometheus(clock: Clock) -> AsyncIterator[Prom]:
    made = Prom(clock)
    app = web.Application()
    app.router.add_post("/api/v1/query", made.answer)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, f"{NET}.250", 0).start()
    made.url = f"http://{NET}.250:{runner.addresses[0][1]}"
    yield made
    await runner.cleanup()


@pytest.fixture
async def pods(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[dict[str, float]]:
    """Requests per second of pods that can be asked directly, by address; NaN for one that takes its time."""
    rates: dict[str, float] = {}

    async def answer(request: web.Request) -> web.Response:
        rate = rates.get(request.url.host or "")
        if rate is None:
            return web.Response(status=503)
        if math.isnan(rate):
            await asyncio.sleep(60)
        counts = {name: of * rate * (clock.now - T0 + 1e6) for name, of in METRICS.items()}
        return web.Response(text="".join(f'{name}{{model="m",version="1"}} {n:.6e}\n' for name, n in counts.items()))

    monkeypatch.setattr("triton_operator.edges.triton.time.time", clock)
    app = web.Application()
    app.router.add_get("/metrics", answer)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    for n in range(1, 10):
        await web.TCPSite(runner, f"{NET}.{n}", names.PORT_METRICS, reuse_address=True).start()
    yield rates
    await runner.cleanup()


def serve(store: Store, service: str, *, revision: str = "", version: int = 1, **autoscaling: Any) -> Key:
    spec = {"autoscaling": {"maxReplicas": 9} | autoscaling}
    spec["routing"] = {"gateway": {"parentRefs": [{"name": "inference"}]}}
    metadata = {
        "namespace": "models",
        "name": service,
        "uid": f"uid-{service}",
        "generation": 1,
        "resourceVersion": "1",
    }
    store.observe(
        "ADDED", {"apiVersion": names.API_VERSION, "kind": "InferenceService", "metadata": metadata, "spec": spec}
    )
    owner = {
        "apiVersion": names.API_VERSION,
        "kind": "InferenceService",
        "name": service,
        "uid": f"uid-{service}",
        "controller": True,
    }
    data = {"schema": SCHEMA, "model": {"name": "m", "uri": "pvc://m", "version": version}}
    data |= {"gpuCount": 0, "loadTimeoutSeconds": 60, "template": {}}
    kept = {
        "namespace": "models",
        "name": revision or f"{service}-1",
        "uid": f"uid-{service}-1",
        "resourceVersion": "1",
    }
    kept |= {"ownerReferences": [owner]}
    store.observe(
        "ADDED", {"apiVersion": "apps/v1", "kind": "ControllerRevision", "metadata": kept, "data": data, "revision": 1}
    )
    return "models", service


Made = Callable[..., Gauges]


@pytest.fixture
async def gauges(store: Store, cluster: Cluster, clock: Clock) -> AsyncIterator[Made]:
    made: list[Gauges] = []

    def make(url: str = "", *, wake: Callable[[Key], None] = lambda key: None, **more: Any) -> Gauges:
        settings = Settings(prepareImage="operator:1", prometheus=Prometheus(url=url, **more))
        made.append(Gauges(cluster, store, settings, wake, observer=Metrics(), clock=clock))  # type: ignore[arg-type]
        return made[-1]

    yield make
    for one in made:
        one.close()


def told(found: tuple[Load | None, str]) -> Load:
    assert found[0] is not None, found[1]
    return found[0]


async def test_all_services_are_asked_of_prometheus_at_once(
    store: Store, cluster: Cluster, prometheus: Prom, gauges: Made
) -> None:
    woken: list[Key] = []
    keys = [serve(store, f"s{n}") for n in range(20)]
    for n in range(20):
        cluster.ready(f"s{n}", f"s{n}-a", f"s{n}-b")
        prometheus.pods |= {f"s{n}-a": n, f"s{n}-b": n}
    made = gauges(prometheus.url, wake=woken.append)
    await made.look()
    assert woken == sorted(keys)
    for n, key in enumerate(keys):
        found, trouble = made.load(key, f"s{n}-1")
        assert (found and found.pods, trouble) == (2, "")
        assert told((found, "")).arrivals == pytest.approx(2 * n, abs=1e-3)
    (asked,) = prometheus.asked
    assert asked.endswith("[120s]")
    await made.look()
    assert prometheus.asked[1].endswith("[30s]")
    assert cluster.listed == 2


async def test_services_that_do_not_scale_cost_nothing(
    store: Store, cluster: Cluster, prometheus: Prom, gauges: Made
) -> None:
    serve(store, "s", mode="Off")
    cluster.ready("s", "a")
    await gauges(prometheus.url).look()
    assert (cluster.listed, prometheus.asked) == (0, [])


async def test_another_operators_pods_and_unknown_revisions_have_no_load(
    store: Store, cluster: Cluster, prometheus: Prom, gauges: Made
) -> None:
    key = serve(store, "s")
    cluster.ready("other", "a")
    prometheus.pods["a"] = 5
    made = gauges(prometheus.url)
    await made.look()
    assert made.load(key, "s-1") == (None, "there is no ready pod")
    assert made.load(("models", "other"), "other-1")[0] is None


async def test_without_a_prometheus_pods_are_asked_and_the_second_answer_tells(
    store: Store, cluster: Cluster, clock: Clock, pods: dict[str, float], gauges: Made
) -> None:
    key = serve(store, "s")
    cluster.ready("s", "a", "b")
    pods |= {f"{NET}.1": 10, f"{NET}.2": 30}
    made = gauges()
    await made.look()
    found, trouble = made.load(key, "s-1")
    assert found is None
    assert trouble.startswith("0 of 2 ready pods report")
    clock.now += TICK_SECONDS
    await made.look()
    assert told(made.load(key, "s-1")).arrivals == pytest.approx(40, rel=0.01)
    assert made.load(key, "s-1")[1] == ""


async def test_pods_that_prometheus_does_not_know_are_asked(
    store: Store, cluster: Cluster, clock: Clock, prometheus: Prom, pods: dict[str, float], gauges: Made
) -> None:
    key = serve(store, "s")
    cluster.ready("s", "a", "b")
    prometheus.pods["a"] = 10
    pods |= {f"{NET}.1": 1000, f"{NET}.2": 30}
    made = gauges(prometheus.url)
    for _ in range(2):
        await made.look()
        clock.now += TICK_SECONDS
    found = told(made.load(key, "s-1"))
    assert found.pods == 2
    assert found.arrivals == pytest.approx(40, rel=0.01)


async def test_when_prometheus_goes_pods_are_asked_and_nothing_is_ever_zero(
    store: Store, cluster: Cluster, clock: Clock, prometheus: Prom, pods: dict[str, float], gauges: Made
) -> None:
    key = serve(store, "s")
    cluster.ready("s", "a")
    prometheus.pods["a"] = 10
    pods[f"{NET}.1"] = 10
    made = gauges(prometheus.url)
    await made.look()
    prometheus.status = 503
    for _ in range(20):
        clock.now += TICK_SECONDS
        await made.look()
        assert told(made.load(key, "s-1")).arrivals == pytest.approx(10, rel=0.01)
    assert made.load(key, "s-1")[1] == ""


async def test_when_nobody_tells_anything_the_load_is_unknown_and_why_is_told(
    store: Store, cluster: Cluster, clock: Clock, prometheus: Prom, pods: dict[str, float], gauges: Made
) -> None:
    key = serve(store, "s")
    cluster.ready("s", "a")
    prometheus.pods["a"] = 10
    made = gauges(prometheus.url)
    await made.look()
    assert made.load(key, "s-1")[0]
    prometheus.status = 503
    for _ in range(4):
        clock.now += TICK_SECONDS
        await made.look()
    found, trouble = made.load(key, "s-1")
    assert found is None
    assert trouble.startswith(
        "0 of 1 ready pods report; the others last did at 2027-01-15T07:59:59Z; pods do not answer"
    )
    assert trouble.endswith("Prometheus says: busy")
    prometheus.status = 200
    await made.look()
    assert made.load(key, "s-1")[0]


async def test_a_triton_that_counts_nothing_is_told_from_one_that_nobody_can_reach(
    store: Store, cluster: Cluster, clock: Clock, pods: dict[str, float], gauges: Made, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = serve(store, "s")
    cluster.ready("s", "a")
    made = gauges()
    await made.look()
    assert "pods do not answer on port 8002: let the operator's pod reach it" in made.load(key, "s-1")[1]
    pods[f"{NET}.1"] = 1
    monkeypatch.delitem(METRICS, "nv_inference_queue_duration_us")
    await made.look()
    assert "remove counter_latencies=false" in made.load(key, "s-1")[1]


async def test_a_prometheus_that_scrapes_too_seldom_is_helped_out(
    store: Store, cluster: Cluster, clock: Clock, prometheus: Prom, pods: dict[str, float], gauges: Made
) -> None:
    key = serve(store, "s")
    cluster.ready("s", "a")
    prometheus.pods["a"] = 10
    prometheus.every = 30.0
    pods[f"{NET}.1"] = 50  # it is asked now, Prometheus was told before
    made = gauges(prometheus.url)
    await made.look()
    assert told(made.load(key, "s-1")).arrivals == pytest.approx(10, rel=0.01)
    clock.now += TICK_SECONDS
    await made.look()
    assert told(made.load(key, "s-1")).arrivals == pytest.approx(50, rel=0.01)


async def test_a_partial_answer_is_right_in_what_it_has(
    store: Store, cluster: Cluster, prometheus: Prom, gauges: Made
) -> None:
    key = serve(store, "s")
    cluster.ready("s", "a", "b", "c")
    prometheus.pods |= {"a": 10, "b": 10}
    prometheus.warnings = ["a store is away"]
    made = gauges(prometheus.url)
    await made.look()
    found, trouble = made.load(key, "s-1")
    assert told((found, trouble)).arrivals == pytest.approx(30, rel=0.01)
    assert trouble.startswith("1 of 3 ready pods do not report; the others have told nothing yet")
    assert trouble.endswith("Prometheus has answered in part: a store is away")
    del prometheus.pods["b"]
    anew = gauges(prometheus.url)
    await anew.look()
    assert anew.load(key, "s-1")[0] is None


async def test_two_prometheus_servers_that_scrape_a_pod_are_not_added_up(
    store: Store, cluster: Cluster, clock: Clock, prometheus: Prom, gauges: Made
) -> None:
    key = serve(store, "s")
    cluster.ready("s", "a")
    prometheus.pods["a"] = 10
    prometheus.more = [
        one
        | {"metric": one["metric"] | {"prometheus_replica": "b"}, "values": [[at - 2, n] for at, n in one["values"]]}
        for one in prometheus.series("a", 10)
    ]
    made = gauges(prometheus.url)
    original = prometheus.series
    prometheus.series = lambda pod, rate: [*original(pod, rate), *prometheus.more]  # type: ignore[method-assign]
    await made.look()
    assert told(made.load(key, "s-1")).arrivals == pytest.approx(10, rel=0.01)


async def test_an_answer_that_is_too_large_is_asked_for_over_a_shorter_time(
    store: Store, cluster: Cluster, prometheus: Prom, monkeypatch: pytest.MonkeyPatch, gauges: Made
) -> None:
    key = serve(store, "s")
    cluster.ready("s", "a")
    prometheus.pods["a"] = 10
    made = gauges(prometheus.url)
    monkeypatch.setattr("triton_operator.edges.prometheus.MOST_BYTES", 10_000)
    for samples in (100, 50):
        prometheus.samples = samples
        await made.look()
        assert "answered with more than" in made.load(key, "s-1")[1]
    prometheus.samples = 5
    await made.look()
    assert told(made.load(key, "s-1")).arrivals == pytest.approx(10, rel=0.01)
    assert [query.rpartition("[")[2] for query in prometheus.asked] == ["120s]", "60s]", "30s]"]


@pytest.mark.parametrize(
    "body",
    [
        "[]",
        '{"status":"success"}',
        '{"status":"success","data":{"result":[{"metric":{}}]}}',
        '{"status":"success","data":{"result":[7]}}',
    ],
)
async def test_whatever_prometheus_says_the_next_look_is_taken(
    store: Store, cluster: Cluster, prometheus: Prom, body: str, gauges: Made
) -> None:
    key = serve(store, "s")
    cluster.ready("s", "a")
    made = gauges(prometheus.url)

    async def answer(request: web.Request) -> web.Response:
        return web.Response(text=body, content_type="application/json")

    prometheus.answer = answer  # type: ignore[method-assign]
    await made.look()
    assert made.load(key, "s-1")[0] is None


async def test_while_the_api_server_is_away_the_known_pods_are_measured_on(
    store: Store, cluster: Cluster, clock: Clock, prometheus: Prom, gauges: Made
) -> None:
    key = serve(store, "s")
    cluster.ready("s", "a")
    prometheus.pods["a"] = 10
    made = gauges(prometheus.url)
    await made.look()
    cluster.failing = True
    clock.now += 60
    await made.look()
    found, trouble = made.load(key, "s-1")
    assert told((found, trouble)).arrivals == pytest.approx(10, rel=0.01)
    assert trouble == "the ready pods could not be listed: it is away (0 Unreachable)"


async def test_a_pod_that_has_just_become_ready_makes_no_load_of_its_own(
    store: Store, cluster: Cluster, clock: Clock, prometheus: Prom, gauges: Made
) -> None:
    key = serve(store, "s")
    cluster.ready("s", "a")
    prometheus.pods["a"] = 10
    made = gauges(prometheus.url)
    await made.look()
    cluster.slices.clear()
    cluster.ready("s", "a", "b")
    await made.look()
    found = told(made.load(key, "s-1"))
    assert (found.silent, found.arrivals) == (0, pytest.approx(10, rel=0.01))
    clock.now += NEW_SECONDS
    await made.look()
    found = told(made.load(key, "s-1"))
    assert (found.silent, found.arrivals) == (1, pytest.approx(20, rel=0.01))


async def test_pods_that_do_not_answer_have_others_wait_no_longer_than_a_look(
    store: Store, cluster: Cluster, clock: Clock, pods: dict[str, float], gauges: Made, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("triton_operator.controller.gauges.SCRAPES_SECONDS", 0.3)
    monkeypatch.setattr("triton_operator.controller.gauges.AT_A_TIME", 1)
    key, slow = serve(store, "s"), serve(store, "slow")
    cluster.ready("slow", "a")
    pods[f"{NET}.1"] = math.nan
    cluster.ready("s", "c", "d")
    cluster.slices[1]["endpoints"][0]["addresses"] = [f"{NET}.3"]
    pods |= {f"{NET}.2": 10, f"{NET}.3": 10}
    made = gauges()
    for _ in range(4):
        await made.look()
        clock.now += TICK_SECONDS
    assert told(made.load(key, "s-1")).arrivals == pytest.approx(20, rel=0.01)
    assert made.load(slow, "slow-1")[0] is None


def proxied(name: str, backend: str, values: list[list[Any]], **labels: str) -> Json:
    metric = {"__name__": name, "envoy_cluster_name": backend, "namespace": "gw", "pod": "proxy-1"}
    return {"metric": metric | labels, "values": values, "value": values[-1]}


def route(store: Store, service: str, *backends: str) -> None:
    owner = {
        "apiVersion": names.API_VERSION,
        "kind": "InferenceService",
        "name": service,
        "uid": f"uid-{service}",
        "controller": True,
    }
    metadata = {"namespace": "models", "name": service, "uid": "r", "resourceVersion": "1", "ownerReferences": [owner]}
    rules = [{"backendRefs": [{"name": backend} for backend in backends]}] * 2
    store.serve([names.HTTP_ROUTE])
    store.observe(
        "ADDED",
        {
            "apiVersion": names.HTTP_ROUTE.api_version,
            "kind": "HTTPRoute",
            "metadata": metadata,
            "spec": {"rules": rules},
        },
    )


async def test_what_a_gateway_sends_is_told_by_revision_and_protocol(
    store: Store, cluster: Cluster, clock: Clock, prometheus: Prom, gauges: Made
) -> None:
    key = serve(store, "s", objective={"latencyMilliseconds": 100, "percentile": 90})
    route(store, "s", "s-1", "s-2")
    cluster.ready("s", "a")
    prometheus.pods["a"] = 10
    for backend, proxy, rate in (("0", "p", 20), ("0", "q", 5), ("1", "p", 100)):
        for rule in "01":
            values = [[T0 - 5 * n, str(1e6 - 5 * n * rate)] for n in range(5, -1, -1)]
            for job in ("one", "another"):  # two that scrape the same proxy
                of = f"httproute/models/s/rule/{rule}/backend/{backend}"
                prometheus.more.append(proxied("envoy_cluster_upstream_rq_total", of, values, pod=proxy, job=job))
            for le, n in {"25": 50, "50": 80, "100": 100, "+Inf": 100}.items():
                prometheus.more.append(proxied("envoy_cluster_upstream_rq_time_bucket", of, [[T0, str(n)]], le=le))
    made = gauges(prometheus.url)
    await made.look()
    found = told(made.load(key, "s-1"))
    assert found.arrivals == pytest.approx(50, rel=0.01)
    assert (found.tail_source, found.tail_seconds) == ("gateway", pytest.approx(0.075))
    assert len(prometheus.asked) == 3
    assert made.load(key, "s-2")[0] is None  # it has no pods
    prometheus.more = [one | {"value": [T0, "NaN"], "values": []} for one in prometheus.more]
    clock.now += 60
    await made.look()
    found = told(made.load(key, "s-1"))
    assert (found.arrivals, found.tail_seconds) == (pytest.approx(10, rel=0.01), None)


async def test_what_a_gateway_sends_to_a_service_is_told_of_the_only_revision_that_serves(
    store: Store, cluster: Cluster, clock: Clock, prometheus: Prom, gauges: Made
) -> None:
    key = serve(store, "s", objective={"latencyMilliseconds": 100, "percentile": 90})
    route(store, "s", "s")
    cluster.ready("s", "a")
    prometheus.pods["a"] = 10
    for rule in "01":
        of = f"httproute/models/s/rule/{rule}/backend/0"
        values = [[T0 - 5 * n, str(1e6 - 5 * n * 20)] for n in range(5, -1, -1)]
        prometheus.more.append(proxied("envoy_cluster_upstream_rq_total", of, values))
        for le, n in {"25": 50, "50": 80, "100": 100, "+Inf": 100}.items():
            prometheus.more.append(proxied("envoy_cluster_upstream_rq_time_bucket", of, [[T0, str(n)]], le=le))
    made = gauges(prometheus.url)
    await made.look()
    found = told(made.load(key, "s-1"))
    assert found.arrivals == pytest.approx(40, rel=0.01)
    assert (found.tail_source, found.tail_seconds) == ("gateway", pytest.approx(0.075))


def metric(query: str) -> Json:
    return {"type": "prometheus", "query": query}


async def settled(made: Gauges, key: Key, count: int) -> None:
    async with asyncio.timeout(10):
        while len(made.values(key)) + len(made.troubles(key)) < count:  # noqa: ASYNC110  # nobody tells
            await asyncio.sleep(0.01)


async def test_peoples_queries_come_to_numbers_or_are_unknown(
    store: Store, cluster: Cluster, clock: Clock, prometheus: Prom, gauges: Made
) -> None:
    metrics = [{"type": "latency"}, *map(metric, ("good", "nothing", "endless", "none"))]
    key = serve(store, "s", metrics=metrics)
    prometheus.values = {"good": "12.5", "nothing": "NaN", "endless": "+Inf"}
    made = gauges(prometheus.url)
    await made.look()
    await settled(made, key, 4)
    assert made.values(key) == {1: 12.5}
    assert made.troubles(key) == {
        2: "it comes to nothing, or to no number",
        3: "it is infinite",
        4: "it comes to nothing, or to no number",
    }
    clock.now += 31  # nobody has asked since
    assert made.values(key) == {}
    assert made.troubles(key)[1] == "it was not answered for 30 s"


async def test_a_query_that_was_changed_is_not_taken_for_the_old_one(
    store: Store, cluster: Cluster, prometheus: Prom, gauges: Made
) -> None:
    prometheus.values = {"old": "1"}
    key = serve(store, "s", metrics=[metric("old")])
    made = gauges(prometheus.url)
    await made.look()
    await settled(made, key, 1)
    body = store.get(names.INFERENCE_SERVICE, key)
    assert body
    changed = body | {"metadata": body["metadata"] | {"resourceVersion": "2", "generation": 2}}
    store.observe("MODIFIED", changed | {"spec": {"autoscaling": {"maxReplicas": 9, "metrics": [metric("new")]}}})
    await made.look()
    assert made.values(key) == {}


async def test_where_queries_are_forbidden_none_is_asked(
    store: Store, cluster: Cluster, prometheus: Prom, gauges: Made
) -> None:
    key = serve(store, "s", metrics=[metric("secret")])
    made = gauges(prometheus.url, allowQueries=False)
    await made.look()
    await made.look()
    assert not [query for query in prometheus.asked if "secret" in query]
    assert made.values(key) == {}
    assert made.troubles(key) == {0: "the operator's setting prometheus.allowQueries is false"}


def test_queries_keep_their_places() -> None:
    metrics = [
        {"type": "latency"},
        metric("a"),
        {"type": "throughput"},
        metric("b"),
    ]
    assert queries_of({"spec": {"autoscaling": {"metrics": metrics}}}) == [(1, "a"), (3, "b")]
    assert queries_of({"spec": {}}) == []


async def test_looking_goes_on_after_a_failure_and_ends_when_it_is_cancelled(
    store: Store, cluster: Cluster, gauges: Made, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("triton_operator.controller.gauges.TICK_SECONDS", 0.01)
    serve(store, "s")
    looks = asyncio.Semaphore(0)

    async def failing(*_: Any, **__: Any) -> list[Json]:
        looks.release()
        raise RuntimeError

    cluster.list_cached = failing  # type: ignore[method-assign]
    task = asyncio.create_task(gauges().run())
    for _ in range(3):
        await looks.acquire()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_two_hundred_services_are_asked_for_in_three_questions(
    store: Store, cluster: Cluster, clock: Clock, prometheus: Prom, gauges: Made
) -> None:
    prometheus.samples = 7
    for n in range(200):
        serve(store, f"s{n}")
        route(store, f"s{n}", f"s{n}-1")
        cluster.ready(f"s{n}", *(f"s{n}-{pod}" for pod in "abc"))
        prometheus.pods |= {f"s{n}-{pod}": 10 for pod in "abc"}
    made = gauges(prometheus.url)
    for _ in range(2):
        asked = len(prometheus.asked)
        await made.look()
        loads = [made.load(("models", f"s{n}"), f"s{n}-1")[0] for n in range(200)]
        assert len(prometheus.asked) - asked == 3
        assert all(load and load.pods == 3 for load in loads)
        clock.now += TICK_SECONDS
    assert MOST_PODS < 600
