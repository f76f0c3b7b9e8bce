"""Which pods must go by the operator's own hand, because nothing else in Kubernetes ends them, or none ends them soon.

Not for: pods that a Deployment scales away; see `core.rollout`.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from triton_operator.api.names import LABEL_REVISION
from triton_operator.core.health import has_started, is_dead, is_over, is_ready
from triton_operator.core.world import Removal
from triton_operator.resources.pod import UNSTARTED_GRACE_SECONDS

Json = dict[str, Any]


def removals(pods: Iterable[Json], fleets: Iterable[str], *, dead: frozenset[str], now: float) -> tuple[Removal, ...]:
    """Say which pods to delete.

    Args:
        pods: all pods of the service.
        fleets: its revisions that have a Deployment.
        dead: uids of pods that are ready and execute nothing any more.
        now: seconds since the epoch.

    Returns:
        Pods that ended before Triton had started, pods that were given up by the kubelet, and of each revision at most
        one whose Triton runs on without serving.
    """
    listed = list(pods)
    found = [removal for pod in listed if (removal := _at_once(pod))]
    by_revision: Mapping[str, list[Json]] = {
        revision: [pod for pod in listed if _revision(pod) == revision and not is_over(pod)] for revision in fleets
    }
    for own in by_revision.values():
        ill = [p for p in own if not _is_ending(p) and (is_dead(p, now=now) or p["metadata"]["uid"] in dead)]
        # One at a time: the next goes when the one that took its place serves.
        if ill and all(is_ready(pod) for pod in own if pod not in ill):
            found.append(_removal(min(ill, key=_name), None, "its Triton runs, but serves no more"))
    return tuple(found)


def unstarted(pods: Iterable[Json]) -> tuple[Removal, ...]:
    """Say which pods that are going away need not be waited for.

    Args:
        pods: pods, those that are not going away among them.
    """
    return tuple(removal for pod in pods if _is_ending(pod) and (removal := _at_once(pod)))


def _at_once(pod: Json) -> Removal | None:
    if _is_ending(pod):
        grace = pod["metadata"].get("deletionGracePeriodSeconds", 0)
        if not has_started(pod) and grace > UNSTARTED_GRACE_SECONDS:
            return _removal(pod, UNSTARTED_GRACE_SECONDS, "it is going away and nobody can have sent it a request")
        return None
    if is_over(pod):
        return _removal(pod, None, f"the kubelet has given it up: {pod['status']['reason']}")
    return None


def _removal(pod: Json, grace_seconds: int | None, why: str) -> Removal:
    return Removal(_name(pod), pod["metadata"]["uid"], grace_seconds, why)


def _name(pod: Json) -> str:
    return str(pod["metadata"]["name"])


def _revision(pod: Json) -> str | None:
    return (pod["metadata"].get("labels") or {}).get(LABEL_REVISION)


def _is_ending(pod: Json) -> bool:
    return "deletionTimestamp" in pod["metadata"]
