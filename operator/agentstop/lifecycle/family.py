"""Families: what a task inherits from the tasks above it, and what it has to wait for below."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Final, Protocol

from agentstop.api.budget import Budget, BudgetAction, BudgetScope
from agentstop.api.meta import ConditionType, find_condition, stalled
from agentstop.api.task import ChildrenStatus, DeletionPolicy, Phase, PodPolicy, StopSource
from agentstop.lifecycle.observation import Reason, Task

MAX_GENERATIONS: Final = 32
"""So many ancestors a task may have."""

OF_ONE_TASK: Final = frozenset(
    {StopSource.USER, StopSource.STOP_ORDER, StopSource.DEADLINE, StopSource.BUDGET, StopSource.IDLE, StopSource.TETHER}
)
"""Sources of stops that begin at a task and come down to all that descend from it."""

BY_PERSONS: Final = frozenset({StopSource.USER, StopSource.STOP_ORDER})


class FamilyLister(Protocol):
    """The tasks of one namespace, by name."""

    def named(self, name: str) -> Task | None:
        """Return the task of this name, or None where none is known."""

    def is_absent(self, name: str) -> bool:
        """Whether the API server said that there is no task of this name."""

    def children(self, name: str) -> Iterable[Task]:
        """Return the tasks whose parentRef has this name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Inherited:
    """A stop that comes down from an ancestor."""

    origin: str
    """The task where it began."""
    by_person: bool
    requested_by: str | None = None
    reason: str | None = None
    message: str | None = None
    grace_seconds: int | None = None
    """The grace period that was asked for there, in seconds."""
    pod_policy: PodPolicy | None = None
    """What the order that it comes from asks to be done with the pod objects."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Family:
    """What a task's decision needs to know of its family."""

    stop: Inherited | None = None
    problem: Reason | None = None
    """Why nothing is started for the task as a child, if so."""
    unknown: bool = False
    """Whether an ancestor has to be read first."""
    children: ChildrenStatus | None = None
    """How many tasks descend from it."""
    holding: Reason | None = None
    """Which of the descendants is held up, and by what."""
    over_budget: str | None = None
    """The ancestor whose budget pauses its family now, if one's does."""

    @property
    def all_ended(self) -> bool:
        """Whether no descendant is active."""
        return self.children is None or self.children.active == 0


ALONE: Final = Family()
"""A task without relatives."""


def family_of(task: Task, family_lister: FamilyLister, default: Budget | None = None) -> Family:
    """Return what a task's family means to it. Bounded, whatever loops the references make.

    `default` is the budget of those that have none of their own.
    """
    pausing = (each.name for each in ancestors(task, family_lister) if _pauses_family(each, default))
    children, holding = _below(task, family_lister)
    return Family(
        stop=inherited_stop(task, family_lister),
        problem=_problem(task, family_lister),
        unknown=unknown_ancestor(task, family_lister) is not None,
        children=children,
        holding=holding,
        over_budget=next(pausing, None),
    )


def _pauses_family(task: Task, default: Budget | None) -> bool:
    budget = task.spec.budget or default
    if budget is None or budget.scope is not BudgetScope.FAMILY or budget.action is not BudgetAction.PAUSE:
        return False
    return is_over_budget(task)


def is_over_budget(task: Task) -> bool:
    """Whether a task that has not ended has reached a limit of its budget, as its status says."""
    found = find_condition(task.status.conditions, ConditionType.BUDGET_EXCEEDED)
    return found is not None and found.status == "True" and not task.status.phase.terminal


def descendants(task: Task, family_lister: FamilyLister) -> Iterator[Task]:
    """Yield every task that descends from this one, once, nearest first."""
    reached = {task.name}
    generation = [task.name]
    while generation:
        following: list[str] = []
        for name in generation:
            for child in family_lister.children(name):
                if child.name not in reached:
                    reached.add(child.name)
                    following.append(child.name)
                    yield child
        generation = following


def ancestors(task: Task, family_lister: FamilyLister) -> Iterator[Task]:
    """Yield the tasks above this one, nearest first, as far as they are known; ends where the references loop."""
    reached = {task.name}
    current: Task | None = task
    while current is not None and current.spec.parent_ref is not None:
        name = current.spec.parent_ref.name
        current = None if name in reached else family_lister.named(name)
        reached.add(name)
        if current is not None:
            yield current


def unknown_ancestor(task: Task, family_lister: FamilyLister) -> str | None:
    """Return the name of an ancestor of which nobody knows yet whether it exists."""
    last = [task, *ancestors(task, family_lister)][-1]
    ref = last.spec.parent_ref
    unknown = ref is not None and family_lister.named(ref.name) is None and not family_lister.is_absent(ref.name)
    return ref.name if unknown and ref is not None else None


