"""What Argo CD and Flux make of a service agrees with its conditions, whatever has happened."""

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.core.simulator import Cluster, spec_of
from tests.core.test_conditions import STATES, kstatus, on_trial
from tests.core.test_histories import RELAXED, Step, rollout_of
from triton_operator.core.record_text import decode

from . import flux
from .argo import enabled, health
from .histories import EVERY_ROLLOUT, WITH_LOSSES, begun, lived
from .objects import Watched, live, manifest, shown
from .samples import SAMPLES, sample

Json = dict[str, Any]
EXPRESSIONS = (flux.STRICT, flux.PAUSED_IS_CURRENT)
UNSEEN = "Waiting for the operator to look at this generation"


def body_of(state: Callable[[], Cluster | tuple[int, Json]]) -> Json:
    """Give the service in one of the states that the conditions are tested in."""
    found = state()
    if isinstance(found, Cluster):
        return shown(found)
    generation, status = found
    return live(manifest(spec_of(1)), generation=generation, status=status)


def is_paused(body: Json) -> bool:
    """Say whether what is waited for is a person who decides on the canary of this spec."""
    by_type = {c["type"]: c for c in body["status"].get("conditions") or []}
    waits = bool(by_type) and by_type["Ready"]["reason"] == "CanaryPaused"
    assert not waits or by_type["CanaryPaused"]["status"] == "True"
    return waits


def expected(body: Json) -> str:
    """Say what Argo CD must show: kstatus, and where a person is waited for, Suspended."""
    status, generation = body["status"], body["metadata"]["generation"]
    waits = status.get("phase") == "Suspended" or is_paused(body)
    match kstatus(generation, status):
        case "Failed":
            return "Degraded"
        case "Current":
            return "Suspended" if waits else "Healthy"
        case _:
            return "Suspended" if waits and status["observedGeneration"] == generation else "Progressing"


def assert_agreed(body: Json) -> None:
    found = health(body)
    assert found["status"] == expected(body), (found, body)
    assert found["message"]
    agreed = kstatus(body["metadata"]["generation"], body["status"])
    assert flux.status(flux.STRICT, body) == agreed
    looked_at = body["status"]["observedGeneration"] == body["metadata"]["generation"]
    lenient = "Current" if is_paused(body) and looked_at else agreed
    assert flux.status(flux.PAUSED_IS_CURRENT, body) == lenient
    changed = body | {"metadata": body["metadata"] | {"generation": body["metadata"]["generation"] + 1}}
    assert health(changed) == {"status": "Progressing", "message": UNSEEN}
    assert {flux.status(exprs, changed) for exprs in EXPRESSIONS} == {"InProgress"}


@pytest.mark.parametrize("state", [pytest.param(state.values[0], id=state.id) for state in STATES])
def test_health_agrees_with_the_conditions_in_every_state(state: Callable[[], Cluster | tuple[int, Json]]) -> None:
    assert_agreed(body_of(state))


@pytest.mark.parametrize("name", SAMPLES)
def test_health_agrees_with_the_conditions_of_every_sample(name: str) -> None:
    assert_agreed(sample(name))


@RELAXED
@given(
    history=WITH_LOSSES,
    rollout=EVERY_ROLLOUT,
    failing=st.sampled_from([0.0, 0.5]),
    load=st.sampled_from([0, 200]),
)
def test_health_agrees_with_the_conditions_in_every_history(
    history: list[Step], rollout: Json, failing: float, load: int
) -> None:
    def look(cluster: Watched) -> None:
        body = shown(cluster)
        assert_agreed(body)
        record = decode(cluster.record or "")
        if health(body)["status"] == "Healthy" and record:
            assert cluster.status["stable"]["name"] == record.target
            assert cluster.status["readyReplicas"] == cluster.desired

    lived(begun(rollout, look, failing=failing, load=load), history)


@pytest.mark.parametrize(
    "status",
    [
        pytest.param(None, id="no status"),
        pytest.param({}, id="an empty status"),
        pytest.param({"observedGeneration": -1}, id="the default of the CRD"),
        pytest.param({"observedGeneration": 1}, id="no conditions"),
    ],
)
def test_a_service_of_which_nothing_is_known_is_in_progress(status: Json | None) -> None:
    body = {"metadata": {"name": "a", "generation": 1}} | ({} if status is None else {"status": status})
    assert health(body)["status"] == "Progressing"
    if status is not None:  # the default of the CRD sees to that
        assert flux.status(flux.STRICT, body) == flux.status(flux.PAUSED_IS_CURRENT, body) == "InProgress"


def test_a_canary_that_is_about_to_end_is_not_waited_for() -> None:
    cluster = on_trial({"pause": {}})
    assert health(shown(cluster))["status"] == "Suspended"
    cluster.silent = True
    rollout = rollout_of(cluster.spec)
    cluster.change(spec_of(1, replicas=2, rollout=rollout, model={"version": None}))
    cluster.run(3)
    body = shown(cluster)
    assert cluster.condition("CanaryPaused")["status"] == "True"
    assert health(body)["status"] == "Progressing"
    assert health(body)["message"].startswith("Resolving: pvc://models/resnet50 is looked up")
    assert flux.status(flux.PAUSED_IS_CURRENT, body) == "InProgress"
    assert set(enabled(body)) <= {"restart", "retry", "undo"}
