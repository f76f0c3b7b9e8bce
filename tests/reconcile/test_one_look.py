"""One look of the reconciler at a time, on a real API server, to put events into an order that is rare by chance."""

import time
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Any

import pytest

from triton_operator.api import names
from triton_operator.api.settings import Settings
from triton_operator.controller.queue import Key
from triton_operator.controller.reconcile import Reconciler
from triton_operator.controller.store import Store
from triton_operator.edges.errors import ApiError
from triton_operator.edges.kubernetes import Kube, Object

pytestmark = pytest.mark.cluster

NODE = names.Kind("", "v1", "Node", "nodes")


class Nobody:
    def applied(self, kind: names.Kind, *, changed: bool) -> None:
        pass

    def told(self, key: Key, status: dict) -> None:
        pass


@pytest.fixture
def store() -> Store:
    return Store()


@pytest.fixture
def woken() -> list[tuple[str, str]]:
    return []


@pytest.fixture
def others() -> list[str]:
    """Services that wait for their first look."""
    return []


@pytest.fixture
async def reconciler(
    kube: Kube, store: Store, woken: list[tuple[str, str]], others: list[str]
) -> AsyncIterator[Reconciler]:
    settings = Settings(prepareImage="localhost/triton-operator:test", tritonImage="localhost/triton:test")
    made = Reconciler(
        kube,
        store,
        settings,
        Nobody(),
        wake=woken.append,
        pressed=lambda: bool(others),
        clock=time.time,
        instance="test",
    )
    yield made
    await made.close()


async def test_while_others_wait_a_new_service_gets_its_deployment_and_the_rest_later(
    services: Any, reconciler: Reconciler, store: Store, others: list[str]
) -> None:
    key = (services.namespace, "a")
    store.observe("ADDED", await services.apply("a"))
    others.append("b")
    assert await reconciler.reconcile(key) == 0.0
    children = await services.children("a")
    assert len(children["Deployment"]) == 1
    assert not children["Service"]
    assert not children["PodDisruptionBudget"]
    assert (await services.get("a"))["status"]["observedGeneration"] == -1
    assert await reconciler.reconcile(key) != 0.0  # though others still wait
    children = await services.children("a")
    assert len(children["Service"]) == 3
    assert len(children["PodDisruptionBudget"]) == 1
    assert (await services.get("a"))["status"]["observedGeneration"] == 1


async def test_a_service_whose_name_is_taken_gets_no_deployment_however_many_others_wait(
    services: Any, kube: Kube, reconciler: Reconciler, store: Store, others: list[str]
) -> None:
    key = (services.namespace, "a")
    foreign = {"metadata": {"namespace": services.namespace, "name": "a"}, "spec": {"ports": [{"port": 80}]}}
    await kube.create({"apiVersion": "v1", "kind": "Service"} | foreign, kind=names.SERVICE)
    store.observe("ADDED", await services.apply("a"))
    others.append("b")
    await reconciler.reconcile(key)
    assert not (await services.children("a"))["Deployment"]
    assert (await services.condition("a", "Accepted"))["reason"] == "NameConflict"


async def test_a_spec_that_changes_while_its_predecessor_is_told_of_is_looked_at(
    services: Any, reconciler: Reconciler, store: Store, woken: list[tuple[str, str]]
) -> None:
    key = (services.namespace, "a")
    store.observe("ADDED", await services.apply("a"))
    await services.apply("a", version=2)  # its event is still on the way
    await reconciler.reconcile(key)
    assert woken == [key]
    await reconciler.reconcile(key)
    assert woken == [key]
    body = await services.get("a")
    assert body["status"]["observedGeneration"] == body["metadata"]["generation"] == 2


async def test_a_node_whose_kubelet_is_gone_holds_up_nothing(
    services: Any, kube: Kube, reconciler: Reconciler, store: Store, namespace: str
) -> None:
    key = (namespace, "a")
    store.observe("ADDED", await services.apply("a"))
    await reconciler.reconcile(key)
    node = f"ghost-{namespace}"
    await kube.create(_node(node), kind=NODE)
    try:
        (deployment,) = (await services.children("a"))["Deployment"]
        pod = await kube.create(_pod(deployment, node), kind=names.POD)
        await services.patch_status(pod, _crashed())
        assert await kube.list(names.POD, namespace=namespace)
        store.observe("MODIFIED", await services.apply("a", version=2))
        await reconciler.reconcile(key)
        body = await services.get("a")
        assert body["status"]["observedGeneration"] == 2
    finally:
        await kube.delete(NODE, namespace=None, name=node, uid=None)


