"""The closed set of pod settings that a user may give, in the shapes that Pods and Deployments have taught everyone.

Not for: what the operator itself puts into a pod; that is `resources.deployment`.
"""

from typing import Annotated, Literal

from pydantic import ConfigDict, Field

from triton_operator.api.fields import ApiModel, DnsLabel, DnsName, LabelKey, LabelValue, Quantity, TextQuantity
from triton_operator.api.schema import ATOMIC, cel, rules

Effect = Literal["NoSchedule", "PreferNoSchedule", "NoExecute"]
ConfigKey = Annotated[str, Field(min_length=1, max_length=253, pattern=r"^[-._a-zA-Z0-9]+$")]


class LocalReference(ApiModel):
    """A Secret in the service's namespace, by name."""

    name: DnsName = Field(description="Name of the Secret.")


class KeyReference(ApiModel):
    """One key of a Secret or ConfigMap in the service's namespace."""

    name: DnsName = Field(description="Name of the object.")
    key: ConfigKey = Field(description="Key within the object.")
    optional: bool | None = Field(default=None, description="Whether the pod starts without it. Default: false.")


class FieldReference(ApiModel):
    """A field of the pod itself."""

    field_path: str = Field(
        min_length=1,
        max_length=256,
        pattern=r"^(metadata\.(name|namespace|uid)|metadata\.(labels|annotations)\['[^']{1,200}'\]|spec\.(nodeName|serviceAccountName)|status\.(hostIP|hostIPs|podIP|podIPs))$",
        description="Path of the field, such as metadata.name or status.podIP.",
    )


class ValueSource(ApiModel):
    """Where a variable's value comes from; exactly one is given."""

    secret_key_ref: KeyReference | None = Field(default=None, description="A key of a Secret.")
    config_map_key_ref: KeyReference | None = Field(default=None, description="A key of a ConfigMap.")
    field_ref: FieldReference | None = Field(default=None, description="A field of the pod.")

    model_config = ConfigDict(
        json_schema_extra=rules(
            cel(
                "[has(self.secretKeyRef), has(self.configMapKeyRef), has(self.fieldRef)].exists_one(x, x)",
                "valueFrom takes exactly one of secretKeyRef, configMapKeyRef and fieldRef",
            )
        )
    )


class EnvironmentVariable(ApiModel):
    """A variable of the Triton container."""

    name: str = Field(
        min_length=1,
        max_length=256,
        pattern=r"^[-._a-zA-Z][-._a-zA-Z0-9]*$",
        description="Name of the variable.",
    )
    value: str | None = Field(default=None, max_length=8192, description="Its value. Default: the empty string.")
    value_from: ValueSource | None = Field(default=None, description="Where its value comes from, instead of `value`.")

    model_config = ConfigDict(
        json_schema_extra=rules(
            cel(
                "!(has(self.value) && has(self.valueFrom))",
                "an environment variable takes value or valueFrom, not both: leave one out",
            )
        )
    )


Resources = Annotated[dict[LabelKey, Quantity], Field(max_length=16)]


class ResourceRequirements(ApiModel):
    """Compute resources of the Triton container, GPUs excepted (they are in spec.gpu)."""

    requests: Resources | None = Field(
        default=None, description="What the scheduler sets aside, such as {cpu: 2, memory: 4Gi}."
    )
    limits: Resources | None = Field(
        default=None,
        description="What the container may use at most. sharedMemory counts against the memory limit.",
    )


class Toleration(ApiModel):
    """A taint that the pods tolerate."""

    key: str | None = Field(default=None, max_length=317, description="Key of the taint. Default: every key.")
    operator: Literal["Exists", "Equal"] | None = Field(
        default=None, description="Exists takes any value, Equal takes `value`. Default: Equal."
    )
    value: LabelValue | None = Field(default=None, description="Value of the taint, with operator Equal.")
    effect: Effect | None = Field(default=None, description="Effect of the taint. Default: every effect.")
    toleration_seconds: int | None = Field(
        default=None, ge=0, le=2**31 - 1, description="With NoExecute: how long the pod stays. Default: for ever."
    )

    model_config = ConfigDict(
        json_schema_extra=rules(
            cel(
                "!(has(self.operator) && self.operator == 'Exists' && has(self.value) && self.value != '')",
                "a toleration with operator Exists takes no value: remove value, or use operator Equal",
            ),
            cel(
                "has(self.key) && self.key != '' || (has(self.operator) && self.operator == 'Exists')",
                "a toleration without key needs operator Exists",
            ),
            cel(
                "!has(self.tolerationSeconds) || (has(self.effect) && self.effect == 'NoExecute')",
                "tolerationSeconds goes with effect NoExecute: set the effect, or remove tolerationSeconds",
            ),
        )
    )


class NodeRequirement(ApiModel):
    """A condition on one label of a node."""

    key: LabelKey = Field(description="Key of the label.")
    operator: Literal["In", "NotIn", "Exists", "DoesNotExist", "Gt", "Lt"] = Field(description="How values are used.")
    values: list[LabelValue] | None = Field(
        default=None,
        max_length=64,
        json_schema_extra=ATOMIC,
        description="Values for In and NotIn; one whole number for Gt and Lt; none otherwise.",
    )

    model_config = ConfigDict(
        json_schema_extra=rules(
            cel(
                "self.operator in ['Exists', 'DoesNotExist'] ? (!has(self.values) || size(self.values) == 0)"
                " : (has(self.values) && size(self.values) > 0)",
                "operators In, NotIn, Gt and Lt need values; Exists and DoesNotExist take none",
            ),
            cel(
                "!(self.operator in ['Gt', 'Lt']) || (has(self.values) && size(self.values) == 1"
                " && self.values[0].matches('^[0-9]+$'))",
                "operators Gt and Lt take exactly one whole number in values",
            ),
        )
    )


