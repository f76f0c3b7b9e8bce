"""In which order children are written, and which of them come before all else."""

from triton_operator.api import names
from triton_operator.core.decide import decide
from triton_operator.core.inventory import Children
from triton_operator.resources import children
from triton_operator.resources.monitor import monitor_name

from .simulator import SERVICE, Cluster, spec_of


def named(found: Children) -> list[tuple[str, str]]:
    return [(kind.kind, body["metadata"]["name"]) for kind, body in found]


def test_a_new_service_has_its_name_before_its_pods_and_its_pods_before_what_they_need_when_ready() -> None:
    cluster = Cluster(spec_of(1))
    cluster.run(1)  # in which its source is looked up
    plan = decide(cluster.world())
    revision = plan.record.target
    assert named(plan.children) == [
        (names.CONTROLLER_REVISION.kind, revision),
        (names.SERVICE.kind, SERVICE),
        (names.DEPLOYMENT.kind, revision),
        (names.SERVICE.kind, children.headless_name(SERVICE)),
        (names.SERVICE.kind, revision),
        (names.POD_DISRUPTION_BUDGET.kind, revision),
        (names.POD_MONITOR.kind, monitor_name(SERVICE)),
    ]
    assert named(plan.pressing) == [(names.CONTROLLER_REVISION.kind, revision), (names.DEPLOYMENT.kind, revision)]


def test_a_new_revision_grows_before_another_one_shrinks() -> None:
    cluster = Cluster(spec_of(1))
    cluster.settle()
    before = cluster.world().record
    cluster.spec, cluster.generation = spec_of(2), cluster.generation + 1
    cluster.carry_out(decide(cluster.world()))
    plan = decide(cluster.world())
    assert before is not None
    deployments = [name for kind, name in named(plan.children) if kind == names.DEPLOYMENT.kind]
    assert deployments == [plan.record.target, before.stable]
    assert {name for _, name in named(plan.pressing)} == {plan.record.target}


def test_nothing_is_pressing_once_all_deployments_are_there() -> None:
    cluster = Cluster(spec_of(1))
    cluster.settle()
    assert decide(cluster.world()).pressing == ()
