"""A small model of what Kubernetes does with plans: Deployments become pods that load, serve and take time to end.

Time is a number of ticks; nothing reads a clock. Deployment status and endpoints lag by one tick, as watches do.
Not for: server-side apply and field ownership; a real API server shows those.
"""

import json
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

from triton_operator.api import names
from triton_operator.api.settings import Prometheus, Settings
from triton_operator.api.signature import About, Signature, Tensor
from triton_operator.api.spec import InferenceServiceSpec
from triton_operator.controller.routes import route_of, routes_of
from triton_operator.controller.world import is_ready, is_unsettled, ready_endpoints, rejections, routed_to
from triton_operator.core.analysis import is_due, metrics_of
from triton_operator.core.autoscaler import Decision, Memory
from triton_operator.core.decide import decide
from triton_operator.core.lookup import known, needs, unread
from triton_operator.core.measurements import withheld
from triton_operator.core.preflight import golden_name
from triton_operator.core.record import Held, Record, Sample
from triton_operator.core.record_text import decode, encode
from triton_operator.core.revision import from_object, revision_name, spec_hash
from triton_operator.core.shares import Room, room_of
from triton_operator.core.times import timestamp
from triton_operator.core.world import Announcement, Answer, Fleet, Measured, Plan, Question, Route, Value, World
from triton_operator.edges.envoy import CONTROLLER
from triton_operator.resources import children
from triton_operator.resources.children import Owner
from triton_operator.resources.route import has_filters, kinds
from triton_operator.resources.sources import ORDER

Json = dict[str, Any]

SERVICE = "vision"
OWNER = Owner(SERVICE, "models", "uid-1")
SETTINGS = Settings(prepareImage="operator:1", prometheus=Prometheus(url="http://prometheus"))
START = 1_800_000_000.0
TICK = 5.0
LOAD_TICKS = 4
END_TICKS = 3
DOWN_TICKS = 6
SETTLE_TICKS = 400


def spec_of(
    version: int,
    *,
    replicas: int | None = 1,
    suspend: bool = False,
    rollout: Json | None = None,
    model: Json | None = None,
    autoscaling: Json | None = None,
) -> InferenceServiceSpec:
    """A spec that asks for one version of a model; on GPUs if its rollout counts them.

    A canary goes by a Gateway, unless its rollout says `gateway: False`; with `grpc: GRPCRoute` by two routes. Neither
    is a part of the rollout.
    """
    rollout = dict(rollout or {})
    grpc = rollout.pop("grpc", "SameRoute")
    by_gateway = rollout.pop("gateway", rollout.get("strategy") == "Canary")
    return InferenceServiceSpec.model_validate(
        {
            "model": {"name": "resnet50", "uri": "pvc://models/resnet50", "version": version} | (model or {}),
            "gpu": {"count": int("maxSurgeGPUs" in rollout)},
            "replicas": replicas,
            "rollout": rollout,
            "routing": {"gateway": {"parentRefs": [{"name": "inference"}], "grpc": grpc}} if by_gateway else {},
            "suspend": suspend,
            "autoscaling": autoscaling,
        }
    )


@dataclass(slots=True)
class Pod:
    """One pod; `ready` says whether its probes pass, `turned` since when, `ends` when it is gone, `placed` since when
    it has a node.

    It is `sourceless` while its source holds other files than its revision was made from; one that is loaded has them.
    """

    name: str
    revision: str
    born: float
    healthy: bool
    ready: bool = False
    turned: float = 0.0
    down_until: float = 0.0
    ends: float | None = None
    placed: float | None = None
    loaded: bool = False
    sourceless: bool = False
    requests: int = 0
    failed: int = 0
    slow: int = 0

    @property
    def serves(self) -> bool:
        return self.ready and self.ends is None


@dataclass(slots=True)
class Deployment:
    """What is wanted, and what its status says, which is a tick old."""

    wanted: int
    pods: int = 0
    ready: int = 0


class Violation(AssertionError):
    """A promise was broken; the text says which and when."""


