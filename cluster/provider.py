"""The cluster that demo and tests run on, behind one interface: made here by kind, or there already.

Not for: how each is made (`kind`).
"""

import os
import re
import shutil
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import NoReturn, Protocol

from cluster import diagnosis, engine, gateway, gpus, prometheus, tools
from cluster.abilities import Ability
from cluster.audit import Request
from cluster.cache import cache_from_environment
from cluster.images import Image, Images
from cluster.kind import KindCluster
from cluster.processes import ClusterError, CommandFailed, run

DEFAULT_NAME = "triton-operator"
DEFAULT_GATEWAY_PORT = "18081"


class Cluster(Protocol):
    """What demo and tests need of a cluster."""

    @property
    def kubeconfig(self) -> Path:
        """The administrator's kubeconfig."""
        ...

    @property
    def tools(self) -> Path:
        """A folder with kubectl and helm."""
        ...

    def environment(self) -> dict[str, str]:
        """Variables under which kubectl and helm see this cluster."""
        ...

    def kubectl(self, *words: str | Path, stdin: bytes | None = None, timeout_seconds: float = 120) -> str:
        """Run kubectl against this cluster and return its output."""
        ...

    def lacks(self, ability: Ability) -> str | None:
        """Say why something cannot be had of this cluster; None where it can."""
        ...

    def up(self) -> Images:
        """See to it that the cluster is well and has the images, which are returned."""
        ...

    def down(self) -> None:
        """Leave nothing running that `up` started."""
        ...

    def load(self, extra: Sequence[str] = ()) -> Images:
        """Bring the images up to date, and further ones."""
        ...

    def load_s3(self) -> str:
        """Bring an S3 server to the nodes, and name its image; its entry point is /versitygw."""
        ...

    def gpu_pool(self, *, per_node: int = gpus.PER_NODE) -> None:
        """Give the workers GPUs that exist on paper only."""
        ...

    def lose_node(self, node: str) -> None:
        """End a node as a power cut does."""
        ...

    def bring_back(self, node: str) -> None:
        """Start a node again that was lost."""
        ...

    def kill(self, *, node: str, container: str) -> None:
        """End a container's first process as a crash does: SIGKILL, without a word before.

        Args:
            node: Where it runs.
            container: Its id, as the pod's status has it.
        """
        ...

    def wall(self, source: str, *, ports: Sequence[int]) -> AbstractContextManager[None]:
        """Refuse a pod's connections to other pods while inside, as a NetworkPolicy does where one is enforced.

        Args:
            source: The pod's address, IPv4.
            ports: TCP ports.
        """
        ...

    def audit(self, *, since: datetime) -> list[Request] | None:
        """What the operator asked of the API server, oldest first; None where nobody notes that.

        Args:
            since: Only what began at this time or later.
        """
        ...

    def collect_logs(self, folder: Path) -> None:
        """Write what explains a failed run into a folder."""
        ...


_NOT_OURS = {
    Ability.GPUS: "a given cluster's nodes get no GPUs that exist on paper only",
    Ability.NODES: "the nodes of a given cluster are not ours to end",
    Ability.PROCESSES: "processes on the nodes of a given cluster cannot be killed from here",
    Ability.WALLS: "connections on the nodes of a given cluster cannot be refused from here",
    Ability.IMAGES: "a given cluster pulls its images itself: none can be brought to it",
}
# What the stories of canaries go through and stop for a while, under the names that it has in a cluster made here.
_GATEWAY = (
    (f"gateway/{gateway.NAME}", gateway.NAMESPACE),
    (f"deployment/{gateway.CONTROL}", gateway.SYSTEM),
    (f"deployment/{prometheus.NAME}", prometheus.NAMESPACE),
)


