"""What the runs say: a summary, a table by scenario, what was asked for, and what was lost.

Not for: pictures; see `plot`.
"""

import math
import statistics
from collections import defaultdict
from collections.abc import Mapping, Sequence
from itertools import pairwise

from benchmarks.autoscaling.play import Outcome
from benchmarks.autoscaling.policies import OURS
from benchmarks.autoscaling.runs import ORACLE, Run
from benchmarks.report import quantile, table

FAMILIES = ("HPA, concurrency", "HPA, queue to compute", "KPA", "KEDA")
DEFAULTS = (
    "HPA, concurrency 0.7 of a batch",
    "HPA, queue to compute 1",
    "KPA, a batch",
    "KEDA, rps at 0.7 of the peak",
)
ASKED_DEFAULTS, ASKED_BEST, MOST_TIMES_ORACLE, MOST_MILLISECONDS = 1.5, 1.3, 2.0, 1.0
STUDENT = {2: 12.71, 3: 4.30, 4: 3.18, 5: 2.78}  # 95 %, two-sided, by the number of seeds
EQUAL = 1.02  # so many times the GPU-hours are still equal ones

ByScenario = Mapping[str, Mapping[str, Sequence[Outcome]]]


def gather(runs: Sequence[Run]) -> dict[str, dict[str, list[Outcome]]]:
    """Put the outcomes of all seeds together, by scenario and policy."""
    found: dict[str, dict[str, list[Outcome]]] = defaultdict(lambda: defaultdict(list))
    for run in runs:
        for name, outcome in run.outcomes.items():
            found[run.scenario.title][name].append(outcome)
    return found


def over(outcomes: Sequence[Outcome]) -> float:
    """Share of requests over the objective, on the mean of the seeds."""
    return statistics.fmean(each.over for each in outcomes)


def hours(outcomes: Sequence[Outcome]) -> float:
    """GPU-hours, on the mean of the seeds."""
    return statistics.fmean(each.gpu_hours for each in outcomes)


def totals(found: ByScenario, name: str) -> tuple[float, float]:
    """The share over the objective on the mean of the scenarios, and the GPU-hours of all of them."""
    return (
        statistics.fmean(over(each[name]) for each in found.values()),
        sum(hours(each[name]) for each in found.values()),
    )


def equal(found: ByScenario, family: str, gpu_hours: float) -> tuple[float, bool] | None:
    """What a family of baselines would miss with so many GPU-hours.

    Args:
        found: outcomes.
        family: how the names of its members begin.
        gpu_hours: of all scenarios.

    Returns:
        The share over the objective, between its members by their GPU-hours, and whether that is within what was
        measured; None without a member.
    """
    points = sorted(totals(found, name)[::-1] for name in next(iter(found.values())) if name.startswith(family))
    if not points:
        return None
    if not points[0][0] <= gpu_hours <= points[-1][0]:
        nearest = points[0] if gpu_hours < points[0][0] else points[-1]
        return nearest[1], False
    for (less, worse), (more, better) in pairwise(points):
        if less <= gpu_hours <= more:
            part = (gpu_hours - less) / (more - less)
            return math.exp((1 - part) * math.log(max(worse, 1e-6)) + part * math.log(max(better, 1e-6))), True
    return points[0][1], True


def summary(found: ByScenario) -> str:
    """One line for each policy over all scenarios."""
    head = ["policy", "over the objective", "GPU-hours", "of the oracle's, in all / at most"]
    head += [
        "minutes over, per hour",
        "changes per hour",
        "flips per hour",
        "misses beside ours",
        "GPU-hours beside ours",
    ]
    head += ["both better / both worse than ours, scenarios"]
    ours_over, ours_hours = totals(found, OURS)
    rows = []
    for name in next(iter(found.values())):
        share, gpu_hours = totals(found, name)
        ratios = [hours(each[name]) / hours(each[ORACLE]) for each in found.values()]
        every = [outcome for each in found.values() for outcome in each[name]]
        measured = len(every) / 2  # hours, of half an hour each
        better, worse = dominance(found, name)
        rows.append(
            [
                name,
                f"{share:.2%} ± {_spread(found, name):.2%}",
                f"{gpu_hours:.1f}",
                f"{gpu_hours / totals(found, ORACLE)[1]:.2f} / {max(ratios):.2f}",
                *(f"{sum(values) / measured:.1f}" for values in _counts(every)),
                f"{share / ours_over:.2f}" if ours_over else "—",
                f"{gpu_hours / ours_hours:.2f}",
                "—" if name == OURS else f"{better} / {worse}",
            ]
        )
    return table(head, rows)


