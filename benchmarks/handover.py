"""How long nobody acts when the leader ends.

Not for: whether the next one does the right thing; that is `soak`.
"""

import asyncio
import signal
from collections.abc import Awaitable, Callable, Iterable, Sequence

from benchmarks.api import Api
from benchmarks.installation import Ended, Installation, Replica
from benchmarks.report import quantile
from benchmarks.services import Arrivals, Wish
from benchmarks.sheet import Bar, Sheet
from triton_operator.api import names

HAND_OVERS = 3
PATIENCE_SECONDS = 600


async def hand_over(
    installed: Installation,
    api: Api,
    arrivals: Arrivals,
    sheet: Sheet,
    *,
    namespace: str,
    services: Sequence[str],
    number: signal.Signals,
    bar: Bar,
    settle: Callable[[Replica], Awaitable[None]],
) -> None:
    """End the leading one of two replicas again and again, and see when the other one acts.

    Args:
        installed: where.
        api: the user's connection.
        arrivals: when Deployments appear.
        sheet: takes the rows.
        namespace: of the services.
        services: one of them is changed at each turn.
        number: the signal.
        bar: what is asked for until the other one leads.
        settle: waits until a replica has nothing more to do.
    """
    led: list[float] = []
    acted: list[float] = []
    loop = asyncio.get_running_loop()
    async with installed.replicas(2) as replicas:
        for replica in replicas:
            replica.start()
        for turn in range(HAND_OVERS):
            old, new = await leader_first(replicas)
            name, mark = services[turn % len(services)], f"{number.name}-{turn}"
            began = loop.time()
            old.send(number)
            patch = {"spec": {"runtime": {"env": Wish(mark).spec()["runtime"]["env"]}}}
            await api.merge(names.INFERENCE_SERVICE, namespace, name, patch)
            async with asyncio.timeout(PATIENCE_SECONDS):
                await new.leads()
                led.append(loop.time() - began)
                acted.append(await arrivals.at(name, mark) - began)
            await old.ended()
            await settle(new)
            old.start()
    sheet.tell(
        f"{number.name} to the leader, two replicas, {HAND_OVERS} times: until the other leads, p50 / most",
        f"{quantile(led, 0.5):.2f} / {max(led):.2f} s",
        bar=bar.judge(max(led)),
    )
    sheet.tell(
        "… until a change made at that moment has its Deployment, p50 / most",
        f"{quantile(acted, 0.5):.2f} / {max(acted):.2f} s",
    )


async def leader_first(replicas: Sequence[Replica]) -> tuple[Replica, Replica]:
    """Wait until one of two leads and the other answers, and thus waits to lead.

    Args:
        replicas: both, started.

    Returns:
        The one that leads, and the other one.

    Raises:
        Ended: one of them has ended, or it took too long; the message has the ends of their logs.
    """
    loop = asyncio.get_running_loop()
    deadline = loop.time() + PATIENCE_SECONDS
    while True:
        first, second = [await replica.read() for replica in replicas]
        leading = [reading.total("leader") for reading in (first, second)]
        # Whoever has asked for the Lease waits for it.
        if sum(leading) == 1 and all(r.total("api_calls_total", verb="get") > 1 for r in (first, second)):
            return (replicas[0], replicas[1]) if leading[0] else (replicas[1], replicas[0])
        if ended := [replica for replica in replicas if not replica.is_running]:
            raise Ended(f"{len(ended)} of two replicas ended instead of leading or waiting:\n{_tails(ended)}")
        if loop.time() > deadline:
            raise Ended(
                f"after {PATIENCE_SECONDS} s not one of two replicas leads and the other waits:\n{_tails(replicas)}"
            )
        await asyncio.sleep(0.1)


def _tails(replicas: Iterable[Replica]) -> str:
    return "\n".join(f"{replica.log.name}: {replica.tail()}" for replica in replicas)
