"""Replicas follow what is measured: up before the objective is lost, down after a hold, never in doubt."""

import re
import time
from typing import Any

import pytest

from benchmarks.load.histogram import middle
from benchmarks.load.report import HEAD, Phase, Report, told
from benchmarks.report import table
from cluster import prometheus, provider
from cluster.abilities import Ability
from diary import Diary
from stories import HOST, Json, Namespace, Tell, address, condition, model, routing, scale, service

# A batch of b requests takes 0.2 + 0.05 b seconds: within 1 s (p95) a replica carries some 10 of them a second.
BATCHED = """
import time
import numpy as np
import triton_python_backend_utils as pb_utils

class TritonPythonModel:
    def execute(self, requests):
        time.sleep(0.2 + 0.05 * len(requests))
        inputs = [pb_utils.get_input_tensor_by_name(request, "X").as_numpy() for request in requests]
        return [pb_utils.InferenceResponse([pb_utils.Tensor("Y", x + np.float32(1))]) for x in inputs]
"""
BATCHING = "dynamic_batching { }"
ON_CPU = BATCHING + " instance_group [ { kind: KIND_CPU } ]"
OBJECTIVE: Json = {"percentile": 95, "latencyMilliseconds": 1000}
# Seconds and requests per second: a climb until 115 s, a step, and the evening.
STEP, EVENING = 145, 185
DAY = f"4,15:4,115:20,{STEP}:20,{STEP + 1}:30,{EVENING}:30,{EVENING + 1}:3"


def scaling(namespace: Namespace, name: str = "adder") -> Json:
    """What status says about autoscaling."""
    body: Json = namespace.get("tisvc", name).get("status", {}).get("autoscaling") or {}
    return body


def late(found: Report, phase: Phase) -> float:
    """The share of the requests of a phase that took longer than the objective, those not answered among them."""
    total = found.sum("http", phase)
    quick = sum(count for number, count in total.buckets.items() if middle(number) <= OBJECTIVE["latencyMilliseconds"])
    return 1 - quick / max(1, total.outcomes.total())


@pytest.mark.serial
@pytest.mark.needs(Ability.GATEWAY, Ability.PROCESSES)
def test_replicas_come_before_the_objective_is_lost_and_go_after_the_hold(
    cluster: provider.Cluster, namespace: Namespace, images: provider.Images, fresh_operator: None, tell: Tell
) -> None:
    namespace.apply(model("batched", code=BATCHED, more=BATCHING))
    # As HPAs have it; the hold that the operator chooses by itself is twice as long.
    window = {"scaleDown": {"stabilizationWindowSeconds": 60}}
    wish: Json = {"maxReplicas": 4, "objective": OBJECTIVE, "behavior": window}
    namespace.apply(service("adder", uri="configmap://batched", routing=routing(), autoscaling=wish))
    namespace.wait("adder", "Ready")
    diary = Diary(namespace, "adder", images.operator.by_content, {"http": DAY}, host=HOST, via=address(cluster))
    began = time.time()

    with diary.phase("a climb"):
        namespace.wait("adder", "ScalingActive", seconds=60)
        second = namespace.until(lambda: scaling(namespace)["desired"] >= 2 and scaling(namespace), seconds=90)
        assert now_of(second) < float(second["capacityPerReplica"]), f"one replica still carried that: {second}"
        peak = namespace.until(lambda: len(ready(namespace)) >= 3 and scaling(namespace), seconds=90)
        assert "requests/s planned" in peak["because"], peak
        assert 6 <= float(peak["capacityPerReplica"]) <= 14, peak
        assert 3 <= peak["leadTimeSeconds"] <= 60, peak
    with diary.phase("without Prometheus, the operator killed"):
        scale(cluster, f"deployment/{prometheus.NAME}", prometheus.NAMESPACE, 0)
        diary.kill_operator()
        until = max(began + STEP - 10, time.time() + 10)
        while time.time() < until:
            assert scaling(namespace)["desired"] >= 3
            assert len(namespace.pods("adder")) >= 3
            time.sleep(1)
        scale(cluster, f"deployment/{prometheus.NAME}", prometheus.NAMESPACE, 1)
    with diary.phase("a step"):
        namespace.until(lambda: len(ready(namespace)) == 4, seconds=60)
        lead = scaling(namespace)["leadTimeSeconds"]
        assert lead == peak["leadTimeSeconds"] or lead < 60, "a new operator goes on with what was known"
        measured = namespace.until(lambda: active(namespace)["reason"] == "Measured" and active(namespace))
        assert measured["status"] == "True"
        time.sleep(max(0.0, began + EVENING - time.time()))
    with diary.phase("the evening"):
        before = len(namespace.pods("adder"))
        held = namespace.until(lambda: scaling(namespace).get("hold"), seconds=60)
        assert held["until"], held
        assert len(namespace.pods("adder")) == before
        namespace.until(lambda: len(namespace.pods("adder")) == 1, seconds=300)

    found = diary.stop()
    lines = [table(HEAD, found.rows(diary.phases)), *map(told, found.failures)]
    lines += [f"{phase.name}: {late(found, phase):.1%} took longer than the objective" for phase in diary.phases]
    tell("\n".join([*lines, f"lead time {lead} s", *namespace.told("adder", "Rescaled")]))
    assert not found.failures, diary.explain(found, ["http"])
    recovered = Phase("", began + STEP + 1 + 2 * lead, began + EVENING - 1)
    assert recovered.begin < recovered.end, f"replicas need {lead} s to get ready"
    assert late(found, recovered) <= 0.05
    ups = [words for words in namespace.told("adder", "Rescaled") if int(words.split()[0]) < int(words.split()[2])]
    assert len(ups) <= 4, ups


