"""What a person asks for by an annotation is taken once, and a spec that was rejected is held until it changes."""

from typing import Any

import pytest

from triton_operator.api import names
from triton_operator.core.record_text import decode

from .simulator import TICK, Cluster, spec_of

Json = dict[str, Any]
BROKEN = 9
OUT_OF_TIME = int((900 + 600 + 600) / TICK) + 5


def served(*, replicas: int = 2, **rollout: Any) -> Cluster:
    """Version 2 serves, and 1 is kept."""
    cluster = Cluster(spec_of(1, replicas=replicas, rollout=rollout), broken=frozenset({BROKEN}))
    cluster.settle()
    cluster.change(spec_of(2, replicas=replicas, rollout=rollout))
    cluster.settle()
    return cluster


def revision(cluster: Cluster, version: int) -> str:
    return next(n for n, body in cluster.revisions.items() if body["data"]["model"]["version"] == version)


def events(cluster: Cluster, reason: str) -> list[str]:
    return [told.message for told in cluster.told if told.reason == reason]


def rejected(**rollout: Any) -> Cluster:
    cluster = served(**rollout)
    cluster.final = True
    cluster.change(spec_of(BROKEN, replicas=2, rollout=rollout))
    cluster.run(30)
    return cluster


def test_a_revision_that_has_failed_is_rejected_and_frees_its_gpus_at_once() -> None:
    cluster = rejected()
    held = cluster.status["rejected"]
    assert (held["by"], held["reason"], held["version"]) == ("Operator", "BadConfig", BROKEN)
    assert cluster.of(revision(cluster, BROKEN)) == []
    assert len(cluster.serving()) == 2
    ready = cluster.condition("Ready")
    assert (ready["status"], ready["reason"]) == ("False", "BadConfig")
    assert "was rejected" in ready["message"]
    assert cluster.condition("Available")["status"] == "True"
    assert len(events(cluster, "Rejected")) == 1


def test_what_was_rejected_is_not_tried_again_by_a_restart_or_another_count() -> None:
    cluster = rejected()
    cluster.broken = frozenset()
    cluster.restart_operator()
    cluster.run(20)
    cluster.change(cluster.spec.model_copy(update={"replicas": 4}))
    cluster.run(60)
    assert cluster.of(revision(cluster, BROKEN)) == []
    assert len(cluster.serving()) == 4
    assert cluster.condition("Stalled")["status"] == "True"


@pytest.mark.parametrize("remedy", ["retry", "rollout", "another spec"])
def test_what_was_rejected_is_tried_again_when_somebody_says_so(remedy: str) -> None:
    cluster = rejected()
    cluster.broken = frozenset()
    if remedy == "retry":
        cluster.actions = {"retry": f"{revision(cluster, BROKEN)}/1"}
    elif remedy == "rollout":
        cluster.change(spec_of(BROKEN, replicas=2, rollout={"minAvailable": 1}))
    else:
        cluster.change(spec_of(3, replicas=2))
    cluster.settle()
    assert cluster.status["stable"]["version"] == (3 if remedy == "another spec" else BROKEN)
    assert "rejected" not in cluster.status
    assert "lastFailure" not in cluster.status


def test_the_old_spec_is_ready_at_once_without_touching_a_pod() -> None:
    cluster = rejected()
    pods = [pod.name for pod in cluster.pods]
    cluster.change(spec_of(2, replicas=2))
    cluster.run(2)
    assert cluster.condition("Ready")["status"] == "True"
    assert [pod.name for pod in cluster.pods] == pods


def test_a_revision_that_never_gets_ready_is_rejected_when_its_time_is_out() -> None:
    cluster = served()
    cluster.change(spec_of(BROKEN, replicas=2))
    cluster.run(20)
    assert "rejected" not in cluster.status
    cluster.run(OUT_OF_TIME)
    assert cluster.status["rejected"]["reason"] == "StorageError"
    assert cluster.of(revision(cluster, BROKEN)) == []


def test_with_recreate_the_old_revision_comes_back_when_the_new_one_fails() -> None:
    cluster = rejected(strategy="Recreate")
    cluster.settle()
    cluster.run(40)
    assert {pod.revision for pod in cluster.serving()} == {revision(cluster, 2)}
    assert cluster.status["rejected"]["reason"] == "BadConfig"


