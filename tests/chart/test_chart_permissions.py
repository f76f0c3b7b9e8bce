"""The operator may do exactly what its code does, and where."""

import re
from collections import defaultdict
from typing import Any

import pytest

from cluster.permissions import Permission
from cluster.permissions import granted as granted_to
from triton_operator.api import names
from triton_operator.api.names import Kind

from .conftest import ROOT, Object, Render

Permissions = dict[tuple[str, str], set[str]]

# What `controller` and `edges.kubernetes` ask of the API server. Creating by server-side apply needs create and patch.
APPLIED = {"get", "list", "watch", "create", "patch", "delete"}
USED: dict[tuple[Kind, str], set[str]] = {
    (names.INFERENCE_SERVICE, ""): {"list", "watch"},
    (names.INFERENCE_SERVICE, "/status"): {"patch"},
    (names.CONFIG_MAP, ""): {"get", "list", "watch", "create", "update", "patch", "delete"},
    **{(kind, ""): APPLIED for kind in (*names.CHILD_KINDS, *names.OPTIONAL_KINDS) if kind != names.CONFIG_MAP},
    (names.POD, ""): {"list", "create", "patch", "delete"},
    (names.POD, "/log"): {"get"},
    (names.POD_EVENT, ""): {"list"},
    (names.ENDPOINT_SLICE, ""): {"list"},
    (names.EVENT, ""): {"create"},
}
EXPECTED: Permissions = {(kind.group, kind.plural + sub): verbs for (kind, sub), verbs in USED.items()}


def granted(role: Object) -> Permissions:
    found: Permissions = defaultdict(set)
    for rule in role["rules"]:
        for group in rule["apiGroups"]:
            for resource in rule["resources"]:
                found[group, resource] |= set(rule["verbs"])
    return found


def everything(objects: list[Object]) -> list[dict[str, Any]]:
    return [rule for body in objects if body["kind"] in ("Role", "ClusterRole") for rule in body["rules"]]


def test_the_operator_gets_exactly_what_it_uses(render: Render) -> None:
    rendered = render({"rbac": {"aggregate": False}})
    assert granted(rendered.one("ClusterRole")) == EXPECTED


def test_the_threat_model_lists_just_the_rights_that_the_chart_grants(render: Render) -> None:
    rendered = render({"rbac": {"aggregate": False, "ownerReferencesPermissionEnforcement": True}})
    lease = rendered.settings["leaderElection"]["name"]
    page = (ROOT / "docs" / "threat-model.md").read_text(encoding="utf-8")
    _, _, rest = page.partition("| API group | on | rights |\n|---|---|---|\n")
    rows = [line.strip("| ").split(" | ") for line in rest.partition("\n\n")[0].splitlines()]
    written = [
        Permission("" if group == "core" else group.strip("`"), resource, verb, lease if on.startswith("its") else "")
        for group, on, rights in rows
        for resource in re.findall(r"`([a-z/]+)`", on)
        for verb in re.sub(r" \(.*?\)", "", rights).split(", ")
    ]
    assert len(written) == len(set(written))
    assert set(written) == granted_to(rendered.objects, account=rendered.pod["serviceAccountName"])
    by_choice = [row[1] for row in rows if "ownerReferencesPermissionEnforcement" in row[2]]
    assert by_choice == ["`inferenceservices/finalizers`"]


def test_the_lease_is_the_only_one_it_may_change(render: Render) -> None:
    rendered = render(release="blue")
    role = rendered.one("Role")
    name = rendered.settings["leaderElection"]["name"]
    assert role["metadata"]["namespace"] == rendered.settings["leaderElection"]["namespace"] == "operators"
    assert role["rules"] == [
        {"apiGroups": ["coordination.k8s.io"], "resources": ["leases"], "verbs": ["create"]},
        {
            "apiGroups": ["coordination.k8s.io"],
            "resources": ["leases"],
            "resourceNames": [name],
            "verbs": ["get", "watch", "update"],
        },
    ]


@pytest.mark.parametrize("namespaces", [pytest.param([], id="cluster"), pytest.param(["a", "b"], id="namespaces")])
@pytest.mark.parametrize("enforced", [False, True])
def test_no_secrets_no_wildcards_no_escalation(render: Render, namespaces: list[str], enforced: bool) -> None:
    values = {"watch": {"namespaces": namespaces}, "rbac": {"ownerReferencesPermissionEnforcement": enforced}}
    for rule in everything(render(values).objects):
        assert not {"*", "secrets", "pods/exec", "serviceaccounts/token"} & set(rule["resources"])
        assert not {"*", "escalate", "bind", "impersonate"} & set(rule["verbs"])
        assert "*" not in rule["apiGroups"]
        assert "rbac.authorization.k8s.io" not in rule["apiGroups"]


