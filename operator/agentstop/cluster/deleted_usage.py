"""What tasks have used that are gone: their families' budgets are not given back by a deletion."""

from decimal import Decimal

from agentstop.api.money import DEFAULT_CURRENCY
from agentstop.api.task import AgentTaskStatus
from agentstop.api.usage import Spent
from agentstop.cluster.family_index import TaskKey
from agentstop.cluster.task_store import TaskStore
from agentstop.cluster.usage_store import UsageStore
from agentstop.lifecycle.observation import Task
from agentstop.lifecycle.usage import NOTHING, Usage


class DeletedUsage:
    """Adds up, for each task, what its children had used that are gone by now.

    After a restart it is what the status says of the family, and those that there are have not used.
    """

    def __init__(self, tasks: TaskStore, usages: UsageStore) -> None:
        self._tasks = tasks
        self._usages = usages
        self._used: dict[str, Usage] = {}
        tasks.listen(self._changed)

    def anew(self) -> None:
        """Reckon anew: of what was reported nothing was known before, and all of it was taken for gone."""
        self._used.clear()

    def family_usage(self, task: Task) -> Usage | None:
        """Return what a task and all that descends from it have used, those that are gone included."""
        live = self._live(task)
        if task.uid not in self._used:
            self._used[task.uid] = _excess(_family_of(task), live)
        gone = self._used[task.uid]
        return live if gone == Usage() else gone if live is None else live.plus(gone)

    def _live(self, task: Task) -> Usage | None:
        lister = self._tasks.family_lister(task.namespace)
        return self._usages.usage_of_family(task, lister, self._used)

    def _changed(self, key: TaskKey, before: Task | None, after: Task | None) -> None:
        if before is None or (after is not None and after.uid == before.uid):
            return
        gone = self._used.pop(before.uid, Usage())
        own = self._usages.usage_of(before) or _recorded(before.status)
        ref = before.spec.parent_ref
        parent = self._tasks.get(TaskKey(key.namespace, ref.name)) if ref is not None else None
        if parent is None or (own is None and gone == Usage()):
            return
        went = gone.plus(own or Usage())
        if parent.uid not in self._used:
            # What went now is in the record, which others that are there have outrun since.
            live = self._live(parent)
            self._used[parent.uid] = _excess(_family_of(parent), went if live is None else live.plus(went))
        self._used[parent.uid] = self._used[parent.uid].plus(went)


def _family_of(task: Task) -> Spent | None:
    return task.status.usage.family if task.status.usage is not None else None


def _recorded(status: AgentTaskStatus) -> Usage | None:
    return _excess(status.usage, None) if status.usage is not None else None


def _excess(recorded: Spent | None, live: Usage | None) -> Usage:
    """Return by how much a record is above what is there now."""
    if recorded is None:
        return Usage()
    now = live or Usage()
    same = now.cost is None or recorded.currency == now.currency
    cost = Decimal(recorded.cost) - (now.cost or NOTHING) if recorded.cost is not None and same else NOTHING
    return Usage(
        cost=cost if cost > 0 else None,
        currency=(recorded.currency or DEFAULT_CURRENCY) if cost > 0 else DEFAULT_CURRENCY,
        tokens=max(recorded.total_tokens - now.tokens, 0),
        turns=max(recorded.turns - now.turns, 0),
    )
