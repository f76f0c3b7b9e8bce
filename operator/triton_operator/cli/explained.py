"""`kubectl triton explain`: the answer on the terminal.

Not for: what the answer is; that is `cli.explain`.
"""

import asyncio
import time
from collections.abc import Sequence

from rich.console import Group, RenderableType
from rich.text import Text

from triton_operator.cli.advice import Advice
from triton_operator.cli.drawn import COLOURS
from triton_operator.cli.errors import Exit
from triton_operator.cli.explain import Explanation, explain
from triton_operator.cli.gathered import connected, read_service
from triton_operator.cli.options import Form
from triton_operator.cli.screen import columns, console, paragraph, print_data
from triton_operator.edges.place import Place


def run(place: Place, *, name: str, form: Form) -> Exit:
    """Explain a service.

    Args:
        place: where.
        name: of the service.
        form: what is printed.
    """
    return asyncio.run(_run(place, name, form))


async def _run(place: Place, name: str, form: Form) -> Exit:
    async with connected(place) as person:
        explanation = explain(await read_service(person, name), now=time.time())
    if form == Form.TEXT:
        screen = console()
        screen.print(drawn(explanation, columns=columns(screen)))
    else:
        print_data(explanation, form)
    return Exit.DONE


def drawn(explanation: Explanation, *, columns: int | None) -> RenderableType:
    """Draw an explanation.

    Args:
        explanation: what is to be said.
        columns: of the terminal; None: lines are not broken.
    """
    phase = Text(explanation.phase, style=COLOURS.get(explanation.phase, "yellow"))
    parts: list[Text] = [Text.assemble((explanation.name, "bold"), "  ", phase)]
    for section in explanation.sections:
        parts.append(Text(f"\n{section.title}", style="bold cyan"))
        parts += [Text(paragraph(line, columns=columns)) for line in section.lines]
    if explanation.next:
        parts.append(Text("\nWhat to do next", style="bold cyan"))
        parts += advised(explanation.next, columns=columns)
    return Group(*parts)


def advised(advice: Sequence[Advice], *, columns: int | None) -> list[Text]:
    """Draw what to do next: what is to be changed, then commands with their effects."""
    parts = [Text(paragraph(each.effect, columns=columns)) for each in advice if not each.command]
    for each in advice:
        if each.command:
            parts.append(Text(f"  {each.command}", style="bold"))
            parts.append(Text(paragraph(each.effect, columns=columns, indent=6), style="dim"))
    return parts
