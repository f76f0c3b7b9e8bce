from typing import Any

import pytest

from triton_operator.api import names
from triton_operator.controller.kept import owner_of
from triton_operator.controller.store import Store, key_of

KEY = ("ns", "demo")
UID = "uid-of-demo"


def service(version: int, *, uid: str = UID, generation: int = 1, **more: Any) -> dict[str, Any]:
    metadata = {
        "namespace": "ns",
        "name": "demo",
        "uid": uid,
        "generation": generation,
        "resourceVersion": str(version),
    }
    return {"apiVersion": names.API_VERSION, "kind": "InferenceService", "metadata": metadata} | more


def deployment(
    version: int, *, name: str = "demo-1", uid: str = "uid-1", owner: str | None = UID, **more: Any
) -> dict[str, Any]:
    reference = {"apiVersion": names.API_VERSION, "kind": "InferenceService", "name": "demo", "controller": True}
    metadata: dict[str, Any] = {"namespace": "ns", "name": name, "uid": uid, "resourceVersion": str(version)}
    if owner is not None:
        metadata["ownerReferences"] = [reference | {"uid": owner}]
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": metadata} | more


def looked(store: Store, version: int, *items: dict[str, Any], namespace: str | None = None) -> set[tuple[str, str]]:
    """Take in a complete list of Deployments, as the periodic look does."""
    changed = {key for item in items for key in store.observe(None, item)}
    return changed | store.sweep(names.DEPLOYMENT, namespace, {key_of(item) for item in items}, str(version))


def known(store: Store, name: str = "demo-1") -> str | None:
    found = store.get(names.DEPLOYMENT, ("ns", name))
    return found["metadata"]["resourceVersion"] if found else None


@pytest.fixture
def store() -> Store:
    return Store()


def test_a_new_service_is_looked_at(store: Store) -> None:
    assert store.observe("ADDED", service(5)) == (KEY,)
    assert store.services() == [KEY]


def test_a_new_child_has_its_service_looked_at(store: Store) -> None:
    assert store.observe("ADDED", deployment(5)) == (KEY,)
    assert [child["metadata"]["name"] for child in store.children(UID, names.DEPLOYMENT)] == ["demo-1"]
    assert store.children(UID, names.SERVICE) == []


@pytest.mark.parametrize(
    "reference",
    [
        pytest.param(None, id="no owner"),
        pytest.param({"controller": False}, id="not the controller"),
        pytest.param({"kind": "Deployment"}, id="another kind"),
        pytest.param({"apiVersion": "serving.kserve.io/v1beta1"}, id="the kind of another group"),
    ],
)
def test_what_no_service_controls_is_no_child(store: Store, reference: dict[str, Any] | None) -> None:
    child = deployment(5)
    references = child["metadata"]["ownerReferences"]
    child["metadata"]["ownerReferences"] = [references[0] | reference] if reference else []

    assert owner_of(child) is None
    assert store.observe("ADDED", child) == ()
    assert known(store) is None


def test_the_newest_version_wins_whatever_the_order(store: Store) -> None:
    store.observe("MODIFIED", deployment(10, spec={"replicas": 2}))

    assert store.observe("MODIFIED", deployment(9, spec={"replicas": 1})) == ()
    assert known(store) == "10"


def test_versions_are_compared_as_numbers(store: Store) -> None:
    store.observe("ADDED", deployment(9, spec={"replicas": 1}))

    assert store.observe("MODIFIED", deployment(10, spec={"replicas": 2})) == (KEY,)
    assert known(store) == "10"


def test_an_older_event_does_not_undo_what_a_write_returned(store: Store) -> None:
    store.observe("ADDED", deployment(5))
    store.saw(deployment(8, spec={"replicas": 3}))

    assert store.observe("MODIFIED", deployment(7)) == ()
    assert known(store) == "8"


def test_the_echo_of_our_own_write_is_no_news(store: Store) -> None:
    store.saw(deployment(8))

    assert store.observe("ADDED", deployment(8)) == ()


