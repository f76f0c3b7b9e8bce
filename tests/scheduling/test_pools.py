"""What is rendered for GPUs lands on exactly the right nodes: the real scheduler decides, on pools of every provider.

More pods are asked for than the right nodes can take: these are filled, and for the rest there must be no node.
"""

import os
import ssl
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, NamedTuple
from uuid import uuid4

import pytest
import pytest_asyncio

from benchmarks.api import Api
from benchmarks.api_server import ApiServer, api_server
from benchmarks.nodes import NODE, add_nodes, simulated
from benchmarks.waiting import TookTooLong, until
from cluster.provider import api_tools
from tests.resolved import resolved
from triton_operator.api.gpu_settings import GpuSettings
from triton_operator.api.names import DEPLOYMENT, POD, Kind
from triton_operator.api.settings import Settings
from triton_operator.api.spec import InferenceServiceSpec
from triton_operator.core.revision import render
from triton_operator.resources.children import Owner, deployment

from .pools import AKS, CUSTOM, EKS, GKE, GPU_OPERATOR, KARPENTER, RENAMED, Pool

pytestmark = [pytest.mark.cluster, pytest.mark.asyncio(loop_scope="session")]

Json = dict[str, Any]
NAMESPACE = Kind("", "v1", "Namespace", "namespaces")
PATIENCE_SECONDS = 60
EACH_MOMENT = 0.1


class Cluster(NamedTuple):
    """The pools of a cluster, and what its administrator wrote about them."""

    settings: Json
    pools: dict[str, Pool]


SINGLE = {"migResourceName": "nvidia.com/gpu", "migLabel": "nvidia.com/mig.config", "migValue": "all-{mig}"}
AMD: Json = {
    "resourceName": "amd.com/gpu",
    "migResourceName": "",
    "productLabel": "amd.com/gpu.product-name",
    "taints": [{"key": "amd.com/gpu"}],
}
CLUSTERS = {
    "gpu-operator": Cluster({"provider": "gpu-operator"}, GPU_OPERATOR),
    "mig-single": Cluster({"provider": "gpu-operator", "profile": SINGLE}, GPU_OPERATOR),
    "renamed": Cluster(
        {"provider": "gpu-operator", "profile": {"sharedResourceName": "nvidia.com/gpu.shared"}}, RENAMED
    ),
    "gke": Cluster({"provider": "gke"}, GKE),
    "eks": Cluster({"provider": "eks"}, EKS),
    "karpenter": Cluster({"provider": "karpenter"}, KARPENTER),
    "aks": Cluster({"provider": "aks"}, AKS),
    "custom": Cluster({"provider": "custom", "profile": AMD}, CUSTOM),
}
IN_ZONES: Json = {
    "requiredDuringSchedulingIgnoredDuringExecution": {
        "nodeSelectorTerms": [
            {"matchExpressions": [{"key": "zone", "operator": "In", "values": [zone]}]} for zone in ("a", "b")
        ]
    }
}

