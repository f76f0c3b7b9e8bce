"""The operator's own memory of one service, kept in the child ConfigMap `<service>-record`.

It holds what can be worked out from nothing else: pointers to revisions and absolute time stamps. If it is lost, the
pointers are rebuilt from the children, and a rejection from the revision that it is of (see `core.rollout.recover`).
Not for: what people read; that is the status. How it is printed and read is `core.record_text`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from triton_operator.api.signature import About
from triton_operator.core.autoscaler import Decision
from triton_operator.core.capacity import Curve
from triton_operator.core.judge import Evidence
from triton_operator.core.resolution import Resolution


@dataclass(frozen=True, slots=True)
class Attempt:
    """Looking up what a spec's sources resolve to.

    Attributes:
        key: what is asked, see `core.resolution.key_of`.
        token: names the refresh that asks; "" where the spec does.
        since: when it began, in seconds since the epoch.
        tries: how often a pod was made for it.
        last: when the last one was.
        refused: whether the last answer was one that waiting does not mend.
    """

    key: str
    token: str = ""
    since: float = 0.0
    tries: int = 0
    last: float = 0.0
    refused: bool = False


UNTIL_KNOWN = ""
"""In the place of a spec: whichever is looked up, until it is known what that asks for."""


@dataclass(frozen=True, slots=True)
class Held:
    """A spec that is not carried out until it changes, and what is instead.

    Attributes:
        spec: stands for the spec, see `core.goal`; or `UNTIL_KNOWN`.
        revision: the revision that it asks for.
        goal: the revision that is to serve.
        by: who rejected it: the operator, as it failed, or a person.
        reason: one word.
        message: why.
        time: when, as in the status.
    """

    spec: str
    revision: str
    goal: str
    by: Literal["operator", "person"]
    reason: str
    message: str
    time: str


@dataclass(frozen=True, slots=True)
class Warm:
    """The revision that served before, kept for instant return.

    Attributes:
        revision: its name.
        until: until when, in seconds since the epoch.
    """

    revision: str
    until: float


@dataclass(frozen=True, slots=True)
class Sample:
    """Counters of one pod, or of one backend of a proxy, when they were read last.

    Attributes:
        revision: whose requests were counted.
        requests: requests that ended since the program that counts them began.
        failed: those of them that failed.
        timed: requests whose duration was counted.
        slow: those of them that took longer than they may.
        at: when they were counted, in seconds since the epoch.
    """

    revision: str
    requests: int
    failed: int
    at: float
    timed: int = 0
    slow: int = 0


@dataclass(frozen=True, slots=True)
class Shared:
    """How Gateways have shared requests out under one weight.

    Attributes:
        weight: share of the canary that they had taken over, in percent; 0 before.
        canary: requests that went to the canary since then.
        requests: all of them.
        astray: requests after which it was certain that they are shared out otherwise, and were counted anew; 0 before.
        astray_canary: those of them that went to the canary.
    """

    weight: int = 0
    canary: int = 0
    requests: int = 0
    astray: int = 0
    astray_canary: int = 0


@dataclass(frozen=True, slots=True)
class Tally:
    """What the values of a person's own metric have come to.

    Attributes:
        good: values that were good.
        bad: values that were bad.
        unclear: how often in a row there was neither.
        last: what the last one was: PASS, FAIL or CONTINUE; "" before the first.
        value: the last one; "" where there was none.
        trouble: why it could not be had when it was asked for last; "" where it could.
        invalid: whether that is for the query itself.
    """

    good: int = 0
    bad: int = 0
    unclear: int = 0
    last: str = ""
    value: str = ""
    trouble: str = ""
    invalid: bool = False


@dataclass(frozen=True, slots=True)
class Trial:
    """A canary under way: how far it is, and what it has shown.

    Attributes:
        revision: the revision on trial.
        steps: stands for the steps that it goes by.
        step: index of the step that it is at; their number when it is past the last one.
        weight: the weight of the last step that set one, in percent; what the pods carry may be less.
        since: when the step began to count, in seconds since the epoch; 0 before.
        serving: when its first weight was asked for, or a person let it go on; 0 before.
        paused: why it stays where it is until a person acts, one word; "" where it does not.
        promoted: whether it takes over, pod by pod.
        bounds: stands for the bounds by which it is judged.
        evidence: what its requests have shown beside those of stable, by metric.
        tallies: what the values of the person's own metrics have come to, by metric.
        shared: how requests were shared out under the weight of now.
        edge: the duration in milliseconds above which requests were counted as slow; 0 where none was.
        source: stands for which requests they count; counters of others are no sequels.
        samples: by whose they are, the counters read last; empty where the next look begins anew.
        sampled: when they were asked for last; 0 before.
        heard: when there was an answer last; 0 before.
        trouble: what was amiss with it; "" for nothing.
        unseen: whether requests of some kind were counted of which nobody tells whether they failed.
        level: since when the weight has been taken over; 0 before.
    """

    revision: str
    steps: str
    step: int = 0
    weight: int = 0
    since: float = 0.0
    serving: float = 0.0
    paused: str = ""
    promoted: bool = False
    bounds: str = ""
    evidence: Mapping[str, Evidence] = field(default_factory=dict)
    tallies: Mapping[str, Tally] = field(default_factory=dict)
    shared: Shared = Shared()
    edge: float = 0.0
    source: str = ""
    samples: Mapping[str, Sample] = field(default_factory=dict)
    sampled: float = 0.0
    heard: float = 0.0
    trouble: str = ""
    unseen: bool = False
    level: float = 0.0


@dataclass(frozen=True, slots=True)
class Scale:
    """What the autoscaler has decided last, and what it had learned by then.

    Attributes:
        decision: how many replicas, and why.
        revision: the revision that the curve is of.
        curve: what its batches take.
        felt: requests per second that one replica carries, where no curve fits; 0 before.
        hold_seconds: for how long replicas that are not needed are kept.
        contested: how often somebody else has changed the replicas of the Deployment.
        generation: generation of the spec that the last one of these was under.
    """

    decision: Decision
    revision: str = ""
    curve: Curve = field(default_factory=Curve)
    felt: float = 0.0
    hold_seconds: float = 0.0
    contested: int = 0
    generation: int = 0


@dataclass(frozen=True, slots=True)
class Record:
    """What is remembered of one service.

    Attributes:
        stable: the revision that has proven itself, or None before the first one has.
        serving: revisions whose pods are in the Service; more than one while one takes over from another.
        target: the revision that the spec asked for at the last look.
        started: when the work under way began or last got on, in seconds since the epoch; 0 while there is none.
        placed: since when all its pods have had nodes; 0 before that.
        homeless: since when pods of it find no node; 0 while none does.
        progress: the most pods of the target that have been ready since that work began.
        suspended: whether the service was suspended at the last look.
        resuming: whether stable is being brought back before the target goes on.
        admitted: revisions that passed the checks before traffic, or came before there were any.
        about: for each revision, what its Triton says about it.
        failure: the last failure of the target, as in the status.
        resolution: what the sources of the spec resolved to, or None while that is not known.
        attempt: the look at the sources that is under way or has failed, or None.
        held: a spec that is not carried out, or None.
        restarts: for revisions that a person had restarted, when, as in the annotation of their pods.
        warm: the revision that served before, while its pods are kept, or None.
        trial: the canary under way, or None.
        known: backends of the HTTPRoute that all Gateways have, and since when, in seconds since the epoch.
        slots: the revisions that the two backends of the HTTPRoute are, "" for a free one; () where there are none.
        plain: stands for the Gateways of which one takes no filters of backends; "" where all do, as far as is known.
        taken: for each action the value of its annotation that was taken last.
        scale: what the autoscaler has decided, or None while there is none.
    """

    stable: str | None = None
    serving: tuple[str, ...] = ()
    target: str | None = None
    started: float = 0.0
    placed: float = 0.0
    homeless: float = 0.0
    progress: int = 0
    suspended: bool = False
    resuming: bool = False
    admitted: tuple[str, ...] = ()
    about: dict[str, About] = field(default_factory=dict)
    failure: dict[str, Any] | None = None
    resolution: Resolution | None = None
    attempt: Attempt | None = None
    held: Held | None = None
    warm: Warm | None = None
    trial: Trial | None = None
    slots: tuple[str, ...] = ()
    plain: str = ""
    known: Mapping[str, float] = field(default_factory=dict)
    restarts: dict[str, str] = field(default_factory=dict)
    taken: dict[str, str] = field(default_factory=dict)
    scale: Scale | None = None
