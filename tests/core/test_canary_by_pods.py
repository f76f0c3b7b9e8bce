"""Canaries without a Gateway: they get what their pods get in the Service."""

from typing import Any

import pytest

from triton_operator.core.record_text import decode
from triton_operator.core.widened import fitting, unachievable

from .simulator import SERVICE, Cluster, spec_of
from .test_canary import act, begun, change, reason, weights

Json = dict[str, Any]
STOP: Json = {"pause": {}}


def by_pods(*steps: Json, **more: Any) -> Json:
    return {"strategy": "Canary", "gateway": False} | ({"steps": [*steps]} if steps else {}) | more


def serving(cluster: Cluster) -> dict[int, int]:
    """Pods to which the Service sends requests, by version."""
    found: dict[int, int] = {}
    for pod in cluster.serving():
        version = cluster.revisions[pod.revision]["data"]["model"]["version"]
        found[version] = found.get(version, 0) + 1
    return found


def paused(cluster: Cluster) -> bool:
    return reason(cluster) == "CanaryPaused"


@pytest.mark.parametrize(("weight", "desired", "pods"), [(20, 4, 1), (33, 4, 2), (50, 1, 1), (10, 4, 0), (25, 4, 1)])
def test_the_pods_of_a_weight_never_make_more_than_it(weight: int, desired: int, pods: int) -> None:
    assert fitting(weight, desired) == pods


def test_a_weight_that_no_pods_make_is_refused_with_those_that_they_do() -> None:
    def told(weight: int, desired: int) -> str | None:
        return unachievable(spec_of(1, rollout=by_pods({"setWeight": weight})).rollout, desired=desired)

    assert told(20, 4) is None
    assert told(50, 1) is None
    assert "to 20 (1 pod), leave" in str(told(10, 4))
    assert "to 20 (1 pod) or 33 (2 pods), leave" in str(told(25, 4))
    cluster = Cluster(spec_of(1, replicas=4, rollout=by_pods()))
    cluster.settle()
    change(cluster, spec_of(2, replicas=4, rollout=by_pods({"setWeight": 10})))
    cluster.run(10)
    assert cluster.condition("Accepted")["reason"] == "StepUnreachable"
    assert serving(cluster) == {1: 4}
    assert len(cluster.pods) == 4


def test_steps_left_out_are_what_each_pod_makes() -> None:
    cluster = begun(rollout=by_pods(), replicas=8)
    seen = weights(cluster)
    assert seen[:3] == [0, 11, 20]
    assert cluster.condition("Ready")["status"] == "True"
    assert {pod.revision for pod in cluster.pods} == {cluster.target}
    assert cluster.route is None


def test_it_joins_with_just_the_pods_of_its_weight_while_all_others_stay() -> None:
    steps = ({"setWeight": 20}, STOP, {"setWeight": 33}, STOP)
    cluster = begun(rollout=by_pods(*steps), replicas=4)
    cluster.run(60, until=paused)
    assert serving(cluster) == {1: 4, 2: 1}
    assert cluster.services[SERVICE]["metadata"]["annotations"]["serving.triton-operator.dev/stable"]
    assert "20 % of requests go to" in cluster.condition("Ready")["message"]
    assert "as 1 of 5 pods in service are its" in cluster.condition("Ready")["message"]
    assert cluster.condition("TrafficVerified")["reason"] == "PodsInService"
    act(cluster, "promote")
    cluster.run(60, until=lambda c: paused(c) and serving(c)[2] == 2)
    assert serving(cluster) == {1: 4, 2: 2}
    judged = {pod.name for pod in cluster.of(cluster.target)}
    act(cluster, "promote")
    cluster.settle()
    assert serving(cluster) == {2: 4}
    assert judged <= {pod.name for pod in cluster.pods}
    assert "annotations" not in cluster.services[SERVICE]["metadata"]


def test_a_person_who_pauses_it_keeps_further_pods_away() -> None:
    cluster = begun(
        rollout=by_pods({"setWeight": 20}, {"pause": {"durationSeconds": 60}}, {"setWeight": 33}, STOP), replicas=4
    )
    cluster.run(60, until=lambda c: serving(c).get(2) == 1)
    act(cluster, "pause")
    cluster.run(60)
    assert serving(cluster) == {1: 4, 2: 1}


def test_a_failing_one_leaves_the_service_in_the_same_look_and_its_pods_go() -> None:
    rollout = by_pods({"setWeight": 20}, STOP, analysis={"intervalSeconds": 5})
    cluster = begun(rollout=rollout, replicas=4, errors={2: 0.25})
    bad = cluster.target
    cluster.run(60, until=lambda c: c.status.get("rejected"))
    assert cluster.status["rejected"]["reason"] == "CanaryFailed"
    assert serving(cluster) == {1: 4}
    cluster.run(20)
    assert not cluster.of(bad)
    assert cluster.condition("CanaryFailed")["status"] == "True"


