"""What Argo CD offers the operator takes: an action is one annotation, which means what it says and changes no spec."""

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.core.simulator import Cluster, spec_of
from tests.core.test_conditions import STATES as EVERY_STATE
from tests.core.test_conditions import on_trial, settled
from tests.core.test_histories import RELAXED, Step, rollout_of
from triton_operator.api.names import GROUP
from triton_operator.cli.action import ACTIONS, chosen
from triton_operator.cli.errors import Trouble
from triton_operator.cli.service import Service
from triton_operator.controller.world import _actions
from triton_operator.core.actions import ACTS, take
from triton_operator.core.record_text import decode
from triton_operator.core.times import timestamp

from .argo import OURS, acted, enabled, offered
from .histories import EVERY_ROLLOUT, HISTORY, annotated, begun, lived
from .objects import Watched, shown
from .samples import SAMPLES, sample

Json = dict[str, Any]
PAGE = Path(__file__).parents[2] / "docs" / "argo-cd.md"

STATES = [pytest.param(state.values[0], id=state.id) for state in EVERY_STATE]
ABOUT_TO_END = "Resolving"  # what is under way, as the spec asks for another revision
# What the core takes, and Argo CD does not offer: the status does not tell it apart, or it is of no use.
WITHHELD = {
    "promote": "a timed pause, which skip-step ends, and the verdict after the last step, for which promote-full is",
    "skip-step": "the last step, which the status does not tell from its end: promote-full is the same there",
    "pause": "a canary that waits for a person anyway",
    "restart": "a revision without pods",
    "refresh": "a service that is suspended, or that is looked up already",
    "retry": "a source that has not refused yet",
    "undo": "a former revision while nothing serves",
}


def after(action: str, body: Json, revision: str = "") -> Json:
    """Act, and see to it that nothing but one annotation has changed."""
    found = acted(action, body, revision=revision)
    before = body["metadata"].get("annotations") or {}
    annotations = found["metadata"]["annotations"]
    assert found | {"metadata": body["metadata"]} == body
    assert found["metadata"] | {"annotations": before} == body["metadata"] | {"annotations": before}
    assert before | annotations == annotations
    assert {key for key in annotations if annotations[key] != before.get(key)} == {f"{GROUP}/{action}"}
    return found


def taken(cluster: Cluster, actions: dict[str, str]) -> tuple[list[str], bool]:
    """Say what the operator makes of actions, in one word for each, and whether that changes anything."""
    world = replace(cluster.world(), actions=actions)
    assert world.record is not None
    found = take(world, cluster.spec, world.record)
    changed = replace(found.record, taken={}) != replace(world.record, taken={})
    return [told.reason for told in found.told], changed


def assert_taken(cluster: Cluster) -> None:
    """Every action that is offered is taken, does something, and is the one that kubectl triton sends."""
    if cluster.record is None:
        return
    body = shown(cluster)
    body["metadata"]["annotations"] = {"team": "vision"} | annotated(cluster)
    revision = next(iter(sorted(set(cluster.revisions) - {cluster.status.get("stable", {}).get("name")})), "")
    kept = list(cluster.revisions.values())
    for action in offered(body):
        if action == "undo" and not revision:
            continue
        named = revision if action == "undo" else None
        if action in enabled(body):
            actions = _actions(after(action, body, revision=named or "")["metadata"]["annotations"])
            told, changed = taken(cluster, actions)
            assert told == ["ActionTaken"], (action, actions, str(cluster))
            meant, _, _ = actions[action].partition("/")
            # It may be going there already; and a second one within a second is the same.
            same = action == "undo" or decode(cluster.record).restarts.get(meant) == timestamp(cluster.now)
            assert changed or same, (action, actions, str(cluster))
            assert meant == chosen(ACTIONS[action], Service(body), kept, named=named)
        elif action not in WITHHELD and cluster.condition("Ready")["reason"] != ABOUT_TO_END:
            assert is_nothing(cluster, action, body, kept), (action, body["status"], str(cluster))


def is_nothing(cluster: Watched, action: str, body: Json, kept: list[Json]) -> bool:
    """Say whether an action would be refused by kubectl triton or by the operator."""
    if not Service(body).is_looked_at:
        return True
    try:
        meant = chosen(ACTIONS[action], Service(body), kept, named=None)
    except Trouble:
        return True
    return taken(cluster, cluster.actions | {action: f"{meant}/other"}) == (["ActionIgnored"], False)


@settings(RELAXED, max_examples=30)
@given(history=HISTORY, rollout=EVERY_ROLLOUT, failing=st.sampled_from([0.0, 0.5]), load=st.sampled_from([0, 200]))
def test_what_is_offered_is_taken_and_what_is_not_offered_is_nothing(
    history: list[Step], rollout: Json, failing: float, load: int
) -> None:
    lived(begun(rollout, assert_taken, failing=failing, load=load), history)


@pytest.mark.parametrize("make", [*STATES, *(pytest.param(make, id=name) for name, make in SAMPLES.items())])
def test_what_is_offered_is_taken_in_every_state(make: Callable[[], Cluster | Any]) -> None:
    found = make()
    if isinstance(found, Cluster):
        assert_taken(found)


def test_argo_cd_has_each_action_that_the_operator_takes_and_the_page_tells_of_it() -> None:
    scripts = {path.parent.name for path in (OURS / "actions").glob("*/action.lua")}
    assert scripts == ACTS.keys() == offered(shown(Cluster(spec_of(1)))).keys()
    rows = [line for line in PAGE.read_text(encoding="utf-8").splitlines() if line.startswith("| `")]
    assert {action for row in rows for action in re.findall(r"`([a-z-]+)`", row.split("|")[1])} == scripts


def test_an_action_is_not_taken_back_when_its_annotation_is_removed() -> None:
    cluster = settled()
    (first,) = cluster.revisions
    cluster.change(spec_of(2))
    cluster.settle()
    cluster.actions = _actions(after("undo", shown(cluster), revision=first)["metadata"]["annotations"])
    cluster.settle()
    cluster.actions = {}
    cluster.run(20)
    assert cluster.status["stable"]["name"] == first
    assert cluster.condition("Ready")["reason"] == "Undone"


def test_a_second_click_on_the_same_page_asks_for_nothing_new() -> None:
    body = sample("suspended_canaryPauseStep")
    assert acted("promote", body) == acted("promote", acted("promote", body))


def test_a_click_on_an_old_page_concerns_no_other_canary() -> None:
    cluster = on_trial({"pause": {}})
    old = shown(cluster)
    cluster.change(spec_of(3, replicas=2, rollout=rollout_of(cluster.spec)))
    cluster.run(60)
    assert cluster.condition("CanaryPaused")["status"] == "True"
    actions = _actions(acted("promote", old)["metadata"]["annotations"])
    assert taken(cluster, actions) == (["ActionIgnored"], False)


def test_going_back_is_no_update_that_could_be_aborted() -> None:
    cluster = settled(replicas=2)
    (first,) = cluster.revisions
    cluster.change(spec_of(2, replicas=2))
    cluster.settle()
    cluster.actions = {"undo": f"{first}/a"}
    cluster.run(4)
    assert {"canary", "stable", "rejected"} <= cluster.status.keys()
    assert "abort" not in enabled(shown(cluster))


def test_nothing_can_be_asked_of_a_service_that_is_being_deleted() -> None:
    body = sample("suspended_canaryPauseStep")
    assert enabled(body)
    body["metadata"]["deletionTimestamp"] = "2026-12-01T12:00:00Z"
    assert not enabled(body)
