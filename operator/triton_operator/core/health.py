"""What is wrong with a revision's pods, in the words of whoever noticed it.

The checks are asked in order; the first that finds something is told.
Not for: deciding what follows from it; that is `core.conditions`.
"""

import json
import re
from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeGuard

from triton_operator.api.names import ANNOTATION_GPU, CONTAINER_PREPARE, CONTAINER_TRITON, LABEL_REVISION
from triton_operator.core.times import seconds
from triton_operator.core.world import Failure, Fleet
from triton_operator.resources.sources import VOLUME

Json = dict[str, Any]

# A container's own words end up in the status; more than this helps nobody.
MESSAGE_LENGTH = 1024
# After this many restarts, a bit over a minute, nobody should wait any longer; the kubelet goes on trying.
CRASHES = 3
DEAD_SECONDS = 60
STUCK_SECONDS = 60
BRIEF_SECONDS = 600
_PULL = {"ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull", "RegistryUnavailable"}
# Reasons of the programs that read sources which no further try can change; `models.failure` has them all.
FINAL = {"BadConfig", "BadLayout", "BadRequest", "NoVersions", "NotFound", "SourceChanged", "Unreadable"}
_KILLED = {137, 143}  # by SIGKILL, by SIGTERM
_SHORT = re.compile(r"Insufficient (\S+?)[.,]?(?:\s|$)")  # of a resource, in the scheduler's words
_REPLACED = "Triton does not restart a backend that has died, so the pod is replaced"
_UNREADY = (
    f"the version of the model has not been ready for {DEAD_SECONDS} s, though Triton runs and it was ready before:"
    f" {_REPLACED}"
)
_IDLE = f"Triton calls the model ready, but every request fails in its backend and none is executed: {_REPLACED}"
_CONFIG = {"CreateContainerConfigError", "CreateContainerError", "RunContainerError"}

# Triton writes `E1122 21:06:56.129006 18592 model_lifecycle.cc:642] "…"` in its own format and
# `2026-11-22T21:06:56Z E 18592 model_lifecycle.cc:642] "…"` in ISO 8601; the words are a JSON string.
_ERROR = re.compile(r"(?:E\d{4} \d\S*|\d{4}-\d\d-\d\dT\S+ E) +\d+ +[\w.]+:\d+\] *(?P<words>.*)")
_PARSER = re.compile(r"\[libprotobuf ERROR [^\]]*\] *(?P<words>.*)")
_OTHER = re.compile(r"(?:Signal \(\d+\) received|terminate called|error: ).*")
_CAUSES = ("failed to load '", "Poll failed for model directory '", "Error parsing text-format")
_NOISE = ("CudaDriverHelper has not been initialized",)
_SUMMARY = "error: creating server: Internal - failed to load all models"  # ends each failed start and says nothing
_CAUSES_TOLD = 4
_CAUSE_LENGTH = 500


def diagnose(
    revision: str, fleet: Fleet, pods: tuple[Json, ...], *, dead: frozenset[str] = frozenset(), now: float
) -> Failure | None:
    """Say what is wrong with a revision.

    Args:
        revision: name of the revision.
        fleet: its Deployment.
        pods: the pods of the service.
        dead: uids of those that are ready and execute nothing any more.
        now: seconds since the epoch.

    Returns:
        The failure, or None if its pods are ready, or merely starting.
    """
    own = living(pods, revision)
    for check in CHECKS:
        for pod in sorted(own, key=_created, reverse=True):
            if not is_ready(pod) and (failure := check(pod)):
                return failure
    for pod in own:
        if is_dead(pod, now=now):
            return _failure(pod, "BackendDied", _UNREADY)
        if pod["metadata"]["uid"] in dead:
            return _failure(pod, "BackendDied", _IDLE)
    if fleet.refused:
        return Failure("PodsRefused", f"the API server refuses the pods: {fleet.refused[:MESSAGE_LENGTH]}")
    return None


