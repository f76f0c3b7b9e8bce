"""Which pods are looked at, and when one counts as dead. What is read from a real Triton: tests/contract."""

import asyncio

import pytest

from triton_operator.api import names
from triton_operator.api.settings import Watch
from triton_operator.controller.queue import Key
from triton_operator.controller.store import Store
from triton_operator.controller.vitals import Place, Vitals, places_of
from triton_operator.core.vitals import Counts
from triton_operator.edges.kubernetes import Kube

KEY = ("models", "vision")
A = Place(KEY, "a", "10.0.0.1", name="vision-1-a", revision="vision-1")
B = Place(KEY, "b", "fd00::1", name="vision-1-b", revision="vision-1")
M = ("m", "1")
ALIVE = {M: Counts(executions=5, successes=5)}
FAILING = {M: Counts(executions=5, successes=5, backend_failures=9)}


@pytest.fixture
def vitals() -> Vitals:
    woken: list[Key] = []
    return Vitals(Kube.__new__(Kube), Store(), Watch(), woken.append)  # `compare` asks no API server


def test_ready_pods_are_taken_from_the_slices_of_a_revision() -> None:
    def endpoint(uid: str, **conditions: bool) -> dict:
        return {"addresses": [f"10.0.0.{uid}"], "targetRef": {"uid": uid}, "conditions": conditions}

    body = {
        "metadata": {"namespace": "models", "labels": {names.LABEL_SERVICE: "vision"}},
        "endpoints": [
            endpoint("1", ready=True),
            endpoint("2", ready=False),
            endpoint("3"),
            {"addresses": ["10.0.0.4"]},
        ],
    }
    assert [place.uid for place in places_of(body)] == ["1", "3"]
    assert list(places_of(body | {"endpoints": None})) == []


def test_a_pod_whose_requests_only_fail_between_two_looks_is_suspected(vitals: Vitals) -> None:
    assert vitals.compare([(A, ALIVE), (B, ALIVE)]) == []
    assert vitals.compare([(A, FAILING), (B, ALIVE)]) == [(A, M)]
    assert vitals.dead(KEY) == frozenset()  # what runs the model has yet to be asked


def test_what_is_marked_stays_dead_until_it_has_gone(vitals: Vitals) -> None:
    vitals.compare([(A, FAILING), (B, ALIVE)])
    vitals.mark(A)
    assert (vitals.dead(KEY), vitals.dead(("models", "other"))) == ({"a"}, frozenset())
    assert vitals.compare([(A, None), (B, ALIVE)]) == []
    assert vitals.dead(KEY) == {"a"}
    vitals.compare([(B, ALIVE)])
    assert vitals.dead(KEY) == frozenset()


def test_a_pod_that_executes_again_lives(vitals: Vitals) -> None:
    vitals.compare([(A, FAILING)])
    vitals.mark(A)
    vitals.compare([(A, {M: Counts(executions=6, successes=6, backend_failures=9)})])
    assert vitals.dead(KEY) == frozenset()


def test_a_pod_that_could_not_be_asked_tells_nothing(vitals: Vitals) -> None:
    vitals.compare([(A, ALIVE)])
    vitals.compare([(A, None)])
    assert vitals.compare([(A, FAILING)]) == []


async def test_looking_ends_when_it_is_cancelled(vitals: Vitals) -> None:
    task = asyncio.create_task(vitals.run())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
