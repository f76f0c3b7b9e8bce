"""What a user says about the steps of a canary: spec.rollout.steps.

Not for: how it is judged meanwhile; that is `api.rollout`.
"""

from pydantic import ConfigDict, Field

from triton_operator.api.fields import ApiModel
from triton_operator.api.routing import HeaderMatch
from triton_operator.api.schema import cel, keyed_by, rules

_KINDS = ("setWeight", "pause", "setCanaryScale", "setHeaderRoute", "setMirrorRoute")


class Pause(ApiModel):
    """How long a rollout stays where it is."""

    duration_seconds: int | None = Field(
        default=None,
        ge=1,
        le=604_800,
        description="Seconds, from when the Gateway took over the weight before it. Left out: until a person promotes.",
        json_schema_extra={"format": "int32"},
    )


class CanaryScale(ApiModel):
    """Pods of the canary."""

    replicas: int | None = Field(
        default=None,
        ge=1,
        le=1000,
        description="At least so many, and never fewer than its weight needs. Left out: those.",
        json_schema_extra={"format": "int32"},
    )


class HeaderRoute(ApiModel):
    """Requests told by their headers."""

    headers: list[HeaderMatch] | None = Field(
        default=None,
        min_length=1,
        max_length=8,
        description="Those with all of these headers, over HTTP and gRPC. Left out: none any more.",
        json_schema_extra=keyed_by("name"),
    )


class MirrorRoute(ApiModel):
    """Copies of requests, whose answers nobody gets."""

    percent: int | None = Field(
        default=None,
        ge=1,
        le=100,
        description="Share of the requests through the Gateway that is copied. Left out: none any more.",
        json_schema_extra={"format": "int32"},
    )


class Step(ApiModel):
    """One step of a canary."""

    set_weight: int | None = Field(
        default=None,
        ge=1,
        le=100,
        description="Share of the requests that the new revision gets, in percent. 100: promote.",
        json_schema_extra={"format": "int32"},
    )
    pause: Pause | None = Field(default=None, description="Stay at this weight.")

    set_canary_scale: CanaryScale | None = Field(
        default=None, description="Pods that the canary has at least, from here on."
    )
    set_header_route: HeaderRoute | None = Field(
        default=None, description="Requests that go to the canary whatever the weights, from here on."
    )
    set_mirror_route: MirrorRoute | None = Field(
        default=None, description="Requests that are sent to the canary too, from here on."
    )

    model_config = ConfigDict(
        json_schema_extra=rules(
            cel(
                f"[{', '.join(f'has(self.{kind})' for kind in _KINDS)}].filter(each, each).size() == 1",
                f"a step is one of {', '.join(_KINDS)}: make several steps of it",
            )
        )
    )
