from typing import Any

import pytest

from tests.cli.samples import NEW, OLD, kept, on_trial, service
from triton_operator.cli import program
from triton_operator.cli.action import ACTIONS, answer_of, chosen
from triton_operator.cli.errors import Exit, Trouble
from triton_operator.cli.service import Service
from triton_operator.core.actions import ACTS

UPDATING = service(phase="Updating", canary={"name": NEW, "version": 2, "replicas": 1, "ready": 0, "weight": 0})
REJECTED = service(rejected={"name": NEW, "version": 2, "by": "Operator", "reason": "LoadTimeout"})
WARM = service(warm={"name": "digits-warm", "version": 1, "replicas": 2, "ready": 2})
EMPTY = service(stable=None)
HISTORY = [kept(OLD, 3), kept(NEW, 2, version=2, rejected="{}"), kept("digits-old", 1, version=7)]
ON_TRIAL = ("promote", "promote-full", "skip-step", "pause", "resume")


def choose(action: str, of: Service, named: str | None = None, history: Any = HISTORY) -> str:
    return chosen(ACTIONS[action], of, history, named=named)


def test_there_is_a_command_for_each_action_that_the_operator_takes() -> None:
    assert ACTIONS.keys() == ACTS.keys() == program.ACTIONS.keys()


@pytest.mark.parametrize(
    ("action", "of", "revision"),
    [
        *(pytest.param(action, on_trial(), NEW, id=action) for action in ON_TRIAL),
        pytest.param("abort", on_trial(), NEW, id="abort a canary"),
        pytest.param("abort", UPDATING, NEW, id="abort an update without a trial"),
        pytest.param("retry", REJECTED, NEW, id="retry what was rejected"),
        pytest.param("retry", service(), "digits", id="retry a source: the service's name stands for the revision"),
        pytest.param("restart", service(), OLD, id="restart what serves"),
        pytest.param("refresh", service(), "digits", id="refresh"),
        pytest.param("undo", WARM, "digits-warm", id="undo to what is warm"),
        pytest.param("undo", service(), "digits-old", id="undo to the last one that is neither in use nor rejected"),
    ],
)
def test_an_action_means_the_revision_that_it_concerns_now(action: str, of: Service, revision: str) -> None:
    assert choose(action, of) == revision


@pytest.mark.parametrize(
    ("action", "of", "told"),
    [
        *(pytest.param(action, service(), "no canary is on trial", id=f"{action} nothing") for action in ON_TRIAL),
        pytest.param("abort", service(), "no update is under way", id="abort nothing"),
        pytest.param("restart", EMPTY, "no revision has pods", id="restart nothing"),
    ],
)
def test_an_action_that_concerns_nothing_is_not_sent(action: str, of: Service, told: str) -> None:
    with pytest.raises(Trouble, match=told) as refused:
        choose(action, of)

    assert refused.value.code == Exit.FAILED


def test_a_stale_revision_is_not_sent() -> None:
    with pytest.raises(Trouble, match=f"stale: promote concerns revision {NEW} now, and no longer digits-former"):
        choose("promote", on_trial(), "digits-former")


def test_a_revision_that_is_still_concerned_may_be_named() -> None:
    assert choose("promote", on_trial(), NEW) == NEW
    assert choose("refresh", on_trial(), OLD) == OLD


@pytest.mark.parametrize("named", ["digits-old", "1", "v7"])
def test_undo_goes_to_a_revision_by_name_number_or_version(named: str) -> None:
    assert choose("undo", service(), named) == "digits-old"


def test_undo_to_what_is_not_kept_names_what_is() -> None:
    with pytest.raises(Trouble, match=f"no revision nope of digits is kept; kept are: {OLD}, {NEW}, digits-old"):
        choose("undo", service(), "nope")


def test_undo_without_another_revision_says_so() -> None:
    with pytest.raises(Trouble, match="no other revision of digits is kept"):
        choose("undo", service(), history=[kept(OLD, 1)])


def test_the_answer_to_an_action_is_found_among_events() -> None:
    value = "serving.triton-operator.dev/promote=r/1"
    other = {"reason": "ActionTaken", "note": f"{value}2"}

    assert answer_of(value, [other]) is None
    assert answer_of(value, [other, {"reason": "ActionTaken", "note": value}]) == (True, "")
    refused = {"reason": "ActionIgnored", "note": f"{value}: the canary does not wait for a person"}
    assert answer_of(value, [refused]) == (False, "the canary does not wait for a person")
