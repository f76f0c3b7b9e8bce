"""The dashboards of the chart: panels as PromQL and a title, made into what Grafana imports.

What every panel asks for must exist; tests/chart/test_chart_watching.py compares it with what is exposed.
Not for: writing files; see `generate`.
"""

from dataclasses import dataclass, field
from typing import Any, Literal

Json = dict[str, Any]

SOURCE = {"type": "prometheus", "uid": "${datasource}"}
COLUMNS = 24
HEIGHT = 8

OPERATOR = 'job=~"$job"'
SERVICE = 'namespace="$namespace",name="$service"'
MODEL = 'namespace="$namespace",inference_service="$service"'
ROUTE = 'envoy_cluster_name=~"(http|grpc)route/$namespace/$service/rule/.+"'
FLEET = 'namespace=~"$namespace"'
RATE = "[$__rate_interval]"


@dataclass(frozen=True, slots=True)
class Panel:
    """A panel.

    Attributes:
        title: what it shows.
        queries: PromQL, each with its legend, in which a label stands between `{{` and `}}`.
        unit: Grafana's name of the unit.
        kind: how it is drawn.
        width: of 24 columns.
        text: what one should know who reads it.
    """

    title: str
    queries: dict[str, str]
    unit: str = "short"
    kind: Literal["timeseries", "stat", "table"] = "timeseries"
    width: int = 8
    text: str = ""


@dataclass(frozen=True, slots=True)
class Variable:
    """A choice at the top of a dashboard: its values are those of a label."""

    name: str
    query: str
    several: bool = False


@dataclass(frozen=True, slots=True)
class Dashboard:
    """A dashboard: rows of panels, each with a title."""

    title: str
    text: str
    rows: dict[str, tuple[Panel, ...]]
    variables: tuple[Variable, ...] = field(default=())


def _stat(title: str, query: str, *, unit: str = "short", width: int = 4) -> Panel:
    return Panel(title, {query: ""}, unit=unit, kind="stat", width=width)


def _quantiles(metric: str, chosen: str) -> dict[str, str]:
    buckets = f"sum by (le) (rate({metric}_bucket{{{chosen}}}{RATE}))"
    return {f"histogram_quantile({share}, {buckets})": f"p{round(100 * share)}" for share in (0.5, 0.99)}


def _amiss(chosen: str) -> Panel:
    query = f"max by (namespace, name, type, status, reason) (triton_operator_service_condition{{{chosen}}})"
    return Panel(
        "What is amiss",
        {query: ""},
        kind="table",
        width=COLUMNS,
        text="Conditions that are not as they should be; docs/reference/reasons.md says what to do; none: all is well.",
    )


def _per_request(metric: str) -> str:
    """Give the mean of a duration per request, in seconds."""
    requests = f"sum(rate(nv_inference_request_success{{{MODEL}}}{RATE}))"
    return f"sum(rate({metric}{{{MODEL}}}{RATE})) / {requests} / 1e6"


