"""What the stories are told with: a namespace as a user sees it, waiting, a caller inside the cluster."""

import json
import os
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import yaml

from api import Api
from benchmarks.load import manifests
from cluster import gateway, prometheus
from cluster.images import Images
from cluster.processes import CommandFailed, run
from cluster.provider import Cluster
from demo.__main__ import image_values

Json = dict[str, Any]
Tell = Callable[[str], None]

ROOT = Path(__file__).parent.parent
CHART = ROOT / "charts" / "triton-operator"
SYSTEM = "triton-operator-system"
HOST = "adder.example.com"
"""The host name by which the Gateway knows the service of a story."""
SHARED = (SYSTEM, gateway.SYSTEM, prometheus.NAMESPACE)
"""Namespaces of what all stories use."""
SECONDS = 120  # pods are ready in 10 s here; a story that needs this long has failed

BREATH_SECONDS = 0.1

SLEEP = "import time; time.sleep(86400)"

GOOD = """
import numpy as np
import triton_python_backend_utils as pb_utils

class TritonPythonModel:
    def execute(self, requests):
        inputs = [pb_utils.get_input_tensor_by_name(request, "X").as_numpy() for request in requests]
        return [pb_utils.InferenceResponse([pb_utils.Tensor("Y", x + np.float32({add}))]) for x in inputs]
"""
BROKEN = "raise RuntimeError('the weights are missing')\n"
HUNGRY_AT_LOAD = """
class TritonPythonModel:
    def initialize(self, args):
        self.weights = [bytearray(b"x" * (1 << 20)) for _ in range(1 << 20)]

    def execute(self, requests):
        return []
"""
# Triton dies of one certain request.
DYING = """
import os, signal
import numpy as np
import triton_python_backend_utils as pb_utils

class TritonPythonModel:
    def execute(self, requests):
        inputs = [pb_utils.get_input_tensor_by_name(request, "X").as_numpy() for request in requests]
        if any((x == 99).any() for x in inputs):
            os.kill(os.getppid(), signal.SIGKILL)
        return [pb_utils.InferenceResponse([pb_utils.Tensor("Y", x + np.float32(9))]) for x in inputs]
"""
CONFIG = """
backend: "python"
max_batch_size: 8
input [ {{ name: "X", data_type: TYPE_FP32, dims: [ {size} ] }} ]
output [ {{ name: "Y", data_type: TYPE_FP32, dims: [ {size} ] }} ]
{more}
"""


def chart_values(operator: str, triton: str) -> list[str]:
    """Values of the chart for the tests: our images, and fast hand-over."""
    return [*image_values(operator, triton), "--set", "log.level=debug", "--set", f"prometheus.url={prometheus.URL}"]


def install(cluster: Cluster, images: Images) -> None:
    """Install the operator, or bring it to the state of this checkout."""
    # Helm takes nothing up that was broken off in its midst.
    for release in helm(cluster, "list", "--pending", "--short", "--namespace", SYSTEM).split():
        helm(cluster, "uninstall", release, "--namespace", SYSTEM, "--wait")
    helm(cluster, "upgrade", "--install", "triton-operator", CHART, "--namespace", SYSTEM, "--create-namespace",
         "--take-ownership", "--force-conflicts", "--wait", "--timeout", "120s",
         *chart_values(images.operator.by_content, images.triton.by_content))  # fmt: skip


def restart(cluster: Cluster) -> None:
    """Let new pods of the operator replace those there are."""
    deployment = ("deployment/triton-operator", f"--namespace={SYSTEM}")
    cluster.kubectl("rollout", "restart", *deployment)
    cluster.kubectl("rollout", "status", *deployment, "--timeout=90s", timeout_seconds=100)


def operators(cluster: Cluster) -> list[Json]:
    """List the operator's pods that are not going away."""
    words = ("get", "pods", f"--namespace={SYSTEM}", "--selector=app.kubernetes.io/name=triton-operator")
    listed: list[Json] = json.loads(cluster.kubectl(*words, "--output=json"))["items"]
    return [pod for pod in listed if "deletionTimestamp" not in pod["metadata"]]


def kill(cluster: Cluster, pod: Json, container: str) -> None:
    """End a container of a pod by SIGKILL; its kubelet starts it again."""
    identity = next(s["containerID"] for s in pod["status"]["containerStatuses"] if s["name"] == container)
    cluster.kill(node=pod["spec"]["nodeName"], container=identity)


def restarts(pod: Json) -> int:
    """How often containers of a pod were started again."""
    return sum(status["restartCount"] for status in pod["status"].get("containerStatuses", ()))


