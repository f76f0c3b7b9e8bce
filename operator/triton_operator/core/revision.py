"""Revisions: immutable, runnable combinations of model, image, arguments and GPUs.

A revision is rendered once, whole, and kept in a ControllerRevision; its Deployment is built from that for ever after,
so that a new operator with other defaults restarts no model pod that is well or gets on.
Not for: which revision serves; that is `core.rollout`.
"""

import json
from dataclasses import dataclass
from typing import Any

from triton_operator.api.names import ANNOTATION_GPU, ANNOTATION_RESTARTED, CONTAINER_PREPARE, CONTAINER_TRITON
from triton_operator.api.settings import Settings
from triton_operator.api.spec import InferenceServiceSpec
from triton_operator.core.drift import applied
from triton_operator.core.placement import place
from triton_operator.core.providers import profile_of
from triton_operator.core.resolution import Resolution, from_json, short_hash, sources_of, with_copies
from triton_operator.resources.labels import revision_labels
from triton_operator.resources.pod import pod_template
from triton_operator.resources.sources import ORDER

SCHEMA = 1


@dataclass(frozen=True, slots=True)
class Revision:
    """What runs, frozen.

    Attributes:
        name: `<service>-<hash>`, also the name of its Deployment and Service.
        number: from 1; that of the revision which the spec asked for last is the greatest.
        model: name under which Triton serves the model.
        uri: where the model directory is.
        version: version of the model.
        gpu_count: GPUs of one replica; 0 for the CPU.
        load_timeout_seconds: how long Triton may load.
        template: the rendered pod template.
        resolution: what its sources resolved to; None if that is lost.
    """

    name: str
    number: int
    model: str
    uri: str
    version: int
    gpu_count: int
    load_timeout_seconds: int
    template: dict[str, Any]
    resolution: Resolution | None = None


def revision_name(service: str, spec: InferenceServiceSpec, resolution: Resolution) -> str:
    """Name the revision that a spec asks for.

    The hash covers what the user chose and leaves out what equals the API's default, so that a field added to the API
    with a default changes no name. A default, once released, must therefore never change. Versions and contents count
    as they were found: a version that was left out, and the same one written down, make one revision.

    Args:
        service: name of the service, at most 45 characters.
        spec: its spec.
        resolution: what its sources resolved to.

    Returns:
        `<service>-<hash>`, at most 56 characters.
    """
    chosen = chosen_by(spec)
    chosen["model"].pop("version", None)
    for dependency in chosen["model"].get("dependencies", ()):
        dependency.pop("version", None)
    found = resolution.to_json()
    return f"{service}-{short_hash(chosen | {'resolved': found['models'], 'copies': found['copies']})}"


def chosen_by(spec: InferenceServiceSpec) -> dict[str, Any]:
    """Give what a user has chosen of a revision, without what equals the API's default."""
    chosen: dict[str, Any] = spec.model_dump(
        include={"model", "runtime", "gpu"}, by_alias=True, exclude_defaults=True, exclude_none=True, mode="json"
    )
    return chosen


def spec_hash(spec: InferenceServiceSpec, by: str) -> str:
    """Make what stands for a spec that is held.

    Args:
        spec: the spec.
        by: who holds it: for the operator a change of spec.rollout may be the remedy, a person has meant the model.
    """
    chosen = chosen_by(spec)
    if by == "operator":
        chosen["rollout"] = spec.rollout.model_dump(
            by_alias=True, exclude_defaults=True, exclude_none=True, mode="json"
        )
    return short_hash(chosen)


def render(
    service: str, spec: InferenceServiceSpec, settings: Settings, resolution: Resolution, *, number: int
) -> Revision:
    """Render the revision that a spec asks for, with the operator's settings of now.

    Args:
        service: name of the service.
        spec: its spec.
        settings: the operator's settings, frozen into the revision.
        resolution: what its sources resolved to.
        number: number of the new revision, 1 or more.

    Returns:
        The revision.

    Raises:
        Unplaceable: the cluster's GPU profile cannot give what the spec asks for.
    """
    name = revision_name(service, spec, resolution)
    template = pod_template(
        spec,
        settings,
        labels=revision_labels(service, name),
        placement=place(spec, profile_of(settings.gpu)),
        sources=sources_of(spec, resolution),
    )
    return Revision(
        name=name,
        number=number,
        model=spec.model.name,
        uri=spec.model.uri,
        version=resolution.models[0].version,
        gpu_count=spec.gpu.count,
        load_timeout_seconds=spec.runtime.load_timeout_seconds,
        template=with_copies(template, resolution.copies),
        resolution=resolution,
    )


def to_data(revision: Revision) -> dict[str, Any]:
    """Lay a revision out as the `data` of a ControllerRevision."""
    return {
        "schema": SCHEMA,
        "model": {"name": revision.model, "uri": revision.uri, "version": revision.version},
        "gpuCount": revision.gpu_count,
        "loadTimeoutSeconds": revision.load_timeout_seconds,
        "template": revision.template,
        "resolved": revision.resolution.to_json() if revision.resolution else None,
    }


def from_object(body: dict[str, Any]) -> Revision | None:
    """Read a revision from a ControllerRevision.

    Args:
        body: the object.

    Returns:
        The revision, or None if its data are of an unknown schema, or damaged.
    """
    try:
        data = body["data"]
        if data["schema"] != SCHEMA:
            return None
        model = data["model"]
        return Revision(
            name=body["metadata"]["name"],
            number=int(body.get("revision", 0)),
            model=str(model["name"]),
            uri=str(model["uri"]),
            version=int(model["version"]),
            gpu_count=int(data["gpuCount"]),
            load_timeout_seconds=int(data["loadTimeoutSeconds"]),
            template=dict(data["template"]),
            resolution=from_json(data.get("resolved")),
        )
    except (KeyError, TypeError, ValueError, AttributeError):
        return None


def from_deployment(body: dict[str, Any]) -> Revision | None:
    """Rebuild a revision whose ControllerRevision is lost or unreadable from its Deployment, so that it can be run on.

    Args:
        body: the Deployment.

    Returns:
        The revision, with number 0, or None if the Deployment is not one of ours.
    """
    try:
        template = applied(body)["spec"]["template"]
        annotations = template["metadata"].get("annotations", {})
        annotations.pop(ANNOTATION_RESTARTED, None)
        pod = template["spec"]
        prepare = next(c for c in pod["initContainers"] if c["name"] == CONTAINER_PREPARE)
        triton = next(c for c in pod["containers"] if c["name"] == CONTAINER_TRITON)
        order = json.loads(next(e["value"] for e in prepare["env"] if e["name"] == ORDER).replace("$$", "$"))
        model = order["models"][0]
        probe = triton["startupProbe"]
        limits = triton["resources"].get("limits", {})
        return Revision(
            name=body["metadata"]["name"],
            number=0,
            model=str(model["name"]),
            uri=str(model["uri"]),
            version=int(model["version"]),
            gpu_count=int(limits[annotations[ANNOTATION_GPU]]) if ANNOTATION_GPU in annotations else 0,
            load_timeout_seconds=int(probe["periodSeconds"]) * int(probe["failureThreshold"]),
            template=template,
        )
    except (KeyError, TypeError, ValueError, AttributeError, StopIteration):
        return None
