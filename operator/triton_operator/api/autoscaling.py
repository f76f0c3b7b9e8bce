"""What a user says about how many replicas there are: spec.autoscaling.

Not for: how that is worked out; see `core.autoscaler`, `core.behavior` and `core.schedules`.
"""

from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field

from triton_operator.api.fields import ApiModel, DnsLabel, Quantity
from triton_operator.api.metric import Decimal, placeholder, promql
from triton_operator.api.schema import ATOMIC, SET, cel, keyed_by, plain, rules

PLACEHOLDERS = ("namespace", "service", "pods")
PLACEHOLDER = placeholder(PLACEHOLDERS)

MetricType = Literal["latency", "queueTime", "throughput", "concurrency", "gpuUtilization", "prometheus"]
SelectPolicy = Literal["Max", "Min", "Disabled"]
Day = Literal["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"]
Clock = Annotated[
    str,
    Field(
        max_length=16,
        pattern=r"^(([01][0-9]|2[0-3]):[0-5][0-9]|24:00)$",
        json_schema_extra=plain("must be a time of the day in quotes, such as '08:30', from 00:00 to 24:00"),
    ),
]


def _whole(least: int, most: int, description: str, default: Any = ...) -> Any:
    return Field(default=default, ge=least, le=most, description=description, json_schema_extra={"format": "int32"})


class Objective(ApiModel):
    """How fast requests are to be answered."""

    percentile: Literal[50, 90, 95, 99] = Field(
        default=95,
        description="How many of 100 requests are to be answered within latencyMilliseconds.",
        json_schema_extra={"minimum": 50, "maximum": 99, "format": "int32"},
    )
    latency_milliseconds: int = _whole(1, 3_600_000, "How long a request may take.")


class ScalingMetric(ApiModel):
    """Something measured, and how much of it there is to be."""

    type: MetricType = Field(
        description=(
            "latency: milliseconds a request takes in Triton on average, its waiting included. queueTime: milliseconds"
            " it waits there. throughput: requests per second of one replica. concurrency: requests at a time in one"
            " replica. gpuUtilization: percent of the time in which its GPUs work. prometheus: what query comes to."
        )
    )
    target: Decimal = Field(
        description="How much of it there is to be, in the unit of type. With more there will be more replicas."
    )
    name: DnsLabel | None = Field(
        default=None, description="What it is called in status; tells several of type prometheus apart."
    )
    query: Annotated[str, promql(PLACEHOLDERS)] | None = Field(
        default=None,
        description=(
            "PromQL that comes to one number, asked of the operator's prometheus.url. In it {{namespace}} and"
            " {{service}} stand for this service's, {{pods}} for a regular expression of its pods' names."
        ),
    )
    metric_type: Literal["AverageValue", "Value"] | None = Field(
        default=None,
        description=(
            "What target is compared with, as in autoscaling/v2. AverageValue: the value divided by the replicas, for"
            " what is shared out among them. Value: the value itself. Left out: AverageValue."
        ),
    )

    model_config = ConfigDict(
        json_schema_extra=rules(
            cel("self.type != 'prometheus' || has(self.query)", "a metric of type prometheus needs query"),
            cel(
                "self.type == 'prometheus' || (!has(self.query) && !has(self.metricType))",
                "query and metricType are for type prometheus: what other types measure is given",
            ),
            cel("double(string(self.target)) > 0.0", "target must be above 0", field_path=".target"),
            cel(
                "self.type != 'gpuUtilization' || double(string(self.target)) <= 100.0",
                "target of gpuUtilization is in percent: at most 100",
                field_path=".target",
            ),
        )
    )

    @property
    def label(self) -> str:
        """What it is called in status and messages."""
        return self.name or self.type


class ScalingPolicy(ApiModel):
    """How much the number of replicas may change within a time."""

    type: Literal["Pods", "Percent"] = Field(
        description="Pods: value counts replicas. Percent: it is a share of those at the beginning of the period."
    )
    value: int = _whole(1, 100_000, "So many.")
    period_seconds: int = _whole(1, 1800, "The time.")


class ScalingRules(ApiModel):
    """How the number of replicas changes in one direction, with the fields and meaning of autoscaling/v2."""

    stabilization_window_seconds: int | None = _whole(
        0,
        3600,
        "Of all that was recommended within this time the one counts that changes least. Left out: 0 for scaleUp, 300"
        " for scaleDown.",
        None,
    )
    select_policy: SelectPolicy | None = Field(
        default=None,
        description=(
            "Which of policies counts: the one that permits the largest change (Max) or the smallest (Min). Disabled:"
            " no change in this direction. Left out: Max."
        ),
    )
    policies: list[ScalingPolicy] | None = Field(
        default=None,
        min_length=1,
        max_length=8,
        description=(
            "How much may change within which time. Left out: for scaleUp 4 Pods or 100 Percent in 15 seconds, for"
            " scaleDown 100 Percent in 15."
        ),
        json_schema_extra=ATOMIC,
    )
    tolerance: Quantity | None = Field(
        default=None,
        description=(
            "Share by which what is measured may differ from its target before anything changes, such as '0.05' in"
            " quotes. Left out: '0.1'."
        ),
    )


