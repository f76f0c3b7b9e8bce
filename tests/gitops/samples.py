"""The services that stand in testdata, each as the operator tells of it: whole objects, as kubectl shows them."""

from collections.abc import Callable
from typing import Any

from tests.core.simulator import Cluster, spec_of
from tests.core.test_conditions import (
    awaiting_sources,
    on_trial,
    settled,
    stalled,
    started,
    suspended,
    undone,
    unreadable,
    unseen,
    updating,
)
from triton_operator.core.world import Value

from .objects import live, manifest, shown

Json = dict[str, Any]

CONDITION = {"name": "agreement", "query": "agreement{revision='{{canary}}'}", "success": {"min": "0.9"}}


def created() -> Json:
    return live(manifest(spec_of(1)), generation=1, status={"observedGeneration": -1})


def invalid() -> Json:
    generation, status = unreadable(settled())
    return live(manifest(spec_of(1)), generation=generation, status=status)


def judged(*steps: Json, analysis: Json | None = None, load: int = 200, **more: Any) -> Cluster:
    """A canary of which something is counted every five seconds; half of its requests fail."""
    rollout = {"strategy": "Canary", "steps": [{"setWeight": 50}, *steps], **more}
    rollout["analysis"] = {"intervalSeconds": 5} | (analysis or {})
    cluster = Cluster(spec_of(1, replicas=2, rollout=rollout), errors={2: 0.5}, load=load)
    cluster.settle()
    cluster.change(spec_of(2, replicas=2, rollout=rollout))
    cluster.run(60)
    return cluster


def acted_on(cluster: Cluster, action: str) -> Cluster:
    cluster.actions = {action: f"{cluster.target}/1"}
    cluster.run(2)
    return cluster


def failed() -> Cluster:
    return judged()


def failed_and_left() -> Cluster:
    return judged(autoRollback=False)


def inconclusive() -> Cluster:
    return judged({"pause": {"durationSeconds": 3600}}, analysis={"maxDurationSeconds": 60}, load=0)


def paused_by_a_person() -> Cluster:
    return acted_on(on_trial({"pause": {"durationSeconds": 3600}}), "pause")


def taking_over() -> Cluster:
    return acted_on(on_trial({"pause": {}}), "promote-full")


def unanswered() -> Cluster:
    """A canary whose own metric comes to several series."""
    rollout = {"strategy": "Canary", "analysis": {"intervalSeconds": 5, "metrics": [CONDITION]}}
    cluster = Cluster(spec_of(1, replicas=2, rollout=rollout))
    cluster.values = {"agreement": Value(trouble="it comes to 2 series", invalid=True)}
    cluster.settle()
    cluster.change(spec_of(2, replicas=2, rollout=rollout))
    cluster.run(20)
    return cluster


def warm() -> Cluster:
    rollout = {"strategy": "BlueGreen", "scaleDownDelaySeconds": 600}
    cluster = settled(rollout=rollout)
    cluster.change(spec_of(2, rollout=rollout))
    cluster.run(40)
    return cluster


def unreached() -> Cluster:
    cluster = awaiting_sources(before=False)
    cluster.run(20)
    return cluster


SAMPLES: dict[str, Callable[[], Cluster | Json]] = {
    "progressing_created": created,
    "progressing_newGeneration": unseen,
    "progressing_loading": started,
    "progressing_updating": updating,
    "progressing_canary": lambda: on_trial({"pause": {"durationSeconds": 3600}}, {"setWeight": 75}),
    "progressing_canaryTakesOver": taking_over,
    "progressing_sourceUnreachable": unreached,
    "suspended_canaryPauseStep": lambda: on_trial({"pause": {}}),
    "suspended_canaryPausedByPerson": paused_by_a_person,
    "suspended_canaryInconclusive": inconclusive,
    "suspended_canaryAnalysisFailed": failed_and_left,
    "suspended_onRequest": suspended,
    "degraded_canaryFailed": failed,
    "degraded_invalidQuery": unanswered,
    "degraded_invalidSpec": invalid,
    "degraded_neverServed": lambda: stalled(final=True, first=True),
    "degraded_rejected": lambda: stalled(final=True),
    "degraded_undone": undone,
    "healthy_keptWarm": warm,
    "healthy_scaledToZero": lambda: settled(replicas=0),
    "healthy_serving": settled,
}


def sample(name: str) -> Json:
    """Make one of them."""
    found = SAMPLES[name]()
    return shown(found) if isinstance(found, Cluster) else found
