"""Canaries as users live them: steps, verdicts, people, and the way back."""

import json
from typing import Any

import pytest

from triton_operator.api import names
from triton_operator.api.routing import ParentRef, Routing
from triton_operator.api.settings import Settings
from triton_operator.api.spec import InferenceServiceSpec
from triton_operator.core.record_text import decode

from .simulator import TICK, Cluster, spec_of

Json = dict[str, Any]
STEPS: list[Json] = [
    {"setWeight": 10},
    {"pause": {"durationSeconds": 60}},
    {"setWeight": 50},
    {"pause": {"durationSeconds": 60}},
    {"setWeight": 100},
]
BROKEN = 4


def canary(**more: Any) -> Json:
    return {"strategy": "Canary", "steps": STEPS} | more


def begun(version: int = 2, *, replicas: int = 1, rollout: Json | None = None, **more: Any) -> Cluster:
    """A service whose first version serves, and whose next one has just been asked for."""
    rollout = rollout or canary()
    cluster = Cluster(spec_of(1, replicas=replicas, rollout=rollout), broken=frozenset({BROKEN}), **more)
    cluster.settle()
    assert cluster.condition("Ready")["status"] == "True"
    change(cluster, spec_of(version, replicas=replicas, rollout=rollout))
    return cluster


def change(cluster: Cluster, spec: InferenceServiceSpec) -> None:
    """Ask for something else, and wait until it is known what revision that is."""
    cluster.change(spec)
    cluster.run(10, until=lambda c: c.target)


def weights(cluster: Cluster, *, ticks: int = 200, until: Any = None) -> list[int]:
    """The weights that the canary had through the Gateway, without repetition."""
    target, seen = cluster.target, [0]
    for _ in range(ticks):
        cluster.tick()
        weight = cluster.weights.get(target, 0)
        if weight != seen[-1]:
            seen.append(weight)
        if until and until(cluster):
            break
    return seen


def act(cluster: Cluster, action: str, name: str | None = None) -> None:
    cluster.actions[action] = f"{name or cluster.target}/{len(cluster.told)}"


def reason(cluster: Cluster) -> str:
    return str(cluster.condition("Ready")["reason"])


def test_each_weight_and_each_wait_for_a_person_is_an_event() -> None:
    cluster = begun(rollout=canary(steps=[{"setWeight": 10}, {"pause": {}}, {"setWeight": 50}]))
    cluster.run(60, until=lambda c: c.weights.get(c.target) == 10)
    cluster.run(20)
    act(cluster, "promote")
    cluster.settle()
    told = [(event.reason, event.message) for event in cluster.told if event.reason.startswith("Canary")]
    shares = [f"{weight} % of requests go to {cluster.target}" for weight in (10, 50, 100)]
    assert [message for reason, message in told if reason == "CanaryWeight"] == shares
    assert [reason for reason, _ in told] == ["CanaryWeight", "CanaryPaused", "CanaryWeight", "CanaryWeight"]
    assert "until a person promotes it" in told[1][1]


@pytest.mark.parametrize("replicas", [1, 2, 3, 4, 8])
def test_a_healthy_canary_goes_from_step_to_step_and_takes_over(replicas: int) -> None:
    cluster = begun(replicas=replicas)
    seen = weights(cluster)
    assert seen[:3] == [0, 10, 50]
    assert seen == sorted(seen)
    assert seen[-1] == 100
    assert cluster.condition("Ready")["status"] == "True"
    assert {pod.revision for pod in cluster.pods} == {cluster.target}
    assert cluster.status["stable"]["version"] == 2
    assert "rollout" not in cluster.status


def test_no_pod_that_was_judged_is_started_again() -> None:
    cluster = begun(replicas=2)
    cluster.run(60, until=lambda c: c.weights.get(c.target) == 50)
    judged = {pod.name for pod in cluster.of(cluster.target)}
    assert len(judged) == 2
    cluster.settle()
    assert {pod.name for pod in cluster.pods} >= judged


def test_all_pods_that_serve_stay_while_the_canary_is_judged() -> None:
    cluster = begun(replicas=4)
    old = {pod.name for pod in cluster.pods}
    most = 0
    while cluster.weights.get(cluster.target, 0) <= 50:
        most = max(most, cluster.weights.get(cluster.target, 0))
        assert old <= {pod.name for pod in cluster.pods if pod.serves}
        cluster.tick()
    assert most == 50


def test_a_failing_canary_gets_no_more_requests_and_its_pods_go() -> None:
    cluster = begun(replicas=2, rollout=canary(analysis={"intervalSeconds": 5}), errors={2: 0.25})
    bad = cluster.target
    seen = weights(cluster, until=lambda c: c.status.get("rejected"))
    assert max(seen) == 10
    cluster.run(2)
    assert cluster.weights == {cluster.status["stable"]["name"]: 100}
    cluster.run(20)
    assert not cluster.of(bad)
    assert cluster.status["rejected"]["reason"] == "CanaryFailed"
    assert "requests failed" in cluster.status["rejected"]["message"]
    assert cluster.condition("CanaryFailed")["status"] == "True"
    assert cluster.condition("Available")["status"] == "True"


