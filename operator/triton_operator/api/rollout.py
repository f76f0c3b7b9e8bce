"""What a user says about how a new revision takes over: spec.rollout.

Not for: what runs; that is `api.spec` and `api.runtime`.
"""

from typing import Literal

from pydantic import Field

from triton_operator.api.fields import ApiModel, DnsName


class GoldenRequests(ApiModel):
    """Inference requests whose answers are known."""

    config_map_name: DnsName = Field(
        description=(
            "ConfigMap with one V2 inference request in JSON under each key, whose outputs hold the data expected, and"
            " perhaps a tolerance {relative, absolute}; see docs/rollouts.md."
        )
    )


class Rollout(ApiModel):
    """How a new revision takes over from the one that serves."""

    strategy: Literal["RollingUpdate", "BlueGreen", "Recreate"] = Field(
        default="RollingUpdate",
        description=(
            "RollingUpdate: pod by pod, while the old revision serves. BlueGreen: all pods of the new revision load"
            " beside the old one's, on as many GPUs again; then all requests move at once, and the old revision stays"
            " warm for scaleDownDelaySeconds. Recreate: the old revision's pods end before the new one's begin; nothing"
            " serves meanwhile."
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
    scale_down_delay_seconds: int | None = Field(
        default=None,
        ge=0,
        le=604_800,
        description=(
            "With BlueGreen, how long the old revision keeps its pods, and their GPUs, after the switch, so that a spec"
            " that goes back to it is served at once. 0: not at all. Left out: 30, as Argo Rollouts has it; longer is"
            " safer and holds twice the GPUs for longer."
        ),
        json_schema_extra={"format": "int32"},
    )
    allow_signature_change: bool = Field(
        default=False,
        description=(
            "Whether a new revision may take requests though it no longer takes or gives all that the one in service"
            " does: names, data types and shapes of inputs and outputs, and the largest batch. false: it is rejected."
        ),
    )
    golden_requests: GoldenRequests | None = Field(
        default=None,
        description=(
            "Requests that the first pods of a new revision must answer as expected before they take any other. A"
            " revision that answers otherwise is rejected."
        ),
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
