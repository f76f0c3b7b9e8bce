"""Reading what `kubectl triton doctor` tells of: the operator, its settings, Gateways, Prometheus and nodes.

Not for: what follows from it; that is `cli.diagnosis`.
"""

import asyncio
import re
from collections.abc import Awaitable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import yaml
from pydantic import ValidationError

from triton_operator.api.names import (
    CONFIG_MAP,
    CONTROLLER_REVISION,
    DEPLOYMENT,
    EVENT,
    GROUP,
    HTTP_ROUTE,
    INFERENCE_SERVICE,
    LEASE,
    OPERATOR,
    POD,
    SERVICE,
    Kind,
)
from triton_operator.api.settings import Settings
from triton_operator.cli.diagnosis import Unanswered
from triton_operator.edges.errors import ApiError, Forbidden
from triton_operator.edges.person import Person

Json = dict[str, Any]
T = TypeVar("T")

CRDS = Kind("apiextensions.k8s.io", "v1", "CustomResourceDefinition", "customresourcedefinitions")
NODE = Kind("", "v1", "Node", "nodes")
GATEWAY = Kind("gateway.networking.k8s.io", "v1", "Gateway", "gateways")
GATEWAY_CLASS = Kind("gateway.networking.k8s.io", "v1", "GatewayClass", "gatewayclasses")
ENVOY_PROXY = Kind("gateway.envoyproxy.io", "v1alpha1", "EnvoyProxy", "envoyproxies")
ACCESS_REVIEW = Kind("authorization.k8s.io", "v1", "SubjectAccessReview", "subjectaccessreviews")
SYSTEM = "triton-operator-system"
SETTINGS = "settings.yaml"

# What people do, and what the operator does, as RBAC has it.
OF_PEOPLE: Sequence[tuple[str, Kind]] = (
    ("get", INFERENCE_SERVICE),
    ("list", INFERENCE_SERVICE),
    ("patch", INFERENCE_SERVICE),
    ("list", POD),
    ("list", CONTROLLER_REVISION),
    ("list", EVENT),
)
OF_OPERATOR: Sequence[tuple[str, Kind, str]] = (
    ("watch", INFERENCE_SERVICE, ""),
    ("patch", INFERENCE_SERVICE, "status"),
    ("patch", DEPLOYMENT, ""),
    ("patch", SERVICE, ""),
    ("patch", CONTROLLER_REVISION, ""),
    ("create", CONFIG_MAP, ""),
    ("list", POD, ""),
    ("create", EVENT, ""),
)
# What must be there for canaries and autoscaling: the name for people, and the query.
SERIES = {
    "Triton's counters (nv_inference_count)": "count(nv_inference_count)",
    "the Gateway's proxies (envoy_cluster_upstream_rq)": "count(envoy_cluster_upstream_rq)",
}
_IN_CLUSTER = re.compile(
    r"(?P<scheme>https?)://(?P<name>[a-z0-9-]+)\.(?P<namespace>[a-z0-9-]+)(?:\.svc[^:/]*)?(?::(?P<port>\d+))?(?P<path>/.*)?"
)


@dataclass(frozen=True, slots=True)
class Installed:
    """The operator as it is installed.

    Attributes:
        deployments: of it; None if they may not be read.
        settings: None if they may not be read, or are not there.
        lease: of its leader; None if there is none.
        lease_readable: whether that may be read.
    """

    deployments: tuple[Json, ...] | None
    settings: Settings | None
    lease: Json | None
    lease_readable: bool


async def permitted(what: Awaitable[T]) -> T | None:
    """Give what can be read; None where the person may not."""
    try:
        return await what
    except Forbidden:
        return None


async def installed(person: Person) -> Installed:
    """Find the operator: in all namespaces or, without the permission, in that of the chart."""
    selector = f"app.kubernetes.io/name={OPERATOR}"
    deployments = await permitted(person.list(DEPLOYMENT, namespace=None, label_selector=selector))
    if deployments is None:
        deployments = await permitted(person.list(DEPLOYMENT, namespace=SYSTEM, label_selector=selector))
    namespace = str(deployments[0]["metadata"]["namespace"]) if deployments else SYSTEM
    maps = await permitted(person.list(CONFIG_MAP, namespace=namespace, label_selector=selector))
    settings = _settings(maps or ())
    election = settings.leaderElection if settings else None
    place = (election.namespace if election else None) or namespace
    try:
        lease = await person.get(LEASE, namespace=place, name=election.name if election else OPERATOR)
        readable = True
    except Forbidden:
        lease, readable = None, False
    return Installed(tuple(deployments) if deployments is not None else None, settings, lease, readable)


