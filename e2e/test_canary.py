"""A new version gets its share of the requests through the Gateway, step by step, while it is judged."""

import json
import urllib.error
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from typing import Any

import pytest

from benchmarks.load import stream
from benchmarks.load.report import HEAD, Phase, told
from benchmarks.report import table
from cluster import gateway, prometheus, provider
from cluster.abilities import Ability
from cluster.forward import forwarded
from cluster.processes import CommandFailed
from diary import Diary
from stories import HOST, Json, Namespace, Tell, address, condition, model, routing, scale, service

RATES = {"grpc": 40, "http": 40}
STREAM_SECONDS = 100  # longer than pods take to end
STEPS: list[Json] = [
    {"setWeight": 10},
    {"pause": {"durationSeconds": 10}},
    {"setWeight": 50},
    {"pause": {"durationSeconds": 5}},
    {"setWeight": 100},
]
# Testers and copies come first; the copies take a pod of their own.
TESTERS = {"x-tester": "yes"}
TESTED: list[Json] = [
    {"setHeaderRoute": {"headers": [{"name": name, "value": value} for name, value in TESTERS.items()]}},
    {"setMirrorRoute": {"percent": 50}},
    *STEPS[:2],
    {"setMirrorRoute": {}},
    *STEPS[2:],
]
QUERY = """
sum(rate(envoy_cluster_upstream_rq_total{envoy_cluster_name=~"httproute/{{namespace}}/{{service}}/rule/.*"}[30s]))
"""
# Some 230 requests without an error are enough to pass: a story has no time for 4,700.
ERRORS: Json = {"floorPermille": 20}
SLOW: Json = {"thresholdMilliseconds": 50, "floorPermille": 50}
ANALYSIS: Json = {"intervalSeconds": 5, "errors": ERRORS, "slowRequests": SLOW}
CONTROL = gateway.CONTROL
KEYS: tuple[Json, ...] = (
    {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "api-keys"}, "stringData": {"somebody": "s3cr3t"}},
    {
        "apiVersion": "gateway.envoyproxy.io/v1alpha1",
        "kind": "SecurityPolicy",
        "metadata": {"name": "adder"},
        "spec": {
            "targetRefs": [{"group": "gateway.networking.k8s.io", "kind": "HTTPRoute", "name": "adder"}],
            "apiKeyAuth": {"credentialRefs": [{"name": "api-keys"}], "extractFrom": [{"headers": ["x-api-key"]}]},
        },
    },
)
MANUAL: list[Json] = [{"setWeight": 10}, {"pause": {}}, {"setWeight": 50}, {"pause": {}}]

ERRING = """
import random
import numpy as np
import triton_python_backend_utils as pb_utils

class TritonPythonModel:
    def execute(self, requests):
        return [self.answer(pb_utils.get_input_tensor_by_name(request, "X").as_numpy()) for request in requests]

    def answer(self, x):
        if random.random() < 0.05:
            return pb_utils.InferenceResponse(output_tensors=[], error=pb_utils.TritonError("no luck today"))
        return pb_utils.InferenceResponse([pb_utils.Tensor("Y", x + np.float32(3))])
"""
# One request in four takes longer than it may.
SLOW_AT_TIMES = """
import random, time
import numpy as np
import triton_python_backend_utils as pb_utils

class TritonPythonModel:
    def execute(self, requests):
        if random.random() < 0.25:
            time.sleep(0.06)
        inputs = [pb_utils.get_input_tensor_by_name(request, "X").as_numpy() for request in requests]
        return [pb_utils.InferenceResponse([pb_utils.Tensor("Y", x + np.float32(5))]) for x in inputs]
"""
# Triton dies after some requests, again and again.
CRASHING = """
import os, signal
import numpy as np
import triton_python_backend_utils as pb_utils

class TritonPythonModel:
    def initialize(self, args):
        self.left = 40

    def execute(self, requests):
        self.left -= len(requests)
        if self.left < 0:
            os.kill(os.getppid(), signal.SIGKILL)
        inputs = [pb_utils.get_input_tensor_by_name(request, "X").as_numpy() for request in requests]
        return [pb_utils.InferenceResponse([pb_utils.Tensor("Y", x + np.float32(4))]) for x in inputs]
"""


def canary(version: int, name: str, *, steps: list[Json] | None = None, grpc: str = "SameRoute", **more: Any) -> Json:
    """A service behind the Gateway whose new versions are rolled out as canaries."""
    analysis = more.pop("analysis", ANALYSIS)
    return service(
        "adder",
        uri=f"configmap://{name}",
        version=version,
        routing=routing(grpc=grpc),
        rollout={"strategy": "Canary", "steps": steps or STEPS, "analysis": analysis} | more,
    )


