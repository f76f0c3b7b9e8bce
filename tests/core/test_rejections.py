"""What was rejected stays rejected, whatever is lost: the ControllerRevision says so beside the record."""

from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from triton_operator.api import names
from triton_operator.controller.world import rejections
from triton_operator.core.decide import decide
from triton_operator.core.record import Held
from triton_operator.core.record_text import decode, print_held, read_held

from .simulator import Cluster, spec_of
from .test_histories import ACCIDENTS, BROKEN, SPEC_CHANGES, Step, steps, take

PERSONS = ("undo", "undo", "retry")
LOSSES = ("lose record", "lose record", "lose record")
HISTORY = st.lists(steps(*SPEC_CHANGES, *ACCIDENTS, *PERSONS, *LOSSES), max_size=15)


def ask(cluster: Cluster, action: str, number: int) -> None:
    revisions = sorted(cluster.revisions) or ["none"]
    cluster.actions = cluster.actions | {action: f"{revisions[number % len(revisions)]}/{cluster.now:.0f}"}


def live(cluster: Cluster, history: list[Step]) -> None:
    for step in history:
        if step.what in PERSONS:
            ask(cluster, step.what, step.number)
        else:
            take(cluster, step)
        cluster.run(step.ticks)


def revision(cluster: Cluster, version: int) -> str:
    return next(n for n, body in cluster.revisions.items() if body["data"]["model"]["version"] == version)


def said(cluster: Cluster) -> dict[str, str]:
    return rejections(cluster.revisions.values())


def held(*, by: str) -> Cluster:
    """Version 1 serves; 4 has failed, or a person went back from 2."""
    cluster = Cluster(spec_of(1, replicas=2), broken=frozenset({BROKEN}), final=True)
    cluster.settle()
    cluster.change(spec_of(BROKEN if by == "operator" else 2, replicas=2))
    cluster.run(30)
    if by == "person":
        cluster.actions = {"undo": f"{revision(cluster, 1)}/a"}
        cluster.run(30)
    return cluster


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(history=HISTORY, strategy=st.sampled_from(("RollingUpdate", "Recreate", "BlueGreen")))
def test_a_rejected_spec_is_never_tried_again_by_itself(history: list[Step], strategy: str) -> None:
    cluster = Cluster(spec_of(1, replicas=2, rollout={"strategy": strategy}), broken=frozenset({BROKEN}), final=True)
    cluster.run(12)
    live(cluster, history)  # the simulator itself watches over what is held
    cluster.run(5)
    record = decode(cluster.record or "")
    assert record is not None
    expected = {record.held.revision: print_held(record.held)} if record.held else {}
    assert {name: text for name, text in expected.items() if name in cluster.revisions} == said(cluster)


@pytest.mark.parametrize("by", ["operator", "person"])
def test_a_lost_record_is_rebuilt_with_what_was_rejected(by: str) -> None:
    cluster = held(by=by)
    before, pods = cluster.status, [pod.name for pod in cluster.pods]
    rejected = before["rejected"]["name"]
    cluster.broken = frozenset()
    for _ in range(3):
        cluster.lose_record()
        for _ in range(40):
            cluster.tick()
            assert not cluster.of(rejected)
    assert cluster.status["rejected"] == before["rejected"]
    assert cluster.status.get("lastFailure", {}).keys() == before.get("lastFailure", {}).keys() - {"pod", "exitCode"}
    assert cluster.condition("Ready") == {c["type"]: c for c in before["conditions"]}["Ready"]
    assert [pod.name for pod in cluster.pods] == pods


@pytest.mark.parametrize("remedy", ["retry", "another spec", "another rollout"])
def test_what_is_no_longer_rejected_does_not_say_so(remedy: str) -> None:
    cluster = held(by="operator")
    rejected = revision(cluster, BROKEN)
    assert set(said(cluster)) == {rejected}
    cluster.broken = frozenset()
    if remedy == "retry":
        cluster.actions = {"retry": f"{rejected}/1"}
    elif remedy == "another spec":
        cluster.change(spec_of(3, replicas=2))
    else:
        cluster.change(spec_of(BROKEN, replicas=2, rollout={"minAvailable": 1}))
    cluster.run(2)
    assert said(cluster) == {}
    cluster.lose_record()
    cluster.settle()
    assert cluster.status["stable"]["version"] == (3 if remedy == "another spec" else BROKEN)


def test_an_annotation_that_a_foreign_hand_removed_is_written_again_once() -> None:
    cluster = held(by="operator")
    before = said(cluster)
    for body in cluster.revisions.values():
        body["metadata"].pop("annotations", None)
    cluster.bodies = {key: body for key, body in cluster.bodies.items() if key[0] != names.CONTROLLER_REVISION.kind}
    writes = cluster.writes
    for _ in range(3):
        cluster.restart_operator()
        cluster.tick()
    assert said(cluster) == before
    assert cluster.writes == writes + 1


def test_of_several_rejections_only_that_of_the_spec_counts() -> None:
    cluster = held(by="operator")
    rejected, first = revision(cluster, BROKEN), revision(cluster, 1)
    text = said(cluster)[rejected]
    mine = read_held(text)
    assert mine is not None
    other = print_held(replace(mine, spec="0123456789", revision=first, time="2999-01-01T00:00:00Z"))
    world = replace(cluster.world(), record=None, rejections={rejected: text, first: other})
    assert decide(world).record.held == mine
    written = [
        (body["metadata"]["name"], body["metadata"].get("annotations"))
        for kind, body in decide(world).children
        if kind == names.CONTROLLER_REVISION
    ]
    assert written == [(first, None)]


@pytest.mark.parametrize("text", ["", "null", "5", "[]", "{", '{"spec": "a"}', "[" * 100_000])
def test_an_annotation_that_cannot_be_read_counts_for_nothing_and_goes(text: str) -> None:
    assert read_held(text) is None
    cluster = Cluster(spec_of(1))
    cluster.settle()
    world = replace(cluster.world(), rejections={revision(cluster, 1): text})
    plan = decide(world)
    assert plan.record.held is None
    (written,) = [body for kind, body in plan.children if kind == names.CONTROLLER_REVISION]
    assert "annotations" not in written["metadata"]


def test_a_rejection_is_read_as_it_was_printed() -> None:
    reason = Held("a", "vision-b", "vision-c", "person", "Undone", 'with "quotes" and ü', "2026-01-01T00:00:00Z")
    assert read_held(print_held(reason)) == reason
