"""Logs that go with a pod's object although the pod was to be kept."""

from agentstop.api.task import PodPolicy
from agentstop.lifecycle.decision import DecisionInput


def lost_logs(case: DecisionInput, asked_seconds: int | None, *, too_late: bool = False) -> str | None:
    """Return why the operator deletes the pod that it was to keep, and its logs with it; None where it does not.

    `asked_seconds` is the grace period that takes the place of the pod's own, if one does; `too_late` where a longer
    one ran already. Once said, it stays said.
    """
    seen, before = case.seen, case.task.status.workload
    if before is not None and before.logs_gone is not None:
        same = seen.workload is None or seen.workload.uid == before.uid
        return before.logs_gone if same else None
    if not seen.loses_logs or case.pod_policy is not PodPolicy.KEEP or case.task.deleting or case.task.gone:
        return None
    if too_late:
        return (
            f"{asked_seconds} s were asked for when a longer grace period ran already, and a deletion is all by which a"
            " kubelet could hear of that"
        )
    if asked_seconds is not None and asked_seconds != seen.own_grace_seconds:
        return (
            f"the pod's own grace period is {seen.own_grace_seconds} s, and only a deletion gives it another one, of"
            f" {asked_seconds} s"
        )
    if seen.not_in_place is not None:
        return f"{seen.not_in_place}, so that it is deleted"
    return None
