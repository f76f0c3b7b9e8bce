"""Read what the load generator told: what became of the requests of each phase, and which ones failed.

Not for: what the cluster did meanwhile; that is for who runs the load.
"""

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from .generator import ANSWERED, Failure, Second
from .histogram import percentile

HEAD = ("phase", "seconds", "client", "requests", "failed", "reopened", "p50 ms", "p99 ms", "most ms")


@dataclass(frozen=True, slots=True)
class Phase:
    """A part of a run.

    Attributes:
        name: what went on.
        begin: in seconds since the epoch.
        end: in seconds since the epoch; the second it is in belongs to the next phase.
    """

    name: str
    begin: float
    end: float


@dataclass(frozen=True, slots=True)
class Report:
    """What became of the requests.

    Attributes:
        seconds: by the second in which they were due and the kind of client.
        failures: one by one; only the first thousand of a run.
    """

    seconds: dict[tuple[int, str], Second]
    failures: tuple[Failure, ...]

    @property
    def clients(self) -> list[str]:
        """The kinds of clients."""
        return sorted({client for _, client in self.seconds})

    def sum(self, client: str, phase: Phase | None = None) -> Second:
        """Add up what became of one kind of client's requests.

        Args:
            client: the kind.
            phase: those due in it; None: in the whole run.
        """
        total = Second()
        for (number, kind), second in self.seconds.items():
            if kind == client and (phase is None or int(phase.begin) <= number <= phase.end - 1):
                total.add(second)
        return total

    def gaps(self, phase: Phase) -> list[tuple[int, str]]:
        """Seconds of a phase in which a kind of client had no request due, which a constant rate does not have."""
        wanted = [(number, client) for number in range(int(phase.begin), int(phase.end)) for client in self.clients]
        return [key for key in wanted if key not in self.seconds]

    def rows(self, phases: Sequence[Phase]) -> list[tuple[str, ...]]:
        """Write the lines of a table with `HEAD`: each phase with each kind of client, and the whole run."""
        rows = [
            self._row(phase, client) for phase in phases if int(phase.end) > int(phase.begin) for client in self.clients
        ]
        whole = Phase("all", phases[0].begin, phases[-1].end)
        return rows + [self._row(whole, client) for client in self.clients]

    def _row(self, phase: Phase, client: str) -> tuple[str, ...]:
        total = self.sum(client, phase)
        failed = {kind: count for kind, count in total.outcomes.items() if kind != ANSWERED}
        told = ", ".join(f"{count} {kind}" for kind, count in sorted(failed.items())) or "0"
        latencies = [percentile(total.buckets, percent) for percent in (50, 99, 100)]
        return (
            phase.name,
            f"{int(phase.end) - int(phase.begin)}",
            client,
            str(total.outcomes.total()),
            told,
            str(total.reopened),
            *("–" if found is None else f"{found:.1f}" if found < 100 else f"{found:.0f}" for found in latencies),
        )


def read(lines: Iterable[str]) -> Report:
    """Read the generator's lines.

    Raises:
        ValueError: a line is none of the generator's: it has failed, and the line says how.
    """
    seconds: dict[tuple[int, str], Second] = {}
    failures: list[Failure] = []
    for line in lines:
        body = json.loads(line)
        if "failure" in body:
            failures.append(Failure(**body["failure"]))
            continue
        second = Second(
            outcomes=Counter(body["outcomes"]),
            versions=Counter(body["versions"]),
            pods=Counter(body["pods"]),
            reopened=body["reopened"],
            buckets=Counter({int(number): count for number, count in body["buckets"].items()}),
        )
        # A request that was sent late may come after the rest of its second was told.
        seconds.setdefault((body["second"], body["client"]), Second()).add(second)
    return Report(seconds, tuple(failures))


def told(failure: Failure) -> str:
    """Tell of a failed request in one line."""
    connection = "a connection used before" if failure.reused else "a connection"
    last = f", on which {failure.last_pod} had answered last" if failure.last_pod else ""
    return (
        f"{clock(failure.failed)} {failure.client} #{failure.request}, due {clock(failure.due)}, on {connection} "
        f"({failure.connection}{last}): {failure.kind}: {failure.words}"
    )


def clock(moment: float) -> str:
    """Write a time of day, UTC, to the millisecond."""
    return datetime.fromtimestamp(moment, UTC).strftime("%H:%M:%S.%f")[:-3]
