"""The clusters that tests run on, one beside the other: stories that need one for themselves need not wait in line.

Each is named by its number. The first is the one that everything else means; a given cluster has none beside it.
Not for: what one cluster is (`provider`).
"""

import os
from collections.abc import Mapping

from cluster import provider
from cluster.kind import KindCluster
from cluster.processes import ClusterError
from cluster.provider import Cluster

COUNT = "TRITON_OPERATOR_CLUSTERS"
USUAL = 2
MOST = 9
# One cluster with all that a story may start takes up to 4 GiB; below this a second one is too much.
TWO_CLUSTERS_BYTES = 12 * 2**30
# On two cores one of them leaves the other no time: what its stories measure would be of the machine.
TWO_CLUSTERS_CORES = 4


def count(environment: Mapping[str, str] | None = None) -> int:
    """Say on how many clusters tests run.

    Args:
        environment: the variables to go by; None: those of this process.

    Raises:
        ClusterError: The settings do not fit together.
    """
    variables = os.environ if environment is None else environment
    wanted = variables.get(COUNT, "")
    if not isinstance(provider.current(variables), KindCluster):
        if wanted not in ("", "1"):
            raise ClusterError(f"{COUNT}={wanted}: a cluster that is there already has none beside it")
        return 1
    if not wanted:
        return USUAL if _memory_bytes() >= TWO_CLUSTERS_BYTES and _cores() >= TWO_CLUSTERS_CORES else 1
    if not wanted.isdecimal() or not 1 <= int(wanted) <= MOST:
        raise ClusterError(f"{COUNT}={wanted}: it must be a number from 1 to {MOST}")
    return int(wanted)


def variables_of(number: int, environment: Mapping[str, str] | None = None) -> dict[str, str]:
    """Give the variables by which a cluster is the current one.

    Args:
        number: From 1, which is the one that is current anyway.
        environment: Variables by which the first one is; None: those of this process.

    Raises:
        ClusterError: There cannot be a cluster of this number.
    """
    variables = dict(os.environ if environment is None else environment)
    if number == 1:
        return variables
    first = provider.current(variables)
    if not isinstance(first, KindCluster):
        raise ClusterError(f"a cluster that is there already has no other of the number {number} beside it")
    changed = {
        "KUBECONFIG": "",
        "TRITON_OPERATOR_CLUSTER_NAME": f"{first.name}-{number}",
        "TRITON_OPERATOR_GATEWAY_PORT": str(first.gateway_port + number - 1),
    }
    return variables | changed


def of_tests(environment: Mapping[str, str] | None = None) -> list[Cluster]:
    """List the clusters that tests run on, the first one first."""
    numbers = range(1, count(environment) + 1)
    return [provider.current(variables_of(number, environment)) for number in numbers]


def made(environment: Mapping[str, str] | None = None) -> list[Cluster]:
    """List the first cluster, and those beside it of which anything is there."""
    first = provider.current(environment)
    if not isinstance(first, KindCluster):
        return [first]
    others = (provider.current(variables_of(number, environment)) for number in range(2, MOST + 1))
    return [first, *(other for other in others if isinstance(other, KindCluster) and other.folder.exists())]


def enter(number: int) -> None:
    """Let this process, and whatever it starts, live in a cluster; it cannot go to another one afterwards.

    Args:
        number: From 1.
    """
    os.environ.update(variables_of(number))
    os.environ.update(provider.current().environment())


def _cores() -> int:
    return len(os.sched_getaffinity(0))


def _memory_bytes() -> int:
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