def test_requests_reach_a_canary_on_its_way_out_until_the_gateway_has_taken_its_weight_away() -> None:
    cluster = begun(replicas=2, rollout=canary(analysis={"intervalSeconds": 5}), errors={2: 0.25})
    bad = cluster.target
    cluster.run(60, until=lambda c: c.weights.get(bad) == 10)
    cluster.gateway = False
    cluster.run(60, until=lambda c: c.status.get("rejected"))
    cluster.run(20)
    assert [pod for pod in cluster.of(bad) if pod.serves]
    cluster.gateway = True
    cluster.run(20)
    assert not cluster.of(bad)


SLOW: Json = {"intervalSeconds": 5, "errors": {"floorPermille": 100}, "slowRequests": {"thresholdMilliseconds": 40}}


def test_a_slow_canary_is_rolled_back_where_its_pods_have_the_load_of_others() -> None:
    cluster = begun(replicas=2, rollout=canary(analysis=SLOW), slowness={1: 0.05, 2: 0.4})
    cluster.run(60, until=lambda c: c.weights.get(c.target) == 10)
    cluster.run(8)
    told = cluster.status["rollout"]  # a pod with a tenth of the requests is no match for two with the others
    assert (told["canary"]["requests"] > 0, told["canary"]["timed"], told["slowMilliseconds"]) == (True, 0, 50)
    assert max(weights(cluster, until=lambda c: c.status.get("rejected"))) == 50
    assert cluster.status["rejected"]["reason"] == "CanaryFailed"
    assert "requests took longer than 50 ms" in cluster.status["rejected"]["message"]


def test_a_canary_takes_over_once_it_has_passed_by_errors_and_by_slow_requests() -> None:
    cluster = begun(replicas=2, rollout=canary(analysis=SLOW), slowness={1: 0.05, 2: 0.05}, load=80)
    cluster.run(200, until=lambda c: "waits for the verdict" in c.condition("Ready")["message"])
    readings = cluster.status["rollout"]
    assert (readings["verdict"], readings["canary"]["slow"] > 0) == ("CONTINUE", True)
    cluster.load = 2000
    cluster.settle()
    assert cluster.status["stable"]["version"] == 2


def test_bounds_that_are_edited_are_judged_by_anew() -> None:
    cluster = begun(replicas=2, rollout=canary(analysis=SLOW), load=40)
    cluster.run(60, until=lambda c: c.status.get("rollout", {}).get("canary", {}).get("requests"))
    spec = spec_of(2, replicas=2, rollout=canary(analysis=SLOW | {"clusterFactor": 8}))
    change(cluster, spec)
    assert cluster.status["rollout"]["canary"]["requests"] == 0
    assert cluster.weights[cluster.target] == 10


@pytest.mark.parametrize(
    ("steps", "replicas", "words"),
    [
        pytest.param([{"setWeight": 10}], 4, "add one with setWeight 20 (1 pod)", id="too little for one pod"),
        pytest.param([{"setWeight": 25}], 4, "add one with setWeight 20 (1 pod) or 33 (2 pods)", id="between"),
        pytest.param(
            [{"setCanaryScale": {"replicas": 3}}, {"setWeight": 20}], 4, "no step brings that about", id="too many pods"
        ),
    ],
)
def test_slow_requests_that_no_step_could_judge_are_refused(steps: list[Json], replicas: int, words: str) -> None:
    cluster = Cluster(spec_of(1, replicas=replicas, rollout=canary(analysis=SLOW, steps=steps)))
    cluster.run(5)
    assert cluster.condition("Accepted")["reason"] == "SlowRequestsUnjudged"
    assert words in cluster.condition("Accepted")["message"]


def test_slow_requests_need_somebody_who_counts_them() -> None:
    rollout = canary(analysis=SLOW)
    cluster = Cluster(spec_of(1, replicas=2, rollout=rollout), settings=Settings(prepareImage="operator:1"))
    cluster.run(5)
    assert cluster.condition("Accepted")["reason"] == "PrometheusNeeded"


def test_without_analysis_only_a_canary_that_fails_much_is_rolled_back() -> None:
    slightly = begun(errors={2: 0.02})
    assert weights(slightly)[-1] == 100
    badly = begun(errors={2: 0.5})
    assert max(weights(badly)) <= 50
    assert badly.status["rejected"]["reason"] == "CanaryFailed"


def test_an_analysis_waits_for_its_verdict_and_promotes_once_it_has_passed() -> None:
    cluster = begun(rollout=canary(analysis={"intervalSeconds": 5}), load=20)
    cluster.run(200, until=lambda c: "waits for the verdict" in c.condition("Ready")["message"])
    assert cluster.weights[cluster.target] == 50
    cluster.load = 2000
    cluster.settle()
    assert cluster.status["stable"]["version"] == 2


