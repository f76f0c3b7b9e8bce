"""What a spec asks of a node, in each provider's own words, and what a provider cannot give."""

from typing import Any

import pytest

from triton_operator.api.gpu_settings import GpuProfile, GpuSettings
from triton_operator.api.spec import InferenceServiceSpec
from triton_operator.core.placement import Unplaceable, place
from triton_operator.core.providers import PROFILES, profile_of
from triton_operator.resources.placement import Placement

Json = dict[str, Any]
WHOLE = "nvidia.com/gpu"
MODEL: Json = {"name": "resnet50", "uri": "pvc://models", "version": 7}


def placed(provider: str, gpu: Json, *, runtime: Json | None = None, **profile: Any) -> Placement:
    spec = InferenceServiceSpec.model_validate({"model": MODEL, "gpu": gpu, "runtime": runtime or {}})
    settings = GpuSettings.model_validate({"provider": provider, "profile": profile})
    return place(spec, profile_of(settings))


def refusal(provider: str, gpu: Json, **more: Any) -> str:
    with pytest.raises(Unplaceable) as refused:
        placed(provider, gpu, **more)
    assert refused.value.reason == "UnsupportedByProvider"
    return str(refused.value)


def written(placement: Placement) -> list[str]:
    return [f"{r['key']} {r['operator']} {','.join(r.get('values', []))}".rstrip() for r in placement.requirements]


def tolerated(placement: Placement) -> list[str]:
    return [f"{t['key']}={t.get('value', '*')}:{t['effect']}" for t in placement.tolerations]


@pytest.mark.parametrize(
    ("provider", "gpu", "resource", "requirement"),
    [
        pytest.param(provider, gpu, resource, requirement, id=f"{provider} {next(iter(gpu), 'nothing')}")
        for provider, gpu, resource, requirement in (
            ("gpu-operator", {"products": ["NVIDIA-L4"]}, WHOLE, "nvidia.com/gpu.product In NVIDIA-L4"),
            ("gpu-operator", {"minMemory": "40Gi"}, WHOLE, "nvidia.com/gpu.memory Gt 40959"),
            ("gpu-operator", {"minMemory": "20000Mi"}, WHOLE, "nvidia.com/gpu.memory Gt 19999"),
            ("gpu-operator", {"sharing": "TimeSlicing"}, WHOLE, "nvidia.com/gpu.sharing-strategy In time-slicing"),
            ("gpu-operator", {"sharing": "MPS"}, WHOLE, "nvidia.com/gpu.sharing-strategy In mps"),
            ("gpu-operator", {"mig": "1g.10gb"}, "nvidia.com/mig-1g.10gb", None),
            ("gpu-operator", {"mig": "1g.10gb+me"}, "nvidia.com/mig-1g.10gb.me", None),
            ("gpu-operator", {}, WHOLE, "nvidia.com/gpu.slices.gi DoesNotExist"),
            ("gpu-operator", {}, WHOLE, "nvidia.com/gpu.sharing-strategy NotIn time-slicing,mps"),
            ("gke", {"products": ["nvidia-l4"]}, WHOLE, "cloud.google.com/gke-accelerator In nvidia-l4"),
            ("gke", {"mig": "1g.5gb"}, WHOLE, "cloud.google.com/gke-gpu-partition-size In 1g.5gb"),
            ("gke", {"sharing": "TimeSlicing"}, WHOLE, "cloud.google.com/gke-gpu-sharing-strategy In time-sharing"),
            ("gke", {"spot": "Require"}, WHOLE, "cloud.google.com/gke-spot In true"),
            ("gke", {"spot": "Forbid"}, WHOLE, "cloud.google.com/gke-spot NotIn true"),
            ("gke", {"nodePool": "l4"}, WHOLE, "cloud.google.com/gke-nodepool In l4"),
            ("gke", {}, WHOLE, "cloud.google.com/gke-gpu-partition-size DoesNotExist"),
            ("gke", {}, WHOLE, "cloud.google.com/gke-gpu-sharing-strategy NotIn time-sharing,mps"),
            ("eks", {"products": ["nvidia-l4"]}, WHOLE, "k8s.amazonaws.com/accelerator In nvidia-l4"),
            ("eks", {"mig": "1g.10gb"}, "nvidia.com/mig-1g.10gb", None),
            ("eks", {"spot": "Require"}, WHOLE, "eks.amazonaws.com/capacityType In SPOT"),
            ("eks", {"nodePool": "g6"}, WHOLE, "eks.amazonaws.com/nodegroup In g6"),
            ("karpenter", {"products": ["l4", "a10g"]}, WHOLE, "karpenter.k8s.aws/instance-gpu-name In a10g,l4"),
            ("karpenter", {"minMemory": "20Gi"}, WHOLE, "karpenter.k8s.aws/instance-gpu-memory Gt 20479"),
            ("karpenter", {"spot": "Forbid"}, WHOLE, "karpenter.sh/capacity-type NotIn spot"),
            ("karpenter", {"nodePool": "gpu"}, WHOLE, "karpenter.sh/nodepool In gpu"),
            ("aks", {"mig": "1g.10gb"}, "nvidia.com/mig-1g.10gb", None),
            ("aks", {"spot": "Require"}, WHOLE, "kubernetes.azure.com/scalesetpriority In spot"),
            ("aks", {"nodePool": "gpunp"}, WHOLE, "kubernetes.azure.com/agentpool In gpunp"),
        )
    ],
)
def test_a_field_becomes_what_the_provider_calls_it(
    provider: str, gpu: Json, resource: str, requirement: str | None
) -> None:
    placement = placed(provider, gpu)

    assert (placement.resource_name, placement.count) == (resource, 1)
    assert requirement is None or requirement in written(placement)


