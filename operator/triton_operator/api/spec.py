"""What a user says about one service: the spec of an InferenceService.

Each description becomes `kubectl explain`; each bound and rule is checked by the API server at admission.
Not for: what the operator answers; that is `api.status`.
"""

from typing import Annotated, Literal

from pydantic import ConfigDict, Field

from triton_operator.api.fields import ApiModel, DnsName, LabelKey, LabelValue, TextQuantity
from triton_operator.api.pods import (
    EnvironmentVariable,
    LocalReference,
    NodeAffinity,
    ResourceRequirements,
    SecurityContext,
    Toleration,
    Volume,
    VolumeMount,
)
from triton_operator.api.schema import ATOMIC, cel, keyed_by, rules

# Flags that the operator renders. getopt takes any unambiguous beginning of a flag, so beginnings are refused too.
OWNED_FLAGS = (
    "--allow-client-shm",
    "--allow-grpc",
    "--allow-http",
    "--allow-metrics",
    "--exit-on-error",
    "--exit-timeout-secs",
    "--grpc-address",
    "--grpc-max-connection-age",
    "--grpc-max-connection-age-grace",
    "--grpc-port",
    "--grpc-restricted-protocol",
    "--http-address",
    "--http-port",
    "--http-restricted-api",
    "--id",
    "--load-model",
    "--log-error",
    "--log-format",
    "--log-info",
    "--log-verbose",
    "--log-warning",
    "--metrics-address",
    "--metrics-port",
    "--model-config-name",
    "--model-control-mode",
    "--model-repository",
    "--model-store",
    "--repository-poll-secs",
    "--reuse-grpc-port",
    "--reuse-http-port",
    "--strict-readiness",
)
_OWNED = ", ".join(f"'{flag}'" for flag in OWNED_FLAGS)

MAX_NAME_LENGTH = 45


class Model(ApiModel):
    """The model and the version of it that is served."""

    name: str = Field(
        min_length=1,
        max_length=128,
        pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.-]*$",
        description="Name under which clients ask for the model, /v2/models/NAME. A name in config.pbtxt is changed to it.",
    )
    uri: str = Field(
        min_length=1,
        max_length=1024,
        description=(
            "Where the model directory is: the directory that holds config.pbtxt and the version directories."
            " pvc://CLAIM/path: a directory on a PersistentVolumeClaim of the namespace."
            " configmap://NAME: a ConfigMap of the namespace, whose key config.pbtxt is the configuration and whose"
            " other keys are the files of the version."
        ),
        json_schema_extra=rules(
            cel(
                "self.matches('^(configmap|pvc)://[a-z0-9]([-a-z0-9.]*[a-z0-9])?(/[A-Za-z0-9._/-]*)?$')",
                "uri must be configmap://NAME or pvc://CLAIM/path, with letters, digits, '.', '_', '-' and '/' in path",
            ),
            cel(
                "!self.startsWith('configmap://') || !self.substring(12).contains('/')",
                "a configmap:// uri is configmap://NAME, without a path: keys of the ConfigMap are the files",
            ),
            cel(
                "!self.startsWith('pvc://') || !self.substring(6).split('/').exists(part, part in ['.', '..'])",
                "the path of a pvc:// uri must not hold '.' or '..'",
            ),
            cel(
                "!self.startsWith('pvc://') || !self.substring(6).contains('//')",
                "the path of a pvc:// uri must not hold an empty part: write one '/' where '//' stands",
            ),
        ),
    )
    version: int = Field(
        ge=1,
        le=2**53 - 1,
        description="Version served: the name of a numbered directory below uri. It keeps its number for clients.",
        json_schema_extra={"format": "int64"},
    )


class Log(ApiModel):
    """Triton's own log."""

    level: Literal["Error", "Warning", "Info", "Verbose"] = Field(default="Info", description="Least level written.")
    format: Literal["Default", "ISO8601"] = Field(
        default="ISO8601", description="Format of the time: Triton's own, or ISO 8601."
    )


