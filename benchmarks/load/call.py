"""`python -m load.call ORDER`: call a service, each time on a connection of its own, and print the answers as JSON.

The order is JSON: host, and perhaps model, value (else the number of the call), and count (calls per protocol).
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


if __name__ == "__main__":
    print(json.dumps(asyncio.run(call(json.loads(sys.argv[1])))))