class Behavior(ApiModel):
    """How the number of replicas changes."""

    scale_up: ScalingRules | None = Field(default=None, description="To more. Left out: at once.")
    scale_down: ScalingRules | None = Field(
        default=None,
        description=(
            "To fewer. Left out: once none of them was needed for a time that grows with how long a replica takes to"
            " get ready and with regrets, half of them at most."
        ),
    )


class Schedule(ApiModel):
    """Bounds for some hours."""

    name: DnsLabel = Field(description="What it is called in status.")
    days: list[Day] | None = Field(
        default=None,
        min_length=1,
        max_length=7,
        description="Days on which it begins. Left out: every day.",
        json_schema_extra=SET,
    )
    start: Clock = Field(
        default="00:00",
        alias="from",
        description="When it begins by the clocks of timeZone, such as '08:30'.",
        json_schema_extra=rules(cel("self != '24:00'", "from must be before 24:00")),
    )
    end: Clock = Field(
        default="24:00",
        alias="to",
        description="When it ends; on the next day where that is before from.",
    )
    time_zone: str = Field(
        default="UTC",
        max_length=64,
        pattern=r"^[A-Z][A-Za-z0-9_+-]*(/[A-Za-z0-9][A-Za-z0-9_+-]*){0,2}$",
        description=(
            "Name of a time zone of the IANA database. A time that its clocks skip is when they skip it, one that they"
            " show twice the first."
        ),
        json_schema_extra=plain("must be the name of a time zone, such as Europe/Berlin"),
    )
    min_replicas: int | None = _whole(1, 1000, "Replicas at least. Left out: autoscaling.minReplicas.", None)
    max_replicas: int | None = _whole(1, 1000, "Replicas at most. Left out: autoscaling.maxReplicas.", None)

    model_config = ConfigDict(
        json_schema_extra=rules(
            cel("self.from != self.to", "from and to must differ: leave both out for the whole day", field_path=".to"),
            cel(
                "has(self.minReplicas) || has(self.maxReplicas)",
                "a schedule needs minReplicas, maxReplicas or both",
            ),
        )
    )


class Autoscaling(ApiModel):
    """How many replicas there are."""

    mode: Literal["Auto", "Observe", "Off"] = Field(
        default="Auto",
        description=(
            "Auto: there are as many replicas as needed, and spec.replicas is what it begins with. Observe: there are"
            " spec.replicas, and status says how many were needed. Off: there are spec.replicas."
        ),
    )
    min_replicas: int = _whole(1, 1000, "Replicas at least.", 1)
    max_replicas: int = _whole(1, 1000, "Replicas at most.")
    objective: Objective | None = Field(
        default=None,
        description=(
            "How fast requests are to be answered. It is enough by itself: what a replica can do is learned while it"
            " serves, and what will be asked for is foreseen."
        ),
    )
    metrics: list[ScalingMetric] | None = Field(
        default=None,
        min_length=1,
        max_length=8,
        description=(
            "What is measured, and how much of it there is to be. Of all of them and the objective, what needs most"
            " replicas counts."
        ),
        json_schema_extra=ATOMIC
        | rules(
            cel(
                "self.all(m, self.exists_one(n, n.type == m.type && (has(n.name) ? n.name : '') =="
                " (has(m.name) ? m.name : '')))",
                "each type goes into metrics once; several of type prometheus need a name each",
            )
        ),
    )
    behavior: Behavior | None = Field(
        default=None,
        description="How fast replicas come and go. Left out: as fast as needed, and as slowly as is wise.",
    )
    schedules: list[Schedule] | None = Field(
        default=None,
        min_length=1,
        max_length=16,
        description=(
            "Bounds for some hours, in place of minReplicas and maxReplicas. Where several apply, the largest"
            " minReplicas and the smallest maxReplicas do, and the latter where they contradict."
        ),
        json_schema_extra=keyed_by("name"),
    )

    model_config = ConfigDict(
        json_schema_extra=rules(
            cel(
                "self.minReplicas <= self.maxReplicas",
                "minReplicas must not be above maxReplicas",
                field_path=".minReplicas",
            ),
            cel(
                "has(self.objective) || has(self.metrics) || has(self.schedules)",
                "autoscaling needs something to go by: set objective, such as {latencyMilliseconds: 100}",
            ),
            cel(
                "!has(self.schedules) || self.schedules.all(s, (has(s.minReplicas) ? s.minReplicas : self.minReplicas)"
                " <= (has(s.maxReplicas) ? s.maxReplicas : self.maxReplicas))",
                "minReplicas of a schedule must not be above its maxReplicas, or autoscaling.maxReplicas where it has"
                " none: set both",
                field_path=".schedules",
            ),
        )
    )
