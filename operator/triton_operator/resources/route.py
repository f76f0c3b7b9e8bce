"""The HTTPRoute of a service: which requests through a Gateway go to which of its revisions.

One route serves HTTP and gRPC on the same host name. Not for: the weights; those are `core.traffic`'s.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from triton_operator.api.names import HEADER_REVISION, HTTP_ROUTE, PORT_GRPC, PORT_HTTP
from triton_operator.api.routing import Gateway
from triton_operator.resources.children import Owner
from triton_operator.resources.labels import metadata, service_labels

Json = dict[str, Any]
Backend = tuple[str, int]
"""Name of a Service, and its weight in percent."""


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


def http_route(
    owner: Owner,
    gateway: Gateway,
    *,
    model: str,
    backends: Sequence[Backend],
    pinned: Sequence[Pinned] = (),
    direct: Direct | None = None,
) -> Json:
    """Build the HTTPRoute of a service.

    Args:
        owner: the service.
        gateway: what the spec says.
        model: the name under which clients ask for the model.
        backends: where its requests go, in the order of their slots.
        pinned: requests that go to one revision because they name its version, in the order of the slots.
        direct: which other requests go to one revision whatever the weights.

    Returns:
        The HTTPRoute, named like the InferenceService. Only what inference needs is let through: no repository
        control, no statistics, no shared memory over HTTP.
    """
    path = f"/v2/models/{model}"
    grpc = [_prefix("/inference.GRPCInferenceService"), _prefix("/grpc.health.v1.Health")]
    http = [{"type": "Exact", "value": "/v2"}, _prefix("/v2/health"), _prefix(path)]
    by_port = ((grpc, PORT_GRPC), (http, PORT_HTTP))
    rules = [
        _rule(gateway, _matches(gateway, paths, {}), [_backend(name, port, weight) for name, weight in backends])
        | _mirror(direct, port)
        for paths, port in by_port
    ]
    # Proxies name backends by the rule's place, so each of these rules keeps its own as long as it is there.
    for pin in pinned:
        way = {HEADER_REVISION: pin.revision} if pin.named else {}
        matches = _matches(gateway, [_prefix(f"{path}/versions/{pin.version}")], way)
        rules.append(_rule(gateway, matches, [_backend(pin.revision, PORT_HTTP, 100)]))
    if direct and direct.named:
        # The rule is there before requests with the headers are sent by it: proxies know its backend by then.
        ways: list[Mapping[str, str]] = [{HEADER_REVISION: direct.revision}]
        ways += [direct.headers] if direct.headers else []
        for paths, port in by_port:
            matches = [match for way in ways for match in _matches(gateway, paths, way)]
            rules.append(_rule(gateway, matches, [_backend(direct.revision, port, 100)]))
    spec: Json = {
        "parentRefs": [ref.model_dump(by_alias=True, exclude_none=True) for ref in gateway.parent_refs],
        "rules": rules,
    }
    if gateway.hostnames:
        spec["hostnames"] = list(gateway.hostnames)
    labels = service_labels(owner.name)
    return {
        "apiVersion": HTTP_ROUTE.api_version,
        "kind": HTTP_ROUTE.kind,
        "metadata": metadata(owner.name, owner.namespace, labels, owner=owner.name, owner_uid=owner.uid),
        "spec": spec,
    }


def _prefix(path: str) -> Json:
    return {"type": "PathPrefix", "value": path}


def direct_of(route: Json) -> Direct | None:
    """Read from an HTTPRoute of ours which requests go to one revision whatever the weights; None where none do."""
    rules = route["spec"].get("rules") or []
    mirrors = [of["requestMirror"] for rule in rules for of in rule.get("filters") or () if "requestMirror" in of]
    found = Direct(mirrors[0]["backendRef"]["name"], mirror=mirrors[0].get("percent", 100)) if mirrors else None
    by_rule = [rule.get("matches") or [{}] for rule in rules]
    first = by_rule[0][0] if by_rule else {}
    common = {(of["name"], of["value"]) for of in first.get("headers") or ()}  # what all requests of this service have
    for matches in by_rule[1:]:
        of_path = [match.get("headers") or () for match in matches if match.get("path") == first.get("path")]
        ways = [{of["name"]: of["value"] for of in headers} for headers in of_path]
        named = [way[HEADER_REVISION] for way in ways if HEADER_REVISION in way]
        if named:
            headers = [dict(set(way.items()) - common) for way in ways if HEADER_REVISION not in way]
            mirror = found.mirror if found else 0
            return Direct(named[0], named=True, headers=headers[0] if headers else {}, mirror=mirror)
    return found


def _mirror(direct: Direct | None, port: int) -> Json:
    if direct is None or not direct.mirror:
        return {}
    to = {"backendRef": {"name": direct.revision, "port": port}, "percent": direct.mirror}
    return {"filters": [{"type": "RequestMirror", "requestMirror": to}]}


def _matches(gateway: Gateway, paths: list[Json], more: Mapping[str, str]) -> list[Json]:
    wanted = {header.name: header.value for header in gateway.headers or ()} | dict(more)
    headers = [{"type": "Exact", "name": name, "value": value} for name, value in wanted.items()]
    return [{"path": path} | ({"headers": headers} if headers else {}) for path in paths]


def _rule(gateway: Gateway, matches: list[Json], backends: list[Json]) -> Json:
    # 0s: no limit. Some gateways end requests after 15 s where nothing is said.
    return {
        "matches": matches,
        "timeouts": {"request": f"{gateway.timeout_seconds or 0}s"},
        "backendRefs": backends,
    }


def _backend(service: str, port: int, weight: int) -> Json:
    told = {"set": [{"name": HEADER_REVISION, "value": service}]}
    return {
        "name": service,
        "port": port,
        "weight": weight,
        # It also has Envoy Gateway count the requests of each backend apart.
        "filters": [{"type": "ResponseHeaderModifier", "responseHeaderModifier": told}],
    }
