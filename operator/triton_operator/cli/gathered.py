"""Reading a service and what it is made of, as far as the person may.

Not for: what is told of it; that is `cli.tree` and its neighbours.
"""

import asyncio
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

from triton_operator.api.names import (
    CONTROLLER_REVISION,
    EVENT,
    INFERENCE_SERVICE,
    LABEL_MANAGED_BY,
    LABEL_RESOLVES,
    LABEL_SERVICE,
    OPERATOR,
    POD,
    Kind,
)
from triton_operator.cli.errors import Exit, Trouble, is_missing_kind, told
from triton_operator.cli.service import Service
from triton_operator.edges.errors import ApiError, Forbidden, NotFound
from triton_operator.edges.person import NoLogin, Person
from triton_operator.edges.place import Place

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Seen:
    """A service and what it is made of.

    Attributes:
        service: the service.
        revisions: the ControllerRevisions that keep its revisions.
        pods: its pods, those that look its sources up included.
        unread: what could not be read for want of permission.
    """

    service: Service
    revisions: tuple[Json, ...] = ()
    pods: tuple[Json, ...] = ()
    unread: tuple[str, ...] = ()


@asynccontextmanager
async def connected(place: Place) -> AsyncIterator[Person]:
    """Connect; whatever the API server refuses ends the command in one line.

    Raises:
        Trouble: there is no cluster to ask, or it refuses.
    """
    try:
        async with Person.signed_in(place) as person:
            try:
                yield person
            except ApiError as error:
                raise Trouble(told(error, context=person.context, server=person.server), Exit.UNASKED) from error
    except NoLogin as error:
        raise Trouble(str(error), Exit.UNASKED) from error


async def read_service(person: Person, name: str) -> Service:
    """Read a service of the person's namespace.

    Raises:
        Trouble: there is none of that name; the message names those that are alike.
    """
    try:
        return Service(await person.read_service(namespace=person.namespace, name=name))
    except NotFound as error:
        if is_missing_kind(error):
            raise
    others: list[str] = []
    try:
        listed = await person.list(INFERENCE_SERVICE, namespace=person.namespace)
        others = [str(body["metadata"]["name"]) for body in listed]
    except Forbidden:
        pass
    near = get_close_matches(name, others, n=3) or sorted(others)[:3]
    hint = f"; there are: {', '.join(near)}" if near else "; -n NAMESPACE and --context NAME choose where to look"
    raise Trouble(f"no InferenceService {name} in namespace {person.namespace}{hint}", Exit.UNASKED)


async def gathered(person: Person, names: Sequence[str], *, everywhere: bool = False) -> tuple[Seen, ...]:
    """Read services and what they are made of.

    Args:
        person: the connection.
        names: of the services; none: all of the namespace.
        everywhere: all namespaces.
    """
    namespace = None if everywhere else person.namespace
    if names:
        services = [await read_service(person, name) for name in names]
    else:
        listed = await person.list(INFERENCE_SERVICE, namespace=namespace)
        services = [Service(body) for body in listed]
    if not services:
        return ()
    one = f",{LABEL_SERVICE}={names[0]}" if len(names) == 1 else ""
    ours = f"{LABEL_MANAGED_BY}={OPERATOR}"
    resolving = f"{LABEL_RESOLVES}={names[0]}" if one else LABEL_RESOLVES
    revisions, pods, resolvers = await asyncio.gather(
        _permitted(person, CONTROLLER_REVISION, namespace, ours + one),
        _permitted(person, POD, namespace, f"{ours},{LABEL_SERVICE}" if not one else ours + one),
        _permitted(person, POD, namespace, resolving),
    )
    unread = tuple(kind.plural for kind, found in ((CONTROLLER_REVISION, revisions), (POD, pods)) if found is None)
    return tuple(
        Seen(
            service,
            tuple(_own(service, revisions or (), LABEL_SERVICE)),
            (*_own(service, pods or (), LABEL_SERVICE), *_own(service, resolvers or (), LABEL_RESOLVES)),
            unread,
        )
        for service in sorted(services, key=lambda service: (service.namespace, service.name))
    )


async def events_of(person: Person, service: Service) -> list[Json]:
    """Read the events about a service, oldest first; none where the person may not."""
    selector = f"regarding.name={service.name},regarding.kind={INFERENCE_SERVICE.kind}"
    try:
        found = await person.list(EVENT, namespace=service.namespace, field_selector=selector)
    except Forbidden:
        return []
    uid = service.body["metadata"].get("uid")
    own = [event for event in found if (event.get("regarding") or {}).get("uid") == uid]
    return sorted(own, key=lambda event: str(event.get("eventTime") or event["metadata"]["creationTimestamp"]))


async def _permitted(person: Person, kind: Kind, namespace: str | None, selector: str) -> list[Json] | None:
    try:
        return await person.list(kind, namespace=namespace, label_selector=selector)
    except Forbidden:
        return None


def _own(service: Service, bodies: Iterable[Json], label: str) -> list[Json]:
    return [
        body
        for body in bodies
        if (body["metadata"].get("labels") or {}).get(label) == service.name
        and body["metadata"].get("namespace", "") == service.namespace
    ]