def living(pods: Iterable[Json], revision: str) -> list[Json]:
    """List the pods of a revision that are not going away."""
    return [
        pod
        for pod in pods
        if (pod["metadata"].get("labels") or {}).get(LABEL_REVISION) == revision
        and "deletionTimestamp" not in pod["metadata"]
    ]


def _node(pod: Json) -> Failure | None:
    """The node does not report any more: the pod was called not ready for it, while its containers last were."""
    ready = _condition(pod, "Ready") or {}
    containers = _listed(pod, "containerStatuses")
    if ready.get("status") == "False" and containers and all(c.get("ready") for c in containers):
        node = pod.get("spec", {}).get("nodeName", "?")
        return _failure(pod, "NodeLost", f"node {node} does not report any more: {pod['metadata']['name']} ran there")
    return None


def preparation(pod: Json) -> Failure | None:
    """Say why the init container could not prepare the model directory: it tells by its termination message."""
    for status in _listed(pod, "initContainerStatuses"):
        ended = _ended(status)
        if status["name"] == CONTAINER_PREPARE and _has_failed(ended) and ended.get("reason") != "OOMKilled":
            reason, message = prepared_message(ended.get("message", ""))
            return _failure(pod, reason, message, exit_code=ended.get("exitCode"), final=reason in FINAL)
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
            message = f"container {status['name']} used more memory than its limit and was killed"
            if status["name"] == CONTAINER_TRITON:
                message += ": raise spec.runtime.resources.limits.memory (spec.runtime.sharedMemory counts against it)"
            return _failure(
                pod, "OutOfMemory", message, exit_code=ended.get("exitCode"), final=_is_looping(status, ended)
            )
    return None


def _exit(pod: Json) -> Failure | None:
    """Triton has exited: its last words say why."""
    for status in _listed(pod, "containerStatuses"):
        ended = _ended(status)
        if _has_failed(ended) and not is_over(pod):
            if ended.get("reason") == "Unknown":
                message = f"nobody saw container {status['name']} end: its node was restarted"
                return _failure(pod, "NodeRestarted", message, exit_code=ended.get("exitCode"))
            words = last_words(ended.get("message", "")) or "no last words; see kubectl logs --previous"
            code = ended.get("exitCode")
            if (seconds := _load_timeout(pod, status, ended)) is not None:
                message = (
                    f"the model was not loaded within {seconds} s and Triton was ended: raise"
                    f" spec.runtime.loadTimeoutSeconds if it needs longer; its last words: {words}"
                )
                return _failure(pod, "LoadTimeout", message, exit_code=code)
            message = f"container {status['name']} exited with code {code}: {words}"
            return _failure(pod, "ContainerExited", message, exit_code=code, final=_is_looping(status, ended))
    return None


def is_unschedulable(pod: Json) -> bool:
    """Say whether the scheduler finds no node for a pod."""
    condition = _condition(pod, "PodScheduled") or {}
    return condition.get("status") == "False" and condition.get("reason") == "Unschedulable"


def _scheduling(pod: Json) -> Failure | None:
    """No node takes the pod, in the scheduler's words."""
    if is_unschedulable(pod):
        message = (_condition(pod, "PodScheduled") or {}).get("message", "")
        if 'persistentvolumeclaim "' in message:
            return _failure(pod, "VolumeMissing", message)
        reason = "InsufficientGPU" if _gpu(pod) in _SHORT.findall(message) else "Unschedulable"
        return _failure(pod, reason, message or "no node takes the pod")
    return None


def _gpu(pod: Json) -> str | None:
    """Name the resource that stands for the GPUs of a pod; None if it has none."""
    found: str | None = (pod["metadata"].get("annotations") or {}).get(ANNOTATION_GPU)
    return found


def _load_timeout(pod: Json, container: Json, ended: Json) -> int | None:
    """Give the time that a run had to load, in seconds, if it was ended for having used it up; else None."""
    probes = [
        c.get("startupProbe") for c in pod.get("spec", {}).get("containers", []) if c["name"] == container["name"]
    ]
    probe = probes[0] if probes else None
    if not probe or ended.get("exitCode") not in _KILLED or _was_ready(pod, ended):
        return None
    period, allowed = int(probe["periodSeconds"]), int(probe["periodSeconds"]) * int(probe["failureThreshold"])
    ran = seconds(ended.get("finishedAt")) - seconds(ended.get("startedAt"))
    return allowed if ran >= allowed - period else None  # the kubelet's first probe comes at once