def status(namespace: Namespace) -> Json:
    body: Json = namespace.get("tisvc", "adder").get("status") or {}
    return body


def weight(namespace: Namespace) -> int:
    """The share of the requests that the canary gets, as status says."""
    return int((status(namespace).get("canary") or {}).get("weight", 0))


def settled(namespace: Namespace, version: int, *, seconds: int = 120) -> list[int]:
    """Wait until a version serves alone, and return the weights that it had on its way, without repetition."""
    seen = [0]

    def is_there() -> bool:
        now = status(namespace)
        share = 100 if now["stable"]["version"] == version else (now.get("canary") or {}).get("weight", 0)
        if share != seen[-1]:
            seen.append(share)
        return now["stable"]["version"] == version and condition({"status": now})["status"] == "True"

    namespace.until(is_there, seconds=seconds)
    return seen


@pytest.mark.serial
@pytest.mark.needs(Ability.GATEWAY, Ability.PROCESSES)
def test_versions_are_promoted_and_rolled_back_by_what_their_requests_show(
    cluster: provider.Cluster, namespace: Namespace, images: provider.Images, fresh_operator: None, tell: Tell
) -> None:
    namespace.apply(model("one", add=1), model("two", add=2), model("three", code=ERRING), model("four", code=CRASHING))
    namespace.apply(model("five", code=SLOW_AT_TIMES))
    namespace.apply(canary(1, "one"))
    namespace.wait("adder", "Ready")
    diary = Diary(namespace, "adder", images.operator.by_content, RATES, host=HOST, via=address(cluster))

    with diary.phase("a healthy version, the operator killed in each step"):
        requests = {"name": "requests", "query": QUERY, "success": {"min": 1}}
        namespace.apply(canary(2, "two", steps=TESTED, analysis=ANALYSIS | {"metrics": [requests]}))
        namespace.until(lambda: len(namespace.pods("adder")) == 2)  # still without a request
        diary.kill_operator()
        namespace.until(lambda: weight(namespace) == 10)
        judging = status(namespace)["canary"]["name"]
        assert {revision for _, revision in asked(cluster, TESTERS, times=6)} == {judging}
        diary.kill_operator()
        namespace.until(lambda: weight(namespace) == 50)
        judged = {pod["metadata"]["uid"] for pod in namespace.pods("adder")}
        diary.kill_operator()
        seen = settled(namespace, 2)
        assert seen == sorted(seen)
        assert namespace.uids("adder") < judged  # promotion starts no pod
        second = status(namespace)["stable"]["name"]

    with diary.phase("a version that fails one request in twenty"):
        namespace.apply(canary(3, "three"))
        namespace.wait("adder", "CanaryFailed")
        failed = status(namespace)
        assert failed["stable"]["name"] == second
        assert failed["rejected"]["reason"] == "CanaryFailed"
        assert condition({"status": failed}, "Available")["status"] == "True"
        namespace.until(lambda: len(namespace.pods("adder")) == 1)
        assert weight(namespace) == 0

    with diary.phase("a version that crashes"):
        namespace.apply(canary(4, "four"))
        namespace.until(lambda: weight(namespace) == 10)
        namespace.until(lambda: weight(namespace) == 0)
        assert condition(namespace.get("tisvc", "adder"), "Available")["status"] == "True"
        namespace.apply(canary(5, "five"))  # until that is looked at, version 4 is tried again whenever it is ready
        namespace.until(lambda: (status(namespace).get("canary") or {}).get("version") == 5)

    with diary.phase("a version that is slow at times"):
        namespace.until(lambda: status(namespace).get("rejected", {}).get("version") == 5)
        rejected = status(namespace)["rejected"]
        assert rejected["reason"] == "CanaryFailed"
        assert "requests took longer than 50 ms" in rejected["message"]
        namespace.until(lambda: len(namespace.pods("adder")) == 1)
        assert status(namespace)["stable"]["name"] == second

    with diary.phase("back to what serves"):
        namespace.apply(canary(2, "two"))
        namespace.wait("adder", "Ready")
        diary.answered(RATES, count=20)

    found = diary.stop()
    tell("\n".join([table(HEAD, found.rows(diary.phases)), *map(told, found.failures)]))
    erred = [failure for failure in found.failures if "no luck today" in failure.words]
    assert erred, "version 3 has failed no request"
    tried = Phase("", diary.phases[1].begin, diary.phases[1].end + 3)
    assert all(tried.begin <= failure.due <= tried.end for failure in erred)
    # It fails one in twenty of a tenth of the requests; four times that is more than chance.
    assert len(erred) <= 4 * 0.05 * 0.1 * sum(found.sum(client, tried).outcomes.total() for client in RATES)
    crashed = Phase("", diary.phases[2].begin, diary.phases[2].end + 3)  # until its last crash is noticed
    unexplained = [
        failure for failure in found.failures
        if failure not in erred and not crashed.begin <= failure.due <= crashed.end
    ]  # fmt: skip
    assert not unexplained, diary.explain(found, list(RATES))
    # While version 4 is tried it gets a tenth of the requests, and a few of those die with it.
    during = [
        failure for failure in found.failures if failure not in erred and crashed.begin <= failure.due <= crashed.end
    ]
    assert len(during) <= 0.1 * sum(found.sum(client, crashed).outcomes.total() for client in RATES)