def test_without_requests_it_stays_at_its_first_weight_pauses_and_never_promotes() -> None:
    cluster = begun(rollout=canary(analysis={"intervalSeconds": 5, "maxDurationSeconds": 300}), load=0)
    cluster.run(50, until=lambda c: c.condition("TrafficVerified")["status"] == "Unknown")
    assert cluster.condition("TrafficVerified")["reason"] == "ShareUnknown"
    assert (
        f"no request to {cluster.target} was counted since its weight is 10 %" in cluster.condition("Ready")["message"]
    )
    cluster.run(200)
    assert cluster.weights[cluster.target] == 10
    assert cluster.condition("CanaryPaused")["reason"] == "Inconclusive"
    assert cluster.status["rollout"]["verdict"] == "INCONCLUSIVE"
    assert cluster.condition("Stalled")["status"] == "False"
    act(cluster, "resume")
    cluster.run(3)
    assert reason(cluster) == "CanaryProgressing"
    cluster.run(200)
    assert cluster.condition("CanaryPaused")["reason"] == "Inconclusive"
    act(cluster, "promote-full")
    cluster.settle()
    assert cluster.status["stable"]["version"] == 2


def test_a_ladder_longer_than_the_time_for_a_verdict_rises_no_further_without_one() -> None:
    steps = [step for weight in (10, 20, 50) for step in ({"setWeight": weight}, {"pause": {"durationSeconds": 200}})]
    cluster = begun(rollout=canary(steps=steps, analysis={"intervalSeconds": 5, "maxDurationSeconds": 300}), load=20)
    assert weights(cluster) == [0, 10, 20]
    assert cluster.condition("CanaryPaused")["reason"] == "Inconclusive"
    act(cluster, "resume")
    assert weights(cluster, ticks=100) == [0, 50]


def test_the_time_that_a_person_takes_is_not_that_of_the_verdict() -> None:
    steps = [{"setWeight": 10}, {"pause": {}}, {"setWeight": 50}, {"pause": {"durationSeconds": 60}}]
    cluster = begun(rollout=canary(steps=steps, analysis={"intervalSeconds": 5, "maxDurationSeconds": 300}), load=20)
    cluster.run(150)
    assert cluster.condition("CanaryPaused")["reason"] == "CanaryPauseStep"
    act(cluster, "promote")
    cluster.run(20)
    assert reason(cluster) == "CanaryProgressing"
    assert cluster.weights[cluster.target] == 50


def test_weights_that_follow_each_other_wait_until_the_former_was_seen() -> None:
    steps = [{"setWeight": 10}, {"setWeight": 50}]
    cluster = begun(rollout=canary(steps=steps, analysis={"intervalSeconds": 5}), load=0)
    cluster.run(50)
    assert cluster.weights[cluster.target] == 10
    cluster.load = 2000
    assert weights(cluster)[-1] == 100


def test_without_auto_rollback_a_failing_canary_pauses_until_a_person_decides() -> None:
    cluster = begun(rollout=canary(analysis={"intervalSeconds": 5}, autoRollback=False), errors={2: 0.25})
    cluster.run(60)
    assert cluster.weights[cluster.target] == 10
    assert cluster.condition("CanaryPaused")["reason"] == "AnalysisFailed"
    bad = cluster.target
    act(cluster, "abort")
    cluster.run(30)
    assert cluster.status["rejected"]["by"] == "Person"
    assert not cluster.of(bad)


def test_a_canary_that_fails_while_it_takes_over_gives_everything_back() -> None:
    rollout = {"strategy": "Canary", "steps": [{"setWeight": 20}, {"pause": {"durationSeconds": 10}}]}
    cluster = begun(replicas=4, rollout=rollout)
    bad = cluster.target
    cluster.run(60, until=lambda c: c.weights.get(bad, 0) > 20)
    cluster.errors = {2: 0.5}
    cluster.run(60, until=lambda c: c.status.get("rejected"))
    cluster.run(40)
    assert cluster.weights == {cluster.status["stable"]["name"]: 100}
    assert cluster.status["stable"]["version"] == 1
    assert not cluster.of(bad)


def test_a_long_good_time_does_not_excuse_what_fails_while_it_takes_over() -> None:
    cluster = begun(replicas=8, load=2000)
    bad = cluster.target
    cluster.run(200, until=lambda c: c.weights.get(bad, 0) > 50)
    cluster.errors = {2: 0.3}
    cluster.run(10, until=lambda c: c.status.get("rejected"))
    assert cluster.status["rejected"]["reason"] == "CanaryFailed"
    assert "while it took over" in cluster.status["rejected"]["message"]
    assert len(cluster.of(cluster.status["stable"]["name"])) > 2
    cluster.run(60)
    assert cluster.weights == {cluster.status["stable"]["name"]: 100}


