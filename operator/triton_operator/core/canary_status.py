"""What a status says of a canary, and of the Gateways that send it requests.

Not for: what to do about it; that is `core.canary`.
"""

import math
from typing import Any

from triton_operator.api.rollout import Rollout
from triton_operator.api.status import TRAFFIC_VERIFIED
from triton_operator.api.steps import Step
from triton_operator.core import analysis, canary, traffic, widened
from triton_operator.core.judge import Reading
from triton_operator.core.record import Held, Tally, Trial
from triton_operator.core.replicas import asked, asked_told
from triton_operator.core.rollout import NOTHING
from triton_operator.core.situation import Situation, Verdict, why
from triton_operator.core.steps import ladder
from triton_operator.core.times import seconds, timestamp
from triton_operator.resources.route import kinds

Json = dict[str, Any]

ROUTE_NOT_ACCEPTED = "RouteNotAccepted"
SURGE_EXHAUSTED = "SurgeExhausted"
ROUTE_SECONDS = 30.0
"""How long Gateways may say of a route that they do not take it, before it counts as stalled."""


def is_on_trial(s: Situation) -> bool:
    """Say whether the target is a canary with all the pods that it is to have now."""
    judged = canary.is_judged(s.world, s.record, s.target.name)
    return judged and s.record.trial is not None and s.fleet.ready >= s.expected


def is_surge_exhausted(s: Situation) -> bool:
    """Say whether a canary that has served well so far waits for nodes with room for further pods."""
    trial = s.record.trial
    begun = trial is not None and trial.revision == s.target.name and trial.weight > 0 and not trial.promoted
    return begun and 0 < s.fleet.ready < s.expected and s.fleet.homeless > 0


def is_paused(s: Situation) -> bool:
    """Say whether the trial waits for a person."""
    trial = s.record.trial
    if trial is None or trial.promoted:
        return False
    return bool(trial.paused) or canary.is_for_a_person(_steps(s), trial.step)


def is_routed(s: Situation) -> bool:
    """Say whether the Gateways, if there are any, send requests as they should."""
    spec = s.world.spec
    if spec is None or spec.routing.gateway is None:
        return True
    wanted = s.weights if traffic.is_split(s.world) else {s.world.name: 100}
    return traffic.is_applied(s.world, wanted)


def is_refused(s: Situation) -> bool:
    """Say whether a Gateway takes none of the routes, or none looks at them, and has had time to."""
    told = next((c for c in s.world.status.get("conditions") or () if c["type"] == TRAFFIC_VERIFIED), None)
    if is_routed(s) or s.world.route is None or not s.world.route.trouble or told is None or told["status"] == "True":
        return False
    return s.world.now >= seconds(told["lastTransitionTime"]) + ROUTE_SECONDS


def unrouted(s: Situation) -> str:
    """Say why the Gateways do not send requests as they should, or not yet."""
    route, spec = s.world.route, s.world.spec
    if route and route.trouble:
        return route.trouble
    named = " and ".join(f"the {kind.kind} {s.world.name}" for kind in kinds(spec.routing.gateway if spec else None))
    return f"the Gateways have yet to take over {named} as it is now"


def trial_told(s: Situation) -> str:
    """Tell where the trial is and what it waits for."""
    trial, steps = s.record.trial, _steps(s)
    assert trial is not None
    name, counted = s.target.name, analysis.told(trial)
    shown = f"; {counted}" if counted else ""
    if trial.trouble:
        since = f" since {timestamp(trial.heard)}" if trial.heard and trial.heard < trial.sampled else ""
        shown += f"; nothing was counted{since}: {trial.trouble}" if since or not trial.heard else f"; {trial.trouble}"
    at = f"step {min(trial.step + 1, len(steps))} of {len(steps)}: {s.weights.get(name, 0)} % of requests go to {name}"
    at += _by_pods(s, trial) if traffic.is_widened(s.world) else _besides(s)
    shown += _kept(s)
    if trial.paused == canary.FAILED:
        return (
            f"{at}; it was judged to fail, and rollout.autoRollback is false: abort, or promote it all the same{shown}"
        )
    if trial.paused == canary.INCONCLUSIVE:
        unclear = analysis.is_unclear(_rollout(s), trial)
        cause = "a metric has told nothing for too long" if unclear else "the time for a verdict is out"
        return f"{at}; {cause}: promote, abort, or resume to wait on{shown}"
    if trial.paused:
        return f"{at}; paused by a person: resume to go on{shown}"
    if s.fleet.ready < s.expected:
        return f"{at}; {s.fleet.ready} of {s.expected} pods of it are ready{why(s)}"
    if not is_routed(s):
        return f"{at}; {unrouted(s)}"
    if words := unverified(s):
        return f"{at}; {words}{shown}" if words != trial.trouble else f"{at}{shown}"
    if analysis.unasked(_rollout(s), trial):
        return f"{at}, and nothing moves until every metric can be had{shown}"
    if trial.step >= len(steps):
        return f"{at}; waits for the verdict, {_towards_pass(_readings(s, trial))} % of it is there{shown}"
    pause = steps[trial.step].pause
    if pause and pause.duration_seconds is None:
        return f"{at} until a person promotes it{shown}"
    if pause and trial.since:
        return f"{at} until {timestamp(trial.since + (pause.duration_seconds or 0))}{shown}"
    return f"{at}{shown}"


def _by_pods(s: Situation, trial: Trial) -> str:
    """Tell by which pods it gets its share."""
    pods = {name: s.world.fleets.get(name, NOTHING).ready for name in s.record.serving}
    return f", as {pods[trial.revision]} of {sum(pods.values())} pods in service are its" if len(pods) > 1 else ""


