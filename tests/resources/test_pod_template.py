"""What every pod template keeps, whatever the spec says."""

import copy
import json
import re
from pathlib import Path
from typing import Any

import pytest
from kubernetes.utils.quantity import parse_quantity

from tests.resolved import resolved
from triton_operator.api.names import CONTAINER_PREPARE, CONTAINER_TRITON, LABEL_REVISION, LABEL_SERVICE
from triton_operator.api.runtime import OWNED_FLAGS
from triton_operator.api.settings import Settings
from triton_operator.api.spec import InferenceServiceSpec
from triton_operator.core.placement import place
from triton_operator.core.providers import profile_of
from triton_operator.core.resolution import sources_of
from triton_operator.resources import pod
from triton_operator.resources.labels import revision_labels
from triton_operator.resources.pod import pod_template
from triton_operator.resources.sources import ORDER, VOLUME_BYTES

from .specs import EVERYTHING, MINIMAL, SPECS

Json = dict[str, Any]
HELP = Path(__file__).with_name("tritonserver-2.51-help.txt")  # `tritonserver --help` of release 24.10
SETTINGS = Settings(prepareImage="registry.example/triton-operator:1", prepareImagePullSecrets=("mirror", "registry"))
EVERY_SPEC = [pytest.param(spec, id=name) for name, spec in SPECS.items()]


def template_of(spec: Json) -> Json:
    labels = revision_labels("vision", "vision-abc")
    read = InferenceServiceSpec.model_validate(spec)
    placement = place(read, profile_of(SETTINGS.gpu))
    return pod_template(read, SETTINGS, labels=labels, placement=placement, sources=sources_of(read, resolved(read)))


def triton(template: Json) -> Json:
    return next(c for c in template["spec"]["containers"] if c["name"] == CONTAINER_TRITON)


def prepare(template: Json) -> Json:
    return next(c for c in template["spec"]["initContainers"] if c["name"] == CONTAINER_PREPARE)


def with_runtime(**runtime: Any) -> Json:
    return copy.deepcopy(MINIMAL) | {"runtime": runtime}


