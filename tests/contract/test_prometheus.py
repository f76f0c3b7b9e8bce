"""A real Prometheus on loopback that scrapes what a real Envoy has told, asked as the operator asks it.

`metrics/envoy.txt` is from the proxy of an Envoy Gateway with a route of two rules and two backends, one of them slow;
the two lines of failed requests are from its look at another version, the last ones are of other services' routes.
"""

import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from cluster import debian
from cluster.cache import cache_from_environment
from triton_operator.api.names import GRPC_ROUTE, HTTP_ROUTE, Kind
from triton_operator.api.settings import Prometheus as Settings
from triton_operator.edges import envoy
from triton_operator.edges.prometheus import Prometheus, Unmeasured

from .servers import Servers, free_port, self_signed

pytestmark = pytest.mark.contract

STATS = Path(__file__).with_name("metrics") / "envoy.txt"
TOKEN, TENANT = "t0ken", "models"
PART = '{"status":"success","data":{"resultType":"matrix","result":[]},"warnings":["a store is away"]}'


@pytest.fixture(scope="module")
def prometheus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Servers, str]]:
    """Servers with a Prometheus that scrapes the proxy twice a second, and its address."""
    work = tmp_path_factory.mktemp("prometheus")
    served = work / "served" / "stats"
    served.mkdir(parents=True)
    (served / "prometheus").write_text(STATS.read_text())
    servers = Servers(work / "served", work)
    cache = cache_from_environment(os.environ)
    with cache.locked():
        program = debian.program_of(cache, "prometheus", "usr/bin/prometheus")
    proxy = servers.python().removeprefix("http://")
    (work / "prometheus.yml").write_text(
        "{global: {scrape_interval: 500ms, scrape_timeout: 400ms}, scrape_configs: [{job_name: envoy,"
        f" metrics_path: /stats/prometheus, static_configs: [{{targets: ['{proxy}']}}]}}]}}"
    )
    port = free_port()
    options = (f"config.file={work}/prometheus.yml", f"storage.tsdb.path={work}/data")
    command = [str(program), f"--web.listen-address=127.0.0.1:{port}", *(f"--{option}" for option in options)]
    yield servers, servers.start(command, port, ready="/-/ready")
    servers.stop()


SAME_ROUTE = {"grpc": (HTTP_ROUTE, 0), "http": (HTTP_ROUTE, 1)}


async def reading(
    settings: Settings,
    *,
    slow: int | None = 40,
    route: str = "adder",
    counted: dict[str, tuple[Kind, int]] = SAME_ROUTE,
) -> envoy.Reading:
    source = Prometheus(settings)
    rules = envoy.rules("default", route, counted)
    try:
        return envoy.read(await source.series(envoy.query(rules, timed=slow is not None)), rules, slow=slow)
    finally:
        source.close()


async def first(url: str, **more: Any) -> envoy.Reading:
    """The reading once something was scraped."""
    while True:
        found = await reading(Settings(url=url), **more)
        if found.counted:
            return found


async def test_both_backends_are_counted_over_both_protocols(prometheus: tuple[Servers, str]) -> None:
    found = await first(prometheus[1])
    canary, stable = found.counted
    assert (canary.backend, stable.backend) == (0, 1)
    assert canary.proxy == stable.proxy
    assert (canary.requests, canary.failed) == (154 + 142 + 11, 14 + 11)
    assert (stable.requests, stable.failed) == (6696 + 6760, 0)
    assert not found.grpc_unseen


async def test_slow_are_requests_above_the_next_edge_that_is_counted(prometheus: tuple[Servers, str]) -> None:
    found = await first(prometheus[1], slow=40)
    assert found.edge == 50
    canary, stable = found.counted
    assert (canary.timed, canary.slow) == (150 + 138, 150 - 85 + 138 - 76)
    assert 0 < stable.slow < 0.01 * stable.timed
    assert (await reading(Settings(url=prometheus[1]), slow=50)).edge == 50
    assert (await reading(Settings(url=prometheus[1]), slow=51)).edge == 100
    untimed = await reading(Settings(url=prometheus[1]), slow=None)
    assert (untimed.edge, {counted.timed for counted in untimed.counted}) == (None, {0})
    assert [replace(counted, timed=0, slow=0) for counted in found.counted] == list(untimed.counted)