OF_OPERATOR = Dashboard(
    title="Triton operator",
    text="How triton-operator does: who leads, what waits, what fails, what it asks of the API server.",
    variables=(Variable("job", "label_values(triton_operator_build_info, job)", several=True),),
    rows={
        "At a glance": (
            _stat("Leaders", f"sum(triton_operator_leader{{{OPERATOR}}})"),
            _stat("Services", f"max(triton_operator_services{{{OPERATOR}}})"),
            _stat("Services that fail", f"max(triton_operator_queue_failing{{{OPERATOR}}})"),
            _stat("Waiting longest", f"max(triton_operator_queue_oldest_seconds{{{OPERATOR}}})", unit="s"),
            _stat("Replicas", f"count(triton_operator_build_info{{{OPERATOR}}})"),
            Panel(
                "Versions",
                {f"count by (version) (triton_operator_build_info{{{OPERATOR}}})": "{{version}}"},
                kind="stat",
                width=4,
            ),
        ),
        "Services": (
            Panel(
                "Services by phase",
                {f"max by (phase) (triton_operator_services_in_phase{{{OPERATOR}}})": "{{phase}}"},
                width=COLUMNS,
            ),
            _amiss(OPERATOR),
        ),
        "Work": (
            Panel(
                "Reconciles by result",
                {
                    f"sum by (result) (rate(triton_operator_reconcile_duration_seconds_count{{{OPERATOR}}}{RATE}))": (
                        "{{result}}"
                    )
                },
                unit="ops",
            ),
            Panel("Time of a reconcile", _quantiles("triton_operator_reconcile_duration_seconds", OPERATOR), unit="s"),
            Panel("Time in the queue", _quantiles("triton_operator_queue_wait_seconds", OPERATOR), unit="s"),
            Panel(
                "Queue",
                {
                    f"max(triton_operator_queue_depth{{{OPERATOR}}})": "services that wait",
                    f"max(triton_operator_queue_failing{{{OPERATOR}}})": "services that fail",
                },
            ),
            Panel(
                "Queued and tried again",
                {
                    f"sum(rate(triton_operator_queue_adds_total{{{OPERATOR}}}{RATE}))": "queued",
                    f"sum(rate(triton_operator_queue_retries_total{{{OPERATOR}}}{RATE}))": "tried again",
                },
                unit="ops",
            ),
            Panel(
                "Children written",
                {
                    f'sum by (kind) (rate(triton_operator_applies_total{{{OPERATOR},result="changed"}}{RATE}))': (
                        "{{kind}}"
                    )
                },
                unit="ops",
            ),
        ),
        "API server": (
            Panel(
                "Requests by verb",
                {f"sum by (verb) (rate(triton_operator_api_calls_total{{{OPERATOR}}}{RATE}))": "{{verb}}"},
                unit="reqps",
                width=12,
            ),
            Panel(
                "Requests that did not succeed",
                {
                    f'sum by (code) (rate(triton_operator_api_calls_total{{{OPERATOR},code!~"2.."}}{RATE}))': (
                        "{{code}}"
                    )
                },
                unit="reqps",
                width=12,
            ),
        ),
        "Measuring of load": (
            Panel("Time of a look", _quantiles("triton_operator_signals_look_seconds", OPERATOR), unit="s"),
            Panel(
                "What answers",
                {
                    f"max(triton_operator_signals_series{{{OPERATOR}}})": "series of Prometheus",
                    f"max(triton_operator_signals_silent_pods{{{OPERATOR}}})": "pods that are silent",
                },
            ),
            Panel(
                "Pods asked directly",
                {f"sum by (result) (rate(triton_operator_signals_scrapes_total{{{OPERATOR}}}{RATE}))": "{{result}}"},
                unit="ops",
            ),
        ),
        "Process": (
            Panel(
                "Memory",
                {f"triton_operator_process_resident_memory_bytes{{{OPERATOR}}}": "{{instance}}"},
                unit="bytes",
            ),
            Panel(
                "CPU",
                {f"rate(triton_operator_process_cpu_seconds_total{{{OPERATOR}}}{RATE})": "{{instance}}"},
            ),
            Panel("Open files", {f"triton_operator_process_open_fds{{{OPERATOR}}}": "{{instance}}"}),
        ),
    },
)

