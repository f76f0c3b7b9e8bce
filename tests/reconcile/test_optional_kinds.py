"""The Gateway API comes and goes while the operator runs, on an API server of its own: no other test may miss it."""

import json
import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import yaml

from benchmarks.api_server import ApiServer, api_server
from cluster import tools
from cluster.processes import run
from cluster.provider import api_tools
from tests.conftest import CUSTOM_RESOURCE_DEFINITION
from triton_operator.api import names
from triton_operator.edges.kubernetes import Kube, Object

from .conftest import Services, until
from .test_route import ROUTING

pytestmark = pytest.mark.cluster


@pytest.fixture
async def server(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[ApiServer]:
    folder = tmp_path_factory.mktemp("api-server")
    user = "system:serviceaccount:nobody:nobody"
    async with api_server(api_tools(os.environ), folder, operator_user=user, objects=()) as running:
        yield running


@pytest.fixture
def kubeconfig(server: ApiServer, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = server.kubeconfig(server.administrator, "tests")
    monkeypatch.setenv("KUBECONFIG", str(path))
    monkeypatch.setenv("PATH", f"{server.programs}:{os.environ['PATH']}")
    return path


@pytest.fixture(scope="session")
def http_route() -> Object:
    """The CRD of HTTPRoutes, as the Gateway API publishes it."""
    module = ["go", "mod", "download", "-json", "sigs.k8s.io/gateway-api"]
    folder = Path(json.loads(run(module, cwd=tools.HERE / tools.ENVOY_GATEWAY.module))["Dir"])
    text = (folder / "config/crd/standard/gateway.networking.k8s.io_httproutes.yaml").read_text(encoding="utf-8")
    body: Object = yaml.safe_load(text)
    return body


async def test_a_route_is_made_once_its_kind_is_served_and_refused_while_it_is_not(
    kube, services, make_operator, http_route
) -> None:
    operator = make_operator(kinds_seconds=0.5)
    await operator.start()
    await services.apply("a", routing=ROUTING)
    await operator.until(lambda: is_refused(services, "a"))

    await kube.apply(http_route, kind=CUSTOM_RESOURCE_DEFINITION)

    made = await operator.until(lambda: services.get("a", names.HTTP_ROUTE))
    assert made["spec"]["hostnames"] == ["a.example.com"]
    await operator.until(lambda: is_accepted(services, "a"))
    await services.patch(names.HTTP_ROUTE, "a", [{"op": "remove", "path": "/spec/hostnames"}])
    await operator.until(lambda: is_right(services, "a"))  # routes are watched as if they had always been

    await remove(kube, http_route)

    await operator.until(lambda: is_refused(services, "a"))

    await kube.apply(http_route, kind=CUSTOM_RESOURCE_DEFINITION)

    await operator.until(lambda: services.get("a", names.HTTP_ROUTE))
    await operator.until(lambda: is_accepted(services, "a"))
    assert operator.is_running, operator.log()


async def test_a_kind_that_goes_is_missed_at_once_and_nothing_else_is(
    kube, services, make_operator, http_route
) -> None:
    await kube.apply(http_route, kind=CUSTOM_RESOURCE_DEFINITION)
    await until(lambda: kube.served(names.HTTP_ROUTE))
    operator = make_operator(kinds_seconds=3600)
    await operator.start()
    await services.apply("a", routing=ROUTING)
    await operator.until(lambda: services.get("a", names.HTTP_ROUTE))
    await services.complete("a")
    before = (await services.children("a"))["Deployment"]

    await remove(kube, http_route)

    await operator.until(lambda: is_refused(services, "a"))
    await services.apply("b")
    await services.complete("b")
    after = (await services.children("a"))["Deployment"]
    assert [body["spec"] for body in after] == [body["spec"] for body in before]
    assert operator.is_running, operator.log()


async def is_refused(services: Services, name: str) -> bool:
    told = await services.condition(name, "Accepted")
    return bool((told.get("status"), told.get("reason")) == ("False", "GatewayAPIMissing"))


async def is_accepted(services: Services, name: str) -> bool:
    return bool((await services.condition(name, "Accepted")).get("status") == "True")


async def is_right(services: Services, name: str) -> bool:
    found = await services.get(name, names.HTTP_ROUTE)
    return found is not None and found["spec"].get("hostnames") == ["a.example.com"]


async def remove(kube: Kube, crd: Object) -> None:
    await kube.delete(CUSTOM_RESOURCE_DEFINITION, namespace=None, name=crd["metadata"]["name"], uid=None)
