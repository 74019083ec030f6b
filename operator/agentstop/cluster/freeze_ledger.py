"""What became of each task that an order freezes, kept up with every change of a task."""

from dataclasses import dataclass, field
from datetime import datetime
from heapq import nsmallest

from agentstop.api.order import MAX_LISTED, ListedTask
from agentstop.lifecycle.observation import Task
from agentstop.lifecycle.order_freeze import FreezeCounts, Halt, counts, frozen_since, halt_of
from agentstop.lifecycle.orders import Order, problem_of


@dataclass(slots=True)
class FreezeLedger:
    """What became of each task that matches an order which freezes, or that it froze."""

    halts: dict[str, Halt] = field(default_factory=dict)
    """How far each task is halted, by UID."""
    sizes: dict[Halt, int] = field(default_factory=dict)
    """How many tasks are halted so far."""
    stalled: dict[str, ListedTask] = field(default_factory=dict)
    """Tasks that something keeps from being frozen, or from going on, by UID."""
    frozen_at: datetime | None = None
    """When the last of them was frozen, also of those that were since let go."""

    def put(self, order: Order, task: Task, *, matching: bool) -> bool:
        """Take in the state of a task; return whether that changes anything."""
        if not counts(order, task, matching=matching):
            return self.remove(task.uid)
        halt, problem = halt_of(task), problem_of(task)
        if halt is not Halt.LEFT:
            problem = None
        since = frozen_since(task) if halt is Halt.FROZEN else None
        later = since is not None and (self.frozen_at is None or since > self.frozen_at)
        if later:
            self.frozen_at = since
        if self.halts.get(task.uid) is halt and self.stalled.get(task.uid) == problem:
            return later
        self._move(task.uid, halt)
        if problem is None:
            self.stalled.pop(task.uid, None)
        else:
            self.stalled[task.uid] = problem
        return True

    def remove(self, uid: str) -> bool:
        """Take in that a task does not count any more; return whether it did."""
        if uid not in self.halts:
            return False
        self._move(uid, None)
        self.stalled.pop(uid, None)
        return True

    def _move(self, uid: str, halt: Halt | None) -> None:
        before = self.halts.pop(uid, None)
        if before is not None:
            self.sizes[before] -= 1
        if halt is not None:
            self.halts[uid] = halt
            self.sizes[halt] = self.sizes.get(halt, 0) + 1

    def counts(self) -> FreezeCounts:
        """Return what is in it now."""
        return FreezeCounts(
            matched=len(self.halts),
            frozen=self.sizes.get(Halt.FROZEN, 0),
            left=self.sizes.get(Halt.LEFT, 0),
            stalled=tuple(nsmallest(MAX_LISTED, self.stalled.values(), key=lambda each: (each.namespace, each.name))),
            stalled_count=len(self.stalled),
            frozen_at=self.frozen_at,
        )
