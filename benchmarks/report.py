"""What stands around the numbers of a run: on which machine, when, with which versions.

Not for: the numbers.
"""

import os
import platform
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from benchmarks.api_server import etcd_version
from cluster.processes import CommandFailed, run
from cluster.tools import kubernetes_version

ROOT = Path(__file__).parent.parent


def circumstances() -> str:
    """Describe the run in one paragraph: date, commit, machine, its load, versions."""
    load, _, _ = os.getloadavg()
    parts = [
        datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        f"commit {_commit()}",
        f"{os.cpu_count()} cores{_processor()}, {_gibibytes()} GiB, {_distribution()}",
        f"load average of the machine before the run {load:.1f}, niceness {os.nice(0)}",
        f"Kubernetes {kubernetes_version().removeprefix('v')}, etcd {etcd_version().removeprefix('v')}",
        f"Python {platform.python_version()}, kopf {version('kopf')}, kubernetes {version('kubernetes')}",
        f"triton-operator {version('triton-operator')}",
    ]
    return "; ".join(parts) + "."


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Write a Markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def quantile(values: Sequence[float], share: float) -> float:
    """Pick the smallest value that at least a share of all values do not exceed.

    Args:
        values: one or more.
        share: between 0 and 1, such as 0.99.
    """
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, max(0, -int(-share * len(ordered) // 1) - 1))]


def _commit() -> str:
    try:
        name = run(["git", "-C", ROOT, "rev-parse", "--short", "HEAD"]).strip()
        changed = run(["git", "-C", ROOT, "status", "--porcelain", "--untracked-files=no", "operator"]).strip()
    except CommandFailed:
        return "unknown"
    return f"{name} with changes" if changed else name


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        name, _, value = line.partition(":")
        if name.strip() == "model name":
            return f" of {' '.join(value.split())}"
    return ""


def _gibibytes() -> int:
    total = next(line for line in Path("/proc/meminfo").read_text().splitlines() if line.startswith("MemTotal:"))
    return round(int(total.split()[1]) / 2**20)


def _distribution() -> str:
    return platform.freedesktop_os_release().get("PRETTY_NAME", platform.system())
