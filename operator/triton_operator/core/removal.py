"""Which pods must go by the operator's own hand, because nothing else in Kubernetes ends them.

Not for: pods that a Deployment scales away; see `core.rollout`.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from triton_operator.api.names import LABEL_REVISION
from triton_operator.core.health import is_dead, is_failing, is_over, is_ready, is_stuck, is_unschedulable
from triton_operator.core.world import Removal

Json = dict[str, Any]


def removals(pods: Iterable[Json], fleets: Iterable[str], *, dead: frozenset[str], now: float) -> tuple[Removal, ...]:
    """Say which pods to delete.

    Args:
        pods: all pods of the service.
        fleets: its revisions that have a Deployment.
        dead: uids of pods that are ready and execute nothing any more.
        now: seconds since the epoch.

    Returns:
        Pods that a kubelet has given up, and of each revision at most one whose Triton runs on without serving.
    """
    listed = list(pods)
    found = [
        _removal(pod, None, f"the kubelet has given it up: {pod['status']['reason']}")
        for pod in listed
        if is_over(pod) and not _is_ending(pod)
    ]
    by_revision: Mapping[str, list[Json]] = {
        revision: [pod for pod in listed if _revision(pod) == revision and not is_over(pod)] for revision in fleets
    }
    for own in by_revision.values():
        ill = [p for p in own if not _is_ending(p) and (is_dead(p, now=now) or p["metadata"]["uid"] in dead)]
        # One at a time: the next goes when the one that took its place serves; what cannot come or go does not count.
        others = [p for p in own if p not in ill and not (is_unschedulable(p) or is_failing(p) or is_stuck(p, now=now))]
        if ill and all(is_ready(pod) for pod in others):
            found.append(_removal(min(ill, key=_name), "BackendDied", "its Triton runs, but serves no more"))
    return tuple(found)


def _removal(pod: Json, reason: str | None, why: str) -> Removal:
    return Removal(_name(pod), pod["metadata"]["uid"], _revision(pod), reason, why)


def _name(pod: Json) -> str:
    return str(pod["metadata"]["name"])


def _revision(pod: Json) -> str | None:
    return (pod["metadata"].get("labels") or {}).get(LABEL_REVISION)


def _is_ending(pod: Json) -> bool:
    return "deletionTimestamp" in pod["metadata"]
