"""Which metrics the operator has: one table, that they are made of and docs/reference/metrics.md is generated from.

Not for: setting them; that is `controller.metrics`. Metrics of Triton or of the services are scraped from the pods.
"""

from dataclasses import dataclass
from typing import Literal

PREFIX = "triton_operator_"

_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
_WAIT_SECONDS = (0.001, 0.01, 0.1, 0.5, 1.0, 5.0, 10.0, 30.0, 60.0, 300.0, 600.0)
_SERVICE = ("namespace", "name")

Unit = Literal["", "seconds", "percent", "bytes", "requests/s", "requests/s²"]


@dataclass(frozen=True, slots=True)
class Metric:
    """A metric.

    Attributes:
        name: as it is scraped; a histogram's without `_bucket`, `_sum` and `_count`.
        type: counter, gauge or histogram.
        text: what it tells.
        labels: their names.
        unit: of its values; "" for a number of things, or for 0 and 1.
        buckets: upper bounds of a histogram.
    """

    name: str
    type: Literal["counter", "gauge", "histogram"]
    text: str
    labels: tuple[str, ...] = ()
    unit: Unit = ""
    buckets: tuple[float, ...] = ()


def _gauge(name: str, text: str, *labels: str, unit: Unit = "") -> Metric:
    return Metric(PREFIX + name, "gauge", text, labels, unit)


def _counter(name: str, text: str, *labels: str) -> Metric:
    return Metric(PREFIX + name, "counter", text, labels)


def _seconds(name: str, text: str, *labels: str, buckets: tuple[float, ...] = _SECONDS) -> Metric:
    return Metric(PREFIX + name, "histogram", text, labels, "seconds", buckets)


OPERATOR = (
    _gauge("build_info", "Always 1.", "version", "python"),
    _gauge("leader", "1 in the replica that acts, else 0."),
    _gauge("services", "InferenceServices known."),
    _gauge("queue_depth", "Services that wait to be looked at."),
    _gauge("queue_oldest_seconds", "How long the longest-waiting service has waited.", unit="seconds"),
    _gauge("queue_failing", "Services whose last three reconciles, or more, have failed."),
    _counter("queue_adds_total", "Services queued."),
    _counter("queue_retries_total", "Reconciles tried again after a failure."),
    _seconds("queue_wait_seconds", "Time that services waited in the queue.", buckets=_WAIT_SECONDS),
    _seconds("reconcile_duration_seconds", "Time of one reconcile, by its result: done, again or error.", "result"),
    _counter("applies_total", "Children looked at, by kind and whether they had to be written.", "kind", "result"),
    _counter(
        "api_calls_total",
        "Requests to the Kubernetes API, by verb and HTTP status, or timeout, unreachable or cancelled.",
        "verb",
        "code",
    ),
)
"""How the operator itself does."""

SERVICES = (
    _gauge("services_in_phase", "InferenceServices looked at, by the phase of their status.", "phase"),
    _gauge(
        "service_condition",
        "1 for each condition that is not as it is where all is well: Ready, Available, Accepted, TrafficVerified and"
        " ScalingActive that are not True, others that are not False. Reconciling is left out: Ready is Unknown then.",
        *_SERVICE,
        "type",
        "status",
        "reason",
    ),
)
"""How services do."""

CANARIES = (
    _gauge(
        "canary_weight_percent", "Share of the requests through the Gateway that it gets.", *_SERVICE, unit="percent"
    ),
    _gauge("canary_step", "Number of the step that it is at.", *_SERVICE),
    _gauge("canary_paused", "1 while a person is waited for, else 0.", *_SERVICE),
    _gauge(
        "canary_evidence_percent",
        "Evidence so far, in percent of what each verdict takes.",
        *_SERVICE,
        "verdict",
        unit="percent",
    ),
    _gauge(
        "canary_judged_requests",
        "Requests judged so far, of the canary and of the stable revision beside it: all requests, those of them that"
        " failed, those whose duration was counted, and those of them that were slow.",
        *_SERVICE,
        "side",
        "kind",
    ),
)
"""Of each canary on trial."""

