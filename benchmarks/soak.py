"""`python -m benchmarks.soak`: random histories while the operator is killed again and again; afterwards all is well.

Not for: how fast it is; that is `benchmarks.reconcile`.
"""

import argparse
import asyncio
import random
import signal
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

from benchmarks.api import NAMESPACE, Api
from benchmarks.history import History
from benchmarks.installation import SYSTEM, Ended, Installation, Replica, installation, interruptible, warnings
from benchmarks.invariants import faults, find
from benchmarks.report import circumstances, table
from benchmarks.services import Kubelet, make_namespace
from benchmarks.waiting import TookTooLong, until
from cluster.processes import ClusterError
from cluster.progress import console, note
from triton_operator.api import names

SERVICES = ("a", "b", "c", "d")
STEPS = (15, 40)
KILLS = (2, 4)
# The shortest that the settings allow: a killed leader is followed after 3 s.
LEASE = {
    "name": names.OPERATOR,
    "namespace": SYSTEM,
    "leaseDurationSeconds": 3,
    "renewSeconds": 2,
    "retrySeconds": 1,
}
DEPOSED = "Leadership was lost"
PATIENCE_SECONDS = 120
QUIET_SECONDS = 1.0


@dataclass(slots=True)
class Tally:
    """What was done in all histories together."""

    histories: int = 0
    steps: int = 0
    kills: int = 0
    deposed: int = 0
    two_replicas: int = 0
    writes: int = 0
    failures: list[str] = field(default_factory=list)


