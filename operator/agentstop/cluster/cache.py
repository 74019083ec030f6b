"""What is known of the cluster: small records, the newest state of each object, and who belongs to whom."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Set
from dataclasses import replace
from datetime import datetime
from typing import Any

from agentstop.api.task import AgentTaskStatus, Phase
from agentstop.cluster.family_index import FamilyIndex, FamilyLister, TaskKey
from agentstop.cluster.object_store import ObjectStore, is_newer
from agentstop.cluster.tasks import read_task
from agentstop.lifecycle.family import inherited_stop
from agentstop.lifecycle.observation import Reason, Task
from agentstop.workloads.objects import ObjectRef, WatchTarget

Listener = Callable[[TaskKey, Task | None, Task | None], None]


class Cache(ObjectStore):
    """The newest known state of tasks and of all they have to do with. Decides nothing, and does no input or output.

    For `trust_requested_by` see `read_task`.
    """

    def __init__(self, *, trust_requested_by: bool = False) -> None:
        super().__init__()
        self._trust_requested_by = trust_requested_by
        self._tasks: dict[TaskKey, Task] = {}
        self._families = FamilyIndex(self._tasks)
        self._adopters: dict[ObjectRef, set[TaskKey]] = {}
        self._holders: dict[ObjectRef, str] = {}
        self._watched: dict[TaskKey, frozenset[WatchTarget]] = {}
        self._watchers: dict[WatchTarget, set[TaskKey]] = {}
        self._accepted: dict[str, AgentTaskStatus] = {}
        self._kept: set[ObjectRef] = set()
        self._unwritable: dict[str, tuple[AgentTaskStatus, Reason]] = {}
        self._listeners: list[Listener] = []
        self.unreadable: set[TaskKey] = set()
        """Tasks that are not of a form that this version knows."""
        self.phases: Counter[tuple[str, Phase]] = Counter()
        """How many tasks there are, by namespace and phase."""

    def listen(self, listener: Listener) -> None:
        """Have every change of a task told: its key, the task before and after."""
        self._listeners.append(listener)

    # Tasks

    def task(self, key: TaskKey) -> Task | None:
        """Return the task, or None where it is not known."""
        return self._tasks.get(key)

    def tasks(self) -> Iterator[tuple[TaskKey, Task]]:
        """Return all tasks, as they are at this moment."""
        return iter(list(self._tasks.items()))

    def family_lister(self, namespace: str) -> FamilyLister:
        """Return the tasks of a namespace, as their families are worked out from."""
        return self._families.of(namespace)

    def put_task(self, raw: Mapping[str, Any], now: datetime) -> TaskKey | None:
        """Take in a task, and return its key; None if something newer is known already."""
        metadata = raw["metadata"]
        key = TaskKey(metadata["namespace"], metadata["name"])
        known = self._tasks.get(key)
        same = known is not None and known.uid == metadata["uid"]
        if known is not None and not is_newer(metadata["resourceVersion"], known.resource_version):
            return None  # overtaken by a newer state, or by a newer task of the same name
        task = read_task(raw, trust_requested_by=self._trust_requested_by)
        accepted = self._accepted.get(task.uid)
        if accepted is not None and task.status.stop is None and not task.status.phase.terminal:
            task = replace(task, status=_accepting(task.status, accepted))
        elif accepted is not None:
            del self._accepted[task.uid]
        kept = self._unwritable.get(task.uid)
        if kept is not None and task.status.phase.terminal:
            del self._unwritable[task.uid]
        elif kept is not None:
            task = replace(task, status=kept[0], unwritable=kept[1])
        if not task.status.phase.terminal and self._is_asked(task):
            task = replace(task, stop_seen_at=now)
        if known is not None and same and known.stop_seen_at is not None and not task.status.phase.terminal:
            task = replace(task, stop_seen_at=known.stop_seen_at)
        self._replace(key, task)
        return key

    def _is_asked(self, task: Task) -> bool:
        own = task.spec.stop_requested or (task.deleting and task.protected)
        return own or inherited_stop(task, self.family_lister(task.namespace)) is not None

    def ask(self, key: TaskKey, now: datetime) -> bool:
        """Note since when a task has to follow the stop of an ancestor; return whether that is news."""
        task = self._tasks.get(key)
        if task is None or task.status.phase.terminal or task.stop_seen_at is not None or not self._is_asked(task):
            return False
        self._replace(key, replace(task, stop_seen_at=now))
        return True

    def mark_asked(self, key: TaskKey, now: datetime) -> None:
        """Note since when an order asks a task to stop."""
        task = self._tasks.get(key)
        if task is not None and task.stop_seen_at is None and not task.status.phase.terminal:
            self._replace(key, replace(task, stop_seen_at=now))

    def mark_gone(self, key: TaskKey) -> None:
        """Note that the task object is gone, though something is left to be done for it."""
        task = self._tasks.get(key)
        if task is not None:
            self._replace(key, replace(task, gone=True))

    def note_gone(self, key: TaskKey, status: AgentTaskStatus) -> None:
        """Keep the status that was decided on for a task whose object is gone: it is on record nowhere else."""
        task = self._tasks.get(key)
        if task is not None and task.gone:
            self._replace(key, replace(task, status=status))

    def miss_task(self, key: TaskKey) -> None:
        """Note that there is no task of this name, though another one refers to it."""
        self._families.is_absent(key)

    def drop_task(self, key: TaskKey) -> None:
        """Forget a task, and what only it has to do with."""
        task = self._tasks.get(key)
        if task is None:
            return
        refs = {*self._watched.get(key, ()), *_refs(key, task)}
        self._replace(key, None)
        self._accepted.pop(task.uid, None)
        self._unwritable.pop(task.uid, None)
        for ref in refs:
            self._unwatch(key, ref)
            if not self.keys_of(ref):
                self.forget(ref)
        self._watched.pop(key, None)

    def accept(self, key: TaskKey, status: AgentTaskStatus) -> None:
        """Remember a status with a stop that is not written yet: it was accepted all the same."""
        task = self._tasks.get(key)
        if task is not None:
            self._accepted[task.uid] = status
            self._replace(key, replace(task, status=_accepting(task.status, status)))

    def stand_in(self, key: TaskKey, status: AgentTaskStatus, why: Reason) -> None:
        """Have a status count that the API server does not take, until it can be written."""
        task = self._tasks.get(key)
        if task is not None:
            self._accepted.pop(task.uid, None)
            self._unwritable[task.uid] = status, why
            self._replace(key, replace(task, status=status, unwritable=why))

    def written(self, uid: str) -> None:
        """Note that the status of a task was written."""
        self._unwritable.pop(uid, None)

    @property
    def unwritten(self) -> Set[str]:
        """UIDs of the tasks whose accepted stop is remembered here alone, and has not come to its end."""
        going = {uid for uid, (status, _) in self._unwritable.items() if not status.phase.terminal}
        return self._accepted.keys() | going

    def _replace(self, key: TaskKey, task: Task | None) -> None:
        before = self._tasks.pop(key, None)
        if before is not None:
            self.phases[key.namespace, before.status.phase] -= 1
            if before.spec.workload_ref is not None:
                (adopted,) = _refs(key, before)
                keys = self._adopters.get(adopted, set())
                keys.discard(key)
                if not keys:
                    self._adopters.pop(adopted, None)
                    if task is None:
                        self._holders.pop(adopted, None)
        if task is not None:
            self._tasks[key] = task
            self.phases[key.namespace, task.status.phase] += 1
            if task.spec.workload_ref is not None:
                (adopted,) = _refs(key, task)
                self._adopters.setdefault(adopted, set()).add(key)
        self._families.replaced(key, before, task)
        for listener in self._listeners:
            listener(key, before, task)

    # Who has to do with what

    def watch(self, key: TaskKey, watches: Iterable[WatchTarget]) -> tuple[list[WatchTarget], list[WatchTarget]]:
        """Note what is followed for a task; return what nobody followed before, and what nobody does any more."""
        wanted, before = frozenset(watches), self._watched.get(key, frozenset())
        begun: list[WatchTarget] = []
        for each in wanted - before:
            watchers = self._watchers.setdefault(each, set())
            if not watchers:
                begun.append(each)
            watchers.add(key)
        ended = [each for each in before - wanted if self._unwatch(key, each)]
        if wanted:
            self._watched[key] = wanted
        else:
            self._watched.pop(key, None)
        return begun, ended

    def _unwatch(self, key: TaskKey, watch: WatchTarget) -> bool:
        watchers = self._watchers.get(watch, set())
        watchers.discard(key)
        if not watchers:
            self._watchers.pop(watch, None)
        return not watchers

    def keys_of(self, watch: WatchTarget) -> set[TaskKey]:
        """Return the tasks that an object, or the pods of a workload, matter to."""
        keys = set(self._watchers.get(watch, ()))
        if isinstance(watch, ObjectRef):
            keys |= self._adopters.get(watch, set())
            own = TaskKey(watch.namespace, watch.name)
            task = self._tasks.get(own)
            if watch.kind == "Pod" and task is not None and task.spec.pod_template is not None:
                keys.add(own)
        return keys

    def keep(self, ref: ObjectRef) -> None:
        """Have a pod remembered that no task has to do with: it has to be ended."""
        self._kept.add(ref)

    def let_go(self, ref: ObjectRef) -> None:
        """Have a pod remembered no longer than others."""
        self._kept.discard(ref)
        entry = self.lister.entries.get(ref)
        if entry is not None and entry.absent and not self.keys_of(ref):
            self.forget(ref)

    def forget(self, watch: WatchTarget) -> None:
        """Forget an object, or pods, that no task has to do with any more, unless it is kept."""
        if watch not in self._kept:
            super().forget(watch)

    def rival_of(self, key: TaskKey, task: Task) -> Task | None:
        """Return the task that has adopted this one's workload before, if one has."""
        if task.spec.workload_ref is None or task.status.workload is not None or task.status.phase.terminal:
            return None
        (adopted,) = _refs(key, task)
        others = [self._tasks[other] for other in self._adopters.get(adopted, set()) - {key}]
        others = [each for each in others if each.status.phase not in {Phase.COMPLETED, Phase.FAILED}]
        # Who was let through first has it before that is written, even if an older task comes to be known meanwhile.
        held = self._holders.get(adopted) in {task.uid, *(each.uid for each in others)}
        for other in others:
            first = self._holders[adopted] == other.uid if held else _age(other) < _age(task)
            if first or other.status.workload is not None:
                return other
        return None

    def claim(self, key: TaskKey, task: Task) -> None:
        """Note that a task that has no rival has its workload from now on."""
        if task.spec.workload_ref is not None and task.status.workload is None and not task.status.phase.terminal:
            (adopted,) = _refs(key, task)
            self._holders[adopted] = task.uid


def _accepting(status: AgentTaskStatus, accepted: AgentTaskStatus) -> AgentTaskStatus:
    """Return a status with the stop of another one: who asked for it matters to the tasks below."""
    return status.but(stop=accepted.stop, manually_stopped=accepted.manually_stopped)


def _age(task: Task) -> tuple[str, str]:
    created = task.created_at.isoformat() if task.created_at is not None else ""
    return created, task.uid


def _refs(key: TaskKey, task: Task) -> tuple[ObjectRef, ...]:
    ref = task.spec.workload_ref
    if ref is not None:
        return (ObjectRef(ref.kind, key.namespace, ref.name, ref.api_version),)
    return (ObjectRef("Pod", key.namespace, key.name),)
