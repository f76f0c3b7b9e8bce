"""What is wrong, told from pods as the kubelet and the scheduler write them, and from real logs of Triton."""

from pathlib import Path
from typing import Any

import pytest

from triton_operator.api.names import (
    ANNOTATION_GPU,
    CONTAINER_PREPARE,
    CONTAINER_TRITON,
    LABEL_REVISION,
    LABEL_SERVICE,
)
from triton_operator.core.health import MESSAGE_LENGTH, diagnose, last_words
from triton_operator.core.world import Failure, Fleet
from triton_operator.models.failure import PrepareError, Reason, termination_message

Json = dict[str, Any]
LOGS = Path(__file__).parent / "logs"
REVISION = "vision-abc"
FLEET = Fleet(wanted=1, pods=1, ready=0)
SECRET = "s3cr3t-value"
KUBELET_KEEPS = 2048
NOW = 1_767_300_000.0  # 2026-01-01T20:40:00Z


def pod(
    name: str = "vision-abc-1",
    *,
    status: Json,
    created: str = "2026-01-01T00:00:00Z",
    metadata: Json | None = None,
) -> Json:
    labels = {LABEL_SERVICE: "vision", LABEL_REVISION: REVISION}
    own = {"labels": labels, "annotations": {ANNOTATION_GPU: "nvidia.com/gpu"}}
    return {
        "metadata": {"name": name, "uid": f"uid-{name}", "creationTimestamp": created} | own | (metadata or {}),
        "spec": {
            "nodeName": "gpu-7",
            "containers": [
                {
                    "name": CONTAINER_TRITON,
                    "env": [{"name": "TOKEN", "value": SECRET}],
                    "startupProbe": {"periodSeconds": 5, "failureThreshold": 120},
                }
            ],
        },
        "status": {"phase": "Pending"} | status,
    }


def init(**state: Any) -> Json:
    status = {"name": CONTAINER_PREPARE, "image": "operator:1", "imageID": "", "ready": False, "restartCount": 0}
    return {
        "initContainerStatuses": [status | {"state": {}, "lastState": {}} | state],
        "containerStatuses": [_triton({"state": {"waiting": {"reason": "PodInitializing"}}})],
    }


def main(**state: Any) -> Json:
    done = {"terminated": {"exitCode": 0, "reason": "Completed"}}
    prepared = {"name": CONTAINER_PREPARE, "image": "operator:1", "ready": True, "restartCount": 0, "state": done}
    return {
        "phase": "Running",
        "initContainerStatuses": [prepared | {"lastState": {}}],
        "containerStatuses": [_triton(state)],
    }


def _triton(state: Json) -> Json:
    image = "nvcr.io/nvidia/tritonserver:26.07-py3"
    status = {"name": CONTAINER_TRITON, "image": image, "imageID": "", "ready": False, "restartCount": 0}
    return status | {"state": {}, "lastState": {}, "started": False} | state


def waiting(reason: str, message: str = "") -> Json:
    return {"waiting": {"reason": reason} | ({"message": message} if message else {})}


def ended(code: int, reason: str = "Error", message: str = "", **more: Any) -> Json:
    said = {"exitCode": code, "reason": reason, "containerID": "containerd://1"} | more
    return {"terminated": said | ({"message": message} if message else {})}


def said(reason: Reason, message: str) -> str:
    """What the init container writes as its termination message."""
    return termination_message(PrepareError(reason, message))


def at(clock: str) -> str:
    return f"2026-01-01T{clock}Z"


def unready(*, since: str) -> Json:
    return {"conditions": [{"type": "Ready", "status": "False", "lastTransitionTime": at(since)}]}


