"""What is known of tasks: the newest state of each, with what is decided and not written yet."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Set
from dataclasses import replace
from datetime import datetime
from typing import Any, Final

from agentstop.api.task import AgentTaskStatus, Phase
from agentstop.cluster.family_index import FamilyIndex, FamilyLister, TaskKey
from agentstop.cluster.object_store import is_newer
from agentstop.cluster.tasks import read_task
from agentstop.lifecycle.conditions import with_accepted
from agentstop.lifecycle.family import inherited_stop
from agentstop.lifecycle.observation import Reason, Task

Listener = Callable[[TaskKey, Task | None, Task | None], None]

MAX_REMOVED: Final = 10_000
"""So many UIDs of tasks that are gone are remembered: more than go while an answer is on its way."""


class TaskStore:
    """The newest known state of tasks, and of their families.

    For `trust_requested_by` see `read_task`.
    """

    def __init__(self, *, trust_requested_by: bool = False) -> None:
        self._trust_requested_by = trust_requested_by
        self._tasks: dict[TaskKey, Task] = {}
        self._families = FamilyIndex(self._tasks)
        self._accepted: dict[str, AgentTaskStatus] = {}
        self._unwritable: dict[str, tuple[AgentTaskStatus, Reason]] = {}
        self._listeners: list[Listener] = []
        self._removed: dict[str, None] = {}
        self.unreadable: set[TaskKey] = set()
        """Tasks that are not of a form that this version knows."""
        self.phases: Counter[tuple[str, Phase]] = Counter()
        """How many tasks there are, by namespace and phase."""

    def listen(self, listener: Listener) -> None:
        """Have every change of a task told: its key, the task before and after."""
        self._listeners.append(listener)

    def get(self, key: TaskKey) -> Task | None:
        """Return the task, or None where it is not known."""
        return self._tasks.get(key)

    def items(self) -> Iterator[tuple[TaskKey, Task]]:
        """Return all tasks, as they are at this moment."""
        return iter(list(self._tasks.items()))

    def family_lister(self, namespace: str) -> FamilyLister:
        """Return the tasks of a namespace, as their families are worked out from."""
        return self._families.of(namespace)

    def put(self, raw: Mapping[str, Any], now: datetime) -> TaskKey | None:
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
        if kept is not None and (task.status.phase.terminal or _has_another_stop(task.status, kept[0])):
            del self._unwritable[task.uid]
        elif kept is not None:
            task = replace(task, status=kept[0], unwritable=kept[1])
        if not task.status.phase.terminal and self._is_asked(task):
            task = replace(task, stop_seen_at=now)
        if known is not None and same and known.stop_seen_at is not None and not task.status.phase.terminal:
            task = replace(task, stop_seen_at=known.stop_seen_at)
        self._replace(key, task)
        return key

    def put_answer(self, raw: Mapping[str, Any], now: datetime) -> TaskKey | None:
        """Take in a task that a request was answered with; None if something newer is known, or that it is gone.

        The event of a deletion can overtake the answer to a request that was sent before it.
        """
        known = self._tasks.get(TaskKey(raw["metadata"]["namespace"], raw["metadata"]["name"]))
        gone = raw["metadata"]["uid"] in self._removed or (known is not None and known.gone)
        return None if gone else self.put(raw, now)

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

    def miss(self, key: TaskKey) -> None:
        """Note that there is no task of this name, though another one refers to it."""
        self._families.is_absent(key)

    def drop(self, key: TaskKey) -> None:
        """Forget a task."""
        task = self._tasks.get(key)
        if task is not None:
            self._replace(key, None)
            self._removed[task.uid] = None
            if len(self._removed) > MAX_REMOVED:
                del self._removed[next(iter(self._removed))]
            self._accepted.pop(task.uid, None)
            self._unwritable.pop(task.uid, None)

    def accept(self, key: TaskKey, status: AgentTaskStatus) -> None:
        """Remember a status with a stop that is not written yet: it was accepted all the same.

        One that is on record already is the one that counts: an operator with a view from before it knows it only now.
        """
        task = self._tasks.get(key)
        if task is not None and (task.status.stop is None or task.uid in self._accepted):
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
        if task is not None:
            self._tasks[key] = task
            self.phases[key.namespace, task.status.phase] += 1
        self._families.replaced(key, before, task)
        for listener in self._listeners:
            listener(key, before, task)


def _accepting(status: AgentTaskStatus, accepted: AgentTaskStatus) -> AgentTaskStatus:
    """Return a status with the stop of another one, and with what stays from then on as it is.

    Who asked for it matters to the tasks below.
    """
    conditions = with_accepted(status.conditions, accepted.conditions)
    return status.but(stop=accepted.stop, manually_stopped=accepted.manually_stopped, conditions=conditions)


def _has_another_stop(written: AgentTaskStatus, kept: AgentTaskStatus) -> bool:
    """Whether another operator has written a stop down that is not the one of a status that is kept."""
    return written.stop is not None and (kept.stop is None or kept.stop.accepted_at != written.stop.accepted_at)