def test_a_canary_that_serves_waits_for_gpus_as_long_as_it_takes() -> None:
    steps = [{"setWeight": 20}, {"pause": {"durationSeconds": 20}}, {"setWeight": 50}]
    rollout = canary(steps=steps, maxSurgeGPUs=4, provisionTimeoutSeconds=100)
    cluster = begun(replicas=4, rollout=rollout, slots=6)
    cluster.run(100)
    assert cluster.weights[cluster.target] == 20
    assert (reason(cluster), cluster.condition("Stalled")["status"]) == ("SurgeExhausted", "False")
    assert "Insufficient nvidia.com/gpu" in cluster.condition("Ready")["message"]
    assert "smaller setWeight" in cluster.condition("Ready")["message"]
    cluster.slots = 8
    assert weights(cluster)[-1] == 100


def test_a_canary_that_finds_no_gpu_for_its_first_pod_is_rejected() -> None:
    rollout = canary(maxSurgeGPUs=1, steps=[{"setWeight": 20}], provisionTimeoutSeconds=100)
    cluster = begun(replicas=4, rollout=rollout, slots=4)
    cluster.run(60)
    assert cluster.status["rejected"]["reason"] == "InsufficientGPU"


def test_a_crashing_canary_gets_no_requests() -> None:
    cluster = begun(replicas=2)
    cluster.run(60, until=lambda c: c.weights.get(c.target) == 10)
    for pod in cluster.of(cluster.target):
        cluster.disturb(pod)
    cluster.run(3)
    assert cluster.weights == {cluster.status["stable"]["name"]: 100}
    assert weights(cluster)[-1] == 100


def test_two_revisions_of_which_none_was_ever_whole_do_not_keep_each_other_from_the_last_pod() -> None:
    rollout = {"strategy": "Canary"}
    cluster = Cluster(spec_of(1, replicas=2, rollout=rollout))
    cluster.run(5)
    cluster.change(spec_of(2, replicas=2, rollout=rollout))
    cluster.run(15)
    cluster.change(spec_of(1, replicas=3, rollout=rollout))
    cluster.settle()
    assert (cluster.condition("Ready")["status"], len(cluster.pods)) == ("True", 3)


def test_a_canary_that_cannot_load_is_rejected_before_it_gets_a_request() -> None:
    cluster = begun(BROKEN, final=True)
    bad = cluster.target
    assert weights(cluster, ticks=40) == [0]
    assert cluster.status["rejected"]["name"] == bad
    assert not cluster.of(bad)


def test_a_person_pauses_resumes_skips_and_promotes() -> None:
    steps = [{"setWeight": 10}, {"pause": {}}, {"setWeight": 30}, {"pause": {"durationSeconds": 3600}}]
    cluster = begun(replicas=4, rollout={"strategy": "Canary", "steps": steps})
    cluster.run(60)
    assert cluster.weights[cluster.target] == 10
    assert cluster.condition("CanaryPaused")["reason"] == "CanaryPauseStep"
    act(cluster, "pause")
    act(cluster, "skip-step")
    cluster.run(20)
    assert cluster.weights[cluster.target] == 10
    assert cluster.condition("CanaryPaused")["reason"] == "UserRequested"
    act(cluster, "resume")
    cluster.run(20)
    assert cluster.weights[cluster.target] == 30
    act(cluster, "promote")
    cluster.settle()
    assert cluster.status["stable"]["version"] == 2


def test_a_person_promotes_fully_from_the_first_step() -> None:
    cluster = begun(replicas=4)
    cluster.run(60, until=lambda c: c.weights.get(c.target) == 10)
    act(cluster, "promote-full")
    assert weights(cluster)[-1] == 100


def test_a_person_aborts_and_retries() -> None:
    cluster = begun(replicas=2)
    bad = cluster.target
    cluster.run(60, until=lambda c: c.weights.get(bad) == 50)
    act(cluster, "abort")
    cluster.run(30)
    assert cluster.weights == {cluster.status["stable"]["name"]: 100}
    assert reason(cluster) == "Aborted"
    assert not cluster.of(bad)
    act(cluster, "retry", bad)
    cluster.settle()
    assert cluster.status["stable"]["version"] == 2


def looking_up(**more: Any) -> tuple[Cluster, str]:
    """A service whose canary is on trial while the sources of a newer spec are silent; and the canary's revision."""
    rollout = canary(steps=[{"setWeight": 10}, {"pause": {}}])
    asked = {"replicas": 2, "rollout": rollout}
    cluster = Cluster(spec_of(1, model={"uri": "s3://models/resnet50"}, **asked), **more)
    cluster.settle()
    change(cluster, spec_of(2, model={"uri": "s3://models/resnet50"}, **asked))
    bad = cluster.target
    cluster.run(60, until=lambda c: c.weights.get(bad) == 10)
    cluster.silent = True
    cluster.change(spec_of(3, model={"uri": "s3://models/resnet50"}, **asked))
    cluster.run(3)
    assert cluster.weights[bad] == 10
    return cluster, bad


