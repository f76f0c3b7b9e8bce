"""`python -m benchmarks.every_write`: the operator dies at each of its writes; afterwards all is well.

Lives of a service are lived through on simulated nodes, each: once to count the operator's writes, once with a
kill -9 at each of them, and then again and again, with one kill each, at the first write, the second, and so on.
Not for: random histories, and foreign edits; that is `benchmarks.soak`.
"""

import argparse
import asyncio
import os
import signal
import sys
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from functools import partial

import aiohttp

from benchmarks import routes
from benchmarks.api import NAMESPACE, Api
from benchmarks.gate import Gate
from benchmarks.installation import SYSTEM, Ended, Installation, Replica, installation, interruptible, warnings
from benchmarks.invariants import faults, find
from benchmarks.nodes import add_nodes, simulated
from benchmarks.report import circumstances, table
from benchmarks.services import Wish, make_namespace, service
from benchmarks.soak import LEASE
from benchmarks.waiting import TookTooLong, until
from cluster.processes import ClusterError
from cluster.progress import console, note
from triton_operator.api import names

NODES = 3
NAME = "adder"
PATIENCE_SECONDS = 60
FIRST = Wish("one", version=1, replicas=2, homeless=False)
SECOND = replace(FIRST, mark="two", version=2)
# By pods that join the Service, as there is no Gateway; and through one.
BY_PODS = ({"setWeight": 33}, {"pause": {"durationSeconds": 1}}, {"setWeight": 50})
BY_WEIGHT = (
    {"setHeaderRoute": {"headers": [{"name": "x-tester", "value": "yes"}]}},
    {"setWeight": 10},
    {"pause": {"durationSeconds": 1}},
    {"setWeight": 50},
)
BOTH = replace(FIRST, steps=BY_WEIGHT, routes=names.ROUTE_KINDS)
# What the user asks for, one after another; each time all is waited for.
LIVES: dict[str, tuple[Wish, ...]] = {
    "updates": (
        FIRST,
        SECOND,
        replace(SECOND, replicas=4),
        replace(SECOND, replicas=1),
        replace(SECOND, replicas=1, suspend=True),
        replace(SECOND, replicas=1),
        FIRST,  # undo
    ),
    "a canary in the Service": (
        FIRST,
        replace(SECOND, steps=BY_PODS),
        replace(FIRST, steps=BY_PODS),  # one that has served comes back as a canary
    ),
    "a canary through a Gateway": (
        BOTH,
        replace(BOTH, mark="two", version=2),
        replace(BOTH, routes=(names.HTTP_ROUTE,)),  # back, and gRPC by the HTTPRoute
        SECOND,  # without a Gateway, pod by pod
    ),
}


@dataclass(slots=True)
class Tally:
    """What was done in all lives together."""

    lives: int = 0
    kills: int = 0
    writes_of_one: int = 0
    killed_writes: int = 0
    failures: list[str] = field(default_factory=list)


@dataclass(slots=True)
class Life:
    """A service from its creation to its end, while the operator dies.

    Attributes:
        api: the connection of everybody but the operator.
        namespace: where the service is.
        wishes: what its user asks for.
        replica: the operator.
        kills: how often it was killed.
    """

    api: Api
    namespace: str
    wishes: tuple[Wish, ...]
    replica: Replica | None = None
    kills: int = 0

    async def kill(self) -> None:
        """End the operator as a crash does."""
        if self.replica is not None and self.replica.is_running:
            await self.replica.kill()
            self.kills += 1

    async def live(self, replica: Replica) -> list[str]:
        """Live it.

        Args:
            replica: the operator, not started.

        Returns:
            What was wrong, in words.
        """
        self.replica = replica
        replica.start()
        keeping = asyncio.create_task(self._keep_alive(replica))
        try:
            for number, wish in enumerate(self.wishes):
                if not number:
                    await self.api.create(names.INFERENCE_SERVICE, service(self.namespace, NAME, wish))
                else:
                    await self.api.merge(names.INFERENCE_SERVICE, self.namespace, NAME, wish.patch())
                if told := await self._rest({NAME: wish}):
                    return [f"after wish {number + 1}: {fault}" for fault in told]
            await self.api.delete(names.INFERENCE_SERVICE, self.namespace, NAME)
            return [f"at the end: {fault}" for fault in await self._rest({})]
        finally:
            keeping.cancel()

    async def _keep_alive(self, replica: Replica) -> None:
        """Start it again whenever it was killed."""
        while True:
            await self.revive(replica)
            await asyncio.sleep(0.02)

    async def revive(self, replica: Replica) -> None:
        """Start the operator if it was killed."""
        if not replica.is_running:
            await self.api.delete(names.LEASE, SYSTEM, names.OPERATOR)  # nobody else waits for it to run out
            replica.start()

    async def _rest(self, wishes: dict[str, Wish]) -> list[str]:
        told: list[str] = []

        async def well() -> bool:
            nonlocal told
            found = await find(self.api, self.namespace)
            told = faults(found, wishes) + ([] if wishes else [f"the pod {p['metadata']['name']}" for p in found.pods])
            return not told

        with suppress(TookTooLong):
            await until(well, "all is well", every_seconds=0.1, patience_seconds=PATIENCE_SECONDS * (1 + self.kills))
        return told


