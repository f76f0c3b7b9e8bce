"""What PromQL asks for, found by its shape: names of metrics, labels chosen by, labels grouped by.

Not for: whether it is PromQL at all; promtool says that.
"""

import re

_METRIC = re.compile(r"\b((?:triton_operator|nv|envoy)_\w+)\s*(?:\{([^}]*)\})?")
_MATCHER = re.compile(r'(\w+)\s*(?:=~|!~|!=|=)\s*"')
_GROUPED = re.compile(r"\b(?:by|on)\s*\(([^)]*)\)")

OF_TARGETS = frozenset({"job", "instance", "namespace", "pod"})
"""Labels that Prometheus adds, by whatever way it finds its targets."""

_MODEL = frozenset({"model", "version", "inference_service", "revision"})
_GPU = frozenset({"gpu_uuid", "inference_service", "revision"})
TRITON = {
    **{
        f"nv_inference_{name}": _MODEL
        for name in (
            *("request_success", "count", "exec_count", "pending_request_count"),
            *(f"{of}_duration_us" for of in ("queue", "compute_input", "compute_infer", "compute_output")),
        )
    },
    "nv_inference_request_failure": _MODEL | {"reason"},
    **{f"nv_gpu_{name}": _GPU for name in ("utilization", "memory_used_bytes", "memory_total_bytes", "power_usage")},
}
"""Triton's metrics, with the labels that PodMonitors add."""


def asked(text: str) -> dict[str, set[str]]:
    """List the metrics of a query, each with the labels that it is chosen by."""
    found: dict[str, set[str]] = {}
    for name, chosen in _METRIC.findall(_GROUPED.sub("", _without_strings(text))):
        found.setdefault(name, set()).update(_MATCHER.findall(chosen))
    return found


def grouped(text: str) -> set[str]:
    """List the labels that a query is grouped or joined by."""
    return {label.strip() for labels in _GROUPED.findall(text) for label in labels.split(",")}


def _without_strings(text: str) -> str:
    return re.sub(r'"[^"]*"', '""', text)
