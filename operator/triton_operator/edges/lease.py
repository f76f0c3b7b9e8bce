"""Leader election on a Lease: at most one replica of the operator acts at a time.

The first half is pure: what a Lease says and what may be done about it. Another's time is judged by the local monotonic
clock since its record last changed, never by the time stamps in it, so that clocks need not agree (as client-go does).
Not for: fencing. A deposed leader that does not know yet is stopped by the resourceVersion preconditions of its writes.
"""

import asyncio
import logging
from dataclasses import dataclass
from datetime import UTC, datetime

from triton_operator.api import names
from triton_operator.edges.errors import AlreadyExists, ApiError, Conflict
from triton_operator.edges.kubernetes import Kube, Object

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Sighting:
    """A Lease as it was when its present resourceVersion was first seen.

    Attributes:
        lease: the object.
        since: local monotonic time in seconds of that first sight.
    """

    lease: Object
    since: float

    @property
    def holder(self) -> str:
        """The identity that holds the Lease; "" when it was released."""
        return self.lease["spec"].get("holderIdentity") or ""


def sight(before: Sighting | None, lease: Object, *, now: float) -> Sighting:
    """Take in a Lease that was just read: its time starts anew only when the record changed."""
    if before is not None:
        old, new = before.lease["metadata"], lease["metadata"]
        if old["resourceVersion"] == new["resourceVersion"] and old["uid"] == new["uid"]:
            return before
    return Sighting(lease=lease, since=now)


def seconds_until_free(sighting: Sighting, *, identity: str, default_seconds: float, now: float) -> float:
    """Tell when a Lease may be taken.

    Args:
        sighting: the Lease.
        identity: who asks.
        default_seconds: how long it is held when it does not say so itself.
        now: local monotonic time in seconds.

    Returns:
        Seconds from now, 0 when it is free: released, run out, or held by the very one who asks.
    """
    if sighting.holder in ("", identity):
        return 0.0
    held_for = sighting.lease["spec"].get("leaseDurationSeconds") or default_seconds
    return max(0.0, sighting.since + held_for - now)


def taken(lease: Object, *, identity: str, duration_seconds: int, wall: datetime) -> Object:
    """Make the Lease that says that `identity` holds it, to be written in place of the one that was read."""
    spec = lease.get("spec") or {}
    stamp = wall.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    new = spec | {"holderIdentity": identity, "leaseDurationSeconds": duration_seconds, "renewTime": stamp}
    if spec.get("holderIdentity") != identity:
        new["acquireTime"] = stamp
        new["leaseTransitions"] = (spec.get("leaseTransitions") or 0) + 1
    return lease | {"spec": new}


def released(lease: Object) -> Object:
    """Make the Lease that says that nobody holds it."""
    return lease | {"spec": {key: value for key, value in lease["spec"].items() if key != "holderIdentity"}}


