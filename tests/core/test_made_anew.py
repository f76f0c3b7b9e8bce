"""A revision that the operator's settings have spoilt is mended by others; one that has served never changes."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from triton_operator.api import names

from .simulator import SETTINGS, Cluster, spec_of
from .test_histories import ACCIDENTS, BROKEN, SPEC_CHANGES, Step, steps, take

Json = dict[str, Any]

WRONG = SETTINGS.model_copy(update={"tritonImage": "registry.invalid/triton:1"})
RIGHT = SETTINGS.model_copy(update={"tritonImage": "registry.example/triton:2"})
# Without the record nobody knows that a revision with neither pods nor a place in the Service has served.
SAFE_ACCIDENTS = tuple(accident for accident in ACCIDENTS if accident != "lose record")
GOLDEN = Path(__file__).parents[1] / "resources" / "golden"


def spoilt(version: int = 1, **more: Any) -> Cluster:
    """A service whose first revision fails for an image that the settings name."""
    cluster = Cluster(spec_of(version, replicas=2), broken=frozenset({version}), settings=WRONG, **more)
    cluster.run(10)
    assert cluster.status["lastFailure"]["revision"] == cluster.target
    return cluster


def corrected(cluster: Cluster) -> None:
    """The chart's values are corrected: another operator runs, and what is rendered by now is well."""
    cluster.settings, cluster.broken = RIGHT, frozenset()
    cluster.restart_operator()


def image(cluster: Cluster, revision: str) -> str:
    """The image that the Deployment of a revision runs."""
    template = cluster.bodies[names.DEPLOYMENT.kind, revision]["spec"]["template"]
    found: str = next(c["image"] for c in template["spec"]["containers"] if c["name"] == names.CONTAINER_TRITON)
    return found


def kept_image(cluster: Cluster, revision: str) -> str:
    """The image that its ControllerRevision holds."""
    template = cluster.revisions[revision]["data"]["template"]
    found: str = next(c["image"] for c in template["spec"]["containers"] if c["name"] == names.CONTAINER_TRITON)
    return found


def told(cluster: Cluster) -> list[str]:
    return [announcement.message for announcement in cluster.told if announcement.reason == "MadeAnew"]


@pytest.mark.parametrize("ticks", [0, 500], ids=["at once", "long after its time was out"])
def test_a_first_revision_that_settings_have_spoilt_is_mended_by_other_settings(ticks: int) -> None:
    cluster = spoilt()
    cluster.run(ticks)
    name, spec = cluster.target, cluster.spec
    corrected(cluster)
    cluster.settle()
    assert cluster.condition("Ready")["status"] == "True"
    assert "lastFailure" not in cluster.status
    assert (cluster.target, cluster.spec) == (name, spec)
    assert image(cluster, name) == kept_image(cluster, name) == "registry.example/triton:2"
    assert told(cluster) == [
        f"revision {name} has failed and never been ready, and the operator's settings have changed: it is made anew"
        " by them"
    ]


def test_the_same_settings_make_nothing_anew() -> None:
    cluster = spoilt()
    before = [pod.name for pod in cluster.pods]
    for _ in range(3):
        cluster.restart_operator()
        cluster.run(5)
    assert [pod.name for pod in cluster.pods] == before
    assert told(cluster) == []


@pytest.mark.parametrize("writes", range(6))
def test_an_operator_that_dies_at_it_goes_on_where_it_was(writes: int) -> None:
    cluster = spoilt()
    corrected(cluster)
    cluster.crash_after = writes
    cluster.settle()
    assert cluster.condition("Ready")["status"] == "True"
    assert image(cluster, cluster.target) == "registry.example/triton:2"