def test_the_first_revision_is_never_rejected() -> None:
    cluster = Cluster(spec_of(BROKEN), broken=frozenset({BROKEN}), final=True)
    cluster.run(OUT_OF_TIME)
    assert "rejected" not in cluster.status
    assert len(cluster.pods) == 1


def test_undo_goes_back_to_any_kept_revision_and_holds_the_spec() -> None:
    cluster = served()
    first = revision(cluster, 1)
    cluster.actions = {"undo": f"{first}/a"}
    for _ in range(60):
        cluster.tick()
        assert len(cluster.serving()) >= 2
    assert cluster.status["stable"]["name"] == first
    held = cluster.status["rejected"]
    assert (held["by"], held["reason"], held["version"]) == ("Person", "Undone", 2)
    ready = cluster.condition("Ready")
    assert (ready["status"], ready["reason"]) == ("False", "Undone")
    cluster.restart_operator()
    cluster.run(20)
    assert cluster.status["stable"]["name"] == first


def test_an_undone_spec_is_carried_out_again_by_retry_and_a_new_one_at_once() -> None:
    for remedy in ("retry", "change"):
        cluster = served()
        cluster.actions = {"undo": f"{revision(cluster, 1)}/a"}
        cluster.run(60)
        if remedy == "retry":
            cluster.actions = cluster.actions | {"retry": f"{revision(cluster, 2)}/b"}
        else:
            cluster.change(spec_of(3, replicas=2))
        cluster.settle()
        assert cluster.status["stable"]["version"] == (2 if remedy == "retry" else 3)
        assert "rejected" not in cluster.status


def test_undo_during_an_update_leaves_the_stable_revision_untouched() -> None:
    cluster = served()
    second = revision(cluster, 2)
    pods = [pod.name for pod in cluster.pods]
    cluster.change(spec_of(3, replicas=2))
    cluster.run(3)
    cluster.actions = {"undo": f"{second}/a"}
    cluster.run(40)
    assert [pod.name for pod in cluster.pods] == pods
    assert cluster.condition("Ready")["reason"] == "Undone"


def test_restart_is_written_into_the_pods_once() -> None:
    cluster = served()
    second = revision(cluster, 2)
    cluster.actions = {"restart": f"{second}/a"}
    cluster.run(5)
    template = cluster.bodies[names.DEPLOYMENT.kind, second]["spec"]["template"]
    when = template["metadata"]["annotations"][names.ANNOTATION_RESTARTED]
    cluster.restart_operator()
    cluster.run(20)
    assert cluster.bodies[names.DEPLOYMENT.kind, second]["spec"]["template"] == template
    cluster.actions = {"restart": f"{second}/b"}
    cluster.run(5)
    again = cluster.bodies[names.DEPLOYMENT.kind, second]["spec"]["template"]
    assert again["metadata"]["annotations"][names.ANNOTATION_RESTARTED] > when


@pytest.mark.parametrize(
    ("action", "value", "obstacle"),
    [
        pytest.param("undo", "vision-bbbbbbbbbb/1", "no revision vision-bbbbbbbbbb is kept", id="unknown revision"),
        pytest.param("restart", "vision-bbbbbbbbbb/1", "does not serve", id="one that does not serve"),
        pytest.param("retry", "vision-bbbbbbbbbb/1", "was rejected", id="one that was not rejected"),
        pytest.param("refresh", "vision-bbbbbbbbbb/1", "is not that of the spec", id="one of another spec"),
        pytest.param("undo", "now", "must be REVISION/ID", id="no id"),
        pytest.param("restart", "a/../../b", "must be REVISION/ID", id="a path"),
    ],
)
def test_an_action_that_means_nothing_is_told_once_and_does_nothing(action: str, value: str, obstacle: str) -> None:
    cluster = served()
    before = cluster.bodies | {}
    cluster.actions = {action: value}
    cluster.run(5)
    cluster.restart_operator()
    cluster.run(5)
    (told,) = events(cluster, "ActionIgnored")
    assert obstacle in told
    assert cluster.bodies == before
    assert cluster.condition("Ready")["status"] == "True"


def test_actions_that_are_there_when_the_record_is_lost_are_taken_as_done() -> None:
    cluster = served()
    cluster.actions = {"undo": f"{revision(cluster, 1)}/a"}
    cluster.lose_record()
    cluster.run(40)
    assert cluster.status["stable"]["version"] == 2
    record = decode(cluster.record or "")
    assert record is not None
    assert record.taken == cluster.actions
