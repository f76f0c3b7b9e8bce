"""`python -m benchmarks.reconcile`: how fast the operator is, how much it asks of the API server, what it weighs.

Not for: whether it is right; that is what tests and `benchmarks.soak` are for.
"""

import argparse
import asyncio
import signal
import sys
from dataclasses import dataclass, field, replace
from typing import Any

from benchmarks.api import Api
from benchmarks.handover import hand_over
from benchmarks.installation import Ended, Installation, Reading, Replica, installation, interruptible, warnings
from benchmarks.nodes import add_nodes, simulated
from benchmarks.report import circumstances, quantile
from benchmarks.services import Arrivals, Wish, make_namespace, service
from benchmarks.sheet import Bar, Sheet, calls, grown, megabytes, verbs
from benchmarks.waiting import TookTooLong, until
from cluster.processes import ClusterError
from cluster.progress import step
from triton_operator.api import names

Json = dict[str, Any]

BENCH = "bench"
NODES = 20
CREATED_PER_SECOND = 100.0
CHANGED = 400
CHANGED_PER_SECOND = 20.0
HOMELESS = 100
PENDING_SECONDS = 60.0
QUIET_SECONDS = 5
PATIENCE_SECONDS = 1800
# The peer's numbers are of this many services.
PEER_SERVICES = 1000
FIRST = Wish("first", homeless=False)