def restricted(template: Json) -> list[str]:
    """Say what breaks the Pod Security Standard "restricted" (and "baseline", which it contains)."""
    spec, found = template["spec"], []
    outer = spec.get("securityContext", {})
    for key in ("hostNetwork", "hostPID", "hostIPC"):
        if spec.get(key):
            found.append(key)
    allowed = {"configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "persistentVolumeClaim", "projected"}
    allowed |= {"secret", "name"}
    found += [f"volume {v['name']}" for v in spec.get("volumes", []) if set(v) - allowed]
    if set(outer) & {"sysctls", "windowsOptions", "seLinuxOptions"}:
        found.append("pod options")
    for container in [*spec.get("initContainers", []), *spec["containers"]]:
        own, name = container.get("securityContext", {}), container["name"]
        checks = {
            "privileged": bool(own.get("privileged")),
            "allowPrivilegeEscalation": own.get("allowPrivilegeEscalation") is not False,
            "runAsNonRoot": (own.get("runAsNonRoot", outer.get("runAsNonRoot"))) is not True,
            "runAsUser": 0 in (own.get("runAsUser"), outer.get("runAsUser")),
            "seccomp": (own.get("seccompProfile") or outer.get("seccompProfile") or {}).get("type")
            not in ("RuntimeDefault", "Localhost"),
            "drop": "ALL" not in own.get("capabilities", {}).get("drop", []),
            "add": bool(set(own.get("capabilities", {}).get("add", [])) - {"NET_BIND_SERVICE"}),
            "hostPort": any(port.get("hostPort") for port in container.get("ports", [])),
            "procMount": own.get("procMount", "Default") != "Default",
        }
        found += [f"{name} {what}" for what, broken in checks.items() if broken]
    return found


@pytest.mark.parametrize("spec", EVERY_SPEC)
def test_pods_keep_to_the_restricted_pod_security_standard(spec: Json) -> None:
    assert restricted(template_of(spec)) == []


@pytest.mark.parametrize(
    ("path", "value", "broken"),
    [
        pytest.param(("hostNetwork",), True, "hostNetwork", id="host network"),
        pytest.param(("volumes", 0), {"name": "v", "hostPath": {"path": "/"}}, "volume v", id="host path"),
        pytest.param(("securityContext", "runAsNonRoot"), False, "triton runAsNonRoot", id="root allowed"),
        pytest.param(("securityContext", "runAsUser"), 0, "triton runAsUser", id="root"),
        pytest.param(("securityContext", "seccompProfile"), {}, "triton seccomp", id="no seccomp"),
        pytest.param(("containers", 0, "securityContext"), {}, "triton drop", id="capabilities"),
        pytest.param(
            ("containers", 0, "securityContext", "privileged"), True, "triton privileged", id="privileged container"
        ),
    ],
)
def test_the_restricted_check_itself_notices(path: tuple[Any, ...], value: Any, broken: str) -> None:
    template = copy.deepcopy(template_of(MINIMAL))
    place = template["spec"]
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    assert broken in restricted(template)


@pytest.mark.parametrize("spec", EVERY_SPEC)
def test_the_root_filesystem_is_read_only_with_writable_places_where_triton_needs_them(spec: Json) -> None:
    template = template_of(spec)
    wanted = spec.get("runtime", {}).get("securityContext", {}).get("readOnlyRootFilesystem", True)
    assert triton(template)["securityContext"]["readOnlyRootFilesystem"] is wanted
    assert prepare(template)["securityContext"]["readOnlyRootFilesystem"] is True
    mounts = {mount["mountPath"]: mount for mount in triton(template)["volumeMounts"]}
    assert not mounts["/tmp"].get("readOnly")
    assert not mounts["/dev/shm"].get("readOnly")
    assert mounts["/models"]["readOnly"] is True


@pytest.mark.parametrize("spec", EVERY_SPEC)
def test_no_pod_has_a_service_account_token(spec: Json) -> None:
    template = template_of(spec)
    assert template["spec"]["automountServiceAccountToken"] is False
    assert not [volume for volume in template["spec"]["volumes"] if "projected" in volume]


@pytest.mark.parametrize("spec", EVERY_SPEC)
def test_shutdown_ends_what_is_in_flight_before_the_kubelet_kills(spec: Json) -> None:
    template = template_of(spec)
    sleep = triton(template)["lifecycle"]["preStop"]["sleep"]["seconds"]
    exit_timeout = int(argument(template, "--exit-timeout-secs"))
    assert sleep < sleep + exit_timeout < template["spec"]["terminationGracePeriodSeconds"]


@pytest.mark.parametrize("spec", EVERY_SPEC)
def test_grpc_clients_have_left_before_triton_stops_to_listen(spec: Json) -> None:
    template = template_of(spec)
    age = int(argument(template, "--grpc-max-connection-age")) / 1000  # gRPC adds up to 10 %
    assert age * 1.1 < triton(template)["lifecycle"]["preStop"]["sleep"]["seconds"]
    assert "--grpc-max-connection-age-grace" not in " ".join(triton(template)["args"])  # no call is cut off


@pytest.mark.parametrize("spec", EVERY_SPEC)
def test_readiness_asks_for_the_version_and_liveness_never_does(spec: Json) -> None:
    container = triton(template_of(spec))
    assert container["readinessProbe"]["httpGet"]["path"] == "/v2/models/resnet50/versions/7/ready"
    assert container["livenessProbe"]["httpGet"]["path"] == "/v2/health/live"
    startup = container["startupProbe"]
    timeout = spec.get("runtime", {}).get("loadTimeoutSeconds", 600)
    assert timeout <= startup["failureThreshold"] * startup["periodSeconds"] < timeout + startup["periodSeconds"]


@pytest.mark.parametrize("spec", EVERY_SPEC)
def test_every_flag_of_the_operator_is_reserved_from_users(spec: Json) -> None:
    own = [a.split("=")[0] for a in triton(template_of(spec))["args"] if a.startswith("--")]
    own = [flag for flag in own if flag not in " ".join(spec.get("runtime", {}).get("args", []))]
    assert set(own) <= set(OWNED_FLAGS)


def test_the_endpoints_that_change_a_server_want_a_key_that_no_client_knows() -> None:
    container = triton(template_of(EVERYTHING))
    restriction = "shared-memory,logging,trace:triton-operator-admin=$(TRITON_OPERATOR_ADMIN_KEY)"
    assert argument(template_of(EVERYTHING), "--http-restricted-api") == restriction
    assert argument(template_of(EVERYTHING), "--grpc-restricted-protocol") == restriction
    key = next(variable for variable in container["env"] if variable["name"] == "TRITON_OPERATOR_ADMIN_KEY")
    assert key["valueFrom"] == {"fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.uid"}}