BACK_OFF = waiting("CrashLoopBackOff", "back-off 10s restarting failed container=triton pod=vision-abc-1_models(uid)")
IMAGE_WORDS = 'failed to pull and unpack image "nvcr.io/nvidia/tritonserver:26.07-py3": not found'
SCHEDULER_GPU = (
    "0/3 nodes are available: 1 node(s) had untolerated taint(s), 2 Insufficient nvidia.com/gpu."
    " no new claims to deallocate, preemption: 0/3 nodes are available: 3 Preemption is not helpful for scheduling."
)
REJECTED = "Pod was rejected: Node didn't have enough resource: nvidia.com/gpu, requested: 1, used: 0, capacity: 0"
SCHEDULER_CPU = "0/2 nodes are available: 2 Insufficient cpu. preemption: 0/2 nodes are available."
SCHEDULER_CLAIM = '0/2 nodes are available: persistentvolumeclaim "models" not found. not found'
EVICTED = "The node was low on resource: memory. Threshold quantity: 100Mi, available: 83164Ki. "
TOO_MANY = "Pod was rejected: Allocate failed due to requested number of devices unavailable for nvidia.com/gpu"


def unscheduled(message: str) -> Json:
    condition = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": message}
    return {"conditions": [condition]}


@pytest.mark.parametrize(
    ("status", "reason", "words", "final"),
    [
        pytest.param(
            main(state=waiting("ErrImagePull", IMAGE_WORDS)), "ImagePullFailed", "26.07-py3", False, id="first pull"
        ),
        pytest.param(
            main(state=waiting("ImagePullBackOff", f'Back-off pulling image "x": ErrImagePull: {IMAGE_WORDS}')),
            "ImagePullFailed",
            "not found",
            False,
            id="pull again",
        ),
        pytest.param(
            init(state=waiting("InvalidImageName", 'Failed to apply default image tag "A:b:c"')),
            "ImagePullFailed",
            "container prepare",
            False,
            id="image of the init container",
        ),
        pytest.param(unscheduled(SCHEDULER_GPU), "InsufficientGPU", "2 Insufficient nvidia.com/gpu", False, id="GPU"),
        pytest.param(unscheduled(SCHEDULER_CPU), "Unschedulable", "Insufficient cpu", False, id="CPU"),
        pytest.param(unscheduled(SCHEDULER_CLAIM), "VolumeMissing", '"models" not found', False, id="missing claim"),
        pytest.param(
            init(state=ended(1, message=said(Reason.BAD_LAYOUT, "set spec.model.uri to pvc://models/resnet50"))),
            "BadLayout",
            "set spec.model.uri to pvc://models/resnet50",
            True,
            id="layout",
        ),
        pytest.param(
            init(
                state=waiting("CrashLoopBackOff"),
                lastState=ended(1, message=said(Reason.NO_VERSIONS, "there is no version 7")),
            ),
            "NoVersions",
            "there is no version 7",
            True,
            id="version, between two tries",
        ),
        pytest.param(
            init(state={"running": {}}, lastState=ended(1, message=said(Reason.STORAGE_ERROR, "input/output error"))),
            "StorageError",
            "input/output error",
            False,
            id="storage, during the next try",
        ),
        pytest.param(
            init(state=ended(1, message="Traceback (most recent call last):\nImportError: no module")),
            "PreparationFailed",
            "ImportError",
            False,
            id="init container without JSON",
        ),
        pytest.param(
            init(state=ended(1, "Error", "[" * 4096)), "PreparationFailed", "[[[[", False, id="JSON without an end"
        ),
        pytest.param(init(state=ended(128, "StartError")), "PreparationFailed", "see its log", False, id="wordless"),
        pytest.param(init(state=ended(137, "OOMKilled")), "OutOfMemory", "container prepare", False, id="OOM in init"),
        pytest.param(
            main(state=BACK_OFF, lastState=ended(137, "OOMKilled"), restartCount=1),
            "OutOfMemory",
            "raise spec.runtime.resources.limits.memory",
            False,
            id="OOM",
        ),
        pytest.param(
            main(state=BACK_OFF, lastState=ended(137, "OOMKilled"), restartCount=4),
            "OutOfMemory",
            "raise spec.runtime.resources.limits.memory",
            True,
            id="OOM again and again",
        ),
        pytest.param(
            main(state=waiting("CreateContainerConfigError", 'configmap "labels" not found')),
            "ContainerCannotStart",
            'configmap "labels" not found',
            False,
            id="missing ConfigMap",
        ),
        pytest.param(
            main(state=waiting("CreateContainerConfigError", "couldn't find key token in Secret models/hub")),
            "ContainerCannotStart",
            "key token in Secret models/hub",
            False,
            id="missing key",
        ),
        pytest.param(
            main(state=waiting("RunContainerError", 'exec: "tritonserver": executable file not found in $PATH')),
            "ContainerCannotStart",
            "executable file not found",
            False,
            id="no tritonserver",
        ),
        pytest.param(
            main(state=BACK_OFF, lastState=ended(1, message="error: creating server: Internal - x"), restartCount=1),
            "ContainerExited",
            "exited with code 1: error: creating server: Internal - x",
            False,
            id="second start",
        ),
        pytest.param(
            main(state=BACK_OFF, lastState=ended(1, message="error: creating server: Internal - x"), restartCount=5),
            "ContainerExited",
            "creating server",
            True,
            id="crash loop",
        ),
        pytest.param(
            main(state={"running": {}}, lastState=ended(139), restartCount=1),
            "ContainerExited",
            "code 139: no last words",
            False,
            id="killed by a signal",
        ),
        pytest.param(
            main(state=ended(137, "ContainerStatusUnknown", "The container could not be located"))
            | {"phase": "Failed", "reason": "Evicted", "message": EVICTED},
            "Evicted",
            "low on resource: memory",
            False,
            id="eviction",
        ),
        pytest.param(
            {
                "reason": "FailedMount",
                "message": 'MountVolume.SetUp failed for volume "source": configmap "m" not found',
            },
            "VolumeMissing",
            'configmap "m" not found',
            False,
            id="missing ConfigMap of a volume, as the kubelet's event says",
        ),
        pytest.param(
            main(
                state={"running": {"startedAt": at("20:10:00")}},
                lastState=ended(137, startedAt=at("20:00:00"), finishedAt=at("20:10:00"), message="I: loading"),
            ),
            "LoadTimeout",
            "not loaded within 600 s and Triton was ended: raise spec.runtime.loadTimeoutSeconds",
            False,
            id="load time-out",
        ),
        pytest.param(
            main(
                state={"running": {"startedAt": at("20:10:00")}},
                lastState=ended(137, startedAt=at("20:00:00"), finishedAt=at("20:09:54")),
            ),
            "ContainerExited",
            "code 137: no last words",
            False,
            id="killed before the time was out",
        ),
        pytest.param(
            unready(since="20:05:00")
            | main(
                state={"running": {"startedAt": at("20:15:00")}},
                lastState=ended(137, startedAt=at("20:00:00"), finishedAt=at("20:15:00")),
            ),
            "ContainerExited",
            "code 137: no last words",
            False,
            id="killed long after it was ready",
        ),
        pytest.param(
            main(state={"running": {}}, lastState=ended(255, "Unknown"), restartCount=4),
            "NodeRestarted",
            "nobody saw container triton end",
            False,
            id="restarted node",
        ),
        pytest.param(
            unready(since="20:39:00") | main(state={"running": {"startedAt": at("20:00:00")}}, started=True),
            "BackendDied",
            "not been ready for 60 s, though Triton runs and it was ready before",
            False,
            id="dead backend",
        ),
        pytest.param(
            unready(since="20:39:59")
            | main(state={"running": {"startedAt": at("20:00:00")}}, started=True, ready=True),
            "NodeLost",
            "node gpu-7 does not report any more",
            False,
            id="lost node",
        ),
        pytest.param(
            {"phase": "Failed", "reason": "OutOfnvidia.com/gpu", "message": REJECTED},
            "InsufficientGPU",
            "Node didn't have enough resource: nvidia.com/gpu",
            False,
            id="node without its GPUs",
        ),
        pytest.param(
            {"phase": "Failed", "reason": "UnexpectedAdmissionError", "message": TOO_MANY},
            "UnexpectedAdmissionError",
            "devices unavailable",
            False,
            id="device plugin",
        ),
    ],
)
def test_a_failure_is_told_in_the_words_of_who_noticed_it(status: Json, reason: str, words: str, final: bool) -> None:
    failure = diagnose(REVISION, FLEET, (pod(status=status),), now=NOW)
    assert failure is not None
    assert (failure.reason, failure.final, failure.pod) == (reason, final, "vision-abc-1")
    assert words in failure.message
    assert len(failure.message) <= MESSAGE_LENGTH
    assert SECRET not in failure.message


