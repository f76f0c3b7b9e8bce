"""What a user lives through, on real kubelets with a real Triton."""

import json
import threading
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path

import pytest
import yaml

import history
from cluster import provider
from cluster.abilities import Ability
from cluster.processes import CommandFailed
from stories import (
    BROKEN,
    CHART,
    SYSTEM,
    Namespace,
    chart_values,
    condition,
    helm,
    install,
    kill,
    model,
    operators,
    restarts,
    service,
)

CRD = "inferenceservices.serving.triton-operator.dev"
UPGRADE = ("--namespace", SYSTEM, "--wait", "--timeout", "120s")


def test_a_model_is_applied_served_scaled_suspended_resumed_and_deleted(
    namespace: Namespace, images: provider.Images
) -> None:
    namespace.start_caller(images.operator.by_content)
    namespace.apply(model("model"), service("adder", uri="configmap://model", replicas=2))
    ready = namespace.wait("adder", "Ready")
    assert ready["status"]["observedGeneration"] == ready["metadata"]["generation"]
    assert len(namespace.pods("adder")) == 2

    namespace.reach("adder")
    answers = namespace.call("adder", count=10)
    assert answers == {"http": [n + 1 for n in range(10)], "grpc": [n + 1 for n in range(10)], "failures": []}
    by_headless = namespace.call("adder-headless", count=2)
    assert by_headless == {"http": [1, 2], "grpc": [1, 2], "failures": []}

    namespace.kubectl("scale", "tisvc/adder", "--replicas=3")
    scaled = namespace.wait("adder", "Ready")
    assert scaled["status"]["readyReplicas"] == 3
    scale = namespace.kubectl("get", "--raw", _scale_path(namespace, "adder"))
    assert '"replicas":3' in scale.split('"status"')[1]
    # An autoscaler of Kubernetes' own goes by the same: it needs no metrics to keep to its bounds.
    namespace.kubectl("autoscale", "tisvc/adder", "--min=1", "--max=2", "--cpu=50%")
    namespace.until(lambda: namespace.get("tisvc", "adder")["spec"]["replicas"] == 2)
    scaled = namespace.wait("adder", "Ready")
    assert scaled["status"]["readyReplicas"] == 2
    (hpa,) = namespace.listed("horizontalpodautoscalers")
    able = next(each for each in hpa["status"]["conditions"] if each["type"] == "AbleToScale")
    assert able["status"] == "True"
    namespace.kubectl("delete", "hpa/adder")

    namespace.kubectl("patch", "tisvc/adder", "--type=merge", "--patch", '{"spec": {"suspend": true}}')
    suspended = namespace.wait("adder", "Suspended")
    namespace.wait("adder", "Ready")
    assert suspended["status"]["phase"] == "Suspended"
    assert namespace.listed("pods", "serving.triton-operator.dev/service=adder") == []
    assert {s["metadata"]["name"] for s in namespace.listed("services")} >= {"adder", "adder-headless"}

    namespace.kubectl("patch", "tisvc/adder", "--type=merge", "--patch", '{"spec": {"suspend": false}}')
    resumed = namespace.wait("adder", "Ready")
    assert resumed["status"]["stable"] == scaled["status"]["stable"]
    namespace.reach("adder")
    assert namespace.call("adder", value=5) == {"http": [6], "grpc": [6], "failures": []}

    namespace.kubectl("delete", "tisvc/adder")
    kinds = "deployments,replicasets,services,poddisruptionbudgets,controllerrevisions,configmaps,pods"
    namespace.until(lambda: not _of_service(namespace, kinds, "adder"), seconds=90)


def test_a_deleted_pod_comes_back_and_no_request_fails_meanwhile(namespace: Namespace, images: provider.Images) -> None:
    namespace.start_caller(images.operator.by_content)
    namespace.apply(model("model"), service("adder", uri="configmap://model", replicas=2))
    namespace.wait("adder", "Ready")
    namespace.reach("adder")
    first, _ = namespace.pods("adder")
    namespace.kubectl("delete", "pod", first["metadata"]["name"], "--wait=false")
    answers = namespace.call("adder", count=20)
    assert answers["failures"] == []
    namespace.until(lambda: first["metadata"]["name"] not in _names(namespace.pods("adder")))
    namespace.until(lambda: condition(namespace.get("tisvc", "adder"), "Ready")["status"] == "True")
    assert len(namespace.pods("adder")) == 2


