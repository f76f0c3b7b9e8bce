"""What specs become with each provider, as files to read; `UPDATE_GOLDEN=1 pytest tests/resources` writes them anew."""

import os
from pathlib import Path
from typing import Any

import kubernetes_validate  # type: ignore[import-untyped]  # it has no stubs
import pytest
import yaml

from tests.resolved import resolved
from triton_operator.api.gpu_settings import GpuSettings
from triton_operator.api.names import CONTAINER_TRITON
from triton_operator.api.settings import Settings
from triton_operator.api.spec import InferenceServiceSpec
from triton_operator.core.placement import Unplaceable
from triton_operator.core.revision import render
from triton_operator.resources.children import Owner, deployment

Json = dict[str, Any]
GOLDEN = Path(__file__).parent / "golden" / "placements"
OWNER = Owner("vision", "models", "00000000-0000-0000-0000-000000000001")

PROFILES: dict[str, Json] = {
    **{name: {"provider": name} for name in ("gpu-operator", "gke", "eks", "karpenter", "aks", "custom")},
    "gpu-operator-mig-single": {
        "provider": "gpu-operator",
        "profile": {
            "migResourceName": "nvidia.com/gpu",
            "migLabel": "nvidia.com/mig.config",
            "migValue": "all-{mig}",
        },
    },
    "gpu-operator-from-zero": {"provider": "gpu-operator", "profile": {"scalesFromZero": True}},
    "karpenter-auto-mode": {
        "provider": "karpenter",
        "profile": {
            "productLabel": "eks.amazonaws.com/instance-gpu-name",
            "memoryLabel": "eks.amazonaws.com/instance-gpu-memory",
            "templateLabels": [
                "eks.amazonaws.com/instance-gpu-name",
                "eks.amazonaws.com/instance-gpu-memory",
                "karpenter.sh/capacity-type",
                "karpenter.sh/nodepool",
            ],
        },
    },
    "amd": {
        "provider": "custom",
        "profile": {
            "resourceName": "amd.com/gpu",
            "migResourceName": "",
            "productLabel": "amd.com/gpu.product-name",
            "nodePoolLabel": "example.com/pool",
            "taints": [{"key": "amd.com/gpu"}],
        },
    },
}
SPECS: dict[str, Json] = {
    "one": {"gpu": {}},
    "products": {"gpu": {"count": 2, "products": ["NVIDIA-L4", "NVIDIA-A10"]}},
    "memory": {"gpu": {"minMemory": "40Gi"}},
    "mig": {"gpu": {"mig": "1g.10gb"}},
    "time slicing": {"gpu": {"sharing": "TimeSlicing"}},
    "mps": {"gpu": {"sharing": "MPS"}},
    "spot allowed": {"gpu": {"spot": "Allow"}},
    "spot required": {"gpu": {"spot": "Require"}},
    "node pool": {"gpu": {"nodePool": "inference"}},
    "resource": {"gpu": {"resourceName": "nvidia.com/gpu.shared"}},
    "with the user's own": {
        "gpu": {"nodePool": "inference"},
        "runtime": {
            "nodeSelector": {"example.com/rack": "a"},
            "tolerations": [{"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"}, {"key": "mine"}],
            "nodeAffinity": {
                "requiredDuringSchedulingIgnoredDuringExecution": {
                    "nodeSelectorTerms": [
                        {"matchExpressions": [{"key": "example.com/zone", "operator": "In", "values": [zone]}]}
                        for zone in ("a", "b")
                    ]
                },
                "preferredDuringSchedulingIgnoredDuringExecution": [
                    {
                        "weight": 1,
                        "preference": {"matchExpressions": [{"key": "example.com/fast", "operator": "Exists"}]},
                    }
                ],
            },
        },
    },
}


def rendered(profile: str, spec: Json) -> Json:
    model = {"name": "resnet50", "uri": "pvc://models", "version": 7}
    settings = Settings(prepareImage="operator:1", gpu=GpuSettings.model_validate(PROFILES[profile]))
    read = InferenceServiceSpec.model_validate({"model": model} | spec)
    return render(OWNER.name, read, settings, resolved(read), number=1).template


def becomes(profile: str, spec: Json) -> Json:
    """What placement decides of a pod, or why it refuses."""
    try:
        template = rendered(profile, spec)
    except Unplaceable as error:
        return {"refused": str(error)}
    pod = template["spec"]
    triton = next(c for c in pod["containers"] if c["name"] == CONTAINER_TRITON)
    return {
        "limits": triton["resources"]["limits"],
        "tolerations": [t for t in pod["tolerations"] if not t["key"].startswith("node.kubernetes.io/")],
        "affinity": pod.get("affinity"),
        "nodeSelector": pod.get("nodeSelector"),
        "exit": next(a for a in triton["args"] if a.startswith("--exit-timeout-secs")),
        "grace": pod["terminationGracePeriodSeconds"],
        "shared memory of its own": any(mount["mountPath"] == "/dev/shm" for mount in triton["volumeMounts"]),
    }


@pytest.mark.parametrize("profile", PROFILES)
def test_placements_are_as_the_golden_files_show_them(profile: str) -> None:
    file = GOLDEN / f"{profile}.yaml"
    found = {"settings": PROFILES[profile]} | {name: spec | becomes(profile, spec) for name, spec in SPECS.items()}
    printed = yaml.dump(found, Dumper=_Plain, sort_keys=False, width=120)
    if os.environ.get("UPDATE_GOLDEN"):
        file.write_text(printed, encoding="utf-8")
    assert file.read_text(encoding="utf-8") == printed, "run UPDATE_GOLDEN=1 pytest tests/resources and read the diff"


@pytest.mark.parametrize("spec", [pytest.param(spec, id=name) for name, spec in SPECS.items()])
@pytest.mark.parametrize("profile", PROFILES)
def test_what_is_placed_is_what_kubernetes_takes(profile: str, spec: Json) -> None:
    if "refused" not in becomes(profile, spec):
        body = deployment(
            OWNER,
            "vision-a",
            template=rendered(profile, spec),
            replicas=1,
            progress_deadline_seconds=1500,
            restarted=None,
            surge=True,
        )
        kubernetes_validate.validate(body, "1.34", strict=True)


def test_each_of_the_users_required_terms_holds_what_the_gpus_need() -> None:
    affinity = becomes("gke", SPECS["with the user's own"])["affinity"]["nodeAffinity"]
    terms = affinity["requiredDuringSchedulingIgnoredDuringExecution"]["nodeSelectorTerms"]

    pools = [[e for e in term["matchExpressions"] if e["key"] == "cloud.google.com/gke-nodepool"] for term in terms]
    assert pools == [[{"key": "cloud.google.com/gke-nodepool", "operator": "In", "values": ["inference"]}]] * 2
    assert [term["matchExpressions"][-1]["values"] for term in terms] == [["a"], ["b"]]
    assert "preferredDuringSchedulingIgnoredDuringExecution" in affinity


class _Plain(yaml.SafeDumper):
    """Writes no anchors."""

    def ignore_aliases(self, data: Any) -> bool:
        return True
