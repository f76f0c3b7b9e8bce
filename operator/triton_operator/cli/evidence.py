"""What the requests to a canary have shown, in words.

Not for: judging; the operator does that (`core.judge`), and status has what it came to.
"""

from typing import Any

from triton_operator.cli.service import Service
from triton_operator.cli.words import number, share

Json = dict[str, Any]

MEANINGS = {
    "PASS": "it is certain that the canary is not worse than it may be",
    "FAIL": "it is certain that the canary is worse than it may be",
    "CONTINUE": "neither is certain yet",
    "INCONCLUSIVE": "nothing was certain when the time was out",
}


def brief(service: Service) -> tuple[str, ...]:
    """Tell what the requests have shown so far, in few words; () where there is no trial."""
    rollout = service.part("rollout")
    if not rollout:
        return ()
    lines = [
        f"{rollout.get('verdict', '?')}: {rollout.get('towardsPass', 0)} % of what a PASS takes,"
        f" {rollout.get('towardsFail', 0)} % of what a FAIL takes"
    ]
    counted = [
        f"{side} {bad(service.part(side, of=rollout))}"
        for side in ("canary", "stable")
        if service.part(side, of=rollout)
    ]
    return (*lines, "; ".join(counted)) if counted else tuple(lines)


def bad(counts: Json) -> str:
    """Tell how many of a revision's requests went badly."""
    requests, failed = int(counts.get("requests", 0)), int(counts.get("failed", 0))
    if not requests:
        return "no requests yet"
    told = f"{number(failed)} of {number(requests)} failed ({share(failed, requests)})"
    if timed := int(counts.get("timed", 0)):
        slow = int(counts.get("slow", 0))
        told += f", {number(slow)} of {number(timed)} slow ({share(slow, timed)})"
    return told


def full(service: Service) -> tuple[str, ...]:
    """Tell the verdict with its numbers and bounds; () where there is no trial."""
    rollout = service.part("rollout")
    if not rollout:
        return ()
    verdict = str(rollout.get("verdict", "?"))
    lines = [f"Step {rollout.get('step', '?')} of {rollout.get('steps', '?')}. Verdict {verdict}: {_meaning(verdict)}."]
    lines += [
        f"{side.capitalize()} {service.revision(side)}: {bad(service.part(side, of=rollout))}."
        for side in ("canary", "stable")
    ]
    lines.append(
        f"Evidence: {rollout.get('towardsPass', 0)} % of what a PASS takes, {rollout.get('towardsFail', 0)} % of what a"
        " FAIL takes."
    )
    lines += _bounds(service)
    lines += [_metric(metric) for metric in rollout.get("metrics") or ()]
    return tuple(lines)


def _meaning(verdict: str) -> str:
    return MEANINGS.get(verdict, "this program does not know that word")


def _bounds(service: Service) -> list[str]:
    """Tell by which bounds it is judged."""
    analysis = service.part("analysis", of=service.part("rollout", of=service.spec))
    if not analysis:
        return [
            "Without spec.rollout.analysis steps go by time, and only a canary that certainly fails one request in"
            " twenty, and twice as many as stable, is rolled back."
        ]
    lines = []
    slow_at = service.part("rollout").get("slowMilliseconds")
    slow = f"slow requests (above {slow_at} ms)" if slow_at else "slow requests"
    for field, noun, few in (("errors", "failed requests", (2, 1)), ("slowRequests", slow, (10, 10))):
        if field in analysis or field == "errors":
            bounds = service.part(field, of=analysis)
            lines.append(
                f"For {noun}: FAIL above {bounds.get('failRatioPercent', 125)} % of stable's share and"
                f" {bounds.get('materialPermille', few[0])} of 1,000; PASS below"
                f" {bounds.get('passRatioPercent', 200)} % of it, or {bounds.get('floorPermille', few[1])} of 1,000."
            )
    return lines


def _metric(metric: Json) -> str:
    value = f"last {metric['value']}, " if metric.get("value") else ""
    trouble = f": {metric['message']}" if metric.get("message") else ""
    return (
        f"Metric {metric.get('name', '?')}: {value}{metric.get('good', 0)} good, {metric.get('bad', 0)} bad,"
        f" {metric.get('unclear', 0)} unclear in a row{trouble}."
    )
