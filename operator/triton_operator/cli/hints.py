"""Good practice: what an API server takes, and people regret.

Each rule is one function from a spec to what it has to say. Not for: what is wrong; that is `cli.breaches`.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from triton_operator.api.spec import InferenceServiceSpec


@dataclass(frozen=True, slots=True)
class Hint:
    """One thing to think about.

    Attributes:
        field: where.
        message: what may happen, and what to do.
    """

    field: str
    message: str


def hints(spec: InferenceServiceSpec) -> tuple[Hint, ...]:
    """List what is worth thinking about in a spec that is taken."""
    return tuple(hint for rule in RULES for hint in rule(spec))


def _version(spec: InferenceServiceSpec) -> Iterator[Hint]:
    if spec.model.version is None:
        yield Hint(
            "spec.model.version",
            "is left out: the highest version at the source is looked up once, and Git does not tell which one serves;"
            " write it down",
        )


def _image(spec: InferenceServiceSpec) -> Iterator[Hint]:
    image = spec.runtime.image
    if image and "@" not in image and (image.endswith(":latest") or ":" not in image.rpartition("/")[2]):
        yield Hint("spec.runtime.image", f"{image} may be another one tomorrow: name a tag, or better a digest")


def _one_replica(spec: InferenceServiceSpec) -> Iterator[Hint]:
    scaled = spec.autoscaling and spec.autoscaling.mode == "Auto"
    least = spec.autoscaling.min_replicas if spec.autoscaling and scaled else spec.replicas
    if least == 1 and not spec.suspend:
        field = "spec.autoscaling.minReplicas" if scaled else "spec.replicas"
        yield Hint(field, "is 1: when its node is lost nothing serves until another pod has loaded; 2 keep serving")


def _memory(spec: InferenceServiceSpec) -> Iterator[Hint]:
    resources = spec.runtime.resources
    if not ((resources and resources.requests) or {}).get("memory"):
        yield Hint(
            "spec.runtime.resources.requests.memory",
            "is left out: a node may take more models than it has memory for, and their pods are evicted first",
        )


def _judged(spec: InferenceServiceSpec) -> Iterator[Hint]:
    if spec.rollout.strategy == "Canary" and spec.rollout.analysis is None:
        yield Hint(
            "spec.rollout.analysis",
            "is left out: steps go by time, and only gross errors roll a canary back; {} judges it by failed requests",
        )


def _golden(spec: InferenceServiceSpec) -> Iterator[Hint]:
    if spec.rollout.golden_requests is None:
        yield Hint(
            "spec.rollout.goldenRequests",
            "is left out: a new revision that loads, and answers nonsense, gets requests all the same",
        )


def _measured(spec: InferenceServiceSpec) -> Iterator[Hint]:
    if spec.autoscaling and spec.autoscaling.objective and spec.routing.gateway is None:
        histograms = any("histogram_latencies=true" in arg for arg in spec.runtime.args or ())
        if not histograms:
            yield Hint(
                "spec.autoscaling.objective",
                "is of a latency that nobody measures: a Gateway's proxies do with spec.routing.gateway, or Triton with"
                " --metrics-config histogram_latencies=true among spec.runtime.args",
            )


def _both_counts(spec: InferenceServiceSpec) -> Iterator[Hint]:
    wish = spec.autoscaling
    if wish and wish.mode == "Auto" and wish.min_replicas == wish.max_replicas:
        yield Hint("spec.autoscaling", "has as many minReplicas as maxReplicas: nothing is ever scaled")


RULES: tuple[Callable[[InferenceServiceSpec], Iterator[Hint]], ...] = (
    _version,
    _image,
    _one_replica,
    _memory,
    _judged,
    _golden,
    _measured,
    _both_counts,
)
