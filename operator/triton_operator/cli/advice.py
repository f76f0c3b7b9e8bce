"""What a person can do next about a service: the commands, and what each does.

Rules are asked one by one, in the order in which a person would think of them.
Not for: why a service is as it is; that is `cli.explain`.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from triton_operator.api.status import (
    ACCEPTED,
    CANARY_PAUSED,
    READY,
    SCALING_ACTIVE,
    SERVES_ON_CPU,
    TRAFFIC_VERIFIED,
)
from triton_operator.cli.remedies import REMEDIES
from triton_operator.cli.service import Service

PROMOTE = "goes on with the next step; past the last one, promotes it"
PROMOTE_ANYWAY = "gives it everything, whatever its requests have shown"
ABORT = "takes its requests away and ends it; what serves serves on"
RESUME = "lets it go on"
# What a person can do about each reason of a pause.
PAUSES = {
    "CanaryPauseStep": (("promote", PROMOTE), ("abort", ABORT)),
    "UserRequested": (("resume", RESUME), ("abort", ABORT)),
    "Inconclusive": (
        ("resume", "waits for a verdict for the same time once more"),
        ("promote-full", PROMOTE_ANYWAY),
        ("abort", ABORT),
    ),
    "AnalysisFailed": (("abort", ABORT), ("promote", PROMOTE_ANYWAY)),
}


@dataclass(frozen=True, slots=True)
class Advice:
    """One thing to do.

    Attributes:
        command: what to type; "" where it is something to change.
        effect: what that does, or what to change.
    """

    command: str
    effect: str


def advice(service: Service) -> tuple[Advice, ...]:
    """List what a person can do next, each once."""
    found = [each for rule in _RULES for each in rule(service)]
    return tuple(dict.fromkeys(found))


def _unseen(service: Service) -> Iterator[Advice]:
    if not service.is_looked_at:
        yield Advice("kubectl triton doctor", "tells whether the operator runs and may do its work")


def _paused(service: Service) -> Iterator[Advice]:
    if service.holds(CANARY_PAUSED):
        reason = str((service.condition(CANARY_PAUSED) or {}).get("reason", ""))
        for action, effect in PAUSES.get(reason, PAUSES["CanaryPauseStep"]):
            yield Advice(_command(service, action), effect)


def _under_way(service: Service) -> Iterator[Advice]:
    if service.is_ready or service.is_stalled or service.holds(CANARY_PAUSED) or not service.is_looked_at:
        return
    yield Advice(_command(service, "get", " -w"), "shows how it goes on")
    if service.part("rollout"):
        yield Advice(_command(service, "pause"), "holds the canary where it is")
    if service.revision("canary") and service.revision("stable"):
        yield Advice(_command(service, "abort"), ABORT)


def _remedies(service: Service) -> Iterator[Advice]:
    reasons = [str(service.part("lastFailure").get("reason", "")), str(service.part("rejected").get("reason", ""))]
    if not service.is_ready:
        reasons.append(service.reason)
    for type_ in (ACCEPTED, TRAFFIC_VERIFIED):
        condition = service.condition(type_)
        if condition and condition.get("status") == "False":
            reasons.append(str(condition.get("reason", "")))
    for reason in filter(None, reasons):
        if remedy := REMEDIES.get(reason):
            yield Advice("", f"{reason}: {remedy.format(name=_named(service))}")


def _scaling(service: Service) -> Iterator[Advice]:
    condition = service.condition(SCALING_ACTIVE) or {}
    # Another autoscaler's doings have the same word as another service's route; the message says what to do.
    reason = str(condition.get("reason", ""))
    if reason != "Conflict" and (remedy := REMEDIES.get(reason)):
        yield Advice("", f"{reason}: {remedy.format(name=_named(service))}")
    limit = service.part("autoscaling").get("limitedBy")
    if limit == "max":
        yield Advice("", "more replicas are needed than spec.autoscaling.maxReplicas allows: raise it")
    elif limit in ("nodes", "quota"):
        yield Advice(
            "", f"more replicas are needed than {limit} allow: add GPUs" if limit == "nodes" else "raise the quota"
        )


def _on_cpu(service: Service) -> Iterator[Advice]:
    if service.holds(SERVES_ON_CPU):
        yield Advice("", str((service.condition(SERVES_ON_CPU) or {}).get("message", "")))


def _rejected(service: Service) -> Iterator[Advice]:
    if service.part("rejected"):
        yield Advice(_command(service, "retry"), "tries the rejected revision again")


def _well(service: Service) -> Iterator[Advice]:
    ready = service.condition(READY)
    if service.is_ready and ready and ready.get("reason") == "Serving":
        yield Advice(_command(service, "history"), "lists the revisions that undo can go back to")


_RULES: tuple[Callable[[Service], Iterator[Advice]], ...] = (
    _unseen,
    _paused,
    _remedies,
    _rejected,
    _under_way,
    _scaling,
    _on_cpu,
    _well,
)


def _command(service: Service, action: str, more: str = "") -> str:
    return f"kubectl triton {action} {_named(service)}{more}"


def _named(service: Service) -> str:
    """Name it as on a command line, whatever the namespace of the context is."""
    return f"{service.name} -n {service.namespace}" if service.namespace not in ("", "default") else service.name