def inherited_stop(task: Task, family_lister: FamilyLister) -> Inherited | None:
    """Return the stop that the task has to follow, if an ancestor was asked to stop, or was deleted."""
    child = task
    for ancestor in ancestors(task, family_lister):
        begun = _begun(ancestor, child, family_lister)
        if begun is not None:
            return begun
        child = ancestor
    ref = child.spec.parent_ref
    if ref is None or family_lister.named(ref.name) is not None or not family_lister.is_absent(ref.name):
        return None
    orphan = child.status.attempts > 0 and child.spec.deletion_policy is DeletionPolicy.STOP
    return Inherited(origin=ref.name, by_person=False) if orphan else None


def _begun(parent: Task, child: Task, family_lister: FamilyLister) -> Inherited | None:
    """Return the stop that begins at this parent, as far as this child of it is concerned."""
    record, request = parent.status.stop, parent.spec.stop
    source = record.source if record is not None else None
    # Somebody may ask a parent that is being stopped with its own parent: that one's stop was first, and is on record.
    if source in OF_ONE_TASK or (parent.spec.stop_requested and source is not StopSource.PARENT):
        by_person = parent.spec.stop_requested if source is None else source in BY_PERSONS
        own = record or request
        return Inherited(
            origin=parent.name,
            by_person=by_person,
            requested_by=record.requested_by if record is not None else parent.requested_by,
            reason=own.reason if own is not None else None,
            message=own.message if own is not None else None,
            grace_seconds=_asked_grace(parent),
            pod_policy=record.pod_policy if record is not None else None,
        )
    if source is StopSource.PARENT and record is not None:
        # Where it began may be gone by now; what was accepted stays in force for all below.
        origin = family_lister.named(record.origin or parent.name)
        return Inherited(
            origin=record.origin or parent.name,
            by_person=parent.status.manually_stopped,
            requested_by=record.requested_by,
            reason=record.reason,
            message=record.message,
            grace_seconds=_asked_grace(origin) if origin is not None else None,
            pod_policy=record.pod_policy,
        )
    deleted = parent.deleting or parent.gone or source is StopSource.DELETION
    if deleted and child.spec.deletion_policy is DeletionPolicy.STOP and child.status.attempts > 0:
        return Inherited(origin=parent.name, by_person=False)
    if _too_late(parent, child) or (deleted and child.status.attempts == 0):
        return Inherited(origin=parent.name, by_person=parent.status.manually_stopped)
    return None


def _asked_grace(task: Task) -> int | None:
    return task.spec.stop.grace_period_seconds if task.spec.stop is not None else None


def _too_late(parent: Task, child: Task) -> bool:
    """Whether the child was made after its parent had ended. The API server notes creations in whole seconds."""
    ended_at = parent.status.finished_at
    if not parent.status.phase.terminal or ended_at is None or child.created_at is None or child.status.attempts > 0:
        return False
    return child.created_at + timedelta(seconds=1) > ended_at


def _problem(task: Task, family_lister: FamilyLister) -> Reason | None:
    above = [task, *ancestors(task, family_lister)]
    if len(above) > MAX_GENERATIONS + 1:
        message = f"More than {MAX_GENERATIONS} tasks are above this one; start it as a child of one further up"
        return Reason("ParentTooDeep", message)
    ref = above[-1].spec.parent_ref
    if ref is None:
        return None
    if any(each.name == ref.name for each in above):
        chain = " -> ".join([*(each.name for each in above), ref.name])
        return Reason(
            "ParentCycle", f"The parentRefs run in a circle ({chain}), so nothing is started; delete one of them"
        )
    if above[-1].status.attempts > 0:
        return None  # it was started under a parent that has been deleted since
    message = f"AgentTask {ref.name}, which parentRef points at, does not exist in namespace {task.namespace}"
    return Reason("ParentNotFound", f"{message}; nothing is started before it does")


def _below(task: Task, family_lister: FamilyLister) -> tuple[ChildrenStatus | None, Reason | None]:
    total = active = 0
    holding: Reason | None = None
    above = {each.name for each in ancestors(task, family_lister)}
    for each in descendants(task, family_lister):
        if each.name in above:
            continue  # a circle: if each waited for the others, none would be the first to end
        total += 1
        if each.status.phase.terminal:
            continue
        active += 1
        if holding is None and each.status.phase is Phase.STOPPING:
            holding = _held_up(each)
    return (ChildrenStatus(total=total, active=active) if total else None), holding


def _held_up(task: Task) -> Reason | None:
    found = stalled(task.status.conditions)
    if found is None:
        return None
    return Reason("ChildStalled", f"AgentTask {task.name} holds it up: {found.reason}: {found.message}")
