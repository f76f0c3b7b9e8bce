"""A person's own metrics: what is asked, what the values come to, and what a canary does by them."""

from typing import Any

import pytest

from triton_operator.api.metric import Metric
from triton_operator.api.rollout import Analysis
from triton_operator.api.settings import Prometheus, Settings
from triton_operator.core import measurements
from triton_operator.core.judge import Verdict
from triton_operator.core.record import Record, Tally, Trial
from triton_operator.core.world import Value

from .simulator import SETTINGS, Cluster, spec_of
from .test_canary import STEPS, act, begun, canary, change, reason, weights

Json = dict[str, Any]

FORBIDDEN = Settings(prepareImage="operator:1", prometheus=Prometheus(url="http://prometheus", allowQueries=False))


def metric(**more: Any) -> Json:
    return {"name": "queue", "query": "q", "success": {"max": 50}, "failure": {"min": 200}} | more


def judged(*metrics: Json, **more: Any) -> Json:
    """A canary that is judged by these every five seconds, and by little else."""
    errors = {"materialPermille": 50, "floorPermille": 400}
    return canary(analysis={"intervalSeconds": 5, "errors": errors, "metrics": [*metrics]} | more)


def measured(cluster: Cluster) -> Json:
    (found,) = cluster.status["rollout"]["metrics"]
    return dict(found)


def test_what_a_query_names_is_filled_in() -> None:
    query = (
        'a{pod=~"{{canaryPods}}"} / a{pod=~"{{ stablePods }}"} > {{canary}} {{stable}} {{namespace}} {{service}}'
        "[{{interval}}]"
    )
    analysis = Analysis.model_validate({"metrics": [metric(query=query)], "intervalSeconds": 15})
    record = Record(stable="v-1", trial=Trial(revision="v-2", steps=""))
    pods = [
        {"metadata": {"name": f"{revision}-{n}", "labels": {"serving.triton-operator.dev/revision": revision}}}
        for revision, n in (("v-2", "b"), ("v-1", "c"), ("v-2", "a"), ("v-0", "d"))
    ]
    asked = measurements.queries("models", "vision", record, analysis, pods)
    assert asked == {"queue": 'a{pod=~"v-2-a|v-2-b"} / a{pod=~"v-1-c"} > v-2 v-1 models vision[15s]'}
    assert 'pod=~"-"' in measurements.queries("models", "vision", record, analysis, ())["queue"]


@pytest.mark.parametrize(
    ("ranges", "values"),
    [
        pytest.param({"success": {"max": 50}}, {50: "PASS", 51: "FAIL", -1: "PASS"}, id="all else is a failure"),
        pytest.param({"failure": {"min": 200}}, {199: "PASS", 200: "FAIL"}, id="all else is a success"),
        pytest.param(
            {"success": {"max": 50}, "failure": {"min": 200}},
            {50: "PASS", 51: "CONTINUE", 199: "CONTINUE", 200: "FAIL", float("inf"): "FAIL"},
            id="between both is neither",
        ),
        pytest.param(
            {"success": {"min": 0, "max": 50}, "failure": {"min": 40}}, {39: "PASS", 40: "FAIL"}, id="failure is first"
        ),
        pytest.param({"success": {"max": 50}}, {None: "CONTINUE"}, id="no value is neither"),
    ],
)
def test_what_one_value_is(ranges: Json, values: dict[float | None, str]) -> None:
    of = Metric.model_validate({"name": "m", "query": "q"} | ranges)
    assert {value: measurements.kind_of(of, value).value for value in values} == values


def test_a_metric_passes_by_enough_good_values_if_the_last_one_is_good() -> None:
    of = Metric.model_validate(metric(requiredSuccesses=2, failureLimit=1, inconclusiveLimit=1))
    tally, verdicts = Tally(), []
    for number in (10, 100, 10, 300, 10, 100, None, 300):
        tally = measurements.heard(of, tally, Value(number), counts=True)
        verdicts.append(measurements.verdict_of(of, tally))
    go_on, passed = Verdict.CONTINUE, Verdict.PASS
    assert verdicts == [go_on, go_on, passed, go_on, passed, go_on, Verdict.INCONCLUSIVE, Verdict.FAIL]


