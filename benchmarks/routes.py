"""Routes that are accepted as soon as they are written, by this program's word: no Gateway looks at them.

Not for: requests; a real Gateway shares those out (`e2e`, `demo`).
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

import yaml

from benchmarks.api import Api, Refused
from benchmarks.waiting import until
from cluster import gateway
from cluster.cache import cache_from_environment
from triton_operator.api.names import ROUTE_KINDS, Kind

Json = dict[str, Any]

CONTROLLER = "triton-operator.dev/benchmarks"
PATIENCE_SECONDS = 60


async def install(api: Api, environment: dict[str, str]) -> None:
    """Let the API server serve routes.

    Args:
        api: the administrator's connection.
        environment: where the cache is told.
    """
    wanted = {kind.plural for kind in ROUTE_KINDS}
    for body in yaml.safe_load_all(_definitions(environment).read_text()):
        if body and body["kind"] == "CustomResourceDefinition" and body["spec"]["names"]["plural"] in wanted:
            await api.apply(body)
    for kind in ROUTE_KINDS:
        await until(
            partial(api.serves, kind),
            f"the API server serves {kind.plural}",
            every_seconds=0.1,
            patience_seconds=PATIENCE_SECONDS,
        )


@asynccontextmanager
async def accepted(api: Api, namespace: str) -> AsyncIterator[None]:
    """Accept every route of a namespace until the block ends.

    Args:
        api: the administrator's connection.
        namespace: where the routes are.
    """
    tasks = [asyncio.create_task(_accept(api, namespace, kind)) for kind in ROUTE_KINDS]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _accept(api: Api, namespace: str, kind: Kind) -> None:
    async for body in api.watch(kind, namespace):
        generation, parents = body["metadata"]["generation"], (body.get("status") or {}).get("parents") or [{}]
        if parents[0].get("conditions", [{}])[0].get("observedGeneration") == generation:
            continue
        conditions = [
            {
                "type": type_,
                "status": "True",
                "reason": type_,
                "message": "by word",
                "observedGeneration": generation,
                "lastTransitionTime": body["metadata"]["creationTimestamp"],
            }
            for type_ in ("Accepted", "ResolvedRefs")
        ]
        told = [
            {"controllerName": CONTROLLER, "parentRef": {"name": ref["name"]}, "conditions": conditions}
            for ref in body["spec"]["parentRefs"]
        ]
        with suppress(Refused):  # it has gone meanwhile
            await api.merge(
                kind, namespace, body["metadata"]["name"], {"status": {"parents": told}}, subresource="status"
            )


def _definitions(environment: dict[str, str]) -> Path:
    cache = cache_from_environment(environment)
    with cache.locked():
        return gateway.chart(cache) / "charts" / "crds" / "crds" / "gatewayapi-crds.yaml"
