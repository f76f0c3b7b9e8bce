"""Who watches the operator finds what it asks for: alerts, dashboards, scrapes, and the way there."""

import json
import re
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest

from triton_operator.api import names
from triton_operator.controller import exposed

from . import promql
from .conftest import CHART, ROOT, Object, Refused, Render

ENVOY = ROOT / "tests" / "contract" / "metrics" / "envoy.txt"
RUNBOOKS = ROOT / "docs" / "runbooks"
ON: Object = {
    "serviceMonitor": {"enabled": True},
    "prometheusRule": {"enabled": True},
    "dashboards": {"enabled": True},
    "networkPolicy": {"enabled": True},
}


def known() -> dict[str, frozenset[str]]:
    """All metrics there are, as they are asked for, each with its labels."""
    found = dict(promql.TRITON)
    for metric in exposed.ALL:
        if metric.type == "histogram":
            found |= {f"{metric.name}_{part}": frozenset(metric.labels) for part in ("sum", "count")}
            found[f"{metric.name}_bucket"] = frozenset({*metric.labels, "le"})
        else:
            found[metric.name] = frozenset(metric.labels)
    for name, labels in re.findall(r"^(\w+)\{(.*)\} ", ENVOY.read_text(encoding="utf-8"), re.MULTILINE):
        found[name] = found.get(name, frozenset()) | set(re.findall(r'(\w+)="', labels))
    return {name: labels | promql.OF_TARGETS for name, labels in found.items()}


def rules(rendered: Any) -> list[Object]:
    return [rule for group in rendered.one("PrometheusRule")["spec"]["groups"] for rule in group["rules"]]


def dashboards() -> dict[str, Object]:
    return {path.stem: json.loads(path.read_text(encoding="utf-8")) for path in (CHART / "dashboards").glob("*.json")}


def check(query: str, legend: str = "") -> None:
    asked, all_known = promql.asked(query), known()
    assert asked, query
    assert asked.keys() <= all_known.keys(), query
    for metric, labels in asked.items():
        assert labels <= all_known[metric], query
    grouped = promql.grouped(query)
    assert grouped <= set().union(*(all_known[metric] for metric in asked)), query
    told = set(re.findall(r"\{\{(\w+)\}\}", legend))
    assert told <= (grouped or set().union(*(all_known[metric] for metric in asked))), legend


def test_nothing_of_it_is_made_unless_asked_for(render: Render) -> None:
    kinds = {body["kind"] for body in render().objects}
    assert not kinds & {"ServiceMonitor", "PrometheusRule", "NetworkPolicy"}
    assert len(render().of("ConfigMap")) == 1


@pytest.mark.parametrize("values", [ON, ON | {"prometheus": {"url": "https://prometheus.example.com"}}])
def test_what_is_made_is_valid_and_the_same_each_time(render: Render, values: Object) -> None:
    rendered = render(values)
    assert rendered.text == render(values).text
    for body in rendered.objects:
        if not body["apiVersion"].startswith("monitoring.coreos.com/"):
            kubernetes_validate.validate(body, "1.34", strict=True)


@pytest.mark.parametrize("namespace", ["operators", "elsewhere"])
@pytest.mark.parametrize("shared", ["", "monitoring"])
def test_another_release_shares_no_object(render: Render, namespace: str, shared: str) -> None:
    values = ON | {"dashboards": {"enabled": True, "namespace": shared}, "crds": {"install": False}}

    def identities(release: str, namespace: str) -> set[tuple[str, str, str]]:
        objects = render(values, release=release, namespace=namespace).objects
        return {(b["kind"], b["metadata"].get("namespace", ""), b["metadata"]["name"]) for b in objects}

    release = "other" if namespace == "operators" else "triton-operator"
    assert not identities("triton-operator", "operators") & identities(release, namespace)


