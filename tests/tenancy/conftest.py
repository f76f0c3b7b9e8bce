"""A private API server on which the chart is installed as often as a test likes, each time under its own account."""

import asyncio
import os
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest_asyncio
import yaml

from benchmarks.api import Api
from benchmarks.api_server import ApiServer, api_server
from benchmarks.installation import CHART, Replica
from benchmarks.services import NOWHERE, Kubelet, make_namespace
from benchmarks.waiting import until
from cluster.audit import Request, requests
from cluster.permissions import Comparison, Permission, compare, granted
from cluster.processes import run
from cluster.provider import api_tools
from triton_operator.api import names

Json = dict[str, Any]

WRITES = {"create", "update", "patch", "delete", "deletecollection"}
PATIENCE_SECONDS = 60
# Of a chart, all but what runs the operator in a pod.
NEEDED = ("ServiceAccount", "ClusterRole", "ClusterRoleBinding", "Role", "RoleBinding")
LEASE = {"leaseDurationSeconds": 3, "renewSeconds": 2, "retrySeconds": 1}


@dataclass(frozen=True, slots=True)
class Release:
    """One installation of the chart, and its operator as a process of this machine.

    Attributes:
        account: who the operator is for the API server.
        replica: its process.
        kubeconfig: by which it reaches the API server.
        permissions: what the chart grants it.
    """

    account: str
    kubeconfig: Path
    replica: Replica
    permissions: frozenset[Permission]


@dataclass(frozen=True, slots=True)
class Site:
    """The cluster.

    Attributes:
        server: its API server.
        api: a connection of its administrator.
        stack: ends what was started, in reverse.
    """

    server: ApiServer
    api: Api
    stack: AsyncExitStack

    async def install(self, namespace: str, **values: Any) -> Release:
        """Install the chart and start the operator under its account and settings.

        Args:
            namespace: of the release; no other release may be in it.
            values: of the chart.
        """
        file = self.server.folder / f"{namespace}-values.yaml"
        file.write_text(yaml.safe_dump({"leaderElection": LEASE} | values))
        programs = api_tools(os.environ)
        rendered = run([programs / "helm", "template", names.OPERATOR, CHART, "--namespace", namespace, "-f", file])
        bodies = [body for body in yaml.safe_load_all(rendered) if body]
        await self.make_namespace(namespace)
        for body in sorted((b for b in bodies if b["kind"] in NEEDED), key=lambda b: NEEDED.index(b["kind"])):
            await self.api.apply(body)
        account = next(body for body in bodies if body["kind"] == "ServiceAccount")["metadata"]["name"]
        token = self.token(account, namespace)
        (config,) = (body for body in bodies if body["kind"] == "ConfigMap")
        settings = yaml.safe_load(config["data"]["settings.yaml"])
        replica = Replica(replace(self.server, operator=token), settings, namespace)
        self.stack.push_async_callback(replica.kill)
        replica.start()
        await replica.leads()
        permissions = granted(bodies, account=account)
        kubeconfig = self.server.kubeconfig(token, f"{namespace}-{account}")
        return Release(f"system:serviceaccount:{namespace}:{account}", kubeconfig, replica, permissions)

    def token(self, account: str, namespace: str) -> str:
        """Make a token of a service account."""
        return self.kubectl("create", "token", account, f"--namespace={namespace}").strip()

    def kubectl(self, *words: str, by: Path | None = None) -> str:
        """Run kubectl.

        Args:
            words: its arguments.
            by: the kubeconfig of who runs it; None: the administrator's.
        """
        who = by or self.server.kubeconfig(self.server.administrator, "administrator")
        return run([api_tools(os.environ) / "kubectl", "--kubeconfig", who, *words])

    async def make_namespace(self, name: str) -> str:
        """Make a namespace in which pods become ready."""
        await make_namespace(self.api, name)
        working = asyncio.create_task(Kubelet(self.api, name).work())

        async def end() -> None:
            working.cancel()
            with suppress(asyncio.CancelledError):
                await working

        self.stack.push_async_callback(end)
        return name

    async def until(self, condition: Callable[[], Any], what: str, *told: Release) -> None:
        """Wait until a condition holds; the logs of releases explain why it does not."""
        try:
            await until(condition, what, every_seconds=0.1, patience_seconds=PATIENCE_SECONDS)
        except Exception as error:
            raise AssertionError("\n".join([str(error), *(release.replica.tail() for release in told)])) from error

    def asked(self, release: Release) -> list[Request]:
        """Everything that a release has asked of the API server, oldest first."""
        return [request for request in requests(self.server.audit.read_text()) if request.user == release.account]

    def written(self, release: Release, *, after: int = 0) -> list[Request]:
        """What a release has tried to write, its Lease excepted.

        Args:
            release: the release.
            after: leaves out so many of the first ones.
        """
        found = [r for r in self.asked(release) if r.verb in WRITES and r.resource != "leases"]
        return found[after:]

    def compared(self, release: Release) -> Comparison:
        """What a release did, compared with what its chart grants."""
        return compare(release.permissions, self.asked(release))


@asynccontextmanager
async def _server() -> AsyncIterator[ApiServer]:
    crds = [yaml.safe_load(path.read_text(encoding="utf-8")) for path in (CHART.parent.parent / "crds").glob("*.yaml")]
    node = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": NOWHERE}}
    with TemporaryDirectory(prefix="triton-operator-") as folder:
        async with api_server(
            api_tools(os.environ),
            Path(folder),
            operator_user="system:serviceaccount:nobody:nobody",
            objects=[*crds, node],
            noted={"level": "Metadata", "userGroups": ["system:serviceaccounts"]},
        ) as server:
            yield server


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def server() -> AsyncIterator[ApiServer]:
    async with _server() as running, running.connect() as api:
        await until(
            lambda: api.serves(names.INFERENCE_SERVICE),
            "the API server serves InferenceServices",
            every_seconds=0.1,
            patience_seconds=PATIENCE_SECONDS,
        )
        yield running


@pytest_asyncio.fixture(loop_scope="module")
async def site(server: ApiServer) -> AsyncIterator[Site]:
    async with AsyncExitStack() as stack:
        yield Site(server, await stack.enter_async_context(server.connect()), stack)
