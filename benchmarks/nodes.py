"""Nodes that exist as objects only, with the real scheduler: kwok says of their pods that they run and are ready.

Not for: anything that a process in a pod must answer; no container is ever started.
"""

import asyncio
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

from benchmarks.api import Api
from benchmarks.api_server import ApiServer, free_ports, running
from triton_operator.api.names import Kind

NODE = Kind("", "v1", "Node", "nodes")
SIMULATED = "triton-operator.dev/simulated"
"""The label of all nodes made here; kwok leaves others alone."""

STAGES = Path(__file__).parent / "kwok.yaml"
# Multicast: whatever would connect to a pod is refused by this machine, and nothing leaves it.
POD_RANGE = "239.0.0.0/8"
# Far more than a scheduler may ask of a cluster in use: it must not be what is measured.
SCHEDULER_CALLS_PER_SECOND = 500
ROOM = {"cpu": "64", "memory": "512Gi", "ephemeral-storage": "1Ti", "pods": "1000"}


@asynccontextmanager
async def simulated(server: ApiServer) -> AsyncIterator[None]:
    """Run kube-scheduler and kwok until the block ends; `add_nodes` gives them nodes."""
    (port,) = free_ports(1)
    kubeconfig = server.kubeconfig(server.administrator, "nodes")
    scheduler: list[str | Path] = [
        server.programs / "kube-scheduler",
        f"--kubeconfig={kubeconfig}",
        f"--kube-api-qps={SCHEDULER_CALLS_PER_SECOND}",
        f"--kube-api-burst={2 * SCHEDULER_CALLS_PER_SECOND}",
        "--leader-elect=false",
        "--bind-address=127.0.0.1",
        f"--secure-port={port}",
        f"--cert-dir={server.certificate.parent}",
    ]
    kwok: list[str | Path] = [
        server.programs / "kwok",
        f"--kubeconfig={kubeconfig}",
        f"--config={STAGES}",
        f"--manage-nodes-with-label-selector={SIMULATED}",
        f"--cidr={POD_RANGE}",
        "--v=WARN",
    ]
    with running(server.folder, scheduler), running(server.folder, kwok):
        yield


async def add_nodes(
    api: Api,
    count: int,
    *,
    pool: str = "node",
    labels: Mapping[str, str] | None = None,
    taints: Iterable[Mapping[str, str]] = (),
    allocatable: Mapping[str, str] | None = None,
) -> list[str]:
    """Add ready nodes that are alike.

    Args:
        api: the administrator's connection.
        count: how many.
        pool: their names are this and a number from 0.
        labels: beside the usual ones.
        taints: each with key, value and effect.
        allocatable: what pods may use of each, beside `ROOM`; a device as `{"nvidia.com/gpu": "8"}`.

    Returns:
        Their names.
    """
    names = [f"{pool}-{number}" for number in range(count)]
    resources = ROOM | dict(allocatable or {})
    status = {"allocatable": resources, "capacity": resources}
    usual = {"kubernetes.io/os": "linux", "kubernetes.io/arch": "amd64", SIMULATED: ""}

    async def one(name: str) -> None:
        metadata = {"name": name, "labels": usual | {"kubernetes.io/hostname": name} | dict(labels or {})}
        await api.create(NODE, {"apiVersion": "v1", "kind": "Node", "metadata": metadata})
        # The API server taints each new node as not ready, and the controller that would see it ready is not run here.
        await api.merge(NODE, None, name, {"spec": {"taints": [dict(taint) for taint in taints]}})
        await api.merge(NODE, None, name, {"status": status}, subresource="status")

    await asyncio.gather(*map(one, names))
    return names
