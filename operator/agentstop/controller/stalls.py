"""Which stops are held up, by what, and since when: counted as tasks change, and not when somebody asks."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from agentstop.api.meta import stalled
from agentstop.api.task import AgentTaskStatus, Phase
from agentstop.cluster.family_index import OrphanKey, TaskKey
from agentstop.lifecycle.decision import NOT_CONFIRMED
from agentstop.lifecycle.observation import Task


@dataclass(frozen=True, slots=True)
class Stall:
    """The stops that one reason holds up."""

    reason: str
    count: int
    since: datetime | None
    """Since when the oldest of them is stalled; None where there is none."""


def stalled_by(status: AgentTaskStatus) -> tuple[str, datetime] | None:
    """Return what holds a task up, and since when it is held up, by whatever reason; None where nothing does."""
    found = stalled(status.conditions)
    return (found.reason, found.last_transition_time) if found is not None else None


class Stalls:
    """Listens to the changes of tasks. A reason that was seen once is counted on, down to 0."""

    def __init__(self) -> None:
        self._stalled: dict[TaskKey | OrphanKey, tuple[str, datetime]] = {}
        self._reasons = {NOT_CONFIRMED.reason}

    def changed(self, key: TaskKey, _: Task | None, after: Task | None) -> None:
        """Take in that a task came, changed or went."""
        stall = stalled_by(after.status) if after is not None and after.status.phase is Phase.STOPPING else None
        self.put(key, stall)

    def put(self, key: TaskKey | OrphanKey, stall: tuple[str, datetime] | None) -> None:
        """Take in what holds up the end of a task or a pod and since when, or that nothing does."""
        if stall is None:
            self._stalled.pop(key, None)
        else:
            self._stalled[key] = stall
            self._reasons.add(stall[0])

    def __iter__(self) -> Iterator[Stall]:
        # Whoever asks may do so from another thread: what is copied here does not change meanwhile.
        since: dict[str, list[datetime]] = {reason: [] for reason in list(self._reasons)}
        for reason, at in list(self._stalled.values()):
            since.setdefault(reason, []).append(at)
        for reason, moments in sorted(since.items()):
            yield Stall(reason, len(moments), min(moments, default=None))
