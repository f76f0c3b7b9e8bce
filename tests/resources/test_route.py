"""The routes of a service: which requests they let through, in which rules, and what is read back from them."""

from collections.abc import Iterator
from typing import Any

import pytest

from triton_operator.api.names import GRPC_ROUTE, HEADER_REVISION, HTTP_ROUTE, Kind
from triton_operator.api.routing import Gateway
from triton_operator.resources.children import Owner
from triton_operator.resources.route import Direct, Pinned, counted, direct_of, kinds, routes

Json = dict[str, Any]
OWNER = Owner("vision", "models", "uid-1")
PREFIX: Json = {"pathPrefix": "/team-a"}
HEADERS: Json = {"headers": [{"name": "x-model", "value": "vision"}]}
GRPC: Json = {"grpc": "GRPCRoute", "grpcHostnames": ["grpc.example.com"]}
ALL = [{}, HEADERS, GRPC, PREFIX, PREFIX | HEADERS, PREFIX | GRPC, PREFIX | HEADERS | GRPC]
PINNED = (Pinned(1, "old"), Pinned(2, "new"))
TESTERS = Direct("new", named=True, headers={"x-tester": "yes"}, mirror=20)


def gateway(more: Json) -> Gateway:
    return Gateway.model_validate({"parentRefs": [{"name": "inference"}], "hostnames": ["models.example.com"]} | more)


def built(more: Json, **of: Any) -> dict[Kind, Json]:
    return dict(routes(OWNER, gateway(more), model="vision", backends=[("old", 90), ("new", 10)], **of))


def asked(rule: Json) -> list[str]:
    """What a rule matches, without headers."""
    about = [match.get("path") or match["method"] for match in rule["matches"]]
    return [of.get("value") or of["service"] for of in about]


def test_one_route_serves_both_protocols_on_the_same_host_names() -> None:
    assert kinds(None) == ()
    assert kinds(gateway({})) == (HTTP_ROUTE,)
    (route,) = built({}).values()
    assert route["spec"]["hostnames"] == ["models.example.com"]
    http, grpc = route["spec"]["rules"]
    assert asked(http) == ["/v2/models/vision", "/v2", "/v2/health"]
    assert asked(grpc) == ["/inference.GRPCInferenceService", "/grpc.health.v1.Health"]
    assert {backend["port"] for backend in http["backendRefs"]} == {8000}
    assert {backend["port"] for backend in grpc["backendRefs"]} == {8001}


def test_a_grpc_route_has_its_own_host_names_and_the_http_route_no_calls() -> None:
    found = built(GRPC)
    assert tuple(found) == kinds(gateway(GRPC)) == (HTTP_ROUTE, GRPC_ROUTE)
    http, grpc = found[HTTP_ROUTE]["spec"], found[GRPC_ROUTE]["spec"]
    assert (http["hostnames"], grpc["hostnames"]) == (["models.example.com"], ["grpc.example.com"])
    assert http["parentRefs"] == grpc["parentRefs"]
    assert [asked(rule) for rule in http["rules"]] == [["/v2/models/vision", "/v2", "/v2/health"]]
    assert [asked(rule) for rule in grpc["rules"]] == [["inference.GRPCInferenceService", "grpc.health.v1.Health"]]
    assert [(of["name"], of["port"], of["weight"]) for of in grpc["rules"][0]["backendRefs"]] == [
        ("old", 8001, 90), ("new", 8001, 10),
    ]  # fmt: skip
    assert "timeouts" not in grpc["rules"][0]  # the type has none
    assert built({"grpc": "GRPCRoute"})[GRPC_ROUTE]["spec"]["hostnames"] == ["models.example.com"]


