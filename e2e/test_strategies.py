"""Going back, trying again, restarting, and switching all at once: by annotations, under load, with nothing lost."""

import time

from cluster import provider
from stories import Namespace, condition, model, service

CRASHING = """
import os, signal, threading
import numpy as np
import triton_python_backend_utils as pb_utils

class TritonPythonModel:
    def initialize(self, args):
        threading.Timer(25, os.kill, (os.getppid(), signal.SIGKILL)).start()

    def execute(self, requests):
        inputs = [pb_utils.get_input_tensor_by_name(request, "X").as_numpy() for request in requests]
        return [pb_utils.InferenceResponse([pb_utils.Tensor("Y", x + np.float32(9))]) for x in inputs]
"""


def test_a_person_goes_back_tries_again_and_restarts(namespace: Namespace, images: provider.Images) -> None:
    namespace.start_caller(images.operator.by_content)
    namespace.apply(model("one", add=1), model("two", add=2), service("adder", uri="configmap://one"))
    first = namespace.wait("adder", "Ready")["status"]["stable"]["name"]
    namespace.apply(service("adder", uri="configmap://two", version=2))
    second = namespace.wait("adder", "Ready")["status"]["stable"]["name"]
    namespace.reach("adder")

    with namespace.answers("adder", value=0) as seen:
        namespace.act("adder", "undo", f"{first}/1")
        namespace.until(lambda: namespace.get("tisvc", "adder")["status"]["stable"]["name"] == first)
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
    assert namespace.get("tisvc", "adder")["status"]["stable"]["name"] == first

    namespace.act("adder", "retry", f"{second}/1")
    namespace.wait("adder", "Ready")
    assert namespace.get("tisvc", "adder")["status"]["stable"]["name"] == second

    before = namespace.uids("adder")
    with namespace.answers("adder", value=0) as seen:
        namespace.act("adder", "restart", f"{second}/1")
        namespace.until(lambda: not namespace.uids("adder") & before)
        restarted = namespace.wait("adder", "Ready")["status"]["stable"]
    assert restarted["name"] == second
    assert set(seen) == {2.0, "failures"}
    assert seen["failures"] == 0

    # What has been done is not done again.
    namespace.act("adder", "undo", f"{second}/2")
    namespace.until(
        lambda: "serves already" in namespace.kubectl("get", "events", "--field-selector=reason=ActionIgnored")
    )
    assert namespace.get("tisvc", "adder")["status"]["stable"] == restarted


def test_all_requests_move_at_once_and_back_without_a_new_pod(namespace: Namespace, images: provider.Images) -> None:
    blue_green = {"rollout": {"strategy": "BlueGreen", "scaleDownDelaySeconds": 40}}
    namespace.start_caller(images.operator.by_content)
    one = service("adder", uri="configmap://one", replicas=2, **blue_green)
    two = service("adder", uri="configmap://two", version=2, replicas=2, **blue_green)
    dying = service("adder", uri="configmap://dying", version=3, replicas=2, **blue_green)
    namespace.apply(model("one", add=1), model("two", add=2), model("dying", code=CRASHING), one)
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
    assert took < 20
    assert set(seen) == {1.0, 2.0, "failures"}
    assert seen["failures"] == 0
    namespace.until(lambda: namespace.uids("adder") == old)

    # A revision that dies after the switch gives way to the warm one.
    namespace.apply(dying)
    namespace.until(lambda: namespace.get("tisvc", "adder")["status"]["stable"]["version"] == 3)
    namespace.until(lambda: namespace.get("tisvc", "adder")["status"]["stable"]["name"] == first)
    fallen = namespace.get("tisvc", "adder")["status"]
    assert fallen["rejected"]["version"] == 3
    assert "after the switch" in fallen["rejected"]["message"]
    assert namespace.uids("adder") >= old
    namespace.reach("adder")
    assert namespace.call("adder", value=0) == {"http": [1], "grpc": [1], "failures": []}
