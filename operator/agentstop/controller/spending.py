"""What agents spend, and which tasks are beyond their budgets: counted as it is reported."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Final

from prometheus_client import Counter

from agentstop.api.budget import Budget, BudgetAction
from agentstop.api.meta import ConditionType, find_condition
from agentstop.api.money import DEFAULT_CURRENCY
from agentstop.api.task import Phase
from agentstop.api.usage import Spent
from agentstop.cluster.family_index import TaskKey
from agentstop.cluster.task_store import TaskStore
from agentstop.cluster.usage_store import UsageStore
from agentstop.lifecycle.budget import Level
from agentstop.lifecycle.observation import Task
from agentstop.lifecycle.usage import since

MAX_SERIES: Final = 1000
"""So many pairs of agent and currency have numbers of their own, over all namespaces: anybody may make up either."""

OTHER: Final = "other"
"""What stands for the rest of them."""


class Spending:
    """Adds to three counters by how much the usage of tasks has grown.

    What was reported before the task was first seen here is in its status, but for the last seconds; so nothing much is
    counted twice after a restart. Replicas that stand by count nothing: their numbers are added up.
    """

    def __init__(
        self,
        tasks: TaskStore,
        usages: UsageStore,
        leads: Callable[[], bool],
        cost: Counter,
        tokens: Counter,
        turns: Counter,
    ) -> None:
        self._tasks = tasks
        self._usages = usages
        self._leads = leads
        self._cost = cost
        self._tokens = tokens
        self._turns = turns
        self._counted: dict[str, Spent] = {}
        self._known: set[tuple[str, str, str]] = set()
        tasks.listen(self._task_changed)
        usages.listen(self._reported)

    def lead(self, *, leads: bool) -> None:
        """Begin or end to count."""
        self._counted.clear()
        for _, task in self._tasks.items() if leads else ():
            self._count(task)

    def _reported(self, key: TaskKey) -> None:
        task = self._tasks.get(key)
        if task is not None:
            self._count(task)

    def _task_changed(self, _: TaskKey, before: Task | None, after: Task | None) -> None:
        if before is not None and (after is None or after.uid != before.uid):
            self._counted.pop(before.uid, None)
        if after is not None and (before is None or after.uid != before.uid):
            self._count(after)

    def _count(self, task: Task) -> None:
        usage = self._usages.usage_of(task)
        if usage is None or not self._leads():
            return
        more = since(usage, self._counted.get(task.uid) or task.status.usage)
        self._counted[task.uid] = usage.spent()
        namespace, agent, currency = self._labels(task, more.currency or DEFAULT_CURRENCY)
        if more.cost is not None:
            self._cost.labels(namespace, agent, currency).inc(float(Decimal(more.cost)))
        self._tokens.labels(namespace, agent).inc(more.total_tokens)
        self._turns.labels(namespace, agent).inc(more.turns)

    def _labels(self, task: Task, currency: str) -> tuple[str, str, str]:
        labels = (task.namespace, task.spec.agent or "", currency)
        if labels in self._known:
            return labels
        if len(self._known) >= MAX_SERIES:
            return (task.namespace, OTHER, OTHER)
        self._known.add(labels)
        return labels


@dataclass(frozen=True, slots=True)
class Beyond:
    """The tasks that are beyond their budgets and have not ended, by what a budget asks for then."""

    action: BudgetAction
    count: int
    since: datetime | None
    """Since when the first of them is; None where there is none."""


class Overspent:
    """Listens to the changes of tasks."""

    def __init__(self, tasks: TaskStore, budget_of: Callable[[Task], Budget | None]) -> None:
        self._budget_of = budget_of
        self._beyond: dict[TaskKey, tuple[BudgetAction, datetime]] = {}
        tasks.listen(self._changed)

    def _changed(self, key: TaskKey, _: Task | None, after: Task | None) -> None:
        found = find_condition(after.status.conditions, ConditionType.BUDGET_EXCEEDED) if after is not None else None
        if after is None or found is None or found.status != Level.EXCEEDED or _rests(after.status.phase):
            self._beyond.pop(key, None)
            return
        budget = self._budget_of(after)
        action = budget.action if budget is not None else BudgetAction.STOP
        self._beyond[key] = (action, found.last_transition_time)

    def __iter__(self) -> Iterator[Beyond]:
        # Whoever asks may do so from another thread: what is copied here does not change meanwhile.
        moments: dict[BudgetAction, list[datetime]] = {action: [] for action in BudgetAction}
        for action, at in list(self._beyond.values()):
            moments[action].append(at)
        for action, found in moments.items():
            yield Beyond(action, len(found), min(found, default=None))


def _rests(phase: Phase) -> bool:
    return phase.terminal or phase is Phase.PAUSED
