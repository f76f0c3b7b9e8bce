"""What the operator's policy is shown: the operator's own sums over samples of the simulated servers.

Not for: the sums; see `triton_operator.core.signals`.
"""

from benchmarks.autoscaling.scrapes import Scrapes
from benchmarks.autoscaling.servers import Fleet, Replica
from triton_operator.api.counts import Counts, Sample
from triton_operator.core.load import Load
from triton_operator.core.signals import TAIL_SECONDS, History, Pod, extended, load_of

EPOCH = 1_700_000_000.0  # when the simulation begins, for those who think in seconds since 1970


class Looks:
    """The operator's looks at the counters of its pods."""

    def __init__(self, fleet: Fleet, scrapes: Scrapes) -> None:
        """Know nothing yet.

        Args:
            fleet: the replicas.
            scrapes: whose clock, outages and losses these are.
        """
        self._fleet = fleet
        self._scrapes = scrapes
        self._histories: dict[int, History] = {}

    def scrape(self) -> None:
        """Take a sample of all that answer."""
        now = EPOCH + self._fleet.now
        for replica in self._scrapes.scrape():
            before = self._histories.get(replica.name, ())
            self._histories[replica.name] = extended(before, [_sample(replica, now)], now=now)

    def load(self, percentile: int, *, tail: bool) -> tuple[Load | None, str]:
        """Sum up what the ready replicas did.

        Args:
            percentile: which one of the durations matters.
            tail: whether the gateway's histogram can be had.

        Returns:
            What was measured, or None, and what is amiss, "" where nothing is.
        """
        if self._scrapes.down():
            return None, "queries fail"
        pods = [
            Pod(
                EPOCH + replica.ready_at if replica.ready_at else 0.0,
                [self._histories[replica.name]] if replica.name in self._histories else [],
            )
            for replica in self._fleet.ready
        ]
        return load_of(
            pods,
            now=EPOCH + self._fleet.now,
            percentile=percentile,
            tail_seconds=self._scrapes.tail(percentile, TAIL_SECONDS) if tail else None,
        )


def _sample(replica: Replica, now: float) -> Sample:
    counts = Counts(
        succeeded=replica.success,
        failed=replica.failures,
        executions=replica.executions,
        inferences=replica.success,
        request_seconds=replica.queue_seconds + replica.compute_seconds,
        queue_seconds=replica.queue_seconds,
        compute_seconds=replica.compute_seconds,
    )
    return Sample(now, counts, pending=len(replica.waiting))
