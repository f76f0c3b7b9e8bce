"""The second act of the demo: new versions as canaries under load through a Gateway, one promoted, one rolled back.

Not for: tests; see e2e/.
"""

import http.client
import json
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
import yaml
from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text
from tritonclient.grpc import service_pb2, service_pb2_grpc

from cluster import gateway
from cluster.forward import forwarded
from cluster.processes import ClusterError
from cluster.provider import Cluster

Json = dict[str, Any]

ROOT = Path(__file__).parent.parent
EXAMPLE = ROOT / "examples" / "canary" / "inferenceservice.yaml"
SERVICE, HOST, MODEL = "digits", "digits.example.com", "digits"
RATE = 30.0  # requests a second of each client
SECONDS = 240
AFTERWARDS = 4.0  # seconds for which the end is shown
# As in the example, but shorter, and content with fewer requests: 300 without an error pass.
ROLLOUT: Json = {
    "strategy": "Canary",
    "steps": [
        {"setWeight": 10},
        {"pause": {"durationSeconds": 10}},
        {"setWeight": 50},
        {"pause": {"durationSeconds": 10}},
    ],
    "analysis": {"intervalSeconds": 5, "errors": {"floorPermille": 20}},
}
# What a bad day may bring: one answer in ten is an error.
FAULT = """
import random

_execute = TritonPythonModel.execute

def _execute_at_times(self, requests):
    fault = pb_utils.InferenceResponse(error=pb_utils.TritonError("a fault of version 3"))
    return [fault if random.random() < 0.1 else answer for answer in _execute(self, requests)]

TritonPythonModel.execute = _execute_at_times
"""


@dataclass(frozen=True, slots=True)
class Answer:
    """What became of one request.

    Attributes:
        at: when it was sent, in seconds since the epoch.
        seconds: how long it took.
        revision: the revision that answered it, "" for none.
        good: whether it was answered without an error.
    """

    at: float
    seconds: float
    revision: str
    good: bool


@dataclass(frozen=True, slots=True)
class Look:
    """What the status said at a time.

    Attributes:
        at: in seconds since the epoch.
        version: of the canary, None without one.
        weight: share of the requests that it gets, in percent.
        towards: by verdict, PASS and FAIL, the evidence in percent of what it takes.
    """

    at: float
    version: int | None
    weight: int
    towards: dict[str, int]


@dataclass(frozen=True, slots=True)
class Played:
    """What happened while versions were rolled out.

    Attributes:
        answers: what became of the requests, in the order in which they ended.
        looks: what the status said, in order.
        versions: by revision, its version.
    """

    answers: list[Answer]
    looks: list[Look]
    versions: dict[str, int]