CASES: list[tuple[str, Json, dict[str, int]]] = [
    ("gpu-operator", {}, {"l4": 2, "a10": 2, "h100": 2}),
    ("gpu-operator", {"count": 2}, {"l4": 1, "a10": 1, "h100": 1}),
    ("gpu-operator", {"count": 3}, {}),
    ("gpu-operator", {"products": ["NVIDIA-L4"]}, {"l4": 2}),
    ("gpu-operator", {"products": ["NVIDIA-L4", "NVIDIA-A10"]}, {"l4": 2, "a10": 2}),
    ("gpu-operator", {"products": ["NVIDIA-B200"]}, {}),
    ("gpu-operator", {"minMemory": "40Gi"}, {"h100": 2}),
    ("gpu-operator", {"minMemory": "81559Mi"}, {"h100": 2}),
    ("gpu-operator", {"minMemory": "81560Mi"}, {}),
    ("gpu-operator", {"mig": "1g.10gb"}, {"h100-mixed": 2}),
    ("gpu-operator", {"mig": "3g.40gb"}, {"h100-mixed": 1}),
    ("gpu-operator", {"mig": "2g.20gb"}, {}),
    ("gpu-operator", {"sharing": "TimeSlicing"}, {"l4-turns": 4}),
    ("gpu-operator", {"sharing": "TimeSlicing", "products": ["NVIDIA-L4-SHARED"]}, {"l4-turns": 4}),
    ("gpu-operator", {"sharing": "MPS"}, {"l4-mps": 4}),
    ("gpu-operator", {"resourceName": "nvidia.com/mig-1g.10gb", "count": 2}, {"h100-mixed": 1}),
    ("gpu-operator", {"spot": "Allow", "products": ["NVIDIA-A10"]}, {"a10": 2}),
    ("mig-single", {"mig": "1g.10gb"}, {"h100-1g": 2}),
    ("mig-single", {"mig": "3g.40gb"}, {"h100-3g": 2}),
    ("mig-single", {"mig": "7g.80gb"}, {}),
    ("mig-single", {}, {"l4": 2, "a10": 2, "h100": 2}),
    ("renamed", {}, {"l4": 2}),
    ("renamed", {"sharing": "TimeSlicing", "products": ["NVIDIA-L4"]}, {"l4-turns": 4}),
    ("gke", {}, {"l4": 2, "a100": 2}),
    ("gke", {"products": ["nvidia-l4"]}, {"l4": 2}),
    ("gke", {"products": ["nvidia-l4"], "spot": "Allow"}, {"l4": 2, "l4-spot": 2, "l4-spot-bare": 2}),
    ("gke", {"spot": "Require"}, {"l4-spot": 2, "l4-spot-bare": 2}),
    ("gke", {"nodePool": "l4"}, {"l4": 2}),
    ("gke", {"nodePool": "l4-spot"}, {}),
    ("gke", {"nodePool": "l4-spot", "spot": "Allow"}, {"l4-spot": 2}),
    ("gke", {"mig": "1g.5gb"}, {"a100-1g": 7}),
    ("gke", {"mig": "3g.20gb"}, {"a100-3g": 2}),
    ("gke", {"sharing": "TimeSlicing"}, {"l4-turns": 4}),
    ("eks", {}, {"g6": 2, "p5": 2}),
    ("eks", {"products": ["nvidia-l4"]}, {"g6": 2}),
    ("eks", {"products": ["nvidia-l4"], "spot": "Allow"}, {"g6": 2, "g6-spot": 2}),
    ("eks", {"spot": "Require"}, {"g6-spot": 2}),
    ("eks", {"nodePool": "p5"}, {"p5": 2}),
    ("eks", {"mig": "1g.10gb"}, {"p5-mig": 7}),
    ("karpenter", {}, {"l4": 2, "h100": 2}),
    ("karpenter", {"products": ["l4"]}, {"l4": 2}),
    ("karpenter", {"products": ["l4"], "spot": "Require"}, {"l4-spot": 2}),
    ("karpenter", {"minMemory": "20Gi", "spot": "Allow"}, {"l4": 2, "l4-spot": 2, "h100": 2}),
    ("karpenter", {"minMemory": "24Gi"}, {"h100": 2}),
    ("karpenter", {"nodePool": "gpu"}, {"l4": 2}),
    ("aks", {}, {"a10": 2}),
    ("aks", {"spot": "Allow"}, {"a10": 2, "a10-spot": 2}),
    ("aks", {"spot": "Require"}, {"a10-spot": 2}),
    ("aks", {"nodePool": "other"}, {}),
    ("aks", {"mig": "1g.10gb"}, {"a100-mig": 7}),
    ("custom", {}, {"mi300x": 2, "mi210": 2}),
    ("custom", {"products": ["MI300X"]}, {"mi300x": 2}),
]


