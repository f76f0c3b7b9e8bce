"""`python -m benchmarks.reconcile`: how fast the operator is, how much it asks of the API server, what it weighs.

Not for: whether it is right; that is what tests and `benchmarks.soak` are for.
"""

import argparse
import asyncio
import signal
import sys
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from benchmarks.api import NAMESPACE, Api
from benchmarks.installation import Ended, Installation, Reading, Replica, installation, interruptible, warnings
from benchmarks.report import circumstances, quantile, table
from benchmarks.services import Arrivals, Kubelet, Wish, service
from benchmarks.waiting import TookTooLong, until
from cluster.processes import ClusterError
from cluster.progress import note, step
from triton_operator.api import names

Json = dict[str, Any]

BENCH = "bench"
CHANGES_PER_SECOND = 20.0
IN_FLIGHT = 16
IDLE_SECONDS = 60
QUIET_SECONDS = 5
HAND_OVERS = 3
PATIENCE_SECONDS = 600


@dataclass(slots=True)
class Bench:
    """One run.

    Attributes:
        installed: the API server and the chart on it.
        api: the user's connection.
        arrivals: when Deployments appeared.
        count: services.
        rows: what was measured so far.
    """

    installed: Installation
    api: Api
    arrivals: Arrivals
    count: int
    rows: list[tuple[str, str]] = field(default_factory=list)

    @property
    def services(self) -> list[str]:
        """Their names."""
        return [f"service-{number:04}" for number in range(self.count)]

    def tell(self, what: str, result: str) -> None:
        """Note a result; a run that is ended early has shown what it measured until then."""
        self.rows.append((what, result))
        note(f"{what}: {result}")

    async def create(self, operator: Replica) -> None:
        """Create all services at once."""
        before, slots = await operator.read(), asyncio.Semaphore(IN_FLIGHT)
        loop = asyncio.get_running_loop()
        began = loop.time()
        created: list[float] = []

        async def one(name: str) -> tuple[float, float]:
            async with slots:
                sent = loop.time()
                await self.api.create(names.INFERENCE_SERVICE, service(BENCH, name, Wish("first")))
                created.append(loop.time())
            at = await self.arrivals.at(name, "first")
            return at - sent, at - began

        async with asyncio.timeout(PATIENCE_SECONDS):
            times = await asyncio.gather(*map(one, self.services))
        own, since = [t[0] for t in times], [t[1] for t in times]
        self.tell(
            f"{self.count} services created, {IN_FLIGHT} at a time: all accepted after", f"{max(created) - began:.1f} s"
        )
        self.tell("… from sending a service to its Deployment, p50 / p99", _pair(own))
        self.tell(
            "… the last Deployment after", f"{max(since):.1f} s ({self.count / max(since):.0f} services per second)"
        )
        await self._account(operator, before, "creation")

    async def change(self, operator: Replica) -> None:
        """Change one environment variable of each service, at a steady rate."""
        before, loop = await operator.read(), asyncio.get_running_loop()
        began = loop.time()

        async def one(number: int, name: str) -> float:
            await asyncio.sleep(began + number / CHANGES_PER_SECOND - loop.time())
            sent = loop.time()
            patch = {"spec": {"runtime": Wish("second").spec()["runtime"]}}
            await self.api.merge(names.INFERENCE_SERVICE, BENCH, name, patch)
            return await self.arrivals.at(name, "second") - sent

        async with asyncio.timeout(PATIENCE_SECONDS):
            times = await asyncio.gather(*(one(number, name) for number, name in enumerate(self.services)))
        self.tell(
            f"one variable changed in each, {CHANGES_PER_SECOND:.0f} services per second: "
            "to the Deployment of the new revision, p50 / p99 / most",
            f"{_pair(times)} / {max(times):.2f} s",
        )
        await self._account(operator, before, "change")

    async def serve(self, operator: Replica) -> None:
        """Let all pods be called ready, and wait until all services are Ready."""
        before, loop = await operator.read(), asyncio.get_running_loop()
        began = loop.time()
        kubelet = Kubelet(self.api, BENCH)

        async def all_ready() -> bool:
            await kubelet.look()
            return all(map(_is_ready, await self.api.list(names.INFERENCE_SERVICE, BENCH)))

        await until(all_ready, "all services are Ready", every_seconds=0.3, patience_seconds=PATIENCE_SECONDS)
        self.tell("all pods called ready: all services Ready after", f"{loop.time() - began:.1f} s")
        await self._account(operator, before, "getting ready")

    async def idle(self, operator: Replica, state: str) -> None:
        """Count what the operator asks for while nothing happens."""
        before, mark = await operator.read(), self.installed.server.mark()
        await asyncio.sleep(IDLE_SECONDS)
        after = await operator.read()
        reads = _calls(after) - _calls(before)
        leases = after.total("api_calls_total", verb="update") - before.total("api_calls_total", verb="update")
        cpu = after.total("process_cpu_seconds_total") - before.total("process_cpu_seconds_total")
        verbs = _verbs(self.installed.server.writes(since=mark))
        self.tell(
            f"{IDLE_SECONDS} s without a change, {state}: writes by verb; all calls; CPU",
            f"{verbs}; {reads:.0f} calls, {leases:.0f} of them for the Lease; {cpu / IDLE_SECONDS:.1%} of a core",
        )

    async def restart(self, operator: Replica) -> None:
        """Restart the operator where nothing is to be done."""
        await operator.stop()
        mark, loop = self.installed.server.mark(), asyncio.get_running_loop()
        began = loop.time()
        operator.start()
        await operator.leads()
        led = loop.time()

        async def idle() -> bool:
            reading = await operator.read()
            looked = reading.total("reconcile_duration_seconds_count")
            return looked >= self.count and reading.total("queue_depth") == 0

        await until(idle, "it is idle", every_seconds=0.02, patience_seconds=PATIENCE_SECONDS)
        ended = loop.time()
        self.tell(
            "restart with all services Ready: process to leader; to idle with every service looked at",
            f"{led - began:.1f} s; {ended - began:.1f} s",
        )
        await self.settle(operator)
        reading, verbs = await operator.read(), _verbs(self.installed.server.writes(since=mark))
        self.tell(
            "… children written (metrics); writes by verb (audit log)",
            f"{reading.total('applies_total', result='changed'):.0f}; {verbs}",
        )
        self.tell("… memory (RSS) afterwards", _memory(reading))

    async def hand_over(self, number: signal.Signals, words: str) -> None:
        """Measure how long it takes until the other one of two replicas acts."""
        led: list[float] = []
        acted: list[float] = []
        loop = asyncio.get_running_loop()
        async with self.installed.replicas(2) as replicas:
            for replica in replicas:
                replica.start()
            for turn in range(HAND_OVERS):
                old, new = await _leader_first(replicas)
                name, mark = self.services[turn % self.count], f"{number.name}-{turn}"
                began = loop.time()
                old.send(number)
                patch = {"spec": {"runtime": Wish(mark).spec()["runtime"]}}
                await self.api.merge(names.INFERENCE_SERVICE, BENCH, name, patch)
                async with asyncio.timeout(PATIENCE_SECONDS):
                    await new.leads()
                    led.append(loop.time() - began)
                    acted.append(await self.arrivals.at(name, mark) - began)
                await old.ended()
                await self.settle(new)
                old.start()
        self.tell(
            f"{words}, two replicas, {HAND_OVERS} times: until the other leads, p50 / most",
            f"{quantile(led, 0.5):.2f} / {max(led):.2f} s",
        )
        self.tell(
            "… until a change made at that moment has its Deployment, p50 / most",
            f"{quantile(acted, 0.5):.2f} / {max(acted):.2f} s",
        )

    async def settle(self, operator: Replica) -> None:
        """Wait until nothing is queued and nothing has been written for a while."""
        mark, since = -1, 0.0
        loop = asyncio.get_running_loop()

        async def quiet() -> bool:
            nonlocal mark, since
            writes = len(self.installed.server.writes())
            if writes != mark or (await operator.read()).total("queue_depth"):
                mark, since = writes, loop.time()
            return loop.time() - since > QUIET_SECONDS

        await until(quiet, "it is quiet", every_seconds=0.5, patience_seconds=PATIENCE_SECONDS)

    async def _account(self, operator: Replica, before: Reading, phase: str) -> None:
        await self.settle(operator)
        after = await operator.read()
        looks = after.total("reconcile_duration_seconds_count") - before.total("reconcile_duration_seconds_count")
        seconds = after.total("reconcile_duration_seconds_sum") - before.total("reconcile_duration_seconds_sum")
        calls, was = after.by("api_calls_total", "verb"), before.by("api_calls_total", "verb")
        verbs = {verb: calls[verb] - was.get(verb, 0) for verb in sorted(calls) if calls[verb] > was.get(verb, 0)}
        listed = ", ".join(f"{verb} {count / looks:.2f}" for verb, count in verbs.items())
        self.tell(
            f"… reconciles per service, their mean time, API calls per reconcile until all is quiet ({phase})",
            f"{looks / self.count:.1f}; {1000 * seconds / looks:.0f} ms; {sum(verbs.values()) / looks:.2f} ({listed})",
        )
        self.tell(f"… memory (RSS) after {phase}", _memory(after))


