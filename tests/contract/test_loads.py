"""The load of real Tritons, as a real Prometheus and the Tritons themselves tell it; and what is told when one fails.

The Tritons are two pods of a service, each with an address of its own. Prometheus finds them as it does in a cluster,
by labels of discovery that are relabelled, and scrapes each of them twice, as two Prometheus servers behind one address
do.
"""

import asyncio
import json
import os
import shutil
import signal
import threading
import time
import urllib.request
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from cluster import debian
from cluster.cache import cache_from_environment
from triton_operator.api import names
from triton_operator.api.settings import Prometheus as PrometheusSettings
from triton_operator.api.settings import Settings
from triton_operator.controller.gauges import Gauges
from triton_operator.controller.metrics import Metrics
from triton_operator.controller.store import Store
from triton_operator.core.load import Load
from triton_operator.core.revision import SCHEMA
from triton_operator.core.signals import Sample
from triton_operator.edges import loads
from triton_operator.edges.prometheus import Prometheus
from triton_operator.edges.triton import counters

from .conftest import TritonServer
from .servers import Servers, free_port

pytestmark = pytest.mark.contract

Json = dict[str, Any]
Triton = Callable[..., TritonServer]

KEY, REVISION = ("models", "sleeper"), "sleeper-1"
M = ("m", "1")
PODS = {"sleeper-1-a": "127.0.83.1", "sleeper-1-b": "127.0.83.2"}
SECONDS_OF_A_BATCH = 0.05
MODEL = """
import time
import triton_python_backend_utils as pb_utils

class TritonPythonModel:
    def execute(self, requests):
        time.sleep(0.05)
        inputs = [pb_utils.get_input_tensor_by_name(request, "X").as_numpy() for request in requests]
        if any((x < 0).any() for x in inputs):
            raise ValueError("negative")
        return [pb_utils.InferenceResponse([pb_utils.Tensor("Y", x)]) for x in inputs]
"""
CONFIG = """
backend: "python"
max_batch_size: 4
input [ { name: "X", data_type: TYPE_FP32, dims: [ 1 ] } ]
output [ { name: "Y", data_type: TYPE_FP32, dims: [ 1 ] } ]
dynamic_batching { }
"""
CACHED = CONFIG + "response_cache { enable: true }\n"
SCRAPING = """
global: {scrape_interval: 1s, scrape_timeout: 900ms}
scrape_configs:
"""
JOB = """
- job_name: %s
  static_configs: [%s]
  relabel_configs:
  - {source_labels: [__meta_kubernetes_namespace], target_label: namespace}
  - {source_labels: [__meta_kubernetes_pod_name], target_label: pod}
"""
TARGET = "{targets: ['%s:8002'], labels: {__meta_kubernetes_namespace: models, __meta_kubernetes_pod_name: %s}}"


def repository(root: Path, config: str) -> Path:
    directory = root / "models" / "m" / "1"
    directory.mkdir(parents=True)
    (directory / "model.py").write_text(MODEL)
    (directory.parent / "config.pbtxt").write_text(config)
    return root / "models"


def ask(server: TritonServer, value: float, *, batch: int = 1) -> int:
    body = {"inputs": [{"name": "X", "shape": [batch, 1], "datatype": "FP32", "data": [value] * batch}]}
    request = urllib.request.Request(f"http://{server.http}/v2/models/m/infer", data=json.dumps(body).encode())
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return int(answer.status)
    except OSError:
        return 0


def end(*servers: TritonServer) -> None:
    """End servers at once, with what runs their models: there is nothing that they have to finish."""
    for server in servers:
        threads = Path(f"/proc/{server.process.pid}/task").iterdir()
        stubs = [int(child) for thread in threads for child in (thread / "children").read_text().split()]
        server.process.kill()
        server.process.wait()
        for stub in stubs:
            with suppress(ProcessLookupError):
                os.kill(stub, signal.SIGKILL)


