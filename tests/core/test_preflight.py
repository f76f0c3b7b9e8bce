"""Before a new revision gets its first request: what is compared, what is asked, and what never stands in the way."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from triton_operator.api.names import LABEL_REVISION
from triton_operator.core.record_text import decode
from triton_operator.core.rollout import START_SECONDS

from .simulator import TICK, Cluster, spec_of
from .test_histories import CALM, HISTORY, RELAXED, ROLLOUTS, Step, assert_settled, live, take

Json = dict[str, Any]

REQUEST = {
    "inputs": [{"name": "X", "datatype": "FP32", "shape": [1, 2], "data": [1, 2]}],
    "outputs": [{"name": "Y", "datatype": "FP32", "data": [3]}],
}
GOLDEN: Json = {"goldenRequests": {"configMapName": "golden"}}
REQUESTS: dict[str, Json] = {"golden": {"data": {"a.json": json.dumps(REQUEST)}}}
OTHER = 3
WRONG = 4
LONG_TICKS = int(3 * 900 / TICK)  # longer than pods may wait for nodes, and load


def settled(rollout: Json | None = None, **changes: Any) -> Cluster:
    cluster = Cluster(
        spec_of(1, replicas=2, rollout=rollout),
        strange=frozenset({OTHER}),
        wrong=frozenset({WRONG}),
        config_maps=dict(REQUESTS),
        **changes,
    )
    cluster.settle()
    return cluster


def version(cluster: Cluster) -> set[int]:
    return {cluster._version[pod.revision] for pod in cluster.serving()}


def reasons(cluster: Cluster) -> list[str]:
    return [announcement.reason for announcement in cluster.told]


@pytest.mark.parametrize("rollout", [{}, {"strategy": "BlueGreen"}])
def test_another_signature_is_rejected_unseen_by_any_request(rollout: Json) -> None:
    cluster = settled(rollout)
    pods = {pod.name for pod in cluster.pods}
    cluster.change(spec_of(OTHER, replicas=2, rollout=rollout))
    for _ in range(40):
        cluster.tick()
        assert version(cluster) == {1}
        assert len(cluster.serving()) == 2
    ready = cluster.condition("Ready")
    assert (ready["status"], ready["reason"]) == ("False", "SignatureChanged")
    assert "input X takes shape [7], took [2]" in ready["message"]
    assert "rollout.allowSignatureChange" in ready["message"]
    assert cluster.status["rejected"]["version"] == OTHER
    assert {pod.name for pod in cluster.pods} == pods  # its GPUs are free


def test_a_changed_signature_that_is_allowed_serves() -> None:
    cluster = settled()
    cluster.change(spec_of(OTHER, replicas=2))
    cluster.run(30)
    cluster.change(spec_of(OTHER, replicas=2, rollout={"allowSignatureChange": True}))
    cluster.settle()
    assert version(cluster) == {OTHER}
    assert_settled(cluster)


def test_going_back_over_a_changed_signature_needs_no_permission() -> None:
    cluster = settled()
    cluster.change(spec_of(OTHER, replicas=2, rollout={"allowSignatureChange": True}))
    cluster.settle()
    cluster.change(spec_of(1, replicas=2))  # as a revert in Git does
    cluster.settle()
    assert version(cluster) == {1}
    assert_settled(cluster)


@pytest.mark.parametrize("rollout", [{}, {"strategy": "BlueGreen"}, {"strategy": "Recreate"}])
def test_a_revision_that_answers_a_golden_request_otherwise_is_rejected(rollout: Json) -> None:
    cluster = settled(rollout | GOLDEN)
    cluster.change(spec_of(WRONG, replicas=2, rollout=rollout | GOLDEN))
    for _ in range(60):
        cluster.tick()
        assert version(cluster) <= {1}
    ready = cluster.condition("Ready")
    assert (ready["status"], ready["reason"], cluster.status["rejected"]["reason"]) == (
        "False",
        *["GoldenRequestFailed"] * 2,
    )
    assert cluster.status["lastFailure"]["message"] == "it says 6"
    assert cluster.status["lastFailure"]["pod"]
    assert version(cluster) == {1}


def test_the_first_revision_serves_only_when_it_has_answered_as_it_must() -> None:
    spec = spec_of(WRONG, replicas=2, rollout=GOLDEN)
    cluster = Cluster(spec, wrong=frozenset({WRONG}), config_maps=dict(REQUESTS))
    cluster.run(20)
    assert cluster.serving() == []
    assert all(cluster._version[pod.revision] == WRONG and pod.serves for pod in cluster.pods)
    assert cluster.condition("Ready")["reason"] == "GoldenRequestFailed"
    assert cluster.status["phase"] == "Failed"
    cluster.change(spec_of(1, replicas=2, rollout=GOLDEN))
    cluster.settle()
    assert_settled(cluster)


def test_a_revision_scaled_from_zero_is_asked_too() -> None:
    cluster = Cluster(spec_of(WRONG, replicas=0, rollout=GOLDEN), wrong=frozenset({WRONG}), config_maps=dict(REQUESTS))
    cluster.settle()
    assert cluster.condition("Ready")["reason"] == "ScaledToZero"
    cluster.change(cluster.spec.model_copy(update={"replicas": 2}))
    cluster.run(20)
    assert cluster.serving() == []
    assert cluster.condition("Ready")["reason"] == "GoldenRequestFailed"


def revision(cluster: Cluster, version: int) -> str:
    return next(n for n, body in cluster.revisions.items() if body["data"]["model"]["version"] == version)


@pytest.mark.parametrize("rollout", [{}, {"strategy": "BlueGreen"}, {"strategy": "Recreate"}])
@pytest.mark.parametrize("bad", [OTHER, WRONG])
def test_undo_leads_no_request_to_a_revision_that_was_never_admitted(rollout: Json, bad: int) -> None:
    cluster = settled(rollout | GOLDEN)
    first = revision(cluster, 1)
    cluster.change(spec_of(bad, replicas=2, rollout=rollout | GOLDEN))
    cluster.run(60)
    rejected = cluster.status["rejected"]["name"]
    cluster.change(spec_of(1, replicas=2, rollout=rollout | GOLDEN))
    cluster.settle()
    cluster.actions = {"undo": f"{rejected}/a"}
    for _ in range(60):
        cluster.tick()
        assert version(cluster) <= {1}
    (told,) = [told.message for told in cluster.told if told.reason == "UndoFailed"]
    reason = "SignatureChanged" if bad == OTHER else "GoldenRequestFailed"
    assert told.startswith(f"{rejected}, to which a person went back, has failed; {first} serves on: {reason}: ")
    assert cluster.of(rejected) == []  # its GPUs are free
    assert cluster.condition("Ready")["status"] == "True"
    assert len(cluster.serving()) == 2


def test_a_failed_undo_in_mid_update_leaves_the_spec_undone() -> None:
    cluster = settled(GOLDEN)
    first = revision(cluster, 1)
    cluster.change(spec_of(WRONG, replicas=2, rollout=GOLDEN))
    cluster.run(30)
    cluster.change(spec_of(2, replicas=2, rollout=GOLDEN))
    cluster.run(2)
    cluster.actions = {"undo": f"{revision(cluster, WRONG)}/a"}
    cluster.run(40)
    assert version(cluster) == {1}
    ready = cluster.condition("Ready")
    assert (ready["status"], ready["reason"]) == ("False", "Undone")
    assert f"which failed, and {first} serves on" in ready["message"]
    assert ready["message"].endswith("GoldenRequestFailed: it says 6")
    assert cluster.status["rejected"]["version"] == 2
    cluster.lose_record()
    cluster.run(10)
    assert cluster.status["rejected"]["version"] == 2


def test_undo_to_a_revision_that_has_served_asks_nothing_again() -> None:
    cluster = settled()
    cluster.change(spec_of(OTHER, replicas=2, rollout={"allowSignatureChange": True}))
    cluster.settle()
    cluster.change(spec_of(1, replicas=2))
    cluster.settle()
    cluster.actions = {"undo": f"{revision(cluster, OTHER)}/a"}
    cluster.run(40)
    assert version(cluster) == {OTHER}
    assert cluster.condition("Ready")["reason"] == "Undone"


def test_a_revision_that_was_never_admitted_is_none_to_go_back_to() -> None:
    cluster = settled(GOLDEN)
    cluster.change(spec_of(WRONG, replicas=0, rollout=GOLDEN))
    cluster.settle()
    cluster.change(spec_of(WRONG, replicas=1, rollout=GOLDEN))
    cluster.run(20)
    cluster.change(spec_of(2, replicas=1, rollout=GOLDEN))
    cluster.settle()
    assert_settled(cluster)


def test_golden_requests_of_a_decoupled_model_are_refused_and_it_serves_without() -> None:
    cluster = settled(GOLDEN, decoupled=frozenset({2}))
    cluster.change(spec_of(2, replicas=2, rollout=GOLDEN))
    for _ in range(30):
        cluster.tick()
        assert version(cluster) == {1}
    rejected = cluster.status["rejected"]
    assert rejected["reason"] == "GoldenRequestFailed"
    assert "the model is decoupled" in rejected["message"]
    assert "Remove rollout.goldenRequests" in cluster.condition("Ready")["message"]
    cluster.change(spec_of(2, replicas=2))
    cluster.settle()
    assert version(cluster) == {2}


BLUE_GREEN: Json = {"strategy": "BlueGreen"} | GOLDEN


def half_there() -> Cluster:
    """Two pods are wanted of version 2 beside those of 1; one is ready, and finds no room for the other one."""
    cluster = settled(BLUE_GREEN, slots=3)
    cluster.change(spec_of(2, replicas=2, rollout=BLUE_GREEN))
    cluster.run(20)
    assert [pod.ready for pod in cluster.of(cluster.target)] == [True, False]
    return cluster


def test_with_blue_green_every_pod_is_asked_before_the_switch() -> None:
    cluster = half_there()
    ready = cluster.condition("Ready")
    assert (ready["status"], ready["reason"]) == ("Unknown", "Updating")
    assert "1 of 2 pods" in ready["message"]
    assert "Insufficient cpu" in ready["message"]
    late = next(pod for pod in cluster.of(cluster.target) if not pod.ready)
    cluster.erring, cluster.slots = frozenset({late.name}), 4
    for _ in range(40):
        cluster.tick()  # the simulator watches over what serves
        assert version(cluster) == {1}
    assert cluster.status["rejected"]["reason"] == "GoldenRequestFailed"
    assert cluster.status["lastFailure"]["pod"] == late.name


def test_with_blue_green_a_pod_that_finds_no_node_is_not_taken_for_one_that_does_not_answer() -> None:
    cluster = half_there()
    cluster.run(int((START_SECONDS + 900) / TICK) + 20)
    assert cluster.status["rejected"]["reason"] == "Unschedulable"
    assert version(cluster) == {1}


def test_with_blue_green_the_first_pod_that_answers_serves_where_none_does() -> None:
    cluster = half_there()
    for pod in cluster.pods:
        pod.healthy = pod.healthy and pod.revision == cluster.target
    cluster.run(10)
    assert version(cluster) == {2}


@pytest.mark.parametrize(
    ("content", "reason", "words"),
    [
        (None, "ConfigMapMissing", "the ConfigMap golden of rollout.goldenRequests does not exist"),
        ({"data": {"a.json": "{"}}, "GoldenRequestsInvalid", "a.json: not JSON"),
        ({}, "GoldenRequestsInvalid", "holds 0 keys"),
    ],
)
def test_requests_that_cannot_be_read_are_told_before_a_pod_starts_and_mended(
    content: Json | None, reason: str, words: str
) -> None:
    cluster = settled()
    if content is None:
        del cluster.config_maps["golden"]
    else:
        cluster.config_maps["golden"] = content
    cluster.change(spec_of(2, replicas=2, rollout=GOLDEN))
    cluster.run(10)
    accepted = cluster.condition("Accepted")
    assert (accepted["status"], accepted["reason"]) == ("False", reason)
    assert words in accepted["message"]
    assert version(cluster) == {1}
    assert len(cluster.pods) == 2
    cluster.config_maps["golden"] = REQUESTS["golden"]
    cluster.run(40)
    assert version(cluster) == {2}
    assert_settled(cluster)


def test_requests_that_were_away_for_long_while_a_revision_loaded_cost_it_no_time() -> None:
    cluster = settled()
    cluster.change(spec_of(2, replicas=2, rollout=GOLDEN))
    cluster.run(2)
    assert len(cluster.deployments) == 2
    del cluster.config_maps["golden"]
    cluster.run(LONG_TICKS)
    assert cluster.condition("Ready")["reason"] == "ConfigMapMissing"
    assert version(cluster) == {1}
    cluster.config_maps = dict(REQUESTS)
    cluster.settle()
    assert version(cluster) == {2}
    assert_settled(cluster)


def test_a_first_spec_whose_requests_are_missing_goes_on_once_they_are_there() -> None:
    cluster = Cluster(spec_of(1, replicas=2, rollout=GOLDEN))
    cluster.run(5)
    assert cluster.condition("Ready")["reason"] == "ConfigMapMissing"
    cluster.config_maps = dict(REQUESTS)
    cluster.run(30)
    assert_settled(cluster)


def test_a_pod_that_cannot_be_reached_is_waited_for_and_never_rejected() -> None:
    cluster = settled(GOLDEN)
    cluster.walled = True
    cluster.change(spec_of(2, replicas=2, rollout=GOLDEN))
    cluster.run(20)
    ready = cluster.condition("Ready")
    assert (ready["status"], ready["reason"]) == ("Unknown", "PodUnreachable")
    assert "no route to it" in ready["message"]
    assert reasons(cluster).count("PodUnreachable") == 1
    cluster.run(int((START_SECONDS + 900) / TICK) + 20)
    stalled = cluster.condition("Stalled")
    assert (stalled["status"], stalled["reason"]) == ("True", "PodUnreachable")
    assert "rejected" not in cluster.status
    assert version(cluster) == {1}
    cluster.walled = False
    cluster.run(40)
    assert version(cluster) == {2}
    assert_settled(cluster)


def test_a_pod_that_never_says_what_it_is_asked_is_not_waited_for_without_end() -> None:
    cluster = settled(GOLDEN)
    cluster.mute = True
    cluster.change(spec_of(2, replicas=2, rollout=GOLDEN))
    cluster.run(20)
    assert cluster.condition("Ready")["reason"] == "Checking"
    cluster.run(int((START_SECONDS + 900) / TICK) + 20)
    assert cluster.status["rejected"]["reason"] == "DeadlineExceeded"
    assert "did not answer" in cluster.status["rejected"]["message"]
    assert version(cluster) == {1}


def test_where_no_pod_was_ever_reached_there_is_nothing_to_compare() -> None:
    cluster = settled(walled=True)
    cluster.change(spec_of(2, replicas=2))
    cluster.settle()
    assert_settled(cluster)
    assert reasons(cluster).count("SignatureUnknown") == 1


def test_a_retry_asks_again() -> None:
    cluster = settled(GOLDEN)
    cluster.change(spec_of(WRONG, replicas=2, rollout=GOLDEN))
    cluster.run(30)
    rejected = cluster.status["rejected"]["name"]
    cluster.wrong = frozenset()
    cluster.run(30)
    assert version(cluster) == {1}
    cluster.actions = {"retry": f"{rejected}/1"}
    cluster.settle()
    assert version(cluster) == {WRONG}


@pytest.mark.parametrize("ticks", range(0, 26, 2))
def test_a_third_revision_is_not_seen_either_when_it_begins_in_mid_update(ticks: int) -> None:
    cluster = settled(GOLDEN)
    cluster.change(spec_of(2, replicas=4, rollout=GOLDEN))
    cluster.run(ticks)
    cluster.change(spec_of(WRONG, replicas=4, rollout=GOLDEN))
    for _ in range(80):
        cluster.tick()
        assert WRONG not in version(cluster)
        assert cluster.serving()
    assert cluster.status["rejected"]["version"] == WRONG
    assert cluster.condition("Available")["status"] == "True"


@RELAXED
@given(
    history=HISTORY,
    rollout=st.sampled_from(ROLLOUTS),
    final=st.sampled_from((1, 2)),
)
def test_in_every_history_only_revisions_that_answer_as_they_must_serve(
    history: list[Step], rollout: Json, final: int
) -> None:
    cluster = settled(rollout | GOLDEN)
    live(cluster, history)  # the simulator itself watches over what serves
    cluster.walled = False
    cluster.change(spec_of(final, replicas=3, rollout=rollout | GOLDEN | {"allowSignatureChange": True}))
    cluster.settle()
    assert_settled(cluster)


@RELAXED
@given(history=CALM, rollout=st.sampled_from(ROLLOUTS), walls=st.lists(st.integers(0, 9), max_size=3))
def test_walls_that_come_and_go_cost_no_capacity(history: list[Step], rollout: Json, walls: list[int]) -> None:
    cluster = settled(rollout | GOLDEN)
    for number, step in enumerate(history):
        cluster.walled = number in walls
        take(cluster, step)
        cluster.run(step.ticks)
    cluster.walled = False
    cluster.change(spec_of(1, replicas=3, rollout=rollout | GOLDEN | {"allowSignatureChange": True}))
    cluster.settle()
    assert_settled(cluster)


def test_without_a_record_what_was_dark_stays_dark() -> None:
    spec = spec_of(WRONG, replicas=2, rollout=GOLDEN)
    cluster = Cluster(spec, wrong=frozenset({WRONG}), config_maps=dict(REQUESTS))
    cluster.run(20)
    assert (cluster.selector or {})[LABEL_REVISION] == "none"
    cluster.lose_record()
    cluster.run(5)
    assert cluster.serving() == []
    record = decode(cluster.record or "")
    assert record is not None
    assert record.admitted == ()
