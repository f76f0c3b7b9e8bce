"""A real API server with its controllers, for one run: on loopback, in a folder, gone afterwards. `nodes` adds nodes.

Not for: anything that needs a pod to run; that is the local cluster (`cluster`).
"""

import asyncio
import json
import random
import signal
import socket
import ssl
import subprocess
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from secrets import token_hex
from typing import Any

import yaml

from benchmarks.api import Api
from cluster.processes import ClusterError, bound_to_us, run
from cluster.tools import HERE as PINS

Json = dict[str, Any]

# What the children of an InferenceService need; what only nodes, volumes or clouds need is left out.
CONTROLLERS = (
    "deployment-controller",
    "disruption-controller",
    "endpointslice-controller",
    "garbage-collector-controller",
    "namespace-controller",
    "replicaset-controller",
    "serviceaccount-controller",
)
# Ten times the default: the controllers must not be what is measured.
CONTROLLER_CALLS_PER_SECOND = 200
START_SECONDS = 60
STOP_SECONDS = 20
# More than any line of the audit log has.
LINE_BYTES = 1 << 16
# Most servers of a machine listen below it.
LOWEST_PORT = 20_000
_OUTGOING_PORTS = Path("/proc/sys/net/ipv4/ip_local_port_range")
# Reserved for benchmarks (RFC 2544). Nothing listens there: the API server only wants an address that is not loopback.
ADVERTISED = "198.18.0.1"
SERVICE_RANGE = "198.19.0.0/16"


@dataclass(frozen=True, slots=True)
class ApiServer:
    """A running API server.

    Attributes:
        programs: the folder with the programs of Kubernetes.
        folder: where everything of the run is kept.
        url: the server's address.
        certificate: the certificate that it made for itself.
        administrator: token of the administrator.
        operator: token of the operator.
        audit: the log of the operator's writes, an object a line.
    """

    programs: Path
    folder: Path
    url: str
    certificate: Path
    administrator: str
    operator: str
    audit: Path

    def kubeconfig(self, token: str, name: str) -> Path:
        """Write a kubeconfig for whoever has a token.

        Args:
            token: the token.
            name: the file's name.

        Returns:
            Its path.
        """
        cluster = {"server": self.url, "certificate-authority": str(self.certificate)}
        body = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "private", "cluster": cluster}],
            "users": [{"name": name, "user": {"token": token}}],
            "contexts": [{"name": "private", "context": {"cluster": "private", "user": name}}],
            "current-context": "private",
        }
        path = self.folder / f"{name}.kubeconfig"
        path.write_text(yaml.safe_dump(body))
        return path

    @asynccontextmanager
    async def connect(self) -> AsyncIterator[Api]:
        """Connect as the administrator."""
        async with Api.connect(self.url, token=self.administrator, trusted=self.trusted()) as api:
            yield api

    def trusted(self) -> ssl.SSLContext:
        """Trust the server's certificate."""
        return ssl.create_default_context(cafile=str(self.certificate))

    def writes(self, *, since: int = 0) -> list[Json]:
        """Read the operator's writes, its Lease excepted.

        Args:
            since: those after so many bytes of the log; see `mark`.

        Returns:
            Each write, as the API server's audit log has it.
        """
        with self.audit.open("rb") as log:
            log.seek(since)
            whole, _, _ = log.read().rpartition(b"\n")
        found = [json.loads(line) for line in whole.splitlines()]
        return [write for write in found if write["objectRef"]["resource"] != "leases"]

    def mark(self) -> int:
        """The end of the last whole line of the log of writes, in bytes."""
        with self.audit.open("rb") as log:
            log.seek(max(0, self.audit.stat().st_size - LINE_BYTES))
            whole, newline, _ = (tail := log.read()).rpartition(b"\n")
            return log.tell() - len(tail) + len(whole) + len(newline)


@asynccontextmanager
async def api_server(
    programs: Path, folder: Path, *, operator_user: str, objects: Iterable[Json], noted: Json | None = None
) -> AsyncIterator[ApiServer]:
    """Run etcd, kube-apiserver and kube-controller-manager until the block ends.

    Args:
        programs: a folder that has them.
        folder: an empty folder for data, certificates and logs.
        operator_user: name of the service account that the operator's token stands for.
        objects: applied before the controllers start, so that they know all types from the beginning.
        noted: rule of the audit policy for what goes into the log; None: the operator's writes.

    Raises:
        ClusterError: one of them did not start; the message names its log.
    """
    client_port, peer_port, port, controllers_port = free_ports(4)
    store = f"http://127.0.0.1:{client_port}"
    server = _prepare(programs, folder, port, operator_user, noted)
    with (
        running(folder, [programs / "etcd", *_etcd(folder, store, f"http://127.0.0.1:{peer_port}")]),
        running(folder, [programs / "kube-apiserver", *_apiserver(server, store, port)]) as process,
    ):
        await _started(server, process)
        async with server.connect() as api:
            for body in objects:
                await api.apply(body)
        administrator = server.kubeconfig(server.administrator, "administrator")
        with running(folder, [programs / "kube-controller-manager", *_controllers(administrator, controllers_port)]):
            yield server


