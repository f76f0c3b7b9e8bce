from random import Random

import pytest

from benchmarks.autoscaling.loads import EPOCH, Looks
from benchmarks.autoscaling.models import Model, linear
from benchmarks.autoscaling.scrapes import Outage, Scrapes, quantile
from benchmarks.autoscaling.servers import BUCKETS, Balancing, Fleet, Starts

MODEL = Model("quick", linear(0.1, 0.0), 4, 1.0, noise=0.0)


def watched(
    seconds: int, *, replicas: int = 2, outages: tuple[Outage, ...] = (), lost_share: float = 0.0
) -> tuple[Fleet, Scrapes, Looks]:
    """Ten requests per second for so long, scraped every five."""
    arrivals = [n / 10 for n in range(10 * 200)]
    fleet = Fleet(MODEL, arrivals, Starts(10.0, spread=0.0), Balancing.ROUND_ROBIN, Random(1), replicas)
    scrapes = Scrapes(fleet, every_seconds=5.0, outages=outages, lost_share=lost_share, random=Random(2))
    looks = Looks(fleet, scrapes)
    watch(fleet, looks, 1, seconds)
    return fleet, scrapes, looks


def watch(fleet: Fleet, looks: Looks, begin: int, end: int) -> None:
    for second in range(begin, end + 1):
        fleet.advance(second)
        if second % 5 == 0:
            looks.scrape()


def test_rates_and_times_are_those_of_the_requests() -> None:
    _, _, looks = watched(60)

    found, trouble = looks.load(95, tail=False)

    assert found is not None
    assert trouble == ""
    assert (found.pods, found.silent, found.at) == (2, 0, EPOCH + 60)
    assert found.arrivals == pytest.approx(10.0, rel=0.1)
    assert found.completions == pytest.approx(10.0, rel=0.1)
    assert found.batch == pytest.approx(1.0)
    assert found.batch_seconds == pytest.approx(0.1)
    assert found.latency_seconds == pytest.approx(0.1)
    assert found.tail_seconds is None


def test_before_a_second_sample_nothing_is_known() -> None:
    fleet, scrapes, looks = watched(4)

    assert looks.load(95, tail=False)[0] is None
    assert scrapes.rates(fleet.ready[0], 60.0) is None
    assert scrapes.arrivals(60.0) is None


def test_rates_for_prometheus_are_those_of_its_window() -> None:
    fleet, scrapes, _ = watched(60)

    rates = scrapes.rates(fleet.ready[0], 30.0)

    assert rates is not None
    assert rates.success == pytest.approx(5.0, rel=0.1)
    assert rates.compute_seconds == pytest.approx(0.5, rel=0.1)
    assert scrapes.arrivals(30.0) == pytest.approx(10.0, rel=0.1)


def test_a_replica_that_comes_does_not_count_twice() -> None:
    fleet, _, looks = watched(60)
    fleet.scale(4)

    watch(fleet, looks, 61, 76)

    found, _ = looks.load(95, tail=False)
    assert found is not None
    assert len(fleet.ready) == 4
    assert found.arrivals == pytest.approx(10.0, rel=0.3)


def test_lost_scrapes_are_bridged() -> None:
    _, _, looks = watched(120, lost_share=0.3)

    found, _ = looks.load(95, tail=False)

    assert found is not None
    assert found.arrivals == pytest.approx(10.0, rel=0.3)


@pytest.mark.parametrize(
    ("answers", "second", "known", "down"),
    [
        pytest.param(False, 102, False, True, id="queries fail at once"),
        pytest.param(True, 102, True, False, id="queries are answered from what there is"),
        pytest.param(True, 130, False, False, id="which gets too old"),
    ],
)
def test_an_outage(answers: bool, second: int, known: bool, down: bool) -> None:
    _, scrapes, looks = watched(second, outages=(Outage(100, 200, answers=answers),))

    found, trouble = looks.load(95, tail=False)

    assert (found is not None) is known
    assert bool(trouble) is not known
    assert scrapes.down() is down


def test_the_histogram_of_the_gateway_tells_the_tail_as_well_as_its_buckets_do() -> None:
    _, _, looks = watched(60)

    found, _ = looks.load(95, tail=True)

    assert found is not None
    assert found.tail_source == "gateway"
    assert found.tail_seconds is not None
    assert 0.1 <= found.tail_seconds <= 0.25


def test_quantiles_are_interpolated_within_a_bucket() -> None:
    buckets = [0] * (len(BUCKETS) + 1)
    buckets[BUCKETS.index(2.5)] = 100

    assert quantile(buckets, 0.5) == pytest.approx(1.75)
    assert quantile([0] * (len(BUCKETS) + 1), 0.5) is None


def test_what_is_above_all_buckets_counts_as_the_last_bound() -> None:
    assert quantile([0] * len(BUCKETS) + [5], 0.5) == BUCKETS[-1]
