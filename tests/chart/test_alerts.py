"""Alerts and dashboards in the hands of a real promtool: queries parse, alerts fire when they must and never else."""

import json
import os
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

from cluster import debian
from cluster.cache import cache_from_environment

from .conftest import CHART, Object, Render

pytestmark = pytest.mark.contract

Promtool = Callable[..., str]

JOB = 'job="operators/triton-operator"'
VISION = 'namespace="models",name="vision"'
MODEL = 'job="models/vision-metrics",namespace="models",inference_service="vision",model="vision",version="1"'
STEADY = "1+0x120"


@pytest.fixture(scope="module")
def promtool() -> Promtool:
    """The promtool of Debian's Prometheus; raises what it says when it fails."""
    cache = cache_from_environment(os.environ)
    with cache.locked():
        program = debian.program_of(cache, "prometheus", "usr/bin/promtool")

    def run(*words: str | Path) -> str:
        done = subprocess.run([program, *words], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    return run


@pytest.fixture(scope="module")
def groups(render: Render) -> list[Object]:
    """The rules as they are installed with a ServiceMonitor."""
    on = {"enabled": True}
    found: list[Object] = render({"prometheusRule": on, "serviceMonitor": on}).one("PrometheusRule")["spec"]["groups"]
    return found


def condition(type_: str, status: str, reason: str, *, job: str = JOB, of: str = VISION) -> str:
    labels = f'{job},{of},pod="a",type="{type_}",status="{status}",reason="{reason}"'
    return f"triton_operator_service_condition{{{labels}}}"


def of_operator(metric: str, labels: str = "", *, job: str = JOB, pod: str = "a") -> str:
    return f'triton_operator_{metric}{{{job},pod="{pod}"{"," + labels if labels else ""}}}'


def amiss(*conditions: tuple[str, str, str], values: str = STEADY) -> dict[str, str]:
    return {condition(*told): values for told in conditions}


def requests(failed: str, succeeded: str = "0+60x120", reason: str = "BACKEND") -> dict[str, str]:
    return {
        f'nv_inference_request_failure{{{MODEL},reason="{reason}"}}': failed,
        f"nv_inference_request_success{{{MODEL}}}": succeeded,
    }


def latency(measured: str, objective: str) -> dict[str, str]:
    return {
        of_operator("autoscaling_latency_seconds", VISION): f"{measured}+0x120",
        of_operator("autoscaling_objective_seconds", VISION): f"{objective}+0x120",
    }


@dataclass(frozen=True, slots=True)
class Case:
    """Series, and whether an alert fires at a time.

    Attributes:
        series: what is scraped each minute, in promtool's notation.
        minutes: when it is looked.
        labels: of the alert, beside its severity; None where it must be silent.
        told: its description.
    """

    series: dict[str, str]
    minutes: int
    labels: dict[str, str] | None = None
    told: str = ""


OF = {"namespace": "models", "name": "vision"}
BY_JOB = {"job": "operators/triton-operator"}
UNAVAILABLE = ("Available", "False", "NoReadyPods")
ANOTHER = 'job="elsewhere/triton-operator"'
UNLED = (
    "No replica of operators/triton-operator leads, or none is scraped. What serves goes on serving, but nothing is"
    " rolled out, scaled or repaired."
)
UNSERVED = (
    "No pod of models/vision that takes requests has been ready for 5 minutes, and no first load or resumption is"
    " waited for."
)
CASES: dict[str, dict[str, Case]] = {
    "TritonServiceUnavailable": {
        "its pods are gone": Case(
            amiss(UNAVAILABLE, ("Ready", "Unknown", "PodsNotReady")),
            6,
            OF,
            UNSERVED,
        ),
        "for a moment": Case(amiss(UNAVAILABLE, ("Ready", "Unknown", "PodsNotReady")), 4),
        "it loads for the first time": Case(amiss(UNAVAILABLE, ("Ready", "Unknown", "Loading")), 60),
        "it is brought back": Case(amiss(UNAVAILABLE, ("Ready", "Unknown", "Resuming")), 60),
        "its first load has failed": Case(
            amiss(UNAVAILABLE, ("Ready", "False", "LoadTimeout")),
            6,
            OF,
            UNSERVED,
        ),
        "it is suspended": Case(amiss(("Available", "False", "Suspended"), ("Suspended", "True", "Suspended")), 60),
        "no replicas are wanted": Case(amiss(UNAVAILABLE), 60),
        "another operator's": Case(
            {
                condition(*UNAVAILABLE, job=ANOTHER): STEADY,
                condition("Ready", "Unknown", "PodsNotReady", job=ANOTHER): STEADY,
            },
            60,
        ),
    },
    "TritonServiceNotReady": {
        "it is under way for long": Case(
            amiss(("Ready", "Unknown", "Updating"), values="1+0x30 stale")
            | {condition("Ready", "Unknown", "SurgeExhausted"): "_x30 1+0x90"},
            61,
            OF,
            "models/vision has not become ready for 60 minutes, nor has it given up.",
        ),
        "it becomes ready in between": Case(amiss(("Ready", "Unknown", "Updating"), values="1+0x30 stale 1+0x90"), 80),
        "a canary is on trial": Case(amiss(("Ready", "Unknown", "CanaryProgressing")), 120),
        "it is stalled": Case(amiss(("Ready", "False", "LoadTimeout")), 120),
    },
    "TritonServiceStalled": {
        "a load has failed": Case(
            amiss(("Stalled", "True", "LoadTimeout"), ("Ready", "False", "LoadTimeout")),
            6,
            OF | {"reason": "LoadTimeout"},
            "models/vision is stalled (LoadTimeout) and needs a change. What served before serves on, if it can.",
        ),
        "a canary was rolled back": Case(
            amiss(("Stalled", "True", "LoadTimeout"), ("CanaryFailed", "True", "LoadTimeout")), 60
        ),
        "a person went back": Case(amiss(("Stalled", "True", "Undone")), 60),
    },
    "TritonRequestsFail": {
        "one of ten fails": Case(
            requests("0+10x120", "0+90x120"),
            15,
            {"namespace": "models", "inference_service": "vision"},
            "10.0 % of the requests to models/vision fail.",
        ),
        "one of a hundred": Case(requests("0+1x120", "0+99x120"), 60),
        "clients have cancelled them": Case(requests("0+50x120", reason="CANCELED"), 60),
        "there are none": Case(requests("0+0x120", "0+0x120"), 60),
    },
    "TritonSourceChanged": {
        "other files": Case(
            amiss(("Ready", "False", "SourceChanged")),
            6,
            OF,
            "The source of models/vision does not hold the files any more that its pods serve: no further pod of it can"
            " start.",
        ),
        "something else": Case(amiss(("Ready", "False", "Unreachable")), 60),
    },
    "TritonCanaryFailed": {
        "rolled back": Case(
            amiss(("CanaryFailed", "True", "CanaryFailed")),
            1,
            OF | {"reason": "CanaryFailed"},
            "The canary of models/vision was rolled back (CanaryFailed). The revision before it serves all requests.",
        ),
        "on trial": Case(amiss(("Ready", "Unknown", "CanaryProgressing")), 60),
    },
    "TritonCanaryUndecided": {
        "inconclusive": Case(
            amiss(("CanaryPaused", "True", "Inconclusive")),
            6,
            OF | {"reason": "Inconclusive"},
            "The canary of models/vision is paused (Inconclusive) until somebody promotes or aborts it; some of the"
            " requests go to it.",
        ),
        "as its steps say": Case(amiss(("CanaryPaused", "True", "CanaryPauseStep")), 60),
    },
    "TritonAutoscalerInactive": {
        "no metrics": Case(
            amiss(("ScalingActive", "False", "MetricsUnavailable")),
            11,
            OF | {"reason": "MetricsUnavailable"},
            "The autoscaler of models/vision does not act (MetricsUnavailable): its replicas stay as they are, whatever"
            " is asked of it.",
        ),
        "for a moment": Case(amiss(("ScalingActive", "False", "MetricsUnavailable")), 9),
        "it observes": Case(amiss(("ScalingActive", "False", "Observing")), 60),
    },
    "TritonAutoscalerAtMaximum": {
        "at the maximum": Case(
            {of_operator("autoscaling_limited", f'{VISION},by="max"'): STEADY},
            16,
            OF,
            "models/vision is at autoscaling.maxReplicas and needs more.",
        ),
        "for want of nodes": Case({of_operator("autoscaling_limited", f'{VISION},by="nodes"'): STEADY}, 60),
    },
    "TritonAutoscalerStuck": {
        "for want of nodes": Case(
            {of_operator("autoscaling_limited", f'{VISION},by="nodes"'): STEADY},
            16,
            OF | {"by": "nodes"},
            "models/vision needs more replicas than its nodes allow.",
        ),
        "they come": Case({of_operator("autoscaling_limited", f'{VISION},by="nodes"'): "1+0x10 stale"}, 60),
        "at the maximum": Case({of_operator("autoscaling_limited", f'{VISION},by="max"'): STEADY}, 60),
    },
    "TritonObjectiveMissed": {
        "slow": Case(
            latency("0.3", "0.2"),
            16,
            OF,
            "Requests to models/vision take 0.300 s at the percentile of its objective, which is less.",
        ),
        "within it": Case(latency("0.2", "0.2"), 60),
        "there is none": Case(latency("0.2", "0"), 60),
        "nobody measures": Case(latency("0", "0.2"), 60),
    },
    "TritonOperatorWithoutLeader": {
        "none leads": Case(
            {of_operator("leader", pod=pod): "0+0x120" for pod in ("a", "b")},
            6,
            {},
            UNLED,
        ),
        "another operator's leads": Case(
            {of_operator("leader", job=ANOTHER): STEADY},
            6,
            {},
            UNLED,
        ),
        "one leads": Case({of_operator("leader", pod="a"): "0+0x120", of_operator("leader", pod="b"): STEADY}, 60),
        "another takes over": Case(
            {
                of_operator("leader", pod="a"): "1+0x20 0+0x100",
                of_operator("leader", pod="b"): "0+0x23 1+0x97",
            },
            26,
        ),
    },
    "TritonOperatorReconcilesFail": {
        "some fail": Case(
            {of_operator("queue_failing"): "3+0x120"},
            16,
            BY_JOB,
            "3 services could not be reconciled, again and again.",
        ),
        "for a while": Case({of_operator("queue_failing"): "3+0x10 0+0x100"}, 16),
    },
    "TritonOperatorQueueOld": {
        "a service waits": Case(
            {of_operator("queue_oldest_seconds"): "130+0x120"},
            6,
            BY_JOB,
            "The longest-waiting service has waited for 130 s to be looked at.",
        ),
        "not long": Case({of_operator("queue_oldest_seconds"): "60+0x120"}, 60),
    },
    "TritonOperatorApiThrottled": {
        "again and again": Case(
            {of_operator("api_calls_total", 'verb="patch",code="429"'): "0+5x120"},
            30,
            BY_JOB,
            "50 requests within 10 minutes were answered with 429, too many requests.",
        ),
        "once": Case({of_operator("api_calls_total", 'verb="patch",code="429"'): "0+0x20 3+0x100"}, 30),
        "others": Case({of_operator("api_calls_total", 'verb="patch",code="200"'): "0+500x120"}, 30),
    },
}


def test_every_alert_has_a_case_in_which_it_fires_and_one_in_which_it_does_not(groups: list[Object]) -> None:
    assert CASES.keys() == {rule["alert"] for group in groups for rule in group["rules"]}
    for cases in CASES.values():
        assert {case.labels is None for case in cases.values()} == {True, False}


@pytest.mark.parametrize("alert", CASES)
def test_an_alert_fires_when_it_must(alert: str, groups: list[Object], promtool: Promtool, tmp_path: Path) -> None:
    (tmp_path / "rules.yaml").write_text(yaml.safe_dump({"groups": groups}), encoding="utf-8")
    (rule,) = [rule for group in groups for rule in group["rules"] if rule["alert"] == alert]
    tests = []
    for name, case in CASES[alert].items():
        fires: list[Object] = []
        if case.labels is not None:
            annotations = rule["annotations"] | {"description": case.told}
            fires = [{"exp_labels": case.labels | rule["labels"], "exp_annotations": annotations}]
        tests.append(
            {
                "name": name,
                "interval": "1m",
                "input_series": [{"series": series, "values": values} for series, values in case.series.items()],
                "alert_rule_test": [{"eval_time": f"{case.minutes}m", "alertname": alert, "exp_alerts": fires}],
            }
        )
    body = {"rule_files": ["rules.yaml"], "evaluation_interval": "1m", "tests": tests}
    (tmp_path / "tests.yaml").write_text(yaml.safe_dump(body), encoding="utf-8")
    promtool("test", "rules", tmp_path / "tests.yaml")


@pytest.mark.parametrize("monitored", [False, True])
def test_the_rules_are_rules(render: Render, promtool: Promtool, monitored: bool, tmp_path: Path) -> None:
    rendered = render({"prometheusRule": {"enabled": True}, "serviceMonitor": {"enabled": monitored}})
    groups = rendered.one("PrometheusRule")["spec"]["groups"]
    (tmp_path / "rules.yaml").write_text(yaml.safe_dump({"groups": groups}), encoding="utf-8")
    count = sum(len(group["rules"]) for group in groups)
    assert f"SUCCESS: {count} rules found" in promtool("check", "rules", tmp_path / "rules.yaml")


def test_every_query_of_the_dashboards_is_promql(promtool: Promtool, tmp_path: Path) -> None:
    rules = []
    for path in sorted((CHART / "dashboards").glob("*.json")):
        dashboard = json.loads(path.read_text(encoding="utf-8"))
        queries = [target["expr"] for panel in dashboard["panels"] for target in panel.get("targets", [])]
        queries += [v["query"]["query"] for v in dashboard["templating"]["list"] if v["type"] == "query"]
        for query in queries:
            query = query.removeprefix("label_values(").rpartition(", ")[0] if query.startswith("label_v") else query
            for variable, value in (("$__rate_interval", "1m"), ("$namespace", "models"), ("$service", "vision")):
                query = query.replace(variable, value)
            rules.append({"record": f"{path.stem}:query:{len(rules)}", "expr": query.replace("$job", ".*")})
    body = {"groups": [{"name": "dashboards", "rules": rules}]}
    (tmp_path / "rules.yaml").write_text(yaml.safe_dump(body), encoding="utf-8")
    assert len(rules) > 60
    assert f"SUCCESS: {len(rules)} rules found" in promtool("check", "rules", tmp_path / "rules.yaml")
