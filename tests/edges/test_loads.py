"""What is asked of Prometheus for many services, and how its answers and Triton's own become samples."""

import math
from typing import Any

import pytest

from triton_operator.api.counts import Counts, Sample, Sent
from triton_operator.edges import loads, triton
from triton_operator.edges.counters import NAMES, samples

Json = dict[str, Any]

M = ("m", "1")
POD = ("models", "a")
VALUES = {name: float(n) for n, name in enumerate(NAMES[:9], start=1)}
COUNTS = Counts(
    succeeded=1, failed=2, executions=3, inferences=4, request_seconds=5e-6, queue_seconds=6e-6, compute_seconds=24e-6
)


def series(times: list[float], *, values: dict[str, float] = VALUES, **labels: str) -> list[Json]:
    common = {"model": "m", "version": "1", "namespace": "models", "pod": "a"} | labels
    return [
        {"metric": {"__name__": name} | common, "values": [[at, str(value)] for at in times]}
        for name, value in values.items()
    ]


def read(*answers: list[Json], known: dict[Any, float] | None = None) -> list[tuple[Any, set[Any], list[Any]]]:
    found = loads.read_counters([one for answer in answers for one in answer], {POD}, known or {})
    return [(pod, set(source), scrapes) for pod, source, scrapes in found]


def test_each_scrape_is_a_sample_of_its_own() -> None:
    (told,) = read(series([10.5, 15.5], job="x"))
    assert told[0] == POD
    assert told[1] == {("namespace", "models"), ("pod", "a"), ("job", "x")}
    assert told[2] == [{M: Sample(10.5, COUNTS)}, {M: Sample(15.5, COUNTS)}]


@pytest.mark.parametrize(
    "labels",
    [
        {"kubernetes_namespace": "models", "kubernetes_pod_name": "a", "namespace": "other", "pod": "exporter"},
        {"exported_namespace": "models", "exported_pod": "a", "namespace": "other", "pod": "exporter"},
        {"k8s_namespace_name": "models", "k8s_pod_name": "a", "pod": "collector"},
    ],
)
def test_a_pod_is_known_by_whichever_labels_name_it(labels: dict[str, str]) -> None:
    assert [pod for pod, *_ in read(series([1], **labels))] == [POD]


@pytest.mark.parametrize("labels", [{"pod": "b"}, {"namespace": "other"}])
def test_pods_of_others_are_passed_over(labels: dict[str, str]) -> None:
    assert read(series([1], **labels)) == []


def test_who_has_scraped_is_told_by_all_labels_that_are_not_tritons() -> None:
    one, other = read(series([1], replica="a"), series([2], replica="b", _team="x"))
    assert one[1] - other[1] == {("replica", "a")}
    assert other[1] - one[1] == {("replica", "b")}


def test_what_is_known_is_not_read_again() -> None:
    source = frozenset({("namespace", "models"), ("pod", "a")})
    (told,) = read(series([10, 15, 20]), known={(POD, source): 15})
    assert [scrape[M].at for scrape in told[2]] == [20]


def test_names_may_end_as_others_have_them_end() -> None:
    (told,) = read(series([1], values={f"{name}_total": value for name, value in VALUES.items()}))
    assert told[2] == [{M: Sample(1, COUNTS)}]


@pytest.mark.parametrize("name", VALUES)
@pytest.mark.parametrize("value", [math.nan, math.inf, None])
def test_without_any_of_the_counters_nothing_is_known(name: str, value: float | None) -> None:
    values = VALUES | {name: value} if value is not None else {of: n for of, n in VALUES.items() if of != name}
    (told,) = read(series([1], values=values))
    assert told[2] == [{}]


def test_a_version_is_told_from_another_and_failures_are_added_up() -> None:
    other = series([1], values=VALUES | {"nv_inference_count": 9}, version="2")
    failed = series([1], values={"nv_inference_request_failure": 5}, reason="CANCELED")
    (told,) = read(series([1]), other, failed)
    (scrape,) = told[2]
    assert scrape["m", "2"].counts.inferences == 9
    assert scrape[M].counts.failed == 7


