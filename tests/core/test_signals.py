"""The load of a revision, told from raw counters: what cannot be relied on makes no number, and never a zero."""

import math
from dataclasses import fields, replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from triton_operator.api.counts import Counts, Sample, Sent
from triton_operator.core.load import Load
from triton_operator.core.signals import (
    KEPT_SECONDS,
    NEW_SECONDS,
    History,
    Pod,
    extended,
    interval_of,
    load_of,
    quantile,
    rate_of,
)

T0 = 1_800_000_000.0
unhurried = settings(deadline=None, max_examples=50, suppress_health_check=[HealthCheck.too_slow])
# A request a second for each of them; each takes 0.5 s, of which 0.1 s in the queue, and half a batch of 0.2 s.
SECOND = Counts(succeeded=1, executions=0.5, inferences=1, request_seconds=0.5, queue_seconds=0.1, compute_seconds=0.2)


def times(counts: Counts, factor: float) -> Counts:
    return counts.per(1 / factor) if factor else Counts()


def steady(
    rate: float = 10.0, *, until: float = T0, seconds: float = 30.0, every: float = 5.0, pending: float = 0.0
) -> History:
    """A source that has scraped a pod with so many requests per second, which began long ago."""
    taken = [until - seconds + every * n for n in range(int(seconds / every) + 1)]
    return tuple(Sample(at, times(SECOND, rate * (at - T0 + 1e6)), pending) for at in taken)


def pod(*sources: History, since: float = 0.0) -> Pod:
    return Pod(since, sources)


def load(*pods: Pod, now: float = T0, percentile: int = 95, arrivals: float | None = None) -> Load:
    found, _ = load_of(pods, now=now, percentile=percentile, arrivals=arrivals)
    assert found is not None
    return found


def trouble(*pods: Pod, now: float = T0) -> str:
    found, words = load_of(pods, now=now, percentile=95)
    assert found is None
    return words


def test_what_two_pods_do_is_added_up() -> None:
    found = load(pod(steady(10)), pod(steady(30)))
    assert (found.pods, found.silent, found.at, found.seconds) == (2, 0, T0, 10.0)
    assert found.arrivals == pytest.approx(40)
    assert found.completions == pytest.approx(40)
    assert found.executions == pytest.approx(20)
    assert found.batch == pytest.approx(2)
    assert found.inferences == pytest.approx(40)
    assert found.latency_seconds == pytest.approx(0.5)
    assert found.queue_seconds == pytest.approx(0.1)
    assert found.batch_seconds == pytest.approx(0.2)
    assert found.concurrency == pytest.approx(20)
    assert (found.tail_seconds, found.tail_source, found.gpu_utilization) == (None, "", None)


def test_idle_pods_whose_series_are_there_are_a_zero() -> None:
    found = load(pod(steady(0)))
    assert (found.arrivals, found.completions, found.pending) == (0, 0, 0)
    assert (found.latency_seconds, found.batch_seconds, found.queue_seconds) == (None, None, None)


@pytest.mark.parametrize(
    ("sources", "words"),
    [
        pytest.param([], "the others have told nothing yet", id="nothing"),
        pytest.param([steady()[-1:]], "last did at 2027-01-15T08:00:00Z", id="one sample"),
        pytest.param([steady(until=T0 - 16)], "last did at 2027-01-15T07:59:44Z", id="no new one for three scrapes"),
        pytest.param([(*steady(until=T0 - 60)[:2], *steady()[-1:])], "last did at", id="one since a gap"),
    ],
)
def test_what_tells_too_little_is_no_zero(sources: list[History], words: str) -> None:
    assert trouble(pod(*sources)).startswith("0 of 1 ready pods report")
    assert words in trouble(pod(*sources))


def test_without_a_pod_nothing_is_known() -> None:
    assert trouble() == "there is no ready pod"


@pytest.mark.parametrize("every", [2.0, 5.0, 15.0, 30.0, 60.0])
def test_how_old_a_sample_may_be_is_learned_from_the_scrapes(every: float) -> None:
    history = steady(10, seconds=120, every=every)
    assert interval_of(history) == max(5.0, every)
    late = T0 + 3 * max(5.0, every)
    assert load(pod(history), now=late).arrivals == pytest.approx(10)
    trouble(pod(history), now=late + 1)


