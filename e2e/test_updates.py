"""Updates that fail, each in its own way: what serves is not touched, the cause is told, GPUs are freed, and the old
spec is Ready at once.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

import pytest

from cluster import provider
from cluster.abilities import Ability
from stories import BROKEN, DYING, HUNGRY_AT_LOAD, Namespace, condition, in_background, limited, model, restart, service

Json = dict[str, Any]
OF = "serving.triton-operator.dev/service="
ROLLOUT = {"provisionTimeoutSeconds": 30}
ASKED = {"rollout": ROLLOUT | {"goldenRequests": {"configMapName": "golden"}}}
GOLDEN = {
    "inputs": [{"name": "X", "datatype": "FP32", "shape": [1, 1], "data": [99]}],
    "outputs": [{"name": "Y", "datatype": "FP32", "data": [100]}],
}


def good(name: str, **more: Any) -> Json:
    return service(name, uri="configmap://good", **{"rollout": ROLLOUT} | more)


def bad_of(name: str, uri: str, **more: Any) -> Json:
    return service(name, uri=uri, **{"rollout": ROLLOUT} | more)


@pytest.mark.serial
@pytest.mark.needs(Ability.GPUS)
def test_an_update_that_fails_costs_nothing_and_is_not_tried_again(
    namespace: Namespace, cluster: provider.Cluster, images: provider.Images
) -> None:
    cluster.gpu_pool()
    namespace.start_caller(images.operator.by_content)
    on_cpu = "instance_group [ { kind: KIND_CPU } ]"
    before = {
        "load": good("load"),
        "memory": good("memory", runtime=limited(memory="256Mi")),
        "gpu": good("gpu", replicas=2, gpus=8),
        "crash": good("crash", **ASKED),
        "source": good("source"),
        "files": good("files"),
    }
    bad = {
        "load": (bad_of("load", "configmap://broken"), "ContainerExited", "the weights are missing"),
        "memory": (
            bad_of("memory", "configmap://hungry", runtime=limited(memory="256Mi")),
            "OutOfMemory",
            "raise spec.runtime.resources.limits.memory",
        ),
        "gpu": (
            bad_of("gpu", "configmap://good", version=2, replicas=2, gpus=8),
            "InsufficientGPU",
            "Insufficient nvidia.com/gpu",
        ),
        "crash": (bad_of("crash", "configmap://dying", **ASKED), "ContainerExited", "exited with code 137"),
        "source": (bad_of("source", "pvc://nowhere/model"), "VolumeMissing", '"nowhere" not found'),
        "files": (bad_of("files", "configmap://empty"), "BadLayout", "configmap://empty"),
    }
    namespace.apply(
        model("good", more=on_cpu),
        model("broken", code=BROKEN),
        model("hungry", code=HUNGRY_AT_LOAD),
        model("dying", code=DYING),  # it is ready, and dies of what it is asked
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "golden"}, "data": {"one": json.dumps(GOLDEN)}},
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "empty"}, "data": {"config.pbtxt": "name: 'x'"}},
        *before.values(),
    )
    stable = {name: namespace.wait(name, "Ready")["status"]["stable"]["name"] for name in before}
    pods = {name: namespace.uids(name) for name in before}
    for name in before:
        namespace.reach(name)

    def untouched() -> bool:
        """Say whether there are the pods from before and no other, not even one that is ending and holds GPUs."""
        found = {name: {pod["metadata"]["uid"] for pod in namespace.listed("pods", OF + name)} for name in before}
        assert all(pods[name] <= found[name] for name in before)
        return found == pods

    with answered(namespace, *before) as failures:
        namespace.apply(*(body for body, _, _ in bad.values()))
        for name, (_, reason, words) in bad.items():
            body = namespace.wait(name, "Stalled")
            status = body["status"]
            assert status["lastFailure"]["reason"] == condition(body)["reason"] == reason
            assert words in condition(body)["message"], name
            assert datetime.fromisoformat(status["lastFailure"]["time"]) < datetime.now(UTC)
            if name != "source":  # there no revision came of it
                assert (status["rejected"]["by"], status["rejected"]["reason"]) == ("Operator", reason)
            assert status["stable"]["name"] == stable[name]
            assert condition(body, "Available")["status"] == "True"
        namespace.until(untouched)  # the GPUs of what failed are free

        # Neither time nor another operator tries the same spec again.
        restart(cluster)
        namespace.apply(*(body for body, _, _ in bad.values()), service("later", uri="configmap://good", replicas=0))
        namespace.wait("later", "Ready")  # it is at work
        assert untouched()
        revisions = {body["metadata"]["name"] for body in namespace.listed("deployments")}
        assert revisions == {*stable.values(), namespace.get("tisvc", "later")["status"]["stable"]["name"]}

        namespace.apply(*before.values())
        for name in before:
            body = namespace.wait(name, "Ready", seconds=15)
            assert "rejected" not in body["status"]
            assert "lastFailure" not in body["status"]
        assert untouched()
    assert failures == []


@contextmanager
def answered(namespace: Namespace, *services: str) -> Iterator[list[str]]:
    """Call services in turn, all the time; what failed."""
    found: list[str] = []
    with in_background(lambda: found.extend(_failures(namespace, services))):
        yield found


def _failures(namespace: Namespace, services: tuple[str, ...]) -> list[str]:
    return [json.dumps(failure) for name in services for failure in namespace.call(name, count=3)["failures"]]