@dataclass(slots=True)
class Trial:
    """One history, the crashes meanwhile and the checks afterwards."""

    installed: Installation
    api: Api
    namespace: str
    chance: random.Random
    history: History
    replicas: list[Replica]
    kills: int = 0
    deposed: int = 0
    crashes: list[str] = field(default_factory=list)

    async def run(self) -> list[str]:
        """Live through it.

        Returns:
            What was wrong, in words.
        """
        for replica in self.replicas:
            replica.start()
        kubelet = Kubelet(self.api, self.namespace)
        if self.chance.random() < 0.7:  # else no pod becomes ready before the end
            async with _meanwhile(kubelet):
                await self._burst()
        else:
            await self._burst()
        async with _meanwhile(kubelet):
            told = await self._come_to_rest()
            if not told:
                told = await self._restart()
            return self.crashes + told + await self._end()

    async def _burst(self) -> None:
        """Let things happen, and the operator crash, each at moments of its own."""
        steps = self.chance.randint(*STEPS)
        pauses = [self.chance.expovariate(3) for _ in range(steps)]
        crashes = random.Random(self.chance.random())
        killing = asyncio.create_task(self._crash(crashes))
        try:
            for pause in pauses:
                await self.history.step()
                await asyncio.sleep(pause)
            while not killing.done():  # what happens between two crashes is what matters
                await self.history.step()
                await asyncio.sleep(self.chance.expovariate(3))
            await killing
        finally:
            killing.cancel()

    async def _crash(self, chance: random.Random) -> None:
        for _ in range(chance.randint(*KILLS)):
            leader = await self._leader()
            # Soon after it began to act, when it writes most, or some time later.
            await asyncio.sleep(chance.uniform(0, 0.3) if chance.random() < 0.6 else chance.uniform(0, 2))
            victim = leader if chance.random() < 0.8 else chance.choice(self.replicas)
            await victim.kill()
            self.kills += 1
            self.history.events.append("kill -9")
            if len(self.replicas) == 1:  # nobody else waits: its Lease need not run out first
                await self.api.delete(names.LEASE, SYSTEM, names.OPERATOR)
            await asyncio.sleep(chance.uniform(0, 0.5))
            victim.start()

    async def _leader(self) -> Replica:
        found: list[Replica] = []

        async def led() -> bool:
            for replica in self.replicas:
                if not replica.is_running:
                    self._check_end(replica)
                    replica.start()
                elif await replica.is_leader():
                    found.append(replica)
            return bool(found)

        await until(led, "one replica leads", every_seconds=0.02, patience_seconds=PATIENCE_SECONDS)
        return found[0]

    def _check_end(self, replica: Replica) -> None:
        """Take note of a process that ended by itself, which only one may do that has lost its Lease."""
        self.deposed += 1
        if DEPOSED not in replica.tail():
            self.crashes.append(f"{replica.log.name} ended by itself:\n{replica.tail()}")

    async def _come_to_rest(self) -> list[str]:
        """Wait until everything is as it must be; returns what is not."""
        told: list[str] = []

        async def well() -> bool:
            nonlocal told
            await self._leader()
            told = faults(await find(self.api, self.namespace), self.history.wishes)
            return not told

        with suppress(TookTooLong):
            await until(well, "all is well", every_seconds=0.3, patience_seconds=PATIENCE_SECONDS)
        return told

    async def _restart(self) -> list[str]:
        """Restart the operator once all is quiet: it must write nothing."""
        server = self.installed.server
        seen, since = -1, time.monotonic()

        async def quiet() -> bool:
            nonlocal seen, since
            if (writes := len(server.writes())) != seen:
                seen, since = writes, time.monotonic()
            return time.monotonic() - since > QUIET_SECONDS

        await until(quiet, "the operator writes nothing", every_seconds=0.1, patience_seconds=PATIENCE_SECONDS)
        before = await _versions(self.api, self.namespace)
        mark = server.mark()
        for replica in self.replicas:  # the second one takes over from the first, and must write nothing either
            await replica.stop()
        first, *_ = self.replicas
        first.start()
        await first.leads()
        count = len(self.history.wishes)

        async def looked() -> bool:
            reading = await first.read()
            return reading.total("reconcile_duration_seconds_count") >= count and not reading.total("queue_depth")

        await until(looked, "every service was looked at", every_seconds=0.1, patience_seconds=PATIENCE_SECONDS)
        since = time.monotonic()
        await until(quiet, "the operator writes nothing", every_seconds=0.1, patience_seconds=PATIENCE_SECONDS)
        for replica in self.replicas[1:]:
            replica.start()
        told = [
            f"a restart wrote: {write['verb']} {write['objectRef']['resource']} {write['objectRef'].get('name')}"
            for write in server.writes(since=mark)
        ]
        after = await _versions(self.api, self.namespace)
        changed = sorted(key for key in before.keys() | after.keys() if before.get(key) != after.get(key))
        return told + [f"a restart changed {key}" for key in changed]

    async def _end(self) -> list[str]:
        """Delete all services, with a crash on the way: nothing may be left."""
        leader = await self._leader()
        await self.history.end()
        await asyncio.sleep(self.chance.uniform(0, 0.2))
        await leader.kill()
        self.kills += 1
        leader.start()
        await leader.leads() if len(self.replicas) == 1 else await self._leader()
        told: list[str] = []

        async def empty() -> bool:
            nonlocal told
            found = await find(self.api, self.namespace)
            told = faults(found, {}) + [f"the pod {pod['metadata']['name']} is left" for pod in found.pods]
            return not told

        with suppress(TookTooLong):
            await until(empty, "nothing is left", every_seconds=0.3, patience_seconds=PATIENCE_SECONDS)
        for replica in self.replicas:
            if replica.is_running:
                await replica.stop()
            told += warnings(replica)
        return told


async def run(*, minutes: float, seed: int, most: int | None) -> Tally:
    """Live through histories, one after another.

    Args:
        minutes: no further one begins after this time.
        seed: of the first one; the next one has the next number.
        most: how many at most; None: as many as there is time for.

    Returns:
        What was done and found.
    """
    interruptible()
    tally = Tally()
    async with installation() as installed, installed.server.connect() as api:
        deadline = time.monotonic() + 60 * minutes
        while time.monotonic() < deadline and (most is None or tally.histories < most):
            await _one(installed, api, seed + tally.histories, tally)
    return tally