@pytest.mark.needs(Ability.PROCESSES)
def test_a_triton_that_is_killed_is_told_of_and_comes_back_in_its_pod(
    cluster: provider.Cluster, namespace: Namespace, images: provider.Images
) -> None:
    namespace.start_caller(images.operator.by_content)
    namespace.apply(model("model"), service("adder", uri="configmap://model", replicas=2))
    namespace.wait("adder", "Ready")
    namespace.reach("adder")
    pods = {pod["metadata"]["uid"]: restarts(pod) for pod in namespace.pods("adder")}
    victim = namespace.pods("adder")[0]
    with namespace.answers("adder", value=1) as seen:
        kill(cluster, victim, "triton")
        namespace.until(lambda: namespace.told("adder", "ContainerExited"))
        namespace.wait("adder", "Ready")
        namespace.until(lambda: seen[2.0])
    assert "container triton exited with code 137: " in namespace.told("adder", "ContainerExited")[0]
    assert condition(namespace.get("tisvc", "adder"), "Available")["status"] == "True"
    after = {pod["metadata"]["uid"]: restarts(pod) for pod in namespace.pods("adder")}
    assert after == pods | {victim["metadata"]["uid"]: 1}
    namespace.reach("adder")
    assert namespace.call("adder", count=20)["failures"] == []


def test_a_new_version_takes_over_without_a_failed_request(namespace: Namespace, images: provider.Images) -> None:
    namespace.start_caller(images.operator.by_content)
    namespace.apply(model("one", add=1), model("two", add=2), service("adder", uri="configmap://one", replicas=2))
    before = namespace.wait("adder", "Ready")
    namespace.reach("adder")
    answers: list[dict] = []
    over = threading.Event()

    def load() -> None:
        while not over.is_set():
            answers.append(namespace.call("adder", value=0, count=20))

    caller = threading.Thread(target=load)
    caller.start()
    try:
        namespace.apply(service("adder", uri="configmap://two", version=2, replicas=2))
        after = namespace.wait("adder", "Ready")
    finally:
        over.set()
        caller.join()
    assert [failure for answer in answers for failure in answer["failures"]] == []
    seen = Counter(value for answer in answers for value in answer["http"] + answer["grpc"])
    assert set(seen) == {1, 2}
    assert namespace.call("adder", value=0) == {"http": [2], "grpc": [2], "failures": []}
    assert after["status"]["stable"]["version"] == 2
    assert after["status"]["stable"]["name"] != before["status"]["stable"]["name"]
    deployments = namespace.listed("deployments")
    assert _names(deployments) == {after["status"]["stable"]["name"]}


def test_a_bad_model_beside_a_good_one_is_told_exactly_and_mended_by_a_new_spec(
    namespace: Namespace, images: provider.Images
) -> None:
    namespace.start_caller(images.operator.by_content)
    namespace.apply(
        model("good"),
        model("broken", code=BROKEN),
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "empty"}, "data": {"config.pbtxt": "name: 'x'"}},
        service("good", uri="configmap://good"),
        service("broken", uri="configmap://broken"),
        service("empty", uri="configmap://empty"),
        service("missing", uri="configmap://nowhere"),
    )
    namespace.wait("good", "Ready")
    empty = namespace.wait("empty", "Stalled")
    assert condition(empty, "Ready")["reason"] == "BadLayout"
    namespace.failure("broken", "ContainerExited", "the weights are missing")
    namespace.failure("missing", "ConfigMapMissing", "the ConfigMap nowhere, which the spec names, does not exist")
    namespace.warned("broken", "ContainerExited")
    namespace.reach("good")
    assert namespace.call("good", value=1) == {"http": [2], "grpc": [2], "failures": []}

    # A bad spec does not touch what serves.
    namespace.apply(service("good", uri="configmap://broken"))
    namespace.failure("good", "ContainerExited", "the weights are missing")
    assert namespace.call("good", value=1, count=5)["failures"] == []

    for name in ("good", "broken", "empty", "missing"):
        namespace.apply(service(name, uri="configmap://good"))
    for name in ("good", "broken", "empty", "missing"):
        body = namespace.wait(name, "Ready")
        assert "lastFailure" not in body["status"]


