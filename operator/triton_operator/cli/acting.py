"""Asking the operator for an action, and waiting for its answer.

The annotation is written only while the service is as it was read, so that a decision about what has changed meanwhile
is never sent. Not for: which revision is meant; that is `cli.action`.
"""

import asyncio
import time
from dataclasses import dataclass
from secrets import token_hex
from typing import Any

from triton_operator.api.names import CONFIG_MAP, CONTROLLER_REVISION, GROUP, INFERENCE_SERVICE, LABEL_SERVICE
from triton_operator.cli.action import ACTIONS, Action, answer_of, chosen
from triton_operator.cli.errors import Exit, Trouble
from triton_operator.cli.gathered import connected, events_of, read_service
from triton_operator.cli.options import Form
from triton_operator.cli.screen import print_data
from triton_operator.cli.service import Service
from triton_operator.cli.tree import waits
from triton_operator.core.record_text import KEY, decode
from triton_operator.edges.errors import Conflict, Forbidden
from triton_operator.edges.person import Person
from triton_operator.edges.place import Place
from triton_operator.resources.children import record_name

Json = dict[str, Any]

TRIES = 10
LOOK_SECONDS = 0.3


@dataclass(frozen=True, slots=True)
class Acted:
    """What became of an action.

    Attributes:
        action: its word.
        service: the service.
        revision: the revision that was meant.
        id: tells this request from others.
        answer: what the operator said.
        state: of the service afterwards, in words.
    """

    action: str
    service: str
    revision: str
    id: str
    answer: str
    state: str


def run(place: Place, *, action: str, name: str, revision: str | None, wait: bool, seconds: float, form: Form) -> Exit:
    """Ask for an action.

    Args:
        place: where.
        action: its word.
        name: of the service.
        revision: the revision that the person means; None: the one that is concerned now.
        wait: whether to wait for the operator's answer.
        seconds: how long at most.
        form: what is printed.
    """
    acted = asyncio.run(_run(place, ACTIONS[action], name, revision, wait, seconds))
    if form != Form.TEXT:
        print_data(acted, form)
    else:
        print(f"{acted.service}: {acted.action} of {acted.revision} {acted.answer}")
        if acted.state:
            print(acted.state)
    return Exit.DONE


async def _run(place: Place, action: Action, name: str, revision: str | None, wait: bool, seconds: float) -> Acted:
    deadline = time.monotonic() + seconds
    id_ = f"{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime())}-{token_hex(3)}"
    async with connected(place) as person:
        service, meant = await _sent(person, action, name, revision, id_, deadline)
        if not wait:
            return Acted(action.name, name, meant, id_, "was asked for", "")
        answer = await _answer(person, service, action, f"{meant}/{id_}", deadline)
        now = await read_service(person, name)
    return Acted(action.name, name, meant, id_, answer, f"{now.phase}: {waits(now) or now.message}")


async def _sent(
    person: Person, action: Action, name: str, revision: str | None, id_: str, deadline: float
) -> tuple[Service, str]:
    """Write the annotation; give the service as it was then, and the revision that is meant."""
    before: str | None = None
    for _ in range(TRIES):
        service = await _looked_at(person, name, deadline)
        meant = chosen(action, service, await _kept(person, service), named=revision)
        if before not in (None, meant):
            raise Trouble(f"stale: {action.name} concerned revision {before}, and meanwhile {meant}", Exit.FAILED)
        before = meant
        try:
            await person.annotate(
                INFERENCE_SERVICE,
                namespace=service.namespace,
                name=name,
                resource_version=service.body["metadata"]["resourceVersion"],
                annotations={f"{GROUP}/{action.name}": f"{meant}/{id_}"},
            )
        except Conflict:
            await asyncio.sleep(LOOK_SECONDS)
            continue
        return service, meant
    raise Trouble(f"{name} changes all the time; try again", Exit.UNFINISHED)


async def _looked_at(person: Person, name: str, deadline: float) -> Service:
    """Read the service once its status is of its present spec."""
    while not (service := await read_service(person, name)).is_looked_at:
        if time.monotonic() > deadline:
            raise Trouble(f"{waits(service)}: kubectl triton doctor tells whether it runs", Exit.UNFINISHED)
        await asyncio.sleep(LOOK_SECONDS)
    return service


async def _kept(person: Person, service: Service) -> list[Json]:
    selector = f"{LABEL_SERVICE}={service.name}"
    try:
        return await person.list(CONTROLLER_REVISION, namespace=service.namespace, label_selector=selector)
    except Forbidden:
        return []


async def _answer(person: Person, service: Service, action: Action, value: str, deadline: float) -> str:
    """Wait for the operator's answer.

    Raises:
        Trouble: it has refused, or there is none in time.
    """
    while True:
        answer = answer_of(f"{GROUP}/{action.name}={value}", await events_of(person, service))
        if answer and answer[0]:
            return "is taken"
        if answer:
            raise Trouble(f"{action.name} was ignored: {answer[1]}", Exit.FAILED)
        if time.monotonic() > deadline:
            if await _is_taken(person, service, action, value):
                return "is taken; the operator's answer is an event, which could not be read"
            raise Trouble(
                f"{action.name} was asked for, and the operator has not answered: kubectl triton doctor tells whether"
                " it runs",
                Exit.UNFINISHED,
            )
        await asyncio.sleep(LOOK_SECONDS)


async def _is_taken(person: Person, service: Service, action: Action, value: str) -> bool:
    try:
        body = await person.get(CONFIG_MAP, namespace=service.namespace, name=record_name(service.name))
    except Forbidden:
        return False
    record = decode(((body or {}).get("data") or {}).get(KEY, ""))
    return record is not None and record.taken.get(action.name) == value