class NodeTerm(ApiModel):
    """Conditions that hold together."""

    match_expressions: list[NodeRequirement] = Field(
        min_length=1, max_length=16, json_schema_extra=ATOMIC, description="Conditions on labels; all must hold."
    )


class RequiredNodes(ApiModel):
    """Nodes that pods may run on."""

    node_selector_terms: list[NodeTerm] = Field(
        min_length=1, max_length=16, json_schema_extra=ATOMIC, description="Terms; one must hold."
    )


class PreferredNodes(ApiModel):
    """Nodes that pods prefer."""

    weight: int = Field(ge=1, le=100, description="How much this counts among the preferences.")
    preference: NodeTerm = Field(description="What the node should be.")


class NodeAffinity(ApiModel):
    """Which nodes pods need or prefer, as in a Pod."""

    required_during_scheduling_ignored_during_execution: RequiredNodes | None = Field(
        default=None, description="Nodes that pods may run on; added to what spec.gpu asks for."
    )
    preferred_during_scheduling_ignored_during_execution: list[PreferredNodes] | None = Field(
        default=None, max_length=16, json_schema_extra=ATOMIC, description="Nodes that pods prefer."
    )


class ConfigMapVolume(ApiModel):
    """Files from a ConfigMap."""

    name: DnsName = Field(description="Name of the ConfigMap.")
    optional: bool | None = Field(default=None, description="Whether pods start without it. Default: false.")


class SecretVolume(ApiModel):
    """Files from a Secret."""

    secret_name: DnsName = Field(description="Name of the Secret.")
    optional: bool | None = Field(default=None, description="Whether pods start without it. Default: false.")


class EmptyDirectory(ApiModel):
    """Scratch space that lives as long as the pod."""

    medium: Literal["Memory"] | None = Field(default=None, description="Memory, or the node's disk when left out.")
    size_limit: TextQuantity | None = Field(default=None, description="How much it may hold, such as 1Gi.")


class ClaimVolume(ApiModel):
    """A PersistentVolumeClaim of the namespace."""

    claim_name: DnsName = Field(description="Name of the claim.")
    read_only: bool | None = Field(default=None, description="Mount it read-only. Default: false.")


class Volume(ApiModel):
    """A volume of the pods; exactly one source is given."""

    name: DnsLabel = Field(description="Name that volumeMounts use.")
    config_map: ConfigMapVolume | None = Field(default=None, description="Files from a ConfigMap.")
    secret: SecretVolume | None = Field(default=None, description="Files from a Secret.")
    empty_dir: EmptyDirectory | None = Field(default=None, description="Scratch space.")
    persistent_volume_claim: ClaimVolume | None = Field(default=None, description="A claim.")

    model_config = ConfigDict(
        json_schema_extra=rules(
            cel(
                "[has(self.configMap), has(self.secret), has(self.emptyDir), has(self.persistentVolumeClaim)]"
                ".exists_one(x, x)",
                "a volume takes exactly one of configMap, secret, emptyDir and persistentVolumeClaim",
            ),
            cel(
                "!(self.name in ['models', 'source', 'shm', 'tmp'])",
                "volume names models, source, shm and tmp are the operator's: choose another",
                field_path=".name",
            ),
        )
    )


class VolumeMount(ApiModel):
    """Where a volume appears in the Triton container."""

    name: DnsLabel = Field(description="Name of an entry of volumes.")
    mount_path: str = Field(min_length=1, max_length=512, description="Absolute path in the container.")
    sub_path: str | None = Field(default=None, max_length=512, description="Path within the volume. Default: its root.")
    read_only: bool | None = Field(default=None, description="Mount it read-only. Default: false.")

    model_config = ConfigDict(
        json_schema_extra=rules(
            cel(
                "self.mountPath.startsWith('/') && !self.mountPath.contains(':')"
                " && !self.mountPath.split('/').exists(part, part == '..')",
                "mountPath must be an absolute path without '..' and ':'",
                field_path=".mountPath",
            ),
            cel(
                "!['/models', '/source', '/dev', '/tmp', '/proc', '/sys'].exists(own,"
                " self.mountPath == own || self.mountPath.startsWith(own + '/')) && self.mountPath != '/'",
                "mountPath must not be / or lie at or below /models, /source, /dev, /tmp, /proc or /sys: the pod needs"
                " them itself",
                field_path=".mountPath",
            ),
            cel(
                "!has(self.subPath) || (!self.subPath.startsWith('/')"
                " && !self.subPath.split('/').exists(part, part == '..'))",
                "subPath must be a relative path without '..'",
                field_path=".subPath",
            ),
        )
    )


class SecurityContext(ApiModel):
    """What may differ from the restricted defaults; the rest is fixed."""

    read_only_root_filesystem: bool = Field(
        default=True,
        description="Mount the image read-only. The python backend of Triton before 25.09 needs false.",
    )
    run_as_user: int = Field(
        default=1000,
        ge=-1,
        le=2**31 - 1,
        description="User ID of the processes. -1 leaves it to the cluster, as OpenShift wants. 0 is refused.",
        json_schema_extra=rules(cel("self != 0", "runAsUser 0 is root, which is not allowed: use another ID, or -1")),
    )
    fs_group: int = Field(
        default=1000,
        ge=-1,
        le=2**31 - 1,
        description="Group that owns mounted volumes. -1 leaves it to the cluster. 0 is refused.",
        json_schema_extra=rules(cel("self != 0", "fsGroup 0 is root's, which is not allowed: use another ID, or -1")),
    )
