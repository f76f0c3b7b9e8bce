"""What is right and wrong in a cluster: from what was read of it to one line each.

Not for: reading it; that is `cli.examined`.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from triton_operator.api.gpu_settings import GpuProfile
from triton_operator.cli.words import count, duration, number
from triton_operator.core.times import seconds

Json = dict[str, Any]


class Mark(StrEnum):
    """What a check came to."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"
    SKIP = "skip"


@dataclass(frozen=True, slots=True)
class Check:
    """One check.

    Attributes:
        title: what was looked at.
        mark: what it came to; skip: it could not be looked at.
        message: what was found.
        remedy: what to do; "" for nothing.
    """

    title: str
    mark: Mark
    message: str
    remedy: str = ""


@dataclass(frozen=True, slots=True)
class Unanswered:
    """Why Prometheus has told nothing.

    Attributes:
        why: the cause.
        asked: whether it was asked; else it cannot be asked from here, which says nothing about it.
    """

    why: str
    asked: bool


def crd(found: Json | None, own: Json, *, served: bool) -> Check:
    """Compare the CRD of the cluster with that of this program.

    Args:
        found: the CRD; None if it may not be read, or is not there.
        own: the CRD that this program knows.
        served: whether the API server serves the kind.
    """
    title, name = "CRD", own["metadata"]["name"]
    if not served:
        return Check(title, Mark.FAIL, f"{name} is missing", "install the chart, or choose another --context")
    if found is None:
        return Check(title, Mark.OK, f"{name} is served; its fields may not be read")
    there, here = _fields(_schema(found)), _fields(_schema(own))
    if missing := sorted(here - there):
        return Check(
            title,
            Mark.WARN,
            f"it is older than this program: it has no {_some(missing)}",
            "upgrade the chart; helm leaves CRDs of a crds/ folder alone: kubectl apply --server-side -f crds/",
        )
    if more := sorted(there - here):
        return Check(title, Mark.WARN, f"it is newer than this program, which knows no {_some(more)}", "upgrade it")
    return Check(title, Mark.OK, f"{name} has the fields that this program knows")


def permissions(denied: Sequence[str], *, namespace: str) -> Check:
    """Tell what this person may not do in a namespace."""
    title = "Your permissions"
    if not denied:
        return Check(title, Mark.OK, f"you may see services in {namespace}, and ask for actions")
    remedy = "bind the role edit or view, to which the chart adds (rbac.aggregate)"
    return Check(title, Mark.WARN, f"in {namespace} you may not {', '.join(denied)}", remedy)


def operator(deployments: Sequence[Json] | None) -> Check:
    """Tell whether the operator runs; None where its Deployments may not be read."""
    title = "Operator"
    if deployments is None:
        return Check(title, Mark.SKIP, "you may not list Deployments in its namespace", "ask an administrator")
    if not deployments:
        return Check(title, Mark.FAIL, "no Deployment of it is there", "install the chart")
    told, bad = [], False
    for body in deployments:
        wanted = int(body["spec"].get("replicas", 1))
        ready = int((body.get("status") or {}).get("readyReplicas", 0))
        containers = body["spec"]["template"]["spec"]["containers"]
        place = f"{body['metadata']['namespace']}/{body['metadata']['name']}"
        told.append(f"{place}: {ready} of {count(wanted, 'pod')} ready, image {containers[0]['image']}")
        bad = bad or ready == 0
    remedy = "kubectl describe pods in its namespace tells why" if bad else ""
    return Check(title, Mark.FAIL if bad else Mark.OK, "; ".join(told), remedy)


def rights(denied: Sequence[str] | None) -> Check:
    """Tell what the operator may not do; None where that may not be asked."""
    title = "Operator's RBAC"
    if denied is None:
        return Check(title, Mark.SKIP, "you may not ask what its service account may do")
    if denied:
        remedy = "upgrade the chart: its roles are of another version, or were not made (rbac.create)"
        return Check(title, Mark.FAIL, f"it may not {', '.join(denied)}", remedy)
    return Check(title, Mark.OK, "it may do its work")


def leader(lease: Json | None, *, readable: bool, now: float) -> Check:
    """Tell whether one replica of the operator acts.

    Args:
        lease: its Lease; None if there is none.
        readable: whether it may be read.
        now: in seconds since the epoch.
    """
    title = "Leader"
    if not readable:
        return Check(title, Mark.SKIP, "you may not read Leases in the operator's namespace")
    spec = (lease or {}).get("spec") or {}
    holder = spec.get("holderIdentity")
    if not holder:
        return Check(title, Mark.FAIL, "no replica of the operator acts", "see its pods and their logs")
    since = now - seconds(spec.get("renewTime"))
    if since > 2 * int(spec.get("leaseDurationSeconds", 15)):
        told = f"{holder} was the last one, and has not renewed its Lease for {duration(since)}"
        return Check(title, Mark.FAIL, told, "see the operator's pods and their logs")
    return Check(title, Mark.OK, f"{holder} acts, heard {duration(since)} ago")


def watched(namespaces: Sequence[str], selector: str, *, namespace: str) -> Check:
    """Tell whether the operator looks at a namespace."""
    title = "Watched"
    if namespaces and namespace not in namespaces:
        told = f"it looks at {', '.join(namespaces)} only, and not at {namespace}"
        return Check(title, Mark.FAIL, told, "add the namespace to watch.namespaces of the chart")
    only = f", where services match {selector}" if selector else ""
    return Check(title, Mark.OK, f"it looks at {namespace}{only}")