async def sample(address: str, port: int, *, requests: int) -> Sample:
    """What a Triton has counted, once so many requests are: it counts them shortly after it has answered them."""
    async with asyncio.timeout(10):
        while True:
            found = (await counters(address, port=port) or {}).get(M)
            if found and found.counts.succeeded + found.counts.failed >= requests:
                return found
            await asyncio.sleep(0.05)


async def test_what_triton_counts_of_batches_failures_and_answers_of_its_cache(
    tritonserver: Triton, tmp_path: Path
) -> None:
    server = tritonserver(repository(tmp_path, CACHED), "--cache-config=local,size=1048576")
    host, _, port = server.metrics.rpartition(":")
    idle = await sample(host, int(port), requests=0)
    assert (idle.counts.succeeded, idle.counts.failed, idle.counts.executions, idle.pending) == (0, 0, 0, 0)
    assert ask(server, 1.0, batch=3) == 200
    assert ask(server, -1.0) == 0
    once = await sample(host, int(port), requests=2)
    assert (once.counts.succeeded, once.counts.failed, once.counts.cached) == (1, 1, 0)
    assert once.counts.inferences == 3
    assert [ask(server, 1.0, batch=3) for _ in range(20)] == [200] * 20
    after = await sample(host, int(port), requests=22)
    hits = after.counts.since(once.counts)
    assert (hits.succeeded, hits.cached, hits.executed) == (20, 20, 0)
    assert (hits.executions, hits.inferences, hits.compute_seconds) == (0, 0, 0)
    # So that what is left without the hits is what executed requests took: a thousandth of them, all hits together.
    assert hits.request_seconds - hits.cached_seconds < 0.01 * SECONDS_OF_A_BATCH * 20
    assert hits.queue_seconds < 0.01 * SECONDS_OF_A_BATCH * 20
    end(server)


async def test_without_latency_counters_nothing_is_known_instead_of_zero(tritonserver: Triton, tmp_path: Path) -> None:
    server = tritonserver(repository(tmp_path, CONFIG), "--metrics-config=counter_latencies=false")
    host, _, port = server.metrics.rpartition(":")
    assert ask(server, 1.0) == 200
    await asyncio.sleep(0.2)
    assert await counters(host, port=int(port)) == {}
    end(server)


class Cluster:
    async def list_cached(self, kind: names.Kind, *, namespace: str | None, label_selector: str) -> list[Json]:
        labels = {names.LABEL_SERVICE: KEY[1], names.LABEL_REVISION: REVISION}
        endpoints = [{"addresses": [ip], "targetRef": {"uid": pod, "name": pod}} for pod, ip in PODS.items()]
        return [{"metadata": {"namespace": KEY[0], "labels": labels}, "endpoints": endpoints}]


def gauges_of(url: str) -> Gauges:
    store = Store()
    place = {"namespace": KEY[0], "resourceVersion": "1"}
    service = {"apiVersion": names.API_VERSION, "kind": "InferenceService", "spec": {"autoscaling": {"maxReplicas": 9}}}
    store.observe(None, service | {"metadata": place | {"name": KEY[1], "uid": "s", "generation": 1}})
    owner = {
        "apiVersion": names.API_VERSION,
        "kind": "InferenceService",
        "name": KEY[1],
        "uid": "s",
        "controller": True,
    }
    data = {"schema": SCHEMA, "model": {"name": "m", "uri": "pvc://m", "version": 1}, "gpuCount": 0}
    data |= {"loadTimeoutSeconds": 60, "template": {}}
    kept = {"apiVersion": "apps/v1", "kind": "ControllerRevision", "data": data, "revision": 1}
    store.observe(None, kept | {"metadata": place | {"name": REVISION, "uid": "r", "ownerReferences": [owner]}})
    settings = Settings(prepareImage="operator:1", prometheus=PrometheusSettings(url=url))
    return Gauges(Cluster(), store, settings, lambda key: None, observer=Metrics(), clock=time.time)  # type: ignore[arg-type]