def test_an_abort_while_the_next_spec_is_looked_up_ends_the_canary_and_not_that_spec() -> None:
    cluster, bad = looking_up()
    act(cluster, "abort", bad)
    cluster.run(30)
    assert cluster.weights == {cluster.status["stable"]["name"]: 100}
    assert not cluster.of(bad)
    assert reason(cluster) == "Resolving"
    assert (cluster.status["rejected"]["name"], cluster.status["rejected"]["by"]) == (bad, "Person")
    cluster.restart_operator()
    cluster.run(5)
    assert not cluster.of(bad)
    cluster.silent = False
    cluster.run(200, until=lambda c: c.weights.get(c.target) == 10 and c.target != bad)
    assert cluster.status["canary"]["version"] == 3
    assert "rejected" not in cluster.status


def test_an_abort_that_comes_with_another_spec_leaves_that_spec_alone() -> None:
    cluster = begun(replicas=2)
    bad = cluster.target
    cluster.run(60, until=lambda c: c.weights.get(bad) == 10)
    act(cluster, "abort", bad)
    runtime = cluster.spec.runtime.model_copy(update={"args": ["--model-load-thread-count=2"]})
    cluster.change(cluster.spec.model_copy(update={"runtime": runtime}))
    cluster.settle()
    assert cluster.target != bad
    assert cluster.status["stable"]["name"] == cluster.target
    (ignored,) = (event.message for event in cluster.told if event.reason == "ActionIgnored")
    assert ignored.endswith("by now, which takes the place of that one")


def test_the_spec_of_stable_again_ends_the_trial() -> None:
    cluster = begun(replicas=2)
    bad = cluster.target
    cluster.run(60, until=lambda c: c.weights.get(bad) == 50)
    cluster.change(spec_of(1, replicas=2, rollout=canary()))
    cluster.settle()
    assert cluster.weights == {cluster.status["stable"]["name"]: 100}
    assert not cluster.of(bad)


def test_a_third_version_begins_anew_once_the_second_has_gone() -> None:
    cluster = begun(replicas=2)
    second = cluster.target
    cluster.run(60, until=lambda c: c.weights.get(second) == 50)
    change(cluster, spec_of(3, replicas=2, rollout=canary()))
    third = cluster.target
    while not cluster.weights.get(third):
        cluster.tick()
        others = cluster.weights.get(second, 0) + cluster.weights[cluster.status["stable"]["name"]]
        assert others + cluster.weights.get(third, 0) == 100
    assert not cluster.weights.get(second)
    assert cluster.weights[third] == 10
    assert weights(cluster)[-1] == 100
    assert {pod.revision for pod in cluster.pods} == {third}


def test_steps_edited_in_mid_rollout_never_raise_the_weight_by_themselves() -> None:
    cluster = begun(replicas=2)
    cluster.run(60, until=lambda c: c.weights.get(c.target) == 50)
    lower = [{"setWeight": 5}, {"setWeight": 20}, {"pause": {}}, {"setWeight": 60}]
    cluster.change(spec_of(2, replicas=2, rollout=canary(steps=lower)))
    cluster.run(20)
    assert cluster.weights[cluster.target] == 20


def test_suspended_and_resumed_in_mid_rollout() -> None:
    cluster = begun(replicas=2)
    cluster.run(60, until=lambda c: c.weights.get(c.target) == 50)
    cluster.change(spec_of(2, replicas=2, rollout=canary(), suspend=True))
    cluster.run(20)
    assert not cluster.pods
    cluster.change(spec_of(2, replicas=2, rollout=canary()))
    cluster.run(60, until=lambda c: c.weights.get(c.target) == 10)
    assert cluster.status["stable"]["version"] == 1
    assert weights(cluster)[-1] == 100


def test_replicas_and_version_changed_together() -> None:
    cluster = Cluster(spec_of(1, replicas=2, rollout=canary()))
    cluster.settle()
    change(cluster, spec_of(2, replicas=5, rollout=canary()))
    assert weights(cluster)[-1] == 100
    assert len(cluster.serving()) == 5


def test_a_restart_or_a_lost_record_moves_no_traffic_up() -> None:
    cluster = begun(replicas=2)
    cluster.run(60, until=lambda c: c.weights.get(c.target) == 10)
    cluster.restart_operator()
    cluster.run(1)
    assert cluster.weights[cluster.target] == 10
    cluster.lose_record()
    cluster.run(2)
    assert cluster.weights.get(cluster.target, 0) <= 10
    assert weights(cluster)[-1] == 100


