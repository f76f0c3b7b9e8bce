"""What Gateways say of a service's routes, and which weights are in them.

Not for: writing routes; `resources.route` builds them.
"""

from collections import Counter
from collections.abc import Iterable
from typing import Any

from triton_operator.core.world import Route
from triton_operator.edges.envoy import CONTROLLER
from triton_operator.resources.route import direct_of, has_filters

Json = dict[str, Any]


def routes_of(bodies: Iterable[Json], *, expected: int) -> Route | None:
    """Read the routes of a service together: while they are not alike, the Gateways have yet to take over one of them.

    Args:
        bodies: the HTTPRoute and the GRPCRoute of a service, as far as they are there.
        expected: how many there are to be.

    Returns:
        What they are; of each weight the lesser one. None where there is none.
    """
    routes = [route_of(body) for body in bodies]
    if not routes:
        return None
    first, *others = routes
    alike = all((of.weights, of.backends, of.direct) == (first.weights, first.backends, first.direct) for of in others)
    return Route(
        {name: min(of.weights.get(name, 0) for of in routes) for name in first.weights},
        first.backends.intersection(*(of.backends for of in others)),
        seen=any(of.seen for of in routes),
        accepted=alike and len(routes) >= expected and all(of.accepted for of in routes),
        trouble=next((of.trouble for of in routes if of.trouble), None),
        direct=first.direct,
        unfiltered=any(of.unfiltered for of in routes),
        uncounted=next((of.uncounted for of in routes if of.uncounted), ""),
    )


def route_of(body: Json) -> Route:
    """Read a route of ours: the weights of its first rule, and what Gateways say of it."""
    parts: Counter[str] = Counter()
    for backend in (body["spec"].get("rules") or [{}])[0].get("backendRefs") or ():
        parts[backend["name"]] += backend.get("weight", 1)
    weights = {name: round(100 * part / (parts.total() or 1)) for name, part in parts.items()}
    namespace, generation = body["metadata"].get("namespace"), body["metadata"].get("generation")
    everybody = (body.get("status") or {}).get("parents") or []
    refs = {_named(ref, namespace) for ref in body["spec"].get("parentRefs") or ()}
    # What was said of parents that the route no longer has may stay for ever.
    parents = [of for of in everybody if _named(of["parentRef"], namespace) in refs]
    told = [condition for parent in parents for condition in parent.get("conditions") or ()]
    said = [condition for condition in told if condition["type"] in ("Accepted", "ResolvedRefs")]
    current = [c for c in said if c.get("observedGeneration") == generation]
    against = [c for c in current if c["status"] != "True"]
    whole = refs <= {_named(of["parentRef"], namespace) for of in parents} and len(current) == 2 * len(parents)
    about = f"the {body['kind']} {body['metadata']['name']}"
    trouble = None
    if against:
        trouble = f"a Gateway says of {about}: {against[0]['reason']}: {against[0].get('message', '')}"[:1024]
    elif not said:
        trouble = f"no Gateway has looked at {about} yet: do those of spec.routing.gateway exist?"
    return Route(
        weights,
        frozenset(+parts),
        seen=any(of.get("conditions") for of in everybody),
        accepted=bool(said) and whole and not against,
        trouble=trouble,
        direct=direct_of(body),
        unfiltered=has_filters(body)
        and any(_is_about_filters(c) for c in told if c.get("observedGeneration") == generation),
        uncounted=next(
            (name for of in parents if not (name := of.get("controllerName", "")).startswith(CONTROLLER)), ""
        ),
    )


def _is_about_filters(condition: Json) -> bool:
    """Say whether a Gateway does not take a route, or a part of it, for a filter or another value."""
    bad = "True" if condition["type"] == "PartiallyInvalid" else "False"
    reasons = ("UnsupportedValue", "IncompatibleFilters", "InvalidFilter")
    about = condition.get("reason") in reasons or "filter" in condition.get("message", "").lower()
    return (
        about and condition["type"] in ("Accepted", "ResolvedRefs", "PartiallyInvalid") and condition["status"] == bad
    )


def _named(ref: Json, namespace: str | None) -> tuple[str, ...]:
    """Name a parent as routes do, each of its fields as its default where it is left out."""
    return (
        ref.get("group", "gateway.networking.k8s.io"),
        ref.get("kind", "Gateway"),
        ref.get("namespace") or namespace or "",
        ref["name"],
        ref.get("sectionName", ""),
        str(ref.get("port", "")),
    )
