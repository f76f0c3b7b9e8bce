"""The closed set of pod settings that a user may give, in the shapes that Pods and Deployments have taught everyone.

Not for: what the operator itself puts into a pod; that is `resources.deployment`.
"""

from typing import Annotated, Literal

from pydantic import ConfigDict, Field

from triton_operator.api.fields import (
    DNS_NAME_PATTERN,
    ApiModel,
    DnsName,
    LabelKey,
    LabelValue,
    Quantity,
)
from triton_operator.api.schema import ATOMIC, cel, literal, plain, rules

Effect = Literal["NoSchedule", "PreferNoSchedule", "NoExecute"]
ConfigKey = Annotated[
    str,
    Field(
        min_length=1,
        max_length=253,
        pattern=r"^\.?[-_a-zA-Z0-9][-._a-zA-Z0-9]*$",
        json_schema_extra=plain("must be a key: letters, digits, '-', '_' and '.', not beginning with '..'"),
    ),
]


EXTENDED_RESOURCE_PATTERN = rf"^{DNS_NAME_PATTERN}/[A-Za-z0-9]([-A-Za-z0-9_.]{{0,61}}[A-Za-z0-9])?$"
ResourceName = Annotated[str, Field(pattern=rf"^(cpu|memory|ephemeral-storage)$|{EXTENDED_RESOURCE_PATTERN}")]


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
        pattern=(
            r"^(metadata\.(name|namespace|uid)|metadata\.(labels|annotations)\['([a-z0-9]([-a-z0-9]*[a-z0-9])?"
            r"(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*/)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?'\]"
            r"|spec\.(nodeName|serviceAccountName)|status\.(hostIP|hostIPs|podIP|podIPs))$"
        ),
        json_schema_extra=plain(
            "fieldPath must be metadata.name, metadata.namespace, metadata.uid, metadata.labels['KEY'],"
            " metadata.annotations['KEY'], spec.nodeName, spec.serviceAccountName, status.hostIP, status.hostIPs,"
            " status.podIP or status.podIPs"
        ),
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
        pattern=r"^\.?[-_a-zA-Z][-._a-zA-Z0-9]*$",
        description="Name of the variable.",
        json_schema_extra=plain(
            "the name of an environment variable must be of letters, digits, '_', '-' and '.', and must not begin with"
            " a digit or '..'"
        )
        | rules(
            cel(
                "!self.startsWith('TRITON_OPERATOR_')",
                "environment variables TRITON_OPERATOR_* are the operator's: choose another name",
            )
        ),
    )
    value: str | None = Field(
        default=None,
        max_length=4096,
        pattern=r"^[^\x00]*$",
        json_schema_extra=plain("the value of an environment variable must not hold the character NUL: remove it"),
        description="Its value. Default: the empty string.",
    )
    value_from: ValueSource | None = Field(default=None, description="Where its value comes from, instead of `value`.")

    model_config = ConfigDict(
        json_schema_extra=rules(
            cel(
                "!(has(self.value) && has(self.valueFrom))",
                "an environment variable takes value or valueFrom, not both: leave one out",
            )
        )
    )


Resources = dict[ResourceName, Quantity]
# Not hugepages-*: they are of no use without a volume of them.
_RESOURCES = rules(
    cel(
        "self.all(key, key in ['cpu', 'memory', 'ephemeral-storage'] || (size(key) <= 128"
        " && !key.contains('kubernetes.io/') && !key.startsWith('requests.')"
        f" && key.matches({literal(EXTENDED_RESOURCE_PATTERN)})))",
        "resources are cpu, memory, ephemeral-storage and extended resources such as rdma/hca",
    ),
    cel(
        "self.all(key, !key.contains('/') || string(self[key]).matches('^[0-9]+$'))",
        "the quantity of an extended resource in requests and limits must be a whole number, such as 1",
    ),
)


class ResourceRequirements(ApiModel):
    """Compute resources of the Triton container, GPUs excepted (they are in spec.gpu)."""

    requests: Resources | None = Field(
        default=None,
        max_length=16,
        json_schema_extra=_RESOURCES,
        description="What the scheduler sets aside, such as {cpu: 2, memory: 4Gi}.",
    )
    limits: Resources | None = Field(
        default=None,
        max_length=16,
        json_schema_extra=_RESOURCES,
        description="What the container may use at most. sharedMemory counts against the memory limit.",
    )

    model_config = ConfigDict(
        json_schema_extra=rules(
            cel(
                "!has(self.requests) || !has(self.limits) || self.requests.all(key, !(key in self.limits)"
                " || !isQuantity(string(self.requests[key])) || !isQuantity(string(self.limits[key]))"
                " || quantity(string(self.requests[key])).compareTo(quantity(string(self.limits[key]))) <= 0)",
                "requests must not exceed limits: lower the request, or raise the limit",
                field_path=".requests",
            ),
            cel(
                "!has(self.requests) || self.requests.all(key, !key.contains('/') || (has(self.limits)"
                " && key in self.limits && string(self.requests[key]) == string(self.limits[key])))",
                "an extended resource belongs in limits: remove it from requests, or give the same number in both",
                field_path=".requests",
            ),
        )
    )


class Toleration(ApiModel):
    """A taint that the pods tolerate."""

    key: LabelKey | None = Field(default=None, description="Key of the taint. Default: every key.")
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
                "has(self.key) || (has(self.operator) && self.operator == 'Exists')",
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
                " && self.values[0].matches('^[0-9]{1,18}$'))",
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