class Clients:
    """Ask Tritons in turn, so many times a second."""

    def __init__(self, servers: dict[str, TritonServer], rate: float) -> None:
        self.servers, self.rate = servers, rate
        self._over = threading.Event()
        self._pool = ThreadPoolExecutor(16)
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        n, began = 0, time.monotonic()
        while not self._over.wait(max(0.0, began + n / self.rate - time.monotonic())):
            n += 1
            self._pool.submit(ask, list(self.servers.values())[n % len(self.servers)], 1.0)

    def stop(self) -> None:
        self._over.set()
        self._thread.join()
        self._pool.shutdown(cancel_futures=True)


class Scraper:
    """A Prometheus that can be killed and begun anew at the same address."""

    def __init__(self, work: Path) -> None:
        self.servers, self.work, self.port = Servers(work, work), work, free_port()
        cache = cache_from_environment(os.environ)
        with cache.locked():
            self.program = debian.program_of(cache, "prometheus", "usr/bin/prometheus")
        targets = ", ".join(TARGET % (ip, pod) for pod, ip in PODS.items())
        (work / "prometheus.yml").write_text(SCRAPING + JOB % ("one", targets) + JOB % ("another", targets))

    def start(self) -> str:
        options = (f"config.file={self.work}/prometheus.yml", f"storage.tsdb.path={self.work}/data")
        command = [str(self.program), f"--web.listen-address=127.0.0.1:{self.port}", *(f"--{of}" for of in options)]
        return self.servers.start(command, self.port, ready="/-/ready")

    def kill(self) -> None:
        process = self.servers.started[-1]
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


@pytest.fixture
def scraper(tmp_path: Path) -> Iterator[Scraper]:
    made = Scraper(tmp_path)
    yield made
    made.servers.stop()


async def until(look: Callable[[], Awaitable[Load | None]], holds: Callable[[Load], bool], *, seconds: float) -> Load:
    """Look twice a second until something holds of the load."""
    found = None
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        found = await look()
        if found and holds(found):
            return found
        await asyncio.sleep(0.5)
    raise AssertionError(found)


