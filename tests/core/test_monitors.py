"""The PodMonitor of a service: made where there is that kind, as administrators want it, and taken away."""

from triton_operator.api import names
from triton_operator.api.settings import PodMonitor

from .simulator import SERVICE, SETTINGS, Cluster, spec_of

NAME = f"{SERVICE}-metrics"


def monitors(cluster: Cluster) -> dict[str, dict]:
    return {name: body for (kind, name), body in cluster.bodies.items() if kind == names.POD_MONITOR.kind}


def settled(**more: object) -> Cluster:
    cluster = Cluster(spec_of(1), **more)
    cluster.settle()
    assert cluster.condition("Ready")["status"] == "True"
    return cluster


def test_one_monitor_finds_the_pods_of_all_revisions() -> None:
    cluster = settled(settings=SETTINGS.model_copy(update={"podMonitor": PodMonitor(labels={"release": "stack"})}))
    (body,) = monitors(cluster).values()
    assert body["metadata"]["name"] == NAME
    assert body["metadata"]["labels"]["release"] == "stack"
    assert body["spec"]["selector"] == {"matchLabels": {names.LABEL_SERVICE: SERVICE}}
    before = monitors(cluster)
    cluster.change(spec_of(2))
    cluster.settle()
    assert monitors(cluster) == before


def test_without_the_kind_the_service_is_none_the_worse_and_later_gets_it() -> None:
    cluster = settled(monitors=False)
    assert not monitors(cluster)
    cluster.monitors = True
    cluster.restart_operator()  # it looks at everything again, as it does when it finds a kind
    cluster.run(2)
    assert list(monitors(cluster)) == [NAME]


def test_an_administrator_who_wants_none_gets_rid_of_those_that_are_there() -> None:
    cluster = settled()
    cluster.settings = SETTINGS.model_copy(update={"podMonitor": PodMonitor(enabled=False)})
    cluster.restart_operator()
    cluster.run(2)
    assert not monitors(cluster)
