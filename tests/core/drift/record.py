"""Record what a real API server makes of our children: `KUBECONFIG=… python -m tests.core.drift.record`.

It applies one child of each kind as the operator does, lets others change it, and writes what was live after each act
to recorded.json, which test_drift.py reads. It needs kubectl, and a cluster without the controllers of Deployments.
"""

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml

from triton_operator.api.names import FIELD_MANAGER
from triton_operator.core.drift import stamped

Json = dict[str, Any]
RECORDED = Path(__file__).with_name("recorded.json")
GOLDEN = Path(__file__).parents[2] / "resources" / "golden" / "everything.yaml"
NAMESPACE = "models"


def kubectl(*arguments: str, given: Json | None = None) -> str:
    command = ["kubectl", "--namespace", NAMESPACE, *arguments]
    text = None if given is None else json.dumps(given)
    return subprocess.run(command, input=text, check=True, capture_output=True, text=True).stdout


def apply(body: Json, *, manager: str = FIELD_MANAGER, force: bool = True) -> None:
    kubectl("apply", "--server-side", f"--force-conflicts={force}", f"--field-manager={manager}", "-f-", given=body)


def patch(kind: str, change: Json | list[Json], *options: str) -> Callable[[Json], None]:
    """Change an object as a person with kubectl does."""
    type_ = "json" if isinstance(change, list) else "merge"

    def act(body: Json) -> None:
        name = body["metadata"]["name"]
        kubectl("patch", kind, name, f"--type={type_}", "-p", json.dumps(change), *options)

    return act


def scale(body: Json) -> None:
    kubectl("scale", "deployment", body["metadata"]["name"], "--replicas=9")


def restart(body: Json) -> None:
    kubectl("rollout", "restart", f"deployment/{body['metadata']['name']}")


def another(change: Json) -> Callable[[Json], None]:
    """Let another manager apply some fields by force."""

    def act(body: Json) -> None:
        identity = {"apiVersion": body["apiVersion"], "kind": body["kind"]}
        metadata = {"name": body["metadata"]["name"]} | change.get("metadata", {})
        apply(identity | change | {"metadata": metadata}, manager="somebody")

    return act


def as_applied(_: Json) -> None:
    """Leave it as it is."""


ARGS = [{"op": "replace", "path": "/spec/template/spec/containers/0/args/1", "value": "--model-repository=/evil"}]
NO_PROBE = [{"op": "remove", "path": "/spec/template/spec/containers/0/readinessProbe"}]
NO_LABEL = [{"op": "remove", "path": "/metadata/labels/app.kubernetes.io~1managed-by"}]
NO_TOLERATION = [{"op": "remove", "path": "/spec/template/spec/tolerations/0"}]
NO_PORT = [{"op": "remove", "path": "/spec/ports/1"}]
OTHER_SELECTOR = {"spec": {"selector": {"app": "other"}}}
STATUS = {"status": {"replicas": 1, "readyReplicas": 1}}
IMAGE = [{"op": "replace", "path": "/spec/template/spec/containers/0/image", "value": "evil"}]
SIDECAR = {"op": "add", "path": "/spec/template/spec/containers/-", "value": {"name": "mesh", "image": "proxy"}}

# kind, act, what happens, whether the child then still is as applied
CASES: tuple[tuple[str, str, Callable[[Json], None], bool], ...] = (
    ("Deployment", "nothing", as_applied, True),
    ("Service", "nothing", as_applied, True),
    ("PodDisruptionBudget", "nothing", as_applied, True),
    ("ConfigMap", "nothing", as_applied, True),
    ("Deployment", "its status is written", patch("deployment", STATUS, "--subresource=status"), True),
    ("Deployment", "somebody adds an annotation", patch("deployment", {"metadata": {"annotations": {"a": "b"}}}), True),
    ("Deployment", "a mesh adds a container", patch("deployment", [SIDECAR]), True),
    ("Deployment", "it is restarted by kubectl", restart, True),
    (
        "Deployment",
        "somebody else applies the same label",
        another({"metadata": {"labels": {"app.kubernetes.io/managed-by": "triton-operator"}}}),
        True,
    ),
    (
        "Deployment",
        "somebody else applies another label",
        another({"metadata": {"labels": {"app.kubernetes.io/managed-by": "other"}}}),
        False,
    ),
    ("Deployment", "somebody scales it", scale, False),
    ("Deployment", "an argument is changed", patch("deployment", ARGS), False),
    ("Deployment", "the image is changed", patch("deployment", IMAGE), False),
    ("Deployment", "a probe is removed", patch("deployment", NO_PROBE), False),
    ("Deployment", "a toleration is removed", patch("deployment", NO_TOLERATION), False),
    ("Deployment", "a label is removed", patch("deployment", NO_LABEL), False),
    ("Deployment", "the fingerprint is removed", patch("deployment", {"metadata": {"annotations": None}}), False),
    ("Service", "the selector gets a key more", patch("service", OTHER_SELECTOR), False),
    (
        "Service",
        "the selector loses our keys",
        patch("service", [{"op": "replace", "path": "/spec/selector", "value": {"app": "other"}}]),
        False,
    ),
    ("Service", "a port is removed", patch("service", NO_PORT), False),
    (
        "Service",
        "a port is moved",
        patch("service", [{"op": "replace", "path": "/spec/ports/0/targetPort", "value": 9}]),
        False,
    ),
    ("PodDisruptionBudget", "it forbids evictions", patch("pdb", {"spec": {"maxUnavailable": 0}}), False),
    ("ConfigMap", "its text is changed", patch("configmap", {"data": {"record.json": "x"}}), False),
)


def main() -> None:
    subprocess.run(["kubectl", "create", "namespace", NAMESPACE], check=False, capture_output=True)
    bodies: dict[str, Json] = {}
    for body in yaml.safe_load_all(GOLDEN.read_text(encoding="utf-8")):
        bodies.setdefault(body["kind"], body)
    recorded = []
    for kind, what, act, same in CASES:
        body = bodies[kind]
        kubectl("delete", kind, body["metadata"]["name"], "--ignore-not-found", "--wait")
        apply(stamped(body))
        act(body)
        live = json.loads(kubectl("get", kind, body["metadata"]["name"], "-o", "json", "--show-managed-fields"))
        kept = {key: live["metadata"][key] for key in ("annotations", "managedFields") if key in live["metadata"]}
        recorded.append({"kind": kind, "what": what, "as_applied": same, "live": {"metadata": kept}})
    text = json.dumps({"bodies": bodies, "cases": recorded}, sort_keys=True)
    RECORDED.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
