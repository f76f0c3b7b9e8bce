"""What each reason of a condition, a failure or an event means: the words of docs/reference/reasons.md.

What is wrong with a revision is described in docs/status.md, for people who look for what to do; those rows are taken
from there. Which reasons the code has is read from the code itself, so that none is forgotten.
Not for: writing files; see `generate`.
"""

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "operator" / "triton_operator"

SCANNED = ("core/*.py", "controller/*.py", "models/failure.py", "api/status.py")
"""Where reasons are written: decisions, what they are carried out with, the programs of the init container."""

_STATUSES = ("True", "False", "Unknown")
_REASON = re.compile(r"(?=.*[a-z])[A-Z][A-Za-z]{2,}")

_OTHERS = (
    # Values of fields, of status and of Kubernetes.
    "True False Unknown None Warning Normal Auto Observe Off Max Value Percent Pods Forbid Require Operator Person"
    " Canary BlueGreen RollingUpdate Recreate Disabled Pending Degraded Succeeded Failed Error Apply Exists"
    " DoesNotExist NotIn Equal Reconcile"
    # Types of conditions; reasons of Kubernetes and of Gateways that are read and never told.
    " Ready Available Reconciling Stalled TrafficVerified ScalingActive"
    " PodScheduled ReplicaFailure ResolvedRefs PartiallyInvalid UnsupportedValue IncompatibleFilters InvalidFilter"
    " ErrImagePull ImagePullBackOff InvalidImageName ErrImageNeverPull RegistryUnavailable OOMKilled CrashLoopBackOff"
    " CreateContainerConfigError CreateContainerError RunContainerError FailedMount FailedAttachVolume"
    " PodInitializing ContainerCreating OutOf"
    # Kinds, names of our own, what is logged, days.
    " Pod Gateway GRPCRoute InferenceService Curve Counts Forecast Leading Stopping Stopped"
    " Mon Tue Wed Thu Fri Sat Sun"
)
NOT_REASONS = frozenset(_OTHERS.split())
"""Words that look like reasons and are none. A new word of the code is put here, or described below."""


@dataclass(frozen=True, slots=True)
class Row:
    """Reasons that mean the same.

    Attributes:
        reasons: their names.
        where: types of the conditions that have them, `lastFailure`, `event` with its type, or a metric.
        means: when they are given.
        act: what to do; "" for nothing.
    """

    reasons: tuple[str, ...]
    where: tuple[str, ...]
    means: str
    act: str = ""


_FAILED = ("lastFailure", "Ready", "event (Warning)")
_REFUSED = ("Accepted", "Ready", "event (Warning)")
_GOING = ("Ready",)

PLACES: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(
        (
            *("NameConflict", "Refused", "Forbidden", "UnsupportedByProvider", "InvalidSpec", "InvalidQuery"),
            *("GatewayAPIMissing", "StepUnreachable", "SlowRequestsUnjudged", "PrometheusNeeded", "QueriesForbidden"),
            "Conflict",
        ),
        _REFUSED,
    ),
    **dict.fromkeys(("Undone", "Waiting", "Checking", "RecreateNeeded", "SurgeExhausted"), _GOING),
    **dict.fromkeys(("CanaryProgressing", "DeadlineExceeded"), _GOING),
    "CanaryPaused": ("Ready", "event (Normal, or Warning where it was judged)"),
    "CanaryFailed": ("CanaryFailed", "Ready"),
    "RouteNotAccepted": ("TrafficVerified", "Ready"),
    "PodUnreachable": ("Ready", "event (Warning)"),
    "BackendDied": _FAILED,
}
"""Where reasons stand that docs/status.md describes; the others are failures of pods."""

