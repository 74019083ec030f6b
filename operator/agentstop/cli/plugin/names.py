"""Names of the API as plain words: the models that they come from take too long to import for a stop.

A test holds them in step with `agentstop.api`.
"""

from dataclasses import dataclass
from typing import Final

GROUP: Final = "agentstop.dev"
API_VERSION: Final = "agentstop.dev/v1alpha1"
FIELD_MANAGER: Final = "agentstop"

ACTIVE_ONLY: Final = "status.phase!=Stopped,status.phase!=Completed,status.phase!=Failed"
"""Field selector of the tasks that have not ended."""

ORDER_OVER: Final = frozenset({"Complete", "Lifted", "Drilled"})
"""Phases of an order that has no effect any more."""

MAX_TASK_NAMES: Final = 256
"""So many names an order may list."""


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of object, and where it lives in the API."""

    kind: str
    plural: str
    word: str
    """What people call it."""
    root: str = f"/apis/{API_VERSION}"
    cluster_wide: bool = False

    def path(self, namespace: str | None = None, name: str | None = None) -> str:
        """Return the path of the collection or of an object; no namespace is all of them."""
        where = f"/namespaces/{namespace}" if namespace and not self.cluster_wide else ""
        return f"{self.root}{where}/{self.plural}" + (f"/{name}" if name else "")


TASK: Final = Kind("AgentTask", "agenttasks", "task")
ORDER: Final = Kind("StopOrder", "stoporders", "order")
CLUSTER_ORDER: Final = Kind("ClusterStopOrder", "clusterstoporders", "cluster order", cluster_wide=True)
CONTROL: Final = Kind("PodControl", "podcontrols", "PodControl")
EVENT: Final = Kind("Event", "events", "event", "/apis/events.k8s.io/v1")
NAMESPACE: Final = Kind("Namespace", "namespaces", "namespace", "/api/v1", cluster_wide=True)
DEFINITION: Final = Kind(
    "CustomResourceDefinition",
    "customresourcedefinitions",
    "definition",
    "/apis/apiextensions.k8s.io/v1",
    cluster_wide=True,
)
