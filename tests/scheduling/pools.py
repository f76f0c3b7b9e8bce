"""Node pools as the providers of GPUs make them: labels, taints and resources of one node of each.

Each cluster has, beside the pools that are asked for, those that must not be taken for them.
Not for: what specs become there; that is the tests'.
"""

import dataclasses
from typing import Any

Json = dict[str, Any]

GPU = "nvidia.com/gpu"


@dataclasses.dataclass(frozen=True, slots=True)
class Pool:
    """A pool of one node.

    Attributes:
        labels: labels of its node.
        resources: what its node has of each device.
        taints: taints of its node.
    """

    labels: dict[str, str]
    resources: dict[str, int]
    taints: list[dict[str, str]] = dataclasses.field(default_factory=list)


def taint(key: str, value: str, effect: str = "NoSchedule") -> dict[str, str]:
    return {"key": key, "value": value, "effect": effect}


CPU = Pool({}, {})
OTHERS = Pool({}, {GPU: 2}, [taint("team", "other")])
PRESENT = taint(GPU, "present")


def discovered(product: str, memory: int, *, sharing: str = "none", more: dict[str, str] | None = None) -> Json:
    """What GPU Feature Discovery writes; `memory` in MiB."""
    found = {"present": "true", "product": product, "memory": str(memory), "count": "2", "sharing-strategy": sharing}
    return {f"{GPU}.{name}": value for name, value in found.items()} | (more or {})


def sliced(profile: str, *, memory: int, slices: int) -> Json:
    """What GPU Feature Discovery and the MIG manager write with the MIG strategy single."""
    more = {
        f"{GPU}.slices.gi": str(slices),
        "nvidia.com/mig.config": f"all-{profile}",
        "nvidia.com/mig.strategy": "single",
    }
    return discovered(f"NVIDIA-H100-80GB-HBM3-MIG-{profile}", memory, more=more)


_H100 = discovered("NVIDIA-H100-80GB-HBM3", 81559, more={"nvidia.com/mig.config": "all-disabled"})
_MIXED = {
    "nvidia.com/mig.config": "all-balanced",
    "nvidia.com/mig.strategy": "mixed",
    "nvidia.com/mig-1g.10gb.count": "2",
    "nvidia.com/mig-1g.10gb.slices.gi": "1",
}

GPU_OPERATOR = {
    "cpu": CPU,
    "others": dataclasses.replace(OTHERS, labels=discovered("NVIDIA-L4", 23034)),
    "l4": Pool(discovered("NVIDIA-L4", 23034), {GPU: 2}, [PRESENT]),
    "a10": Pool(discovered("NVIDIA-A10", 23028, more={"zone": "a"}), {GPU: 2}),
    "h100": Pool(_H100 | {"zone": "b"}, {GPU: 2}, [PRESENT]),
    "h100-mixed": Pool(_H100 | _MIXED, {GPU: 0, "nvidia.com/mig-1g.10gb": 2, "nvidia.com/mig-3g.40gb": 1}),
    "h100-1g": Pool(sliced("1g.10gb", memory=9984, slices=1), {GPU: 2}),
    "h100-3g": Pool(sliced("3g.40gb", memory=40448, slices=3), {GPU: 2}),
    "l4-turns": Pool(discovered("NVIDIA-L4-SHARED", 23034, sharing="time-slicing"), {GPU: 4}),
    "l4-mps": Pool(discovered("NVIDIA-L4-SHARED", 23034, sharing="mps"), {GPU: 4}),
}

# A cluster whose device plugin renames what is shared.
RENAMED = {
    "l4": Pool(discovered("NVIDIA-L4", 23034), {GPU: 2}),
    "l4-turns": Pool(discovered("NVIDIA-L4", 23034, sharing="time-slicing"), {GPU: 0, "nvidia.com/gpu.shared": 4}),
}

_GKE = "cloud.google.com/gke"


def gke(pool: str, accelerator: str, more: dict[str, str] | None = None, *, count: int = 2, spot: bool = False) -> Pool:
    labels = {f"{_GKE}-nodepool": pool, f"{_GKE}-accelerator": accelerator}
    labels |= {f"{_GKE}-{name}": value for name, value in (more or {}).items()}
    if not spot:
        return Pool(labels, {GPU: count}, [PRESENT])
    return Pool(labels | {f"{_GKE}-spot": "true"}, {GPU: count}, [PRESENT, taint(f"{_GKE}-spot", "true")])


