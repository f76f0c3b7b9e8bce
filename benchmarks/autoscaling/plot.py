"""Draw what the policies did: misses against GPU-hours, and replicas over time.

Not for: the runs.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter, PercentFormatter

from benchmarks.autoscaling.inputs import WARM_SECONDS
from benchmarks.autoscaling.policies import OURS
from benchmarks.autoscaling.report import gather, totals
from benchmarks.autoscaling.runs import ORACLE, Run

SHOWN = ("Azure code", "ramp", "flash crowd")
LEAD_SECONDS = 90
DRAWN = {  # Okabe and Ito's colours, told apart by everybody
    OURS: "#0072b2",
    "KEDA, rps at 0.5 of the peak": "#d55e00",
    "KPA, a batch, down after 300 s": "#cc79a7",
    ORACLE: "#000000",
}
LEAST_SHARE = 1e-4
MARKERS = "osD^v<>PX*phd8"


def draw(runs: Sequence[Run], file: Path) -> None:
    """Draw runs into a file.

    Args:
        runs: all of them.
        file: .svg or .png.
    """
    first = min(run.seed for run in runs)
    shown = [
        run
        for name in SHOWN
        for run in runs
        if (run.scenario.name, run.scenario.lead_seconds, run.scenario.twist, run.seed)
        == (name, LEAD_SECONDS, "", first)
    ]
    figure = Figure(figsize=(10, 4 + 2.6 * len(shown)), layout="constrained")
    axes = figure.subplots(1 + len(shown), squeeze=False, height_ratios=[1.6, *([1] * len(shown))])[:, 0]
    _front(axes[0], runs)
    for each, run in zip(axes[1:], shown, strict=True):
        _over_time(each, run)
    axes[-1].set_xlabel("seconds")
    figure.savefig(file, metadata={"Date": None} if file.suffix == ".svg" else None)


def _front(axes: Axes, runs: Sequence[Run]) -> None:
    found = gather(runs)
    axes.set_title("All scenarios: further down and to the left is better", loc="left")
    axes.set_xlabel("GPU-hours")
    axes.set_ylabel("requests over the objective")
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_major_formatter("{x:g}")
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=1))
    for name, marker in zip(runs[0].outcomes, MARKERS, strict=False):
        share, gpu_hours = totals(found, name)
        colour = DRAWN.get(name, "grey")
        axes.scatter(gpu_hours, max(share, LEAST_SHARE), color=colour, marker=marker, zorder=3, label=name)
    axes.grid(alpha=0.3, which="both")
    axes.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), fontsize="x-small")


def _over_time(axes: Axes, run: Run) -> None:
    scenario = run.scenario
    axes.set_title(f"{scenario.title}: seed {run.seed}", loc="left", fontsize="medium")
    axes.set_ylabel("replicas")
    rates = scenario.rates()[WARM_SECONDS:] * scenario.factor
    smooth = np.convolve(rates, np.ones(10) / 10, "same")
    load = axes.twinx()
    load.fill_between(np.arange(len(smooth)), smooth, color="grey", alpha=0.25, linewidth=0)
    load.set_ylabel("requests per second")
    load.set_ylim(bottom=0)
    for name, colour in DRAWN.items():
        outcome = run.outcomes[name]
        label = f"{name}: {outcome.over:.1%} over, {outcome.gpu_hours:.1f} GPU-hours"
        axes.step(np.arange(len(outcome.replicas)), outcome.replicas, where="post", color=colour, label=label)
    axes.set_zorder(load.get_zorder() + 1)
    axes.patch.set_visible(False)
    axes.set_ylim(bottom=0)
    axes.legend(loc="upper right", fontsize="x-small", framealpha=0.9)
    axes.grid(alpha=0.3)
