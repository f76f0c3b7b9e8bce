"""What a running Triton says about itself, asked over HTTP from pod to pod.

Not for: inference, nor readiness, which the kubelet probes.
"""

import json
import logging
from urllib.parse import quote

import aiohttp
from yarl import URL

from triton_operator.api import names

ANSWER_SECONDS = 3.0
"""Time limit of one question: a busy server is asked again at the next look."""

_MOST_BYTES = 1 << 18
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
    host = f"[{pod_ip}]" if ":" in pod_ip else pod_ip
    path = f"/v2/models/{quote(model, safe='')}/versions/{quote(str(version), safe='')}/config"
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
            groups = json.loads(data).get("instance_group") or ()
            return frozenset(kind for group in groups if (kind := group.get("kind")) in _KINDS)
    except (aiohttp.ClientError, TimeoutError, ValueError, AttributeError, TypeError) as error:
        _log.debug("Triton at %s gave no configuration of %s: %s", host, model, error)
        return None