class Lease:
    """One replica's part in the election: `acquire`, then `hold` while leading, then `release`."""

    def __init__(
        self,
        kube: Kube,
        *,
        namespace: str,
        name: str,
        identity: str,
        duration_seconds: int,
        renew_seconds: int,
        retry_seconds: int,
    ) -> None:
        """Take part in the election.

        Args:
            kube: a connection of the Lease's own, so that a renewal never queues behind other requests.
            namespace: the Lease's namespace.
            name: the Lease's name.
            identity: unique to this process.
            duration_seconds: the Lease may be taken over when not renewed for this long.
            renew_seconds: the leader gives up when it could not renew for this long; less than `duration_seconds`.
            retry_seconds: time between two attempts to take or renew it.
        """
        self._kube = kube
        self._namespace = namespace
        self._name = name
        self._identity = identity
        self._duration_seconds = duration_seconds
        self._renew_seconds = renew_seconds
        self._retry_seconds = retry_seconds
        self._seen: Sighting | None = None
        self._heard: float | None = None

    @property
    def heard_at(self) -> float | None:
        """The event loop's time at which the API server last answered about the Lease; None: never yet."""
        return self._heard

    async def acquire(self) -> None:
        """Wait until this process leads. Errors are logged and tried again."""
        while True:
            try:
                async with asyncio.timeout(self._renew_seconds):
                    free_in = await self._try()
                if free_in is None:
                    return
                await self._wait(min(free_in, self._retry_seconds) or self._retry_seconds)
            except (ApiError, TimeoutError) as error:
                _log.warning("The Lease %s/%s cannot be read or taken: %s", self._namespace, self._name, error)
                await asyncio.sleep(self._retry_seconds)

    async def hold(self) -> None:
        """Renew until leadership is lost, then return: the caller must end the process and release nothing."""
        loop = asyncio.get_running_loop()
        renewed = loop.time()
        while True:
            await asyncio.sleep(self._retry_seconds)
            # The time before the request counts: the others' clocks start when they see the write, which is later.
            started = loop.time()
            # One request that hangs must leave time for another one.
            limit = min(renewed + self._renew_seconds, started + self._renew_seconds / 2)
            try:
                async with asyncio.timeout_at(limit):
                    if await self._renew():
                        renewed = started
                        continue
            except (ApiError, TimeoutError) as error:
                _log.warning("The Lease %s/%s cannot be renewed: %s", self._namespace, self._name, error)
                if loop.time() - renewed < self._renew_seconds:
                    continue
                _log.error("The Lease was not renewed for %s s: another replica may lead now", self._renew_seconds)
                return
            _log.error("The Lease was taken by %s", self._seen.holder if self._seen else "someone else")
            return

    async def release(self) -> None:
        """Let another replica lead at once. A failure is logged: the Lease then runs out by itself."""
        try:
            async with asyncio.timeout(self._retry_seconds):
                # Read anew: a write that was cancelled on its way may have been carried out all the same.
                found = await self._read()
                if found is not None and found.holder == self._identity:
                    await self._kube.update(released(found.lease), kind=names.LEASE)
        except (ApiError, TimeoutError) as error:
            _log.warning("The Lease %s/%s was not released: %s", self._namespace, self._name, error)
        self._seen = None

    async def _try(self) -> float | None:
        """Take the Lease if it is free: None when it is ours now, else the seconds until it is worth another try."""
        found = await self._read()
        if found is None:
            new: Object = {
                "apiVersion": names.LEASE.api_version,
                "kind": names.LEASE.kind,
                "metadata": {"namespace": self._namespace, "name": self._name},
            }
            try:
                self._note(await self._kube.create(self._taken(new), kind=names.LEASE))
            except AlreadyExists:
                return 0.0
            return None
        free_in = seconds_until_free(
            found,
            identity=self._identity,
            default_seconds=self._duration_seconds,
            now=asyncio.get_running_loop().time(),
        )
        if free_in > 0:
            return free_in
        try:
            self._note(await self._kube.update(self._taken(found.lease), kind=names.LEASE))
        except Conflict:
            return 0.0
        return None

    async def _renew(self) -> bool:
        """Write the Lease once more; False when another one holds it now."""
        if self._seen is None:
            return False
        try:
            self._note(await self._kube.update(self._taken(self._seen.lease), kind=names.LEASE))
        except Conflict:
            # Someone edited it, or took it, or our own last write was carried out though its answer was lost.
            found = await self._read()
            if found is None or found.holder != self._identity:
                return False
            self._note(await self._kube.update(self._taken(found.lease), kind=names.LEASE))
        return True

    async def _read(self) -> Sighting | None:
        lease = await self._kube.get(names.LEASE, namespace=self._namespace, name=self._name)
        if lease is None:
            self._seen, self._heard = None, asyncio.get_running_loop().time()
        else:
            self._note(lease | {"spec": lease.get("spec") or {}})
        return self._seen

    def _note(self, lease: Object) -> None:
        now = asyncio.get_running_loop().time()
        self._seen, self._heard = sight(self._seen, lease, now=now), now

    def _taken(self, lease: Object) -> Object:
        return taken(lease, identity=self._identity, duration_seconds=self._duration_seconds, wall=datetime.now(UTC))

    async def _wait(self, seconds: float) -> None:
        """Wait, but no longer than until the Lease changes: a released one is taken within milliseconds."""
        loop = asyncio.get_running_loop()
        until = loop.time() + seconds
        changed = self._seen is not None and await self._kube.changed(
            names.LEASE,
            namespace=self._namespace,
            name=self._name,
            since=self._seen.lease["metadata"]["resourceVersion"],
            within_seconds=seconds,
        )
        if not changed:
            await asyncio.sleep(until - loop.time())
