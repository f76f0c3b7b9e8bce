"""Which pods go first where a revision is to have fewer: those with the least to do.

A ReplicaSet ends pods of a lower `controller.kubernetes.io/pod-deletion-cost` first, after those that are not ready.
Not for: how many go; that is `core.autoscaler` and `core.shares`.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from triton_operator.api.names import ANNOTATION_DELETION_COST, DEPLOYMENT, Kind
from triton_operator.core.health import is_ready, living
from triton_operator.core.world import Mark, World

Json = dict[str, Any]

FIRST = "-1"


def victims(world: World, children: Iterable[tuple[Kind, Json]]) -> tuple[Mark, ...]:
    """List the pods that are to go first, as far as it is known what each has to do, and none is marked yet.

    Args:
        world: the world, with its pods.
        children: what it is to have.
    """
    if not world.in_flight or world.pods is None:
        return ()
    wanted = {body["metadata"]["name"]: body["spec"]["replicas"] for kind, body in children if kind == DEPLOYMENT}
    return tuple(
        mark
        for name, count in sorted(wanted.items())
        if name in world.fleets and 0 < count < world.fleets[name].wanted
        for mark in _least(living(world.pods, name), count, world.in_flight)
    )


def _least(pods: list[Json], keep: int, in_flight: Mapping[str, float]) -> list[Mark]:
    ready = [pod["metadata"] for pod in pods if is_ready(pod)]
    going = len(ready) - keep  # those that are not ready go before
    by_work = sorted(ready, key=lambda pod: (in_flight.get(pod["uid"], 0.0), pod["name"]))
    return [
        Mark(pod["name"], pod["uid"])
        for pod in by_work[: max(0, going)]
        if (pod.get("annotations") or {}).get(ANNOTATION_DELETION_COST) != FIRST
    ]