@dataclass(slots=True)
class Cluster:
    """A service, its children and its pods."""

    spec: InferenceServiceSpec
    broken: frozenset[int] = frozenset()
    final: bool = False
    load_ticks: int = LOAD_TICKS
    slots: int = 1000
    """Pods that the nodes have room for, ending ones included."""
    nowhere: frozenset[int] = frozenset()
    """Versions whose pods no node takes."""
    now: float = START
    generation: int = 1
    highest: int = 1
    """The highest version at the source."""
    bytes: str = "a"
    """Stands for what the files at the source hold."""
    silent: bool = False
    silence: str = "Unreachable"
    """Whether the source does not answer."""
    strange: frozenset[int] = frozenset()
    """Versions with another signature."""
    wrong: frozenset[int] = frozenset()
    """Versions that answer golden requests otherwise than expected."""
    decoupled: frozenset[int] = frozenset()
    """Versions that may answer a request several times."""
    erring: frozenset[str] = frozenset()
    """Pods that answer golden requests otherwise than expected, whatever their version."""
    walled: bool = False
    """Whether the operator does not reach pods."""
    mute: bool = False
    """Whether pods can be reached and do not tell what they are asked."""
    routes: dict[names.Kind, Json] = field(default_factory=dict)
    """The HTTPRoute and the GRPCRoute, as the API server has them."""
    weights: dict[str, int] = field(default_factory=dict)
    """The weights that the Gateway has taken over, the greater one where its routes differ."""
    gateway_api: bool = True
    """Whether the API server serves routes."""
    monitors: bool = True
    """Whether it serves PodMonitors."""
    gateway: bool = True
    """Whether the Gateway takes over what is written."""
    controller: str = "gateway.envoyproxy.io/gatewayclass-controller"
    """Whose Gateway it is."""
    refusal: Json | None = None
    """What the Gateway says against a route whose backends have filters: type and reason of a condition."""
    load: int = 200
    """Requests through the Gateway in a tick."""
    blind: bool = False
    """Whether nobody tells what was counted or measured."""
    unseen: bool = False
    """Whether nobody tells which calls over gRPC fail."""
    values: dict[str, Value] = field(default_factory=dict)
    """What a person's own metrics come to."""
    errors: dict[int, float] = field(default_factory=dict)
    """By version, the share of requests that fail."""
    slowness: dict[int, float] = field(default_factory=dict)
    """By version, the share of requests that are slow."""
    settings: Settings = SETTINGS
    sticky: str = ""
    """The revision that gets all requests, whatever the weights."""
    rival: str | None = None
    """Whose route claimed the same requests first."""
    scaling: Memory | None = None
    """What the autoscaler makes of what is measured."""
    answers: list[Answer] = field(default_factory=list)
    actions: dict[str, str] = field(default_factory=dict)
    config_maps: dict[str, Json] = field(default_factory=dict)
    resolvers: list[Json] = field(default_factory=list)
    status: Json = field(default_factory=lambda: {"observedGeneration": -1})
    record: str | None = None
    revisions: dict[str, Json] = field(default_factory=dict)
    deployments: dict[str, Deployment] = field(default_factory=dict)
    services: dict[str, Json] = field(default_factory=dict)
    budgets: set[str] = field(default_factory=set)
    pods: list[Pod] = field(default_factory=list)
    endpoints: list[Pod] = field(default_factory=list)
    backed: list[Pod] = field(default_factory=list)
    """Pods that the Service of their revision shows as ready."""
    told: list[Announcement] = field(default_factory=list)
    bodies: dict[tuple[str, str], Json] = field(default_factory=dict)
    plan: Plan | None = None
    crash_after: int | None = None
    busy: bool = False
    """Whether other services wait for their first look while the operator looks at this one next."""
    writes: int = 0
    quiet_from: float = START
    """From when on the world is as the operator saw it: no pod was killed since, and no controller lags."""
    seen_serving: int = 0
    """Ready pods in service when the operator looked last: it cannot know of those that became ready since."""
    _held: tuple[Held, dict[str, str]] | None = None
    """Why a spec is held, once every child says so, and the actions that were asked for by then."""
    _looked_at_pods: bool = False
    _answered: bool = False
    _made: int = 0
    _due: float | None = START
    _seen: str = ""
    _backends: dict[str, float] = field(default_factory=dict)
    _noticed: dict[names.Kind, int] = field(default_factory=dict)
    _taken: dict[names.Kind, Route] = field(default_factory=dict)
    _wanted: list[tuple[float, int]] = field(default_factory=list)
    _keeps: list[tuple[float, int]] = field(default_factory=list)
    _digest: dict[str, str] = field(default_factory=dict)
    _version: dict[str, int] = field(default_factory=dict)

    # What users and accidents do.

    def change(self, spec: InferenceServiceSpec) -> None:
        if spec != self.spec:
            self.spec = spec
            self.generation += 1

    def kill(self, pod: Pod, *, gracefully: bool) -> None:
        self.quiet_from = self.now + 3 * TICK
        pod.ends = self.now + (END_TICKS * TICK if gracefully else 0.0)

    def scale(self, replicas: int, **more: Any) -> None:
        """Let the autoscaler ask for so many, and the operator look."""
        self.scaling = Memory(Decision(replicas, reason="Measured", **more))
        self.restart_operator()

    def disturb(self, pod: Pod) -> None:
        """Let a pod's probes fail for a while."""
        self.quiet_from = self.now + (DOWN_TICKS + 3) * TICK
        pod.ready, pod.turned, pod.down_until = False, self.now, self.now + DOWN_TICKS * TICK

    def lose_record(self) -> None:
        """With the record goes the knowledge of what was on its way out; what served comes back at once."""
        self.quiet_from = max(self.quiet_from, self.now + (END_TICKS + 5) * TICK)
        self.record = None
        self.restart_operator()

    def restart_operator(self) -> None:
        """The new process looks at everything once."""
        self._due = self.now

    # What is so.

    @property
    def route(self) -> Json | None:
        """The HTTPRoute, as the API server has it."""
        return self.routes.get(names.HTTP_ROUTE)

    @property
    def desired(self) -> int:
        if self.spec.suspend:
            return 0
        wish = self.spec.autoscaling
        if wish and wish.mode == "Auto" and self.scaling:
            return self.scaling.decision.replicas
        return 1 if self.spec.replicas is None else self.spec.replicas

    @property
    def digest(self) -> str:
        """What stands for the files at the source."""
        return f"sha256:{self.bytes}"

    @property
    def target(self) -> str:
        """The revision that the spec asks for; "" while that is not known."""
        record = decode(self.record) if self.record is not None else None
        kept = [from_object(body) for body in self.revisions.values()]
        found = known(self.spec, record, {r.name: r for r in kept if r})
        return revision_name(SERVICE, self.spec, found) if found and not unread(self.spec, found) else ""

    @property
    def by_pods(self) -> bool:
        """Whether canaries get their share by their pods in the Service."""
        return self.spec.rollout.strategy == "Canary" and not self.spec.routing.gateway

    def room(self, desired: int, target: str = "") -> Room:
        """The room in which a rollout to some revision moves, else to that of the spec."""
        there = self.revisions.get(target)
        gpus = there["data"]["gpuCount"] if there else self.spec.gpu.count
        return room_of(self.spec.rollout, desired=desired, gpu_count=gpus)

    def least(self) -> int:
        """Ready pods that must have stayed in service lately; those that fail are not made up for."""
        failing = sum(pod.sourceless and pod.ends is None for pod in self.pods)
        keeps = [keep for at, keep in self._keeps if at > self.now - 3 * TICK] + [self.room(self.desired).keep]
        return min(keeps) - failing

    @property
    def selector(self) -> dict[str, str] | None:
        service = self.services.get(SERVICE)
        return service["spec"]["selector"] if service else None

    def serving(self, selector: dict[str, str] | None = None) -> list[Pod]:
        """Pods to which the Service sends requests."""
        chosen = selector or self.selector
        if chosen is None:
            return []
        wanted = chosen.get(names.LABEL_REVISION)
        return [pod for pod in self.pods if pod.serves and wanted in (None, pod.revision)]

    def condition(self, type_: str) -> Json:
        return next(c for c in self.status["conditions"] if c["type"] == type_)

    def of(self, revision: str) -> list[Pod]:
        return [pod for pod in self.pods if pod.revision == revision]

    def world(self) -> World:
        """The world as the operator's shell would gather it."""
        fleets = {name: Fleet(d.wanted, d.pods, d.ready) for name, d in self.deployments.items()}
        pods: tuple[Json, ...] | None = None
        endpoints = None
        own = {"metadata": {"generation": self.generation}, "status": self.status}
        if is_unsettled(own, fleets.values()):
            pods = tuple(self._pod(pod) for pod in self.pods)
            ending = {name: sum(p.ends is not None for p in self.of(name)) for name in fleets}
            living = {name: [p for p in self.of(name) if p.ends is None] for name in fleets}
            fleets = {
                name: replace(
                    fleet,
                    ending=ending[name],
                    scheduled=sum(p.placed is not None for p in living[name]),
                    homeless=sum(p.placed is None for p in living[name]),
                    failing=sum(p.placed is not None and (not p.healthy or p.sourceless) for p in living[name]),
                )
                for name, fleet in fleets.items()
            }
            if len(fleets) > 1:
                slices = [{"endpoints": [{"targetRef": {"uid": pod.name}} for pod in self.endpoints]}]
                endpoints = ready_endpoints(slices, pods)
        self._looked_at_pods = pods is not None
        kept = [from_object(body) for body in self.revisions.values()]
        record = decode(self.record) if self.record is not None else None
        copies = self._named(names.CONFIG_MAP)
        asked = needs(self.spec, record, {r.name: r for r in kept if r}, copies)
        name = None if is_ready(own) else golden_name(self.spec)
        golden = {name} if name else set()
        service = self.services.get(SERVICE)
        return World(
            name=SERVICE,
            namespace=OWNER.namespace,
            uid=OWNER.uid,
            generation=self.generation,
            spec=self.spec,
            spec_error=None,
            status=self.status,
            settings=self.settings,
            record=record,
            revisions={r.name: r for r in kept if r},
            rejections=rejections(self.revisions.values()),
            fleets=fleets,
            routed=routed_to(service) if service else None,
            listed={
                names.CONFIG_MAP: copies | ({children.record_name(SERVICE)} if self.record is not None else set()),
                names.CONTROLLER_REVISION: frozenset(self.revisions),
                names.DEPLOYMENT: frozenset(self.deployments),
                names.SERVICE: frozenset(self.services),
                names.POD_DISRUPTION_BUDGET: frozenset(self.budgets),
            }
            | ({names.POD_MONITOR: self._named(names.POD_MONITOR)} if self.monitors else {})
            | {
                kind: frozenset([SERVICE] if kind in self.routes else [])
                for kind in names.ROUTE_KINDS
                if self.gateway_api
            },
            rival=self.rival,
            route=routes_of(self.routes.values(), expected=len(kinds(self.spec.routing.gateway))),
            pods=pods,
            endpoints=endpoints,
            backed=None if endpoints is None else dict(Counter(pod.revision for pod in self.backed)),
            answers=tuple(self.answers),
            measured=self._measured(record),
            dead=frozenset(),
            actions=self.actions,
            config_maps={name: self.config_maps.get(name) for name in asked.config_maps | golden},
            resolvers=tuple(self.resolvers) if asked.resolvers else None,
            problems=(),
            waits=(),
            now=self.now,
            scaling=self.scaling,
            in_flight={pod.name: float(number) for number, pod in enumerate(self.pods)} if self.scaling else {},
        )

    def _named(self, of: names.Kind) -> frozenset[str]:
        return frozenset(name for kind, name in self.bodies if kind == of.kind)

    # What happens.

    def run(self, ticks: int, *, until: Callable[["Cluster"], bool] | None = None) -> None:
        for _ in range(ticks):
            self.tick()
            if until and until(self):
                return

    def settle(self) -> None:
        """Let time pass until nothing is under way, or for as long as anything ever should take."""
        for _ in range(SETTLE_TICKS):
            self.tick()
            ready = self.condition("Ready")
            if ready["status"] == "True" and ready["observedGeneration"] == self.generation and self._is_idle():
                return

    def _is_idle(self) -> bool:
        return self._due is None and self._seen == self._watched() and all(p.serves for p in self.pods)

    def tick(self, *, controllers: bool = True) -> None:
        """Let time pass: pods load and end, controllers act, and the operator looks if it has a reason to."""
        self.now += TICK
        self._wanted.append((self.now, self.desired))
        self._keeps.append((self.now, self.room(self.desired).keep))
        self._kubelet()
        listed, backed = self.serving(), [pod for pod in self.pods if pod.serves]
        if controllers:
            self._deployments()
        else:
            self.quiet_from = max(self.quiet_from, self.now + 3 * TICK)
        self.operate()
        before = dict(self.weights)
        self._gateway()
        self._check_route(before)
        self.endpoints, self.backed = listed, backed
        self._check_preflight()

    def operate(self) -> None:
        """Let the operator look, if something that it watches has changed or its own time has come."""
        seen = self._watched()
        if seen == self._seen and (self._due is None or self.now < self._due):
            return
        self.seen_serving = len(self.serving())
        plan = decide(self.world())
        self.carry_out(plan)
        if self.crash_after is None and not (self.busy and plan.pressing):
            self._answer(plan)
        self._seen = self._watched() if self.crash_after is None else ""
        if self.crash_after is not None:
            self.crash_after, self._due = None, self.now + TICK
        elif (self.busy and plan.pressing) or self._answered:
            self._due = self.now + TICK
        else:
            self._due = None if plan.look_again is None else self.now + plan.look_again

    def carry_out(self, plan: Plan) -> None:
        """Write what a plan wants, in its order, perhaps only the first few writes of it."""
        if self.busy and plan.pressing:
            plan = replace(plan, children=plan.pressing, surplus=(), status=self.status)
        else:
            self._held = self._check_rejection(plan)
        self.plan = plan
        self._check_surge(plan)
        self._check_kept(plan)
        self._check_beside(plan)
        writes: list[Callable[[], None]] = [partial(self._remember, encode(plan.record))]
        writes += [partial(self._write, kind, body) for kind, body in plan.children]
        if plan.resolver:
            writes.append(partial(self._resolve, plan.resolver))
        writes += [partial(self._delete, kind, name) for kind, name in plan.surplus]
        writes += [partial(self._end_resolver, removal.name) for removal in plan.removals]
        writes.append(partial(self._tell, plan))
        for write in writes[: self.crash_after]:
            write()

    def _answer(self, plan: Plan) -> None:
        """Let pods answer what they are asked, by the next tick."""
        there = {pod.name for pod in self.pods if pod.serves}
        before = self.answers
        self.answers = [self._said(question) for question in plan.questions if question.pod in there]
        self._answered = any(answer not in before for answer in self.answers)

    def _said(self, question: Question) -> Answer:
        if self.walled:
            return Answer(question, unreachable="no route to it")
        if self.mute:
            return Answer(question)
        version = self._version[question.revision]
        inputs = (Tensor("X", "FP32", (7 if version in self.strange else 2,)),)
        errs = version in self.wrong or question.pod in self.erring
        mismatch = "it says 6" if question.golden and errs else None
        about = About(Signature(inputs, ()), kinds=(), decoupled=version in self.decoupled)
        return Answer(question, about, mismatch=mismatch)

    def _remember(self, text: str) -> None:
        if self.record != text:
            self.writes += 1
            self.record = text

    def _tell(self, plan: Plan) -> None:
        if self.status != plan.status:
            self.writes += 1
            self.status = json.loads(json.dumps(plan.status))
        self.told += plan.announcements

    def _measured(self, record: Record | None) -> Measured | None:
        trial = record.trial if record else None
        if record is None or trial is None or not is_due(self.spec.rollout.analysis, trial, self.now):
            return None
        concerned = (record.stable, trial.revision)
        if self.blind:
            own = [metric.name for metric in metrics_of(self.spec.rollout)]
            values = dict.fromkeys(own, Value(trouble="it does not answer"))
            return Measured(samples=None, trouble="it does not answer", values=values)
        found = [pod for pod in self.pods if pod.serves and pod.revision in concerned]
        samples = {
            pod.name: Sample(pod.revision, pod.requests, pod.failed, self.now, timed=pod.requests, slow=pod.slow)
            for pod in found
        }
        values = self.values
        if trouble := withheld(self.settings.prometheus):
            values = {metric.name: Value(trouble=trouble) for metric in metrics_of(self.spec.rollout)}
        if self.by_pods or not self.controller.startswith(CONTROLLER):
            return Measured(samples, values=values)
        source = " ".join(kind.kind for kind in self.routes)
        words = "GrpcStatusUnseen: failed gRPC calls are not counted" if self.unseen else None
        return Measured(samples, words, edge=50.0, shared=True, unseen=self.unseen, source=source, values=values)

    def _write(self, kind: names.Kind, body: Json) -> None:
        name = body["metadata"]["name"]
        if self.bodies.get((kind.kind, name)) == body:
            return
        self.writes += 1
        if kind == names.SERVICE:
            self._check_selector(name, body["spec"]["selector"])
            self.services[name] = body
        elif kind == names.DEPLOYMENT:
            self.deployments.setdefault(name, Deployment(0)).wanted = body["spec"]["replicas"]
        elif kind == names.CONTROLLER_REVISION:
            kept = self.revisions.get(name, body)  # only its metadata and its number may change
            number = max(kept["revision"], body["revision"])
            self.revisions[name] = body | {"data": kept["data"], "revision": number}
            self._version[name] = body["data"]["model"]["version"]
            self._digest[name] = body["data"]["resolved"]["models"][0]["digest"]
        elif kind == names.POD_DISRUPTION_BUDGET:
            self.budgets.add(name)
        elif kind in names.ROUTE_KINDS:
            before = self.routes.get(kind, {"metadata": {"generation": 0}})
            generation = before["metadata"]["generation"] + (before.get("spec") != body["spec"])
            metadata = body["metadata"] | {"generation": generation}
            self.routes[kind] = body | {"metadata": metadata, "status": before.get("status", {})}
        self.bodies[kind.kind, name] = body

    def _delete(self, kind: names.Kind, name: str) -> None:
        self.writes += 1
        self.bodies.pop((kind.kind, name), None)
        if kind == names.DEPLOYMENT:
            self._delete_deployment(name)
        elif kind == names.SERVICE:
            del self.services[name]
        elif kind == names.CONTROLLER_REVISION:
            del self.revisions[name]
        elif kind == names.POD_DISRUPTION_BUDGET:
            self.budgets.remove(name)
        elif kind in names.ROUTE_KINDS:
            del self.routes[kind]
            self._taken.pop(kind, None)

    def _gateway(self) -> None:
        """Take over the routes as they were written, a GRPCRoute a tick later, and send requests by their weights."""
        for kind, body in self.routes.items() if self.gateway else ():
            generation = body["metadata"]["generation"]
            seen, self._noticed[kind] = self._noticed.get(kind), generation
            if kind == names.GRPC_ROUTE and seen != generation:
                continue
            said = [
                {"type": t, "status": "True", "observedGeneration": generation} for t in ("Accepted", "ResolvedRefs")
            ]
            if self.refusal and has_filters(body):
                said = [{**of, **self.refusal} if of["type"] == self.refusal["type"] else of for of in said]
            body["status"] = {
                "parents": [
                    {"controllerName": self.controller, "parentRef": ref, "conditions": said}
                    for ref in body["spec"]["parentRefs"]
                ]
            }
            if route_of(body).accepted:
                self._taken[kind] = route_of(body)
        if not self.by_pods:
            before, self._backends = self._backends, {}
            self.weights = {}
            for route in self._taken.values():
                for name in route.backends:
                    self._backends[name] = before.get(name, self.now)
                for name, weight in route.weights.items():
                    self.weights[name] = max(weight, self.weights.get(name, 0))
            if self.sticky:
                self.weights = dict.fromkeys(self.weights, 0) | {self.sticky: 100}
        else:
            in_service = Counter(pod.revision for pod in self.serving())
            self.weights = {name: 100 * pods // in_service.total() for name, pods in in_service.items()}
        for revision, weight in self.weights.items():
            serving = [pod for pod in self.of(revision) if pod.serves]
            for pod in serving:
                requests = self.load * weight // (100 * len(serving))
                pod.requests += requests
                pod.failed += round(requests * self.errors.get(self._version[revision], 0.0))
                pod.slow += round(requests * self.slowness.get(self._version[revision], 0.0))

    def _check_route(self, before: dict[str, int]) -> None:
        """No revision gets more requests than its pods carry: when its share rises those that are ready, then all.

        Args:
            before: the weights a tick ago.
        """
        wanted = min(*self.recent(6), len(self.backed))  # where there are fewer, each has more, as far as was known
        if self.spec.rollout.strategy != "Canary" or self.by_pods:  # by pods no revision gets more than its own
            return
        if self.now < self.quiet_from or len(set(self.recent(6))) > 1:
            return
        stable = (self.status.get("stable") or {}).get("name", "")
        if len(self.serving()) < wanted or stable not in {pod.revision for pod in self.backed}:  # it has fallen anyway
            return
        if self._backends.get(stable, self.now) > self.now - 2 * TICK:  # it is back, and the Gateway has yet to know it
            return
        for revision, weight in self.weights.items():
            ready = len([pod for pod in self.of(revision) if pod.serves])
            had = before.get(revision, 0)
            carries = ready if 0 < had < weight else self.deployments[revision].wanted
            if before and weight * wanted > 100 * carries + 2 * wanted:
                raise Violation(f"{self}: {weight} % of the requests go to {carries} of {wanted} pods of {revision}")
        for direct in [route_of(body).direct for body in self.routes.values() if self.gateway]:
            if direct is None or not direct.headers or self.deployments[direct.revision].wanted:
                continue
            raise Violation(f"{self}: requests with {direct.headers} go to {direct.revision}, which has no pods")

    def _resolve(self, pod: Json) -> None:
        """Answer at once, as the source is now."""
        self.writes += 1
        variables = pod["spec"]["containers"][0]["env"]
        order = json.loads(next(v["value"] for v in variables if v["name"] == ORDER))
        found = [
            {"name": m["name"], "version": m["version"] or self.highest, "digest": self.digest} for m in order["models"]
        ]
        said = {"reason": self.silence, "message": "it does not answer"} if self.silent else {"models": found}
        ended = {"name": "resolve", "state": {"terminated": {"message": json.dumps(said)}}}
        phase = "Failed" if self.silent else "Succeeded"
        status = {"phase": phase, "containerStatuses": [ended]}
        self.resolvers.append(pod | {"metadata": pod["metadata"] | {"uid": "r"}, "status": status})

    def _end_resolver(self, name: str) -> None:
        self.resolvers = [pod for pod in self.resolvers if pod["metadata"]["name"] != name]

    def _delete_deployment(self, name: str) -> None:
        before = len(self.serving())
        del self.deployments[name]
        for pod in self.of(name):
            self._end(pod)
        self._check_capacity(before, f"the Deployment {name} was deleted")

    def _kubelet(self) -> None:
        self.pods = [pod for pod in self.pods if pod.ends is None or pod.ends > self.now]
        self._place()
        for pod in self.pods:
            sourceless = not pod.loaded and pod.healthy and self._digest.get(pod.revision) not in (None, self.digest)
            if pod.sourceless and not sourceless and pod.placed is not None:
                pod.placed = self.now  # the kubelet tries again, and now it can be loaded
            pod.sourceless = sourceless
            placed = self.now if pod.placed is None or sourceless else pod.placed
            pod.loaded = pod.loaded or placed + self.load_ticks * TICK <= self.now
            ready = pod.healthy and pod.loaded and pod.down_until <= self.now and pod.ends is None
            pod.ready, pod.turned = ready, pod.turned if ready == pod.ready else self.now

    def _place(self) -> None:
        free = self.slots - sum(pod.placed is not None for pod in self.pods)
        waiting = [pod for pod in self.pods if pod.placed is None and pod.ends is None]
        for pod in [pod for pod in waiting if self._version[pod.revision] not in self.nowhere][: max(0, free)]:
            pod.placed = self.now

    def _deployments(self) -> None:
        for name, deployment in self.deployments.items():
            before = len(self.serving())
            living = [pod for pod in self.of(name) if pod.ends is None]
            for pod in sorted(living, key=lambda p: (p.ready, -p.born))[: max(0, len(living) - deployment.wanted)]:
                self._end(pod)
            for _ in range(deployment.wanted - len(living)):
                self._made += 1
                healthy = self._version[name] not in self.broken
                self.pods.append(Pod(f"{name}-{self._made}", name, self.now, healthy))
                self._place()
            living = [pod for pod in self.of(name) if pod.ends is None]
            deployment.pods, deployment.ready = len(living), sum(pod.ready for pod in living)
            self._check_capacity(before, f"the Deployment {name} was scaled to {deployment.wanted}")

    def _end(self, pod: Pod) -> None:
        if pod.placed is None:  # no kubelet has it: the API server deletes it at once
            pod.ends, pod.ready = self.now, False
        elif pod.ends is None:
            pod.ends, pod.ready = self.now + END_TICKS * TICK, False

    # What is promised.

    def _check_preflight(self) -> None:
        """No request reaches a revision that answers otherwise than it must."""
        bad = {p.revision for p in self.serving() if self._version[p.revision] in self.wrong or p.name in self.erring}
        if bad and self.spec.rollout.golden_requests:
            raise Violation(f"{self}: {bad} serve and give wrong answers")

    def check_sets(self) -> None:
        """With BlueGreen no third revision ever has pods."""
        revisions = {pod.revision for pod in self.pods}
        if len(revisions) > 2:
            raise Violation(f"{self}: three revisions have pods")

    def recent(self, ticks: int) -> list[int]:
        """What was desired in the last few ticks."""
        return [desired for at, desired in self._wanted if at > self.now - ticks * TICK] + [self.desired]

    def _check_capacity(self, before: int, act: str) -> None:
        """Ready pods in service never fall below what must stay by the operator's own act."""
        after = len(self.serving())
        if self.now >= self.quiet_from and after < min(before, self.seen_serving, self.least()):
            raise Violation(f"{self}: {act}: {before} ready pods in service became {after}")

    def _check_selector(self, name: str, new: dict[str, str]) -> None:
        old = self.services[name]["spec"]["selector"] if name in self.services else None
        if old is None or old == new or name not in (SERVICE, children.headless_name(SERVICE)):
            return
        before, after = self.serving(old), self.serving(new)
        if before and old.get(names.LABEL_REVISION) and new.get(names.LABEL_REVISION):
            raise Violation(f"{self}: the selector of {name} jumped from {old} to {new} while the old one served")
        judged = routed_to(self.services[SERVICE]) if len({pod.revision for pod in before}) > 1 else None
        if judged and self.by_pods:  # a canary's pods are beside those that serve, and leave at once
            before = [pod for pod in before if pod.revision == judged]
        if self.now >= self.quiet_from and len(after) < min(len(before), self.least()):
            raise Violation(f"{self}: the selector of {name} lost pods: {len(before)} became {len(after)}")

    def _check_rejection(self, plan: Plan) -> tuple[Held, dict[str, str]] | None:
        """A spec stays held until it changes or a person acts, whatever is lost meanwhile.

        Where a person goes back to what fails, it is held for what serves on, unless that is what it asks for.
        """
        before, held = self._held, plan.record.held
        if before and before[0].by == "person":
            fails = self._version.get(before[0].goal) in self.broken | self.wrong | self.strange
            before = None if fails else before
        if before and (before[0].spec != spec_hash(self.spec, before[0].by) or before[1] != self.actions):
            before = None
        if before and held != before[0]:
            raise Violation(f"{self}: {before[0]} was given up for {held}")
        if self.crash_after is not None:  # a child may not say so yet
            return before
        return (held, dict(self.actions)) if held else None

    def _check_surge(self, plan: Plan) -> None:
        """A new revision grows only into what is free: GPUs are not taken twice, not even by pods that are ending.

        What already serves is brought back at once, whatever is ending, and so are a target's own pods: after a
        suspension the stable revision may be beside pods that end, more than the surge of any strategy but BlueGreen,
        which has room for two whole revisions as large as they were.
        """
        wanted = {b["metadata"]["name"]: b["spec"]["replicas"] for k, b in plan.children if k == names.DEPLOYMENT}
        target = plan.record.target
        if target not in wanted:  # the first spec is refused, or looked up; or the target is made anew
            return
        known, desired = decode(self.record) if self.record else None, self.desired
        if self.by_pods and known and known.trial and known.stable in self.deployments and desired:
            desired = max(desired, self.deployments[known.stable].wanted)  # what is beside a canary stays
        most = desired + self.room(desired, target).surge
        if plan.record.resuming:
            if target != plan.record.stable and wanted[target]:
                raise Violation(f"{self}: {target} is to have pods before {plan.record.stable} is back")
            if self.spec.rollout.strategy != "BlueGreen" or plan.record.stable not in wanted:
                return
            target, most = plan.record.stable, 2 * max(self.recent(END_TICKS + 2))
        before = self.deployments[target].wanted if target in self.deployments else 0
        others = {pod.revision for pod in self.pods} | set(wanted)
        total = wanted[target]
        for name in others - {target}:
            living = sum(pod.ends is None for pod in self.of(name))
            total += max(wanted.get(name, 0), living) + len(self.of(name)) - living
        is_quiet = self.now >= self.quiet_from and self._looked_at_pods
        if is_quiet and wanted[target] > before and total > most and len(others) > 1:
            raise Violation(f"{self}: {target} is to have {wanted[target]} pods, which makes {total} of {most}")

    def _check_kept(self, plan: Plan) -> None:
        """Of the revision that serves no pod is given up while one fails because its files are gone."""
        target = plan.record.target
        wanted = {b["metadata"]["name"]: b["spec"]["replicas"] for k, b in plan.children if k == names.DEPLOYMENT}
        before = decode(self.record) if self.record else None  # the look that promotes it still counts for its rollout
        if before is None or not self._looked_at_pods or self.spec.suspend or target not in wanted:
            return
        if not target == before.stable == plan.record.stable:
            return
        now = self.deployments[target].wanted if target in self.deployments else 0
        stuck = any(pod.sourceless and pod.ends is None for pod in self.of(target))
        if stuck and self.deployments[target].ready and wanted[target] < now:
            raise Violation(
                f"{self}: of {now} pods of {target} are to stay {wanted[target]}, though none can be had again"
            )

    def _check_beside(self, plan: Plan) -> None:
        """A canary in the Service never has more than its share of the pods there, and no third revision any."""
        trial, serving = plan.record.trial, plan.record.serving
        wanted = {b["metadata"]["name"]: b["spec"]["replicas"] for k, b in plan.children if k == names.DEPLOYMENT}
        if not self.by_pods or trial is None or trial.promoted or trial.revision not in serving:
            return
        third = {pod.revision for pod in self.pods if pod.ends is None} - {trial.revision, plan.record.stable}
        if third:
            raise Violation(f"{self}: {third} have pods in the Service while {trial.revision} is on trial")
        share = 100 * wanted[trial.revision] // (wanted[trial.revision] + wanted[plan.record.stable or ""])
        if share > trial.weight:
            raise Violation(f"{self}: the pods of {trial.revision} make {share} %, and its weight is {trial.weight}")

    def _watched(self) -> str:
        """Fingerprint what the operator watches; pods and endpoints are not among it."""
        deployments = sorted((name, d.wanted, d.pods, d.ready) for name, d in self.deployments.items())
        listed = sorted(self.services), sorted(self.revisions), sorted(self.budgets)
        return json.dumps(
            [self.generation, self.actions, self.status, self.record, deployments, self.selector, listed]
            + [body for _, body in sorted(self.routes.items(), key=str)]
        )

    def _pod(self, pod: Pod) -> Json:
        made_by = self.bodies.get((names.DEPLOYMENT.kind, pod.revision))
        annotations = made_by["spec"]["template"]["metadata"]["annotations"] if made_by else {}
        metadata: Json = {
            "name": pod.name,
            "uid": pod.name,
            "creationTimestamp": str(pod.born),
            "labels": {names.LABEL_SERVICE: SERVICE, names.LABEL_REVISION: pod.revision},
            "annotations": annotations,
        }
        if pod.ends is not None:
            metadata["deletionTimestamp"] = str(pod.ends)
        ready = {"type": "Ready", "status": str(pod.ready), "lastTransitionTime": timestamp(pod.turned)}
        status: Json = {"conditions": [ready], "podIP": "10.0.0.1"}
        if pod.placed is None:
            words = f"0/1 nodes are available: 1 Insufficient {annotations.get(names.ANNOTATION_GPU, 'cpu')}."
            homeless = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": words}
            status["conditions"].append(homeless)
        if not pod.healthy or pod.sourceless:
            reason = "SourceChanged" if pod.sourceless else "BadConfig" if self.final else "StorageError"
            said = json.dumps({"reason": reason, "message": "its files changed" if pod.sourceless else "it is broken"})
            ended = {"terminated": {"exitCode": 1, "message": said}}
            status["initContainerStatuses"] = [{"name": names.CONTAINER_PREPARE, "state": ended}]
        return {"metadata": metadata, "status": status}

    def __str__(self) -> str:
        pods = {
            name: f"{sum(p.serves for p in self.of(name))} ready, {sum(p.ends is None for p in self.of(name))} in all,"
            f" {sum(p.ends is not None for p in self.of(name))} ending"
            for name in sorted({pod.revision for pod in self.pods})
        }
        wanted = {name: d.wanted for name, d in self.deployments.items()}
        return (
            f"tick {(self.now - START) / TICK:g}: desired {self.desired}, pods {pods}, wanted {wanted}, {self.record}"
        )
