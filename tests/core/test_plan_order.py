"""In which order children are written, and which of them come before all else."""

from triton_operator.api import names
from triton_operator.core.decide import decide
from triton_operator.core.world import Plan
from triton_operator.resources import children

from .simulator import SERVICE, Cluster, spec_of


def written(plan: Plan) -> list[tuple[str, str]]:
    return [(kind.kind, body["metadata"]["name"]) for kind, body in plan.children]


def test_a_new_service_gets_its_deployment_before_what_its_pods_need_only_when_they_are_ready() -> None:
    plan = decide(Cluster(spec_of(1)).world())
    revision = plan.record.target
    assert written(plan)[: plan.pressing] == [
        (names.CONTROLLER_REVISION.kind, revision),
        (names.SERVICE.kind, SERVICE),
        (names.DEPLOYMENT.kind, revision),
    ]
    assert written(plan)[plan.pressing :] == [
        (names.SERVICE.kind, children.headless_name(SERVICE)),
        (names.SERVICE.kind, revision),
        (names.POD_DISRUPTION_BUDGET.kind, revision),
    ]


def test_a_new_revision_grows_before_another_one_shrinks() -> None:
    cluster = Cluster(spec_of(1))
    cluster.settle()
    before = cluster.world().record
    cluster.spec, cluster.generation = spec_of(2), cluster.generation + 1
    plan = decide(cluster.world())
    assert before is not None
    deployments = [name for kind, name in written(plan) if kind == names.DEPLOYMENT.kind]
    assert deployments == [plan.record.target, before.stable]
    assert written(plan)[plan.pressing - 1] == (names.DEPLOYMENT.kind, plan.record.target)


def test_nothing_is_pressing_once_all_deployments_are_there() -> None:
    cluster = Cluster(spec_of(1))
    cluster.settle()
    assert decide(cluster.world()).pressing == 0
