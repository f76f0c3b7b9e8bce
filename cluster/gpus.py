"""A pool of GPUs on paper: capacity, labels and a taint as on real GPU nodes, so that scheduling can be tested.

Not for: anything that computes on a GPU.
"""

import json
import time
from collections.abc import Callable
from typing import Any

from cluster.processes import ClusterError
from cluster.progress import step

RESOURCE = "nvidia.com/gpu"
PER_NODE = 8
PATIENCE_SECONDS = 60


def labels(count: int) -> dict[str, str]:
    """What GPU Feature Discovery writes on a node with this many L4."""
    return {
        f"{RESOURCE}.present": "true",
        f"{RESOURCE}.product": "NVIDIA-L4",
        f"{RESOURCE}.memory": "24576",
        f"{RESOURCE}.count": str(count),
    }


def make_pool(kubectl: Callable[..., str], *, per_node: int) -> None:
    """Give every worker GPUs, and taint the last one as GPU pools often are.

    Args:
        kubectl: Runs kubectl with the words it is given and returns its output.
        per_node: GPUs of each worker; what it had before is replaced.

    Raises:
        ClusterError: The kubelets did not take the capacity over.
    """
    workers = sorted(node["metadata"]["name"] for node in _nodes(kubectl) if _is_worker(node))
    if not workers:
        raise ClusterError("the cluster has no workers to give GPUs to")
    with step(f"giving {per_node} GPUs on paper to {', '.join(workers)}"):
        capacity = json.dumps({"status": {"capacity": {RESOURCE: str(per_node)}}})
        for worker in workers:
            kubectl("patch", "node", worker, "--subresource=status", "--patch", capacity)
            described = [f"{name}={value}" for name, value in labels(per_node).items()]
            kubectl("label", "node", worker, "--overwrite", *described)
        kubectl("taint", "node", workers[-1], "--overwrite", f"{RESOURCE}=present:NoSchedule")
        deadline = time.monotonic() + PATIENCE_SECONDS
        while any(_allocatable(node) != per_node for node in _nodes(kubectl) if _is_worker(node)):
            if time.monotonic() > deadline:
                raise ClusterError(f"{RESOURCE} is not allocatable after {PATIENCE_SECONDS} s on {', '.join(workers)}")
            time.sleep(0.5)


def _nodes(kubectl: Callable[..., str]) -> list[dict[str, Any]]:
    listed: list[dict[str, Any]] = json.loads(kubectl("get", "nodes", "--output=json"))["items"]
    return listed


def _is_worker(node: dict[str, Any]) -> bool:
    return "node-role.kubernetes.io/control-plane" not in node["metadata"]["labels"]


def _allocatable(node: dict[str, Any]) -> int:
    return int(node["status"].get("allocatable", {}).get(RESOURCE, "0"))
