"""What others do to the objects of the operator; and, last of all: it was granted what the stories needed, no more."""

from collections import Counter

import pytest
import yaml

import history
from cluster import gateway, provider
from cluster.abilities import Ability
from cluster.permissions import compare, granted
from stories import CHART, SYSTEM, Namespace, Tell, condition, helm, model, service
from triton_operator.api import names

IDLE = {"uri": "configmap://model", "replicas": 0}  # every child, and no pod
LABELLED = (
    "controllerrevisions",
    "deployments",
    "services",
    "poddisruptionbudgets",
)  # the record when it is next written


def test_children_that_lost_their_labels_are_found_again_and_not_made_twice(namespace: Namespace) -> None:
    namespace.apply(model("model"), service("adder", **IDLE))
    _settled(namespace, "adder", version=1)
    before = _children(namespace, "adder")
    assert Counter(kind for kind, _ in before) == {
        "ConfigMap": 2, "ControllerRevision": 1, "Deployment": 1, "PodDisruptionBudget": 1, "Service": 3
    }  # fmt: skip
    for kind, name in before:
        namespace.kubectl("label", kind, name, f"{names.LABEL_MANAGED_BY}-")

    def labelled() -> bool:
        found = {
            kind
            for kind in LABELLED
            for body in namespace.listed(kind, f"!{names.LABEL_MANAGED_BY}")
            if _is_of(body, "adder")
        }
        return not found

    namespace.until(labelled, seconds=30)
    assert _children(namespace, "adder") == before
    namespace.apply(service("adder", **IDLE, version=2))
    _settled(namespace, "adder", version=2)
    namespace.until(lambda: len(namespace.listed("deployments")) == 1, seconds=30)
    after = _children(namespace, "adder")
    assert after["Service", "adder"] == before["Service", "adder"]


def test_a_name_that_is_taken_is_left_to_who_has_it(namespace: Namespace) -> None:
    taken = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "adder-record"}, "data": {"theirs": "x"}}
    namespace.apply(taken, model("model"), service("adder", **IDLE))
    namespace.wait("adder", "Stalled")
    assert namespace.get("configmap", "adder-record")["data"] == taken["data"]
    assert _children(namespace, "adder") == {}


@pytest.mark.needs(Ability.GATEWAY)
@pytest.mark.parametrize("kind", ["HTTPRoute", "GRPCRoute"])
def test_a_route_is_left_to_who_has_its_name_made_when_it_is_free_and_removed_at_last(
    namespace: Namespace, kind: str
) -> None:
    gateways = {"parentRefs": [{"name": gateway.NAME, "namespace": gateway.NAMESPACE}], "hostnames": ["a.example.com"]}
    metadata = {"name": "adder"}
    taken = {"apiVersion": "gateway.networking.k8s.io/v1", "kind": kind, "metadata": metadata, "spec": {}}
    routing = {"gateway": gateways | {"grpc": "GRPCRoute"}}
    namespace.apply(taken, model("model"), service("adder", **IDLE, routing=routing))
    namespace.wait("adder", "Stalled")
    assert condition(namespace.get("tisvc", "adder"))["reason"] == "NameConflict"
    namespace.kubectl("delete", f"{kind}/adder")
    namespace.until(lambda: namespace.listed("httproutes") and namespace.listed("grpcroutes"), seconds=60)
    namespace.wait("adder", "Ready")
    namespace.apply(service("adder", **IDLE))
    namespace.until(lambda: not namespace.listed("httproutes") and not namespace.listed("grpcroutes"))


