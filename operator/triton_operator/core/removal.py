"""Which pods must go by the operator's own hand, because nothing else in Kubernetes ends them.

Not for: pods that a Deployment scales away; see `core.rollout`.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from triton_operator.api.names import LABEL_REVISION
from triton_operator.core.health import (
    is_dead,
    is_failing,
    is_over,
    is_ready,
    is_stuck,
    is_unchecked,
    is_unschedulable,
)
from triton_operator.core.world import Removal

Json = dict[str, Any]

UNCHECKED = "SourceUnchecked"
_UNCHECKED = "its Triton was started again, and reads a claim whose files only a new pod compares"
_DEAD = "BackendDied"


def removals(pods: Iterable[Json], fleets: Iterable[str], *, dead: frozenset[str], now: float) -> tuple[Removal, ...]:
    """Say which pods to delete.

    Args:
        pods: all pods of the service.
        fleets: its revisions that have a Deployment.
        dead: uids of pods that are ready and execute nothing any more.
        now: seconds since the epoch.

    Returns:
        Pods that a kubelet has given up; those whose Triton was started again on files that nobody has compared since;
        and of each revision at most one whose Triton runs on without serving, or serves such files already.
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
        unchecked = [pod for pod in own if not _is_ending(pod) and is_unchecked(pod)]
        idle = [pod for pod in unchecked if not is_ready(pod)]  # nobody misses them
        found += [_removal(pod, UNCHECKED, _UNCHECKED) for pod in idle]
        gone = [pod for pod in own if not _is_ending(pod) and (is_dead(pod, now=now) or pod["metadata"]["uid"] in dead)]
        ill = [pod for pod in own if pod not in idle and (pod in unchecked or pod in gone)]
        # One at a time: the next goes when the one that took its place serves; what cannot come or go does not count.
        others = [p for p in own if p not in ill and not (is_unschedulable(p) or is_failing(p) or is_stuck(p, now=now))]
        if ill and all(is_ready(pod) for pod in others):
            first = min(ill, key=lambda pod: (pod not in gone, _name(pod)))
            told = (_DEAD, "its Triton runs, but serves no more") if first in gone else (UNCHECKED, _UNCHECKED)
            found.append(_removal(first, *told))
    return tuple(found)


def _removal(pod: Json, reason: str | None, why: str) -> Removal:
    return Removal(_name(pod), pod["metadata"]["uid"], _revision(pod), reason, why)


def _name(pod: Json) -> str:
    return str(pod["metadata"]["name"])


def _revision(pod: Json) -> str | None:
    return (pod["metadata"].get("labels") or {}).get(LABEL_REVISION)


def _is_ending(pod: Json) -> bool:
    return "deletionTimestamp" in pod["metadata"]
