"""Which task has which workload, where several point at the same one."""

from collections.abc import Set

from agentstop.api.task import Phase
from agentstop.cluster.family_index import TaskKey
from agentstop.cluster.task_store import TaskStore
from agentstop.lifecycle.observation import Task
from agentstop.workloads.objects import ObjectRef


class Claims:
    """The tasks that adopt workloads, and who was let through first."""

    def __init__(self, tasks: TaskStore) -> None:
        self._tasks = tasks
        self._adopters: dict[ObjectRef, set[TaskKey]] = {}
        self._holders: dict[ObjectRef, str] = {}
        tasks.listen(self._changed)

    def adopters_of(self, ref: ObjectRef) -> Set[TaskKey]:
        """Return the tasks that point at this object as their workload."""
        return self._adopters.get(ref, frozenset())

    def rival_of(self, key: TaskKey, task: Task) -> Task | None:
        """Return the task that has adopted this one's workload before, if one has."""
        if task.spec.workload_ref is None or task.status.workload is not None or task.status.phase.terminal:
            return None
        adopted = _adopted(key, task)
        known = (self._tasks.get(other) for other in self._adopters.get(adopted, set()) - {key})
        others = [each for each in known if each and each.status.phase not in {Phase.COMPLETED, Phase.FAILED}]
        # Who was let through first has it before that is written, even if an older task comes to be known meanwhile.
        held = self._holders.get(adopted) in {task.uid, *(each.uid for each in others)}
        for other in others:
            first = self._holders[adopted] == other.uid if held else _age(other) < _age(task)
            if first or other.status.workload is not None:
                return other
        return None

    def take(self, key: TaskKey, task: Task) -> None:
        """Note that a task that has no rival has its workload from now on."""
        if task.spec.workload_ref is not None and task.status.workload is None and not task.status.phase.terminal:
            self._holders[_adopted(key, task)] = task.uid

    def _changed(self, key: TaskKey, before: Task | None, after: Task | None) -> None:
        if before is not None and before.spec.workload_ref is not None:
            adopted = _adopted(key, before)
            keys = self._adopters.get(adopted, set())
            keys.discard(key)
            if not keys:
                self._adopters.pop(adopted, None)
                if after is None:
                    self._holders.pop(adopted, None)
        if after is not None and after.spec.workload_ref is not None:
            self._adopters.setdefault(_adopted(key, after), set()).add(key)


def _adopted(key: TaskKey, task: Task) -> ObjectRef:
    ref = task.spec.workload_ref
    assert ref is not None  # noqa: S101  (the caller has checked it; this tells the type checker)
    return ObjectRef(ref.kind, key.namespace, ref.name, ref.api_version)


def _age(task: Task) -> tuple[str, str]:
    created = task.created_at.isoformat() if task.created_at is not None else ""
    return created, task.uid