@pytest.mark.parametrize(
    ("gpu", "short", "reason"),
    [
        pytest.param("nvidia.com/gpu", ["nvidia.com/gpu"], "InsufficientGPU", id="GPUs"),
        pytest.param("nvidia.com/gpu", ["cpu", "nvidia.com/gpu", "memory"], "InsufficientGPU", id="GPUs among others"),
        pytest.param("nvidia.com/mig-1g.10gb", ["nvidia.com/mig-1g.10gb"], "InsufficientGPU", id="slices"),
        pytest.param("amd.com/gpu", ["amd.com/gpu"], "InsufficientGPU", id="of another name"),
        pytest.param("nvidia.com/gpu", ["rdma/hca"], "Unschedulable", id="network cards"),
        pytest.param("nvidia.com/gpu", ["nvidia.com/gpu.shared"], "Unschedulable", id="another resource of GPUs"),
        pytest.param("nvidia.com/gpu.shared", ["nvidia.com/gpu"], "Unschedulable", id="whole GPUs"),
        pytest.param(None, ["rdma/hca"], "Unschedulable", id="a pod without GPUs"),
    ],
)
def test_only_a_lack_of_what_stands_for_the_gpus_of_a_pod_is_called_one_of_gpus(
    gpu: str | None, short: list[str], reason: str
) -> None:
    lacking = ", ".join(f"1 Insufficient {name}" for name in short)
    words = f"0/3 nodes are available: {lacking}. no new claims to deallocate, preemption: 0/3 nodes are available."
    annotations = {"annotations": {ANNOTATION_GPU: gpu} if gpu else {}}

    scheduled = diagnose(REVISION, FLEET, (pod(status=unscheduled(words), metadata=annotations),), now=NOW)

    assert scheduled is not None
    assert (scheduled.reason, scheduled.message) == (reason, words)
    refused = {"phase": "Failed", "reason": f"OutOf{short[-1]}", "message": "Pod was rejected: the node has none"}
    admitted = diagnose(REVISION, FLEET, (pod(status=refused, metadata=annotations),), now=NOW)
    assert admitted is not None
    expected = "OutOfmemory" if short[-1] == "memory" else reason
    assert (admitted.reason, admitted.message) == (expected, refused["message"])


