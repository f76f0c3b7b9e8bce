"""`python -m benchmarks.autoscaling`: print the tables for docs/, and draw them.

Not for: choosing settings of the policy by what is reported; `--tuning` has inputs of its own.
"""

import argparse
import sys
import time
from pathlib import Path

from benchmarks.autoscaling import report
from benchmarks.autoscaling.plot import draw
from benchmarks.autoscaling.policies import POLICIES
from benchmarks.autoscaling.runs import ORACLE, SETS, STATIC, Run, runs
from benchmarks.autoscaling.scenarios import REPORTED_SEEDS, TUNED_SEEDS
from benchmarks.report import circumstances


def main() -> None:
    """Read the command line and run."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.autoscaling", description=__doc__)
    parser.add_argument("--tuning", action="store_true", help="the inputs for tuning, which are not reported")
    parser.add_argument("--quick", action="store_true", help="one seed")
    parser.add_argument("--plot", type=Path, metavar="FILE", help="draw into it: .svg or .png")
    given = parser.parse_args()
    which = "tuned" if given.tuning else "reported"
    seeds = list(TUNED_SEEDS if given.tuning else REPORTED_SEEDS)[: 1 if given.quick else None]
    began = time.monotonic()
    about, names = circumstances(), [*POLICIES, STATIC, ORACLE]
    done: list[Run] = []
    for run in runs(which, seeds, names):
        done.append(run)
        print(f"\r{len(done)} of {len(seeds) * len(SETS[which])}", end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)
    found = report.gather(done)
    print(about, f"{len(found)} scenarios for {which}, seeds {', '.join(map(str, seeds))}.", end="\n\n")
    print(report.bars(found), end="\n\n")
    print(report.summary(found), end="\n\n")
    print("Share of requests over the objective, and GPU-hours:", end="\n\n")
    print(report.scenarios(found), end="\n\n")
    print("Others miss less with no more GPU-hours in:", end="\n\n")
    print(report.losses(found), end="\n\n")
    print(f"All of it took {(time.monotonic() - began) / 60:.0f} minutes.")
    if given.plot:
        draw(done, given.plot)


if __name__ == "__main__":
    main()
