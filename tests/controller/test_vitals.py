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
A = Place(KEY, "a", "10.0.0.1")
B = Place(KEY, "b", "fd00::1")
ALIVE = {"m/1": Counts(executions=5, successes=5)}
FAILING = {"m/1": Counts(executions=5, successes=5, backend_failures=9)}


@pytest.fixture
def woken() -> list[Key]:
    return []


@pytest.fixture
def vitals(woken: list[Key]) -> Vitals:
    return Vitals(Kube.__new__(Kube), Store(), Watch(), woken.append)  # `note` asks no API server


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


def test_a_pod_whose_requests_only_fail_between_two_looks_is_dead_and_its_service_is_queued(
    vitals: Vitals, woken: list[Key]
) -> None:
    vitals.note([(A, ALIVE), (B, ALIVE)])
    assert (vitals.dead(KEY), woken) == (frozenset(), [])
    vitals.note([(A, FAILING), (B, ALIVE)])
    assert (vitals.dead(KEY), woken) == ({"a"}, [KEY])
    assert vitals.dead(("models", "other")) == frozenset()


def test_its_service_is_queued_at_every_look_until_it_has_gone(vitals: Vitals, woken: list[Key]) -> None:
    vitals.note([(A, ALIVE)])
    vitals.note([(A, FAILING)])
    vitals.note([(A, None)])
    assert (vitals.dead(KEY), woken) == ({"a"}, [KEY, KEY])
    vitals.note([(B, ALIVE)])
    assert (vitals.dead(KEY), woken) == (frozenset(), [KEY, KEY])


def test_a_pod_that_could_not_be_asked_tells_nothing(vitals: Vitals, woken: list[Key]) -> None:
    vitals.note([(A, ALIVE)])
    vitals.note([(A, None)])
    vitals.note([(A, FAILING)])
    assert (vitals.dead(KEY), woken) == (frozenset(), [])


async def test_looking_ends_when_it_is_cancelled(vitals: Vitals) -> None:
    task = asyncio.create_task(vitals.run())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
