"""Which requests an HTTPRoute claims of a Gateway, and who was first where two claim the same.

The Gateway API lets the older of two routes win and tells nobody. Services differ by host names or by headers; HTTP
paths do by the model's name as well, gRPC calls do not.
Not for: routes that are not ours; those are for the Gateway to tell of.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from triton_operator.api.routing import Gateway

Json = dict[str, Any]
Key = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Claim:
    """All requests of one host name with some headers at a Gateway.

    Attributes:
        gateway: namespace and name of the Gateway.
        hostname: a host name; "" for all.
        headers: names, in lower case, and values.
    """

    gateway: Key
    hostname: str
    headers: frozenset[Key]


@dataclass(frozen=True, slots=True)
class Claims:
    """What one route claims.

    Attributes:
        listeners: for each claim the listeners, by name and port; "" and 0 for all.
        since: when the route was created, as Kubernetes writes it.
    """

    listeners: dict[Claim, frozenset[tuple[str, int]]]
    since: str = ""


def claims_of(route: Json) -> Claims:
    """Read what an HTTPRoute of ours claims.

    Args:
        route: the HTTPRoute.
    """
    spec, metadata = route["spec"], route["metadata"]
    rules = spec.get("rules") or [{}]
    matches = rules[0].get("matches") or [{}]
    headers = [(header["name"], header["value"]) for header in matches[0].get("headers") or ()]
    return _claims(
        spec.get("parentRefs") or (),
        spec.get("hostnames") or (),
        headers,
        namespace=metadata.get("namespace", ""),
        since=metadata.get("creationTimestamp", ""),
    )


def wanted_claims(gateway: Gateway, namespace: str) -> Claims:
    """Say what a spec claims.

    Args:
        gateway: its spec.routing.gateway.
        namespace: where the service is.
    """
    refs = [ref.model_dump(by_alias=True, exclude_none=True) for ref in gateway.parent_refs]
    headers = [(header.name, header.value) for header in gateway.headers or ()]
    return _claims(refs, gateway.hostnames or (), headers, namespace=namespace)


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


def _claims(
    refs: Iterable[Json], hostnames: Iterable[str], headers: Iterable[Key], *, namespace: str, since: str = ""
) -> Claims:
    found: dict[Claim, frozenset[tuple[str, int]]] = {}
    needed = frozenset((name.lower(), value) for name, value in headers)
    for ref in refs:
        listener = (ref.get("sectionName", ""), ref.get("port", 0))
        for hostname in tuple(hostnames) or ("",):
            claim = Claim((ref.get("namespace", namespace), ref["name"]), hostname, needed)
            found[claim] = found.get(claim, frozenset()) | {listener}
    return Claims(found, since)


def _meet(one: dict[Claim, frozenset[tuple[str, int]]], other: dict[Claim, frozenset[tuple[str, int]]]) -> bool:
    return any(
        (name == other_name or "" in (name, other_name)) and (port == other_port or 0 in (port, other_port))
        for claim in one.keys() & other.keys()
        for name, port in one[claim]
        for other_name, other_port in other[claim]
    )
