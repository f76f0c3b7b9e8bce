"""`python -m load HOST --client KIND=RATE …`: ask a service until SIGTERM, and print what became of it as JSON lines.

A line has `second` and `client` and counts what was due in that second, or it is one `failure`. `report` reads them.
"""

import argparse
import asyncio
import json
import signal
from itertools import pairwise
from typing import Any

from .clients import KINDS
from .generator import Generator, Profile

HEADLESS = "grpc-balancing"


def main() -> None:
    """Read the command line and run."""
    parser = argparse.ArgumentParser(prog="python -m load", description=__doc__)
    parser.add_argument("host", help="name of the service; KIND grpc-balancing asks its headless twin")
    parser.add_argument("--model", default="adder", help="with an input X and an output Y of one FP32 (%(default)s)")
    parser.add_argument("--via", metavar="ADDRESS:PORT", help="of a Gateway that knows the service by the host name")
    parser.add_argument(
        "--client", action="append", type=_client, required=True, metavar="KIND=RATE[,SECONDS:RATE…]", dest="clients",
        help=f"{', '.join(KINDS)}; requests per second, and what they rise or fall to by then",
    )  # fmt: skip
    parser.add_argument("--connections", type=int, default=5, help="of each kind, taken in turn (%(default)s)")
    parser.add_argument("--in-flight", type=int, default=200, help="at most, of each kind (%(default)s)")
    parser.add_argument("--timeout", type=float, default=10, metavar="SECONDS", help="of a request (%(default)s)")
    parser.add_argument("--seconds", type=float, help="stop by itself after so long")
    asyncio.run(_run(parser.parse_args()))


def _client(text: str) -> tuple[str, Profile]:
    kind, _, rates = text.partition("=")
    first, *later = rates.split(",")
    profile = [
        (0.0, float(first)),
        *((float(at), float(rate)) for at, _, rate in (one.partition(":") for one in later)),
    ]
    rises = all(at < then for (at, _), (then, _) in pairwise(profile))
    if kind not in KINDS or not rises or not all(rate > 0 for _, rate in profile):
        raise ValueError(f"{text}: KIND=RATE[,SECONDS:RATE…], where KIND is one of {', '.join(KINDS)}")
    return kind, profile


async def _run(options: argparse.Namespace) -> None:
    rates = dict(options.clients)
    clients = {
        kind: [
            KINDS[kind](options.host if options.via else _host(options.host, kind), options.model, options.via)
            for _ in range(options.connections)
        ]
        for kind in rates
    }
    generator = Generator(_print, most_in_flight=options.in_flight, timeout_seconds=options.timeout)
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, generator.stop.set)
    if options.seconds:
        loop.call_later(options.seconds, generator.stop.set)
    await generator.run(rates, clients)
    await asyncio.gather(*(client.close() for several in clients.values() for client in several))


def _host(name: str, kind: str) -> str:
    service, _, rest = name.partition(".")
    return f"{service}-headless.{rest}" if kind == HEADLESS and rest else name


def _print(line: dict[str, Any]) -> None:
    print(json.dumps(line), flush=True)


if __name__ == "__main__":
    main()