GKE = {
    "default": Pool({f"{_GKE}-nodepool": "default"}, {}),
    "others": dataclasses.replace(OTHERS, labels=gke("others", "nvidia-l4").labels),
    "l4": gke("l4", "nvidia-l4"),
    "l4-spot": gke("l4-spot", "nvidia-l4", spot=True),
    "l4-spot-bare": dataclasses.replace(gke("l4-spot-bare", "nvidia-l4", spot=True), taints=[PRESENT]),
    "a100": gke("a100", "nvidia-tesla-a100"),
    "a100-1g": gke("a100-1g", "nvidia-tesla-a100", {"gpu-partition-size": "1g.5gb"}, count=7),
    "a100-3g": gke("a100-3g", "nvidia-tesla-a100", {"gpu-partition-size": "3g.20gb"}),
    "l4-turns": gke("l4-turns", "nvidia-l4", {"gpu-sharing-strategy": "time-sharing"}, count=4),
    "l4-mps": gke("l4-mps", "nvidia-l4", {"gpu-sharing-strategy": "mps"}, count=4),
}


def eks(group: str, accelerator: str, capacity: str, resources: dict[str, int] | None = None) -> Pool:
    labels = {
        "eks.amazonaws.com/nodegroup": group,
        "eks.amazonaws.com/capacityType": capacity,
        "k8s.amazonaws.com/accelerator": accelerator,
    }
    return Pool(labels, resources or {GPU: 2}, [taint(GPU, "true")])


EKS = {
    "cpu": Pool({"eks.amazonaws.com/nodegroup": "cpu", "eks.amazonaws.com/capacityType": "ON_DEMAND"}, {}),
    "g6": eks("g6", "nvidia-l4", "ON_DEMAND"),
    "g6-spot": eks("g6-spot", "nvidia-l4", "SPOT"),
    "p5": eks("p5", "nvidia-h100", "ON_DEMAND"),
    "p5-mig": eks("p5-mig", "nvidia-h100", "ON_DEMAND", {GPU: 0, "nvidia.com/mig-1g.10gb": 7}),
}


def karpenter(pool: str, gpu: str, memory: int, capacity: str) -> Pool:
    labels = {
        "karpenter.sh/nodepool": pool,
        "karpenter.sh/capacity-type": capacity,
        "karpenter.k8s.aws/instance-gpu-name": gpu,
        "karpenter.k8s.aws/instance-gpu-memory": str(memory),
        "karpenter.k8s.aws/instance-gpu-manufacturer": "nvidia",
    }
    return Pool(labels, {GPU: 2}, [taint(GPU, "true")])


KARPENTER = {
    "cpu": Pool({"karpenter.sh/nodepool": "cpu", "karpenter.sh/capacity-type": "on-demand"}, {}),
    "l4": karpenter("gpu", "l4", 22888, "on-demand"),
    "l4-spot": karpenter("gpu", "l4", 22888, "spot"),
    "h100": karpenter("large", "h100", 81559, "reserved"),
}


def aks(pool: str, resources: dict[str, int], *, spot: bool = False) -> Pool:
    labels = {"kubernetes.azure.com/agentpool": pool, "kubernetes.azure.com/accelerator": "nvidia"}
    taints = [taint("sku", "gpu")]
    if spot:
        labels |= {"kubernetes.azure.com/scalesetpriority": "spot"}
        taints += [taint("kubernetes.azure.com/scalesetpriority", "spot")]
    return Pool(labels, resources, taints)


AKS = {
    "system": Pool({"kubernetes.azure.com/agentpool": "system"}, {}),
    "a10": aks("a10", {GPU: 2}),
    "a10-spot": aks("a10-spot", {GPU: 2}, spot=True),
    "a100-mig": aks("a100-mig", {"nvidia.com/mig-1g.10gb": 7}),
    "other-sku": Pool({"kubernetes.azure.com/agentpool": "other"}, {GPU: 2}, [taint("sku", "other")]),
}

CUSTOM = {
    "cpu": CPU,
    "mi300x": Pool({"amd.com/gpu.product-name": "MI300X"}, {"amd.com/gpu": 2}, [taint("amd.com/gpu", "yes")]),
    "mi210": Pool({"amd.com/gpu.product-name": "MI210"}, {"amd.com/gpu": 2}),
    "l4": Pool({}, {GPU: 2}),
}