async def test_a_route_whose_name_begins_alike_is_another_one(prometheus: tuple[Servers, str]) -> None:
    other = await first(prometheus[1], route="adder-other")
    assert [counted.requests for counted in other.counted] == [1000, 0]
    assert not (await reading(Settings(url=prometheus[1]), route="add")).counted
    assert other.grpc_unseen  # nobody has told of its gRPC calls how they ended


async def test_calls_of_a_route_of_their_own_are_counted_and_no_other_rule_is(
    prometheus: tuple[Servers, str],
) -> None:
    routes = {"http": (HTTP_ROUTE, 0), "grpc": (GRPC_ROUTE, 0)}
    found = await first(prometheus[1], route="apart", slow=None, counted=routes)
    assert [(of.backend, of.requests, of.failed) for of in found.counted] == [(0, 0, 0), (1, 5120 + 1347, 0)]
    assert not found.grpc_unseen
    http = await first(prometheus[1], route="apart", slow=None, counted={"http": (HTTP_ROUTE, 0)})
    assert [of.requests for of in http.counted] == [0, 5120]


async def test_what_a_proxy_no_longer_tells_is_not_counted(prometheus: tuple[Servers, str]) -> None:
    """A place that gets another revision begins anew; what failed there before is still in the window."""

    def tell(requests: int, *, failed: int | None = None) -> None:
        name = "httproute/default/anew/rule/1/backend/1"
        by_class = {"2": requests} | ({"5": failed} if failed is not None else {})
        lines = [
            f'envoy_cluster_upstream_rq_xx{{envoy_response_code_class="{kind}",envoy_cluster_name="{name}"}} {count}\n'
            for kind, count in by_class.items()
        ]
        served = prometheus[0].root / "stats" / "prometheus"
        written = served.with_name("written")
        written.write_text(STATS.read_text() + "".join(lines))
        written.replace(served)

    async def counted() -> tuple[int, int]:
        found = await first(prometheus[1], route="anew", slow=None)
        return found.counted[1].requests, found.counted[1].failed

    tell(36, failed=3)
    assert await counted() == (39, 3)
    tell(34)
    seen = set()
    while (now := await counted()) != (34, 0):
        seen.add(now)
    assert seen <= {(39, 3)}


async def test_a_token_a_tenant_and_a_private_authority(prometheus: tuple[Servers, str], tmp_path: Path) -> None:
    servers, url = prometheus
    key, certificate = self_signed(tmp_path)
    port = free_port()
    listen = f"listen 127.0.0.1:{port} ssl; ssl_certificate {certificate}; ssl_certificate_key {key};"
    guard = (
        f'if ($http_authorization != "Bearer {TOKEN}") {{ return 401; }}'
        f" if ($http_x_scope_orgid != {TENANT}) {{ return 403; }}"
    )
    servers.start_nginx(port, listen, f"location /metrics/ {{ {guard} proxy_pass {url}/; }}")
    token = tmp_path / "token"
    token.write_text("another\n")
    settings = Settings(
        url=f"https://127.0.0.1:{port}/metrics/",
        caFile=str(certificate),
        tokenFile=str(token),
        headers={"X-Scope-OrgID": TENANT},
    )
    with pytest.raises(Unmeasured, match="refused the question"):
        await reading(settings)
    token.write_text(f"{TOKEN}\n")  # it is read anew each time
    assert (await reading(settings)).counted
    with pytest.raises(Unmeasured, match="refused the question"):
        await reading(settings.model_copy(update={"headers": {}}))
    with pytest.raises(Unmeasured, match=r"cannot be asked.*certificate"):
        await reading(settings.model_copy(update={"caFile": None}))


