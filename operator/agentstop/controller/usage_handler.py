"""What is reported of tasks: into the store, and the key into the queue where it matters."""

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import datetime
from typing import Any, Final

from pydantic import ValidationError

from agentstop.api.budget import Budget, BudgetScope
from agentstop.api.meta import ConditionType, find_condition
from agentstop.cluster.cache import Cache
from agentstop.cluster.default_budgets import DefaultBudgets
from agentstop.cluster.deleted_usage import DeletedUsage
from agentstop.cluster.family_index import TaskKey
from agentstop.cluster.large_objects import NamespacedName
from agentstop.cluster.queue import Enqueuer, Priority
from agentstop.cluster.reflector import Source
from agentstop.cluster.usage_store import UsageStore
from agentstop.lifecycle.accounts import WRITE_INTERVAL
from agentstop.lifecycle.budget import Level, compare
from agentstop.lifecycle.facts import CPUUse, Facts
from agentstop.lifecycle.family import ancestors, descendants
from agentstop.lifecycle.idle import changes_of
from agentstop.lifecycle.observation import Task
from agentstop.timings import TIMINGS, Timings

log = logging.getLogger(__name__)

MAX_TOLD: Final = 1000
"""Of so many objects that cannot be read it is remembered that this was said."""


class UsageHandler:
    """Takes in what the reflector of usages tells of, and how its watches are.

    A cluster without the kind is normal: then nothing was reported of any task. `sources` is what is
    reflected.
    """

    def __init__(
        self,
        cache: Cache,
        queue: Enqueuer[TaskKey],
        clock: Callable[[], datetime],
        sources: Iterable[Source] = (),
        timings: Timings = TIMINGS,
    ) -> None:
        self._cache = cache
        self._queue = queue
        self._clock = clock
        self._timings = timings
        self._awaited = {each.namespace for each in sources}
        self._unread = set(self._awaited)
        """Namespaces of which nothing that was reported was ever known."""
        self._failed: set[str] = set()
        self._told: OrderedDict[str, None] = OrderedDict()
        self._busy: dict[str, datetime] = {}
        self.settled = asyncio.Event()
        """Set once what was reported is known, or cannot be."""
        if not self._awaited:
            self.settled.set()
        self.store = UsageStore()
        self._deleted = DeletedUsage(cache.tasks, self.store)
        self.default_budgets = DefaultBudgets()
        cache.tasks.listen(self._task_changed)

    # What the reflectors tell

    def changed(self, _kind: str, event: str | None, raw: dict[str, Any]) -> None:
        """Take in a TaskUsage."""
        metadata = raw["metadata"]
        key = TaskKey(metadata["namespace"], metadata["name"])
        if event == "DELETED":
            self.store.drop(key, metadata["uid"])
        else:
            try:
                if self.store.put(raw, self._clock()) is None:
                    return
            except ValidationError as error:
                self._cannot_read(key, metadata["uid"], error)
                return
        self._matters(key)

    def missing(self, _kind: str, name: NamespacedName, uid: str) -> None:
        """Take in that a TaskUsage went while its watch was blind."""
        self.store.drop(TaskKey(*name), uid)
        self._matters(TaskKey(*name))

    def reached(self, source: Source, _version: str) -> None:
        """Take in that all that was reported in a namespace is known."""
        if source.namespace in self._unread:
            self._unread.discard(source.namespace)
            self._deleted.anew()
        self._settle(source.namespace)

    def heard(self, _kind: str, namespace: str) -> None:
        """Take in a sign of life of a watch."""
        self._failed.discard(namespace)

    def failed(self, _kind: str, namespace: str, problem: str) -> None:
        """Take in that nothing that is reported can be known now."""
        if namespace not in self._failed:
            self._failed.add(namespace)
            log.info("what tasks use is not known, and their budgets wait for it: %s", problem)
        self._settle(namespace)

    def skipped(self, _kind: str, number: int = 1) -> None:
        """Take in that there is what cannot be read; the log has it already."""

    # What is known of a task

    def facts(self, task: Task, cpu: CPUUse = CPUUse.UNASKED) -> Facts:
        """Return what is known of a task's usage and budget."""
        default = self.default_budgets.budget(task.namespace) if task.spec.budget is None else None
        budget = task.spec.budget or default
        whole = budget is not None and budget.scope is BudgetScope.FAMILY
        problem = self.default_budgets.problem(task.namespace) if task.spec.budget is None else None
        unmeasured = whole and cpu is CPUUse.NOT_SERVED
        changed_at = max(self._container_changes(task), default=None) if unmeasured else None
        return Facts(
            usage=self.store.usage_of(task),
            foreign=self.store.has_foreign(task),
            family_usage=self._deleted.family_usage(task) if whole and not self._unread else None,
            unknown=not self.settled.is_set(),
            problem=problem,
            default_budget=default,
            cpu=cpu,
            containers_changed_at=changed_at,
            busy_at=self._busy.get(task.uid),
        )

    def budget(self, task: Task) -> Budget | None:
        """Return the budget that counts for a task: its own, or that of its namespace."""
        return task.spec.budget or self.default_budgets.budget(task.namespace)

    def relatives(self, task: Task) -> list[Task]:
        """Return the tasks whose silence counts with that of a task, where its family's usage does."""
        budget = self.budget(task)
        if budget is None or budget.scope is BudgetScope.TASK:
            return []
        lister = self._cache.tasks.family_lister(task.namespace)
        return [each for each in descendants(task, lister) if not each.status.phase.terminal]

    def _container_changes(self, task: Task) -> Iterator[datetime]:
        for each in self.relatives(task):
            yield from changes_of(each.status.workload)

    def note_busy(self, task: Task, at: datetime) -> None:
        """Note that the pods of a task used a processor."""
        self._busy[task.uid] = at

    def namespace(self, kind: str | None, raw: Mapping[str, Any]) -> None:
        """Take in what a namespace says of its tasks' budgets."""
        name = raw["metadata"]["name"]
        annotations = {} if kind == "DELETED" else raw["metadata"].get("annotations") or {}
        if not self.default_budgets.put(name, annotations):
            return
        problem = self.default_budgets.problem(name)
        if problem is not None:
            log.warning("%s", problem.message)
        self._enqueue(lambda task: task.namespace == name and task.spec.budget is None)

    # What follows

    def _matters(self, key: TaskKey) -> None:
        """Have a task decided on whose usage has changed, and those above it, where that may change anything."""
        task = self._cache.tasks.get(key)
        if task is None:
            return
        budget = self.budget(task)
        if budget is None or budget.scope is BudgetScope.TASK:
            self._consider(key, task, budget)
        else:
            self._queue.add_after(key, self._timings.family_count_seconds)
        lister = self._cache.tasks.family_lister(key.namespace)
        for each in ancestors(task, lister) if task.spec.parent_ref is not None else ():
            above = self.budget(each)
            if above is not None and above.scope is BudgetScope.FAMILY:
                self._queue.add_after(TaskKey(each.namespace, each.name), self._timings.family_count_seconds)

    def _consider(self, key: TaskKey, task: Task, budget: Budget | None) -> None:
        usage, status = self.store.usage_of(task), task.status
        if budget is not None and not status.phase.terminal and status.stop is None:
            found = compare(budget, usage, foreign=self.store.has_foreign(task))
            former = find_condition(status.conditions, ConditionType.BUDGET_EXCEEDED)
            if former is None or (found.level, found.word.reason) != (former.status, former.reason):
                self._queue.add(key, priority=Priority.MASS if found.level is Level.EXCEEDED else Priority.NORMAL)
                return
        if status.usage is None or self.store.without_owner(task) is not None:
            self._queue.add(key)
            return
        due = status.usage.as_of + WRITE_INTERVAL - self._clock()
        self._queue.add_after(key, due.total_seconds())

    def _settle(self, namespace: str) -> None:
        if namespace not in self._awaited:
            return
        self._awaited.discard(namespace)
        if not self._awaited:
            self.settled.set()
            self._enqueue(lambda task: self.budget(task) is not None)

    def _enqueue(self, meant: Callable[[Task], bool]) -> None:
        for key, task in self._cache.tasks.items():
            if not task.status.phase.terminal and meant(task):
                self._queue.add(key)

    def _task_changed(self, _: TaskKey, before: Task | None, after: Task | None) -> None:
        if before is not None and (after is None or after.uid != before.uid):
            self._busy.pop(before.uid, None)

    def _cannot_read(self, key: TaskKey, uid: str, error: ValidationError) -> None:
        if uid in self._told:
            return
        self._told[uid] = None
        if len(self._told) > MAX_TOLD:
            self._told.popitem(last=False)
        problem = error.errors()[0]
        where = ".".join(str(part) for part in problem["loc"])
        log.error("TaskUsage %s cannot be read, and what it said last counts: %s: %s", key, where, problem["msg"])
