"""Two specs that use every field of the API once, and the smallest one.

Not for: an example to copy; nobody needs all of this at once.
"""

from typing import Any

Json = dict[str, Any]

MINIMAL: Json = {"model": {"name": "add", "uri": "configmap://add", "version": 1}, "gpu": {"count": 0}}

_TERM: Json = {
    "matchExpressions": [
        {"key": "topology.kubernetes.io/zone", "operator": "In", "values": ["a", "b"]},
        {"key": "example.com/spot", "operator": "DoesNotExist"},
        {"key": "example.com/generation", "operator": "Gt", "values": ["3"]},
    ]
}

FULL: Json = {
    "model": {
        "name": "resnet50",
        "uri": "s3://models/vision/resnet50",
        "version": 7,
        "credentials": {"secretName": "models"},
        "dependencies": [
            {"name": "preprocess", "uri": "pvc://models/preprocess", "version": 2, "instanceKind": "KIND_CPU"}
        ],
        "scratch": {"size": "50Gi", "storageClassName": "fast"},
    },
    "runtime": {
        "image": "registry.example.com:5000/tritonserver@sha256:0f",
        "imagePullPolicy": "IfNotPresent",
        "imagePullSecrets": [{"name": "registry"}],
        "args": ["--cache-config=local,size=1048576"],
        "env": [
            {"name": "PLAIN", "value": "$(HOME) 数 \n"},
            {"name": "SECRET", "valueFrom": {"secretKeyRef": {"name": "keys", "key": ".key", "optional": True}}},
            {"name": "CONFIG", "valueFrom": {"configMapKeyRef": {"name": "keys", "key": "a.b", "optional": False}}},
            {"name": "ZONE", "valueFrom": {"fieldRef": {"fieldPath": "metadata.labels['example.com/zone']"}}},
        ],
        "resources": {
            "requests": {"cpu": 2, "memory": "4Gi", "rdma/hca": 1},
            "limits": {"cpu": "4000m", "memory": "4Gi", "rdma/hca": 1, "ephemeral-storage": "1.5Gi"},
        },
        "loadTimeoutSeconds": 900,
        "sharedMemory": "1Gi",
        "serviceAccountName": "models",
        "priorityClassName": "serving",
        "runtimeClassName": "nvidia",
        "schedulerName": "volcano",
        "nodeSelector": {"example.com/pool": "gpu"},
        "tolerations": [
            {"key": "nvidia.com/gpu", "operator": "Equal", "value": "present", "effect": "NoSchedule"},
            {
                "key": "node.kubernetes.io/not-ready",
                "operator": "Exists",
                "effect": "NoExecute",
                "tolerationSeconds": 9,
            },
        ],
        "nodeAffinity": {
            "requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [_TERM]},
            "preferredDuringSchedulingIgnoredDuringExecution": [{"weight": 100, "preference": _TERM}],
        },
        "volumes": [
            {"name": "config", "configMap": {"name": "config", "optional": True}},
            {"name": "secret", "secret": {"secretName": "secret", "optional": True}},
            {"name": "scratch", "emptyDir": {"medium": "Memory", "sizeLimit": "1Gi"}},
            {"name": "claim", "persistentVolumeClaim": {"claimName": "claim", "readOnly": True}},
        ],
        "volumeMounts": [{"name": "scratch", "mountPath": "/scratch", "subPath": "a/b", "readOnly": False}],
        "securityContext": {"readOnlyRootFilesystem": False, "runAsUser": -1, "fsGroup": 2000},
        "labels": {"example.com/team": "vision"},
        "annotations": {"example.com/note": "quoted \"'$(x)` 数"},
        "log": {"level": "Verbose", "format": "Default"},
    },
    "gpu": {
        "count": 2,
        "resourceName": "nvidia.com/gpu.large",
        "products": ["NVIDIA-A100-SXM4-80GB", "NVIDIA-H100-80GB-HBM3"],
        "minMemory": "70Gi",
        "sharing": "None",
        "spot": "Require",
        "nodePool": "inference",
    },
    "replicas": 3,
    "autoscaling": {
        "mode": "Observe",
        "minReplicas": 2,
        "maxReplicas": 40,
        "objective": {"percentile": 99, "latencyMilliseconds": 100},
        "metrics": [
            {"type": "latency", "target": "62.5"},
            {"type": "throughput", "target": 50},
            {
                "type": "prometheus",
                "target": 100,
                "name": "backlog",
                "query": 'sum(backlog{namespace="{{namespace}}",service="{{service}}",pod=~"{{ pods }}"})',
                "metricType": "Value",
            },
        ],
        "behavior": {
            "scaleUp": {
                "stabilizationWindowSeconds": 0,
                "selectPolicy": "Max",
                "policies": [
                    {"type": "Pods", "value": 4, "periodSeconds": 15},
                    {"type": "Percent", "value": 100, "periodSeconds": 15},
                ],
                "tolerance": "0.05",
            },
            "scaleDown": {
                "stabilizationWindowSeconds": 600,
                "selectPolicy": "Min",
                "policies": [{"type": "Percent", "value": 10, "periodSeconds": 60}],
                "tolerance": "50m",
            },
        },
        "schedules": [
            {
                "name": "office-hours",
                "days": ["Mon", "Tue", "Wed", "Thu", "Fri"],
                "from": "08:30",
                "to": "18:00",
                "timeZone": "America/Argentina/Buenos_Aires",
                "minReplicas": 10,
                "maxReplicas": 60,
            }
        ],
    },
    "rollout": {
        "strategy": "RollingUpdate",
        "maxSurgeGPUs": 4,
        "minAvailable": 2,
        "autoRollback": True,
        "dynamicStableScale": False,
        "allowSignatureChange": True,
        "goldenRequests": {"configMapName": "resnet50-golden"},
        "provisionTimeoutSeconds": 1800,
    },
    "routing": {
        "gateway": {
            "parentRefs": [{"name": "inference", "namespace": "gateways", "sectionName": "http", "port": 80}],
            "hostnames": ["models.example.com", "*.example.org"],
            "headers": [{"name": "x-model", "value": "resnet50"}],
            "pathPrefix": "/team-a",
            "grpc": "GRPCRoute",
            "grpcHostnames": ["grpc.models.example.com"],
            "timeoutSeconds": 600,
        }
    },
    "suspend": True,
    "podDisruptionBudget": {"enabled": False},
}