async def _one(installed: Installation, api: Api, seed: int, tally: Tally) -> None:
    chance, namespace, began = random.Random(seed), f"soak-{seed}", time.monotonic()
    await make_namespace(api, namespace)
    count = chance.choice([1, 2])
    history = History(api, namespace, list(SERVICES), chance)
    mark = installed.server.mark()
    watch = {"namespaces": [namespace], "selector": ""}
    log = {"format": "text", "level": "info"}
    async with installed.replicas(count, watch=watch, leaderElection=LEASE, log=log) as replicas:
        trial = Trial(installed, api, namespace, chance, history, replicas)
        try:
            told = await trial.run()
        except (Ended, TookTooLong) as error:
            told = [str(error)]
        logs = "\n".join(f"--- {replica.log.name}\n{replica.tail()}" for replica in replicas)
    writes = len(installed.server.writes(since=mark))
    tally.histories += 1
    tally.steps += len(history.events)
    tally.kills += trial.kills
    tally.deposed += trial.deposed
    tally.two_replicas += count == 2
    tally.writes += writes
    if told:
        tally.failures.append(f"seed {seed}: {told[0]}")
        for line in (*told, "what happened:", *history.events, logs):
            note(line)
    words = f"seed {seed}: {len(history.events)} events, {trial.kills} kills, {count} replicas, {writes} writes"
    verdict = "[red]failed[/]" if told else "[green]passed[/]"
    console.print(f"{verdict} {words} · {time.monotonic() - began:.0f} s", soft_wrap=True)
    await api.delete(NAMESPACE, None, namespace)


@asynccontextmanager
async def _meanwhile(kubelet: Kubelet) -> AsyncIterator[None]:
    """Let pods become ready until the block ends."""
    working = asyncio.create_task(kubelet.work())
    try:
        yield
    finally:
        working.cancel()
        with suppress(asyncio.CancelledError):
            await working


async def _versions(api: Api, namespace: str) -> dict[str, Any]:
    """The resourceVersion of everything that only the operator writes, and the generation of the rest."""
    found: dict[str, Any] = {}
    for kind in (names.INFERENCE_SERVICE, *names.CHILD_KINDS):
        field_ = "generation" if kind in (names.DEPLOYMENT, names.POD_DISRUPTION_BUDGET) else "resourceVersion"
        for body in await api.list(kind, namespace):
            found[f"{kind.kind} {body['metadata']['name']}"] = body["metadata"][field_]
    return found


def main() -> int:
    """Run the soak test; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=60, metavar="N", help="how long (60)")
    parser.add_argument("--seed", type=int, metavar="N", help="of the first history; else by the clock")
    parser.add_argument("--histories", type=int, metavar="N", help="how many at most; 1 to replay a seed")
    options = parser.parse_args()
    seed = int(time.time()) if options.seed is None else options.seed
    told = circumstances()
    signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        tally = asyncio.run(run(minutes=options.minutes, seed=seed, most=options.histories))
    except ClusterError as error:
        print(error, file=sys.stderr)
        return 1
    rows = [
        ("histories", f"{tally.histories}, seeds {seed} to {seed + tally.histories - 1}"),
        ("… with two replicas of the operator", str(tally.two_replicas)),
        ("events: what users and others did, and crashes", str(tally.steps)),
        ("kill -9 of the operator", str(tally.kills)),
        ("processes that ended because they had lost the Lease", str(tally.deposed)),
        ("writes of the operator, its Lease excepted", str(tally.writes)),
        ("histories that ended wrong", "; ".join(tally.failures) or "none"),
    ]
    print(f"{told}\n\n{table(('what', 'result'), rows)}")
    return 1 if tally.failures else 0


if __name__ == "__main__":
    sys.exit(main())