@pytest.mark.parametrize(
    ("before", "after"),
    [
        pytest.param({}, {}, id="only the version"),
        pytest.param(
            {"status": {"conditions": [{"type": "Available", "status": "True", "lastUpdateTime": "1"}]}},
            {"status": {"conditions": [{"type": "Available", "status": "True", "lastUpdateTime": "2"}]}},
            id="a heartbeat of a condition",
        ),
        pytest.param(
            {"status": {"replicas": 1, "observedGeneration": 1, "conditions": [{"type": "Progressing"}]}},
            {"status": {"replicas": 1, "observedGeneration": 2, "updatedReplicas": 1}},
            id="what Kubernetes notes of a Deployment",
        ),
    ],
)
def test_a_change_that_nobody_reads_is_no_news_but_its_version_is_kept(
    store: Store, before: dict[str, Any], after: dict[str, Any]
) -> None:
    store.observe("ADDED", deployment(5, **before))

    assert store.observe("MODIFIED", deployment(6, **after)) == ()
    assert known(store) == "6"


def test_who_wrote_the_status_when_is_no_news(store: Store) -> None:
    for version, time in ((5, "2026-01-01T00:00:00Z"), (6, "2026-01-01T00:00:09Z")):
        child = deployment(version)
        child["metadata"]["managedFields"] = [
            {"manager": "kubelet", "operation": "Update", "subresource": "status", "time": time},
            {"manager": "triton-operator", "operation": "Apply", "time": "2026-01-01T00:00:00Z", "fieldsV1": {}},
        ]
        changed = store.observe("MODIFIED", child)

    assert changed == ()


@pytest.mark.parametrize(
    ("ours", "theirs", "expected"),
    [
        pytest.param({"f:spec": {}}, {"f:metadata": {}}, (), id="another manager's fields"),
        pytest.param({}, {"f:spec": {}}, (KEY,), id="a field that is no longer ours"),
    ],
)
def test_only_the_ownership_of_our_fields_is_news(
    store: Store, ours: dict[str, Any], theirs: dict[str, Any], expected: tuple[Any, ...]
) -> None:
    before, after = deployment(5), deployment(6)
    own = {"manager": "triton-operator", "operation": "Apply"}
    before["metadata"]["managedFields"] = [own | {"fieldsV1": {"f:spec": {}}}]
    after["metadata"]["managedFields"] = [
        {"manager": "kubectl", "operation": "Update", "fieldsV1": theirs},
        own | {"fieldsV1": ours},
    ]
    store.observe("ADDED", before)

    assert store.observe("MODIFIED", after) == expected


def test_annotations_are_news_only_where_they_are_ours(store: Store) -> None:
    def annotated(version: int, **annotations: str) -> dict[str, Any]:
        body = deployment(version)
        body["metadata"]["annotations"] = {names.ANNOTATION_APPLIED: "1"} | annotations
        return body

    store.observe("ADDED", annotated(5))

    assert store.observe("MODIFIED", annotated(6, **{"deployment.kubernetes.io/revision": "1"})) == ()
    assert store.observe("MODIFIED", annotated(7, **{names.ANNOTATION_APPLIED: "2"})) == (KEY,)


def test_what_is_kept_is_the_object_but_for_the_ownership_of_others_fields(store: Store) -> None:
    body = deployment(5, spec={"replicas": 2, "template": {"é": [1.5, None, True]}}, status={"readyReplicas": 1})
    own = {"manager": "triton-operator", "operation": "Apply", "fieldsV1": {"f:spec": {"f:replicas": {}}}}
    other = {"manager": "kube-controller-manager", "operation": "Update", "subresource": "status"}
    body["metadata"]["managedFields"] = [other, own | {"time": "2026-01-01T00:00:00Z"}]
    store.observe("ADDED", body)

    expected = body | {"metadata": body["metadata"] | {"managedFields": [own]}}
    assert store.get(names.DEPLOYMENT, ("ns", "demo-1")) == expected
    assert store.children(UID, names.DEPLOYMENT) == [expected]


@pytest.mark.parametrize(
    "more",
    [
        pytest.param({"spec": {"replicas": 2}}, id="spec"),
        pytest.param({"status": {"readyReplicas": 1}}, id="ready pods"),
        pytest.param({"status": {"replicas": 1}}, id="pods"),
        pytest.param(
            {"status": {"conditions": [{"type": "ReplicaFailure", "status": "True", "message": "quota"}]}},
            id="pods that are refused",
        ),
    ],
)
def test_what_reconciliation_reads_is_news(store: Store, more: dict[str, Any]) -> None:
    store.observe("ADDED", deployment(5))

    assert store.observe("MODIFIED", deployment(6, **more)) == (KEY,)