@dataclass(frozen=True, slots=True)
class GivenCluster:
    """A cluster that was there before: nothing is made, loaded or removed in it."""

    kubeconfig: Path
    tools: Path
    images: Images

    def environment(self) -> dict[str, str]:
        """Variables under which kubectl and helm see this cluster."""
        return {"KUBECONFIG": str(self.kubeconfig), "PATH": f"{self.tools}:{os.environ.get('PATH', os.defpath)}"}

    def kubectl(self, *words: str | Path, stdin: bytes | None = None, timeout_seconds: float = 120) -> str:
        """Run kubectl against this cluster and return its output."""
        command = [self.tools / "kubectl", *words]
        return run(command, environment=self.environment(), stdin=stdin, timeout_seconds=timeout_seconds)

    def lacks(self, ability: Ability) -> str | None:
        """Say why something cannot be had of this cluster; None where it can."""
        if ability in _NOT_OURS:
            return _NOT_OURS[ability]
        for what, where in _GATEWAY:
            if not self._has(what, where):
                return f"this given cluster has no {what} in the namespace {where}"
        return None

    def up(self) -> Images:
        """Make sure that the cluster answers."""
        self.kubectl("get", "--raw", "/readyz", timeout_seconds=30)
        return self.images

    def down(self) -> None:
        """Nothing: the cluster is not ours."""

    def load(self, extra: Sequence[str] = ()) -> Images:
        """Nothing: a given cluster pulls its images itself."""
        return self.images

    def load_s3(self) -> str:
        """Refused: a given cluster pulls its images itself."""
        _refuse(Ability.IMAGES)

    def gpu_pool(self, *, per_node: int = gpus.PER_NODE) -> None:
        """Refused: a given cluster's nodes stay as they are."""
        _refuse(Ability.GPUS)

    def lose_node(self, node: str) -> None:
        """Refused: a given cluster's nodes stay as they are."""
        _refuse(Ability.NODES)

    def bring_back(self, node: str) -> None:
        """Nothing: no node was lost."""

    def kill(self, *, node: str, container: str) -> None:
        """Refused: nobody lets us onto a given cluster's nodes."""
        _refuse(Ability.PROCESSES)

    def wall(self, source: str, *, ports: Sequence[int]) -> AbstractContextManager[None]:
        """Refused: nobody lets us onto a given cluster's nodes."""
        _refuse(Ability.WALLS)

    def audit(self, *, since: datetime) -> list[Request] | None:
        """None: how a given cluster's API server is set up is not ours to say."""
        return None

    def collect_logs(self, folder: Path) -> None:
        """Write what explains a failed run into a folder."""
        diagnosis.collect(self.kubectl, folder)

    def _has(self, what: str, namespace: str) -> bool:
        try:
            self.kubectl("get", what, f"--namespace={namespace}")
        except CommandFailed:  # a cluster without the Gateway API does not even know the kind
            return False
        return True


def _refuse(ability: Ability) -> NoReturn:
    raise ClusterError(_NOT_OURS[ability])


def current(environment: Mapping[str, str] | None = None) -> Cluster:
    """The cluster that the environment asks for.

    A cluster is given when TRITON_OPERATOR_CLUSTER is `given`, or when KUBECONFIG names a file that is not
    ours. KUBECONFIG in the environment is a decision; the default ~/.kube/config is not.

    Raises:
        ClusterError: The settings do not fit together.
    """
    variables = os.environ if environment is None else environment
    name = variables.get("TRITON_OPERATOR_CLUSTER_NAME") or DEFAULT_NAME
    if not re.fullmatch(r"[a-z0-9]([-a-z0-9]{0,38}[a-z0-9])?", name):
        raise ClusterError(f"TRITON_OPERATOR_CLUSTER_NAME={name}: at most 40 lower case letters, digits and dashes")
    cache = cache_from_environment(variables)
    kubeconfig = variables.get("KUBECONFIG", "")
    ours = not kubeconfig or Path(kubeconfig).is_relative_to(cache.root)
    wanted = variables.get("TRITON_OPERATOR_CLUSTER") or ("kind" if ours else "given")
    if wanted == "given":
        return _given(variables, kubeconfig)
    if wanted != "kind":
        raise ClusterError(f"TRITON_OPERATOR_CLUSTER={wanted}: it may be `kind` or `given`")
    port = variables.get("TRITON_OPERATOR_GATEWAY_PORT") or DEFAULT_GATEWAY_PORT
    if not port.isdecimal():
        raise ClusterError(f"TRITON_OPERATOR_GATEWAY_PORT={port}: it must be a port number")
    settings = cache.root / "clusters" / "containers.conf"
    chosen = engine.choose(docker_answers=engine.docker_answers(), podman_settings=settings)
    return KindCluster(name=name, cache=cache, engine=chosen, gateway_port=int(port))


def api_tools(environment: Mapping[str, str]) -> Path:
    """Build what a cluster without nodes needs: the control plane, etcd, kwok, kubectl, helm and kind.

    Returns:
        A folder that holds them, outside of any cluster.
    """
    cache = cache_from_environment(environment)
    with cache.locked():
        folder = cache.folder("bin")
        for name, path in tools.build(cache, (*tools.HOST_TOOLS, *tools.API_TOOLS)).items():
            tools.link(path, folder / name)
    return folder


def _given(variables: Mapping[str, str], kubeconfig: str) -> GivenCluster:
    missing = [name for name in ("KUBECONFIG", "OPERATOR_IMAGE", "TRITON_IMAGE") if not variables.get(name)]
    if missing:
        raise ClusterError(f"for a cluster that is there already set {', '.join(missing)}")
    kubectl, helm = (shutil.which(tool, path=variables.get("PATH")) for tool in ("kubectl", "helm"))
    if kubectl is None or helm is None:
        raise ClusterError("for a cluster that is there already kubectl and helm must be on PATH")
    operator, triton = variables["OPERATOR_IMAGE"], variables["TRITON_IMAGE"]
    images = Images(operator=Image(operator, operator), triton=Image(triton, triton))
    return GivenCluster(kubeconfig=Path(kubeconfig), tools=Path(kubectl).parent, images=images)
