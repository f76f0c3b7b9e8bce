"""What docs/threat-model.md claims, tried out."""

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from benchmarks.api import Refused
from benchmarks.services import Wish
from benchmarks.services import service as written_by_user
from cluster.permissions import Permission
from tests.api.crd_tree import nodes
from tests.api.full_spec import EVERY
from tests.api.test_random_specs import EVERY_LABEL
from tests.resolved import resolved
from triton_operator.api import names
from triton_operator.api.names import Kind
from triton_operator.api.settings import Settings
from triton_operator.api.spec import InferenceServiceSpec
from triton_operator.core.resolution import copy_name
from triton_operator.core.revision import render, to_data

from .conftest import Site

Json = dict[str, Any]

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "threat-model.md").read_text(encoding="utf-8")
SECRET = Kind("", "v1", "Secret", "secrets")
QUOTA = Kind("", "v1", "ResourceQuota", "resourcequotas")
RESTRICTED = {"pod-security.kubernetes.io/enforce": "restricted"}
cluster = pytest.mark.cluster
in_module = pytest.mark.asyncio(loop_scope="module")

# Every field of a pod that leads out of it, or to more than the restricted standard allows.
OUTWARD = {
    "allowPrivilegeEscalation", "automountServiceAccountToken", "capabilities", "command", "containers", "csi",
    "ephemeralContainers", "hostAliases", "hostIPC", "hostNetwork", "hostPID", "hostPath", "hostPort", "hostUsers",
    "hostname", "initContainers", "iscsi", "nfs", "nodeName", "privileged", "procMount", "projected",
    "resourceClaims", "seccompProfile", "serviceAccountToken", "setHostnameAsFQDN", "shareProcessNamespace", "sysctls",
    "volumeDevices",
}  # fmt: skip


def test_no_field_of_a_service_leads_out_of_its_pod() -> None:
    fields = {re.split(r"[.\[{]", path.rstrip("[]{}"))[-1] for path, _ in nodes() if path.startswith("spec.")}
    assert len(fields) > 60
    assert fields & OUTWARD == set()


def test_every_source_of_a_volume_is_of_the_namespace() -> None:
    sources = {path.split(".")[3] for path, _ in nodes() if path.startswith("spec.runtime.volumes[].")}
    assert sources == {"name", "configMap", "secret", "emptyDir", "persistentVolumeClaim"}


def test_every_text_list_map_and_number_of_a_spec_has_a_bound() -> None:
    for path, node in nodes():
        if path.startswith("spec.") and not node.get("enum") and not node.get("x-kubernetes-int-or-string"):
            kind = "map" if "additionalProperties" in node else node.get("type", "")
            bound = {"string": "maxLength", "array": "maxItems", "map": "maxProperties", "integer": "maximum"}.get(kind)
            assert bound is None or bound in node, path


def test_every_test_that_the_page_names_exists() -> None:
    named = re.findall(r"`(?:([\w/]+\.py)::)?(test_\w+)`", PAGE)
    files = [path for folder in ("tests", "e2e") for path in (ROOT / folder).rglob("test_*.py")]
    known = {test for path in files for test in re.findall(r"def (test_\w+)", path.read_text(encoding="utf-8"))}
    assert len(named) > 20
    assert {test for _, test in named} - known == set()


@cluster
@in_module
async def test_the_operator_may_not_reach_beyond_its_work(site: Site) -> None:
    release = await site.install("operators-1")
    here = await site.make_namespace("tenants-1")
    for permission in (
        Permission("", "secrets", "get"),
        Permission("", "secrets", "list"),
        Permission("", "pods", "update"),
        Permission("", "pods/exec", "create"),
        Permission("", "pods/attach", "create"),
        Permission("", "pods/portforward", "create"),
        Permission("", "pods/ephemeralcontainers", "patch"),
        Permission("", "pods/proxy", "get"),
        Permission("", "serviceaccounts/token", "create"),
        Permission("", "serviceaccounts", "get"),
        Permission("rbac.authorization.k8s.io", "roles", "create"),
        Permission("rbac.authorization.k8s.io", "rolebindings", "create"),
        Permission("rbac.authorization.k8s.io", "clusterrolebindings", "create"),
        Permission("", "users", "impersonate"),
        Permission("serving.triton-operator.dev", "inferenceservices", "patch"),
        Permission("serving.triton-operator.dev", "inferenceservices", "update"),
        Permission("serving.triton-operator.dev", "inferenceservices", "delete"),
        Permission("", "persistentvolumeclaims", "get"),
        Permission("apps", "statefulsets", "create"),
        Permission("apps", "daemonsets", "create"),
        Permission("batch", "jobs", "create"),
        Permission("", "namespaces", "list"),
        Permission("", "nodes", "list"),
        Permission("", "nodes", "patch"),
        Permission("admissionregistration.k8s.io", "mutatingwebhookconfigurations", "create"),
        Permission("coordination.k8s.io", "leases", "update"),
    ):
        assert not _may(site, release.kubeconfig, permission, here), permission
    assert _may(site, release.kubeconfig, Permission("apps", "deployments", "create"), here)  # it does answer
    for name, expected in (("triton-operator", True), ("another", False)):
        lease = Permission("coordination.k8s.io", "leases", "update", name)
        assert _may(site, release.kubeconfig, lease, "operators-1") is expected