@pytest.mark.parametrize(
    "status",
    [
        pytest.param({}, id="just created"),
        pytest.param(init(state=waiting("PodInitializing")), id="creating"),
        pytest.param(init(state={"running": {"startedAt": "2026-01-01T00:00:00Z"}}), id="preparing"),
        pytest.param(main(state=waiting("ContainerCreating")), id="creating Triton"),
        pytest.param(main(state={"running": {"startedAt": "2026-01-01T00:00:00Z"}}), id="loading"),
        pytest.param(
            {"conditions": [{"type": "PodScheduled", "status": "False", "reason": "SchedulingGated"}]}, id="gated"
        ),
        pytest.param(
            main(state=ended(1)) | {"conditions": [{"type": "Ready", "status": "True"}]}, id="ready all the same"
        ),
    ],
)
def test_a_pod_that_merely_starts_has_no_failure(status: Json) -> None:
    assert diagnose(REVISION, FLEET, (pod(status=status),), now=NOW) is None


def test_pods_that_are_going_and_pods_of_other_revisions_do_not_count() -> None:
    broken = main(state=ended(1))
    going = pod(status=broken, metadata={"deletionTimestamp": "2026-01-01T00:00:00Z"})
    other = pod(status=broken, metadata={"labels": {LABEL_REVISION: "vision-other"}})
    foreign = pod(status=broken, metadata={"labels": None})
    assert diagnose(REVISION, FLEET, (going, other, foreign), now=NOW) is None