@pytest.mark.parametrize("provider", list(PROFILES))
def test_without_gpus_nothing_is_asked_of_a_node(provider: str) -> None:
    assert placed(provider, {"count": 0}) == Placement()


@pytest.mark.parametrize("provider", list(PROFILES))
def test_a_count_alone_can_be_given_everywhere(provider: str) -> None:
    placement = placed(provider, {"count": 4})

    assert (placement.resource_name, placement.count, placement.short_notice) == (WHOLE, 4, False)
    assert not [requirement for requirement in written(placement) if " In " in requirement or " Gt " in requirement]
    assert "nvidia.com/gpu=*:NoSchedule" in tolerated(placement)


@pytest.mark.parametrize(
    ("provider", "spot", "tolerations"),
    [
        pytest.param("gke", "Forbid", [], id="gke forbid"),
        pytest.param("gke", "Allow", ["cloud.google.com/gke-spot=true:NoSchedule"], id="gke allow"),
        pytest.param("gke", "Require", ["cloud.google.com/gke-spot=true:NoSchedule"], id="gke require"),
        pytest.param("aks", "Forbid", ["sku=gpu:NoSchedule"], id="aks forbid"),
        pytest.param(
            "aks",
            "Allow",
            ["sku=gpu:NoSchedule", "kubernetes.azure.com/scalesetpriority=spot:NoSchedule"],
            id="aks allow",
        ),
        pytest.param("eks", "Require", [], id="eks, whose spot nodes have no taint"),
        pytest.param("gpu-operator", "Allow", [], id="gpu operator, which knows no spot nodes"),
    ],
)
def test_taints_are_tolerated_as_far_as_spot_says(provider: str, spot: str, tolerations: list[str]) -> None:
    placement = placed(provider, {"spot": spot})

    assert tolerated(placement) == ["nvidia.com/gpu=*:NoSchedule", *tolerations]
    assert placement.short_notice is (spot != "Forbid")


def test_allowed_spot_nodes_are_neither_asked_for_nor_avoided() -> None:
    assert not [requirement for requirement in written(placed("gke", {"spot": "Allow"})) if "spot" in requirement]


def test_a_resource_that_the_user_names_says_itself_what_it_is() -> None:
    placement = placed("gpu-operator", {"count": 2, "resourceName": "nvidia.com/gpu.shared", "products": ["NVIDIA-L4"]})

    assert (placement.resource_name, placement.count) == ("nvidia.com/gpu.shared", 2)
    assert written(placement) == ["nvidia.com/gpu.product In NVIDIA-L4"]


