"""The world as one reconcile sees it, and the plan it makes: what `decide` takes and returns.

Not for: how the world is read or the plan carried out; that is `controller.reconcile`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from triton_operator.api.golden import Golden
from triton_operator.api.names import Kind
from triton_operator.api.settings import Settings
from triton_operator.api.signature import About
from triton_operator.api.spec import InferenceServiceSpec
from triton_operator.core.autoscaler import Memory
from triton_operator.core.record import Record, Sample
from triton_operator.core.revision import Revision
from triton_operator.resources.route import Direct

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Fleet:
    """The Deployment of a revision, as far as decisions need it.

    Attributes:
        wanted: replicas in its spec.
        pods: pods that it has, those that are going away excepted.
        ready: pods that are ready.
        ending: pods that are going away, as far as pods were looked at; they still hold their GPUs.
        scheduled: pods that have a node, as far as pods were looked at.
        homeless: pods that no node takes, as far as pods were looked at.
        failing: pods that have a node and fail again and again, as far as pods were looked at.
        refused: why pods cannot be created, in the API server's words, or None.
    """

    wanted: int
    pods: int
    ready: int
    ending: int = 0
    scheduled: int = 0
    homeless: int = 0
    failing: int = 0
    refused: str | None = None


@dataclass(frozen=True, slots=True)
class Problem:
    """Why a child could not be written, when only the user can change that.

    Attributes:
        reason: one word: NameConflict or Refused.
        message: what is wrong and what to do.
    """

    reason: str
    message: str


@dataclass(frozen=True, slots=True)
class Question:
    """What a ready pod is to be asked, beside the reconciles.

    Attributes:
        revision: its revision.
        pod: its uid.
        address: its address, IPv4 or IPv6.
        model: the model's name.
        version: the model's version.
        golden: requests that it must answer as expected.
    """

    revision: str
    pod: str
    address: str
    model: str
    version: int
    golden: tuple[Golden, ...] = ()


@dataclass(frozen=True, slots=True)
class Answer:
    """What a pod has answered.

    Attributes:
        question: what was asked.
        about: what the version of the model is, or None if the pod could not tell.
        unreachable: why the pod cannot be asked, or None.
        mismatch: how it answered a golden request otherwise than expected, or None.
    """

    question: Question
    about: About | None = None
    unreachable: str | None = None
    mismatch: str | None = None


@dataclass(frozen=True, slots=True)
class Route:
    """The HTTPRoute of a service, as the cluster holds it, and its GRPCRoute if it has one.

    Attributes:
        weights: of its backends, by the name of their Service, in percent.
        backends: those of them with any weight, be it far less than one percent.
        seen: whether any Gateway has ever looked at it.
        accepted: whether every Gateway has taken it over as it is now.
        direct: which requests go to the canary whatever the weights, or None.
        unfiltered: whether a Gateway takes no filters of backends, which it has.
        uncounted: the controller of a Gateway whose proxies' counters nobody can read here; "" where there is none.
        trouble: what a Gateway says against it, or that none has looked at it, in a sentence; None otherwise.
    """

    weights: Mapping[str, int]
    backends: frozenset[str]
    seen: bool
    accepted: bool
    trouble: str | None = None
    direct: Direct | None = None
    unfiltered: bool = False
    uncounted: str = ""


@dataclass(frozen=True, slots=True)
class Value:
    """What a person's own metric has come to.

    Attributes:
        number: the value, which may be infinite; None where there is none.
        trouble: why it cannot be had; "" where it can, though there may be none.
        invalid: whether that is for the query itself.
    """

    number: float | None = None
    trouble: str = ""
    invalid: bool = False


@dataclass(frozen=True, slots=True)
class Measured:
    """What was counted of the requests of a trial.

    Attributes:
        samples: counters by whose they are, a pod or a proxy and its backend; None if they could not be read.
        trouble: what is amiss, or None.
        edge: the duration in milliseconds above which requests were counted as slow; None where none was.
        shared: whether just those requests were counted that the Gateways share out.
        unseen: whether some are counted of which nobody tells whether they failed.
        source: stands for which requests were counted.
        values: of the person's own metrics, by name.
    """

    samples: Mapping[str, Sample] | None
    trouble: str | None = None
    edge: float | None = None
    shared: bool = False
    unseen: bool = False
    source: str = ""
    values: Mapping[str, Value] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class World:
    """Everything that a decision may depend on.

    Attributes:
        name: name of the service.
        namespace: its namespace.
        uid: its uid.
        generation: generation of its spec.
        spec: its spec, or None if this operator cannot read it.
        spec_error: why the spec cannot be read, or None.
        status: its status as last written, {} if there is none.
        settings: the operator's settings.
        record: what was remembered, or None if there is no readable record.
        revisions: kept revisions by name.
        rejections: what the annotations of their ControllerRevisions say of a rejection, by revision.
        fleets: Deployments by revision.
        routed: the revision that the Service's selector names, or beside which another is on trial in it; None if it
            tells of none, or there is no Service.
        listed: names of all children by kind, of those kinds that the cluster serves.
        route: the routes of the service, or None if there is none.
        rival: namespace and name of the service whose routes claimed first what the spec claims, or None.
        pods: pods of the service, or None if they were not looked at.
        endpoints: ready endpoints of the Service by revision, or None if they were not looked at.
        backed: ready endpoints of each revision's own Service, or None if they were not looked at.
        answers: what pods have answered to what was asked of them.
        measured: counters of both revisions of a trial, or None if they were not read.
        dead: uids of pods that call themselves ready and execute nothing any more.
        actions: values of the annotations by which a person asks for something, by action.
        config_maps: the user's ConfigMaps that were read, by name; None for one that does not exist.
        resolvers: pods that look at sources, or None if they were not looked at.
        problems: why children could not be written in this reconcile.
        waits: whose end was waited for in this reconcile before children could be written.
        now: seconds since the epoch.
        scaling: what the autoscaler makes of what is measured, or None where nothing was yet.
        in_flight: requests that each pod is at, by its uid, as far as that is measured.
    """

    name: str
    namespace: str
    uid: str
    generation: int
    spec: InferenceServiceSpec | None
    spec_error: str | None
    status: Json
    settings: Settings
    record: Record | None
    revisions: Mapping[str, Revision]
    rejections: Mapping[str, str]
    fleets: Mapping[str, Fleet]
    routed: str | None
    listed: Mapping[Kind, frozenset[str]]
    route: Route | None
    rival: str | None
    pods: tuple[Json, ...] | None
    endpoints: Mapping[str, int] | None
    backed: Mapping[str, int] | None
    answers: tuple[Answer, ...]
    measured: Measured | None
    dead: frozenset[str]
    actions: Mapping[str, str]
    config_maps: Mapping[str, Json | None]
    resolvers: tuple[Json, ...] | None
    problems: tuple[Problem, ...]
    waits: tuple[str, ...]
    now: float
    scaling: Memory | None = None
    in_flight: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Announcement:
    """One Kubernetes event to write about the service."""

    type: Literal["Normal", "Warning"]
    reason: str
    message: str


@dataclass(frozen=True, slots=True)
class Removal:
    """A pod to delete.

    Attributes:
        name: its name.
        uid: only this very pod.
        revision: the revision it belongs to.
        reason: one word for the event, or None if it is told of elsewhere.
        why: one sentence for the event and the log.
    """

    name: str
    uid: str
    revision: str | None
    reason: str | None
    why: str


@dataclass(frozen=True, slots=True)
class Mark:
    """A pod that is to go first where there are to be fewer.

    Attributes:
        name: its name.
        uid: its uid.
    """

    name: str
    uid: str


@dataclass(frozen=True, slots=True)
class Plan:
    """What one look at the world decided.

    Attributes:
        record: what to remember, written before anything else.
        children: objects to have, in the order to write them.
        pressing: those of them that bring new pods on their way, to be written first while other services wait for
            theirs.
        resolver: the pod to make that looks at the sources, or None.
        questions: what to ask of pods, until it is answered or no longer asked.
        surplus: children to delete, by kind and name.
        removals: pods to delete.
        marks: pods to mark as those that go first, before children are written.
        status: the whole status to write.
        announcements: events to write.
        look_again: seconds until the next look, or None to wait for an event.
    """

    record: Record
    children: tuple[tuple[Kind, Json], ...]
    surplus: tuple[tuple[Kind, str], ...]
    status: Json
    pressing: tuple[tuple[Kind, Json], ...] = ()
    removals: tuple[Removal, ...] = ()
    marks: tuple[Mark, ...] = ()
    resolver: Json | None = None
    questions: tuple[Question, ...] = ()
    announcements: tuple[Announcement, ...] = ()
    look_again: float | None = None


@dataclass(frozen=True, slots=True)
class Failure:
    """What went wrong with a revision.

    Attributes:
        reason: one word for programs.
        message: what was wrong, where, and what to do.
        pod: the pod it happened to, or None.
        exit_code: exit code of the container, or None.
        final: whether it cannot mend itself: someone must change something.
    """

    reason: str
    message: str
    pod: str | None = None
    exit_code: int | None = None
    final: bool = field(default=False)