def test_a_dollar_in_the_order_of_the_init_container_is_not_expanded() -> None:
    spec = {"model": {"name": "m", "uri": "pvc://models/$(HOME)/$PATH", "version": 1}}
    variable = prepare(template_of(spec))["env"][0]["value"]
    assert not re.search(r"(?<!\$)(\$\$)*\$(?!\$)", variable)
    order = json.loads(variable.replace("$$", "$"))
    assert order["models"][0]["uri"] == "pvc://models/$(HOME)/$PATH"


def test_tolerations_of_the_user_replace_those_of_the_operator() -> None:
    tolerations = template_of(EVERYTHING)["spec"]["tolerations"]
    unreachable = [t for t in tolerations if t["key"] == "node.kubernetes.io/unreachable"]
    assert unreachable == [{"key": "node.kubernetes.io/unreachable", "operator": "Exists", "effect": "NoExecute"}]
    assert [t["tolerationSeconds"] for t in tolerations if t["key"] == "node.kubernetes.io/not-ready"] == [60]
    assert {"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"} in tolerations


def test_the_operators_labels_win_and_the_users_annotations_do() -> None:
    metadata = template_of(EVERYTHING)["metadata"]
    assert metadata["labels"] | {LABEL_SERVICE: "vision", LABEL_REVISION: "vision-abc"} == metadata["labels"]
    assert metadata["labels"]["team"] == "vision"
    assert metadata["annotations"]["prometheus.io/scrape"] == "false"


def test_a_pod_without_gpus_sees_none() -> None:
    assert {"name": "NVIDIA_VISIBLE_DEVICES", "value": "void"} in triton(template_of(MINIMAL))["env"]
    assert "NVIDIA_VISIBLE_DEVICES" not in str(triton(template_of(EVERYTHING))["env"])


def test_gpus_are_limits_beside_the_users_own() -> None:
    resources = triton(template_of(EVERYTHING))["resources"]
    assert resources["limits"] == {"memory": "8Gi", "nvidia.com/mig-1g.10gb": "2"}
    assert resources["requests"] == {"cpu": 4, "memory": "8Gi"}


def test_variables_of_the_user_replace_those_of_the_operator_and_none_stands_twice() -> None:
    environment = triton(template_of(EVERYTHING))["env"]
    assert [v["value"] for v in environment if v["name"] == "HOME"] == ["/scratch"]
    assert len({v["name"] for v in environment}) == len(environment)


def test_pull_secrets_of_the_user_and_of_the_operator_stand_once_each() -> None:
    assert template_of(EVERYTHING)["spec"]["imagePullSecrets"] == [{"name": "registry"}, {"name": "mirror"}]


def test_an_openshift_cluster_chooses_users_and_groups_itself() -> None:
    security = template_of(SPECS["openshift"])["spec"]["securityContext"]
    assert not set(security) & {"runAsUser", "fsGroup", "fsGroupChangePolicy"}


@pytest.mark.parametrize(
    ("level", "flags"),
    [
        pytest.param("Error", ("1", "0", "0", "0"), id="error"),
        pytest.param("Warning", ("1", "1", "0", "0"), id="warning"),
        pytest.param("Info", ("1", "1", "1", "0"), id="info"),
        pytest.param("Verbose", ("1", "1", "1", "1"), id="verbose"),
    ],
)
def test_the_log_level_becomes_tritons_switches(level: str, flags: tuple[str, ...]) -> None:
    template = template_of(with_runtime(log={"level": level, "format": "Default"}))
    assert tuple(argument(template, f"--log-{name}") for name in ("error", "warning", "info", "verbose")) == flags
    assert argument(template, "--log-format") == "default"


def test_the_order_of_shutdown_stands_in_constants_that_fit_each_other() -> None:
    assert pod.GRPC_CONNECTION_AGE_MILLISECONDS * 1.1 / 1000 + pod.PROXY_SECONDS < pod.PRE_STOP_SECONDS
    assert pod.PRE_STOP_SECONDS + pod.EXIT_TIMEOUT_SECONDS < pod.GRACE_SECONDS
    assert pod.PRE_STOP_SECONDS + pod.SHORT_EXIT_TIMEOUT_SECONDS < pod.SHORT_GRACE_SECONDS <= 25