def wait_for_shared(cluster: Cluster, *, node: str, since: datetime) -> None:
    """Wait until what stories share runs anew on a node that was ended at that time or later, or runs elsewhere."""

    def runs(pod: Json) -> bool:
        status = pod["status"]
        if status["phase"] == "Succeeded":
            return True
        here = pod["spec"].get("nodeName") == node
        containers = [each for each in status.get("containerStatuses", ()) if each["ready"]]
        begun = [datetime.fromisoformat(each["state"]["running"]["startedAt"]) for each in containers]
        ready = len(containers) == len(pod["spec"]["containers"])
        is_old = here and bool(begun) and min(begun) < since.replace(microsecond=0)
        return ready and "deletionTimestamp" not in pod["metadata"] and not is_old

    def all_run() -> bool:
        listed = (cluster.kubectl("get", "pods", f"--namespace={name}", "--output=json") for name in SHARED)
        return all(runs(pod) for found in listed for pod in json.loads(found)["items"])

    wait_until(all_run, SECONDS)


def helm(cluster: Cluster, *words: str | Path) -> str:
    """Run helm against the cluster."""
    return run([cluster.tools / "helm", *words], environment=cluster.environment(), timeout_seconds=180)


class Namespace:
    """A namespace, as a user works in it."""

    def __init__(self, cluster: Cluster, api: Api, name: str) -> None:
        self.cluster = cluster
        self.name = name
        self._api = api
        self._callers: list[subprocess.Popen[str]] = []  # that have nothing to do

    def kubectl(self, *words: str, stdin: bytes | None = None) -> str:
        """Run kubectl in this namespace."""
        return self.cluster.kubectl(f"--namespace={self.name}", *words, stdin=stdin)

    def triton(self, *words: str) -> str:
        """Run `kubectl triton` in this namespace, and return what it says."""
        environment = self.cluster.environment()
        plugins = f"{Path(sys.executable).parent}:{environment.get('PATH') or os.environ['PATH']}"
        command = [self.cluster.tools / "kubectl", "triton", *words, f"--namespace={self.name}"]
        return run(command, environment=environment | {"PATH": plugins}, timeout_seconds=120)

    def apply(self, *objects: Json) -> None:
        """Apply objects, as `kubectl apply -f` does."""
        self.kubectl("apply", "-f", "-", stdin=yaml.safe_dump_all(objects).encode())

    def get(self, kind: str, name: str) -> Json:
        """Read one object."""
        return self._api.get(kind, name, namespace=self.name)

    def listed(self, kind: str, selector: str = "") -> list[Json]:
        """List objects."""
        return self._api.list(kind, namespace=self.name, selector=selector)

    def cluster_deployments(self, namespace: str) -> list[Json]:
        """List the Deployments of another namespace."""
        return self._api.list("deployments", namespace=namespace)

    def pods(self, service: str) -> list[Json]:
        """List the pods of a service that are not going away."""
        listed = self.listed("pods", f"serving.triton-operator.dev/service={service}")
        return [pod for pod in listed if "deletionTimestamp" not in pod["metadata"]]

    def uids(self, service: str) -> set[str]:
        """The uids of a service's pods that are not going away."""
        return {pod["metadata"]["uid"] for pod in self.pods(service)}

    def act(self, service: str, action: str, on: str) -> None:
        """Ask for an action by its annotation; `on` is REVISION/ID."""
        self.kubectl("annotate", "--overwrite", f"tisvc/{service}", f"serving.triton-operator.dev/{action}={on}")

    def told(self, service: str, reason: str) -> list[str]:
        """What the events about a service say, oldest first."""
        events = self._events(service, reason)
        return [event["message"] for event in sorted(events, key=lambda event: event["metadata"]["creationTimestamp"])]

    def warned(self, service: str, reason: str) -> None:
        """Wait for a warning about a service: it is written just after the status that it is about."""
        self.until(lambda: any(event["type"] == "Warning" for event in self._events(service, reason)), seconds=30)

    def wait(self, name: str, condition: str, seconds: int = SECONDS) -> Json:
        """Wait for a condition of a service, such as Ready or Stalled, with `kubectl wait` as users do."""
        try:
            self.kubectl("wait", f"tisvc/{name}", f"--for=condition={condition}", f"--timeout={seconds}s")
        except CommandFailed as error:
            raise AssertionError(f"{error}\n{json.dumps(self.get('tisvc', name)['status'], indent=1)}") from error
        return self.get("tisvc", name)

    def failure(self, name: str, reason: str, words: str, seconds: int = SECONDS) -> Json:
        """Wait until a service tells of a failure in these words, and return it."""
        found: Json = {}

        def told() -> bool:
            # Between two runs a kubelet may have no log: the cause is then told after the next one.
            found.update(self.get("tisvc", name).get("status", {}).get("lastFailure") or {})
            return found.get("reason") == reason and words in found["message"]

        try:
            self.until(told, seconds)
        except AssertionError as error:
            raise AssertionError(f"{name}: wanted {reason}: {words}; last told: {json.dumps(found)}") from error
        return found

    def until(self, what: Callable[[], Any], seconds: int = SECONDS) -> Any:
        """Wait until something holds, and return it."""
        return wait_until(what, seconds)

    def start_caller(self, image: str) -> None:
        """Start a pod from which services are called through their DNS names, as an application does."""
        self.apply(manifests.program(), manifests.pod("caller", image, ["python", "-c", SLEEP]))
        self.kubectl("wait", "pod/caller", "--for=condition=Ready", "--timeout=60s")

    def reach(self, service: str, **order: Any) -> None:
        """Wait until calls arrive: a node's proxy learns of a ready pod up to a second after the API does."""
        self.until(lambda: not self.call(service, **order)["failures"], seconds=15)

    def call(self, service: str, **order: Any) -> Json:
        """Call a service from inside the cluster, over HTTP and gRPC; see benchmarks/load/call.py."""
        host = f"{service}.{order.pop('namespace', self.name)}.svc.cluster.local"
        caller = self._callers.pop() if self._callers else self._start_call()
        assert caller.stdin
        assert caller.stdout
        caller.stdin.write(json.dumps({"host": host} | order) + "\n")
        caller.stdin.flush()
        line = caller.stdout.readline()
        assert line, f"the caller has ended with {caller.wait()}"
        answer: Json = json.loads(line)
        self._callers.append(caller)
        return answer

    def close(self) -> None:
        """Let nobody call any more."""
        for caller in self._callers:
            caller.terminate()
            caller.wait()

    def _events(self, service: str, reason: str) -> list[Json]:
        fields = f"involvedObject.name={service},reason={reason}"
        return self._api.list("events", namespace=self.name, fields=fields)

    def _start_call(self) -> "subprocess.Popen[str]":
        words = ("exec", "--stdin", "caller", f"--namespace={self.name}", "--", "python", "-m", "load.call")
        environment = {**os.environ, **self.cluster.environment()}
        command = [str(self.cluster.tools / "kubectl"), *words]
        return subprocess.Popen(command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    @contextmanager
    def answers(self, service: str, *, value: float) -> Iterator["Counter[float | str]"]:
        """Call a service all the time; count what comes back, and "failures"."""
        seen: Counter[float | str] = Counter()

        def call() -> None:
            answer = self.call(service, value=value, count=10)
            seen.update(answer["http"] + answer["grpc"])
            seen["failures"] += len(answer["failures"])

        with in_background(call):
            yield seen


def wait_until(what: Callable[[], Any], seconds: int) -> Any:
    """Wait until something holds, and return it."""
    deadline = time.monotonic() + seconds
    while not (held := what()):
        assert time.monotonic() < deadline, f"not so within {seconds} s: {what}"
        time.sleep(0.3)
    return held


@contextmanager
def in_background(what: Callable[[], object]) -> Iterator[None]:
    """Do something again and again."""
    over = threading.Event()
    failed: list[Exception] = []

    def repeat() -> None:
        try:
            while not over.wait(BREATH_SECONDS):
                what()
        except Exception as error:
            failed.append(error)

    thread = threading.Thread(target=repeat)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
    if failed:
        raise failed[0]


def condition(body: Json, type_: str = "Ready") -> Json:
    """A condition of a service."""
    conditions: list[Json] = body["status"]["conditions"]
    return next(c for c in conditions if c["type"] == type_)


def limited(**limits: str) -> Json:
    return {"resources": {"requests": {"cpu": "20m", "memory": "64Mi"}, "limits": limits}, "sharedMemory": "32Mi"}


def model(name: str, *, add: int = 1, size: int = 1, code: str | None = None, more: str = "") -> Json:
    """A ConfigMap with a model that adds a number to each of `size`."""
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": name},
        "data": {"config.pbtxt": CONFIG.format(size=size, more=more), "model.py": code or GOOD.format(add=add)},
    }


