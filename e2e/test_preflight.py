"""What a new revision must answer before it gets its first request, on real pods."""

import json

import pytest

from cluster import provider
from cluster.abilities import Ability
from stories import SYSTEM, Namespace, condition, model, service


def golden(expected: float) -> dict:
    """A request to add to 1, and what must come back."""
    request = {
        "inputs": [{"name": "X", "datatype": "FP32", "shape": [1, 1], "data": [1]}],
        "outputs": [{"name": "Y", "datatype": "FP32", "data": [expected]}],
    }
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "golden"},
        "data": {"one": json.dumps(request)},
    }


def test_golden_requests_keep_a_wrong_model_from_every_caller(namespace: Namespace, images: provider.Images) -> None:
    asked = {"rollout": {"goldenRequests": {"configMapName": "golden"}}}
    namespace.start_caller(images.operator.by_content)
    namespace.apply(
        model("one", add=1), model("two", add=2), service("adder", uri="configmap://one", replicas=2, **asked)
    )
    missing = namespace.wait("adder", "Stalled")
    assert condition(missing)["reason"] == "ConfigMapMissing"
    assert namespace.pods("adder") == []

    namespace.apply(golden(2))
    namespace.wait("adder", "Ready")
    namespace.reach("adder")
    before = namespace.uids("adder")
    with namespace.answers("adder", value=1) as seen:
        namespace.apply(service("adder", uri="configmap://two", version=2, replicas=2, **asked))
        failure = namespace.failure(
            "adder", "GoldenRequestFailed", "golden request one, output Y, index 0: expected 2, got 3.0"
        )
        namespace.until(lambda: namespace.uids("adder") == before)
    assert failure["pod"].startswith(failure["revision"])
    assert set(seen) == {2.0, "failures"}
    assert seen["failures"] == 0

    # The request was wrong, not the model.
    namespace.apply(golden(3))
    namespace.act("adder", "retry", f"{failure['revision']}/1")
    with namespace.answers("adder", value=1) as seen:
        namespace.wait("adder", "Ready")
    assert set(seen) <= {2.0, 3.0, "failures"}
    assert seen["failures"] == 0
    assert namespace.get("tisvc", "adder")["status"]["stable"]["version"] == 2


def test_another_signature_needs_permission_and_going_back_does_not(namespace: Namespace) -> None:
    namespace.apply(model("one"), model("wide", size=2), service("adder", uri="configmap://one"))
    first = namespace.wait("adder", "Ready")["status"]["stable"]["name"]
    before = namespace.uids("adder")
    namespace.apply(service("adder", uri="configmap://wide", version=2))
    namespace.failure("adder", "SignatureChanged", "input X takes shape [-1, 2], took [-1, 1]; output Y has shape")
    namespace.until(lambda: namespace.uids("adder") == before)

    namespace.apply(service("adder", uri="configmap://wide", version=2, rollout={"allowSignatureChange": True}))
    assert namespace.wait("adder", "Ready")["status"]["stable"]["version"] == 2

    namespace.apply(service("adder", uri="configmap://one"))  # as a revert in Git does
    assert namespace.wait("adder", "Ready")["status"]["stable"]["name"] == first


@pytest.mark.serial
@pytest.mark.needs(Ability.WALLS)
def test_a_pod_that_the_operator_cannot_reach_is_waited_for(
    namespace: Namespace, cluster: provider.Cluster, operator: None
) -> None:
    namespace.apply(model("one"), service("adder", uri="configmap://one"))
    namespace.wait("adder", "Ready")
    before = namespace.uids("adder")
    listed = json.loads(cluster.kubectl("get", "pods", f"--namespace={SYSTEM}", "--output=json"))["items"]
    one, other = [pod["status"]["podIP"] for pod in listed]
    with cluster.wall(one, ports=(8000, 8001)), cluster.wall(other, ports=(8000, 8001)):
        namespace.apply(service("adder", uri="configmap://one", version=2))
        namespace.until(lambda: condition(namespace.get("tisvc", "adder"))["reason"] == "PodUnreachable")
        body = namespace.get("tisvc", "adder")
        assert "NetworkPolicy" in condition(body)["message"]
        assert "rejected" not in body["status"]
        assert before < namespace.uids("adder")  # what served serves on, beside the pod that waits
    after = namespace.wait("adder", "Ready")
    assert after["status"]["stable"]["version"] == 2
    namespace.warned("adder", "PodUnreachable")