def free_ports(count: int) -> list[int]:
    """Find ports of loopback that nobody uses, all different.

    They stay free: the kernel gives outgoing connections others, also while a program that is to be started again has
    left its own.
    """
    first = int(_OUTGOING_PORTS.read_text().split()[0])
    found: list[int] = []
    ports = range(LOWEST_PORT, first)
    for port in random.sample(ports, k=len(ports)):
        with socket.socket() as each, suppress(OSError):
            each.bind(("127.0.0.1", port))
            found.append(port)
        if len(found) == count:
            return found
    raise ClusterError(f"below port {first} of loopback no {count} are free")


@contextmanager
def running(folder: Path, words: list[str | Path]) -> Iterator["subprocess.Popen[bytes]"]:
    """Run a program until the block ends, or this process, however that ends.

    Args:
        folder: where its log goes, `<program>.log`.
        words: the program and its arguments.
    """
    path = folder / f"{Path(words[0]).name}.log"
    with path.open("ab") as log:
        bound = bound_to_us(words)
        process = subprocess.Popen(bound, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=folder)
    try:
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def etcd_version() -> str:
    """The release of etcd that cluster/tools pins."""
    pins = (PINS / "etcd" / "go.mod").read_text(encoding="utf-8").split()
    return pins[pins.index("go.etcd.io/etcd/server/v3", pins.index("require")) + 1]


def _prepare(programs: Path, folder: Path, port: int, operator_user: str, noted: Json | None) -> ApiServer:
    server = ApiServer(
        programs=programs,
        folder=folder,
        url=f"https://127.0.0.1:{port}",
        certificate=folder / "certificates" / "apiserver.crt",
        administrator=token_hex(16),
        operator=token_hex(16),
        audit=folder / "audit.log",
    )
    namespace = operator_user.split(":")[2]
    (folder / "tokens").write_text(
        f"{server.administrator},administrator,administrator,system:masters\n"
        f'{server.operator},{operator_user},operator,"system:serviceaccounts,system:serviceaccounts:{namespace}"\n'
    )
    (folder / "tokens").chmod(0o600)
    verbs = ["create", "update", "patch", "delete", "deletecollection"]
    rule = noted or {"level": "Metadata", "users": [operator_user], "verbs": verbs}
    policy = {
        "apiVersion": "audit.k8s.io/v1",
        "kind": "Policy",
        "omitStages": ["RequestReceived"],
        "rules": [rule, {"level": "None"}],
    }
    (folder / "audit.yaml").write_text(yaml.safe_dump(policy))
    server.audit.touch()
    run(["openssl", "genrsa", "-out", folder / "service-accounts.key", "2048"])
    return server


def _etcd(folder: Path, store: str, peers: str) -> list[str]:
    return [
        f"--data-dir={folder / 'etcd'}",
        f"--listen-client-urls={store}",
        f"--advertise-client-urls={store}",
        f"--listen-peer-urls={peers}",
        f"--initial-advertise-peer-urls={peers}",
        f"--initial-cluster=default={peers}",
        "--log-level=warn",
    ]


def _apiserver(server: ApiServer, store: str, port: int) -> list[str]:
    folder = server.folder
    return [
        f"--etcd-servers={store}",
        f"--secure-port={port}",
        "--bind-address=127.0.0.1",
        f"--advertise-address={ADVERTISED}",
        "--endpoint-reconciler-type=none",
        f"--cert-dir={server.certificate.parent}",
        "--authorization-mode=RBAC",
        f"--token-auth-file={folder / 'tokens'}",
        "--service-account-issuer=https://kubernetes.default.svc",
        f"--service-account-key-file={folder / 'service-accounts.key'}",
        f"--service-account-signing-key-file={folder / 'service-accounts.key'}",
        f"--service-cluster-ip-range={SERVICE_RANGE}",
        f"--audit-policy-file={folder / 'audit.yaml'}",
        f"--audit-log-path={server.audit}",
        "--audit-log-maxsize=4096",  # megabytes: one file for the whole run
    ]


def _controllers(kubeconfig: Path, port: int) -> list[str]:
    return [
        f"--kubeconfig={kubeconfig}",
        f"--controllers={','.join(CONTROLLERS)}",
        f"--kube-api-qps={CONTROLLER_CALLS_PER_SECOND}",
        f"--kube-api-burst={2 * CONTROLLER_CALLS_PER_SECOND}",
        "--leader-elect=false",
        "--bind-address=127.0.0.1",
        f"--secure-port={port}",
        f"--cert-dir={kubeconfig.parent / 'certificates'}",
    ]


async def _started(server: ApiServer, process: "subprocess.Popen[bytes]") -> None:
    deadline = asyncio.get_running_loop().time() + START_SECONDS
    while asyncio.get_running_loop().time() < deadline and process.poll() is None:
        with suppress(OSError):  # no certificate yet, or nobody listens yet
            async with server.connect() as api:
                if await api.is_ready():
                    return
        await asyncio.sleep(0.1)
    log = (server.folder / "kube-apiserver.log").read_text(errors="replace")
    raise ClusterError(f"the API server did not start within {START_SECONDS} s:\n{log[-2000:]}")