@dataclass(slots=True)
class Bench:
    """One run.

    Attributes:
        installed: the API server and the chart on it.
        api: the user's connection.
        arrivals: when Deployments appeared.
        count: services.
        sheet: what was measured so far.
    """

    installed: Installation
    api: Api
    arrivals: Arrivals
    count: int
    sheet: Sheet = field(default_factory=Sheet)

    @property
    def services(self) -> list[str]:
        """Their names."""
        return [f"service-{number:04}" for number in range(self.count)]

    def peer(self, text: str) -> str:
        """The peer's result, where it is of the same task."""
        return text if self.count == PEER_SERVICES else ""

    async def create(self, operator: Replica) -> None:
        """Create all services at a steady rate, and wait until all are Ready."""
        before, loop = await operator.read(), asyncio.get_running_loop()
        began = loop.time()

        async def one(number: int, name: str) -> tuple[float, float]:
            await asyncio.sleep(began + number / CREATED_PER_SECOND - loop.time())
            sent = loop.time()
            await self.api.create(names.INFERENCE_SERVICE, service(BENCH, name, FIRST))
            at = await self.arrivals.at(name, FIRST.mark)
            return at - sent, at - began

        async with asyncio.timeout(PATIENCE_SECONDS):
            times = await asyncio.gather(*(one(number, name) for number, name in enumerate(self.services)))
        own, last = [t[0] for t in times], max(t[1] for t in times)
        self.sheet.tell(
            f"{self.count} services created in {self.count / CREATED_PER_SECOND:g} s: all have a Deployment after",
            f"{last:.1f} s",
            bar=Bar(0.045 * self.count, "s").judge(last),
            peer=self.peer("134 s"),
        )
        self.sheet.tell("… each, from sending it to its Deployment, p50 / p99", _pair(own), peer=self.peer("– / 123 s"))

        async def all_ready() -> bool:
            return all(map(_is_ready, await self.api.list(names.INFERENCE_SERVICE, BENCH)))

        # A list of them all costs the API server, too, by their number.
        pause = max(2.0, self.count / 500)
        await until(all_ready, "all services are Ready", every_seconds=pause, patience_seconds=PATIENCE_SECONDS)
        self.sheet.tell("… all services Ready after", f"{loop.time() - began:.0f} s")
        await self._account(operator, before, self.count)

    async def change(self, operator: Replica) -> None:
        """Change one environment variable of many services, at a steady rate."""
        before, loop = await operator.read(), asyncio.get_running_loop()
        began, chosen = loop.time(), self.services[:CHANGED]
        patch = {"spec": {"runtime": replace(FIRST, mark="second").spec()["runtime"]}}

        async def one(number: int, name: str) -> float:
            await asyncio.sleep(began + number / CHANGED_PER_SECOND - loop.time())
            sent = loop.time()
            await self.api.merge(names.INFERENCE_SERVICE, BENCH, name, patch)
            return await self.arrivals.at(name, "second") - sent

        async with asyncio.timeout(PATIENCE_SECONDS):
            times = await asyncio.gather(*(one(number, name) for number, name in enumerate(chosen)))
        self.sheet.tell(
            f"one variable changed in {len(chosen)} of them, {CHANGED_PER_SECOND:.0f} per second: to the Deployment of"
            " the new revision, p50 / p99 / most",
            f"{_pair(times)} / {max(times):.2f} s",
            bar="p99 " + Bar(2.0, "s").judge(quantile(times, 0.99)),
            peer=self.peer("p99 64 s"),
        )
        await self._account(operator, before, len(chosen))

    async def idle(self, operator: Replica, state: str, seconds: float) -> None:
        """Count what the operator asks for while nothing happens."""
        before, mark = await operator.read(), self.installed.server.mark()
        await asyncio.sleep(seconds)
        after = await operator.read()
        cpu = grown(before, after, "process_cpu_seconds_total")
        writes = self.installed.server.writes(since=mark)
        self.sheet.tell(
            f"{seconds:g} s without a change, {state}: writes by verb; all calls; CPU",
            f"{verbs(writes)}; {grown(before, after, 'api_calls_total'):.0f} calls, "
            f"{grown(before, after, 'api_calls_total', verb='update'):.0f} of them for the Lease; "
            f"{cpu / seconds:.1%} of a core",
            bar=Bar(1, "").judge(len(writes)),
        )
        self.sheet.tell("… memory (RSS)", f"{megabytes(after):.0f} MB")

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

        await until(idle, "it is idle", every_seconds=0.05, patience_seconds=PATIENCE_SECONDS)
        self.sheet.tell(
            "restart with all services Ready: process to leader; to idle with every service looked at",
            f"{led - began:.1f} s; {loop.time() - began:.1f} s",
        )
        await self.settle(operator)
        reading, writes = await operator.read(), self.installed.server.writes(since=mark)
        self.sheet.tell(
            "… writes by verb",
            verbs(writes),
            bar=Bar(1, "").judge(len(writes)),
            peer=self.peer("2,900 updates in 150 s, not finished"),
        )
        self._weigh("… memory (RSS) afterwards", reading)

    async def pending(self, operator: Replica) -> None:
        """Add services that no node takes, see what they cost, and remove them."""
        added = [f"homeless-{number:03}" for number in range(HOMELESS)]
        for name in added:
            await self.api.create(names.INFERENCE_SERVICE, service(BENCH, name, Wish("first")))
        for name in added:
            await self.arrivals.at(name, "first")
        await self.settle(operator)
        await self.idle(operator, f"{HOMELESS} more services whose pods no node takes", PENDING_SECONDS)
        for name in added:
            await self.api.delete(names.INFERENCE_SERVICE, BENCH, name)
        await self.settle(operator)

    async def settle(self, operator: Replica) -> None:
        """Wait until nothing is queued and nothing has been written for a while."""
        mark, since = -1, 0.0
        loop = asyncio.get_running_loop()

        async def quiet() -> bool:
            nonlocal mark, since
            end = self.installed.server.mark()
            writes = len(self.installed.server.writes(since=mark)) if mark >= 0 else 1
            mark = end
            if writes or (await operator.read()).total("queue_depth"):
                since = loop.time()
            return loop.time() - since > QUIET_SECONDS

        await until(quiet, "it is quiet", every_seconds=0.5, patience_seconds=PATIENCE_SECONDS)

    async def _account(self, operator: Replica, before: Reading, services: int) -> None:
        await self.settle(operator)
        after = await operator.read()
        looks = grown(before, after, "reconcile_duration_seconds_count")
        seconds = grown(before, after, "reconcile_duration_seconds_sum")
        cpu = grown(before, after, "process_cpu_seconds_total")
        self.sheet.tell(
            "… until all is quiet: reconciles per service; mean time of one; API calls per reconcile; CPU per service",
            f"{looks / services:.1f}; {1000 * seconds / looks:.0f} ms; {calls(before, after, looks)}; "
            f"{1000 * cpu / services:.0f} ms",
        )
        self._weigh("… memory (RSS)", after)

    def _weigh(self, what: str, reading: Reading) -> None:
        weight = megabytes(reading)
        bar = Bar(170, "MB").judge(weight) if self.count == PEER_SERVICES else ""
        self.sheet.tell(what, f"{weight:.0f} MB", bar=bar, peer=self.peer("168 MB"))