def test_the_newest_pod_is_told_of() -> None:
    old = pod("old", status=main(state=ended(1, message="old words")), created="2026-01-01T00:00:00Z")
    new = pod("new", status=main(state=ended(1, message="new words")), created="2026-01-02T00:00:00Z")
    assert (diagnose(REVISION, FLEET, (old, new), now=NOW) or Failure("", "")).pod == "new"


def test_an_evicted_pod_does_not_hide_why_its_successor_does_not_start() -> None:
    evicted = pod("a", status=main(state=ended(137)) | {"phase": "Failed", "reason": "Evicted"}, created="2026-01-02")
    pending = pod("b", status=unscheduled(SCHEDULER_GPU), created="2026-01-01")
    assert (diagnose(REVISION, FLEET, (evicted, pending), now=NOW) or Failure("", "")).reason == "InsufficientGPU"


def test_pods_that_the_api_server_refuses_are_told_of() -> None:
    words = 'pods "vision-abc-1" is forbidden: exceeded quota: gpus'
    failure = diagnose(REVISION, Fleet(wanted=1, pods=0, ready=0, refused=words), (), now=NOW)
    assert failure == Failure("PodsRefused", f"the API server refuses the pods: {words}")


def test_every_reason_of_the_init_container_reaches_the_status() -> None:
    for reason in Reason:
        failure = diagnose(REVISION, FLEET, (pod(status=init(state=ended(1, message=said(reason, "words")))),), now=NOW)
        assert failure is not None
        assert (failure.reason, failure.message, failure.exit_code) == (reason.value, "words", 1)


@pytest.mark.parametrize(
    ("log", "words"),
    [
        pytest.param(
            "raises-iso8601",
            "failed to load 'resnet50' version 7: Internal: ValueError: weights.bin is missing At:"
            " /models/resnet50/7/model.py(11): initialize",
            id="model raises, ISO 8601",
        ),
        pytest.param(
            "raises-default",
            "failed to load 'resnet50' version 7: Internal: ValueError: weights.bin is missing At:"
            " /models/resnet50/7/model.py(11): initialize",
            id="model raises, Triton's own format",
        ),
        pytest.param(
            "unknownfield-iso8601",
            'Error parsing text-format inference.ModelConfig: 2:9: Message type "inference.ModelConfig" has no field'
            " named \"nonsense\". | Poll failed for model directory 'resnet50': failed to read text proto from"
            " /models/resnet50/config.pbtxt",
            id="config.pbtxt, ISO 8601",
        ),
        pytest.param(
            "unknownfield-default",
            'Error parsing text-format inference.ModelConfig: 2:9: Message type "inference.ModelConfig" has no field'
            " named \"nonsense\". | Poll failed for model directory 'resnet50': failed to read text proto from"
            " /models/resnet50/config.pbtxt",
            id="config.pbtxt, Triton's own format",
        ),
        pytest.param(
            "gpu-iso8601",
            "failed to load 'resnet50' version 7: Invalid argument: instance group resnet50_0 of model resnet50 has"
            " kind KIND_GPU but no GPUs are available",
            id="no GPU",
        ),
        pytest.param(
            "nobackend-iso8601",
            "failed to load 'resnet50' version 7: Invalid argument: unable to find backend library for backend"
            " 'onnxruntime', try specifying runtime on the model configuration.",
            id="no backend",
        ),
        pytest.param(
            "wrongname-iso8601",
            "Poll failed for model directory 'resnet50': unexpected directory name 'resnet50' for model 'other',"
            " directory name must equal model name",
            id="name of the directory",
        ),
        pytest.param(
            "exits-iso8601",
            "failed to load 'resnet50' version 7: Internal: Stub process 'resnet50_0' is not healthy.",
            id="model ends its process",
        ),
    ],
)
def test_the_cause_of_a_failed_load_is_found_in_a_real_log(log: str, words: str) -> None:
    text = (LOGS / f"{log}.txt").read_text(encoding="utf-8")
    assert last_words(text) == words
    assert last_words(words) == words  # what was picked once is not picked apart
    assert "failed to load all models" in last_words(text[-KUBELET_KEEPS:])  # why the whole log is read


