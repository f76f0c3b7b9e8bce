"""From what a user says about GPUs to what is asked of a node, by the profile of the cluster's provider.

Not for: how that stands in a pod; that is `resources.placement`.
"""

from collections.abc import Iterator
from typing import Any

from triton_operator.api.gpu import Gpu
from triton_operator.api.gpu_settings import MIG, GpuProfile, Taint
from triton_operator.api.spec import InferenceServiceSpec
from triton_operator.resources.placement import Placement

Json = dict[str, Any]

UNSUPPORTED = "UnsupportedByProvider"
MEBIBYTES = {"Mi": 1, "Gi": 1024}


class Unplaceable(Exception):
    """The cluster's profile cannot give what the spec asks for; only the user or an administrator can change that.

    Attributes:
        reason: one word for programs.
    """

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.reason = UNSUPPORTED


def place(spec: InferenceServiceSpec, profile: GpuProfile) -> Placement:
    """Say what the GPUs of one replica ask of a node.

    Args:
        spec: what the user wants.
        profile: what labels, taints and resources the cluster's GPU nodes have.

    Returns:
        What is asked; nothing when the count is 0.

    Raises:
        Unplaceable: the profile has no way to say it; the message names each field and the remedy.
    """
    gpu = spec.gpu
    if gpu.count == 0:
        return Placement()
    if problems := tuple(_problems(spec, profile)):
        raise Unplaceable("; ".join(problems))
    taints = profile.taints if gpu.spot == "Forbid" else profile.taints + profile.spotTaints
    return Placement(
        resource_name=_resource_name(gpu, profile),
        count=gpu.count,
        requirements=tuple(_wanted(gpu, profile)) + tuple(_unwanted(gpu, profile)),
        tolerations=tuple(_toleration(taint) for taint in taints),
        short_notice=gpu.spot != "Forbid",
        shared_by_mps=gpu.sharing == "MPS",
    )


def _resource_name(gpu: Gpu, profile: GpuProfile) -> str:
    if gpu.resource_name:
        return gpu.resource_name
    if gpu.mig:
        return profile.migResourceName.replace(MIG, _slice(gpu.mig))
    return profile.resourceName if gpu.sharing == "None" else profile.sharedResourceName


def _wanted(gpu: Gpu, profile: GpuProfile) -> Iterator[Json]:
    """Say which labels a node must have."""
    if gpu.mig and profile.migLabel:
        yield _in(profile.migLabel, profile.migValue.replace(MIG, _slice(gpu.mig)))
    if gpu.products:
        yield _in(profile.productLabel, *gpu.products)
    if gpu.min_memory:
        yield {"key": profile.memoryLabel, "operator": "Gt", "values": [str(_mebibytes(gpu.min_memory) - 1)]}
    if gpu.sharing != "None":
        yield _in(profile.sharingLabel, profile.mpsValue if gpu.sharing == "MPS" else profile.timeSlicingValue)
    if gpu.spot == "Require":
        yield _in(profile.spotLabel, profile.spotValue)
    if gpu.node_pool:
        yield _in(profile.nodePoolLabel, gpu.node_pool)


def _unwanted(gpu: Gpu, profile: GpuProfile) -> Iterator[Json]:
    """Say which labels a node must not have. They hold where no node has the label, so no pool must know them."""
    if gpu.spot == "Forbid" and profile.spotLabel:
        yield {"key": profile.spotLabel, "operator": "NotIn", "values": [profile.spotValue]}
    if gpu.resource_name:  # it says itself whether it is a whole GPU, a slice or a share
        return
    if not gpu.mig and profile.sliceLabel:
        yield {"key": profile.sliceLabel, "operator": "DoesNotExist"}
    if gpu.sharing == "None" and profile.sharingLabel:
        shared = [profile.timeSlicingValue, profile.mpsValue]
        yield {"key": profile.sharingLabel, "operator": "NotIn", "values": shared}


def _problems(spec: InferenceServiceSpec, profile: GpuProfile) -> Iterator[str]:
    gpu = spec.gpu
    resources = spec.runtime.resources
    if gpu.mig and not profile.migResourceName:
        yield "spec.gpu.mig: the cluster's GPU profile has no MIG: remove mig"
    elif gpu.mig and MIG not in profile.migResourceName and not profile.migLabel:
        yield (
            f"spec.gpu.mig: neither the resource {profile.migResourceName} nor a label tells the sizes of slices apart:"
            " remove mig, or have migLabel set in the operator's gpu.profile"
        )
    if gpu.sharing == "MPS" and not profile.mpsWithoutHostIpc:
        yield "spec.gpu.sharing: MPS wants hostIPC here, which pods of models never have: use TimeSlicing, or None"
    asked = {
        "mig": (bool(gpu.mig and profile.migLabel), profile.migLabel, "migLabel"),
        "products": (bool(gpu.products), profile.productLabel, "productLabel"),
        "minMemory": (bool(gpu.min_memory), profile.memoryLabel, "memoryLabel"),
        "sharing": (gpu.sharing != "None", profile.sharingLabel, "sharingLabel"),
        "spot": (gpu.spot == "Require", profile.spotLabel, "spotLabel"),
        "nodePool": (gpu.node_pool is not None, profile.nodePoolLabel, "nodePoolLabel"),
    }
    for field, (is_asked, label, setting) in asked.items():
        if is_asked and not label:
            yield (
                f"spec.gpu.{field}: the cluster's GPU profile has no label for it: remove {field}, or have {setting}"
                " set in the operator's gpu.profile"
            )
        elif is_asked and profile.scalesFromZero and label not in profile.templateLabels:
            yield (
                f"spec.gpu.{field}: pools scale from zero, and a node has the label {label} only once it runs, so none"
                f" would be started: remove {field}, or have the label in templateLabels of the operator's gpu.profile"
                " if the pools' templates have it"
            )
    name = _resource_name(gpu, profile)
    if resources and name in ((resources.requests or {}).keys() | (resources.limits or {}).keys()):
        yield f"spec.runtime.resources: {name} is the GPU resource of this cluster: set spec.gpu.count instead"


def _in(label: str, *values: str) -> Json:
    return {"key": label, "operator": "In", "values": list(values)}


def _toleration(taint: Taint) -> Json:
    how = {"operator": "Equal", "value": taint.value} if taint.value else {"operator": "Exists"}
    return {"key": taint.key} | how | {"effect": taint.effect}


def _slice(mig: str) -> str:
    """Write a MIG profile as names of resources and values of labels can have it."""
    return mig.replace("+", ".")


def _mebibytes(quantity: str) -> int:
    return int(quantity[:-2]) * MEBIBYTES[quantity[-2:]]