def test_the_status_of_a_disruption_budget_is_no_news(store: Store) -> None:
    def budget(version: int, allowed: int) -> dict[str, Any]:
        body = deployment(version, name="demo-1", status={"disruptionsAllowed": allowed})
        return body | {"apiVersion": "policy/v1", "kind": "PodDisruptionBudget"}

    store.observe("ADDED", budget(5, 0))

    assert store.observe("MODIFIED", budget(6, 1)) == ()


def test_a_deleted_child_has_its_service_looked_at(store: Store) -> None:
    store.observe("ADDED", deployment(5))

    assert store.observe("DELETED", deployment(6)) == (KEY,)
    assert known(store) is None
    assert store.children(UID, names.DEPLOYMENT) == []


def test_a_late_older_event_does_not_bring_a_deleted_object_back(store: Store) -> None:
    store.observe("ADDED", deployment(5))
    store.observe("DELETED", deployment(9))

    assert store.observe("MODIFIED", deployment(7)) == ()
    store.saw(deployment(8))

    assert known(store) is None


def test_an_object_made_anew_is_known_again(store: Store) -> None:
    store.observe("DELETED", deployment(9))

    assert store.observe("ADDED", deployment(10, uid="uid-2")) == (KEY,)


def test_the_late_deletion_of_a_predecessor_does_not_remove_its_successor(store: Store) -> None:
    store.observe("ADDED", deployment(10, uid="uid-2"))

    assert store.observe("DELETED", deployment(9, uid="uid-1")) == ()
    assert known(store) == "10"


def test_a_child_that_lost_its_owner_has_the_former_owner_looked_at(store: Store) -> None:
    store.observe("ADDED", deployment(5))

    assert store.observe("MODIFIED", deployment(6, owner=None)) == (KEY,)
    assert known(store) is None
    assert store.children(UID, names.DEPLOYMENT) == []


def test_a_child_of_a_predecessor_belongs_to_the_predecessor(store: Store) -> None:
    store.observe("ADDED", deployment(5, owner="uid-of-predecessor"))

    assert store.children(UID, names.DEPLOYMENT) == []
    assert len(store.children("uid-of-predecessor", names.DEPLOYMENT)) == 1


def test_what_a_write_found_gone_is_forgotten_unless_it_was_made_anew(store: Store) -> None:
    store.observe("ADDED", deployment(5, uid="uid-1"))
    store.lost(names.DEPLOYMENT, ("ns", "demo-1"), "uid-0")
    assert known(store) == "5"

    store.lost(names.DEPLOYMENT, ("ns", "demo-1"), "uid-1")
    assert known(store) is None


def test_a_list_removes_what_was_deleted_unseen(store: Store) -> None:
    store.observe("ADDED", deployment(5, name="gone"))
    store.observe("ADDED", deployment(6, name="stays"))

    assert looked(store, 20, deployment(6, name="stays")) == {KEY}
    assert (known(store, "gone"), known(store, "stays")) == (None, "6")


def test_a_list_keeps_what_was_made_after_it(store: Store) -> None:
    store.saw(deployment(21, name="young"))

    assert looked(store, 20) == set()
    assert known(store, "young") == "21"


def test_a_list_without_news_changes_nothing(store: Store) -> None:
    store.observe("ADDED", deployment(5))

    assert looked(store, 20, deployment(5)) == set()


def test_a_list_of_one_namespace_leaves_the_others_alone(store: Store) -> None:
    store.observe("ADDED", deployment(5))

    assert looked(store, 20, namespace="other") == set()
    assert known(store) == "5"


def test_an_event_older_than_a_list_that_does_not_show_the_object_is_dropped(store: Store) -> None:
    store.observe("ADDED", deployment(5))
    store.observe("DELETED", deployment(9))
    looked(store, 20)

    store.saw(deployment(8))

    assert known(store) is None
    assert store.observe("ADDED", deployment(21)) == (KEY,)
