"""Reaching a Service of the cluster from this machine, by `kubectl port-forward` on loopback.

Not for: traffic that a Service must balance: a forward ends at one pod.
"""

import os
import re
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from cluster.processes import ClusterError

_LINE = re.compile(rb"Forwarding from 127\.0\.0\.1:(\d+) -> (\d+)")


@contextmanager
def forwarded(
    kubectl: Path, environment: Mapping[str, str], target: str, *ports: int, namespace: str
) -> Iterator[dict[int, int]]:
    """Forward ports of a target to free ports of loopback while the context lasts.

    Args:
        kubectl: the program.
        environment: variables, added to those of this process, under which it sees the cluster.
        target: what to reach, such as service/digits.
        ports: ports of the target.
        namespace: its namespace.

    Yields:
        For each port of the target (of the pod behind a Service), the port on 127.0.0.1.

    Raises:
        ClusterError: kubectl ended before it forwarded.
    """
    command = [str(kubectl), "port-forward", "--address=127.0.0.1", f"--namespace={namespace}", target]
    process = subprocess.Popen(
        [*command, *(f":{port}" for port in ports)],
        env={**os.environ, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    try:
        found: dict[int, int] = {}
        assert process.stdout is not None
        while len(found) < len(ports):
            line = process.stdout.readline()
            if not line:
                said = process.stderr.read().decode() if process.stderr else ""
                raise ClusterError(f"kubectl cannot forward to {target}: {said.strip()}")
            if match := _LINE.match(line):
                found[int(match[2])] = int(match[1])
        yield found
    finally:
        process.terminate()
        process.wait()
