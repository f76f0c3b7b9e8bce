"""What the chart installs: valid, restricted, the same each time, and beside another release of itself."""

import re
from pathlib import Path

import kubernetes_validate
import pytest
import yaml

from .conftest import CHART, ROOT, Helm, Object, Render

TESTED_KUBERNETES = "1.34"
REGISTRY = "registry.example.com:5000/mirror"

EVERYTHING: Object = {
    "replicas": 3,
    "imagePullSecrets": [{"name": "registry"}],
    "prepare": {"imagePullSecrets": [{"name": "registry"}]},
    "watch": {"namespaces": ["vision", "123"], "selector": "team in (a, b),!legacy"},
    "serviceAccount": {"annotations": {"example.com/role": "operator"}},
    "podDisruptionBudget": {"maxUnavailable": "50%"},
    "resources": {"requests": {"cpu": 1}, "limits": {"cpu": "1.5", "memory": "1Gi"}},
    "priorityClassName": "system-cluster-critical",
    "nodeSelector": {"kubernetes.io/arch": "amd64"},
    "tolerations": [{"key": "dedicated", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 1000000}],
    "affinity": {
        "podAntiAffinity": {
            "requiredDuringSchedulingIgnoredDuringExecution": [
                {"topologyKey": "kubernetes.io/hostname", "labelSelector": {"matchLabels": {"a": "b"}}}
            ]
        }
    },
    "commonLabels": {"team": "serving", "app.kubernetes.io/name": "another"},
    "podLabels": {"tier": "control", "app.kubernetes.io/instance": "another"},
    "podAnnotations": {"example.com/scrape": "true"},
    "rbac": {"ownerReferencesPermissionEnforcement": True},
}


@pytest.mark.parametrize(
    "values",
    [
        pytest.param({}, id="defaults"),
        pytest.param(EVERYTHING, id="everything set"),
        pytest.param({"securityContext": {"runAsUser": None}, "replicas": 0}, id="no user, no replica"),
        pytest.param({"nameOverride": "123", "commonLabels": {"a": "true", "b": "1e3"}}, id="text like numbers"),
    ],
)
def test_all_objects_are_valid(render: Render, values: Object) -> None:
    for body in render(values).objects:
        kubernetes_validate.validate(body, TESTED_KUBERNETES, strict=True)


def test_the_same_values_give_the_same_bytes(render: Render) -> None:
    assert render(EVERYTHING).text == render(EVERYTHING).text


def test_templates_ask_neither_the_cluster_nor_chance_nor_the_clock() -> None:
    text = "".join(path.read_text(encoding="utf-8") for path in (CHART / "templates").rglob("*") if path.is_file())
    assert not re.findall(r"\b(lookup|rand\w+|gen\w*(?:Cert|CA|Key)\w*|uuidv4|now|helm\.sh/hook|Capabilities)\b", text)


def test_the_crd_is_the_one_of_the_repository(render: Render) -> None:
    (path,) = (ROOT / "crds").glob("*.yaml")
    crd = render().one("CustomResourceDefinition")
    del crd["metadata"]["labels"], crd["metadata"]["annotations"]
    assert crd == yaml.safe_load(path.read_text(encoding="utf-8"))


def test_the_crd_is_kept_unless_told_otherwise(render: Render) -> None:
    kept = render().one("CustomResourceDefinition")
    assert kept["metadata"]["annotations"] == {"helm.sh/resource-policy": "keep"}
    assert "annotations" not in render({"crds": {"keep": False}}).one("CustomResourceDefinition")["metadata"]
    assert render({"crds": {"install": False}}).of("CustomResourceDefinition") == []


@pytest.mark.parametrize("values", [pytest.param({}, id="defaults"), pytest.param(EVERYTHING, id="everything set")])
def test_the_pod_meets_the_restricted_standard(render: Render, values: Object) -> None:
    pod = render(values).pod
    assert not {"hostNetwork", "hostPID", "hostIPC", "hostUsers"} & pod.keys()
    assert pod["securityContext"] == {
        "runAsNonRoot": True,
        "runAsUser": 65532,
        "runAsGroup": 65532,
        "seccompProfile": {"type": "RuntimeDefault"},
    }
    for container in pod["containers"]:
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
            "privileged": False,
            "readOnlyRootFilesystem": True,
        }
        assert not any("hostPort" in port for port in container["ports"])
    assert [set(volume) for volume in pod["volumes"]] == [{"name", "configMap"}]


