"""Objects as the API server has them, with no more in them than a test needs."""

from datetime import UTC, datetime, timedelta
from typing import Any

from agentstop.api.meta import API_VERSION, TASK_LABEL
from agentstop.api.order import CLUSTER_ORDER_KIND, ORDER_KIND
from agentstop.api.task import KIND
from agentstop.cluster.tasks import read_task
from agentstop.lifecycle.observation import Task
from agentstop.workloads.objects import CacheEntry, Lister, ObjectRef, Rejection
from agentstop.workloads.pods.reading import read_pod
from agentstop.workloads.pods.record import PodRecord

Raw = dict[str, Any]

NOW = datetime(2026, 1, 1, 12, 0, 0, tzinfo=UTC)
NAMESPACE = "ns"
TASK_UID = "task-uid"
POD_UID = "pod-uid"
POD_REF = ObjectRef("Pod", NAMESPACE, "x")


def at(seconds: float) -> datetime:
    """So many seconds after the beginning."""
    return NOW + timedelta(seconds=seconds)


def when(seconds: float) -> str:
    """The same, as Kubernetes writes it."""
    return at(seconds).strftime("%Y-%m-%dT%H:%M:%SZ")


def owner(uid: str = TASK_UID, kind: str = KIND, name: str = "x") -> Raw:
    return {"apiVersion": API_VERSION, "kind": kind, "name": name, "uid": uid, "controller": True}


def raw_pod(
    *,
    metadata: Raw | None = None,
    spec: Raw | None = None,
    status: Raw | None = None,
    version: int = 1,
    uid: str = POD_UID,
) -> Raw:
    """A pod named x, by default a bound one that runs and is owned by the task x."""
    given: Raw = {
        "name": "x",
        "namespace": NAMESPACE,
        "uid": uid,
        "resourceVersion": str(version),
        "labels": {TASK_LABEL: "x"},
        "ownerReferences": [owner()],
    }
    return {
        "kind": "Pod",
        "metadata": given | (metadata or {}),
        "spec": {"nodeName": "n", "terminationGracePeriodSeconds": 30, "restartPolicy": "Never"} | (spec or {}),
        "status": {"phase": "Running", "startTime": when(0), "containerStatuses": [running()]} | (status or {}),
    }


def running(name: str = "main", since: float = 1) -> Raw:
    return {"name": name, "state": {"running": {"startedAt": when(since)}}}


def waiting(name: str = "main", reason: str = "ContainerCreating", last: Raw | None = None) -> Raw:
    return {"name": name, "state": {"waiting": {"reason": reason}}, "lastState": {"terminated": last} if last else {}}


def end(code: int = 0, reason: str | None = None, finished: float | None = 5, started: float | None = 1) -> Raw:
    """The details of a container that ended."""
    details: Raw = {"exitCode": code, "reason": reason or ("Completed" if code == 0 else "Error")}
    details |= {"startedAt": when(started)} if started is not None else {}
    return details | ({"finishedAt": when(finished)} if finished is not None else {})


def ended(name: str = "main", **details: Any) -> Raw:
    return {"name": name, "state": {"terminated": end(**details)}}


def never_found(name: str, message: str = "The container could not be located when the pod was terminated") -> Raw:
    details = {"exitCode": 137, "reason": "ContainerStatusUnknown", "message": message}
    return {"name": name, "state": {"terminated": details}}


def raw_task(spec: Raw | None = None, status: Raw | None = None, version: int = 1, **metadata: Any) -> Raw:
    """A task named x with a pod template."""
    given = {"name": "x", "namespace": NAMESPACE, "uid": TASK_UID, "resourceVersion": str(version), "generation": 1}
    return {
        "apiVersion": API_VERSION,
        "kind": KIND,
        "metadata": given | metadata,
        "spec": {"podTemplate": {"spec": {}}} if spec is None else spec,
        "status": status or {},
    }


def raw_order(
    spec: Raw | None = None, status: Raw | None = None, version: int = 1, *, cluster: bool = False, **metadata: Any
) -> Raw:
    """An order named o over everything, of the namespace of the task x or of all."""
    given: Raw = {"name": "o", "uid": "order-uid", "resourceVersion": str(version), "generation": 1}
    given |= {"creationTimestamp": when(0)} | ({} if cluster else {"namespace": NAMESPACE})
    return {
        "apiVersion": API_VERSION,
        "kind": CLUSTER_ORDER_KIND if cluster else ORDER_KIND,
        "metadata": given | metadata,
        "spec": {"selector": {}} | (spec or {}),
        "status": status or {},
    }


ADOPTS: Raw = {"workloadRef": {"apiVersion": "v1", "kind": "Pod", "name": "x"}}


def task(spec: Raw | None = None, status: Raw | None = None, **metadata: Any) -> Task:
    return read_task(raw_task(spec, status, **metadata), trust_requested_by=True)


def pod(**changes: Any) -> PodRecord:
    return read_pod(raw_pod(**changes))


def entry(seen: PodRecord | None, **more: Any) -> CacheEntry:
    return CacheEntry(seen=seen, at=NOW, **more)


def lister(seen: CacheEntry | None = None, rejections: dict[str, Rejection] | None = None) -> Lister:
    return Lister(
        {POD_REF: seen} if seen is not None else {},
        {(POD_REF, verb): rejection for verb, rejection in (rejections or {}).items()},
    )
