"""Names that users and other programs see: the API group, kinds, labels, annotations, ports and container names.

Not for: anything computed; see core.revision for the names of a service's children.
"""

from dataclasses import dataclass

GROUP = "serving.triton-operator.dev"
VERSION = "v1alpha1"
API_VERSION = f"{GROUP}/{VERSION}"

OPERATOR = "triton-operator"
FIELD_MANAGER = OPERATOR

LABEL_MANAGED_BY = "app.kubernetes.io/managed-by"
LABEL_COMPONENT = "app.kubernetes.io/component"
LABEL_SERVICE = f"{GROUP}/service"
LABEL_REVISION = f"{GROUP}/revision"
LABEL_RESOLVES = f"{GROUP}/resolves"
ANNOTATION_APPLIED = f"{GROUP}/applied"
ANNOTATION_RESTARTED = f"{GROUP}/restarted-at"
ANNOTATION_REJECTED = f"{GROUP}/rejected"
ANNOTATION_STABLE = f"{GROUP}/stable"
ANNOTATION_GPU = f"{GROUP}/gpu-resource"
ANNOTATION_DELETION_COST = "controller.kubernetes.io/pod-deletion-cost"

HEADER_REVISION = "x-triton-revision"

PORT_HTTP = 8000
PORT_GRPC = 8001
PORT_METRICS = 8002

CONTAINER_TRITON = "triton"
CONTAINER_PREPARE = "prepare"
CONTAINER_RESOLVE = "resolve"


@dataclass(frozen=True, slots=True)
class Kind:
    """A resource type of the Kubernetes API.

    Attributes:
        group: API group, "" for the core group.
        version: API version, such as "v1".
        kind: the type's name in objects, such as "Deployment".
        plural: the type's name in URLs, such as "deployments".
    """

    group: str
    version: str
    kind: str
    plural: str

    @property
    def api_version(self) -> str:
        """The `apiVersion` of the type's objects."""
        return f"{self.group}/{self.version}" if self.group else self.version


INFERENCE_SERVICE = Kind(GROUP, VERSION, "InferenceService", "inferenceservices")
CONFIG_MAP = Kind("", "v1", "ConfigMap", "configmaps")
POD = Kind("", "v1", "Pod", "pods")
SERVICE = Kind("", "v1", "Service", "services")
CONTROLLER_REVISION = Kind("apps", "v1", "ControllerRevision", "controllerrevisions")
DEPLOYMENT = Kind("apps", "v1", "Deployment", "deployments")
LEASE = Kind("coordination.k8s.io", "v1", "Lease", "leases")
ENDPOINT_SLICE = Kind("discovery.k8s.io", "v1", "EndpointSlice", "endpointslices")
HTTP_ROUTE = Kind("gateway.networking.k8s.io", "v1", "HTTPRoute", "httproutes")
GRPC_ROUTE = Kind("gateway.networking.k8s.io", "v1", "GRPCRoute", "grpcroutes")
POD_MONITOR = Kind("monitoring.coreos.com", "v1", "PodMonitor", "podmonitors")
EVENT = Kind("events.k8s.io", "v1", "Event", "events")
POD_EVENT = Kind("", "v1", "Event", "events")  # what the kubelet writes about pods
POD_DISRUPTION_BUDGET = Kind("policy", "v1", "PodDisruptionBudget", "poddisruptionbudgets")

# What the operator writes, in the order a listing shows them; each carries LABEL_MANAGED_BY.
CHILD_KINDS = (CONFIG_MAP, CONTROLLER_REVISION, DEPLOYMENT, SERVICE, POD_DISRUPTION_BUDGET)
# The same, where the cluster serves them.
ROUTE_KINDS = (HTTP_ROUTE, GRPC_ROUTE)
OPTIONAL_KINDS = (*ROUTE_KINDS, POD_MONITOR)
