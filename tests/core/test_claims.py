"""Who was first where two services claim the same requests of a Gateway."""

from typing import Any

import pytest

from triton_operator.api.routing import Gateway
from triton_operator.core.claims import Claims, claims_of, first, joined, wanted_claims
from triton_operator.resources.children import Owner
from triton_operator.resources.route import routes

Json = dict[str, Any]
KEY, OTHER = ("b", "vision"), ("a", "vision")
PLAIN: Json = {"parentRefs": [{"name": "inference", "namespace": "gateways"}], "hostnames": ["models.example.com"]}
EARLY, LATE = "2026-01-01T00:00:00Z", "2026-01-01T00:00:01Z"


def route(since: str, gateway: Json = PLAIN, key: tuple[str, str] = OTHER) -> Json:
    """The HTTPRoute of a service as the API server has it."""
    owner = Owner(name=key[1], namespace=key[0], uid="u")
    (_, body), *_ = routes(owner, Gateway.model_validate(gateway), model="m", backends=[(key[1], 100)])
    return body | {"metadata": body["metadata"] | {"creationTimestamp": since}}


def rival(
    gateway: Json = PLAIN, other: Json = PLAIN, *, own: str | None = None, own_gateway: Json | None = None
) -> Any:
    wanted = wanted_claims(Gateway.model_validate(gateway), KEY[0])
    mine = claims_of(route(own, own_gateway or gateway, KEY)) if own else None
    return first(KEY, wanted, mine, [(OTHER, claims_of(route(LATE, other)))])


def test_the_first_route_of_a_host_name_wins() -> None:
    assert rival() == OTHER
    assert rival(own=EARLY) is None
    assert rival(own="2026-01-01T00:00:02Z") == OTHER


def test_of_two_routes_of_one_second_the_gateway_takes_the_first_by_name() -> None:
    assert rival(own=LATE) == OTHER
    wanted = wanted_claims(Gateway.model_validate(PLAIN), OTHER[0])
    mine = claims_of(route(LATE))
    assert first(OTHER, wanted, mine, [(KEY, claims_of(route(LATE, key=KEY)))]) is None


def test_a_route_that_changes_its_host_name_comes_after_those_that_have_it() -> None:
    assert rival(own=EARLY, own_gateway=PLAIN | {"hostnames": ["elsewhere.example.com"]}) == OTHER


@pytest.mark.parametrize(
    ("change", "meet"),
    [
        pytest.param({}, True, id="the same"),
        pytest.param({"hostnames": ["other.example.com"]}, False, id="another host name"),
        pytest.param({"hostnames": ["other.example.com", "models.example.com"]}, True, id="one host name in common"),
        pytest.param({"hostnames": ["*.example.com"]}, False, id="a wildcard, which comes after a whole name"),
        pytest.param({"hostnames": []}, False, id="all host names, which come last"),
        pytest.param({"headers": [{"name": "x-model", "value": "m"}]}, False, id="with a header"),
        pytest.param({"parentRefs": [{"name": "other", "namespace": "gateways"}]}, False, id="another Gateway"),
        pytest.param({"parentRefs": [{"name": "inference"}]}, False, id="a Gateway of the own namespace"),
        pytest.param(
            {"parentRefs": [{"name": "inference", "namespace": "gateways", "sectionName": "https"}]},
            True,
            id="a listener",
        ),
        pytest.param({"parentRefs": [{"name": "inference", "namespace": "gateways", "port": 80}]}, True, id="a port"),
    ],
)
def test_what_meets(change: Json, meet: bool) -> None:
    assert (rival(PLAIN | change) is not None) is meet
    assert (rival(PLAIN, PLAIN | change) is not None) is meet


PREFIX: Json = {"pathPrefix": "/team-a"}
GRPC: Json = {"grpc": "GRPCRoute", "grpcHostnames": ["grpc.example.com"]}


@pytest.mark.parametrize(
    ("change", "of_other", "meet"),
    [
        pytest.param(PREFIX, {}, False, id="paths below another one"),
        pytest.param(PREFIX, PREFIX, True, id="the same prefix"),
        pytest.param(PREFIX, {"pathPrefix": "/team-a/b"}, False, id="a longer prefix, which comes before"),
        pytest.param(PREFIX | GRPC, {"pathPrefix": "/team-b"} | GRPC, True, id="calls on one host name"),
        pytest.param(PREFIX | GRPC, {"pathPrefix": "/team-b"}, False, id="calls of one of them"),
        pytest.param(GRPC, {"hostnames": ["grpc.example.com"]}, True, id="calls on the host name of another"),
        pytest.param(
            PREFIX | {"headers": [{"name": "x-model", "value": "m"}]},
            {"pathPrefix": "/team-b", "headers": [{"name": "X-Model", "value": "m"}]},
            True,
            id="calls with the same header",
        ),
        pytest.param(
            PREFIX | {"headers": [{"name": "x-model", "value": "m"}]},
            {"pathPrefix": "/team-b", "headers": [{"name": "x-model", "value": "n"}]},
            False,
            id="prefixes and headers of their own",
        ),
    ],
)
def test_prefixes_and_routes_for_calls(change: Json, of_other: Json, meet: bool) -> None:
    def all_of(more: Json, key: tuple[str, str], since: str) -> Claims:
        owner = Owner(name=key[1], namespace=key[0], uid="u")
        found = routes(owner, Gateway.model_validate(PLAIN | more), model="m", backends=[(key[1], 100)])
        created = {"creationTimestamp": since}
        return joined(claims_of(body | {"metadata": body["metadata"] | created}) for _, body in found)

    wanted = wanted_claims(Gateway.model_validate(PLAIN | change), KEY[0])
    assert wanted.listeners == all_of(change, KEY, LATE).listeners
    assert (first(KEY, wanted, None, [(OTHER, all_of(of_other, OTHER, EARLY))]) is not None) is meet
    assert first(KEY, wanted, all_of(change, KEY, EARLY), [(OTHER, all_of(of_other, OTHER, LATE))]) is None


def test_two_listeners_of_a_gateway_are_apart() -> None:
    one = PLAIN | {"parentRefs": [{"name": "inference", "namespace": "gateways", "sectionName": "http"}]}
    other = PLAIN | {"parentRefs": [{"name": "inference", "namespace": "gateways", "sectionName": "https"}]}
    assert rival(one, other) is None
    assert rival(one, one) == OTHER


def test_headers_of_another_value_are_apart_and_capitals_of_their_names_do_not_matter() -> None:
    def headed(name: str, value: str) -> Json:
        return PLAIN | {"headers": [{"name": name, "value": value}]}

    assert rival(headed("x-model", "a"), headed("x-model", "b")) is None
    assert rival(headed("x-model", "a"), headed("X-Model", "a")) == OTHER
