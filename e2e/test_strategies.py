"""Going back, trying again, restarting, and switching all at once: by annotations, under load, with nothing lost."""

import time
from datetime import UTC, datetime

import pytest

from cluster import gateway, provider
from cluster.abilities import Ability
from stories import DYING, SYSTEM, Namespace, condition, model, service

# Triton itself counts these as failures: whole batches, not single answers.
RAISING = """
import random
import numpy as np
import triton_python_backend_utils as pb_utils

class TritonPythonModel:
    def execute(self, requests):
        if random.random() < 0.5:
            raise RuntimeError("a fault")
        inputs = [pb_utils.get_input_tensor_by_name(request, "X").as_numpy() for request in requests]
        return [pb_utils.InferenceResponse([pb_utils.Tensor("Y", x + np.float32(3))]) for x in inputs]
"""


def stable(namespace: Namespace) -> str:
    """The revision that serves."""
    name: str = namespace.get("tisvc", "adder")["status"]["stable"]["name"]
    return name


def warm(namespace: Namespace) -> dict:
    """The revision that is kept for the way back; empty if there is none."""
    found: dict = namespace.get("tisvc", "adder")["status"].get("warm") or {}
    return found


@pytest.mark.long
def test_a_person_goes_back_tries_again_and_restarts(namespace: Namespace, images: provider.Images) -> None:
    namespace.start_caller(images.operator.by_content)
    namespace.apply(model("one", add=1), model("two", add=2), service("adder", uri="configmap://one"))
    first = namespace.wait("adder", "Ready")["status"]["stable"]["name"]
    namespace.apply(service("adder", uri="configmap://two", version=2))
    second = namespace.wait("adder", "Ready")["status"]["stable"]["name"]
    namespace.reach("adder")

    with namespace.answers("adder", value=0) as seen:
        namespace.act("adder", "undo", f"{first}/1")
        namespace.until(lambda: stable(namespace) == first)
        namespace.until(lambda: condition(namespace.get("tisvc", "adder"))["reason"] == "Undone")
        namespace.until(lambda: len(namespace.pods("adder")) == 1)
    assert set(seen) == {1.0, 2.0, "failures"}
    assert seen["failures"] == 0
    undone = namespace.get("tisvc", "adder")["status"]
    assert (undone["rejected"]["name"], undone["rejected"]["by"]) == (second, "Person")
    assert namespace.call("adder", value=0) == {"http": [1], "grpc": [1], "failures": []}

    # Another number of replicas is no other spec: what a person went back from stays away.
    namespace.kubectl("scale", "tisvc/adder", "--replicas=2")
    namespace.until(lambda: namespace.get("tisvc", "adder")["status"].get("readyReplicas") == 2)
    assert stable(namespace) == first

    namespace.act("adder", "retry", f"{second}/1")
    namespace.wait("adder", "Ready")
    assert stable(namespace) == second

    before = namespace.uids("adder")
    assert len(before) == 2
    left: list[int] = []

    def replaced() -> bool:
        left.append(len(namespace.uids("adder") & before))
        return left[-1] == 0

    with namespace.answers("adder", value=0) as seen:
        namespace.act("adder", "restart", f"{second}/1")
        namespace.until(replaced)
        restarted = namespace.wait("adder", "Ready")["status"]["stable"]
    assert list(dict.fromkeys(left)) == [2, 1, 0]  # one by one
    assert restarted["name"] == second
    assert set(seen) == {2.0, "failures"}
    assert seen["failures"] == 0

    # What has been done is not done again.
    namespace.act("adder", "undo", f"{second}/2")
    (ignored,) = namespace.until(lambda: namespace.told("adder", "ActionIgnored"))
    assert ignored == f"serving.triton-operator.dev/undo={second}/2: revision {second} serves already"
    assert namespace.get("tisvc", "adder")["status"]["stable"] == restarted
    taken = [f"undo={first}/1", f"retry={second}/1", f"restart={second}/1"]
    assert namespace.told("adder", "ActionTaken") == [f"serving.triton-operator.dev/{action}" for action in taken]


