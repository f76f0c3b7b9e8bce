"""What a user says about one service: the spec of an InferenceService.

Each description becomes `kubectl explain`; each bound and rule is checked by the API server at admission.
Not for: what the operator answers; that is `api.status`.
"""

from pydantic import ConfigDict, Field

from triton_operator.api.autoscaling import Autoscaling
from triton_operator.api.fields import ApiModel
from triton_operator.api.gpu import Gpu
from triton_operator.api.model import Model
from triton_operator.api.rollout import Rollout
from triton_operator.api.routing import Routing
from triton_operator.api.runtime import Runtime
from triton_operator.api.schema import cel, rules

MAX_NAME_LENGTH = 45


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
        description=(
            "Pods that serve; with autoscaling those that it begins with. Written by kubectl scale and by other"
            " autoscalers through /scale."
        ),
        json_schema_extra={"format": "int32"},
    )
    autoscaling: Autoscaling | None = Field(
        default=None, description="How many pods serve, by what is asked of them. Left out: spec.replicas."
    )
    rollout: Rollout = Field(
        default=Rollout(), description="How a new revision takes over.", json_schema_extra={"default": {}}
    )
    routing: Routing = Field(
        default=Routing(),
        description="How requests from outside the cluster reach the service.",
        json_schema_extra={"default": {}},
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
                "!has(self.rollout) || self.rollout.strategy == 'RollingUpdate' || !has(self.rollout.minAvailable)",
                "rollout.minAvailable is for RollingUpdate: with Recreate nothing serves meanwhile, and with Canary and"
                " BlueGreen all pods stay",
                field_path=".rollout",
            ),
            cel(
                "!has(self.rollout) || self.rollout.strategy in ['RollingUpdate', 'Canary']"
                " || !has(self.rollout.maxSurgeGPUs)",
                "rollout.maxSurgeGPUs is for RollingUpdate and Canary: with Recreate nothing serves meanwhile, and"
                " BlueGreen needs all pods twice",
                field_path=".rollout",
            ),
            cel(
                "!has(self.rollout) || (has(self.routing) && has(self.routing.gateway)) ||"
                " ((!has(self.rollout.steps) || self.rollout.steps.all(s, has(s.setWeight) || has(s.pause)))"
                " && (!has(self.rollout.analysis) || !has(self.rollout.analysis.slowRequests)))",
                "without a Gateway a canary gets what its pods get in the Service: steps other than setWeight and"
                " pause, and analysis.slowRequests, need spec.routing.gateway",
                field_path=".rollout",
            ),
            cel(
                "!has(self.rollout) || self.rollout.strategy != 'Canary' || !has(self.rollout.maxSurgeGPUs)"
                " || !has(self.gpu) || self.rollout.maxSurgeGPUs >= self.gpu.count",
                "with Canary rollout.maxSurgeGPUs must have room for one pod: it runs beside all those that serve",
                field_path=".rollout",
            ),
            cel(
                "!has(self.rollout) || !has(self.rollout.dynamicStableScale) || !self.rollout.dynamicStableScale"
                " || (self.rollout.strategy == 'Canary' && has(self.routing) && has(self.routing.gateway))",
                "rollout.dynamicStableScale needs strategy Canary and spec.routing.gateway",
                field_path=".rollout",
            ),
            cel(
                "!has(self.rollout) || self.rollout.strategy == 'Canary' || (!has(self.rollout.steps)"
                " && !has(self.rollout.analysis) && (!has(self.rollout.autoRollback) || self.rollout.autoRollback))",
                "rollout.steps, rollout.analysis and rollout.autoRollback are for Canary: set rollout.strategy to it",
                field_path=".rollout",
            ),
            cel(
                "!has(self.rollout) || !has(self.rollout.steps) || !has(self.routing) || !has(self.routing.gateway)"
                " || !has(self.routing.gateway.headers) || self.rollout.steps.all(s, !has(s.setHeaderRoute)"
                " || !has(s.setHeaderRoute.headers) || s.setHeaderRoute.headers.all(h,"
                " self.routing.gateway.headers.all(g, g.name.lowerAscii() != h.name.lowerAscii())))",
                "rollout.steps[].setHeaderRoute must name other headers than routing.gateway.headers, which all"
                " requests of the service have",
                field_path=".rollout",
            ),
            cel(
                "!has(self.rollout) || self.rollout.strategy == 'BlueGreen'"
                " || !has(self.rollout.scaleDownDelaySeconds)",
                "rollout.scaleDownDelaySeconds is for BlueGreen: other strategies leave nothing to keep warm",
                field_path=".rollout",
            ),
            cel(
                "!has(self.rollout) || !has(self.rollout.maxSurgeGPUs) || !has(self.gpu) || self.gpu.count > 0",
                "rollout.maxSurgeGPUs counts GPUs, and spec.gpu.count is 0: leave it out",
                field_path=".rollout",
            ),
        )
    )