def test_a_canary_whose_metric_is_good_takes_over() -> None:
    cluster = begun(rollout=judged(metric()), values={"queue": Value(12.34567)})
    cluster.run(60, until=lambda c: c.status.get("rollout", {}).get("metrics", [{}])[0].get("good"))
    assert measured(cluster)["value"] == "12.3457"
    assert "queue is 12.3457 (1 good, 0 bad)" in cluster.condition("Ready")["message"]
    assert weights(cluster)[-1] == 100


def test_a_canary_whose_metric_is_bad_too_often_is_rolled_back() -> None:
    cluster = begun(rollout=judged(metric(failureLimit=1)), values={"queue": Value(300.0)})
    assert max(weights(cluster, until=lambda c: c.status.get("rejected"))) == 10
    rejected = cluster.status["rejected"]
    assert rejected["reason"] == "CanaryFailed"
    words = "the metric queue was bad 2 times, and failureLimit is 1: the last value is 300, and it should be"
    assert f"{words} at most 50" in rejected["message"]


def test_values_of_the_weight_before_are_not_counted() -> None:
    cluster = begun(rollout=judged(metric(), intervalSeconds=30), values={"queue": Value(300.0)})
    cluster.run(60, until=lambda c: c.weights.get(c.target) == 10)
    cluster.run(4)
    assert measured(cluster)["bad"] == 0
    cluster.run(10)
    assert measured(cluster)["bad"] == 1


def test_a_metric_that_is_never_good_pauses_and_can_be_resumed() -> None:
    cluster = begun(rollout=judged(metric(inconclusiveLimit=3)), values={"queue": Value(100.0)})
    cluster.run(60, until=lambda c: reason(c) == "CanaryPaused")
    assert "a metric has told nothing for too long: promote, abort, or resume" in cluster.condition("Ready")["message"]
    assert (cluster.status["rollout"]["verdict"], measured(cluster)["unclear"]) == ("INCONCLUSIVE", 4)
    act(cluster, "resume")
    cluster.values["queue"] = Value(10.0)
    assert weights(cluster)[-1] == 100


def test_a_query_that_is_none_is_told_of_before_any_request_is_sent() -> None:
    words = "Prometheus says: parse error: unclosed left parenthesis"
    cluster = begun(rollout=judged(metric()), values={"queue": Value(trouble=words, invalid=True)})
    cluster.run(30)
    assert cluster.weights.get(cluster.target, 0) == 0
    accepted = cluster.condition("Accepted")
    assert (accepted["status"], accepted["reason"]) == ("False", "InvalidQuery")
    assert accepted["message"] == f"spec.rollout.analysis.metrics[0].query, of queue: {words}"
    assert cluster.condition("Available")["status"] == "True"
    cluster.values["queue"] = Value(1.0)
    change(cluster, spec_of(2, replicas=1, rollout=judged(metric(query="(q)"))))
    assert weights(cluster)[-1] == 100


def test_a_query_that_turns_invalid_holds_the_trial_and_does_not_save_a_bad_version() -> None:
    cluster = begun(rollout=judged(metric()), values={"queue": Value(1.0)})
    cluster.run(60, until=lambda c: c.weights.get(c.target) == 10)
    cluster.values["queue"] = Value(trouble="Prometheus says: parse error", invalid=True)
    cluster.run(60)
    assert cluster.weights[cluster.target] == 10
    assert cluster.condition("Accepted")["reason"] == "InvalidQuery"
    cluster.errors[2] = 1.0
    cluster.run(20)
    assert cluster.status["rejected"]["reason"] == "CanaryFailed"
    assert cluster.weights == {cluster.status["stable"]["name"]: 100}


