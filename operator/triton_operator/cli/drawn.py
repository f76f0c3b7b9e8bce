"""Trees as text with colours.

Not for: what is in them; that is `cli.tree`.
"""

from collections.abc import Sequence

from rich.console import Group, RenderableType
from rich.text import Text
from rich.tree import Tree as Drawing

from triton_operator.cli.tree import Branch, Pod, Tree

MOST_PODS = 10
COLOURS = {
    "Ready": "green",
    "Suspended": "dim",
    "Degraded": "red",
    "Failed": "red",
    "Updating": "yellow",
    "Loading": "yellow",
    "Pending": "yellow",
}
BAR = 20


def drawn(trees: Sequence[Tree], *, everywhere: bool) -> RenderableType:
    """Draw trees one below the other.

    Args:
        trees: of the services.
        everywhere: whether they are of several namespaces.
    """
    return Group(*(_service(tree, everywhere=everywhere) for tree in trees))


def _service(tree: Tree, *, everywhere: bool) -> Drawing:
    colour = COLOURS.get(tree.phase, "yellow")
    head = Text(f"{tree.namespace}/{tree.name}" if everywhere else tree.name, style="bold")
    head += Text("  ") + Text(tree.phase, style=colour)
    if tree.reason and tree.reason != tree.phase:
        head += Text(f" ({tree.reason})", style=colour)
    root = Drawing(head + Text(f"  {tree.age}", style="dim"), guide_style="dim")
    for branch in tree.revisions:
        _pods(root.add(_branch(branch, tree.waits)), branch.pods, tree.waits)
    if tree.resolvers:
        _pods(root.add(Text("looks sources up")), tree.resolvers, tree.waits)
    if tree.evidence:
        verdict = root.add(Text(tree.evidence[0], style="cyan"))
        for line in tree.evidence[1:]:
            verdict.add(Text(line, style="dim"))
    if tree.replicas:
        root.add(Text("replicas ") + Text(tree.replicas, style="dim"))
    if tree.waits:
        root.add(Text("paused: " if tree.paused else "waits: ", style="bold") + Text(tree.waits, style=colour))
    for kind in tree.unread:
        root.add(Text(f"no permission to list {kind}", style="dim"))
    return root


def _branch(branch: Branch, told: str) -> Text:
    colours = {"stable": "green", "canary": "yellow", "new": "yellow", "rejected": "red"}
    line = Text(branch.role, style=colours.get(branch.role, "dim")) + Text(f" {branch.name}")
    if branch.version:
        line += Text(f"  version {branch.version}")
    if branch.replicas or branch.role != "rejected":
        line += Text(f"  {branch.ready}/{branch.replicas} ready")
    if branch.weight is not None:
        part = round(branch.weight * BAR / 100)
        line += Text(f"  {branch.weight} % ") + Text("█" * part, style=colours.get(branch.role, "dim"))
        line += Text("░" * (BAR - part), style="dim")
    reason, _, words = branch.note.partition(": ")
    note = reason if words and words in told else branch.note
    return line + Text(f"  {note}", style="dim") if note else line


def _pods(parent: Drawing, pods: Sequence[Pod], told: str) -> None:
    """Add pods, without the troubles that are told already."""
    for pod in pods[:MOST_PODS]:
        line = Text(pod.name) + Text(
            f"  {pod.state}", style="green" if pod.ready else "red" if pod.trouble else "yellow"
        )
        if pod.restarts:
            line += Text(f"  {pod.restarts} restarts", style="yellow")
        line += Text("".join(f"  {word}" for word in (pod.node, pod.age) if word), style="dim")
        child = parent.add(line)
        if pod.trouble and pod.trouble not in told:
            child.add(Text(pod.trouble, style="red"))
    if (more := len(pods) - MOST_PODS) > 0:
        parent.add(Text(f"and {more} more", style="dim"))