def test_an_unreachable_step_is_refused_before_anything_moves() -> None:
    rollout = canary(maxSurgeGPUs=1)
    cluster = Cluster(spec_of(1, replicas=4, rollout={"strategy": "Canary", "maxSurgeGPUs": 1}))
    cluster.settle()
    cluster.change(spec_of(2, replicas=4, rollout=rollout))
    cluster.run(30)
    accepted = cluster.condition("Accepted")
    assert (accepted["status"], accepted["reason"]) == ("False", "StepUnreachable")
    assert accepted["message"] == (
        "spec.rollout.steps[2].setWeight 50 needs 4 pods beside the 4 that serve, and rollout.maxSurgeGPUs has room for"
        " 1: set it to 4, or the weight to at most 20"
    )
    assert cluster.status["stable"]["version"] == 1
    assert len(cluster.pods) == 4


def test_without_steps_the_weights_are_what_pods_carry() -> None:
    cluster = begun(replicas=4, rollout={"strategy": "Canary"})
    seen = weights(cluster)
    assert seen[:3] == [0, 5, 20]
    assert seen[-1] == 100


def test_backends_stay_in_their_slots() -> None:
    cluster = begun(replicas=2)
    first = cluster.status["stable"]["name"]
    cluster.settle()
    second = cluster.target
    record = decode(cluster.record or "")
    assert record
    assert record.slots.index(second) == 1
    change(cluster, spec_of(3, replicas=2, rollout=canary()))
    cluster.run(60, until=lambda c: c.weights.get(c.target) == 10)
    assert cluster.route
    names = [backend["name"] for backend in cluster.route["spec"]["rules"][0]["backendRefs"]]
    assert names == [cluster.target, second]
    assert first not in names


def test_a_version_that_is_named_goes_to_its_revision() -> None:
    cluster = begun(replicas=2)
    stable = cluster.status["stable"]["name"]
    cluster.run(60, until=lambda c: c.weights.get(c.target) == 10)
    assert cluster.route
    pinned = {
        rule["matches"][0]["path"]["value"]: rule["backendRefs"][0]["name"]
        for rule in cluster.route["spec"]["rules"][2:]
    }
    assert pinned == {"/v2/models/resnet50/versions/1": stable, "/v2/models/resnet50/versions/2": cluster.target}


@pytest.mark.parametrize(
    "refusal",
    [
        {"type": "Accepted", "status": "False", "reason": "UnsupportedValue"},
        {"type": "ResolvedRefs", "status": "False", "reason": "InvalidKind", "message": "Filters of backends: no"},
    ],
)
def test_where_a_gateway_takes_no_filters_of_backends_answers_do_not_name_their_revision(refusal: Json) -> None:
    cluster = begun(replicas=2, refusal=refusal, controller="example.com/gateway")
    for _ in range(200):
        cluster.tick()
        assert sum(cluster.weights.values()) in (0, 100, 1_000_001)
    assert cluster.status["stable"]["version"] == 2
    assert cluster.condition("Ready")["status"] == "True"
    assert "answers do not tell their revision" in cluster.condition("TrafficVerified")["message"]
    assert cluster.route
    backends = [of for rule in cluster.route["spec"]["rules"] for of in rule["backendRefs"]]
    assert not any("filters" in of for of in backends)
    assert cluster.spec.routing.gateway
    gateway = cluster.spec.routing.gateway.model_copy(update={"parent_refs": [ParentRef(name="another")]})
    cluster.refusal = None
    cluster.change(cluster.spec.model_copy(update={"routing": Routing(gateway=gateway)}))
    cluster.run(10)
    assert all("filters" in of for rule in cluster.route["spec"]["rules"] for of in rule["backendRefs"])
    assert cluster.condition("TrafficVerified")["message"] == "every Gateway has taken over the weights"


def test_a_refusal_that_is_not_for_filters_is_told_in_the_gateways_words() -> None:
    cluster = Cluster(spec_of(1, rollout=canary()))
    cluster.refusal = {
        "type": "ResolvedRefs",
        "status": "False",
        "reason": "RefNotPermitted",
        "message": "no ReferenceGrant",
    }
    cluster.run(30)
    told = cluster.condition("TrafficVerified")
    assert (told["status"], told["reason"]) == ("False", "RouteNotAccepted")
    assert told["message"] == "a Gateway says of the HTTPRoute vision: RefNotPermitted: no ReferenceGrant"
    assert cluster.route
    assert all("filters" in of for rule in cluster.route["spec"]["rules"] for of in rule["backendRefs"])


def test_a_route_that_no_gateway_takes_is_stalled_after_a_while_and_recovers() -> None:
    cluster = Cluster(spec_of(1, rollout=canary()))
    cluster.refusal = {"type": "Accepted", "status": "False", "reason": "NotAllowedByListeners", "message": "no"}
    cluster.run(30, until=lambda c: reason(c) == "RouteNotAccepted")
    assert (cluster.condition("Ready")["status"], cluster.condition("Stalled")["status"]) == ("Unknown", "False")
    cluster.run(10)
    assert (cluster.condition("Ready")["status"], cluster.condition("Stalled")["status"]) == ("False", "True")
    assert cluster.condition("Available")["status"] == "True"
    change(cluster, spec_of(2, rollout=canary()))
    cluster.run(30)
    assert "0 % of requests go to" in cluster.condition("Ready")["message"]
    assert "NotAllowedByListeners: no" in cluster.condition("Stalled")["message"]
    assert cluster.status["stable"]["version"] == 1
    cluster.refusal = None
    assert weights(cluster)[-1] == 100
    assert cluster.condition("Ready")["status"] == "True"


