"""What a user says about how a new revision takes over: spec.rollout.

Not for: what runs; that is `api.spec` and `api.runtime`.
"""

from typing import Any, Literal

from pydantic import ConfigDict, Field

from triton_operator.api.fields import ApiModel, DnsName
from triton_operator.api.metric import Metric
from triton_operator.api.schema import ATOMIC, cel, keyed_by, rules
from triton_operator.api.steps import Step


class GoldenRequests(ApiModel):
    """Inference requests whose answers are known."""

    config_map_name: DnsName = Field(
        description=(
            "ConfigMap with one V2 inference request in JSON under each key, whose outputs hold the data expected, and"
            " perhaps a tolerance {relative, absolute}; see docs/rollouts.md."
        )
    )


def _permille(default: int, description: str) -> Any:
    return Field(default=default, ge=1, le=500, description=description, json_schema_extra={"format": "int32"})


def _material(default: int) -> Any:
    return _permille(default, "It is not rolled back as long as so many of 1,000 may be all.")


def _floor(default: int) -> Any:
    return _permille(default, "It passes also once fewer than so many of 1,000 are certain.")


class Bounds(ApiModel):
    """How much more often requests may go badly on the canary than on the stable revision beside it."""

    fail_ratio_percent: int = Field(
        default=125,
        ge=100,
        le=10_000,
        description=(
            "The canary is rolled back once its share is certain to be above this percentage of that of stable."
        ),
        json_schema_extra={"format": "int32"},
    )
    pass_ratio_percent: int = Field(
        default=200,
        ge=101,
        le=100_000,
        description="It passes once its share is certain to be below this percentage of that of stable.",
        json_schema_extra={"format": "int32"},
    )
    model_config = ConfigDict(
        json_schema_extra=rules(
            cel(
                "(has(self.passRatioPercent) ? self.passRatioPercent : 200) >"
                " (has(self.failRatioPercent) ? self.failRatioPercent : 125)",
                "passRatioPercent must be above failRatioPercent, or a canary could pass and fail at once",
                field_path=".passRatioPercent",
            )
        )
    )


class Errors(Bounds):
    """Requests that fail."""

    material_permille: int = _material(2)
    floor_permille: int = _floor(1)


class SlowRequests(Bounds):
    """Requests that take longer than they may."""

    threshold_milliseconds: int = Field(
        ge=1,
        le=3_600_000,
        description=(
            "Requests that take longer are slow. The Gateway counts in steps: the next of 1, 5, 10, 25, 50, 100, 250,"
            " 500 and so on is taken, as shown in status."
        ),
        json_schema_extra={"format": "int32"},
    )
    material_permille: int = _material(10)
    floor_permille: int = _floor(10)


class Analysis(ApiModel):
    """How a canary is judged while it serves, by the requests of both revisions over the same time."""

    errors: Errors = Field(default=Errors(), description="Requests that fail.", json_schema_extra={"default": {}})
    slow_requests: SlowRequests | None = Field(
        default=None, description="Judge it by slow requests too; the operator's setting prometheus.url is needed."
    )
    metrics: list[Metric] | None = Field(
        default=None,
        min_length=1,
        max_length=8,
        description="Judge it by what you measure too; the operator's setting prometheus.url is needed.",
        json_schema_extra=keyed_by("name"),
    )
    cluster_factor: int = Field(
        default=1,
        ge=1,
        le=1000,
        description=(
            "How many requests go badly together: with dynamic batching the usual number of those in a batch."
        ),
        json_schema_extra={"format": "int32"},
    )
    interval_seconds: int = Field(
        default=30,
        ge=5,
        le=3600,
        description="How often counters are read. The verdict may fall after any of these looks.",
        json_schema_extra={"format": "int32"},
    )
    max_duration_seconds: int = Field(
        default=7200,
        ge=60,
        le=604_800,
        description="After this time without a verdict, since the canary's first request, the rollout pauses.",
        json_schema_extra={"format": "int32"},
    )


class Rollout(ApiModel):
    """How a new revision takes over from the one that serves."""

    strategy: Literal["RollingUpdate", "Canary", "BlueGreen", "Recreate"] = Field(
        default="RollingUpdate",
        description=(
            "RollingUpdate: pod by pod, while the old revision serves. Canary: the new revision gets a growing share of"
            " the requests, by the Gateway's weights or without one by its pods in the Service, step by step, while it"
            " is judged, and takes over pod by pod once it has proven itself. BlueGreen: all pods of the new revision"
            " load beside the old one's, on as many GPUs again; then all requests move at once, and the old revision"
            " stays warm for scaleDownDelaySeconds. Recreate: the old revision's pods end before the new one's begin;"
            " nothing serves meanwhile."
        ),
    )
    steps: list[Step] | None = Field(
        default=None,
        min_length=1,
        max_length=32,
        description=(
            "With Canary, what is gone through before promotion. Left out: with a Gateway 5 %, and then each weight"
            " that a further pod carries, a minute each."
        ),
        json_schema_extra=ATOMIC
        | rules(
            cel(
                "self.filter(s, has(s.setWeight)).all(s, self.exists_one(t, has(t.setWeight) && t.setWeight =="
                " s.setWeight)) && self.filter(s, has(s.setWeight)).map(s, s.setWeight).isSorted()",
                "weights of steps must rise from step to step",
            ),
            cel(
                "!self.exists(s, has(s.setWeight) && s.setWeight == 100) || (has(self[size(self) - 1].setWeight)"
                " && self[size(self) - 1].setWeight == 100)",
                "setWeight 100 promotes: nothing may follow it",
            ),
        ),
    )
    analysis: Analysis | None = Field(
        default=None,
        description=(
            "With Canary, judge the new revision by its requests. Left out: steps, readiness and crashes count, and"
            " gross errors."
        ),
    )
    auto_rollback: bool = Field(
        default=True,
        description="With Canary, whether a canary that was judged to fail is rolled back. false: the rollout pauses.",
    )
    dynamic_stable_scale: bool = Field(
        default=False,
        description=(
            "With Canary and a Gateway, whether the old revision gives up the pods that the canary's replace while it"
            " is judged: about spec.replicas pods in all, and no instant way back. false: it keeps all of them."
        ),
    )
    max_surge_gpus: int | None = Field(
        default=None,
        alias="maxSurgeGPUs",
        ge=0,
        le=64_000,
        description=(
            "GPUs that an update may hold beside those of spec.replicas. 0: within the same GPUs, one pod leaving"
            " before the next one comes. Left out: those of a quarter of the replicas, of one replica at least; with"
            " Canary those that its steps need."
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