OF_SERVICE = Dashboard(
    title="Triton service",
    text="One InferenceService: its requests, its latency against the objective, why it has its replicas, its canary.",
    variables=(
        Variable("namespace", 'label_values(nv_inference_request_success{inference_service!=""}, namespace)'),
        Variable("service", 'label_values(nv_inference_request_success{namespace="$namespace"}, inference_service)'),
    ),
    rows={
        "State": (_amiss(SERVICE),),
        "Requests": (
            Panel(
                "Requests by revision",
                {
                    f"sum by (revision) (rate(nv_inference_request_success{{{MODEL}}}{RATE}))": "{{revision}}",
                },
                unit="reqps",
            ),
            Panel(
                "Failed requests by reason",
                {
                    f"sum by (revision, reason) (rate(nv_inference_request_failure{{{MODEL}}}{RATE}))": (
                        "{{revision}} {{reason}}"
                    )
                },
                unit="reqps",
                text="As Triton counts them: requests that it turns away because its queue is full are not among them.",
            ),
            Panel(
                "Answers at the Gateway",
                {
                    f"sum by (envoy_response_code_class) (rate(envoy_cluster_upstream_rq_xx{{{ROUTE}}}{RATE}))": (
                        "{{envoy_response_code_class}}xx"
                    )
                },
                unit="reqps",
            ),
            Panel(
                "Where a request's time goes",
                {
                    _per_request("nv_inference_queue_duration_us"): "queue",
                    _per_request("nv_inference_compute_input_duration_us"): "input",
                    _per_request("nv_inference_compute_infer_duration_us"): "inference",
                    _per_request("nv_inference_compute_output_duration_us"): "output",
                },
                unit="s",
                text="On average over all requests.",
            ),
            Panel(
                "Waiting requests",
                {f"sum by (revision) (nv_inference_pending_request_count{{{MODEL}}})": "{{revision}}"},
            ),
            Panel(
                "Requests in a batch",
                {
                    f"sum(rate(nv_inference_count{{{MODEL}}}{RATE}))"
                    f" / sum(rate(nv_inference_exec_count{{{MODEL}}}{RATE}))": "mean"
                },
            ),
        ),
        "Latency": (
            Panel(
                "Latency against the objective",
                {
                    f"max(triton_operator_autoscaling_latency_seconds{{{SERVICE}}} > 0)": "measured",
                    f"max(triton_operator_autoscaling_objective_seconds{{{SERVICE}}} > 0)": "objective",
                },
                unit="s",
                width=12,
                text="At the percentile of the objective; only with autoscaling by an objective.",
            ),
            Panel(
                "Latency at the Gateway",
                {
                    f"histogram_quantile({share}, sum by (le) (rate("
                    f"envoy_cluster_upstream_rq_time_bucket{{{ROUTE}}}{RATE})))": f"p{round(100 * share)}"
                    for share in (0.5, 0.95, 0.99)
                },
                unit="ms",
                width=12,
            ),
        ),
        "Replicas, and why": (
            Panel(
                "Replicas",
                {
                    f"max(triton_operator_autoscaling_desired_replicas{{{SERVICE}}})": "asked for",
                    f"max(triton_operator_autoscaling_ready_replicas{{{SERVICE}}})": "ready",
                },
            ),
            Panel(
                "Load against capacity",
                {
                    f"max(triton_operator_autoscaling_requests_per_second{{{SERVICE}}})": "requests",
                    f"max(triton_operator_autoscaling_capacity_requests_per_second{{{SERVICE}}})"
                    f" * max(triton_operator_autoscaling_ready_replicas{{{SERVICE}}})": "what ready replicas carry",
                },
                unit="reqps",
            ),
            Panel(
                "Limited by",
                {f"max by (by) (triton_operator_autoscaling_limited{{{SERVICE}}})": "{{by}}"},
                text="What stands in the way of more replicas; nothing where it is empty.",
            ),
            Panel(
                "Hold and lead time",
                {
                    f"max(triton_operator_autoscaling_hold_seconds{{{SERVICE}}})": "hold",
                    f"max(triton_operator_autoscaling_lead_time_seconds{{{SERVICE}}})": "lead time",
                },
                unit="s",
                text="For how long replicas that are not needed are kept, and how long a new one takes to get ready.",
            ),
            Panel(
                "What a batch takes",
                {f"max by (part) (triton_operator_autoscaling_batch_seconds{{{SERVICE}}})": "{{part}} request"},
                unit="s",
            ),
            Panel(
                "Age of what is measured",
                {f"max(triton_operator_autoscaling_metrics_age_seconds{{{SERVICE}}})": "age"},
                unit="s",
            ),
        ),
        "Canary": (
            Panel(
                "Weight and step",
                {
                    f"max(triton_operator_canary_weight_percent{{{SERVICE}}})": "weight, in percent",
                    f"max(triton_operator_canary_step{{{SERVICE}}})": "step",
                    f"max(triton_operator_canary_paused{{{SERVICE}}})": "waits for a person",
                },
            ),
            Panel(
                "Evidence",
                {f"max by (verdict) (triton_operator_canary_evidence_percent{{{SERVICE}}})": "{{verdict}}"},
                unit="percent",
                text="At 100 % of what a verdict takes it is given.",
            ),
            Panel(
                "Failed and slow requests",
                {
                    f'100 * max by (side) (triton_operator_canary_judged_requests{{{SERVICE},kind="{bad}"}})'
                    f' / max by (side) (triton_operator_canary_judged_requests{{{SERVICE},kind="{of}"}})': (
                        "{{side}} " + bad
                    )
                    for bad, of in (("failed", "requests"), ("slow", "timed"))
                },
                unit="percent",
                text="Of those that were judged so far, of the canary and of the revision beside it.",
            ),
        ),
        "GPUs": (
            Panel(
                "Use",
                {f"100 * avg by (pod) (nv_gpu_utilization{{{MODEL}}})": "{{pod}}"},
                unit="percent",
                width=12,
            ),
            Panel(
                "Memory",
                {
                    f"100 * sum by (pod) (nv_gpu_memory_used_bytes{{{MODEL}}})"
                    f" / sum by (pod) (nv_gpu_memory_total_bytes{{{MODEL}}})": "{{pod}}"
                },
                unit="percent",
                width=12,
            ),
        ),
    },
)

