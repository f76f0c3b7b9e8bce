from pathlib import Path
from typing import Any

import pytest
import yaml

from triton_operator.api.spec import InferenceServiceSpec
from triton_operator.cli.errors import Exit, Trouble
from triton_operator.cli.files import documents
from triton_operator.cli.hints import RULES, hints
from triton_operator.cli.lint import Level, Server, lint, run
from triton_operator.cli.options import Form
from triton_operator.edges.place import Place

Json = dict[str, Any]

GOOD: Json = {
    "model": {"name": "m", "uri": "pvc://models/m", "version": 1},
    "replicas": 2,
    "runtime": {"resources": {"requests": {"memory": "1Gi"}}},
    "rollout": {"goldenRequests": {"configMapName": "golden"}},
}


def written(folder: Path, *bodies: Any, name: str = "a.yaml") -> str:
    file = folder / name
    file.write_text(yaml.safe_dump_all(bodies))
    return str(file)


def body(spec: Json, **more: Any) -> Json:
    return {
        "apiVersion": "serving.triton-operator.dev/v1alpha1",
        "kind": "InferenceService",
        "metadata": {"name": "m"},
        "spec": spec,
    } | more


def test_a_good_spec_has_no_findings(tmp_path: Path) -> None:
    (document,) = documents([written(tmp_path, body(GOOD))])

    assert lint(document) == ()


@pytest.mark.parametrize(
    ("overlay", "field"),
    [
        ({"model": {"name": "m", "uri": "pvc://models/m"}}, "spec.model.version"),
        ({"runtime": GOOD["runtime"] | {"image": "triton:latest"}}, "spec.runtime.image"),
        ({"replicas": 1}, "spec.replicas"),
        ({"runtime": {}}, "spec.runtime.resources.requests.memory"),
        ({"rollout": GOOD["rollout"] | {"strategy": "Canary"}}, "spec.rollout.analysis"),
        ({"rollout": {}}, "spec.rollout.goldenRequests"),
        (
            {"autoscaling": {"minReplicas": 2, "maxReplicas": 3, "objective": {"latencyMilliseconds": 9}}},
            "spec.autoscaling.objective",
        ),
        (
            {"autoscaling": {"minReplicas": 3, "maxReplicas": 3, "metrics": [{"type": "throughput", "target": 1}]}},
            "spec.autoscaling",
        ),
    ],
)
def test_what_people_regret_is_hinted_at(overlay: Json, field: str) -> None:
    assert [hint.field for hint in hints(InferenceServiceSpec.model_validate(GOOD | overlay))] == [field]


def test_each_hint_has_a_case_above() -> None:
    assert len(RULES) == 8


@pytest.mark.parametrize("image", ["triton:26.07", "host:5000/triton:26.07", "triton@sha256:abc"])
def test_an_image_that_stays_the_same_is_fine(image: str) -> None:
    spec = InferenceServiceSpec.model_validate(GOOD | {"runtime": GOOD["runtime"] | {"image": image}})

    assert hints(spec) == ()


def test_other_kinds_are_passed_over_and_lists_are_opened(tmp_path: Path) -> None:
    listed = {"kind": "List", "items": [body(GOOD), {"kind": "ConfigMap"}]}
    file = written(tmp_path, {"kind": "ConfigMap", "metadata": {"name": "x"}}, None, listed)

    assert [document.name for document in documents([file])] == ["m"]


def test_a_folder_is_read_file_by_file(tmp_path: Path) -> None:
    written(tmp_path, body(GOOD), name="b.yml")
    written(tmp_path, body(GOOD), name="a.yaml")
    (tmp_path / "README.md").write_text("no YAML: {")

    assert [Path(document.file).name for document in documents([str(tmp_path)])] == ["a.yaml", "b.yml"]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("a: {", "this is no YAML: line 1, column 5"),
        ("a: 1\nb: 2\na: 3\n", "this is no YAML: line 3, column 1: a is given twice"),
    ],
)
def test_what_is_no_yaml_is_told_with_its_place(tmp_path: Path, text: str, told: str) -> None:
    file = tmp_path / "a.yaml"
    file.write_text(text)
    (document,) = documents([str(file)])

    (finding,) = lint(document)

    assert finding.message.startswith(told)


@pytest.mark.parametrize("metadata", [None, [], {}, {"name": None}])
def test_a_service_without_a_name_is_an_error(tmp_path: Path, metadata: Any) -> None:
    (document,) = documents([written(tmp_path, body(GOOD, metadata=metadata))])

    assert [finding.level for finding in lint(document)] == [Level.ERROR]


def test_another_version_of_the_api_is_an_error(tmp_path: Path) -> None:
    file = written(tmp_path, body(GOOD, apiVersion="serving.triton-operator.dev/v9"))
    (document,) = documents([file])

    assert [finding.field for finding in lint(document)] == ["apiVersion"]


def test_a_file_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(Trouble, match="there is no file"):
        documents([str(tmp_path / "none.yaml")])
    with pytest.raises(Trouble, match="no InferenceService in"):
        documents([written(tmp_path, {"kind": "ConfigMap"})])


def test_the_exit_code_tells_errors_and_with_strict_hints(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def linted(spec: Json, *, strict: bool) -> Exit:
        file = written(tmp_path, body(spec))
        return run(Place(), files=[file], server=Server.NEVER, strict=strict, form=Form.TEXT)

    assert linted(GOOD, strict=True) == Exit.DONE
    assert linted(GOOD | {"replicas": 1}, strict=False) == Exit.DONE
    assert linted(GOOD | {"replicas": 1}, strict=True) == Exit.FAILED
    assert linted(GOOD | {"replicas": -1}, strict=False) == Exit.FAILED
    assert "spec.replicas: -1 should be greater than or equal to 0" in capsys.readouterr().out
