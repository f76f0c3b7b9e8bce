import asyncio
import random
from typing import Any

import pytest

from triton_operator.api import names
from triton_operator.edges.kubernetes import Object

pytestmark = pytest.mark.cluster

Json = dict[str, Any]


def named(bodies: list[Object]) -> dict[str, Object]:
    return {body["metadata"]["name"]: body for body in bodies}


def essence(children: dict[str, list[Object]]) -> Json:
    """Everything of the children that may not differ between two histories of one spec."""
    found = {}
    for kind, bodies in children.items():
        for body in bodies:
            metadata = body["metadata"]
            kept = {key: value for key, value in body.items() if key not in {"metadata", "status"}}
            if kind == "Service":
                kept["spec"] = {k: v for k, v in kept["spec"].items() if k not in {"clusterIP", "clusterIPs"}}
            if kind == "ConfigMap":
                kept.pop("data")  # the record has time stamps
            found[kind, metadata["name"]] = kept | {"labels": metadata["labels"]}
    return found


async def test_a_service_gets_all_its_children_and_its_own_metadata_stays_untouched(services, operator) -> None:
    before = await services.apply("a", labels={"team": "x"}, replicas=2)
    children = await services.complete("a")
    (deployment,) = children["Deployment"]
    assert deployment["spec"]["replicas"] == 2
    for bodies in children.values():
        for body in bodies:
            (owner,) = body["metadata"]["ownerReferences"]
            assert owner["uid"] == before["metadata"]["uid"]
            assert owner["controller"] is True
            assert "team" not in body["metadata"]["labels"]
    after = await services.get("a")
    assert after is not None
    for field in ("annotations", "finalizers", "labels", "generation"):
        assert after["metadata"].get(field) == before["metadata"].get(field)
    assert after["spec"] == before["spec"]
    ours = [e for e in after["metadata"]["managedFields"] if e["manager"] == names.FIELD_MANAGER]
    assert {(e.get("subresource"), *e["fieldsV1"]) for e in ours} == {("status", "f:status")}


async def test_a_restarted_operator_writes_nothing(services, operator) -> None:
    for number in range(5):
        await services.apply(f"s{number}")
    for number in range(5):
        await services.complete(f"s{number}")
    await operator.stop()
    versions = await _versions(services)
    await operator.start()
    await operator.settles()
    assert await operator.writes() == 0
    assert await _versions(services) == versions


async def test_a_foreign_change_of_a_child_is_put_right(services, operator) -> None:
    await services.apply("a", replicas=2)
    children = await services.complete("a")
    revision = children["Deployment"][0]["metadata"]["name"]
    wanted = essence(children)

    async def put_right() -> bool:
        return essence(await services.children("a")) == wanted

    kinds = {
        names.DEPLOYMENT: revision,
        names.SERVICE: "a",
        names.POD_DISRUPTION_BUDGET: revision,
        names.CONTROLLER_REVISION: revision,
    }
    image = [{"op": "replace", "path": "/spec/template/spec/containers/0/image", "value": "evil"}]
    label = [{"op": "remove", "path": f"/metadata/labels/{names.LABEL_SERVICE.replace('/', '~1')}"}]
    seen_by = [{"op": "remove", "path": f"/metadata/labels/{names.LABEL_MANAGED_BY.replace('/', '~1')}"}]
    for kind, damage in (
        (names.DEPLOYMENT, seen_by),
        (names.CONTROLLER_REVISION, seen_by),
        (names.DEPLOYMENT, [{"op": "replace", "path": "/spec/replicas", "value": 7}]),
        (names.DEPLOYMENT, image),
        (names.SERVICE, [{"op": "add", "path": "/spec/selector/other", "value": "label"}]),
        (names.SERVICE, label),
        (names.POD_DISRUPTION_BUDGET, [{"op": "replace", "path": "/spec/maxUnavailable", "value": 0}]),
    ):
        await services.patch(kind, kinds[kind], damage)
        await operator.until(put_right)
    for kind, name in kinds.items():
        await services.kube.delete(kind, namespace=services.namespace, name=name, uid=None)
        await operator.until(put_right)


async def test_what_is_deleted_just_after_a_start_comes_back(services, operator) -> None:
    await services.apply("a")
    await services.complete("a")
    await operator.stop()
    await operator.start()
    await operator.leads()  # the first list has been made, the watches are being opened
    for kind, name in ((names.SERVICE, "a-headless"), (names.CONFIG_MAP, "a-record")):
        await services.kube.delete(kind, namespace=services.namespace, name=name, uid=None)
    await services.complete("a")


async def test_an_object_that_is_not_ours_is_never_touched(services, operator) -> None:
    foreign = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "a", "namespace": services.namespace},
        "spec": {"ports": [{"port": 80}], "selector": {"app": "theirs"}},
    }
    before = await services.kube.create(foreign, kind=names.SERVICE)
    await services.apply("a")
    condition = await operator.until(lambda: _conditions(services, "a", "Accepted", "NameConflict"))
    assert condition["status"] == "False"
    assert "the Service a exists and is not this service's" in condition["message"]
    assert (await services.condition("a", "Stalled"))["status"] == "True"
    assert await services.get("a", names.SERVICE) == before
    assert (await services.children("a"))["Deployment"] == []
    await services.kube.delete(names.SERVICE, namespace=services.namespace, name="a", uid=None)
    # The operator looks again by itself within half a minute; a change of the spec is looked at at once.
    await services.apply("a", replicas=1)
    await services.complete("a")