def _settings(maps: Sequence[Json]) -> Settings | None:
    for body in maps:
        if text := (body.get("data") or {}).get(SETTINGS):
            try:
                return Settings.model_validate(yaml.safe_load(text) or {})
            except (ValidationError, yaml.YAMLError):
                return None  # of another version of the operator
    return None


async def denied_to_person(person: Person) -> list[str]:
    """List what this person may not do in the namespace."""
    answers = await asyncio.gather(*(person.may(v, k, namespace=person.namespace) for v, k in OF_PEOPLE))
    return [f"{verb} {kind.plural}" for (verb, kind), may in zip(OF_PEOPLE, answers, strict=True) if not may]


async def denied_to_operator(person: Person, deployment: Json) -> list[str] | None:
    """List what the operator may not do in the namespace; None where that may not be asked."""
    account = deployment["spec"]["template"]["spec"].get("serviceAccountName", "default")
    user = f"system:serviceaccount:{deployment['metadata']['namespace']}:{account}"
    denied = []
    for verb, kind, part in OF_OPERATOR:
        attributes = {"verb": verb, "group": kind.group, "resource": kind.plural, "namespace": person.namespace}
        spec = {"user": user, "resourceAttributes": attributes | ({"subresource": part} if part else {})}
        body = {"apiVersion": ACCESS_REVIEW.api_version, "kind": ACCESS_REVIEW.kind, "metadata": {}, "spec": spec}
        answer = await permitted(person.create(body, kind=ACCESS_REVIEW))
        if answer is None:
            return None
        if not answer["status"].get("allowed"):
            denied.append(f"{verb} {kind.plural}{f'/{part}' if part else ''}")
    return denied


async def gateways_of(person: Person, services: Sequence[Json]) -> dict[str, Json | None]:
    """Read the Gateways that services name, by namespace/name; None for those that cannot be had."""
    found: dict[str, Json | None] = {}
    for body in services:
        gateway = ((body["spec"].get("routing") or {}).get("gateway")) or {}
        for parent in gateway.get("parentRefs") or ():
            namespace = str(parent.get("namespace") or body["metadata"]["namespace"])
            name = f"{namespace}/{parent['name']}"
            if name not in found:
                found[name] = await permitted(person.get(GATEWAY, namespace=namespace, name=parent["name"]))
    return found


async def proxies_of(person: Person, found: dict[str, Json | None]) -> dict[str, Json | None]:
    """Read the EnvoyProxy of each Gateway that is Envoy Gateway's; those that may not be read are left out."""
    proxies: dict[str, Json | None] = {}
    for name, body in found.items():
        if body is None:
            continue
        class_ = await permitted(person.get(GATEWAY_CLASS, namespace=None, name=body["spec"]["gatewayClassName"]))
        if not str(((class_ or {}).get("spec") or {}).get("controllerName", "")).startswith(ENVOY_PROXY.group):
            continue
        infrastructure = (body["spec"].get("infrastructure") or {}).get("parametersRef")
        reference = infrastructure or ((class_ or {}).get("spec") or {}).get("parametersRef")
        if not reference:
            proxies[name] = None
            continue
        namespace = str(reference.get("namespace") or body["metadata"]["namespace"])
        try:
            proxies[name] = await person.get(ENVOY_PROXY, namespace=namespace, name=reference["name"])
        except Forbidden:
            continue
    return proxies


async def series(person: Person, url: str) -> dict[str, float | None] | Unanswered:
    """Ask Prometheus through the API server how many series there are of what; or say why that cannot be done."""
    match = _IN_CLUSTER.fullmatch(url)
    if not match:
        return Unanswered("its address is not that of a Service in the cluster", asked=False)
    scheme = "https:" if match["scheme"] == "https" else ""
    port = match["port"] or ("443" if scheme else "80")
    place = f"/api/v1/namespaces/{match['namespace']}/services/{scheme}{match['name']}:{port}/proxy"
    path = f"{place}{(match['path'] or '').rstrip('/')}/api/v1/query"
    found: dict[str, float | None] = {}
    for what, query in SERIES.items():
        try:
            answer = await person.read(path, {"query": query})
            result = answer["data"]["result"]
            found[what] = float(result[0]["value"][1]) if result else None
        except ApiError as error:
            return Unanswered(" ".join(error.message.split()), asked=not isinstance(error, Forbidden))
        except (KeyError, IndexError, TypeError, ValueError):
            return Unanswered("what answers there is no Prometheus", asked=True)
    return found


async def crd_of(person: Person) -> Json | None:
    """Read the CRD; None where it is not there or may not be read."""
    name = f"{INFERENCE_SERVICE.plural}.{GROUP}"
    return await permitted(person.get(CRDS, namespace=None, name=name))


async def has_gateway_api(person: Person) -> bool:
    """Say whether the cluster has the Gateway API."""
    return await person.served(HTTP_ROUTE)
