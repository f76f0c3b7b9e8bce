"""What a user says about the GPUs of one replica: how many, of which kind, on which nodes.

It names no cloud: what these fields become in a cluster, its profile says (`api.gpu_settings`).
Not for: what they become; that is `core.placement`.
"""

from typing import Annotated, Literal

from pydantic import AfterValidator, ConfigDict, Field

from triton_operator.api.fields import ApiModel, LabelValue
from triton_operator.api.pods import EXTENDED_RESOURCE_PATTERN
from triton_operator.api.schema import SET, cel, literal, plain, rules

Sharing = Literal["None", "TimeSlicing", "MPS"]
Spot = Literal["Forbid", "Allow", "Require"]
_ProductName = Annotated[LabelValue, Field(min_length=1)]

# A default of gpu is checked before it is filled in: what has a default may be missing.
_ONE = "(!has(self.count) || self.count <= 1)"
_ALONE = "(!has(self.sharing) || self.sharing == 'None')"
_OTHERS = (
    "!has(self.resourceName) && !has(self.products) && !has(self.minMemory) && !has(self.mig) && !has(self.nodePool)"
    f" && {_ALONE} && (!has(self.spot) || self.spot == 'Forbid')"
)


class Gpu(ApiModel):
    """The GPUs of one replica."""

    count: int = Field(default=1, ge=0, le=64, description="GPUs of one replica. 0: the model runs on the CPU.")
    resource_name: str | None = Field(
        default=None,
        min_length=3,
        max_length=128,
        description=(
            "Extended resource that stands for a GPU, such as amd.com/gpu. Default: what the cluster's profile, mig and"
            " sharing say, such as nvidia.com/gpu."
        ),
        json_schema_extra=rules(
            cel(
                f"self.matches({literal(EXTENDED_RESOURCE_PATTERN)})"
                " && !self.contains('kubernetes.io/') && !self.startsWith('requests.')",
                "resourceName must be an extended resource such as nvidia.com/gpu or nvidia.com/mig-1g.10gb",
            )
        ),
    )
    products: Annotated[list[_ProductName], AfterValidator(sorted)] | None = Field(  # a set: its order says nothing
        default=None,
        min_length=1,
        max_length=32,
        description=(
            "Models of GPU that will do, as the cluster's nodes are labelled: NVIDIA-L4 with the GPU operator,"
            " nvidia-l4 on GKE, l4 with Karpenter. Default: any."
        ),
        json_schema_extra=SET
        | rules(
            cel(
                "self.all(product, !product.contains('-MIG-'))",
                "products are whole GPUs: ask for a MIG slice by mig, such as mig: 1g.10gb",
            )
        ),
    )
    min_memory: str | None = Field(
        default=None,
        max_length=12,
        pattern=r"^[1-9][0-9]{0,6}[MG]i$",
        json_schema_extra=plain("minMemory must be a whole number of Mi or Gi, such as 40Gi"),
        description=(
            "Least memory of each GPU, such as 40Gi. Of what is sold as 80 GB, a little less than 80Gi is there."
            " Default: any."
        ),
    )
    mig: str | None = Field(
        default=None,
        max_length=16,
        pattern=r"^[1-7]g\.[1-9][0-9]{0,2}gb(\+me)?$",
        json_schema_extra=plain("mig must be a profile of MIG such as 1g.10gb, 3g.40gb or 1g.10gb+me"),
        description="MIG slice of a GPU in place of a whole one, such as 1g.10gb. Default: whole GPUs.",
    )
    sharing: Sharing = Field(
        default="None",
        description=(
            "Whether a GPU is shared with other pods: None, TimeSlicing (in turns, with no bound on memory) or MPS (at"
            " once, each with its part of the memory)."
        ),
    )
    spot: Spot = Field(
        default="Forbid",
        description=(
            "Whether nodes will do that the cloud may take back at short notice: Forbid, Allow or Require. With Allow"
            " and Require pods end within 25 s."
        ),
    )
    node_pool: LabelValue | None = Field(
        default=None, min_length=1, description="Name of the node pool (node group) to run in. Default: any."
    )

    model_config = ConfigDict(
        json_schema_extra=rules(
            cel(
                f"!has(self.count) || self.count > 0 || ({_OTHERS})",
                "count 0 runs the model on the CPU: remove the other fields of gpu, or set count to 1 or more",
                field_path=".count",
            ),
            cel(
                f"!has(self.mig) || {_ONE}",
                "with mig a replica gets one slice: set count to 1, and choose a larger slice or more replicas",
                field_path=".count",
            ),
            cel(
                "!has(self.mig) || !has(self.resourceName)",
                "mig chooses the resource: remove resourceName, or remove mig",
                field_path=".resourceName",
            ),
            cel(
                "!has(self.mig) || !has(self.products)",
                "mig chooses a slice, products choose whole GPUs: remove products, or remove mig",
                field_path=".products",
            ),
            cel(
                "!has(self.mig) || !has(self.minMemory)",
                "mig says the memory of the slice: remove minMemory, or remove mig",
                field_path=".minMemory",
            ),
            cel(
                f"!has(self.mig) || {_ALONE}",
                "a MIG slice is not shared: set sharing to None, or remove mig",
                field_path=".sharing",
            ),
            cel(
                f"{_ALONE} || {_ONE}",
                "a replica gets one share of one GPU: set count to 1, or sharing to None",
                field_path=".count",
            ),
            cel(
                f"{_ALONE} || !has(self.resourceName)",
                "sharing chooses the resource: remove resourceName, or set sharing to None",
                field_path=".resourceName",
            ),
            cel(
                f"!{_ALONE} || !has(self.products) || self.products.all(p, !p.endsWith('-SHARED'))",
                "a product that ends in -SHARED is shared: set sharing to TimeSlicing or MPS, or name another product",
                field_path=".products",
            ),
        )
    )
