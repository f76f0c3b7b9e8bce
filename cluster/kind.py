"""A kind cluster on this machine, by Docker or Podman: made, healed, filled with images, removed.

Not for: clusters that are there already (`provider.GivenCluster`).
"""

import inspect
import json
import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import yaml

from cluster import debian, diagnosis, gateway, gpus, images, kind_config, node_image, prometheus, readiness, tools
from cluster.abilities import Ability
from cluster.audit import Request, requests
from cluster.cache import Cache, key
from cluster.engine import Engine, podman_settings_of_this_machine
from cluster.images import Images
from cluster.processes import ClusterError, CommandFailed, run, search_path
from cluster.progress import note, step

# With Docker the official node image is pulled where it can be: the one that kind 0.33.0 was released with.
OFFICIAL_NODE_IMAGE = (
    "docker.io/kindest/node:v1.34.11@sha256:44e222ee2132dab25ff87301682f89eb82c7880ea3a1bf543bfe9708fd08d67d"
)
CREATED_PATIENCE_SECONDS = 120
HEALED_PATIENCE_SECONDS = 90


@dataclass(frozen=True, slots=True)
class KindCluster:
    """One control plane and two workers, each a container of the engine."""

    name: str
    cache: Cache
    engine: Engine
    gateway_port: int

    @property
    def folder(self) -> Path:
        """Everything that belongs to this cluster and goes with it."""
        return self.cache.root / "clusters" / self.name

    @property
    def kubeconfig(self) -> Path:
        """The administrator's kubeconfig."""
        return self.folder / "kubeconfig"

    @property
    def tools(self) -> Path:
        """A folder with kind, kubectl and helm of the pinned releases."""
        return self.folder / "bin"

    def environment(self) -> dict[str, str]:
        """Variables under which kubectl, helm, kind and the engine see this cluster."""
        return {
            **self.engine.environment,
            "KUBECONFIG": str(self.kubeconfig),
            "PATH": f"{self.tools}:{search_path(os.environ)}",
            "KIND_CLUSTER_NAME": self.name,
            f"KIND_EXPERIMENTAL_{self.engine.name.upper()}_NETWORK": self.name,
        }

    def kubectl(self, *words: str | Path, stdin: bytes | None = None, timeout_seconds: float = 120) -> str:
        """Run kubectl against this cluster and return its output."""
        command = [self.tools / "kubectl", *words]
        return run(command, environment=self.environment(), stdin=stdin, timeout_seconds=timeout_seconds)

    def nodes(self) -> dict[str, bool]:
        """The nodes' containers: name → whether it runs."""
        return self.engine.containers(f"io.x-k8s.kind.cluster={self.name}")

    def lacks(self, ability: Ability) -> str | None:
        """None: it can do everything that stories need."""

    def up(self) -> Images:
        """Make the cluster, heal it, or find that it is well; then load the images."""
        with self.cache.locked():
            self._prepare()
            image = self._node_image()
            made_of = [self._config(image), kind_config.audit_policy()]
            recipe = key(self.folder, (), image, json.dumps(made_of, sort_keys=True))
            if self._usable(recipe):
                note(f"cluster {self.name} is well and used again")
            else:
                self._remove()
                self._prepare()
                self._create(image, recipe)
            return self._load(())

    def down(self) -> None:
        """Remove the cluster, its network and its folder; fine when nothing is there."""
        if shutil.which(self.engine.name) is None:
            return
        with self.cache.locked(), step(f"removing cluster {self.name}"):
            self._write_engine_settings()
            self._remove()

    def purge(self) -> None:
        """Remove the cluster, its images and the cache: the next `up` starts from nothing."""
        self.down()
        with self.cache.locked():
            self._write_engine_settings()
            for image in images.OUR_REPOSITORIES:
                if found := sorted(set(self.engine.run("images", "--quiet", "--filter", f"reference={image}").split())):
                    self.engine.run("rmi", "--force", *found)
            if self.engine.name == "podman":
                self.engine.run("image", "prune", "--force")  # the stages of our builds have no names
            shutil.rmtree(self.cache.root)

    def load(self, extra: Sequence[str] = ()) -> Images:
        """Build the images whose content changed and bring them to the workers.

        Args:
            extra: Further images, which the engine's store already has.
        """
        with self.cache.locked():
            self._prepare()
            return self._load(extra)

    def load_s3(self) -> str:
        """Build an S3 server, bring it to the workers, and name its image; its entry point is /versitygw."""
        with self.cache.locked():
            self._prepare()
            program = tools.build(self.cache, [tools.S3_SERVER])[tools.S3_SERVER.name]
            name = f"{images.S3_REPOSITORY}:{program.parent.name.rsplit('-', 1)[-1]}"
            if not self.engine.has_image(name):
                self.engine.import_folder(program.parent, name)
                self.engine.remove_superseded(images.S3_REPOSITORY, keep=name)
            self._load_missing([(name,)])
            return name

    def gpu_pool(self, *, per_node: int = gpus.PER_NODE) -> None:
        """Give the workers GPUs that exist on paper only."""
        gpus.make_pool(self.kubectl, per_node=per_node)

    def lose_node(self, node: str) -> None:
        """End a node as a power cut does."""
        self.engine.run("kill", node)

    def bring_back(self, node: str) -> None:
        """Start a node again that was lost, and wait until the cluster is whole."""
        self.engine.run("start", node)
        self._wait(HEALED_PATIENCE_SECONDS)

    def kill(self, *, node: str, container: str) -> None:
        """End a container's first process as a crash does: SIGKILL, without a word before.

        Args:
            node: Where it runs.
            container: Its id, as the pod's status has it.
        """
        identity = container.removeprefix("containerd://")
        self.engine.run("exec", node, "ctr", "--namespace=k8s.io", "tasks", "kill", "--signal", "SIGKILL", identity)

    @contextmanager
    def wall(self, source: str, *, ports: Sequence[int]) -> Iterator[None]:
        """Refuse a pod's connections to other pods while inside, as a NetworkPolicy does where one is enforced.

        Args:
            source: The pod's address, IPv4.
            ports: TCP ports.
        """
        listed = ",".join(str(port) for port in ports)
        rule = ("FORWARD", "-s", source, "-p", "tcp", "-m", "multiport", "--dports", listed, "-j", "REJECT")
        nodes = sorted(self.nodes())
        for node in nodes:
            self.engine.run("exec", node, "iptables", "-I", *rule)
        try:
            yield
        finally:
            for node in nodes:
                self.engine.run("exec", node, "iptables", "-D", *rule)

    def audit(self, *, since: datetime) -> list[Request] | None:
        """What the operator asked of the API server, oldest first.

        Args:
            since: Only what began at this time or later.
        """
        read = ["sh", "-c", f"cat {kind_config.AUDIT_LOGS}/*.log"]
        return requests(self.engine.run("exec", f"{self.name}-control-plane", *read), since=since)

    def collect_logs(self, folder: Path) -> None:
        """Write what explains a failed run into a folder."""
        diagnosis.collect(self.kubectl, folder)
        try:
            run([self.tools / "kind", "export", "logs", "--name", self.name, folder], environment=self.environment())
        except CommandFailed as failed:
            (folder / "kind-export-failed.txt").write_text(f"{failed}\n")

    def _prepare(self) -> None:
        self._write_engine_settings()
        if self.engine.name == "podman":
            if os.geteuid() != 0:
                raise ClusterError("no Docker engine answers, and with Podman the cluster needs root: run this as root")
            debian.install_missing({**debian.PODMAN_PROGRAMS, **debian.ROOT_PROGRAMS})
            Path("/lib/modules").mkdir(parents=True, exist_ok=True)  # kind mounts it, Podman wants it to exist
        self.tools.mkdir(parents=True, exist_ok=True)
        for name, path in tools.build(self.cache, tools.HOST_TOOLS).items():
            tools.link(path, self.tools / name)

    def _write_engine_settings(self) -> None:
        path = self.engine.environment.get("CONTAINERS_CONF")
        if path is not None:
            with self.cache.published(Path(path)) as making:
                making.write_text(podman_settings_of_this_machine())

    def _node_image(self) -> str:
        if self.engine.can_have(OFFICIAL_NODE_IMAGE):
            return OFFICIAL_NODE_IMAGE
        return node_image.build_node_image(self.cache, self.engine)

    def _config(self, image: str) -> dict[str, object]:
        volumes = None if image == OFFICIAL_NODE_IMAGE else self.folder / "volumes"
        return kind_config.kind_config(gateway_port=self.gateway_port, audit_policy=self._audit_policy, volumes=volumes)

    @property
    def _audit_policy(self) -> Path:
        return self.folder / "audit-policy.yaml"

    @property
    def _made(self) -> Path:
        """Holds the recipe of a cluster that was made to the end."""
        return self.folder / "made"

    def _usable(self, recipe: str) -> bool:
        nodes = self.nodes()
        if not nodes:
            return False
        made = self._made.read_text() if self._made.exists() else ""
        if made != recipe or len(nodes) != kind_config.NODES or not self.kubeconfig.exists():
            note(f"cluster {self.name} is half made, or made by another recipe: it is made again")
            return False
        try:
            for node in (node for node, running in nodes.items() if not running):
                with step(f"starting {node}, which was stopped"):
                    self.engine.run("start", node)
            self._wait(HEALED_PATIENCE_SECONDS)
        except ClusterError as failed:
            note(f"{failed}\ncluster {self.name} does not heal: it is made again")
            return False
        return True

    def _create(self, image: str, recipe: str) -> None:
        (self.folder / "volumes").mkdir(parents=True, exist_ok=True)
        self._audit_policy.write_text(yaml.safe_dump(kind_config.audit_policy()))
        if self.engine.name == "podman":
            networks = self.engine.run("network", "ls", "--quiet").split()
            block = kind_config.free_node_range(self.engine.run("network", "inspect", *networks))
            self.engine.run("network", "create", "--subnet", block, self.name)
        config = self.folder / "kind.yaml"
        config.write_text(yaml.safe_dump(self._config(image), sort_keys=False))
        command: list[str | Path] = [self.tools / "kind", "create", "cluster", "--name", self.name]
        command += ["--image", image, "--config", config]
        with step(f"creating cluster {self.name}", about_seconds=40):
            run([*command, "--kubeconfig", self.kubeconfig], environment=self.environment(), timeout_seconds=600)
        self._wait(CREATED_PATIENCE_SECONDS)
        self._made.write_text(recipe)

    def _wait(self, patience_seconds: float) -> None:
        with step("waiting for nodes, DNS and Services"):
            readiness.wait_until_well(self.kubectl, self.engine, self.nodes(), patience_seconds=patience_seconds)

    def _remove(self) -> None:
        """Done by the engine alone, so that it works without the tools and on what a crash left."""
        self._made.unlink(missing_ok=True)
        if nodes := self.nodes():
            at_once = ["--time", "0"] if self.engine.name == "podman" else []
            self.engine.run("rm", "--force", "--volumes", *at_once, *nodes)
        for node in (f"{self.name}-{suffix}" for suffix in ("control-plane", "worker", "worker2")):
            if volumes := self.engine.run("volume", "ls", "--quiet", "--filter", f"label={node}").split():
                self.engine.run("volume", "rm", "--force", *volumes)
        if self.engine.succeeds("network", "inspect", self.name):
            self.engine.run("network", "rm", self.name)
        shutil.rmtree(self.folder, ignore_errors=True)

    def _load(self, extra: Sequence[str]) -> Images:
        base = images.build_base_image(self.cache, self.engine)
        built = Images(
            operator=images.build_operator_image(self.engine, base),
            triton=images.build_triton_image(self.engine, base),
        )
        control, envoy = gateway.build_images(self.cache, self.engine, base)
        monitor = prometheus.build_image(self.cache, self.engine)
        wanted = [(image.by_content, image.stable) for image in (built.operator, built.triton)]
        self._load_missing([*wanted, *((name,) for name in (control, envoy, monitor, *extra))])
        with self._once("gateway", control, envoy, inspect.getsource(gateway)) as is_due:
            if is_due:
                gateway.install(self.cache, self.kubectl, self._helm, control=control, envoy=envoy)
        with self._once("prometheus", monitor, inspect.getsource(prometheus)) as is_due:
            if is_due:
                prometheus.install(self.kubectl, image=monitor)
        return built

    @contextmanager
    def _once(self, name: str, *recipe: str) -> Iterator[bool]:
        """Say whether something is to be installed; once the block has ended well, this cluster has it."""
        marker, wanted = self.folder / name, key(self.folder, (), *recipe)
        is_due = not marker.exists() or marker.read_text() != wanted
        yield is_due
        if is_due:
            marker.write_text(wanted)

    def _helm(self, *words: str | Path) -> str:
        return run([self.tools / "helm", *words], environment=self.environment(), timeout_seconds=240)

    def _load_missing(self, wanted: Sequence[tuple[str, ...]]) -> None:
        """Bring images to the workers that lack them, all in one archive.

        Args:
            wanted: The names of each image; the first one tells whether a node has it.
        """
        workers = sorted(node for node in self.nodes() if "control-plane" not in node)
        there = {node: self._image_names(node) for node in workers}
        missing = [names for names in wanted if any(not _has(there[node], names[0]) for node in workers)]
        if not missing:
            return
        with step(f"loading {', '.join(names[0] for names in missing)}", about_seconds=20):
            archive = self.folder / "images.tar"
            archive.unlink(missing_ok=True)
            self.engine.save([name for names in missing for name in names], archive)
            command: list[str | Path] = [self.tools / "kind", "load", "image-archive", "--name", self.name]
            run([*command, "--nodes", ",".join(workers), archive], environment=self.environment(), timeout_seconds=600)
            archive.unlink()

    def _image_names(self, node: str) -> set[str]:
        return set(self.engine.run("exec", node, "ctr", "--namespace=k8s.io", "images", "list", "--quiet").split())


def _has(there: set[str], name: str) -> bool:
    return any(image == name or image.endswith(f"/{name}") for image in there)