def test_silent_pods_are_taken_to_do_as_the_others_while_half_of_them_report() -> None:
    quiet = pod(steady(until=T0 - 40))
    found, words = load_of([pod(steady(10, pending=4)), quiet], now=T0, percentile=95)
    assert found is not None
    assert (found.pods, found.silent) == (1, 1)
    assert found.arrivals == pytest.approx(20)
    assert found.pending == 8
    assert found.latency_seconds == pytest.approx(0.5)
    assert words.startswith("1 of 2 ready pods do not report; the others last did at 2027-01-15T07:59:20Z")
    assert trouble(pod(steady(10)), quiet, quiet).startswith("1 of 3 ready pods report; the others last did at")


def test_a_pod_that_has_just_become_ready_is_missed_by_nobody() -> None:
    """Else each replica that starts would look like more load, which starts the next one."""
    found = load(pod(steady(10)), pod(since=T0 - NEW_SECONDS + 1), pod(steady()[-1:], since=T0 - 5))
    assert (found.pods, found.silent) == (1, 0)
    assert found.arrivals == pytest.approx(10)
    assert load(pod(steady(10)), pod(since=T0 - NEW_SECONDS)).arrivals == pytest.approx(20)


def test_an_answer_of_the_cache_has_arrived_and_is_not_executed() -> None:
    hit = Counts(succeeded=9, cached=9, request_seconds=0.009, cached_seconds=0.009)
    history = tuple(replace(s, counts=s.counts.plus(times(hit, s.at - T0 + 1e6))) for s in steady(10))
    found = load(pod(history))
    assert found.arrivals == pytest.approx(19)
    assert found.completions == pytest.approx(10)
    assert found.batch == pytest.approx(2)
    assert found.latency_seconds == pytest.approx(0.5)
    assert found.queue_seconds == pytest.approx(0.1)
    assert found.batch_seconds == pytest.approx(0.2)


def test_a_growing_queue_is_demand_and_a_shrinking_one_is_none() -> None:
    growing = tuple(replace(s, pending=20 * (s.at - T0 + 30)) for s in steady(10))
    assert load(pod(growing)).arrivals == pytest.approx(30)
    assert load(pod(growing)).pending == 600
    shrinking = tuple(replace(s, pending=7 * (T0 - s.at)) for s in steady(10))
    assert load(pod(shrinking)).arrivals == pytest.approx(3)
    assert load(pod(tuple(replace(s, pending=20 * (T0 - s.at)) for s in steady(10)))).arrivals == 0


def test_where_triton_tells_no_queue_its_length_is_that_of_littles_law() -> None:
    assert load(pod(tuple(replace(s, pending=None) for s in steady(10)))).pending == pytest.approx(1)


def test_failed_requests_have_arrived() -> None:
    history = tuple(replace(s, counts=replace(s.counts, failed=5 * (s.at - T0 + 1e6))) for s in steady(10))
    assert load(pod(history)).arrivals == pytest.approx(15)
    assert load(pod(history)).completions == pytest.approx(10)


def test_what_a_gateway_has_sent_counts_where_it_is_more() -> None:
    assert load(pod(steady(10)), arrivals=25.0).arrivals == 25
    assert load(pod(steady(10)), arrivals=5.0).arrivals == pytest.approx(10)


def test_a_triton_that_has_begun_anew_counts_from_zero() -> None:
    before = steady(10, until=T0 - 5)
    found = load(pod((*before, Sample(T0, times(SECOND, 20), 0.0))))
    assert found.completions == pytest.approx((50 + 20) / 10)
    assert found.latency_seconds == pytest.approx(0.5)


def test_a_counter_that_goes_back_a_little_is_no_restart() -> None:
    """Thanos changes from one replica of Prometheus to another whose clock is ahead."""
    last = steady(10, until=T0 - 5)[-1]
    found = load(pod((*steady(10, until=T0 - 5), Sample(T0, times(SECOND, 10 * (1e6 - 5.3)), 0.0))))
    assert found.completions == pytest.approx(5)
    assert found.completions < last.counts.succeeded


def test_two_that_scrape_the_same_pod_are_not_added_up() -> None:
    one, other = steady(10, until=T0 - 3), steady(10, until=T0 - 1)
    found = load(pod(one, other))
    assert (found.pods, found.at) == (1, T0 - 1)
    assert found.arrivals == pytest.approx(10)
    assert load(pod(steady(10), steady(until=T0 - 300))).arrivals == pytest.approx(10)  # one has ended


