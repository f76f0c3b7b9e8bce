"""Every scenario under every policy with every seed, on all cores.

Not for: one run (`play`), nor telling of the results (`report`).
"""

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from multiprocessing import get_context

from benchmarks.autoscaling.play import Outcome, foresee, load_of, peak_replicas, play
from benchmarks.autoscaling.policies import POLICIES, Planned
from benchmarks.autoscaling.scenarios import REPORTED, TUNED, Scenario

STATIC = "static for the busiest minute, known before"
ORACLE = "oracle"
SETS = {"reported": REPORTED, "tuned": TUNED}


@dataclass(frozen=True, slots=True)
class Run:
    """The outcomes of one scenario and seed.

    Attributes:
        scenario: what was played.
        seed: of it.
        outcomes: by policy.
    """

    scenario: Scenario
    seed: int
    outcomes: dict[str, Outcome]


def run(scenario: Scenario, seed: int, names: Sequence[str]) -> dict[str, Outcome]:
    """Play one scenario with one seed under the policies of these names."""
    rates, requests = load_of(scenario, seed)
    end = len(rates)
    outcomes = {name: play(scenario, requests, end, POLICIES[name](), seed) for name in names if name in POLICIES}
    if STATIC in names:
        outcomes[STATIC] = play(scenario, requests, end, Planned([peak_replicas(scenario, rates)], end), seed)
    if ORACLE in names:
        outcomes[ORACLE] = foresee(scenario, requests, end, seed)
    return outcomes


def runs(which: str, seeds: Sequence[int], names: Sequence[str]) -> Iterator[Run]:
    """Play all scenarios with all seeds; the first of all seeds come first.

    Args:
        which: "reported" or "tuned".
        seeds: of each scenario.
        names: of policies.
    """
    scenarios = SETS[which]
    tasks = [(which, number, seed, tuple(names)) for seed in seeds for number in range(len(scenarios))]
    with get_context("fork").Pool(os.cpu_count()) as pool:
        for (_, number, seed, _), outcomes in zip(tasks, pool.imap(_task, tasks), strict=True):
            yield Run(scenarios[number], seed, outcomes)


def _task(task: tuple[str, int, int, tuple[str, ...]]) -> dict[str, Outcome]:
    # A scenario has functions in it, which do not pass from process to process: its place does.
    which, number, seed, names = task
    return run(SETS[which][number], seed, names)
