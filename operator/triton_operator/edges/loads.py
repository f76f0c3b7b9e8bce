"""What a Prometheus knows of the load of many services at once: each is one question, however many there are.

Counters of pods and proxies are asked for as they were scraped, with the time of each sample, so that who reads them
sees restarts, gaps, duplicates and what has ended. Only durations come added up: of them shares matter.
Not for: asking (`edges.prometheus`); the counters of a canary (`edges.envoy`).
"""

import math
import re
from collections import defaultdict
from collections.abc import Collection, Container, Iterable, Iterator, Mapping
from typing import Any

from triton_operator.api.counts import Sample, Sent
from triton_operator.edges.counters import NAMES, OWN_LABELS, Model, Series, samples

Json = dict[str, Any]
PodName = tuple[str, str]
"""Namespace and name of a pod."""
Source = frozenset[tuple[str, str]]
"""Labels that tell who has scraped something, and where it was found."""

_POD_LABELS = (
    ("namespace", "pod"),
    ("kubernetes_namespace", "kubernetes_pod_name"),
    ("exported_namespace", "exported_pod"),
    ("k8s_namespace_name", "k8s_pod_name"),
)
"""Labels that name a pod: as the Prometheus Operator gives them, as Prometheus' example of old does, what they become
when another scrape names itself so, and as OpenTelemetry gives them."""
_SENT = "envoy_cluster_upstream_rq_total"
_DURATION = "envoy_cluster_upstream_rq_time_bucket"
_ANY_RULE = "(http|grpc)route/[^/]+/[^/]+/rule/[0-9]+"
_LONGEST = 1500
"""Characters of names in a question, which is part of an address; of more names it asks for all there are."""


def counters_query(models: Collection[str], *, seconds: float) -> str:
    """Write the PromQL for what Tritons have counted.

    Args:
        models: names of the models that matter.
        seconds: how far back.
    """
    matcher = f'__name__=~"({"|".join(NAMES)})(_total)?"'
    alternatives = _alternatives(models)
    if len(alternatives) <= _LONGEST:
        matcher += f',model=~"({alternatives})?"'  # what GPUs do is told of no model
    return f"{{{matcher}}}[{math.ceil(seconds)}s]"


def read_counters(
    series: Iterable[Json], pods: Container[PodName], known: Mapping[tuple[PodName, Source], float]
) -> Iterator[tuple[PodName, Source, list[dict[Model, Sample]]]]:
    """Make samples of the series of pods.

    Args:
        series: what `counters_query` brought.
        pods: those that matter.
        known: the time of the newest sample that is known of each source, in seconds since the epoch.

    Yields:
        The pod, who has scraped it, and of each scrape that is newer the samples of its models.
    """
    scrapes: dict[tuple[PodName, Source], dict[float, list[Series]]] = defaultdict(lambda: defaultdict(list))
    for one in series:
        labels = one["metric"]
        pod = next((pod for pod in _names(labels) if pod in pods), None)
        if pod is None:
            continue
        whose = pod, frozenset(item for item in labels.items() if item[0] not in OWN_LABELS and item[0][:1] != "_")
        newest, name = known.get(whose, -math.inf), labels["__name__"].removesuffix("_total")
        scraped = scrapes[whose]
        for at, value in one.get("values") or ():
            if at > newest:
                scraped[float(at)].append((name, labels, float(value)))
    for (pod, source), scraped in scrapes.items():
        yield pod, source, [samples(told, at) for at, told in scraped.items()]


def sent_query(rules: Collection[str], *, seconds: float) -> str:
    """Write the PromQL for how many requests proxies have sent to the backends of rules.

    Args:
        rules: names of the rules that matter; see `envoy.rules`.
        seconds: how far back.
    """
    return f'{_SENT}{{envoy_cluster_name=~"{_clusters(rules)}"}}[{math.ceil(seconds)}s]'


def read_sent(series: Iterable[Json]) -> Iterator[tuple[str, str, Source, list[Sent]]]:
    """Make samples of what proxies have sent.

    Args:
        series: what `sent_query` brought.

    Yields:
        The backend, by rule and place; the proxy; who has scraped it; and the samples.
    """
    for one in series:
        labels = one["metric"]
        source = frozenset(item for item in labels.items() if item[0] not in ("__name__", "envoy_cluster_name"))
        proxy = next(("/".join(pod) for pod in _names(labels)), labels.get("instance", ""))
        told = [Sent(float(at), float(value)) for at, value in one.get("values") or ()]
        yield labels.get("envoy_cluster_name", ""), proxy, source, told


def durations_query(rules: Collection[str], *, seconds: float) -> str:
    """Write the PromQL for how long requests to the backends of rules took, by bucket.

    Args:
        rules: names of the rules that matter; see `envoy.rules`.
        seconds: over how long.
    """
    chosen = f'{_DURATION}{{envoy_cluster_name=~"{_clusters(rules)}"}}[{math.ceil(seconds)}s]'
    return f"sum by (envoy_cluster_name, le) (increase({chosen}))"


def read_durations(series: Iterable[Json]) -> dict[str, dict[float, float]]:
    """Sort how long requests took.

    Args:
        series: what `durations_query` brought.

    Returns:
        For each backend, by rule and place, how many requests took at most so many seconds.
    """
    found: dict[str, dict[float, float]] = defaultdict(dict)
    for one in series:
        labels, count = one["metric"], float(one["value"][1])
        if "le" in labels and math.isfinite(count):  # NaN: no proxy has told twice
            found[labels.get("envoy_cluster_name", "")][float(labels["le"]) / 1000] = count
    return dict(found)


def _names(labels: Mapping[str, str]) -> Iterator[PodName]:
    """List the pods that labels may name."""
    for namespace, pod in _POD_LABELS:
        if pod in labels:
            yield labels.get(namespace, ""), labels[pod]


def _clusters(rules: Collection[str]) -> str:
    alternatives = _alternatives(rules)
    return f"({alternatives if len(alternatives) <= _LONGEST else _ANY_RULE})/backend/[01]"


def _alternatives(names: Collection[str]) -> str:
    """Write names as one regular expression within a string of PromQL."""
    expression = "|".join(re.escape(name) for name in sorted(names))
    return expression.replace("\\", "\\\\").replace('"', '\\"')