def test_where_a_gateways_proxies_are_not_read_triton_counts_and_slow_requests_are_refused() -> None:
    cluster = begun(errors={2: 0.25}, controller="example.com/gateway")
    cluster.run(60, until=lambda c: c.status.get("rejected"))
    assert cluster.status["rejected"]["reason"] == "CanaryFailed"
    slow = canary(analysis={"slowRequests": {"thresholdMilliseconds": 40}})
    change(cluster, spec_of(3, rollout=slow))
    cluster.run(10)
    told = cluster.condition("Accepted")
    assert told["reason"] == "SlowRequestsUnjudged"
    assert "a Gateway here is of example.com/gateway: remove slowRequests" in told["message"]


def with_grpc(spec: InferenceServiceSpec, grpc: str) -> InferenceServiceSpec:
    assert spec.routing.gateway
    gateway = spec.routing.gateway.model_copy(update={"grpc": grpc})
    return spec.model_copy(update={"routing": spec.routing.model_copy(update={"gateway": gateway})})


def shares(cluster: Cluster) -> list[dict[str, int]]:
    """The weights in the HTTPRoute and the GRPCRoute, as far as they are there."""
    return [
        {of["name"]: of["weight"] for of in body["spec"]["rules"][0]["backendRefs"]} for body in cluster.routes.values()
    ]


def test_both_routes_have_the_same_weights_and_a_step_waits_until_both_are_taken_over() -> None:
    cluster = begun(replicas=2, rollout=canary() | {"grpc": "GRPCRoute"})
    seen, late = [0], 0
    for _ in range(200):
        taken = {
            of["status"]["parents"][0]["conditions"][0]["observedGeneration"] == of["metadata"]["generation"]
            for of in cluster.routes.values()
        }
        late += taken != {True}
        cluster.tick()
        if cluster.condition("TrafficVerified")["status"] == "True":
            assert taken == {True}
        http, grpc = shares(cluster)
        assert http == grpc
        weight = cluster.weights.get(cluster.target, 0)
        seen += [weight] if weight != seen[-1] else []
    assert late
    assert seen[:3] == [0, 10, 50]
    assert seen == sorted(seen)
    assert cluster.status["stable"]["version"] == 2


def test_a_route_for_calls_that_comes_and_goes_changes_no_weight_and_no_evidence() -> None:
    rollout = canary(steps=[{"setWeight": 10}, {"pause": {}}, {"setWeight": 50}])
    cluster = begun(replicas=2, rollout=rollout)
    cluster.run(60, until=lambda c: reason(c) == "CanaryPaused")
    cluster.run(4)
    counted = cluster.status["rollout"]["canary"]["requests"]
    cluster.change(with_grpc(cluster.spec, "GRPCRoute"))
    cluster.tick()
    assert [sum(of.values()) for of in shares(cluster)] == [100, 100]
    for pod in cluster.pods:  # counters of other rules are other sums
        pod.requests += 10_000
    for _ in range(20):
        cluster.tick()
        assert cluster.weights[cluster.target] == 10
    later = cluster.status["rollout"]["canary"]["requests"]
    assert counted < later <= counted + 21 * cluster.load
    cluster.change(with_grpc(cluster.spec, "SameRoute"))
    cluster.run(4)
    assert list(cluster.routes) == [names.HTTP_ROUTE]
    assert cluster.weights[cluster.target] == 10
    act(cluster, "promote")
    cluster.settle()
    assert cluster.status["stable"]["version"] == 2


def test_what_takes_the_gateway_no_time_takes_the_operator_no_write() -> None:
    cluster = begun(replicas=2)
    cluster.run(60, until=lambda c: c.weights.get(c.target) == 10)
    cluster.run(3)
    writes, until = cluster.writes, cluster.now + 6 * TICK
    while cluster.now < until:
        cluster.tick()
    assert cluster.writes - writes <= 6 * TICK / 10 * 2


def test_without_the_gateway_api_the_spec_is_refused_and_what_runs_serves_on() -> None:
    cluster = Cluster(spec_of(1, replicas=2))
    cluster.gateway_api = False
    cluster.settle()
    change(cluster, spec_of(2, replicas=2, rollout=canary()))
    cluster.run(20)
    assert cluster.condition("Accepted")["reason"] == "GatewayAPIMissing"
    assert {pod.revision for pod in cluster.serving()} == {cluster.status["stable"]["name"]}
    cluster.gateway_api = True
    cluster.restart_operator()
    assert weights(cluster)[-1] == 100


