"""The pod that looks at the sources: treated as the service's pods are, and never taken for one of them."""

from typing import Any

import kubernetes_validate  # type: ignore[import-untyped]  # it has no stubs
import pytest

from triton_operator.api import names
from triton_operator.api.settings import Settings
from triton_operator.api.spec import InferenceServiceSpec
from triton_operator.core.resolution import sources_of
from triton_operator.resources.children import Owner, serving_selector
from triton_operator.resources.labels import revision_selector
from triton_operator.resources.resolver import resolver_pod

from .specs import EVERYTHING, MINIMAL, SPECS

Json = dict[str, Any]
OWNER = Owner("vision", "models", "00000000-0000-0000-0000-000000000001")


def resolver(spec: Json) -> Json:
    read = InferenceServiceSpec.model_validate(spec)
    settings = Settings(prepareImage="registry.example/triton-operator:1")
    return resolver_pod(OWNER, "vision-resolve-b", read, settings, sources_of(read, None))


def with_labels(**labels: str) -> Json:
    return MINIMAL | {"runtime": {"labels": labels}}


@pytest.mark.parametrize("name", [pytest.param(name, id=name) for name in SPECS])
def test_it_is_what_kubernetes_takes(name: str) -> None:
    kubernetes_validate.validate(resolver(SPECS[name]), "1.34", strict=True)


def test_webhooks_know_it_by_the_labels_and_annotations_of_the_pods() -> None:
    pod = resolver(with_labels(**{"azure.workload.identity/use": "true"}))
    assert pod["metadata"]["labels"]["azure.workload.identity/use"] == "true"
    assert resolver(EVERYTHING)["metadata"]["annotations"] == EVERYTHING["runtime"]["annotations"]
    assert "annotations" not in resolver(MINIMAL)["metadata"]


def test_it_runs_where_the_pods_may_run_and_asks_for_no_gpu() -> None:
    runtime, pod = EVERYTHING["runtime"], resolver(EVERYTHING)["spec"]
    placed = ("serviceAccountName", "priorityClassName", "schedulerName", "nodeSelector", "tolerations")
    assert {field: pod[field] for field in placed} == {field: runtime[field] for field in placed}
    assert pod["affinity"] == {"nodeAffinity": runtime["nodeAffinity"]}
    assert "nvidia" not in str(pod["containers"])
    assert "runtimeClassName" not in pod


def test_no_service_selects_it_and_no_request_of_a_users_own_service_reaches_it() -> None:
    stolen = with_labels(
        app="vision",
        **{names.LABEL_SERVICE: "vision", names.LABEL_REVISION: "vision-b", names.LABEL_COMPONENT: "model-server"},
    )
    labels = resolver(stolen)["metadata"]["labels"]
    for selector in (
        revision_selector("vision-b"),
        serving_selector("vision", ()),
        serving_selector("vision", ("vision-b",)),
        serving_selector("vision", ("vision-a", "vision-b")),
    ):
        assert not selector.items() <= labels.items()
    assert labels[names.LABEL_COMPONENT] == "resolver"
    assert labels["app"] == "vision"
    # It may have the label that a user's own Service goes by: what is never ready is no endpoint.
    (gate,) = resolver(stolen)["spec"]["readinessGates"]
    assert gate["conditionType"].startswith(names.GROUP)