def service(
    name: str,
    *,
    uri: str,
    version: int | None = 1,
    replicas: int = 1,
    gpus: int = 0,
    credentials: str | None = None,
    **more: Any,
) -> Json:
    """An InferenceService of a small model."""
    chosen = {"version": version, "credentials": {"secretName": credentials} if credentials else None}
    runtime = {"resources": {"requests": {"cpu": "20m", "memory": "128Mi"}}, "sharedMemory": "32Mi"}
    return {
        "apiVersion": "serving.triton-operator.dev/v1alpha1",
        "kind": "InferenceService",
        "metadata": {"name": name},
        "spec": {
            "model": {"name": "adder", "uri": uri} | {key: value for key, value in chosen.items() if value},
            "gpu": {"count": gpus},
            "replicas": replicas,
            "runtime": runtime | more.pop("runtime", {}),
        }
        | more,
    }


def routing(**more: Any) -> Json:
    """How requests arrive through the Gateway."""
    parents = [{"name": gateway.NAME, "namespace": gateway.NAMESPACE}]
    return {"gateway": {"parentRefs": parents, "hostnames": [HOST]} | more}


def address(cluster: Cluster) -> str:
    """Where the Gateway answers inside the cluster."""
    return f"{gateway.service_of(cluster.kubectl)}.{gateway.SYSTEM}.svc.cluster.local:80"


def scale(cluster: Cluster, deployment: str, namespace: str, replicas: int) -> None:
    """Let what others run go away, or come back."""
    space = f"--namespace={namespace}"
    cluster.kubectl("scale", deployment, space, f"--replicas={replicas}")
    cluster.kubectl("rollout", "status", deployment, space, "--timeout=60s")