@cluster
@in_module
async def test_an_operator_of_some_namespaces_may_do_nothing_in_others(site: Site) -> None:
    here, there = await site.make_namespace("tenants-2"), await site.make_namespace("others-2")
    release = await site.install("operators-2", watch={"namespaces": [here]})
    for permission in sorted(release.permissions):
        if permission.resource != "leases":
            assert _may(site, release.kubeconfig, permission, here), permission
            assert not _may(site, release.kubeconfig, permission, there), permission


@cluster
@in_module
async def test_who_may_create_services_reaches_the_secrets_of_the_namespace_but_of_no_other(site: Site) -> None:
    release = await site.install("operators-3")
    here, there = await site.make_namespace("tenants-3"), await site.make_namespace("others-3")
    author = await _author(site, here, role="triton-operator.operators-3.edit")
    create = Permission(names.GROUP, "inferenceservices", "create")
    assert _may(site, author, create, here)
    assert not _may(site, author, create, there)
    for beyond in (
        Permission("", "secrets", "get"),
        Permission("", "pods", "create"),
        Permission("apps", "deployments", "create"),
        Permission(names.GROUP, "inferenceservices/status", "patch"),
    ):
        assert not _may(site, author, beyond, here)
    body = written_by_user(here, "taker", Wish("m"))
    body["spec"]["runtime"] |= {
        "image": "registry.example.com/anything:1",
        "args": ["--anything"],
        "serviceAccountName": "another",
        "volumes": [{"name": "keys", "secret": {"secretName": "keys"}}],
        "volumeMounts": [{"name": "keys", "mountPath": "/keys"}],
    }
    (file := site.server.folder / "taker.json").write_text(json.dumps(body))
    site.kubectl("create", "--validate=false", "-f", str(file), by=author)

    async def made() -> bool:
        return bool(await site.api.list(names.DEPLOYMENT, here))

    await site.until(made, "the operator makes the Deployment", release)
    (deployment,) = await site.api.list(names.DEPLOYMENT, here)
    pod = deployment["spec"]["template"]["spec"]
    assert pod["serviceAccountName"] == "another"
    assert pod["automountServiceAccountToken"] is False
    assert {"name": "keys", "secret": {"secretName": "keys", "defaultMode": 420}} in pod["volumes"]
    assert pod["containers"][0]["image"] == "registry.example.com/anything:1"


@cluster
@in_module
@pytest.mark.parametrize("number", range(len(EVERY)))
async def test_pods_with_every_field_in_use_are_admitted_by_restricted_pod_security(site: Site, number: int) -> None:
    here = await _namespace(site, f"restricted-{number}", RESTRICTED)
    site.kubectl("create", "serviceaccount", "models", f"--namespace={here}")
    spec = InferenceServiceSpec.model_validate(EVERY[number])
    settings = Settings.model_validate(
        {
            "prepareImage": "prepare:1",
            "tritonImage": "triton:1",
            "gpu": {"provider": "custom", "profile": EVERY_LABEL},
        }
    )
    template = render("s", spec, settings, resolved(spec), number=1).template
    for other in ("priorityClassName", "runtimeClassName"):  # they would have to exist
        template["spec"].pop(other, None)
    template["spec"]["serviceAccountName"] = "models"
    await site.api.create(names.POD, _pod(template, here))
    template["spec"]["containers"][0]["securityContext"]["allowPrivilegeEscalation"] = True
    with pytest.raises(Refused, match="violates PodSecurity"):
        await site.api.create(names.POD, _pod(template, here) | {"metadata": {"name": "other", "namespace": here}})


