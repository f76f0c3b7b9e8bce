"""While the source holds other files than those the serving revision was made from, none of its pods is given up."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from .simulator import Cluster, spec_of
from .test_histories import RELAXED, ROLLOUTS, Step, assert_settled, live, steps

Json = dict[str, Any]


def overwritten(*, replicas: int = 4, lost: int = 1, **rollout: Any) -> Cluster:
    """A service whose source was overwritten, and some of whose pods have ended since."""
    cluster = Cluster(spec_of(1, replicas=replicas, rollout=rollout))
    cluster.settle()
    cluster.bytes = "b"
    for pod in cluster.pods[:lost]:
        cluster.kill(pod, gracefully=False)
    cluster.run(10)
    assert len(cluster.serving()) == replicas - lost
    return cluster


def scale(cluster: Cluster, replicas: int) -> None:
    cluster.change(cluster.spec.model_copy(update={"replicas": replicas}))


def wanted(cluster: Cluster) -> int:
    (deployment,) = cluster.deployments.values()
    return deployment.wanted


@pytest.mark.parametrize("strategy", ["RollingUpdate", "BlueGreen", "Recreate"])
@pytest.mark.parametrize("replicas", [3, 2, 0])
def test_fewer_replicas_take_no_pod_away_while_one_cannot_be_replaced(strategy: str, replicas: int) -> None:
    cluster = overwritten(strategy=strategy)
    names = [pod.name for pod in cluster.pods]
    scale(cluster, replicas)
    cluster.run(60)
    assert [pod.name for pod in cluster.pods] == names
    assert (len(cluster.serving()), wanted(cluster)) == (3, 4)
    ready = cluster.condition("Ready")
    assert (ready["status"], ready["reason"], ready["observedGeneration"]) == ("False", "SourceChanged", 2)
    target = cluster.target
    assert ready["message"] == (
        f"spec.replicas is {replicas}, but revision {target} stays at 4, as no pod of it that ends could be replaced:"
        " its files changed. Put the former files back, or annotate the service with"
        f" serving.triton-operator.dev/refresh={target}/ID to take the new ones"
    )
    assert cluster.condition("Available")["status"] == "True"
    assert cluster.status["lastFailure"]["reason"] == "SourceChanged"


def test_what_is_kept_is_given_up_when_the_files_are_back() -> None:
    cluster = overwritten()
    scale(cluster, 2)
    cluster.run(20)
    cluster.bytes = "a"
    cluster.settle()
    assert_settled(cluster)
    assert len(cluster.pods) == 2


def test_what_is_kept_is_given_up_when_a_refresh_brings_a_new_revision() -> None:
    cluster = overwritten()
    scale(cluster, 2)
    cluster.run(20)
    before = cluster.target
    cluster.actions = {"refresh": f"{before}/1"}
    for _ in range(60):
        cluster.tick()
        assert len(cluster.serving()) >= 2
    cluster.settle()
    assert cluster.target != before
    assert_settled(cluster)


def test_what_is_kept_is_given_up_for_another_model() -> None:
    cluster = overwritten()
    scale(cluster, 2)
    cluster.run(20)
    cluster.change(spec_of(2, replicas=2))
    cluster.settle()
    assert_settled(cluster)


def test_more_replicas_and_the_former_ones_are_taken_at_once() -> None:
    cluster = overwritten()
    scale(cluster, 2)
    cluster.run(5)
    scale(cluster, 6)
    cluster.run(5)
    assert wanted(cluster) == 6
    scale(cluster, 4)
    cluster.run(5)
    assert wanted(cluster) == 6
    assert len(cluster.serving()) == 3


def test_suspending_goes_through() -> None:
    cluster = overwritten()
    scale(cluster, 2)
    cluster.run(5)
    cluster.change(cluster.spec.model_copy(update={"suspend": True}))
    cluster.settle()
    assert cluster.pods == []
    assert cluster.condition("Ready")["reason"] == "Suspended"


def test_a_pod_that_is_made_anew_and_has_not_failed_yet_lets_no_other_go() -> None:
    cluster = overwritten()
    (failing,) = [pod for pod in cluster.pods if not pod.ready]
    cluster.kill(failing, gracefully=False)
    scale(cluster, 1)
    cluster.run(10)
    assert len(cluster.serving()) == 3


def test_the_first_revision_keeps_what_it_has_even_before_it_was_whole() -> None:
    cluster = Cluster(spec_of(1, replicas=3), slots=1)
    cluster.run(15)
    assert len(cluster.serving()) == 1
    cluster.bytes, cluster.slots = "b", 3
    cluster.run(10)
    scale(cluster, 1)
    cluster.run(10)
    assert (len(cluster.serving()), wanted(cluster)) == (1, 3)


def test_a_revision_of_which_no_pod_ever_served_is_scaled_as_the_spec_says() -> None:
    cluster = Cluster(spec_of(1, replicas=3), slots=0)
    cluster.run(5)
    cluster.bytes, cluster.slots = "b", 3
    cluster.run(10)
    scale(cluster, 1)
    cluster.run(10)
    assert wanted(cluster) == 1


def test_a_rejected_spec_and_pods_that_are_kept_are_both_told() -> None:
    cluster = Cluster(spec_of(1, replicas=3), broken=frozenset({4}), final=True)
    cluster.settle()
    cluster.change(spec_of(4, replicas=3))
    cluster.run(40)
    cluster.bytes = "b"
    cluster.kill(cluster.pods[0], gracefully=False)
    cluster.run(10)
    scale(cluster, 1)
    cluster.run(10)
    assert len(cluster.serving()) == 2
    ready = cluster.condition("Ready")
    assert ready["reason"] == "BadConfig"
    assert "was rejected" in ready["message"]
    assert "stays at 3, as no pod of it that ends could be replaced" in ready["message"]


CHANGES = ("replicas", "replicas", "replicas", "overwrite", "put back", "version", "suspend", "resume")
ACCIDENTS = ("kill", "vanish", "disturb", "lose record", "wipe status", "restart", "crash")


@RELAXED
@given(history=st.lists(steps(*CHANGES, *ACCIDENTS), max_size=12), rollout=st.sampled_from(ROLLOUTS))
def test_no_history_gives_up_a_pod_that_could_not_be_replaced(history: list[Step], rollout: Json) -> None:
    cluster = Cluster(spec_of(1, replicas=4, rollout=rollout))
    cluster.settle()
    for step in history:  # the simulator itself watches over what is kept
        if step.what in ("overwrite", "put back"):
            cluster.bytes = "b" if step.what == "overwrite" else "a"
            cluster.run(step.ticks)
        else:
            live(cluster, [step])
    cluster.change(spec_of(9, replicas=2, rollout=rollout))  # one that was never looked up before
    cluster.settle()
    assert_settled(cluster)