ROWS = (
    Row(("Serving",), ("Ready", "event (Normal)"), "this generation is fully realised"),
    Row(("ScaledToZero",), ("Ready", "event (Normal)"), "no replicas are wanted, and there are none"),
    Row(
        ("Suspended",),
        ("Ready", "Available", "Suspended", "ScalingActive", "event (Normal)"),
        "`spec.suspend` is true: there are no pods",
        "set it to false to resume",
    ),
    Row(("Suspending",), _GOING, "`spec.suspend` is true, and pods are still ending"),
    Row(("Resolving",), _GOING, "the sources are looked up for versions and files", "if it lasts, see the message"),
    Row(("Loading",), (*_GOING, "event (Normal)"), "a revision loads; of the condition: nothing serves yet"),
    Row(("Updating",), _GOING, "another revision serves until the new one does"),
    Row(("Resuming",), _GOING, "after a suspension the revision that served is brought back first"),
    Row(("PodsNotReady",), _GOING, "pods of the revision that serves are missing", "if it lasts, see the message"),
    Row(("Scaling",), _GOING, "there are pods yet to go"),
    Row(("RequestsServed",), ("Available",), "ready pods serve requests"),
    Row(("NoReadyPods",), ("Available",), "no pod that serves is ready", "see the message of `Ready`"),
    Row(("Accepted",), ("Accepted",), "the spec can be carried out"),
    Row(("UsesGPU",), ("ServesOnCPU",), "the model was loaded on GPUs, as asked"),
    Row(
        ("ServesOnCPU",),
        ("ServesOnCPU", "event (Warning)"),
        "GPUs are held, and the model was loaded on the CPU",
        "remove `kind` from `instance_group` in config.pbtxt, or set `spec.gpu.count` to 0",
    ),
    Row(("CanaryPauseStep",), ("CanaryPaused",), "the canary is at a pause without an end", "promote, or abort"),
    Row(("UserRequested",), ("CanaryPaused",), "a person has paused the canary", "resume, promote or abort"),
    Row(
        ("Inconclusive",),
        ("CanaryPaused",),
        "the time for a verdict is out, or a metric has told nothing for too long",
        "see the evidence; promote, abort, or resume to wait on",
    ),
    Row(
        ("AnalysisFailed",),
        ("CanaryPaused",),
        "the canary was judged to fail, and `rollout.autoRollback` is false",
        "abort, or promote it all the same",
    ),
    Row(("RouteAccepted",), ("TrafficVerified",), "every Gateway has taken over the route with its weights"),
    Row(
        ("ShareNotObserved",),
        ("TrafficVerified",),
        "requests are counted in other shares than the weights",
        "see the Gateway and its policies; the step waits",
    ),
    Row(
        ("ShareUnknown",),
        ("TrafficVerified",),
        "a step waits because nothing was counted of its requests",
        "let Prometheus scrape the Gateway's proxies; send requests",
    ),
    Row(
        ("GrpcStatusUnseen",),
        ("TrafficVerified",),
        "nobody tells which gRPC calls fail",
        "set `telemetry.metrics.enableGRPCStats` in the EnvoyProxy",
    ),
    Row(("PodsInService",), ("TrafficVerified",), "the Service shows just the pods that make the weight"),
    Row(("PodsNotInService",), ("TrafficVerified",), "the Service has yet to show the pods that make the weight"),
    Row(("Measured",), ("ScalingActive",), "replicas follow what is measured"),
    Row(("Starting",), ("ScalingActive",), "no replica is ready yet, or nothing has been measured"),
    Row(("Observing",), ("ScalingActive",), "`mode: Observe`: replicas are recommended, not changed"),
    Row(
        ("MetricsUnavailable",),
        ("ScalingActive", "event (Warning)"),
        "counters cannot be read, or not of enough pods; no replica is given up",
        "see its message: `prometheus.url`, a NetworkPolicy between the operator and port 8002",
    ),
    Row(
        ("ObjectiveUnmeasured",),
        ("ScalingActive",),
        "nobody measures latency at the percentile of the objective",
        "`routing.gateway` and `prometheus.url`",
    ),
    Row(
        ("ObjectiveInfeasible",),
        ("ScalingActive", "event (Warning)"),
        "one batch alone takes longer than the objective",
        "a larger `latencyMilliseconds`, or a smaller `max_batch_size`",
    ),
    Row(
        ("ScaleUpStuck",),
        ("ScalingActive", "event (Warning)"),
        "replicas that were asked for do not get ready",
        "`status.lastFailure`, `kubectl describe`",
    ),
    Row(
        ("InvalidSchedule",),
        ("ScalingActive", "event (Warning)"),
        "a time zone is unknown; the schedule does not apply",
        "the name that the message asks for",
    ),
    Row(
        ("Conflict",),
        ("ScalingActive", "event (Warning)"),
        "somebody else has changed the replicas of the Deployment three times; they are left",
        "take that autoscaler away, and change the spec",
    ),
    Row(
        ("Aborted",),
        ("Ready",),
        "a person aborted the update",
        "change the spec, or [retry](../versions.md)",
    ),
    Row(
        ("ResolverFailed",),
        _FAILED,
        "the pod that looks at the sources ended without a word",
        "see its events; report it if it happens again",
    ),
    Row(
        ("FailedCreatePodSandBox",),
        _FAILED,
        "the kubelet cannot set the pod up, in its words",
        "see the node",
    ),
    Row(
        ("Other",),
        ("the metric `triton_operator_service_condition`",),
        "the reason in the status has other characters than letters and digits",
        "see the status",
    ),
    Row(("Promoted",), ("event (Normal)",), "a revision serves from now on"),
    Row(
        ("Rejected",),
        ("event (Warning)",),
        "a revision was given up, and is not tried again until the spec changes",
        "see the message",
    ),
    Row(("CanaryWeight",), ("event (Normal)",), "the canary gets another share of the requests"),
    Row(("Rescaled",), ("event (Normal)",), "the autoscaler has changed the replicas; the message says why"),
    Row(("ScaleRecommended",), ("event (Normal)",), "with `mode: Observe`, the autoscaler recommends other replicas"),
    Row(
        ("ScalingLimited",),
        ("event (Warning)",),
        "more replicas than `autoscaling.maxReplicas` are needed",
        "raise it, or accept that the objective is missed",
    ),
    Row(("Resolved",), ("event (Normal)",), "the sources were looked up; the message says what was found"),
    Row(("Refreshed",), ("event (Normal)",), "the sources were looked up again, as a person asked"),
    Row(
        ("RefreshFailed",),
        ("event (Warning)",),
        "the sources could not be looked up again; all stays as it is",
        "see the message, and [refresh](../versions.md) again",
    ),
    Row(("MadeAnew",), ("event (Normal)",), "the pods of a revision are made anew, one after the other"),
    Row(
        ("UndoFailed",),
        ("event (Warning)",),
        "the revision to which a person went back has failed; the one before serves on",
        "see the message",
    ),
    Row(("ActionTaken",), ("event (Normal)",), "an [action](../canary.md#people) of a person was taken"),
    Row(
        ("ActionIgnored",),
        ("event (Warning)",),
        "an [action](../canary.md#people) of a person does not fit what is there now",
        "see the message",
    ),
    Row(
        ("SignatureUnknown",),
        ("event (Warning)",),
        "the signature of the revision that serves is not known, so that a new one is not compared with it",
    ),
    Row(
        ("SourceUnchecked",),
        ("event (Warning)",),
        "a pod is replaced whose Triton was started again on files that nobody has compared since",
    ),
)

