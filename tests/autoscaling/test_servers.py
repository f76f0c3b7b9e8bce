from random import Random

import pytest

from benchmarks.autoscaling.models import Model, concave, linear, step
from benchmarks.autoscaling.servers import NEVER, Balancing, Fleet, Starts, gpu_seconds

SECOND = Model("a second", linear(1.0, 0.0), 4, 2.0, noise=0.0, timeout_seconds=10.0)
EXACT = Starts(10.0, spread=0.0)


def fleet(model: Model, arrivals: list[float], replicas: int = 1, starts: Starts = EXACT) -> Fleet:
    return Fleet(model, arrivals, starts, Balancing.TWO_CHOICES, Random(1), replicas)


def test_the_curves() -> None:
    assert linear(1.0, 0.5)(4) == 3.0
    assert concave(1.0, 1.0, 0.5)(4) == 3.0
    assert [step(0.0, 1.0)(batch) for batch in (1, 2, 3, 4, 5, 8, 9)] == [1, 2, 4, 4, 8, 8, 16]
    assert Model("m", linear(1.0, 0.25), 4, 1.0, instances=2).peak == 4.0


def test_what_waits_is_taken_together_up_to_a_full_batch() -> None:
    one = fleet(SECOND, [0.0, 0.1, 0.2, 0.3, 0.4, 0.5])

    one.advance(10.0)

    assert one.took == pytest.approx([1.0, 1.9, 1.8, 1.7, 1.6, 2.5])
    replica = one.ready[0]
    assert (replica.success, replica.executions) == (6, 3)
    assert replica.compute_seconds == pytest.approx(6.0)
    assert replica.queue_seconds == pytest.approx(0.0 + 0.9 + 0.8 + 0.7 + 0.6 + 1.5)


def test_instances_work_side_by_side() -> None:
    two = fleet(Model("two", linear(1.0, 0.0), 1, 2.0, instances=2, noise=0.0), [0.0, 0.1, 0.2])

    two.advance(10.0)

    assert two.took == pytest.approx([1.0, 1.0, 1.8])


def test_counters_are_written_when_a_request_ends() -> None:
    one = fleet(SECOND, [0.0, 0.5])

    one.advance(0.9)

    assert (one.ready[0].success, len(one.ready[0].waiting), one.ready[0].in_flight) == (0, 1, 2)


def test_a_request_that_has_waited_too_long_is_given_up() -> None:
    slow = Model("slow", linear(8.0, 0.0), 1, 2.0, noise=0.0, timeout_seconds=10.0)
    one = fleet(slow, [0.0, 0.1, 0.2])

    one.advance(40.0)

    assert one.took[:2] == pytest.approx([8.0, 15.9])
    assert one.took[2] == NEVER
    assert one.ready[0].failures == 1


def test_a_new_replica_takes_requests_once_it_is_ready() -> None:
    grown = fleet(SECOND, [float(n) / 10 for n in range(300)])
    grown.advance(5.0)

    grown.scale(2)
    grown.advance(14.9)
    before = len(grown.ready)
    grown.advance(20.0)

    assert (before, len(grown.ready)) == (1, 2)
    assert grown.leads == pytest.approx([10.0])
    assert grown.replicas[1].success > 0


def test_a_replica_that_is_removed_answers_what_it_has_and_takes_no_more() -> None:
    shrunk = fleet(SECOND, [0.0, 0.1, 0.2, 0.3, 5.0], replicas=2)
    shrunk.advance(0.4)

    shrunk.scale(1)
    shrunk.advance(20.0)

    assert max(shrunk.took) < 2.5
    assert shrunk.replicas[1].gone == pytest.approx(5.4)
    assert shrunk.replicas[1].success + shrunk.replicas[0].success == 5


def test_those_that_start_go_first() -> None:
    both = fleet(SECOND, [])
    both.scale(3)
    both.advance(1.0)

    both.scale(1)
    both.advance(30.0)

    assert [replica.gone for replica in both.replicas] == [NEVER, 1.0, 1.0]
    assert both.leads == []


def test_without_a_ready_replica_the_gateway_holds_requests_until_there_is_one() -> None:
    held = fleet(SECOND, [1.0, 2.0])
    held.scale(2)
    held.ready.clear()

    held.advance(20.0)

    assert held.took == pytest.approx([10.0, 10.0])
    assert held.replicas[1].queue_seconds == pytest.approx(1.0)  # waiting elsewhere is not Triton's


def test_a_replica_for_which_no_node_is_free_waits_for_one() -> None:
    nodes = fleet(SECOND, [], starts=Starts(10.0, spread=0.0, free_nodes=2, node_seconds=60.0))

    nodes.scale(3)
    nodes.advance(100.0)

    assert nodes.leads == pytest.approx([10.0, 70.0])


def test_starting_and_draining_cost_gpus() -> None:
    costs = fleet(SECOND, [])
    costs.advance(10.0)
    costs.scale(2)
    costs.advance(30.0)
    costs.scale(1)
    costs.advance(60.0)

    assert gpu_seconds(costs.replicas, 0.0, 60.0) == pytest.approx(60.0 + 25.0)
    assert gpu_seconds(costs.replicas, 20.0, 32.0) == pytest.approx(24.0)


def test_concurrency_is_counted_over_time() -> None:
    one = fleet(SECOND, [0.0, 0.5])

    one.advance(3.0)

    assert one.busy == pytest.approx(1.0 + 1.5)


@pytest.mark.parametrize("balancing", list(Balancing))
def test_all_replicas_get_their_part(balancing: Balancing) -> None:
    four = Fleet(SECOND, [n / 10 for n in range(1000)], EXACT, balancing, Random(1), 4)

    four.advance(110.0)

    assert all(150 < replica.success < 350 for replica in four.replicas)
    assert sum(replica.success for replica in four.replicas) == 1000
