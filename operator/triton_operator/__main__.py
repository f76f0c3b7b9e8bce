"""`triton-operator --config FILE`: run the operator.

Not for: anything that is worth a test of its own; see `controller.process`.
"""

import argparse
import asyncio
import logging
import sys
import time
from importlib.metadata import version
from pathlib import Path

import yaml
from kubernetes.aio.config import ConfigException
from pydantic import ValidationError

from triton_operator.api import names
from triton_operator.api.settings import read_settings
from triton_operator.controller import logs, process
from triton_operator.controller.events import KopfEnded
from triton_operator.controller.reconcile import Reconciler
from triton_operator.edges.errors import ApiError

_log = logging.getLogger(__name__)


def main(arguments: list[str] | None = None, *, kinds_seconds: float = process.KINDS_SECONDS) -> int:
    """Run the operator until it is told to stop.

    Args:
        arguments: of the command line; None: those of the process.
        kinds_seconds: how often the cluster is asked which optional kinds it serves.

    Returns:
        The exit code: 0 after a stop by signal, 1 when the process must be started anew, 2 when it was started wrongly.
    """
    parser = argparse.ArgumentParser(prog=names.OPERATOR, description="The Kubernetes operator for Triton.")
    parser.add_argument("--config", type=Path, required=True, metavar="FILE", help="the settings, a YAML file")
    parser.add_argument("--version", action="version", version=f"{names.OPERATOR} {version(names.OPERATOR)}")
    options = parser.parse_args(arguments)
    try:
        settings = read_settings(options.config)
    except (OSError, yaml.YAMLError, ValidationError) as error:
        print(f"{names.OPERATOR}: {options.config} cannot be used: {error}", file=sys.stderr)
        return 2
    logs.configure(settings.log)
    try:
        asyncio.run(process.run(settings, _reconciler, kinds_seconds=kinds_seconds))
    except (process.Unfit, process.Deposed, KopfEnded, ApiError, OSError, ConfigException) as error:
        _log.error("Ending: %s%s", error, f": {error.__cause__}" if error.__cause__ else "")
        return 1
    return 0


def _reconciler(parts: process.Parts) -> Reconciler:
    return Reconciler(
        parts.kube,
        parts.store,
        parts.settings,
        parts.metrics,
        wake=parts.wake,
        pressed=parts.pressed,
        clock=time.time,
        instance=parts.instance,
    )


if __name__ == "__main__":
    sys.exit(main())
