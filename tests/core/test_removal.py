"""Pods that the operator deletes itself: given up by a kubelet, with a dead backend, or on files not compared since."""

from datetime import UTC, datetime
from typing import Any

import pytest

from triton_operator.api.names import CONTAINER_PREPARE, CONTAINER_TRITON, LABEL_REVISION
from triton_operator.core.removal import removals

Json = dict[str, Any]
NOW = datetime(2026, 1, 1, 12, tzinfo=UTC).timestamp()
DELETED = {"deletionTimestamp": "2026-01-01T12:00:30Z", "deletionGracePeriodSeconds": 45}


def pod(
    name: str,
    *,
    revision: str = "vision-a",
    started: bool = True,
    ready: bool = True,
    triton_ready: bool | None = None,
    since: str = "11:50:00",
    begun: str = "11:00:00",
    metadata: Json | None = None,
    **status: Any,
) -> Json:
    state = {"running": {"startedAt": f"2026-01-01T{begun}Z"}}
    triton = {
        "name": CONTAINER_TRITON,
        "started": started,
        "ready": ready if triton_ready is None else triton_ready,
        "state": state,
    }
    condition = {"type": "Ready", "status": str(ready), "lastTransitionTime": f"2026-01-01T{since}Z"}
    return {
        "metadata": {"name": name, "uid": f"uid-{name}", "labels": {LABEL_REVISION: revision}} | (metadata or {}),
        "status": {"phase": "Running", "containerStatuses": [triton], "conditions": [condition]} | status,
    }


def found(*pods: Json, dead: frozenset[str] = frozenset()) -> set[str]:
    listed = removals(pods, ["vision-a", "vision-b"], dead=dead, now=NOW)
    return {removal.name for removal in listed}


@pytest.mark.parametrize(
    ("one", "expected"),
    [
        pytest.param(pod("p"), set(), id="it serves"),
        pytest.param(pod("p", started=False, ready=False), set(), id="it loads"),
        pytest.param(pod("p", metadata=DELETED), set(), id="it drains"),
        pytest.param(pod("p", phase="Failed", reason="Evicted"), {"p"}, id="it was evicted"),
        pytest.param(
            pod("p", phase="Failed", reason="UnexpectedAdmissionError", containerStatuses=[]),
            {"p"},
            id="its node refused it after a reboot",
        ),
        pytest.param(pod("p", ready=False, since="11:59:00"), {"p"}, id="its backend has been dead for 60 s"),
        pytest.param(pod("p", ready=False, since="11:59:01"), set(), id="not for long enough"),
        pytest.param(pod("p", ready=False, begun="11:55:00"), set(), id="it has not been ready in this run"),
    ],
)
def test_one_pod(one: Json, expected: set[str]) -> None:
    assert found(one) == expected


def test_dead_pods_go_one_at_a_time_and_only_while_all_others_serve() -> None:
    dead = [pod("b", ready=False), pod("a", ready=False)]
    assert found(*dead, pod("c")) == {"a"}
    assert found(*dead, pod("c", started=False, ready=False)) == set()
    assert found(*dead, pod("c", ready=False, metadata=DELETED)) == set()
    assert found(*dead, pod("c", phase="Failed", reason="Evicted", ready=False)) == {"a", "c"}


def test_a_pod_that_calls_itself_ready_and_executes_nothing_is_as_dead() -> None:
    dead = frozenset({"uid-a", "uid-b"})
    assert found(pod("a"), pod("b"), pod("c"), dead=dead) == {"a"}
    going = pod("a", metadata={"name": "a", "uid": "uid-a", "labels": {LABEL_REVISION: "vision-a"}} | DELETED)
    going["status"]["conditions"][0]["status"] = "False"
    assert found(going, pod("b"), dead=dead) == set()


