"""What a running Triton says about itself, asked over HTTP from pod to pod.

Not for: inference (`edges.golden`), nor readiness, which the kubelet probes.
"""

import json
import logging
import re
import time
from collections.abc import Collection, Iterator
from typing import Any
from urllib.parse import quote

import aiohttp
from yarl import URL

from triton_operator.api import names
from triton_operator.api.counts import Sample
from triton_operator.api.signature import About, Signature, Tensor
from triton_operator.edges.counters import Model, Series, samples

ANSWER_SECONDS = 3.0
"""Time limit of one question: a busy server is asked again at the next look."""

_MOST_BYTES = 1 << 18
_COUNTED = {
    ("nv_inference_exec_count", ""): "executions",
    ("nv_inference_request_success", ""): "successes",
    ("nv_inference_request_failure", "BACKEND"): "backend_failures",
}
_FAILURE = "nv_inference_request_failure"
_SERIES = re.compile(
    r"^(?P<name>nv_(?:inference|cache|gpu)_[a-z_]+)\{(?P<labels>[^\n]*)\}"
    r" (?P<value>[0-9]+(?:\.[0-9]+)?(?:e[+-]?[0-9]+)?)$",
    re.MULTILINE,
)
_LABEL = re.compile(r'(\w+)="((?:[^"\\]|\\.)*)"')
_ESCAPED = re.compile(r"\\(.)")
_KINDS = frozenset({"KIND_AUTO", "KIND_CPU", "KIND_GPU", "KIND_MODEL"})

_log = logging.getLogger(__name__)


class PodUnreachable(Exception):
    """No answer came from the pod, or one that is not Triton's; it says nothing about the model."""


class NotReady(Exception):
    """Triton answers, and does not know this version of the model, or not yet."""


async def about(pod_ip: str, *, model: str, version: int | str, port: int = names.PORT_HTTP) -> About:
    """Ask what a version of a model is.

    Args:
        pod_ip: the pod's address, IPv4 or IPv6.
        model: the model's name.
        version: the model's version.
        port: Triton's HTTP port.

    Returns:
        What it takes and gives, and on what it was really loaded, which can differ from what its configuration left
        open.

    Raises:
        PodUnreachable: no answer came within 3 s.
        NotReady: the version is not there, or the answer cannot be read.
    """
    path = f"/v2/models/{quote(model, safe='')}/versions/{quote(str(version), safe='')}"
    try:
        metadata = json.loads(await _asked(pod_ip, port, path))
        config = json.loads(await _asked(pod_ip, port, f"{path}/config"))
        groups = config.get("instance_group") or ()
        optional = {tensor["name"] for tensor in config.get("input") or () if tensor.get("optional")}
        return About(
            decoupled=bool((config.get("model_transaction_policy") or {}).get("decoupled")),
            kinds=tuple(sorted({kind for group in groups if (kind := group.get("kind")) in _KINDS})),
            batches="dynamic_batching" in config,
            instances=sum(_instances(group) for group in groups),
            signature=Signature(
                inputs=tuple(_tensor(tensor, optional) for tensor in metadata.get("inputs") or ()),
                outputs=tuple(_tensor(tensor) for tensor in metadata.get("outputs") or ()),
                most_batch=int(config.get("max_batch_size") or 0),
            ),
        )
    except (ValueError, RecursionError, AttributeError, TypeError, KeyError, OverflowError) as error:
        raise NotReady(f"what {pod_ip} says about model {model} cannot be read: {error!r}"[:4096]) from error


def _instances(group: dict[str, Any]) -> int:
    """Count the instances of a group: so many on each of its GPUs."""
    return int(group.get("count") or 1) * max(1, len(group.get("gpus") or ()))


def unreachable(pod_ip: str, port: int, error: object) -> PodUnreachable:
    """Say that a pod does not answer, and what to do."""
    return PodUnreachable(
        f"{_host(pod_ip)}:{port} does not answer: {error}. Let the operator's pod reach the service's pods on ports"
        f" {names.PORT_HTTP} and {names.PORT_GRPC} (NetworkPolicy, mTLS of a mesh)"[:4096]
    )


def _tensor(found: dict[str, Any], optional: Collection[str] = ()) -> Tensor:
    name = str(found["name"])
    return Tensor(name, str(found["datatype"]), tuple(int(size) for size in found["shape"]), name in optional)


async def _asked(pod_ip: str, port: int, path: str) -> bytes:
    try:
        status, data = await _get(pod_ip, port, path)
    except (aiohttp.ClientError, TimeoutError, OSError) as error:
        cause = error.os_error if isinstance(error, aiohttp.ClientConnectorError) else error
        raise unreachable(pod_ip, port, str(cause) or type(cause).__name__) from error
    if status == 200:
        return data
    words = _error(data)
    if words and status in (400, 404):
        raise NotReady(f"Triton at {pod_ip} says: {words}")
    if words:  # an API that the user's arguments restrict
        raise unreachable(pod_ip, port, f"HTTP status {status}: {words}")
    raise unreachable(pod_ip, port, f"HTTP status {status} came from something else than Triton")


