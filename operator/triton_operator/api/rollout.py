"""What a user says about how a new revision takes over: spec.rollout.

Not for: what runs; that is `api.spec` and `api.runtime`.
"""

from typing import Literal

from pydantic import Field

from triton_operator.api.fields import ApiModel


class Rollout(ApiModel):
    """How a new revision takes over from the one that serves."""

    strategy: Literal["RollingUpdate", "Recreate"] = Field(
        default="RollingUpdate",
        description=(
            "RollingUpdate: pod by pod, while the old revision serves. Recreate: the old revision's pods end before the"
            " new one's begin; nothing serves meanwhile."
        ),
    )
    max_surge_gpus: int | None = Field(
        default=None,
        alias="maxSurgeGPUs",
        ge=0,
        le=64_000,
        description=(
            "GPUs that an update may hold beside those of spec.replicas. 0: within the same GPUs, one pod leaving"
            " before the next one comes. Left out: those of a quarter of the replicas, of one replica at least."
        ),
        json_schema_extra={"format": "int32"},
    )
    min_available: int | None = Field(
        default=None,
        ge=0,
        le=1000,
        description=(
            "Ready pods that an update leaves in service. Left out: spec.replicas, or one less, at least one, where"
            " maxSurgeGPUs has no room for a further replica."
        ),
        json_schema_extra={"format": "int32"},
    )
    provision_timeout_seconds: int = Field(
        default=900,
        ge=10,
        le=86_400,
        description=(
            "How long pods may wait for nodes with room, such as those that an autoscaler brings up, before the update"
            " is called stalled. Loading has a time limit of its own, runtime.loadTimeoutSeconds."
        ),
        json_schema_extra={"format": "int32"},
    )
