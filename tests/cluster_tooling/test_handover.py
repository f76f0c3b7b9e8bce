"""A benchmark of the hand-over that cannot go on says why, and at once."""

from pathlib import Path

import pytest

from benchmarks.api_server import ApiServer, free_ports
from benchmarks.handover import leader_first
from benchmarks.installation import Ended, Replica


async def test_replicas_that_end_are_told_with_their_last_words(tmp_path: Path) -> None:
    server = ApiServer(
        programs=tmp_path,
        folder=tmp_path,
        url="https://127.0.0.1:1",
        certificate=tmp_path / "none",
        administrator="a",
        operator="o",
        audit=tmp_path / "audit.log",
    )
    replicas = [Replica(server, {"prepareImage": "unused", "port": 1, "nonsense": 1}, name) for name in ("a", "b")]
    for replica in replicas:
        replica.start()
    with pytest.raises(Ended, match=r"(?s)of two replicas ended.*nonsense"):
        await leader_first(replicas)
    for replica in replicas:
        assert await replica.ended() == 2


def test_a_port_stays_free_of_outgoing_connections() -> None:
    first, last = map(int, Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split())
    ports = free_ports(5)
    assert len(set(ports)) == 5
    assert not any(first <= port <= last for port in ports)
