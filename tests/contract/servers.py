"""Real servers on loopback for contract tests: nginx, Apache, Python's http.server, Prometheus.

Not for: object stores; those are in `sources`.
"""

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from contextlib import suppress
from pathlib import Path

import pytest

from cluster.processes import bound_to_us


class Servers:
    """Starts servers; each is ended with the test."""

    def __init__(self, root: Path, work: Path) -> None:
        self.root, self.work = root, work
        self.started: list[subprocess.Popen[bytes]] = []

    def start(self, command: list[str], port: int, *, ready: str | None = None) -> str:
        """Start a server and give its address.

        Args:
            command: What serves on loopback at the port.
            port: Where it listens.
            ready: The path that answers 200 once it is ready, for servers that listen before they are.

        Raises:
            AssertionError: It ended, or was not ready within 30 s; with its log.
        """
        log = (self.work / f"server-{len(self.started)}.log").open("wb")
        process = subprocess.Popen(bound_to_us(command), stdout=log, stderr=log, start_new_session=True)
        self.started.append(process)
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline and process.poll() is None:
            if _answers(port, ready):
                return f"http://127.0.0.1:{port}"
            time.sleep(0.02)
        raise AssertionError(Path(log.name).read_text())

    def nginx(self, *directives: str) -> str:
        port = free_port()
        return self.start_nginx(port, f"listen 127.0.0.1:{port};", *directives)

    def start_nginx(self, port: int, *directives: str) -> str:
        program = program_of("nginx", "nginx-light")
        prefix = self.work / f"nginx-{port}"
        prefix.mkdir(exist_ok=True)
        temporary = " ".join(
            f"{kind}_temp_path {prefix}/{kind};" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        )
        (prefix / "nginx.conf").write_text(
            f"daemon off; master_process off; pid {prefix}/pid; error_log stderr; events {{}}"
            f" http {{ {temporary} access_log off;"
            f" server {{ root {self.root}; autoindex on; {' '.join(directives)} }} }}"
        )
        return self.start([program, "-p", str(prefix), "-c", str(prefix / "nginx.conf")], port)

    def apache(self) -> str:
        program = program_of("apache2", "apache2-bin")
        modules = Path("/usr/lib/apache2/modules")
        port = free_port()
        names = ("mpm_event", "authz_core", "autoindex", "dir", "mime")
        lines = [f"LoadModule {name}_module {modules}/mod_{name}.so" for name in names]
        lines += [f"Listen 127.0.0.1:{port}", "ServerName localhost", f"PidFile {self.work}/apache.pid"]
        lines += [f"DefaultRuntimeDir {self.work}", f"ErrorLog {self.work}/apache.log", "TypesConfig /dev/null"]
        lines += [f"DocumentRoot {self.root}", "IndexOptions FancyIndexing HTMLTable"]
        lines += ["User #65534", "Group #65534"]
        lines += [f"<Directory {self.root}>", "Options +Indexes", "Require all granted", "</Directory>"]
        (self.work / "apache.conf").write_text("\n".join(lines) + "\n")
        return self.start([program, "-f", str(self.work / "apache.conf"), "-DFOREGROUND"], port)

    def python(self) -> str:
        port = free_port()
        command = [sys.executable, "-m", "http.server", str(port), "--bind", "127.0.0.1", "--directory", str(self.root)]
        return self.start(command, port)

    def stop(self) -> None:
        for process in self.started:
            with suppress(ProcessLookupError):  # one was killed by its test
                os.killpg(process.pid, signal.SIGKILL)  # Apache's workers outlive it
            process.wait()


def _answers(port: int, path: str | None) -> bool:
    try:
        if path is None:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return True
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=5) as answer:
            return answer.status == 200
    except OSError:  # refused, or an answer of 4xx or 5xx
        return False


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def program_of(name: str, package: str) -> str:
    found = shutil.which(name, path="/usr/sbin:/usr/bin:/sbin:/bin")
    if found is None:
        pytest.fail(f"{name} is missing: apt-get install {package}", pytrace=False)
    return found


def self_signed(work: Path) -> tuple[Path, Path]:
    """A key, and a certificate for 127.0.0.1 that no authority has signed."""
    key, certificate = work / "key.pem", work / "cert.pem"
    command = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 1 -subj /CN=localhost"
    subprocess.run(
        [*command.split(), "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", str(key), "-out", str(certificate)],
        check=True,
        capture_output=True,
    )
    return key, certificate