def test_labels_are_added_and_never_replace_the_charts_own(render: Render) -> None:
    extra = {"release": "kube-prometheus-stack", "app.kubernetes.io/name": "another"}
    values = {part: {"enabled": True, "labels": extra} for part in ("serviceMonitor", "prometheusRule", "dashboards")}
    rendered = render(values | {"dashboards": {"enabled": True, "labels": extra, "annotations": {"folder": "Triton"}}})
    made = [*rendered.of("ServiceMonitor"), *rendered.of("PrometheusRule"), *rendered.of("ConfigMap")[1:]]
    assert len(made) == 2 + len(dashboards())
    for body in made:
        assert body["metadata"]["labels"]["release"] == "kube-prometheus-stack"
        assert body["metadata"]["labels"]["app.kubernetes.io/name"] == "triton-operator"
        assert body["metadata"].get("annotations", {}) == ({"folder": "Triton"} if body["kind"] == "ConfigMap" else {})


def test_the_service_monitor_finds_the_metrics_service(render: Render) -> None:
    rendered = render(ON)
    monitor, service = rendered.one("ServiceMonitor")["spec"], rendered.one("Service")
    assert monitor["selector"]["matchLabels"].items() <= service["metadata"]["labels"].items()
    assert monitor["namespaceSelector"] == {"matchNames": [service["metadata"]["namespace"]]}
    (endpoint,) = monitor["endpoints"]
    assert endpoint["port"] in {port["name"] for port in service["spec"]["ports"]}
    assert (endpoint["path"], endpoint["interval"], endpoint["honorLabels"]) == ("/metrics", "30s", True)


def test_no_metric_has_a_label_that_prometheus_sets_itself_but_the_namespace() -> None:
    labels = {label for metric in exposed.ALL for label in metric.labels}
    assert labels & {"job", "instance", "pod", "namespace", "service", "container", "endpoint"} == {"namespace"}


def test_alerts_ask_for_what_is_exposed(render: Render) -> None:
    for rule in rules(render(ON)):
        check(rule["expr"])


@pytest.mark.parametrize("monitored", [False, True])
def test_alerts_are_about_this_release_where_its_metrics_can_be_told_apart(render: Render, monitored: bool) -> None:
    for rule in rules(render(ON | {"serviceMonitor": {"enabled": monitored}}, release="blue")):
        chosen = re.findall(r"triton_operator_\w+\{([^}]*)\}", rule["expr"])
        assert bool(chosen) == (rule["alert"] != "TritonRequestsFail")
        assert all(('job="operators/blue-triton-operator"' in text) == monitored for text in chosen)
    (endpoint,) = render(ON, release="blue").one("ServiceMonitor")["spec"]["endpoints"]
    assert endpoint["relabelings"] == [{"targetLabel": "job", "replacement": "operators/blue-triton-operator"}]


def test_each_alert_says_what_is_wrong_and_where_to_read_on(render: Render) -> None:
    found = rules(render(ON))
    assert len({rule["alert"] for rule in found}) == len(found) > 8
    for rule in found:
        assert rule["labels"]["severity"] in {"critical", "warning", "info"}
        assert rule["annotations"].keys() == {"summary", "description", "runbook_url"}
        assert rule["annotations"]["runbook_url"].endswith(f"/docs/runbooks/{rule['alert']}.md")
        grouped = promql.grouped(rule["expr"])
        assert set(re.findall(r"\$labels\.(\w+)", rule["annotations"]["description"])) <= grouped
        if "name" in grouped:
            assert "{{ $labels.namespace }}/{{ $labels.name }}" in rule["annotations"]["description"]


def test_there_is_a_runbook_for_each_alert_and_no_other(render: Render) -> None:
    pages = {path.stem: path.read_text(encoding="utf-8") for path in RUNBOOKS.glob("Triton*.md")}
    assert pages.keys() == {rule["alert"] for rule in rules(render(ON))}
    index = (RUNBOOKS / "README.md").read_text(encoding="utf-8")
    monitoring = (RUNBOOKS.parent / "monitoring.md").read_text(encoding="utf-8")
    for rule in rules(render(ON)):
        page, name = pages[rule["alert"]], rule["alert"]
        assert page.startswith(f"# {name}\n")
        assert re.findall(r"^## (.+)$", page, re.MULTILINE) == ["What it means", "How to look", "What to do"]
        assert f"| [{name}]({name}.md) | {rule['labels']['severity']} |" in index
        assert f"| [{name}](runbooks/{name}.md) | {rule['labels']['severity']} |" in monitoring


