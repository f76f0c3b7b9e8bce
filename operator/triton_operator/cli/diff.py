"""`kubectl triton diff`: what files would change, on the terminal.

Not for: working it out; that is `cli.difference`.
"""

import asyncio
import json
from collections.abc import Sequence
from typing import Any

from rich.text import Text

from triton_operator.api.names import CONFIG_MAP, CONTROLLER_REVISION, LABEL_SERVICE
from triton_operator.cli.difference import Change, Difference, difference
from triton_operator.cli.errors import Exit, Trouble, is_missing_kind
from triton_operator.cli.files import Document, documents
from triton_operator.cli.gathered import connected
from triton_operator.cli.lint import Level, lint
from triton_operator.cli.options import Form
from triton_operator.cli.screen import columns, console, paragraph, print_data
from triton_operator.cli.service import Service
from triton_operator.core.record_text import KEY, decode
from triton_operator.core.revision import Revision, from_object
from triton_operator.edges.errors import Forbidden, NotFound
from triton_operator.edges.person import Person
from triton_operator.edges.place import Place
from triton_operator.resources.children import record_name

Json = dict[str, Any]


def run(place: Place, *, files: Sequence[str], form: Form) -> Exit:
    """Tell what files would change; the exit code is 1 where they would, as of kubectl diff.

    Args:
        place: where.
        files: files, folders, - for standard input.
        form: what is printed.
    """
    found = documents(files)
    for document in found:
        for finding in lint(document):
            if finding.level == Level.ERROR:
                where = f"{document.file}: {document.name}: {finding.field}"
                raise Trouble(f"{where}: {finding.message}; kubectl triton lint tells more", Exit.USAGE)
    differences = asyncio.run(_run(place, found))
    if form == Form.TEXT:
        for each in differences:
            _print(each)
    else:
        print_data(differences, form)
    return Exit.FAILED if any(each.changes or not each.exists for each in differences) else Exit.DONE


async def _run(place: Place, found: Sequence[Document]) -> list[Difference]:
    async with connected(place) as person:
        return [await _of(person, document) for document in found]


async def _of(person: Person, document: Document) -> Difference:
    namespace = str(document.body["metadata"].get("namespace") or person.namespace)
    try:
        body = await person.read_service(namespace=namespace, name=document.name)
    except NotFound as error:
        if is_missing_kind(error):
            raise
        return difference(document.body["spec"], None, None, {}, name=document.name)
    try:
        kept = await person.get(CONFIG_MAP, namespace=namespace, name=record_name(document.name))
        record = decode(((kept or {}).get("data") or {}).get(KEY, ""))
    except Forbidden:
        record = None
    revisions = await _revisions(person, namespace, document.name)
    return difference(document.body["spec"], Service(body), record, revisions, name=document.name)


async def _revisions(person: Person, namespace: str, name: str) -> dict[str, Revision]:
    try:
        listed = await person.list(CONTROLLER_REVISION, namespace=namespace, label_selector=f"{LABEL_SERVICE}={name}")
    except Forbidden:
        return {}
    return {revision.name: revision for body in listed if (revision := from_object(body))}


def _print(found: Difference) -> None:
    screen = console()
    screen.print(Text(found.name, style="bold"))
    for change in found.changes:
        screen.print(drawn(change))
    for effect in found.effects:
        screen.print(Text(paragraph(effect, columns=columns(screen)), style="cyan"))


def drawn(change: Change) -> Text:
    """Draw one field."""
    if change.before is None:
        return Text(f"  + {change.field}: {_value(change.after)}", style="green")
    if change.after is None:
        return Text(f"  - {change.field}: {_value(change.before)}", style="red")
    return Text(f"  ~ {change.field}: {_value(change.before)} -> {_value(change.after)}", style="yellow")


def _value(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)
