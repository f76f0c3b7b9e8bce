"""The words that a pod's status leaves out: Triton's error lines in its log, the kubelet's warnings in events.

They are put into the pod's status, where the kubelet would have put them, so that decisions read pods alone.
Not for: making sense of them; that is `core.health`.
"""

import asyncio
import logging
from collections import Counter, OrderedDict
from typing import Any

from triton_operator.api import names
from triton_operator.core.health import is_ready, last_words
from triton_operator.edges.errors import ApiError
from triton_operator.edges.kubernetes import Kube

Json = dict[str, Any]

_log = logging.getLogger(__name__)

LOG_BYTES = 64 * 1024
REMEMBERED = 1024
PODS_EXPLAINED = 2  # of each revision, the newest: the others fail alike
ANSWER_SECONDS = 3.0  # a node that is down does not answer at all, and nothing may wait for it
_NO_LOG = "unable to retrieve container logs for "  # the kubelet says so with status 200, in place of the log
_BLOCKING = frozenset({"FailedMount", "FailedAttachVolume", "FailedCreatePodSandBox"})


class Words:
    """Reads them, each log once."""

    def __init__(self, kube: Kube) -> None:
        self._kube = kube
        self._logs: OrderedDict[tuple[str, int, bool], str] = OrderedDict()

    async def add(self, pods: tuple[Json, ...]) -> tuple[Json, ...]:
        """Add the words to some of the pods that are not ready, as far as they can be had soon.

        Args:
            pods: the pods of a service.

        Returns:
            The pods, copied where something was added.
        """
        waiting = [pod for pod in pods if not is_ready(pod) and "deletionTimestamp" not in pod["metadata"]]
        newest = sorted(waiting, key=lambda pod: str(pod["metadata"]["creationTimestamp"]), reverse=True)
        count: Counter[str] = Counter()
        chosen: list[Json] = []
        for pod in newest:
            revision = pod["metadata"]["labels"].get(names.LABEL_REVISION, "")
            count[revision] += 1
            if count[revision] <= PODS_EXPLAINED:
                chosen.append(pod)
        told = await asyncio.gather(*map(self._told, chosen))
        explained = {pod["metadata"]["uid"]: pod for pod in told}
        return tuple(explained.get(pod["metadata"]["uid"], pod) for pod in pods)

    async def _told(self, pod: Json) -> Json:
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                return await self._explained(pod)
        except (ApiError, TimeoutError) as error:
            _log.debug("no further words about pod %s: %s", pod["metadata"]["name"], error)
            return pod

    async def _explained(self, pod: Json) -> Json:
        status = pod.get("status", {})
        containers = [await self._with_log(pod, c) for c in status.get("containerStatuses", [])]
        explained = status | {"containerStatuses": containers} if containers else status
        if status.get("phase") == "Pending" and "reason" not in status and _is_blocked(status):
            explained = explained | await self._warning(pod)
        return pod | {"status": explained}

    async def _with_log(self, pod: Json, container: Json) -> Json:
        for place in ("state", "lastState"):
            ended = container.get(place, {}).get("terminated")
            if ended and ended.get("exitCode") and container["name"] == names.CONTAINER_TRITON:
                words = await self._log(pod, container, previous=place == "lastState")
                if words:
                    return container | {place: {"terminated": ended | {"message": words}}}
                return container
        return container

    async def _log(self, pod: Json, container: Json, *, previous: bool) -> str:
        metadata = pod["metadata"]
        key = (metadata["uid"], container.get("restartCount", 0), previous)
        if key not in self._logs:
            self._logs[key] = ""  # asked once, whatever comes of it
            text = await self._kube.log(
                metadata["namespace"], metadata["name"], container["name"], previous=previous, limit_bytes=LOG_BYTES
            )
            if text.startswith(_NO_LOG):
                del self._logs[key]  # the container has just gone; the next run's log will say the same
                return ""
            self._logs[key] = last_words(text)
            if len(self._logs) > REMEMBERED:
                self._logs.popitem(last=False)
        return self._logs[key]

    async def _warning(self, pod: Json) -> Json:
        metadata = pod["metadata"]
        selector = f"involvedObject.uid={metadata['uid']},type=Warning"
        events = await self._kube.list(
            names.POD_EVENT, namespace=metadata["namespace"], label_selector="", field_selector=selector
        )
        blocking = [event for event in events if event.get("reason") in _BLOCKING]
        if not blocking:
            return {}
        last = max(
            blocking, key=lambda event: str(event.get("lastTimestamp") or event["metadata"]["creationTimestamp"])
        )
        return {"reason": last["reason"], "message": last.get("message", "")}


def _is_blocked(status: Json) -> bool:
    """Say whether a scheduled pod has not got as far as its first container."""
    scheduled = any(c["type"] == "PodScheduled" and c["status"] == "True" for c in status.get("conditions", []))
    statuses = status.get("initContainerStatuses", [])
    waiting = [s.get("state", {}).get("waiting", {}).get("reason") for s in statuses]
    return scheduled and all(reason in {"PodInitializing", "ContainerCreating"} for reason in waiting)