def test_two_services_of_one_name_in_two_namespaces_are_strangers(
    namespace: Namespace, other_namespace: Namespace, images: provider.Images
) -> None:
    namespace.start_caller(images.operator.by_content)
    namespace.apply(model("model", add=10), service("adder", uri="configmap://model"))
    other_namespace.apply(model("model", add=20), service("adder", uri="configmap://model"))
    namespace.wait("adder", "Ready")
    other_namespace.wait("adder", "Ready")
    namespace.reach("adder")
    namespace.reach("adder", namespace=other_namespace.name)
    assert namespace.call("adder", value=1)["grpc"] == [11]
    assert namespace.call("adder", value=1, namespace=other_namespace.name)["grpc"] == [21]
    other_namespace.kubectl("delete", "tisvc/adder")
    assert namespace.call("adder", value=1)["http"] == [11]


@pytest.mark.needs(Ability.GPUS)
def test_gpus_are_asked_for_and_a_model_that_stays_on_the_cpu_is_reported(
    cluster: provider.Cluster, namespace: Namespace
) -> None:
    cluster.gpu_pool()
    namespace.apply(
        model("on-cpu", more="instance_group [ { kind: KIND_CPU } ]"),
        model("open"),
        service("on-cpu", uri="configmap://on-cpu", gpus=2),
        service("on-gpu", uri="configmap://open", gpus=1),
        service("greedy", uri="configmap://open", gpus=50),
    )
    namespace.wait("on-cpu", "Ready")
    namespace.wait("on-cpu", "ServesOnCPU")
    (pod,) = namespace.pods("on-cpu")
    triton = next(c for c in pod["spec"]["containers"] if c["name"] == "triton")
    assert triton["resources"]["limits"]["nvidia.com/gpu"] == "2"
    # No GPU is really there: that the load fails with these words shows that the operator set the kind.
    namespace.failure("on-gpu", "ContainerExited", "KIND_GPU")
    namespace.failure("greedy", "InsufficientGPU", "Insufficient nvidia.com/gpu")


def test_a_claim_is_served_and_a_repository_root_is_refused_with_the_right_uri(
    namespace: Namespace, images: provider.Images
) -> None:
    namespace.start_caller(images.operator.by_content)
    namespace.apply(
        {
            "apiVersion": "v1",
            "kind": "PersistentVolumeClaim",
            "metadata": {"name": "models"},
            "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "10Mi"}}},
        }
    )
    _fill(namespace, images.operator.by_content)
    namespace.apply(
        service("adder", uri="pvc://models/vision/adder", version=7),
        service("root", uri="pvc://models/vision", version=7),
        service("gone", uri="pvc://models/vision/adder", version=8),
    )
    namespace.wait("adder", "Ready")
    namespace.reach("adder")
    assert namespace.call("adder", value=1) == {"http": [8], "grpc": [8], "failures": []}
    root = namespace.wait("root", "Stalled")
    assert condition(root, "Ready")["reason"] == "BadLayout"
    assert "pvc://models/vision/adder" in condition(root, "Ready")["message"]
    gone = namespace.wait("gone", "Stalled")
    assert condition(gone, "Ready")["reason"] == "NoVersions"
    assert "7" in condition(gone, "Ready")["message"]


@pytest.mark.serial
@pytest.mark.needs(Ability.PROCESSES)
def test_an_operator_killed_in_mid_apply_leaves_nothing_half_done(
    cluster: provider.Cluster, namespace: Namespace, fresh_operator: None
) -> None:
    count = 6
    namespace.apply(model("model"))
    for round_ in range(3):
        cluster.kubectl("rollout", "status", "deployment/triton-operator", f"--namespace={SYSTEM}", "--timeout=90s")
        victims = operators(cluster)
        assert len(victims) == 2
        namespace.apply(*(service(f"s{n}", uri="configmap://model", version=1 + round_) for n in range(count)))
        for pod in victims:  # while they are at it
            kill(cluster, pod, "operator")
        killed = {pod["metadata"]["uid"]: restarts(pod) for pod in victims}

        def started_again(killed: dict[str, int] = killed) -> bool:
            now = {pod["metadata"]["uid"]: restarts(pod) for pod in operators(cluster)}
            return now == {uid: count + 1 for uid, count in killed.items()}

        namespace.until(started_again)
    for n in range(count):
        body = namespace.wait(f"s{n}", "Ready")
        assert body["status"]["stable"]["version"] == 3
    assert len(namespace.listed("deployments")) == count
    assert len(namespace.listed("services")) == 3 * count
    assert len(namespace.listed("poddisruptionbudgets")) == count


