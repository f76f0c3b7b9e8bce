"""What goes wrong on a real cluster, in the words of who noticed it, and how it is mended without anybody's hand."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest

from cluster import provider
from cluster.abilities import Ability
from stories import BROKEN, HUNGRY_AT_LOAD, Namespace, in_background, limited, model, service, wait_for_shared

Json = dict[str, Any]

HUNGRY_UNDER_TRAFFIC = """
import numpy as np
import triton_python_backend_utils as pb_utils

class TritonPythonModel:
    def execute(self, requests):
        inputs = [pb_utils.get_input_tensor_by_name(request, "X").as_numpy() for request in requests]
        if any((x == 99).any() for x in inputs):
            self.rest = [bytearray(b"x" * (1 << 20)) for _ in range(1 << 20)]
        return [pb_utils.InferenceResponse([pb_utils.Tensor("Y", x + np.float32(1))]) for x in inputs]
"""
SLOW = """
import time

class TritonPythonModel:
    def initialize(self, args):
        time.sleep(3600)
"""
LITTERING = """
import os, time

class TritonPythonModel:
    def initialize(self, args):
        with open("/tmp/litter", "wb") as file:
            for _ in range(64):
                file.write(os.urandom(1 << 20))
        time.sleep(3600)
"""
BACKEND_DIED = (
    "BackendDied",
    "Triton calls the model ready, but every request fails in its backend and none is executed: Triton does not restart"
    " a backend that has died, so the pod is replaced",
    None,
)
OUT_OF_MEMORY = (
    "OutOfMemory",
    "container triton used more memory than its limit and was killed: raise spec.runtime.resources.limits.memory"
    " (spec.runtime.sharedMemory counts against it)",
    137,
)
KILL_STUBS = (
    "import os, pathlib, signal\n"
    "for process in pathlib.Path('/proc').glob('[0-9]*'):\n"
    "    if (process / 'cmdline').read_bytes().split(b'\\0')[0].endswith(b'python_backend_stub'):\n"
    "        os.kill(int(process.name), signal.SIGKILL)\n"
)


def ready(namespace: Namespace, name: str) -> bool:
    conditions = namespace.get("tisvc", name).get("status", {}).get("conditions", [])
    return any(c["type"] == "Ready" and c["status"] == "True" for c in conditions)


def nowhere_webhook(namespace: str) -> Json:
    """A webhook that is called for pods with the label `webhook: nowhere` and does not answer."""
    return {
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "ValidatingWebhookConfiguration",
        "metadata": {"name": namespace},
        "webhooks": [
            {
                "name": "pods.example.com",
                "clientConfig": {"service": {"namespace": namespace, "name": "nowhere", "path": "/"}},
                "rules": [{"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["pods"]}],
                "objectSelector": {"matchLabels": {"webhook": "nowhere"}},
                "failurePolicy": "Fail",
                "sideEffects": "None",
                "admissionReviewVersions": ["v1"],
            }
        ],
    }


@pytest.fixture
def webhook(cluster: provider.Cluster, namespace: Namespace) -> Iterator[None]:
    namespace.apply(nowhere_webhook(namespace.name))
    yield
    cluster.kubectl("delete", "validatingwebhookconfiguration", namespace.name)


@pytest.mark.long
def test_each_common_cause_is_told_exactly_and_a_corrected_spec_recovers(namespace: Namespace, webhook: None) -> None:
    quota = {"hard": {"requests.nvidia.com/gpu": "2"}}
    limits = {"limits": [{"type": "Container", "max": {"memory": "4Gi"}, "default": {"memory": "1Gi"}}]}
    good = "configmap://model"
    broken: dict[str, tuple[Json, str, str]] = {
        "image": (
            service("image", uri=good, runtime={"image": "registry.invalid/triton:1", "imagePullPolicy": "Always"}),
            "ImagePullFailed",
            "the image registry.invalid/triton:1 of container triton cannot be pulled: ",
        ),
        "nowhere": (
            service("nowhere", uri=good, runtime={"nodeSelector": {"example.com/pool": "none"}}),
            "Unschedulable",
            "didn't match Pod's node affinity/selector",
        ),
        "quota": (
            service("quota", uri=good, gpus=3),
            "PodsRefused",
            "exceeded quota: gpus, requested: requests.nvidia.com/gpu=3, used: requests.nvidia.com/gpu=0, limited:"
            " requests.nvidia.com/gpu=2",
        ),
        "limits": (
            service("limits", uri=good, runtime=limited(memory="8Gi")),
            "PodsRefused",
            "maximum memory usage per Container is 4Gi, but limit is 8Gi",
        ),
        "webhook": (
            service("webhook", uri=good, runtime={"labels": {"webhook": "nowhere"}}),
            "PodsRefused",
            'failed calling webhook "pods.example.com"',
        ),
        "claim": (
            service("claim", uri="pvc://nowhere/model"),
            "VolumeMissing",
            'persistentvolumeclaim "nowhere" not found',
        ),
        "map": (
            service("map", uri="configmap://nowhere"),
            "ConfigMapMissing",
            "the ConfigMap nowhere, which the spec names, does not exist in this namespace: create it",
        ),
        "secret": (
            service(
                "secret",
                uri=good,
                runtime={"env": [{"name": "TOKEN", "valueFrom": {"secretKeyRef": {"name": "none", "key": "token"}}}]},
            ),
            "ContainerCannotStart",
            'secret "none" not found',
        ),
        "exit": (service("exit", uri="configmap://broken"), "ContainerExited", "the weights are missing"),
        "program": (
            service("program", uri="configmap://program"),
            "BadLayout",
            'configmap://program has no "model.py", which backend: "python" loads',
        ),
        "slow": (
            service("slow", uri="configmap://slow", runtime={"loadTimeoutSeconds": 10}),
            "LoadTimeout",
            "the model was not loaded within 10 s and Triton was ended: raise spec.runtime.loadTimeoutSeconds",
        ),
        "litter": (
            service("litter", uri="configmap://litter", runtime=limited(**{"ephemeral-storage": "16Mi"})),
            "Evicted",
            "ephemeral local storage usage exceeds the total limit of containers 16Mi",
        ),
        "hungry": (
            service("hungry", uri="configmap://hungry", runtime=limited(memory="256Mi")),
            "OutOfMemory",
            "raise spec.runtime.resources.limits.memory",
        ),
    }
    namespace.apply(
        {"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "gpus"}, "spec": quota},
        {"apiVersion": "v1", "kind": "LimitRange", "metadata": {"name": "memory"}, "spec": limits},
        model("model"),
        model("broken", code=BROKEN),
        model("slow", code=SLOW),
        model("litter", code=LITTERING),
        model("hungry", code=HUNGRY_AT_LOAD),
        {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": "program"},
            "data": {"config.pbtxt": 'backend: "python"', "labels.txt": "cat"},
        },
        *(body for body, _, _ in broken.values()),
    )
    for name, (_, reason, words) in broken.items():
        namespace.failure(name, reason, words)
        namespace.warned(name, reason)
        assert words in condition(namespace, name, "Ready")["message"], name
        if name != "litter":
            namespace.apply(service(name, uri=good))  # it recovers while the others are waited for
    # Pods that a kubelet has given up do not pile up.
    namespace.until(lambda: len([p for p in namespace.pods("litter") if p["status"]["phase"] == "Failed"]) <= 1)
    namespace.apply(service("litter", uri=good))
    for name in broken:
        body = namespace.wait(name, "Ready")
        assert "lastFailure" not in body["status"], name


def condition(namespace: Namespace, name: str, type_: str) -> Json:
    conditions: list[Json] = namespace.get("tisvc", name)["status"]["conditions"]
    return next(c for c in conditions if c["type"] == type_)


def test_a_pod_whose_backend_has_died_or_ran_out_of_memory_is_replaced(
    namespace: Namespace, images: provider.Images
) -> None:
    namespace.start_caller(images.operator.by_content)
    namespace.apply(
        model("model"),
        model("hungry", code=HUNGRY_UNDER_TRAFFIC),
        service("killed", uri="configmap://model"),
        service("hungry", uri="configmap://hungry", runtime=limited(memory="256Mi")),
    )
    for name in ("killed", "hungry"):
        namespace.wait(name, "Ready")
        namespace.reach(name)
    pods = {name: namespace.pods(name)[0]["metadata"]["name"] for name in ("killed", "hungry")}
    # With cgroup v2 the kubelet has the kernel end all of a container; with v1 the process of the model dies alone.
    out_of_memory = OUT_OF_MEMORY if ends_as_one(namespace, pods["hungry"]) else BACKEND_DIED
    expected = {"killed": BACKEND_DIED, "hungry": out_of_memory}
    seen: dict[str, Json] = {}
    conditions: dict[str, Json] = {}

    def ask() -> None:
        # Triton 24.10 stays ready: only failed requests show that none is executed.
        namespace.call("killed", count=2)
        namespace.call("hungry", value=1, count=2)

    def told() -> bool:
        for name in expected:
            body = namespace.get("tisvc", name)
            if failure := body["status"].get("lastFailure"):
                seen.setdefault(name, failure)
            of_ready = next(c for c in body["status"]["conditions"] if c["type"] == "Ready")
            if of_ready["status"] != "True" and expected[name][0] in of_ready["message"]:
                conditions[name] = of_ready
        return seen.keys() == conditions.keys() == expected.keys()

    namespace.kubectl("exec", pods["killed"], "-c", "triton", "--", "python3", "-c", KILL_STUBS)
    namespace.call("hungry", value=99)
    with in_background(ask):
        namespace.until(told, seconds=150)
    for name, (reason, message, exit_code) in expected.items():
        failure = seen[name]
        assert (failure["reason"], failure["message"], failure.get("exitCode")) == (reason, message, exit_code), name
        assert failure["pod"] == pods[name]
        namespace.warned(name, reason)
        assert namespace.told(name, reason) == [message]
        assert f"0 of 1 pods of revision {failure['revision']} are ready; " in conditions[name]["message"]
        assert f"{reason}: {message}" in conditions[name]["message"]
        namespace.until(lambda name=name: ready(namespace, name))
        namespace.until(lambda name=name: not namespace.call(name, value=1)["failures"])
        assert "lastFailure" not in namespace.get("tisvc", name)["status"]
        # A container that was ended is started again in its pod; nobody but the operator ends a pod that seems well.
        replaced = pods[name] not in [pod["metadata"]["name"] for pod in namespace.pods(name)]
        assert replaced == (reason == "BackendDied"), name


def ends_as_one(namespace: Namespace, pod: str) -> bool:
    """Say whether the kernel ends all processes of a container that is out of memory."""
    program = "import os; print(os.path.exists('/sys/fs/cgroup/cgroup.controllers'))"
    return namespace.kubectl("exec", pod, "-c", "triton", "--", "python3", "-c", program).strip() == "True"


@pytest.mark.serial
@pytest.mark.needs(Ability.NODES)
def test_a_lost_node_is_told_its_pods_move_and_nothing_is_left_when_it_is_back(
    cluster: provider.Cluster, namespace: Namespace, images: provider.Images
) -> None:
    soon = [
        {"key": f"node.kubernetes.io/{state}", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 10}
        for state in ("not-ready", "unreachable")
    ]  # instead of 60 s
    soon.append({"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"})  # of the pool on paper
    namespace.apply(
        model("model"), service("adder", uri="configmap://model", replicas=2, runtime={"tolerations": soon})
    )
    namespace.wait("adder", "Ready")
    by_node = {pod["spec"]["nodeName"]: pod["metadata"]["name"] for pod in namespace.pods("adder")}
    assert len(by_node) == 2
    node = sorted(set(by_node) - operator_nodes(cluster) or by_node)[0]
    try:
        cluster.lose_node(node)
        namespace.failure("adder", "NodeLost", f"node {node} does not report any more", seconds=180)
        namespace.until(lambda: ready(namespace, "adder"), seconds=180)
        assert node not in {pod["spec"]["nodeName"] for pod in namespace.pods("adder")}
    finally:
        since = datetime.now(UTC)
        cluster.bring_back(node)
        wait_for_shared(cluster, node=node, since=since)
    selector = "serving.triton-operator.dev/service=adder"
    namespace.until(lambda: len(namespace.listed("pods", selector)) == 2)
    assert ready(namespace, "adder")


@pytest.mark.serial
@pytest.mark.needs(Ability.GPUS, Ability.NODES)
def test_pods_that_a_rebooted_node_refuses_are_told_of_and_collected(
    cluster: provider.Cluster, namespace: Namespace
) -> None:
    cluster.gpu_pool()
    namespace.apply(
        model("model", more="instance_group [ { kind: KIND_CPU } ]"),
        service("adder", uri="configmap://model", replicas=2, gpus=1),
    )
    namespace.wait("adder", "Ready")
    by_node = {pod["spec"]["nodeName"]: pod["metadata"]["name"] for pod in namespace.pods("adder")}
    assert len(by_node) == 2
    node = sorted(set(by_node) - operator_nodes(cluster) or by_node)[0]
    try:
        # The device plugin is not back yet when the kubelet admits its pods anew.
        without = json.dumps({"status": {"capacity": {"nvidia.com/gpu": "0"}}})
        cluster.kubectl("patch", "node", node, "--subresource=status", "--patch", without)
        since = datetime.now(UTC)
        cluster.lose_node(node)
        cluster.bring_back(node)
        words = "Node didn't have enough resource: nvidia.com/gpu, requested: 1"
        refused = namespace.failure("adder", "InsufficientGPU", words)
        assert refused["pod"] == by_node[node]
        namespace.until(lambda: ready(namespace, "adder"))
        assert by_node[node] not in [pod["metadata"]["name"] for pod in namespace.listed("pods")]
        wait_for_shared(cluster, node=node, since=since)
    finally:
        cluster.gpu_pool()


def operator_nodes(cluster: provider.Cluster) -> set[str]:
    """Nodes that a replica of the operator runs on."""
    pods = json.loads(
        cluster.kubectl("get", "pods", "--namespace=triton-operator-system", "--output=json", timeout_seconds=30)
    )["items"]
    return {pod["spec"].get("nodeName", "") for pod in pods}


@pytest.mark.needs(Ability.GPUS)
def test_gpus_of_pods_that_never_became_ready_are_free_within_seconds(
    cluster: provider.Cluster, namespace: Namespace
) -> None:
    cluster.gpu_pool()
    names = ("suspended", "deleted")
    namespace.apply(
        model("slow", code=SLOW, more="instance_group [ { kind: KIND_CPU } ]"),
        *(service(name, uri="configmap://slow", gpus=8) for name in names),
    )

    def loads(name: str) -> bool:
        pods = namespace.pods(name)
        return bool(pods) and all(_state(pod, "triton") == "running" for pod in pods)

    namespace.until(lambda: all(loads(name) for name in names))
    namespace.kubectl("patch", "tisvc/suspended", "--type=merge", "--patch", '{"spec": {"suspend": true}}')
    namespace.kubectl("delete", "tisvc/deleted")
    # 10 s to leave the Services; the grace period is 45 s, and Triton as process 1 would ignore SIGTERM.
    selector = f"serving.triton-operator.dev/service in ({', '.join(names)})"
    namespace.until(lambda: not namespace.listed("pods", selector), seconds=20)


@pytest.mark.needs(Ability.GPUS)
def test_an_update_on_a_full_pool_says_how_it_gets_on_and_then_does(
    cluster: provider.Cluster, namespace: Namespace, images: provider.Images
) -> None:
    cluster.gpu_pool()
    namespace.start_caller(images.operator.by_content)
    kind = "instance_group [ { kind: KIND_CPU } ]"
    namespace.apply(
        model("one", add=1, more=kind),
        model("two", add=2, more=kind),
        service("adder", uri="configmap://one", replicas=2, gpus=8),
    )
    before = namespace.wait("adder", "Ready")
    namespace.apply(service("adder", uri="configmap://two", version=2, replicas=2, gpus=8))
    namespace.failure("adder", "InsufficientGPU", "Insufficient nvidia.com/gpu")
    told = condition(namespace, "adder", "Ready")["message"]
    assert "rollout.maxSurgeGPUs: 0 updates pod by pod on the GPUs there are" in told
    assert namespace.get("tisvc", "adder")["status"]["stable"]["name"] == before["status"]["stable"]["name"]

    seen: list[int] = []
    namespace.kubectl("patch", "tisvc/adder", "--type=merge", "--patch", '{"spec": {"rollout": {"maxSurgeGPUs": 0}}}')

    def updated() -> bool:
        status = namespace.get("tisvc", "adder")["status"]
        seen.append(status["readyReplicas"])
        return ready(namespace, "adder") and status["stable"]["version"] == 2

    namespace.until(updated, seconds=180)
    assert min(seen) == 1  # one pod left before the next one came, and one always served
    namespace.reach("adder")
    assert namespace.call("adder", value=0) == {"http": [2], "grpc": [2], "failures": []}


def _state(pod: Json, container: str) -> str | None:
    statuses = pod.get("status", {}).get("containerStatuses", [])
    return next((key for s in statuses if s["name"] == container for key in s.get("state", {})), None)
