"""Draw what canaries did in a real run: weights, evidence, failed requests, latency.

Not for: the run; that is `demo.canary`.
"""

from collections import Counter, defaultdict
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter

from demo.canary import Played

COLOURS = {1: "#0072b2", 2: "#009e73", 3: "#d55e00"}  # Okabe and Ito's, told apart by everybody
VERDICTS = {"PASS": "#009e73", "FAIL": "#d55e00"}
NOBODY = "#000000"


def draw(played: Played, file: Path) -> None:
    """Draw a run into a file.

    Args:
        played: the run.
        file: .svg or .png.
    """
    figure = Figure(figsize=(10, 9), layout="constrained")
    weights, evidence, failed, latency = figure.subplots(4, sharex=True)
    begin = played.looks[0].at
    _weights(weights, played, begin)
    _evidence(evidence, played, begin)
    _failed(failed, played, begin)
    _latency(latency, played, begin)
    latency.set_xlabel("seconds")
    for axes in (weights, evidence, failed, latency):
        axes.grid(alpha=0.3)
        axes.legend(loc="upper left", fontsize="small", framealpha=0.9)
    latency.set_xlim(0, played.looks[-1].at - begin)
    figure.savefig(file, metadata={"Date": None} if file.suffix == ".svg" else None)


def _weights(axes: Axes, played: Played, begin: float) -> None:
    axes.set_title("Two rollouts: version 2 is good, one answer in ten of version 3 is an error", loc="left")
    axes.set_ylabel("weight of the canary, %")
    axes.set_ylim(0, 105)
    times = [look.at - begin for look in played.looks]
    for version in sorted({look.version for look in played.looks if look.version}):
        values = [look.weight if look.version == version else np.nan for look in played.looks]
        colour = COLOURS.get(version, NOBODY)
        axes.step(times, values, where="post", color=colour, linewidth=2, label=f"version {version}")


def _evidence(axes: Axes, played: Played, begin: float) -> None:
    axes.set_ylabel("evidence, % of a verdict")
    axes.set_ylim(0, 105)
    axes.axhline(100, color="grey", linestyle="--", linewidth=1)
    times = [look.at - begin for look in played.looks]
    for verdict, colour in VERDICTS.items():
        values = [look.towards[verdict] if look.version else np.nan for look in played.looks]
        axes.step(times, values, where="post", color=colour, linewidth=2, label=f"towards {verdict}")


def _failed(axes: Axes, played: Played, begin: float) -> None:
    axes.set_ylabel("failed requests a second")
    counts: dict[int | None, Counter[int]] = defaultdict(Counter)
    for answer in played.answers:
        if not answer.good:
            counts[played.versions.get(answer.revision)][int(answer.at - begin)] += 1
    for version, by_second in sorted(counts.items(), key=lambda each: each[0] or 0):
        name = f"version {version}, {by_second.total()} in all" if version else f"nobody's, {by_second.total()} in all"
        colour = COLOURS.get(version or 0, NOBODY)
        axes.bar(list(by_second), list(by_second.values()), width=1.0, align="edge", color=colour, label=name)
    if not counts:
        axes.plot([], [], label="none")
    axes.set_ylim(bottom=0)


def _latency(axes: Axes, played: Played, begin: float) -> None:
    axes.set_ylabel("latency, ms")
    axes.set_yscale("log")
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.yaxis.set_major_formatter("{x:g}")
    axes.yaxis.set_minor_formatter(NullFormatter())
    by_second: dict[int, list[float]] = defaultdict(list)
    for answer in played.answers:
        if answer.good:
            by_second[int(answer.at - begin)].append(1000 * answer.seconds)
    seconds = sorted(by_second)
    for percent, colour in ((50, "#56b4e9"), (99, "#cc79a7")):
        values = [float(np.percentile(by_second[second], percent)) for second in seconds]
        axes.plot(seconds, values, color=colour, label=f"{percent}th percentile of all requests")
