"""Which requests the routes of a service claim of a Gateway, and who was first where two claim the same.

The Gateway API lets the older of two routes win and tells nobody. Services differ by host names, headers or a path
prefix; HTTP paths do by the model's name as well, gRPC calls do not.
Not for: routes that are not ours; those are for the Gateway to tell of.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from triton_operator.api.routing import Gateway
from triton_operator.resources.children import Owner
from triton_operator.resources.route import GRPC_SERVICES, MODELS, routes

Json = dict[str, Any]
Key = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Claim:
    """All requests of one host name with some headers, below some path, at a Gateway.

    Attributes:
        gateway: namespace and name of the Gateway.
        hostname: a host name; "" for all.
        headers: names, in lower case, and values.
        prefix: the path; "" for none, as with all gRPC calls.
    """

    gateway: Key
    hostname: str
    headers: frozenset[Key]
    prefix: str


@dataclass(frozen=True, slots=True)
class Claims:
    """What a route claims, or several together.

    Attributes:
        listeners: for each claim the listeners, by name and port; "" and 0 for all.
        since: when the first of them was created, as Kubernetes writes it.
    """

    listeners: dict[Claim, frozenset[tuple[str, int]]]
    since: str = ""


def claims_of(route: Json) -> Claims:
    """Read what a route of ours claims.

    Args:
        route: the HTTPRoute or GRPCRoute.
    """
    spec, metadata = route["spec"], route["metadata"]
    namespace = metadata.get("namespace", "")
    found: dict[Claim, frozenset[tuple[str, int]]] = {}
    by_rule: list[list[Json]] = [rule.get("matches") or [{}] for rule in spec.get("rules") or [{}]]
    claimed: dict[str, Json] = {}
    for match in (match for matches in by_rule for match in matches):
        if (prefix := _prefix(match)) is not None:
            claimed.setdefault(prefix, match)  # the first rule's: later ones only narrow it
    for ref in spec.get("parentRefs") or ():
        listener = (ref.get("sectionName", ""), ref.get("port", 0))
        for hostname in spec.get("hostnames") or ("",):
            for prefix, match in claimed.items():
                headers = frozenset((of["name"].lower(), of["value"]) for of in match.get("headers") or ())
                claim = Claim((ref.get("namespace", namespace), ref["name"]), hostname, headers, prefix)
                found[claim] = found.get(claim, frozenset()) | {listener}
    return Claims(found, metadata.get("creationTimestamp", ""))


def joined(claims: Iterable[Claims]) -> Claims:
    """Put together what the routes of one service claim.

    Args:
        claims: at least one.
    """
    found: dict[Claim, frozenset[tuple[str, int]]] = {}
    since = []
    for one in claims:
        since.append(one.since)
        for claim, listeners in one.listeners.items():
            found[claim] = found.get(claim, frozenset()) | listeners
    return Claims(found, min(since))


def wanted_claims(gateway: Gateway, namespace: str) -> Claims:
    """Say what a spec claims.

    Args:
        gateway: its spec.routing.gateway.
        namespace: where the service is.
    """
    owner = Owner("", namespace, "")
    return joined(claims_of(body) for _, body in routes(owner, gateway, model="", backends=[]))


def first(key: Key, wanted: Claims, own: Claims | None, others: Iterable[tuple[Key, Claims]]) -> Key | None:
    """Say which other route claimed first what a spec claims; None if none did.

    Args:
        key: namespace and name of the service.
        wanted: what its spec claims.
        own: what its route claims already, or None.
        others: routes of other services.
    """
    is_written = own is not None and own.listeners == wanted.listeners
    mine = (own.since if own and is_written else "~", key)  # "~" comes after every time
    before = [
        other
        for other, claims in others
        if other != key and (claims.since, other) < mine and _meet(wanted.listeners, claims.listeners)
    ]
    return min(before, default=None)


def _prefix(match: Json) -> str | None:
    """Say what comes before the path of inference in requests; None for those that no other service could mean."""
    path = match.get("path", {}).get("value", "")
    before, found, model = path.partition(MODELS)
    if found:
        return before if "/" not in model else None
    return "" if not path or path.startswith(f"/{GRPC_SERVICES[0]}") else None


def _meet(one: dict[Claim, frozenset[tuple[str, int]]], other: dict[Claim, frozenset[tuple[str, int]]]) -> bool:
    return any(
        (name == other_name or "" in (name, other_name)) and (port == other_port or 0 in (port, other_port))
        for claim in one.keys() & other.keys()
        for name, port in one[claim]
        for other_name, other_port in other[claim]
    )
