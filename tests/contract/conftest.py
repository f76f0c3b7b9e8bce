"""A real tritonserver for contract tests: the CPU build of the PyPI wheel, on loopback, one process per repository.

It is built once into the user's cache, by the hash of its lock file. Linux on x86-64, Python 3.11 or 3.12.
"""

import ctypes.util
import hashlib
import os
import shutil
import socket
import subprocess
import sys
import sysconfig
import tempfile
import time
import urllib.error
import urllib.request
import venv
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from cluster.processes import bound_to_us

LOCK = Path(__file__).with_name("tritonserver.lock")
START_SECONDS = 120
STOP_SECONDS = 40
ATTEMPTS = 3  # a free port may be taken by another process before the server binds it


class TritonExitedError(Exception):
    """The server ended by itself; the text is its whole log."""


@dataclass(frozen=True, slots=True)
class TritonServer:
    """A running server that answers requests; `http`, `grpc` and `metrics` are host:port."""

    process: subprocess.Popen[bytes]
    http: str
    grpc: str
    metrics: str
    log_file: Path

    @property
    def log(self) -> str:
        return self.log_file.read_text(errors="replace")

    def stop(self) -> int:
        """End the server as the kubelet does, and return its exit code."""
        self.process.terminate()
        try:
            return self.process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            return self.process.wait()


@pytest.fixture(scope="session")
def triton_distribution() -> Path:
    """A virtual environment with the server's files, built when it is not there.

    It is an environment of its own because the python backend wants numpy 1 and does not read PYTHONPATH: its stub
    takes the environment of the first python3 in PATH.
    """
    python = f"{sys.version_info.major}.{sys.version_info.minor}"
    recipe = LOCK.read_bytes() + python.encode() + b"2"
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "triton-operator"
    target = cache / f"tritonserver-{hashlib.sha256(recipe).hexdigest()[:16]}"
    if target.is_dir():
        return target
    cache.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=cache, prefix="tritonserver-partial-") as partial:
        built = Path(partial) / "built"
        venv.create(built, symlinks=True)
        site = _site_packages(built)
        command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--only-binary=:all:"]
        command += ["--require-hashes", "--disable-pip-version-check", "--target", str(site), "-r", str(LOCK)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            pytest.fail(
                f"tritonserver cannot be installed (Python 3.11 or 3.12 is needed):\n{done.stderr}", pytrace=False
            )
        triton = site / "pytriton" / "tritonserver"
        shutil.copytree(triton / "python_backend_stubs" / python, triton / "backends" / "python", dirs_exist_ok=True)
        try:
            built.rename(target)
        except OSError:  # another run was faster
            if not target.is_dir():
                raise
    return target


@pytest.fixture
def tritonserver(triton_distribution: Path, tmp_path: Path) -> Iterator[Callable[..., TritonServer]]:
    """Start servers: `tritonserver(repository, *arguments)` gives one that is ready; all end with the test.

    Raises TritonExitedError if the server ends before it is ready.
    """
    started: list[TritonServer] = []

    def start(repository: Path, *arguments: str) -> TritonServer:
        for attempt in range(ATTEMPTS):
            server = _start(triton_distribution, repository, arguments, tmp_path / f"triton-{len(started)}.log")
            started.append(server)
            try:
                _wait_until_ready(server, elsewhere=any(word.startswith("--metrics-") for word in arguments))
            except TritonExitedError as error:
                if "already in use" not in str(error).lower() or attempt == ATTEMPTS - 1:
                    raise
            else:
                return server
        raise AssertionError("unreachable")

    yield start
    for server in started:
        if server.process.poll() is None:
            server.stop()


def _site_packages(environment: Path) -> Path:
    return environment / "lib" / f"python{sys.version_info.major}.{sys.version_info.minor}" / "site-packages"


def _start(distribution: Path, repository: Path, arguments: tuple[str, ...], log_file: Path) -> TritonServer:
    http, grpc, metrics = _free_ports(3)
    site = _site_packages(distribution)
    triton = site / "pytriton" / "tritonserver"
    libraries = [str(site / "nvidia_pytriton.libs"), *_python_libraries()]
    environment = {
        "PATH": f"{distribution / 'bin'}:{os.environ.get('PATH', os.defpath)}",
        "HOME": str(log_file.parent),
        "LD_LIBRARY_PATH": ":".join(libraries),
        "PYTHONDONTWRITEBYTECODE": "1",
        "CUDA_VISIBLE_DEVICES": "",  # the same on machines with a GPU
    }
    command = [
        str(triton / "bin" / "tritonserver"),
        f"--model-repository={repository}",
        f"--backend-directory={triton / 'backends'}",
        f"--cache-directory={triton / 'caches'}",
        "--http-address=127.0.0.1",
        "--grpc-address=127.0.0.1",
        "--metrics-address=127.0.0.1",
        f"--http-port={http}",
        f"--grpc-port={grpc}",
        f"--metrics-port={metrics}",
        "--exit-timeout-secs=5",
        *arguments,
    ]
    with log_file.open("wb") as log:
        process = subprocess.Popen(bound_to_us(command), env=environment, stdout=log, stderr=subprocess.STDOUT)
    return TritonServer(process, f"127.0.0.1:{http}", f"127.0.0.1:{grpc}", f"127.0.0.1:{metrics}", log_file)


def _wait_until_ready(server: TritonServer, *, elsewhere: bool) -> None:
    """Wait until a server answers; elsewhere: whether its metrics are at an address of the test's own choice."""
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        try:
            server.process.wait(0.05)
        except subprocess.TimeoutExpired:
            pass
        else:
            raise TritonExitedError(server.log)
        try:
            with urllib.request.urlopen(f"http://{server.http}/v2/health/ready", timeout=5) as answer:
                is_ready = answer.status == 200
            # Triton opens this port last, when it calls itself ready already.
            if is_ready and (elsewhere or _is_open(server.metrics)):
                return
        except (urllib.error.URLError, TimeoutError, ConnectionError):
            continue
    pytest.fail(f"tritonserver is not ready after {START_SECONDS} s; its log:\n{server.log}", pytrace=False)


def _is_open(address: str) -> bool:
    host, _, port = address.rpartition(":")
    with socket.create_connection((host, int(port)), timeout=5):
        return True


def _free_ports(count: int) -> list[int]:
    """Ports that were free a moment ago, different from each other."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    try:
        return [listener.getsockname()[1] for listener in sockets]
    finally:
        for listener in sockets:
            listener.close()


def _python_libraries() -> list[str]:
    """Where libpython is, which the python backend's stub needs; a system's Python may come without it."""
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    directories = [Path(sys.base_prefix, "lib"), Path(sysconfig.get_config_var("LIBDIR") or "/usr/lib")]
    found = [str(directory) for directory in directories if (directory / f"libpython{version}.so.1.0").exists()]
    if not found and not ctypes.util.find_library(f"python{version}"):
        pytest.fail(f"libpython{version} is missing: apt-get install libpython{version}", pytrace=False)
    return found
