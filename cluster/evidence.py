"""Keeping what explains a failed run, wherever it failed: each failure has a folder of its own.

Not for: what is collected; see `diagnosis` and the provider of the cluster.
"""

import os
from pathlib import Path

from cluster import provider
from cluster.processes import ClusterError

_kept: list[str] = []


def keep(name: str) -> str:
    """Collect the logs of the cluster; a cluster that tells nothing is no further failure.

    Args:
        name: of the folder, in `logs` or in $TRITON_OPERATOR_LOGS.

    Returns:
        Where they are, or why there are none.
    """
    folder = Path(os.environ.get("TRITON_OPERATOR_LOGS") or "logs") / name
    try:
        provider.current().collect_logs(folder)
    except (ClusterError, OSError) as error:
        return f"none, as {error}"
    return str(folder.resolve())


def keep_first(name: str) -> str | None:
    """Do the same at the first failure of this process, which is the one to read; None at the others."""
    if _kept:
        return None
    _kept.append(name)
    return keep(name)
