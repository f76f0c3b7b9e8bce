"""How requests to the Kubernetes API are written and its refusals read.

Not for: sending them; that is `edges.kubernetes`.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NoReturn
from urllib.parse import quote

import aiohttp

from triton_operator.api.names import Kind
from triton_operator.edges.errors import api_error

_NOT_IN_YAML = re.compile("[\x7f-\x9f\u2028\u2029\ufeff\ufffe\uffff]")


@dataclass(frozen=True, slots=True)
class Request:
    """What is sent to the API server; parameters that are empty are left out of the query."""

    method: str
    path: str
    query: Mapping[str, str] = field(default_factory=dict)
    body: dict[str, Any] | None = None
    content_type: str = "application/json"
    accept: str = "application/json"


def as_yaml(body: dict[str, Any]) -> str:
    """Print a body as JSON that is YAML too: characters as they are, save those that YAML does not take."""
    return _NOT_IN_YAML.sub(lambda found: f"\\u{ord(found[0]):04x}", json.dumps(body, ensure_ascii=False))


def group_path(kind: Kind) -> str:
    """Give the path of a type's API group and version."""
    return f"/apis/{kind.group}/{kind.version}" if kind.group else f"/api/{kind.version}"


def path(kind: Kind, *, namespace: str | None, name: str | None = None, subresource: str | None = None) -> str:
    """Give the path of a type, or of one object, or of a part of one; every name is quoted."""
    parts = [group_path(kind)]
    if namespace is not None:
        parts += ["namespaces", quote(namespace, safe="")]
    parts.append(kind.plural)
    for part in (name, subresource):
        if part is not None:
            parts.append(quote(part, safe=""))
    return "/".join(parts)


def refuse(response: aiohttp.ClientResponse, data: bytes) -> NoReturn:
    """Raise the error that an answer stands for.

    Args:
        response: an answer with status 400 or more.
        data: its body, a Status object where the API server itself has written it.

    Raises:
        ApiError: always; the subclass that fits.
    """
    try:
        answer = json.loads(data)
    except ValueError:
        answer = None
    status = answer if isinstance(answer, dict) else {}
    try:
        retry_after = float(int(response.headers["Retry-After"]))
    except (KeyError, ValueError, OverflowError):  # it may also be a date, which the API server does not write
        retry_after = None
    raise api_error(
        status=response.status,
        reason=status.get("reason") or response.reason or "Unknown",
        message=status.get("message") or data[:200].decode("utf-8", errors="replace") or "no message",
        retry_after=retry_after,
    )
