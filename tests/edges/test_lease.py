import asyncio
from datetime import UTC, datetime
from typing import Any

import pytest

from triton_operator.api import names
from triton_operator.edges.errors import AlreadyExists, ApiError, Conflict
from triton_operator.edges.kubernetes import Kube
from triton_operator.edges.lease import Lease, Sighting, released, seconds_until_free, sight, taken


def lease(version: str = "1", **spec: Any) -> dict[str, Any]:
    return {"metadata": {"name": "operator", "uid": "u", "resourceVersion": version}, "spec": spec}


HELD = lease(holderIdentity="other", leaseDurationSeconds=15)


@pytest.mark.parametrize(
    ("seen", "now", "expected"),
    [
        pytest.param(Sighting(HELD, since=100.0), 100.0, 15.0, id="just renewed by another"),
        pytest.param(Sighting(HELD, since=100.0), 112.0, 3.0, id="renewed some time ago"),
        pytest.param(Sighting(HELD, since=100.0), 115.0, 0.0, id="run out"),
        pytest.param(Sighting(lease(leaseDurationSeconds=15), since=100.0), 100.0, 0.0, id="released"),
        pytest.param(Sighting(lease(holderIdentity=""), since=100.0), 100.0, 0.0, id="released with an empty name"),
        pytest.param(Sighting(lease(holderIdentity="me"), since=100.0), 100.0, 0.0, id="ours"),
        pytest.param(Sighting(lease(holderIdentity="other"), since=100.0), 105.0, 5.0, id="says no duration"),
    ],
)
def test_a_lease_is_free_when_nobody_holds_it_or_its_time_is_over(seen: Sighting, now: float, expected: float) -> None:
    assert seconds_until_free(seen, identity="me", default_seconds=10.0, now=now) == expected


def test_the_time_of_a_lease_counts_from_the_first_sight_of_its_version() -> None:
    first = sight(None, lease("1"), now=10.0)

    assert sight(first, lease("1"), now=20.0).since == 10.0
    assert sight(first, lease("2"), now=20.0).since == 20.0


def test_taking_a_lease_counts_the_transition_and_renewing_does_not() -> None:
    wall = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    mine = taken(HELD, identity="me", duration_seconds=15, wall=wall)["spec"]
    renewed = taken({"spec": mine}, identity="me", duration_seconds=15, wall=wall.replace(hour=4))["spec"]

    assert (mine["holderIdentity"], mine["leaseTransitions"]) == ("me", 1)
    assert mine["acquireTime"] == mine["renewTime"] == "2026-01-02T03:04:05.000000Z"
    assert (renewed["leaseTransitions"], renewed["acquireTime"]) == (1, mine["acquireTime"])
    assert renewed["renewTime"] == "2026-01-02T04:04:05.000000Z"


def test_a_released_lease_has_no_holder_and_keeps_the_rest() -> None:
    assert released(HELD)["spec"] == {"leaseDurationSeconds": 15}


class Cluster:
    """One Lease with the API server's rules, in virtual time, which a real server cannot live in."""

    def __init__(self) -> None:
        self.object: dict[str, Any] | None = None
        self.version = 0
        self.moved = asyncio.Condition()

    async def write(self, body: dict[str, Any]) -> dict[str, Any]:
        self.version += 1
        self.object = body | {"metadata": body["metadata"] | {"uid": "u", "resourceVersion": str(self.version)}}
        async with self.moved:
            self.moved.notify_all()
        return self.object


