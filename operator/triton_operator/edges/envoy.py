"""What Envoy Gateway's proxies count of the requests to the two backends of a service's routes.

A proxy counts each backend apart because each has a filter. The status of gRPC calls is among it only where the
EnvoyProxy has `telemetry.metrics.enableGRPCStats`.
Not for: asking; see `edges.prometheus`.
"""

import math
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from triton_operator.api.names import Kind

Json = dict[str, Any]

CONTROLLER = "gateway.envoyproxy.io/"
"""How the names of its controllers begin."""
WINDOW = "2m"
"""How old the last scrape may be."""

_CLUSTER = re.compile(r"(?P<rule>(?:http|grpc)route/[^/]+/[^/]+/rule/[0-9]+)/backend/(?P<backend>[01])$")
_GRPC = re.compile(r"envoy_cluster_grpc_(?:.+_)?(?P<code>[0-9]+)$")
_SERVER_FAULTS = frozenset({2, 4, 12, 13, 14, 15})
"""UNKNOWN, DEADLINE_EXCEEDED, UNIMPLEMENTED, INTERNAL, UNAVAILABLE, DATA_LOSS: as OpenTelemetry counts a server's."""
_DURATION = "envoy_cluster_upstream_rq_time_bucket"


@dataclass(frozen=True, slots=True)
class Counted:
    """Requests that one proxy has sent to one backend since it began.

    Attributes:
        proxy: names the proxy.
        backend: index of the backend, 0 or 1.
        requests: those that were answered.
        failed: those of them with a status 5xx, or a gRPC status that is a server's fault.
        at: when that was scraped, in seconds since the epoch.
        timed: those whose duration was counted.
        slow: those of them that took longer than the reading's `edge`.
    """

    proxy: str
    backend: int
    requests: int
    failed: int
    at: float
    timed: int
    slow: int


@dataclass(frozen=True, slots=True)
class Reading:
    """What proxies have counted.

    Attributes:
        counted: by proxy and backend.
        grpc_unseen: whether gRPC calls were answered whose status nobody counts.
        edge: the duration in milliseconds above which requests are slow, the nearest one at or above what was asked for
            that is counted; None where none was asked for, or none is counted.
    """

    counted: tuple[Counted, ...]
    grpc_unseen: bool
    edge: float | None = None


def rules(namespace: str, route: str, counted: Mapping[str, tuple[Kind, int]]) -> dict[str, str]:
    """Say how the proxies name rules.

    Args:
        namespace: namespace of the routes.
        route: their name.
        counted: type of route and place of the rule, by protocol, "http" or "grpc".
    """
    return {
        protocol: f"{kind.kind.lower()}/{namespace}/{route}/rule/{place}" for protocol, (kind, place) in counted.items()
    }


def query(rules: Mapping[str, str], *, timed: bool) -> str:
    """Write the PromQL for the counters of rules.

    Args:
        rules: names of rules, by protocol.
        timed: whether durations matter.
    """
    cluster = "|".join(re.escape(name) for name in rules.values()).replace("\\", "\\\\")
    names = "envoy_cluster_upstream_rq_xx|envoy_cluster_grpc_(.+_)?[0-9]+" + (f"|{_DURATION}" if timed else "")
    return f'{{__name__=~"{names}",envoy_cluster_name=~"({cluster})/backend/[01]"}}[{WINDOW}]'


def read(series: Iterable[Json], rules: Mapping[str, str], *, slow: int | None) -> Reading:
    """Add the series of each proxy and backend up.

    Args:
        series: what `query` brought.
        rules: names of the rules that it asked for, by protocol.
        slow: above which duration in milliseconds requests are slow; None where that does not matter.
    """
    every = [
        (one["metric"], place, float(one["values"][-1][0]), float(one["values"][-1][1]))
        for one in series
        if one.get("values") and (place := _CLUSTER.match(one["metric"].get("envoy_cluster_name", "")))
    ]
    scraped: dict[str, float] = defaultdict(float)
    for labels, _, at, _ in every:
        scraped[_proxy(labels)] = max(at, scraped[_proxy(labels)])
    # What a proxy did not tell in its last scrape has gone, perhaps with the revision that was in this place before.
    latest = [one for one in every if one[2] == scraped[_proxy(one[0])]]
    edges = {float(labels["le"]) for labels, *_ in latest if labels["__name__"] == _DURATION}
    edge = min((e for e in edges if slow is not None and slow <= e < math.inf), default=None)
    found: dict[tuple[str, int], _Sums] = defaultdict(_Sums)
    calls = told = False
    for labels, place, at, value in latest:
        of = found[_proxy(labels), int(place["backend"])]
        of.at = max(of.at, at)
        if labels["__name__"] == _DURATION:
            of.timed += value if float(labels["le"]) == math.inf else 0.0
            of.quick += value if float(labels["le"]) == edge else 0.0
        elif grpc := _GRPC.match(labels["__name__"]):
            told = True
            of.failed += value if int(grpc["code"]) in _SERVER_FAULTS else 0.0
        else:
            of.requests += value
            kind = labels.get("envoy_response_code_class")
            of.failed += value if kind == "5" else 0.0
            calls = calls or (place["rule"] == rules.get("grpc") and kind == "2" and value > 0)
    for proxy, backend in list(found):  # what a proxy has sent nothing to, it does not list
        other = found[proxy, 1 - backend]
        other.at = max(other.at, found[proxy, backend].at)
    counted = tuple(of.counted(proxy, backend, edge) for (proxy, backend), of in sorted(found.items()))
    return Reading(counted, grpc_unseen=calls and not told, edge=edge)


@dataclass(slots=True)
class _Sums:
    requests: float = 0.0
    failed: float = 0.0
    timed: float = 0.0
    quick: float = 0.0
    at: float = 0.0

    def counted(self, proxy: str, backend: int, edge: float | None) -> Counted:
        slow = int(self.timed - self.quick) if edge else 0
        failed = min(int(self.failed), int(self.requests))
        timed = int(self.timed) if edge else 0
        return Counted(proxy, backend, int(self.requests), failed, self.at, timed=timed, slow=slow)


def _proxy(labels: Json) -> str:
    names: Sequence[str] = ("namespace", "pod", "instance")
    return "/".join(str(labels[name]) for name in names if labels.get(name))
