"""`kubectl triton history`: the revisions that are kept, and what each has changed.

Not for: going back to one; that is the action undo.
"""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from triton_operator.api.names import ANNOTATION_REJECTED, CONTAINER_TRITON, CONTROLLER_REVISION, LABEL_SERVICE
from triton_operator.cli.action import by_use
from triton_operator.cli.errors import Exit
from triton_operator.cli.gathered import connected, read_service
from triton_operator.cli.options import Form
from triton_operator.cli.screen import console, print_data
from triton_operator.cli.service import Service
from triton_operator.cli.words import age
from triton_operator.core.record_text import read_held
from triton_operator.edges.place import Place

Json = dict[str, Any]

COLOURS = {"stable": "green", "canary": "yellow", "rejected": "red"}


@dataclass(frozen=True, slots=True)
class Entry:
    """A revision that is kept.

    Attributes:
        number: the greatest is of the one that was asked for last.
        revision: its name.
        version: of the model; None if it cannot be read.
        state: stable, canary, warm, rejected, or "" for one that only is kept.
        age: how long it exists.
        uri: where the model is.
        image: Triton's image.
        gpus: of one replica.
        digest: stands for the model's files; "" where there is none.
        changes: what differs from the revision that was asked for before it.
        note: why it was rejected; "" if it was not.
    """

    number: int
    revision: str
    version: int | None
    state: str
    age: str
    uri: str
    image: str
    gpus: int
    digest: str
    changes: tuple[str, ...]
    note: str


def history(service: Service, kept: Sequence[Json], *, now: float) -> tuple[Entry, ...]:
    """List the revisions of a service, the one that was asked for last first.

    Args:
        service: the service.
        kept: its ControllerRevisions.
        now: in seconds since the epoch.
    """
    listed = by_use(kept)
    return tuple(_entry(service, body, before, now) for body, before in zip(listed, [*listed[1:], None], strict=True))


def _entry(service: Service, body: Json, before: Json | None, now: float) -> Entry:
    data, name = body.get("data") or {}, str(body["metadata"]["name"])
    model, resolved = data.get("model") or {}, (data.get("resolved") or {}).get("models") or [{}]
    roles = [role for role in ("stable", "canary", "warm") if service.revision(role) == name]
    held = read_held((body["metadata"].get("annotations") or {}).get(ANNOTATION_REJECTED, ""))
    return Entry(
        number=int(body.get("revision", 0)),
        revision=name,
        version=model.get("version"),
        state=roles[0] if roles else "rejected" if held else "",
        age=age(body, now),
        uri=str(model.get("uri", "")),
        image=str(_triton(data).get("image", "")),
        gpus=int(data.get("gpuCount", 0)),
        digest=str(resolved[0].get("digest") or ""),
        changes=changes(before.get("data") or {}, data) if before else (),
        note=f"{held.reason}: {held.message}" if held else "",
    )


def changes(before: Json, after: Json) -> tuple[str, ...]:
    """Say what differs between two revisions, in few words.

    Args:
        before: `data` of the former one's ControllerRevision.
        after: that of the later one.
    """
    found: list[str] = []
    old, new = before.get("model") or {}, after.get("model") or {}
    if old.get("version") != new.get("version"):
        found.append(f"version {old.get('version')} to {new.get('version')}")
    found += [f"model.{field}" for field in ("name", "uri") if old.get(field) != new.get(field)]
    if before.get("gpuCount") != after.get("gpuCount"):
        found.append(f"GPUs {before.get('gpuCount')} to {after.get('gpuCount')}")
    if before.get("resolved") != after.get("resolved") and not found:
        found.append("files of the source")
    one, other = _triton(before), _triton(after)
    found += [field for field in sorted({*one, *other} - {"env"}) if one.get(field) != other.get(field)]
    variables = [{v.get("name"): v for v in of.get("env") or ()} for of in (one, other)]
    named = sorted(str(n) for n in {*variables[0], *variables[1]} if variables[0].get(n) != variables[1].get(n))
    found += [f"env {name}" for name in named]
    if not found and before.get("template") != after.get("template"):
        found.append("pod template")
    return tuple(found)


def _triton(data: Json) -> Json:
    containers = ((data.get("template") or {}).get("spec") or {}).get("containers") or ()
    return next((container for container in containers if container.get("name") == CONTAINER_TRITON), {})


def run(place: Place, *, name: str, form: Form) -> Exit:
    """List the revisions of a service.

    Args:
        place: where.
        name: of the service.
        form: what is printed.
    """
    return asyncio.run(_run(place, name, form))


async def _run(place: Place, name: str, form: Form) -> Exit:
    async with connected(place) as person:
        service = await read_service(person, name)
        selector = f"{LABEL_SERVICE}={service.name}"
        kept = await person.list(CONTROLLER_REVISION, namespace=service.namespace, label_selector=selector)
    entries = history(service, kept, now=time.time())
    if form == Form.TEXT:
        console().print(drawn(entries))
    else:
        print_data(entries, form)
    return Exit.DONE


def drawn(entries: Sequence[Entry]) -> RenderableType:
    """Draw the list."""
    table = Table(box=None, pad_edge=False, header_style="")
    for column in ("NUMBER", "REVISION", "VERSION", "STATE", "AGE", "CHANGES"):
        table.add_column(column, no_wrap=column in ("REVISION", "STATE"))
    for entry in entries:
        table.add_row(
            str(entry.number),
            entry.revision,
            str(entry.version or "?"),
            Text(entry.state, style=COLOURS.get(entry.state, "dim")),
            entry.age,
            Text("; ".join(filter(None, (", ".join(entry.changes), entry.note))), style="dim"),
        )
    return table
