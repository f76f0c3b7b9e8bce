"""A cluster that is there already: what it lacks is told, and each story says what it needs."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from cluster.abilities import Ability
from cluster.images import Image, Images
from cluster.processes import ClusterError
from cluster.provider import GivenCluster

E2E = Path(__file__).parents[2] / "e2e"
DONE_BY = {
    "gpu_pool": Ability.GPUS,
    "lose_node": Ability.NODES,
    "kill": Ability.PROCESSES,
    "wall": Ability.WALLS,
    "load_s3": Ability.IMAGES,
}
"""What a story calls, of a cluster, and what that takes."""


@pytest.fixture
def given(tmp_path: Path) -> GivenCluster:
    """A cluster whose kubectl knows one Gateway and nothing else."""
    kubectl = tmp_path / "kubectl"
    kubectl.write_text('#!/bin/sh\n[ "$2" = gateway/inference ] && [ "$3" = --namespace=gateways ]\n')
    kubectl.chmod(0o755)
    image = Image("registry.example/any:1", "registry.example/any:1")
    return GivenCluster(kubeconfig=tmp_path / "kubeconfig", tools=tmp_path, images=Images(image, image))


def test_what_a_given_cluster_lacks_is_refused_in_the_words_that_its_stories_are_skipped_with(
    given: GivenCluster,
) -> None:
    refused = {
        Ability.GPUS: given.gpu_pool,
        Ability.NODES: lambda: given.lose_node("worker"),
        Ability.PROCESSES: lambda: given.kill(node="worker", container="containerd://1"),
        Ability.WALLS: lambda: given.wall("10.0.0.1", ports=(8000,)),
        Ability.IMAGES: given.load_s3,
    }
    for ability, act in refused.items():
        with pytest.raises(ClusterError) as error:
            act()
        assert str(error.value) == given.lacks(ability)
    assert refused.keys() == set(Ability) - {Ability.GATEWAY}


def test_canaries_take_all_of_the_gateway_that_they_go_through(given: GivenCluster) -> None:
    words = "this given cluster has no deployment/envoy-gateway in the namespace envoy-gateway-system"
    assert given.lacks(Ability.GATEWAY) == words
    (given.tools / "kubectl").write_text("#!/bin/sh\n")
    assert given.lacks(Ability.GATEWAY) is None


def functions() -> Iterator[tuple[str, ast.FunctionDef]]:
    """All functions and methods of the stories, with their file's name."""
    for path in E2E.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef):
                yield path.stem, node


def names_in(function: ast.FunctionDef) -> set[str]:
    """What a function takes, calls and refers to, by its last name."""
    taken = {argument.arg for argument in function.args.args}
    body = [node for statement in function.body for node in ast.walk(statement)]
    named = {node.id for node in body if isinstance(node, ast.Name)}
    return taken | named | {node.attr for node in body if isinstance(node, ast.Attribute)}


def marked(function: ast.FunctionDef) -> set[Ability]:
    return {
        Ability[argument.attr]
        for mark in function.decorator_list
        if isinstance(mark, ast.Call) and isinstance(mark.func, ast.Attribute) and mark.func.attr == "needs"
        for argument in mark.args
        if isinstance(argument, ast.Attribute)
    }


def test_each_story_says_just_what_it_needs_of_a_cluster() -> None:
    every = list(functions())
    stories = [(module, function) for module, function in every if function.name.startswith("test_")]
    assert len(stories) > 30
    for module, story in stories:
        seen: set[str] = set()
        ahead = names_in(story)
        while ahead:
            seen |= ahead
            known = {function.name: function for where, function in every if not where.startswith("test_")}
            known |= {function.name: function for where, function in every if where == module}
            reached = [names_in(known[name]) for name in ahead & known.keys()]
            ahead = set().union(*reached) - seen
        needed = {ability for name, ability in DONE_BY.items() if name in seen}
        needed |= {Ability.GATEWAY} if "gateway" in seen else set()
        assert marked(story) == needed, f"{module}.py: {story.name}"
