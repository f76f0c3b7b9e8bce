"""What the requests of a trial have shown: from counters to evidence, from evidence to a verdict.

Each metric is a count of requests that went badly: those that failed, and those that were slow. Both revisions are
counted over the same intervals. Slow requests are counted only while a pod of the canary has about the load of a pod
of stable: which of them answers sooner says nothing otherwise.
Not for: the statistics, which are `core.judge`'s; what follows from a verdict, which is `core.canary`'s.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from triton_operator.api.metric import Metric
from triton_operator.api.rollout import Analysis, Errors, Rollout, SlowRequests
from triton_operator.core import judge, measurements
from triton_operator.core.judge import Counts, Evidence, Limits, Reading, Verdict
from triton_operator.core.record import Record, Sample, Shared, Tally, Trial
from triton_operator.core.resolution import short_hash
from triton_operator.core.traffic import needed, present
from triton_operator.core.world import Measured, World

ERRORS = "errors"
SLOW = "slow"
TAKEOVER = "takeover"
"""Requests that fail while the canary takes over, apart from those before: a long good time must not excuse them."""
INTERVAL_SECONDS = 10
FIRST_SECONDS = 5
ALIKE = (0.8, 1.25)
"""A pod of the canary whose load is between these times that of a pod of stable has about the same."""
GUARD = Limits(fail_ratio=2.0, pass_ratio=4.0, material=0.05, floor=0.001, alpha=0.001)
"""Without `analysis` only what certainly fails one request in twenty, and twice as many as stable, is failed."""

_COUNTED: Mapping[str, Callable[[Sample], tuple[int, int]]] = {
    ERRORS: lambda sample: (sample.requests, sample.failed),
    SLOW: lambda sample: (sample.timed, sample.slow),
    TAKEOVER: lambda sample: (sample.requests, sample.failed),
}


def limits_of(rollout: Rollout) -> dict[str, Limits]:
    """Say by which bounds a canary is judged, for each metric."""
    analysis = rollout.analysis
    if analysis is None:
        return {ERRORS: GUARD}
    found = {ERRORS: _limits(analysis, analysis.errors)}
    if analysis.slow_requests:
        found[SLOW] = _limits(analysis, analysis.slow_requests)
    return found


def metrics_of(rollout: Rollout) -> tuple[Metric, ...]:
    """List the person's own metrics."""
    return tuple(rollout.analysis.metrics or ()) if rollout.analysis else ()


def begun(trial: Trial, rollout: Rollout) -> Trial:
    """Begin the evidence anew if it was gathered under other bounds than those of now."""
    slow = rollout.analysis.slow_requests if rollout.analysis else None
    limits = [(name, repr(of)) for name, of in limits_of(rollout).items()]
    own = [metric.model_dump(mode="json") for metric in metrics_of(rollout)]
    bounds = short_hash([limits, slow.threshold_milliseconds if slow else 0, *([own] if own else [])])
    if trial.bounds == bounds:
        return trial
    return replace(trial, bounds=bounds, evidence={}, tallies={}, samples={}, sampled=0.0, edge=0.0)


def readings_of(rollout: Rollout, trial: Trial) -> dict[str, Reading]:
    """Say what the evidence of a trial amounts to, for each metric."""
    limits = limits_of(rollout)
    return {
        name: judge.read(trial.evidence.get(name, Evidence()), of, metrics=len(limits)) for name, of in limits.items()
    }


def verdict_of(rollout: Rollout, trial: Trial) -> Verdict:
    """Say PASS, FAIL or CONTINUE: one metric is enough to fail, and each has to pass."""
    counted = [reading.verdict for reading in readings_of(rollout, trial).values()]
    own = [measurements.verdict_of(metric, _tally(trial, metric)) for metric in metrics_of(rollout)]
    return judge.overall([*counted, *own])


def is_unclear(rollout: Rollout, trial: Trial) -> bool:
    """Say whether one of the person's own metrics has told nothing for longer than it may."""
    own = metrics_of(rollout)
    return any(measurements.verdict_of(metric, _tally(trial, metric)) == Verdict.INCONCLUSIVE for metric in own)


def unasked(rollout: Rollout, trial: Trial) -> bool:
    """Say whether one of the person's own metrics was not asked for yet, or cannot be had."""
    own = metrics_of(rollout)
    return any(metric.name not in trial.tallies or trial.tallies[metric.name].trouble for metric in own)


def invalid(rollout: Rollout, trial: Trial) -> str | None:
    """Say which of the person's own queries Prometheus does not take, and why; None where it takes all of them."""
    return measurements.refusal(metrics_of(rollout), trial.tallies)


def resumed(trial: Trial) -> Trial:
    """Wait anew for what has told nothing for too long."""
    return replace(trial, tallies={name: replace(tally, unclear=0) for name, tally in trial.tallies.items()})


