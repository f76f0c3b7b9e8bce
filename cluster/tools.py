"""Build the programs the cluster needs from pinned Go modules, one small module per tool (cluster/tools).

Not for: what comes from Debian (`debian`) or as an image (`images`).
"""

import os
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from cluster.cache import Cache, key
from cluster.processes import ClusterError, CommandFailed, run
from cluster.progress import step

HERE = Path(__file__).parent / "tools"
OLDEST_GO = (1, 21)


@dataclass(frozen=True, slots=True)
class Tool:
    """One program: the module that pins it, its package, and how long a cold build takes on two cores."""

    name: str
    module: str
    package: str
    about_seconds: int


HOST_TOOLS = (
    Tool("kind", "kind", "sigs.k8s.io/kind", 10),
    Tool("kubectl", "kubernetes", "k8s.io/kubernetes/cmd/kubectl", 30),
    Tool("helm", "helm", "helm.sh/helm/v4/cmd/helm", 200),
)
API_TOOLS = (
    Tool("etcd", "etcd", "go.etcd.io/etcd/server/v3", 35),
    Tool("kube-apiserver", "kubernetes", "k8s.io/kubernetes/cmd/kube-apiserver", 370),
    Tool("kube-controller-manager", "kubernetes", "k8s.io/kubernetes/cmd/kube-controller-manager", 120),
    Tool("kube-scheduler", "kubernetes", "k8s.io/kubernetes/cmd/kube-scheduler", 10),
    Tool("kwok", "kwok", "sigs.k8s.io/kwok/cmd/kwok", 190),
)
NODE_TOOLS = (
    *(tool for tool in API_TOOLS if tool.name != "kwok"),
    Tool("kubelet", "kubernetes", "k8s.io/kubernetes/cmd/kubelet", 25),
    Tool("kube-proxy", "kubernetes", "k8s.io/kubernetes/cmd/kube-proxy", 15),
    Tool("kubeadm", "kubernetes", "k8s.io/kubernetes/cmd/kubeadm", 30),
    Tool("kubectl", "kubernetes", "k8s.io/kubernetes/cmd/kubectl", 30),
    Tool("coredns", "coredns", "github.com/coredns/coredns", 190),
)
# What models are fetched from in the tests, and with in the benchmark beside us.
S3_SERVER = Tool("versitygw", "versitygw", "github.com/versity/versitygw/cmd/versitygw", 150)
SOURCE_TOOLS = (
    S3_SERVER,
    Tool("fake-gcs-server", "fake-gcs-server", "github.com/fsouza/fake-gcs-server", 180),
)
# The data plane that canaries are rolled out through.
ENVOY_GATEWAY = Tool("envoy-gateway", "envoy-gateway", "github.com/envoyproxy/gateway/cmd/envoy-gateway", 350)
# It reads what pods and proxies count; found as users' Prometheuses find them.
PROMETHEUS = Tool("prometheus", "prometheus", "github.com/prometheus/prometheus/cmd/prometheus", 300)
RCLONE = Tool("rclone", "rclone", ".", 180)


def kubernetes_version() -> str:
    """The Kubernetes release that cluster/tools/kubernetes/go.mod pins, as `v1.2.3`."""
    found = re.search(r"^\s*k8s\.io/kubernetes (v\S+)", (HERE / "kubernetes" / "go.mod").read_text(), re.MULTILINE)
    if found is None:
        raise ClusterError("cluster/tools/kubernetes/go.mod does not require k8s.io/kubernetes")
    return found.group(1)


def build_flags(module: str) -> tuple[str, ...]:
    """The flags of `go build` for the tools of a module."""
    variables = ""
    # Of the ways to discover targets just this one: the others bring the clients of all clouds.
    tags = ("-tags", "remove_all_sd,enable_kubernetes_sd") if module == "prometheus" else ()
    if module == "kubernetes":
        version = kubernetes_version()
        major, minor, *_ = version.removeprefix("v").split(".")
        named = {"gitVersion": version, "gitMajor": major, "gitMinor": minor}
        variables = "".join(f" -X k8s.io/component-base/version.{name}={value}" for name, value in named.items())
    return (*tags, "-p", "2", "-mod=readonly", "-trimpath", "-buildvcs=false", "-ldflags", f"-s -w{variables}")


def folder_of(cache: Cache, module: str) -> Path:
    """Where the tools of a module are kept; the folder's name changes with go.mod, go.sum and the flags."""
    source = HERE / module
    name = key(source, (source / "go.mod", source / "go.sum"), *build_flags(module))
    return cache.folder("tools", f"{module}-{name}")


def check_go() -> None:
    """Make sure that there is a Go that can fetch the toolchains the modules ask for.

    Raises:
        ClusterError: Go is missing or too old.
    """
    wanted = ".".join(map(str, OLDEST_GO))
    try:
        version = run(["go", "env", "GOVERSION"], cwd=Path("/"))
    except CommandFailed as missing:
        raise ClusterError(f"the tools are built from Go modules: install Go {wanted} or newer") from missing
    found = re.match(r"go(\d+)\.(\d+)", version)
    if found is None or (int(found[1]), int(found[2])) < OLDEST_GO:
        raise ClusterError(f"Go {version.strip()} is too old to fetch its own successors: install Go {wanted} or newer")


def build(cache: Cache, wanted: Iterable[Tool]) -> dict[str, Path]:
    """Build the tools that are missing; the lock of the cache must be held.

    Returns:
        The path of each wanted tool by its name.
    """
    tools = list(dict.fromkeys(wanted))
    paths = {tool.name: folder_of(cache, tool.module) / tool.name for tool in tools}
    missing = [tool for tool in tools if not paths[tool.name].exists()]
    if missing:
        check_go()
    for tool in missing:
        with step(f"building {tool.name}", about_seconds=tool.about_seconds):
            _build(cache, HERE / tool.module, tool.package, build_flags(tool.module), paths[tool.name])
    return paths


def build_pause(cache: Cache, source: Path) -> Path:
    """Build the program that holds a pod's namespaces open; it needs no module but its own."""
    flags = build_flags("pause")
    target = cache.folder("tools", f"pause-{key(source, (source / 'go.mod', source / 'main.go'), *flags)}") / "pause"
    if not target.exists():
        check_go()
        _build(cache, source, ".", flags, target)
    return target


def _build(cache: Cache, source: Path, package: str, flags: Iterable[str], target: Path) -> None:
    environment = {"CGO_ENABLED": "0", "GOMAXPROCS": "2", "GOWORK": "off"}
    if os.environ.get("GOTOOLCHAIN", "") in ("", "local"):
        environment["GOTOOLCHAIN"] = "auto"
    with cache.published(target) as making:
        run(["go", "build", *flags, "-o", making, package], cwd=source, environment=environment)


def link(path: Path, name: Path) -> None:
    """Let a symbolic link lead to a path, in one step."""
    making = name.with_name(f".{name.name}.new")
    making.unlink(missing_ok=True)
    making.symlink_to(path)
    making.rename(name)
