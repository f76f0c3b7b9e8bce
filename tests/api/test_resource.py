"""How an InferenceService behaves as a resource: defaults, /scale, kubectl, and appliers that must not see a change."""

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from .api_server import MERGE, ApiServer, inference_service, services_path
from .full_spec import FULL, MINIMAL

pytestmark = pytest.mark.cluster

Json = dict[str, Any]
TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io"


@pytest.fixture
def run_kubectl(kubeconfig: Path) -> Any:
    found = shutil.which("kubectl")
    if found is None:
        pytest.fail('kubectl is not on the PATH: run `eval "$(python -m cluster env)"`')

    def run(*arguments: str, given: str | None = None) -> subprocess.CompletedProcess[str]:
        command = [found, f"--kubeconfig={kubeconfig}", *arguments]
        return subprocess.run(command, input=given, capture_output=True, text=True, timeout=60, check=False)

    return run


@pytest.fixture
def kubectl(run_kubectl: Any) -> Any:
    def run(*arguments: str, given: str | None = None) -> str:
        done = run_kubectl(*arguments, given=given)
        assert done.returncode == 0, done.stderr
        text: str = done.stdout
        return text

    return run


def create(server: ApiServer, namespace: str, spec: Json = MINIMAL, *, name: str = "add") -> Json:
    body = inference_service(spec, name=name, namespace=namespace)
    answer = server.ask("POST", services_path(namespace), body=body, fieldManager="tests")
    assert answer.code == 201, answer.body
    return answer.body


def read(server: ApiServer, namespace: str, name: str = "add") -> Json:
    return server.ask("GET", services_path(namespace, name)).body


def see(server: ApiServer, namespace: str) -> Json:
    """Write a status, as the operator does at its first look; until then the status is a default and not stored."""
    path = services_path(namespace, "add", "status")
    answer = server.ask("PATCH", path, body={"status": {"observedGeneration": 1}}, content_type=MERGE)
    assert answer.code == 200, answer.body
    return answer.body


def test_what_is_left_out_has_its_default_in_the_stored_object(server: ApiServer, own_namespace: str) -> None:
    create(server, own_namespace, {"model": MINIMAL["model"]})

    assert read(server, own_namespace)["spec"] == {
        "model": MINIMAL["model"],
        "runtime": {
            "loadTimeoutSeconds": 600,
            "sharedMemory": "256Mi",
            "securityContext": {"readOnlyRootFilesystem": True, "runAsUser": 1000, "fsGroup": 1000},
            "log": {"level": "Info", "format": "ISO8601"},
        },
        "gpu": {"count": 1, "sharing": "None", "spot": "Forbid"},
        "rollout": {
            "strategy": "RollingUpdate",
            "autoRollback": True,
            "dynamicStableScale": False,
            "allowSignatureChange": False,
            "provisionTimeoutSeconds": 900,
        },
        "routing": {},
        "replicas": 1,
        "suspend": False,
        "podDisruptionBudget": {"enabled": True},
    }


def test_a_new_object_has_a_status_that_describes_no_generation(server: ApiServer, own_namespace: str) -> None:
    created = create(server, own_namespace)

    assert created["status"] == {"observedGeneration": -1}
    assert read(server, own_namespace)["status"] == {"observedGeneration": -1}


def test_a_status_that_a_user_writes_is_not_taken(server: ApiServer, own_namespace: str) -> None:
    body = inference_service(MINIMAL, name="add", namespace=own_namespace) | {"status": {"observedGeneration": 9}}

    created = server.ask("POST", services_path(own_namespace), body=body).body

    assert created["status"] == {"observedGeneration": -1}


def test_writing_the_status_leaves_spec_and_generation_alone(server: ApiServer, own_namespace: str) -> None:
    create(server, own_namespace)
    patch = {"status": {"observedGeneration": 1, "phase": "Ready", "replicas": 2}, "spec": {"replicas": 9}}

    path = services_path(own_namespace, "add", "status")
    answer = server.ask("PATCH", path, body=patch, content_type=MERGE)

    assert answer.code == 200, answer.body
    stored = read(server, own_namespace)
    assert (stored["status"]["phase"], stored["spec"]["replicas"], stored["metadata"]["generation"]) == ("Ready", 1, 1)


@pytest.mark.parametrize("given", [pytest.param({}, id="left out"), pytest.param({"replicas": 3}, id="given")])
def test_scale_can_be_read_and_written(server: ApiServer, own_namespace: str, given: Json) -> None:
    create(server, own_namespace, MINIMAL | given)
    path = services_path(own_namespace, "add", "scale")

    before = server.ask("GET", path)
    assert (before.code, before.body["spec"]) == (200, {"replicas": given.get("replicas", 1)})
    written = server.ask("PUT", path, body=before.body | {"spec": {"replicas": 7}})

    assert (written.code, written.body["spec"]) == (200, {"replicas": 7})
    assert read(server, own_namespace)["spec"]["replicas"] == 7