def failed_by(rollout: Rollout, trial: Trial) -> str | None:
    """Tell by what the canary has failed; None where it has not."""
    for name, reading in readings_of(rollout, trial).items():
        if reading.verdict == Verdict.FAIL:
            return _told(name, trial)
    if judge.read(trial.evidence.get(TAKEOVER, Evidence()), GUARD).verdict == Verdict.FAIL:
        return f"while it took over {_told(TAKEOVER, trial)}"
    for metric in metrics_of(rollout):
        tally = _tally(trial, metric)
        if measurements.verdict_of(metric, tally) == Verdict.FAIL:
            return measurements.failed_told(metric, tally)
    return None


def told(trial: Trial) -> str:
    """Tell what was counted and measured, metric by metric; nothing while no request of the canary was."""
    judged = sorted((name, evidence) for name, evidence in trial.evidence.items() if name != TAKEOVER)
    counted = [_told(name, trial) for name, evidence in judged if evidence.counts.canary]
    own = [measurements.told(name, tally) for name, tally in sorted(trial.tallies.items())]
    return "; ".join([*counted, *filter(None, own)])


def counts_of(trial: Trial, metric: str) -> Counts:
    """Say what was counted for a metric."""
    return trial.evidence.get(metric, Evidence()).counts


def unjudged(rollout: Rollout, *, desired: int, surge: int, sides: Sequence[tuple[int, int]]) -> str | None:
    """Say why slow requests could never be judged and what to do; None where they can, or are not to be.

    Args:
        rollout: what the spec says.
        desired: pods of the revision that serves.
        surge: pods that the canary may have beside them.
        sides: the weight of the canary at each step, in percent, 0 to 99, and how many pods it has there.
    """
    if not rollout.analysis or not rollout.analysis.slow_requests or not desired:
        return None
    shrinking = rollout.dynamic_stable_scale

    def is_alike(weight: int, pods: int) -> bool:
        others = needed(100 - weight, desired, shrinking=True) if shrinking else desired
        return weight > 0 and _are_alike(weight / pods, (100 - weight) / others)

    if any(is_alike(weight, pods) for weight, pods in sides):
        return None
    most = desired - 1 if shrinking else min(surge, desired)
    shares = {n: 100 * n // (desired if shrinking else desired + n) for n in range(1, min(most, 4) + 1)}
    fits = [f"{share} ({n} {'pod' if n == 1 else 'pods'})" for n, share in shares.items()]
    return (
        "spec.rollout.analysis.slowRequests are counted only while a pod of the canary has about the load of one that"
        f" serves, and with {desired} replicas no step brings that about: add one with setWeight {' or '.join(fits)}"
    )


def is_due(analysis: Analysis | None, trial: Trial | None, now: float) -> bool:
    """Say whether counters and metrics are to be read now."""
    return trial is not None and now >= next_look(analysis, trial)


def next_look(analysis: Analysis | None, trial: Trial) -> float:
    """Say when counters and metrics are to be read next; sooner as long as there is nothing to compare them with.

    A person's own metrics are asked for before the first weight already: so it is known that they can be.
    """
    first = not trial.weight and analysis is not None and analysis.metrics
    if not trial.level and not first:
        return math.inf
    interval = float(analysis.interval_seconds if analysis else INTERVAL_SECONDS)
    if trial.promoted:  # the pods that could take everything back are going
        interval = min(interval, INTERVAL_SECONDS)
    return trial.sampled + (interval if trial.samples else min(interval, FIRST_SECONDS))


def heard(world: World, record: Record, trial: Trial, rollout: Rollout) -> Trial:
    """Add what was counted since the last look to the evidence.

    Args:
        world: the world, with what was measured.
        record: the record.
        trial: its trial, of which the Gateways have taken the weight over.
        rollout: what the spec says.
    """
    measured = world.measured
    if measured is None or not is_due(rollout.analysis, trial, world.now):
        return trial
    trial = replace(trial, sampled=world.now, tallies=_tallies(world, trial, rollout, measured))
    if not trial.level:
        return trial
    trial = replace(trial, trouble=measured.trouble or "")
    if measured.samples is None:
        return trial
    if trial.unseen and not measured.unseen:  # what failed meanwhile was taken for good
        trial = replace(trial, evidence={})
    trial = replace(trial, unseen=measured.unseen)
    samples = {place: sample for place, sample in measured.samples.items() if sample.at >= trial.level}
    if measured.source != trial.source:
        trial = replace(trial, source=measured.source, samples={})
    evidence = dict(trial.evidence)
    if measured.shared:
        trial = replace(trial, shared=_shared(world, record, trial, samples))
    for name, limits in (limits_of(rollout) | ({TAKEOVER: GUARD} if trial.promoted else {})).items():
        if name == SLOW and (not measured.edge or misled(trial) or not _has_load_alike(world, record, trial)):
            continue
        counts = _counted(trial, samples, stable=record.stable or "", metric=name)
        evidence[name] = judge.heard(evidence.get(name, Evidence()), counts, limits)
    return replace(
        trial, evidence=evidence, samples=dict(trial.samples) | samples, heard=world.now, edge=measured.edge or 0.0
    )


def misled(trial: Trial) -> str | None:
    """Tell that the Gateways certainly send the canary another share than its weight; None where they do not."""
    shared = trial.shared
    if shared.requests >= shared.astray:  # as many have been shared out since, and it is no longer certain
        return None
    return (
        f"{shared.astray_canary} of {shared.astray} requests went to {trial.revision} since its weight is"
        f" {shared.weight} %: does something else than the HTTPRoute choose, such as another route, or sessions that"
        " stick to a backend?"
    )


def unverified(world: World, trial: Trial, rollout: Rollout) -> str | None:
    """Say why it is not known that requests are shared out by the weight of now and judged; None where it is.

    Without `analysis` steps go by time. Where Triton counts, nobody sees how requests are shared out.
    """
    if trial.weight and (words := misled(trial)):
        return words
    if rollout.analysis is None or not trial.weight:
        return None
    if trial.heard < max(trial.sampled, trial.level) or not trial.level:
        return trial.trouble or "what was counted of its requests was not read yet"
    if trial.unseen:
        return trial.trouble
    if not trial.source:
        return None
    weight = world.route.weights.get(trial.revision, 0) if world.route else 0
    if trial.shared.weight != weight or not trial.shared.canary:
        return f"no request to {trial.revision} was counted since its weight is {weight} %"
    return None


def _tally(trial: Trial, metric: Metric) -> Tally:
    return trial.tallies.get(metric.name, Tally())


def _tallies(world: World, trial: Trial, rollout: Rollout, measured: Measured) -> dict[str, Tally]:
    """Add the values of now; they count once the weight of now has been there for as long as a look goes back."""
    assert rollout.analysis is not None or not measured.values
    interval = rollout.analysis.interval_seconds if rollout.analysis else INTERVAL_SECONDS
    counts = trial.level > 0 and world.now >= trial.level + interval
    found = dict(trial.tallies)
    for metric in metrics_of(rollout):
        if value := measured.values.get(metric.name):
            found[metric.name] = measurements.heard(metric, _tally(trial, metric), value, counts=counts)
    return found


def _shared(world: World, record: Record, trial: Trial, samples: Mapping[str, Sample]) -> Shared:
    weight = world.route.weights.get(trial.revision, 0) if world.route else 0
    if not 0 < weight < 100 or not trial.samples:
        return Shared()
    counts = _counted(trial, samples, stable=record.stable or "", metric=ERRORS)
    before = trial.shared if trial.shared.weight == weight else Shared(weight)
    canary, requests = before.canary + counts.canary, before.requests + counts.canary + counts.stable
    if judge.is_misled(canary, requests, weight=weight / 100):
        return Shared(weight, astray=requests, astray_canary=canary)
    return replace(before, canary=canary, requests=requests)


def _limits(analysis: Analysis, bounds: Errors | SlowRequests) -> Limits:
    return Limits(
        fail_ratio=bounds.fail_ratio_percent / 100,
        pass_ratio=bounds.pass_ratio_percent / 100,
        material=bounds.material_permille / 1000,
        floor=bounds.floor_permille / 1000,
        cluster=analysis.cluster_factor,
    )


def _told(metric: str, trial: Trial) -> str:
    counts = counts_of(trial, metric)
    bad = f"took longer than {trial.edge:g} ms" if metric == SLOW else "failed"
    return (
        f"{counts.canary_bad} of its {counts.canary} requests {bad}, and {counts.stable_bad} of {counts.stable} of the"
        " revision that serves beside it"
    )


def _has_load_alike(world: World, record: Record, trial: Trial) -> bool:
    """Say whether a pod of the canary gets about as many requests as one of stable, by the weights taken over."""
    weights = world.route.weights if world.route else {}
    canary, stable = present(world, trial.revision), present(world, record.stable or "")
    if not canary or not stable:
        return False
    return _are_alike(weights.get(trial.revision, 0) / canary, weights.get(record.stable or "", 0) / stable)


def _are_alike(load: float, other: float) -> bool:
    least, most = ALIKE
    return load > 0 and other > 0 and least <= load / other <= most


def _counted(trial: Trial, after: Mapping[str, Sample], *, stable: str, metric: str) -> Counts:
    """Count what ended between two looks; of a program that was started again, all since then."""
    found: dict[str, list[int]] = {trial.revision: [0, 0], stable: [0, 0]}
    of = _COUNTED[metric]
    for place, now in after.items():
        then = trial.samples.get(place)
        if then is None or then.revision != now.revision or now.revision not in found:
            continue
        (all_now, bad_now), (all_then, bad_then) = of(now), of(then)
        if all_now < all_then or bad_now < bad_then:
            all_then = bad_then = 0
        found[now.revision][0] += max(bad_now - bad_then, all_now - all_then)
        found[now.revision][1] += bad_now - bad_then
    (canary_all, canary_bad), (stable_all, stable_bad) = found[trial.revision], found[stable]
    return Counts(canary=canary_all, stable=stable_all, canary_bad=canary_bad, stable_bad=stable_bad)
