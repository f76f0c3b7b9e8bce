"""How often the judge errs, and how much traffic it takes, beside the rules that others go by: for docs/benchmarks.md.

Rollouts are simulated on the same counts for all of them: 15 intervals at 5 % of the requests, 15 at 20 %, 30 at 50 %.
A rollout is rolled back at the first FAIL, and passes when it had a PASS and comes to its end without a FAIL. The
others check ten times, six intervals each, so that they see as many requests; more checks would make them err more.
"""

import argparse
import math
import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from benchmarks.report import circumstances, table
from triton_operator.core.judge import Counts, Evidence, Limits, Verdict, heard, read

WEIGHTS = (0.05,) * 15 + (0.20,) * 15 + (0.50,) * 30
BASE = 0.005
TARGET = 0.01  # share of bad requests that the others' rules refuse
BATCH = 8
POOLED = 6


@dataclass(frozen=True, slots=True)
class World:
    """What rollouts meet.

    Attributes:
        name: for the table.
        requests: of both revisions together, on the mean per interval.
        worse: the canary's rate of bad requests as a multiple of stable's.
        base: stable's rate.
        batch: requests that go well or badly together.
        common: standard deviation of the logarithm of a factor that both rates share in an interval.
    """

    name: str
    requests: int
    worse: float = 1.0
    base: float = BASE
    batch: int = 1
    common: float = 0.0


WORLDS = (
    *(World("healthy", requests) for requests in (50, 300, 1000)),
    *(World("4 x worse", requests, worse=4.0) for requests in (50, 300, 1000)),
    World("healthy, batches of 8", 1000, batch=BATCH),
    World("4 x worse, batches of 8", 1000, worse=4.0, batch=BATCH),
    World("healthy, faults common to both", 1000, common=1.0),
    World("healthy, an outage of both", 1000, base=0.3),
    World("at the bound: 1.25 x worse", 1000, worse=1.25, base=0.02),
    World("at the bound: 2 x worse", 1000, worse=2.0, base=0.02),
)


@dataclass(frozen=True, slots=True)
class End:
    """How a rollout ended, and after how many requests of the canary."""

    verdict: Verdict
    requests: int


Judge = Callable[[list[Counts], World], End]


def rollout(world: World, random: np.random.Generator) -> list[Counts]:
    """Simulate the counts of one rollout."""

    def bad(requests: int, rate: float) -> int:
        whole, rest = divmod(requests, world.batch)
        return int(random.binomial(whole, rate)) * world.batch + (int(random.binomial(1, rate)) * rest if rest else 0)

    rows = []
    for weight in WEIGHTS:
        factor = math.exp(random.normal(0.0, world.common)) if world.common else 1.0
        stable_rate = min(0.9, world.base * factor)
        requests = int(random.poisson(world.requests))
        canary = int(random.binomial(requests, weight))
        stable = requests - canary
        canary_rate = min(0.9, stable_rate * world.worse)
        rows.append(Counts(canary, stable, bad(canary, canary_rate), bad(stable, stable_rate)))
    return rows


def ours(rows: list[Counts], world: World) -> End:
    """The judge at its defaults, but for the size of batches: told by `analysis.clusterFactor`, whose default is 1."""
    limits, evidence, passed = Limits(cluster=world.batch), Evidence(), None
    for row in rows:
        evidence = heard(evidence, row, limits)
        verdict = read(evidence, limits).verdict
        if verdict == Verdict.FAIL:
            return End(verdict, evidence.counts.canary)
        if verdict == Verdict.PASS and passed is None:
            passed = evidence.counts.canary
    return End(Verdict.INCONCLUSIVE, evidence.counts.canary) if passed is None else End(Verdict.PASS, passed)


def checks(limit: int) -> Judge:
    """So many failed checks of the canary alone, in all, roll back; one without requests has failed, too."""

    def judge(rows: list[Counts], world: World) -> End:
        failed = requests = 0
        for start in range(0, len(rows), POOLED):
            row = sum(rows[start : start + POOLED], Counts())
            requests += row.canary
            failed += not row.canary or row.canary_bad > TARGET * row.canary
            if failed >= limit:
                return End(Verdict.FAIL, requests)
        return End(Verdict.PASS, requests)

    return judge


# Argo Rollouts rolls back when there are more failed measurements than its failureLimit, Flagger at its threshold.
JUDGES: dict[str, Judge] = {
    "triton-operator": ours,
    "Flagger (threshold 1) and Argo Rollouts (failureLimit 0), defaults": checks(1),
    "Argo Rollouts, failureLimit 3": checks(4),
    "Flagger, threshold 5": checks(5),
}


def lines(worlds: tuple[World, ...], count: int, seed: int) -> Iterator[list[str]]:
    """Judge rollouts of every world by every rule."""
    for number, world in enumerate(worlds):
        ends: dict[str, list[End]] = {name: [] for name in JUDGES}
        for one in range(count):
            rows = rollout(world, np.random.default_rng([seed, number, one]))
            for name, judge in JUDGES.items():
                ends[name].append(judge(rows, world))
        for name, found in ends.items():
            decided = [end.requests for end in found if end.verdict in (Verdict.PASS, Verdict.FAIL)]
            shares = [sum(end.verdict == verdict for end in found) / count for verdict in ("FAIL", "PASS")]
            median = f"{statistics.median(decided):,.0f}" if decided else "—"
            yield [
                world.name,
                f"{world.base:.1%}",
                f"{world.requests:,}",
                name,
                *(f"{share:.2%}" for share in shares),
                f"{1 - sum(shares):.2%}",
                median,
            ]


def cost() -> float:
    """Measure one interval's judgement of one metric, in microseconds."""
    limits, evidence, repeats = Limits(), Evidence(), 2000
    began = time.perf_counter()
    for _ in range(repeats):
        evidence = heard(evidence, Counts(50, 950, 0, 5), limits)
        read(evidence, limits)
    return (time.perf_counter() - began) / repeats * 1e6


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rollouts", type=int, default=2000, help="per row (2000)")
    parser.add_argument("--seed", type=int, default=1, help="of the random numbers (1)")
    given = parser.parse_args()
    print(circumstances(), f"{given.rollouts:,} rollouts a row, seed {given.seed}.", end="\n\n")
    head = ["canary", "stable's errors", "requests per interval", "judge", "rolled back", "passed", "undecided"]
    print(table([*head, "median canary requests"], list(lines(WORLDS, given.rollouts, given.seed))))
    print(f"\nOne interval of one metric is judged in {cost():.0f} microseconds.")


if __name__ == "__main__":
    main()
