"""What is compared: agentstop, Kubernetes' own Job controller, and the bare request that ends a pod."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Final

from tests.support.kube import MERGE, STRATEGIC_MERGE, Kube, Object

from agentstop.api.meta import API_VERSION
from agentstop.api.task import KIND, PLURAL
from agentstop.api.usage import USAGE_PLURAL
from benchmarks.kubelet import NODE
from benchmarks.marks import Marks, Stage

CONTAINER: Final = "agent"
JOB_LABEL: Final = "batch.kubernetes.io/job-name"

AGENTSTOP: Final = "agentstop"
JOBS: Final = "Job controller"
JOBS_SHIPPED: Final = "Job controller, as shipped"
RAW: Final = "raw API call"
ONE_PATCH: Final = "one patch on the root"
BY_HAND: Final = "a patch on every task"
BY_ORDER: Final = "one order"
ASKS_NODES: Final = "agentstop, with node.enabled"
BY_LIMIT: Final = "a report that passes a limit"

MAX_TURNS: Final = 1_000_000
LEASES_VERSION: Final = "coordination.k8s.io/v1"

ORDERED_AGENT: Final = "crowd"
"""The agent of the tasks that an order stops: orders may select by it."""

PODS_OF_JOB: Final = 3
"""So many pods has a Job that is stopped through its task, and the one beside it."""


def pods_path(namespace: str) -> str:
    """Return the path of the pods."""
    return f"/api/v1/namespaces/{namespace}/pods"


def tasks_path(namespace: str) -> str:
    """Return the path of the tasks."""
    return f"/apis/{API_VERSION}/namespaces/{namespace}/{PLURAL}"


def jobs_path(namespace: str) -> str:
    """Return the path of the Jobs."""
    return f"/apis/batch/v1/namespaces/{namespace}/jobs"


def usages_path(namespace: str) -> str:
    """Return the path of what tasks have spent."""
    return f"/apis/{API_VERSION}/namespaces/{namespace}/{USAGE_PLURAL}"


def leases_path(namespace: str) -> str:
    """Return the path of the Leases."""
    return f"/apis/{LEASES_VERSION}/namespaces/{namespace}/leases"


def pod_spec() -> Object:
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


def task_manifest(name: str, agent: str = "researcher", **spec: Any) -> Object:
    """Return an AgentTask that runs the pod."""
    return {
        "apiVersion": API_VERSION,
        "kind": KIND,
        "metadata": {"name": name},
        "spec": {"agent": agent, "podTemplate": {"spec": pod_spec()}, **spec},
    }


def tethered_manifest(name: str) -> Object:
    """Return an AgentTask that is tethered to the Lease of the same name."""
    return task_manifest(name, tether={"leaseName": name})


def pod_manifest(name: str) -> Object:
    """Return the bare pod."""
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": pod_spec()}


def container_spec(image: str) -> Object:
    """Return a pod that a kubelet runs: its process ends at once when it is asked to."""
    command = ["sh", "-c", "trap 'exit 0' TERM; while :; do sleep 3600 & wait; done"]
    resources = {"requests": {"cpu": "1m", "memory": "8Mi"}}
    return {
        "restartPolicy": "Never",
        "terminationGracePeriodSeconds": 30,
        "automountServiceAccountToken": False,
        "containers": [{"name": CONTAINER, "image": image, "command": command, "resources": resources}],
    }


def job_manifest(name: str, pods: int = 1, spec: Mapping[str, Any] | None = None) -> Object:
    """Return a Job that runs so many pods of this specification, or of `pod_spec`."""
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": name},
        "spec": {"backoffLimit": 0, "parallelism": pods, "template": {"spec": spec or pod_spec()}},
    }


def adopting_manifest(name: str) -> Object:
    """Return an AgentTask that stands for the Job of the same name."""
    ref = {"apiVersion": "batch/v1", "kind": "Job", "name": name}
    return {
        "apiVersion": API_VERSION,
        "kind": KIND,
        "metadata": {"name": name},
        "spec": {"agent": "researcher", "workloadRef": ref},
    }


@dataclass(frozen=True)
class Contender:
    """One way to stop pods: what to create, and the one patch that stops it."""

    name: str
    letter: str
    """Names of its workloads begin with it."""
    collection: Callable[[str], str]
    manifest: Callable[[str], Object]
    stop: dict[str, Any]
    pods: int = 1
    """So many pods has each of its workloads."""
    job: Callable[[str], Object] | None = None
    """The Job of the same name that it stands for; it is made first."""

    @property
    def has_tasks(self) -> bool:
        """Whether its workloads are AgentTasks."""
        return self.collection is tasks_path

    def names(self, prefix: str, count: int) -> list[str]:
        """Return names for so many workloads."""
        return [f"{self.letter}{prefix}{number:05d}" for number in range(count)]

    async def create(self, api: Kube, namespace: str, name: str) -> None:
        """Create one workload."""
        if self.job is not None:
            await api.call("POST", jobs_path(namespace), self.job(name))
        await api.call("POST", self.collection(namespace), self.manifest(name))

    async def patch(self, api: Kube, namespace: str, name: str) -> None:
        """Send the patch that stops one workload, of the kind that the API server takes with the least work."""
        kind = MERGE if self.has_tasks else STRATEGIC_MERGE
        await api.call("PATCH", f"{self.collection(namespace)}/{name}", self.stop, content_type=kind)


@dataclass(frozen=True)
class Reported(Contender):
    """Tasks that are stopped by a report, which passes a limit of theirs."""

    async def patch(self, api: Kube, namespace: str, name: str) -> None:
        """Send the report."""
        await api.patch(f"{usages_path(namespace)}/{name}", self.stop)


OURS: Final = Contender(AGENTSTOP, "a", tasks_path, task_manifest, {"spec": {"stopRequested": True}})
JOB: Final = Contender(JOBS, "j", jobs_path, job_manifest, {"spec": {"suspend": True}})
SHIPPED_JOB: Final = replace(JOB, name=JOBS_SHIPPED, letter="k")
BARE: Final = Contender(RAW, "r", pods_path, pod_manifest, {"spec": {"activeDeadlineSeconds": 1}})


ASKING: Final = replace(OURS, name=ASKS_NODES, letter="p")
"""Tasks of an operator that may ask the nodes."""
FROZEN: Final = replace(OURS, name=BY_ORDER, letter="z")
"""Tasks that are frozen."""

FAMILY: Final = replace(OURS, name=ONE_PATCH, letter="f")
SINGLY: Final = replace(OURS, name=BY_HAND, letter="h")
ORDERED: Final = replace(OURS, name=BY_ORDER, letter="o", manifest=partial(task_manifest, agent=ORDERED_AGENT))
ARRIVING: Final = replace(OURS, letter="n")
"""Tasks that a hold refuses: no pod is made for them."""

SPENDING: Final = Reported(
    BY_LIMIT,
    "b",
    tasks_path,
    partial(task_manifest, budget={"maxTurns": MAX_TURNS}),
    {"spec": {"turns": MAX_TURNS}},
)
TETHERED: Final = replace(OURS, letter="t", manifest=tethered_manifest)

ADOPTED: Final = replace(
    OURS,
    letter="w",
    manifest=adopting_manifest,
    pods=PODS_OF_JOB,
    job=partial(job_manifest, pods=PODS_OF_JOB),
)
UNADOPTED: Final = replace(JOB, letter="u", manifest=partial(job_manifest, pods=PODS_OF_JOB), pods=PODS_OF_JOB)
"""The Job path: a Job that is stopped through its task, and an equal one that is suspended."""

_STOPPED: Final = (
    OURS,
    JOB,
    SHIPPED_JOB,
    BARE,
    FAMILY,
    SINGLY,
    ORDERED,
    ARRIVING,
    SPENDING,
    TETHERED,
    ADOPTED,
    UNADOPTED,
)
_ALL: Final = (*_STOPPED, ASKING, FROZEN)
_BY_LETTER: Final = {each.letter: each for each in _ALL}


def run_by_kubelet(image: str) -> tuple[Contender, Contender]:
    """Return the Job path with pods that the cluster's own nodes run."""
    job = partial(job_manifest, pods=PODS_OF_JOB, spec=container_spec(image))
    return replace(ADOPTED, job=job), replace(UNADOPTED, manifest=job)


