"""How Triton runs: `spec.runtime`, a small, closed set of what a pod can have.

Not for: the arguments and settings that the operator itself renders; those are in `resources.pod`.
"""

from typing import Annotated, Literal

from pydantic import ConfigDict, Field

from triton_operator.api.fields import ApiModel, DnsName, LabelKey, LabelValue, TextQuantity, label_keys
from triton_operator.api.pods import (
    EnvironmentVariable,
    LocalReference,
    NodeAffinity,
    ResourceRequirements,
    SecurityContext,
    Toleration,
)
from triton_operator.api.schema import ATOMIC, cel, keyed_by, plain, rules
from triton_operator.api.volumes import Volume, VolumeMount

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


class Log(ApiModel):
    """Triton's own log."""

    level: Literal["Error", "Warning", "Info", "Verbose"] = Field(default="Info", description="Least level written.")
    format: Literal["Default", "ISO8601"] = Field(
        default="ISO8601", description="Format of the time: Triton's own, or ISO 8601."
    )


Argument = Annotated[
    str,
    Field(
        min_length=1,
        max_length=1024,
        pattern=r"^[^\x00]+$",
        json_schema_extra=plain("an argument must not hold the character NUL: remove it"),
    ),
]
AnnotationValue = Annotated[str, Field(max_length=1024)]


class Runtime(ApiModel):
    """How Triton runs. A change makes a new revision, except where a field says otherwise."""

    image: str | None = Field(
        default=None,
        min_length=1,
        max_length=1024,
        pattern=r"^[A-Za-z0-9][A-Za-z0-9._:/@-]*$",
        json_schema_extra=plain(
            "image must be REPOSITORY, REPOSITORY:TAG or REPOSITORY@DIGEST: letters, digits, '.', '_', ':', '/', '@',"
            " '-'"
        ),
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
                "args must not hold (the beginning of) a flag that the operator sets itself, such as"
                " --model-repository, --model-control-mode, --http-port or --log-verbose: remove it, and see"
                " spec.runtime for settings",
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
        json_schema_extra=rules(label_keys("nodeSelector")),
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
            label_keys("labels"),
            cel(
                "self.all(key, !(key in ['app.kubernetes.io/managed-by', 'app.kubernetes.io/component',"
                " 'pod-template-hash']) && !key.startsWith('serving.triton-operator.dev/'))",
                "labels must not set app.kubernetes.io/managed-by, app.kubernetes.io/component, pod-template-hash or"
                " serving.triton-operator.dev/*, which the operator and Kubernetes set: remove it",
            ),
        ),
    )
    annotations: dict[LabelKey, AnnotationValue] | None = Field(
        default=None,
        max_length=32,
        description="Further annotations of the pods.",
        json_schema_extra=rules(
            label_keys("annotations"),
            cel(
                "self.all(key, !['serving.triton-operator.dev/', 'container.apparmor.security.beta.kubernetes.io/',"
                " 'kubernetes.io/', 'controller.kubernetes.io/'].exists(own, key.startsWith(own)))",
                "annotations must not set serving.triton-operator.dev/*, kubernetes.io/*, controller.kubernetes.io/* or"
                " container.apparmor.security.beta.kubernetes.io/*, which the operator and Kubernetes set: remove it",
            ),
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