async def run(kind: str, *, most: int | None) -> Tally:
    """Live through all lives of one kind.

    Args:
        kind: one of `LIVES`.
        most: kill at most at so many single writes, evenly spread; None: at each.
    """
    interruptible()
    tally = Tally()
    async with (
        installation() as installed,
        _behind(installed) as session,
        simulated(installed.server),
        installed.server.connect() as api,
    ):
        await add_nodes(api, NODES)
        await routes.install(api, dict(os.environ))
        one = partial(_one, installed, session, api, tally, LIVES[kind])
        tally.writes_of_one = count = await one(())
        tally.killed_writes = await one(range(1, sys.maxsize))
        step = 1 if most is None else max(1, -(-count // most))
        for victim in range(1, count + 1, step):
            await one((victim,))
    return tally


@asynccontextmanager
async def _behind(installed: Installation) -> AsyncIterator[aiohttp.ClientSession]:
    """Connect a gate to the API server."""
    trusted = installed.server.trusted()
    async with aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(ssl=trusted, limit=0),
        timeout=aiohttp.ClientTimeout(total=None),
        auto_decompress=False,
    ) as session:
        yield session


async def _one(
    installed: Installation,
    session: aiohttp.ClientSession,
    api: Api,
    tally: Tally,
    wishes: tuple[Wish, ...],
    victims: Sequence[int],
) -> int:
    """Live one life, with a kill at some of its writes; returns how many writes the operator made."""
    began, namespace = time.monotonic(), f"life-{tally.lives}"
    await make_namespace(api, namespace)
    life = Life(api, namespace, wishes)
    settings = {"watch": {"namespaces": [namespace], "selector": ""}, "leaderElection": LEASE}
    async with routes.accepted(api, namespace), Gate.before(installed.server, session, life.kill) as gate:
        gate.victims = victims
        before = Installation(gate.server, installed.settings)
        async with before.replicas(1, **settings, log={"format": "text", "level": "info"}) as (replica,):
            try:
                told = await life.live(replica)
                gate.victims = ()
                await life.revive(replica)
                await replica.leads()
                await replica.stop()
                told += warnings(replica)
            except (Ended, TookTooLong) as error:
                told = [str(error)]
            tail = replica.tail()
    tally.lives += 1
    tally.kills += life.kills
    await api.delete(names.LEASE, SYSTEM, names.OPERATOR)
    await api.delete(NAMESPACE, None, namespace)
    when = "every" if len(victims) > 1 else str(*victims) or "none"
    if told:
        tally.failures.append(f"killed at write {when}: {told[0]}")
        for line in (*told, "the operator's writes:", *gate.writes, tail):
            note(line)
    verdict = "[red]failed[/]" if told else "[green]passed[/]"
    words = f"killed at write: {when}; {len(gate.writes)} writes, {life.kills} kills"
    console.print(f"{verdict} {words} · {time.monotonic() - began:.0f} s", soft_wrap=True)
    return len(gate.writes)


def main() -> int:
    """Live through it; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.every_write", description=__doc__)
    parser.add_argument("--most", type=int, metavar="N", help="kill at most at so many single writes, evenly spread")
    parser.add_argument("--life", choices=LIVES, action="append", help="only this one; may be repeated")
    options = parser.parse_args()
    told = circumstances()
    signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        tallies = {kind: asyncio.run(run(kind, most=options.most)) for kind in options.life or LIVES}
    except ClusterError as error:
        print(error, file=sys.stderr)
        return 1
    head = ("what", *tallies)
    rows = [
        ("lives of a service, from its creation to its end", *[str(of.lives) for of in tallies.values()]),
        ("writes of the operator in one without a kill", *[str(of.writes_of_one) for of in tallies.values()]),
        ("… in the one with a kill -9 at each of its writes", *[str(of.killed_writes) for of in tallies.values()]),
        ("kill -9 in all", *[str(of.kills) for of in tallies.values()]),
        ("lives that ended wrong", *["; ".join(of.failures) or "none" for of in tallies.values()]),
    ]
    print(f"{told}\n\n{table(head, rows)}")
    return 1 if any(of.failures for of in tallies.values()) else 0


if __name__ == "__main__":
    sys.exit(main())
