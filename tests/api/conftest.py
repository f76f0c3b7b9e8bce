"""Fixtures for tests of the API: the server with the project's CRD, and namespaces."""

import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from uuid import uuid4

import pytest
import yaml

from .api_server import ApiServer, services_path

CRDS = Path(__file__).parents[2] / "crds"
CRD_PATH = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"


def wait_until(condition: Callable[[], bool], *, what: str, seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"{what}: not within {seconds} s"
        time.sleep(0.05)


@pytest.fixture(scope="session")
def server(kubeconfig: Path) -> ApiServer:
    """The API server, serving the CRD of this checkout."""
    connected = ApiServer(kubeconfig)

    def established(path: str) -> bool:
        conditions = connected.ask("GET", path).body.get("status", {}).get("conditions") or []
        return any(c["type"] == "Established" and c["status"] == "True" for c in conditions)

    for file in CRDS.glob("*.yaml"):
        crd = yaml.safe_load(file.read_text(encoding="utf-8"))
        path = f"{CRD_PATH}/{crd['metadata']['name']}"
        # What a chart has installed stays the chart's, as long as it is the same.
        wanted = connected.apply(crd, path=path, dry_run=True, force="true").body["metadata"].get("generation")
        if connected.ask("GET", path).body.get("metadata", {}).get("generation") != wanted:
            answer = connected.apply(crd, path=path, force="true")
            assert answer.code in (200, 201), answer.body
        wait_until(partial(established, path), what=f"{path} is established")
    return connected


@pytest.fixture
def own_namespace(server: ApiServer) -> Iterator[str]:
    """A namespace of the test's own, deleted afterwards."""
    name = f"test-{uuid4().hex[:10]}"
    created = server.ask("POST", "/api/v1/namespaces", body={"metadata": {"name": name}})
    assert created.code == 201, created.body
    yield name
    server.ask("DELETE", services_path(name))
    server.ask("DELETE", f"/api/v1/namespaces/{name}")
