"""`kubectl_complete-triton`: what kubectl completes behind `kubectl triton`.

kubectl runs it with the words so far, the last of which may be empty, and reads a suggestion a line, with its
description behind a tab, and a last line with a directive of Cobra's. Whatever goes wrong, nothing is suggested.
Not for: the commands; `cli.program` has them.
"""

import asyncio
import sys
from collections.abc import Iterable, Mapping, Sequence
from enum import StrEnum
from itertools import pairwise
from typing import Any

from triton_operator.cli.options import Form, Server, hoisted
from triton_operator.edges.place import Place

NO_FILES, FILES = 4, 0  # ShellCompDirectiveNoFileComp, ShellCompDirectiveDefault
PATIENCE_SECONDS = 3.0
# Commands that take the name of a service are told by their parameter, these by what their options take.
_OF_CLUSTER = {"--namespace": "namespaces", "-n": "namespaces", "--context": "contexts", "--revision": "revisions"}
_OF_CLUSTER |= {"--to-revision": "revisions"}
_FILES = ("-f", "--filename", "--kubeconfig")
_WORDS: Mapping[str, Iterable[StrEnum]] = {"-o": Form, "--output": Form, "--server": Server}
_PLACE = {"-n": "namespace", "--namespace": "namespace", "--context": "context", "--kubeconfig": "kubeconfig"}


def main() -> None:
    """Print what may follow."""
    suggestions, directive = complete(sys.argv[1:])
    print("\n".join([*suggestions, f":{directive}"]))


def complete(words: Sequence[str]) -> tuple[list[str], int]:
    """Suggest what may follow.

    Args:
        words: those behind `kubectl triton`; the last one is completed.

    Returns:
        Suggestions, each with its description behind a tab, and the directive.
    """
    *given, last = words or [""]
    if given and given[-1] in _FILES:
        return [], FILES
    if given and given[-1] in _WORDS:
        return _begin([str(word.value) for word in _WORDS[given[-1]]], last), NO_FILES
    command = next(iter(hoisted([*given])), "") if given else ""
    if given and (kind := _OF_CLUSTER.get(given[-1])):
        return _begin(_asked(kind, given), last), NO_FILES
    known = _commands()
    if not command or command.startswith("-"):
        return _begin([f"{name}\t{each.get_short_help_str(80)}" for name, each in known.items()], last), NO_FILES
    if command not in known:
        return [], NO_FILES
    parameters = known[command].params
    if last.startswith("-"):
        found = [f"{option}\t{p.help}" for p in parameters if hasattr(p, "help") for option in p.opts if "--" in option]
        return _begin(found, last), NO_FILES
    if any(parameter.name in ("name", "names") for parameter in parameters):
        return _begin(_asked("services", given), last), NO_FILES
    return [], NO_FILES


def _commands() -> dict[str, Any]:
    import typer

    from triton_operator.cli.program import app

    return dict(typer.main.get_command(app).commands)  # type: ignore[attr-defined]  # a group has commands


def _begin(suggestions: Sequence[str], last: str) -> list[str]:
    return [each for each in suggestions if each.startswith(last)]


def _place(given: Sequence[str]) -> Place:
    """Read where to ask from the words so far."""
    found = {_PLACE[word]: value for word, value in pairwise(given) if word in _PLACE}
    found |= {
        _PLACE[w.partition("=")[0]]: w.partition("=")[2] for w in given if w.partition("=")[0] in _PLACE and "=" in w
    }
    return Place(**found)


def _asked(kind: str, given: Sequence[str]) -> list[str]:
    """Ask the cluster, or the kubeconfig, for names; none where that fails or takes long."""
    from triton_operator.cli.errors import Trouble
    from triton_operator.edges.errors import ApiError
    from triton_operator.edges.person import NoLogin, contexts

    place = _place(given)
    try:
        if kind == "contexts":
            return contexts(place)
        return asyncio.run(asyncio.wait_for(_listed(kind, place), PATIENCE_SECONDS))
    except (ApiError, NoLogin, TimeoutError, Trouble, OSError):
        return []


async def _listed(kind: str, place: Place) -> list[str]:
    from triton_operator.api.names import CONTROLLER_REVISION, INFERENCE_SERVICE, LABEL_SERVICE, Kind
    from triton_operator.edges.person import Person

    async with Person.signed_in(place) as person:
        if kind == "namespaces":
            found = await person.list(Kind("", "v1", "Namespace", "namespaces"), namespace=None)
        elif kind == "revisions":
            found = await person.list(CONTROLLER_REVISION, namespace=person.namespace, label_selector=LABEL_SERVICE)
        else:
            found = await person.list(INFERENCE_SERVICE, namespace=person.namespace)
        return sorted(str(body["metadata"]["name"]) for body in found)
