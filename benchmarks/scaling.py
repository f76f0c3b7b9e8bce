"""`python -m benchmarks.scaling`: what autoscaling of many services costs the operator, Prometheus and the API server.

No Triton runs: an exporter tells what they would have counted, a real Prometheus scrapes it, the pods are kwok's.
Not for: how well replicas follow a load; that is `benchmarks.autoscaling`.
"""

import argparse
import asyncio
import json
import os
import sys
import time
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
from aiohttp import web
from prometheus_client.parser import text_string_to_metric_families

from benchmarks.api import Api
from benchmarks.api_server import free_ports, running
from benchmarks.installation import Ended, Installation, Replica, installation, interruptible, warnings
from benchmarks.nodes import POD_RANGE, add_nodes, simulated
from benchmarks.report import circumstances
from benchmarks.services import Wish, make_namespace, service
from benchmarks.sheet import Bar, Sheet, grown, megabytes, verbs
from benchmarks.waiting import TookTooLong, until
from cluster import tools
from cluster.cache import cache_from_environment
from cluster.processes import ClusterError
from cluster.progress import step
from triton_operator.api import names

Json = dict[str, Any]

BENCH = "bench"
NODES = 20
SECONDS_EACH = 0.02
QUIET_RATE, BUSY_RATE = 5.0, 110.0
WATCHED_SECONDS = 60.0
PATIENCE_SECONDS = 600
TICK_BAR = Bar(5.0, "s")
COUNTERS = {
    "request_success": 1.0,
    "request_failure": 0.0,
    "exec_count": 1.0,
    "count": 1.0,
    "request_duration_us": 1.2e6 * SECONDS_EACH,
    "queue_duration_us": 0.2e6 * SECONDS_EACH,
    "compute_input_duration_us": 0.0,
    "compute_infer_duration_us": 1e6 * SECONDS_EACH,
    "compute_output_duration_us": 0.0,
}
"""What one request adds to each counter."""


@dataclass
class Exporter:
    """Tells what the Tritons of all services would have counted, if their requests were shared out evenly.

    Attributes:
        rate: requests per second of each service.
        pods: ready pods by service.
    """

    rate: float = QUIET_RATE
    pods: dict[str, list[str]] = field(default_factory=dict)
    _counted: dict[str, float] = field(default_factory=lambda: defaultdict(float))
    _at: float = field(default_factory=time.monotonic)

    def count(self) -> None:
        """Add what has come since the last time."""
        now = time.monotonic()
        for pods in self.pods.values():
            for pod in pods:
                self._counted[pod] += (now - self._at) * self.rate / len(pods)
        self._at = now

    async def page(self, _: web.Request) -> web.Response:
        """Write the counters of all pods."""
        self.count()
        lines = [f"# TYPE nv_inference_{name} counter" for name in COUNTERS]
        for pods in self.pods.values():
            for pod in pods:
                labels = f'{{namespace="{BENCH}",pod="{pod}",model="m",version="1"}}'
                requests = self._counted[pod]
                lines += [f"nv_inference_{name}{labels} {requests * each:.3f}" for name, each in COUNTERS.items()]
                lines.append(f"nv_inference_pending_request_count{labels} 0")
        return web.Response(text="\n".join(lines) + "\n", content_type="text/plain")

    async def follow(self, api: Api) -> None:
        """Look again and again which pods are ready."""
        while True:
            found: dict[str, list[str]] = defaultdict(list)
            for pod in await api.list(names.POD, BENCH):
                ready = any(c["type"] == "Ready" and c["status"] == "True" for c in pod["status"].get("conditions", ()))
                if ready and "deletionTimestamp" not in pod["metadata"]:
                    found[pod["metadata"]["labels"][names.LABEL_SERVICE]].append(pod["metadata"]["name"])
            self.count()
            self.pods = dict(found)
            await asyncio.sleep(2)


@asynccontextmanager
async def exported(exporter: Exporter, api: Api) -> AsyncIterator[int]:
    """Serve the exporter's page on loopback; gives its port."""
    (port,) = free_ports(1)
    app = web.Application()
    app.router.add_get("/metrics", exporter.page)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    following = asyncio.create_task(exporter.follow(api))
    try:
        yield port
    finally:
        following.cancel()
        await asyncio.wait({following})
        await runner.cleanup()


@asynccontextmanager
async def prometheus(installed: Installation, target: int) -> AsyncIterator[str]:
    """Run a Prometheus that scrapes the exporter every five seconds; gives its address."""
    cache = cache_from_environment(os.environ)
    with cache.locked():
        program = tools.build(cache, [tools.PROMETHEUS])[tools.PROMETHEUS.name]
    (port,) = free_ports(1)
    folder = installed.server.folder
    job = {"job_name": "tritons", "honor_labels": True, "static_configs": [{"targets": [f"127.0.0.1:{target}"]}]}
    (folder / "prometheus.yml").write_text(json.dumps({"global": {"scrape_interval": "5s"}, "scrape_configs": [job]}))
    command: list[str | Path] = [
        program,
        f"--config.file={folder / 'prometheus.yml'}",
        f"--storage.tsdb.path={folder / 'tsdb'}",
        f"--web.listen-address=127.0.0.1:{port}",
    ]
    with running(folder, command):
        yield f"http://127.0.0.1:{port}"