def test_the_clock_of_one_source_says_nothing_about_another() -> None:
    behind = tuple(replace(s, at=s.at - 7) for s in steady(10))
    found = load(pod(behind, steady(10)))
    assert (found.at, found.completions) == (T0, pytest.approx(10))


def test_a_gpu_that_is_asked_now_and_then_is_averaged() -> None:
    history = tuple(replace(s, gpu_utilization=n % 2) for n, s in enumerate(steady(10)))
    assert load(pod(history), pod(steady(10))).gpu_utilization == 0.5


def buckets(*, fast: float, slow: float) -> dict[float, float]:
    return {0.1: fast, 0.5: fast + slow, math.inf: fast + slow}


def test_a_percentile_is_that_of_triton_over_a_minute_and_of_all_pods() -> None:
    def timed(fast: float, slow: float) -> History:
        return tuple(
            replace(
                s, counts=replace(s.counts, buckets=buckets(fast=fast * (s.at - T0 + 99), slow=slow * (s.at - T0 + 99)))
            )
            for s in steady(10, seconds=60)
        )

    found = load(pod(timed(9, 1)), pod(timed(1, 9)), percentile=90)
    assert found.tail_source == "triton"
    assert found.tail_seconds == pytest.approx(0.1 + 0.4 * (0.9 - 0.5) / 0.5)
    by_gateway, _ = load_of([pod(timed(9, 1))], now=T0, percentile=90, tail_seconds=0.7)
    assert by_gateway
    assert (by_gateway.tail_seconds, by_gateway.tail_source) == (0.7, "gateway")


@pytest.mark.parametrize(
    ("counted", "share", "expected"),
    [
        pytest.param({}, 0.95, None, id="nothing"),
        pytest.param({0.1: 50.0, math.inf: 0.0}, 0.5, 0.05, id="cumulative as it must be"),
        pytest.param({0.1: 0.0, math.inf: 0.0}, 0.95, None, id="no requests"),
        pytest.param({0.1: math.nan, math.inf: math.nan}, 0.95, None, id="not a number"),
        pytest.param({0.1: 50.0, 0.2: 100.0}, 0.95, None, id="no bucket for all"),
        pytest.param({0.1: 50.0, 0.2: 100.0, math.inf: 100.0}, 0.95, 0.19, id="within a bucket"),
        pytest.param({0.1: 50.0, 0.2: 60.0, math.inf: 100.0}, 0.95, 0.2, id="beyond the last edge"),
        pytest.param({0.1: 19.0, math.inf: 19.0}, 0.95, None, id="too few for one to be slower"),
        pytest.param({math.inf: 100.0}, 0.95, None, id="no edge at all"),
    ],
)
def test_a_percentile_lies_within_its_bucket(counted: dict[float, float], share: float, expected: float | None) -> None:
    found = quantile(counted, share)
    assert found == (None if expected is None else pytest.approx(expected))


def test_what_is_not_newer_adds_nothing_to_a_history() -> None:
    history = steady()
    for answer in (history, history[::-1], history[:2], ()):
        assert extended(history, answer, now=T0) == history
    assert extended((), history[::-1], now=T0) == history
    assert extended(history[3:], history, now=T0) == history[3:]  # counters add up: nothing is lost by that
    assert extended((), (), now=T0) == ()


def test_a_clock_that_is_ahead_is_not_believed() -> None:
    """Its last sample would look new for long after it has ended, and keep others out."""
    assert extended((), steady(until=T0 + 6), now=T0)[-1].at == T0 + 1
    assert extended((), steady(until=T0 + 5), now=T0)[-1].at == T0 + 5


def test_a_history_keeps_what_is_needed_and_two_samples_in_any_case() -> None:
    long = extended((), steady(seconds=600), now=T0)
    assert long[-1].at - long[0].at == KEPT_SECONDS
    rare = steady(seconds=600, every=300)
    assert extended(rare[:2], rare[2:], now=T0) == rare[1:]


def test_requests_through_a_proxy_are_told_the_same_way() -> None:
    def sent(rate: float, *, until: float = T0) -> tuple[Sent, ...]:
        return tuple(Sent(until - 5 * n, 1000 - 5 * n * rate) for n in range(5, -1, -1))

    assert rate_of([sent(7)], now=T0) == pytest.approx(7)
    assert rate_of([sent(7), sent(7, until=T0 - 2)], now=T0) == pytest.approx(7)
    assert rate_of([sent(7, until=T0 - 60)], now=T0) is None
    assert rate_of([], now=T0) is None
    assert rate_of([(*sent(7, until=T0 - 5), Sent(T0, 30))], now=T0) == pytest.approx((35 + 30) / 10)