@pytest.mark.long
def test_all_requests_move_at_once_and_back_without_a_new_pod(namespace: Namespace, images: provider.Images) -> None:
    blue_green: dict = {"rollout": {"strategy": "BlueGreen", "scaleDownDelaySeconds": 300}}
    namespace.start_caller(images.operator.by_content)
    one = service("adder", uri="configmap://one", replicas=2, **blue_green)
    two = service("adder", uri="configmap://two", version=2, replicas=2, **blue_green)
    dying = service("adder", uri="configmap://dying", version=3, replicas=2, **blue_green)
    namespace.apply(model("one", add=1), model("two", add=2), model("dying", code=DYING), one)
    first = namespace.wait("adder", "Ready")["status"]["stable"]["name"]
    namespace.reach("adder")
    old = namespace.uids("adder")

    with namespace.answers("adder", value=0) as seen:
        namespace.apply(two)
        switched = namespace.wait("adder", "Ready")["status"]
        both = namespace.uids("adder")
        assert old < both
        assert len(both) == 4
        assert switched["warm"]["name"] == first
        namespace.until(lambda: seen[2.0])
        began = time.monotonic()
        namespace.act("adder", "undo", f"{first}/1")
        namespace.until(lambda: namespace.call("adder", value=0, count=5)["http"] == [1] * 5)
        took = time.monotonic() - began
        assert namespace.uids("adder") == both  # the way back needs no pod
        assert warm(namespace)["name"] == switched["stable"]["name"]
    assert took < 20
    assert set(seen) == {1.0, 2.0, "failures"}
    assert seen["failures"] == 0

    # A third revision has the warm one's pods end. If it dies after its own switch, it gives way to the one before.
    namespace.apply(dying)
    namespace.until(lambda: namespace.get("tisvc", "adder")["status"]["stable"]["version"] == 3)
    namespace.until(lambda: namespace.call("adder", value=99) and stable(namespace) == first)
    fallen = namespace.get("tisvc", "adder")["status"]
    assert fallen["rejected"]["version"] == 3
    assert "after the switch" in fallen["rejected"]["message"]
    namespace.until(lambda: namespace.uids("adder") == old)
    namespace.reach("adder")
    assert namespace.call("adder", value=0) == {"http": [1], "grpc": [1], "failures": []}

    # The pods of the old revision stay as long as status says, and no longer.
    blue_green["rollout"]["scaleDownDelaySeconds"] = 5
    namespace.apply(service("adder", uri="configmap://two", version=2, replicas=2, **blue_green))
    until = datetime.fromisoformat(namespace.until(lambda: warm(namespace))["until"])
    assert namespace.uids("adder") > old
    namespace.until(lambda: not namespace.uids("adder") & old)
    assert datetime.now(UTC) >= until
    namespace.until(lambda: not warm(namespace))  # its pods have ended
    namespace.wait("adder", "Ready")
    assert namespace.call("adder", value=0) == {"http": [2], "grpc": [2], "failures": []}


def operators(cluster: provider.Cluster, replicas: int) -> None:
    """Let so many operators run."""
    space = f"--namespace={SYSTEM}"
    cluster.kubectl("scale", "deployment/triton-operator", space, f"--replicas={replicas}")
    cluster.kubectl("rollout", "status", "deployment/triton-operator", space, "--timeout=60s")
    gone = ("wait", "pods", "--selector=app.kubernetes.io/name=triton-operator", space, "--for=delete", "--timeout=60s")
    if not replicas:
        cluster.kubectl(*gone, timeout_seconds=90)