PRECISE = (
    Row(("AccessDenied",), _FAILED, "the source refuses to be read", "correct what the Secret's owner may read"),
    Row(("BadCredentials",), _FAILED, "the credentials are refused, or cannot be read", "correct the Secret"),
    Row(("Unreachable",), _FAILED, "the source does not answer", "correct the uri, or let the pods reach it"),
    Row(
        ("SourceChanged",),
        _FAILED,
        "the source holds other files than those of the revision",
        "put them back, or [refresh](../versions.md)",
    ),
    Row(("NotFound",), _FAILED, "the path is not there", "correct the path"),
    Row(("Unreadable",), _FAILED, "the path may not be read by the pod's user", "correct `securityContext.fsGroup`"),
    Row(
        ("ContainerCannotStart",),
        _FAILED,
        "a container cannot be made: a Secret, a ConfigMap or a key is missing",
        "create it",
    ),
    Row(("VolumeMissing",), _FAILED, "a claim is missing, or cannot be mounted", "create it, or see the message"),
    Row(
        ("CanaryPaused",),
        PLACES["CanaryPaused"],
        "the canary waits for a person; the reason of the condition `CanaryPaused` says why",
        "[act](../canary.md#people)",
    ),
    Row(
        ("CanaryProgressing",),
        _GOING,
        "a new revision is on trial; the message says at which step and what its requests have shown",
    ),
)
"""Of reasons that docs/status.md puts together, each by itself."""

CONDITIONS = (
    ("Ready", "this generation is fully realised", "stalled", "under way"),
    ("Available", "requests are served", "no pod that serves is ready", ""),
    ("Accepted", "the spec can be carried out", "it cannot; what ran before runs on", ""),
    ("Reconciling", "work is under way: `Ready` is Unknown", "none is", ""),
    ("Stalled", "it cannot go on without a change: `Ready` is False", "nothing stands in the way", ""),
    ("Suspended", "no pods on request", "absent", ""),
    ("ServesOnCPU", "GPUs are held, and the model runs on the CPU", "it runs on GPUs; absent while not known", ""),
    ("CanaryPaused", "a person is waited for", "absent", ""),
    ("CanaryFailed", "the last canary was rolled back; `reason` says for what", "absent", ""),
    (
        "TrafficVerified",
        "requests are shared out by the weights",
        "they are not, or not yet",
        "a step waits, because nobody counts what it needs",
    ),
    ("ScalingActive", "replicas follow what is measured", "they do not; none is given up", "it begins"),
)
"""Type, and what True, False and Unknown mean."""