async def test_a_service_made_anew_under_its_name_gets_children_of_its_own(services, operator) -> None:
    for _ in range(3):
        body = await services.apply("a")
        await services.complete("a")
        await services.kube.delete(
            names.INFERENCE_SERVICE, namespace=services.namespace, name="a", uid=body["metadata"]["uid"]
        )
    body = await services.apply("a")

    async def all_of_the_new_one() -> bool:
        children = await services.children("a")
        owners = {b["metadata"]["ownerReferences"][0]["uid"] for bodies in children.values() for b in bodies}
        counts = {kind: len(bodies) for kind, bodies in children.items()}
        return owners == {body["metadata"]["uid"]} and counts["Service"] == 3 and counts["Deployment"] == 1

    await operator.until(all_of_the_new_one)


async def test_what_the_api_server_refuses_is_said_and_the_corrected_spec_recovers(services, operator) -> None:
    await services.apply("a", runtime={"nodeSelector": {"no": "node"}, "priorityClassName": "no-such-class"})
    # The Deployment is taken, its pods are not.
    failure = await operator.until(lambda: _last_failure(services, "a"))
    assert failure["reason"] == "PodsRefused"
    assert "no-such-class" in failure["message"]
    await services.apply("a", runtime={"nodeSelector": {"no": "node"}})
    await services.complete("a", revisions=2)


async def test_a_wiped_status_and_a_lost_record_change_nothing_else(services, operator) -> None:
    await services.apply("a", replicas=2)
    children = await services.complete("a")
    wanted = essence(children)
    generation = children["Deployment"][0]["metadata"]["generation"]
    empty = {
        "apiVersion": names.API_VERSION,
        "kind": "InferenceService",
        "metadata": {"name": "a", "namespace": services.namespace},
    }
    await services.kube.apply(empty | {"status": {}}, kind=names.INFERENCE_SERVICE, subresource="status")
    await services.complete("a")
    await services.kube.delete(names.CONFIG_MAP, namespace=services.namespace, name="a-record", uid=None)
    again = await services.complete("a")
    assert essence(again) == wanted
    assert again["Deployment"][0]["metadata"]["generation"] == generation


async def test_two_operators_with_selectors_keep_to_their_own(services, make_operator) -> None:
    red = make_operator(name="red", selector="team=red")
    blue = make_operator(name="blue", selector="team=blue")
    for each in (red, blue):
        await each.start()
        await each.leads()
    await services.apply("a", labels={"team": "red"})
    await services.apply("b", labels={"team": "blue"})
    await services.apply("c", labels={"team": "green"})
    await services.complete("a")
    await services.complete("b")
    assert "a-" in red.log()
    assert "b-" not in red.log().replace("test-", "")
    assert "a-" not in blue.log().replace("test-", "")
    assert all(not bodies for bodies in (await services.children("c")).values())


async def test_an_operator_killed_at_any_moment_leaves_nothing_half_done(services, operator) -> None:
    await services.apply("model", version=1)
    wanted = {kind: len(bodies) for kind, bodies in (await services.complete("model")).items()}
    chance = random.Random(1)
    for round_ in range(8):
        await services.apply("a", version=1 + round_, replicas=1 + round_ % 3)
        await asyncio.sleep(chance.uniform(0, 0.15))  # not to wait for anything: the moment of the crash
        await operator.kill()
        await operator.start()

    async def whole() -> bool:
        children = await services.children("a")
        counts = {kind: len(bodies) for kind, bodies in children.items()} | {"ControllerRevision": 1}
        current = [d for d in children["Deployment"] if d["spec"]["replicas"] == 1 + 7 % 3]
        return counts == wanted and len(current) == 1

    await operator.until(whole)
    newest = max((await services.children("a"))["ControllerRevision"], key=lambda body: body["revision"])
    assert newest["data"]["model"]["version"] == 8


async def _versions(services: Any) -> dict[str, str]:
    found = {}
    for kind in (*names.CHILD_KINDS, names.INFERENCE_SERVICE):
        for body in await services.kube.list(kind, namespace=services.namespace):
            if body["metadata"]["name"] != "kube-root-ca.crt":
                found[f"{kind.kind}/{body['metadata']['name']}"] = (
                    body["metadata"]["generation"]
                    if (kind == names.DEPLOYMENT)
                    else body["metadata"]["resourceVersion"]
                )
    return {name: version for name, version in found.items() if not name.startswith("PodDisruptionBudget")}


async def _last_failure(services: Any, name: str) -> Json | None:
    body = await services.get(name)
    found: Json | None = body["status"].get("lastFailure")
    return found


async def _conditions(services: Any, name: str, type_: str, reason: str) -> Json | None:
    found: Json = await services.condition(name, type_)
    return found if found.get("reason") == reason else None