def dominance(found: ByScenario, name: str) -> tuple[int, int]:
    """In how many scenarios a policy misses less with no more GPU-hours than ours, and the reverse."""
    better = worse = 0
    for each in found.values():
        theirs, ours = each[name], each[OURS]
        better += over(theirs) < over(ours) and hours(theirs) <= EQUAL * hours(ours)
        worse += over(theirs) > over(ours) and EQUAL * hours(theirs) >= hours(ours)
    return better, worse


def scenarios(found: ByScenario) -> str:
    """One line for each scenario: share over the objective, and GPU-hours."""
    names = list(next(iter(found.values())))
    head = ["scenario", "GPU-hours, of the oracle's", "p50 / p95 / p99, s", "flips", *names]
    rows = []
    for title, each in found.items():
        ours = each[OURS]
        latency = (statistics.fmean(values) for values in zip(*((o.p50, o.p95, o.p99) for o in ours), strict=True))
        rows.append(
            [
                title,
                f"{hours(ours) / hours(each[ORACLE]):.2f}",
                " / ".join(f"{value:.2f}" for value in latency),
                f"{statistics.fmean(o.flips for o in ours):.1f}",
                *(f"{over(each[name]):.1%}, {hours(each[name]):.1f}" for name in names),
            ]
        )
    return table(head, rows)


def bars(found: ByScenario) -> str:
    """What was asked for, and whether it was kept."""
    ours_over, ours_hours = totals(found, OURS)
    rows = []
    for name in DEFAULTS:
        share, gpu_hours = totals(found, name)
        ratio = share / ours_over if ours_over else math.inf
        kept = ratio >= ASKED_DEFAULTS and ours_hours <= EQUAL * gpu_hours
        said = f"{ratio:.2f} times ours, GPU-hours {gpu_hours / ours_hours:.2f} times ours"
        rows.append([f"misses of: {name}", said, f">= {ASKED_DEFAULTS} at no fewer GPU-hours", _kept(kept)])
    for family in FAMILIES:
        at_equal = equal(found, family, ours_hours)
        if at_equal:
            share, within = at_equal
            ratio = share / ours_over if ours_over else math.inf
            said = f"{ratio:.2f} times ours" + ("" if within else ", at its nearest setting: it has none for as many")
            rows.append([f"misses of {family} at our GPU-hours", said, f">= {ASKED_BEST}", _kept(ratio >= ASKED_BEST)])
    worst = max(found, key=lambda title: hours(found[title][OURS]) / hours(found[title][ORACLE]))
    times = hours(found[worst][OURS]) / hours(found[worst][ORACLE])
    rows.append(
        [f"GPU-hours of the oracle's, at most ({worst})", f"{times:.2f}", f"<= {MOST_TIMES_ORACLE}", _kept(times <= 2)]
    )
    spent = [value for each in found.values() for outcome in each[OURS] for value in outcome.spent]
    if spent:
        mean, p99 = statistics.fmean(spent), quantile(spent, 0.99)
        said = f"{mean:.3f} ms on the mean, {p99:.3f} ms at the 99th percentile"
        rows.append(["CPU of one decision", said, f"< {MOST_MILLISECONDS:g} ms", _kept(p99 < MOST_MILLISECONDS)])
    return table(["what", "result", "asked for", ""], rows)


def losses(found: ByScenario) -> str:
    """Where others miss less with no more GPU-hours than ours."""
    lines = []
    for title, each in found.items():
        ours = each[OURS]
        for name, theirs in each.items():
            if name not in (OURS, ORACLE) and over(theirs) < over(ours) and hours(theirs) <= EQUAL * hours(ours):
                lines.append(
                    f"- {title}: {name} {over(theirs):.2%} with {hours(theirs):.2f} GPU-hours,"
                    f" ours {over(ours):.2%} with {hours(ours):.2f}"
                )
    return "\n".join(lines) or "None."


def _kept(kept: bool) -> str:
    return "kept" if kept else "**missed**"


def _counts(outcomes: Sequence[Outcome]) -> tuple[list[int], list[int], list[int]]:
    return (
        [each.minutes_over for each in outcomes],
        [each.changes for each in outcomes],
        [each.flips for each in outcomes],
    )


def _spread(found: ByScenario, name: str) -> float:
    """Half the interval that holds the mean with 95 %, by the means of each seed."""
    by_seed = [
        statistics.fmean(outcome.over for outcome in seed)
        for seed in zip(*(each[name] for each in found.values()), strict=True)
    ]
    count = len(by_seed)
    return STUDENT.get(count, 2.0) * statistics.stdev(by_seed) / math.sqrt(count) if count > 1 else math.nan