OF_FLEET = Dashboard(
    title="Triton fleet",
    text="All services and their GPUs: what is used, what is waited for, who misses an objective.",
    variables=(
        Variable(
            "namespace", 'label_values(nv_inference_request_success{inference_service!=""}, namespace)', several=True
        ),
    ),
    rows={
        "At a glance": (
            _stat("GPUs in use", f"count(count by (gpu_uuid) (nv_gpu_utilization{{{FLEET}}}))"),
            _stat("Their use", f"100 * avg(nv_gpu_utilization{{{FLEET}}})", unit="percent"),
            _stat("Requests", f"sum(rate(nv_inference_request_success{{{FLEET}}}{RATE}))", unit="reqps"),
            _stat(
                "Services that do not serve",
                f'count(max by (namespace, name) (triton_operator_service_condition{{{FLEET},type="Available"}}))',
            ),
            _stat(
                "Stalled services",
                f'count(max by (namespace, name) (triton_operator_service_condition{{{FLEET},type="Stalled"}}))',
            ),
            _stat(
                "Services that miss their objective",
                f"count(max by (namespace, name) (triton_operator_autoscaling_latency_seconds{{{FLEET}}})"
                f" > max by (namespace, name) (triton_operator_autoscaling_objective_seconds{{{FLEET}}} > 0))",
            ),
        ),
        "GPUs": (
            Panel(
                "GPUs by service",
                {
                    "count by (namespace, inference_service) (count by (namespace, inference_service, gpu_uuid)"
                    f" (nv_gpu_utilization{{{FLEET}}}))": "{{namespace}}/{{inference_service}}"
                },
            ),
            Panel(
                "Use by service",
                {
                    f"100 * avg by (namespace, inference_service) (nv_gpu_utilization{{{FLEET}}})": (
                        "{{namespace}}/{{inference_service}}"
                    )
                },
                unit="percent",
            ),
            Panel(
                "Memory by service",
                {
                    f"sum by (namespace, inference_service) (nv_gpu_memory_used_bytes{{{FLEET}}})": (
                        "{{namespace}}/{{inference_service}}"
                    )
                },
                unit="bytes",
            ),
            Panel(
                "Power",
                {f"sum by (namespace) (nv_gpu_power_usage{{{FLEET}}})": "{{namespace}}"},
                unit="watt",
            ),
            Panel(
                "Requests for each GPU",
                {
                    f"sum by (namespace, inference_service) (rate(nv_inference_request_success{{{FLEET}}}{RATE}))"
                    " / count by (namespace, inference_service) (count by (namespace, inference_service, gpu_uuid)"
                    f" (nv_gpu_utilization{{{FLEET}}}))": "{{namespace}}/{{inference_service}}"
                },
                unit="reqps",
            ),
            Panel(
                "Services that wait for GPUs",
                {
                    "count by (reason) (max by (namespace, name, reason) (triton_operator_service_condition{"
                    f'{FLEET},type="Ready",reason=~"InsufficientGPU|Unschedulable|PodsRefused|SurgeExhausted"}}))': (
                        "{{reason}}"
                    )
                },
            ),
        ),
        "Replicas": (
            Panel(
                "Replicas of services that scale by themselves",
                {
                    "sum(max by (namespace, name) (triton_operator_autoscaling_desired_replicas"
                    f"{{{FLEET}}}))": "asked for",
                    f"sum(max by (namespace, name) (triton_operator_autoscaling_ready_replicas{{{FLEET}}}))": "ready",
                },
            ),
            Panel(
                "Services whose replicas are limited",
                {
                    "count by (by) (max by (namespace, name, by) (triton_operator_autoscaling_limited"
                    f"{{{FLEET}}}))": "{{by}}"
                },
            ),
            Panel(
                "From a pod's creation to its being ready",
                {
                    "topk(10, max by (namespace, name) (triton_operator_autoscaling_lead_time_seconds"
                    f"{{{FLEET}}}))": "{{namespace}}/{{name}}"
                },
                unit="s",
                text="The ten that take longest.",
            ),
        ),
        "Requests": (
            Panel(
                "Busiest services",
                {
                    "topk(10, sum by (namespace, inference_service)"
                    f" (rate(nv_inference_request_success{{{FLEET}}}{RATE})))": "{{namespace}}/{{inference_service}}"
                },
                unit="reqps",
                width=12,
            ),
            Panel(
                "Failed requests",
                {
                    "topk(10, sum by (namespace, inference_service)"
                    f' (rate(nv_inference_request_failure{{{FLEET},reason!="CANCELED"}}{RATE})))': (
                        "{{namespace}}/{{inference_service}}"
                    )
                },
                unit="reqps",
                width=12,
            ),
        ),
        "State": (_amiss(FLEET),),
    },
)

