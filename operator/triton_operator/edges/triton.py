"""What a running Triton says about itself, asked over HTTP from pod to pod.

Not for: inference, nor readiness, which the kubelet probes.
"""

import json
import logging
import re
from typing import Any
from urllib.parse import quote

import aiohttp
from yarl import URL

from triton_operator.api import names

ANSWER_SECONDS = 3.0
"""Time limit of one question: a busy server is asked again at the next look."""

_MOST_BYTES = 1 << 18
_COUNTED = {
    ("nv_inference_exec_count", ""): "executions",
    ("nv_inference_request_success", ""): "successes",
    ("nv_inference_request_failure", "BACKEND"): "backend_failures",
}
_COUNTER = re.compile(
    r"^(?P<name>nv_inference_(?:exec_count|request_(?:success|failure)))\{(?P<labels>[^\n]*)\}"
    r" (?P<value>[0-9]+(?:\.[0-9]+)?(?:e[+-]?[0-9]+)?)$",
    re.MULTILINE,
)
_LABEL = re.compile(r'(\w+)="((?:[^"\\]|\\.)*)"')
_KINDS = frozenset({"KIND_AUTO", "KIND_CPU", "KIND_GPU", "KIND_MODEL"})

_log = logging.getLogger(__name__)


async def loaded_kinds(
    pod_ip: str, *, model: str, version: int | str, port: int = names.PORT_HTTP
) -> frozenset[str] | None:
    """Ask on what a model was really loaded, which can differ from what its configuration left open.

    Args:
        pod_ip: the pod's address, IPv4 or IPv6.
        model: the model's name.
        version: the model's version.
        port: Triton's HTTP port.

    Returns:
        The kinds of the model's instance groups, such as "KIND_GPU" (none for an ensemble); None when the pod cannot be
        asked or does not know the model.
    """
    config = await _config(pod_ip, port, model, version)
    if config is None:
        return None
    try:
        groups = config.get("instance_group") or ()
        return frozenset(kind for group in groups if (kind := group.get("kind")) in _KINDS)
    except (AttributeError, TypeError) as error:
        _log.debug("Triton at %s gave no configuration of %s: %s", pod_ip, model, error)
        return None


async def backend_of(pod_ip: str, *, model: str, version: int | str, port: int = names.PORT_HTTP) -> str | None:
    """Ask by which backend a model is run; arguments as of `loaded_kinds`.

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
        For each model and version its executions, successes and backend_failures since Triton began; None when the pod
        cannot be asked.
    """
    data = await _read(pod_ip, port, "/metrics")
    if data is None:
        return None
    found: dict[tuple[str, str], dict[str, float]] = {}
    for match in _COUNTER.finditer(data.decode(errors="replace")):
        labels = dict(_LABEL.findall(match["labels"]))
        name = _COUNTED.get((match["name"], labels.get("reason", "")))
        if name:
            of = found.setdefault((labels.get("model", ""), labels.get("version", "")), {})
            of[name] = of.get(name, 0.0) + float(match["value"])
    return found


async def _read(pod_ip: str, port: int, path: str) -> bytes | None:
    host = f"[{pod_ip}]" if ":" in pod_ip else pod_ip
    limit = aiohttp.ClientTimeout(total=ANSWER_SECONDS)
    try:
        async with (
            aiohttp.ClientSession(timeout=limit, headers={"Accept-Encoding": "identity"}) as session,
            session.get(URL(f"http://{host}:{port}{path}", encoded=True), allow_redirects=False) as answer,
        ):
            if answer.status != 200:
                return None
            data = b""
            async for chunk in answer.content.iter_chunked(1 << 16):  # the image is the user's: it may send anything
                data += chunk
                if len(data) > _MOST_BYTES:
                    return None
            return data
    except (aiohttp.ClientError, TimeoutError, ValueError) as error:
        _log.debug("Triton at %s did not answer to %s: %s", host, path, error)
        return None