async def test_a_load_outlives_prometheus_and_restarts_of_pods(
    tritonserver: Triton, tmp_path: Path, scraper: Scraper, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("triton_operator.controller.gauges.SLOW_SECONDS", 2.0)
    models = repository(tmp_path, CONFIG)

    def pod(address: str) -> TritonServer:
        return tritonserver(models, f"--metrics-address={address}", "--metrics-port=8002")

    servers = {name: pod(address) for name, address in PODS.items()}
    url = scraper.start()
    gauges = gauges_of(url)
    clients = Clients(servers, rate=40)
    try:

        async def look() -> Load | None:
            await gauges.look()
            found, trouble = gauges.load(KEY, REVISION)
            assert found or trouble
            assert found is None or found.arrivals < 80
            return found

        # What both jobs have scraped is not added up.
        first = await until(look, lambda load: load.pods == 2 and load.seconds > 5, seconds=15)
        assert first.arrivals == pytest.approx(40, rel=0.2)
        assert 1 <= first.batch <= 4
        assert first.batch_seconds
        assert SECONDS_OF_A_BATCH <= first.batch_seconds < 4 * SECONDS_OF_A_BATCH  # the machine may be busy
        assert first.latency_seconds
        assert first.latency_seconds > SECONDS_OF_A_BATCH

        # Prometheus goes: the pods are asked, and there is a load all the time.
        scraper.kill()
        gone = time.time()
        after = await until(look, lambda load: load.at > gone + 4, seconds=10)
        assert after.arrivals == pytest.approx(40, rel=0.25)

        # It comes again and remembers nothing: an operator that has just begun, too, knows nothing yet.
        shutil.rmtree(tmp_path / "data")
        scraper.start()
        anew = gauges_of(url)
        await anew.look()
        assert anew.load(KEY, REVISION)[0] is None
        anew.close()
        assert await look()

        # A pod begins anew, and its counters at 0.
        name, address = next(iter(PODS.items()))
        end(servers[name])
        servers[name] = pod(address)
        again = time.time()
        later = await until(look, lambda load: load.at > again + 3 and load.pods == 2, seconds=10)
        assert 15 < later.arrivals < 50
    finally:
        end(*servers.values())
        clients.stop()
        gauges.close()


@pytest.fixture
async def proxy(tmp_path: Path) -> AsyncIterator[tuple[str, Path]]:
    """A Prometheus that scrapes a page twice a second, and the page."""
    page = tmp_path / "served" / "stats"
    page.parent.mkdir()
    page.write_text("")
    servers = Servers(page.parent, tmp_path)
    cache = cache_from_environment(os.environ)
    with cache.locked():
        program = debian.program_of(cache, "prometheus", "usr/bin/prometheus")
    target = servers.python().removeprefix("http://")
    (tmp_path / "prometheus.yml").write_text(
        "{global: {scrape_interval: 500ms, scrape_timeout: 400ms}, scrape_configs: [{job_name: envoy,"
        f" metrics_path: /stats, static_configs: [{{targets: ['{target}']}}]}}]}}"
    )
    port = free_port()
    options = (f"config.file={tmp_path}/prometheus.yml", f"storage.tsdb.path={tmp_path}/data")
    command = [str(program), f"--web.listen-address=127.0.0.1:{port}", *(f"--{option}" for option in options)]
    yield servers.start(command, port, ready="/-/ready"), page
    servers.stop()


async def test_what_a_proxy_tells_of_the_backends_of_a_route(proxy: tuple[str, Path]) -> None:
    url, page = proxy
    rule, other = "httproute/models/a.b/rule/0", "httproute/models/aXb/rule/0"
    source = Prometheus(PrometheusSettings(url=url))

    def tell(requests: int) -> None:
        lines = []
        for of in (rule, other):
            label = f'envoy_cluster_name="{of}/backend/0"'
            lines.append(f"envoy_cluster_upstream_rq_total{{{label}}} {requests}\n")
            counts = {"25": requests // 2, "50": requests, "+Inf": requests}
            lines += [f'envoy_cluster_upstream_rq_time_bucket{{{label},le="{le}"}} {n}\n' for le, n in counts.items()]
        written = page.with_name("written")
        written.write_text("".join(lines))
        written.replace(page)

    try:
        tell(100)
        sent: list[loads.Sent] = []
        durations: dict[str, dict[float, float]] = {}
        requests = 100
        async with asyncio.timeout(15):
            while not durations or len({of.requests for of in sent}) < 3:
                await asyncio.sleep(0.4)
                requests += 100
                tell(requests)
                answer, _ = await source.part(loads.sent_query([rule], seconds=30))
                found = list(loads.read_sent(answer))
                assert {backend for backend, *_ in found} <= {f"{rule}/backend/0"}
                sent = [one for *_, told in found for one in told]
                durations = loads.read_durations(await source.series(loads.durations_query([rule], seconds=60)))
        assert list(durations) == [f"{rule}/backend/0"]
        buckets = durations[f"{rule}/backend/0"]
        assert sorted(buckets) == [0.025, 0.05, float("inf")]
        assert buckets[0.025] == pytest.approx(buckets[0.05] / 2)
        everything = [f"httproute/models/{'x' * 60}-{n}/rule/0" for n in range(100)]
        answer, _ = await source.part(loads.sent_query(everything, seconds=30))  # names that are too long to be asked
        assert {backend for backend, *_ in loads.read_sent(answer)} == {f"{rule}/backend/0", f"{other}/backend/0"}
    finally:
        source.close()