async def asked(url: str) -> float:
    """Read how many queries a Prometheus has answered."""
    async with aiohttp.ClientSession() as session, session.get(f"{url}/metrics") as answer:
        text = await answer.text()
    samples = [sample for family in text_string_to_metric_families(text) for sample in family.samples]
    return sum(
        sample.value
        for sample in samples
        if sample.name == "prometheus_http_requests_total" and sample.labels.get("handler") == "/api/v1/query"
    )


@dataclass
class Bench:
    """One run; the attributes are what its parts share."""

    installed: Installation
    api: Api
    exporter: Exporter
    url: str
    count: int
    sheet: Sheet = field(default_factory=Sheet)

    async def create(self) -> None:
        """Create all services, and wait until replicas of all follow what is measured."""
        for number in range(self.count):
            body = service(BENCH, f"service-{number:04}", Wish("first", homeless=False))
            body["spec"]["autoscaling"] = {"maxReplicas": 5, "objective": {"latencyMilliseconds": 100}}
            await self.api.create(names.INFERENCE_SERVICE, body)
        await self._until("all follow", lambda status: _active(status) not in ("", "Starting", "MetricsUnavailable"))

    async def watch(self, operator: Replica, state: str) -> None:
        """See what looks cost for a while."""
        before, mark, queries = await operator.read(), self.installed.server.mark(), await asked(self.url)
        await asyncio.sleep(WATCHED_SECONDS)
        after = await operator.read()
        looks = grown(before, after, "signals_look_seconds_count")
        mean = grown(before, after, "signals_look_seconds_sum") / looks
        self.sheet.tell(f"{state}: time of one look at all, on average", f"{mean:.2f} s", bar=TICK_BAR.judge(mean))
        self.sheet.tell("… questions to Prometheus per look", f"{(await asked(self.url) - queries) / looks:.1f}")
        self.sheet.tell("… series per look", f"{after.total('signals_series'):.0f}")
        cpu = grown(before, after, "process_cpu_seconds_total") / WATCHED_SECONDS
        self.sheet.tell("… CPU; memory (RSS)", f"{cpu:.1%} of a core; {megabytes(after):.0f} MB")
        self.sheet.tell("… writes by verb", verbs(self.installed.server.writes(since=mark)) or "none")

    async def rise(self) -> None:
        """Let the load of all rise at once, and wait until all have the replicas that it takes."""
        loop = asyncio.get_running_loop()
        began = loop.time()
        self.exporter.count()
        self.exporter.rate = BUSY_RATE
        await self._until("all have grown", lambda status: (status.get("autoscaling") or {}).get("desired", 1) >= 3)
        decided = loop.time() - began
        await self._until("all are ready", lambda status: status.get("readyReplicas", 0) >= 3)
        self.sheet.tell(
            "the load of all rises at once: all have decided; all have their replicas ready",
            f"{decided:.0f} s; {loop.time() - began:.0f} s",
        )

    async def _until(self, what: str, holds: Any) -> None:
        async def all_do() -> bool:
            found = await self.api.list(names.INFERENCE_SERVICE, BENCH)
            return len(found) == self.count and all(holds(body.get("status") or {}) for body in found)

        await until(all_do, what, every_seconds=1.0, patience_seconds=PATIENCE_SECONDS)


def _active(status: Json) -> str:
    return next((c["reason"] for c in status.get("conditions") or () if c["type"] == "ScalingActive"), "")


async def run(count: int) -> str:
    """Measure everything once.

    Args:
        count: services.

    Returns:
        A table in Markdown.
    """
    interruptible()
    told = circumstances()
    async with installation() as installed, installed.server.connect() as api, simulated(installed.server):
        await make_namespace(api, BENCH)
        await add_nodes(api, NODES, allocatable={"cpu": "1k", "memory": "8Ti"})
        exporter = Exporter()
        async with exported(exporter, api) as port, prometheus(installed, port) as url:
            bench = Bench(installed, api, exporter, url, count)
            # Nothing but Prometheus can be asked: pods have addresses where nobody answers.
            async with installed.replicas(1, prometheus={"url": url}) as (operator,):
                operator.start()
                await operator.leads()
                with step(f"creating {count} services"):
                    await bench.create()
                with step("a steady load"):
                    await bench.watch(operator, f"{count} services, a steady load")
                with step("a rising load"):
                    await bench.rise()
                with step("a steady load on more pods"):
                    await bench.watch(operator, f"{sum(map(len, exporter.pods.values()))} pods, a steady load")
                await operator.stop()
                bench.sheet.tell("unexpected errors in the operator's log", str(len(warnings(operator))))
    return f"{told}, pods in {POD_RANGE}\n\n{bench.sheet.markdown()}"


def main() -> int:
    """Run the benchmark; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.scaling", description=__doc__)
    parser.add_argument("--services", type=int, default=200, metavar="N", help="InferenceServices (200)")
    options = parser.parse_args()
    try:
        print(asyncio.run(run(options.services)))
    except (ClusterError, Ended, TookTooLong) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
