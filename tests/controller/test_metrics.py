"""What the operator exposes: just what the table says, and of services only what is amiss."""

import re
from typing import Any

import pytest
from prometheus_client import generate_latest

from triton_operator.api import status as api
from triton_operator.controller import exposed
from triton_operator.controller.metrics import Metrics

VISION, SPEECH = ("models", "vision"), ("models", "speech")
OF_VISION = 'name="vision",namespace="models"'


def status(phase: str = "Ready", /, **conditions: tuple[str, str]) -> dict[str, Any]:
    """A status; its conditions are as where all is well, but for those given."""
    found = {
        "Ready": ("True", "Serving"),
        "Available": ("True", "RequestsServed"),
        "Accepted": ("True", "Accepted"),
        "Reconciling": ("False", "Serving"),
        "Stalled": ("False", "Serving"),
    } | conditions
    listed = [{"type": type_, "status": told[0], "reason": told[1]} for type_, told in found.items()]
    return {"phase": phase, "conditions": listed}


def shown(metrics: Metrics, prefix: str) -> set[str]:
    lines = generate_latest(metrics.registry).decode().splitlines()
    return {line.removeprefix("triton_operator_") for line in lines if line.startswith(f"triton_operator_{prefix}")}


def test_the_table_lists_just_what_is_exposed() -> None:
    families = {family.name: family for family in Metrics().registry.collect()}
    assert families.keys() == {metric.name.removesuffix("_total") for metric in exposed.ALL}
    for metric in exposed.ALL:
        family = families[metric.name.removesuffix("_total")]
        assert family.type == metric.type
        if metric in exposed.MADE:
            assert family.documentation == metric.text


def test_names_say_the_type_and_the_unit() -> None:
    for metric in exposed.ALL:
        assert re.fullmatch(r"triton_operator_[a-z]+(_[a-z]+)*", metric.name)
        assert metric.name.endswith("_total") == (metric.type == "counter")
        if metric.unit in ("seconds", "percent", "bytes"):
            assert f"_{metric.unit}" in metric.name


def test_of_a_service_of_which_all_is_well_nothing_is_shown_but_its_phase() -> None:
    metrics = Metrics()
    metrics.told(VISION, status())
    metrics.told(SPEECH, status(TrafficVerified=("True", "RouteAccepted"), ScalingActive=("True", "Measured")))
    assert not shown(metrics, "service_condition{")
    assert shown(metrics, "services_in_phase{") == {'services_in_phase{phase="Ready"} 2.0'}


def test_what_is_amiss_is_shown_with_its_reason_until_it_is_over() -> None:
    metrics = Metrics()
    late = ("False", "LoadTimeout")
    told = status("Failed", Ready=late, Available=("False", "NoReadyPods"), Stalled=("True", "LoadTimeout"))
    metrics.told(VISION, told)
    metrics.told(VISION, told)
    assert shown(metrics, "service_condition{") == {
        f'service_condition{{{OF_VISION},reason="LoadTimeout",status="False",type="Ready"}} 1.0',
        f'service_condition{{{OF_VISION},reason="LoadTimeout",status="True",type="Stalled"}} 1.0',
        f'service_condition{{{OF_VISION},reason="NoReadyPods",status="False",type="Available"}} 1.0',
    }
    metrics.told(VISION, status("Loading", Ready=("Unknown", "Loading"), Reconciling=("True", "Loading")))
    assert shown(metrics, "service_condition{") == {
        f'service_condition{{{OF_VISION},reason="Loading",status="Unknown",type="Ready"}} 1.0'
    }
    assert shown(metrics, "services_in_phase{") == {
        'services_in_phase{phase="Failed"} 0.0',
        'services_in_phase{phase="Loading"} 1.0',
    }
    metrics.told(VISION, {})
    assert not shown(metrics, "service_condition{")
    assert 'services_in_phase{phase="Loading"} 0.0' in shown(metrics, "services_in_phase{")


@pytest.mark.parametrize("reason", ["a b", 'x"y\n', "R" * 65, "OutOfnvidia.com/gpu", ""])
def test_words_that_are_no_reason_do_not_become_a_label(reason: str) -> None:
    metrics = Metrics()
    metrics.told(VISION, status(Ready=("False", reason)))
    assert shown(metrics, "service_condition{") == {
        f'service_condition{{{OF_VISION},reason="Other",status="False",type="Ready"}} 1.0'
    }


def test_every_condition_is_known_to_be_good_or_bad() -> None:
    well = {"Ready", "Available", "Accepted", "TrafficVerified", "ScalingActive"}
    ill = {"Stalled", "Suspended", "ServesOnCPU", "CanaryPaused", "CanaryFailed"}
    text = api.Condition.model_fields["type"].description or ""
    assert set(re.findall(r"(\w+):", text)) == well | ill | {"Reconciling"}
    for type_ in sorted(well | ill):
        metrics = Metrics()
        metrics.told(VISION, status(**{type_: ("Unknown", "Any")}))
        assert len(shown(metrics, "service_condition{")) == 1
        metrics.told(VISION, status(**{type_: ("True" if type_ in well else "False", "Any")}))
        assert not shown(metrics, "service_condition{")


@pytest.mark.parametrize("after", [{}, status(), status() | {"autoscaling": {"desired": 4}}])
def test_a_limit_is_shown_while_it_holds(after: dict[str, Any]) -> None:
    metrics = Metrics()
    for limit in ("max", "nodes", "nodes"):
        metrics.told(VISION, status() | {"autoscaling": {"desired": 4, "limitedBy": limit}})
        assert shown(metrics, "autoscaling_limited{") == {f'autoscaling_limited{{by="{limit}",{OF_VISION}}} 1.0'}
    metrics.scaled(VISION, None)
    metrics.told(VISION, after)
    assert not shown(metrics, "autoscaling_limited{")


def test_a_fleet_that_is_well_costs_no_series_for_each_service() -> None:
    metrics = Metrics()
    for number in range(5000):
        metrics.told(("models", f"service-{number}"), status())
    lines = [line for line in generate_latest(metrics.registry).decode().splitlines() if not line.startswith("#")]
    assert len(lines) < 100
