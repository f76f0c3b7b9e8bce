import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings

from tests.resolved import resolved
from triton_operator.api.gpu_settings import GpuProfile, GpuSettings
from triton_operator.api.settings import Settings
from triton_operator.api.spec import InferenceServiceSpec
from triton_operator.core.revision import render, to_data
from triton_operator.resources.children import Owner, controller_revision, deployment

from .api_server import Answer, ApiServer, inference_service, services_path
from .full_spec import FULL, MINIMAL
from .random_specs import specs

Json = dict[str, Any]

EVERY_LABEL = {
    f"{name}Label": f"example.com/{name}"
    for name in ("product", "memory", "mig", "slice", "sharing", "spot", "nodePool")
}
SETTINGS = Settings(
    prepareImage="triton-operator:1",
    prepareImagePullSecrets=("registry",),
    gpu=GpuSettings(provider="custom", profile=GpuProfile.model_validate(EVERY_LABEL)),
)
OWNER = Owner(name="sample", namespace="default", uid="11111111-1111-4111-8111-111111111111")


def dry_run(server: ApiServer, body: Json, plural: str) -> Answer:
    path = f"/apis/apps/v1/namespaces/default/{plural}/{body['metadata']['name']}"
    return server.apply(body, path=path, dry_run=True)


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(spec=specs())
def test_every_spec_within_the_bounds_is_read_whole_and_rendered(spec: Json) -> None:
    read = InferenceServiceSpec.model_validate(spec)

    written = read.model_dump(by_alias=True, exclude_unset=True, exclude_none=True, mode="json")
    assert written == spec
    revision = render("sample", read, SETTINGS, resolved(read), number=1)
    assert json.loads(json.dumps(revision.template)) == revision.template


@pytest.mark.cluster
@settings(max_examples=50, deadline=None, suppress_health_check=list(HealthCheck))
@given(spec=specs())
def test_what_admission_takes_makes_a_deployment_that_the_api_server_takes(server: ApiServer, spec: Json) -> None:
    taken = server.try_spec(spec)
    assert taken.code == 201, taken.body

    read = InferenceServiceSpec.model_validate(taken.body["spec"])
    revision = render("sample", read, SETTINGS, resolved(read), number=1)
    built = deployment(
        OWNER,
        revision.name,
        template=revision.template,
        replicas=read.replicas,
        progress_deadline_seconds=1500,
        restarted=None,
        surge=True,
    )

    answer = dry_run(server, built, "deployments")
    assert answer.code == 201, answer.body


def largest() -> Json:
    """Make a spec as large as the bounds allow, of characters of four bytes where any are allowed."""
    crab = "🦀"
    runtime = FULL["runtime"] | {
        "args": [crab * 1024] * 64,
        "env": [{"name": f"{number:03}".rjust(256, "N"), "value": crab * 4096} for number in range(64)],
        "annotations": {f"example.com/{number:03}": crab * 1024 for number in range(32)},
        "labels": {f"{'l' * 60}{number:03}": "v" * 63 for number in range(32)},
    }
    return MINIMAL | {"runtime": runtime}


@pytest.mark.cluster
def test_the_largest_spec_makes_children_that_can_be_stored(server: ApiServer, own_namespace: str) -> None:
    body = inference_service(largest(), name="sample", namespace=own_namespace)
    taken = server.ask("POST", services_path(own_namespace), body=body, fieldManager="tests")
    assert taken.code == 201, taken.body
    read = InferenceServiceSpec.model_validate(taken.body["spec"])
    revision = render("sample", read, SETTINGS, resolved(read), number=1)
    owner = Owner(name="sample", namespace=own_namespace, uid=OWNER.uid)
    children = {
        "deployments": deployment(
            owner,
            revision.name,
            template=revision.template,
            replicas=0,
            progress_deadline_seconds=1500,
            restarted=None,
            surge=True,
        ),
        "controllerrevisions": controller_revision(
            owner, revision.name, number=1, data=to_data(revision), rejected=None
        ),
    }

    for plural, body in children.items():
        path = f"/apis/apps/v1/namespaces/{own_namespace}/{plural}/{revision.name}"
        answer = server.apply(body, path=path)
        assert answer.code == 201, answer.body