def test_a_long_traceback_is_cut() -> None:
    words = last_words((LOGS / "import-iso8601.txt").read_text(encoding="utf-8"))
    assert words.startswith("failed to load 'resnet50' version 7: Internal: ModuleNotFoundError: No module named")
    assert len(words) <= MESSAGE_LENGTH // 2


@pytest.mark.parametrize(
    ("text", "words"),
    [
        pytest.param("", "", id="nothing"),
        pytest.param("\n \n", "", id="blank"),
        pytest.param("one\ntwo\n", "two", id="last line"),
        pytest.param("Signal (11) received.\n 0# 0x000055\n", "Signal (11) received.", id="crash"),
        pytest.param("E0101 00:00:00.000000 1 model_lifecycle.cc:6] not quoted\nlast", "not quoted", id="old Triton"),
        pytest.param('2026-01-01T00:00:00Z E 1 a.cc:6] "cut of', "cut of", id="cut off"),
        pytest.param("Every error was fixed\nE is a letter", "E is a letter", id="prose"),
    ],
)
def test_other_last_words_are_taken_as_they_come(text: str, words: str) -> None:
    assert last_words(text) == words


def test_a_container_that_ran_for_months_and_crashes_again_is_not_in_a_crash_loop() -> None:
    def crashed(started: str) -> dict:
        ended = {"exitCode": 1, "startedAt": started, "finishedAt": "2026-05-01T10:00:00Z", "message": "boom"}
        status = {"name": "triton", "restartCount": 3, "state": {"running": {}}, "lastState": {"terminated": ended}}
        return {
            "metadata": {
                "name": "p",
                "uid": "u",
                "labels": {LABEL_REVISION: REVISION},
                "creationTimestamp": "2026-01-01T00:00:00Z",
            },
            "status": {"phase": "Running", "containerStatuses": [status]},
        }

    fleet = Fleet(wanted=1, pods=1, ready=0)
    looping = diagnose(REVISION, fleet, (crashed("2026-05-01T09:59:00Z"),), now=NOW)
    surprised = diagnose(REVISION, fleet, (crashed("2026-01-01T00:00:00Z"),), now=NOW)
    assert looping is not None
    assert surprised is not None
    assert (looping.final, surprised.final) == (True, False)


def test_an_evicted_pod_is_told_of_although_it_has_been_replaced_by_one_that_merely_starts() -> None:
    def pod(name: str, created: str, **status: str) -> dict:
        labels = {LABEL_REVISION: REVISION}
        metadata = {"name": name, "uid": name, "labels": labels, "creationTimestamp": created}
        return {"metadata": metadata, "status": status}

    corpse = pod("old", "2026-01-01T00:00:00Z", phase="Failed", reason="Evicted", message="low on memory")
    successor = pod("new", "2026-01-02T00:00:00Z", phase="Pending")
    fleet = Fleet(wanted=1, pods=1, ready=0)
    told = diagnose(REVISION, fleet, (corpse, successor), now=NOW)  # it is deleted at this look, and never seen again
    assert told is not None
    assert told.reason == "Evicted"
