"""`python -m load.call`: call services, each time on a connection of its own; orders come in, and answers go out.

Each is a line of JSON. An order has host, and perhaps model, value (else the number of the call), and count (calls per
protocol). One process for many orders, as its start takes longer than they do.
Not for: load; that is `python -m load`.
"""

import asyncio
import json
import sys
from typing import Any

from .clients import KINDS, Failed

TIMEOUT_SECONDS = 10


async def call(order: dict[str, Any]) -> dict[str, list[Any]]:
    """Carry out an order; returns the numbers that came back by protocol, and `failures` in words."""
    answers: dict[str, list[Any]] = {"http": [], "grpc": [], "failures": []}
    for number in range(order.get("count", 1)):
        for protocol in ("http", "grpc"):
            client = KINDS[protocol](order["host"], order.get("model", "adder"))
            try:
                answer = await client.infer(order.get("value", number), timeout_seconds=TIMEOUT_SECONDS)
                answers[protocol].append(answer.value)
            except Failed as failed:
                answers["failures"].append(f"{protocol}: {failed}")
            finally:
                await client.close()
    return answers


async def serve() -> None:
    """Carry out the orders that come in, one after the other, until there are no more."""
    while line := await asyncio.to_thread(sys.stdin.readline):
        print(json.dumps(await call(json.loads(line))), flush=True)


if __name__ == "__main__":
    asyncio.run(serve())