class Scheduler:
    """A control plane whose nodes are those of one cluster at a time."""

    def __init__(self, api: Api) -> None:
        self._api = api
        self._nodes: dict[str, list[str]] = {}
        self._present: dict[str, Pool] = {}

    async def have(self, pools: dict[str, Pool]) -> None:
        """Have exactly the nodes of these pools."""
        for name in list(self._nodes):
            if pools.get(name) != self._present[name]:
                for node in self._nodes.pop(name):
                    await self._api.delete(NODE, None, node)
                del self._present[name]
        for name, pool in pools.items():
            if name not in self._nodes:
                allocatable = {resource: str(count) for resource, count in pool.resources.items()}
                self._nodes[name] = await add_nodes(
                    self._api, 1, pool=name, labels=pool.labels, taints=pool.taints, allocatable=allocatable
                )
                self._present[name] = pool

    async def deploy(self, namespace: str, spec: Json, settings: Json, *, replicas: int) -> None:
        """Have the Deployment that the operator would render for a spec."""
        model = {"name": "resnet50", "uri": "configmap://resnet50", "version": 7}
        read = InferenceServiceSpec.model_validate({"model": model} | spec)
        everything = Settings(prepareImage="operator:1", gpu=GpuSettings.model_validate(settings))
        revision = render("vision", read, everything, resolved(read), number=1)
        body = deployment(
            Owner("vision", namespace, "none"),
            revision.name,
            template=revision.template,
            replicas=replicas,
            progress_deadline_seconds=1500,
            restarted=None,
            surge=True,
        )
        del body["metadata"]["ownerReferences"]  # there is no such owner
        await self._api.apply(body)

    async def pods(self, namespace: str) -> tuple[Counter[str], list[str]]:
        """Count the pods of each pool, and tell the scheduler's words about those that no node takes."""
        bound: Counter[str] = Counter()
        refused: list[str] = []
        for pod in await self._api.list(POD, namespace):
            scheduled = [c for c in pod.get("status", {}).get("conditions", []) if c["type"] == "PodScheduled"]
            if node := pod["spec"].get("nodeName"):
                bound[next(pool for pool, nodes in self._nodes.items() if node in nodes)] += 1
            elif scheduled and scheduled[0]["status"] == "False":
                refused.append(scheduled[0].get("message", ""))
        return bound, refused

    async def settled(self, namespace: str, *, expected: dict[str, int], left: int) -> str:
        """Wait until exactly the expected pools have taken pods and no known node takes the rest; tell why."""
        seen: tuple[Counter[str], list[str]] = (Counter(), [])
        every = f"0/{len(self._nodes)} nodes are available"  # the scheduler knows them all

        async def is_so() -> bool:
            nonlocal seen
            seen = await self.pods(namespace)
            bound, refused = seen
            assert bound <= Counter(expected), f"landed where it must not: {bound}, expected {expected}"
            return bound == Counter(expected) and [words.startswith(every) for words in refused] == [True] * left

        try:
            await until(is_so, "pods are on their nodes", every_seconds=EACH_MOMENT, patience_seconds=PATIENCE_SECONDS)
        except TookTooLong as error:
            raise AssertionError(f"{seen}, expected {expected}") from error
        return seen[1][0] if seen[1] else ""


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def control_plane(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[ApiServer]:
    """A control plane of the tests' own, with the real scheduler; its nodes are simulated."""
    folder = Path(tmp_path_factory.mktemp("control-plane"))
    user = "system:serviceaccount:triton-operator:triton-operator"
    async with api_server(api_tools(os.environ), folder, operator_user=user, objects=()) as server, simulated(server):
        yield server


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def api(control_plane: ApiServer) -> AsyncIterator[Api]:
    trusted = ssl.create_default_context(cafile=str(control_plane.certificate))
    async with Api.connect(control_plane.url, token=control_plane.administrator, trusted=trusted) as connected:
        yield connected


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def scheduler(api: Api) -> Scheduler:
    return Scheduler(api)


@pytest_asyncio.fixture(loop_scope="session")
async def namespace(api: Api) -> AsyncIterator[str]:
    """A namespace of the test's own; its pods are gone when the next test begins."""
    name = f"test-{uuid4().hex[:10]}"
    await api.create(NAMESPACE, {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
    yield name
    for body in await api.list(DEPLOYMENT, name):
        await api.delete(DEPLOYMENT, name, body["metadata"]["name"])

    async def empty() -> bool:
        return not await api.list(POD, name)

    await until(empty, "pods are gone", every_seconds=EACH_MOMENT, patience_seconds=PATIENCE_SECONDS)
    await api.delete(NAMESPACE, None, name)


@pytest.mark.parametrize(
    ("cluster", "gpu", "expected"),
    [
        pytest.param(cluster, gpu, expected, id=f"{cluster} {' '.join(f'{k}={v}' for k, v in gpu.items()) or 'any'}")
        for cluster, gpu, expected in CASES
    ],
)
async def test_pods_fill_the_right_nodes_and_no_other(
    scheduler: Scheduler, namespace: str, cluster: str, gpu: Json, expected: dict[str, int]
) -> None:
    settings, pools = CLUSTERS[cluster]
    await scheduler.have(pools)

    await scheduler.deploy(namespace, {"gpu": gpu}, settings, replicas=sum(expected.values()) + 1)

    why = await scheduler.settled(namespace, expected=expected, left=1)
    assert "Insufficient" in why or "didn't match Pod's node affinity/selector" in why


async def test_what_the_user_requires_is_required_too(scheduler: Scheduler, namespace: str) -> None:
    settings, pools = CLUSTERS["gpu-operator"]
    await scheduler.have(pools)
    spec = {"gpu": {"products": ["NVIDIA-A10", "NVIDIA-L4"]}, "runtime": {"nodeAffinity": IN_ZONES}}

    await scheduler.deploy(namespace, spec, settings, replicas=3)

    await scheduler.settled(namespace, expected={"a10": 2}, left=1)


async def test_the_users_tolerations_open_further_nodes(scheduler: Scheduler, namespace: str) -> None:
    settings, pools = CLUSTERS["gpu-operator"]
    await scheduler.have(pools)
    tolerations = [{"key": "team", "operator": "Equal", "value": "other", "effect": "NoSchedule"}]
    spec = {"gpu": {"products": ["NVIDIA-L4"]}, "runtime": {"tolerations": tolerations}}

    await scheduler.deploy(namespace, spec, settings, replicas=5)

    await scheduler.settled(namespace, expected={"l4": 2, "others": 2}, left=1)


@pytest.mark.parametrize("cluster", CLUSTERS)
async def test_a_model_on_the_cpu_keeps_off_nodes_that_are_tainted_for_gpus(
    scheduler: Scheduler, namespace: str, cluster: str
) -> None:
    settings, pools = CLUSTERS[cluster]
    tainted = {name: pool for name, pool in pools.items() if pool.taints} or {
        name: Pool(pool.labels, pool.resources, [{"key": "nvidia.com/gpu", "value": "a", "effect": "NoSchedule"}])
        for name, pool in pools.items()
    }
    await scheduler.have(tainted)

    await scheduler.deploy(namespace, {"gpu": {"count": 0}}, settings, replicas=1)

    assert "untolerated taint" in await scheduler.settled(namespace, expected={}, left=1)


@pytest.mark.parametrize(
    ("cluster", "gpu", "pool"),
    [
        pytest.param("gpu-operator", {"mig": "1g.10gb"}, "h100-mixed", id="gpu-operator"),
        pytest.param("gke", {"products": ["nvidia-l4"], "spot": "Require"}, "l4-spot", id="gke"),
        pytest.param("eks", {"nodePool": "p5"}, "p5", id="eks"),
        pytest.param("karpenter", {"minMemory": "40Gi"}, "h100", id="karpenter"),
        pytest.param("aks", {"spot": "Require"}, "a10-spot", id="aks"),
        pytest.param("custom", {"products": ["MI300X"]}, "mi300x", id="custom"),
    ],
)
async def test_a_pool_of_no_nodes_is_waited_for_and_used_when_it_grows(
    scheduler: Scheduler, namespace: str, cluster: str, gpu: Json, pool: str
) -> None:
    settings, pools = CLUSTERS[cluster]
    wanted = {pool, "l4-spot-bare"} if pool == "l4-spot" else {pool}
    await scheduler.have({name: each for name, each in pools.items() if name not in wanted})
    await scheduler.deploy(namespace, {"gpu": gpu}, settings, replicas=1)
    await scheduler.settled(namespace, expected={}, left=1)

    await scheduler.have({name: each for name, each in pools.items() if name not in wanted - {pool}})

    await scheduler.settled(namespace, expected={pool: 1}, left=0)
