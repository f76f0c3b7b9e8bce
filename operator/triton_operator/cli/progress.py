"""`kubectl triton status`: whether a service is what its spec asks for, as an exit code that pipelines can go by.

Not for: why; `cli.explain` tells more.
"""

import asyncio
import sys
import time
from dataclasses import dataclass

from rich.console import Console
from rich.status import Status

from triton_operator.api.status import CANARY_PAUSED
from triton_operator.cli.errors import Exit, Trouble, told
from triton_operator.cli.gathered import connected, read_service
from triton_operator.cli.options import Form
from triton_operator.cli.screen import console, print_data
from triton_operator.cli.service import Service
from triton_operator.cli.tree import waits
from triton_operator.cli.words import duration
from triton_operator.edges.errors import ApiError
from triton_operator.edges.person import Person
from triton_operator.edges.place import Place

LOOK_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a service is.

    Attributes:
        name: of the service.
        phase: in one word.
        reason: of its condition Ready.
        message: in a sentence.
        outcome: done, failed, unfinished, or person for one that waits for a person.
        stable: the revision that serves.
        canary: the revision on its way in.
        weight: percent of the requests that it gets.
    """

    name: str
    phase: str
    reason: str
    message: str
    outcome: str
    stable: str
    canary: str
    weight: int


def outcome(service: Service) -> Exit:
    """Say how far a service is, as an exit code."""
    if service.is_ready:
        return Exit.DONE
    if service.is_stalled:
        return Exit.FAILED
    # A person is waited for: that passes by no time.
    return Exit.PERSON if service.is_looked_at and service.holds(CANARY_PAUSED) else Exit.UNFINISHED


def progress(service: Service) -> Progress:
    """Tell how far a service is."""
    return Progress(
        name=service.name,
        phase=service.phase,
        reason=service.reason,
        message=waits(service) or service.message,
        outcome=outcome(service).name.lower(),
        stable=service.revision("stable"),
        canary=service.revision("canary"),
        weight=int(service.part("canary").get("weight", 0)),
    )


def run(place: Place, *, name: str, watch: bool, seconds: float, form: Form) -> Exit:
    """Tell how far a service is.

    Args:
        place: where.
        name: of the service.
        watch: wait until it is done, has failed, or waits for a person.
        seconds: how long at most; 0: for ever.
        form: what is printed.
    """
    return asyncio.run(_run(place, name, watch, seconds, form))


async def _run(place: Place, name: str, watch: bool, seconds: float, form: Form) -> Exit:
    async with connected(place) as person:
        service, shown = await read_service(person, name), ""
        if watch and outcome(service) == Exit.UNFINISHED:
            service, shown = await _watched(person, service, seconds, silent=form != Form.TEXT)
    code = outcome(service)
    if form != Form.TEXT:
        print_data(progress(service), form)
    else:
        if line(service) != shown:
            print(line(service))
        if watch and code == Exit.UNFINISHED:
            raise Trouble(f"{name} was not done within {duration(seconds)}", code)
    return code


def line(service: Service) -> str:
    """Tell in one line how far a service is."""
    return f"{service.name}: {service.phase}: {waits(service) or service.message}"


async def _watched(person: Person, service: Service, seconds: float, *, silent: bool) -> tuple[Service, str]:
    """Look again and again until it is over, or the time is out; give the last line, too, that was printed."""
    began = time.monotonic()
    screen = console()
    spinner = Status("", console=screen) if screen.is_terminal and not silent else None
    seen: object = None
    shown = ""
    if spinner:
        spinner.start()
    try:
        while outcome(service) == Exit.UNFINISHED and not 0 < seconds <= time.monotonic() - began:
            if spinner:
                spinner.update(_cropped(screen, f"{duration(time.monotonic() - began)}  {line(service)}"))
            elif not silent and seen != (seen := _essence(service)):
                shown = line(service)
                print(shown, flush=True)
            await asyncio.sleep(LOOK_SECONDS)
            service = await _again(person, service)
    finally:
        if spinner:
            spinner.stop()
    return service, shown


async def _again(person: Person, service: Service) -> Service:
    try:
        return await read_service(person, service.name)
    except ApiError as error:
        if error.status and error.status < 500:
            raise
        print(f"warning: {told(error, context=person.context, server=person.server)}", file=sys.stderr)
        return service


def _essence(service: Service) -> object:
    """Give what makes a line worth printing: not that numbers of requests have grown."""
    rollout = service.part("rollout")
    canary = service.part("canary")
    parts = [service.part(role).get("ready") for role in ("stable", "canary")]
    return service.phase, service.reason, rollout.get("step"), canary.get("weight"), parts


def _cropped(screen: Console, text: str) -> str:
    """Fit a line into the terminal; the spinner takes two columns."""
    width = screen.width - 3
    return text if len(text) <= width else f"{text[: width - 1]}…"