def test_the_platform_may_choose_the_user(render: Render) -> None:
    context = render(None, "securityContext.runAsUser=null").pod["securityContext"]
    assert context == {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}}


def test_the_container_says_what_it_needs(render: Render) -> None:
    (container,) = render().pod["containers"]
    assert container["resources"] == {"requests": {"cpu": "100m", "memory": "128Mi"}, "limits": {"memory": "512Mi"}}
    probes = {name: container[name]["httpGet"]["path"] for name in container if name.endswith("Probe")}
    assert probes == {"startupProbe": "/healthz", "livenessProbe": "/healthz", "readinessProbe": "/readyz"}


@pytest.mark.parametrize(
    ("values", "budgets"),
    [
        pytest.param({"replicas": 0}, 0, id="none"),
        pytest.param({"replicas": 1}, 0, id="one"),
        pytest.param({"replicas": 2}, 1, id="two"),
        pytest.param({"replicas": 2, "podDisruptionBudget": {"enabled": False}}, 0, id="two, switched off"),
    ],
)
def test_a_budget_exists_only_for_several_replicas(render: Render, values: Object, budgets: int) -> None:
    rendered = render(values)
    assert len(rendered.of("PodDisruptionBudget")) == budgets
    assert rendered.one("Deployment")["spec"]["replicas"] == values["replicas"]


def test_selectors_find_the_operators_pods(render: Render) -> None:
    rendered = render(EVERYTHING)
    deployment = rendered.one("Deployment")["spec"]
    labels = deployment["template"]["metadata"]["labels"].items()
    spread = deployment["template"]["spec"]["topologySpreadConstraints"]
    selectors = [
        deployment["selector"]["matchLabels"],
        rendered.one("Service")["spec"]["selector"],
        rendered.one("PodDisruptionBudget")["spec"]["selector"]["matchLabels"],
        *(constraint["labelSelector"]["matchLabels"] for constraint in spread),
    ]
    assert all(selector and selector.items() <= labels for selector in selectors)


def test_the_metrics_service_reaches_the_port_of_the_settings(render: Render) -> None:
    rendered = render()
    (container,) = rendered.pod["containers"]
    (port,) = rendered.one("Service")["spec"]["ports"]
    named = {port["name"]: port["containerPort"] for port in container["ports"]}
    assert named[port["targetPort"]] == port["port"] == rendered.settings["port"] == 8080


def test_labels_of_users_are_added_but_never_replace_the_charts_own(render: Render) -> None:
    rendered = render(EVERYTHING)
    for body in rendered.objects:
        labels = body["metadata"]["labels"]
        assert labels["team"] == "serving"
        assert labels["app.kubernetes.io/name"] == "triton-operator"
    pod = rendered.one("Deployment")["spec"]["template"]["metadata"]
    assert pod["labels"]["tier"] == "control"
    assert pod["labels"]["team"] == "serving"
    assert pod["labels"]["app.kubernetes.io/instance"] == "triton-operator"
    assert pod["annotations"]["example.com/scrape"] == "true"


def test_another_setting_rolls_the_pods_and_nothing_else_does(render: Render) -> None:
    def checksum(values: Object) -> str:
        metadata = render(values).one("Deployment")["spec"]["template"]["metadata"]
        return str(metadata["annotations"]["checksum/settings"])

    assert checksum({}) != checksum({"workers": 4})
    assert checksum({}) == checksum({"replicas": 3, "crds": {"keep": False}})


def images(value: object) -> list[str]:
    """Find whatever looks like an image reference, wherever it stands."""
    return re.findall(r"[\w.:/-]+/(?:triton-operator|tritonserver)(?::[\w.-]+|@sha256:\w+)", str(value))