@pytest.mark.serial
def test_an_operator_that_is_upgraded_and_rolled_back_restarts_no_pod(
    cluster: provider.Cluster, namespace: Namespace, images: provider.Images, tmp_path: Path
) -> None:
    # The release before: the chart under an older version, with images of other names and other settings.
    helm(cluster, "package", CHART, "--version", "0.0.9", "--app-version", "0.0.9", "--destination", tmp_path)
    older = chart_values(images.operator.stable, images.triton.stable)
    (package,) = tmp_path.glob("*.tgz")
    other = ("--set", "log.format=text", "--set", "podMonitor.enabled=false")
    spoilt = chart_values(images.operator.stable, f"{images.triton.stable.rpartition(':')[0]}:absent")
    helm(cluster, "upgrade", "triton-operator", package, *UPGRADE, *spoilt, *other)
    namespace.apply(model("model"), service("adder", uri="configmap://model", replicas=2))
    namespace.failure("adder", "ImagePullFailed", ":absent of container triton cannot be pulled: ")
    helm(cluster, "upgrade", "triton-operator", package, *UPGRADE, *older, *other)  # the value is corrected, no more
    namespace.wait("adder", "Ready")
    before = {pod["metadata"]["uid"]: restarts(pod) for pod in namespace.pods("adder")}
    generation = namespace.listed("deployments")[0]["metadata"]["generation"]

    def chart() -> str:
        (operator,) = namespace.cluster_deployments(SYSTEM)
        label: str = operator["metadata"]["labels"]["helm.sh/chart"]
        return label

    def untouched(replicas: int, *, scaled: int) -> bool:
        """Let the operator work, and say whether it has done just that."""
        namespace.kubectl("scale", "tisvc/adder", f"--replicas={replicas}")
        namespace.wait("adder", "Ready")
        after = {pod["metadata"]["uid"]: restarts(pod) for pod in namespace.pods("adder")}
        (deployment,) = namespace.listed("deployments")
        images_of_pods = {c["image"] for c in deployment["spec"]["template"]["spec"]["containers"]}
        assert images_of_pods == {images.triton.stable}  # frozen when the revision was made
        assert deployment["metadata"]["generation"] == generation + scaled
        return len(after) == replicas and before.items() <= after.items()

    newer = chart_values(images.operator.by_content, images.triton.by_content)
    helm(cluster, "upgrade", "triton-operator", CHART, *UPGRADE, *newer)
    assert chart() != "triton-operator-0.0.9"
    assert untouched(3, scaled=1)
    assert namespace.listed("podmonitors")

    helm(cluster, "rollback", "triton-operator", *UPGRADE)
    assert chart() == "triton-operator-0.0.9"
    assert untouched(4, scaled=2)
    assert not namespace.listed("podmonitors")

    helm(cluster, "rollback", "triton-operator", *UPGRADE)  # as it was before that
    assert chart() != "triton-operator-0.0.9"
    assert untouched(5, scaled=3)


@pytest.mark.serial
def test_an_uninstalled_operator_leaves_what_serves_to_the_next_one(
    cluster: provider.Cluster, namespace: Namespace, images: provider.Images
) -> None:
    namespace.start_caller(images.operator.by_content)
    namespace.apply(model("one"), model("two", add=2), service("adder", uri="configmap://one", replicas=2))
    first = namespace.wait("adder", "Ready")["status"]["stable"]["name"]
    namespace.reach("adder")
    before = {pod["metadata"]["uid"]: restarts(pod) for pod in namespace.pods("adder")}
    known = {kind: _uids(namespace, kind) for kind in ("deployments", "services", "poddisruptionbudgets")}
    crd = ("get", "crd", CRD, "--output=jsonpath={.metadata.uid}")
    uid = cluster.kubectl(*crd)
    begin = datetime.now(UTC)
    try:
        with namespace.answers("adder", value=1) as seen:
            helm(cluster, "uninstall", "triton-operator", "--namespace", SYSTEM, "--wait")
            gone = ("--selector=app.kubernetes.io/name=triton-operator", "--for=delete", "--timeout=60s")
            cluster.kubectl("wait", "pods", f"--namespace={SYSTEM}", *gone)
            history.without_rights(cluster, since=begin)
            assert cluster.kubectl(*crd) == uid
            assert {kind: _uids(namespace, kind) for kind in known} == known
            asked = sum(seen.values())
            namespace.until(lambda: sum(seen.values()) > asked + 20)
            # Under the same name and in the same namespace no ownership has to be taken.
            values = chart_values(images.operator.by_content, images.triton.by_content)
            helm(cluster, "install", "triton-operator", CHART, *UPGRADE, *values)
            namespace.kubectl("scale", "tisvc/adder", "--replicas=3")  # it is at work
            scaled = namespace.wait("adder", "Ready")
    finally:
        install(cluster, images)
    assert cluster.kubectl(*crd) == uid
    assert seen["failures"] == 0
    assert set(seen) == {2.0, "failures"}
    assert scaled["status"]["stable"]["name"] == first
    after = {pod["metadata"]["uid"]: restarts(pod) for pod in namespace.pods("adder")}
    assert before.items() <= after.items()
    assert len(after) == 3
    assert {kind: _uids(namespace, kind) for kind in known} == known
    namespace.apply(service("adder", uri="configmap://two", version=2, replicas=3))
    assert namespace.wait("adder", "Ready")["status"]["stable"]["version"] == 2