def _kept(s: Situation) -> str:
    """Tell why there are more pods than the spec asks for."""
    if s.desired <= asked(s.world):
        return ""
    return f"; {asked_told(s.world)}, and {s.desired} stay, so that its share does not grow by that"


def _besides(s: Situation) -> str:
    """Tell what goes to the canary beside its weight."""
    direct = canary.direct_of(s.world, s.record, desired=s.desired, surge=s.room.surge)
    if direct is None:
        return ""
    headers = " and ".join(f"{name}: {value}" for name, value in sorted(direct.headers.items()))
    testers = f", and all with {headers}" if headers else ""
    return testers + (f", and copies of {direct.mirror} %" if direct.mirror else "")


def unverified(s: Situation) -> str | None:
    """Say why the trial stays at a step that would be over, as far as what is counted of its requests goes."""
    trial, steps = s.record.trial, _steps(s)
    if trial is None or trial.promoted or canary.is_for_a_person(steps, trial.step):
        return None
    step = steps[trial.step] if trial.step < len(steps) else None
    is_over = step is None or (step.set_weight and not canary.is_followed_by_pause(steps, trial.step))
    if step and step.pause and trial.since:
        is_over = s.world.now >= trial.since + (step.pause.duration_seconds or 0)
    held_up = is_over or trial.unseen or analysis.misled(trial)
    return analysis.unverified(s.world, trial, _rollout(s)) if held_up else None


def canary_failed(s: Situation) -> Verdict | None:
    """Say that the canary was rolled back; None where it was not."""
    held = s.record.held
    if held is None or held.by != "operator" or not traffic.is_canary(s.world):
        return None
    return "True", held.reason, held_told(held)


def traffic_verified(s: Situation) -> Verdict | None:
    """Say whether requests are shared out as they should be; None where nothing shares them out."""
    if s.world.spec is None or s.record.suspended:
        return None
    if s.world.spec.routing.gateway is None:
        return _by_pods_verified(s)
    if not is_routed(s):
        return "False", ROUTE_NOT_ACCEPTED, unrouted(s)
    if (trial := s.record.trial) and (words := analysis.misled(trial)):
        return "False", "ShareNotObserved", words
    if trial and (words := unverified(s)):
        return "Unknown", "GrpcStatusUnseen" if trial.unseen else "ShareUnknown", words
    words = "every Gateway has taken over the weights"
    if s.record.plain:
        words += "; one takes no filters of backends, so that answers do not tell their revision by x-triton-revision"
    return "True", "RouteAccepted", words


def _by_pods_verified(s: Situation) -> Verdict | None:
    trial = s.record.trial
    if trial is None or trial.promoted or not trial.weight or not traffic.is_widened(s.world):
        return None
    shown = " and ".join(f"{pods} of {name}" for name, pods in sorted((s.world.endpoints or {}).items()))
    words = f"the Service shows as ready {shown or 'no pods'}"
    if widened.is_applied(s.world, s.record, trial, desired=s.desired):
        return "True", "PodsInService", words
    return "False", "PodsNotInService", f"{words}, which is not {trial.weight} %"


def rollout_status(s: Situation, trial: Trial) -> Json:
    """Tell of the trial for people, and for tools that plot it."""
    steps, readings = _steps(s), _readings(s, trial)
    failed, slow = analysis.counts_of(trial, analysis.ERRORS), analysis.counts_of(trial, analysis.SLOW)
    verdict = analysis.verdict_of(_rollout(s), trial)
    told: Json = {
        "step": min(trial.step + 1, len(steps)),
        "steps": len(steps),
        "verdict": verdict.value if trial.paused != canary.INCONCLUSIVE else "INCONCLUSIVE",
        "canary": {"requests": failed.canary, "failed": failed.canary_bad},
        "stable": {"requests": failed.stable, "failed": failed.stable_bad},
        "towardsFail": max(_percent(reading.harm, reading.fails_at) for reading in readings),
        "towardsPass": _towards_pass(readings),
    }
    if metrics := [_metric_status(name, tally) for name, tally in sorted(trial.tallies.items())]:
        told["metrics"] = metrics
    if trial.edge:
        told["slowMilliseconds"] = math.ceil(trial.edge)
        told["canary"] |= {"timed": slow.canary, "slow": slow.canary_bad}
        told["stable"] |= {"timed": slow.stable, "slow": slow.stable_bad}
    if trial.serving:
        told["servingSince"] = timestamp(trial.serving)
    return told


def _metric_status(name: str, tally: Tally) -> Json:
    told: Json = {"name": name, "good": tally.good, "bad": tally.bad, "unclear": tally.unclear}
    if tally.value:
        told["value"] = tally.value
    if tally.trouble:
        told["message"] = tally.trouble
    return told


def held_told(held: Held) -> str:
    """Tell why a spec is held, and what serves instead."""
    told = f"revision {held.revision} was rejected, and {held.goal} serves on: {held.message}"
    return held.message if held.by == "person" else told


def _rollout(s: Situation) -> Rollout:
    return s.world.spec.rollout if s.world.spec else Rollout()


def _readings(s: Situation, trial: Trial) -> list[Reading]:
    return list(analysis.readings_of(_rollout(s), trial).values())


def _towards_pass(readings: list[Reading]) -> int:
    return min(_percent(reading.harmless, reading.passes_at) for reading in readings)


def _steps(s: Situation) -> tuple[Step, ...]:
    return ladder(_rollout(s), desired=max(1, s.desired), surge=s.room.surge, by_pods=traffic.is_widened(s.world))


def _percent(part: float, whole: float) -> int:
    return max(0, min(100, int(100 * part / whole)))
