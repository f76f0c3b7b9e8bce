"""What is told of a pod whose backend has died, until another one has its place."""

from dataclasses import replace
from typing import Any

from triton_operator.core.decide import decide

from .simulator import Cluster, Pod, spec_of

Json = dict[str, Any]


def test_it_is_told_until_another_pod_is_ready_though_the_counters_were_not_read_again() -> None:
    cluster = Cluster(spec_of(1))
    cluster.settle()
    (old,) = cluster.pods
    dead = frozenset({old.name})

    plan = decide(replace(cluster.world(), dead=dead, pods=(cluster._pod(old),)))
    assert plan.record.failure
    assert plan.record.failure["reason"] == "BackendDied"
    assert [removal.name for removal in plan.removals] == [old.name]

    cluster._end(old)  # the status of its Deployment does not say so yet
    ending = replace(cluster.world(), record=plan.record, dead=dead, pods=(cluster._pod(old),))
    assert decide(ending).record.failure == plan.record.failure

    new = Pod("new", old.revision, cluster.now, healthy=True, ready=True, placed=cluster.now, loaded=True)
    assert decide(replace(ending, pods=(cluster._pod(old), cluster._pod(new)))).record.failure is None
