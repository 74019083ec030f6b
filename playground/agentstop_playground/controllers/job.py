"""The Job controller."""

import asyncio
from dataclasses import dataclass
from typing import Final

from agentstop_playground import times
from agentstop_playground.api_client import Object
from agentstop_playground.controllers import job_status
from agentstop_playground.controllers.controller import Controller
from agentstop_playground.controllers.hub import Hub
from agentstop_playground.controllers.job_status import FINALIZER, Tally
from agentstop_playground.controllers.kinds import JOB, POD
from agentstop_playground.controllers.objects import controller_of, deleting, owner_reference, uid
from agentstop_playground.controllers.pods import Pods, from_template

BACKOFF_FIRST: Final = 0.2
BACKOFF_MOST: Final = 10.0
"""Seconds from a failure to the next pod: doubled with each one in a row. Short, for demos."""


@dataclass(slots=True)
class Failures:
    """The failures of one Job in a row, and the loop's time from which a pod may be made again."""

    in_a_row: int = 0
    retry_at: float = 0.0


class JobController(Controller):
    """Makes and counts the pods of Jobs that no one else manages."""

    kind = JOB

    def __init__(self, hub: Hub) -> None:
        super().__init__(hub, POD)
        self._pods = Pods(hub)
        self._failures: dict[str, Failures] = {}

    async def reconcile(self, key: str) -> float | None:
        """Make or delete pods, then count what has ended."""
        job = self.objects.get(key)
        if job is None:
            await self._release(key)
            return None
        if not job_status.ours(job) or job_status.finished(job):
            return None
        if deleting(job):
            await self._pods.release(self._tracked(key), FINALIZER)
            return None
        seen = self._tally(job)
        delay = await self._act(job, seen)
        job = self.objects.get(key) or job
        seen = self._tally(job)
        await self._write_status(job, seen)
        if seen.succeeded or seen.failed:
            await self._pods.release(job_status.to_count(seen), FINALIZER)
            # Now that the finalizers are off, they are numbers.
            self.queue.add(key)
        waits = [item for item in (delay, job_status.deadline(job, times.now())) if item is not None]
        return max(min(waits), 0.0) if waits else None

    def child_changed(self, change: str, obj: Object, old: Object | None) -> None:
        """A pod has changed; one with our finalizer that is nobody's is released."""
        super().child_changed(change, obj, old)
        if controller_of(obj) is None and FINALIZER in (obj["metadata"].get("finalizers") or ()):
            self.queue.add(uid(obj))

    def _tally(self, job: Object) -> Tally:
        return job_status.tally(job, self._pods.cache.controlled_by(uid(job)), times.now())

    async def _act(self, job: Object, seen: Tally) -> float | None:
        """Make and delete pods; returns in how many seconds more may be made."""
        now = asyncio.get_running_loop().time()
        self._note_failures(job, seen, now)
        wanted = job_status.actions(job, seen)
        if wanted.delete:
            await self._pods.delete(wanted.delete, FINALIZER if wanted.uncounted else "")
            for pod in wanted.delete:
                self.record(job, "SuccessfulDelete", f"Deleted pod: {pod['metadata']['name']}")
        wait = self._failures[uid(job)].retry_at - now if uid(job) in self._failures else 0.0
        if wanted.create and wait <= 0:
            template = job["spec"]["template"]
            metadata = {"generateName": f"{job['metadata']['name']}-", "finalizers": [FINALIZER]}
            pods = [from_template(template, owner_reference(JOB, job), **metadata) for _ in range(wanted.create)]
            for pod in await self._pods.create(job["metadata"]["namespace"], pods):
                self.record(job, "SuccessfulCreate", f"Created pod: {pod['metadata']['name']}")
        return wait if wanted.create and wait > 0 else None

    def _note_failures(self, job: Object, seen: Tally, now: float) -> None:
        noted = (job.get("status") or {}).get("uncountedTerminatedPods") or {}
        failures = self._failures.setdefault(uid(job), Failures())
        if set(seen.succeeded) - set(noted.get("succeeded") or ()):
            failures.in_a_row = 0
        new = set(seen.failed) - set(noted.get("failed") or ())
        if new:
            failures.in_a_row += len(new)
            failures.retry_at = now + min(BACKOFF_FIRST * 2 ** (failures.in_a_row - 1), BACKOFF_MOST)

    async def _write_status(self, job: Object, seen: Tally) -> None:
        old = {item["type"]: item["status"] for item in (job.get("status") or {}).get("conditions") or ()}
        new = job_status.status(job, seen, times.now())
        await self.hub.write_status(JOB, job, new)
        for item in new.get("conditions") or ():
            if old.get(item["type"]) == item["status"]:
                continue
            match item["type"], item["status"]:
                case "Suspended", "True":
                    self.record(job, "Suspended", item["message"])
                case "Suspended", "False":
                    self.record(job, "Resumed", item["message"])
                case "Complete", _:
                    self.record(job, "Completed", "Job completed")
                case "Failed", _:
                    self.record(job, item["reason"], item["message"], "Warning")

    def _tracked(self, key: str) -> list[Object]:
        pods = self._pods.cache.controlled_by(key)
        return [pod for pod in pods if FINALIZER in (pod["metadata"].get("finalizers") or ())]

    async def _release(self, key: str) -> None:
        """The Job is gone (or the key is of a pod that is nobody's): nothing is counted any more."""
        self._failures.pop(key, None)
        pod = self._pods.cache.get(key)
        await self._pods.release(self._tracked(key) + ([pod] if pod is not None else []), FINALIZER)
