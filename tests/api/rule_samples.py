"""For each validation rule of the CRD: what is refused in its words, and what is taken.

Not for: bounds and types; the tests derive their breaches from the schema itself.
"""

import dataclasses
from collections.abc import Iterator
from typing import Any

Json = dict[str, Any]


@dataclasses.dataclass(frozen=True, slots=True)
class Sample:
    """What is laid over the smallest spec to break, and to keep, one rule.

    Attributes:
        field: the field that the refusal names, below spec.
        words: the beginning of the rule's message.
        refused: specs in part, each of which breaks it.
        taken: specs in part, each of which keeps it.
    """

    field: str
    words: str
    refused: list[Json]
    taken: list[Json]


def runtime(name: str, *values: Any) -> list[Json]:
    return [{"runtime": {name: value}} for value in values]


def model(name: str, *values: Any) -> list[Json]:
    return [{"model": {name: value}} for value in values]


def env(*entries: Json) -> list[Json]:
    return [{"runtime": {"env": [entry]}} for entry in entries]


def from_key(*keys: str) -> list[Json]:
    return env(*({"name": "A", "valueFrom": {"secretKeyRef": {"name": "s", "key": key}}} for key in keys))


def from_field(*paths: str) -> list[Json]:
    return env(*({"name": "A", "valueFrom": {"fieldRef": {"fieldPath": path}}} for path in paths))


def gpu(**values: Any) -> Json:
    return {"gpu": {"count": 1} | values}


def mount(**values: str) -> Json:
    entry = {"name": "v", "mountPath": "/v"} | values
    return {"runtime": {"volumes": [{"name": entry["name"], "emptyDir": {}}], "volumeMounts": [entry]}}


GATEWAY: Json = {"routing": {"gateway": {"parentRefs": [{"name": "inference"}]}}}


def canary(**values: Any) -> Json:
    return {"rollout": {"strategy": "Canary"} | values} | GATEWAY


def headed(name: str, *of_service: str) -> Json:
    """A canary for requests with one header, of a service whose requests have others."""
    steps = [{"setHeaderRoute": {"headers": [{"name": name, "value": "yes"}]}}, {"setWeight": 10}]
    gateway = {"parentRefs": [{"name": "g"}], "headers": [{"name": of, "value": "a"} for of in of_service]}
    return {"rollout": {"strategy": "Canary", "steps": steps}, "routing": {"gateway": gateway}}


def metric(**more: Any) -> Json:
    return canary(analysis={"metrics": [{"name": "own", "query": "up"} | more]})


def scaled(**more: Any) -> Json:
    return {"autoscaling": {"maxReplicas": 10, "objective": {"latencyMilliseconds": 100}} | more}


def measured(*metrics: Json) -> Json:
    return scaled(metrics=list(metrics))


def scheduled(**more: Any) -> Json:
    return scaled(schedules=[{"name": "night", "maxReplicas": 2} | more])


def weights(*values: int) -> list[Json]:
    return [{"setWeight": value} for value in values]


def nodes(*requirements: Json) -> list[Json]:
    key = "requiredDuringSchedulingIgnoredDuringExecution"
    return [
        {"runtime": {"nodeAffinity": {key: {"nodeSelectorTerms": [{"matchExpressions": [requirement]}]}}}}
        for requirement in requirements
    ]


NODE_TERM = "runtime.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms[0]"
LONG_NAME = "n" * 64
BAD_KEYS = [
    "a b",
    "-a",
    "a/b/c",
    "/a",
    "a/",
    "Ä",
    "Example.com/a",
    LONG_NAME,
    "$(x)",
    "../a",
    "a\n",
    "",
    "a" * 251 + "/bc",
]
GOOD_KEYS = ["a", "A.b_c-9", "example.com/A", "x.y/" + "n" * 63]

