"""Specs whose children stand in golden/, one per corner of the API."""

from typing import Any

Json = dict[str, Any]

MINIMAL: Json = {"model": {"name": "resnet50", "uri": "configmap://resnet50", "version": 7}, "gpu": {"count": 0}}

EVERYTHING: Json = {
    "model": {"name": "resnet50", "uri": "pvc://models/vision/resnet50", "version": 7},
    "gpu": {"count": 2, "resourceName": "nvidia.com/mig-1g.10gb"},
    "replicas": 3,
    "runtime": {
        "image": "registry.example/tritonserver:24.10-py3",
        "imagePullPolicy": "Always",
        "imagePullSecrets": [{"name": "registry"}],
        "args": ["--cache-config=local,size=1048576"],
        "env": [
            {"name": "OMP_NUM_THREADS", "value": "4"},
            {"name": "TOKEN", "valueFrom": {"secretKeyRef": {"name": "hub", "key": "token"}}},
            {"name": "HOME", "value": "/scratch"},
        ],
        "resources": {"requests": {"cpu": 4, "memory": "8Gi"}, "limits": {"memory": "8Gi"}},
        "loadTimeoutSeconds": 1802,
        "sharedMemory": "1Gi",
        "serviceAccountName": "reader",
        "priorityClassName": "serving",
        "runtimeClassName": "nvidia",
        "schedulerName": "binpack",
        "nodeSelector": {"pool": "inference"},
        "tolerations": [
            {"key": "node.kubernetes.io/unreachable", "operator": "Exists", "effect": "NoExecute"},
            {"key": "sku", "operator": "Equal", "value": "gpu", "effect": "NoSchedule"},
        ],
        "nodeAffinity": {
            "requiredDuringSchedulingIgnoredDuringExecution": {
                "nodeSelectorTerms": [
                    {"matchExpressions": [{"key": "nvidia.com/gpu.memory", "operator": "Gt", "values": ["39999"]}]}
                ]
            },
            "preferredDuringSchedulingIgnoredDuringExecution": [
                {"weight": 10, "preference": {"matchExpressions": [{"key": "spot", "operator": "DoesNotExist"}]}}
            ],
        },
        "volumes": [
            {"name": "scratch", "emptyDir": {"sizeLimit": "10Gi"}},
            {"name": "labels", "configMap": {"name": "labels", "optional": True}},
            {"name": "keys", "secret": {"secretName": "keys"}},
            {"name": "cache", "persistentVolumeClaim": {"claimName": "cache", "readOnly": True}},
        ],
        "volumeMounts": [
            {"name": "scratch", "mountPath": "/scratch"},
            {"name": "labels", "mountPath": "/opt/labels", "readOnly": True},
            {"name": "keys", "mountPath": "/opt/key", "subPath": "key", "readOnly": True},
            {"name": "cache", "mountPath": "/opt/cache"},
        ],
        "securityContext": {"readOnlyRootFilesystem": False, "runAsUser": 2000, "fsGroup": 3000},
        "labels": {"team": "vision"},
        "annotations": {"prometheus.io/scrape": "false", "karpenter.sh/do-not-disrupt": "true"},
        "log": {"level": "Verbose", "format": "Default"},
    },
}

OPENSHIFT: Json = {
    "model": {"name": "resnet50", "uri": "pvc://models", "version": 7},
    "runtime": {"securityContext": {"runAsUser": -1, "fsGroup": -1}},
}

CPU: Json = {
    "model": {"name": "resnet50", "uri": "pvc://models/resnet50/", "version": 7},
    "gpu": {"count": 0},
    "podDisruptionBudget": {"enabled": False},
    "runtime": {"resources": {"limits": {"cpu": "500m", "memory": "1Gi"}}, "log": {"level": "Error"}},
}

SPECS = {"minimal": MINIMAL, "everything": EVERYTHING, "openshift": OPENSHIFT, "cpu": CPU}
