"""`kubectl triton lint`: whether specs in files would be taken, and good practice; offline, and by the cluster too.

Not for: what would change in a cluster; that is `cli.difference`.
"""

import asyncio
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from pydantic import ValidationError
from rich.text import Text

from triton_operator.api.names import API_VERSION, INFERENCE_SERVICE
from triton_operator.api.spec import InferenceServiceSpec
from triton_operator.cli.breaches import breaches, schema
from triton_operator.cli.errors import Exit, Trouble
from triton_operator.cli.files import Document, documents
from triton_operator.cli.gathered import connected
from triton_operator.cli.hints import hints
from triton_operator.cli.options import Form, Server
from triton_operator.cli.screen import columns, console, paragraph, print_data
from triton_operator.cli.words import count
from triton_operator.edges.errors import Invalid, NotFound
from triton_operator.edges.place import Place

Json = dict[str, Any]


class Level(StrEnum):
    """How bad a finding is."""

    ERROR = "error"
    HINT = "hint"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was found.

    Attributes:
        file: where.
        service: in which service.
        field: in which field; "" for the whole.
        level: an error is refused by the API server, a hint is taken.
        message: what it is, and what to do.
    """

    file: str
    service: str
    field: str
    level: Level
    message: str


@dataclass(frozen=True, slots=True)
class Linted:
    """What came out.

    Attributes:
        findings: in the order of the files.
        services: how many were looked at.
        server: what the cluster said of them, or why it was not asked.
    """

    findings: tuple[Finding, ...]
    services: int
    server: str


def lint(document: Document) -> tuple[Finding, ...]:
    """Look at one service, without a cluster."""

    def found(field: str, message: str, level: Level = Level.ERROR) -> Finding:
        return Finding(document.file, document.name, field.removeprefix("."), level, message)

    if document.trouble:
        return (found("", document.trouble),)
    body = document.body
    if body.get("apiVersion") != API_VERSION:
        return (found("apiVersion", f"must be {API_VERSION}"),)
    metadata = body.get("metadata")
    known = body | {"metadata": {"name": metadata.get("name", "") if isinstance(metadata, dict) else ""}}
    known.pop("status", None)
    errors = [found(each.field, each.message) for each in breaches(known, schema(), "")]
    if errors:
        return tuple(errors)
    try:
        spec = InferenceServiceSpec.model_validate(body["spec"])
    except ValidationError as error:
        return tuple(found(".".join(map(str, ("spec", *e["loc"]))), str(e["msg"])) for e in error.errors())
    return tuple(found(hint.field, hint.message, Level.HINT) for hint in hints(spec))


def run(place: Place, *, files: Sequence[str], server: Server, strict: bool, form: Form) -> Exit:
    """Look at files.

    Args:
        place: the cluster that is asked, too.
        files: files, folders, - for standard input.
        server: whether a cluster is asked: if there is one, in any case, or not.
        strict: whether hints count as errors.
        form: what is printed.
    """
    found = documents(files)
    findings = [finding for document in found for finding in lint(document)]
    said = "was not asked"
    if server != Server.NEVER:
        wrong = {(finding.file, finding.service) for finding in findings if finding.level == Level.ERROR}
        whole = [document for document in found if (document.file, document.name) not in wrong]
        try:
            if not whole:
                raise Trouble("nothing here can be applied", Exit.FAILED)
            more, said = asyncio.run(_tried(place, whole))
            findings += more
        except Trouble as trouble:
            if server == Server.ALWAYS and whole:
                raise
            said = f"was not asked: {trouble.message}"
    linted = Linted(tuple(findings), len(found), said)
    if form == Form.TEXT:
        _print(linted)
    else:
        print_data(linted, form)
    bad = [finding for finding in findings if strict or finding.level == Level.ERROR]
    return Exit.FAILED if bad else Exit.DONE


async def _tried(place: Place, found: Sequence[Document]) -> tuple[list[Finding], str]:
    """Let the cluster's API server look at what would be applied."""
    findings: list[Finding] = []
    async with connected(place) as person:
        for document in found:
            namespace = document.body["metadata"].get("namespace") or person.namespace
            try:
                await person.tried(document.body, kind=INFERENCE_SERVICE, namespace=namespace)
            except Invalid as error:
                message = " ".join(error.message.split())
                findings.append(Finding(document.file, document.name, "", Level.ERROR, f"the cluster: {message}"))
            except NotFound as error:
                if "namespaces" not in error.message:
                    raise
                message = f"the cluster has no namespace {namespace}, so that its API server was not asked"
                findings.append(Finding(document.file, document.name, "metadata.namespace", Level.HINT, message))
    return findings, "refuses some of it" if findings else "takes all of it"


def _print(linted: Linted) -> None:
    screen = console()
    width, place = columns(screen), ("", "")
    for finding in linted.findings:
        if place != (place := (finding.file, finding.service)):
            screen.print(Text(f"{finding.file}: {finding.service}", style="bold"))
        style = "red" if finding.level == Level.ERROR else "yellow"
        words = f"{finding.field}: {finding.message}" if finding.field else finding.message
        text = Text(paragraph(f"{finding.level}: {words}", columns=width))
        text.stylize(style, 2, 2 + len(finding.level))
        screen.print(text)
    levels = Counter(finding.level for finding in linted.findings)
    parts = ", ".join(count(levels[level], level) for level in Level)
    screen.print(
        paragraph(f"{count(linted.services, 'service')}: {parts}; the cluster {linted.server}", columns=width, indent=0)
    )