SAMPLES = [
    Sample(
        "model.name",
        "the name of a model must be of",
        model("name", "-a", ".a", "..", "a/b", "a b", "a\n", "数", "a;b", "$(HOME)", "{a}", "%2e%2e", "a\u202e"),
        model("name", "a", "_a", "9a", "A.b-c_d", "a..b"),
    ),
    Sample(
        "model.uri",
        "uri must be s3://BUCKET/path, gs://BUCKET/path",
        model(
            "uri",
            "s3://",
            "s3:///model",
            "s3://b",
            "s3://bucket/mo del",
            "s3://bucket/m?versionId=3",
            "s3://key:secret@bucket/m",
            "gs://bucket\\m",
            "az://account",
            "az://Account/models/m",
            "ftp://host/m",
            "file:///etc/passwd",
            "https://host",
            "https://user:word@host/m",
            "https://host/m.tar?token=x",
            "https://host/m.tar#sha256=abc",
            "hf://org/repo",
            "hf://org/repo@main",
            "hf://org/repo/m@0123456789abcdef0123456789abcdef01234567",
            "/etc/passwd",
            "pvc://",
            "pvc:///models",
            "pvc://Claim/m",
            "pvc://a..b/m",
            "pvc://a/$(HOME)",
            "pvc://a/`id`",
            "pvc://a/m;rm -rf",
            "pvc://a/mo del",
            "pvc://a/m\n",
            "pvc://a/%2e%2e/b",
            "pvc://a/mode\u0301le",
            "pvc://a/mod\u00e8le",
            "pvc://a/\u202elebom",
            "pvc://a/🦀",
            "pvc://a?x=1",
            "configmap://a.",
            "configmap://" + "a" * 254,
            "CONFIGMAP://a",
        ),
        model(
            "uri",
            "configmap://a",
            "configmap://a.b-c.d",
            "pvc://a",
            "pvc://a/",
            "pvc://a/b/c-1/d_e.f/",
            "s3://bucket",
            "s3://bucket/models/resnet50/",
            "gs://bucket/mod\u00e8le,1+2=3",
            "az://account1/models/m",
            "https://models.example.com:8443/m/",
            "http://models/m.tar.gz",
            "https://host/m.zip#sha256=" + "0" * 64,
            "hf://org/repo@" + "0" * 40,
            "hf://repo@" + "a" * 40 + "/models/m",
        ),
    ),
    Sample(
        "model.credentials",
        "credentials open remote sources",
        [{"model": {"credentials": {"secretName": "a"}}}],
        [
            {"model": {"uri": "s3://bucket/m", "credentials": {"secretName": "a"}}},
            {
                "model": {
                    "credentials": {"secretName": "a"},
                    "dependencies": [{"name": "b", "uri": "https://host/b.zip"}],
                }
            },
        ],
    ),
    Sample(
        "model.dependencies",
        "a model cannot depend on itself",
        [{"model": {"uri": "pvc://a/m", "dependencies": [{"name": "add"}]}}],
        [{"model": {"uri": "pvc://a/m", "dependencies": [{"name": "b"}]}}],
    ),
    Sample(
        "model.dependencies",
        "nothing lies beside model.uri",
        [
            {"model": {"uri": uri, "dependencies": [{"name": "b"}]}}
            for uri in (
                "configmap://a",
                "pvc://a",
                "pvc://a/",
                "s3://bucket",
                "az://account1/models",
                "https://host/m.zip",
            )
        ],
        [
            {"model": {"uri": uri, "dependencies": [{"name": "b"}]}}
            for uri in (
                "pvc://a/m",
                "s3://bucket/m/",
                "az://account1/models/m",
                "https://host/m",
                f"hf://a/b@{'0' * 40}/m",
            )
        ]
        + [{"model": {"uri": "configmap://a", "dependencies": [{"name": "b", "uri": "configmap://b"}]}}],
    ),
    Sample(
        "model.scratch.storageClassName",
        "scratch.storageClassName makes a volume",
        [{"model": {"scratch": {"storageClassName": "fast"}}}],
        [{"model": {"scratch": {"storageClassName": "fast", "size": "1Gi"}}}, {"model": {"scratch": {"size": "1Gi"}}}],
    ),
    Sample(
        "model.uri",
        "the path of uri must not hold '.' or '..'",
        model("uri", "s3://bucket/../b", "pvc://a/../b", "pvc://a/b/..", "pvc://a/./b", "pvc://a/b/../../../etc"),
        model("uri", "pvc://a/..b/...", "pvc://a/b..c"),
    ),
    Sample(
        "model.uri",
        "the path of uri must not hold an empty part",
        model("uri", "pvc://a//b", "pvc://a/b//", "s3://bucket//b"),
        model("uri", "pvc://a/b/c", "pvc://a/b/", "s3://bucket/b/c"),
    ),
    Sample(
        "runtime.resources",
        "runtime.resources must not hold the GPU resource",
        [
            {"runtime": {"resources": {"limits": {"nvidia.com/gpu": 1}}}},
            {"runtime": {"resources": {"limits": {"nvidia.com/mig-1g.10gb": 1}}}},
            {
                "runtime": {
                    "resources": {"requests": {"nvidia.com/gpu.shared": 1}, "limits": {"nvidia.com/gpu.shared": 1}}
                }
            },
            gpu(resourceName="amd.com/gpu") | {"runtime": {"resources": {"limits": {"amd.com/gpu": 1}}}},
        ],
        [
            gpu(resourceName="amd.com/gpu") | {"runtime": {"resources": {"limits": {"rdma/hca": 1}}}},
            {"runtime": {"resources": {"limits": {"nvidia.com/hostdev": 1}}}},
        ],
    ),
    Sample(
        "runtime.sharedMemory",
        "with gpu.sharing MPS /dev/shm is that of the node",
        [gpu(sharing="MPS") | {"runtime": {"sharedMemory": "1Gi"}}],
        [
            gpu(sharing="MPS"),
            gpu(sharing="MPS") | {"runtime": {"sharedMemory": "256Mi"}},
            gpu(sharing="TimeSlicing") | {"runtime": {"sharedMemory": "1Gi"}},
        ],
    ),
    Sample(
        "gpu.count",
        "count 0 runs the model on the CPU",
        [
            gpu(count=0, resourceName="amd.com/gpu"),
            gpu(count=0, products=["NVIDIA-L4"]),
            gpu(count=0, minMemory="20Gi"),
            gpu(count=0, mig="1g.10gb"),
            gpu(count=0, sharing="MPS"),
            gpu(count=0, spot="Allow"),
            gpu(count=0, nodePool="pool"),
        ],
        [
            gpu(count=0, sharing="None", spot="Forbid"),
            gpu(products=["NVIDIA-L4"], minMemory="20Gi", spot="Require", nodePool="pool"),
            gpu(count=8, resourceName="amd.com/gpu", products=["MI300X"], spot="Allow"),
        ],
    ),
    Sample(
        "gpu.count",
        "with mig a replica gets one slice",
        [gpu(count=2, mig="1g.10gb")],
        [gpu(mig="1g.10gb", nodePool="pool", spot="Allow")],
    ),
    Sample(
        "gpu.resourceName",
        "mig chooses the resource",
        [gpu(mig="1g.10gb", resourceName="nvidia.com/mig-1g.10gb")],
        [gpu(mig="1g.10gb"), gpu(resourceName="nvidia.com/mig-1g.10gb")],
    ),
    Sample(
        "gpu.products",
        "mig chooses a slice",
        [gpu(mig="1g.10gb", products=["NVIDIA-L4"])],
        [gpu(mig="1g.10gb"), gpu(products=["NVIDIA-L4"])],
    ),
    Sample(
        "gpu.minMemory",
        "mig says the memory of the slice",
        [gpu(mig="1g.10gb", minMemory="10Gi")],
        [gpu(mig="1g.10gb"), gpu(minMemory="10Gi")],
    ),
    Sample(
        "gpu.sharing",
        "a MIG slice is not shared",
        [gpu(mig="1g.10gb", sharing=way) for way in ("TimeSlicing", "MPS")],
        [gpu(mig="1g.10gb", sharing="None"), gpu(sharing="TimeSlicing"), gpu(sharing="MPS")],
    ),
    Sample(
        "gpu.count",
        "a replica gets one share of one GPU",
        [gpu(count=2, sharing=way) for way in ("TimeSlicing", "MPS")],
        [gpu(sharing="TimeSlicing", products=["NVIDIA-L4-SHARED"], minMemory="20Gi")],
    ),
    Sample(
        "gpu.resourceName",
        "sharing chooses the resource",
        [gpu(sharing=way, resourceName="nvidia.com/gpu") for way in ("TimeSlicing", "MPS")],
        [gpu(sharing="None", resourceName="nvidia.com/gpu"), gpu(sharing="MPS")],
    ),
    Sample(
        "gpu.products",
        "a product that ends in -SHARED is shared",
        [gpu(products=["NVIDIA-L4", "NVIDIA-L4-SHARED"])],
        [gpu(products=["NVIDIA-SHARED-L4"])],
    ),
    Sample(
        "gpu.products",
        "products are whole GPUs",
        [gpu(products=["NVIDIA-H100-80GB-HBM3-MIG-1g.10gb"])],
        [gpu(products=["NVIDIA-H100-80GB-HBM3"])],
    ),
    Sample(
        "gpu.minMemory",
        "minMemory must be a whole number of Mi or Gi",
        [gpu(minMemory=size) for size in ("0Gi", "40", "40G", "1.5Gi", "-1Gi", "40gi", "40Gi\n", "")],
        [gpu(minMemory=size) for size in ("1Mi", "40Gi", "9999999Gi")],
    ),
    Sample(
        "gpu.mig",
        "mig must be a profile of MIG",
        [gpu(mig=size) for size in ("1g", "10gb", "8g.10gb", "0g.5gb", "1g.0gb", "1G.10GB", "1g.10gb.me", "1g.10gb\n")],
        [gpu(mig=size) for size in ("1g.5gb", "7g.141gb", "1g.10gb+me")],
    ),
    Sample(
        "rollout",
        "rollout.minAvailable is for RollingUpdate",
        [
            {"rollout": {"strategy": "Recreate", "minAvailable": 0}},
            {"rollout": {"strategy": "BlueGreen", "minAvailable": 1}},
            {"rollout": {"strategy": "Canary", "minAvailable": 1}} | GATEWAY,
        ],
        [
            {"rollout": {"strategy": "Recreate"}},
            {"rollout": {"strategy": "BlueGreen"}},
            {"rollout": {"strategy": "RollingUpdate", "minAvailable": 0}},
        ],
    ),
    Sample(
        "rollout",
        "rollout.maxSurgeGPUs is for RollingUpdate and Canary",
        [
            {"gpu": {"count": 1}, "rollout": {"strategy": "Recreate", "maxSurgeGPUs": 0}},
            {"gpu": {"count": 1}, "rollout": {"strategy": "BlueGreen", "maxSurgeGPUs": 2}},
        ],
        [{"gpu": {"count": 1}, "rollout": {"strategy": "Canary", "maxSurgeGPUs": 1}} | GATEWAY],
    ),
    Sample(
        "rollout",
        "without a Gateway a canary gets what its pods get in the Service",
        [
            {"rollout": {"strategy": "Canary", "steps": [{"setCanaryScale": {"replicas": 2}}]}},
            {"rollout": {"strategy": "Canary", "steps": [{"setMirrorRoute": {"percent": 5}}]}, "routing": {}},
            {"rollout": {"strategy": "Canary", "analysis": {"slowRequests": {"thresholdMilliseconds": 9}}}},
        ],
        [
            {"rollout": {"strategy": "Canary", "steps": [{"setWeight": 50}, {"pause": {}}], "analysis": {}}},
            {"rollout": {"strategy": "Canary", "steps": [{"setCanaryScale": {"replicas": 2}}]}} | GATEWAY,
        ],
    ),
    Sample(
        "rollout",
        "with Canary rollout.maxSurgeGPUs must have room for one pod",
        [
            {"gpu": {"count": count}, "rollout": {"strategy": "Canary", "maxSurgeGPUs": count - 1}} | GATEWAY
            for count in (1, 4)
        ],
        [{"gpu": {"count": 4}, "rollout": {"strategy": "Canary", "maxSurgeGPUs": 4}} | GATEWAY],
    ),
    Sample(
        "rollout",
        "rollout.dynamicStableScale needs strategy Canary and spec.routing.gateway",
        [
            {"rollout": {"dynamicStableScale": True}} | GATEWAY,
            {"rollout": {"strategy": "Canary", "dynamicStableScale": True}},
        ],
        [
            {"rollout": {"strategy": "Canary", "dynamicStableScale": True}} | GATEWAY,
            {"rollout": {"dynamicStableScale": False}},
        ],
    ),
    Sample(
        "rollout",
        "rollout.steps, rollout.analysis and rollout.autoRollback are for Canary",
        [
            {"rollout": {"steps": [{"setWeight": 10}]}},
            {"rollout": {"strategy": "BlueGreen", "analysis": {}}},
            {"rollout": {"strategy": "Recreate", "autoRollback": False}},
        ],
        [canary(steps=[{"setWeight": 10}], analysis={}, autoRollback=False), {"rollout": {"autoRollback": True}}],
    ),
    Sample(
        "autoscaling.minReplicas",
        "minReplicas must not be above maxReplicas",
        [scaled(minReplicas=11)],
        [scaled(minReplicas=10), scaled(minReplicas=1, maxReplicas=1)],
    ),
    Sample(
        "autoscaling",
        "autoscaling needs something to go by",
        [{"autoscaling": {"maxReplicas": 10}}, {"autoscaling": {"maxReplicas": 10, "mode": "Off", "behavior": {}}}],
        [
            scaled() | {"replicas": replicas} | more
            for replicas, more in (
                (0, {}),
                (20, {}),
                (3, {"suspend": True}),
                (5, {"rollout": {"strategy": "Recreate"}}),
            )
        ]
        + [
            {"autoscaling": {"maxReplicas": 10, "metrics": [{"type": "queueTime", "target": 20}]}},
            {"autoscaling": {"maxReplicas": 10, "schedules": [{"name": "day", "minReplicas": 2}]}},
        ],
    ),
    Sample(
        "autoscaling.metrics",
        "each type goes into metrics once",
        [
            measured({"type": "latency", "target": 1}, {"type": "latency", "target": 2}),
            measured(*({"type": "prometheus", "target": 1, "query": query} for query in ("up", "down"))),
            measured(*({"type": "prometheus", "target": 1, "query": query, "name": "a"} for query in ("up", "down"))),
        ],
        [
            measured({"type": "latency", "target": 1}, {"type": "queueTime", "target": 1}),
            measured(
                {"type": "prometheus", "target": 1, "query": "up"},
                {"type": "prometheus", "target": 1, "query": "up", "name": "a"},
                {"type": "prometheus", "target": 1, "query": "up", "name": "b"},
            ),
        ],
    ),
    Sample(
        "autoscaling.metrics[0]",
        "a metric of type prometheus needs query",
        [measured({"type": "prometheus", "target": 1, "name": "a"})],
        [measured({"type": "prometheus", "target": 1, "query": "up"})],
    ),
    Sample(
        "autoscaling.metrics[0]",
        "query and metricType are for type prometheus",
        [
            measured({"type": "throughput", "target": 1, "query": "up"}),
            measured({"type": "concurrency", "target": 1, "metricType": "Value"}),
        ],
        [
            measured({"type": "prometheus", "target": 1, "query": "up", "metricType": "Value"}),
            measured({"type": "concurrency", "target": 1, "name": "a"}),
        ],
    ),
    Sample(
        "autoscaling.metrics[0].target",
        "target must be above 0",
        [measured({"type": "throughput", "target": target}) for target in (0, -1, "0.0", "-0.5")],
        [measured({"type": "throughput", "target": target}) for target in (1, "0.5", "0.000000001")],
    ),
    Sample(
        "autoscaling.metrics[0].target",
        "target of gpuUtilization is in percent",
        [measured({"type": "gpuUtilization", "target": target}) for target in (101, "100.5")],
        [
            *(measured({"type": "gpuUtilization", "target": target}) for target in (100, "62.5")),
            measured({"type": "throughput", "target": 101}),
        ],
    ),
    Sample(
        "autoscaling.metrics[0].query",
        "must be PromQL, and what stands in {{ }} one of namespace, service, pods",
        [
            measured({"type": "prometheus", "target": 1, "query": query})
            for query in ("up{{canary}}", "{{}}", "up{{interval}}", "up{{  pods}}")
        ],
        [
            measured({"type": "prometheus", "target": 1, "query": query})
            for query in ('up{pod=~"{{pods}}"}', "{{ namespace }}", "{a='{b}'}")
        ],
    ),
    Sample(
        "autoscaling.behavior.scaleUp.tolerance",
        "must be a quantity",
        [scaled(behavior={"scaleUp": {"tolerance": tolerance}}) for tolerance in ("-0.1", "5%", "0,1")],
        [scaled(behavior={"scaleUp": {"tolerance": tolerance}}) for tolerance in ("0.05", "50m", 0)],
    ),
    Sample(
        "autoscaling.schedules",
        "minReplicas of a schedule must not be above its maxReplicas",
        [
            scheduled(minReplicas=3),
            scaled(schedules=[{"name": "day", "minReplicas": 11}]),
            scaled(minReplicas=5, schedules=[{"name": "night", "maxReplicas": 4}]),
        ],
        [
            scheduled(minReplicas=2),
            scaled(schedules=[{"name": "day", "minReplicas": 11, "maxReplicas": 11}]),
            scaled(minReplicas=5, schedules=[{"name": "night", "minReplicas": 1, "maxReplicas": 4}]),
        ],
    ),
    Sample(
        "autoscaling.schedules[0]",
        "a schedule needs minReplicas, maxReplicas or both",
        [scaled(schedules=[{"name": "night"}])],
        [scheduled(), scaled(schedules=[{"name": "day", "minReplicas": 2}])],
    ),
    Sample(
        "autoscaling.schedules[0].to",
        "from and to must differ",
        [scheduled(**{"from": "08:00", "to": "08:00"}), scheduled(to="00:00")],
        [
            scheduled(),
            scheduled(days=["Sat", "Sun"]),
            scheduled(**{"from": "22:00", "to": "06:00"}),
            scheduled(**{"from": "22:00", "to": "00:00"}),
        ],
    ),
    Sample(
        "autoscaling.schedules[0].from",
        "from must be before 24:00",
        [scheduled(**{"from": "24:00", "to": "06:00"})],
        [scheduled(**{"from": "23:59"})],
    ),
    Sample(
        "autoscaling.schedules[0].to",
        "must be a time of the day in quotes",
        [scheduled(to=time) for time in ("8:00", "24:01", "08:60", "8am", "", "08:00\n", "08:00:00", "٠٨:٠٠")],
        [scheduled(to=time) for time in ("24:00", "00:01", "19:59")],
    ),
    Sample(
        "autoscaling.schedules[0].timeZone",
        "must be the name of a time zone",
        [
            scheduled(timeZone=name)
            for name in (
                "",
                "localtime",
                "Europe/",
                "/Europe/Berlin",
                "../Berlin",
                "Europe/../Berlin",
                "A/B/C/D",
                "A B",
            )
        ],
        [
            scheduled(timeZone=name)
            for name in ("UTC", "Europe/Berlin", "America/Argentina/ComodRivadavia", "Etc/GMT-14", "EST5EDT", "W-SU")
        ],
    ),
    Sample(
        "rollout.steps[0]",
        "a step is one of setWeight, pause, setCanaryScale, setHeaderRoute, setMirrorRoute",
        [
            canary(steps=[step])
            for step in ({}, {"setWeight": 1, "pause": {}}, {"setHeaderRoute": {}, "setMirrorRoute": {}})
        ],
        [
            canary(steps=[step])
            for step in (
                {"setWeight": 1},
                {"pause": {}},
                {"setCanaryScale": {"replicas": 2}},
                {"setHeaderRoute": {"headers": [{"name": "a", "value": "b"}]}},
                {"setMirrorRoute": {"percent": 5}},
                {"setMirrorRoute": {}},
            )
        ],
    ),
    Sample(
        "rollout",
        "rollout.steps[].setHeaderRoute must name other headers than routing.gateway.headers",
        [headed("X-Model", "x-model"), headed("x-tester", "x-model", "X-Tester")],
        [headed("x-tester", "x-model"), headed("x-tester")],
    ),
    Sample(
        "rollout.steps",
        "weights of steps must rise from step to step",
        [canary(steps=weights(*each)) for each in ((20, 10), (10, 10), (10, 30, 20))],
        [canary(steps=weights(*each)) for each in ((10,), (10, 20, 100), (1, 99))],
    ),
    Sample(
        "rollout.steps",
        "setWeight 100 promotes: nothing may follow it",
        [canary(steps=[*weights(10, 100), {"pause": {}}])],
        [canary(steps=[*weights(10), {"pause": {}}, *weights(100)])],
    ),
    Sample(
        "rollout.analysis.errors.passRatioPercent",
        "passRatioPercent must be above failRatioPercent",
        [
            canary(analysis={"errors": errors})
            for errors in (
                {"failRatioPercent": 300},
                {"failRatioPercent": 200, "passRatioPercent": 200},
                {"passRatioPercent": 110},
            )
        ],
        [
            canary(analysis={"errors": errors})
            for errors in ({"failRatioPercent": 300, "passRatioPercent": 350}, {"passRatioPercent": 150})
        ],
    ),
    Sample(
        "rollout.analysis.metrics[0]",
        "a metric needs success, failure or both",
        [metric()],
        [metric(success={"max": 1}), metric(failure={"min": 1}), metric(success={"max": 1}, failure={"min": 2})],
    ),
    Sample(
        "rollout.analysis.metrics[0].success",
        "a range needs min, max or both",
        [metric(success={})],
        [metric(success={"min": "-0.5"}), metric(success={"min": 0, "max": 0})],
    ),
    Sample(
        "rollout.analysis.metrics[0].failure",
        "max must not be below min",
        [metric(failure={"min": 10, "max": "9.9"})],
        [metric(failure={"min": "9.9", "max": 10})],
    ),
    Sample(
        "rollout.analysis.metrics[0].success.max",
        "must be a whole number, or a decimal one in quotes",
        [metric(success={"max": text}) for text in ("", "1e3", "NaN", "+1", ".5", "1.", "0x1", "50m")],
        [metric(success={"max": text}) for text in ("0", "-1", "0.95", -1)],
    ),
    Sample(
        "rollout.analysis.metrics[0].query",
        "must be PromQL, and what stands in {{ }} one of canary",
        [metric(query=text, success={"max": 1}) for text in ("up{{pod}}", "{{canary}} + {{  stable}}", "{{}}")],
        [
            metric(query=text, success={"max": 1})
            for text in ('up{pod=~"{{canaryPods}}"}[{{interval}}]', "{{ stable }}", "{a='{b}'}")
        ],
    ),
    Sample(
        "routing.gateway.hostnames[0]",
        "must be a host name such as",
        [
            {"routing": {"gateway": {"parentRefs": [{"name": "g"}], "hostnames": [name]}}}
            for name in ("A.example.com", "a.example.com:80", "*", "a.*.com", "-a.com", "a b", "a/b", "a..b")
        ],
        [
            {"routing": {"gateway": {"parentRefs": [{"name": "g"}], "hostnames": [name]}}}
            for name in ("a", "a.example.com", "*.example.com")
        ],
    ),
    Sample(
        "routing.gateway.grpcHostnames",
        "these are host names of a GRPCRoute",
        [
            {"routing": {"gateway": {"parentRefs": [{"name": "g"}], "grpcHostnames": ["grpc.example.com"], **of}}}
            for of in ({}, {"grpc": "SameRoute"})
        ],
        [
            {"routing": {"gateway": {"parentRefs": [{"name": "g"}], "grpc": "GRPCRoute", **of}}}
            for of in ({}, {"grpcHostnames": ["grpc.example.com"]})
        ],
    ),
    Sample(
        "routing.gateway.grpcHostnames[0]",
        "must be a host name such as",
        [{"routing": {"gateway": {"parentRefs": [{"name": "g"}], "grpc": "GRPCRoute", "grpcHostnames": ["a:80"]}}}],
        [{"routing": {"gateway": {"parentRefs": [{"name": "g"}], "grpc": "GRPCRoute", "grpcHostnames": ["*.a"]}}}],
    ),
    Sample(
        "routing.gateway.pathPrefix",
        "must be a path such as",
        [
            {"routing": {"gateway": {"parentRefs": [{"name": "g"}], "pathPrefix": path}}}
            for path in ("team", "/team/", "//team", "/a/../b", "/a%2fb", "/a b", "/a?b")
        ],
        [
            {"routing": {"gateway": {"parentRefs": [{"name": "g"}], "pathPrefix": path}}}
            for path in ("/team-a", "/models/team_a", "/v1.2/~me")
        ],
    ),
    Sample(
        "routing.gateway.headers[0].name",
        "must be the name of an HTTP header",
        [
            {"routing": {"gateway": {"parentRefs": [{"name": "g"}], "headers": [{"name": name, "value": "a"}]}}}
            for name in ("a b", "a:b", "ä", "(a)")
        ],
        [{"routing": {"gateway": {"parentRefs": [{"name": "g"}], "headers": [{"name": "X-Model_1", "value": "a"}]}}}],
    ),
    Sample(
        "rollout",
        "rollout.scaleDownDelaySeconds is for BlueGreen",
        [
            {"rollout": {"scaleDownDelaySeconds": 30}},
            {"rollout": {"strategy": "Recreate", "scaleDownDelaySeconds": 0}},
        ],
        [{"rollout": {"strategy": "BlueGreen", "scaleDownDelaySeconds": 0}}],
    ),
    Sample(
        "rollout",
        "rollout.maxSurgeGPUs counts GPUs, and spec.gpu.count is 0",
        [{"gpu": {"count": 0}, "rollout": {"maxSurgeGPUs": 0}}],
        [{"gpu": {"count": 1}, "rollout": {"maxSurgeGPUs": 0}}, {"gpu": {"count": 0}, "rollout": {"minAvailable": 1}}],
    ),
    Sample(
        "gpu.resourceName",
        "resourceName must be an extended resource",
        [
            {"gpu": {"count": 1, "resourceName": name}}
            for name in (
                "gpu",
                "cpu",
                "memory",
                "nvidia.com/",
                "/gpu",
                "kubernetes.io/gpu",
                "x.kubernetes.io/gpu",
                "requests.nvidia.com/gpu",
                "nvidia..com/gpu",
                "nvidia.com/gpu/1",
                "nvidia.com/" + LONG_NAME,
                "数.com/gpu",
            )
        ],
        [{"gpu": {"count": 1, "resourceName": name}} for name in ("nvidia.com/mig-1g.10gb", "amd.com/gpu")],
    ),
    Sample(
        "runtime.volumeMounts",
        "each entry of volumeMounts must name an entry of volumes",
        [
            {"runtime": {"volumeMounts": [{"name": "v", "mountPath": "/v"}]}},
            {"runtime": {"volumes": [], "volumeMounts": [{"name": "shm", "mountPath": "/v"}]}},
        ],
        [mount()],
    ),
    Sample(
        "runtime.image",
        "image must be REPOSITORY",
        runtime("image", "-a", "a b", "a;b", "a\nb", "$(IMAGE)", "例", "a:latest "),
        runtime("image", "tritonserver", "r.example.com:5000/a/b:1.2-py3", "a@sha256:00ff"),
    ),
    Sample(
        "runtime.serviceAccountName",
        "must be the name of an object",
        runtime("serviceAccountName", "A", "a_b", "-a", "a.", "a..b", "a/b", "../a", "é", "e\u0301", "a\n"),
        runtime("serviceAccountName", "a", "a.b", "9"),
    ),
    Sample(
        "runtime.args",
        "args must not hold (the beginning of) a flag",
        runtime(
            "args",
            ["--http-port=9"],
            ["--http-port", "9"],
            ["--model-repo=/x"],
            ["--model-repository=/x"],
            ["--model-store", "/x"],
            ["--mod=/x"],
            ["--m"],
            ["--"],
            ["--="],
            ["--model-control-mode=explicit"],
            ["--load-model=*"],
            ["--strict-r=true"],
            ["--exit-on-error=false"],
            ["--grpc-restricted-protocol=x:y=z"],
            ["--allow-http=false"],
            ["--cache-config=local,size=1", "--log-verbose=1"],
        ),
        runtime(
            "args",
            [],
            ["--cache-config=local,size=1048576"],
            ["--backend-config=python,shm-default-byte-size=1", "--pinned-memory-pool-byte-size", "1"],
            ["--model-load-thread-count=2"],
            ["--http-thread-count=9"],
            ["; rm -rf / $(HOME) `id` \n | & 数"],
        ),
    ),
    Sample(
        "runtime.args[0]",
        "an argument must not hold the character NUL",
        runtime("args", ["a\0b"]),
        runtime("args", ["a\tb\\0"], ["\u0001🦀"]),
    ),
    Sample(
        "runtime.env[0]",
        "an environment variable takes value or valueFrom",
        env({"name": "A", "value": "", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}),
        env({"name": "A"}, {"name": "A", "value": ""}),
    ),
    Sample(
        "runtime.env[0].name",
        "the name of an environment variable must be of",
        env({"name": "9A"}, {"name": "A B"}, {"name": "A=B"}, {"name": ".."}, {"name": "$(A)"}, {"name": "É"}),
        env({"name": "_"}, {"name": "a.b-C9"}, {"name": ".a"}),
    ),
    Sample(
        "runtime.env[0].name",
        "environment variables TRITON_OPERATOR_*",
        env({"name": "TRITON_OPERATOR_ADMIN_KEY", "value": "known"}, {"name": "TRITON_OPERATOR_", "value": ""}),
        env({"name": "TRITON_SERVER", "value": ""}),
    ),
    Sample(
        "runtime.env[0].value",
        "the value of an environment variable must not hold the character NUL",
        env({"name": "A", "value": "a\0b"}),
        env({"name": "A", "value": "$(PATH) `id` ; \\ \" ' \n \u202e 🦀 \u0001"}),
    ),
    Sample(
        "runtime.env[0].valueFrom",
        "valueFrom takes exactly one of",
        env(
            {"name": "A", "valueFrom": {}},
            {
                "name": "A",
                "valueFrom": {"fieldRef": {"fieldPath": "metadata.uid"}, "secretKeyRef": {"name": "s", "key": "k"}},
            },
        ),
        env({"name": "A", "valueFrom": {"configMapKeyRef": {"name": "s", "key": "k"}}}),
    ),
    Sample(
        "runtime.env[0].valueFrom.secretKeyRef.key",
        "must be a key",
        from_key(".", "..", "..a", "a/b", "a b", "../../etc/passwd", "é"),
        from_key(".a", "a..b", "A_b-c.9"),
    ),
    Sample(
        "runtime.env[0].valueFrom.fieldRef.fieldPath",
        "fieldPath must be metadata.name",
        from_field(
            "spec.containers", "metadata.labels", "metadata.labels['a b']", "metadata.labels['']", "metadata.name "
        ),
        from_field("metadata.name", "metadata.annotations['example.com/a']", "status.podIPs", "spec.nodeName"),
    ),
    Sample(
        "runtime.resources.requests",
        "requests must not exceed limits",
        [
            {"runtime": {"resources": {"requests": {"cpu": 2}, "limits": {"cpu": "1999m"}}}},
            {"runtime": {"resources": {"requests": {"memory": "1Gi"}, "limits": {"memory": "1G"}}}},
        ],
        [
            {"runtime": {"resources": {"requests": {"cpu": "2000m"}, "limits": {"cpu": 2}}}},
            {"runtime": {"resources": {"requests": {"cpu": 2}, "limits": {"memory": "1"}}}},
            {"runtime": {"resources": {"requests": {}, "limits": {"cpu": 1}}}},
        ],
    ),
    Sample(
        "runtime.resources.requests",
        "an extended resource belongs in limits",
        [
            {"runtime": {"resources": {"requests": {"rdma/hca": 1}}}},
            {"runtime": {"resources": {"requests": {"rdma/hca": 1}, "limits": {"rdma/hca": 2}}}},
        ],
        [
            {"runtime": {"resources": {"limits": {"rdma/hca": 2}}}},
            {"runtime": {"resources": {"requests": {"rdma/hca": "2"}, "limits": {"rdma/hca": 2}}}},
        ],
    ),
    Sample(
        "runtime.resources.limits",
        "resources are cpu, memory",
        [
            {"runtime": {"resources": {"limits": {name: 1}}}}
            for name in (
                "gpu",
                "CPU",
                "storage",
                "hugepages-2Mi",
                "kubernetes.io/a",
                "requests.a/b",
                "a/b/c",
                "",
                "$(a)/b",
            )
        ],
        [{"runtime": {"resources": {"limits": {name: 1}}}} for name in ("ephemeral-storage", "example.com/Fpga-1")],
    ),
    Sample(
        "runtime.resources.limits",
        "the quantity of an extended resource in requests and limits must be a whole number",
        [{"runtime": {"resources": {"limits": {"rdma/hca": quantity}}}} for quantity in ("500m", "1.5", "1k")],
        [{"runtime": {"resources": {"limits": {"rdma/hca": quantity}}}} for quantity in (1, "1", "1000")],
    ),
    Sample(
        "runtime.resources.limits[memory]",
        "must be a quantity",
        [
            {"runtime": {"resources": {"limits": {"memory": quantity}}}}
            for quantity in (
                "-1",
                "+1",
                "1 Gi",
                "1GB",
                "1gi",
                "1.",
                ".5",
                "1e3",
                "1e1.5",
                "NaN",
                "1_000",
                "０",
                "1n",
                "9" * 16,
            )
        ],
        [{"runtime": {"resources": {"limits": {"memory": quantity}}}} for quantity in (0, "0", "1.5Gi", "500M", 10**9)],
    ),
    Sample(
        "runtime.sharedMemory",
        "sharedMemory must be greater than 0",
        runtime("sharedMemory", "0", "0Gi", "0.0"),
        runtime("sharedMemory", "1", "64Mi", "1.5Gi"),
    ),
    Sample(
        "runtime.nodeSelector",
        "keys of nodeSelector must be",
        runtime("nodeSelector", *({key: "a"} for key in BAD_KEYS)),
        runtime("nodeSelector", *({key: "a"} for key in GOOD_KEYS)),
    ),
    Sample(
        "runtime.labels",
        "keys of labels must be",
        runtime("labels", *({key: "a"} for key in BAD_KEYS)),
        runtime("labels", *({key: "a"} for key in GOOD_KEYS)),
    ),
    Sample(
        "runtime.annotations",
        "keys of annotations must be",
        runtime("annotations", *({key: "a"} for key in BAD_KEYS)),
        runtime("annotations", *({key: "$(x) `id` \n 🦀 \u202e"} for key in GOOD_KEYS)),
    ),
    Sample(
        "runtime.labels[a]",
        "must be the value of a label",
        runtime("labels", {"a": "-"}, {"a": "a b"}, {"a": "a/b"}, {"a": "é"}, {"a": "a\n"}, {"a": "$(x)"}),
        runtime("labels", {"a": ""}, {"a": "A.b_c-9"}),
    ),
    Sample(
        "runtime.labels",
        "labels must not set",
        runtime(
            "labels",
            {"app.kubernetes.io/managed-by": "me"},
            {"app.kubernetes.io/component": "me"},
            {"pod-template-hash": "x"},
            {"serving.triton-operator.dev/service": "other"},
        ),
        runtime("labels", {"app.kubernetes.io/part-of": "x"}),
    ),
    Sample(
        "runtime.annotations",
        "annotations must not set",
        runtime(
            "annotations",
            {"serving.triton-operator.dev/applied": "x"},
            {"container.apparmor.security.beta.kubernetes.io/triton": "unconfined"},
            {"kubernetes.io/config.mirror": "x"},
            {"controller.kubernetes.io/pod-deletion-cost": "much"},
        ),
        runtime("annotations", {"prometheus.io/scrape": "false"}),
    ),
    Sample(
        "runtime.tolerations[0]",
        "a toleration with operator Exists takes no value",
        runtime("tolerations", [{"key": "a", "operator": "Exists", "value": "b"}]),
        runtime("tolerations", [{"key": "a", "operator": "Exists", "value": ""}], [{"key": "a", "value": "b"}]),
    ),
    Sample(
        "runtime.tolerations[0]",
        "a toleration without key needs operator Exists",
        runtime("tolerations", [{}], [{"effect": "NoSchedule"}], [{"operator": "Equal"}]),
        runtime("tolerations", [{"operator": "Exists"}]),
    ),
    Sample(
        "runtime.tolerations[0]",
        "tolerationSeconds goes with effect NoExecute",
        runtime(
            "tolerations",
            [{"key": "a", "tolerationSeconds": 1}],
            [{"key": "a", "effect": "NoSchedule", "tolerationSeconds": 1}],
        ),
        runtime("tolerations", [{"key": "a", "effect": "NoExecute", "tolerationSeconds": 0}]),
    ),
    Sample(
        "runtime.tolerations[0].key",
        "must be the key of a label",
        runtime("tolerations", *([{"key": key}] for key in BAD_KEYS if 0 < len(key) <= 253)),
        runtime("tolerations", *([{"key": key}] for key in GOOD_KEYS)),
    ),
    Sample(
        f"{NODE_TERM}.matchExpressions[0]",
        "operators In, NotIn, Gt and Lt need values",
        nodes(
            {"key": "a", "operator": "In"},
            {"key": "a", "operator": "NotIn", "values": []},
            {"key": "a", "operator": "Gt"},
            {"key": "a", "operator": "Exists", "values": ["x"]},
        ),
        nodes({"key": "a", "operator": "In", "values": [""]}, {"key": "a", "operator": "Exists", "values": []}),
    ),
    Sample(
        f"{NODE_TERM}.matchExpressions[0]",
        "operators Gt and Lt take exactly one whole number",
        nodes(
            {"key": "a", "operator": "Gt", "values": ["1", "2"]},
            {"key": "a", "operator": "Lt", "values": ["a"]},
            {"key": "a", "operator": "Lt", "values": ["9" * 19]},
        ),
        nodes({"key": "a", "operator": "Lt", "values": ["9"]}),
    ),
    Sample(
        "runtime.volumes[0]",
        "a volume takes exactly one of",
        runtime(
            "volumes",
            [{"name": "v"}],
            [{"name": "v", "emptyDir": {}, "configMap": {"name": "c"}}],
            [{"name": "v", "emptyDir": None}],
        ),
        runtime("volumes", [{"name": "v", "emptyDir": {}}, {"name": "w", "secret": {"secretName": "s"}}]),
    ),
    Sample(
        "runtime.volumes[0].name",
        "volume names models, shm, tmp, credentials and source-* are the operator's",
        runtime(
            "volumes",
            *([{"name": name, "emptyDir": {}}] for name in ("models", "source-0", "shm", "tmp", "credentials")),
        ),
        runtime("volumes", *([{"name": name, "emptyDir": {}}] for name in ("models2", "source"))),
    ),
    Sample(
        "runtime.volumes[0].name",
        "must be of lower-case letters",
        runtime("volumes", *([{"name": name, "emptyDir": {}}] for name in ("A", "a.b", "-a", "a-", "é", "a/b"))),
        runtime("volumes", [{"name": "9-a", "emptyDir": {}}]),
    ),
    Sample(
        "runtime.volumeMounts[0].mountPath",
        "mountPath must be an absolute path",
        [mount(mountPath=path) for path in ("/", "a", "./a", "//models", "/a/", "/a//b", "/a:b", "/a\n", "/a\0")],
        [mount(mountPath=path) for path in ("/a", "/a/b c", "/模型", "/.a/..b", "/$(HOME)")],
    ),
    Sample(
        "runtime.volumeMounts[0].mountPath",
        "mountPath must not hold '.' or '..'",
        [mount(mountPath=path) for path in ("/..", "/a/../models", "/./models", "/a/.")],
        [mount(mountPath=path) for path in ("/..a", "/a/...", "/a/b.", "/.a/b..c")],
    ),
    Sample(
        "runtime.volumeMounts[0].mountPath",
        "mountPath must not lie at or below /models",
        [mount(mountPath=path) for path in ("/models", "/models/a", "/source", "/dev/shm", "/tmp", "/proc/1", "/sys")],
        [mount(mountPath=path) for path in ("/modelss", "/a/models", "/opt/tritonserver/backends/x")],
    ),
    Sample(
        "runtime.volumeMounts[0].subPath",
        "subPath must be a relative path",
        [mount(subPath=path) for path in ("/", "/a", "a/", "a//b", "a\n", "a:b")],
        [mount(subPath=path) for path in ("a", "a/b c/模型", "..a", "$(x)")],
    ),
    Sample(
        "runtime.volumeMounts[0].subPath",
        "subPath must not hold '.' or '..'",
        [mount(subPath=path) for path in ("..", "a/..", "a/../../etc", ".")],
        [mount(subPath=path) for path in ("..a", "...", "a/b.", ".a/b..c")],
    ),
    Sample(
        "runtime.securityContext.runAsUser",
        "runAsUser 0 is root",
        [{"runtime": {"securityContext": {"runAsUser": 0}}}],
        [{"runtime": {"securityContext": {"runAsUser": user}}} for user in (-1, 1, 2**31 - 1)],
    ),
    Sample(
        "runtime.securityContext.fsGroup",
        "fsGroup 0 is root's",
        [{"runtime": {"securityContext": {"fsGroup": 0}}}],
        [{"runtime": {"securityContext": {"fsGroup": group}}} for group in (-1, 1, 2**31 - 1)],
    ),
]

NAME_WORDS = "metadata.name must have at most 45 characters"
REFUSED_NAMES = [
    "9a",
    "a.b",
    "a" * 46,
    "a" * 63,
    "A",
    "a-",
    "-a",
    "a_b",
    "é",
    "e\u0301",
    "🦀",
    "a\n",
    "$(a)",
    "a/../b",
    "a b",
]
TAKEN_NAMES = ["a", "a9", "a--b", "a" * 45]


def refusals() -> Iterator[tuple[str, str, str, Json]]:
    """List every spec that a rule refuses: a name for the case, the field, the words, the spec in part."""
    for number, sample in enumerate(SAMPLES):
        for index, overlay in enumerate(sample.refused):
            yield f"{sample.field}-{number}.{index}", sample.field, sample.words, overlay


def acceptances() -> Iterator[tuple[str, Json]]:
    """List every spec that the rules take: a name for the case, the spec in part."""
    for number, sample in enumerate(SAMPLES):
        for index, overlay in enumerate(sample.taken):
            yield f"{sample.field}-{number}.{index}", overlay
