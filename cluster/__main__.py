"""The command line: `python -m cluster <command>` from the repository's root.

Not for: anything else than reading arguments and printing; see `provider`.
"""

import argparse
import os
import shlex
import sys
from contextlib import suppress
from pathlib import Path

from cluster import evidence, provider
from cluster.gpus import PER_NODE
from cluster.kind import KindCluster
from cluster.processes import ClusterError
from cluster.progress import console


def main() -> int:
    """Run one command; returns the exit status."""
    arguments = _parser().parse_args()
    try:
        _run(arguments)
    except ClusterError as error:
        console.print(f"{error}", style="red", markup=False, soft_wrap=True)
        if arguments.command in ("up", "load") and _has_nodes():
            console.print(f"logs of the cluster: {evidence.keep('cluster-up')}", markup=False, soft_wrap=True)
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


def _has_nodes() -> bool:
    with suppress(ClusterError):
        cluster = provider.current()
        return isinstance(cluster, KindCluster) and bool(cluster.nodes())
    return False


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m cluster", description="A Kubernetes cluster for demo and tests.")
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("up", help="make the cluster or heal it, and load the images; safe to repeat")
    commands.add_parser("down", help="remove the cluster; tools and images stay in the cache")
    commands.add_parser("purge", help="remove the cluster and the cache")
    commands.add_parser("load", help="build the images whose content changed and load them; prints their names")
    pool = commands.add_parser("gpus", help="give the workers GPUs on paper: capacity, labels and a taint")
    pool.add_argument("--per-node", type=int, default=PER_NODE, help="GPUs of each worker (%(default)s)")
    collect = commands.add_parser("logs", help="collect what explains a failed run")
    collect.add_argument("folder", type=Path)
    commands.add_parser("env", help='print the variables for a shell: eval "$(python -m cluster env)"')
    commands.add_parser("tools", help="build an API server, etcd and kwok for tests without nodes; prints their folder")
    return parser


def _run(arguments: argparse.Namespace) -> None:
    if arguments.command == "tools":
        print(provider.api_tools(os.environ))
        return
    cluster = provider.current()
    match arguments.command:
        case "up" | "load":
            images = cluster.up() if arguments.command == "up" else cluster.load()
            print(f"OPERATOR_IMAGE={images.operator.by_content}\nTRITON_IMAGE={images.triton.by_content}")
        case "down":
            cluster.down()
        case "purge":
            cluster.down()
            if isinstance(cluster, KindCluster):
                cluster.purge()
        case "gpus":
            cluster.gpu_pool(per_node=arguments.per_node)
        case "logs":
            cluster.collect_logs(arguments.folder)
        case "env":
            for name, value in cluster.environment().items():
                if name != "PATH":
                    print(f"export {name}={shlex.quote(value)}")
            print(f'export PATH={shlex.quote(str(cluster.tools))}:"$PATH"')


if __name__ == "__main__":
    sys.exit(main())
