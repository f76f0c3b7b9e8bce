"""What explains a failed run: objects, events and the operator's log, as files in a folder.

Not for: the nodes' own logs, which the provider of the cluster adds.
"""

from collections.abc import Callable, Sequence
from pathlib import Path

from cluster.processes import CommandFailed

QUESTIONS = {
    "objects.txt": ("get", "all,configmaps,persistentvolumeclaims", "--all-namespaces", "--output=wide"),
    "services.yaml": ("get", "inferenceservices", "--all-namespaces", "--output=yaml"),
    "events.txt": ("get", "events", "--all-namespaces", "--sort-by=.lastTimestamp"),
    "nodes.txt": ("describe", "nodes"),
    "pods.txt": ("describe", "pods", "--all-namespaces"),
}
OPERATORS = ("get", "deployments", "--all-namespaces", "--selector=app.kubernetes.io/name=triton-operator")
LOGS = ("logs", "--all-containers", "--all-pods=true", "--prefix", "--timestamps", "--tail=-1")


def collect(kubectl: Callable[..., str], folder: Path) -> None:
    """Write one file per question; a question that fails leaves its error in the file.

    Args:
        kubectl: Runs kubectl with the words it is given and returns its output.
        folder: Where to; made when missing.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for name, words in QUESTIONS.items():
        (folder / name).write_text(_answer(kubectl, words))
    each = "{range .items[*]}{.metadata.namespace} {.metadata.name}{'\\n'}{end}"
    for row in _answer(kubectl, (*OPERATORS, f"--output=jsonpath={each}")).splitlines():
        namespace, _, deployment = row.partition(" ")
        log = _answer(kubectl, (*LOGS, f"--namespace={namespace}", f"deployment/{deployment}"))
        (folder / f"operator-{namespace}.log").write_text(log)


def _answer(kubectl: Callable[..., str], words: Sequence[str]) -> str:
    try:
        return kubectl(*words, timeout_seconds=60)
    except CommandFailed as failed:
        return f"{failed}\n"