# The size of a slice goes with nothing else that chooses a GPU.
SLICE: Json = FULL | {
    "gpu": {"count": 1, "mig": "1g.10gb", "sharing": "None", "spot": "Forbid"},
    "rollout": {
        "strategy": "BlueGreen",
        "scaleDownDelaySeconds": 600,
        "autoRollback": True,
        "dynamicStableScale": False,
        "allowSignatureChange": False,
        "provisionTimeoutSeconds": 1800,
    },
}
CANARY: Json = FULL | {
    "rollout": {
        "strategy": "Canary",
        "maxSurgeGPUs": 4,
        "steps": [
            {"setCanaryScale": {"replicas": 2}},
            {"setHeaderRoute": {"headers": [{"name": "x-tester", "value": "yes"}]}},
            {"setMirrorRoute": {"percent": 20}},
            {"setWeight": 10},
            {"pause": {"durationSeconds": 60}},
            {"setMirrorRoute": {}},
            {"setWeight": 50},
            {"pause": {}},
            {"setWeight": 100},
        ],
        "analysis": {
            "errors": {
                "failRatioPercent": 150,
                "passRatioPercent": 250,
                "materialPermille": 10,
                "floorPermille": 2,
            },
            "slowRequests": {
                "thresholdMilliseconds": 100,
                "failRatioPercent": 150,
                "passRatioPercent": 250,
                "materialPermille": 20,
                "floorPermille": 5,
            },
            "metrics": [
                {
                    "name": "queue-time",
                    "query": 'max(nv_inference_queue_duration_us{pod=~"{{canaryPods}}"})',
                    "success": {"min": 0, "max": "50.5"},
                    "failure": {"min": "200.25", "max": 10000},
                    "requiredSuccesses": 5,
                    "failureLimit": 1,
                    "inconclusiveLimit": 4,
                }
            ],
            "clusterFactor": 8,
            "intervalSeconds": 30,
            "maxDurationSeconds": 3600,
        },
        "autoRollback": False,
        "dynamicStableScale": True,
        "allowSignatureChange": False,
        "provisionTimeoutSeconds": 900,
    },
}
EVERY = (FULL, SLICE, CANARY)
