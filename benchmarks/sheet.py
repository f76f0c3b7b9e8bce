"""What a run has measured, row by row, beside what was asked for and what a peer needs for the same.

Not for: measuring.
"""

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from benchmarks.installation import Reading
from benchmarks.report import table
from cluster.progress import note

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Bar:
    """What a number must stay below.

    Attributes:
        limit: the least value that is too much.
        unit: of it.
    """

    limit: float
    unit: str

    def judge(self, value: float) -> str:
        """Say whether a value keeps below it."""
        asked = "none" if self.limit <= 1 and not self.unit else f"< {self.limit:g} {self.unit}".rstrip()
        return f"{asked}: {'kept' if value < self.limit else '**missed**'}"


@dataclass(slots=True)
class Sheet:
    """The rows of a run."""

    rows: list[tuple[str, str, str, str]] = field(default_factory=list)

    def tell(self, what: str, result: str, *, bar: str = "", peer: str = "") -> None:
        """Note a result; a run that is ended early has shown what it measured until then.

        Args:
            what: what was measured.
            result: the result in words.
            bar: what was asked for, and whether it was kept.
            peer: the same of the peer.
        """
        self.rows.append((what, result, bar, peer))
        note(f"{what}: {result}{f' ({bar})' if bar else ''}")

    def markdown(self) -> str:
        """Write the rows as a table."""
        return table(("what", "result", "asked for", "KServe 0.20"), self.rows)


def verbs(writes: list[Json]) -> str:
    """Count writes by verb and type."""
    counted = Counter(f"{write['verb']} {write['objectRef']['resource']}" for write in writes)
    return ", ".join(f"{count} {name}" for name, count in counted.most_common()) or "none"


def calls(before: Reading, after: Reading, looks: float) -> str:
    """Tell the API calls per reconcile between two readings, by verb, those of the Lease among them.

    Args:
        before: the earlier one.
        after: the later one.
        looks: reconciles meanwhile.
    """
    now, was = after.by("api_calls_total", "verb"), before.by("api_calls_total", "verb")
    made = {verb: now[verb] - was.get(verb, 0) for verb in sorted(now) if now[verb] > was.get(verb, 0)}
    listed = ", ".join(f"{verb} {count / looks:.2f}" for verb, count in made.items())
    return f"{sum(made.values()) / looks:.2f} ({listed})"


def grown(before: Reading, after: Reading, name: str, **labels: str) -> float:
    """By how much a metric has grown between two readings."""
    return after.total(name, **labels) - before.total(name, **labels)


def megabytes(reading: Reading) -> float:
    """The operator's resident memory."""
    return reading.total("process_resident_memory_bytes") / 1e6