@pytest.mark.serial
@pytest.mark.needs(Ability.GATEWAY)
def test_a_person_leads_the_canary_and_silence_promotes_nothing(
    cluster: provider.Cluster, namespace: Namespace, images: provider.Images, tell: Tell
) -> None:
    namespace.apply(model("one", add=1), model("two", add=2), model("three", add=3))
    apart = partial(canary, grpc="GRPCRoute")  # Envoy Gateway takes both routes on one host name
    # Another service on the same host name, below a path of its own.
    shut = [{"name": gateway.NAME, "namespace": gateway.NAMESPACE, "sectionName": "absent"}]
    other = partial(service, "other", uri="configmap://three", version=3)
    namespace.apply(apart(1, "one", steps=MANUAL), other(routing=routing(pathPrefix="/team/other", parentRefs=shut)))
    first = namespace.wait("adder", "Ready")["status"]["stable"]["name"]
    namespace.wait("adder", "TrafficVerified")
    namespace.until(lambda: "NoMatchingParent" in condition(namespace.get("tisvc", "other"))["message"])
    namespace.apply(other(routing=routing(pathPrefix="/team/other")))
    namespace.wait("other", "TrafficVerified")
    assert asked(cluster, path="/team/other") == {(200, "other")}
    assert asked(cluster) == {(200, first)}
    namespace.kubectl("delete", "tisvc/other")
    assert "Gateway" in namespace.triton("doctor")  # which ends with an error where something is wrong

    # What is attached to the route holds for the service, whichever revision serves.
    namespace.apply(*KEYS)
    namespace.until(lambda: code(cluster) == 401)
    assert code(cluster, {"x-api-key": "s3cr3t"}) == 200
    namespace.kubectl("delete", "securitypolicy/adder")
    namespace.until(lambda: code(cluster) == 200)

    # No requests: nothing is known, so nothing is promoted and nothing rolled back.
    silent = {"intervalSeconds": 5, "maxDurationSeconds": 60, "errors": ERRORS}
    namespace.apply(apart(2, "two", steps=[TESTED[0], {"setWeight": 10}], analysis=silent))
    namespace.wait("adder", "CanaryPaused")
    paused = status(namespace)
    assert condition({"status": paused}, "CanaryPaused")["reason"] == "Inconclusive"
    assert condition({"status": paused}, "Stalled")["status"] == "False"
    assert (paused["canary"]["weight"], paused["stable"]["version"]) == (10, 1)
    second = paused["canary"]["name"]
    # A call that is open when it is rolled back goes on with its pod, and ends with that; others go to what serves.
    namespace.start_caller(images.operator.by_content)
    with streaming(namespace, address(cluster), TESTERS) as came:
        namespace.triton("abort", "adder")
        namespace.until(lambda: condition(namespace.get("tisvc", "adder"))["reason"] == "Aborted")
        assert asked(cluster, TESTERS) == {(200, first)}
    tell(f"the stream that was open at the rollback: {came}")
    assert came["versions"].keys() == {"2"}
    assert came["error"] or came["end"]
    assert 0 < came["seconds"] < STREAM_SECONDS
    namespace.until(lambda: len(namespace.pods("adder")) == 1)

    diary = Diary(namespace, "adder", images.operator.by_content, RATES, host=HOST, via=address(cluster))
    with diary.phase("step by step"):
        namespace.apply(apart(2, "two", steps=MANUAL))
        namespace.triton("retry", "adder")
        namespace.until(lambda: weight(namespace) == 10)
        namespace.wait("adder", "CanaryPaused")
        with pytest.raises(CommandFailed, match="ended with 4"):  # a person is waited for
            namespace.triton("status", "adder", "--watch")
        assert "of requests go to" in namespace.triton("explain", "adder")
        # A person's edit of the weights is put back.
        patch = [{"op": "replace", "path": "/spec/rules/0/backendRefs/0/weight", "value": 1}]
        for kind in ("httproute", "grpcroute"):
            namespace.kubectl("patch", f"{kind}/adder", "--type=json", f"--patch={json.dumps(patch)}")
        namespace.until(lambda: weights(namespace) == weights(namespace, "grpcroute") == {first: 90, second: 10})
        # While nobody takes weights over, what is there serves on.
        scale(cluster, f"deployment/{CONTROL}", gateway.SYSTEM, 0)
        assert f"promote of {second} is taken" in namespace.triton("promote", "adder")
        namespace.until(lambda: weights(namespace) == {first: 50, second: 50})
        told = condition(namespace.get("tisvc", "adder"), "TrafficVerified")
        assert (told["status"], told["reason"]) == ("False", "RouteNotAccepted")
        scale(cluster, f"deployment/{CONTROL}", gateway.SYSTEM, 1)
        namespace.wait("adder", "TrafficVerified")
        assert weight(namespace) == 50
        # Without Prometheus nothing is promoted either.
        scale(cluster, f"deployment/{prometheus.NAME}", prometheus.NAMESPACE, 0)
        namespace.until(lambda: "nothing was counted since" in condition(namespace.get("tisvc", "adder"))["message"])
        namespace.triton("promote", "adder")
        namespace.until(lambda: status(namespace)["rollout"]["step"] == 4)
        assert status(namespace)["stable"]["version"] == 1
        scale(cluster, f"deployment/{prometheus.NAME}", prometheus.NAMESPACE, 1)
        settled(namespace, 2)
    with diary.phase("all at once, and back"):
        namespace.apply(apart(3, "three", steps=MANUAL))
        namespace.until(lambda: weight(namespace) == 10)
        namespace.triton("promote-full", "adder")
        settled(namespace, 3)
        namespace.triton("undo", "adder")
        namespace.until(lambda: weight(namespace) == 10)  # the way back is a canary too
        namespace.triton("promote-full", "adder")
        namespace.until(lambda: status(namespace)["stable"]["version"] == 2)
        namespace.until(lambda: len(namespace.pods("adder")) == 1)
    found = diary.stop()
    assert not found.failures, diary.explain(found, list(RATES))

    # Deleted in the midst of a canary it leaves nothing.
    namespace.apply(apart(1, "one", steps=MANUAL))
    namespace.until(lambda: weight(namespace) == 10)
    namespace.kubectl("delete", "tisvc/adder")
    kinds = ("httproutes", "grpcroutes", "deployments", "services", "controllerrevisions", "podmonitors")
    namespace.until(lambda: not any(namespace.listed(kind) for kind in kinds))