def _created(pod: Json) -> str:
    return str(pod["metadata"].get("creationTimestamp", ""))


def _is_looping(status: Json, ended: Json) -> bool:
    """Say whether a container ends again and again; after a long run the kubelet, too, begins to count anew."""
    brief = seconds(ended.get("finishedAt")) - seconds(ended.get("startedAt")) < BRIEF_SECONDS
    return bool(status.get("restartCount", 0) >= CRASHES and brief)


def _blocked(pod: Json) -> Failure | None:
    """The kubelet cannot set the pod up: a volume, a ConfigMap, a Secret is missing."""
    status = pod.get("status", {})
    if status.get("phase") == "Pending" and (reason := status.get("reason")):
        message = status.get("message") or reason
        if reason in {"FailedMount", "FailedAttachVolume"}:
            return _failure(pod, "VolumeMissing", f"a volume of the pod cannot be mounted: {message}")
        return _failure(pod, reason, message)
    return None


def _ending(pod: Json) -> Failure | None:
    """The kubelet or the control plane ended the pod: eviction, a lost node, a refused admission."""
    status = pod.get("status", {})
    if is_over(pod):
        reason = status["reason"]
        message = status.get("message") or reason
        if "/" in reason:  # of a node without its devices, as after a reboot without their plugin: OutOfnvidia.com/gpu
            reason = "InsufficientGPU" if reason == f"OutOf{_gpu(pod)}" else "Unschedulable"
        return _failure(pod, reason, message)
    return None


# In this order: what explains the others comes first.
CHECKS: tuple[Callable[[Json], Failure | None], ...] = (
    _node,
    preparation,
    _image,
    _configuration,
    _memory,
    _exit,
    _scheduling,
    _blocked,
    _ending,
)


def _failure(pod: Json, reason: str, message: str, *, exit_code: int | None = None, final: bool = False) -> Failure:
    return Failure(
        reason, message.strip()[:MESSAGE_LENGTH], pod=pod["metadata"]["name"], exit_code=exit_code, final=final
    )


def waits_for(pod: Json) -> Failure | None:
    """Say why a pod that runs once, and has not ended, does not begin; None if nothing is known to be in its way."""
    for check in (_image, _configuration, _scheduling, _blocked):
        if failure := check(pod):
            return failure
    return None


def prepared_message(text: str) -> tuple[str, str]:
    """Read reason and message from what a program of `models` said at its end."""
    try:
        said = json.loads(text.strip().splitlines()[-1])
        return str(said["reason"])[:64], str(said["message"])
    except (ValueError, RecursionError, KeyError, TypeError, IndexError):
        return "PreparationFailed", text.strip() or "the init container failed without a word; see its log"


def last_words(text: str) -> str:
    """Pick out of a log why Triton has ended.

    Args:
        text: the end of its log, or what the kubelet kept of it, or what this function gave for them.

    Returns:
        One line: what names a cause, without time and place; else the last error lines; else the last line.
    """
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    errors = [words for line in lines if (words := _words(line)) and not words.startswith(_NOISE)]
    causes = [words[:_CAUSE_LENGTH] for words in errors if words.startswith(_CAUSES)]
    told = causes or [words for words in errors if words != _SUMMARY] or errors or lines[-1:]
    return " | ".join(list(dict.fromkeys(told))[-_CAUSES_TOLD:])


def _words(line: str) -> str | None:
    """Give the words of a line that tells an error, or None."""
    if match := _ERROR.fullmatch(line) or _PARSER.fullmatch(line):
        words = match["words"].strip()
        if words.startswith('"'):
            try:
                words = str(json.loads(words))
            except ValueError:  # cut off, or of a Triton that does not quote
                words = words.strip('"')
        return " ".join(words.split())
    return line if _OTHER.fullmatch(line) else None


