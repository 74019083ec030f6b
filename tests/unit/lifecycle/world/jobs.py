"""A Job controller: which pods it makes and ends is Kubernetes' own rule, when it hears of things is the world's."""

from collections import deque
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Final

from agentstop.cluster.errors import ApiError
from agentstop.workloads.kinds.job import JOB_SELECTOR_LABEL
from agentstop.workloads.objects import ObjectRef
from agentstop_playground.controllers import job_status
from agentstop_playground.controllers.job_status import FINALIZER

from .clock import Clock
from .server import NAMESPACE, Change, Raw, Server

JOB: Final = ObjectRef("Job", NAMESPACE, "job", "batch/v1")

BACKOFF: Final = timedelta(seconds=10)
"""How long after a failure no pod is made."""


class JobController:
    """Works from caches of its own, which may lag behind; after a pause it begins with what there is."""

    def __init__(self, server: Server, clock: Clock) -> None:
        self._server = server
        self._clock = clock
        self.runs = True
        self.lag = 0
        """How many seconds its caches are behind."""
        self._jobs: dict[str, Raw] = {}
        self._pods: dict[str, Raw] = {}
        self._heard = 0
        self._marks: deque[tuple[datetime, int]] = deque()
        """How long the history was, second by second."""
        self._failed_at: dict[str, datetime] = {}
        self._made = 0

    def stop(self) -> None:
        self.runs = False

    def start(self) -> None:
        """It comes back, or hears of everything that there is."""
        self.runs = True
        self._hear(len(self._server.history))

    def second(self) -> None:
        """Let about a second's work be done."""
        now = self._clock.now
        oldest, ripe = now - timedelta(seconds=10), now - timedelta(seconds=self.lag)
        while self._marks and self._marks[0][0] < oldest:
            self._marks.popleft()
        self._marks.append((now, len(self._server.history)))
        if self.runs:
            self._hear(next((length for moment, length in reversed(self._marks) if moment <= ripe), 0))
            self.sync()

    def _hear(self, until: int) -> None:
        for change in self._server.history[self._heard : until]:
            self._take_in(change)
        self._heard = max(self._heard, until)

    def _take_in(self, change: Change) -> None:
        cache = {"Job": self._jobs, "Pod": self._pods}.get(change.ref.kind)
        if cache is None:
            return
        uid = change.after["metadata"]["uid"]
        if change.kind == "DELETED":
            cache.pop(uid, None)
        elif uid not in cache or _version(change.after) > _version(cache[uid]):
            cache[uid] = change.after

    # Work

    def sync(self) -> None:
        for uid, job in list(self._jobs.items()):
            if not job_status.finished(job):
                self._sync_one(uid, job)
        for pod in list(self._pods.values()):
            owner = _owner(pod)
            if owner is None or owner not in self._jobs:
                self._release(pod)

    def _sync_one(self, uid: str, job: Raw) -> None:
        now = self._clock.now
        self._adopt(uid, job)
        seen = job_status.tally(job, self._pods_of(uid), now)
        if set(seen.failed) - set((job["status"].get("uncountedTerminatedPods") or {}).get("failed") or ()):
            self._failed_at[uid] = now
        wanted = job_status.actions(job, seen)
        for pod in wanted.delete:
            self._delete(pod, uncounted=wanted.uncounted)
        for _ in range(wanted.create if self._failed_at.get(uid, now - BACKOFF) + BACKOFF <= now else 0):
            self._create(job)
        seen = job_status.tally(job, self._pods_of(uid), now)
        status = job_status.status(job, seen, now)
        if status != job["status"] and not self._write(job, status):
            return
        for pod in job_status.to_count(seen):
            self._release(pod)

    def _pods_of(self, uid: str) -> list[Raw]:
        return [pod for pod in self._pods.values() if _owner(pod) == uid]

    def _adopt(self, uid: str, job: Raw) -> None:
        """Take pods back that bear the Job's label and are nobody's."""
        owners = [_reference(job)]
        for pod in list(self._pods.values()):
            metadata = pod["metadata"]
            labelled = (metadata.get("labels") or {}).get(JOB_SELECTOR_LABEL) == uid
            current = self._server.objects.get(_ref(pod))
            if not labelled or metadata.get("ownerReferences") or "deletionTimestamp" in metadata or current is None:
                continue
            if current["metadata"]["resourceVersion"] == metadata["resourceVersion"]:
                with suppress(ApiError):
                    changed = self._server.change(_ref(pod), lambda raw: raw["metadata"].update(ownerReferences=owners))
                    self._pods[metadata["uid"]] = changed

    def _write(self, job: Raw, status: Raw) -> bool:
        current = self._server.objects.get(JOB)
        if current is None or current["metadata"]["resourceVersion"] != job["metadata"]["resourceVersion"]:
            return False  # a conflict: it has not heard of the newest state yet
        self._jobs[job["metadata"]["uid"]] = self._server.change(JOB, lambda raw: raw.update(status=status))
        return True

    def _create(self, job: Raw) -> None:
        self._made += 1
        name, uid = job["metadata"]["name"], job["metadata"]["uid"]
        owners = [_reference(job)]
        metadata = {"labels": {JOB_SELECTOR_LABEL: uid}, "ownerReferences": owners, "finalizers": [FINALIZER]}
        body = {"metadata": metadata, "spec": job["spec"]["template"]["spec"]}
        pod = self._server.create(ObjectRef("Pod", NAMESPACE, f"{name}-{self._made}"), body)
        self._pods[pod["metadata"]["uid"]] = pod

    def _delete(self, pod: Raw, *, uncounted: bool) -> None:
        if uncounted:
            self._release(pod)
        try:
            answer = self._server.delete(_ref(pod), pod["metadata"]["uid"])
        except ApiError:
            return
        self._pods[pod["metadata"]["uid"]] = answer

    def _release(self, pod: Raw) -> None:
        """Take the finalizer off by which it keeps pods until they are counted."""
        ref, uid = _ref(pod), pod["metadata"]["uid"]
        current = self._server.objects.get(ref)
        if current is not None and current["metadata"]["uid"] == uid:
            kept = [each for each in current["metadata"].get("finalizers") or () if each != FINALIZER]
            with suppress(ApiError):
                self._pods[uid] = self._server.change(ref, lambda raw: raw["metadata"].update(finalizers=kept))


def _version(raw: Raw) -> int:
    return int(raw["metadata"]["resourceVersion"])


def _ref(pod: Raw) -> ObjectRef:
    return ObjectRef("Pod", NAMESPACE, pod["metadata"]["name"])


def _reference(job: Raw) -> Raw:
    metadata = job["metadata"]
    owner = {"apiVersion": "batch/v1", "kind": "Job", "name": metadata["name"], "uid": metadata["uid"]}
    return owner | {"controller": True}


def _owner(pod: Raw) -> str | None:
    """Return the UID of the Job that controls a pod."""
    owner: Raw = next(iter(pod["metadata"].get("ownerReferences") or ()), {})
    return owner["uid"] if owner.get("kind") == "Job" else None
