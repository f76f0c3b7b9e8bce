"""A person's own metrics of a canary: what is asked for them, and what the values come to.

One value is no statistics: a metric fails once more values were bad than it puts up with, and passes once enough were
good and the last one is. What cannot be had is neither, however long that lasts.
Not for: asking; see `controller.meter`. Failed and slow requests are `core.analysis`'s.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from triton_operator.api.metric import PLACEHOLDER, Metric
from triton_operator.api.names import LABEL_REVISION
from triton_operator.api.rollout import Analysis
from triton_operator.api.settings import Prometheus
from triton_operator.core.judge import Verdict
from triton_operator.core.record import Record, Tally
from triton_operator.core.world import Value

Json = dict[str, Any]

NO_POD = "-"
"""A pattern that no pod's name matches."""


def queries(
    namespace: str, service: str, record: Record, analysis: Analysis | None, pods: Iterable[Json]
) -> dict[str, str]:
    """Write the PromQL of each metric of a trial.

    Args:
        namespace: the namespace of the service.
        service: its name.
        record: with a trial.
        analysis: what the spec says about judging.
        pods: the pods of the service.

    Returns:
        PromQL by the metric's name.
    """
    if analysis is None or record.trial is None:
        return {}
    named: dict[str, list[str]] = defaultdict(list)
    for pod in pods:
        named[pod["metadata"]["labels"].get(LABEL_REVISION, "")].append(pod["metadata"]["name"])
    canary, stable = record.trial.revision, record.stable or ""
    stands_for = {
        "canary": canary,
        "stable": stable,
        "canaryPods": "|".join(sorted(named[canary])) or NO_POD,
        "stablePods": "|".join(sorted(named[stable])) or NO_POD,
        "namespace": namespace,
        "service": service,
        "interval": f"{analysis.interval_seconds}s",
    }
    return {
        metric.name: PLACEHOLDER.sub(lambda found: stands_for[found[1]], metric.query)
        for metric in analysis.metrics or ()
    }


def withheld(prometheus: Prometheus) -> str | None:
    """Say why no query of a spec is asked, whatever was before; None where they are."""
    if not prometheus.allowQueries:
        return "the operator's setting prometheus.allowQueries is false"
    return None if prometheus.url else "the operator's setting prometheus.url is empty"


def heard(metric: Metric, before: Tally, value: Value, *, counts: bool) -> Tally:
    """Add one value to those of a metric.

    Args:
        metric: the metric.
        before: what its values have come to so far.
        value: what was asked for now.
        counts: whether the value says anything yet; if not, only what is amiss with it is kept.
    """
    after = replace(before, trouble=value.trouble, invalid=value.invalid)
    if not counts:
        return after
    number = value.number
    kind = kind_of(metric, number)
    shown = "" if number is None else f"{number:.6g}"
    good, bad = kind == Verdict.PASS, kind == Verdict.FAIL
    return replace(
        after,
        good=before.good + good,
        bad=before.bad + bad,
        unclear=0 if good or bad else before.unclear + 1,
        last=kind.value,
        value=shown,
    )


def kind_of(metric: Metric, number: float | None) -> Verdict:
    """Say what one value is by itself: PASS, FAIL or CONTINUE for neither."""
    if number is None:
        return Verdict.CONTINUE
    if metric.failure and metric.failure.has(number):
        return Verdict.FAIL
    if metric.success is None:
        return Verdict.PASS
    if metric.success.has(number):
        return Verdict.PASS
    return Verdict.CONTINUE if metric.failure else Verdict.FAIL


def verdict_of(metric: Metric, tally: Tally) -> Verdict:
    """Say what the values of a metric come to."""
    if tally.bad > metric.failure_limit:
        return Verdict.FAIL
    if tally.good >= metric.required_successes and tally.last == Verdict.PASS:
        return Verdict.PASS
    return Verdict.INCONCLUSIVE if tally.unclear > metric.inconclusive_limit else Verdict.CONTINUE


def failed_told(metric: Metric, tally: Tally) -> str:
    """Tell by what a metric has failed."""
    wanted = f"not be {metric.failure}" if metric.success is None else f"be {metric.success}"
    return (
        f"the metric {metric.name} was bad {tally.bad} times, and failureLimit is {metric.failure_limit}: the last"
        f" value is {tally.value}, and it should {wanted}"
    )


def told(name: str, tally: Tally) -> str:
    """Tell how a metric does."""
    if tally.trouble:
        return f"{'InvalidQuery: ' if tally.invalid else ''}the metric {name} cannot be had: {tally.trouble}"
    if not tally.last:
        return ""
    shown = f"is {tally.value}" if tally.value else "has no value"
    return f"{name} {shown} ({tally.good} good, {tally.bad} bad)"


def refusal(metrics: Iterable[Metric], tallies: Mapping[str, Tally]) -> str | None:
    """Say which query Prometheus does not take, and why; None where it takes all of them."""
    for place, metric in enumerate(metrics):
        tally = tallies.get(metric.name)
        if tally and tally.invalid:
            return f"spec.rollout.analysis.metrics[{place}].query, of {metric.name}: {tally.trouble}"
    return None
