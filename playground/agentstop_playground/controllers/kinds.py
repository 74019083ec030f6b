"""The kinds that controllers read and write, and where an API server serves them."""

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Kind:
    """One version of a namespaced kind. ``custom``: it is served only while its definition is installed."""

    group: str
    version: str
    name: str
    plural: str
    custom: bool = False

    @property
    def api_version(self) -> str:
        """``v1`` or ``batch/v1``."""
        return f"{self.group}/{self.version}" if self.group else self.version

    @property
    def definition(self) -> str:
        """The name of its CustomResourceDefinition."""
        return f"{self.plural}.{self.group}"

    def collection(self, namespace: str = "") -> str:
        """The path of all its objects, or of those in a namespace."""
        root = f"/apis/{self.group}/{self.version}" if self.group else f"/api/{self.version}"
        return f"{root}/namespaces/{namespace}/{self.plural}" if namespace else f"{root}/{self.plural}"

    def path(self, namespace: str, name: str, subresource: str = "") -> str:
        """The path of one object or of a subresource of it."""
        path = f"{self.collection(namespace)}/{name}"
        return f"{path}/{subresource}" if subresource else path


POD: Final = Kind("", "v1", "Pod", "pods")
JOB: Final = Kind("batch", "v1", "Job", "jobs")
DEPLOYMENT: Final = Kind("apps", "v1", "Deployment", "deployments")
REPLICA_SET: Final = Kind("apps", "v1", "ReplicaSet", "replicasets")
STATEFUL_SET: Final = Kind("apps", "v1", "StatefulSet", "statefulsets")

RAY_CLUSTER: Final = Kind("ray.io", "v1", "RayCluster", "rayclusters", custom=True)
SANDBOX: Final = Kind("agents.x-k8s.io", "v1beta1", "Sandbox", "sandboxes", custom=True)
SANDBOX_CLAIM: Final = Kind("extensions.agents.x-k8s.io", "v1beta1", "SandboxClaim", "sandboxclaims", custom=True)
SANDBOX_TEMPLATE: Final = Kind(
    "extensions.agents.x-k8s.io", "v1beta1", "SandboxTemplate", "sandboxtemplates", custom=True
)
SANDBOX_WARM_POOL: Final = Kind(
    "extensions.agents.x-k8s.io", "v1beta1", "SandboxWarmPool", "sandboxwarmpools", custom=True
)
