"""Versions, replicas, nodes and the operator come and go under a constant load: no request is lost."""

import json

import pytest

from benchmarks.load.report import HEAD, told
from benchmarks.report import table
from cluster import provider
from cluster.abilities import Ability
from diary import Diary
from stories import Json, Namespace, Tell, condition, model, service

# Requests per second by kind of client; five connections each.
RATES = {"grpc": 20, "grpc-balancing": 20, "http-reopening": 20, "http-aging": 20, "http": 20}
# Who loses none. A plain HTTP client that does not open a dead connection anew may lose what it sends as it dies.
PROMISED = ("grpc", "grpc-balancing", "http-reopening", "http-aging")
STEADY = 300  # requests of each kind of client, before anything happens
SETTLED = 25  # … between two things that happen

# Slow enough that there is always a request in flight, and it says which pod has answered.
MODEL = """
import socket, time
import numpy as np
import triton_python_backend_utils as pb_utils

class TritonPythonModel:
    def execute(self, requests):
        time.sleep(0.02)
        return [self.answer(pb_utils.get_input_tensor_by_name(request, "X").as_numpy()) for request in requests]

    def answer(self, x):
        pod = np.full(x.shape, socket.gethostname(), dtype=np.object_)
        return pb_utils.InferenceResponse([pb_utils.Tensor("Y", x), pb_utils.Tensor("POD", pod)])
"""
MORE = """
output [ { name: "POD", data_type: TYPE_STRING, dims: [ 1 ] } ]
dynamic_batching {}
instance_group [ { kind: KIND_CPU } ]
"""


@pytest.mark.serial
@pytest.mark.needs(Ability.GPUS, Ability.PROCESSES)
def test_no_request_is_lost_while_versions_replicas_nodes_and_the_operator_come_and_go(
    cluster: provider.Cluster, namespace: Namespace, images: provider.Images, fresh_operator: None, tell: Tell
) -> None:
    cluster.gpu_pool()
    namespace.apply(*(model(f"v{version}", code=MODEL, more=MORE) for version in (1, 2, 3)), of_version(1))
    namespace.wait("adder", "Ready")
    namespace.start_caller(images.operator.by_content)
    namespace.reach("adder")
    diary = Diary(namespace, "adder", images.operator.by_content, RATES)

    with diary.phase("steady"):
        diary.answered(RATES, count=STEADY)
    with diary.phase("version 1 to 2, the operator killed twice"):
        namespace.apply(of_version(2))
        namespace.until(lambda: len(namespace.listed("deployments")) == 2)
        diary.kill_operator()  # it has just begun
        namespace.until(lambda: any(is_ready(pod) for pod in namespace.pods("adder") if version_of(pod) == 2))
        diary.kill_operator()  # both versions serve
        second = settle(namespace, diary, version=2)
    with diary.phase("version 2 to 3, the operator killed once"):
        namespace.apply(of_version(3))
        namespace.until(lambda: any(version_of(pod) == 2 for pod in leaving(namespace)))
        diary.kill_operator()  # the old version is on its way out
        settle(namespace, diary, version=3)
    with diary.phase("back to version 2"):
        namespace.act("adder", "undo", f"{second}/1")
        assert settle(namespace, diary, version=2) == second
    with diary.phase("2 replicas to 4, to 1, to 4"):
        for replicas in (4, 1, 4):
            namespace.kubectl("scale", "tisvc/adder", f"--replicas={replicas}")
            namespace.until(lambda wanted=replicas: is_settled(namespace, version=2, replicas=wanted))
            diary.answered(RATES, count=SETTLED)
    with diary.phase("drain of a worker"):
        drain(cluster, sorted(pod["spec"]["nodeName"] for pod in namespace.pods("adder"))[0])
        namespace.until(lambda: is_settled(namespace, version=2, replicas=4))
        diary.answered(RATES, count=SETTLED)
    with diary.phase("the last pods end"):
        namespace.until(lambda: not leaving(namespace))

    found = diary.stop()
    tell("\n".join([table(HEAD, found.rows(diary.phases)), *map(told, found.failures)]))
    totals = {client: found.sum(client) for client in RATES}
    assert [gap for phase in diary.phases for gap in found.gaps(phase)] == []
    for client, total in totals.items():
        assert set(total.versions) == {"1", "2", "3"}, client
    lost = [client for client in PROMISED if set(totals[client].outcomes) != {"answered"}]
    assert not lost, diary.explain(found, lost)
    # Those that are not promised fail in no other way than by the end of a connection that had been used before.
    others = [failure for failure in found.failures if failure.client == "http"]
    odd = [failure for failure in others if failure.kind != "reset" or not failure.reused]
    assert not odd, diary.explain(found, ["http"])
    assert set(totals["http"].outcomes) <= {"answered", "reset"}


def of_version(version: int) -> Json:
    """The service: two replicas, all of which may be replaced at once."""
    rollout = {"maxSurgeGPUs": 2}
    return service("adder", uri=f"configmap://v{version}", version=version, replicas=2, gpus=1, rollout=rollout)


def settle(namespace: Namespace, diary: Diary, *, version: int) -> str:
    """Wait until a version serves alone, and some more requests were answered; returns its revision's name."""
    namespace.until(lambda: is_settled(namespace, version=version, replicas=2))
    diary.answered(RATES, count=SETTLED)
    name: str = namespace.get("tisvc", "adder")["status"]["stable"]["name"]
    return name


def is_settled(namespace: Namespace, *, version: int, replicas: int) -> bool:
    body = namespace.get("tisvc", "adder")
    status = body["status"]
    # After an undo Ready is False, with this reason, until the spec changes.
    at_rest = condition(body)["status"] == "True" or condition(body)["reason"] == "Undone"
    current = status["observedGeneration"] == body["metadata"]["generation"]
    alone = status.get("stable", {}).get("version") == version and "canary" not in status
    ready = status["readyReplicas"] == len(namespace.pods("adder")) == replicas
    return at_rest and current and alone and ready


def drain(cluster: provider.Cluster, node: str) -> None:
    """Drain a node of the service's pods, by evictions that their budget allows, and let it be used again."""
    try:
        cluster.kubectl(
            "drain", node, "--pod-selector=serving.triton-operator.dev/service=adder", "--ignore-daemonsets",
            "--delete-emptydir-data", "--timeout=150s", timeout_seconds=180,
        )  # fmt: skip
    finally:
        cluster.kubectl("uncordon", node)


def leaving(namespace: Namespace) -> list[Json]:
    listed = namespace.listed("pods", "serving.triton-operator.dev/service=adder")
    return [pod for pod in listed if "deletionTimestamp" in pod["metadata"]]


def is_ready(pod: Json) -> bool:
    return any(c["type"] == "Ready" and c["status"] == "True" for c in pod["status"].get("conditions", []))


def version_of(pod: Json) -> int:
    """The model version that a pod was made for."""
    (prepare,) = pod["spec"]["initContainers"]
    order = next(variable["value"] for variable in prepare["env"] if variable["name"] == "TRITON_OPERATOR_PREPARE")
    version: int = json.loads(order)["models"][0]["version"]
    return version