async def run(count: int) -> str:
    """Measure everything once.

    Args:
        count: services.

    Returns:
        A table in Markdown.
    """
    interruptible()
    told = circumstances()
    async with installation() as installed, installed.server.connect() as api:
        body = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": BENCH}}
        await api.create(NAMESPACE, body)
        async with Arrivals.watched(api, BENCH) as arrivals:
            bench = Bench(installed, api, arrivals, count)
            async with installed.replicas(1) as (operator,):
                operator.start()
                await operator.leads()
                await bench.settle(operator)
                bench.tell("memory (RSS) without services", _memory(await operator.read()))
                with step(f"creating {count} services"):
                    await bench.create(operator)
                with step(f"changing {count} services"):
                    await bench.change(operator)
                with step(f"{IDLE_SECONDS} s without a change, pods pending"):
                    await bench.idle(operator, "all pods pending")
                with step("calling all pods ready"):
                    await bench.serve(operator)
                with step(f"{IDLE_SECONDS} s without a change, services Ready"):
                    await bench.idle(operator, "all services Ready")
                with step("restarting"):
                    await bench.restart(operator)
                await operator.stop()
                bench.tell("unexpected errors in the operator's log", str(len(warnings(operator))))
            with step("handing over after SIGTERM"):
                await bench.hand_over(signal.SIGTERM, "SIGTERM to the leader")
            with step("handing over after SIGKILL"):
                await bench.hand_over(signal.SIGKILL, "SIGKILL to the leader")
    return f"{told}\n\n{table(('what', 'result'), bench.rows)}"