def now_of(told_: Json) -> float:
    """Read from the reason what arrived when it was decided, in requests per second."""
    found = re.search(r"\(([0-9.]+) now", told_["because"])
    assert found, told_
    return float(found[1])


def ready(namespace: Namespace) -> list[Json]:
    """The pods that are ready."""
    return [pod for pod in namespace.pods("adder") if is_ready(pod)]


def is_ready(pod: Json) -> bool:
    """Whether a pod is ready."""
    found: list[Json] = pod["status"].get("conditions", [])
    return any(one["type"] == "Ready" and one["status"] == "True" for one in found)


@pytest.mark.needs(Ability.GPUS)
def test_an_exhausted_pool_is_told_and_storms_nothing(
    cluster: provider.Cluster, namespace: Namespace, images: provider.Images
) -> None:
    cluster.gpu_pool()
    namespace.apply(model("batched", code=BATCHED, more=ON_CPU))
    wish: Json = {"maxReplicas": 9, "objective": OBJECTIVE}
    namespace.apply(service("adder", uri="configmap://batched", gpus=8, autoscaling=wish))
    namespace.wait("adder", "Ready")
    diary = Diary(namespace, "adder", images.operator.by_content, {"http": "45"})
    with diary.phase("more is asked for than there are GPUs"):
        lacking = namespace.until(lambda: scaling(namespace).get("limitedBy") == "nodes" and scaling(namespace))
        pods = len(namespace.pods("adder"))
        told_of = namespace.until(lambda: namespace.told("adder", "ScaleUpStuck"))
        assert "GPU" in told_of[-1]
        until = time.monotonic() + 20
        while time.monotonic() < until:
            assert len(namespace.pods("adder")) <= max(pods, lacking["desired"]) <= 9
            time.sleep(1)
        body = namespace.get("tisvc", "adder")
        assert condition(body, "Stalled")["status"] == "False"
        assert condition(body, "Available")["status"] == "True"
    diary.stop()


def test_what_is_observed_or_cannot_be_had_changes_no_replicas(namespace: Namespace) -> None:
    namespace.apply(model("one", add=1))
    invalid: Json = {"type": "prometheus", "target": 1, "query": "sum(", "name": "jobs"}
    namespace.apply(service("adder", uri="configmap://one", replicas=2, autoscaling=wish_of(metrics=[invalid])))
    namespace.wait("adder", "Ready")
    namespace.until(lambda: active(namespace)["reason"] == "MetricsUnavailable")
    assert "spec.autoscaling.metrics[0]" in active(namespace)["message"]
    assert len(namespace.pods("adder")) == 2
    constant = {"type": "prometheus", "target": 10, "query": "vector(35)"}
    namespace.apply(service("adder", uri="configmap://one", replicas=2, autoscaling=wish_of("Observe", [constant])))
    namespace.until(lambda: scaling(namespace).get("desired") == 4)
    assert active(namespace)["reason"] == "Observing"
    assert len(namespace.pods("adder")) == 2
    namespace.apply(service("adder", uri="configmap://one", replicas=2, autoscaling=wish_of("Auto", [constant])))
    namespace.until(lambda: len(ready(namespace)) == 4)
    namespace.wait("adder", "Ready")
    # Bounds hold at once, and what is asked for by the spec does not matter while replicas are counted for it.
    namespace.kubectl("scale", "tisvc/adder", "--replicas=1")
    smaller = wish_of("Auto", [constant], maxReplicas=3)
    namespace.apply(service("adder", uri="configmap://one", replicas=1, autoscaling=smaller))
    namespace.until(lambda: len(namespace.pods("adder")) == 3)
    namespace.until(lambda: scaling(namespace).get("limitedBy") == "max")
    namespace.apply(service("adder", uri="configmap://one", replicas=1))
    namespace.until(lambda: len(namespace.pods("adder")) == 1)
    assert not scaling(namespace)


def active(namespace: Namespace) -> Json:
    """The condition of autoscaling."""
    body = namespace.get("tisvc", "adder")
    found = [one for one in body["status"]["conditions"] if one["type"] == "ScalingActive"]
    return found[0] if found else {"reason": "", "message": ""}


def wish_of(mode: str = "Auto", metrics: list[Any] | None = None, **more: Any) -> Json:
    """A wish for replicas."""
    return {"mode": mode, "maxReplicas": 6, "metrics": metrics} | more