def mark_pod(marks: Marks, at: float, kind: str, pod: Object) -> None:
    """Note what the event of a pod means, for whichever of them the pod belongs to."""
    metadata = pod["metadata"]
    uid = metadata["uid"]
    job = (metadata.get("labels") or {}).get(JOB_LABEL)
    subject = job or metadata["name"]
    owner = _BY_LETTER[subject[0]]
    phase = pod.get("status", {}).get("phase")
    if kind == "DELETED" or "deletionTimestamp" in metadata or pod["spec"].get("activeDeadlineSeconds") == 1:
        marks.mark(subject, Stage.EFFECT, at, part=uid, parts=owner.pods)
    elif phase == "Running":
        marks.mark(subject, Stage.RUNNING, at, part=uid, parts=owner.pods + owner.has_tasks)
    if job and kind == "DELETED":
        marks.mark(subject, Stage.GONE, at, part=uid, parts=owner.pods)
    if (job and kind == "DELETED" and not owner.has_tasks) or (owner is BARE and phase == "Failed"):
        marks.mark(subject, Stage.END, at, part=uid, parts=owner.pods)


def mark_task(marks: Marks, at: float, task: Object) -> None:
    """Note what the event of a task means."""
    phase = task.get("status", {}).get("phase")
    name = task["metadata"]["name"]
    if phase == "Running":
        marks.mark(name, Stage.RUNNING, at, part=name, parts=_BY_LETTER[name[0]].pods + 1)
    elif phase == "Stopped":
        marks.mark(name, Stage.END, at)