def main() -> int:
    """Run the benchmark; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.reconcile", description=__doc__)
    parser.add_argument("--services", type=int, default=300, metavar="N", help="InferenceServices (300)")
    options = parser.parse_args()
    if options.services < 1:
        parser.error("--services: at least 1")
    try:
        print(asyncio.run(run(options.services)))
    except (ClusterError, Ended, TookTooLong) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


async def _leader_first(replicas: list[Replica]) -> tuple[Replica, Replica]:
    """Wait until one of two leads and the other answers, and thus waits to lead."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while True:
            first, second = [await replica.read() for replica in replicas]
            leading = [reading.total("leader") for reading in (first, second)]
            # Whoever has asked for the Lease waits for it.
            if sum(leading) == 1 and all(r.total("api_calls_total", verb="get") > 1 for r in (first, second)):
                return (replicas[0], replicas[1]) if leading[0] else (replicas[1], replicas[0])
            await asyncio.sleep(0.1)


def _is_ready(body: Json) -> bool:
    status = body.get("status") or {}
    ready = any(c["type"] == "Ready" and c["status"] == "True" for c in status.get("conditions") or ())
    return ready and status.get("observedGeneration") == body["metadata"]["generation"]


def _calls(reading: Reading) -> float:
    return reading.total("api_calls_total")


def _verbs(writes: list[Json]) -> str:
    counted = Counter(f"{write['verb']} {write['objectRef']['resource']}" for write in writes)
    return ", ".join(f"{count} {name}" for name, count in counted.most_common()) or "none"


def _memory(reading: Reading) -> str:
    return f"{reading.total('process_resident_memory_bytes') / 1e6:.0f} MB"


def _pair(times: list[float]) -> str:
    return f"{quantile(times, 0.5):.2f} / {quantile(times, 0.99):.2f} s"


if __name__ == "__main__":
    sys.exit(main())
