"""Services as the operator tells of them, for what people read.

Not for: what a status may hold; that is `triton_operator.api.status`.
"""

from copy import deepcopy
from typing import Any

from rich.console import Console, RenderableType

from triton_operator.api.names import LABEL_RESOLVES, LABEL_REVISION, LABEL_SERVICE
from triton_operator.cli.gathered import Seen
from triton_operator.cli.service import Service
from triton_operator.core.times import seconds

Json = dict[str, Any]

NOW = seconds("2026-12-01T12:10:00Z")
BEGAN = "2026-12-01T12:00:00Z"
OLD, NEW = "digits-6kzl5hmztf", "digits-bh4rscsqr4"


def condition(type_: str, status: str, reason: str, message: str, since: str = BEGAN) -> Json:
    return {
        "type": type_,
        "status": status,
        "reason": reason,
        "message": message,
        "observedGeneration": 2,
        "lastTransitionTime": since,
    }


def service(*conditions: Json, spec: Json | None = None, generation: int = 2, seen: int = 2, **status: Any) -> Service:
    """A service that serves with two pods, as far as the conditions and the status do not say otherwise."""
    usual = {
        "Ready": condition("Ready", "True", "Serving", f"2 pods of {OLD} serve version 1"),
        "Available": condition("Available", "True", "RequestsServed", f"2 pods of {OLD} serve requests"),
        "Stalled": condition("Stalled", "False", "Serving", "nothing stands in the way"),
    }
    listed = usual | {each["type"]: each for each in conditions}
    told: Json = {
        "observedGeneration": seen,
        "phase": "Ready",
        "conditions": list(listed.values()),
        "stable": {"name": OLD, "version": 1, "replicas": 2, "ready": 2, "weight": 100},
        "url": "http://digits.demo.svc:8000",
    }
    body = {
        "metadata": {
            "name": "digits",
            "namespace": "demo",
            "uid": "1",
            "generation": generation,
            "resourceVersion": "7",
            "creationTimestamp": BEGAN,
        },
        "spec": {"model": {"name": "digits", "uri": "s3://models/digits", "version": 1}, "replicas": 2} | (spec or {}),
        "status": {key: value for key, value in (told | status).items() if value is not None},
    }
    return Service(body)


def on_trial(*conditions: Json, paused: str = "", **status: Any) -> Service:
    """A service with a canary at its second step, that waits for a person where `paused` gives the reason."""
    words = f"step 2 of 4: 20 % of requests go to {NEW} until a person promotes it"
    reason = "CanaryPaused" if paused else "CanaryProgressing"
    ready = condition("Ready", "Unknown", reason, words, "2026-12-01T12:04:00Z")
    waits = [condition("CanaryPaused", "True", paused, words, "2026-12-01T12:08:00Z")] if paused else []
    told: Json = {
        "phase": "Updating",
        "stable": {"name": OLD, "version": 1, "replicas": 4, "ready": 4, "weight": 80},
        "canary": {"name": NEW, "version": 2, "replicas": 1, "ready": 1, "weight": 20},
        "rollout": {
            "step": 2,
            "steps": 4,
            "verdict": "CONTINUE",
            "canary": {"requests": 1200, "failed": 3, "timed": 1200, "slow": 6},
            "stable": {"requests": 4800, "failed": 1, "timed": 4800, "slow": 20},
            "towardsFail": 12,
            "towardsPass": 40,
            "slowMilliseconds": 100,
            "servingSince": "2026-12-01T12:05:00Z",
        },
    }
    rollout = {"strategy": "Canary", "analysis": {"slowRequests": {"thresholdMilliseconds": 90}}}
    return service(ready, *waits, *conditions, spec={"replicas": 4, "rollout": rollout}, **(told | status))


def pod(name: str, revision: str, *, ready: bool = True, **status: Any) -> Json:
    """A pod of a revision; with an empty one the pod that looks sources up."""
    state = "True" if ready else "False"
    labels = {LABEL_SERVICE: "digits", LABEL_REVISION: revision} if revision else {LABEL_RESOLVES: "digits"}
    return {
        "metadata": {
            "name": name,
            "namespace": "demo",
            "uid": name,
            "labels": labels,
            "creationTimestamp": "2026-12-01T12:07:00Z",
        },
        "spec": {"nodeName": "node-1"},
        "status": {"phase": "Running", "conditions": [{"type": "Ready", "status": state}]} | status,
    }


def kept(revision: str, number: int, *, version: int = 1, rejected: str = "", **triton: Any) -> Json:
    """The ControllerRevision of a revision."""
    annotations = {"serving.triton-operator.dev/rejected": rejected} if rejected else {}
    container = {"name": "triton", "image": "tritonserver:1", "args": ["--a"], "env": []} | triton
    return {
        "metadata": {"name": revision, "namespace": "demo", "annotations": annotations, "creationTimestamp": BEGAN},
        "revision": number,
        "data": {
            "schema": 1,
            "model": {"name": "digits", "uri": "s3://models/digits", "version": version},
            "gpuCount": 1,
            "loadTimeoutSeconds": 900,
            "template": {"spec": {"containers": [deepcopy(container)]}},
            "resolved": {
                "key": "k",
                "models": [{"name": "digits", "version": version, "digest": f"sha{version}"}],
                "copies": {},
            },
        },
    }


def seen(of: Service, *pods: Json) -> Seen:
    return Seen(of, pods=pods)


def printed(what: RenderableType, columns: int = 80) -> str:
    """What a terminal of so many columns shows, without colours and without spaces at the ends of lines."""
    screen = Console(width=columns, markup=False, emoji=False, highlight=False, color_system=None)
    with screen.capture() as captured:
        screen.print(what)
    return "\n".join(line.rstrip() for line in captured.get().splitlines()) + "\n"
