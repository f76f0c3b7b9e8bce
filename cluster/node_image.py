"""Build the node image for kind from Go modules and Debian packages, where the official one cannot be pulled.

Not for: how a node runs; that is cluster/node/entrypoint.
"""

import shutil
from pathlib import Path

from cluster import debian, docker_archive, tools
from cluster.cache import Cache, files_below, key
from cluster.docker_archive import FileImage
from cluster.engine import Engine
from cluster.processes import run
from cluster.progress import step

HERE = Path(__file__).parent / "node"
PROXY_PROGRAMS = ("iptables", "iptables-save", "iptables-restore", "ip6tables", "ip6tables-save", "ip6tables-restore")
ON_CONTROL_PLANE = ("kube-apiserver", "kube-controller-manager", "kube-scheduler", "etcd")


def name_of_node_image() -> str:
    """The image's name; it changes with everything that goes in."""
    modules = [tools.HERE / module / file for module in _modules() for file in ("go.mod", "go.sum")]
    here = Path(__file__)
    recipe = [here, here.with_name("docker_archive.py")]
    inputs = key(here.parent, [*files_below(HERE), *modules, *recipe], *debian.NODE_PACKAGES)
    return f"localhost/triton-operator-node:{inputs}"


def build_node_image(cache: Cache, engine: Engine) -> str:
    """Build the node image when the engine has none; the lock must be held. Returns its name."""
    name = name_of_node_image()
    if engine.has_image(name):
        return name
    programs = tools.build(cache, tools.NODE_TOOLS)
    programs["pause"] = tools.build_pause(cache, HERE / "pause")
    root = debian.root_folder(cache, "node", debian.NODE_PACKAGES, about_seconds=90)
    with step("building the node image", about_seconds=30), cache.workshop() as context:
        _fill(context, root, programs)
        engine.build(context, containerfile=HERE / "Containerfile", tags=[name], arguments={}, secrets={})
    engine.remove_superseded(name.split(":")[0], keep=name)
    return name


def _modules() -> list[str]:
    return sorted({tool.module for tool in tools.NODE_TOOLS})


def _fill(context: Path, root: Path, programs: dict[str, Path]) -> None:
    for folder in ("bin", "scripts", "etc/containerd", "kind/images", "kind/manifests", "kind/kubelet.d"):
        (context / folder).mkdir(parents=True)
    run(["cp", "--archive", "--link", root, context / "root"])
    for folder in ("etc/cni/net.d", "lib/modules", "etc/kubernetes/manifests"):
        (context / "root" / folder).mkdir(parents=True, exist_ok=True)
    for program in ("kubeadm", "kubectl", "kubelet"):
        shutil.copy2(programs[program], context / "bin")
    for script in ("entrypoint", "journalctl", "crictl"):
        shutil.copy2(HERE / script, context / "scripts")
    for manifest in ("default-cni.yaml", "default-storage.yaml"):
        shutil.copy2(HERE / manifest, context / "kind" / "manifests")
    shutil.copy2(HERE / "cni.conflist", context / "kind")
    shutil.copy2(HERE / "kubelet.conf", context / "kind" / "kubelet.d" / "10-node.conf")
    version = tools.kubernetes_version()
    (context / "kind" / "version").write_text(version + "\n")
    names = image_names(run([programs["kubeadm"], "config", "images", "list", "--kubernetes-version", version]))
    settings = (HERE / "containerd.toml").read_text().replace("PAUSE_IMAGE", names["pause"])
    (context / "etc" / "containerd" / "config.toml").write_text(settings)
    _write_images(context / "kind" / "images", root, programs, names)


def image_names(listed: str) -> dict[str, str]:
    """The full names that kubeadm wants, by the last part of each: `etcd` → `…/etcd:3.6.5-0`."""
    return {line.rsplit("/", 1)[-1].split(":")[0]: line for line in listed.split()}


def _write_images(folder: Path, root: Path, programs: dict[str, Path], names: dict[str, str]) -> None:
    docker_archive.write_archive(
        folder / "control-plane.tar",
        [FileImage(names[program], {f"/usr/local/bin/{program}": programs[program]}) for program in ON_CONTROL_PLANE],
    )
    docker_archive.write_archive(
        folder / "common.tar",
        [
            FileImage(
                names["kube-proxy"],
                {"/usr/local/bin/kube-proxy": programs["kube-proxy"], **_proxy_files(root)},
                links={f"/usr/sbin/{program}": "xtables-nft-multi" for program in PROXY_PROGRAMS},
                path="/usr/local/bin:/usr/sbin",
            ),
            FileImage(names["coredns"], {"/coredns": programs["coredns"]}, entrypoint=("/coredns",)),
            FileImage(names["pause"], {"/pause": programs["pause"]}, entrypoint=("/pause",), user="65535:65535"),
        ],
    )


def _proxy_files(root: Path) -> dict[str, Path]:
    """What kube-proxy calls, with the libraries it needs; iptables' extensions have libraries of their own."""
    wanted = [Path("usr/sbin") / program for program in ("nft", "conntrack", "xtables-nft-multi")]
    wanted += [path.relative_to(root) for path in root.glob("usr/lib/*/xtables/*.so")]
    found = {f"/{path}" for path in wanted}
    for path in wanted:
        listed = run(["chroot", root, "ldd", f"/{path}"])
        found.update(word for word in listed.split() if word.startswith("/"))
    return {path: root / run(["chroot", root, "readlink", "-f", path]).strip().lstrip("/") for path in found}