def test_a_service_whose_host_name_is_taken_gets_no_route_and_serves_on() -> None:
    cluster = Cluster(spec_of(1, replicas=2))
    cluster.settle()
    cluster.rival = "other/vision"
    change(cluster, spec_of(2, replicas=2, rollout=canary()))
    cluster.run(20)
    assert cluster.condition("Accepted")["reason"] == "Conflict"
    assert "the InferenceService other/vision already has a route" in cluster.condition("Accepted")["message"]
    assert cluster.route is None
    assert {pod.revision for pod in cluster.serving()} == {cluster.status["stable"]["name"]}
    cluster.rival = None
    assert weights(cluster)[-1] == 100


def test_while_nothing_can_be_counted_nothing_moves_and_nothing_is_rolled_back() -> None:
    analysis = {"intervalSeconds": 5, "maxDurationSeconds": 1000}
    cluster = begun(rollout=canary(analysis=analysis), errors={2: 0.25}, blind=True)
    cluster.run(100)
    assert cluster.weights[cluster.target] == 10
    assert "nothing was counted: it does not answer" in cluster.condition("Ready")["message"]
    assert cluster.condition("TrafficVerified")["reason"] == "ShareUnknown"
    cluster.blind = False
    cluster.run(20)
    assert cluster.status["rejected"]["reason"] == "CanaryFailed"


def test_news_that_stop_in_mid_rollout_hold_it_where_it_is() -> None:
    cluster = begun(rollout=canary(analysis={"intervalSeconds": 5}), load=20)
    cluster.run(60, until=lambda c: c.weights.get(c.target) == 10)
    cluster.run(5)
    cluster.blind = True
    cluster.run(60)
    assert cluster.weights[cluster.target] == 10
    assert "nothing was counted since" in cluster.condition("Ready")["message"]
    cluster.blind = False
    assert 50 in weights(cluster, ticks=20)


def test_while_nobody_tells_which_calls_fail_nothing_moves_and_nothing_passes() -> None:
    cluster = begun(rollout=canary(analysis={"intervalSeconds": 5}), load=2000, unseen=True)
    cluster.run(100)
    assert cluster.weights[cluster.target] == 10
    told = cluster.condition("TrafficVerified")
    assert (told["status"], told["reason"]) == ("Unknown", "GrpcStatusUnseen")
    cluster.unseen = False
    cluster.errors = {2: 0.25}
    cluster.run(10)
    assert cluster.status["rejected"]["reason"] == "CanaryFailed"


def test_a_canary_is_known_to_the_gateways_before_it_gets_a_share_and_until_its_pods_go() -> None:
    cluster = begun(rollout=canary(analysis={"intervalSeconds": 5}), errors={2: 0.25})
    stable, seen = cluster.status["stable"]["name"], []
    for _ in range(80):
        cluster.tick()
        assert cluster.route
        parts = [(of["name"], of["weight"]) for of in cluster.route["spec"]["rules"][0]["backendRefs"]]
        now = dict(sorted(parts)) if len(dict(parts)) > 1 else {stable: 100}
        if not seen or now != seen[-1]:
            seen.append(now)
    bad = cluster.status["rejected"]["name"]
    known = {stable: 1_000_000, bad: 1}
    assert seen == [{stable: 100}, known, {stable: 90, bad: 10}, known, {stable: 100}]


def test_a_backend_that_the_gateways_have_only_just_got_is_looked_at_again_soon() -> None:
    cluster = begun()
    cluster.run(60, until=lambda c: c.target in json.loads(c.record or "{}").get("known", {}))
    assert cluster.weights == {cluster.status["stable"]["name"]: 100, cluster.target: 0}
    assert cluster.plan.look_again == 2
    cluster.tick()
    assert cluster.weights[cluster.target] == 10


def test_a_gateway_that_shares_otherwise_than_it_says_is_found_by_what_is_counted() -> None:
    cluster = begun(replicas=2)
    cluster.sticky = cluster.status["stable"]["name"]
    cluster.run(100)
    told = cluster.condition("TrafficVerified")
    assert (told["status"], told["reason"]) == ("False", "ShareNotObserved")
    assert (
        f"0 of {cluster_requests(told)} requests went to {cluster.target} since its weight is 10 %" in told["message"]
    )
    assert cluster.status["rollout"]["step"] == 2
    cluster.sticky = ""
    assert weights(cluster)[-1] == 100
    assert cluster.condition("TrafficVerified")["status"] == "True"


def cluster_requests(told: Json) -> str:
    return str(told["message"]).split(" ")[2]


def test_a_gateway_that_takes_nothing_over_moves_nothing() -> None:
    cluster = begun()
    cluster.gateway = False
    cluster.run(100)
    assert cluster.weights == {cluster.status["stable"]["name"]: 100}
    assert cluster.condition("TrafficVerified")["status"] == "False"
    cluster.gateway = True
    assert weights(cluster)[-1] == 100