def test_helm_waits_until_the_model_serves_and_not_for_ever_for_a_bad_one(
    cluster: provider.Cluster, namespace: Namespace, tmp_path: Path
) -> None:
    namespace.apply(model("model"), model("broken", code=BROKEN))
    for name in ("good", "bad"):
        chart = tmp_path / name
        (chart / "templates").mkdir(parents=True)
        (chart / "Chart.yaml").write_text(f"{{apiVersion: v2, name: {name}, version: 1.0.0}}")
        body = service(name, uri="configmap://model" if name == "good" else "configmap://broken")
        (chart / "templates" / "service.yaml").write_text(yaml.safe_dump(body))
    words = ("--namespace", namespace.name, "--wait", "--timeout")
    helm(cluster, "install", "good", tmp_path / "good", *words, "90s")
    assert condition(namespace.get("tisvc", "good"), "Ready")["status"] == "True"
    with pytest.raises(CommandFailed, match="bad"):
        helm(cluster, "install", "bad", tmp_path / "bad", *words, "15s")
    for name in ("good", "bad"):
        helm(cluster, "uninstall", name, "--namespace", namespace.name)


@pytest.mark.parametrize("spec", [pytest.param({"model": {"name": "m", "uri": "s3://x/y", "version": 1}}, id="uri")])
def test_a_wrong_spec_is_refused_at_once_in_plain_words(namespace: Namespace, spec: dict) -> None:
    body = service("wrong", uri="configmap://model") | {"spec": spec}
    with pytest.raises(Exception, match=r"uri must be s3://BUCKET/path"):
        namespace.apply(body)


def _scale_path(namespace: Namespace, name: str) -> str:
    group = "serving.triton-operator.dev/v1alpha1"
    return f"/apis/{group}/namespaces/{namespace.name}/inferenceservices/{name}/scale"


def _of_service(namespace: Namespace, kinds: str, name: str) -> list[dict]:
    return namespace.listed(kinds, f"serving.triton-operator.dev/service={name}")


def _names(objects: list[dict]) -> set[str]:
    return {body["metadata"]["name"] for body in objects}


def _uids(namespace: Namespace, kind: str) -> set[str]:
    return {body["metadata"]["uid"] for body in _of_service(namespace, kind, "adder")}


def _fill(namespace: Namespace, image: str) -> None:
    """Write a model repository onto the claim, as a user's job would."""
    files = {
        "vision/adder/config.pbtxt": model("x")["data"]["config.pbtxt"],
        "vision/adder/7/model.py": model("x", add=7)["data"]["model.py"],
    }
    program = (
        "import json, pathlib, sys\n"
        "for name, text in json.loads(sys.argv[1]).items():\n"
        "    path = pathlib.Path('/data') / name\n"
        "    path.parent.mkdir(parents=True, exist_ok=True)\n"
        "    path.write_text(text)\n"
    )
    namespace.apply(
        {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": "fill"},
            "spec": {
                "restartPolicy": "Never",
                "automountServiceAccountToken": False,
                "securityContext": {
                    "runAsNonRoot": True,
                    "runAsUser": 1000,
                    "fsGroup": 1000,
                    "seccompProfile": {"type": "RuntimeDefault"},
                },
                "containers": [
                    {
                        "name": "fill",
                        "image": image,
                        "command": ["python", "-c", program, json.dumps(files)],
                        "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
                        "volumeMounts": [{"name": "data", "mountPath": "/data"}],
                    }
                ],
                "volumes": [{"name": "data", "persistentVolumeClaim": {"claimName": "models"}}],
            },
        }
    )
    namespace.kubectl("wait", "pod/fill", "--for=jsonpath={.status.phase}=Succeeded", "--timeout=60s")
