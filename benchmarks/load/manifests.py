"""The load generator as objects of a cluster: its program as a ConfigMap, and the pod that has it.

Not for: applying them.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

Json = dict[str, Any]

PROGRAM = "load-program"
_FOLDER = "/opt/load"
_FILES = sorted(Path(__file__).parent.glob("*.py"))


def program() -> Json:
    """The program, as it is in this folder."""
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": PROGRAM},
        "data": {path.name: path.read_text(encoding="utf-8") for path in _FILES},
    }


def pod(name: str, image: str, command: Sequence[str]) -> Json:
    """A pod in which `python -m load` runs.

    Args:
        name: of the pod and its container.
        image: with Python, aiohttp and tritonclient; the operator's has them.
        command: what it runs.
    """
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name},
        "spec": {
            "automountServiceAccountToken": False,
            "restartPolicy": "Never",
            "terminationGracePeriodSeconds": 0,
            "securityContext": {
                "runAsNonRoot": True,
                "runAsUser": 1000,
                "seccompProfile": {"type": "RuntimeDefault"},
            },
            "containers": [
                {
                    "name": name,
                    "image": image,
                    "command": list(command),
                    "env": [
                        {"name": "PYTHONPATH", "value": _FOLDER},
                        # The image's packages are not compiled: compiled once, a call takes half the time.
                        {"name": "PYTHONDONTWRITEBYTECODE", "value": ""},
                        {"name": "PYTHONPYCACHEPREFIX", "value": "/tmp/compiled"},
                    ],
                    "resources": {"requests": {"cpu": "20m", "memory": "96Mi"}, "limits": {"memory": "256Mi"}},
                    "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
                    "volumeMounts": [{"name": "program", "mountPath": f"{_FOLDER}/load", "readOnly": True}],
                }
            ],
            "volumes": [{"name": "program", "configMap": {"name": PROGRAM}}],
        },
    }
