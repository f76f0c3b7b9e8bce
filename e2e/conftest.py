"""A whole cluster with the operator installed by its chart, and namespaces that enforce restricted Pod Security."""

import json
from collections.abc import Callable, Generator, Iterator
from contextlib import ExitStack, closing, contextmanager
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import pytest

import history
from api import Api
from cluster import evidence, provider
from cluster.abilities import Ability
from stories import SYSTEM, Json, Namespace, Tell, helm, install, operators, restart, restarts
from turns import together, turn

STORY = "triton-operator.dev/story"


TOLD = "told"


class Terminal:
    """Writes what stories tell, a worker's too, onto the terminal."""

    def __init__(self, config: pytest.Config) -> None:
        self._config = config

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        reporter = self._config.pluginmanager.get_plugin("terminalreporter")  # a worker has none
        for text in (text for name, text in report.user_properties if name == TOLD and report.when == "call"):
            if reporter:
                reporter.write_line(f"\n{report.nodeid}\n{text}")


def pytest_configure(config: pytest.Config) -> None:
    config.pluginmanager.register(Terminal(config))


def is_worker(config: pytest.Config) -> bool:
    """Say whether this is one of several processes that tell stories."""
    return hasattr(config, "workerinput")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    for item in items:
        item.add_marker(pytest.mark.e2e)
    items.sort(key=order)
    if is_worker(config):
        last = [item for item in items if item.get_closest_marker("afterwards")]
        items[:] = [item for item in items if item not in last]
        config.hook.pytest_deselected(items=last)


def order(item: pytest.Item) -> int:
    """Long ones first, so that all workers are done at the same time; then, one by one, those that disturb others."""
    for place, mark in ((0, "long"), (2, "serial"), (3, "afterwards")):
        if item.get_closest_marker(mark):
            return place
    return 1


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if report.failed and (where := evidence.keep_first(item.name)):  # a fixture's failure too, before and after
        report.sections.append(("cluster logs", where))
    return report


@pytest.fixture(scope="session")
def cluster() -> provider.Cluster:
    return provider.current()


@pytest.fixture(autouse=True)
def able(cluster: provider.Cluster, request: pytest.FixtureRequest) -> None:
    """Skip what a given cluster cannot do; one that is made here can do all of it."""
    for mark in request.node.iter_markers("needs"):
        for ability in mark.args:
            if why := cluster.lacks(ability):
                pytest.skip(why)


@pytest.fixture(scope="session")
def shared(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Path:
    """A folder that all processes of this run see."""
    own = tmp_path_factory.getbasetemp()
    return own.parent if is_worker(request.config) else own


@pytest.fixture(autouse=True)
def its_turn(shared: Path, able: None, request: pytest.FixtureRequest) -> Iterator[None]:
    """Wait for what a story needs for itself: its GPUs, or all of the cluster."""
    abilities = {ability for mark in request.node.iter_markers("needs") for ability in mark.args}
    with ExitStack() as held:
        held.enter_context(turn(shared / "cluster", alone=bool(request.node.get_closest_marker("serial"))))
        if Ability.GPUS in abilities:
            held.enter_context(turn(shared / "gpus", alone=True))
        yield


@pytest.fixture(scope="session")
def api(cluster: provider.Cluster) -> Iterator[Api]:
    with closing(Api(cluster)) as api:
        yield api


@pytest.fixture(scope="session")
def images(cluster: provider.Cluster) -> provider.Images:
    return cluster.load()


@pytest.fixture(scope="session")
def operator(cluster: provider.Cluster, images: provider.Images, shared: Path) -> Iterator[None]:
    """The operator, installed as a user does; what the demo has left is still there afterwards."""
    services = ("get", "tisvc", "--all-namespaces", "--output=jsonpath={.items[*].metadata.uid}")

    def begin() -> Json:
        at = datetime.now(UTC)
        # A run that was killed leaves its namespaces, and their pods hold GPUs.
        cluster.kubectl("delete", "namespaces", f"--selector={STORY}", "--ignore-not-found", timeout_seconds=180)
        installed = "triton-operator" in helm(cluster, "list", "--short", "--namespace", SYSTEM).split()
        before = cluster.kubectl(*services).split() if installed else []
        install(cluster, images)
        history.begin(cluster, at)
        return {"installed": installed, "before": before}

    def end(found: Json) -> None:
        history.end(cluster)
        # Fewer than before may be there: namespaces of earlier tests may have been on their way out.
        assert set(cluster.kubectl(*services).split()) <= set(found["before"]), "a test has left services behind"
        if not found["installed"]:
            helm(cluster, "uninstall", "triton-operator", "--namespace", SYSTEM, "--wait")

    with together(shared / "operator", begin, end):
        yield


@pytest.fixture
def fresh_operator(cluster: provider.Cluster, operator: None) -> None:
    """An operator that nobody has killed: a kubelet waits longer each time before it starts again what was."""
    if any(restarts(pod) for pod in operators(cluster)):
        restart(cluster)


@pytest.fixture
def tell(record_property: Callable[[str, object], None]) -> Tell:
    """Tell something on the terminal when the story is over, however it ends."""
    return partial(record_property, TOLD)


@pytest.fixture
def namespace(
    cluster: provider.Cluster, api: Api, operator: None, request: pytest.FixtureRequest
) -> Iterator[Namespace]:
    with _made(
        cluster, api, "story-" + request.node.name.removeprefix("test_").replace("_", "-")[:40].strip("-")
    ) as made:
        yield made


@pytest.fixture
def other_namespace(cluster: provider.Cluster, api: Api, operator: None) -> Iterator[Namespace]:
    with _made(cluster, api, "story-other") as made:
        yield made


@contextmanager
def _made(cluster: provider.Cluster, api: Api, name: str) -> Iterator[Namespace]:
    """A namespace of a story, which is left behind empty and on its way out."""
    labels = {"pod-security.kubernetes.io/enforce": "restricted", STORY: "true"}
    body = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}}
    cluster.kubectl("delete", "namespace", name, "--ignore-not-found", timeout_seconds=180)
    cluster.kubectl("create", "-f", "-", stdin=json.dumps(body).encode())
    try:
        with closing(Namespace(cluster, api, name)) as made:
            yield made
    finally:
        space = f"--namespace={name}"
        cluster.kubectl("delete", "tisvc", "--all", space, "--wait=true", timeout_seconds=60)
        # Triton drains for up to 45 s; nobody waits for these pods any more.
        cluster.kubectl("delete", "pods", "--all", space, "--grace-period=1", "--wait=false")
        cluster.kubectl("delete", "namespace", name, "--wait=false")