def gateways(found: Mapping[str, Json | None], *, served: bool, wanted: bool) -> list[Check]:
    """Tell of the Gateways that services name.

    Args:
        found: by namespace/name; None for one that is not there, or may not be read.
        served: whether the cluster has the Gateway API.
        wanted: whether any service asks for it.
    """
    title = "Gateway"
    if not served:
        mark = Mark.FAIL if wanted else Mark.OK
        remedy = "install the CRDs of the Gateway API, and a Gateway" if wanted else ""
        return [Check(title, mark, "the cluster has no Gateway API", remedy)]
    if not wanted:
        return [Check(title, Mark.OK, "the cluster has the Gateway API; no service here asks for it")]
    checks = []
    for name, body in sorted(found.items()):
        conditions = {c["type"]: c for c in ((body or {}).get("status") or {}).get("conditions") or ()}
        programmed = conditions.get("Programmed") or {}
        if body is None:
            checks.append(Check(title, Mark.FAIL, f"{name} is not there, or may not be read", "correct parentRefs"))
        elif programmed.get("status") != "True":
            why = programmed.get("message") or "no controller has looked at it"
            checks.append(Check(title, Mark.FAIL, f"{name} is not programmed: {why}", "see kubectl describe gateway"))
        else:
            checks.append(Check(title, Mark.OK, f"{name} is programmed"))
    return checks


def grpc_stats(proxies: Mapping[str, Json | None]) -> list[Check]:
    """Tell whether proxies count which gRPC calls fail.

    Args:
        proxies: for each Gateway of Envoy Gateway its EnvoyProxy; None where it has none.
    """
    checks = []
    for name, body in sorted(proxies.items()):
        telemetry = (((body or {}).get("spec") or {}).get("telemetry") or {}).get("metrics") or {}
        if telemetry.get("enableGRPCStats"):
            checks.append(Check("gRPC stats", Mark.OK, f"the proxies of {name} count which gRPC calls fail"))
        else:
            remedy = "set telemetry.metrics.enableGRPCStats: true in its EnvoyProxy"
            checks.append(
                Check("gRPC stats", Mark.WARN, f"the proxies of {name} do not count failed gRPC calls", remedy)
            )
    return checks


def prometheus(url: str | None, series: Mapping[str, float | None] | Unanswered) -> list[Check]:
    """Tell whether the operator's Prometheus answers, and has what is judged by.

    Args:
        url: the operator's setting; None if it may not be read.
        series: how many series there are of what, by its name; or why that is not known.
    """
    title = "Prometheus"
    if url is None:
        return [Check(title, Mark.SKIP, "the operator's settings may not be read")]
    if not url:
        told = "prometheus.url is empty: canaries are judged by Triton's own counters, which miss crashes"
        return [Check(title, Mark.WARN, told, "set prometheus.url of the chart")]
    if isinstance(series, Unanswered):
        if series.asked:
            return [
                Check(title, Mark.FAIL, f"{url} does not answer: {series.why}", "correct prometheus.url of the chart")
            ]
        return [Check(title, Mark.SKIP, f"{url} could not be asked from here: {series.why}")]
    checks = [Check(title, Mark.OK, f"{url} answers")]
    for what, amount in series.items():
        if amount:
            checks.append(Check("Scraping", Mark.OK, f"{number(int(amount))} series of {what}"))
        else:
            remedy = "see docs/monitoring.md for what Prometheus must scrape"
            checks.append(Check("Scraping", Mark.WARN, f"no series of {what}", remedy))
    return checks


def gpus(nodes: Sequence[Json] | None, profile: GpuProfile, *, wanted: bool) -> Check:
    """Tell of the nodes with GPUs, and whether their labels tell what they have.

    Args:
        nodes: all nodes; None if they may not be read.
        profile: by which labels and resources the operator tells GPUs apart.
        wanted: whether any service asks for GPUs.
    """
    title = "GPU nodes"
    if nodes is None:
        return Check(title, Mark.SKIP, "you may not list nodes")
    held: Counter[str] = Counter()
    bare: list[str] = []
    for node in nodes:
        amount = sum(_amount(value) for name, value in _resources(node) if _is_gpu(name, profile))
        if amount:
            product = (node["metadata"].get("labels") or {}).get(profile.productLabel, "")
            held[product or "unnamed"] += amount
            bare += [node["metadata"]["name"]] if profile.productLabel and not product else []
    if not held:
        remedy = "add nodes with GPUs and NVIDIA's device plugin" if wanted else ""
        zero = "; the provider may start some for pods" if profile.scalesFromZero else ""
        mark = Mark.WARN if wanted else Mark.OK
        return Check(title, mark, f"no node has {profile.resourceName}{zero}", remedy)
    told = ", ".join(f"{amount} × {product}" for product, amount in sorted(held.items()))
    if bare:
        remedy = "spec.gpu.products finds no such node: install GPU Feature Discovery, or correct gpu.provider"
        return Check(title, Mark.WARN, f"{told}; without the label {profile.productLabel}: {_some(bare)}", remedy)
    return Check(title, Mark.OK, told)


def _schema(body: Json) -> Json:
    schema: Json = body["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    return schema


def _fields(schema: Json, path: str = "") -> set[str]:
    found: set[str] = set()
    for name, child in (schema.get("properties") or {}).items():
        inner = f"{path}.{name}" if path else name
        found |= {inner} | _fields(child, inner)
    for inner in (schema.get("items"), schema.get("additionalProperties")):
        if isinstance(inner, dict):
            found |= _fields(inner, f"{path}[]")
    return found


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return ", ".join(names[:3]) + more


def _resources(node: Json) -> Iterable[tuple[str, str]]:
    return (((node.get("status") or {}).get("allocatable")) or {}).items()


def _is_gpu(name: str, profile: GpuProfile) -> bool:
    return name in (profile.resourceName, profile.sharedResourceName) or name.startswith("nvidia.com/mig-")


def _amount(text: str) -> int:
    return int(text) if str(text).isdigit() else 0
