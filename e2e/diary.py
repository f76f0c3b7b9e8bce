"""Load on a service while things happen to it, and a diary of both: what a failed request is explained by.

Not for: what happens; that is the test's.
"""

import json
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import datetime

from benchmarks.load import manifests, report
from benchmarks.load.report import Phase, Report
from cluster.processes import CommandFailed
from stories import SYSTEM, Json, Namespace

LOAD = "load"
BEFORE_SECONDS, AFTER_SECONDS = 12, 2  # what led to a failure: a pod sleeps for ten seconds before Triton ends
MOST_TOLD = 20
STOP = "import os, signal; os.kill(1, signal.SIGTERM)"


class Diary:
    """A load on a service and what was done meanwhile."""

    def __init__(
        self,
        namespace: Namespace,
        service: str,
        image: str,
        rates: Mapping[str, float | str],
        *,
        host: str | None = None,
        via: str | None = None,
    ) -> None:
        """Start the load and wait until it is answered.

        Args:
            namespace: where the service is.
            service: its name.
            image: of the load's pod.
            rates: requests per second by kind of client, or how they rise and fall, see `benchmarks.load`.
            host: the host name that a Gateway knows the service by; None: straight to the service.
            via: address and port of that Gateway.
        """
        self.phases: list[Phase] = []
        self._namespace = namespace
        self._kills: list[tuple[float, str]] = []
        self._killed: set[str] = set()
        self._log: set[tuple[float, str]] = set()  # of the operator: a killed container's is gone after the next one
        host = host or f"{service}.{namespace.name}.svc.cluster.local"
        clients = [word for kind, rate in rates.items() for word in ("--client", f"{kind}={rate}")]
        clients += ["--via", via] if via else []
        namespace.apply(manifests.program(), manifests.pod(LOAD, image, ["python", "-m", "load", host, *clients]))
        namespace.kubectl("wait", f"pod/{LOAD}", "--for=condition=Ready", "--timeout=60s")
        self.answered(rates, count=1)

    def answered(self, clients: Iterable[str], *, count: int) -> None:
        """Wait until so many requests of each kind of client were answered from now on."""
        since = Phase("", time.time(), float("inf"))

        def enough() -> bool:
            told = self.read()
            return all(told.sum(client, since).outcomes["answered"] >= count for client in clients)

        self._namespace.until(enough)

    def read(self) -> Report:
        """What became of the requests so far.

        Raises:
            AssertionError: the load itself has failed.
        """
        lines = self._namespace.kubectl("logs", LOAD).splitlines()
        try:
            return report.read(lines[:-1] if lines and not lines[-1].endswith("}") else lines)
        except ValueError as error:
            raise AssertionError("the load has failed:\n" + "\n".join(lines[-30:])) from error

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Note what goes on until the block ends."""
        begin = time.time()
        yield
        self.phases.append(Phase(name, begin, time.time()))

    def stop(self) -> Report:
        """Stop the load once what is in flight has ended, and read all of its report."""
        self._namespace.kubectl("exec", LOAD, "--", "python", "-c", STOP)
        self._namespace.kubectl("wait", f"pod/{LOAD}", "--for=jsonpath={.status.phase}=Succeeded", "--timeout=60s")
        return self.read()

    def kill_operator(self) -> None:
        """Kill the replica of the operator that leads, by SIGKILL."""

        def led() -> tuple[str, Json] | None:
            """Who holds the Lease and was not killed yet, and its pod."""
            identity = self._system("lease", "triton-operator")["spec"]["holderIdentity"]
            if not identity or identity in self._killed:
                return None
            return identity, self._system("pod", identity.partition("_")[0])

        identity, pod = self._namespace.until(led, seconds=60)
        self._killed.add(identity)
        self._keep_log_of_operator()
        (status,) = pod["status"]["containerStatuses"]
        self._namespace.cluster.kill(node=pod["spec"]["nodeName"], container=status["containerID"])
        self._kills.append((time.time(), f"kill -9 of {pod['metadata']['name']}, which led"))

    def explain(self, told: Report, clients: list[str]) -> str:
        """Say which requests of these clients failed, and what the cluster and the operator did just before."""
        failures = [failure for failure in told.failures if failure.client in clients]
        lines = [f"{len(failures)} requests failed; the first {min(MOST_TOLD, len(failures))}:"]
        lines += [f"  {report.told(failure)}" for failure in failures[:MOST_TOLD]]
        if failures:
            events = self._events()
            for moment in (failures[0].failed, failures[-1].failed):
                lines += [f"what happened before {report.clock(moment)}:"]
                lines += [f"  {line}" for at, line in events if -BEFORE_SECONDS <= at - moment <= AFTER_SECONDS]
        return "\n".join(lines)

    def _system(self, kind: str, name: str) -> Json:
        words = ("get", kind, name, f"--namespace={SYSTEM}", "--output=json")
        body: Json = json.loads(self._namespace.cluster.kubectl(*words))
        return body

    def _events(self) -> list[tuple[float, str]]:
        """What happened, in order: by the diary, by the events of the namespace, by the operator's log."""
        self._keep_log_of_operator()
        found = [*self._kills, *self._log]
        for phase in self.phases:
            found += [(phase.begin, f"begun: {phase.name}"), (phase.end, f"done: {phase.name}")]
        for event in self._namespace.listed("events"):
            at = event.get("eventTime") or event["lastTimestamp"]
            about = f"{event['involvedObject']['kind']} {event['involvedObject']['name']}"
            found.append((_epoch(at), f"{about}: {event['reason']}: {event['message']}"))
        for name, body in ((p["metadata"]["name"], p) for p in self._namespace.listed("pods")):
            if (gone := body["metadata"].get("deletionTimestamp")) is not None:
                found.append((_epoch(gone), f"Pod {name}: ends by now at the latest"))
        return [(at, f"{report.clock(at)} {line}") for at, line in sorted(found)]

    def _keep_log_of_operator(self) -> None:
        selector = "--selector=app.kubernetes.io/name=triton-operator"
        words = ("get", "pods", f"--namespace={SYSTEM}", selector, "--output=jsonpath={.items[*].metadata.name}")
        for pod in self._namespace.cluster.kubectl(*words).split():
            for which in ("--previous=false", "--previous=true"):
                with suppress(CommandFailed):  # there is no previous one
                    read = ("logs", pod, f"--namespace={SYSTEM}", "--timestamps", which)
                    for line in self._namespace.cluster.kubectl(*read).splitlines():
                        at, _, text = line.partition(" ")
                        self._log.add((_epoch(at), f"operator {pod}: {text}"))


def _epoch(stamp: str) -> float:
    """Seconds since the epoch of a time stamp of Kubernetes, whose nanoseconds Python does not take."""
    whole, dot, fraction = stamp.removesuffix("Z").partition(".")
    return datetime.fromisoformat(f"{whole}{dot}{fraction[:6]}+00:00").timestamp()
