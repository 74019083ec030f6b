"""Who is whose child among the tasks."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from agentstop.lifecycle.observation import Task


class TaskKey(NamedTuple):
    """Namespace and name of a task."""

    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}"


class OrphanKey(NamedTuple):
    """Namespace, name and UID of a pod that no task stands for."""

    namespace: str
    name: str
    uid: str

    def __str__(self) -> str:
        return f"pod {self.namespace}/{self.name}"


class FamilyIndex:
    """The references between tasks, and which of the tasks referred to do not exist."""

    def __init__(self, tasks: Mapping[TaskKey, Task]) -> None:
        self._tasks = tasks
        self._children: dict[TaskKey, set[str]] = {}
        self._absent: set[TaskKey] = set()

    def replaced(self, key: TaskKey, before: Task | None, after: Task | None) -> None:
        """Take in that a task came, changed or went."""
        parents = _parent(key, before), _parent(key, after)
        if parents[0] is not None and parents[0] != parents[1]:
            children = self._children.get(parents[0], set())
            children.discard(key.name)
            if not children:
                self._children.pop(parents[0], None)
                self._absent.discard(parents[0])
        if parents[1] is not None:
            self._children.setdefault(parents[1], set()).add(key.name)
        if after is not None:
            self._absent.discard(key)
        elif key in self._children:
            self._absent.add(key)

    def is_absent(self, key: TaskKey) -> None:
        """Take in that there is no task of this name."""
        if key in self._children:
            self._absent.add(key)

    def of(self, namespace: str) -> "FamilyLister":
        """Return the tasks of a namespace, as their families are worked out from."""
        return FamilyLister(self._tasks, self._children, self._absent, namespace)


def _parent(key: TaskKey, task: Task | None) -> TaskKey | None:
    ref = task.spec.parent_ref if task is not None else None
    return TaskKey(key.namespace, ref.name) if ref is not None else None


@dataclass(frozen=True, slots=True)
class FamilyLister:
    """The tasks of one namespace, by name; always current."""

    _tasks: Mapping[TaskKey, Task]
    _children: Mapping[TaskKey, set[str]]
    _absent: set[TaskKey]
    _namespace: str

    def named(self, name: str) -> Task | None:
        """Return the task of this name, or None where none is known."""
        return self._tasks.get(TaskKey(self._namespace, name))

    def is_absent(self, name: str) -> bool:
        """Whether the API server said that there is no task of this name."""
        return TaskKey(self._namespace, name) in self._absent

    def children(self, name: str) -> Iterator[Task]:
        """Yield the tasks whose parentRef has this name, in the order of their names."""
        for child in sorted(self._children.get(TaskKey(self._namespace, name), ())):
            task = self.named(child)
            if task is not None:
                yield task