@pytest.mark.long
@pytest.mark.needs(Ability.GATEWAY)
def test_a_canary_in_the_service_gets_what_its_pods_get(
    cluster: provider.Cluster, namespace: Namespace, images: provider.Images
) -> None:
    canary: dict = {
        "strategy": "Canary",
        "steps": [{"setWeight": 33}, {"pause": {}}],
        "analysis": {"intervalSeconds": 5},
    }
    namespace.start_caller(images.operator.by_content)
    namespace.apply(model("one", add=1), model("two", add=2), model("raising", code=RAISING))
    namespace.apply(service("adder", uri="configmap://one", replicas=2, rollout=canary))
    first = namespace.wait("adder", "Ready")["status"]["stable"]["name"]
    namespace.reach("adder")
    old = namespace.uids("adder")

    def selected() -> tuple[str | None, str | None]:
        body = namespace.get("service", "adder")
        annotations = body["metadata"].get("annotations") or {}
        revision = body["spec"]["selector"].get("serving.triton-operator.dev/revision")
        return revision, annotations.get("serving.triton-operator.dev/stable")

    def since() -> str:
        told: str = namespace.get("tisvc", "adder")["status"].get("rollout", {}).get("servingSince", "")
        return told

    with namespace.answers("adder", value=0) as seen:
        unreachable = {"rollout": canary | {"steps": [{"setWeight": 10}]}}
        namespace.apply(service("adder", uri="configmap://two", version=2, replicas=2, **unreachable))
        namespace.until(lambda: condition(namespace.get("tisvc", "adder"), "Accepted")["reason"] == "StepUnreachable")
        assert selected() == (first, None)
        namespace.apply(service("adder", uri="configmap://two", version=2, replicas=2, rollout=canary))
        paused = namespace.wait("adder", "CanaryPaused")
        assert "as 1 of 3 pods in service are its" in condition(paused)["message"]
        assert condition(paused, "TrafficVerified")["reason"] == "PodsInService"
        assert (paused["status"]["canary"]["weight"], paused["status"]["stable"]["weight"]) == (33, 67)
        assert selected() == (None, first)
        trial = namespace.uids("adder")
        assert old < trial
        assert len(trial) == 3
        namespace.until(lambda: seen[2.0])
        # Neither fewer replicas nor an operator without its memory let the share grow, or promote it.
        namespace.kubectl("scale", "tisvc/adder", "--replicas=1")
        namespace.until(lambda: "and 2 stay" in condition(namespace.get("tisvc", "adder"))["message"])
        namespace.kubectl("scale", "tisvc/adder", "--replicas=2")
        operators(cluster, 0)  # one that is at work would write what it has just read
        namespace.kubectl("delete", "configmap", "adder-record")
        operators(cluster, 2)
        namespace.until(lambda: since() > paused["status"]["rollout"]["servingSince"])  # it has begun anew
        assert stable(namespace) == first
        second = namespace.wait("adder", "CanaryPaused")["status"]["canary"]["name"]
        assert selected() == (None, first)
        assert namespace.uids("adder") == trial
        namespace.act("adder", "promote-full", f"{second}/1")
        assert namespace.wait("adder", "Ready")["status"]["stable"]["name"] == second
        assert selected() == (second, None)
        assert trial - old < namespace.uids("adder")
    assert set(seen) == {1.0, 2.0, "failures"}
    assert seen["failures"] == 0

    with namespace.answers("adder", value=0) as seen:
        namespace.apply(service("adder", uri="configmap://raising", version=3, replicas=2, rollout=canary))
        namespace.until(lambda: namespace.get("tisvc", "adder")["status"].get("rejected"))
        assert selected() == (second, None)
        namespace.until(lambda: len(namespace.uids("adder")) == 2)
    rejected = namespace.get("tisvc", "adder")["status"]["rejected"]
    assert (rejected["version"], rejected["reason"]) == (3, "CanaryFailed")
    assert seen["failures"] > 0
    assert namespace.call("adder", value=0) == {"http": [2], "grpc": [2], "failures": []}

    # With a Gateway pods may replace each other while the canary is judged, and callers inside the cluster go by pods.
    refs = [{"name": gateway.NAME, "namespace": gateway.NAMESPACE}]
    through: dict = {"routing": {"gateway": {"parentRefs": refs, "hostnames": ["strategies.example.com"]}}}
    few = {"strategy": "Canary", "dynamicStableScale": True, "steps": [{"setWeight": 50}, {"pause": {}}]}
    namespace.apply(service("adder", uri="configmap://two", version=2, replicas=2, rollout=few, **through))
    namespace.wait("adder", "Ready")
    before = namespace.uids("adder")
    with namespace.answers("adder", value=0) as seen:
        namespace.apply(service("adder", uri="configmap://one", version=4, replicas=2, rollout=few, **through))
        fourth = namespace.wait("adder", "CanaryPaused")["status"]["canary"]["name"]
        namespace.until(lambda: len(namespace.uids("adder")) == 2)
        assert len(namespace.uids("adder") & before) == 1
        backends = namespace.get("httproute", "adder")["spec"]["rules"][0]["backendRefs"]
        assert {backend["name"]: backend["weight"] for backend in backends} == {second: 50, fourth: 50}
        namespace.until(lambda: seen[1.0])
        namespace.act("adder", "promote", f"{fourth}/2")
        assert namespace.wait("adder", "Ready")["status"]["stable"]["version"] == 4
    assert set(seen) == {1.0, 2.0, "failures"}
    assert seen["failures"] == 0