NUMBERS = st.floats(allow_nan=True, allow_infinity=True)
COUNTED = [of.name for of in fields(Counts) if of.name != "buckets"]
COUNTS = st.builds(
    Counts,
    **dict.fromkeys(COUNTED, NUMBERS | st.floats(0, 1e9)),
    buckets=st.just({}) | st.builds(buckets, fast=st.floats(0, 1e6), slow=st.floats(0, 1e6)),
)
SAMPLES = st.builds(
    Sample,
    st.floats(T0 - 60, T0 + 20) | NUMBERS,
    COUNTS,
    st.none() | NUMBERS,
    st.none() | NUMBERS,
)
PODS = st.builds(
    lambda since, sources: Pod(since, [extended((), source, now=T0) for source in sources]),
    st.just(0.0) | st.floats(T0 - 60, T0),
    st.lists(st.lists(SAMPLES, max_size=8), max_size=2),
)


@unhurried
@given(st.lists(PODS, max_size=6), st.none() | st.floats(0, 1e6))
def test_whatever_is_scraped_no_number_is_negative_or_none_at_all(pods: list[Pod], arrivals: float | None) -> None:
    found, words = load_of(pods, now=T0, percentile=95, arrivals=arrivals)
    assert found is not None or words
    if found is not None:
        assert 2 * found.pods >= found.pods + found.silent
        numbers = [value for of in fields(found) if isinstance(value := getattr(found, of.name), int | float)]
        assert all(math.isfinite(number) and number >= 0 for number in numbers)


SOUND = st.lists(st.tuples(st.floats(1.6, 20), st.integers(0, 500)), min_size=2, max_size=12)


def told(steps: list[tuple[float, int]]) -> History:
    at, counts, found = T0, times(SECOND, 1e5), []
    for seconds, requests in steps:
        at, counts = at + seconds, counts.plus(times(SECOND, requests))
        found.append(Sample(at, counts, 0.0))
    return tuple(found)


@unhurried
@given(st.data(), SOUND)
def test_neither_the_order_nor_repetition_of_answers_matters(
    data: st.DataObject, steps: list[tuple[float, int]]
) -> None:
    history = told(steps)
    now = history[-1].at
    answer = data.draw(st.permutations([*history, *history]))
    assert extended((), answer, now=now) == extended((), history, now=now)
    assert extended(extended((), history, now=now), answer, now=now) == extended((), history, now=now)


@unhurried
@given(SOUND)
def test_answers_that_overlap_make_the_same_history_as_one(steps: list[tuple[float, int]]) -> None:
    history = told(steps)
    bit: History = ()
    for n, sample in enumerate(history):
        bit = extended(bit, history[max(0, n - 2) : n + 1], now=sample.at)
    assert bit == extended((), history, now=history[-1].at)


@unhurried
@given(SOUND, st.integers(1, 10))
def test_a_restart_never_makes_more_requests_than_there_were(steps: list[tuple[float, int]], cut: int) -> None:
    history = told(steps)
    start = history[min(cut, len(history) - 1)].counts
    anew = tuple(
        s
        if n < cut
        else replace(s, counts=Counts(**{name: getattr(s.counts, name) - getattr(start, name) for name in COUNTED}))
        for n, s in enumerate(history)
    )
    found, _ = load_of([pod(anew)], now=anew[-1].at, percentile=95)
    true, _ = load_of([pod(history)], now=history[-1].at, percentile=95)
    if found and true:
        assert found.arrivals <= true.arrivals * (1 + 1e-6) + 1e-6


@unhurried
@given(SOUND, st.integers(1, 5), st.integers(0, 5))
def test_pods_that_are_silent_never_make_a_load_less(steps: list[tuple[float, int]], ready: int, silent: int) -> None:
    history = told(steps)
    all_report, _ = load_of([pod(history)] * (ready + silent), now=history[-1].at, percentile=95)
    found, words = load_of([pod(history)] * ready + [pod()] * silent, now=history[-1].at, percentile=95)
    if found is None:
        assert all_report is None or silent > ready
        assert words
    else:
        assert all_report
        assert found.arrivals == pytest.approx(all_report.arrivals)
        assert bool(words) == (silent > 0)
