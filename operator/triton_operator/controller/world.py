"""From objects of the cluster to the world that `core.decide` looks at.

Not for: decisions, nor writing anything.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from pydantic import ValidationError

from triton_operator.api import names
from triton_operator.api.names import Kind
from triton_operator.api.settings import Settings
from triton_operator.api.spec import InferenceServiceSpec
from triton_operator.controller.meter import Meter
from triton_operator.controller.routes import routes_of
from triton_operator.controller.store import Store
from triton_operator.controller.words import Words
from triton_operator.core.actions import ACTS
from triton_operator.core.analysis import is_due
from triton_operator.core.autoscaler import Memory
from triton_operator.core.claims import first, wanted_claims
from triton_operator.core.health import is_failing, is_over, is_stuck, is_unschedulable
from triton_operator.core.lookup import needs
from triton_operator.core.preflight import golden_name
from triton_operator.core.record import Record
from triton_operator.core.record_text import KEY, decode
from triton_operator.core.revision import Revision, from_deployment, from_object
from triton_operator.core.world import Fleet, Route, World
from triton_operator.edges.kubernetes import Kube
from triton_operator.resources.children import record_name
from triton_operator.resources.route import kinds

Json = dict[str, Any]


async def gather(
    kube: Kube,
    store: Store,
    settings: Settings,
    words: Words,
    meter: Meter,
    service: Json,
    *,
    dead: frozenset[str],
    scaling: Memory | None,
    in_flight: Mapping[str, float],
    now: float,
) -> World:
    """Gather what is known of a service; pods and endpoints are asked for only while something is under way.

    Args:
        kube: the API server.
        store: what the watches have shown.
        settings: the operator's settings.
        words: reads what the pods' status leaves out.
        meter: reads the counters of both revisions of a trial.
        service: the InferenceService.
        dead: uids of its pods that execute nothing any more; some may have gone.
        scaling: what its autoscaler makes of what is measured, or None.
        in_flight: requests that each of its pods is at, by its uid, as far as that is measured.
        now: seconds since the epoch.

    Returns:
        The world.

    Raises:
        ApiError: pods or endpoints could not be listed.
    """
    metadata = service["metadata"]
    namespace, name, uid = metadata["namespace"], metadata["name"], metadata["uid"]
    children = {kind: store.children(uid, kind) for kind in store.kinds if kind != names.INFERENCE_SERVICE}
    fleets = fleets_of(store, service)
    pods: tuple[Json, ...] | None = None
    endpoints: dict[str, int] | None = None
    backed: dict[str, int] | None = None
    # Which pods go first must be known before there are to be fewer.
    shrinks = scaling is not None and scaling.decision.replicas < sum(fleet.wanted for fleet in fleets.values())
    if dead or shrinks or is_unsettled(service, fleets.values()):
        selector = f"{names.LABEL_SERVICE}={name}"
        pods = await words.add(tuple(await kube.list(names.POD, namespace=namespace, label_selector=selector)))
        fleets = {revision: _with_pods(revision, fleet, pods, now=now) for revision, fleet in fleets.items()}
        if len(fleets) > 1:
            slices = await kube.list(names.ENDPOINT_SLICE, namespace=namespace, label_selector=selector)
            endpoints = ready_endpoints((body for body in slices if _service_of(body) == name), pods)
            backed = ready_endpoints((body for body in slices if _service_of(body) in fleets), pods)
    spec, error = read_spec(service)
    record = record_of(store, service)
    revisions = _revisions(children[names.DEPLOYMENT], children[names.CONTROLLER_REVISION])
    config_maps: dict[str, Json | None] = {}
    resolvers: tuple[Json, ...] | None = None
    if spec:
        own = (body["metadata"]["name"] for body in children[names.CONFIG_MAP])
        asked = needs(spec, record, revisions, own)
        golden = golden_name(spec) if not is_ready(service) else None
        for wanted in sorted(asked.config_maps | ({golden} if golden else set())):
            config_maps[wanted] = await kube.get(names.CONFIG_MAP, namespace=namespace, name=wanted)
        if asked.resolvers:
            selector = f"{names.LABEL_RESOLVES}={name}"
            resolvers = tuple(await kube.list(names.POD, namespace=namespace, label_selector=selector))
    measured = None
    route = _route(children, spec, name)
    if spec and record and is_due(spec.rollout.analysis, record.trial, now):
        measured = await meter.read(namespace, name, record, revisions, pods or (), now=now, spec=spec, route=route)
    return World(
        name=name,
        namespace=namespace,
        uid=uid,
        generation=metadata["generation"],
        spec=spec,
        spec_error=error,
        status=service.get("status") or {},
        settings=settings,
        record=record,
        revisions=revisions,
        rejections=rejections(children[names.CONTROLLER_REVISION]),
        fleets=fleets,
        routed=_routed(children[names.SERVICE], name),
        listed={kind: frozenset(body["metadata"]["name"] for body in bodies) for kind, bodies in children.items()},
        rival=_rival(store, spec, (namespace, name)) if spec else None,
        route=route,
        pods=pods,
        endpoints=endpoints,
        backed=backed,
        answers=(),
        measured=measured,
        dead=dead,
        actions=_actions(metadata.get("annotations") or {}),
        config_maps=config_maps,
        resolvers=resolvers,
        problems=(),
        waits=(),
        now=now,
        scaling=scaling,
        in_flight=in_flight,
    )


def read_spec(service: Json) -> tuple[InferenceServiceSpec | None, str | None]:
    """Read a spec.

    Args:
        service: the InferenceService.

    Returns:
        The spec, or None and why this operator cannot read it, field by field.
    """
    try:
        return InferenceServiceSpec.model_validate(service.get("spec") or {}), None
    except ValidationError as error:
        problems = [f"spec.{'.'.join(str(part) for part in e['loc'])}: {e['msg']}" for e in error.errors()[:5]]
        return None, "; ".join(problems)


def fleets_of(store: Store, service: Json) -> dict[str, Fleet]:
    """Read the Deployments of a service, by revision, as far as they tell themselves."""
    found = store.children(service["metadata"]["uid"], names.DEPLOYMENT)
    return {body["metadata"]["name"]: _fleet(body) for body in found}


def record_of(store: Store, service: Json) -> Record | None:
    """Read the record of a service; None where there is none, or none that can be read."""
    for body in store.children(service["metadata"]["uid"], names.CONFIG_MAP):
        if body["metadata"]["name"] == record_name(service["metadata"]["name"]):
            return decode((body.get("data") or {}).get(KEY, ""))
    return None


def is_unsettled(service: Json, fleets: Iterable[Fleet]) -> bool:
    """Say whether pods must be looked at: something is under way, or was at the last look."""
    listed = list(fleets)
    whole = len(listed) == 1 and listed[0].wanted == listed[0].pods == listed[0].ready and not listed[0].refused
    return bool(listed) and not (is_ready(service) and whole)


def is_ready(service: Json) -> bool:
    """Say whether the generation of a service was fully realised at the last look."""
    status = service.get("status") or {}
    current = status.get("observedGeneration") == service["metadata"]["generation"]
    return current and any(c["type"] == "Ready" and c["status"] == "True" for c in status.get("conditions") or [])


def ready_endpoints(slices: Iterable[Json], pods: Iterable[Json]) -> dict[str, int]:
    """Count the ready endpoints of a Service by revision.

    Args:
        slices: its EndpointSlices; with two IP families a pod stands in two of them.
        pods: the pods of the service.

    Returns:
        Ready endpoints by revision.
    """
    revisions = {p["metadata"]["uid"]: p["metadata"]["labels"].get(names.LABEL_REVISION) for p in pods}
    ready = {
        target.get("uid")
        for body in slices
        for endpoint in body.get("endpoints") or []
        if (endpoint.get("conditions") or {}).get("ready") is not False and (target := endpoint.get("targetRef"))
    }
    return dict(Counter(revision for uid in ready if (revision := revisions.get(uid))))


def _service_of(body: Json) -> str:
    return str(body["metadata"]["labels"].get("kubernetes.io/service-name", ""))


def rejections(kept: Iterable[Json]) -> dict[str, str]:
    """Read what ControllerRevisions say of a rejection, by revision."""
    named = {body["metadata"]["name"]: body["metadata"].get("annotations") or {} for body in kept}
    said = {name: annotations.get(names.ANNOTATION_REJECTED) for name, annotations in named.items()}
    return {name: text for name, text in said.items() if text is not None}


def _fleet(deployment: Json) -> Fleet:
    status = deployment.get("status") or {}
    refused = [c for c in status.get("conditions") or [] if c["type"] == "ReplicaFailure" and c["status"] == "True"]
    return Fleet(
        wanted=deployment["spec"].get("replicas", 1),
        pods=status.get("replicas", 0),
        ready=status.get("readyReplicas", 0),
        refused=refused[0].get("message", "") or "no reason given" if refused else None,
    )


def _with_pods(revision: str, fleet: Fleet, pods: Iterable[Json], *, now: float) -> Fleet:
    own = [p for p in pods if p["metadata"]["labels"].get(names.LABEL_REVISION) == revision]
    alive = [pod for pod in own if "deletionTimestamp" not in pod["metadata"] and not is_over(pod)]
    return replace(
        fleet,
        ending=sum("deletionTimestamp" in pod["metadata"] and not is_stuck(pod, now=now) for pod in own),
        scheduled=sum("nodeName" in pod["spec"] for pod in alive),
        homeless=sum(is_unschedulable(pod) for pod in alive),
        failing=sum(is_failing(pod) for pod in alive),
    )


def _actions(annotations: Mapping[str, str]) -> dict[str, str]:
    named = {action: annotations.get(f"{names.GROUP}/{action}") for action in ACTS}
    return {action: value for action, value in named.items() if value is not None}


def _revisions(deployments: Iterable[Json], kept: Iterable[Json]) -> dict[str, Revision]:
    """Read the revisions; one that cannot be read from its ControllerRevision is read from its Deployment."""
    found = {revision.name: revision for revision in map(from_object, kept) if revision}
    lost = (body for body in deployments if body["metadata"]["name"] not in found)
    return {revision.name: revision for revision in map(from_deployment, lost) if revision} | found


def _rival(store: Store, spec: InferenceServiceSpec, key: tuple[str, str]) -> str | None:
    if spec.routing.gateway is None:
        return None
    wanted = wanted_claims(spec.routing.gateway, key[0])
    claimants = store.claimants(wanted)
    found = first(key, wanted, dict(claimants).get(key), claimants)
    return "/".join(found) if found else None


def _route(children: Mapping[Kind, Iterable[Json]], spec: InferenceServiceSpec | None, service: str) -> Route | None:
    bodies = [body for kind in names.ROUTE_KINDS for body in children.get(kind, ())]
    found = [body for body in bodies if body["metadata"]["name"] == service]
    return routes_of(found, expected=len(kinds(spec.routing.gateway)) if spec else 0)


def _routed(services: Iterable[Json], service: str) -> str | None:
    return next((routed_to(body) for body in services if body["metadata"]["name"] == service), None)


def routed_to(body: Json) -> str | None:
    """Read from the Service of an InferenceService which revision has proven itself; None where it does not tell."""
    selected = (body["spec"].get("selector") or {}).get(names.LABEL_REVISION)
    return selected or (body["metadata"].get("annotations") or {}).get(names.ANNOTATION_STABLE)