class Link:
    """One replica's connection to it, which can be cut."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster
        self.cut = False
        self.hangs = False

    async def _reach(self) -> None:
        if self.hangs:
            await asyncio.Event().wait()
        if self.cut:
            raise ApiError(status=0, reason="Unreachable", message="cut off")

    async def get(self, kind: Any, *, namespace: str, name: str) -> dict[str, Any] | None:
        await self._reach()
        return self.cluster.object

    async def create(self, body: dict[str, Any], *, kind: Any) -> dict[str, Any]:
        await self._reach()
        if self.cluster.object is not None:
            raise AlreadyExists(status=409, reason="AlreadyExists", message="exists")
        return await self.cluster.write(body)

    async def update(self, body: dict[str, Any], *, kind: Any) -> dict[str, Any]:
        await self._reach()
        known = self.cluster.object
        if known is None or known["metadata"]["resourceVersion"] != body["metadata"]["resourceVersion"]:
            raise Conflict(status=409, reason="Conflict", message="changed")
        return await self.cluster.write(body)

    async def changed(self, kind: Any, *, namespace: str, name: str, since: str, within_seconds: float) -> bool:
        await self._reach()
        try:
            async with asyncio.timeout(within_seconds), self.cluster.moved:
                await self.cluster.moved.wait_for(lambda: str(self.cluster.version) != since)
        except TimeoutError:
            return False
        return True


def candidate(link: Any, identity: str) -> Lease:
    return Lease(
        link,
        namespace="system",
        name="operator",
        identity=identity,
        duration_seconds=15,
        renew_seconds=10,
        retry_seconds=2,
    )


def now() -> float:
    return asyncio.get_running_loop().time()


@pytest.mark.looptime
class TestElection:
    async def test_the_first_candidate_leads_at_once(self) -> None:
        await candidate(Link(Cluster()), "a").acquire()

        assert now() == 0.0

    async def test_a_standby_leads_at_once_when_the_leader_releases(self) -> None:
        cluster = Cluster()
        a, b = candidate(Link(cluster), "a"), candidate(Link(cluster), "b")
        await a.acquire()
        waiting = asyncio.create_task(b.acquire())
        await asyncio.sleep(5.1)
        assert not waiting.done()

        await a.release()
        await waiting

        assert now() == 5.1

    async def test_while_the_leader_renews_no_other_one_leads(self) -> None:
        cluster = Cluster()
        a, b = candidate(Link(cluster), "a"), candidate(Link(cluster), "b")
        await a.acquire()
        holding = asyncio.create_task(a.hold())
        waiting = asyncio.create_task(b.acquire())

        await asyncio.sleep(1000)

        assert not holding.done()
        assert not waiting.done()
        holding.cancel()
        waiting.cancel()

    async def test_a_standby_leads_when_the_leader_has_died_and_its_time_is_over(self) -> None:
        cluster = Cluster()
        await candidate(Link(cluster), "a").acquire()

        await candidate(Link(cluster), "b").acquire()

        assert now() == 15.0

    @pytest.mark.parametrize("trouble", ["cut", "hangs"])
    async def test_a_leader_that_cannot_renew_gives_up_before_another_one_leads(self, trouble: str) -> None:
        cluster = Cluster()
        link = Link(cluster)
        a, b = candidate(link, "a"), candidate(Link(cluster), "b")
        await a.acquire()
        ends: dict[str, float] = {}

        async def note(name: str, ending: Any) -> None:
            await ending
            ends[name] = now()

        tasks = [asyncio.create_task(note("lost", a.hold())), asyncio.create_task(note("won", b.acquire()))]
        await asyncio.sleep(7)
        setattr(link, trouble, True)
        await asyncio.gather(*tasks)

        assert ends["lost"] < ends["won"]

    async def test_a_short_outage_costs_no_leadership(self) -> None:
        cluster = Cluster()
        link = Link(cluster)
        a = candidate(link, "a")
        await a.acquire()
        holding = asyncio.create_task(a.hold())
        for _ in range(20):
            link.cut = True
            await asyncio.sleep(6)
            link.cut = False
            await asyncio.sleep(6)

        assert not holding.done()
        holding.cancel()

    async def test_a_leader_sees_at_once_that_another_one_has_taken_over(self) -> None:
        cluster = Cluster()
        a = candidate(Link(cluster), "a")
        await a.acquire()
        holding = asyncio.create_task(a.hold())
        await asyncio.sleep(5)
        assert cluster.object is not None
        await cluster.write(taken(cluster.object, identity="b", duration_seconds=15, wall=datetime.now(UTC)))

        await holding

        assert now() == 6.0

    async def test_an_edit_by_someone_else_costs_no_leadership(self) -> None:
        cluster = Cluster()
        a = candidate(Link(cluster), "a")
        await a.acquire()
        holding = asyncio.create_task(a.hold())
        await asyncio.sleep(5)
        assert cluster.object is not None
        await cluster.write(cluster.object)

        await asyncio.sleep(100)

        assert not holding.done()
        holding.cancel()

    async def test_who_does_not_hold_the_lease_releases_nothing(self) -> None:
        cluster = Cluster()
        await candidate(Link(cluster), "a").acquire()

        await candidate(Link(cluster), "b").release()

        assert cluster.version == 1

    async def test_a_standby_waits_patiently_for_an_api_server_that_is_away(self) -> None:
        link = Link(Cluster())
        link.cut = True
        waiting = asyncio.create_task(candidate(link, "a").acquire())
        await asyncio.sleep(100)
        link.cut = False

        await waiting

        assert now() <= 102.0


@pytest.mark.cluster
async def test_on_a_real_api_server_leadership_is_handed_over_and_kept(kube: Kube, namespace: str) -> None:
    def real(identity: str) -> Lease:
        return Lease(
            kube,
            namespace=namespace,
            name="operator",
            identity=identity,
            duration_seconds=15,
            renew_seconds=10,
            retry_seconds=1,
        )

    a, b = real("a"), real("b")
    await a.acquire()
    holding = asyncio.create_task(a.hold())
    waiting = asyncio.create_task(b.acquire())
    first = await kube.get(names.LEASE, namespace=namespace, name="operator")
    assert first is not None
    while await kube.changed(
        names.LEASE,
        namespace=namespace,
        name="operator",
        since=first["metadata"]["resourceVersion"],
        within_seconds=30,
    ):
        break
    assert not waiting.done()
    holding.cancel()
    await asyncio.wait({holding})

    await a.release()
    await asyncio.wait_for(waiting, 10)

    held = await kube.get(names.LEASE, namespace=namespace, name="operator")
    assert held is not None
    assert (held["spec"]["holderIdentity"], held["spec"]["leaseTransitions"]) == ("b", 2)
