"""Real servers of models on loopback: an S3 server with its own store, one process per `start`.

They are built from pinned Go modules into the user's cache (cluster/tools). What is fetched is fetched by the programs
of the init container and the resolver, each in a process of its own, as their containers run them.
"""

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import boto3
import botocore.config
import pytest

from cluster import tools
from cluster.cache import cache_from_environment
from cluster.processes import bound_to_us
from triton_operator.models.request import ENVIRONMENT_VARIABLE

START_SECONDS = 60
KEYS = {"AWS_ACCESS_KEY_ID": "the-key", "AWS_SECRET_ACCESS_KEY": "the-secret-of-the-key"}


@dataclass(frozen=True, slots=True)
class Server:
    """A process that listens on loopback."""

    command: tuple[str, ...]
    address: str
    log: Path
    processes: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def start(self) -> None:
        with self.log.open("ab") as log:
            command = bound_to_us(self.command)
            self.processes.append(subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT))
        host, _, port = self.address.rpartition(":")
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            assert self.processes[-1].poll() is None, self.log.read_text()
            try:
                socket.create_connection((host, int(port)), timeout=5).close()
            except ConnectionError:
                time.sleep(0.02)
            else:
                return
        pytest.fail(f"{self.command[0]} does not listen after {START_SECONDS} s: {self.log.read_text()}")

    def kill(self) -> None:
        self.processes[-1].kill()
        self.processes[-1].wait()

    def told(self, words: str) -> bool:
        """Say whether the log has some words, or comes to have them: a server may write of a request after its end."""
        deadline = time.monotonic() + START_SECONDS
        while words not in self.log.read_text() and time.monotonic() < deadline:
            time.sleep(0.02)
        return words in self.log.read_text()


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


@pytest.fixture(scope="session")
def programs() -> Mapping[str, Path]:
    """The servers' programs by name, built when they are missing."""
    cache = cache_from_environment(os.environ)
    paths = {tool.name: tools.folder_of(cache, tool.module) / tool.name for tool in tools.SOURCE_TOOLS}
    if not all(path.exists() for path in paths.values()):
        with cache.locked():
            tools.build(cache, tools.SOURCE_TOOLS)
    return paths


