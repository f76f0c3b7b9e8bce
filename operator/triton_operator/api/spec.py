"""What a user says about one service: the spec of an InferenceService.

Each description becomes `kubectl explain`; each bound and rule is checked by the API server at admission.
Not for: what the operator answers; that is `api.status`.
"""

from pydantic import ConfigDict, Field

from triton_operator.api.fields import DNS_NAME_PATTERN, ApiModel
from triton_operator.api.gpu import Gpu
from triton_operator.api.rollout import Rollout
from triton_operator.api.runtime import Runtime
from triton_operator.api.schema import cel, literal, plain, rules

MAX_NAME_LENGTH = 45
_URI_PATTERN = rf"^(configmap|pvc)://{DNS_NAME_PATTERN}(/[A-Za-z0-9._/-]*)?$"


class Model(ApiModel):
    """The model and the version of it that is served."""

    name: str = Field(
        min_length=1,
        max_length=128,
        pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.-]*$",
        json_schema_extra=plain(
            "the name of a model must be of letters, digits, '_', '-' and '.', and must not begin with '-' or '.'"
        ),
        description=(
            "Name under which clients ask for the model, /v2/models/NAME. A name in config.pbtxt is changed to it."
        ),
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
                f"self.matches({literal(_URI_PATTERN)}) && size(self.split('/')[2]) <= 253",
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
    replicas: int = Field(
        default=1,
        ge=0,
        le=1000,
        description="Pods that serve. Written by kubectl scale and by autoscalers through /scale.",
        json_schema_extra={"format": "int32"},
    )
    rollout: Rollout = Field(
        default=Rollout(), description="How a new revision takes over.", json_schema_extra={"default": {}}
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
                "!has(self.runtime) || !has(self.runtime.resources)"
                " || [has(self.runtime.resources.requests) ? self.runtime.resources.requests.map(key, key) : [],"
                " has(self.runtime.resources.limits) ? self.runtime.resources.limits.map(key, key) : []]"
                ".all(keys, keys.all(key, !key.startsWith('nvidia.com/gpu') && !key.startsWith('nvidia.com/mig-')"
                " && !(has(self.gpu) && has(self.gpu.resourceName) && key == self.gpu.resourceName)))",
                "runtime.resources must not hold the GPU resource: set spec.gpu.count instead",
                field_path=".runtime.resources",
            ),
            cel(
                "!has(self.gpu) || !has(self.gpu.sharing) || self.gpu.sharing != 'MPS' || !has(self.runtime)"
                " || !has(self.runtime.sharedMemory) || self.runtime.sharedMemory == '256Mi'",
                "with gpu.sharing MPS /dev/shm is that of the node: remove sharedMemory",
                field_path=".runtime.sharedMemory",
            ),
            cel(
                "!has(self.rollout) || self.rollout.strategy != 'Recreate'"
                " || (!has(self.rollout.maxSurgeGPUs) && !has(self.rollout.minAvailable))",
                "rollout.maxSurgeGPUs and rollout.minAvailable are for RollingUpdate: with Recreate nothing serves"
                " meanwhile",
                field_path=".rollout",
            ),
            cel(
                "!has(self.rollout) || !has(self.rollout.maxSurgeGPUs) || !has(self.gpu) || self.gpu.count > 0",
                "rollout.maxSurgeGPUs counts GPUs, and spec.gpu.count is 0: leave it out",
                field_path=".rollout",
            ),
        )
    )
