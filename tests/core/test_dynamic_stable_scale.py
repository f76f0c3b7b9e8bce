"""Canaries whose pods replace those of the revision that serves while they are judged: few GPUs, a slower way back."""

from typing import Any

import pytest

from .simulator import Cluster, spec_of
from .test_canary import act, begun, change, reason, weights

Json = dict[str, Any]
STOP: Json = {"pause": {}}
HALF: list[Json] = [{"setWeight": 50}, STOP]


def shrinking(*steps: Json, **more: Any) -> Json:
    return {"strategy": "Canary", "dynamicStableScale": True} | ({"steps": [*steps]} if steps else {}) | more


def ready(cluster: Cluster) -> dict[int, int]:
    """Ready pods by version."""
    versions = {name: body["data"]["model"]["version"] for name, body in cluster.revisions.items()}
    found = {version: 0 for version in versions.values()}
    for pod in cluster.pods:
        found[versions[pod.revision]] += pod.serves
    return {version: pods for version, pods in found.items() if pods}


def paused(cluster: Cluster) -> bool:
    return bool(reason(cluster) == "CanaryPaused")


@pytest.mark.parametrize("surge", [1, 2, 4])
def test_pods_make_room_for_each_other_within_the_surge(surge: int) -> None:
    cluster = begun(rollout=shrinking(*HALF, maxSurgeGPUs=surge), replicas=4)
    most, seen = 0, [0]
    for _ in range(100):
        cluster.tick()
        most = max(most, len(cluster.pods))
        weight = cluster.weights.get(cluster.target, 0)
        seen += [weight] if weight != seen[-1] else []
        if paused(cluster):
            break
    cluster.run(10)
    assert ready(cluster) == {1: 2, 2: 2}
    assert most <= 4 + surge
    assert seen == sorted(seen)
    assert cluster.weights == {name: 50 for name in cluster.weights}
    judged = {pod.name for pod in cluster.of(cluster.target)}
    act(cluster, "promote")
    cluster.settle()
    assert ready(cluster) == {2: 4}
    assert judged <= {pod.name for pod in cluster.pods}


def test_without_it_as_many_pods_come_beside_those_that_serve() -> None:
    cluster = begun(rollout=shrinking(*HALF) | {"dynamicStableScale": False}, replicas=4)
    cluster.run(100, until=paused)
    assert ready(cluster) == {1: 4, 2: 4}


def test_a_failing_one_keeps_what_the_old_pods_do_not_carry_yet() -> None:
    cluster = begun(rollout=shrinking(*HALF, maxSurgeGPUs=1, analysis={"intervalSeconds": 5}), replicas=4)
    cluster.run(100, until=lambda c: paused(c) and len(c.of(c.target)) == 2)
    cluster.run(10)
    bad = cluster.target
    cluster.errors[2] = 0.25
    cluster.run(60, until=lambda c: c.status.get("rejected"))
    seen = [cluster.weights[bad]]
    while cluster.weights.get(bad):
        cluster.tick()
        weight, old = cluster.weights.get(bad, 0), ready(cluster).get(1, 0)
        assert 100 - weight <= 25 * old + 2
        seen += [weight] if weight != seen[-1] else []
    assert seen == sorted(seen, reverse=True)
    assert len(seen) > 2
    cluster.run(20)
    assert ready(cluster) == {1: 4}
    assert not cluster.of(bad)


def test_one_that_crashes_gets_nothing_at_once() -> None:
    cluster = begun(rollout=shrinking(*HALF), replicas=4)
    cluster.run(100, until=paused)
    for pod in cluster.of(cluster.target):
        cluster.kill(pod, gracefully=False)
    cluster.run(3)
    assert cluster.weights.get(cluster.target, 0) == 0
    cluster.run(60)
    assert ready(cluster)[2] == 2


def test_a_third_version_waits_until_the_first_carries_everything() -> None:
    rollout = shrinking(*HALF, maxSurgeGPUs=1)
    cluster = begun(rollout=rollout, replicas=4)
    cluster.run(100, until=paused)
    cluster.run(10)
    second = cluster.target
    change(cluster, spec_of(3, replicas=4, rollout=rollout))
    while not cluster.of(cluster.target):
        cluster.tick()
        if cluster.of(cluster.target):
            assert ready(cluster)[1] == 4
    assert cluster.weights.get(second, 0) == 0
    cluster.run(100, until=paused)
    act(cluster, "promote-full")
    cluster.settle()
    assert ready(cluster) == {3: 4}


def test_slow_requests_are_judged_where_both_have_the_same_load() -> None:
    slow = {"analysis": {"slowRequests": {"thresholdMilliseconds": 40}}}
    cluster = Cluster(spec_of(1, replicas=4, rollout=shrinking()))
    cluster.settle()
    change(cluster, spec_of(2, replicas=4, rollout=shrinking({"setWeight": 10}, **slow)))
    cluster.run(5)
    assert cluster.condition("Accepted")["reason"] == "SlowRequestsUnjudged"
    assert "25 (1 pod) or 50 (2 pods) or 75 (3 pods)" in cluster.condition("Accepted")["message"]
    change(cluster, spec_of(2, replicas=4, rollout=shrinking({"setWeight": 25}, **slow)))
    cluster.run(5)
    assert cluster.condition("Accepted")["status"] == "True"


def test_steps_left_out_lead_to_promotion() -> None:
    cluster = begun(rollout=shrinking(), replicas=8)
    seen = weights(cluster)
    assert seen == sorted(seen)
    assert seen[-1] == 100
    assert ready(cluster) == {2: 8}


def test_one_in_service_stays_until_the_old_pods_are_back_when_the_spec_asks_for_it_no_longer() -> None:
    cluster = begun(rollout=shrinking(*HALF, maxSurgeGPUs=1), replicas=4)
    cluster.run(100, until=paused)
    cluster.run(10)
    beside = {"strategy": "Canary", "steps": HALF, "maxSurgeGPUs": 4}
    change(cluster, spec_of(2, replicas=4, rollout=beside))
    cluster.run(3)
    assert ready(cluster) == {1: 2, 2: 2}
    assert len(cluster.serving()) == 4
    cluster.run(60, until=lambda c: ready(c) == {1: 4, 2: 4})
    cluster.run(3)
    assert {pod.revision for pod in cluster.serving()} == {cluster.status["stable"]["name"]}