def _error(data: bytes) -> str | None:
    """Read what Triton says when it refuses; None if it is not Triton who speaks."""
    try:
        return str(json.loads(data)["error"])[:1024]
    except (ValueError, RecursionError, TypeError, KeyError):
        return None


async def backend_of(pod_ip: str, *, model: str, version: int | str, port: int = names.PORT_HTTP) -> str | None:
    """Ask by which backend a model is run; arguments as of `about`.

    Returns:
        The backend, such as "python"; None when the pod cannot be asked, or does not say.
    """
    config = await _config(pod_ip, port, model, version)
    backend = config.get("backend") if config else None
    return backend if isinstance(backend, str) else None


async def _config(pod_ip: str, port: int, model: str, version: int | str) -> dict[str, Any] | None:
    path = f"/v2/models/{quote(model, safe='')}/versions/{quote(str(version), safe='')}/config"
    data = await _read(pod_ip, port, path)
    try:
        config = json.loads(data or b"null")
    except (ValueError, RecursionError) as error:
        _log.debug("Triton at %s gave no configuration of %s: %s", pod_ip, model, error)
        return None
    return config if isinstance(config, dict) else None


async def serving_counts(
    pod_ip: str, *, port: int = names.PORT_METRICS
) -> dict[tuple[str, str], dict[str, float]] | None:
    """Read how many requests a Triton has executed, answered and failed.

    Args:
        pod_ip: the pod's address, IPv4 or IPv6.
        port: Triton's metrics port.

    Returns:
        For each model and version its executions, successes, failures and, of these, backend_failures since Triton
        began; None when the pod cannot be asked.
    """
    data = await _read(pod_ip, port, "/metrics")
    if data is None:
        return None
    found: dict[tuple[str, str], dict[str, float]] = {}
    for metric, labels, value in _series(data):
        if metric != _FAILURE and (metric, "") not in _COUNTED:
            continue
        reason = labels.get("reason", "")
        of = found.setdefault((labels.get("model", ""), labels.get("version", "")), {})
        if name := _COUNTED.get((metric, reason)):
            of[name] = of.get(name, 0.0) + value
        if metric == _FAILURE and reason != "CANCELED":  # a client that went away is no failure of the model
            of["failures"] = of.get("failures", 0.0) + value
    return found


async def counters(pod_ip: str, *, port: int = names.PORT_METRICS) -> dict[Model, Sample] | None:
    """Read all that a Triton has counted that tells how much is asked of it, and how it does.

    Args:
        pod_ip: the pod's address, IPv4 or IPv6.
        port: Triton's metrics port.

    Returns:
        For each model and version a sample, taken in the middle of question and answer; None when the pod cannot be
        asked.
    """
    asked = time.time()
    data = await _read(pod_ip, port, "/metrics")
    return None if data is None else samples(_series(data), (asked + time.time()) / 2)


def _series(data: bytes) -> Iterator[Series]:
    """List the series of a page of metrics whose values are numbers."""
    for match in _SERIES.finditer(data.decode(errors="replace")):
        labels = {name: _ESCAPED.sub(_unescaped, text) for name, text in _LABEL.findall(match["labels"])}
        yield match["name"], labels, float(match["value"])


def _unescaped(found: re.Match[str]) -> str:
    return "\n" if found[1] == "n" else found[1]


async def _read(pod_ip: str, port: int, path: str) -> bytes | None:
    try:
        status, data = await _get(pod_ip, port, path)
    except (aiohttp.ClientError, TimeoutError, ValueError) as error:
        _log.debug("Triton at %s did not answer to %s: %s", pod_ip, path, error)
        return None
    return data if status == 200 else None


async def _get(pod_ip: str, port: int, path: str) -> tuple[int, bytes]:
    """Get a page; ValueError if it is longer than anything of Triton's that is asked for."""
    limit = aiohttp.ClientTimeout(total=ANSWER_SECONDS)
    async with (
        aiohttp.ClientSession(timeout=limit, headers={"Accept-Encoding": "identity"}) as session,
        session.get(URL(f"http://{_host(pod_ip)}:{port}{path}", encoded=True), allow_redirects=False) as answer,
    ):
        data = b""
        async for chunk in answer.content.iter_chunked(1 << 16):  # the image is the user's: it may send anything
            data += chunk
            if len(data) > _MOST_BYTES:
                raise ValueError(f"more than {_MOST_BYTES} bytes")
        return answer.status, data


def _host(pod_ip: str) -> str:
    return f"[{pod_ip}]" if ":" in pod_ip else pod_ip
