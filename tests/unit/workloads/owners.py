"""Workloads that make pods of their own, and their pods, as the API server has them."""

import copy
from pathlib import Path
from typing import Any

import yaml

from agentstop.workloads.kinds.job import JOB_SELECTOR_LABEL, job_selector
from agentstop.workloads.objects import ObjectRef, PodsOf
from tests.unit.objects import NAMESPACE, Raw, raw_pod, when

JOB_UID = "job-uid"
JOB_REF = ObjectRef("Job", NAMESPACE, "x", "batch/v1")
JOB_PODS = PodsOf(NAMESPACE, job_selector(JOB_UID))

SUSPENDED: Raw = {
    "type": "Suspended",
    "status": "True",
    "reason": "JobSuspended",
    "message": "Job suspended",
    "lastProbeTime": when(11),
    "lastTransitionTime": when(11),
}
MARK: Raw = {
    "manager": "agentstop-stop",
    "operation": "Update",
    "apiVersion": "batch/v1",
    "time": when(10),
    "fieldsType": "FieldsV1",
    "fieldsV1": {"f:spec": {"f:suspend": {}}},
}

_OWNERS: dict[str, Raw] = yaml.load(
    Path(__file__).with_name("owners.yaml").read_text(encoding="utf-8"), Loader=yaml.CSafeLoader
)


def raw_owner(
    which: str, /, *, spec: Raw | None = None, status: Raw | None = None, scale: Raw | None = None, **metadata: Any
) -> Raw:
    """One of the workloads, changed in its spec, status, scale or metadata."""
    raw: Raw = copy.deepcopy(_OWNERS[which])
    raw["metadata"] |= metadata
    raw["spec"] |= spec or {}
    raw["status"] |= status or {}
    for part, changes in (scale or {}).items():
        raw["scale"][part] |= changes
    return raw


def suspended_job(since: float = 11, **metadata: Any) -> Raw:
    """A Job that was suspended, and whose controller has done as it was asked."""
    done = {"active": 0, "conditions": [SUSPENDED | {"lastTransitionTime": when(since)}]}
    return raw_owner("job", spec={"suspend": True}, status=done, resourceVersion="900", **metadata)


def controller(kind: str, name: str, uid: str, api_version: str = "batch/v1") -> Raw:
    return {"apiVersion": api_version, "kind": kind, "name": name, "uid": uid, "controller": True}


def job_pod(name: str = "x-1", *, version: int = 1, **changes: Any) -> Raw:
    """A pod of the Job x; its UID is its name with -uid."""
    metadata = {
        "name": name,
        "labels": {JOB_SELECTOR_LABEL: JOB_UID},
        "ownerReferences": [controller("Job", "x", JOB_UID)],
        "finalizers": ["batch.kubernetes.io/job-tracking"],
    }
    return raw_pod(
        metadata=metadata | changes.pop("metadata", {}),
        version=version,
        uid=changes.pop("uid", f"{name}-uid"),
        **changes,
    )
