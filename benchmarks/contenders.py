"""What is compared: agentstop, Kubernetes' own Job controller, and the bare request that ends a pod."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Final

from agentstop.api.meta import API_VERSION
from agentstop.api.task import KIND, PLURAL
from benchmarks.api import Api, JsonObject
from benchmarks.kubelet import NODE
from benchmarks.marks import Marks, Stage

CONTAINER: Final = "agent"
JOB_LABEL: Final = "batch.kubernetes.io/job-name"

AGENTSTOP: Final = "agentstop"
JOBS: Final = "Job controller"
JOBS_SHIPPED: Final = "Job controller, as shipped"
RAW: Final = "raw API call"


def pods_path(namespace: str) -> str:
    """Return the path of the pods."""
    return f"/api/v1/namespaces/{namespace}/pods"


def tasks_path(namespace: str) -> str:
    """Return the path of the tasks."""
    return f"/apis/{API_VERSION}/namespaces/{namespace}/{PLURAL}"


def jobs_path(namespace: str) -> str:
    """Return the path of the Jobs."""
    return f"/apis/batch/v1/namespaces/{namespace}/jobs"


def pod_spec() -> JsonObject:
    """Return the pod that all of them run; no process is behind it."""
    return {
        "nodeName": NODE,
        "restartPolicy": "Never",
        "terminationGracePeriodSeconds": 30,
        "automountServiceAccountToken": False,
        "containers": [
            {
                "name": CONTAINER,
                "image": "registry.example.com/agents/researcher:1.4.2",
                "command": ["python", "-m", "agent", "--plan", "/plans/today.yaml"],
                "env": [{"name": "AGENT_BUDGET_USD", "value": "40"}, {"name": "AGENT_MODEL", "value": "large"}],
                "resources": {"requests": {"cpu": "10m", "memory": "16Mi"}},
            }
        ],
    }


def task_manifest(name: str) -> JsonObject:
    """Return an AgentTask that runs the pod."""
    return {
        "apiVersion": API_VERSION,
        "kind": KIND,
        "metadata": {"name": name},
        "spec": {"agent": "researcher", "podTemplate": {"spec": pod_spec()}},
    }


def pod_manifest(name: str) -> JsonObject:
    """Return the bare pod."""
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": pod_spec()}


def job_manifest(name: str) -> JsonObject:
    """Return a Job that runs the pod."""
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": name},
        "spec": {"backoffLimit": 0, "template": {"spec": pod_spec()}},
    }


@dataclass(frozen=True)
class Contender:
    """One way to stop a pod: what to create, and the one patch that stops it."""

    name: str
    letter: str
    """Names of its workloads begin with it."""
    collection: Callable[[str], str]
    manifest: Callable[[str], JsonObject]
    stop: dict[str, Any]

    def names(self, prefix: str, count: int) -> list[str]:
        """Return names for so many workloads."""
        return [f"{self.letter}{prefix}{number:05d}" for number in range(count)]

    async def create(self, api: Api, namespace: str, name: str) -> None:
        """Create one workload."""
        await api.call("POST", self.collection(namespace), self.manifest(name))

    async def patch(self, api: Api, namespace: str, name: str) -> None:
        """Send the patch that stops one workload."""
        await api.patch(f"{self.collection(namespace)}/{name}", self.stop)


OURS: Final = Contender(AGENTSTOP, "a", tasks_path, task_manifest, {"spec": {"stopRequested": True}})
JOB: Final = Contender(JOBS, "j", jobs_path, job_manifest, {"spec": {"suspend": True}})
SHIPPED_JOB: Final = replace(JOB, name=JOBS_SHIPPED, letter="k")
BARE: Final = Contender(RAW, "r", pods_path, pod_manifest, {"spec": {"activeDeadlineSeconds": 1}})


def mark_pod(marks: Marks, at: float, kind: str, pod: JsonObject) -> None:
    """Note what the event of a pod means, for whichever of them the pod belongs to."""
    metadata = pod["metadata"]
    job = (metadata.get("labels") or {}).get(JOB_LABEL)
    subject = job or metadata["name"]
    phase = pod.get("status", {}).get("phase")
    if kind == "DELETED" or "deletionTimestamp" in metadata or pod["spec"].get("activeDeadlineSeconds") == 1:
        marks.mark(subject, Stage.EFFECT, at)
    elif phase == "Running" and subject[0] != OURS.letter:
        marks.mark(subject, Stage.RUNNING, at)
    if (job and kind == "DELETED") or (subject[0] == BARE.letter and phase == "Failed"):
        marks.mark(subject, Stage.END, at)


def mark_task(marks: Marks, at: float, task: JsonObject) -> None:
    """Note what the event of a task means."""
    phase = task.get("status", {}).get("phase")
    name = task["metadata"]["name"]
    if phase == "Running":
        marks.mark(name, Stage.RUNNING, at)
    elif phase == "Stopped":
        marks.mark(name, Stage.END, at)
