"""`kubectl triton`: the commands and their options.

What a command needs is imported when it runs, so that `--help` is quick.
Not for: what the commands do; each has a module of its own.
"""

import sys
from typing import Annotated

import typer

from triton_operator.cli.errors import Exit
from triton_operator.cli.options import Files, Form, Name, Output, Server, Timeout, command, hoisted, seconds_of
from triton_operator.edges.place import Place

ACTIONS = {
    "promote": "End the pause that a canary is at; past the last step, promote it.",
    "promote-full": "Promote a canary at once, whatever step it is at.",
    "skip-step": "Leave out the step that a canary is at.",
    "pause": "Hold a canary where it is.",
    "resume": "Let a paused canary go on.",
    "abort": "End an update: what served before serves on.",
    "retry": "Try a rejected revision, or a source that could not be read, again.",
    "undo": "Go back to a former revision.",
    "restart": "Replace the pods that serve, one by one.",
    "refresh": "Look the sources up again; other files make a new revision.",
}

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="See what Triton services do and why, roll versions out, and check specs and clusters.",
)


@app.callback()
def _program() -> None:
    pass


@command(app)
def get(
    names: Annotated[list[str] | None, typer.Argument(metavar="[NAME]...", help="Services; else all.")] = None,
    *,
    place: Place,
    watch: Annotated[bool, typer.Option("--watch", "-w", help="Go on as they change.")] = False,
    everywhere: Annotated[bool, typer.Option("--all-namespaces", "-A", help="Of all namespaces.")] = False,
    output: Output = Form.TEXT,
) -> Exit:
    """Show services: their revisions, pods, weights and evidence, and why they wait."""
    from triton_operator.cli import get

    return get.run(place, names=names or (), everywhere=everywhere, watch=watch, form=output)


@command(app)
def explain(name: Name, *, place: Place, output: Output = Form.TEXT) -> Exit:
    """Say why: so many replicas, this verdict, this pause, and what to do next."""
    from triton_operator.cli import explained

    return explained.run(place, name=name, form=output)


@command(app)
def status(
    name: Name,
    *,
    place: Place,
    watch: Annotated[bool, typer.Option("--watch", "-w", help="Until it is done, or a person is waited for.")] = False,
    timeout: Timeout = "0s",
    output: Output = Form.TEXT,
) -> Exit:
    """Say how far a service is, for pipelines.

    Exit codes: 0 done, 1 failed, 2 wrong usage, 3 not done yet, or not in time, 4 a canary waits for a person, 5 the
    cluster could not be asked.
    """
    from triton_operator.cli import progress

    return progress.run(place, name=name, watch=watch, seconds=seconds_of(timeout), form=output)


@command(app)
def history(name: Name, *, place: Place, output: Output = Form.TEXT) -> Exit:
    """List the revisions that are kept, what each has changed, and which was rejected."""
    from triton_operator.cli import history

    return history.run(place, name=name, form=output)


@command(app)
def lint(
    files: Files,
    *,
    place: Place,
    server: Annotated[
        Server, typer.Option("--server", help="Ask a cluster, too: where there is one (auto).")
    ] = Server.AUTO,
    strict: Annotated[bool, typer.Option("--strict", help="Hints fail, too.")] = False,
    output: Output = Form.TEXT,
) -> Exit:
    """Check specs in files: fields, bounds and rules offline, good practice, and a dry run where a cluster is."""
    from triton_operator.cli import lint

    return lint.run(place, files=files, server=server, strict=strict, form=output)


@command(app)
def diff(files: Files, *, place: Place, output: Output = Form.TEXT) -> Exit:
    """Say what files would change: fields, whether that makes a new revision, what becomes of pods.

    Exit codes: 0 nothing would change, 1 something would.
    """
    from triton_operator.cli import diff

    return diff.run(place, files=files, form=output)


@command(app)
def doctor(*, place: Place, output: Output = Form.TEXT) -> Exit:
    """Check the cluster: CRD, permissions, operator and leader, Gateways, Prometheus, GPU nodes."""
    from triton_operator.cli import doctor

    return doctor.run(place, form=output)


def _act(action: str, text: str) -> None:
    """Register the command of an action."""
    meant = "--to-revision" if action == "undo" else "--revision"
    help_ = (
        "Where to: a revision, its number, or v and a version; else the one of before."
        if action == "undo"
        else "Only if this is the revision that is concerned."
    )

    def act(
        name: Name,
        *,
        place: Place,
        revision: Annotated[str | None, typer.Option(meant, help=help_)] = None,
        wait: Annotated[bool, typer.Option("--wait/--no-wait", help="For the operator's answer.")] = True,
        timeout: Timeout = "30s",
        output: Output = Form.TEXT,
    ) -> Exit:
        from triton_operator.cli import acting

        seconds = seconds_of(timeout)
        return acting.run(place, action=action, name=name, revision=revision, wait=wait, seconds=seconds, form=output)

    command(app, action, panel_help=text)(act)


for _name, _help in ACTIONS.items():
    _act(_name, _help)


def main() -> None:
    """Run the program."""
    app(args=hoisted(sys.argv[1:]), prog_name="kubectl triton")
