"""Histories in which people also act through Argo CD, for everything that has to hold at each status on the way."""

from collections.abc import Callable
from typing import Any

from hypothesis import strategies as st

from tests.core.simulator import Cluster, spec_of
from tests.core.test_histories import BROKEN, ROLLOUTS, SPEC_CHANGES, Step, steps, take
from triton_operator.controller.world import _actions

from .argo import acted, enabled
from .objects import Watched, shown

Json = dict[str, Any]

ACCIDENTS = ("kill", "vanish", "disturb", "restart", "busy", "lag")
LOSSES = ("lose record", "wipe status", "crash")
PAUSED: list[Json] = [
    {"strategy": "Canary", "steps": [{"setWeight": 20}, {"pause": {}}, {"setWeight": 50}, {"pause": {}}]},
    {"strategy": "Canary", "gateway": False, "steps": [{"setWeight": 50}, {"pause": {}}]},
    {
        "strategy": "Canary",
        "steps": [{"setWeight": 20}, {"pause": {"durationSeconds": 20}}, {"setWeight": 50}],
        "analysis": {"intervalSeconds": 5, "maxDurationSeconds": 60},
    },
    {
        "strategy": "Canary",
        "autoRollback": False,
        "steps": [{"setWeight": 50}],
        "analysis": {"intervalSeconds": 5},
    },
]
EVERY_ROLLOUT = st.sampled_from([*ROLLOUTS, *PAUSED, *PAUSED])
HISTORY = st.lists(steps(*SPEC_CHANGES, "rollout", "act", "act", "act", *ACCIDENTS), max_size=10)
WITH_LOSSES = st.lists(steps(*SPEC_CHANGES, "rollout", "act", "act", *ACCIDENTS, *LOSSES), max_size=10)


def begun(rollout: Json, look: Callable[[Watched], None], *, failing: float = 0.0, load: int = 200) -> Watched:
    """Begin a cluster that is looked at; version 3 fails so many of its requests."""
    cluster = Watched(
        spec_of(1, replicas=2, rollout=rollout), broken=frozenset({BROKEN}), errors={3: failing}, load=load
    )
    cluster.look = look
    return cluster


def lived(cluster: Watched, history: list[Step]) -> None:
    """Live through a history in which `act` chooses one of the actions that Argo CD offers then."""
    cluster.run(12)
    for step in history:
        if step.what == "act":
            act(cluster, step.number)
        else:
            take(cluster, step)
        cluster.run(step.ticks)


def act(cluster: Watched, number: int) -> None:
    body = shown(cluster)
    body["metadata"]["annotations"] = annotated(cluster)
    if choices := enabled(body):
        after = acted(choices[number % len(choices)], body, revision=sorted(cluster.revisions or {"x": {}})[0])
        cluster.actions = _actions(after["metadata"]["annotations"])


def annotated(cluster: Cluster) -> dict[str, str]:
    return {f"serving.triton-operator.dev/{action}": value for action, value in cluster.actions.items()}
