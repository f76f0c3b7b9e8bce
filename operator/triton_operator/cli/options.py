"""Commands and the options that all of them share, as kubectl has them.

Imports nothing that takes long: a help text is there at once.
Not for: what a command does.
"""

import inspect
import sys
from collections.abc import Callable, Sequence
from enum import StrEnum
from functools import wraps
from typing import Annotated, Any

import typer

from triton_operator.cli.errors import Exit, Trouble
from triton_operator.edges.place import Place

INTERRUPTED = 130  # as a shell has it


class Form(StrEnum):
    """What is printed."""

    TEXT = "text"
    JSON = "json"
    YAML = "yaml"


class Server(StrEnum):
    """Whether a cluster is asked."""

    AUTO = "auto"
    ALWAYS = "always"
    NEVER = "never"


Output = Annotated[Form, typer.Option("--output", "-o", help="What is printed.")]
Name = Annotated[str, typer.Argument(metavar="NAME", help="Name of the InferenceService.")]
Files = Annotated[list[str], typer.Option("--filename", "-f", help="A file, a folder, or - for standard input.")]
Timeout = Annotated[str, typer.Option("--timeout", metavar="TIME", help="How long to wait, such as 90s, 10m or 1h.")]

Namespace = Annotated[str | None, typer.Option("--namespace", "-n", help="Namespace; else that of the context.")]
Context = Annotated[str | None, typer.Option("--context", help="Context of the kubeconfig; else its current one.")]
Kubeconfig = Annotated[str | None, typer.Option("--kubeconfig", metavar="FILE", help="Kubeconfig; else KUBECONFIG.")]
PLACE = {"namespace": Namespace, "context": Context, "kubeconfig": Kubeconfig}
_WITH_VALUE = ("-n", "--namespace", "--context", "--kubeconfig")

Command = Callable[..., Exit]


def command(
    app: typer.Typer, name: str | None = None, *, panel_help: str | None = None
) -> Callable[[Command], Command]:
    """Register a command that is told a `Place`, and gives the exit code.

    Args:
        app: the program.
        name: of the command; None: that of the function.
        panel_help: what it does, in a line; None: the function's docstring.
    """

    def register(function: Command) -> Command:
        own = [p for p in inspect.signature(function).parameters.values() if p.name != "place"]
        shared = [
            inspect.Parameter(word, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=annotation)
            for word, annotation in PLACE.items()
        ]

        @wraps(function)
        def called(
            *positional: Any, namespace: str | None, context: str | None, kubeconfig: str | None, **given: Any
        ) -> None:
            place = Place(kubeconfig=kubeconfig, context=context, namespace=namespace)
            raise typer.Exit(ended(lambda: function(*positional, place=place, **given)))

        called.__signature__ = inspect.Signature([*own, *shared])  # type: ignore[attr-defined]  # read by typer
        called.__annotations__ = {p.name: p.annotation for p in (*own, *shared)}
        app.command(name, help=panel_help)(called)
        return function

    return register


def ended(what: Callable[[], Exit]) -> int:
    """Run a command, tell its trouble in one line, and give the exit code."""
    try:
        return int(what())
    except Trouble as trouble:
        print(f"error: {trouble.message}", file=sys.stderr)
        return int(trouble.code)
    except KeyboardInterrupt:
        return INTERRUPTED


def hoisted(words: Sequence[str]) -> list[str]:
    """Put options that stand before the command behind it, where they are looked for.

    Args:
        words: of the command line, without the program.
    """
    ahead: list[str] = []
    rest = list(words)
    while rest:
        word = rest[0]
        if word in _WITH_VALUE and len(rest) > 1:
            ahead, rest = ahead + rest[:2], rest[2:]
        elif any(word.startswith(f"{option}=") for option in _WITH_VALUE if option.startswith("--")):
            ahead, rest = ahead + rest[:1], rest[1:]
        else:
            break
    return [*rest[:1], *ahead, *rest[1:]] if rest else ahead


def seconds_of(text: str) -> float:
    """Read a time span as kubectl has it, such as 90s, 1h30m or 45.

    Raises:
        Trouble: it is none.
    """
    units = {"h": 3600, "m": 60, "s": 1}
    total, digits = 0.0, ""
    for letter in text.strip():
        if letter.isdigit() or letter == ".":
            digits += letter
        elif letter in units and digits:
            total, digits = total + _number(digits, text) * units[letter], ""
        else:
            raise Trouble(f"{text} is no time; write it as 90s, 10m or 1h", Exit.USAGE)
    if not text.strip():
        raise Trouble("a time must be given, such as 90s, 10m or 1h", Exit.USAGE)
    return total + (_number(digits, text) if digits else 0.0)


def _number(digits: str, text: str) -> float:
    try:
        return float(digits)
    except ValueError:
        raise Trouble(f"{text} is no time; write it as 90s, 10m or 1h", Exit.USAGE) from None
