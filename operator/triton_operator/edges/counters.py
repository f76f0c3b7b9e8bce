"""What Triton's metrics are called, and how those of one scrape make samples; whoever has scraped.

Not for: asking; see `edges.triton` and `edges.loads`. What follows from samples is `core.signals`'.
"""

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from triton_operator.api.counts import Counts, Sample

Model = tuple[str, str]
"""Name and version of a model, as Triton's labels have them."""
Series = tuple[str, Mapping[str, str], float]
"""Name, labels and value of a series."""

_COUNTED = {
    "nv_inference_request_success": "succeeded",
    "nv_inference_request_failure": "failed",
    "nv_inference_exec_count": "executions",
    "nv_inference_count": "inferences",
    "nv_inference_request_duration_us": "request_seconds",
    "nv_inference_queue_duration_us": "queue_seconds",
    "nv_inference_compute_input_duration_us": "compute_seconds",
    "nv_inference_compute_infer_duration_us": "compute_seconds",
    "nv_inference_compute_output_duration_us": "compute_seconds",
}
"""These are always there, and begin at 0 when a model is loaded. With `counter_latencies=false` there are no durations,
and the others stay at 0 whatever happens, so that without any of them nothing is known."""
_CACHED = {
    "nv_cache_num_hits_per_model": "cached",
    "nv_cache_hit_duration_per_model": "cached_seconds",
}
"""Only of models with a response cache. Requests answered from it are among those that succeeded, with their duration,
and among none of the others."""
_PENDING = "nv_inference_pending_request_count"
"""Since 23.09."""
_BUCKET = "nv_inference_first_response_histogram_ms_bucket"
"""Since 26.01, with `histogram_latencies=true`; since 24.12 of decoupled models."""
_UTILIZATION = "nv_gpu_utilization"

NAMES = (*_COUNTED, *_CACHED, _PENDING, _BUCKET, _UTILIZATION)
"""The metrics that are needed."""
OWN_LABELS = frozenset({"__name__", "model", "version", "reason", "le", "gpu_uuid"})
"""Labels that Triton gives; those of `metric_tags` begin with an underscore."""


@dataclass(slots=True)
class _Sums:
    counts: dict[str, float] = field(default_factory=lambda: defaultdict(float))
    buckets: dict[float, float] = field(default_factory=lambda: defaultdict(float))
    pending: float | None = None
    seen: set[str] = field(default_factory=set)

    def total(self) -> Counts:
        """Give what was added up, as whole microseconds until now: so no rounding makes a counter fall."""
        counts = {name: count / 1e6 if name.endswith("_seconds") else count for name, count in self.counts.items()}
        return Counts(**counts, buckets=dict(self.buckets))


def samples(series: Iterable[Series], at: float) -> dict[Model, Sample]:
    """Make samples of what one scrape of one pod has told.

    Args:
        series: its series; others than `NAMES` are passed over, and so are values that are no numbers.
        at: when it was taken, in seconds since the epoch.

    Returns:
        For each version of a model a sample, where all is told that it takes.
    """
    found: dict[Model, _Sums] = defaultdict(_Sums)
    utilization: list[float] = []
    for name, labels, value in series:
        if not math.isfinite(value):
            continue
        if name == _UTILIZATION:
            utilization.append(value)
            continue
        of = found[labels.get("model", ""), labels.get("version", "")]
        if counted := _COUNTED.get(name) or _CACHED.get(name):
            of.seen.add(name)
            of.counts[counted] += value
        elif name == _PENDING:
            of.pending = (of.pending or 0.0) + value
        elif name == _BUCKET:
            of.buckets[_edge(labels)] += value
    gpu = sum(utilization) / len(utilization) if utilization else None
    return {model: Sample(at, of.total(), of.pending, gpu) for model, of in found.items() if _COUNTED.keys() <= of.seen}


def _edge(labels: Mapping[str, str]) -> float:
    """Read the upper edge of a bucket, in seconds."""
    try:
        return float(labels.get("le", "")) / 1000
    except ValueError:
        return math.nan
