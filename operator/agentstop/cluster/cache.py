"""What is known of the cluster: small records, the newest state of each object, and who belongs to whom."""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any, NamedTuple

from agentstop.api.task import Phase, StopStatus
from agentstop.cluster.resources import RESOURCES
from agentstop.cluster.tasks import read_task
from agentstop.lifecycle.seen import Task
from agentstop.workloads.objects import ObjectRef, Refusal, Sighting, Surroundings
from agentstop.workloads.podseen import PodSeen


class TaskKey(NamedTuple):
    """Namespace and name of a task."""

    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}"


def is_newer(version: str, than: str) -> bool:
    """Whether a resource version is newer than another one of the same kind of object.

    Source: https://kubernetes.io/docs/reference/using-api/api-concepts/#resource-versions (KEP-5504)
    """
    return len(version) > len(than) or (len(version) == len(than) and version > than)


class Cache:
    """The newest known state of tasks, pods and nodes. Holds no decision, and does no input or output."""

    def __init__(self) -> None:
        self._tasks: dict[TaskKey, Task] = {}
        self._sightings: dict[ObjectRef, Sighting] = {}
        self._refusals: dict[tuple[ObjectRef, str], Refusal] = {}
        self._adopters: dict[ObjectRef, set[TaskKey]] = {}
        self._accepted: dict[str, StopStatus] = {}
        self.unreadable: set[TaskKey] = set()
        """Tasks that are not of a form that this version knows."""
        self.phases: Counter[tuple[str, Phase]] = Counter()
        """How many tasks there are, by namespace and phase."""
        self.around = Surroundings(self._sightings, self._refusals)
        """What workload modules may look at; always current."""

    # Tasks

    def task(self, key: TaskKey) -> Task | None:
        """Return the task, or None where it is not known."""
        return self._tasks.get(key)

    def tasks(self) -> Iterator[tuple[TaskKey, Task]]:
        """Return all tasks, as they are at this moment."""
        return iter(list(self._tasks.items()))

    def put_task(self, raw: Mapping[str, Any], now: datetime) -> TaskKey | None:
        """Take in a task, and return its key; None if something newer is known already."""
        metadata = raw["metadata"]
        key = TaskKey(metadata["namespace"], metadata["name"])
        known = self._tasks.get(key)
        same = known is not None and known.uid == metadata["uid"]
        if known is not None and not is_newer(metadata["resourceVersion"], known.resource_version):
            return None  # overtaken by a newer state, or by a newer task of the same name
        task = read_task(raw)
        asked = task.spec.stop_requested or (task.deleting and task.protected)
        if asked and not task.status.phase.terminal:
            before = known.stop_seen_at if known is not None and same else None
            task = replace(task, stop_seen_at=before or now)
        if known is not None and same and known.orphaning:
            task = replace(task, orphaning=True)
        accepted = self._accepted.get(task.uid)
        if accepted is not None and task.status.stop is None and not task.status.phase.terminal:
            task = replace(task, status=task.status.but(stop=accepted))
        elif accepted is not None:
            del self._accepted[task.uid]
        self._replace(key, task)
        return key

    def mark_gone(self, key: TaskKey) -> None:
        """Note that the task object is gone, though something is left to be done for it."""
        task = self._tasks.get(key)
        if task is not None:
            self._replace(key, replace(task, gone=True))

    def drop_task(self, key: TaskKey) -> None:
        """Forget a task, and what only it refers to."""
        task = self._tasks.get(key)
        if task is None:
            return
        self._replace(key, None)
        self._accepted.pop(task.uid, None)
        for ref in _refs(key, task):
            if not self.keys_of(ref):
                self._sightings.pop(ref, None)
                for place in [place for place in self._refusals if place[0] == ref]:
                    del self._refusals[place]

    def accept(self, key: TaskKey, stop: StopStatus) -> None:
        """Remember a stop whose record is not written yet: it was accepted all the same."""
        task = self._tasks.get(key)
        if task is not None:
            self._accepted[task.uid] = stop
            self._replace(key, replace(task, status=task.status.but(stop=stop)))

    def _replace(self, key: TaskKey, task: Task | None) -> None:
        before = self._tasks.pop(key, None)
        if before is not None:
            self.phases[key.namespace, before.status.phase] -= 1
            if before.spec.workload_ref is not None:
                adopted = ObjectRef(before.spec.workload_ref.kind, key.namespace, before.spec.workload_ref.name)
                keys = self._adopters.get(adopted, set())
                keys.discard(key)
                if not keys:
                    self._adopters.pop(adopted, None)
        if task is not None:
            self._tasks[key] = task
            self.phases[key.namespace, task.status.phase] += 1
            if task.spec.workload_ref is not None:
                adopted = ObjectRef(task.spec.workload_ref.kind, key.namespace, task.spec.workload_ref.name)
                self._adopters.setdefault(adopted, set()).add(key)

    # Objects

    def keys_of(self, ref: ObjectRef) -> set[TaskKey]:
        """Return the tasks that an object matters to."""
        keys = set(self._adopters.get(ref, ()))
        own = TaskKey(ref.namespace, ref.name)
        task = self._tasks.get(own)
        if ref.kind == "Pod" and task is not None and task.spec.pod_template is not None:
            keys.add(own)
        return keys

    def knows(self, ref: ObjectRef) -> bool:
        """Whether anything is known of an object."""
        return ref in self._sightings

    def is_there(self, ref: ObjectRef, uid: str) -> bool:
        """Whether the object with this UID exists, as far as is known."""
        known = self._sightings.get(ref)
        return known is not None and not known.absent and known.seen is not None and known.seen.uid == uid

    @property
    def size(self) -> int:
        """How many tasks and objects are known."""
        return len(self._tasks) + len(self._sightings)

    def see(self, ref: ObjectRef, raw: Mapping[str, Any], now: datetime, *, signal: bool = False) -> None:
        """Take in the state of an object; `signal` where it is the answer to a change that ends its processes."""
        known = self._sightings.get(ref)
        seen = RESOURCES[ref.kind].read(raw)
        signaled_at = None
        since = now
        before = known.seen if known is not None else None
        if known is not None and isinstance(seen, PodSeen) and isinstance(before, PodSeen):
            newer = is_newer(seen.resource_version, before.resource_version)
            if seen.uid == before.uid:
                signaled_at = known.signaled_at
                since = known.since or known.at
                if known.absent and not known.doubted:
                    return  # what is gone does not come back: this event was overtaken by another one
                seen = seen.following(before) if newer else before
            elif not newer:
                return  # an older pod of that name
        if signal and signaled_at is None and not (isinstance(seen, PodSeen) and seen.ended):
            # A pod that had ended before the change came was not ended by it.
            signaled_at = now
        self._sightings[ref] = Sighting(seen=seen, at=now, since=since, signaled_at=signaled_at)

    def see_absent(self, ref: ObjectRef, now: datetime, last: Mapping[str, Any] | None = None) -> None:
        """Note that there is no such object; `last` is its last state, where the watch brought it."""
        known = self._sightings.get(ref)
        if last is not None:
            seen = RESOURCES[ref.kind].read(last)
            if known is not None and known.seen is not None and known.seen.uid != seen.uid:
                return  # an older object of that name: what is known is about its successor
            if known is not None and isinstance(seen, PodSeen) and isinstance(known.seen, PodSeen):
                seen = seen.following(known.seen)
            self._sightings[ref] = Sighting(
                seen=seen, absent=True, at=now, signaled_at=known.signaled_at if known else None
            )
        elif known is None:
            self._sightings[ref] = Sighting(seen=None, absent=True, at=now)
        elif known.doubted or not known.absent:
            self._sightings[ref] = replace(known, absent=True, at=now, doubted=False)

    def forget(self, ref: ObjectRef) -> None:
        """Forget an object that is gone and that no task stands for."""
        self._sightings.pop(ref, None)

    def doubt(self, ref: ObjectRef) -> None:
        """Have an object looked at live before anything is decided on it."""
        known = self._sightings.get(ref)
        if known is not None:
            self._sightings[ref] = replace(known, doubted=True)

    def refuse(self, ref: ObjectRef, verb: str, refusal: Refusal) -> None:
        """Remember that the API server refuses a verb on an object."""
        self._refusals[ref, verb] = refusal

    def allow(self, ref: ObjectRef, verb: str) -> None:
        """Forget that the API server refused a verb on an object."""
        self._refusals.pop((ref, verb), None)


def _refs(key: TaskKey, task: Task) -> tuple[ObjectRef, ...]:
    ref = task.spec.workload_ref
    if ref is not None:
        return (ObjectRef(ref.kind, key.namespace, ref.name),)
    return (ObjectRef("Pod", key.namespace, key.name),)