def of_status_page(text: str) -> Iterator[Row]:
    """Read the rows that docs/status.md has under "Reasons".

    Args:
        text: the page.

    Yields:
        Each row, its links as seen from docs/reference.
    """
    table = text.partition("\n## Reasons\n")[2]
    for line in table.splitlines():
        cells = re.split(r"(?<!\\)\|", line)
        if len(cells) == 5 and (names := re.findall(r"`([A-Z]\w+)`", cells[1])):
            means, act = (re.sub(r"\]\((?!https?:|#)", "](../", cell.strip()) for cell in cells[2:4])
            for name in names:
                yield Row((name,), PLACES.get(name, _FAILED), means, "" if act == "nothing" else act)


def all_rows() -> list[Row]:
    """List the rows of the reference, by name."""
    page = (ROOT / "docs" / "status.md").read_text(encoding="utf-8")
    precise = {reason for row in PRECISE for reason in row.reasons}
    of_page = (row for row in of_status_page(page) if precise.isdisjoint(row.reasons))
    return sorted((*of_page, *PRECISE, *ROWS), key=lambda row: (row.reasons, row.where))


def files() -> list[Path]:
    """List the files that reasons are written in."""
    return sorted(path for pattern in SCANNED for path in PACKAGE.glob(pattern))


@cache
def syntax(path: Path) -> tuple[ast.AST, ...]:
    """Give the nodes of a file's syntax that a reason may be found by."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return tuple(node for node in ast.walk(tree) if isinstance(node, ast.Constant | ast.Tuple | ast.Call))


def nodes() -> Iterator[tuple[str, ast.AST]]:
    """Give the nodes of all those files, each with the name of its file."""
    return ((f"{path.parent.name}/{path.name}", node) for path in files() for node in syntax(path))


def of_code() -> dict[str, set[str]]:
    """Find what looks like a reason in the code: a word that begins with a capital, or several written as one.

    Returns:
        The words, each with the files that it stands in.
    """
    found: dict[str, set[str]] = {}
    for file, node in nodes():
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and _REASON.fullmatch(node.value):
            found.setdefault(node.value, set()).add(file)
    return found


def _text(node: ast.AST) -> str | None:
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else None


def certain() -> set[str]:
    """Find the words that are reasons by their place: after the status of a condition, or in a failure."""
    found: set[str | None] = set()
    for _, node in nodes():
        if isinstance(node, ast.Tuple) and len(node.elts) > 1 and _text(node.elts[0]) in _STATUSES:
            found.add(_text(node.elts[1]))
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in ("Failure", "_failure"):
            place = 1 if node.func.id == "_failure" else 0
            found |= {_text(reason) for reason in node.args[place : place + 1]}
    return {reason for reason in found if reason and reason not in _STATUSES and _REASON.fullmatch(reason)}


def of_events() -> dict[str, str]:
    """Find the reasons of events that are written where events are made, each with its type."""
    found: dict[str, str] = {}
    for _, node in nodes():
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "Announcement":
            type_, reason = map(_text, node.args[:2])
            if type_ and reason:
                found[reason] = type_
    return found


def unknown() -> list[str]:
    """List what keeps the reference from being complete and true; empty when it is."""
    rows = all_rows()
    described = {reason for row in rows for reason in row.reasons}
    written = of_code()
    said = [
        f"{word} ({', '.join(sorted(written[word]))}) is described neither in docs/status.md nor in docs/reasons.py"
        for word in sorted(written.keys() - described - (NOT_REASONS - certain()))
    ]
    read = {reason for row in (*PRECISE, *ROWS) for reason in row.reasons} | PLACES.keys()
    said += [
        f"docs/reasons.py describes {word}, which the code does not have" for word in sorted(read - written.keys())
    ]
    said += [
        f"docs/reasons.py leaves {word} out, which the code lacks" for word in sorted(NOT_REASONS - written.keys())
    ]
    for reason, type_ in sorted(of_events().items()):
        if not any(f"event ({type_}" in place for row in rows if reason in row.reasons for place in row.where):
            said.append(f"{reason} is told as an event ({type_}): say so in docs/reasons.py")
    return said
