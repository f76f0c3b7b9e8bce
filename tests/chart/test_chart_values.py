"""Values are documented, bounded, and refused when misspelt."""

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from .conftest import CHART, ROOT, Helm, Object, Refused, Render

VALUES = yaml.safe_load((CHART / "values.yaml").read_text(encoding="utf-8"))
SCHEMA = json.loads((CHART / "values.schema.json").read_text(encoding="utf-8"))
WHOLE = {"resources", "gpu.profile", "dashboards.labels"}  # mappings that are one value, not a section of values


def paths(node: Object, prefix: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    for key, value in node.items():
        path = (*prefix, key)
        yield path
        if isinstance(value, dict) and ".".join(path) not in WHOLE:
            yield from paths(value, path)


def described(node: Object, prefix: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    for key, value in node.get("properties", {}).items():
        path = (*prefix, key)
        yield path
        if ".".join(path) not in WHOLE:
            yield from described(value, path)


def closed(node: object, path: str) -> Iterator[str]:
    """Find the objects of a schema that take any key."""
    if isinstance(node, list):
        for item in node:
            yield from closed(item, path)
    elif isinstance(node, dict):
        is_object = "object" in node.get("type", ()) if isinstance(node.get("type"), str | list) else False
        if is_object and node.get("additionalProperties", True) is True:
            yield path
        for key, value in node.items():
            yield from closed(value, f"{path}.{key}")


def nested(path: tuple[str, ...], value: object) -> Object:
    for key in reversed(path):
        value = {key: value}
    assert isinstance(value, dict)
    return value


def test_generated_files_are_fresh() -> None:
    done = subprocess.run(
        [sys.executable, ROOT / "charts" / "generate.py", "--check"], capture_output=True, text=True, check=False
    )
    assert done.stderr == ""
    assert done.returncode == 0


def test_the_schema_knows_every_value_and_no_other() -> None:
    assert set(described(SCHEMA)) - {("global",)} == set(paths(VALUES))


def test_every_object_of_the_schema_is_closed() -> None:
    # What a parent chart gives to all its subcharts is not ours to check.
    assert list(closed(SCHEMA, "")) == [".properties.global"]


def test_every_value_is_described() -> None:
    def texts(node: Object) -> Iterator[str]:
        for value in node["properties"].values():
            yield value["description"]
            if "properties" in value and "required" in value:
                yield from texts(value)

    assert all(texts(SCHEMA))


@pytest.mark.parametrize("path", [pytest.param(path, id=".".join(path)) for path in paths(VALUES)])
def test_a_misspelt_value_is_refused_by_its_name(render: Render, path: tuple[str, ...]) -> None:
    misspelt = path[-1] + "x"
    with pytest.raises(Refused, match=misspelt):
        render(nested((*path[:-1], misspelt), "anything"))


@pytest.mark.parametrize(
    ("values", "named"),
    [
        pytest.param({"replicas": "two"}, "replicas", id="text for a number"),
        pytest.param({"replicas": -1}, "replicas", id="below the minimum"),
        pytest.param({"workers": 1.5}, "workers", id="a fraction"),
        pytest.param({"workers": 65}, "workers", id="more than the operator's own bound"),
        pytest.param({"log": {"level": "trace"}}, "level", id="not one of a few"),
        pytest.param({"crds": {"install": "false"}}, "install", id="text for a boolean"),
        pytest.param({"watch": {"namespaces": ["Vision"]}}, "namespaces", id="not a namespace"),
        pytest.param({"watch": {"namespaces": ["a", "a"]}}, "namespaces", id="a namespace twice"),
        pytest.param({"watch": {"namespaces": "a"}}, "namespaces", id="one for a list"),
        pytest.param({"watch": None}, "watch", id="a section removed"),
        pytest.param({"watch": {"selector": "team=\u2028a"}}, "selector", id="no selector has such characters"),
        pytest.param({"imageRegistry": "https://registry.example.com"}, "imageRegistry", id="a URL for a registry"),
        pytest.param({"imageRegistry": "registry.example.com/"}, "imageRegistry", id="a slash too many"),
        pytest.param({"image": {"repository": "team/operator:v1"}}, "repository", id="a tag in the repository"),
        pytest.param({"image": {"digest": "sha256:12"}}, "digest", id="half a digest"),
        pytest.param({"triton": {"image": {"tag": ""}}}, "tag", id="no tag of Triton"),
        pytest.param({"imagePullSecrets": ["registry"]}, "imagePullSecrets", id="secrets without name"),
        pytest.param({"tolerations": [{"keys": "gpu"}]}, "keys", id="misspelt inside a toleration"),
        pytest.param({"affinity": {"nodeAffinity": {"required": {}}}}, "required", id="misspelt inside an affinity"),
        pytest.param({"resources": {"limit": {"cpu": 1}}}, "limit", id="misspelt inside resources"),
        pytest.param({"resources": {"limits": {"memory": "512 MB"}}}, "memory", id="not a quantity"),
        pytest.param({"commonLabels": {"team": "a b"}}, "team", id="not a label value"),
        pytest.param({"commonLabels": {"a b": "team"}}, "a b", id="not a label key"),
        pytest.param({"podLabels": {"tier": 1}}, "tier", id="a number for a label"),
        pytest.param({"podDisruptionBudget": {"maxUnavailable": "half"}}, "maxUnavailable", id="not a percentage"),
        pytest.param({"fullnameOverride": "7triton"}, "fullnameOverride", id="not the name of a Service"),
        pytest.param({"securityContext": {"runAsUser": 0}}, "runAsUser", id="root"),
    ],
)
def test_a_wrong_value_is_refused_by_its_name(render: Render, values: Object, named: str) -> None:
    with pytest.raises(Refused, match=named):
        render(values)


@pytest.mark.parametrize(
    ("renew_seconds", "named"),
    [
        pytest.param(15, "renewSeconds must be less", id="a leader that gives up when another one may have taken over"),
        pytest.param(2, "retrySeconds must be less", id="no second try to renew"),
    ],
)
def test_times_of_the_election_that_do_not_fit_together_are_refused(
    render: Render, renew_seconds: int, named: str
) -> None:
    with pytest.raises(Refused, match=named):
        render({"leaderElection": {"renewSeconds": renew_seconds}})


def test_an_older_kubernetes_is_refused(helm: Helm) -> None:
    with pytest.raises(Refused, match=r"kubeVersion: >=1\.30"):
        helm("template", "triton-operator", CHART, "--kube-version", "1.29.9")


def test_the_chart_works_inside_another_chart(helm: Helm, tmp_path: Path) -> None:
    parent = {"apiVersion": "v2", "name": "platform", "version": "1.0.0"}
    (tmp_path / "Chart.yaml").write_text(yaml.safe_dump(parent), encoding="utf-8")
    shutil.copytree(CHART, tmp_path / "charts" / "triton-operator")
    shown = helm(
        "template", "platform", tmp_path, values={"global": {"region": "eu"}, "triton-operator": {"workers": 3}}
    )
    assert "workers: 3" in shown


def test_helm_finds_nothing_to_complain_about(helm: Helm) -> None:
    assert "0 chart(s) failed" in helm("lint", "--strict", CHART)