def _has_failed(ended: Json | None) -> TypeGuard[Json]:
    return ended is not None and bool(ended.get("exitCode") or ended.get("reason") == "Error")


def is_over(pod: Json) -> bool:
    """Say whether the kubelet or the control plane has given a pod up, which explains how its containers ended."""
    status = pod.get("status") or {}
    return status.get("phase") == "Failed" and bool(status.get("reason"))


def is_failing(pod: Json) -> bool:
    """Say whether a container of a pod has failed so often, or cannot be made, that nobody should wait for it."""
    if is_ready(pod):
        return False
    waits = {waiting.get("reason") for _, waiting in _waiting(pod)}
    return bool(waits & (_PULL | _CONFIG | {"CrashLoopBackOff"})) or any(
        status.get("restartCount", 0) >= CRASHES and not status.get("started") for status in _statuses(pod)
    )


def is_stuck(pod: Json, *, now: float) -> bool:
    """Say whether a pod should be gone by now, as on a lost node: it holds up nothing that others need."""
    deadline = pod["metadata"].get("deletionTimestamp")
    return deadline is not None and now >= seconds(deadline) + STUCK_SECONDS


def is_dead(pod: Json, *, now: float) -> bool:
    """Say whether Triton runs on in a pod, but no longer serves the version that it did serve.

    Triton never restarts a backend that has died.

    Args:
        pod: the pod.
        now: seconds since the epoch.
    """
    condition = _condition(pod, "Ready") or {}
    if condition.get("status") != "False" or now - seconds(condition.get("lastTransitionTime")) < DEAD_SECONDS:
        return False
    for container in _listed(pod, "containerStatuses"):
        # One that was ready to the last is on a node that does not report any more.
        if container["name"] == CONTAINER_TRITON and container.get("started") and not container.get("ready"):
            running = container.get("state", {}).get("running")
            return bool(running) and _was_ready(pod, running)
    return False


def is_unchecked(pod: Json) -> bool:
    """Say whether Triton has been started again in a pod that reads its model from a claim, long after a look at it.

    Only the init container compares the files with those of the revision, and it does not run again: by now they may be
    others. For as long as a failing container takes to be called that it is left to the kubelet.
    """
    volumes = pod.get("spec", {}).get("volumes") or []
    if not any(v["name"].startswith(VOLUME) and "persistentVolumeClaim" in v for v in volumes):
        return False
    compared = next((_ended(s) for s in _listed(pod, "initContainerStatuses") if s["name"] == CONTAINER_PREPARE), None)
    triton = next((s for s in _listed(pod, "containerStatuses") if s["name"] == CONTAINER_TRITON), {})
    before = (triton.get("lastState") or {}).get("terminated")
    if not compared or not before or not triton.get("restartCount"):
        return False
    return seconds(before.get("finishedAt")) - seconds(compared.get("finishedAt")) >= BRIEF_SECONDS


def _was_ready(pod: Json, run: Json) -> bool:
    """Say whether a pod was ready in a run of a container: its readiness has changed after that run began."""
    changed = seconds((_condition(pod, "Ready") or {}).get("lastTransitionTime"))
    return changed > seconds(run.get("startedAt")) > 0


def is_ready(pod: Json) -> bool:
    """Say whether a pod is ready."""
    condition = _condition(pod, "Ready")
    return condition is not None and condition.get("status") == "True"


def ready_since(pod: Json) -> float:
    """Say since when a pod is ready, or is not, in seconds since the epoch; 0 if it does not tell."""
    return seconds((_condition(pod, "Ready") or {}).get("lastTransitionTime"))


def _condition(pod: Json, type_: str) -> Json | None:
    return next((c for c in _listed(pod, "conditions") if c["type"] == type_), None)


def _listed(pod: Json, key: str) -> list[Json]:
    listed: list[Json] = (pod.get("status") or {}).get(key) or []
    return listed


def _statuses(pod: Json) -> Iterator[Json]:
    yield from _listed(pod, "initContainerStatuses")
    yield from _listed(pod, "containerStatuses")


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
