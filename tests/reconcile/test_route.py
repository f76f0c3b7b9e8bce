"""The HTTPRoute of a service on a real API server that has the Gateway API; no Gateway looks at it there."""

from typing import Any

import pytest

from cluster import provider
from triton_operator.api import names
from triton_operator.edges.kubernetes import Kube

pytestmark = pytest.mark.cluster

ROUTING: dict[str, Any] = {"gateway": {"parentRefs": [{"name": "absent"}], "hostnames": ["a.example.com"]}}


@pytest.fixture(autouse=True)
async def gateway_api(kube: Kube) -> None:
    """A cluster that is made here has it; a given one may not."""
    if not await kube.served(names.GRPC_ROUTE) and isinstance(provider.current(), provider.GivenCluster):
        pytest.skip("this given cluster has no Gateway API (v1.1 or newer)")


async def test_a_service_behind_a_gateway_keeps_one_route_and_puts_it_right(services, operator) -> None:
    await services.apply("a", routing=ROUTING)

    async def route() -> Any:
        return await services.get("a", names.HTTP_ROUTE)

    made = await operator.until(route)
    assert made["spec"]["hostnames"] == ["a.example.com"]
    (owner,) = made["metadata"]["ownerReferences"]
    assert (owner["kind"], owner["name"], owner["controller"]) == ("InferenceService", "a", True)
    places = {ref["name"] for rule in made["spec"]["rules"] for ref in rule["backendRefs"]}
    assert places == {"a"}  # the Service, which carries the rollout

    change = [{"op": "replace", "path": "/spec/hostnames", "value": ["b.example.com"]}]
    await services.patch(names.HTTP_ROUTE, "a", change)

    async def is_right() -> bool:
        found = await route()
        return bool(found and found["spec"]["hostnames"] == ["a.example.com"])

    await operator.until(is_right)
    await operator.settles()
    before = (await route())["metadata"]["resourceVersion"]
    writes = await operator.writes()
    await services.apply("b")  # another one's events change nothing here
    await services.complete("b")
    assert (await route())["metadata"]["resourceVersion"] == before
    assert await operator.writes() > writes

    await services.apply("a")

    async def has_gone() -> bool:
        return await route() is None

    await operator.until(has_gone)


async def test_a_route_for_calls_is_made_put_right_and_taken_away(services, operator) -> None:
    apart = {"gateway": ROUTING["gateway"] | {"grpc": "GRPCRoute", "grpcHostnames": ["grpc.example.com"]}}
    await services.apply("a", routing=apart)

    async def route() -> Any:
        return await services.get("a", names.GRPC_ROUTE)

    made = await operator.until(route)
    assert made["spec"]["hostnames"] == ["grpc.example.com"]
    assert await services.get("a", names.HTTP_ROUTE)
    await services.patch(names.GRPC_ROUTE, "a", [{"op": "remove", "path": "/spec/hostnames"}])

    async def is_right() -> bool:
        found = await route()
        return bool(found and found["spec"].get("hostnames") == ["grpc.example.com"])

    await operator.until(is_right)
    await operator.settles()
    await services.apply("b", routing={"gateway": apart["gateway"] | {"hostnames": ["b.example.com"]}})

    async def is_refused() -> bool:
        return (await services.condition("b", "Accepted")).get("reason") == "Conflict"

    await operator.until(is_refused)  # calls on one host name
    await services.apply("a", routing=ROUTING)

    async def has_gone() -> bool:
        found = await services.get("a", names.HTTP_ROUTE)
        paths = [match["path"]["value"] for rule in found["spec"]["rules"] for match in rule["matches"]]
        return await route() is None and "/inference.GRPCInferenceService" in paths

    await operator.until(has_gone)

    async def is_taken() -> bool:
        return await services.get("b", names.GRPC_ROUTE) is not None

    await operator.until(is_taken)


async def test_paths_below_a_prefix_are_taken_by_the_api_server(services, operator) -> None:
    header = [{"name": "x-model", "value": "a"}]
    steps = [{"setHeaderRoute": {"headers": [{"name": "x-tester", "value": "yes"}]}}, {"setWeight": 10}]
    gateway = ROUTING["gateway"] | {"pathPrefix": "/team-a", "headers": header}
    await services.apply("a", routing={"gateway": gateway}, rollout={"strategy": "Canary", "steps": steps})

    async def paths() -> set[str]:
        found = await services.get("a", names.HTTP_ROUTE)
        return (
            {match["path"]["value"] for rule in found["spec"]["rules"] for match in rule["matches"]} if found else set()
        )

    assert {"/team-a/v2", "/team-a/v2/health", "/inference.GRPCInferenceService"} < await operator.until(paths)


async def test_a_route_of_somebody_else_is_not_touched(services, operator) -> None:
    foreign = {
        "apiVersion": names.HTTP_ROUTE.api_version,
        "kind": names.HTTP_ROUTE.kind,
        "metadata": {"name": "a", "namespace": services.namespace},
        "spec": {"hostnames": ["mine.example.com"]},
    }
    await services.kube.create(foreign, kind=names.HTTP_ROUTE)
    await services.apply("a", routing=ROUTING)

    async def is_told() -> Any:
        return (await services.condition("a", "Accepted")).get("reason") == "NameConflict"

    await operator.until(is_told)
    found = await services.get("a", names.HTTP_ROUTE)
    assert found["spec"]["hostnames"] == ["mine.example.com"]


async def test_of_two_services_on_one_host_name_the_first_is_unaffected(services, operator) -> None:
    await services.apply("z", routing=ROUTING)
    await services.complete("z")
    assert await services.get("z", names.HTTP_ROUTE)
    await services.apply("a", routing=ROUTING)

    async def is_refused() -> bool:
        conditions = (await services.get("a", names.INFERENCE_SERVICE) or {}).get("status", {}).get("conditions") or ()
        return any(c["type"] == "Accepted" and c["reason"] == "Conflict" for c in conditions)

    await operator.until(is_refused)
    assert await services.get("a", names.HTTP_ROUTE) is None
    conditions = (await services.get("z", names.INFERENCE_SERVICE))["status"]["conditions"]
    assert {c["status"] for c in conditions if c["type"] == "Accepted"} == {"True"}
    await services.apply("z", routing={"gateway": ROUTING["gateway"] | {"hostnames": ["z.example.com"]}})

    async def has_a_route() -> bool:
        return await services.get("a", names.HTTP_ROUTE) is not None

    await operator.until(has_a_route)
