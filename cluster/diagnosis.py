"""What explains a failed run: objects, events and the operator's log, as files in a folder.

Not for: the nodes' own logs, which the provider of the cluster adds.
"""

from collections.abc import Callable
from pathlib import Path

from cluster.processes import CommandFailed

QUESTIONS = {
    "objects.txt": ("get", "all,configmaps,persistentvolumeclaims", "--all-namespaces", "--output=wide"),
    "services.yaml": ("get", "inferenceservices", "--all-namespaces", "--output=yaml"),
    "events.txt": ("get", "events", "--all-namespaces", "--sort-by=.lastTimestamp"),
    "nodes.txt": ("describe", "nodes"),
    "pods.txt": ("describe", "pods", "--all-namespaces"),
    "operator.log": (
        *("logs", "--all-containers", "--prefix", "--tail=-1", "--all-pods=true"),
        *("--namespace=triton-operator", "deployment/triton-operator"),
    ),
}


def collect(kubectl: Callable[..., str], folder: Path) -> None:
    """Write one file per question; a question that fails leaves its error in the file.

    Args:
        kubectl: Runs kubectl with the words it is given and returns its output.
        folder: Where to; made when missing.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for name, words in QUESTIONS.items():
        try:
            answer = kubectl(*words, timeout_seconds=60)
        except CommandFailed as failed:
            answer = f"{failed}\n"
        (folder / name).write_text(answer)