def test_in_namespaced_mode_there_is_no_cluster_role_at_all(render: Render) -> None:
    rendered = render({"watch": {"namespaces": ["vision", "operators"]}})
    assert rendered.of("ClusterRole") == rendered.of("ClusterRoleBinding") == []
    working = [role for role in rendered.of("Role") if not role["metadata"]["name"].endswith("-leader-election")]
    assert {role["metadata"]["namespace"] for role in working} == {"vision", "operators"}
    assert all(granted(role) == EXPECTED for role in working)


@pytest.mark.parametrize("namespaces", [pytest.param([], id="cluster"), pytest.param(["a", "b"], id="namespaces")])
@pytest.mark.parametrize(
    "account",
    [
        pytest.param({}, id="its own"),
        pytest.param({"name": "triton"}, id="named"),
        pytest.param({"create": False, "name": "shared"}, id="there already"),
        pytest.param({"create": False}, id="default"),
    ],
)
def test_every_role_is_bound_to_the_account_of_the_pod(render: Render, namespaces: list[str], account: Object) -> None:
    rendered = render({"watch": {"namespaces": namespaces}, "serviceAccount": account, "rbac": {"aggregate": False}})
    name = rendered.pod["serviceAccountName"]
    bindings = rendered.of("RoleBinding") + rendered.of("ClusterRoleBinding")
    for binding in bindings:
        assert binding["subjects"] == [{"kind": "ServiceAccount", "name": name, "namespace": "operators"}]
    bound = {(b["roleRef"]["kind"], b["metadata"].get("namespace"), b["roleRef"]["name"]) for b in bindings}
    roles = rendered.of("Role") + rendered.of("ClusterRole")
    assert bound == {(r["kind"], r["metadata"].get("namespace"), r["metadata"]["name"]) for r in roles}
    assert [body["metadata"]["name"] for body in rendered.of("ServiceAccount")] == [name] * account.get("create", True)


def test_the_token_is_mounted_only_where_the_pod_says_so(render: Render) -> None:
    rendered = render()
    assert rendered.one("ServiceAccount")["automountServiceAccountToken"] is False
    assert rendered.pod["automountServiceAccountToken"] is True


@pytest.mark.parametrize("namespaces", [pytest.param([], id="cluster"), pytest.param(["a"], id="namespaces")])
def test_owning_objects_where_that_needs_a_permission_is_a_choice(render: Render, namespaces: list[str]) -> None:
    values: Object = {"watch": {"namespaces": namespaces}, "rbac": {"aggregate": False}}
    values["rbac"]["ownerReferencesPermissionEnforcement"] = True
    finalizers = [r for r in everything(render(values).objects) if r["resources"] == ["inferenceservices/finalizers"]]
    assert [rule["verbs"] for rule in finalizers] == [["update"]]


def test_the_clusters_own_roles_learn_of_inference_services(render: Render) -> None:
    prefix = "rbac.authorization.k8s.io/aggregate-to-"
    found: dict[str, Permissions] = defaultdict(lambda: defaultdict(set))
    for role in render().of("ClusterRole"):
        for label, value in role["metadata"]["labels"].items():
            if label.startswith(prefix) and value == "true":
                for resource, verbs in granted(role).items():
                    found[label.removeprefix(prefix)][resource] |= verbs
    assert found.keys() == {"view", "edit", "admin"}
    service = (names.GROUP, names.INFERENCE_SERVICE.plural)
    scale = (names.GROUP, f"{names.INFERENCE_SERVICE.plural}/scale")
    assert found["view"][service] == {"get", "list", "watch"}
    assert found["view"][scale] == {"get"}
    assert found["edit"] == found["admin"]
    assert found["edit"][service] == {"get", "list", "watch", "create", "update", "patch", "delete", "deletecollection"}
    assert found["edit"][scale] == {"get", "update", "patch"}
    assert {resource for verbs in found.values() for resource in verbs} == {
        service,
        scale,
        (names.GROUP, f"{names.INFERENCE_SERVICE.plural}/status"),
    }
    assert render({"rbac": {"aggregate": False}}).one("ClusterRole")["metadata"]["name"] == "triton-operator.operators"
