"""The routes of a service: which requests through a Gateway go to which of its revisions.

One HTTPRoute serves HTTP and gRPC on the same host name, unless a GRPCRoute is asked for.
Not for: the weights; those are `core.traffic`'s.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from triton_operator.api.names import GRPC_ROUTE, HEADER_REVISION, HTTP_ROUTE, PORT_GRPC, PORT_HTTP, Kind
from triton_operator.api.routing import Gateway
from triton_operator.resources.children import Owner
from triton_operator.resources.labels import metadata, service_labels

Json = dict[str, Any]
Backend = tuple[str, int]
"""Name of a Service, and its weight in percent."""

GRPC_SERVICES = ("inference.GRPCInferenceService", "grpc.health.v1.Health")
MODELS = "/v2/models/"


@dataclass(frozen=True, slots=True)
class Pinned:
    """Requests over HTTP that go to one revision because they name a version of the model.

    Attributes:
        version: the version.
        revision: the revision, which serves it.
        named: whether they have to name the revision too, by the header `x-triton-revision`.
    """

    version: int
    revision: str
    named: bool = False


@dataclass(frozen=True, slots=True)
class Direct:
    """Requests that go to one revision whatever the weights.

    Attributes:
        revision: the revision.
        named: whether those go there that name it by the header `x-triton-revision`.
        headers: those with all of these headers go there; {} for none.
        mirror: share of the requests that is sent there too, and whose answers nobody gets, in percent.
    """

    revision: str
    named: bool = False
    headers: Mapping[str, str] = field(default_factory=dict)
    mirror: int = 0


def kinds(gateway: Gateway | None) -> tuple[Kind, ...]:
    """List the types of the routes that a spec asks for."""
    if gateway is None:
        return ()
    return (HTTP_ROUTE, GRPC_ROUTE) if gateway.grpc == "GRPCRoute" else (HTTP_ROUTE,)


def counted(gateway: Gateway) -> dict[str, tuple[Kind, int]]:
    """Say by which rule requests are shared out by the weights, over each protocol.

    Args:
        gateway: what the spec says.

    Returns:
        By protocol, "http" or "grpc", the type of route and the place of its rule; without a protocol that the
        Gateway does not let through.
    """
    found = {"http": (HTTP_ROUTE, 0)}
    if gateway.grpc == "GRPCRoute":
        found["grpc"] = (GRPC_ROUTE, 0)
    elif _has_grpc(gateway):
        found["grpc"] = (HTTP_ROUTE, 1)
    return found


def routes(
    owner: Owner,
    gateway: Gateway,
    *,
    model: str,
    backends: Sequence[Backend],
    pinned: Sequence[Pinned] = (),
    direct: Direct | None = None,
    told: bool = True,
) -> list[tuple[Kind, Json]]:
    """Build the routes of a service.

    Args:
        owner: the service.
        gateway: what the spec says.
        model: the name under which clients ask for the model.
        backends: where its requests go, in the order of their slots.
        pinned: requests that go to one revision because they name its version, in the order of the slots.
        direct: which other requests go to one revision whatever the weights.
        told: whether answers tell the revision by the header `x-triton-revision`, which takes filters of backends.

    Returns:
        The HTTPRoute, and the GRPCRoute where one is asked for, named like the InferenceService. Only what inference
        needs is let through: no repository control, no statistics, no shared memory over HTTP.
    """
    http = _http_rules(gateway, model, backends, pinned, direct)
    found = [(HTTP_ROUTE, _route(owner, HTTP_ROUTE, gateway, gateway.hostnames, http))]
    if gateway.grpc == "GRPCRoute":
        hosts = gateway.grpc_hostnames or gateway.hostnames
        grpc = [_grpc_rule(gateway, [{}], backends) | _filters(_mirror(direct, PORT_GRPC))]
        if direct and (ways := _ways(direct)):
            grpc.append(_grpc_rule(gateway, ways, [(direct.revision, 100)]))
        found.append((GRPC_ROUTE, _route(owner, GRPC_ROUTE, gateway, hosts, grpc)))
    if not told:
        for backend in (of for _, body in found for rule in body["spec"]["rules"] for of in rule["backendRefs"]):
            del backend["filters"]
    return found


def has_filters(route: Json) -> bool:
    """Say whether backends of a route have filters."""
    return any(of.get("filters") for rule in route["spec"].get("rules") or () for of in rule.get("backendRefs") or ())


def direct_of(route: Json) -> Direct | None:
    """Read from a route of ours which requests go to one revision whatever the weights; None where none do."""
    rules = route["spec"].get("rules") or []
    mirrors = [of["requestMirror"] for rule in rules for of in rule.get("filters") or () if "requestMirror" in of]
    found = Direct(mirrors[0]["backendRef"]["name"], mirror=mirrors[0].get("percent", 100)) if mirrors else None
    by_rule = [rule.get("matches") or [{}] for rule in rules]
    first = by_rule[0][0] if by_rule else {}
    common = {(of["name"], of["value"]) for of in first.get("headers") or ()}  # what all requests of this service have
    alike = [match for matches in by_rule[1:] for match in matches if _asked(match) == _asked(first)]
    ways = [{of["name"]: of["value"] for of in match.get("headers") or ()} for match in alike]
    named = [way[HEADER_REVISION] for way in ways if HEADER_REVISION in way]
    if not named:
        return found
    headers = [dict(set(way.items()) - common) for way in ways if HEADER_REVISION not in way]
    return Direct(named[0], named=True, headers=headers[0] if headers else {}, mirror=found.mirror if found else 0)


def _http_rules(
    gateway: Gateway, model: str, backends: Sequence[Backend], pinned: Sequence[Pinned], direct: Direct | None
) -> list[Json]:
    """List the rules of the HTTPRoute.

    Proxies name backends by the rule's place, so each rule keeps its own as long as the spec's routing is the same; the
    first ones are those that `counted` names.
    """
    first, *others = _paths(gateway, [(MODELS + model, True), ("/v2", False), ("/v2/health", True)])
    rules = [_rule(gateway, first, [{}], backends, PORT_HTTP, direct)]
    if _has_grpc(gateway):
        rules.append(_rule(gateway, _GRPC_PATHS, [{}], backends, PORT_GRPC, direct))
    rules += [_rule(gateway, paths, [{}], backends, PORT_HTTP, direct) for paths in others]
    for pin in pinned:
        (paths,) = _paths(gateway, [(f"{MODELS}{model}/versions/{pin.version}", True)])
        way = {HEADER_REVISION: pin.revision} if pin.named else {}
        rules.append(_rule(gateway, paths, [way], [(pin.revision, 100)], PORT_HTTP))
    if direct and (ways := _ways(direct)):
        # The rules are there before requests with the headers are sent by them: proxies know their backends by then.
        to = [(direct.revision, 100)]
        for paths in (first, *others):
            apart = [[way] for way in ways] if gateway.path_prefix else [ways]
            rules += [_rule(gateway, paths, some, to, PORT_HTTP) for some in apart]
        if _has_grpc(gateway):
            rules.append(_rule(gateway, _GRPC_PATHS, ways, to, PORT_GRPC))
    return rules


@dataclass(frozen=True, slots=True)
class _Paths:
    """Paths of one rule, and the filter by which Triton sees others, or None."""

    matches: tuple[Json, ...]
    rewrite: Json | None = None


_GRPC_PATHS = _Paths(tuple({"path": {"type": "PathPrefix", "value": f"/{service}"}} for service in GRPC_SERVICES))


def _paths(gateway: Gateway, wanted: Sequence[tuple[str, bool]]) -> list[_Paths]:
    """Group paths, each of which may be the beginning of others, into rules: one for all that are not rewritten."""
    before = gateway.path_prefix or ""
    matches = [
        {"path": {"type": "PathPrefix" if begins else "Exact", "value": before + path}} for path, begins in wanted
    ]
    if not before:
        return [_Paths(tuple(matches))]
    rewrites = [
        {"type": "ReplacePrefixMatch", "replacePrefixMatch": path}
        if begins
        else {"type": "ReplaceFullPath", "replaceFullPath": path}
        for path, begins in wanted
    ]
    return [
        _Paths((match,), {"type": "URLRewrite", "urlRewrite": {"path": rewrite}})
        for match, rewrite in zip(matches, rewrites, strict=True)
    ]


def _has_grpc(gateway: Gateway) -> bool:
    """Say whether the HTTPRoute serves gRPC: calls have no path prefix, so that headers must tell them apart then."""
    return gateway.grpc == "SameRoute" and (gateway.path_prefix is None or bool(gateway.headers))


def _ways(direct: Direct) -> list[Mapping[str, str]]:
    """List by which headers requests go to one revision whatever the weights."""
    if not direct.named:
        return []
    return [{HEADER_REVISION: direct.revision}, *([direct.headers] if direct.headers else [])]


def _rule(
    gateway: Gateway,
    paths: _Paths,
    ways: Sequence[Mapping[str, str]],
    backends: Sequence[Backend],
    port: int,
    mirrored: Direct | None = None,
) -> Json:
    # 0s: no limit. Some gateways end requests after 15 s where nothing is said.
    return {
        "matches": [match | _headers(gateway, way) for way in ways for match in paths.matches],
        **_filters(paths.rewrite, _mirror(mirrored, port)),
        "timeouts": {"request": f"{gateway.timeout_seconds or 0}s"},
        "backendRefs": [_backend(name, port, weight) for name, weight in backends],
    }


def _grpc_rule(gateway: Gateway, ways: Sequence[Mapping[str, str]], backends: Sequence[Backend]) -> Json:
    methods = [{"method": {"type": "Exact", "service": service}} for service in GRPC_SERVICES]
    return {
        "matches": [match | _headers(gateway, way) for way in ways for match in methods],
        "backendRefs": [_backend(name, PORT_GRPC, weight) for name, weight in backends],
    }


def _headers(gateway: Gateway, more: Mapping[str, str]) -> Json:
    wanted = {header.name: header.value for header in gateway.headers or ()} | dict(more)
    headers = [{"type": "Exact", "name": name, "value": value} for name, value in wanted.items()]
    return {"headers": headers} if headers else {}


def _filters(*filters: Json | None) -> Json:
    given = [of for of in filters if of]
    return {"filters": given} if given else {}


def _mirror(direct: Direct | None, port: int) -> Json | None:
    if direct is None or not direct.mirror:
        return None
    to = {"backendRef": {"name": direct.revision, "port": port}, "percent": direct.mirror}
    return {"type": "RequestMirror", "requestMirror": to}


def _backend(service: str, port: int, weight: int) -> Json:
    told = {"set": [{"name": HEADER_REVISION, "value": service}]}
    return {
        "name": service,
        "port": port,
        "weight": weight,
        # It also has Envoy Gateway count the requests of each backend apart.
        "filters": [{"type": "ResponseHeaderModifier", "responseHeaderModifier": told}],
    }


def _route(owner: Owner, kind: Kind, gateway: Gateway, hostnames: Sequence[str] | None, rules: Sequence[Json]) -> Json:
    spec: Json = {
        "parentRefs": [ref.model_dump(by_alias=True, exclude_none=True) for ref in gateway.parent_refs],
        "rules": list(rules),
    }
    if hostnames:
        spec["hostnames"] = list(hostnames)
    labels = service_labels(owner.name)
    return {
        "apiVersion": kind.api_version,
        "kind": kind.kind,
        "metadata": metadata(owner.name, owner.namespace, labels, owner=owner.name, owner_uid=owner.uid),
        "spec": spec,
    }


def _asked(match: Json) -> Json | None:
    """Tell which path or method a match is about."""
    about: Json | None = match.get("path") or match.get("method")
    return about