@pytest.mark.parametrize(
    ("directive", "words"),
    [
        pytest.param("return 503;", "refused the question", id="it is starting"),
        pytest.param("return 200 '<html>';", "is not that of a Prometheus", id="a page"),
        pytest.param(
            f"return 200 '{PART}';",
            "answered in part: a store is away",
            id="a part",
        ),
    ],
)
async def test_what_cannot_be_relied_on_is_no_answer(
    prometheus: tuple[Servers, str], directive: str, words: str
) -> None:
    port = free_port()
    url = prometheus[0].start_nginx(port, f"listen 127.0.0.1:{port};", f"location / {{ {directive} }}")
    with pytest.raises(Unmeasured, match=words):
        await reading(Settings(url=url))


async def test_a_prometheus_that_is_away_is_told_by_its_address() -> None:
    url = f"http://127.0.0.1:{free_port()}"
    with pytest.raises(Unmeasured, match=f"{url} cannot be asked"):
        await reading(Settings(url=url))


async def number(url: str, query: str) -> float | None:
    source = Prometheus(Settings(url=url))
    try:
        return await source.number(query)
    finally:
        source.close()


@pytest.mark.parametrize(
    ("query", "value"),
    [
        pytest.param("vector(2.5) * 2", 5.0, id="one series"),
        pytest.param("scalar(vector(3))", 3.0, id="a scalar"),
        pytest.param("sum(nobody_counts_this)", None, id="no series"),
        pytest.param("vector(0) / 0", None, id="not a number"),
        pytest.param("vector(1) / 0", float("inf"), id="infinite"),
    ],
)
async def test_an_expression_comes_to_one_number(
    prometheus: tuple[Servers, str], query: str, value: float | None
) -> None:
    assert await number(prometheus[1], query) == value


@pytest.mark.parametrize(
    ("query", "words"),
    [
        pytest.param("sum(up", "Prometheus says: .*parse error: unclosed left parenthesis", id="a slip"),
        pytest.param("rate(up)", "Prometheus says: .*expected type range vector", id="wrong type"),
        pytest.param("envoy_cluster_upstream_rq_xx", r"comes to \d+ series, not to one number: put sum", id="many"),
        pytest.param("vector(1)[1m:1s]", "something else than a number", id="a range"),
        pytest.param("vector(1)[5d:1s]", "comes to more than 1 MiB, not to one number: put sum", id="very much"),
        pytest.param('"text"', "something else than a number", id="a text"),
    ],
)
async def test_a_query_that_cannot_come_to_one_number_is_invalid(
    prometheus: tuple[Servers, str], query: str, words: str
) -> None:
    await first(prometheus[1])
    with pytest.raises(Unmeasured, match=words) as error:
        await number(prometheus[1], query)
    assert error.value.invalid


async def test_no_more_is_read_of_an_answer_than_it_may_have(
    prometheus: tuple[Servers, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    await first(prometheus[1])
    monkeypatch.setattr("triton_operator.edges.prometheus.MOST_BYTES", 1 << 20)
    source = Prometheus(Settings(url=prometheus[1]))
    with pytest.raises(Unmeasured, match=f"{prometheus[1]} answered with more than 1 MiB") as error:
        await source.series("vector(1)[5d:1s]")
    assert not error.value.invalid
    source.close()


async def test_a_question_that_fails_for_its_data_may_succeed_later(prometheus: tuple[Servers, str]) -> None:
    await first(prometheus[1])
    with pytest.raises(Unmeasured, match="Prometheus says: found duplicate series for the match group") as error:
        await number(prometheus[1], "envoy_cluster_upstream_rq_xx + on(job) envoy_cluster_upstream_rq_xx")
    assert not error.value.invalid
