"""What people ask the operator for: which actions there are, and which revision each one means now.

The value of an action's annotation is REVISION/ID. Not for: sending it; that is `cli.acting`.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from triton_operator.api.names import ANNOTATION_REJECTED
from triton_operator.cli.errors import Exit, Trouble
from triton_operator.cli.service import Service
from triton_operator.cli.tree import waits

Json = dict[str, Any]
Choice = Callable[[Service, Sequence[Json]], str]
"""Finds the revision that is meant, from the service and the ControllerRevisions that are kept."""


@dataclass(frozen=True, slots=True)
class Action:
    """One thing to ask for.

    Attributes:
        name: its word.
        choice: finds the revision that is meant where a person names none.
    """

    name: str
    choice: Choice


def _trial(service: Service, kept: Sequence[Json]) -> str:
    if not service.part("rollout") or not service.revision("canary"):
        raise Trouble(f"no canary is on trial: {_state(service)}", Exit.FAILED)
    return service.revision("canary")


def _update(service: Service, kept: Sequence[Json]) -> str:
    if not service.revision("canary") or not service.revision("stable") or service.part("rejected"):
        raise Trouble(f"no update is under way: {_state(service)}", Exit.FAILED)
    return service.revision("canary")


def _rejected(service: Service, kept: Sequence[Json]) -> str:
    return service.revision("rejected") or service.name


def _serving(service: Service, kept: Sequence[Json]) -> str:
    revision = service.revision("stable") or service.revision("canary")
    if not revision:
        raise Trouble(f"no revision has pods that could be restarted: {_state(service)}", Exit.FAILED)
    return revision


def _asked(service: Service, kept: Sequence[Json]) -> str:
    return service.name


def _former(service: Service, kept: Sequence[Json]) -> str:
    """The one that served before: kept warm, or else the one that was asked for last of those not in use."""
    if warm := service.revision("warm"):
        return warm
    used = {service.revision("stable"), service.revision("canary"), service.revision("rejected")}
    others = [body for body in by_use(kept) if body["metadata"]["name"] not in used and not is_rejected(body)]
    if not others:
        raise Trouble(f"no other revision of {service.name} is kept; kubectl triton history lists them", Exit.FAILED)
    return str(others[0]["metadata"]["name"])


ACTIONS: Mapping[str, Action] = {
    action.name: action
    for action in (
        Action("promote", _trial),
        Action("promote-full", _trial),
        Action("skip-step", _trial),
        Action("pause", _trial),
        Action("resume", _trial),
        Action("abort", _update),
        Action("retry", _rejected),
        Action("undo", _former),
        Action("restart", _serving),
        Action("refresh", _asked),
    )
}


def chosen(action: Action, service: Service, kept: Sequence[Json], *, named: str | None) -> str:
    """Find the revision that an action means.

    Args:
        action: the action.
        service: as it is now.
        kept: its ControllerRevisions.
        named: what a person has named: a revision, its number, or for undo a version of the model; None for nothing.

    Raises:
        Trouble: it means none, or another one than was named.
    """
    if action.name == "undo":
        return _named(service, kept, named) if named else action.choice(service, kept)
    now = action.choice(service, kept)
    # For a refresh the service's name stands for whichever revision the spec asks for.
    fitting = {now, service.revision("stable"), service.revision("canary")} if action.name == "refresh" else {now}
    if named and named not in fitting:
        raise Trouble(f"stale: {action.name} concerns revision {now} now, and no longer {named}", Exit.FAILED)
    return named or now


def by_use(kept: Sequence[Json]) -> list[Json]:
    """Sort ControllerRevisions, the one that was asked for last first."""
    return sorted(kept, key=lambda body: int(body.get("revision", 0)), reverse=True)


def is_rejected(body: Json) -> bool:
    """Say whether a ControllerRevision is of a revision that was rejected."""
    return ANNOTATION_REJECTED in (body["metadata"].get("annotations") or {})


def _named(service: Service, kept: Sequence[Json], named: str) -> str:
    for body in by_use(kept):
        name, version = str(body["metadata"]["name"]), ((body.get("data") or {}).get("model") or {}).get("version")
        if named in (name, str(body.get("revision")), f"v{version}"):
            return name
    listed = ", ".join(str(body["metadata"]["name"]) for body in by_use(kept)) or "none"
    raise Trouble(f"no revision {named} of {service.name} is kept; kept are: {listed}", Exit.FAILED)


def answer_of(value: str, events: Sequence[Json]) -> tuple[bool, str] | None:
    """Find the operator's answer to an action.

    Args:
        value: the annotation, KEY=VALUE.
        events: about the service.

    Returns:
        Whether it has done what was asked for, and why not; None while there is no answer.
    """
    ignored = re.compile(re.escape(value) + ": (?P<why>.*)", re.DOTALL)
    for event in events:
        note = str(event.get("note", ""))
        if event.get("reason") == "ActionTaken" and note == value:
            return True, ""
        if event.get("reason") == "ActionIgnored" and (match := ignored.fullmatch(note)):
            return False, match["why"]
    return None


def _state(service: Service) -> str:
    return f"{service.name} is {service.phase}{f' ({words})' if (words := waits(service)) else ''}"
