"""What a Job's pods mean: which to make, which to delete, what its status says. Pure.

Rules: https://kubernetes.io/docs/concepts/workloads/controllers/job/, and what kube-controller-manager 1.36 was seen to
do. A pod is counted once: its UID goes into ``uncountedTerminatedPods``, then its finalizer goes, then it is a number.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

from agentstop_playground import times
from agentstop_playground.api_client import Object
from agentstop_playground.controllers.objects import active, condition, deleting, phase, ready, terminating, uid

FINALIZER: Final = "batch.kubernetes.io/job-tracking"
OUR_MANAGER: Final = "kubernetes.io/job-controller"

_FAILURES: Final = {
    "BackoffLimitExceeded": "Job has reached the specified backoff limit",
    "DeadlineExceeded": "Job was active longer than specified deadline",
}
_REACHED: Final = ("CompletionsReached", "Reached expected number of succeeded pods")
_SUSPENDED: Final = ("JobSuspended", "Job suspended")
_RESUMED: Final = ("JobResumed", "Job resumed")


@dataclass(frozen=True, slots=True)
class Verdict:
    """How a Job ends: ``target`` is the condition that says so first, ``final`` the one once all pods are gone."""

    target: str
    final: str
    reason: str
    message: str


@dataclass(frozen=True, slots=True)
class Tally:
    """The pods of one Job at one moment. The UIDs are of pods that have ended and are not yet a number."""

    active: tuple[Object, ...]
    ready: int
    terminating: int
    succeeded: tuple[str, ...]
    failed: tuple[str, ...]
    succeeded_before: int
    failed_before: int
    verdict: Verdict | None
    tracked: tuple[Object, ...] = field(repr=False)
    """Pods that still have our finalizer."""

    @property
    def all_succeeded(self) -> int:
        """How many pods have succeeded, counted or not."""
        return self.succeeded_before + len(self.succeeded)


@dataclass(frozen=True, slots=True)
class Actions:
    """What to do to pods."""

    create: int = 0
    delete: tuple[Object, ...] = ()
    uncounted: bool = False
    """Whether the deleted pods are to lose their finalizer first, so that their ends count for nothing."""


def ours(job: Object) -> bool:
    """Whether no one else manages the Job."""
    return (job["spec"].get("managedBy") or OUR_MANAGER) == OUR_MANAGER


def suspended(job: Object) -> bool:
    """Whether the Job is to have no pods for now."""
    return bool(job["spec"].get("suspend"))


def finished(job: Object) -> bool:
    """Whether the Job has ended for good."""
    return _holds(job, "Complete") or _holds(job, "Failed")


def tally(job: Object, pods: Sequence[Object], now: datetime) -> Tally:
    """Count the pods that the Job controls."""
    status = job.get("status") or {}
    noted = status.get("uncountedTerminatedPods") or {}
    before = {kind: list(noted.get(kind) or ()) for kind in ("succeeded", "failed")}
    tracked = tuple(pod for pod in pods if FINALIZER in (pod["metadata"].get("finalizers") or ()))
    held = {uid(pod) for pod in tracked}
    numbers = {kind: int(status.get(kind) or 0) for kind in before}
    uncounted: dict[str, list[str]] = {}
    for kind, uids in before.items():
        # Without the finalizer, or gone: now it is a number.
        numbers[kind] += sum(item not in held for item in uids)
        uncounted[kind] = [item for item in uids if item in held]
    known = {*uncounted["succeeded"], *uncounted["failed"]}
    for pod in tracked:
        if uid(pod) in known:
            continue
        if phase(pod) == "Succeeded":
            uncounted["succeeded"].append(uid(pod))
        elif _failed(pod, job):
            uncounted["failed"].append(uid(pod))
    running = tuple(pod for pod in pods if active(pod))
    succeeded = numbers["succeeded"] + len(uncounted["succeeded"])
    failed = numbers["failed"] + len(uncounted["failed"])
    verdict = _verdict(job, running, succeeded, failed, now)
    if verdict is not None and verdict.target == "FailureTarget":
        counted = {*uncounted["succeeded"], *uncounted["failed"]}
        uncounted["failed"] += [uid(pod) for pod in tracked if uid(pod) not in counted]
    return Tally(
        active=running,
        ready=sum(ready(pod) for pod in running),
        terminating=sum(terminating(pod) for pod in pods),
        succeeded=tuple(uncounted["succeeded"]),
        failed=tuple(uncounted["failed"]),
        succeeded_before=numbers["succeeded"],
        failed_before=numbers["failed"],
        verdict=verdict,
        tracked=tracked,
    )


def actions(job: Object, seen: Tally) -> Actions:
    """What the Job's pods need."""
    if seen.verdict is not None:
        return Actions(delete=seen.active, uncounted=seen.verdict.target == "SuccessCriteriaMet")
    if suspended(job):
        return Actions(delete=seen.active, uncounted=True)
    wanted = _wanted(job, seen)
    if wanted < len(seen.active):
        surplus = sorted(seen.active, key=lambda pod: (ready(pod), pod["metadata"]["name"]))
        return Actions(delete=tuple(surplus[: len(seen.active) - wanted]), uncounted=True)
    if job["spec"].get("podReplacementPolicy") == "Failed":
        wanted -= seen.terminating
    return Actions(create=max(wanted - len(seen.active), 0))


