"""What the state of a service is called: conditions, phase and the rest of the status.

`Ready` says that this generation is fully realised, `Available` that requests are served. kubectl wait, Helm and every
tool built on kstatus read them alike: Reconciling is in progress, Stalled is failed, Ready is current.
Not for: what to do about it; that is `core.rollout`.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from triton_operator.api.names import LABEL_REVISION, LABEL_SERVICE, PORT_GRPC, PORT_HTTP
from triton_operator.api.status import (
    ACCEPTED,
    AVAILABLE,
    CANARY_FAILED,
    CANARY_PAUSED,
    POD_UNREACHABLE,
    READY,
    RECONCILING,
    SCALING_ACTIVE,
    SERVES_ON_CPU,
    STALLED,
    SUSPENDED,
    TRAFFIC_VERIFIED,
)
from triton_operator.core import canary, traffic
from triton_operator.core.canary_status import (
    ROUTE_NOT_ACCEPTED,
    SURGE_EXHAUSTED,
    canary_failed,
    held_told,
    is_paused,
    is_refused,
    is_routed,
    is_surge_exhausted,
    rollout_status,
    traffic_verified,
    trial_told,
    unrouted,
)
from triton_operator.core.lookup import Look
from triton_operator.core.record import Record
from triton_operator.core.replicas import SOURCE_CHANGED, why_kept
from triton_operator.core.revision import Revision
from triton_operator.core.rollout import NOTHING, deadline, provision_seconds
from triton_operator.core.scaling_status import is_growing, scaling_active, scaling_status
from triton_operator.core.situation import Situation, Verdict, ready_pods, why
from triton_operator.core.times import timestamp
from triton_operator.core.world import World
from triton_operator.resources.children import headless_name
from triton_operator.resources.labels import NO_REVISION

Json = dict[str, Any]

ON_REQUEST: Verdict = ("True", "Suspended", "no pods on request")


def ready(s: Situation) -> Verdict:
    """Say whether this generation is fully realised; the first line that holds is the answer."""
    if s.refusal:
        return "False", *s.refusal
    if s.world.waits:
        return "Unknown", "Waiting", f"still being deleted: {', '.join(s.world.waits)}"
    if s.record.suspended:
        if s.pods:
            return "Unknown", "Suspending", f"{s.pods} pods are still ending"
        return "True", "Suspended", "suspended on request: no pods; set spec.suspend to false to resume"
    if s.lookup:
        return looking_up(s.world, s.lookup)
    kept = why_kept(s.world, s.record, s.target.name, s.desired)
    if (held := s.record.held) and (kept or is_whole(s) or held.by == "operator"):
        return "False", held.reason, "; ".join(filter(None, (held_told(held), kept)))
    if kept:
        return "False", SOURCE_CHANGED, kept
    if is_whole(s):
        if not is_routed(s):
            return "False" if is_refused(s) else "Unknown", ROUTE_NOT_ACCEPTED, unrouted(s)
        if s.desired == 0:
            return "True", "ScaledToZero", "spec.replicas is 0: no pods"
        return "True", "Serving", f"{_serving(s.desired, s.target.name)} version {s.target.version}"
    if failed := failing(s):
        return "False", *failed
    if _is_shut(s):
        return "False", "RecreateNeeded", _shut(s)
    name, fleet, trouble = s.target.name, s.fleet, why(s)
    if s.record.resuming:
        return "Unknown", "Resuming", f"revision {s.record.stable} is brought back first"
    progress = f"{fleet.ready} of {s.expected} pods of revision {name} are ready"
    if s.gate.unreachable:
        words = f"{progress}; they take requests once they have answered to the operator: {s.gate.unreachable}"
        return "False" if _is_late(s) else "Unknown", POD_UNREACHABLE, words
    if is_being_checked(s):
        return "Unknown", "Checking", f"{progress}; they take requests once they have answered as they must{trouble}"
    if s.record.trial and canary.is_judged(s.world, s.record, name):
        if is_refused(s) and s.fleet.ready >= s.expected:
            return "False", ROUTE_NOT_ACCEPTED, trial_told(s)
        going = SURGE_EXHAUSTED if is_surge_exhausted(s) else "CanaryProgressing"
        return "Unknown", "CanaryPaused" if is_paused(s) else going, trial_told(s)
    if s.record.stable is None:
        return "Unknown", "Loading", progress + trouble
    if s.record.stable != name:
        serves = "ends before they begin" if s.room.apart else "serves until they are"
        meanwhile = serves if s.ready else "no longer serves"
        return "Unknown", "Updating", f"{progress}; {s.record.stable} {meanwhile}{trouble}"
    if fleet.ready < s.desired:
        return "Unknown", "PodsNotReady", progress + trouble
    return "Unknown", "Scaling", f"{s.pods} pods exist, {s.desired} are wanted"


def is_whole(s: Situation) -> bool:
    """Say whether the target serves with just the pods that are wanted."""
    if s.record.suspended:
        return not s.pods
    checked = s.gate.admitted or not s.desired
    return checked and s.record.stable == s.target.name and s.fleet.pods == s.fleet.ready == s.desired == s.pods


def is_being_checked(s: Situation) -> bool:
    """Say whether pods of the target are ready and have yet to answer what they are asked before they serve."""
    return s.fleet.ready > 0 and not s.gate.admitted and not s.gate.waiting


def failing(s: Situation) -> tuple[str, str] | None:
    """Say why the target will not be realised without a change, as reason and message; None while it may be."""
    if s.refusal or s.world.waits or s.record.suspended or is_whole(s):
        return None
    name = s.target.name
    if found := canary.failure_of(s.world, s.record):
        return found
    if s.failure and s.failure.final:
        return s.failure.reason, s.failure.message
    if _is_shut(s) or s.gate.unreachable:
        return None
    if _is_late(s) and is_being_checked(s):
        return "DeadlineExceeded", f"ready pods of revision {name} did not answer in time what they are asked"
    if _is_late(s) and not _all_ready(s) and not is_growing(s):
        homeless = s.record.homeless or not s.record.placed
        within = f"placed on nodes within {provision_seconds(s.world)} s" if homeless else "loaded in time"
        reason = s.failure.reason if s.failure else "DeadlineExceeded"
        return reason, f"not all pods of revision {name} were {within}{why(s)}"
    return None


def _is_late(s: Situation) -> bool:
    """Say whether the time of what is under way is out."""
    until = deadline(s.record, s.target, provision_seconds=provision_seconds(s.world))
    return bool(s.record.started) and s.world.now >= until


def _is_shut(s: Situation) -> bool:
    """Say whether the rollout has no room to begin."""
    before = s.world.fleets.get(s.record.stable or "", NOTHING) if s.record.stable != s.target.name else NOTHING
    return s.room.is_shut(s.desired) and not _all_ready(s) and before.ready > 0


def looking_up(world: World, look: Look) -> Verdict:
    """Say how far the look at the sources is."""
    uri = world.spec.model.uri if world.spec else "the source"
    if world.spec and world.spec.suspend:
        return "True", "Suspended", "suspended on request: no pods; set spec.suspend to false to resume"
    if look.final and look.failure:
        return "False", look.failure.reason, look.failure.message
    why = f"; {look.failure.reason}: {look.failure.message}" if look.failure else ""
    return "Unknown", "Resolving", f"{uri} is looked up for its version and files{why}"


def _shut(s: Situation) -> str:
    """Say why a rollout cannot begin, and what to change."""
    count = s.target.gpu_count
    return (
        f"{s.record.stable} serves on: rollout.maxSurgeGPUs has no room for a further pod, and {_pods(s.room.keep)}"
        f" must stay. Set rollout.strategy to Recreate, rollout.maxSurgeGPUs to {count} or more, or"
        f" rollout.minAvailable to {s.desired - 1}"
    )


def _all_ready(s: Situation) -> bool:
    """Say whether all wanted pods of the target are ready, so that only surplus ones have yet to go."""
    return s.fleet.ready >= s.expected


def available(world: World, record: Record) -> Verdict:
    """Say whether requests are served, whatever the spec asks for."""
    if count := ready_pods(world, record):
        return "True", "RequestsServed", f"{_serving(count, *record.serving)} requests"
    if record.suspended:
        return "False", "Suspended", "suspended on request: no pods"
    return "False", "NoReadyPods", "no pod in service is ready"


def serves_on_cpu(s: Situation) -> Verdict | None:
    """Say whether GPUs were asked for and Triton loaded the model on the CPU all the same; None if not known."""
    about = s.record.about.get(s.target.name)
    kinds = about.kinds if about else ()
    if not s.target.gpu_count or not kinds:
        return None
    if "KIND_GPU" in kinds or "KIND_MODEL" in kinds:
        return "False", "UsesGPU", f"instances were loaded as {' and '.join(kinds)}"
    return (
        "True",
        "ServesOnCPU",
        f"each replica holds {s.target.gpu_count} GPUs, but all instances were loaded as {' and '.join(kinds)}: remove"
        " the kind from instance_group in config.pbtxt, or set spec.gpu.count to 0",
    )


def conditions(s: Situation) -> list[Json]:
    """List the conditions of a service, each with the time at which its status last changed."""
    readiness = ready(s)
    status, reason, message = readiness
    found: dict[str, Verdict | None] = {
        READY: readiness,
        AVAILABLE: available(s.world, s.record),
        ACCEPTED: ("False", *s.refusal) if s.refusal else ("True", "Accepted", "the spec can be carried out"),
        RECONCILING: (("True", reason, message) if status == "Unknown" else ("False", reason, "no work is under way")),
        STALLED: (("True", reason, message) if status == "False" else ("False", reason, "nothing stands in the way")),
        SUSPENDED: ON_REQUEST if s.record.suspended else None,
        SERVES_ON_CPU: serves_on_cpu(s),
        CANARY_PAUSED: ("True", s.record.trial.paused or "CanaryPauseStep", trial_told(s))
        if s.record.trial and is_paused(s)
        else None,
        CANARY_FAILED: canary_failed(s),
        TRAFFIC_VERIFIED: traffic_verified(s),
        SCALING_ACTIVE: scaling_active(s),
    }
    return dated(s.world, {type_: verdict for type_, verdict in found.items() if verdict})


def dated(world: World, verdicts: Mapping[str, Verdict]) -> list[Json]:
    """Make conditions of verdicts, each with the time at which its status last changed."""
    before = {c["type"]: c for c in world.status.get("conditions") or []}
    now = timestamp(world.now)
    return [
        {
            "type": type_,
            "status": verdict[0],
            "observedGeneration": world.generation,
            "lastTransitionTime": _since(before.get(type_), verdict[0], now),
            "reason": verdict[1][:128],
            "message": verdict[2][:4096],
        }
        for type_, verdict in verdicts.items()
    ]


def status(s: Situation) -> Json:
    """Build the whole status.

    Args:
        s: the situation.

    Returns:
        The status, as a dict with the fields of `api.status`; the same situation gives the same status.
    """
    world, record = s.world, s.record
    listed = conditions(s)
    in_service = [world.fleets.get(name, NOTHING) for name in record.serving]
    built: Json = {
        "observedGeneration": world.generation,
        "phase": phase({c["type"]: c for c in listed}),
        "conditions": listed,
        "replicas": sum(fleet.pods for fleet in in_service),
        "readyReplicas": s.ready,
        "selector": scale_selector(world.name, record.serving),
        **_addresses(world),
    }
    if record.stable and (stable := world.revisions.get(record.stable) or _if_target(s, record.stable)):
        built["stable"] = _revision(s, stable)
    if s.target.name != record.stable:
        built["canary"] = _revision(s, s.target)
    if (warm := record.warm) and warm.revision in world.revisions:
        kept = _revision(s, world.revisions[warm.revision])
        del kept["weight"]
        built["warm"] = kept | {"until": timestamp(warm.until)}
    if held := record.held:
        built["rejected"] = {
            "name": held.revision,
            **({"version": world.revisions[held.revision].version} if held.revision in world.revisions else {}),
            "by": "Person" if held.by == "person" else "Operator",
            "reason": held.reason[:128],
            "message": held.message[:4096],
            "time": held.time,
        }
    if scaling := scaling_status(s):
        built["autoscaling"] = scaling
    if record.trial:
        built["rollout"] = rollout_status(s, record.trial)
    if record.failure:
        built["lastFailure"] = record.failure
    return built


def _addresses(world: World) -> Json:
    host = f"{world.name}.{world.namespace}.svc"
    inside = {
        "http": f"http://{host}:{PORT_HTTP}",
        "grpc": f"grpc://{host}:{PORT_GRPC}",
        "headless": f"dns:///{headless_name(world.name)}.{world.namespace}.svc:{PORT_GRPC}",
    }
    gateway = world.spec.routing.gateway if world.spec else None
    outside = _outside("gateway", gateway.hostnames, gateway.path_prefix or "") if gateway else {}
    if gateway and gateway.grpc == "GRPCRoute":
        outside |= _outside("gateway-grpc", gateway.grpc_hostnames or gateway.hostnames, "")
    # Where a canary's pods replace others it joins the Service too.
    split = inside | outside if traffic.is_shrinking(world) else outside or inside
    told = {"split": True} if traffic.is_canary(world) else {}
    listed = [{"name": name, "url": url} | (told if name in split else {}) for name, url in (inside | outside).items()]
    return {"url": inside["http"], "addresses": listed}


def _outside(name: str, hosts: Sequence[str] | None, path: str) -> dict[str, str]:
    named = enumerate(hosts or ["*"])
    return {f"{name}-{number}" if number else name: f"//{host}{path}" for number, host in named}


def phase(by_type: Mapping[str, Json]) -> str:
    """Put the conditions into one word for people."""
    is_available = by_type[AVAILABLE]["status"] == "True"
    if SUSPENDED in by_type:
        return "Suspended"
    if by_type[STALLED]["status"] == "True":
        return "Degraded" if is_available else "Failed"
    if by_type[READY]["status"] == "True":
        return "Ready"
    if not is_available:
        return "Loading"
    return "Updating"


def scale_selector(service: str, serving: tuple[str, ...]) -> str:
    """Write the selector of the pods in service, for whoever scales by /scale."""
    if len(serving) > 1:
        return f"{LABEL_SERVICE}={service},{LABEL_REVISION} in ({','.join(serving)})"
    return f"{LABEL_SERVICE}={service},{LABEL_REVISION}={serving[0] if serving else NO_REVISION}"


def _since(before: Json | None, status: str, now: str) -> str:
    return str(before["lastTransitionTime"]) if before and before["status"] == status else now


def _if_target(s: Situation, name: str) -> Revision | None:
    return s.target if s.target.name == name else None


def _revision(s: Situation, revision: Revision) -> Json:
    fleet = s.world.fleets.get(revision.name, NOTHING)
    in_service = revision.name in s.record.serving and s.ready
    return {
        "name": revision.name,
        "version": revision.version,
        "replicas": fleet.pods,
        "ready": fleet.ready,
        "weight": _weight(s, revision.name, round(100 * fleet.ready / s.ready) if in_service else 0),
    }


def _weight(s: Situation, revision: str, share: int) -> int:
    return s.weights.get(revision, 0) if traffic.is_split(s.world) and s.ready else share


def _serving(count: int, *revisions: str) -> str:
    """Write who serves, up to the verb."""
    return f"{_pods(count)} of {' and '.join(revisions)} serve{'s' if count == 1 else ''}"


def _pods(count: int) -> str:
    return "1 pod" if count == 1 else f"{count} pods"