@contextmanager
def streaming(namespace: Namespace, via: str, headers: dict[str, str]) -> Iterator[Json]:
    """Keep one gRPC stream open through the Gateway; what came back by it is there at the end."""
    came: Json = {}
    order = {"host": HOST, "via": via, "headers": headers, "seconds": STREAM_SECONDS}
    words = ("exec", "caller", "--", "python", "-m", "load.stream", json.dumps(order))

    def follow() -> None:
        came.update(json.loads(namespace.kubectl(*words)))

    def is_open() -> str:
        return namespace.kubectl("exec", "caller", "--", "sh", "-c", f"ls {stream.OPEN} || true")

    with ThreadPoolExecutor() as pool:
        following = pool.submit(follow)
        namespace.until(is_open, seconds=30)
        yield came
        following.result()


def weights(namespace: Namespace, kind: str = "httproute") -> dict[str, int]:
    """The weights in a route."""
    backends = namespace.get(kind, "adder")["spec"]["rules"][0]["backendRefs"]
    return {backend["name"]: backend["weight"] for backend in backends}


def asked(
    cluster: provider.Cluster, headers: dict[str, str] | None = None, *, path: str = "", times: int = 1
) -> set[tuple[int, str | None]]:
    """The statuses of inferences through the Gateway, and the revisions that answered."""
    tensor = {"name": "X", "shape": [1, 1], "datatype": "FP32", "data": [1]}
    body = json.dumps({"inputs": [tensor]}).encode()
    target = cluster.tools / "kubectl", cluster.environment(), f"service/{gateway.service_of(cluster.kubectl)}"
    found: set[tuple[int, str | None]] = set()
    with forwarded(*target, 80, namespace=gateway.SYSTEM) as ports:
        (port,) = ports.values()
        url = f"http://127.0.0.1:{port}{path}/v2/models/adder/infer"
        request = urllib.request.Request(url, data=body, headers={"Host": HOST} | (headers or {}))
        for _ in range(times):
            try:
                with urllib.request.urlopen(request, timeout=10) as answer:
                    found.add((answer.status, answer.headers["x-triton-revision"]))
            except urllib.error.HTTPError as error:
                found.add((error.code, None))
    return found


def code(cluster: provider.Cluster, headers: dict[str, str] | None = None) -> int:
    """The status of one inference through the Gateway."""
    ((status, _),) = asked(cluster, headers)
    return status
