from datetime import UTC, datetime, timedelta

import pytest

from triton_operator.controller.world import _with_pods as with_pods
from triton_operator.controller.world import is_unsettled, ready_endpoints
from triton_operator.core.health import STUCK_SECONDS
from triton_operator.core.world import Fleet

NOW = datetime(2026, 1, 1, tzinfo=UTC)
WHOLE = Fleet(wanted=2, pods=2, ready=2)


def pod(uid: str, revision: str, ending: datetime | None = None) -> dict:
    metadata = {"uid": uid, "name": uid, "labels": {"serving.triton-operator.dev/revision": revision}}
    going = {"deletionTimestamp": ending.isoformat()} if ending else {}
    return {"metadata": metadata | going, "spec": {"nodeName": "n"}}


def service(*, ready: str, observed: int = 3) -> dict:
    conditions = [{"type": "Ready", "status": ready}]
    return {"metadata": {"generation": 3}, "status": {"observedGeneration": observed, "conditions": conditions}}


@pytest.mark.parametrize(
    ("body", "fleets", "unsettled"),
    [
        pytest.param(service(ready="True"), [WHOLE], False, id="everything is as it should be"),
        pytest.param(service(ready="True", observed=2), [WHOLE], True, id="the status describes an older spec"),
        pytest.param(service(ready="Unknown"), [WHOLE], True, id="the last look saw work under way"),
        pytest.param(service(ready="True"), [WHOLE, Fleet(0, 0, 0)], True, id="a second revision"),
        pytest.param(service(ready="True"), [Fleet(2, 2, 1)], True, id="a pod is not ready"),
        pytest.param(service(ready="True"), [Fleet(2, 2, 2, refused="quota")], True, id="pods are refused"),
        pytest.param({"metadata": {"generation": 1}}, [], False, id="nothing is there yet"),
    ],
)
def test_pods_are_looked_at_only_while_something_is_under_way(body, fleets, unsettled) -> None:
    assert is_unsettled(body, fleets) is unsettled


def test_a_pod_that_is_going_away_counts_until_it_is_stuck() -> None:
    late = NOW - timedelta(seconds=STUCK_SECONDS + 1)
    pods = [pod("a", "r"), pod("b", "r", NOW), pod("c", "r", late), pod("d", "other", NOW)]
    found = with_pods("r", WHOLE, pods, now=NOW.timestamp())
    assert (found.ending, found.scheduled, found.homeless) == (1, 1, 0)


def test_endpoints_are_counted_once_per_pod_and_by_revision() -> None:
    def endpoint(uid: str, **conditions: bool) -> dict:
        return {"targetRef": {"uid": uid}, "conditions": conditions}

    slices = [
        {"endpoints": [endpoint("a", ready=True), endpoint("b", ready=False), endpoint("c")]},
        {"endpoints": [endpoint("a", ready=True), {"addresses": ["10.0.0.1"]}]},
        {"endpoints": None},
    ]
    pods = [pod("a", "old"), pod("b", "old"), pod("c", "new")]
    assert ready_endpoints(slices, pods) == {"old": 1, "new": 1}