def test_runbooks_name_commands_that_exist() -> None:
    commands = set((ROOT / "docs" / "kubectl-triton.md").read_text(encoding="utf-8").split("`"))
    known_commands = {word for text in commands for word in text.replace("kubectl triton ", "").split()[:1]}
    for page in RUNBOOKS.glob("*.md"):
        used = re.findall(r"kubectl triton ([a-z-]+)", page.read_text(encoding="utf-8"))
        assert set(used) <= known_commands, page.name


def test_values_of_rules_are_taken_in(render: Render) -> None:
    values = {"enabled": True, "runbookUrl": "https://wiki.example.com/r", "notReadyMinutes": 90}
    by_name = {r["alert"]: r for r in rules(render({"prometheusRule": values | {"failedRequestsPercent": 0.5}}))}
    assert by_name["TritonServiceNotReady"]["for"] == "90m"
    assert "for 90 minutes" in by_name["TritonServiceNotReady"]["annotations"]["description"]
    assert by_name["TritonRequestsFail"]["expr"].rstrip().endswith("> 0.5")
    urls = {rule["annotations"]["runbook_url"] for rule in by_name.values()}
    assert urls == {f"https://wiki.example.com/r/{alert}.md" for alert in by_name}
    assert not re.search("@[A-Z]+@", str(by_name))


@pytest.mark.parametrize(
    ("values", "named"),
    [
        pytest.param({"prometheusRule": {"runbookUrl": "wiki"}}, "runbookUrl", id="no URL"),
        pytest.param({"prometheusRule": {"failedRequestsPercent": 0}}, "failedRequestsPercent", id="none may fail"),
        pytest.param({"prometheusRule": {"notReadyMinutes": "1h"}}, "notReadyMinutes", id="not minutes"),
        pytest.param({"networkPolicy": {"apiServerPorts": []}}, "apiServerPorts", id="no API server"),
        pytest.param({"networkPolicy": {"ingressFrom": [{"namespace": "a"}]}}, "namespace", id="misspelt in a peer"),
        pytest.param({"networkPolicy": {"extraEgress": [{"port": 1}]}}, "port", id="misspelt inside a rule"),
        pytest.param({"dashboards": {"namespace": "A"}}, "namespace", id="not a namespace"),
    ],
)
def test_a_wrong_value_is_refused_by_its_name(render: Render, values: Object, named: str) -> None:
    with pytest.raises(Refused, match=named):
        render(values)


@pytest.mark.parametrize("name", ["operator", "service", "fleet"])
def test_dashboards_ask_for_what_is_exposed(name: str) -> None:
    dashboard = dashboards()[name]
    for panel in dashboard["panels"]:
        for target in panel.get("targets", []):
            check(target["expr"], target.get("legendFormat", ""))
    for variable in dashboard["templating"]["list"]:
        if variable["type"] == "query":
            metric, label = re.fullmatch(r"label_values\((.+), (\w+)\)", variable["query"]["query"]).groups()  # type: ignore[union-attr]
            check(metric)
            assert all(label in known()[asked] for asked in promql.asked(metric))


def test_every_metric_of_the_operator_that_tells_of_trouble_is_on_a_dashboard_or_in_an_alert(render: Render) -> None:
    text = json.dumps(dashboards()) + render(ON).text
    left = {metric.name for metric in exposed.MADE if metric.name not in text}
    assert left == {f"triton_operator_autoscaling_{name}" for name in ("trend", "tail_factor")}