def to_count(seen: Tally) -> tuple[Object, ...]:
    """The pods whose finalizer may go once the status has their UIDs."""
    uids = {*seen.succeeded, *seen.failed}
    return tuple(pod for pod in seen.tracked if uid(pod) in uids)


def status(job: Object, seen: Tally, now: datetime) -> Object:
    """The status to write."""
    old = job.get("status") or {}
    begun = old.get("startTime")
    conditions: list[Object] = [dict(item) for item in old.get("conditions") or ()]
    if suspended(job) and seen.verdict is None:
        begun = None
        _set(conditions, "Suspended", True, *_SUSPENDED, now)
    elif not suspended(job):
        begun = begun or times.rfc3339(now)
        if (condition(conditions, "Suspended") or {}).get("status") == "True":
            _set(conditions, "Suspended", False, *_RESUMED, now)
    uncounted: Object = {}
    if seen.succeeded:
        uncounted["succeeded"] = list(seen.succeeded)
    if seen.failed:
        uncounted["failed"] = list(seen.failed)
    new: Object = {"ready": seen.ready, "terminating": seen.terminating, "uncountedTerminatedPods": uncounted}
    for name, number in (
        ("active", len(seen.active)),
        ("succeeded", seen.succeeded_before),
        ("failed", seen.failed_before),
    ):
        if number:
            new[name] = number
    verdict = seen.verdict
    if verdict is not None:
        begun = begun or times.rfc3339(now)
        _set(conditions, verdict.target, True, verdict.reason, verdict.message, now)
        if not seen.active and not seen.terminating and not uncounted:
            _set(conditions, verdict.final, True, verdict.reason, verdict.message, now)
            if verdict.final == "Complete":
                new["completionTime"] = times.rfc3339(now)
    if begun:
        new["startTime"] = begun
    if conditions:
        new["conditions"] = conditions
    return new


def deadline(job: Object, now: datetime) -> float | None:
    """In how many seconds the Job's time is over; None for a Job that has no limit or does not run."""
    seconds = job["spec"].get("activeDeadlineSeconds")
    begun = times.parse((job.get("status") or {}).get("startTime"))
    if seconds is None or begun is None or suspended(job):
        return None
    return (begun + timedelta(seconds=seconds) - now).total_seconds()


def _holds(job: Object, kind: str) -> bool:
    conditions = (job.get("status") or {}).get("conditions") or ()
    return (condition(conditions, kind) or {}).get("status") == "True"


def _failed(pod: Object, job: Object) -> bool:
    if phase(pod) == "Failed":
        return True
    # A pod that somebody deletes has failed, unless the Job waits for such pods' ends.
    return deleting(pod) and job["spec"].get("podReplacementPolicy") != "Failed"


def _wanted(job: Object, seen: Tally) -> int:
    spec = job["spec"]
    parallelism: int = spec.get("parallelism", 1)
    completions = spec.get("completions")
    if completions is None:
        # A work queue: once one pod has found it empty, no more are made.
        return min(parallelism, len(seen.active)) if seen.all_succeeded else parallelism
    return min(parallelism, max(int(completions) - seen.all_succeeded, 0))


def _verdict(job: Object, running: Sequence[Object], succeeded: int, failed: int, now: datetime) -> Verdict | None:
    if _holds(job, "SuccessCriteriaMet"):
        return Verdict("SuccessCriteriaMet", "Complete", *_REACHED)
    target = condition((job.get("status") or {}).get("conditions") or (), "FailureTarget")
    if target is not None and target["status"] == "True":
        return Verdict("FailureTarget", "Failed", target["reason"], target["message"])
    spec = job["spec"]
    limit = spec.get("backoffLimit", 6)
    left = deadline(job, now)
    if failed > limit or _restarts_beyond(job, running, limit):
        return _failure("BackoffLimitExceeded")
    if left is not None and left <= 0:
        return _failure("DeadlineExceeded")
    completions = spec.get("completions")
    if (completions is None and succeeded and not running) or (completions is not None and succeeded >= completions):
        return Verdict("SuccessCriteriaMet", "Complete", *_REACHED)
    return None


def _failure(reason: str) -> Verdict:
    return Verdict("FailureTarget", "Failed", reason, _FAILURES[reason])


def _restarts_beyond(job: Object, running: Iterable[Object], limit: int) -> bool:
    """Whether containers that are started again in place have failed too often."""
    if job["spec"]["template"]["spec"].get("restartPolicy") != "OnFailure":
        return False
    restarts = sum(
        int(item.get("restartCount") or 0)
        for pod in running
        for group in ("initContainerStatuses", "containerStatuses")
        for item in (pod.get("status") or {}).get(group) or ()
    )
    return restarts >= max(limit, 1)


def _set(conditions: list[Object], kind: str, holds: bool, reason: str, message: str, now: datetime) -> None:
    value = "True" if holds else "False"
    old = condition(conditions, kind)
    if old is not None and old["status"] == value:
        return
    time = times.rfc3339(now)
    new = {
        "type": kind,
        "status": value,
        "lastProbeTime": time,
        "lastTransitionTime": time,
        "reason": reason,
        "message": message,
    }
    if old is None:
        conditions.append(new)
    else:
        conditions[conditions.index(old)] = new
