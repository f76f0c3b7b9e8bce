"""Measure how fast models are fetched: `make bench-fetch`, or `python -m benchmarks.fetch [--runs N]`.

An S3 server on loopback holds 2 GB in three shapes. Four programs fetch each shape in turn, each in a process of its
own, from its start to its end: the init container's, a plain parallel read over HTTP, boto3's transfer manager, rclone.
Not for: what a network or a disk gives; here all is in memory, so that the programs themselves are compared.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from benchmarks.report import circumstances, table
from cluster import tools
from cluster.cache import cache_from_environment
from triton_operator.models.request import ENVIRONMENT_VARIABLE

PEERS = Path(__file__).with_name("fetch_peers.py")
KEYS = {"AWS_ACCESS_KEY_ID": "benchmark", "AWS_SECRET_ACCESS_KEY": "benchmark-secret", "AWS_REGION": "us-east-1"}
PORT = 7071
URL = f"http://127.0.0.1:{PORT}"
MIB = 2**20


@dataclass(frozen=True, slots=True)
class Shape:
    """A model: how many files of how many bytes."""

    name: str
    files: int
    size: int

    @property
    def words(self) -> str:
        """For the table."""
        return f"{self.files:,} of {self.size / MIB:.1f} MiB" if self.files > 1 else f"one of {self.size // MIB:,} MiB"


SHAPES = (Shape("four", 4, 512 * MIB), Shape("one", 1, 2048 * MIB), Shape("many", 2000, 100_000))


@dataclass(frozen=True, slots=True)
class Run:
    """One fetch: seconds and the most memory that was resident."""

    seconds: float
    peak_bytes: int


def main() -> None:
    """Run the benchmark and print what is to be committed to docs/benchmarks.md."""
    arguments = argparse.ArgumentParser(
        description="Measure how fast models are fetched from an S3 server on loopback."
    )
    arguments.add_argument("--runs", type=int, default=5, help="rounds, of which medians are shown; default 5")
    runs: int = arguments.parse_args().runs
    around = circumstances()
    programs = _programs()
    with tempfile.TemporaryDirectory(prefix="bench-fetch-") as folder:
        home = Path(folder)
        (home / "data").mkdir()
        options = ["--port", f"127.0.0.1:{PORT}", "--quiet", "--keep-alive"]
        options += ["--access", KEYS["AWS_ACCESS_KEY_ID"], "--secret", KEYS["AWS_SECRET_ACCESS_KEY"]]
        server = subprocess.Popen([programs["versitygw"], *options, "posix", home / "data"], stdout=subprocess.DEVNULL)
        try:
            _put(home)
            rows = [row for shape in SHAPES for row in _measure(shape, programs["rclone"], home, runs=runs)]
        finally:
            server.kill()
            server.wait()
    print(f"\n{around}\n\n{runs} rounds; medians, and the largest memory of all rounds.\n")
    print(table(("files", "program", "seconds", "MiB/s", "speed beside the plain read", "peak memory"), rows))


def _programs() -> Mapping[str, Path]:
    wanted = (tools.S3_SERVER, tools.RCLONE)
    cache = cache_from_environment(os.environ)
    with cache.locked():
        return tools.build(cache, wanted)


def _put(home: Path) -> None:
    """Fill the server, in another process, so that this one stays small: a child's peak counts its parent's."""
    shapes = json.dumps([[shape.name, shape.files, shape.size] for shape in SHAPES])
    subprocess.run([sys.executable, PEERS, "put", URL, shapes, str(home)], env=os.environ | KEYS, check=True)


def _measure(shape: Shape, rclone: Path, home: Path, *, runs: int) -> list[tuple[str, ...]]:
    found: dict[str, list[Run]] = {}
    for round_number in range(runs):
        contestants = list(_commands(shape, rclone, home / "fetched").items())
        turn = round_number % len(contestants)
        for name, (command, environment) in contestants[turn:] + contestants[:turn]:
            run = _fetch(command, environment, home / "fetched", shape)
            print(f"{shape.name} {name}: {run.seconds:.2f} s, {run.peak_bytes / MIB:.0f} MiB", file=sys.stderr)
            found.setdefault(name, []).append(run)
    rows: list[tuple[str, ...]] = []
    for name in _commands(shape, rclone, home):
        measured = found[name]
        seconds = median(run.seconds for run in measured)
        ratios = [plain.seconds / run.seconds for plain, run in zip(found["plain read"], measured, strict=True)]
        peak = max(run.peak_bytes for run in measured)
        share = "—" if name == "plain read" else f"{100 * median(ratios):.0f} %"
        rate = shape.files * shape.size / MIB / seconds
        rows.append((shape.words, name, f"{seconds:.2f}", f"{rate:,.0f}", share, f"{peak / MIB:.0f} MiB"))
    return rows


def _commands(shape: Shape, rclone: Path, target: Path) -> dict[str, tuple[list[str], dict[str, str]]]:
    model = {"name": shape.name, "uri": f"s3://bench/{shape.name}", "version": 1, "source": None}
    model |= {"layout": "directory", "kind": None, "digest": None}
    request = json.dumps({"repository": str(target), "models": [model]})
    peer = [sys.executable, str(PEERS)]
    keys = KEYS | {"AWS_ENDPOINT_URL": URL}
    named = {"RCLONE_S3_PROVIDER": "Other", "RCLONE_S3_ENV_AUTH": "true", "RCLONE_S3_ENDPOINT": URL}
    copy = [str(rclone), "--config", "/dev/null", "copy", f":s3:bench/{shape.name}/1", str(target / shape.name / "1")]
    return {
        "triton-operator": (
            [sys.executable, "-m", "triton_operator.models.prepare"],
            keys | {ENVIRONMENT_VARIABLE: request},
        ),
        "plain read": ([*peer, "plain", URL, f"{shape.name}/1/", str(target / shape.name)], keys),
        "boto3": ([*peer, "boto3", URL, f"{shape.name}/1/", str(target / shape.name)], keys),
        "rclone": ([*copy, "--transfers", "16"], keys | named),
    }


def _fetch(command: list[str], environment: dict[str, str], target: Path, shape: Shape) -> Run:
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir()
    begun = time.monotonic()
    process = subprocess.Popen(command, env=os.environ | environment, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.monotonic() - begun
    files = [path.stat() for path in target.rglob("*") if path.is_file()]
    sizes = [file.st_size for file in files if file.st_blocks * 512 >= file.st_size]  # no holes where nothing was read
    if status or sizes != [shape.size] * shape.files:
        raise SystemExit(f"{command[:3]} ended with {status} and {len(sizes)} files of {sum(sizes)} bytes")
    shutil.rmtree(target)
    return Run(seconds, usage.ru_maxrss * 1024)


if __name__ == "__main__":
    main()
