"""What a service account may do is compared with what it did."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from cluster.audit import Request, requests
from cluster.permissions import Permission, compare, granted

Json = dict[str, Any]

RULES = [
    {"apiGroups": [""], "resources": ["pods"], "verbs": ["list"]},
    {"apiGroups": ["apps"], "resources": ["deployments"], "verbs": ["create", "patch"]},
    {"apiGroups": ["coordination.k8s.io"], "resources": ["leases"], "resourceNames": ["mine"], "verbs": ["update"]},
]
PODS = Permission("", "pods", "list")
MAKE = Permission("apps", "deployments", "create")
PATCH = Permission("apps", "deployments", "patch")
LEASE = Permission("coordination.k8s.io", "leases", "update", "mine")
ALL = frozenset({PODS, MAKE, PATCH, LEASE})


def event(verb: str, group: str, resource: str, name: str = "", **more: Any) -> Json:
    """As an API server of Kubernetes 1.34 writes it."""
    main, _, sub = resource.partition("/")
    reference = {"resource": main, "namespace": "team", "apiGroup": group, "apiVersion": "v1"}
    reference |= {"subresource": sub} if sub else {}
    return {
        "kind": "Event",
        "apiVersion": "audit.k8s.io/v1",
        "level": "Metadata",
        "auditID": f"{verb}-{resource}-{name}-{more.get('code', 200)}",
        "stage": more.get("stage", "ResponseComplete"),
        "requestURI": f"/apis/{group}/v1/namespaces/team/{resource}/{name}",
        "verb": verb,
        "user": {"username": "system:serviceaccount:operators:triton-operator"},
        "objectRef": reference | ({"name": name} if name else {}),
        "responseStatus": {"metadata": {}, "code": more.get("code", 200)},
        "requestReceivedTimestamp": more.get("at", "2026-01-02T03:04:05.000006Z"),
        "annotations": {"authorization.k8s.io/decision": more.get("decision", "allow")},
    }


def log(*events: Json) -> str:
    return "".join(f"{json.dumps(each)}\n" for each in events)


EVERYTHING = (
    event("list", "", "pods"),
    event("patch", "apps", "deployments", "a", code=201),
    event("update", "coordination.k8s.io", "leases", "mine"),
)


def role(kind: str, name: str, namespace: str | None, rules: list[Json], account: str) -> list[Json]:
    metadata = {"name": name} | ({"namespace": namespace} if namespace else {})
    subject = {"kind": "ServiceAccount", "name": account, "namespace": "operators"}
    reference = {"apiGroup": "rbac.authorization.k8s.io", "kind": kind, "name": name}
    return [
        {"kind": f"{kind}Binding", "metadata": metadata, "roleRef": reference, "subjects": [subject]},
        {"kind": kind, "metadata": metadata, "rules": rules},
    ]


def test_only_what_is_bound_to_the_account_is_granted_to_it() -> None:
    objects = [
        *role("ClusterRole", "all", None, RULES[:1], "triton-operator"),
        *role("Role", "here", "team", RULES[1:], "triton-operator"),
        *role("ClusterRole", "other", None, [{"apiGroups": ["*"], "resources": ["*"], "verbs": ["*"]}], "other"),
        {"kind": "ClusterRole", "metadata": {"name": "unbound"}, "rules": RULES},
        {"kind": "ServiceAccount", "metadata": {"name": "triton-operator"}},
    ]
    assert granted(objects, account="triton-operator") == ALL


def test_what_is_granted_and_used_is_minimal() -> None:
    found = compare(ALL, requests(log(*EVERYTHING)))
    assert found.is_minimal, str(found)
    assert dict(found.used) == dict.fromkeys(ALL, 1)


@pytest.mark.parametrize("left_out", range(len(EVERYTHING)))
def test_what_is_never_used_is_named(left_out: int) -> None:
    found = compare(ALL, requests(log(*EVERYTHING[:left_out], *EVERYTHING[left_out + 1 :])))
    assert found.unused == (((PODS,), (MAKE, PATCH), (LEASE,))[left_out])
    assert not found.is_minimal
    assert f"unused: {len(found.unused)}\n          {found.unused[0]}" in str(found)


def test_an_apply_needs_the_permission_to_create_only_where_it_made_the_object() -> None:
    changed = event("patch", "apps", "deployments", "a", code=200)
    found = compare(ALL, requests(log(EVERYTHING[0], changed, EVERYTHING[2])))
    assert found.unused == (MAKE,)


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        pytest.param(
            event("get", "", "secrets", "x", code=403, decision="forbid"), "get secrets x in team", id="denied"
        ),
        pytest.param(event("delete", "", "pods", "x"), "delete pods x in team", id="by another's role"),
        pytest.param(event("list", "", "pods/log"), "list pods/log in team", id="a subresource"),
        pytest.param(event("list", "apps", "pods"), "list pods.apps in team", id="another group"),
        pytest.param(
            event("update", "coordination.k8s.io", "leases", "yours"),
            "update leases.coordination.k8s.io yours in team",
            id="another name",
        ),
    ],
)
def test_what_is_asked_for_without_a_permission_is_missing(asked: Json, expected: str) -> None:
    found = compare(ALL, requests(log(*EVERYTHING, asked)))
    assert found.missing == (f"{expected} (1 times)",)
    assert not found.is_minimal
    assert expected in str(found)


def test_what_a_quota_refuses_was_permitted() -> None:
    refused = event("patch", "apps", "deployments", "b", code=403)
    assert compare(ALL, requests(log(*EVERYTHING, refused))).is_minimal


def test_discovery_needs_no_permission_of_ours_unless_it_is_refused() -> None:
    discovery = event("get", "", "") | {"objectRef": None, "requestURI": "/apis/apps/v1", "auditID": "d"}
    assert compare(ALL, requests(log(*EVERYTHING, discovery))).is_minimal
    refused = discovery | {"annotations": {"authorization.k8s.io/decision": "forbid"}}
    assert compare(ALL, requests(log(*EVERYTHING, refused))).missing == ("get /apis/apps/v1 (1 times)",)


@pytest.mark.parametrize(
    "rule",
    [
        pytest.param(Permission("*", "pods", "list"), id="group"),
        pytest.param(Permission("", "*", "list"), id="resource"),
        pytest.param(Permission("", "pods", "*"), id="verb"),
    ],
)
def test_a_wildcard_is_never_minimal_though_it_is_used(rule: Permission) -> None:
    found = compare(ALL | {rule}, requests(log(*EVERYTHING)))
    assert found.wildcards == (rule,)
    assert rule not in found.unused
    assert not found.is_minimal


@pytest.mark.parametrize("resource", ["secrets", "secrets/status", "*"])
def test_secrets_are_never_minimal_though_they_are_used(resource: str) -> None:
    found = compare(ALL | {Permission("", resource, "get")}, requests(log(*EVERYTHING)))
    assert found.secrets
    assert not found.is_minimal


def test_a_log_is_read_from_a_time_on_in_order_and_each_request_once() -> None:
    early = event("list", "", "pods", at="2026-01-02T03:04:05.000000Z")
    late = event("list", "", "events", at="2026-01-02T03:04:07.000000Z")
    begun = event("watch", "", "services", at="2026-01-02T03:04:06.000000Z", stage="ResponseStarted")
    text = log(late, early, begun, begun | {"stage": "ResponseComplete"})
    since = datetime(2026, 1, 2, 3, 4, 6, tzinfo=UTC)
    assert [request.resource for request in requests(text)] == ["pods", "services", "events"]
    assert [request.resource for request in requests(text, since=since)] == ["services", "events"]


def test_a_line_that_is_still_being_written_is_left_out() -> None:
    text = log(event("list", "", "pods"))
    assert requests(text + text[: len(text) // 2]) == requests(text)


def test_a_request_is_read_as_it_was_made() -> None:
    (read,) = requests(log(event("get", "", "pods/log", "a", code=404)))
    assert read == Request(
        user="system:serviceaccount:operators:triton-operator",
        verb="get",
        group="",
        resource="pods/log",
        namespace="team",
        name="a",
        path="/apis//v1/namespaces/team/pods/log/a",
        code=404,
        allowed=True,
        at=datetime(2026, 1, 2, 3, 4, 5, 6, tzinfo=UTC),
    )
