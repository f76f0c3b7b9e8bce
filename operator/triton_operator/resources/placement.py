"""Where the pods of a revision may run, and how that stands in a pod: resources, node affinity, tolerations.

What the user gives is added to what the GPUs need, and never takes the place of it.
Not for: deciding what the GPUs need; that is `core.placement`.
"""

from dataclasses import dataclass
from typing import Any

from triton_operator.api.pods import NodeAffinity

Json = dict[str, Any]

_REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"


@dataclass(frozen=True, slots=True)
class Placement:
    """What the GPUs of one replica ask of a node.

    Attributes:
        resource_name: extended resource that stands for a GPU; None without GPUs.
        count: how many of it, 1 or more; 0 without GPUs.
        requirements: conditions on labels of the node; all must hold.
        tolerations: what the pods tolerate for it.
        short_notice: whether the node may be taken back within half a minute.
        shared_by_mps: whether the GPU is shared by MPS, whose /dev/shm the node gives to the pod.
    """

    resource_name: str | None = None
    count: int = 0
    requirements: tuple[Json, ...] = ()
    tolerations: tuple[Json, ...] = ()
    short_notice: bool = False
    shared_by_mps: bool = False


def node_affinity(placement: Placement, given: NodeAffinity | None) -> Json | None:
    """Join what the GPUs need with what the user wants.

    Args:
        placement: what the GPUs need.
        given: the user's node affinity. One of its required terms must hold, so each is given our conditions too.

    Returns:
        The node affinity, or None if there is none.
    """
    joined: Json = given.model_dump(by_alias=True, exclude_none=True, mode="json") if given else {}
    if placement.requirements:
        terms = joined.get(_REQUIRED, {}).get("nodeSelectorTerms", [{"matchExpressions": []}])
        own = [dict(requirement) for requirement in placement.requirements]
        terms = [{"matchExpressions": [*own, *term["matchExpressions"]]} for term in terms]
        joined = {_REQUIRED: {"nodeSelectorTerms": terms}} | {k: v for k, v in joined.items() if k != _REQUIRED}
    return joined or None