def test_scale_shows_the_pods_in_service_and_their_selector(server: ApiServer, own_namespace: str) -> None:
    create(server, own_namespace)
    status = {"status": {"observedGeneration": 1, "replicas": 2, "selector": "a=b"}}
    server.ask("PATCH", services_path(own_namespace, "add", "status"), body=status, content_type=MERGE)

    scale = server.ask("GET", services_path(own_namespace, "add", "scale")).body

    assert scale["status"] == {"replicas": 2, "selector": "a=b"}


@pytest.mark.parametrize(
    ("replicas", "code"), [pytest.param(0, 200, id="none"), pytest.param(1001, 422, id="more than the bound")]
)
def test_scale_keeps_the_bounds(server: ApiServer, own_namespace: str, replicas: int, code: int) -> None:
    create(server, own_namespace)

    answer = server.ask(
        "PATCH",
        services_path(own_namespace, "add", "scale"),
        body={"spec": {"replicas": replicas}},
        content_type=MERGE,
    )

    assert answer.code == code, answer.body


def test_the_columns_show_what_people_look_for(server: ApiServer, own_namespace: str) -> None:
    create(server, own_namespace, MINIMAL | {"gpu": {"count": 2}})
    condition = {"type": "Ready", "status": "False", "reason": "Loading", "message": "The model is loading."}
    status = {
        "observedGeneration": 1,
        "conditions": [condition | {"observedGeneration": 1, "lastTransitionTime": "2026-01-02T03:04:05Z"}],
        "readyReplicas": 3,
        "stable": {"name": "add-x", "version": 7, "replicas": 3, "ready": 3, "weight": 90},
        "canary": {"name": "add-y", "version": 8, "replicas": 1, "ready": 1, "weight": 10},
        "url": "http://add",
    }
    path = services_path(own_namespace, "add", "status")
    written = server.ask("PATCH", path, body={"status": status}, content_type=MERGE)
    assert written.code == 200, written.body

    table = server.ask("GET", services_path(own_namespace), accept=TABLE).body

    heads = [column["name"] for column in table["columnDefinitions"]]
    (row,) = [dict(zip(heads, row["cells"], strict=True)) for row in table["rows"]]
    assert row.pop("Age")
    assert row == {
        "Name": "add",
        "Ready": "False",
        "Reason": "Loading",
        "Version": 7,
        "Canary": 8,
        "Weight": 10,
        "Replicas": 3,
        "URL": "http://add",
        "GPU": 2,
        "Message": "The model is loading.",
    }


@pytest.mark.parametrize(
    "status",
    [
        pytest.param({"observedGeneration": -2}, id="generation"),
        pytest.param({"observedGeneration": 1, "phase": "Fine"}, id="phase"),
        pytest.param({"observedGeneration": 1, "conditions": [{"type": "Ready", "status": "Maybe"}]}, id="condition"),
    ],
)
def test_a_status_out_of_bounds_is_refused(server: ApiServer, own_namespace: str, status: Json) -> None:
    create(server, own_namespace)

    path = services_path(own_namespace, "add", "status")
    answer = server.ask("PATCH", path, body={"status": status}, content_type=MERGE)

    assert answer.code == 422


@pytest.mark.parametrize("spec", [pytest.param(MINIMAL, id="smallest"), pytest.param(FULL, id="every field")])
def test_applying_the_same_again_to_what_the_operator_has_seen_changes_nothing(
    server: ApiServer, own_namespace: str, spec: Json
) -> None:
    body = inference_service(spec, name="add", namespace=own_namespace)
    path = services_path(own_namespace, "add")

    assert server.apply(body, path=path).code == 201
    first = see(server, own_namespace)
    again = server.apply(body, path=path)

    assert again.body == first


@pytest.mark.parametrize("spec", [pytest.param(MINIMAL, id="smallest"), pytest.param(FULL, id="every field")])
@pytest.mark.parametrize(
    "flags", [pytest.param([], id="client-side"), pytest.param(["--server-side"], id="server-side")]
)
def test_kubectl_apply_of_the_same_again_changes_nothing(
    server: ApiServer, own_namespace: str, kubectl: Any, flags: list[str], spec: Json
) -> None:
    manifest = yaml.safe_dump(inference_service(spec, name="add", namespace=own_namespace))
    kubectl("apply", *flags, "-f", "-", given=manifest)
    first = see(server, own_namespace)

    kubectl("apply", *flags, "-f", "-", given=manifest)
    kubectl("diff", *flags, "-f", "-", given=manifest)

    assert read(server, own_namespace) == first


