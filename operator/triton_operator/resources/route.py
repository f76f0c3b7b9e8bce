"""The HTTPRoute of a service: which requests through a Gateway go to which of its revisions.

One route serves HTTP and gRPC on the same host name. Not for: the weights; those are `core.traffic`'s.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from triton_operator.api.names import HEADER_REVISION, HTTP_ROUTE, PORT_GRPC, PORT_HTTP
from triton_operator.api.routing import Gateway
from triton_operator.resources.children import Owner
from triton_operator.resources.labels import metadata, service_labels

Json = dict[str, Any]
Backend = tuple[str, int]
"""Name of a Service, and its weight in percent."""


def http_route(
    owner: Owner, gateway: Gateway, *, model: str, backends: Sequence[Backend], versions: Mapping[int, str]
) -> Json:
    """Build the HTTPRoute of a service.

    Args:
        owner: the service.
        gateway: what the spec says.
        model: the name under which clients ask for the model.
        backends: where its requests go, in the order of their slots.
        versions: for each version of the model that one revision alone serves, that revision: requests which name a
            version go there whatever the weights.

    Returns:
        The HTTPRoute, named like the InferenceService. Only what inference needs is let through: no repository
        control, no statistics, no shared memory over HTTP.
    """
    path = f"/v2/models/{model}"
    grpc = [_prefix("/inference.GRPCInferenceService"), _prefix("/grpc.health.v1.Health")]
    http = [{"type": "Exact", "value": "/v2"}, _prefix("/v2/health"), _prefix(path)]
    rules = [
        _rule(gateway, grpc, [_backend(name, PORT_GRPC, weight) for name, weight in backends]),
        _rule(gateway, http, [_backend(name, PORT_HTTP, weight) for name, weight in backends]),
    ]
    for version, revision in sorted(versions.items()):
        rules.append(_rule(gateway, [_prefix(f"{path}/versions/{version}")], [_backend(revision, PORT_HTTP, 100)]))
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


def _rule(gateway: Gateway, paths: list[Json], backends: list[Json]) -> Json:
    headers = [{"type": "Exact", "name": header.name, "value": header.value} for header in gateway.headers or ()]
    matches = [{"path": path} | ({"headers": headers} if headers else {}) for path in paths]
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