def test_triton_sees_paths_without_the_prefix() -> None:
    (route,) = built(PREFIX, pinned=PINNED).values()
    rewritten = {}
    for rule in route["spec"]["rules"]:
        (path,) = asked(rule)  # a rule that rewrites its prefix may have one match
        (rewrite,) = [of["urlRewrite"]["path"] for of in rule["filters"]]
        rewritten[path] = rewrite.get("replacePrefixMatch") or rewrite["replaceFullPath"]
    assert rewritten == {
        "/team-a/v2/models/vision": "/v2/models/vision",
        "/team-a/v2": "/v2",
        "/team-a/v2/health": "/v2/health",
        "/team-a/v2/models/vision/versions/1": "/v2/models/vision/versions/1",
        "/team-a/v2/models/vision/versions/2": "/v2/models/vision/versions/2",
    }


def test_calls_have_no_prefix_and_go_by_headers_or_a_route_of_their_own() -> None:
    def calls(more: Json) -> list[Kind]:
        return [
            kind
            for kind, body in built(more).items()
            for rule in body["spec"]["rules"]
            if any("GRPCInferenceService" in path for path in asked(rule))
        ]

    assert calls(PREFIX) == []
    assert calls(PREFIX | HEADERS) == [HTTP_ROUTE]
    assert calls(PREFIX | GRPC) == [GRPC_ROUTE]


@pytest.mark.parametrize("more", ALL, ids=str)
def test_the_rules_that_are_counted_share_requests_out(more: Json) -> None:
    found = built(more, pinned=PINNED, direct=TESTERS)
    first = {"http": "/v2/models/vision", "grpc": "inference.GRPCInferenceService"}
    of = counted(gateway(more))
    assert ("grpc" in of) == (more != PREFIX)
    for protocol, (kind, place) in of.items():
        rule = found[kind]["spec"]["rules"][place]
        assert asked(rule)[0].endswith(first[protocol])
        assert [backend["weight"] for backend in rule["backendRefs"]] == [90, 10]


def references(body: Any) -> Iterator[Json]:
    """Everything in a route that requests, or copies of them, are sent to."""
    if isinstance(body, dict):
        for key, value in body.items():
            yield from value if key == "backendRefs" else [value] if key == "backendRef" else ()
            yield from references(value)
    elif isinstance(body, list):
        for value in body:
            yield from references(value)


@pytest.mark.parametrize("more", ALL, ids=str)
def test_routes_lead_to_services_of_their_own_service_only(more: Json) -> None:
    for body in built(more, pinned=PINNED, direct=TESTERS).values():
        assert body["metadata"]["namespace"] == OWNER.namespace
        found = list(references(body["spec"]))
        assert {of["name"] for of in found} == {"old", "new"}  # Services of its revisions, in its own namespace
        assert {of.get("kind", "Service") for of in found} == {"Service"}
        assert not any(of.get("namespace") or of.get("group") for of in found)


@pytest.mark.parametrize("more", ALL, ids=str)
@pytest.mark.parametrize(
    "direct",
    [None, Direct("new", named=True), Direct("new", mirror=20), TESTERS],
    ids=["nobody", "those who name it", "copies", "testers"],
)
def test_what_goes_to_one_revision_is_read_back(more: Json, direct: Direct | None) -> None:
    for body in built(more, pinned=PINNED, direct=direct).values():
        assert direct_of(body) == direct
        for rule in body["spec"]["rules"]:
            headers = [{of["name"]: of["value"] for of in match.get("headers", ())} for match in rule["matches"]]
            assert all(("headers" in more) <= ("x-model" in of) for of in headers)
            named = {of[HEADER_REVISION] for of in headers if HEADER_REVISION in of}
            assert named <= {of["name"] for of in rule["backendRefs"]}


@pytest.mark.parametrize("more", ALL, ids=str)
def test_routes_stay_within_what_the_gateway_api_takes(more: Json) -> None:
    for body in built(more, pinned=PINNED, direct=TESTERS).values():
        assert len(body["spec"]["rules"]) <= 16
        assert sum(len(rule["matches"]) for rule in body["spec"]["rules"]) <= 128
