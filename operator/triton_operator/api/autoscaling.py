"""What a user says about how many replicas there are: spec.autoscaling.

Not for: how that is worked out; see `core.autoscaler`.
"""

from typing import Annotated, Literal

from pydantic import Field

from triton_operator.api.fields import ApiModel


class Objective(ApiModel):
    """How fast requests are to be answered."""

    percentile: Literal[50, 90, 95, 99] = Field(
        default=95, description="Of 100 requests, how many are to be answered within latencyMilliseconds."
    )
    latency_milliseconds: int = Field(
        ge=1, le=3_600_000, description="How long a request may take.", json_schema_extra={"format": "int32"}
    )


class ScalingPolicy(ApiModel):
    """A bound of how fast the number of replicas changes."""

    type: Literal["Pods", "Percent"]
    value: int = Field(ge=1, le=100_000)
    period_seconds: int = Field(ge=1, le=1800)


class ScalingRules(ApiModel):
    """How the number of replicas changes in one direction; meaning and fields are those of autoscaling/v2."""

    stabilization_window_seconds: int | None = Field(default=None, ge=0, le=3600)
    select_policy: Literal["Max", "Min", "Disabled"] = "Max"
    policies: list[ScalingPolicy] | None = None


class Behavior(ApiModel):
    """How the number of replicas changes."""

    scale_up: ScalingRules = ScalingRules()
    scale_down: ScalingRules = ScalingRules()


class ScalingMetric(ApiModel):
    """Something measured, and how much of it one replica is to have."""

    type: Literal["latency", "queueTime", "throughput", "concurrency", "gpuUtilization", "prometheus"]


class Schedule(ApiModel):
    """Bounds for a time of the day."""


class Autoscaling(ApiModel):
    """How many replicas there are."""

    mode: Literal["Auto", "Observe", "Off"] = "Auto"
    min_replicas: Annotated[int, Field(ge=1, le=1000)] = 1
    max_replicas: Annotated[int, Field(ge=1, le=1000)]
    objective: Objective | None = None
    metrics: list[ScalingMetric] | None = None
    behavior: Behavior = Behavior()
    schedules: list[Schedule] | None = None