def test_kubectl_scale_is_not_undone_by_an_apply_without_replicas(
    server: ApiServer, own_namespace: str, kubectl: Any
) -> None:
    manifest = json.dumps(inference_service(MINIMAL, name="add", namespace=own_namespace))
    kubectl("apply", "-f", "-", given=manifest)
    kubectl("scale", f"--namespace={own_namespace}", "tisvc/add", "--replicas=4")

    kubectl("apply", "-f", "-", given=manifest)

    assert read(server, own_namespace)["spec"]["replicas"] == 4


@pytest.mark.parametrize(
    ("field", "ours", "theirs", "merged"),
    [
        pytest.param(
            "env",
            [{"name": "A", "value": "1"}],
            [{"name": "B", "value": "2"}],
            [{"name": "A", "value": "1"}, {"name": "B", "value": "2"}],
            id="env by name",
        ),
        pytest.param(
            "volumes",
            [{"name": "a", "emptyDir": {}}],
            [{"name": "b", "secret": {"secretName": "s"}}],
            [{"name": "a", "emptyDir": {}}, {"name": "b", "secret": {"secretName": "s"}}],
            id="volumes by name",
        ),
        pytest.param(
            "imagePullSecrets",
            [{"name": "a"}],
            [{"name": "b"}],
            [{"name": "a"}, {"name": "b"}],
            id="imagePullSecrets by name",
        ),
        pytest.param("labels", {"a": "1"}, {"b": "2"}, {"a": "1", "b": "2"}, id="labels by key"),
    ],
)
def test_two_managers_share_a_list_by_its_keys(
    server: ApiServer, own_namespace: str, field: str, ours: Any, theirs: Any, merged: Any
) -> None:
    path = services_path(own_namespace, "add")
    first = inference_service(MINIMAL | {"runtime": {field: ours}}, name="add", namespace=own_namespace)
    second = inference_service({"runtime": {field: theirs}}, name="add", namespace=own_namespace)

    assert server.apply(first, path=path, manager="ours").code == 201
    answer = server.apply(second, path=path, manager="theirs")
    assert answer.code == 200, answer.body
    again = server.apply(first, path=path, manager="ours")

    assert again.body["spec"]["runtime"][field] == merged
    assert again.body["metadata"]["resourceVersion"] == answer.body["metadata"]["resourceVersion"]


def test_two_managers_conflict_over_arguments_because_their_order_counts(server: ApiServer, own_namespace: str) -> None:
    path = services_path(own_namespace, "add")
    first = inference_service(
        MINIMAL | {"runtime": {"args": ["--cache-config=local,size=1"]}}, name="add", namespace=own_namespace
    )
    second = inference_service(
        {"runtime": {"args": ["--model-load-thread-count=2"]}}, name="add", namespace=own_namespace
    )
    server.apply(first, path=path, manager="ours")

    answer = server.apply(second, path=path, manager="theirs")

    assert (answer.code, [field for field, _ in answer.causes]) == (409, [".spec.runtime.args"])


@pytest.mark.parametrize(
    ("path", "words"),
    [
        pytest.param("inferenceservices", "A model served by NVIDIA Triton Inference Server", id="kind"),
        pytest.param("tisvc.spec.model.uri", "pvc://CLAIM/path", id="uri by the short name"),
        pytest.param("tisvc.spec.runtime.securityContext.runAsUser", "OpenShift", id="deep"),
        pytest.param("tisvc.spec.runtime.env.valueFrom.fieldRef.fieldPath", "status.podIP", id="in a list"),
        pytest.param("tisvc.status.conditions.reason", "One word for programs", id="status"),
    ],
)
def test_kubectl_explains_each_field(server: ApiServer, kubectl: Any, path: str, words: str) -> None:
    explained = " ".join(kubectl("explain", path).split())

    assert words in explained


def test_kubectl_finds_services_by_category(server: ApiServer, own_namespace: str, kubectl: Any) -> None:
    create(server, own_namespace)

    found = kubectl("get", "triton", f"--namespace={own_namespace}", "--output=name")

    assert found.split() == ["inferenceservice.serving.triton-operator.dev/add"]


def test_kubectl_shows_the_refusal_with_field_and_remedy(
    server: ApiServer, own_namespace: str, run_kubectl: Any
) -> None:
    spec = MINIMAL | {"runtime": {"args": ["--http-port", "9"]}}
    manifest = json.dumps(inference_service(spec, name="9add", namespace=own_namespace))

    done = run_kubectl("apply", "-f", "-", given=manifest)

    assert done.returncode == 1
    assert "spec.runtime.args: " in done.stderr
    assert "remove it, and see spec.runtime for settings" in done.stderr
    assert "metadata.name must have at most 45 characters" in done.stderr