class Load:
    """Two clients that ask through the Gateway all the time, one over HTTP and one over gRPC.

    Attributes:
        answers: what became of the requests so far.
        answered: requests by the revision that answered them.
        failed: those of them that failed; under "" those that nobody answered.
    """

    def __init__(self, port: int, pixels: list[float]) -> None:
        self.answers: list[Answer] = []
        self.answered: Counter[str] = Counter()
        self.failed: Counter[str] = Counter()
        self._port, self._pixels = port, pixels
        self._end = threading.Event()
        self._threads = [threading.Thread(target=self._asking, args=(way,), daemon=True) for way in (_http, _grpc)]

    def start(self) -> None:
        """Begin to ask."""
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Ask nothing any more."""
        self._end.set()
        for thread in self._threads:
            thread.join(10)

    def _asking(self, way: "Way") -> None:
        with way(self._port, self._pixels) as ask:
            due = time.monotonic()
            while not self._end.is_set():
                sent = time.time()
                revision, good = ask()
                self.answers.append(Answer(sent, time.time() - sent, revision, good))
                self.answered[revision] += 1
                self.failed[revision] += not good
                due = max(time.monotonic(), due + 1 / RATE)
                self._end.wait(due - time.monotonic())


Way = Callable[[int, list[float]], Any]


@contextmanager
def _http(port: int, pixels: list[float]) -> Iterator[Callable[[], tuple[str, bool]]]:
    tensor = {"name": "PIXELS", "shape": [1, 64], "datatype": "FP32", "data": pixels}
    body = json.dumps({"inputs": [tensor]})
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)

    def ask() -> tuple[str, bool]:
        try:
            connection.request("POST", f"/v2/models/{MODEL}/infer", body, {"Host": HOST})
            answer = connection.getresponse()
            answer.read()
        except (OSError, http.client.HTTPException):
            connection.close()
            return "", False
        return answer.getheader("x-triton-revision", ""), answer.status == 200

    yield ask
    connection.close()


@contextmanager
def _grpc(port: int, pixels: list[float]) -> Iterator[Callable[[], tuple[str, bool]]]:
    tensor = service_pb2.ModelInferRequest.InferInputTensor(
        name="PIXELS",
        datatype="FP32",
        shape=[1, 64],
        contents=service_pb2.InferTensorContents(fp32_contents=pixels),
    )
    request = service_pb2.ModelInferRequest(model_name=MODEL, inputs=[tensor])
    with grpc.insecure_channel(f"127.0.0.1:{port}", options=[("grpc.default_authority", HOST)]) as channel:
        stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)

        def ask() -> tuple[str, bool]:
            call = stub.ModelInfer.future(request, timeout=10)
            with suppress(grpc.RpcError):
                call.result()
            told = dict(call.initial_metadata() or ()) | dict(call.trailing_metadata() or ())
            return told.get("x-triton-revision", ""), call.code() == grpc.StatusCode.OK

        yield ask


@dataclass
class Watch:
    """What is shown of one rollout.

    Attributes:
        cluster: where the service is.
        namespace: its namespace.
        console: where it is shown.
        load: the clients.
        versions: by revision, its version.
        looks: what the status said.
    """

    cluster: Cluster
    namespace: str
    console: Console
    load: Load
    versions: dict[str, int] = field(default_factory=dict)
    looks: list[Look] = field(default_factory=list)

    def until(self, version: int) -> Json:
        """Show the service until its spec is carried out, or its version rejected, and return its status.

        Raises:
            ClusterError: it took too long; the message is its own.
        """
        deadline, ended = time.monotonic() + SECONDS, 0.0
        with Live(console=self.console, refresh_per_second=4) as live:
            while True:
                words = ("get", "tisvc", SERVICE, "--namespace", self.namespace, "--output=json")
                service = json.loads(self.cluster.kubectl(*words))
                status: Json = service.get("status") or {}
                self.looks.append(_look(status))
                live.update(self.drawn(status))
                ready = next(c for c in status["conditions"] if c["type"] == "Ready")
                here = status["observedGeneration"] == service["metadata"]["generation"]
                if here and (ready["status"] == "True" or status.get("rejected", {}).get("version") == version):
                    ended = ended or time.monotonic()
                if ended and time.monotonic() > ended + AFTERWARDS:
                    return status
                if time.monotonic() > deadline:
                    raise ClusterError(f"{SERVICE} took longer than {SECONDS} s: {ready['message']}")
                time.sleep(0.5)

    def drawn(self, status: Json) -> Group:
        """Draw the weights, what was answered, and the evidence."""
        canary, stable = status.get("canary") or {}, status.get("stable") or {}
        self.versions |= {part["name"]: part["version"] for part in (canary, stable) if part}
        weight = int(canary.get("weight", 0))
        bar = Text("█" * (50 - weight // 2), style="green") + Text("█" * (weight // 2), style="yellow")
        shares = Text(f"version {stable.get('version')} ", style="green") + bar
        if canary:
            shares += Text(f" version {canary['version']}: {weight} %", style="yellow")
        table = Table(box=None, pad_edge=False)
        for column in ("ANSWERED BY", "REQUESTS", "FAILED"):
            table.add_column(column, justify="left" if column == "ANSWERED BY" else "right")
        for revision, requests in sorted(self.load.answered.items(), key=lambda each: self.versions.get(each[0], 0)):
            name = f"version {self.versions.get(revision, '?')} ({revision})" if revision else "nobody"
            failed = self.load.failed[revision]
            table.add_row(name, str(requests), Text(str(failed), style="red" if failed else "dim"))
        lines: list[Text | Table] = [shares, table]
        if rollout := status.get("rollout"):
            for name, colour in (("towardsPass", "green"), ("towardsFail", "red")):
                part = rollout[name] // 2
                words = "evidence that it is no worse" if name == "towardsPass" else "evidence that it is worse   "
                lines.append(Text(f"{words} ") + Text("█" * part, style=colour) + Text("░" * (50 - part), style="dim"))
        ready = next((c for c in status.get("conditions", []) if c["type"] == "Ready"), {"message": ""})
        return Group(*lines, Text(ready["message"][:300], style="dim"))


def _look(status: Json) -> Look:
    canary, rollout, rejected = (status.get(name) or {} for name in ("canary", "rollout", "rejected"))
    if rejected.get("reason") == "CanaryFailed":  # which it was by as much evidence as a FAIL takes
        return Look(time.time(), rejected["version"], 0, {"PASS": 0, "FAIL": 100})
    towards = {verdict.upper(): int(rollout.get(f"towards{verdict}", 0)) for verdict in ("Pass", "Fail")}
    return Look(time.time(), canary.get("version"), int(canary.get("weight", 0)), towards)


def has_gateway(cluster: Cluster) -> bool:
    """Say whether the cluster has the Gateway of the example."""
    with suppress(ClusterError):
        return bool(cluster.kubectl("get", "gateway", gateway.NAME, f"--namespace={gateway.NAMESPACE}"))
    return False


def play(
    cluster: Cluster, namespace: str, console: Console, step: Callable[[str], None], pixels: list[float]
) -> Played:
    """Roll out a good version and a bad one.

    Args:
        cluster: with the digits example in it.
        namespace: where that is.
        console: where things are shown.
        step: prints a heading.
        pixels: a digit, 64 numbers.

    Returns:
        What happened meanwhile.

    Raises:
        ClusterError: a rollout did not end as it should.
    """
    service = yaml.safe_load(EXAMPLE.read_text())
    service["spec"]["rollout"] = ROLLOUT

    def apply(version: int, uri: str) -> None:
        service["spec"]["model"] |= {"version": version, "uri": uri}
        body = json.dumps(service).encode()
        console.print(cluster.kubectl("apply", "--namespace", namespace, "-f", "-", stdin=body).rstrip())

    step("Put it behind a Gateway: spec.routing, and spec.rollout.strategy: Canary, as in examples/canary")
    apply(1, "configmap://digits-model")
    cluster.kubectl("wait", f"tisvc/{SERVICE}", "--for=condition=TrafficVerified", "--timeout=60s", "-n", namespace)
    target = cluster.tools / "kubectl", cluster.environment(), f"service/{gateway.service_of(cluster.kubectl)}"
    with forwarded(*target, 80, namespace=gateway.SYSTEM) as ports:
        (port,) = ports.values()
        load = Load(port, pixels)
        watch = Watch(cluster, namespace, console, load)
        load.start()
        try:
            step("A good version 2, under requests over HTTP and gRPC: spec.model.version: 2")
            apply(2, "configmap://digits-model")
            good = watch.until(2)
            if good["stable"]["version"] != 2:
                raise ClusterError(f"version 2 was not promoted: {good.get('rejected')}")
            step("A version 3 of which one answer in ten is an error")
            _add_fault(cluster, namespace)
            apply(3, "configmap://digits-faulty")
            bad = watch.until(3)
            if bad["stable"]["version"] != 2 or bad.get("rejected", {}).get("version") != 3:
                raise ClusterError(f"version 3 was not rolled back: {bad}")
            console.print(f"[green]Rolled back:[/] {bad['rejected']['message']}", soft_wrap=True)
            step("Back to what serves: spec.model.version: 2")
            apply(2, "configmap://digits-model")
            watch.until(2)
        finally:
            load.stop()
    others = sum(count for revision, count in load.failed.items() if watch.versions.get(revision) != 3)
    total = load.answered.total()
    console.print(f"{total} requests, {load.failed.total() - others} failed in version 3, and {others} elsewhere")
    step(f"What was told meanwhile: kubectl events --for tisvc/{SERVICE}")
    words = ("events", f"--for=tisvc/{SERVICE}", "--namespace", namespace, "--no-headers")
    console.print("\n".join(cluster.kubectl(*words).rstrip().splitlines()[-12:]), soft_wrap=True)
    return Played(load.answers, watch.looks, watch.versions)


def _add_fault(cluster: Cluster, namespace: str) -> None:
    folder = ROOT / "examples" / "digits"
    data = {name: (folder / name).read_text() for name in ("config.pbtxt", "model.py", "weights.json")}
    data["model.py"] += FAULT
    body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "digits-faulty"}, "data": data}
    cluster.kubectl("apply", "--server-side", "--namespace", namespace, "-f", "-", stdin=json.dumps(body).encode())
