"""What is known of the Leases that tasks are tethered to, and which tasks those are."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from agentstop.cluster.family_index import TaskKey
from agentstop.lifecycle import tether
from agentstop.lifecycle.observation import Reason, Task
from agentstop.lifecycle.tether import Lease
from agentstop.words import leases


class LeaseKey(NamedTuple):
    """Namespace and name of a Lease."""

    namespace: str
    name: str

    def __str__(self) -> str:
        return f"lease {self.namespace}/{self.name}"


def read_lease(key: LeaseKey, raw: Mapping[str, Any] | None, before: Lease | None, now: datetime) -> Lease:
    """Return what a Lease says that was read just now; None where the API server said that there is none."""
    problem = _problem(key, raw)
    if raw is None or problem is not None:
        duration = timedelta(seconds=leases.DEFAULT_SECONDS)
        return Lease(name=key.name, read_at=now, problem=problem, duration=duration, renewed_at=now)
    lease = dict(raw)
    version = str(lease["metadata"].get("resourceVersion"))
    noted = leases.renewed_at(lease)
    if noted is None:
        # Somebody has emptied the API server's notes: then a renewal counts from when it was seen first.
        noted = before.renewed_at if before is not None and before.version == version else now
    found = Lease(
        name=key.name,
        read_at=now,
        version=version,
        holder=leases.holder_of(lease),
        duration=timedelta(seconds=leases.seconds_of(lease)),
        renewed_at=min(noted, now),
    )
    return replace(found, watched=tether.holds(found) or (before is not None and before.watched))


def _problem(key: LeaseKey, raw: Mapping[str, Any] | None) -> Reason | None:
    if raw is None:
        return Reason(tether.MISSING, f"There is no Lease {key.name} in namespace {key.namespace}")
    if not leases.is_tether(dict(raw)):
        message = f"Lease {key.name} has no label {leases.TETHER_LABEL}=true, so it is there for something else"
        return Reason(tether.NO_TETHER, message)
    return None


class TetherIndex:
    """The Leases by name, each with the tasks that are tethered to it and not stopped yet."""

    def __init__(self) -> None:
        self._tasks: dict[LeaseKey, set[TaskKey]] = {}
        self._leases: dict[LeaseKey, Lease] = {}

    def changed(self, key: TaskKey, before: Task | None, after: Task | None) -> tuple[LeaseKey | None, LeaseKey | None]:
        """Take in that a task came, changed or went; return the Lease that it hung on, and the one that it hangs on."""
        hung, hangs = _lease_key(key, before), _lease_key(key, after)
        if hung is not None and hung != hangs and hung in self._tasks:
            self._tasks[hung].discard(key)
            if not self._tasks[hung]:
                del self._tasks[hung]
                self._leases.pop(hung, None)
        if hangs is not None:
            self._tasks.setdefault(hangs, set()).add(key)
        return hung, hangs

    def leases(self) -> list[LeaseKey]:
        """Return the Leases on which any task hangs."""
        return list(self._tasks)

    def tasks_of(self, key: LeaseKey) -> frozenset[TaskKey]:
        """Return the tasks that hang on a Lease."""
        return frozenset(self._tasks.get(key, ()))

    def lease(self, key: LeaseKey) -> Lease | None:
        """Return what was read of a Lease."""
        return self._leases.get(key)

    def lease_of(self, task: Task) -> Lease | None:
        """Return what was read of the Lease on which a task hangs; None before it was read, and for a free task."""
        found = _lease_key(TaskKey(task.namespace, task.name), task)
        return self._leases.get(found) if found is not None else None

    def put(self, key: LeaseKey, lease: Lease) -> None:
        """Remember what was read of a Lease, if any task still hangs on it."""
        if key in self._tasks:
            self._leases[key] = lease


def _lease_key(key: TaskKey, task: Task | None) -> LeaseKey | None:
    """Return the Lease on which a task hangs; none any more once its stop is accepted, or it has ended."""
    if task is None or task.gone or task.spec.tether is None:
        return None
    over = task.status.phase.terminal or task.status.stop is not None
    return None if over else LeaseKey(key.namespace, task.spec.tether.lease_name)