DASHBOARDS = {"operator": OF_OPERATOR, "service": OF_SERVICE, "fleet": OF_FLEET}
"""The dashboards by the names of their files."""


def grafana(dashboard: Dashboard) -> Json:
    """Make what Grafana imports; the Prometheus is chosen at its top, and nothing has a uid."""
    panels: list[Json] = []
    y = 0
    for title, row in dashboard.rows.items():
        panels.append(
            {"type": "row", "title": title, "collapsed": False, "gridPos": _at(0, y, COLUMNS, 1), "panels": []}
        )
        x, y, tallest = 0, y + 1, 0
        for panel in row:
            height = HEIGHT // 2 if panel.kind == "stat" else HEIGHT
            if x + panel.width > COLUMNS:
                x, y, tallest = 0, y + tallest, 0
            panels.append(_panel(panel, _at(x, y, panel.width, height)))
            x, tallest = x + panel.width, max(tallest, height)
        y += tallest
    return {
        "title": dashboard.title,
        "description": dashboard.text,
        "tags": ["triton-operator"],
        "schemaVersion": 39,
        "editable": True,
        "graphTooltip": 1,
        "refresh": "30s",
        "time": {"from": "now-3h", "to": "now"},
        "templating": {"list": [_SOURCES, *map(_variable, dashboard.variables)]},
        "panels": [panel | {"id": number} for number, panel in enumerate(panels, start=1)],
    }


_SOURCES: Json = {"name": "datasource", "label": "Prometheus", "type": "datasource", "query": "prometheus"}


def _variable(variable: Variable) -> Json:
    many = {"multi": True, "includeAll": True, "allValue": ".*", "current": {"text": "All", "value": "$__all"}}
    return {
        "name": variable.name,
        "label": variable.name,
        "type": "query",
        "datasource": SOURCE,
        "query": {"query": variable.query, "refId": variable.name},
        "refresh": 2,
        "sort": 1,
    } | (many if variable.several else {})


def _at(x: int, y: int, width: int, height: int) -> Json:
    return {"x": x, "y": y, "w": width, "h": height}


def _panel(panel: Panel, place: Json) -> Json:
    of_now: Json = {"instant": True, "range": False, "format": "table"} if panel.kind == "table" else {}
    made: Json = {
        "type": panel.kind,
        "title": panel.title,
        "datasource": SOURCE,
        "gridPos": place,
        "fieldConfig": {"defaults": {"unit": panel.unit} | ({"min": 0} if panel.kind == "timeseries" else {})},
        "targets": [
            {"datasource": SOURCE, "expr": query, "refId": chr(ord("A") + number)}
            | ({"legendFormat": legend} if legend else {})
            | of_now
            for number, (query, legend) in enumerate(panel.queries.items())
        ],
    }
    if panel.text:
        made["description"] = panel.text
    if panel.kind == "table":
        hidden = {"excludeByName": {"Time": True, "Value": True}}
        made["transformations"] = [{"id": "organize", "options": hidden}]
    return made