def test_a_third_version_waits_until_no_pod_of_the_second_is_left() -> None:
    cluster = begun(rollout=by_pods({"setWeight": 50}, STOP), replicas=1)
    second = cluster.target
    cluster.run(60, until=paused)
    change(cluster, spec_of(3, replicas=1, rollout=by_pods({"setWeight": 50}, STOP)))
    cluster.run(1)
    assert serving(cluster) == {1: 1}
    cluster.run(60, until=lambda c: paused(c) and 3 in serving(c))
    assert not cluster.of(second)
    assert serving(cluster) == {1: 1, 3: 1}


def test_fewer_replicas_wait_until_it_is_judged() -> None:
    rollout = by_pods({"setWeight": 20}, STOP)
    cluster = begun(rollout=rollout, replicas=4)
    cluster.run(60, until=paused)
    change(cluster, spec_of(2, replicas=2, rollout=rollout))
    cluster.run(20)
    assert serving(cluster) == {1: 4, 2: 1}
    assert "spec.replicas is 2, and 4 stay" in cluster.condition("Ready")["message"]
    assert cluster.condition("Accepted")["status"] == "True"
    act(cluster, "promote")
    cluster.settle()
    assert serving(cluster) == {2: 2}


def test_more_replicas_come_before_it_gets_more_pods() -> None:
    cluster = begun(rollout=by_pods(), replicas=4)
    cluster.run(60, until=lambda c: serving(c).get(2) == 1)
    act(cluster, "pause")
    change(cluster, spec_of(2, replicas=9, rollout=by_pods()))
    most = 0.0
    for _ in range(40):
        cluster.tick()
        most = max(most, cluster.weights.get(cluster.target, 0))
    assert most == 20
    assert serving(cluster) == {1: 9, 2: 2}


def test_a_lost_record_puts_it_back_before_its_first_request() -> None:
    cluster = begun(rollout=by_pods({"setWeight": 50}, STOP), replicas=1)
    cluster.run(60, until=paused)
    cluster.lose_record()
    cluster.run(1)
    record = decode(cluster.record or "")
    assert record
    assert record.stable != cluster.target
    assert serving(cluster) == {1: 1}
    cluster.run(60, until=paused)
    assert serving(cluster) == {1: 1, 2: 1}


def test_silence_promotes_nothing() -> None:
    rollout = by_pods(analysis={"intervalSeconds": 5, "maxDurationSeconds": 300})
    cluster = begun(rollout=rollout, replicas=1, load=0)
    cluster.run(200)
    assert paused(cluster)
    assert cluster.condition("CanaryPaused")["reason"] == "Inconclusive"
    assert cluster.status["stable"]["version"] == 1


def test_a_person_promotes_one_without_steps_past_its_last_one() -> None:
    rollout = {"strategy": "Canary", "gateway": False, "analysis": {"intervalSeconds": 5, "maxDurationSeconds": 300}}
    cluster = begun(rollout=rollout, replicas=1, load=0)
    cluster.run(200, until=paused)
    assert cluster.status["rollout"]["step"] == cluster.status["rollout"]["steps"]
    act(cluster, "promote")
    cluster.settle()
    assert cluster.status["stable"]["version"] == 2


@pytest.mark.parametrize(
    ("rollout", "split"),
    [
        pytest.param({}, [], id="no canaries"),
        pytest.param(by_pods(), ["http", "grpc", "headless"], id="by pods"),
        pytest.param({"strategy": "Canary"}, ["gateway"], id="by a Gateway"),
        pytest.param(
            {"strategy": "Canary", "dynamicStableScale": True},
            ["http", "grpc", "headless", "gateway"],
            id="by a Gateway and by pods",
        ),
    ],
)
def test_the_status_says_at_which_addresses_requests_are_shared_out(rollout: Json, split: list[str]) -> None:
    cluster = Cluster(spec_of(1, rollout=rollout))
    cluster.settle()
    listed = cluster.status["addresses"]
    assert [address["name"] for address in listed if address.get("split")] == split
    assert {a["name"]: a["url"] for a in listed}.get("gateway", "//*") == "//*"


def test_a_version_that_requests_may_name_is_told_of_before_it_goes() -> None:
    cluster = begun(2, rollout=by_pods())
    cluster.run(10)
    (told,) = [event.message for event in cluster.told if event.reason == "Loading" and "version 2" in event.message]
    assert told.endswith("; requests that name version 1 find it until that has taken over")


def test_pods_that_nobody_can_replace_do_not_keep_what_mends_them_away() -> None:
    cluster = Cluster(spec_of(1, replicas=2, rollout=by_pods()))
    cluster.settle()
    cluster.bytes = "b"  # what the first version was made from is gone
    cluster.kill(cluster.pods[0], gracefully=False)
    cluster.run(10)
    change(cluster, spec_of(2, replicas=2, rollout=by_pods()))
    cluster.settle()
    assert serving(cluster) == {2: 2}
