"""What must be true of services and their children once the operator has come to rest, whatever happened before.

Judged from outside: by what users asked for and what the API server holds, not by the operator's own code.
Not for: bringing it about; that is `benchmarks.soak`.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from benchmarks.api import Api
from benchmarks.services import Wish, mark_of
from triton_operator.api import names

Json = dict[str, Any]

FOREIGN_GRACE_SECONDS = 1  # nobody but a history asks for so little
HISTORY = 10  # revisions kept for later, beside those that run


@dataclass(frozen=True, slots=True)
class Found:
    """Everything in a namespace that concerns the operator.

    Attributes:
        services: the InferenceServices by name.
        children: for each kind, what the operator made: by its label, or by an owner that is an InferenceService.
        pods: all pods.
    """

    services: dict[str, Json]
    children: dict[str, list[Json]]
    pods: list[Json]

    def of(self, service: str, kind: str) -> list[Json]:
        """The children of one kind that a service of this name owns or owned."""
        return [body for body in self.children.get(kind, ()) if _owner(body).get("name") == service]


async def find(api: Api, namespace: str) -> Found:
    """Read a namespace."""
    services = await api.list(names.INFERENCE_SERVICE, namespace)
    kinds = [*names.CHILD_KINDS, *[kind for kind in names.OPTIONAL_KINDS if await api.serves(kind)]]
    children = {kind.kind: await api.list(kind, namespace) for kind in kinds}
    ours = {kind: [body for body in bodies if _is_ours(body)] for kind, bodies in children.items()}
    return Found({body["metadata"]["name"]: body for body in services}, ours, await api.list(names.POD, namespace))


def faults(found: Found, wishes: Mapping[str, Wish]) -> list[str]:
    """List what is not as it must be.

    Args:
        found: the namespace.
        wishes: what the users asked for last, by the name of the service.

    Returns:
        Each fault in words; none when all is well.
    """
    told = [f"{name}: there should be no such service" for name in found.services.keys() - wishes.keys()]
    told += _strays(found)
    for name, wish in sorted(wishes.items()):
        body = found.services.get(name)
        if body is None:
            told.append(f"{name}: the service is missing")
            continue
        told += [f"{name}: {fault}" for fault in (*_untouched(body, wish), *_told(body), *_children(found, body, wish))]
    return told


def _strays(found: Found) -> Iterator[str]:
    uids = {body["metadata"]["uid"] for body in found.services.values()}
    for kind, bodies in found.children.items():
        for body in bodies:
            metadata = body["metadata"]
            owners = metadata.get("ownerReferences") or []
            if len(owners) != 1 or not owners[0].get("controller"):
                yield f"{kind} {metadata['name']}: owners are {owners}"
            elif owners[0]["uid"] not in uids:
                yield f"{kind} {metadata['name']}: a leftover of {owners[0]['name']} {owners[0]['uid']}"
            if metadata.get("labels", {}).get(names.LABEL_MANAGED_BY) != names.OPERATOR:
                yield f"{kind} {metadata['name']}: the label {names.LABEL_MANAGED_BY} is missing"


def _untouched(body: Json, wish: Wish) -> Iterator[str]:
    metadata = body["metadata"]
    for field in ("finalizers", "annotations", "ownerReferences"):
        if metadata.get(field):
            yield f"metadata.{field} is {metadata[field]}"
    if metadata.get("labels") != {"team": "users"}:
        yield f"metadata.labels is {metadata.get('labels')}"
    for field, value in wish.spec().items():
        live = body["spec"].get(field)
        if isinstance(value, dict) and isinstance(live, dict):
            live = {key: live.get(key) for key in value}
        if live != value:
            yield f"spec.{field} is {live}"
    for entry in metadata.get("managedFields") or ():
        if entry["manager"] == names.FIELD_MANAGER and entry.get("subresource") != "status":
            yield f"the operator owns {sorted(entry['fieldsV1'])}"


def _told(body: Json) -> Iterator[str]:
    status = body.get("status") or {}
    if status.get("observedGeneration") != body["metadata"]["generation"]:
        yield f"status describes generation {status.get('observedGeneration')} of {body['metadata']['generation']}"
    for condition in status.get("conditions") or ():
        if condition["type"] == "Ready" and condition["status"] == "True":
            return
    yield f"not Ready: {[(c['type'], c['status'], c['reason']) for c in status.get('conditions') or ()]}"


def _children(found: Found, body: Json, wish: Wish) -> Iterator[str]:
    name = body["metadata"]["name"]
    deployments = {d["metadata"]["name"]: d for d in found.of(name, "Deployment")}
    target = next((key for key, deployment in deployments.items() if mark_of(deployment) == wish.mark), None)
    if target is None:
        yield f"no Deployment is of {wish.mark}: {[mark_of(deployment) for deployment in deployments.values()]}"
        return
    # While suspended, the revision that is to be brought back first stays.
    most = 2 if wish.suspend else 1
    if len(deployments) > most:
        yield f"{len(deployments)} Deployments: {sorted(deployments)}"
    wanted = 0 if wish.suspend else wish.replicas
    for key, deployment in deployments.items():
        if deployment["spec"]["replicas"] != (wanted if key == target else 0):
            yield f"Deployment {key} has {deployment['spec']['replicas']} replicas"
        if deployment["spec"]["template"]["spec"]["terminationGracePeriodSeconds"] == FOREIGN_GRACE_SECONDS:
            yield f"Deployment {key} has a foreign grace period"
    yield from _names(found, name, "Service", {name, f"{name}-headless", *deployments})
    yield from _names(found, name, "PodDisruptionBudget", set(deployments))
    for budget in found.of(name, "PodDisruptionBudget"):
        if budget["spec"].get("maxUnavailable") != 1:
            yield f"PodDisruptionBudget {budget['metadata']['name']}: {budget['spec']}"
    copies = {b["metadata"]["name"] for b in found.of(name, "ConfigMap") if b.get("immutable")}
    if len(copies) != 1:
        yield f"{len(copies)} copies of the model's ConfigMap"
    yield from _names(found, name, "ConfigMap", {f"{name}-record", *copies})
    yield from _revisions(found, name, target, set(deployments), wish)
    yield from _selectors(found, name, target, wish)
    yield from _routes(found, name, target, wish)
    pods = [p for p in found.pods if p["metadata"].get("labels", {}).get(names.LABEL_SERVICE) == name]
    if len(pods) != wanted:
        yield f"{len(pods)} pods, not {wanted}"


def _names(found: Found, service: str, kind: str, wanted: Iterable[str]) -> Iterator[str]:
    live = sorted(body["metadata"]["name"] for body in found.of(service, kind))
    if live != sorted(wanted):
        yield f"{kind}: {live}, not {sorted(wanted)}"


def _revisions(found: Found, service: str, target: str, running: set[str], wish: Wish) -> Iterator[str]:
    revisions = {body["metadata"]["name"]: body for body in found.of(service, "ControllerRevision")}
    if missing := running - revisions.keys():
        yield f"ControllerRevision: {sorted(missing)} missing"
    elif revisions[target]["data"]["model"]["version"] != wish.version:
        yield f"ControllerRevision {target} is of version {revisions[target]['data']['model']['version']}"
    if len(revisions) > HISTORY + len(running):
        yield f"{len(revisions)} ControllerRevisions"


def _routes(found: Found, service: str, target: str, wish: Wish) -> Iterator[str]:
    for kind in names.ROUTE_KINDS:
        yield from _names(found, service, kind.kind, {service} if kind in wish.routes else ())
        for body in found.of(service, kind.kind):
            wanted = target if wish.steps else service
            for rule in body["spec"]["rules"]:
                led = {backend["name"] for backend in rule["backendRefs"] if backend["weight"]}
                if led != {wanted} and not wish.suspend:
                    yield f"{kind.kind} {service} leads to {sorted(led)}, not {wanted}"


def _selectors(found: Found, service: str, target: str, wish: Wish) -> Iterator[str]:
    for body in found.of(service, "Service"):
        name, selector = body["metadata"]["name"], body["spec"].get("selector") or {}
        is_of_revision = name not in (service, f"{service}-headless")
        if selector.get(names.LABEL_SERVICE, service) != service or "evil" in selector:
            yield f"Service {name} selects {selector}"
        wanted = name if is_of_revision else target
        if selector.get(names.LABEL_REVISION) != wanted and (is_of_revision or not wish.suspend):
            yield f"Service {name} selects {selector}, not {wanted}"


def _owner(body: Json) -> Json:
    owners: list[Json] = body["metadata"].get("ownerReferences") or []
    return next((owner for owner in owners if owner.get("kind") == names.INFERENCE_SERVICE.kind), {})


def _is_ours(body: Json) -> bool:
    labelled = body["metadata"].get("labels", {}).get(names.LABEL_MANAGED_BY) == names.OPERATOR
    return labelled or bool(_owner(body))