def test_an_update_that_settings_have_spoilt_is_made_anew_when_it_is_tried_again() -> None:
    cluster = Cluster(spec_of(1, replicas=2), broken=frozenset({2}), final=True)
    cluster.settle()
    first, served = cluster.target, kept_image(cluster, cluster.target)
    cluster.settings = WRONG
    cluster.change(spec_of(2, replicas=2))
    cluster.run(30)
    second = cluster.status["rejected"]["name"]
    corrected(cluster)
    cluster.broken = frozenset({2})  # until it is made anew
    cluster.run(30)
    assert kept_image(cluster, second) == "registry.invalid/triton:1"  # the spec is held
    cluster.final = False  # its pods get to run for a while
    cluster.actions = {"retry": f"{second}/1"}
    cluster.run(200, until=lambda c: bool(told(c)))
    cluster.broken = frozenset()
    cluster.settle()
    assert cluster.status["stable"]["name"] == second
    assert image(cluster, second) == "registry.example/triton:2"
    assert kept_image(cluster, first) == served


@pytest.mark.parametrize("ready", [1, 2], ids=["one pod has been ready", "it has served alone"])
def test_what_has_ever_been_ready_stays_as_it_was_rendered(ready: int) -> None:
    cluster = Cluster(spec_of(1, replicas=2), settings=WRONG)
    cluster.slots = ready
    cluster.run(12)
    name = cluster.target
    assert sum(pod.ready for pod in cluster.pods) == ready
    for pod in cluster.pods:
        pod.healthy = False
    cluster.settings = RIGHT
    cluster.restart_operator()
    cluster.run(60)
    assert not cluster.serving()
    assert cluster.status["lastFailure"]["revision"] == name
    assert image(cluster, name) == kept_image(cluster, name) == "registry.invalid/triton:1"
    assert told(cluster) == []


def test_a_revision_that_served_once_comes_back_as_it_was_rendered_though_it_fails() -> None:
    cluster = Cluster(spec_of(1, replicas=2))
    cluster.settle()
    first, before = cluster.target, kept_image(cluster, cluster.target)
    cluster.change(spec_of(2, replicas=2))
    cluster.settle()
    cluster.broken, cluster.settings = frozenset({1}), RIGHT
    cluster.change(spec_of(1, replicas=2))
    cluster.run(60)
    assert cluster.target == first
    assert cluster.status["lastFailure"]["revision"] == first
    assert kept_image(cluster, first) == before
    assert told(cluster) == []


def test_a_pod_that_gets_on_is_left_to_it() -> None:
    cluster = spoilt(load_ticks=30)
    name = cluster.target
    cluster.pods[0].healthy = True  # it was the node's fault; this one loads
    cluster.settings = RIGHT
    cluster.restart_operator()
    cluster.run(8)
    assert image(cluster, name) == "registry.invalid/triton:1"
    assert told(cluster) == []


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(history=st.lists(steps(*SPEC_CHANGES, *SAFE_ACCIDENTS, "settings", "settings"), max_size=15))
def test_whatever_happens_what_has_served_keeps_its_template(history: list[Step]) -> None:
    cluster = Cluster(spec_of(1, replicas=2), broken=frozenset({BROKEN}))
    served: dict[str, str] = {}
    for step in history:
        if step.what == "settings":
            cluster.settings = (SETTINGS, WRONG, RIGHT)[step.number % 3]
            cluster.restart_operator()
        else:
            take(cluster, step)
        for _ in range(step.ticks):
            cluster.tick()
            for pod in cluster.serving():
                served.setdefault(pod.revision, kept_image(cluster, pod.revision))
            there = served.keys() & cluster.revisions.keys()
            assert {name: kept_image(cluster, name) for name in there} == {name: served[name] for name in there}


def test_templates_are_the_same_when_they_are_read_back() -> None:
    """What the API server might write otherwise, such as a null or 1.0, would have what fails made anew for ever."""
    found = [body for path in sorted(GOLDEN.glob("*.yaml")) for body in yaml.safe_load_all(path.read_text())]
    assert found
    assert {type(leaf) for body in found for leaf in leaves(body)} <= {str, int, bool}


def leaves(value: Any) -> Iterator[Any]:
    if isinstance(value, dict | list):
        for inner in value.values() if isinstance(value, dict) else value:
            yield from leaves(inner)
    else:
        yield value
