"""The container engine: Docker where one answers, else Podman. Their command lines are nearly the same.

Not for: kind's clusters (`kind`), and what is in the images (`images`, `node_image`).
"""

import re
import resource
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from cluster.processes import run, succeeds

# Podman takes half of the system's process ids by itself before it reads its settings.
MOST_PROCESSES = 32768
MOST_FILES = 1048576
CONTENT_TAG = re.compile(r"[:-][0-9a-f]{12}$")


@dataclass(frozen=True, slots=True)
class Engine:
    """One engine and the variables its command line needs."""

    name: Literal["docker", "podman"]
    environment: Mapping[str, str] = field(default_factory=dict)

    def run(self, *words: str | Path, timeout_seconds: float | None = None) -> str:
        """Run one of the engine's own commands and return its output."""
        return run([self.name, *words], environment=self.environment, timeout_seconds=timeout_seconds)

    def succeeds(self, *words: str | Path) -> bool:
        """Whether one of the engine's own commands ends well."""
        return succeeds([self.name, *words], environment=self.environment)

    def has_image(self, tag: str) -> bool:
        """Whether an image of this name is in the engine's store."""
        return self.succeeds("image", "inspect", tag)

    def can_have(self, image: str) -> bool:
        """Whether an image of a registry is in the engine's store, after a try to pull it.

        Only Docker pulls: what Podman runs is built here.
        """
        if self.name == "podman":
            return False
        return self.has_image(image) or self.succeeds("pull", "--quiet", image)

    def build(
        self,
        context: Path,
        *,
        containerfile: Path,
        tags: Sequence[str],
        arguments: Mapping[str, str],
        secrets: Mapping[str, Path],
    ) -> None:
        """Build an image.

        Args:
            context: The folder that COPY reads.
            containerfile: The recipe.
            tags: Names of the image.
            arguments: Values for its ARG lines.
            secrets: Files for its `RUN --mount=type=secret` lines, by id.
        """
        words: list[str | Path] = ["build", "--file", containerfile]
        if self.name == "podman":
            # chroot: works for a root that may not raise limits. Nothing is pulled here.
            words += ["--isolation", "chroot", "--network", "host", "--pull=never"]
        for tag in tags:
            words += ["--tag", tag]
        for name, value in arguments.items():
            words += ["--build-arg", f"{name}={value}"]
        for name, path in secrets.items():
            words += ["--secret", f"id={name},src={path}"]
        self.run(*words, context)

    def import_folder(self, folder: Path, tag: str) -> None:
        """Make an image of one layer from a folder that holds a whole root."""
        recipe = folder.parent / f"{folder.name}.containerfile"
        recipe.write_text("FROM scratch\nCOPY . /\n")
        self.build(folder, containerfile=recipe, tags=[tag], arguments={}, secrets={})

    def save(self, tags: Sequence[str], archive: Path) -> None:
        """Write images into one archive."""
        many = ["--multi-image-archive"] if self.name == "podman" else []
        self.run("save", *many, "--output", archive, *tags)

    def remove_superseded(self, repository: str, *, keep: str) -> None:
        """Remove a repository's images that are named by their content, but for one; those in use stay.

        Args:
            repository: `localhost/name`.
            keep: The full name of the image that stays.
        """
        names = self.run("images", "--filter", f"reference={repository}", "--format", "{{.Repository}}:{{.Tag}}")
        for name in names.split():
            if CONTENT_TAG.search(name) and name.startswith(f"{repository}:") and name != keep:
                self.succeeds("rmi", name)

    def containers(self, label: str) -> dict[str, bool]:
        """The containers with a label: name → whether it runs."""
        rows = self.run("ps", "--all", "--filter", f"label={label}", "--format", "{{.Names}}\t{{.State}}")
        pairs = (row.split("\t") for row in rows.splitlines() if row.strip())
        return {name: state.lower().startswith(("running", "up")) for name, state in pairs}


def choose(*, docker_answers: bool, podman_settings: Path) -> Engine:
    """Docker where its engine answers, else Podman with settings of our own."""
    if docker_answers:
        # Before Docker 23 the builder that knows secrets has to be asked for.
        return Engine("docker", {"DOCKER_BUILDKIT": "1"})
    return Engine("podman", {"CONTAINERS_CONF": str(podman_settings), "KIND_EXPERIMENTAL_PROVIDER": "podman"})


def docker_answers() -> bool:
    """Whether there is a Docker engine, not only its command line."""
    return succeeds(["docker", "info"])


def podman_settings(*, files: int, processes: int, systemd: bool, cgroup_v2: bool) -> str:
    """Podman's containers.conf for this machine.

    Args:
        files: The hard limit of open files of this process; negative: none.
        processes: The hard limit of processes; negative: none.
        systemd: Whether systemd runs the machine and can make cgroups.
        cgroup_v2: Whether the unified hierarchy is mounted; crun takes no other.
    """
    files = files if 0 <= files < MOST_FILES else MOST_FILES
    processes = processes if 0 <= processes < MOST_PROCESSES else MOST_PROCESSES
    lines = [
        "[containers]",
        "# Never beyond the caller's own limits: a root without CAP_SYS_RESOURCE may not raise them.",
        f'default_ulimits = ["nofile={files}:{files}", "nproc={processes}:{processes}"]',
        "[engine]",
        'events_logger = "file"',
    ]
    if not (systemd and cgroup_v2):
        lines.append('cgroup_manager = "cgroupfs"')
    if not cgroup_v2:
        lines.append('runtime = "runc"')
    return "\n".join([*lines, "[network]", 'network_backend = "netavark"', ""])


def podman_settings_of_this_machine() -> str:
    """`podman_settings` with what this process and machine have."""
    return podman_settings(
        files=resource.getrlimit(resource.RLIMIT_NOFILE)[1],
        processes=resource.getrlimit(resource.RLIMIT_NPROC)[1],
        systemd=Path("/run/systemd/system").is_dir(),
        cgroup_v2=Path("/sys/fs/cgroup/cgroup.controllers").exists(),
    )
