"""Jobs: they are suspended."""

from collections.abc import Mapping
from typing import Any, Final

from agentstop.api.meta import parse_number, parse_time
from agentstop.lifecycle.observation import Ending, Reason
from agentstop.workloads.controlled.kind import Controlled
from agentstop.workloads.controlled.kind_spec import KindSpec, made_by_another
from agentstop.workloads.controlled.record import OwnerRecord, conditions_of, holds, identity, stop_accepted_at

JOB_SELECTOR_LABEL: Final = "batch.kubernetes.io/controller-uid"
JOB_CONTROLLER: Final = "kubernetes.io/job-controller"


def read_job(raw: Mapping[str, Any]) -> OwnerRecord:
    """Return the record of a Job.

    Source: https://kubernetes.io/docs/concepts/workloads/controllers/job/#suspending-a-job
    """
    metadata, spec, status = raw["metadata"], raw.get("spec", {}), raw.get("status") or {}
    conditions = conditions_of(status)
    manager = spec.get("managedBy")
    running = parse_number(status.get("active")) + parse_number(status.get("terminating"))
    ending = _job_ending(metadata["name"], status, conditions)
    return OwnerRecord(
        **identity(raw),
        halted=bool(spec.get("suspend")) or ending is not None,
        settled=not running if _decided(conditions) else not status.get("active") and holds(conditions, "Suspended"),
        settled_at=parse_time(conditions.get("Suspended", {}).get("lastTransitionTime")) if ending is None else None,
        selector=job_selector(metadata["uid"]),
        running=running,
        manager=manager if manager != JOB_CONTROLLER else None,
        marked_at=stop_accepted_at(metadata, "suspend"),
        ending=ending,
    )


def _decided(conditions: Mapping[str, Mapping[str, Any]]) -> bool:
    """Whether it is certain how a Job ends: it makes no pod any more, suspended or not.

    One that is suspended in that moment may never say that it has ended.
    Source: https://kubernetes.io/docs/concepts/workloads/controllers/job/#termination-of-job-pods
    """
    return any(holds(conditions, each) for each in ("Complete", "Failed", "SuccessCriteriaMet", "FailureTarget"))


def _job_ending(name: str, status: Mapping[str, Any], conditions: Mapping[str, Mapping[str, Any]]) -> Ending | None:
    for kind in ("Complete", "Failed"):
        if not holds(conditions, kind):
            continue
        condition = conditions[kind]
        at = parse_time(status.get("completionTime") or condition.get("lastTransitionTime"))
        if kind == "Complete":
            return Ending(succeeded=True, word=Reason("Completed", f"Job {name} is complete"), at=at)
        reason = condition.get("reason") or "JobFailed"
        return Ending(succeeded=False, word=Reason(reason, condition.get("message") or f"Job {name} failed"), at=at)
    return None


def job_selector(uid: str) -> str:
    """Return the label selector of the pods of the Job with this UID."""
    return f"{JOB_SELECTOR_LABEL}={uid}"


JOB: Final = Controlled(
    KindSpec(
        read=read_job,
        halt={"spec": {"suspend": True}},
        resume=lambda _: {"spec": {"suspend": False}},
        deed="suspended",
        goes_on=made_by_another,
    )
)
