"""Suspending the CronJob whose Job was stopped."""

from typing import Final

from agentstop.cluster.decoding import JsonObject
from agentstop.cluster.errors import ApiError
from agentstop.cluster.transport import Transport
from agentstop.workloads.objects import Schedule
from agentstop.workloads.pods.record import STOP_MANAGER
from agentstop.workloads.requests import Suspend

_MERGE: Final = "application/merge-patch+json"


async def suspend(transport: Transport, request: Suspend) -> JsonObject:
    """Suspend a CronJob that says of a Job that it made it; return under `schedule` what became of that.

    Raises ApiError where that is not known.
    """
    where = f"/apis/batch/v1/namespaces/{request.ref.namespace}/cronjobs/{request.ref.name}"
    try:
        found = await transport.call("GET", where)
        if found["metadata"]["uid"] != request.uid:
            return {"schedule": Schedule.GONE}
        made = (found.get("status") or {}).get("active") or ()
        if all(each.get("uid") != request.job for each in made):
            return {"schedule": Schedule.DENIES}
        body = {"metadata": {"uid": request.uid}, "spec": {"suspend": True}}
        await transport.call("PATCH", where, {"fieldManager": STOP_MANAGER, "timeout": "5s"}, body, _MERGE)
    except ApiError as error:
        if error.absent:
            return {"schedule": Schedule.GONE}
        raise
    return {"schedule": Schedule.SUSPENDED}