def test_dashboards_name_no_source_of_their_own_and_fit_beside_each_other() -> None:
    found = dashboards()
    assert len({dashboard["title"] for dashboard in found.values()}) == len(found) == 3
    for dashboard in found.values():
        assert set(re.findall(r'"uid": "([^"]*)"', json.dumps(dashboard))) == {"${datasource}"}
        assert dashboard["templating"]["list"][0]["type"] == "datasource"
        used = set(re.findall(r"\$(\w+)", json.dumps([p.get("targets") for p in dashboard["panels"]])))
        assert used <= {variable["name"] for variable in dashboard["templating"]["list"]} | {"__rate_interval"}
        taken: set[tuple[int, int]] = set()
        for panel in dashboard["panels"]:
            at = panel["gridPos"]
            cells = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
            assert not cells & taken
            assert max(x for x, _ in cells) < 24
            taken |= cells
        assert len({panel["id"] for panel in dashboard["panels"]}) == len(dashboard["panels"])


def test_dashboards_are_shipped_as_they_are(render: Render) -> None:
    shipped = [body for body in render(ON).of("ConfigMap") if "grafana_dashboard" in body["metadata"]["labels"]]
    read = {name: json.loads(text) for body in shipped for name, text in body["data"].items()}
    assert read == {f"triton-{name}.json": dashboard for name, dashboard in dashboards().items()}
    assert {body["metadata"]["labels"]["grafana_dashboard"] for body in shipped} == {"1"}
    assert {body["metadata"]["namespace"] for body in shipped} == {"operators"}


def test_the_policy_lets_in_probes_and_scrapes_alone(render: Render) -> None:
    rendered = render(ON)
    policy, pod = rendered.one("NetworkPolicy")["spec"], rendered.pod
    assert policy["policyTypes"] == ["Ingress", "Egress"]
    labels = rendered.one("Deployment")["spec"]["template"]["metadata"]["labels"]
    assert policy["podSelector"]["matchLabels"].items() <= labels.items()
    (rule,) = policy["ingress"]
    named = {port["name"]: port["containerPort"] for port in pod["containers"][0]["ports"]}
    assert [named[port["port"]] for port in rule["ports"]] == [8080]
    assert "from" not in rule
    peers = [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "monitoring"}}}]
    restricted = render({"networkPolicy": {"enabled": True, "ingressFrom": peers}}).one("NetworkPolicy")["spec"]
    assert [rule["from"] for rule in restricted["ingress"]] == [peers]


@pytest.mark.parametrize(
    ("url", "more"),
    [
        pytest.param("", [], id="no Prometheus"),
        pytest.param("http://prometheus.monitoring.svc:9090", [[9090]], id="a port"),
        pytest.param("http://prometheus.monitoring.svc/select/0", [[80, 9090]], id="http, and the pods' port"),
        pytest.param("https://prometheus.example.com", [[443, 9090]], id="https"),
    ],
)
def test_the_policy_lets_out_what_the_operator_asks(render: Render, url: str, more: list[list[int]]) -> None:
    extra = {"ports": [{"port": 5353, "protocol": "UDP"}]}
    policy = render({"prometheus": {"url": url}, "networkPolicy": {"enabled": True, "extraEgress": [extra]}})
    egress = policy.one("NetworkPolicy")["spec"]["egress"]
    *anywhere, pods, last = egress
    assert [[port["port"] for port in rule["ports"]] for rule in anywhere] == [[443, 6443], [53, 53], *more]
    assert last == extra
    (port,) = pods["ports"]
    ports = {names.PORT_HTTP, names.PORT_GRPC, names.PORT_METRICS}
    assert set(range(port["port"], port["endPort"] + 1)) == ports
    (to,) = pods["to"]
    assert to["podSelector"]["matchLabels"] == {names.LABEL_MANAGED_BY: names.OPERATOR}


def test_the_page_about_monitoring_names_what_there_is() -> None:
    text = Path(ROOT / "docs" / "monitoring.md").read_text(encoding="utf-8")
    for name in ("serviceMonitor.enabled", "prometheusRule.enabled", "dashboards.enabled", "networkPolicy.enabled"):
        assert name in text