async def run(count: int, *, idle_seconds: float) -> str:
    """Measure everything once.

    Args:
        count: services.
        idle_seconds: how long to watch an operator that has nothing to do.

    Returns:
        A table in Markdown.
    """
    interruptible()
    told = circumstances()
    async with installation() as installed, installed.server.connect() as api, simulated(installed.server):
        await make_namespace(api, BENCH)
        await add_nodes(api, NODES, allocatable={"cpu": "1k", "memory": "8Ti"})
        async with Arrivals.watched(api, BENCH) as arrivals:
            bench = Bench(installed, api, arrivals, count)
            async with installed.replicas(1) as (operator,):
                operator.start()
                await operator.leads()
                await bench.settle(operator)
                bench.sheet.tell("memory (RSS) without services", f"{megabytes(await operator.read()):.0f} MB")
                with step(f"creating {count} services"):
                    await bench.create(operator)
                with step(f"changing {min(count, CHANGED)} services"):
                    await bench.change(operator)
                with step(f"{idle_seconds:g} s without a change"):
                    await bench.idle(operator, "all services Ready", idle_seconds)
                with step("restarting"):
                    await bench.restart(operator)
                with step(f"{HOMELESS} services that no node takes"):
                    await bench.pending(operator)
                await operator.stop()
                bench.sheet.tell("unexpected errors in the operator's log", str(len(warnings(operator))))
            for number, bar in ((signal.SIGTERM, Bar(1.0, "s")), (signal.SIGKILL, _takeover(installed.settings))):
                with step(f"handing over after {number.name}"):
                    await hand_over(
                        installed, api, arrivals, bench.sheet,
                        namespace=BENCH, services=bench.services, number=number, bar=bar, settle=bench.settle,
                    )  # fmt: skip
    return f"{told}\n\n{bench.sheet.markdown()}"


def main() -> int:
    """Run the benchmark; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.reconcile", description=__doc__)
    parser.add_argument("--services", type=int, default=1000, metavar="N", help="InferenceServices (1000)")
    parser.add_argument("--idle-seconds", type=float, default=600, metavar="S", help="without a change (600)")
    options = parser.parse_args()
    if options.services < 1 or options.idle_seconds <= 0:
        parser.error("--services: at least 1; --idle-seconds: more than 0")
    try:
        print(asyncio.run(run(options.services, idle_seconds=options.idle_seconds)))
    except (ClusterError, Ended, TookTooLong) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def _takeover(settings: Json) -> Bar:
    election = settings["leaderElection"]
    return Bar(election["leaseDurationSeconds"] + election["retrySeconds"], "s")


def _is_ready(body: Json) -> bool:
    status = body.get("status") or {}
    ready = any(c["type"] == "Ready" and c["status"] == "True" for c in status.get("conditions") or ())
    return ready and status.get("observedGeneration") == body["metadata"]["generation"]


def _pair(times: list[float]) -> str:
    return f"{quantile(times, 0.5):.2f} / {quantile(times, 0.99):.2f} s"


if __name__ == "__main__":
    sys.exit(main())
