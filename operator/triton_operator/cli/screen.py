"""The terminal: colours and progress only where there is one, JSON and YAML where they are asked for.

Not for: what is shown.
"""

import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import fields, is_dataclass
from enum import Enum
from textwrap import fill
from typing import Any

from pydantic.alias_generators import to_camel
from rich.console import Console

from triton_operator.cli.options import Form

# Wide enough for any line: what is piped must not be broken by a width that nobody sees.
PIPED_COLUMNS = 100_000
MOST_COLUMNS = 110


def console() -> Console:
    """Make what draws on standard output."""
    width = None if sys.stdout.isatty() else PIPED_COLUMNS
    return Console(highlight=False, width=width, markup=False, emoji=False)


def columns(screen: Console) -> int | None:
    """Say how wide a terminal is; None where there is none, and lines are not to be broken."""
    return min(screen.width, MOST_COLUMNS) if screen.is_terminal else None


def paragraph(text: str, *, columns: int | None, indent: int = 2) -> str:
    """Break a sentence into indented lines, and end it with one full stop at most."""
    line = f"{text.rstrip('. ')}." if text.endswith(".") else text
    margin = " " * indent
    if columns is None:
        return margin + line
    # A number and its % stay together; names of pods are long and must be whole to be copied.
    together = line.replace(" %", "\N{NO-BREAK SPACE}%")
    broken = fill(
        together,
        columns,
        initial_indent=margin,
        subsequent_indent=margin,
        break_long_words=False,
        break_on_hyphens=False,
    )
    return broken.replace("\N{NO-BREAK SPACE}", " ")


def as_data(value: Any) -> Any:
    """Turn what a command has found into what JSON knows, with the names of Kubernetes' style."""
    if is_dataclass(value) and not isinstance(value, type):
        return {to_camel(field.name): as_data(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, Mapping):
        return {str(key): as_data(each) for key, each in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [as_data(each) for each in value]
    return value


def print_data(value: Any, form: Form) -> None:
    """Print what a command has found as JSON or YAML."""
    data = as_data(value)
    if form == Form.JSON:
        print(json.dumps(data, indent=2, ensure_ascii=False))
        return
    import yaml  # only here: it takes longer to import than the other commands have

    print(yaml.safe_dump(data, sort_keys=False, allow_unicode=True), end="")
