"""What a run of the stories notes in its cluster for the one that looks back, in another process.

It stands in annotations of the operator's namespace, which an uninstalled operator leaves.
Not for: what the stories find.
"""

import json
from dataclasses import dataclass
from datetime import UTC, datetime

from cluster.provider import Cluster
from stories import SYSTEM

_BEGUN, _ENDED, _RIGHTLESS = (f"triton-operator.dev/stories-{name}" for name in ("begun", "ended", "rightless"))


@dataclass(frozen=True, slots=True)
class Run:
    """A run of stories.

    Attributes:
        begun: when it began.
        ended: when it ended; None while it goes on.
        rightless: times from which the operator's rights were taken away until it had them again.
    """

    begun: datetime
    ended: datetime | None
    rightless: tuple[tuple[datetime, datetime], ...]

    def counts(self, at: datetime, *, allowed: bool) -> bool:
        """Say whether a request counts for what the operator must be allowed.

        Args:
            at: when it came.
            allowed: whether it was let through.
        """
        if at < self.begun or (self.ended and at > self.ended):
            return False
        # Helm takes an uninstalled operator's rights away while its pods are still on their way out.
        return allowed or not any(begin <= at <= end for begin, end in self.rightless)


def begin(cluster: Cluster, at: datetime) -> None:
    """Note that a run begins; the namespace is there by now."""
    _note(cluster, {_BEGUN: at.isoformat(), _ENDED: None, _RIGHTLESS: None})


def end(cluster: Cluster) -> None:
    """Note that it ends now."""
    _note(cluster, {_ENDED: datetime.now(UTC).isoformat()})


def without_rights(cluster: Cluster, since: datetime) -> None:
    """Note that the operator had no rights from then on until now."""
    found = read(cluster)
    times = [*(found.rightless if found else ()), (since, datetime.now(UTC))]
    _note(cluster, {_RIGHTLESS: json.dumps([[moment.isoformat() for moment in pair] for pair in times])})


def read(cluster: Cluster) -> Run | None:
    """Read what the last run has noted; None where there was none."""
    body = json.loads(cluster.kubectl("get", "namespace", SYSTEM, "--output=json", "--ignore-not-found") or "{}")
    noted = body.get("metadata", {}).get("annotations") or {}
    if _BEGUN not in noted:
        return None
    moment = datetime.fromisoformat
    return Run(
        begun=moment(noted[_BEGUN]),
        ended=moment(noted[_ENDED]) if _ENDED in noted else None,
        rightless=tuple((moment(begin), moment(end)) for begin, end in json.loads(noted.get(_RIGHTLESS, "[]"))),
    )


def _note(cluster: Cluster, values: dict[str, str | None]) -> None:
    words = [f"{name}-" if value is None else f"{name}={value}" for name, value in values.items()]
    cluster.kubectl("annotate", "--overwrite", "namespace", SYSTEM, *words)