async def test_a_deployment_that_cannot_go_holds_up_only_itself(
    services: Any, kube: Kube, reconciler: Reconciler, store: Store, namespace: str
) -> None:
    key = (namespace, "a")
    store.observe("ADDED", await services.apply("a"))
    await reconciler.reconcile(key)
    (deployment,) = (await services.children("a"))["Deployment"]
    name = deployment["metadata"]["name"]
    await services.patch(
        names.DEPLOYMENT, name, [{"op": "add", "path": "/metadata/finalizers", "value": ["example.com/stuck"]}]
    )
    try:
        await kube.delete(names.DEPLOYMENT, namespace=namespace, name=name, uid=None)
        store.observe("MODIFIED", await services.get(name, names.DEPLOYMENT))
        store.observe("MODIFIED", await services.apply("a", version=2))
        await reconciler.reconcile(key)
        assert len((await services.children("a"))["Deployment"]) == 2
        ready = await services.condition("a", "Ready")
        assert (ready["status"], ready["reason"]) == ("Unknown", "Waiting")
        assert name in ready["message"]
    finally:
        await services.patch(names.DEPLOYMENT, name, [{"op": "remove", "path": "/metadata/finalizers"}])


async def test_a_lost_controller_revision_is_made_again_and_nothing_else_changes(
    services: Any, kube: Kube, reconciler: Reconciler, store: Store, namespace: str
) -> None:
    key = (namespace, "a")
    store.observe("ADDED", await services.apply("a"))
    await reconciler.reconcile(key)
    before = await services.children("a")
    (revision,) = before["ControllerRevision"]
    await kube.delete(names.CONTROLLER_REVISION, namespace=namespace, name=revision["metadata"]["name"], uid=None)
    store.observe("DELETED", revision)
    for body in before["Deployment"]:
        store.observe("MODIFIED", await services.get(body["metadata"]["name"], names.DEPLOYMENT))
    for _ in range(2):
        await reconciler.reconcile(key)
        after = await services.children("a")
        assert [b["metadata"]["name"] for b in after["ControllerRevision"]] == [revision["metadata"]["name"]]
        assert [b["spec"] for b in after["Deployment"]] == [b["spec"] for b in before["Deployment"]]
        applied = [
            [body["metadata"]["annotations"][names.ANNOTATION_APPLIED] for body in found["Deployment"]]
            for found in (before, after)
        ]
        assert applied[0] == applied[1]  # it was not even written
        assert after["ControllerRevision"][0]["data"]["model"] == revision["data"]["model"]
        assert after["ControllerRevision"][0]["data"]["gpuCount"] == revision["data"]["gpuCount"]
    wrote = {b["metadata"]["resourceVersion"] for b in (await services.children("a"))["ControllerRevision"]}
    await reconciler.reconcile(key)
    assert {b["metadata"]["resourceVersion"] for b in (await services.children("a"))["ControllerRevision"]} == wrote


def _node(name: str) -> Object:
    """A node that is registered and answers nowhere: port 1 of loopback is closed."""
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": name},
        "spec": {"unschedulable": True},
        "status": {
            "addresses": [{"type": "InternalIP", "address": "127.0.0.1"}],
            "daemonEndpoints": {"kubeletEndpoint": {"Port": 1}},
        },
    }


def _pod(deployment: Object, node: str) -> Object:
    template = deployment["spec"]["template"]
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": "crashed",
            "namespace": deployment["metadata"]["namespace"],
            "labels": template["metadata"]["labels"],
        },
        "spec": {
            "nodeName": node,
            "containers": [{"name": "triton", "image": "localhost/none:1"}],
            "terminationGracePeriodSeconds": 0,
        },
    }


def _crashed() -> Object:
    ended = {"exitCode": 1, "reason": "Error", "startedAt": None, "finishedAt": None}
    container = {"name": "triton", "image": "x", "imageID": "", "ready": False, "restartCount": 1}
    state = {"state": {"waiting": {"reason": "CrashLoopBackOff"}}, "lastState": {"terminated": ended}}
    return {"phase": "Running", "containerStatuses": [container | state]}


async def test_a_child_that_vanished_unseen_is_made_again_at_the_second_try(
    services: Any, kube: Kube, reconciler: Reconciler, store: Store, namespace: str
) -> None:
    key = (namespace, "a")
    store.observe("ADDED", await services.apply("a"))
    await reconciler.reconcile(key)
    (deployment,) = (await services.children("a"))["Deployment"]
    for kind, name in ((names.CONFIG_MAP, "a-record"), (names.DEPLOYMENT, deployment["metadata"]["name"])):
        await kube.delete(kind, namespace=namespace, name=name, uid=None)
    # Suspended and scaled, so that the record and the Deployment have to be written now.
    store.observe("MODIFIED", await services.apply("a", replicas=3, suspend=True))
    for _ in range(4):
        with suppress(ApiError):
            await reconciler.reconcile(key)
    again = await services.children("a")
    assert len(again["ConfigMap"]) == 2
    assert [body["spec"]["replicas"] for body in again["Deployment"]] == [0]