_RESERVED_KEYS = (
    "self.all(key, key != 'app.kubernetes.io/managed-by' && key != 'app.kubernetes.io/component'"
    " && !key.startsWith('serving.triton-operator.dev/'))"
)


Argument = Annotated[str, Field(min_length=1, max_length=1024)]
AnnotationValue = Annotated[str, Field(max_length=8192)]


class Runtime(ApiModel):
    """How Triton runs. A change makes a new revision, except where a field says otherwise."""

    image: str | None = Field(
        default=None,
        min_length=1,
        max_length=1024,
        pattern=r"^[A-Za-z0-9][A-Za-z0-9._:/@-]*$",
        description="Triton image. Default: the operator's setting at the time the revision is made.",
    )
    image_pull_policy: Literal["Always", "IfNotPresent", "Never"] | None = Field(
        default=None, description="When the image is pulled. Default: Always for tag latest, else IfNotPresent."
    )
    image_pull_secrets: list[LocalReference] | None = Field(
        default=None,
        max_length=16,
        json_schema_extra=keyed_by("name"),
        description="Secrets of the namespace that pull the image.",
    )
    args: list[Argument] | None = Field(
        default=None,
        max_length=64,
        json_schema_extra=ATOMIC
        | rules(
            cel(
                f"self.all(arg, !arg.startsWith('--') || ![{_OWNED}].exists(own,"
                " own.startsWith(arg.split('=', 2)[0])))",
                "args must not hold (the beginning of) a flag that the operator sets itself, such as --model-repository,"
                " --model-control-mode, --http-port or --log-verbose: remove it, and see spec.runtime for settings",
            )
        ),
        description="Further arguments of tritonserver, such as --cache-config=local,size=1048576.",
    )
    env: list[EnvironmentVariable] | None = Field(
        default=None,
        max_length=64,
        json_schema_extra=keyed_by("name"),
        description="Environment variables of the Triton container.",
    )
    resources: ResourceRequirements | None = Field(
        default=None, description="CPU, memory and further resources of the Triton container; GPUs are in spec.gpu."
    )
    load_timeout_seconds: int = Field(
        default=600,
        ge=10,
        le=86400,
        description="How long Triton may take to load the model before its container is started anew.",
    )
    shared_memory: TextQuantity = Field(
        default="256Mi",
        description="Size of /dev/shm, which the python backend uses per instance. Counts against the memory limit.",
        json_schema_extra=rules(
            cel(
                "quantity(self).isGreaterThan(quantity('0'))",
                "sharedMemory must be greater than 0, such as 256Mi",
            )
        ),
    )
    service_account_name: DnsName | None = Field(
        default=None,
        description="ServiceAccount of the pods, for workload identity. Its token is not mounted. Default: default.",
    )
    priority_class_name: DnsName | None = Field(default=None, description="PriorityClass of the pods.")
    runtime_class_name: DnsName | None = Field(default=None, description="RuntimeClass of the pods, such as nvidia.")
    scheduler_name: DnsName | None = Field(default=None, description="Scheduler of the pods. Default: the cluster's.")
    node_selector: dict[LabelKey, LabelValue] | None = Field(
        default=None,
        max_length=32,
        description="Labels that a node must have.",
    )
    tolerations: list[Toleration] | None = Field(
        default=None,
        max_length=32,
        json_schema_extra=ATOMIC,
        description="Taints that the pods tolerate, beside the GPU's and 60 s of a lost node.",
    )
    node_affinity: NodeAffinity | None = Field(default=None, description="Nodes that pods need or prefer.")
    volumes: list[Volume] | None = Field(
        default=None, max_length=16, json_schema_extra=keyed_by("name"), description="Further volumes of the pods."
    )
    volume_mounts: list[VolumeMount] | None = Field(
        default=None,
        max_length=16,
        json_schema_extra=keyed_by("mountPath"),
        description="Where the further volumes appear in the Triton container.",
    )
    security_context: SecurityContext = Field(
        default=SecurityContext(),
        description="What may differ from the restricted security defaults.",
        json_schema_extra={"default": {}},
    )
    labels: dict[LabelKey, LabelValue] | None = Field(
        default=None,
        max_length=32,
        description="Further labels of the pods.",
        json_schema_extra=rules(
            cel(
                _RESERVED_KEYS,
                "labels must not set app.kubernetes.io/managed-by, app.kubernetes.io/component or"
                " serving.triton-operator.dev/*: the operator does",
            )
        ),
    )
    annotations: dict[LabelKey, AnnotationValue] | None = Field(
        default=None,
        max_length=32,
        description="Further annotations of the pods.",
        json_schema_extra=rules(
            cel(_RESERVED_KEYS, "annotations must not set serving.triton-operator.dev/*: the operator does")
        ),
    )
    log: Log = Field(default=Log(), description="Triton's own log.", json_schema_extra={"default": {}})

    model_config = ConfigDict(
        json_schema_extra=rules(
            cel(
                "!has(self.volumeMounts) || self.volumeMounts.all(m, has(self.volumes)"
                " && self.volumes.exists(v, v.name == m.name))",
                "each entry of volumeMounts must name an entry of volumes",
                field_path=".volumeMounts",
            ),
        )
    )