AUTOSCALING = (
    _gauge("autoscaling_desired_replicas", "Replicas that the autoscaler asks for, or recommends.", *_SERVICE),
    _gauge("autoscaling_ready_replicas", "Replicas in service that are ready.", *_SERVICE),
    _gauge(
        "autoscaling_limited",
        "1 while something stands in the way of more replicas: max, nodes, quota or metrics; else absent.",
        *_SERVICE,
        "by",
    ),
    _gauge("autoscaling_requests_per_second", "Requests that arrive, smoothed.", *_SERVICE, unit="requests/s"),
    _gauge(
        "autoscaling_trend",
        "By how much they grow a second, each second; negative where they become fewer.",
        *_SERVICE,
        unit="requests/s²",
    ),
    _gauge(
        "autoscaling_capacity_requests_per_second",
        "Requests that one replica carries within the objective; 0 while not known.",
        *_SERVICE,
        unit="requests/s",
    ),
    _gauge(
        "autoscaling_batch_seconds",
        "What a batch takes: of one request (first), and for each one more (further).",
        *_SERVICE,
        "part",
        unit="seconds",
    ),
    _gauge(
        "autoscaling_tail_factor",
        "What a request takes at the percentile of the objective, in batches' times; 0 if not measured.",
        *_SERVICE,
    ),
    _gauge(
        "autoscaling_latency_seconds",
        "What a request takes at the percentile of the objective; 0 while nobody measures it.",
        *_SERVICE,
        unit="seconds",
    ),
    _gauge(
        "autoscaling_objective_seconds",
        "What a request may take at that percentile; 0 without an objective.",
        *_SERVICE,
        unit="seconds",
    ),
    _gauge(
        "autoscaling_lead_time_seconds", "From the creation of a pod to its being ready.", *_SERVICE, unit="seconds"
    ),
    _gauge(
        "autoscaling_hold_seconds",
        "For how long replicas that are not needed are kept.",
        *_SERVICE,
        unit="seconds",
    ),
    _gauge("autoscaling_metrics_age_seconds", "Age of the newest sample.", *_SERVICE, unit="seconds"),
)
"""Of each service with autoscaling."""

SIGNALS = (
    _seconds(
        "signals_look_seconds",
        "Time of one look at what all services with autoscaling are asked for; one is begun every 5 s.",
    ),
    _gauge("signals_series", "Series that Prometheus has answered with at the last look."),
    _counter(
        "signals_scrapes_total",
        "Pods that were asked for their counters directly, by whether they have told: ok or failed.",
        "result",
    ),
    _gauge(
        "signals_silent_pods",
        "Ready pods of services with autoscaling of which nothing is known that can be relied on.",
    ),
)
"""How the load of services with autoscaling is measured."""

PROCESS = (
    Metric(PREFIX + "process_virtual_memory_bytes", "gauge", "Virtual memory.", unit="bytes"),
    Metric(PREFIX + "process_resident_memory_bytes", "gauge", "Memory in use.", unit="bytes"),
    Metric(PREFIX + "process_start_time_seconds", "gauge", "When it was started, since the epoch.", unit="seconds"),
    Metric(PREFIX + "process_cpu_seconds_total", "counter", "CPU time used.", unit="seconds"),
    Metric(PREFIX + "process_max_fds", "gauge", "File descriptors that it may open."),
    Metric(PREFIX + "process_open_fds", "gauge", "File descriptors that it has open."),
)
"""What prometheus_client's ProcessCollector reads of the process, on Linux."""

MADE = (*OPERATOR, *SERVICES, *CANARIES, *AUTOSCALING, *SIGNALS)
"""All but those of the process."""

ALL = (*MADE, *PROCESS)
"""All metrics of the operator."""