@cluster
@in_module
async def test_a_planted_revision_is_run_but_pod_security_judges_its_pods(site: Site) -> None:
    release = await site.install("operators-5")
    here = await _namespace(site, "restricted-5", RESTRICTED)
    body = written_by_user(here, "victim", Wish("m"))
    body["spec"]["suspend"] = True
    made = await site.api.create(names.INFERENCE_SERVICE, body)
    settings = Settings.model_validate({"prepareImage": "prepare:1", "tritonImage": "triton:1"})
    body["spec"]["runtime"]["env"].append({"name": "LATER", "value": "x"})
    spec = InferenceServiceSpec.model_validate(body["spec"] | {"suspend": False})
    content = await site.api.get(names.CONFIG_MAP, here, "model")
    resolution = replace(resolved(spec), copies=(("model", copy_name("victim", content)),))
    revision = render("victim", spec, settings, resolution, number=7)
    revision.template["spec"]["hostNetwork"] = True
    owner = {"apiVersion": names.API_VERSION, "kind": "InferenceService", "controller": True, "name": "victim"}
    labels = {names.LABEL_MANAGED_BY: names.OPERATOR, names.LABEL_SERVICE: "victim"}
    planted = {
        "apiVersion": "apps/v1",
        "kind": "ControllerRevision",
        "metadata": {
            "name": revision.name,
            "namespace": here,
            "labels": labels,
            "ownerReferences": [owner | {"uid": made["metadata"]["uid"]}],
        },
        "revision": 7,
        "data": to_data(revision),
    }
    await site.api.create(names.CONTROLLER_REVISION, planted)
    patch = {"spec": {"suspend": False, "runtime": {"env": body["spec"]["runtime"]["env"]}}}
    await site.api.merge(names.INFERENCE_SERVICE, here, "victim", patch)

    async def refused() -> bool:
        status = (await site.api.get(names.INFERENCE_SERVICE, here, "victim") or {}).get("status", {})
        return "hostNetwork" in status.get("lastFailure", {}).get("message", "")

    await site.until(refused, "Pod Security refuses the pods", release)
    assert await site.api.list(names.POD, here) == []


@cluster
@in_module
async def test_the_clusters_own_roles_of_users_write_no_controller_revisions(site: Site) -> None:
    for role in ("view", "edit", "admin"):
        rules = json.loads(site.kubectl("get", "clusterrole", f"system:aggregate-to-{role}", "--output=json"))["rules"]
        of_revisions = [rule for rule in rules if "controllerrevisions" in rule.get("resources", ())]
        assert {verb for rule in of_revisions for verb in rule["verbs"]} <= {"get", "list", "watch"}


@cluster
@in_module
async def test_a_quota_bounds_the_services_of_a_namespace(site: Site) -> None:
    here = await site.make_namespace("tenants-6")
    counted = "count/inferenceservices.serving.triton-operator.dev"
    body = {"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "services", "namespace": here}}
    await site.api.create(QUOTA, body | {"spec": {"hard": {counted: "1"}}})
    # What the quota controller of a whole cluster does.
    status = {"status": {"hard": {counted: "1"}, "used": {counted: "0"}}}
    await site.api.merge(QUOTA, here, "services", status, subresource="status")
    await site.api.create(names.INFERENCE_SERVICE, written_by_user(here, "first", Wish("m")))
    with pytest.raises(Refused, match="exceeded quota: services"):
        await site.api.create(names.INFERENCE_SERVICE, written_by_user(here, "second", Wish("m")))


def _may(site: Site, who: Path, permission: Permission, namespace: str) -> bool:
    """Let the API server say whether somebody may do something."""
    resource, _, subresource = permission.resource.partition("/")
    asked = {"group": permission.group, "resource": resource, "subresource": subresource, "verb": permission.verb}
    review = {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SelfSubjectAccessReview",
        "spec": {"resourceAttributes": asked | {"name": permission.name, "namespace": namespace}},
    }
    (file := site.server.folder / "review.json").write_text(json.dumps(review))
    answer = json.loads(site.kubectl("create", "--validate=false", "-f", str(file), "--output=json", by=who))
    allowed: bool = answer["status"]["allowed"]
    return allowed


async def _author(site: Site, namespace: str, *, role: str) -> Path:
    """Somebody who has one of the chart's roles for users in a namespace, and nothing else."""
    rendered = site.kubectl("create", "serviceaccount", "author", f"--namespace={namespace}")
    assert rendered
    words = ("author", f"--clusterrole={role}", f"--serviceaccount={namespace}:author", f"--namespace={namespace}")
    site.kubectl("create", "rolebinding", *words)
    return site.server.kubeconfig(site.token("author", namespace), f"{namespace}-author")


async def _namespace(site: Site, name: str, labels: Json) -> str:
    await site.make_namespace(name)
    site.kubectl("label", "namespace", name, *(f"{key}={value}" for key, value in labels.items()))
    return name


def _pod(template: Json, namespace: str) -> Json:
    metadata = {"name": "pod", "namespace": namespace, "labels": template["metadata"]["labels"]}
    body: Json = yaml.safe_load(json.dumps(template["spec"]))
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": body}