async def test_a_page_of_triton_is_read_as_prometheus_reads_it(monkeypatch: pytest.MonkeyPatch) -> None:
    labels = r'model="a \"b\"\\n\n",version="1"'
    lines = [f"{name}{{{labels}}} {value:g}" for name, value in VALUES.items()]
    lines += [f"nv_cache_num_hits_per_model{{{labels}}} 7", f"nv_cache_hit_duration_per_model{{{labels}}} 1e+06"]
    lines += [f"nv_inference_pending_request_count{{{labels}}} 3"]
    lines += [f'nv_inference_first_response_histogram_ms_bucket{{{labels},le="{le}"}} 4' for le in ("100", "+Inf")]
    lines += ['nv_gpu_utilization{gpu_uuid="x"} 0.5', 'nv_gpu_utilization{gpu_uuid="y"} 1', "nv_cpu_utilization 0.3"]
    lines += ["# TYPE x", 'nv_inference_count{model="m",version="1"} NaN']

    async def page(*_: Any) -> bytes:
        return "\n".join(lines).encode()

    monkeypatch.setattr(triton, "_read", page)
    found = await triton.counters("10.0.0.1")
    assert found
    ((model, told),) = found.items()
    assert model == ('a "b"\\n\n', "1")
    assert (told.counts.cached, told.counts.cached_seconds, told.pending, told.gpu_utilization) == (7, 1.0, 3, 0.75)
    assert told.counts.buckets == {0.1: 4, math.inf: 4}


def test_a_bucket_without_an_edge_is_no_sound_sample() -> None:
    labels = {"model": "m", "version": "1"}
    told = [(name, labels, value) for name, value in VALUES.items()]
    found = samples([*told, ("nv_inference_first_response_histogram_ms_bucket", labels, 1.0)], 1.0)
    assert math.isnan(next(iter(found[M].counts.buckets)))


def test_names_in_a_question_are_taken_as_they_are() -> None:
    query = loads.counters_query(['a"b', "m.x", "n\\d"], seconds=29.2)
    assert query.endswith(r'model=~"(a\"b|m\\.x|n\\\\d)?"}[30s]')
    assert loads.sent_query(["httproute/ns/a.b/rule/0"], seconds=30).endswith(
        r'{envoy_cluster_name=~"(httproute/ns/a\\.b/rule/0)/backend/[01]"}[30s]'
    )


def test_a_question_stays_short_however_many_services_there_are() -> None:
    many = [f"{'x' * 50}-{n}" for n in range(200)]
    for query in (
        loads.counters_query(many, seconds=30),
        loads.sent_query(many, seconds=30),
        loads.durations_query(many, seconds=60),
    ):
        assert len(query) < 2500
        assert "xxx" not in query


def test_what_proxies_have_sent_is_told_by_backend_proxy_and_source() -> None:
    labels = {"envoy_cluster_name": "r/backend/0", "namespace": "gw", "pod": "p", "job": "x"}
    (told,) = loads.read_sent([{"metric": labels, "values": [[1, "5"], [2, "7"]]}])
    assert told == (
        "r/backend/0",
        "gw/p",
        frozenset(set(labels.items()) - {("envoy_cluster_name", "r/backend/0")}),
        [Sent(1, 5), Sent(2, 7)],
    )
    (bare,) = loads.read_sent([{"metric": {"envoy_cluster_name": "r/backend/0", "instance": "10.0.0.1:19001"}}])
    assert (bare[1], bare[3]) == ("10.0.0.1:19001", [])


def test_durations_that_nobody_has_counted_are_left_out() -> None:
    told = [("a", "25", "1"), ("a", "+Inf", "2"), ("b", "25", "NaN")]
    answer = [{"metric": {"envoy_cluster_name": of, "le": le}, "value": [1, n]} for of, le, n in told]
    assert loads.read_durations([*answer, {"metric": {}, "value": [1, "3"]}]) == {"a": {0.025: 1, math.inf: 2}}
