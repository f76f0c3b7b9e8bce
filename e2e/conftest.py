"""A whole cluster with the operator installed by its chart, and namespaces that enforce restricted Pod Security."""

import json
from collections.abc import Callable, Generator, Iterator
from datetime import UTC, datetime
from functools import partial

import pytest

import history
from cluster import evidence, provider, several
from stories import SYSTEM, Namespace, Tell, helm, install

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
    if is_worker(config):
        several.enter(1 + int(config.workerinput["workerid"].removeprefix("gw")))


def is_worker(config: pytest.Config) -> bool:
    """Say whether this is one of several processes that tell stories, each in a cluster of its own."""
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
    """Long ones first, so that all workers are done at the same time; last of all what looks back.

    A kubelet waits longer and longer before it starts again what was killed: between the stories that kill the operator
    are others, or some in which it gets new pods.
    """
    return 2 if item.get_closest_marker("afterwards") else 0 if item.get_closest_marker("long") else 1


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
def images(cluster: provider.Cluster) -> provider.Images:
    return cluster.load()


@pytest.fixture(scope="session")
def operator(cluster: provider.Cluster, images: provider.Images, testrun_uid: str) -> Iterator[None]:
    """The operator, installed as a user does; what the demo has left is still there afterwards."""
    begun = datetime.now(UTC)
    # A run that was killed leaves its namespaces, and their pods hold GPUs.
    cluster.kubectl("delete", "namespaces", f"--selector={STORY}", "--ignore-not-found", timeout_seconds=180)
    words = ("get", "tisvc", "--all-namespaces", "--output=jsonpath={.items[*].metadata.uid}")
    installed = "triton-operator" in helm(cluster, "list", "--short", "--namespace", SYSTEM).split()
    before = set(cluster.kubectl(*words).split()) if installed else set()
    install(cluster, images)
    history.begin(cluster, testrun_uid, begun)
    yield
    history.end(cluster)
    # Fewer than before may be there: namespaces of earlier tests may have been on their way out.
    assert set(cluster.kubectl(*words).split()) <= before, "a test has left services behind"
    if not installed:
        helm(cluster, "uninstall", "triton-operator", "--namespace", SYSTEM, "--wait")


@pytest.fixture
def tell(record_property: Callable[[str, object], None]) -> Tell:
    """Tell something on the terminal when the story is over, however it ends."""
    return partial(record_property, TOLD)


@pytest.fixture
def namespace(cluster: provider.Cluster, operator: None, request: pytest.FixtureRequest) -> Iterator[Namespace]:
    with _made(cluster, "story-" + request.node.name.removeprefix("test_").replace("_", "-")[:40].strip("-")) as made:
        yield made


@pytest.fixture
def other_namespace(cluster: provider.Cluster, operator: None) -> Iterator[Namespace]:
    with _made(cluster, "story-other") as made:
        yield made


class _made:
    def __init__(self, cluster: provider.Cluster, name: str) -> None:
        self._cluster, self._name = cluster, name

    def __enter__(self) -> Namespace:
        labels = {"pod-security.kubernetes.io/enforce": "restricted", STORY: "true"}
        body = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": self._name, "labels": labels}}
        self._cluster.kubectl("delete", "namespace", self._name, "--ignore-not-found", timeout_seconds=180)
        self._cluster.kubectl("create", "-f", "-", stdin=json.dumps(body).encode())
        return Namespace(self._cluster, self._name)

    def __exit__(self, *_: object) -> None:
        space = f"--namespace={self._name}"
        self._cluster.kubectl("delete", "tisvc", "--all", space, "--wait=true", timeout_seconds=60)
        # Triton drains for up to 45 s; nobody waits for these pods any more.
        self._cluster.kubectl("delete", "pods", "--all", space, "--grace-period=1", "--wait=false")
        self._cluster.kubectl("delete", "namespace", self._name, "--wait=false")