def argument(template: Json, flag: str) -> str:
    values = [a.split("=", 1)[1] for a in triton(template)["args"] if a.startswith(f"{flag}=")]
    assert len(values) == 1
    return str(values[0])


@pytest.mark.parametrize("spec", EVERY_SPEC)
def test_a_real_tritonserver_knows_every_flag(spec: Json) -> None:
    known = set(re.findall(r"^  (--[a-z-]+)", HELP.read_text(encoding="utf-8"), flags=re.MULTILINE))
    given = {a.split("=")[0] for a in triton(template_of(spec))["args"] if a.startswith("--")}
    assert given <= known


def test_every_reserved_flag_is_one_of_tritonserver_or_of_a_later_one() -> None:
    known = set(re.findall(r"^  (--[a-z-]+)", HELP.read_text(encoding="utf-8"), flags=re.MULTILINE))
    assert set(OWNED_FLAGS) - known <= {"--allow-client-shm"}  # since 26.05


def with_scratch(**scratch: Any) -> Json:
    model = {"name": "resnet50", "uri": "s3://models/resnet50", "version": 7}
    return {"model": model | ({"scratch": scratch} if scratch else {}), "gpu": {"count": 1}}


def models_volume(template: Json) -> Json:
    return next(v for v in template["spec"]["volumes"] if v["name"] == "models")


def volume_bytes(template: Json) -> int | None:
    variables = {v["name"]: v["value"] for v in prepare(template)["env"]}
    return int(variables[VOLUME_BYTES]) if VOLUME_BYTES in variables else None


def test_without_scratch_a_model_may_take_what_the_node_has() -> None:
    template = template_of(with_scratch())
    assert models_volume(template) == {"name": "models", "emptyDir": {}}
    assert volume_bytes(template) is None
    assert "ephemeral-storage" not in str(prepare(template)["resources"])


def test_a_size_bounds_the_volume_and_is_asked_of_the_node() -> None:
    template = template_of(with_scratch(size="50Gi"))
    assert models_volume(template) == {"name": "models", "emptyDir": {"sizeLimit": "50Gi"}}
    assert volume_bytes(template) == 50 * 2**30
    assert prepare(template)["resources"]["requests"]["ephemeral-storage"] == "50Gi"
    assert "ephemeral-storage" not in str(triton(template)["resources"])


def test_a_storage_class_makes_a_volume_for_each_pod_and_nothing_is_asked_of_the_node() -> None:
    template = template_of(with_scratch(size="1.5Ti", storageClassName="fast"))
    claim = {
        "accessModes": ["ReadWriteOnce"],
        "storageClassName": "fast",
        "resources": {"requests": {"storage": "1.5Ti"}},
    }
    assert models_volume(template) == {
        "name": "models",
        "ephemeral": {"volumeClaimTemplate": {"spec": claim}},
    }
    assert volume_bytes(template) == 3 * 2**39
    assert "ephemeral-storage" not in str(prepare(template)["resources"])
    assert restricted(template) == []


@pytest.mark.parametrize(
    "size", ["1", "512Mi", "50Gi", "1.5Gi", "2Ti", "100M", "3G", "0.5T", "750k", "2500m", "64Ki", "1Pi", "1E"]
)
def test_sizes_are_read_as_kubernetes_reads_them(size: str) -> None:
    assert volume_bytes(template_of(with_scratch(size=size))) == int(parse_quantity(size))


def test_each_model_runs_on_what_it_asks_for() -> None:
    model = {
        "name": "ensemble",
        "uri": "s3://models/ensemble",
        "version": 1,
        "dependencies": [
            {"name": "tokenizer", "version": 1, "instanceKind": "KIND_CPU"},
            {"name": "encoder", "version": 2},
            {"name": "ranker", "version": 3, "instanceKind": "KIND_GPU"},
        ],
    }

    def kinds(gpus: int) -> dict[str, str | None]:
        template = template_of({"model": model, "gpu": {"count": gpus}})
        variables = {v["name"]: v["value"] for v in prepare(template)["env"]}
        return {m["name"]: m["kind"] for m in json.loads(variables[ORDER])["models"]}

    assert kinds(1) == {
        "ensemble": "KIND_GPU",
        "tokenizer": "KIND_CPU",
        "encoder": "KIND_GPU",
        "ranker": "KIND_GPU",
    }
    assert kinds(0) == {"ensemble": None, "tokenizer": "KIND_CPU", "encoder": None, "ranker": "KIND_GPU"}
