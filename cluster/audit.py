"""What was asked of an API server, read from its audit log.

Not for: whether it had to be allowed; that is `permissions`.
"""

import json
from dataclasses import dataclass
from datetime import datetime
from typing import Any


@dataclass(frozen=True, slots=True)
class Request:
    """One request.

    Attributes:
        user: Who asked.
        verb: Such as `list`; of a path that is no resource the HTTP method.
        group: API group; empty: the core group.
        resource: With its subresource, such as `pods/log`; empty: the path is no resource.
        namespace: Empty: all, or none.
        name: Of the object; empty: all, or not known yet.
        path: What the request named.
        code: HTTP status of the answer.
        allowed: Whether RBAC let it through; what a quota or an admission plugin refused was let through.
        at: When it came.
    """

    user: str
    verb: str
    group: str
    resource: str
    namespace: str
    name: str
    path: str
    code: int
    allowed: bool
    at: datetime


def requests(log: str, *, since: datetime | None = None) -> list[Request]:
    """Read an audit log.

    Args:
        log: An event a line, in any order; a last line that is not whole is left out.
        since: Only what began at this time or later; None: everything.

    Returns:
        The requests, oldest first; one that is noted at several stages stands there once.
    """
    lines = log.splitlines()
    if lines and not log.endswith("\n"):
        lines.pop()
    events: dict[str, dict[str, Any]] = {}
    for event in map(json.loads, lines):
        if since is None or datetime.fromisoformat(event["requestReceivedTimestamp"]) >= since:
            events[event["auditID"]] = event
    return [_request(event) for event in sorted(events.values(), key=lambda event: event["requestReceivedTimestamp"])]


def _request(event: dict[str, Any]) -> Request:
    about = event.get("objectRef") or {}
    parts = (about.get("resource", ""), about.get("subresource", ""))
    return Request(
        user=event["user"]["username"],
        verb=event["verb"],
        group=about.get("apiGroup", ""),
        resource="/".join(part for part in parts if part),
        namespace=about.get("namespace", ""),
        name=about.get("name", ""),
        path=event["requestURI"],
        code=event.get("responseStatus", {}).get("code", 0),
        allowed=event.get("annotations", {}).get("authorization.k8s.io/decision") == "allow",
        at=datetime.fromisoformat(event["requestReceivedTimestamp"]),
    )
