"""Tasks that adopted a Job or a Deployment, and what is known of these: for the tests of controlled workloads."""

from typing import Any

from agentstop.api.task import PodPolicy
from agentstop.cluster.resources import reader_of
from agentstop.lifecycle.effects import Terminate, WorkloadEffect
from agentstop.lifecycle.observation import Observation, Task
from agentstop.workloads.objects import CacheEntry, Lister, ObjectRef, PodGroup, PodsOf
from agentstop.workloads.pods.reading import read_pod
from agentstop.workloads.registry import kind_of
from agentstop.workloads.requests import LiveRead, Request
from tests.unit.objects import NAMESPACE, Raw, at, ended, task, when

from .owners import JOB_PODS, JOB_REF, JOB_UID

DEPLOYMENT_REF = ObjectRef("Deployment", NAMESPACE, "x", "apps/v1")
DEPLOYMENT_PODS = PodsOf(NAMESPACE, "app=x")

SPEC: Raw = {"workloadRef": {"apiVersion": "batch/v1", "kind": "Job", "name": "x"}}
WORKLOAD: Raw = {"apiVersion": "batch/v1", "kind": "Job", "name": "x", "uid": JOB_UID}
ACCEPTED: Raw = {"source": "User", "acceptedAt": when(10), "signaledAt": when(10), "killAt": when(40)}
RUNNING = task(SPEC, {"phase": "Running", "workload": WORKLOAD, "startedAt": when(1)})
STOPPING = task(SPEC, {"phase": "Stopping", "workload": WORKLOAD, "startedAt": when(1), "stop": ACCEPTED})
STOPPED = task(SPEC, {"phase": "Stopped", "workload": WORKLOAD, "startedAt": when(1), "stop": ACCEPTED})
PAUSING = task(SPEC | {"paused": True}, {"phase": "Pausing", "workload": WORKLOAD, "startedAt": when(1)})

HALT = Terminate(None, PodPolicy.KEEP, None)
PAUSE = Terminate(None, PodPolicy.DELETE, None, pause=True)
SUSPEND: Raw = {"spec": {"suspend": True}}
OVER: Raw = {"phase": "Failed", "containerStatuses": [ended(finished=12, code=143)]}
GOING: Raw = {"deletionTimestamp": when(41), "deletionGracePeriodSeconds": 30}


def lister(
    raw: Raw | None,
    *pods: Raw,
    listed: float | None = 0,
    signaled: float | None = None,
    seen_at: float = 10,
    absent: bool = False,
    **more: Any,
) -> Lister:
    """What is known of a workload and its pods; None for one that does not exist."""
    ref = JOB_REF
    if raw is not None:
        ref = ObjectRef(raw["kind"], NAMESPACE, raw["metadata"]["name"], raw["apiVersion"])
    signal = at(signaled) if signaled is not None else None
    seen = reader_of(ref)(raw) if raw is not None else None
    entries = {ref: CacheEntry(seen=seen, absent=absent or raw is None, at=at(seen_at), signaled_at=signal)}
    read = [read_pod(each) for each in pods]
    moment = at(listed) if listed is not None else None
    group = PodGroup({each.uid: CacheEntry(seen=each, at=at(seen_at)) for each in read}, moment)
    groups = {JOB_PODS if ref == JOB_REF else DEPLOYMENT_PODS: group}
    return Lister(entries | more.pop("others", {}), groups=groups, **more)


def observe(task: Task, known: Lister, now: float = 20) -> Observation:
    return kind_of(task).observe(task, known, at(now))


def required_reads(task: Task, known: Lister, now: float = 20) -> tuple[LiveRead, ...]:
    return kind_of(task).required_reads(task, known, at(now))


def sent(task: Task, effect: WorkloadEffect, known: Lister, now: float = 20) -> tuple[Request, ...]:
    return kind_of(task).plan_requests(task, effect, known, at(now))
