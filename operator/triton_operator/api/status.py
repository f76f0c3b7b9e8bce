"""What the operator answers: the status of an InferenceService. A view of the record, for people and GitOps tools.

Not for: the operator's memory; that is the record (`core.record`). If the status is wiped nothing happens.
"""

from typing import Literal

from pydantic import Field

from triton_operator.api.fields import ApiModel
from triton_operator.api.schema import keyed_by

ConditionStatus = Literal["True", "False", "Unknown"]

READY = "Ready"
AVAILABLE = "Available"
ACCEPTED = "Accepted"
RECONCILING = "Reconciling"
STALLED = "Stalled"
SUSPENDED = "Suspended"
SERVES_ON_CPU = "ServesOnCPU"
CANARY_PAUSED = "CanaryPaused"
CANARY_FAILED = "CanaryFailed"
TRAFFIC_VERIFIED = "TrafficVerified"
SCALING_ACTIVE = "ScalingActive"

POD_UNREACHABLE = "PodUnreachable"  # a reason

MAX_INTEGER = 2**53 - 1  # JSON keeps whole numbers up to here
MAX_PODS = 2**31 - 1


class Condition(ApiModel):
    """One observation of the service's state, as in every Kubernetes API."""

    type: str = Field(
        min_length=1,
        max_length=64,
        description=(
            "Ready: this generation is fully realised. Available: requests are served. Accepted: the spec can be"
            " carried out. Reconciling: work is under way. Stalled: it cannot go on without a change."
            " Suspended: no pods on request. ServesOnCPU: GPUs were asked for and the model runs on the CPU."
            " CanaryPaused: a person is waited for. CanaryFailed: the canary was rolled back. TrafficVerified: the"
            " Gateways share requests out as they should. ScalingActive: replicas follow what is measured."
        ),
    )
    status: ConditionStatus = Field(description="True, False or Unknown.")
    observed_generation: int = Field(
        ge=0,
        le=MAX_INTEGER,
        description="Generation that the condition describes.",
        json_schema_extra={"format": "int64"},
    )
    last_transition_time: str = Field(
        description="When status last changed.", max_length=64, json_schema_extra={"format": "date-time"}
    )
    reason: str = Field(min_length=1, max_length=128, description="One word for programs.")
    message: str = Field(max_length=4096, description="One sentence for people.")


class RevisionStatus(ApiModel):
    """A revision and its pods."""

    name: str = Field(max_length=63, description="Name of the revision, and of its Deployment and Service.")
    version: int = Field(
        ge=1, le=MAX_INTEGER, description="Model version that it serves.", json_schema_extra={"format": "int64"}
    )
    replicas: int = Field(ge=0, le=MAX_PODS, description="Pods that it has.")
    ready: int = Field(ge=0, le=MAX_PODS, description="Pods that are ready.")
    weight: int = Field(
        ge=0,
        le=100,
        description=(
            "Share of the requests it gets, in percent: with Canary of those through the Gateway, else its share of"
            " ready pods."
        ),
    )


class Failure(ApiModel):
    """The last thing that went wrong, in the words of who noticed it."""

    reason: str = Field(min_length=1, max_length=128, description="One word for programs.")
    message: str = Field(max_length=4096, description="What was wrong, where, and what to do.")
    revision: str | None = Field(default=None, max_length=63, description="Revision it happened to.")
    pod: str | None = Field(default=None, max_length=253, description="Pod it happened to.")
    exit_code: int | None = Field(default=None, ge=-(2**31), le=2**31 - 1, description="Exit code of the container.")
    time: str | None = Field(
        default=None, max_length=64, description="When it was first seen.", json_schema_extra={"format": "date-time"}
    )


class WarmStatus(ApiModel):
    """The revision that served before, whose pods are kept for instant return."""

    name: str = Field(max_length=63, description="Name of the revision.")
    version: int = Field(ge=1, le=MAX_INTEGER, description="Its model version.", json_schema_extra={"format": "int64"})
    replicas: int = Field(ge=0, le=MAX_PODS, description="Pods that it has; they get no requests.")
    ready: int = Field(ge=0, le=MAX_PODS, description="Pods that are ready.")
    until: str = Field(
        max_length=64, description="When its pods are removed.", json_schema_extra={"format": "date-time"}
    )


class RequestCounts(ApiModel):
    """Requests that a revision has answered during a trial."""

    requests: int = Field(ge=0, le=MAX_INTEGER, description="All of them.", json_schema_extra={"format": "int64"})
    failed: int = Field(ge=0, le=MAX_INTEGER, description="Those that failed.", json_schema_extra={"format": "int64"})
    timed: int | None = Field(
        default=None,
        ge=0,
        le=MAX_INTEGER,
        description="Those whose duration was judged.",
        json_schema_extra={"format": "int64"},
    )
    slow: int | None = Field(
        default=None,
        ge=0,
        le=MAX_INTEGER,
        description="Of these, those that were slow.",
        json_schema_extra={"format": "int64"},
    )


class MetricStatus(ApiModel):
    """What the values of one of spec.rollout.analysis.metrics have come to."""

    name: str = Field(max_length=63, description="Its name.")
    value: str | None = Field(default=None, max_length=32, description="The last value.")
    good: int = Field(ge=0, le=MAX_PODS, description="Values that were good.")
    bad: int = Field(ge=0, le=MAX_PODS, description="Values that were bad.")
    unclear: int = Field(ge=0, le=MAX_PODS, description="How often in a row there was neither.")
    message: str | None = Field(default=None, max_length=1024, description="Why it cannot be had.")


