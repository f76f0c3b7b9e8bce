"""What the chart makes of the Prometheus Operator's kinds is as its own CRDs want it."""

from typing import Any

import jsonschema
import pytest
import yaml

from cluster import prometheus

from .conftest import Object, Render

pytestmark = pytest.mark.contract


def closed(node: Any) -> Any:
    """Make a schema refuse what it does not name, as the API server does with strict validation."""
    if isinstance(node, list):
        return [closed(item) for item in node]
    if not isinstance(node, dict):
        return node
    found = {key: closed(value) for key, value in node.items()}
    if "(?i)" in str(found.get("pattern", "")):  # which Go takes anywhere, and Python only at the beginning
        del found["pattern"]
    if isinstance(node.get("properties"), dict) and "type" in node and not node.get("additionalProperties"):
        found["additionalProperties"] = False
    return found


def schema(plural: str) -> Object:
    path = prometheus.pod_monitors().with_name(f"monitoring.coreos.com_{plural}.yaml")
    (version,) = yaml.safe_load(path.read_text(encoding="utf-8"))["spec"]["versions"]
    found: Object = closed(version["schema"]["openAPIV3Schema"]["properties"]["spec"])
    return found


@pytest.mark.parametrize(
    ("value", "kind", "plural"),
    [("serviceMonitor", "ServiceMonitor", "servicemonitors"), ("prometheusRule", "PrometheusRule", "prometheusrules")],
)
def test_it_is_as_the_crd_wants_it(render: Render, value: str, kind: str, plural: str) -> None:
    spec, wanted = render({value: {"enabled": True}}).one(kind)["spec"], schema(plural)
    jsonschema.validate(spec, wanted)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(spec | {"misspelt": 1}, wanted)
