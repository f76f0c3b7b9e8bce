"""The operator as the chart installs it, with its permissions and settings, but run as processes of this machine.

Not for: its pods; the local cluster runs those (`demo`, `e2e`).
"""

import asyncio
import os
import re
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import aiohttp
import yaml
from prometheus_client.parser import text_string_to_metric_families

from benchmarks.api_server import ApiServer, api_server, free_ports
from benchmarks.services import NOWHERE
from benchmarks.waiting import until
from cluster.processes import ClusterError, bound_to_us, run
from cluster.provider import api_tools
from triton_operator.api import names

Json = dict[str, Any]

CHART = Path(__file__).parent.parent / "charts" / "triton-operator"
SYSTEM = "triton-operator-system"
USER = f"system:serviceaccount:{SYSTEM}:{names.OPERATOR}"
PATIENCE_SECONDS = 120
# What the chart has beside what runs the operator.
_NEEDED = ("CustomResourceDefinition", "ClusterRole", "ClusterRoleBinding", "Role", "RoleBinding")


class Ended(Exception):
    """A process of the operator ended, or did not become what it should; the message has the end of its log."""


@dataclass(frozen=True, slots=True)
class Reading:
    """The operator's metrics at one moment, by name and labels."""

    values: dict[tuple[str, tuple[tuple[str, str], ...]], float] = field(default_factory=dict)

    def total(self, name: str, **labels: str) -> float:
        """Add up a metric over all series that have these labels; 0 when there is none."""
        wanted = set(labels.items())
        return sum(
            value
            for (found, series), value in self.values.items()
            if found == f"triton_operator_{name}" and wanted <= set(series)
        )

    def by(self, name: str, label: str) -> dict[str, float]:
        """Add up a metric for each value of a label."""
        found: dict[str, float] = {}
        for (metric, series), value in self.values.items():
            if metric == f"triton_operator_{name}":
                key = dict(series)[label]
                found[key] = found.get(key, 0.0) + value
        return found


class Replica:
    """One process of the operator, that may be started and ended again and again."""

    def __init__(self, server: ApiServer, settings: Json, name: str) -> None:
        """Prepare.

        Args:
            server: the API server.
            settings: the operator's settings, without its port.
            name: what its files are called.
        """
        (self.port,) = free_ports(1)
        self.log = server.folder / f"{name}.log"
        self._settings = server.folder / f"{name}.yaml"
        self._settings.write_text(yaml.safe_dump(settings | {"port": self.port}))
        kubeconfig = server.kubeconfig(server.operator, f"operator-{name}")
        self._environment = os.environ | {"KUBECONFIG": str(kubeconfig), "HOSTNAME": name}
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def is_running(self) -> bool:
        """Whether there is a process."""
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        """Start the process; `leads` waits for it."""
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                bound_to_us([sys.executable, "-m", "triton_operator", "--config", self._settings]),
                env=self._environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            )  # fmt: skip

    def send(self, number: signal.Signals) -> None:
        """Send a signal and go on."""
        if self._process is not None:
            self._process.send_signal(number)

    async def ended(self) -> int:
        """Wait until the process has ended; returns its exit code."""
        if self._process is None:
            return 0
        return await asyncio.to_thread(self._process.wait, PATIENCE_SECONDS)

    async def kill(self) -> None:
        """End it as a crash does: kill -9."""
        self.send(signal.SIGKILL)
        await self.ended()

    async def stop(self) -> None:
        """End it as Kubernetes does, and make sure that it ends well.

        Raises:
            Ended: with another exit code than 0.
        """
        self.send(signal.SIGTERM)
        if code := await self.ended():
            raise Ended(f"after SIGTERM it ended with {code}:\n{self.tail()}")

    async def read(self) -> Reading:
        """Read its metrics; nothing when it does not answer."""
        try:
            async with (
                aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=10)) as session,
                session.get(f"http://127.0.0.1:{self.port}/metrics") as answer,
            ):
                text = await answer.text()
        except (aiohttp.ClientError, TimeoutError):
            return Reading()
        samples = [sample for family in text_string_to_metric_families(text) for sample in family.samples]
        return Reading({(s.name, tuple(sorted(s.labels.items()))): s.value for s in samples})

    async def is_leader(self) -> bool:
        """Whether it is the one that acts."""
        return (await self.read()).total("leader") == 1

    async def leads(self) -> None:
        """Wait until it is the one that acts.

        Raises:
            Ended: it has ended instead, or it took too long.
        """
        deadline = asyncio.get_running_loop().time() + PATIENCE_SECONDS
        while not await self.is_leader():
            if not self.is_running or asyncio.get_running_loop().time() > deadline:
                raise Ended(f"it does not lead:\n{self.tail()}")
            await asyncio.sleep(0.02)

    def tail(self) -> str:
        """The end of its log."""
        return self.log.read_text(errors="replace")[-3000:] if self.log.exists() else ""


@dataclass(frozen=True, slots=True)
class Installation:
    """An API server that the chart was installed on.

    Attributes:
        server: the API server.
        settings: the operator's, as the chart writes them.
    """

    server: ApiServer
    settings: Json

    @asynccontextmanager
    async def replicas(self, count: int, **settings: Any) -> AsyncIterator[list[Replica]]:
        """Prepare processes of the operator, none started; all are ended when the block ends.

        Args:
            count: how many.
            settings: instead of the chart's.
        """
        prefix = f"operator-{len(list(self.server.folder.glob('operator-*.yaml')))}"
        made = [Replica(self.server, self.settings | settings, f"{prefix}-{number}") for number in range(count)]
        try:
            yield made
        finally:
            for replica in made:
                await replica.kill()


@asynccontextmanager
async def installation() -> AsyncIterator[Installation]:
    """Build the programs that are missing, run an API server of our own, and install the chart's objects on it."""
    programs = api_tools(os.environ)
    rendered = run([programs / "helm", "template", names.OPERATOR, CHART, "--namespace", SYSTEM])
    bodies = [body for body in yaml.safe_load_all(rendered) if body]
    # Namespace first: the Role of leader election is in it.
    objects: list[Json] = [
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": SYSTEM}},
        {"apiVersion": "v1", "kind": "Node", "metadata": {"name": NOWHERE}},
    ]
    objects += sorted((b for b in bodies if b["kind"] in _NEEDED), key=lambda b: _NEEDED.index(b["kind"]))
    (config,) = (body for body in bodies if body["kind"] == "ConfigMap")
    settings = yaml.safe_load(config["data"]["settings.yaml"])
    with TemporaryDirectory(prefix="triton-operator-") as folder:
        async with api_server(programs, Path(folder), operator_user=USER, objects=objects) as server:
            async with server.connect() as api:
                await until(
                    lambda: api.serves(names.INFERENCE_SERVICE),
                    "the API server serves InferenceServices",
                    every_seconds=0.1,
                    patience_seconds=PATIENCE_SECONDS,
                )
            yield Installation(server, settings)


def interruptible() -> None:
    """Let SIGTERM end this run as Ctrl-C does: with everything that it started."""
    task = asyncio.current_task()
    if task is None:
        raise ClusterError("there is no task to cancel")
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)


def warnings(replica: Replica) -> list[str]:
    """Lines of a replica's log that tell of an unexpected error."""
    with suppress(FileNotFoundError):
        return [line for line in replica.log.read_text(errors="replace").splitlines() if _UNEXPECTED.search(line)]
    return []


_UNEXPECTED = re.compile(r"unexpected error|Traceback|Task exception was never retrieved")