@pytest.mark.parametrize(
    "other",
    [
        pytest.param(
            {"conditions": [{"type": "PodScheduled", "status": "False", "reason": "Unschedulable"}]}, id="finds no node"
        ),
        pytest.param(
            {"metadata": DELETED | {"deletionTimestamp": "2026-01-01T11:58:00Z"}}, id="is stuck on a lost node"
        ),
        pytest.param(
            {"containerStatuses": [{"name": CONTAINER_TRITON, "restartCount": 3}]}, id="fails again and again"
        ),
    ],
)
def test_a_pod_that_can_neither_come_nor_go_holds_up_nothing(other: Json) -> None:
    blocked = pod("x", started=False, ready=False, **other)
    if "metadata" in other:
        blocked["metadata"] |= {"name": "x", "uid": "uid-x", "labels": {LABEL_REVISION: "vision-a"}}
    assert found(pod("a", ready=False, triton_ready=False), pod("b"), blocked) == {"a"}


def test_a_pod_on_a_node_that_does_not_report_is_not_taken_for_dead() -> None:
    assert found(pod("a", ready=False, triton_ready=True), pod("b")) == set()


def test_revisions_do_not_wait_for_each_other() -> None:
    other = pod("o", revision="vision-b", started=False, ready=False)
    assert found(pod("a", ready=False), other) == {"a"}


CLAIM: Json = {"persistentVolumeClaim": {"claimName": "models", "readOnly": True}}


def restarted(
    name: str, *, compared: str, crashed: str, restarts: int = 1, volume: Json = CLAIM, own: str = "source-0", **of: Any
) -> Json:
    """A pod whose Triton has crashed and was started again."""
    made = pod(name, **of)
    made["spec"] = {"volumes": [{"name": "models", "emptyDir": {}}, {"name": own} | volume]}
    ended = {"terminated": {"exitCode": 139, "finishedAt": f"2026-01-01T{crashed}Z"}}
    made["status"]["containerStatuses"][0] |= {"restartCount": restarts, "lastState": ended if restarts else {}}
    done = {"terminated": {"exitCode": 0, "finishedAt": f"2026-01-01T{compared}Z"}}
    made["status"]["initContainerStatuses"] = [{"name": CONTAINER_PREPARE, "state": done, "lastState": {}}]
    return made


LOADS: Json = {"started": False, "ready": False}


@pytest.mark.parametrize(
    ("one", "expected"),
    [
        pytest.param(restarted("p", compared="10:00:00", crashed="11:59:00", **LOADS), {"p"}, id="it loads again"),
        pytest.param(restarted("p", compared="11:50:00", crashed="11:59:00", **LOADS), set(), id="soon after a look"),
        pytest.param(restarted("p", compared="10:00:00", crashed="11:59:00", restarts=0), set(), id="no crash"),
        pytest.param(
            restarted("p", compared="11:59:30", crashed="11:59:00", **LOADS), set(), id="compared again after a reboot"
        ),
        pytest.param(
            restarted("p", compared="10:00:00", crashed="11:59:00", volume={"configMap": {"name": "m"}}, **LOADS),
            set(),
            id="of a copy that cannot change",
        ),
        pytest.param(
            restarted("p", compared="10:00:00", crashed="11:59:00", own="cache", **LOADS),
            set(),
            id="a user's own claim",
        ),
        pytest.param(
            restarted("p", compared="10:00:00", crashed="11:59:00", metadata=DELETED, **LOADS), set(), id="it goes"
        ),
        pytest.param(restarted("p", compared="10:00:00", crashed="11:59:00"), {"p"}, id="it serves again"),
    ],
)
def test_a_triton_that_was_started_again_on_a_claim_makes_room_for_a_pod_that_compares(
    one: Json, expected: set[str]
) -> None:
    if one["metadata"].keys() == DELETED.keys():
        one["metadata"] |= {"name": "p", "uid": "uid-p", "labels": {LABEL_REVISION: "vision-a"}}
    assert found(one) == expected


def test_those_that_serve_go_one_at_a_time_and_those_that_do_not_at_once() -> None:
    times = {"compared": "10:00:00", "crashed": "11:59:00"}
    serving = [restarted(name, **times) for name in "ab"]
    assert found(*serving, pod("c")) == {"a"}
    loading = [restarted(name, **times, **LOADS) for name in "de"]
    assert found(*serving, *loading) == {"d", "e"}
    assert found(*serving, pod("x", ready=False)) == {"x"}  # what serves nobody comes first