def test_while_prometheus_is_away_nothing_moves_and_then_it_goes_on() -> None:
    cluster = begun(rollout=judged(metric(inconclusiveLimit=100)), values={"queue": Value(1.0)}, blind=True)
    cluster.run(40)
    assert cluster.weights.get(cluster.target, 0) == 0
    assert "the metric queue cannot be had: it does not answer" in cluster.condition("Ready")["message"]
    assert cluster.condition("Accepted")["status"] == "True"
    cluster.blind = False
    cluster.run(60, until=lambda c: c.weights.get(c.target) == 10)
    cluster.blind = True
    cluster.run(40)
    assert cluster.weights[cluster.target] == 10
    cluster.blind = False
    assert weights(cluster)[-1] == 100


def test_a_metric_that_is_edited_is_asked_anew() -> None:
    cluster = begun(rollout=judged(metric(failureLimit=10)), values={"queue": Value(300.0)})
    cluster.run(60, until=lambda c: c.status.get("rollout", {}).get("metrics", [{}])[0].get("bad") == 9)
    change(cluster, spec_of(2, replicas=1, rollout=judged(metric(failureLimit=10, query="r"))))
    cluster.run(2)
    assert measured(cluster)["bad"] < 9
    cluster.values["queue"] = Value(1.0)
    assert weights(cluster)[-1] == 100


def test_a_persons_own_queries_may_be_forbidden() -> None:
    cluster = Cluster(spec_of(1, replicas=2, rollout=judged(metric())), settings=FORBIDDEN)
    cluster.run(5)
    accepted = cluster.condition("Accepted")
    assert (accepted["status"], accepted["reason"]) == ("False", "QueriesForbidden")
    assert accepted["message"] == (
        "spec.rollout.analysis.metrics may not be used here, as the operator's setting prometheus.allowQueries is"
        " false: remove metrics, or ask who runs the operator to allow them"
    )
    assert cluster.condition("Stalled")["status"] == "True"
    assert not cluster.pods
    change(cluster, spec_of(1, replicas=2, rollout=canary()))
    cluster.settle()
    assert cluster.condition("Ready")["status"] == "True"
    change(cluster, spec_of(2, replicas=2, rollout=canary()))
    assert weights(cluster)[-1] == 100  # other judges are not affected


def test_what_serves_serves_on_where_queries_are_forbidden_later() -> None:
    cluster = begun(rollout=judged(metric()), values={"queue": Value(1.0)})
    cluster.run(200, until=lambda c: c.weights.get(c.target) == 100)
    cluster.settle()
    cluster.settings = FORBIDDEN
    cluster.settle()
    assert cluster.condition("Ready")["status"] == "True"
    stable = cluster.status["stable"]["name"]
    cluster.change(spec_of(3, replicas=1, rollout=judged(metric())))
    cluster.settle()
    assert cluster.condition("Accepted")["reason"] == "QueriesForbidden"
    assert cluster.condition("Available")["status"] == "True"
    assert cluster.weights == {stable: 100}


def test_a_trial_is_held_where_queries_are_forbidden_meanwhile_whatever_they_came_to_before() -> None:
    steps = [{"setWeight": 10}, {"pause": {"durationSeconds": 60}}]
    cluster = begun(
        rollout=judged(metric(requiredSuccesses=1, inconclusiveLimit=1000), steps=steps), values={"queue": Value(1.0)}
    )
    cluster.run(60, until=lambda c: measured(c)["good"] if "metrics" in c.status.get("rollout", {}) else 0)
    cluster.settings = FORBIDDEN
    cluster.run(100)
    assert cluster.weights[cluster.target] == 10
    assert cluster.condition("Accepted")["reason"] == "QueriesForbidden"
    assert measured(cluster)["message"] == "the operator's setting prometheus.allowQueries is false"
    cluster.settings = SETTINGS
    assert weights(cluster)[-1] == 100


def test_metrics_need_a_prometheus() -> None:
    rollout = judged(metric(), maxDurationSeconds=600)
    cluster = Cluster(spec_of(1, replicas=2, rollout=rollout), settings=Settings(prepareImage="operator:1"))
    cluster.run(5)
    assert cluster.condition("Accepted")["reason"] == "PrometheusNeeded"
    assert "spec.rollout.analysis.metrics needs" in cluster.condition("Accepted")["message"]
    assert rollout["steps"] == STEPS
