"""What is wrong with a revision's pods, in the words of whoever noticed it.

The checks are asked in order; the first that finds something is told.
Not for: deciding what follows from it; that is `core.conditions`.
"""

import json
import re
from collections.abc import Callable, Iterator
from typing import Any

from triton_operator.api.names import CONTAINER_PREPARE, LABEL_REVISION
from triton_operator.core.world import Failure, Fleet

Json = dict[str, Any]

# A container's own words end up in the status; more than this helps nobody.
MESSAGE_LENGTH = 1024
_PULL = {"ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull", "RegistryUnavailable"}
_CONFIG = {"CreateContainerConfigError", "CreateContainerError", "RunContainerError"}
_TRITON_ERROR = re.compile(r"^(E\d{4} .*|\S+ \S*:?\d+ E .*|error: .*|.*\bE\b .*failed.*)$", re.IGNORECASE)


def diagnose(revision: str, fleet: Fleet, pods: tuple[Json, ...]) -> Failure | None:
    """Say what is wrong with a revision.

    Args:
        revision: name of the revision.
        fleet: its Deployment.
        pods: the pods of the service.

    Returns:
        The failure, or None if its pods are ready, or merely starting.
    """
    own = [p for p in pods if p["metadata"].get("labels", {}).get(LABEL_REVISION) == revision]
    own = [p for p in own if "deletionTimestamp" not in p["metadata"]]
    for check in CHECKS:
        for pod in sorted(own, key=lambda p: str(p["metadata"].get("creationTimestamp")), reverse=True):
            if not _is_ready(pod) and (failure := check(pod)):
                return failure
    if fleet.refused:
        return Failure("PodsRefused", f"the API server refuses the pods: {fleet.refused[:MESSAGE_LENGTH]}", final=True)
    return None


def _preparation(pod: Json) -> Failure | None:
    """The init container could not prepare the model directory: it says why by its termination message."""
    for status in pod.get("status", {}).get("initContainerStatuses", []):
        ended = _ended(status)
        if status["name"] == CONTAINER_PREPARE and ended and ended.get("exitCode"):
            reason, message = _prepared_message(ended.get("message", ""))
            final = reason in {"BadLayout", "NoVersions", "NotFound", "BadConfig", "Unreadable"}
            return _failure(pod, reason, message, exit_code=ended["exitCode"], final=final)
    return None


def _image(pod: Json) -> Failure | None:
    """An image cannot be pulled."""
    for status, waiting in _waiting(pod):
        if waiting.get("reason") in _PULL:
            words = waiting.get("message") or "no further words"
            message = f"the image {status.get('image', '?')} of container {status['name']} cannot be pulled: {words}"
            return _failure(pod, "ImagePullFailed", message)
    return None


def _configuration(pod: Json) -> Failure | None:
    """A container cannot be made: a ConfigMap, Secret or key is missing, a path is wrong."""
    for status, waiting in _waiting(pod):
        if waiting.get("reason") in _CONFIG:
            words = waiting.get("message") or waiting["reason"]
            return _failure(pod, "ContainerCannotStart", f"container {status['name']} cannot be started: {words}")
    return None


def _memory(pod: Json) -> Failure | None:
    """A container was killed because it used more memory than its limit."""
    for status in _statuses(pod):
        ended = _ended(status)
        if ended and ended.get("reason") == "OOMKilled":
            message = (
                f"container {status['name']} used more memory than its limit and was killed: raise"
                " spec.runtime.resources.limits.memory (spec.runtime.sharedMemory counts against it)"
            )
            return _failure(pod, "OutOfMemory", message, exit_code=ended.get("exitCode"))
    return None


def _exit(pod: Json) -> Failure | None:
    """Triton has exited: its last words say why."""
    for status in pod.get("status", {}).get("containerStatuses", []):
        ended = _ended(status)
        if ended and (ended.get("exitCode") or ended.get("reason") == "Error"):
            words = _last_words(ended.get("message", "")) or "no last words; see kubectl logs --previous"
            code = ended.get("exitCode")
            return _failure(
                pod, "ContainerExited", f"container {status['name']} exited with code {code}: {words}", exit_code=code
            )
    return None


def _scheduling(pod: Json) -> Failure | None:
    """No node takes the pod, in the scheduler's words."""
    condition = _condition(pod, "PodScheduled")
    if condition and condition.get("status") == "False" and condition.get("reason") == "Unschedulable":
        message = condition.get("message", "")
        reason = "InsufficientGPU" if re.search(r"Insufficient \S*/\S+", message) else "Unschedulable"
        return _failure(pod, reason, message or "no node takes the pod")
    return None


def _ending(pod: Json) -> Failure | None:
    """The kubelet or the control plane ended the pod: eviction, a lost node, a refused admission."""
    status = pod.get("status", {})
    if status.get("phase") == "Failed" and status.get("reason"):
        return _failure(pod, status["reason"], status.get("message") or status["reason"])
    return None


# In this order: what explains the others comes first.
CHECKS: tuple[Callable[[Json], Failure | None], ...] = (
    _preparation,
    _image,
    _configuration,
    _memory,
    _exit,
    _scheduling,
    _ending,
)


def _failure(pod: Json, reason: str, message: str, *, exit_code: int | None = None, final: bool = False) -> Failure:
    return Failure(
        reason, message.strip()[:MESSAGE_LENGTH], pod=pod["metadata"]["name"], exit_code=exit_code, final=final
    )


def _prepared_message(text: str) -> tuple[str, str]:
    try:
        said = json.loads(text.strip().splitlines()[-1])
        return str(said["reason"])[:64], str(said["message"])
    except (ValueError, KeyError, TypeError, IndexError):
        return "PreparationFailed", text.strip() or "the init container failed without a word; see its log"


def _last_words(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    errors = [line for line in lines if _TRITON_ERROR.match(line)]
    return " | ".join(errors[-3:] or lines[-1:])


def _is_ready(pod: Json) -> bool:
    condition = _condition(pod, "Ready")
    return condition is not None and condition.get("status") == "True"


def _condition(pod: Json, type_: str) -> Json | None:
    return next((c for c in pod.get("status", {}).get("conditions", []) if c["type"] == type_), None)


def _statuses(pod: Json) -> Iterator[Json]:
    status = pod.get("status", {})
    yield from status.get("initContainerStatuses", [])
    yield from status.get("containerStatuses", [])


def _waiting(pod: Json) -> Iterator[tuple[Json, Json]]:
    for status in _statuses(pod):
        if waiting := status.get("state", {}).get("waiting"):
            yield status, waiting


def _ended(status: Json) -> Json | None:
    """Give how a container ended last, whether it waits, runs again or is over."""
    for state in (status.get("state", {}), status.get("lastState", {})):
        if ended := state.get("terminated"):
            return dict(ended)
    return None
