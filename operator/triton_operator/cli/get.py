"""`kubectl triton get`: services as trees, once or as they change.

Not for: what is in a tree; that is `cli.tree`.
"""

import asyncio
import sys
import time
from collections.abc import Sequence

from rich.live import Live
from rich.text import Text

from triton_operator.cli.drawn import drawn
from triton_operator.cli.errors import Exit, told
from triton_operator.cli.gathered import connected, gathered
from triton_operator.cli.options import Form
from triton_operator.cli.screen import as_data, console, print_data
from triton_operator.cli.tree import Tree, tree
from triton_operator.edges.errors import ApiError
from triton_operator.edges.person import Person
from triton_operator.edges.place import Place

LOOK_SECONDS = 1.0


def run(place: Place, *, names: Sequence[str], everywhere: bool, watch: bool, form: Form) -> Exit:
    """Show services.

    Args:
        place: where.
        names: of the services; none: all of the namespace.
        everywhere: of all namespaces.
        watch: go on until interrupted.
        form: what is printed.
    """
    return asyncio.run(_run(place, names, everywhere, watch, form))


async def _run(place: Place, names: Sequence[str], everywhere: bool, watch: bool, form: Form) -> Exit:
    async with connected(place) as person:
        if watch:
            return await _watch(person, names, everywhere, form)
        trees = await _look(person, names, everywhere)
        if form != Form.TEXT:
            print_data(trees, form)
        elif trees:
            console().print(drawn(trees, everywhere=everywhere))
        else:
            print(_nothing(person, everywhere), file=sys.stderr)
        return Exit.DONE


async def _watch(person: Person, names: Sequence[str], everywhere: bool, form: Form) -> Exit:
    trees = await _look(person, names, everywhere)
    screen = console()
    if form == Form.TEXT and screen.is_terminal:
        with Live(console=screen, auto_refresh=False) as live:
            while True:
                shown = drawn(trees, everywhere=everywhere) if trees else Text(_nothing(person, everywhere))
                live.update(shown, refresh=True)
                trees = await _next(person, names, everywhere) or trees
    before: object = None
    while True:
        # Ages alone are no change.
        if (essence := [_ageless(tree) for tree in trees]) != before:
            before = essence
            if form != Form.TEXT:
                print_data(trees, form)
            else:
                screen.print(drawn(trees, everywhere=everywhere))
            sys.stdout.flush()
        trees = await _next(person, names, everywhere) or trees


async def _next(person: Person, names: Sequence[str], everywhere: bool) -> tuple[Tree, ...] | None:
    """Look again after a while; None where the API server does not answer just now."""
    await asyncio.sleep(LOOK_SECONDS)
    try:
        return await _look(person, names, everywhere)
    except ApiError as error:
        if error.status and error.status < 500:
            raise
        print(f"warning: {told(error, context=person.context, server=person.server)}", file=sys.stderr)
        return None


async def _look(person: Person, names: Sequence[str], everywhere: bool) -> tuple[Tree, ...]:
    now = time.time()
    return tuple(tree(seen, now=now) for seen in await gathered(person, names, everywhere=everywhere))


def _nothing(person: Person, everywhere: bool) -> str:
    return "No InferenceServices found." if everywhere else f"No InferenceServices in namespace {person.namespace}."


def _ageless(one: Tree) -> object:
    def without(value: object) -> object:
        if isinstance(value, dict):
            return {key: without(each) for key, each in value.items() if key != "age"}
        return [without(each) for each in value] if isinstance(value, list) else value

    return without(as_data(one))
