"""Fixtures for tests against a real API server, marked `cluster`."""

import asyncio
import json
import os
import subprocess
from collections.abc import AsyncIterator, Generator, Iterator
from pathlib import Path
from uuid import uuid4

import pytest
import yaml

from cluster import evidence
from triton_operator.api.names import Kind
from triton_operator.edges.kubernetes import Kube

NAMESPACE = Kind("", "v1", "Namespace", "namespaces")
CUSTOM_RESOURCE_DEFINITION = Kind("apiextensions.k8s.io", "v1", "CustomResourceDefinition", "customresourcedefinitions")
CRDS = Path(__file__).parent.parent / "crds"


class Calls:
    """Counts API calls by verb and code."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, str]] = []

    def called(self, *, verb: str, code: str) -> None:
        self.seen.append((verb, code))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    of_cluster = "kubeconfig" in getattr(item, "fixturenames", ())  # others have none, or an API server of their own
    if report.failed and of_cluster and (where := evidence.keep_first(item.name)):
        report.sections.append(("cluster logs", where))
    return report


@pytest.fixture(scope="session")
def kubeconfig() -> Iterator[Path]:
    """The cluster that tests may use; an operator that is installed there rests meanwhile."""
    path = os.environ.get("KUBECONFIG", "")
    if not path or not Path(path).is_file():
        pytest.fail("KUBECONFIG names no cluster for tests: run `make cluster` and set KUBECONFIG as it says")
    selector = "--selector=app.kubernetes.io/name=triton-operator"
    installed = json.loads(_kubectl("get", "deployments", "--all-namespaces", selector, "--output=json"))["items"]
    replicas = {(d["metadata"]["namespace"], d["metadata"]["name"]): d["spec"]["replicas"] for d in installed}
    for namespace, name in replicas:
        _kubectl("scale", "deployment", name, f"--namespace={namespace}", "--replicas=0")
        _kubectl("wait", "pods", f"--namespace={namespace}", selector, "--for=delete", "--timeout=60s")
    yield Path(path)
    for (namespace, name), count in replicas.items():
        _kubectl("scale", "deployment", name, f"--namespace={namespace}", f"--replicas={count}")


def _kubectl(*words: str) -> str:
    return subprocess.run(["kubectl", *words], check=True, capture_output=True, text=True).stdout


@pytest.fixture
def calls() -> Calls:
    """What the `kube` fixture was asked."""
    return Calls()


@pytest.fixture
async def kube(kubeconfig: Path, calls: Calls) -> AsyncIterator[Kube]:
    """A connection to the API server."""
    async with Kube.connect(concurrency=8, observer=calls) as connected:
        yield connected


@pytest.fixture
async def namespace(kube: Kube) -> AsyncIterator[str]:
    """A namespace of the test's own, deleted afterwards."""
    name = f"test-{uuid4().hex[:10]}"
    await kube.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}, kind=NAMESPACE)
    yield name
    await kube.delete(NAMESPACE, namespace=None, name=name, uid=None)


@pytest.fixture
async def crds(kube: Kube) -> None:
    """The project's CRDs, installed and served."""
    for path in CRDS.glob("*.yaml"):
        body = yaml.safe_load(path.read_text(encoding="utf-8"))
        served = Kind(
            body["spec"]["group"],
            body["spec"]["versions"][0]["name"],
            body["spec"]["names"]["kind"],
            body["spec"]["names"]["plural"],
        )
        await kube.apply(body, kind=CUSTOM_RESOURCE_DEFINITION)
        for _ in range(600):
            if await kube.served(served):
                break
            await asyncio.sleep(0.05)
        else:
            pytest.fail(f"The API server does not serve {served.plural}.{served.group}")
