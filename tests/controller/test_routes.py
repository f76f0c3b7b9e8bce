"""What is read from what Gateways say of routes."""

from typing import Any

import pytest

from triton_operator.api.names import GRPC_ROUTE, Kind
from triton_operator.api.routing import Gateway
from triton_operator.controller.routes import route_of, routes_of
from triton_operator.resources.children import Owner
from triton_operator.resources.route import routes

Json = dict[str, Any]
ENVOY = "gateway.envoyproxy.io/gatewayclass-controller"
HERE: Json = {"name": "inference", "namespace": "gateways", "sectionName": "http"}


def says(type_: str, status: str = "True", *, generation: int = 2, reason: str = "", message: str = "") -> Json:
    found = {"type": type_, "status": status, "observedGeneration": generation, "reason": reason or type_}
    return found | {"message": message, "lastTransitionTime": "2026-01-01T00:00:00Z"}


TAKEN = (says("Accepted"), says("ResolvedRefs"))


def parent(*conditions: Json, ref: Json = HERE, controller: str = ENVOY) -> Json:
    defaults = {"group": "gateway.networking.k8s.io", "kind": "Gateway"}
    return {"controllerName": controller, "parentRef": defaults | ref, "conditions": list(conditions)}


def bodies(*parents: Json, refs: tuple[Json, ...] = (HERE,), grpc: str = "SameRoute") -> dict[Kind, Json]:
    gateway = Gateway.model_validate({"parentRefs": list(refs), "grpc": grpc})
    owner = Owner("vision", "models", "u")
    return {
        kind: body | {"metadata": body["metadata"] | {"generation": 2}, "status": {"parents": list(parents)}}
        for kind, body in routes(owner, gateway, model="vision", backends=[("old", 90), ("new", 10)])
    }


def read(*parents: Json, refs: tuple[Json, ...] = (HERE,)) -> Any:
    (body,) = bodies(*parents, refs=refs).values()
    return route_of(body)


def test_a_route_is_accepted_when_its_parent_says_both_of_what_it_is_now() -> None:
    found = read(parent(*TAKEN))
    assert (found.accepted, found.seen, found.trouble, found.uncounted) == (True, True, None, "")
    assert (found.weights, found.backends) == ({"old": 90, "new": 10}, frozenset({"old", "new"}))


@pytest.mark.parametrize(
    "parents",
    [
        pytest.param([parent(says("Accepted"))], id="one of both"),
        pytest.param([parent(says("Accepted"), says("ResolvedRefs", generation=1))], id="of what it was"),
        pytest.param([parent(*TAKEN, ref=HERE | {"sectionName": "https"})], id="another listener"),
        pytest.param([parent(*TAKEN, ref={"name": "inference"})], id="a Gateway of the service's namespace"),
        pytest.param([parent(*TAKEN), parent(says("Accepted"), controller="other")], id="not all that look at it"),
    ],
)
def test_it_is_not_accepted_yet(parents: list[Json]) -> None:
    assert not read(*parents).accepted


def test_what_was_said_of_a_listener_that_it_no_longer_has_does_not_count() -> None:
    """Envoy Gateway leaves it there."""
    former = parent(
        says("Accepted", "False", generation=1, reason="NoMatchingParent", message="No listeners match"),
        says("ResolvedRefs", generation=1),
        ref=HERE | {"sectionName": "absent"},
    )
    assert read(former, parent(*TAKEN)).accepted
    found = read(former)
    assert (found.accepted, found.seen) == (False, True)
    assert found.trouble == "no Gateway has looked at the HTTPRoute vision yet: do those of spec.routing.gateway exist?"


def test_each_gateway_has_to_accept_it() -> None:
    near: Json = {"name": "near"}
    refs = (HERE, near)
    there = parent(*TAKEN, ref=near | {"namespace": "models"})
    assert not read(parent(*TAKEN), refs=refs).accepted
    assert read(parent(*TAKEN), there, refs=refs).accepted
    refused = parent(
        says("Accepted", "False", reason="NotAllowedByListeners", message="no"), says("ResolvedRefs"), ref=near
    )
    told = read(parent(*TAKEN), refused | {"parentRef": near | {"namespace": "models"}}, refs=refs)
    assert not told.accepted
    assert told.trouble == "a Gateway says of the HTTPRoute vision: NotAllowedByListeners: no"


@pytest.mark.parametrize(
    ("condition", "unfiltered"),
    [
        (says("Accepted", "False", reason="UnsupportedValue"), True),
        (says("ResolvedRefs", "False", reason="InvalidKind", message="backendRef filters are not supported"), True),
        (says("PartiallyInvalid", "True", reason="UnsupportedValue"), True),
        (says("PartiallyInvalid", "False", reason="UnsupportedValue"), False),
        (says("Accepted", "False", reason="UnsupportedValue", generation=1), False),
        (says("Accepted", "False", reason="NoMatchingListenerHostname"), False),
        (says("Programmed", "False", message="filters"), False),
    ],
)
def test_a_refusal_of_filters_is_told_from_others(condition: Json, unfiltered: bool) -> None:
    (body,) = bodies(parent(condition)).values()
    assert route_of(body).unfiltered is unfiltered
    for backend in (of for rule in body["spec"]["rules"] for of in rule["backendRefs"]):
        del backend["filters"]
    assert not route_of(body).unfiltered  # whatever it is about, it is not about those


def test_whose_gateway_it_is() -> None:
    assert read(parent(*TAKEN, controller="gateway.envoyproxy.io/tenant-a")).uncounted == ""
    assert read(parent(*TAKEN, controller="istio.io/gateway-controller")).uncounted == "istio.io/gateway-controller"


def test_two_routes_are_accepted_when_both_are_and_are_alike() -> None:
    found = bodies(parent(*TAKEN), grpc="GRPCRoute")
    together = routes_of(found.values(), expected=2)
    assert together
    assert (together.accepted, together.weights) == (True, {"old": 90, "new": 10})
    alone = routes_of([found[GRPC_ROUTE]], expected=2)
    assert alone
    assert not alone.accepted
    found[GRPC_ROUTE]["spec"]["rules"][0]["backendRefs"][1]["weight"] = 90
    apart = routes_of(found.values(), expected=2)
    assert apart
    assert (apart.accepted, apart.weights) == (False, {"old": 50, "new": 10})
    assert routes_of([], expected=1) is None
