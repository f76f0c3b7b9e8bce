"""The children of a handful of specs, as files to read; `UPDATE_GOLDEN=1 pytest tests/resources` writes them anew."""

import os
from pathlib import Path
from typing import Any

import kubernetes_validate  # type: ignore[import-untyped]  # it has no stubs
import pytest
import yaml

from tests.resolved import resolved
from triton_operator.api.settings import Settings
from triton_operator.api.spec import InferenceServiceSpec
from triton_operator.core.revision import render, to_data
from triton_operator.resources import children, monitor
from triton_operator.resources.children import Owner

from .specs import SPECS

Json = dict[str, Any]
GOLDEN = Path(__file__).parent / "golden"
OWNER = Owner("vision", "models", "00000000-0000-0000-0000-000000000001")
SETTINGS = Settings(tritonImage="registry.example/tritonserver:1", prepareImage="registry.example/triton-operator:1")
EVERY_SPEC = [pytest.param(name, id=name) for name in SPECS]


def children_of(name: str) -> list[Json]:
    spec = InferenceServiceSpec.model_validate(SPECS[name])
    revision = render(OWNER.name, spec, SETTINGS, resolved(spec), number=1)
    data = to_data(revision)
    assert data.pop("template") == revision.template  # it stands in the Deployment below
    return [
        children.controller_revision(OWNER, revision.name, number=1, data=data, rejected=None),
        children.stable_service(OWNER, (revision.name,)),
        children.headless_service(OWNER, (revision.name, "vision-other")),
        children.deployment(
            OWNER,
            revision.name,
            template=revision.template,
            replicas=3,
            progress_deadline_seconds=2100,
            restarted=None,
            surge=True,
        ),
        children.revision_service(OWNER, revision.name),
        children.budget(OWNER, revision.name),
        children.record(OWNER, "{}", "record.json"),
        monitor.pod_monitor(OWNER, SETTINGS.podMonitor),
    ]


@pytest.mark.parametrize("name", EVERY_SPEC)
def test_children_are_as_the_golden_files_show_them(name: str) -> None:
    file = GOLDEN / f"{name}.yaml"
    printed = yaml.dump_all(children_of(name), Dumper=_Plain, sort_keys=False, width=120, explicit_start=True)
    if os.environ.get("UPDATE_GOLDEN"):
        file.write_text(printed, encoding="utf-8")
    assert file.read_text(encoding="utf-8") == printed, "run UPDATE_GOLDEN=1 pytest tests/resources and read the diff"


@pytest.mark.parametrize("name", EVERY_SPEC)
@pytest.mark.parametrize("version", ["1.31", "1.34"])
def test_children_are_what_kubernetes_takes(name: str, version: str) -> None:
    own = [child for child in children_of(name) if child["kind"] != "PodMonitor"]  # that is no kind of Kubernetes
    for child in own:
        kubernetes_validate.validate(child, version, strict=True)


@pytest.mark.parametrize("name", EVERY_SPEC)
def test_every_child_has_its_owner_and_the_labels_of_the_operator(name: str) -> None:
    for child in children_of(name):
        metadata = child["metadata"]
        assert metadata["labels"]["app.kubernetes.io/managed-by"] == "triton-operator"
        assert metadata["labels"]["serving.triton-operator.dev/service"] == "vision"
        assert [(o["uid"], o["controller"]) for o in metadata["ownerReferences"]] == [(OWNER.uid, True)]
        assert len(metadata["name"]) <= 63


class _Plain(yaml.SafeDumper):
    """Writes no anchors."""

    def ignore_aliases(self, data: Any) -> bool:
        return True

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:
        super().increase_indent(flow, False)