class RolloutStatus(ApiModel):
    """How far a canary is."""

    step: int = Field(ge=0, le=100, description="Number of the step that it is at.")
    steps: int = Field(ge=0, le=100, description="How many there are.")
    serving_since: str | None = Field(
        default=None,
        max_length=64,
        description="When it got its first requests.",
        json_schema_extra={"format": "date-time"},
    )
    verdict: Literal["PASS", "FAIL", "CONTINUE", "INCONCLUSIVE"] = Field(description="What its requests say so far.")
    canary: RequestCounts = Field(description="Requests of the canary that were judged.")
    stable: RequestCounts = Field(description="Requests of the stable revision at the same time.")
    slow_milliseconds: int | None = Field(
        default=None,
        ge=1,
        le=MAX_INTEGER,
        description="The duration above which requests are counted as slow.",
        json_schema_extra={"format": "int64"},
    )
    towards_fail: int = Field(
        ge=0, le=100, description="Evidence that it fails more often than it may, in percent of what rolls it back."
    )
    towards_pass: int = Field(
        ge=0, le=100, description="Evidence that it does not, in percent of what a verdict of PASS takes."
    )
    metrics: list[MetricStatus] | None = Field(
        default=None, max_length=8, json_schema_extra=keyed_by("name"), description="Metrics of the spec's own."
    )


class HoldStatus(ApiModel):
    """Replicas that are kept though they are not needed."""

    until: str | None = Field(
        default=None,
        max_length=64,
        description="Until when; left out where that is open.",
        json_schema_extra={"format": "date-time"},
    )
    reason: str = Field(max_length=1024, description="Why.")


class AutoscalingStatus(ApiModel):
    """How many replicas are needed, and why."""

    desired: int = Field(
        ge=0, le=MAX_PODS, description="So many there are to be; with mode Observe so many there would be."
    )
    current: int = Field(ge=0, le=MAX_PODS, description="So many there are.")
    because: str | None = Field(
        default=None, max_length=1024, description="Why, with the numbers; left out before anything was measured."
    )
    capacity_per_replica: str | None = Field(
        default=None,
        max_length=32,
        description="Requests per second that one replica answers within the objective, such as '5.4'.",
    )
    lead_time_seconds: int | None = Field(
        default=None, ge=0, le=MAX_PODS, description="How long a further replica takes to get ready."
    )
    hold: HoldStatus | None = Field(default=None, description="Replicas that are kept though they are not needed.")
    limited_by: Literal["max", "nodes", "quota", "metrics"] | None = Field(
        default=None,
        description=(
            "What stands in the way of as many as are needed. max: the spec. nodes: none with room. quota: that of the"
            " namespace. metrics: they cannot be had."
        ),
    )
    metrics_age_seconds: int | None = Field(
        default=None, ge=0, le=MAX_PODS, description="How old the newest measurement was when that was decided."
    )


class Rejected(ApiModel):
    """A revision that is not tried again until the spec changes, or a person says retry."""

    name: str = Field(max_length=63, description="Name of the revision; empty where it was not known yet.")
    version: int | None = Field(
        default=None, ge=1, le=MAX_INTEGER, description="Its model version.", json_schema_extra={"format": "int64"}
    )
    by: Literal["Operator", "Person"] = Field(description="Operator: it failed. Person: by undo.")
    reason: str = Field(min_length=1, max_length=128, description="One word for programs.")
    message: str = Field(max_length=4096, description="What was wrong with it.")
    time: str = Field(max_length=64, description="Since when.", json_schema_extra={"format": "date-time"})


class Address(ApiModel):
    """An address at which the service answers."""

    name: str = Field(max_length=63, description="What it is: http, grpc, headless or gateway.")
    url: str = Field(max_length=512, description="The address; of a Gateway the host name, * for any.")
    split: bool | None = Field(
        default=None, description="Whether a canary gets its share of the requests here; left out where it does not."
    )


class InferenceServiceStatus(ApiModel):
    """What the operator made of the spec."""

    observed_generation: int = Field(
        default=-1, ge=-1, le=MAX_INTEGER, description="Generation that this status describes. -1: not looked at yet."
    )
    phase: Literal["Pending", "Loading", "Ready", "Updating", "Degraded", "Failed", "Suspended"] | None = Field(
        default=None, description="One word for people. Programs read conditions."
    )
    conditions: list[Condition] | None = Field(
        default=None, max_length=16, json_schema_extra=keyed_by("type"), description="Observations, one per type."
    )
    replicas: int | None = Field(default=None, ge=0, le=MAX_PODS, description="Pods in service, for /scale.")
    ready_replicas: int | None = Field(default=None, ge=0, le=MAX_PODS, description="Pods in service that are ready.")
    selector: str | None = Field(default=None, max_length=512, description="Labels of the pods in service, for /scale.")
    stable: RevisionStatus | None = Field(default=None, description="The revision that serves.")
    canary: RevisionStatus | None = Field(default=None, description="The revision on its way to become stable.")
    warm: WarmStatus | None = Field(
        default=None, description="With BlueGreen, the revision that served before, as long as its pods are kept."
    )
    rollout: RolloutStatus | None = Field(default=None, description="With Canary, how far the trial is.")
    autoscaling: AutoscalingStatus | None = Field(
        default=None, description="With autoscaling, how many replicas are needed, and why."
    )
    rejected: Rejected | None = Field(
        default=None, description="The revision that the spec asks for, where another one serves in its place."
    )
    last_failure: Failure | None = Field(
        default=None, description="The last thing that went wrong with the revision that the spec asks for."
    )
    url: str | None = Field(default=None, max_length=512, description="Where the service answers over HTTP.")
    addresses: list[Address] | None = Field(
        default=None,
        max_length=40,
        json_schema_extra=keyed_by("name"),
        description=(
            "Where the service answers: http, grpc, headless for clients that balance by themselves, and Gateways."
        ),
    )
