"""Names of revisions, and how a revision is kept."""

import copy
import json
from dataclasses import replace
from typing import Any

import pytest

from tests.resolved import resolved
from triton_operator.api.settings import Settings
from triton_operator.api.spec import InferenceServiceSpec
from triton_operator.core.revision import from_deployment, from_object, render, revision_name, to_data
from triton_operator.resources.children import Owner, controller_revision

Json = dict[str, Any]
SETTINGS = Settings(prepareImage="operator:1")
BASE: Json = {"model": {"name": "resnet50", "uri": "pvc://models/resnet50", "version": 7}}
FULL: Json = BASE | {
    "runtime": {
        "image": "tritonserver:1",
        "args": ["--cache-config=local,size=1"],
        "env": [{"name": "A", "value": "1"}],
    },
    "gpu": {"count": 2, "resourceName": "nvidia.com/mig-1g.10gb"},
}
SLICE: Json = BASE | {"gpu": {"mig": "1g.10gb", "spot": "Allow", "nodePool": "inference"}}
WHOLE: Json = BASE | {"gpu": {"products": ["NVIDIA-L4", "NVIDIA-A10"], "minMemory": "20Gi"}}

FULL_SPEC = InferenceServiceSpec.model_validate(FULL)


def name(spec: Json, service: str = "vision", digest: str = "sha256:a") -> str:
    read = InferenceServiceSpec.model_validate(spec)
    return revision_name(service, read, resolved(read, digest=digest))


def changed(path: str, value: Any) -> Json:
    spec = copy.deepcopy(FULL)
    *parts, last = path.split(".")
    place = spec
    for part in parts:
        place = place.setdefault(part, {})
    place[last] = value
    return spec


@pytest.mark.parametrize(
    ("spec", "golden"),
    [
        pytest.param(BASE, "vision-w82b59zrw4", id="model alone"),
        pytest.param(FULL, "vision-5v927wdj2v", id="runtime and gpu"),
        pytest.param(SLICE, "vision-7nv5hfhd44", id="a slice"),
        pytest.param(WHOLE, "vision-sbd7wc9zs7", id="whole gpus"),
    ],
)
def test_the_name_of_a_revision_never_changes_between_releases(spec: Json, golden: str) -> None:
    assert name(spec) == golden


@pytest.mark.parametrize(
    ("path", "value"),
    [
        pytest.param("replicas", 9, id="replicas"),
        pytest.param("suspend", True, id="suspend"),
        pytest.param("podDisruptionBudget.enabled", False, id="budget"),
        pytest.param("runtime.loadTimeoutSeconds", 600, id="load time-out at its default"),
        pytest.param("runtime.sharedMemory", "256Mi", id="shared memory at its default"),
        pytest.param("runtime.securityContext", {"runAsUser": 1000}, id="security at its default"),
        pytest.param("runtime.securityContext", {}, id="empty security"),
        pytest.param("runtime.log", {"level": "Info", "format": "ISO8601"}, id="log at its default"),
        pytest.param("runtime.nodeSelector", None, id="null"),
        pytest.param("gpu.sharing", "None", id="sharing at its default"),
        pytest.param("gpu.spot", "Forbid", id="spot at its default"),
        pytest.param("a field of a newer operator", 1, id="unknown field"),
    ],
)
def test_what_makes_no_difference_to_pods_makes_no_revision(path: str, value: Any) -> None:
    assert name(changed(path, value)) == name(FULL)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        pytest.param(path, value, id=path)
        for path, value in (
            ("model.name", "other"),
            ("model.uri", "configmap://other"),
            ("model.version", 8),
            ("gpu.count", 1),
            ("gpu.resourceName", "nvidia.com/gpu"),
            ("gpu.products", ["NVIDIA-L4"]),
            ("gpu.minMemory", "20Gi"),
            ("gpu.mig", "1g.10gb"),
            ("gpu.sharing", "TimeSlicing"),
            ("gpu.spot", "Allow"),
            ("gpu.nodePool", "inference"),
            ("runtime.image", "tritonserver:2"),
            ("runtime.imagePullPolicy", "Always"),
            ("runtime.imagePullSecrets", [{"name": "s"}]),
            ("runtime.args", ["--cache-config=local,size=2"]),
            ("runtime.env", [{"name": "A", "value": "2"}]),
            ("runtime.resources", {"limits": {"memory": "1Gi"}}),
            ("runtime.loadTimeoutSeconds", 601),
            ("runtime.sharedMemory", "1Gi"),
            ("runtime.serviceAccountName", "s"),
            ("runtime.priorityClassName", "p"),
            ("runtime.runtimeClassName", "nvidia"),
            ("runtime.schedulerName", "s"),
            ("runtime.nodeSelector", {"a": "b"}),
            ("runtime.tolerations", [{"operator": "Exists"}]),
            ("runtime.volumes", [{"name": "v", "emptyDir": {}}]),
            ("runtime.volumeMounts", [{"name": "v", "mountPath": "/v"}]),
            ("runtime.securityContext", {"readOnlyRootFilesystem": False}),
            ("runtime.securityContext", {"runAsUser": -1}),
            ("runtime.securityContext", {"fsGroup": -1}),
            ("runtime.labels", {"a": "b"}),
            ("runtime.annotations", {"a": "b"}),
            ("runtime.log", {"level": "Verbose"}),
            ("runtime.log", {"format": "Default"}),
            (
                "runtime.nodeAffinity",
                {
                    "requiredDuringSchedulingIgnoredDuringExecution": {
                        "nodeSelectorTerms": [{"matchExpressions": [{"key": "a", "operator": "Exists"}]}]
                    }
                },
            ),
        )
    ],
)
def test_whatever_a_user_chooses_for_the_pods_makes_a_revision(path: str, value: Any) -> None:
    assert name(changed(path, value)) != name(FULL)


