"""The profiles of known providers of GPU nodes: by which labels, taints and resources their nodes are told apart.

Not for: using them; that is `core.placement`.
"""

from collections.abc import Mapping

from triton_operator.api.gpu_settings import GPU_TAINT, GpuProfile, GpuSettings, Provider, Taint

PROFILES: Mapping[Provider, GpuProfile] = {
    # NVIDIA's GPU operator, with GPU Feature Discovery; MIG strategy mixed. Its labels come with a running driver.
    "gpu-operator": GpuProfile(
        productLabel="nvidia.com/gpu.product",
        memoryLabel="nvidia.com/gpu.memory",
        sliceLabel="nvidia.com/gpu.slices.gi",
        sharingLabel="nvidia.com/gpu.sharing-strategy",
    ),
    "gke": GpuProfile(
        migResourceName="nvidia.com/gpu",
        productLabel="cloud.google.com/gke-accelerator",
        migLabel="cloud.google.com/gke-gpu-partition-size",
        sliceLabel="cloud.google.com/gke-gpu-partition-size",
        sharingLabel="cloud.google.com/gke-gpu-sharing-strategy",
        timeSlicingValue="time-sharing",
        mpsWithoutHostIpc=False,
        spotLabel="cloud.google.com/gke-spot",
        nodePoolLabel="cloud.google.com/gke-nodepool",
        spotTaints=(Taint(key="cloud.google.com/gke-spot", value="true"),),
        scalesFromZero=True,
        templateLabels=(
            "cloud.google.com/gke-accelerator",
            "cloud.google.com/gke-gpu-partition-size",
            "cloud.google.com/gke-gpu-sharing-strategy",
            "cloud.google.com/gke-spot",
            "cloud.google.com/gke-nodepool",
        ),
    ),
    # Managed node groups; the first label is one that groups of GPU nodes are given for the cluster autoscaler.
    "eks": GpuProfile(
        productLabel="k8s.amazonaws.com/accelerator",
        spotLabel="eks.amazonaws.com/capacityType",
        spotValue="SPOT",
        nodePoolLabel="eks.amazonaws.com/nodegroup",
        scalesFromZero=True,
        templateLabels=(
            "k8s.amazonaws.com/accelerator",
            "eks.amazonaws.com/capacityType",
            "eks.amazonaws.com/nodegroup",
        ),
    ),
    # On AWS. It starts no node for a label or resource that it does not know: neither MIG nor sharing.
    "karpenter": GpuProfile(
        migResourceName="",
        productLabel="karpenter.k8s.aws/instance-gpu-name",
        memoryLabel="karpenter.k8s.aws/instance-gpu-memory",
        spotLabel="karpenter.sh/capacity-type",
        spotValue="spot",
        nodePoolLabel="karpenter.sh/nodepool",
        scalesFromZero=True,
        templateLabels=(
            "karpenter.k8s.aws/instance-gpu-name",
            "karpenter.k8s.aws/instance-gpu-memory",
            "karpenter.sh/capacity-type",
            "karpenter.sh/nodepool",
        ),
    ),
    "aks": GpuProfile(
        spotLabel="kubernetes.azure.com/scalesetpriority",
        spotValue="spot",
        nodePoolLabel="kubernetes.azure.com/agentpool",
        taints=(GPU_TAINT, Taint(key="sku", value="gpu")),
        spotTaints=(Taint(key="kubernetes.azure.com/scalesetpriority", value="spot"),),
        scalesFromZero=True,
        templateLabels=("kubernetes.azure.com/scalesetpriority", "kubernetes.azure.com/agentpool"),
    ),
    "custom": GpuProfile(),
}


def profile_of(settings: GpuSettings) -> GpuProfile:
    """Lay what the administrator wrote over the provider's profile.

    Args:
        settings: the provider, and what is different in this cluster.

    Returns:
        The profile that holds.
    """
    given = {name: getattr(settings.profile, name) for name in settings.profile.model_fields_set}
    return PROFILES[settings.provider].model_copy(update=given)
