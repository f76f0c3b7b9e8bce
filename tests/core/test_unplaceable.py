"""A spec that the cluster's GPU profile cannot give is refused; what was accepted before goes on."""

from typing import Any

import pytest

from triton_operator.api.gpu import Gpu
from triton_operator.api.gpu_settings import GpuProfile, GpuSettings
from triton_operator.api.names import DEPLOYMENT
from triton_operator.api.settings import Settings
from triton_operator.api.spec import InferenceServiceSpec

from .simulator import LOAD_TICKS, TICK, Cluster, spec_of

Json = dict[str, Any]
LONG_TICKS = int(3 * 900 / TICK)  # longer than pods may wait for nodes, and load
ELSEWHERE = Gpu(node_pool="inference")  # the GPU operator, which the simulator's settings name, knows no pools


def refused_spec(version: int, *, replicas: int = 2, suspend: bool = False) -> InferenceServiceSpec:
    return spec_of(version, replicas=replicas, suspend=suspend).model_copy(update={"gpu": ELSEWHERE})


def conditions(cluster: Cluster) -> dict[str, tuple[str, str]]:
    return {c["type"]: (c["status"], c["reason"]) for c in cluster.status["conditions"]}


def test_a_refused_first_spec_makes_nothing_and_says_why() -> None:
    cluster = Cluster(refused_spec(1))
    cluster.run(3)

    assert (cluster.deployments, cluster.services, cluster.pods) == ({}, {}, [])
    told = conditions(cluster)
    assert told["Accepted"] == told["Ready"] == ("False", "UnsupportedByProvider")
    assert told["Stalled"][0] == "True"
    assert [(a.type, a.reason) for a in cluster.told] == [("Warning", "UnsupportedByProvider")]
    assert "spec.gpu.nodePool" in cluster.told[0].message


def test_a_refused_first_spec_is_called_suspended_for_as_long_as_it_asks_for_that() -> None:
    cluster = Cluster(refused_spec(1))
    cluster.run(3)
    cluster.change(refused_spec(1, suspend=True))
    cluster.run(3)
    assert (cluster.status["phase"], conditions(cluster)["Suspended"][0]) == ("Suspended", "True")
    cluster.change(refused_spec(1))
    cluster.run(3)

    assert "Suspended" not in conditions(cluster)
    assert conditions(cluster)["Available"] == ("False", "NoReadyPods")
    assert cluster.status["phase"] == "Failed"


def test_a_corrected_first_spec_is_taken_at_once() -> None:
    cluster = Cluster(refused_spec(1))
    cluster.run(3)
    cluster.change(spec_of(1, replicas=2))
    cluster.settle()

    assert len(cluster.serving()) == 2
    assert conditions(cluster)["Accepted"][0] == conditions(cluster)["Ready"][0] == "True"


def test_what_serves_is_untouched_by_a_refused_spec() -> None:
    cluster = Cluster(spec_of(1, replicas=2))
    cluster.settle()
    before = {(pod.name, pod.revision) for pod in cluster.serving()}
    cluster.change(refused_spec(2))
    cluster.run(20)

    assert {(pod.name, pod.revision) for pod in cluster.serving()} == before
    told = conditions(cluster)
    assert told["Accepted"] == told["Ready"] == ("False", "UnsupportedByProvider")
    assert told["Available"][0] == "True"
    assert cluster.status["phase"] == "Degraded"
    assert cluster.status["stable"]["version"] == 1


def test_a_rollout_under_way_is_finished_when_the_next_spec_is_refused() -> None:
    cluster = Cluster(spec_of(1, replicas=2))
    cluster.settle()
    cluster.change(spec_of(2, replicas=2))
    cluster.run(LOAD_TICKS + 2)
    cluster.change(refused_spec(3))
    cluster.run(60)

    assert cluster.status["stable"]["version"] == 2
    assert len({pod.revision for pod in cluster.serving()}) == 1
    assert conditions(cluster)["Accepted"] == ("False", "UnsupportedByProvider")


def test_replicas_and_suspension_are_heeded_in_a_refused_spec() -> None:
    cluster = Cluster(spec_of(1, replicas=1))
    cluster.settle()
    cluster.change(refused_spec(1, replicas=3))
    cluster.run(30)
    assert len(cluster.serving()) == 3

    cluster.change(refused_spec(1, replicas=3, suspend=True))
    cluster.run(30)
    assert cluster.pods == []


def test_a_pod_lost_under_a_refused_spec_is_seen_and_replaced() -> None:
    cluster = Cluster(spec_of(1, replicas=1))
    cluster.settle()
    cluster.change(refused_spec(2, replicas=1))
    cluster.run(3)
    cluster.kill(cluster.pods[0], gracefully=False)
    cluster.run(2)
    assert conditions(cluster)["Available"][0] == "False"
    cluster.run(30)

    assert conditions(cluster)["Available"][0] == "True"


@pytest.mark.parametrize("first", [True, False])
def test_a_spec_that_other_settings_allow_is_carried_out_however_long_it_was_refused(first: bool) -> None:
    cluster = Cluster(refused_spec(1) if first else spec_of(1, replicas=2))
    cluster.run(20)
    cluster.change(refused_spec(2))
    cluster.run(LONG_TICKS)
    assert conditions(cluster)["Stalled"] == ("True", "UnsupportedByProvider")
    pools = GpuSettings(profile=GpuProfile(nodePoolLabel="pool"))
    cluster.settings = cluster.settings.model_copy(update={"gpu": pools})
    cluster.restart_operator()
    cluster.settle()

    assert conditions(cluster)["Ready"] == ("True", "Serving")
    assert cluster.status["stable"]["version"] == 2


def test_what_was_under_way_has_its_time_again_when_settings_allow_its_spec_again() -> None:
    rollout = {"strategy": "Canary", "analysis": {"slowRequests": {"thresholdMilliseconds": 50}}}
    cluster = Cluster(spec_of(1, replicas=2, rollout=rollout))
    cluster.settle()
    cluster.nowhere = frozenset({2})
    cluster.change(spec_of(2, replicas=2, rollout=rollout))
    cluster.run(5)
    assert len(cluster.deployments) == 2
    before, cluster.settings = cluster.settings, Settings(prepareImage="operator:1")
    cluster.restart_operator()
    cluster.run(LONG_TICKS)
    assert conditions(cluster)["Accepted"] == ("False", "PrometheusNeeded")
    cluster.settings, cluster.nowhere = before, frozenset()
    cluster.restart_operator()
    cluster.settle()

    assert conditions(cluster)["Ready"] == ("True", "Serving")
    assert cluster.status["stable"]["version"] == 2


def test_the_former_spec_is_ready_again_at_once() -> None:
    cluster = Cluster(spec_of(1, replicas=2))
    cluster.settle()
    cluster.change(refused_spec(2))
    cluster.run(5)
    cluster.change(spec_of(1, replicas=2))
    cluster.run(1)

    assert conditions(cluster)["Ready"] == ("True", "Serving")


def test_a_refused_spec_is_written_once() -> None:
    cluster = Cluster(spec_of(1, replicas=2))
    cluster.settle()
    cluster.change(refused_spec(2))
    cluster.run(5)
    writes = cluster.writes
    cluster.run(60)

    assert cluster.writes == writes
    assert cluster.plan is not None
    assert len([kind for kind, _ in cluster.plan.children if kind == DEPLOYMENT]) == 1