@dataclass(frozen=True, slots=True)
class S3:
    """An S3 server; what it holds is on disk below `data`, and it serves buckets to one key."""

    server: Server
    url: str
    access_log: Path

    @property
    def secret(self) -> dict[str, str]:
        return KEYS | {"AWS_ENDPOINT_URL": self.url}

    def put(self, files: Mapping[str, bytes], *, bucket: str = "models") -> None:
        client = boto3.client(
            "s3",
            endpoint_url=self.url,
            aws_access_key_id=KEYS["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=KEYS["AWS_SECRET_ACCESS_KEY"],
            region_name="us-east-1",
            config=botocore.config.Config(
                s3={"addressing_style": "path"}, proxies={}, request_checksum_calculation="when_required"
            ),
            verify=False,
        )
        if bucket not in {found["Name"] for found in client.list_buckets()["Buckets"]}:
            client.create_bucket(Bucket=bucket)
        for key, content in files.items():
            client.put_object(Bucket=bucket, Key=key, Body=content)

    def reads(self, key: str) -> int:
        """How many ranges of an object have been asked for, by the server's access log."""
        return self.access_log.read_text().count(f" s3_GetObject {key} ")


StartS3 = Callable[..., S3]


@pytest.fixture(scope="session")
def start_s3(programs: Mapping[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Iterator[StartS3]:
    """Start S3 servers: `start_s3(*arguments, scheme=…)`; all end with the session."""
    started: list[Server] = []

    def start(*arguments: str, scheme: str = "http") -> S3:
        home = tmp_path_factory.mktemp("s3")
        (home / "data").mkdir()
        address = f"127.0.0.1:{free_port()}"
        options = ["--port", address, "--quiet", "--keep-alive", "--access-log", str(home / "access.log")]
        options += ["--access", KEYS["AWS_ACCESS_KEY_ID"], "--secret", KEYS["AWS_SECRET_ACCESS_KEY"], *arguments]
        server = Server(
            (str(programs["versitygw"]), *options, "posix", str(home / "data")), address, home / "server.log"
        )
        server.start()
        started.append(server)
        return S3(server, f"{scheme}://{address}", home / "access.log")

    yield start
    for server in started:
        server.kill()


@pytest.fixture(scope="session")
def s3(start_s3: StartS3) -> S3:
    """One S3 server for all tests that only read what they have put there."""
    return start_s3()


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a program ended; `answer` is its termination message."""

    code: int
    answer: dict[str, Any]
    log: str

    @property
    def reason(self) -> str:
        return str(self.answer.get("reason", ""))

    @property
    def message(self) -> str:
        return str(self.answer.get("message", ""))


@dataclass(frozen=True, slots=True)
class Pod:
    """Runs the programs with a Secret, as a pod would; its repository stays between the runs."""

    home: Path

    @property
    def repository(self) -> Path:
        return self.home / "models"

    def start(
        self,
        program: str,
        uri: str,
        *,
        secret: Mapping[str, str] | None,
        environment: Mapping[str, str] | None = None,
        models: list[dict[str, Any]] | None = None,
        **model: Any,
    ) -> subprocess.Popen[str]:
        defaults = {"version": 7, "source": None, "layout": "directory", "kind": None, "digest": None}
        first = {"name": "resnet50", "uri": uri} | defaults | model
        request = {"repository": str(self.repository), "models": [first, *(defaults | more for more in models or [])]}
        mounted = self.home / "credentials"
        if secret is not None:
            mounted.mkdir(exist_ok=True)
            for name, value in secret.items():
                (mounted / name).write_text(value)
        self.repository.mkdir(exist_ok=True)
        (self.home / "termination-log").write_text("")
        code = (
            "import sys; from pathlib import Path; from triton_operator.models.program import end\n"
            f"from triton_operator.models.{program} import main\n"
            "code = main(termination_log=Path(sys.argv[1]), credentials=Path(sys.argv[2]))\n"
            "Path(sys.argv[1]).with_name('status').write_text(Path('/proc/self/status').read_text())\n"
            "end(code)"
        )
        inherited = {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")}
        return subprocess.Popen(
            [sys.executable, "-c", code, str(self.home / "termination-log"), str(mounted)],
            env={**inherited, **(environment or {}), ENVIRONMENT_VARIABLE: json.dumps(request)},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def wait(self, process: subprocess.Popen[str]) -> Outcome:
        log, _ = process.communicate(timeout=120)
        text = (self.home / "termination-log").read_text()
        return Outcome(process.returncode, json.loads(text) if text else {}, log)

    def run(self, program: str, uri: str, **settings: Any) -> Outcome:
        return self.wait(self.start(program, uri, **settings))

    def peak_bytes(self) -> int:
        """The most memory that the last run had resident."""
        (line,) = [line for line in (self.home / "status").read_text().splitlines() if line.startswith("VmHWM:")]
        return int(line.split()[1]) * 1024

    def tree(self) -> dict[str, bytes]:
        return {
            path.relative_to(self.repository).as_posix(): path.read_bytes()
            for path in sorted(self.repository.rglob("*"))
            if path.is_file()
        }


@pytest.fixture
def pod(tmp_path: Path) -> Pod:
    return Pod(tmp_path)


@dataclass(frozen=True, slots=True)
class Authority:
    """A private certificate authority and a certificate of it for 127.0.0.1 and localhost."""

    certificate: Path
    server_certificate: Path
    server_key: Path


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    home = tmp_path_factory.mktemp("authority")

    def openssl(*words: str) -> None:
        done = subprocess.run(["openssl", *words], cwd=home, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr

    key = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2")
    openssl("req", "-x509", *key, "-keyout", "ca.key", "-out", "ca.crt", "-subj", "/CN=A private authority")
    openssl("req", *key[:-2], "-keyout", "server.key", "-out", "server.csr", "-subj", "/CN=localhost")
    (home / "names").write_text("subjectAltName=DNS:localhost,IP:127.0.0.1\n")
    signing = ("-CA", "ca.crt", "-CAkey", "ca.key", "-CAcreateserial", "-days", "2", "-extfile", "names")
    openssl("x509", "-req", "-in", "server.csr", "-out", "server.crt", *signing)
    return Authority(home / "ca.crt", home / "server.crt", home / "server.key")


@pytest.fixture
def proxy(tmp_path: Path) -> Iterator[Server]:
    """A forward proxy; its log names the hosts it was asked for."""
    port = free_port()
    program = str(Path(sys.executable).with_name("proxy"))
    options = ("--hostname", "127.0.0.1", "--port", str(port), "--num-workers", "1", "--num-acceptors", "1")
    server = Server((program, *options), f"127.0.0.1:{port}", tmp_path / "proxy.log")
    server.start()
    yield server
    server.processes[-1].terminate()
    server.processes[-1].wait()
