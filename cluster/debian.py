"""What comes from Debian: missing packages on this machine, and root folders for images.

Not for: machines without apt; there the packages' names are told instead.
"""

import os
import re
import shutil
from collections.abc import Mapping
from pathlib import Path

from cluster.cache import Cache, key
from cluster.processes import ClusterError, run, search_path
from cluster.progress import note, step

RELEASE = "bookworm"
PODMAN_PROGRAMS = {
    "podman": "podman",
    "runc": "runc",
    "iptables": "iptables",
    "/usr/lib/podman/netavark": "netavark",
    "/usr/lib/podman/aardvark-dns": "aardvark-dns",
}
ROOT_PROGRAMS = {"debootstrap": "debootstrap"}
NODE_PACKAGES = (
    "ca-certificates",
    "conntrack",
    "containerd",
    "containernetworking-plugins",
    "hostname",
    "iproute2",
    "iptables",
    "kmod",
    "mount",
    "nftables",
    "procps",
    "runc",
    "util-linux",
)
BASE_PACKAGES = ("ca-certificates", "libpython3.11", "python3", "python3-venv")
# Nothing reads these in an image.
UNUSED = (
    *("var/cache/apt", "var/lib/apt/lists", "var/log"),
    *("usr/share/doc", "usr/share/info", "usr/share/locale", "usr/share/man"),
)


def install_missing(programs: Mapping[str, str]) -> None:
    """Install what is missing on this machine.

    Args:
        programs: name or path of each program → the package that has it.

    Raises:
        ClusterError: Something is missing and this is not root, or not Debian.
    """
    path = search_path(os.environ)
    missing = sorted({package for name, package in programs.items() if shutil.which(name, path=path) is None})
    if not missing:
        return
    command = f"apt-get install --yes --no-install-recommends {' '.join(missing)}"
    if os.geteuid() != 0 or shutil.which("apt-get") is None:
        raise ClusterError(f"missing on this machine: {', '.join(missing)}. As root on Debian: {command}")
    note(f"missing on this machine, installing by apt-get: {', '.join(missing)}")
    with step(f"installing {', '.join(missing)}", about_seconds=30):
        quiet = {"DEBIAN_FRONTEND": "noninteractive"}
        run(["apt-get", "update"], environment=quiet)
        run(command.split(), environment=quiet)


def mirror(targets: str) -> str:
    """The Debian mirror that apt uses, out of what `apt-get indextargets` prints.

    Args:
        targets: Lines `<address> <release> <component>`.
    """
    for line in targets.splitlines():
        found = re.match(rf"(\S+?)/? {RELEASE} main$", line.strip())
        if found:
            return found[1]
    raise ClusterError(f"apt knows no mirror of Debian {RELEASE}; the images are built from its packages")


def root_folder(cache: Cache, name: str, packages: tuple[str, ...], *, about_seconds: int) -> Path:
    """A Debian root with these packages, made by debootstrap when the cache has none; the lock must be held.

    Raises:
        ClusterError: This is not root, or not Debian.
    """
    folder = cache.folder("roots")
    target = folder / f"{name}-{key(folder, (), RELEASE, *packages, *UNUSED)}"
    if target.exists():
        return target
    if os.geteuid() != 0:
        raise ClusterError(f"the {name} image cannot be pulled, and to build it here takes root")
    install_missing(ROOT_PROGRAMS)
    targets = run(
        ["apt-get", "indextargets", "--format", "$(REPO_URI) $(CODENAME) $(COMPONENT)", "Identifier: Packages"]
    )
    options = ["--variant=minbase", f"--cache-dir={cache.folder('debs')}", f"--include={','.join(packages)}"]
    title = f"making a Debian root for the {name} image"
    with step(title, about_seconds=about_seconds), cache.published(target) as making:
        run(["debootstrap", *options, RELEASE, making, mirror(targets)])
        for path in UNUSED:
            _empty(making / path)
        for path in ("etc/machine-id", "etc/hostname", "etc/resolv.conf", "etc/apt/sources.list"):
            (making / path).unlink(missing_ok=True)
    return target


def program_of(cache: Cache, package: str, path: str) -> Path:
    """A program out of a Debian package, which is not installed; the lock must be held.

    Args:
        cache: where it is kept.
        package: the package's name.
        path: where the program is in it, such as `usr/bin/name`.
    """
    folder = cache.folder("packages")
    target = folder / f"{package}-{key(folder, (), RELEASE, path)}" / Path(path).name
    if target.exists():
        return target
    with step(f"unpacking {package}", about_seconds=10), cache.workshop() as workshop:
        run(["apt-get", "update"], environment={"DEBIAN_FRONTEND": "noninteractive"})
        run(["apt-get", "download", "-o", "APT::Sandbox::User=root", package], cwd=workshop)
        (archive,) = workshop.glob("*.deb")
        run(["dpkg-deb", "--extract", archive, workshop / "root"])
        with cache.published(target) as making:
            shutil.copy2(workshop / "root" / path, making)
    return target


def _empty(folder: Path) -> None:
    if folder.is_dir():
        shutil.rmtree(folder)
        folder.mkdir()