def test_the_order_of_products_makes_no_revision() -> None:
    turned = BASE | {"gpu": WHOLE["gpu"] | {"products": ["NVIDIA-A10", "NVIDIA-L4"]}}
    assert name(turned) == name(WHOLE)


def test_the_order_in_which_fields_are_written_makes_no_revision() -> None:
    turned = json.loads(json.dumps(FULL, sort_keys=True))
    assert name(dict(reversed(turned.items()))) == name(FULL)


def test_services_share_no_revision_names_and_the_longest_name_fits() -> None:
    longest = name(BASE, "a" * 45)
    assert longest != name(BASE, "b" * 45)
    assert len(longest) == 56


def test_a_revision_is_read_back_from_its_object_as_it_was_rendered() -> None:
    revision = render("vision", FULL_SPEC, SETTINGS, resolved(FULL_SPEC), number=3)
    owner = Owner("vision", "models", "uid")
    body = controller_revision(owner, revision.name, number=revision.number, data=to_data(revision), rejected=None)
    assert from_object(json.loads(json.dumps(body))) == revision


def test_a_revision_of_an_unknown_schema_is_left_alone() -> None:
    assert from_object({"metadata": {"name": "vision-a"}, "revision": 1, "data": {"schema": 99}}) is None
    assert from_object({"metadata": {"name": "vision-a"}, "revision": 1}) is None


def test_a_revision_is_rebuilt_from_its_deployment_when_its_controller_revision_is_lost() -> None:
    for gpus in (0, 2):
        spec = InferenceServiceSpec.model_validate(
            {
                "model": {"name": "m", "uri": "pvc://claim/a/b", "version": 7},
                "gpu": {"count": gpus},
                "runtime": {"loadTimeoutSeconds": 300, "resources": {"limits": {"rdma/hca": "8"}}},
            }
        )
        made = render("a", spec, SETTINGS, resolved(spec), number=3)
        filled_in = made.template["spec"] | {"dnsPolicy": "ClusterFirst"}
        ours = {
            "f:spec": {"f:template": {"f:metadata": {}, "f:spec": {f"f:{key}": {} for key in made.template["spec"]}}}
        }
        entry = {"manager": "triton-operator", "operation": "Apply", "fieldsV1": ours}
        deployment = {
            "metadata": {"name": made.name, "managedFields": [entry]},
            "spec": {"replicas": 1, "template": made.template | {"spec": filled_in}},
        }
        assert from_deployment(deployment) == replace(made, number=0, resolution=None)
    assert from_deployment({"metadata": {"name": "x"}, "spec": {"template": {"spec": {"containers": []}}}}) is None


@pytest.mark.parametrize("data", [None, {}, {"schema": 1}, {"schema": 1, "model": "x"}, [1]])
def test_a_damaged_controller_revision_is_not_a_revision(data: object) -> None:
    assert from_object({"metadata": {"name": "a-1"}, "data": data}) is None