class Gpu(ApiModel):
    """The GPUs of one replica."""

    count: int = Field(default=1, ge=0, le=64, description="GPUs of one replica. 0: the model runs on the CPU.")
    resource_name: str = Field(
        default="nvidia.com/gpu",
        min_length=3,
        max_length=317,
        description="Extended resource that stands for a GPU, as the device plugin names it.",
        json_schema_extra=rules(
            cel(
                "self.matches('^[a-z0-9]([-a-z0-9.]*[a-z0-9])?/[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?$')"
                " && !self.startsWith('kubernetes.io/')",
                "resourceName must be an extended resource such as nvidia.com/gpu or nvidia.com/mig-1g.10gb",
            )
        ),
    )


class PodDisruptionBudget(ApiModel):
    """Protection from voluntary disruptions, such as a drained node."""

    enabled: bool = Field(
        default=True,
        description="Keep a PodDisruptionBudget per revision that lets one pod at a time be evicted.",
    )


class InferenceServiceSpec(ApiModel):
    """One model, its version, the GPUs it runs on, and how many replicas of it."""

    model: Model = Field(description="The model and the version of it that is served.")
    runtime: Runtime = Field(default=Runtime(), description="How Triton runs.", json_schema_extra={"default": {}})
    gpu: Gpu = Field(default=Gpu(), description="The GPUs of one replica.", json_schema_extra={"default": {}})
    replicas: int | None = Field(
        default=None,
        ge=0,
        le=1000,
        description="Pods that serve. Written by kubectl scale and by autoscalers through /scale. Default: 1.",
        json_schema_extra={"format": "int32"},
    )
    suspend: bool = Field(
        default=False,
        description="Remove all pods and free their GPUs; Services, revisions and the record stay.",
    )
    pod_disruption_budget: PodDisruptionBudget = Field(
        default=PodDisruptionBudget(),
        description="Protection from voluntary disruptions.",
        json_schema_extra={"default": {}},
    )

    model_config = ConfigDict(
        json_schema_extra=rules(
            cel(
                "!has(self.runtime) || !has(self.runtime.resources) || !has(self.gpu) || !has(self.gpu.resourceName)"
                " || ((!has(self.runtime.resources.requests) || !(self.gpu.resourceName in self.runtime.resources.requests))"
                " && (!has(self.runtime.resources.limits) || !(self.gpu.resourceName in self.runtime.resources.limits)))",
                "runtime.resources must not hold the GPU resource: set spec.gpu.count instead",
                field_path=".runtime.resources",
            ),
        )
    )
