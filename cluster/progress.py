"""Say on the terminal what is being done, and how long it took.

Not for: the output of commands; that goes to log files (`processes`).
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console

console = Console(stderr=True, highlight=False)


@contextmanager
def step(title: str, *, about_seconds: int = 0) -> Iterator[None]:
    """Announce a step, show that it runs, and tell its duration.

    Args:
        title: What is being done, as a phrase.
        about_seconds: How long it usually takes on two cores; 0: not worth telling.
    """
    expected = f" (about {about_seconds} s)" if about_seconds else ""
    begun = time.monotonic()
    try:
        if console.is_terminal:
            with console.status(f"{title}{expected} …"):
                yield
        else:
            console.print(f"  … {title}{expected}", soft_wrap=True)
            yield
    except BaseException:
        console.print(f"[red]failed[/] {title} after {time.monotonic() - begun:.0f} s", soft_wrap=True)
        raise
    console.print(f"[green]done[/] {title} · {time.monotonic() - begun:.0f} s", soft_wrap=True)


def note(message: str) -> None:
    """Print one line about a decision that was taken."""
    console.print(f"     {message}", soft_wrap=True, markup=False)
