"""What makes Jobs at its times: a CronJob, which goes on when one of its Jobs is stopped."""

from datetime import datetime
from typing import Final

from agentstop.lifecycle.conditions import MADE_BY_CRON_JOB
from agentstop.lifecycle.observation import Reason
from agentstop.workloads.controlled.record import OwnerRecord
from agentstop.workloads.objects import Lister, ObjectRef, Schedule
from agentstop.workloads.pods.record import Controller
from agentstop.workloads.requests import Suspend

CRON_JOB: Final = "CronJob"
CRON_JOB_API: Final = "batch/v1"


def schedule_of(job: ObjectRef, controller: Controller | None) -> ObjectRef | None:
    """Return the CronJob that a Job says it was made by, if it does."""
    if job.kind != "Job" or controller is None:
        return None
    if (controller.kind, controller.api_version) != (CRON_JOB, CRON_JOB_API):
        return None
    return ObjectRef(CRON_JOB, job.namespace, controller.name, CRON_JOB_API)


def suspension(job: ObjectRef, owner: OwnerRecord, lister: Lister, now: datetime) -> Suspend | None:
    """Return the request that has a stopped Job's CronJob make no more, where that was not sent yet and takes one.

    It is sent once for a stop: whoever lets the CronJob go on afterwards means it.
    """
    schedule = schedule_of(job, owner.controller)
    if schedule is None or owner.controller is None or owner.uid in lister.schedules:
        return None
    if lister.rejection(schedule, Suspend.verb, now) is not None:
        return None
    return Suspend(schedule, owner.controller.uid, owner.uid)


def said_of(
    job: ObjectRef, uid: str, controller: Controller, lister: Lister, now: datetime
) -> tuple[Reason | None, bool]:
    """Return what is to be said of a Job's CronJob, and whether it goes on.

    A suspended Job has not ended, so that with `Forbid` its CronJob makes no other one as long as it is there, and with
    `Replace` it deletes it for the next one.
    Source: https://kubernetes.io/docs/concepts/workloads/controllers/cron-jobs/#concurrency-policy
    """
    schedule = f"{CRON_JOB} {controller.name}"
    became = lister.schedules.get(uid)
    if became is Schedule.SUSPENDED:
        message = (
            f"{schedule}, which made Job {job.name}, was suspended with it, and makes no other Job; to have it go on,"
            f" delete Job {job.name} and set spec.suspend of {schedule} to false"
        )
        return Reason("CronJobSuspended", message), False
    if became is Schedule.GONE:
        return None, False
    ref = schedule_of(job, controller)
    rejection = lister.rejection(ref, Suspend.verb, now) if ref is not None else None
    but = f" (it could not be suspended: {rejection.message})" if rejection is not None else ""
    if became is Schedule.DENIES:
        but = f" (it was not suspended, since it does not have Job {job.name} in its status.active)"
    message = (
        f"Job {job.name} was made by {schedule}, which goes on{but}: it makes the next one at its time, or, with"
        f" concurrencyPolicy Forbid, none for as long as {job.name} is there; suspend {schedule} to have no other, or"
        f" delete Job {job.name} to have the next"
    )
    return Reason(MADE_BY_CRON_JOB, message), True