def test_a_monitor_is_left_to_who_has_its_name_and_made_when_it_is_free(namespace: Namespace) -> None:
    monitor = {"metadata": {"name": "adder-metrics"}, "spec": {"selector": {}, "podMetricsEndpoints": []}}
    taken = {"apiVersion": "monitoring.coreos.com/v1", "kind": "PodMonitor"} | monitor
    namespace.apply(taken, model("model"), service("adder", **IDLE))
    namespace.wait("adder", "Stalled")
    assert condition(namespace.get("tisvc", "adder"))["reason"] == "NameConflict"
    assert not namespace.get("podmonitor", "adder-metrics")["spec"]["podMetricsEndpoints"]
    namespace.kubectl("delete", "podmonitor/adder-metrics")
    namespace.wait("adder", "Ready")
    assert namespace.get("podmonitor", "adder-metrics")["spec"]["podMetricsEndpoints"]


def test_former_revisions_are_kept_but_not_for_ever(namespace: Namespace) -> None:
    namespace.apply(model("model"), service("adder", **IDLE))
    first = _settled(namespace, "adder", version=1)
    for version in range(2, 13):
        namespace.apply(model("model", add=version), service("adder", **IDLE, version=version))
        _settled(namespace, "adder", version=version)
    kept = {body["metadata"]["name"] for body in namespace.listed("controllerrevisions")}
    assert len(kept) == 10
    assert first not in kept
    copies = [body for body in namespace.listed("configmaps") if body.get("immutable")]
    assert len(copies) == 10  # each has its own content


@pytest.mark.serial
def test_a_lease_that_somebody_deleted_is_made_anew(cluster: provider.Cluster, namespace: Namespace) -> None:
    where = ("lease", "triton-operator", f"--namespace={SYSTEM}")
    uid = ("get", *where, "--output=jsonpath={.metadata.uid}", "--ignore-not-found")
    before = cluster.kubectl(*uid)
    cluster.kubectl("delete", *where)
    namespace.until(lambda: cluster.kubectl(*uid) not in ("", before), seconds=60)
    namespace.apply(model("model"), service("adder", **IDLE))
    _settled(namespace, "adder", version=1)


@pytest.mark.afterwards
def test_the_operator_may_do_exactly_what_it_has_done(cluster: provider.Cluster, tell: Tell) -> None:
    told = history.read(cluster)
    assert told, "no story has been told yet: run the others before"
    asked = cluster.audit(since=told.begun)
    if asked is None:
        pytest.skip("the API server of a given cluster does not tell us what it was asked")
    made = [request for request in asked if told.counts(request.at, allowed=request.allowed)]
    rendered = helm(cluster, "template", "triton-operator", CHART, "--namespace", SYSTEM)
    objects = [body for body in yaml.safe_load_all(rendered) if body]
    account = f"system:serviceaccount:{SYSTEM}:triton-operator"
    found = compare(
        granted(objects, account="triton-operator"), [request for request in made if request.user == account]
    )
    tell(f"what the operator did, of what it may do:\n{found}")
    assert found.is_minimal, f"\n{found}"


def _is_of(body: dict, name: str) -> bool:
    owners = body["metadata"].get("ownerReferences", [])
    return any(owner["kind"] == "InferenceService" and owner["name"] == name for owner in owners)


def _children(namespace: Namespace, name: str) -> dict[tuple[str, str], str]:
    """The uid of each child, whatever its labels say."""
    kinds = ",".join(kind.plural for kind in names.CHILD_KINDS)
    found = [body for body in namespace.listed(kinds) if _is_of(body, name)]
    return {(body["kind"], body["metadata"]["name"]): body["metadata"]["uid"] for body in found}


def _settled(namespace: Namespace, name: str, *, version: int) -> str:
    """Wait until nothing is left to do for a version; returns its revision's name."""

    def whole() -> str | None:
        body = namespace.get("tisvc", name)
        status = body.get("status", {})
        ready = any(c["type"] == "Ready" and c["status"] == "True" for c in status.get("conditions", []))
        kept = max(namespace.listed("controllerrevisions"), key=lambda kept: kept["revision"], default=None)
        if not ready or status["observedGeneration"] != body["metadata"]["generation"] or kept is None:
            return None
        return kept["metadata"]["name"] if kept["data"]["model"]["version"] == version else None

    found: str = namespace.until(whole, seconds=30)
    return found
