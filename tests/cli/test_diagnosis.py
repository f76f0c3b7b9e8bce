from copy import deepcopy
from typing import Any

import pytest

from triton_operator.api.crd import custom_resource_definition
from triton_operator.cli import diagnosis
from triton_operator.cli.diagnosis import Check, Mark, Unanswered
from triton_operator.core.providers import PROFILES
from triton_operator.core.times import timestamp

Json = dict[str, Any]

NOW = 1_800_000_000.0
OWN = custom_resource_definition()


def crd_without(*path: str) -> Json:
    found = deepcopy(OWN)
    node = found["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    for name in path[:-1]:
        node = node["properties"][name]
    del node["properties"][path[-1]]
    return found


def deployment(ready: int) -> Json:
    containers = [{"image": "operator:1"}]
    return {
        "metadata": {"namespace": "system", "name": "triton-operator"},
        "spec": {"replicas": 2, "template": {"spec": {"containers": containers}}},
        "status": {"readyReplicas": ready},
    }


def lease(holder: str | None, age_seconds: float) -> Json:
    spec = {"holderIdentity": holder, "renewTime": timestamp(NOW - age_seconds), "leaseDurationSeconds": 15}
    return {"spec": spec}


def node(name: str, **labels: str) -> Json:
    status = {"allocatable": {"cpu": "64", "nvidia.com/gpu": "4"}}
    return {"metadata": {"name": name, "labels": labels}, "status": status}


L4, BARE = node("a", **{"nvidia.com/gpu.product": "NVIDIA-L4"}), node("b")
READY = {"status": {"conditions": [{"type": "Programmed", "status": "True"}]}}
UNREADY = {"status": {"conditions": [{"type": "Programmed", "status": "False", "message": "no address"}]}}
COUNTS = {"spec": {"telemetry": {"metrics": {"enableGRPCStats": True}}}}
URL = "http://p.m.svc:9090"
PROFILE = PROFILES["gpu-operator"]


@pytest.mark.parametrize(
    ("check", "mark", "words"),
    [
        pytest.param(diagnosis.crd(OWN, OWN, served=True), Mark.OK, "has the fields", id="the same CRD"),
        pytest.param(diagnosis.crd(None, OWN, served=False), Mark.FAIL, "is missing", id="no CRD"),
        pytest.param(diagnosis.crd(None, OWN, served=True), Mark.OK, "may not be read", id="a CRD not to be read"),
        pytest.param(
            diagnosis.crd(crd_without("spec", "autoscaling", "schedules"), OWN, served=True),
            Mark.WARN,
            "older than this program: it has no spec.autoscaling.schedules",
            id="an older CRD",
        ),
        pytest.param(
            diagnosis.crd(OWN, crd_without("spec", "suspend"), served=True), Mark.WARN, "newer", id="a newer CRD"
        ),
        pytest.param(diagnosis.permissions([], namespace="n"), Mark.OK, "you may see", id="all permissions"),
        pytest.param(
            diagnosis.permissions(["patch pods"], namespace="n"), Mark.WARN, "in n you may not patch pods", id="fewer"
        ),
        pytest.param(diagnosis.operator(None), Mark.SKIP, "may not list", id="operator not to be seen"),
        pytest.param(diagnosis.operator([]), Mark.FAIL, "no Deployment", id="no operator"),
        pytest.param(diagnosis.operator([deployment(1)]), Mark.OK, "1 of 2 pods ready", id="operator runs"),
        pytest.param(diagnosis.operator([deployment(0)]), Mark.FAIL, "0 of 2 pods ready", id="operator does not run"),
        pytest.param(diagnosis.rights(None), Mark.SKIP, "may not ask", id="rights unknown"),
        pytest.param(diagnosis.rights([]), Mark.OK, "may do its work", id="rights"),
        pytest.param(diagnosis.rights(["list pods"]), Mark.FAIL, "may not list pods", id="no rights"),
        pytest.param(
            diagnosis.leader(lease("one", 3), readable=True, now=NOW), Mark.OK, "one acts, heard 3s ago", id="leader"
        ),
        pytest.param(
            diagnosis.leader(lease("one", 90), readable=True, now=NOW), Mark.FAIL, "for 90s", id="a leader of old"
        ),
        pytest.param(diagnosis.leader(lease(None, 3), readable=True, now=NOW), Mark.FAIL, "no replica", id="released"),
        pytest.param(diagnosis.leader(None, readable=True, now=NOW), Mark.FAIL, "no replica", id="no Lease"),
        pytest.param(diagnosis.leader(None, readable=False, now=NOW), Mark.SKIP, "may not read", id="secret Lease"),
        pytest.param(diagnosis.watched([], "", namespace="n"), Mark.OK, "it looks at n", id="all namespaces"),
        pytest.param(diagnosis.watched(["m"], "", namespace="n"), Mark.FAIL, "not at n", id="another namespace"),
        pytest.param(diagnosis.gpus(None, PROFILE, wanted=True), Mark.SKIP, "may not list", id="nodes unknown"),
        pytest.param(diagnosis.gpus([], PROFILE, wanted=True), Mark.WARN, "no node has nvidia.com/gpu", id="no GPUs"),
        pytest.param(diagnosis.gpus([], PROFILE, wanted=False), Mark.OK, "no node has", id="no GPUs, none wanted"),
        pytest.param(diagnosis.gpus([L4], PROFILE, wanted=True), Mark.OK, "4 × NVIDIA-L4", id="GPUs"),
        pytest.param(
            diagnosis.gpus([L4, BARE], PROFILE, wanted=True),
            Mark.WARN,
            "4 × NVIDIA-L4, 4 × unnamed; without the label nvidia.com/gpu.product: b",
            id="GPUs without a name",
        ),
    ],
)
def test_a_check_says_what_was_found(check: Check, mark: Mark, words: str) -> None:
    assert check.mark == mark
    assert words in check.message
    assert bool(check.remedy) or mark in (Mark.OK, Mark.SKIP)


@pytest.mark.parametrize(
    ("checks", "marks"),
    [
        pytest.param(diagnosis.gateways({}, served=False, wanted=True), [Mark.FAIL], id="no Gateway API"),
        pytest.param(diagnosis.gateways({}, served=False, wanted=False), [Mark.OK], id="none, and none wanted"),
        pytest.param(diagnosis.gateways({}, served=True, wanted=False), [Mark.OK], id="no service asks"),
        pytest.param(
            diagnosis.gateways({"n/a": READY, "n/b": None, "n/c": UNREADY}, served=True, wanted=True),
            [Mark.OK, Mark.FAIL, Mark.FAIL],
            id="Gateways",
        ),
        pytest.param(
            diagnosis.grpc_stats({"n/a": COUNTS, "n/b": None, "n/c": {}}), [Mark.OK, Mark.WARN, Mark.WARN], id="gRPC"
        ),
        pytest.param(diagnosis.prometheus(None, {}), [Mark.SKIP], id="settings unknown"),
        pytest.param(diagnosis.prometheus("", {}), [Mark.WARN], id="no Prometheus"),
        pytest.param(diagnosis.prometheus(URL, Unanswered("x", asked=False)), [Mark.SKIP], id="not to be asked"),
        pytest.param(diagnosis.prometheus(URL, Unanswered("x", asked=True)), [Mark.FAIL], id="no answer"),
        pytest.param(diagnosis.prometheus(URL, {"a": 3.0, "b": None}), [Mark.OK, Mark.OK, Mark.WARN], id="scraped"),
    ],
)
def test_checks_of_several_things_say_one_thing_each(checks: list[Check], marks: list[Mark]) -> None:
    assert [check.mark for check in checks] == marks
