"""What Envoy Gateway's proxies count of the requests to the two backends of a service's HTTPRoute.

A proxy counts each backend apart because each has a filter. The status of gRPC calls is among it only where the
EnvoyProxy has `telemetry.metrics.enableGRPCStats`.
Not for: asking; see `edges.prometheus`.
"""

import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

Json = dict[str, Any]

WINDOW = "2m"
"""How old the last scrape may be."""

_CLUSTER = re.compile(r"httproute/[^/]+/[^/]+/rule/(?P<rule>[01])/backend/(?P<backend>[01])$")
_GRPC = re.compile(r"envoy_cluster_grpc_(?:.+_)?(?P<code>[0-9]+)$")
_SERVER_FAULTS = frozenset({2, 4, 12, 13, 14, 15})
"""UNKNOWN, DEADLINE_EXCEEDED, UNIMPLEMENTED, INTERNAL, UNAVAILABLE, DATA_LOSS: as OpenTelemetry counts a server's."""
_GRPC_RULE = "0"


@dataclass(frozen=True, slots=True)
class Counted:
    """Requests that one proxy has sent to one backend since it began.

    Attributes:
        proxy: names the proxy.
        backend: index of the backend, 0 or 1.
        requests: those that were answered.
        failed: those of them with a status 5xx, or a gRPC status that is a server's fault.
        at: when that was scraped, in seconds since the epoch.
    """

    proxy: str
    backend: int
    requests: int
    failed: int
    at: float


@dataclass(frozen=True, slots=True)
class Reading:
    """What proxies have counted.

    Attributes:
        counted: by proxy and backend.
        grpc_unseen: whether gRPC calls were answered whose status nobody counts.
    """

    counted: tuple[Counted, ...]
    grpc_unseen: bool


def query(namespace: str, route: str) -> str:
    """Write the PromQL for the counters of a route's first two rules.

    Args:
        namespace: the route's namespace.
        route: its name.
    """
    cluster = re.escape(f"httproute/{namespace}/{route}/").replace("\\", "\\\\")
    return (
        '{__name__=~"envoy_cluster_upstream_rq_xx|envoy_cluster_grpc_(.+_)?[0-9]+",'
        f'envoy_cluster_name=~"{cluster}rule/[01]/backend/[01]"}}[{WINDOW}]'
    )


def read(series: Iterable[Json]) -> Reading:
    """Add the series of each proxy and backend up.

    Args:
        series: what `query` brought.
    """
    found: dict[tuple[str, int], list[float]] = defaultdict(lambda: [0.0, 0.0, 0.0])
    calls = told = False
    for one in series:
        labels = one["metric"]
        place = _CLUSTER.match(labels.get("envoy_cluster_name", ""))
        values = one.get("values") or ()
        if place is None or not values:
            continue
        at, value = float(values[-1][0]), float(values[-1][1])
        of = found[_proxy(labels), int(place["backend"])]
        of[2] = max(of[2], at)
        if grpc := _GRPC.match(labels["__name__"]):
            told = True
            of[1] += value if int(grpc["code"]) in _SERVER_FAULTS else 0.0
            continue
        of[0] += value
        kind = labels.get("envoy_response_code_class")
        of[1] += value if kind == "5" else 0.0
        calls = calls or (place["rule"] == _GRPC_RULE and kind == "2" and value > 0)
    for proxy, backend in list(found):  # what a proxy has sent nothing to, it does not list
        of = found[proxy, 1 - backend]
        of[2] = max(of[2], found[proxy, backend][2])
    counted = [
        Counted(proxy, backend, int(requests), min(int(failed), int(requests)), at)
        for (proxy, backend), (requests, failed, at) in sorted(found.items())
    ]
    return Reading(tuple(counted), grpc_unseen=calls and not told)


def _proxy(labels: Json) -> str:
    names: Sequence[str] = ("namespace", "pod", "instance")
    return "/".join(str(labels[name]) for name in names if labels.get(name))