@pytest.mark.parametrize(
    ("provider", "gpu", "words"),
    [
        pytest.param(provider, gpu, words, id=f"{provider} {next(iter(gpu))}")
        for provider, gpu, words in (
            ("gpu-operator", {"nodePool": "a"}, "spec.gpu.nodePool: the cluster's GPU profile has no label for it"),
            ("gpu-operator", {"spot": "Require"}, "spec.gpu.spot: the cluster's GPU profile has no label for it"),
            ("gke", {"minMemory": "1Gi"}, "spec.gpu.minMemory: the cluster's GPU profile has no label for it"),
            ("gke", {"sharing": "MPS"}, "spec.gpu.sharing: MPS wants hostIPC here, which pods of models never have"),
            ("eks", {"minMemory": "1Gi"}, "remove minMemory, or have memoryLabel set in the operator's gpu.profile"),
            ("eks", {"sharing": "TimeSlicing"}, "or have sharingLabel set in the operator's gpu.profile"),
            ("karpenter", {"mig": "1g.10gb"}, "spec.gpu.mig: the cluster's GPU profile has no MIG: remove mig"),
            ("karpenter", {"sharing": "MPS"}, "spec.gpu.sharing: the cluster's GPU profile has no label for it"),
            ("aks", {"products": ["a"]}, "remove products, or have productLabel set in the operator's gpu.profile"),
            ("custom", {"products": ["a"]}, "spec.gpu.products: the cluster's GPU profile has no label for it"),
        )
    ],
)
def test_what_a_provider_cannot_give_is_refused_by_the_field_and_with_a_remedy(
    provider: str, gpu: Json, words: str
) -> None:
    assert words in refusal(provider, gpu)


def test_all_that_cannot_be_given_is_named_at_once() -> None:
    told = refusal("custom", {"products": ["a"], "minMemory": "1Gi", "nodePool": "a", "spot": "Require"})

    assert [part.split(":")[0] for part in told.split("; ")] == [
        "spec.gpu.products",
        "spec.gpu.minMemory",
        "spec.gpu.spot",
        "spec.gpu.nodePool",
    ]


def test_where_pools_scale_from_zero_only_labels_of_a_template_can_be_asked_for() -> None:
    gpu = {"products": ["NVIDIA-L4"]}

    told = refusal("gpu-operator", gpu, scalesFromZero=True)

    assert "a node has the label nvidia.com/gpu.product only once it runs" in told
    assert "spec.gpu.products" in told
    assert "templateLabels" in told
    templates = ["nvidia.com/gpu.product"]
    assert placed("gpu-operator", gpu, scalesFromZero=True, templateLabels=templates) == placed("gpu-operator", gpu)
    # What keeps away from a label holds on a node without it.
    assert placed("gpu-operator", {}, scalesFromZero=True) == placed("gpu-operator", {})
    assert placed("gpu-operator", {"mig": "1g.10gb"}, scalesFromZero=True).resource_name == "nvidia.com/mig-1g.10gb"


def test_every_label_of_a_cloud_is_on_the_templates_of_its_nodes() -> None:
    for provider in ("gke", "eks", "karpenter", "aks"):
        profile = PROFILES[provider]  # type: ignore[index]  # a plain text here
        labels = {getattr(profile, name) for name in GpuProfile.model_fields if name.endswith("Label")} - {""}
        assert (profile.scalesFromZero, set(profile.templateLabels)) == (True, labels), provider


def test_a_profile_is_laid_over_that_of_the_provider() -> None:
    single = {"migResourceName": WHOLE, "migLabel": "nvidia.com/mig.config", "migValue": "all-{mig}"}

    placement = placed("gpu-operator", {"mig": "1g.10gb"}, **single)

    assert placement.resource_name == WHOLE
    assert "nvidia.com/mig.config In all-1g.10gb" in written(placement)
    assert "nvidia.com/gpu.slices.gi DoesNotExist" in written(placed("gpu-operator", {}, **single))


def test_a_share_may_be_another_resource() -> None:
    placement = placed("gpu-operator", {"sharing": "TimeSlicing"}, sharedResourceName="nvidia.com/gpu.shared")

    assert placement.resource_name == "nvidia.com/gpu.shared"


def test_slices_that_nothing_tells_apart_are_refused() -> None:
    told = refusal("gpu-operator", {"mig": "1g.10gb"}, migResourceName=WHOLE)

    assert "neither the resource nvidia.com/gpu nor a label tells the sizes of slices apart" in told
    assert "migLabel" in told


@pytest.mark.parametrize("side", ["requests", "limits"])
def test_the_gpu_resource_of_the_cluster_is_not_taken_twice(side: str) -> None:
    told = refusal(
        "custom",
        {"count": 1},
        resourceName="amd.com/gpu",
        runtime={"resources": {side: {"amd.com/gpu": 1}}},
    )

    assert told == "spec.runtime.resources: amd.com/gpu is the GPU resource of this cluster: set spec.gpu.count instead"