def test_one_prefix_reaches_every_image(render: Render) -> None:
    digest = f"sha256:{'0' * 64}"
    rendered = render({"imageRegistry": REGISTRY, "triton": {"image": {"digest": digest}}, "image": {"tag": "v9"}})
    operator = f"{REGISTRY}/triton-operator/triton-operator:v9"
    triton = f"{REGISTRY}/nvidia/tritonserver@{digest}"
    assert [container["image"] for container in rendered.pod["containers"]] == [operator]
    assert rendered.settings["prepareImage"] == operator
    assert rendered.settings["tritonImage"] == triton
    assert set(images(rendered.text)) == {operator, triton}


def test_images_have_their_own_registry_tag_and_digest(render: Render) -> None:
    assert render().settings["tritonImage"] == "nvcr.io/nvidia/tritonserver:26.07-py3"
    assert render().settings["prepareImage"] == "ghcr.io/triton-operator/triton-operator:0.1.0"
    local = render(None, "image.registry=localhost", "image.repository=triton-operator", "image.tag=dev")
    assert local.settings["prepareImage"] == local.pod["containers"][0]["image"] == "localhost/triton-operator:dev"
    bare = render(None, "triton.image.registry=", "triton.image.repository=triton", "triton.image.tag=cpu")
    assert bare.settings["tritonImage"] == "triton:cpu"


@pytest.mark.parametrize(
    ("release", "values", "name"),
    [
        pytest.param("triton-operator", {}, "triton-operator", id="like the chart"),
        pytest.param("blue", {}, "blue-triton-operator", id="another"),
        pytest.param("my-triton-operator-2", {}, "my-triton-operator-2", id="contains the chart's"),
        pytest.param("1.blue", {}, "release-1-blue-triton-operator", id="dots and a digit first"),
        pytest.param("blue", {"nameOverride": "serving"}, "blue-serving", id="name overridden"),
        pytest.param("blue", {"fullnameOverride": "serving"}, "serving", id="full name overridden"),
    ],
)
def test_names_follow_the_release(render: Render, release: str, values: Object, name: str) -> None:
    rendered = render(values, release=release)
    assert rendered.one("Deployment")["metadata"]["name"] == name
    assert rendered.one("Service")["metadata"]["name"] == f"{name}-metrics"
    assert rendered.settings["leaderElection"]["name"] == name


def test_names_of_a_long_release_fit(render: Render) -> None:
    rendered = render(release="r" * 53)
    assert max(len(body["metadata"]["name"]) for body in rendered.objects if body["kind"] == "Service") <= 63


@pytest.mark.parametrize(
    ("release", "namespace"),
    [
        pytest.param("other", "operators", id="another name in the same namespace"),
        pytest.param("triton-operator", "elsewhere", id="the same name in another namespace"),
    ],
)
@pytest.mark.parametrize("watched", [[], ["vision"]])
def test_two_releases_share_no_object(render: Render, release: str, namespace: str, watched: list[str]) -> None:
    values: Object = {"watch": {"namespaces": watched}}

    def identities(rendered: list[Object]) -> set[tuple[str, str, str]]:
        return {(b["kind"], b["metadata"].get("namespace", ""), b["metadata"]["name"]) for b in rendered}

    first = render(values)
    second = render(values | {"crds": {"install": False}}, release=release, namespace=namespace)
    assert not identities(first.objects) & identities(second.objects)
    lease = [(r.settings["leaderElection"]["namespace"], r.settings["leaderElection"]["name"]) for r in (first, second)]
    assert lease[0] != lease[1]


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        pytest.param({}, "all namespaces", id="everywhere"),
        pytest.param({"watch": {"namespaces": ["vision", "speech"]}}, "in vision, speech", id="some namespaces"),
        pytest.param({"watch": {"selector": "team=a"}}, "that match team=a", id="a selector"),
    ],
)
def test_the_notes_say_what_is_watched_and_what_to_do_next(
    helm: Helm, values: Object, expected: str, tmp_path: Path
) -> None:
    shown = helm("install", "triton-operator", CHART, "--namespace", "operators", "--dry-run=client", values=values)
    notes = shown.partition("NOTES:")[2]
    assert expected in notes
    assert len(re.findall(r"^  kubectl ", notes, re.MULTILINE)) == 3
