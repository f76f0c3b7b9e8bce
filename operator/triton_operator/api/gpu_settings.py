"""What an administrator says about the GPU nodes of the cluster: who provides them, and by what they are told apart.

Not for: the profiles of known providers; see `core.providers`.
"""

from typing import Annotated, Literal

from pydantic import Field

from triton_operator.api.fields import DNS_NAME_PATTERN, LABEL_KEY_PATTERN, StrictModel
from triton_operator.api.pods import EXTENDED_RESOURCE_PATTERN, Effect

Provider = Literal["gpu-operator", "gke", "eks", "karpenter", "aks", "custom"]

MIG = "{mig}"
_LABEL_CHARACTERS = r"[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?"

_Resource = Annotated[str, Field(max_length=128, pattern=EXTENDED_RESOURCE_PATTERN)]
_MigResource = Annotated[
    str,
    Field(
        max_length=128,
        pattern=rf"^$|{EXTENDED_RESOURCE_PATTERN}|^{DNS_NAME_PATTERN}/[A-Za-z0-9][-A-Za-z0-9_.]{{0,40}}\{{mig\}}$",
    ),
]
_Key = Annotated[str, Field(max_length=253, pattern=LABEL_KEY_PATTERN)]
_KeyOrNone = Annotated[str, Field(max_length=253, pattern=rf"^$|{LABEL_KEY_PATTERN}")]
_Value = Annotated[str, Field(max_length=63, pattern=rf"^{_LABEL_CHARACTERS}$")]
_ValueOrAny = Annotated[str, Field(max_length=63, pattern=rf"^({_LABEL_CHARACTERS})?$")]
_MigValue = Annotated[str, Field(max_length=63, pattern=r"^([A-Za-z0-9][-A-Za-z0-9_.]{0,40})?\{mig\}$")]


class Taint(StrictModel):
    """A taint of GPU nodes, which pods with GPUs tolerate."""

    key: _Key = Field(description="Key of the taint.")
    value: _ValueOrAny = Field(default="", description="Value of the taint. Empty: any.")
    effect: Effect = Field(default="NoSchedule", description="Effect of the taint.")


GPU_TAINT = Taint(key="nvidia.com/gpu")


class GpuProfile(StrictModel):
    """What the fields of spec.gpu become. A label left empty is one that nodes do not have."""

    resourceName: _Resource = Field(default="nvidia.com/gpu", description="Resource that stands for a whole GPU.")
    migResourceName: _MigResource = Field(
        default=f"nvidia.com/mig-{MIG}",
        description="Resource that stands for a MIG slice; {mig} is replaced by spec.gpu.mig. Empty: no MIG.",
    )
    sharedResourceName: _Resource = Field(
        default="nvidia.com/gpu", description="Resource that stands for a share of a GPU."
    )
    productLabel: _KeyOrNone = Field(default="", description="Label with the model of the GPU, for products.")
    memoryLabel: _KeyOrNone = Field(default="", description="Label with the memory of a GPU in MiB, for minMemory.")
    migLabel: _KeyOrNone = Field(
        default="", description="Label with the MIG slices of a node, where the resource does not say their size."
    )
    migValue: _MigValue = Field(
        default=MIG, description="Value of migLabel; {mig} is replaced by spec.gpu.mig, such as 1g.10gb."
    )
    sliceLabel: _KeyOrNone = Field(
        default="",
        description="Label that only nodes have whose resourceName stands for MIG slices; whole GPUs are not there.",
    )
    sharingLabel: _KeyOrNone = Field(default="", description="Label with the way in which GPUs of a node are shared.")
    timeSlicingValue: _Value = Field(default="time-slicing", description="Value of sharingLabel for TimeSlicing.")
    mpsValue: _Value = Field(default="mps", description="Value of sharingLabel for MPS.")
    mpsWithoutHostIpc: bool = Field(
        default=True,
        strict=True,
        description="Whether MPS works in pods without hostIPC, which pods here never have; else MPS is refused.",
    )
    spotLabel: _KeyOrNone = Field(default="", description="Label of spot nodes.")
    spotValue: _Value = Field(default="true", description="Value of spotLabel on spot nodes.")
    nodePoolLabel: _KeyOrNone = Field(default="", description="Label with the name of the node pool, for nodePool.")
    taints: tuple[Taint, ...] = Field(
        default=(GPU_TAINT,), max_length=16, description="Taints of GPU nodes; every pod with GPUs tolerates them."
    )
    spotTaints: tuple[Taint, ...] = Field(
        default=(), max_length=16, description="Further taints of spot nodes; tolerated with spot Allow and Require."
    )
    scalesFromZero: bool = Field(
        default=False,
        strict=True,
        description="Whether pools may have no node, so that a node's template must show that pods fit.",
    )
    templateLabels: tuple[_Key, ...] = Field(
        default=(),
        max_length=32,
        description="Labels above that the template of a node has. With scalesFromZero only these can be asked for.",
    )


class GpuSettings(StrictModel):
    """The GPU nodes of the cluster."""

    provider: Provider = Field(
        default="gpu-operator",
        description="Who provides GPU nodes, and so their labels, taints and resources; custom: as profile says.",
    )
    profile: GpuProfile = Field(
        default=GpuProfile(),
        description="What is different here from the provider's profile; for custom, all of it.",
    )
