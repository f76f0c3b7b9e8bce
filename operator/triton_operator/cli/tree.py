"""A service as a tree: its revisions, their pods, weights and evidence, and why it waits.

Not for: drawing it; that is `cli.drawn`.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from triton_operator.api.names import LABEL_RESOLVES, LABEL_REVISION
from triton_operator.api.status import CANARY_PAUSED
from triton_operator.cli import evidence
from triton_operator.cli.gathered import Seen
from triton_operator.cli.service import Service
from triton_operator.cli.words import age
from triton_operator.core.health import CHECKS, is_ready

Json = dict[str, Any]

ROLES = ("stable", "canary", "warm")


@dataclass(frozen=True, slots=True)
class Pod:
    """A pod.

    Attributes:
        name: its name.
        state: in one word.
        ready: whether it is ready.
        restarts: how often its containers were started again.
        node: where it runs; "" for nowhere yet.
        age: how long it exists.
        trouble: what is wrong with it; "" if nothing is.
    """

    name: str
    state: str
    ready: bool
    restarts: int
    node: str
    age: str
    trouble: str


@dataclass(frozen=True, slots=True)
class Branch:
    """A revision.

    Attributes:
        name: its name.
        role: stable, canary, warm, rejected; new for one that takes over without a trial, and leaving for one whose
            last pods end.
        version: version of the model; None if it is not known.
        replicas: pods that it has.
        ready: those that are ready.
        weight: percent of the requests that it gets; None where it is to get none.
        note: what else is to be said; "" for nothing.
        pods: its pods.
    """

    name: str
    role: str
    version: int | None
    replicas: int
    ready: int
    weight: int | None
    note: str
    pods: tuple[Pod, ...]


@dataclass(frozen=True, slots=True)
class Tree:
    """A service.

    Attributes:
        namespace: its namespace.
        name: its name.
        phase: in one word.
        reason: of its condition Ready.
        ready: whether its spec is fully realised.
        paused: whether a person is waited for.
        waits: why it is not Ready; "" if it is.
        url: where it answers; "" if that is not known.
        age: how long it exists.
        revisions: its revisions.
        resolvers: pods that look its sources up.
        evidence: what the requests to a canary have shown.
        replicas: why it has so many replicas; "" where the spec says so.
        unread: what could not be read for want of permission.
    """

    namespace: str
    name: str
    phase: str
    reason: str
    ready: bool
    paused: bool
    waits: str
    url: str
    age: str
    revisions: tuple[Branch, ...]
    resolvers: tuple[Pod, ...]
    evidence: tuple[str, ...]
    replicas: str
    unread: tuple[str, ...]


def tree(seen: Seen, *, now: float) -> Tree:
    """Lay a service out.

    Args:
        seen: the service and what it is made of.
        now: in seconds since the epoch.
    """
    service = seen.service
    scaling = service.part("autoscaling")
    return Tree(
        namespace=service.namespace,
        name=service.name,
        phase=service.phase,
        reason=service.reason,
        ready=service.is_ready,
        paused=service.holds(CANARY_PAUSED),
        waits=waits(service),
        url=str(service.status.get("url") or ""),
        age=age(service.body, now),
        revisions=_branches(seen, now),
        resolvers=_pods((p for p in seen.pods if LABEL_RESOLVES in (p["metadata"].get("labels") or {})), now),
        evidence=evidence.brief(service),
        replicas=f"{scaling.get('current')} of {scaling.get('desired')}: {scaling['because']}"
        if scaling.get("because")
        else "",
        unread=seen.unread,
    )


def waits(service: Service) -> str:
    """Say why a service is not Ready; "" if it is."""
    if not service.is_looked_at:
        seen = service.status.get("observedGeneration", -1)
        return f"the operator has yet to look at generation {service.generation} of the spec; it has seen {seen}"
    return "" if service.is_ready else service.message


def _branches(seen: Seen, now: float) -> tuple[Branch, ...]:
    service = seen.service
    versions = {
        str(kept["metadata"]["name"]): int(((kept.get("data") or {}).get("model") or {}).get("version") or 0)
        for kept in seen.revisions
    }
    by_revision: dict[str, list[Json]] = {}
    for pod in seen.pods:
        if revision := (pod["metadata"].get("labels") or {}).get(LABEL_REVISION):
            by_revision.setdefault(revision, []).append(pod)
    found: list[Branch] = []
    for role in ROLES:
        if part := service.part(role):
            pods = _pods(by_revision.pop(str(part.get("name")), ()), now)
            until = f"kept until {part['until']}" if part.get("until") else ""
            found.append(
                Branch(
                    name=str(part.get("name", "")),
                    role="new" if role == "canary" and not service.is_canary else role,
                    version=part.get("version"),
                    replicas=int(part.get("replicas", 0)),
                    ready=int(part.get("ready", 0)),
                    weight=part.get("weight"),
                    note=until,
                    pods=pods,
                )
            )
    rejected = service.part("rejected")
    name = str(rejected.get("name", ""))
    if rejected and name not in {branch.name for branch in found}:
        pods = _pods(by_revision.pop(name, ()), now)
        note = f"{rejected.get('reason', '')}: {rejected.get('message', '')}"
        found.append(_other(name or "?", "rejected", rejected.get("version"), note, pods))
    for name, bodies in sorted(by_revision.items()):
        found.append(_other(name, "leaving", versions.get(name) or None, "", _pods(bodies, now)))
    return tuple(found)


def _other(name: str, role: str, version: int | None, note: str, pods: tuple[Pod, ...]) -> Branch:
    ready = sum(pod.ready for pod in pods)
    return Branch(name, role, version, len(pods), ready, weight=None, note=note, pods=pods)


def _pods(bodies: Iterable[Json], now: float) -> tuple[Pod, ...]:
    """List pods, those with trouble first."""
    return tuple(sorted((pod(body, now=now) for body in bodies), key=lambda p: (not p.trouble, p.ready, p.name)))


def pod(body: Json, *, now: float) -> Pod:
    """Tell of a pod.

    Args:
        body: the object.
        now: in seconds since the epoch.
    """
    ready, status = is_ready(body), body.get("status") or {}
    failure = None if ready else next(filter(None, (check(body) for check in CHECKS)), None)
    containers = [*(status.get("initContainerStatuses") or ()), *(status.get("containerStatuses") or ())]
    return Pod(
        name=str(body["metadata"]["name"]),
        state=failure.reason if failure else _state(body, ready=ready),
        ready=ready,
        restarts=sum(int(container.get("restartCount", 0)) for container in containers),
        node=str((body.get("spec") or {}).get("nodeName") or ""),
        age=age(body, now),
        trouble=" ".join(failure.message.split()) if failure else "",
    )


def _state(body: Json, *, ready: bool) -> str:
    status = body.get("status") or {}
    if "deletionTimestamp" in body["metadata"]:
        return "Ending"
    if ready:
        return "Ready"
    if LABEL_RESOLVES in (body["metadata"].get("labels") or {}):
        return "Resolving"
    if status.get("phase") != "Running":
        running = [c for c in status.get("initContainerStatuses") or () if (c.get("state") or {}).get("running")]
        return "Fetching" if running else str(status.get("phase") or "Pending")
    return "Loading"
