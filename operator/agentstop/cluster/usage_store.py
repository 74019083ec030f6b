"""What was reported of tasks: a small record of each TaskUsage, and whose it is."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from sys import intern
from typing import Any, Final

from agentstop.api.meta import API_VERSION, parse_time
from agentstop.api.task import KIND
from agentstop.api.usage import TaskUsageSpec
from agentstop.cluster.family_index import FamilyLister, TaskKey
from agentstop.cluster.object_store import is_newer
from agentstop.lifecycle.family import descendants
from agentstop.lifecycle.observation import Task
from agentstop.lifecycle.usage import Usage, read_usage

NO_ONE: Final[Mapping[str, Usage]] = {}


@dataclass(frozen=True, slots=True)
class UsageRecord:
    """One TaskUsage at one resource version."""

    uid: str
    resource_version: str
    owner_uid: str | None
    """UID of the task that owns it; None where no task does yet."""
    created_at: datetime | None
    usage: Usage

    def belongs_to(self, task: Task) -> bool:
        """Whether it counts for a task."""
        return is_usage_of(self.owner_uid, self.created_at, task.uid, task.created_at)


class UsageStore:
    """The newest known usage of tasks."""

    def __init__(self) -> None:
        self._records: dict[TaskKey, UsageRecord] = {}
        self._unownable: set[str] = set()
        self._listeners: list[Callable[[TaskKey], None]] = []

    def listen(self, listener: Callable[[TaskKey], None]) -> None:
        """Call a function with the name of each usage that is taken in from now on, once it is."""
        self._listeners.append(listener)

    def get(self, key: TaskKey) -> UsageRecord | None:
        """Return the record of this name, whosever it is."""
        return self._records.get(key)

    def put(self, raw: Mapping[str, Any], now: datetime) -> UsageRecord | None:
        """Take in a TaskUsage; None if something newer is known already.

        Raises pydantic.ValidationError where it is not of a form that this version knows.
        """
        metadata = raw["metadata"]
        key = TaskKey(metadata["namespace"], metadata["name"])
        known = self._records.get(key)
        if known is not None and not is_newer(metadata["resourceVersion"], known.resource_version):
            return None
        usage = read_usage(TaskUsageSpec.model_validate(raw.get("spec") or {}), now)
        record = UsageRecord(
            uid=metadata["uid"],
            resource_version=metadata["resourceVersion"],
            owner_uid=owner_uid(metadata),
            created_at=parse_time(metadata.get("creationTimestamp")),
            usage=usage,
        )
        self._records[key] = record
        for listener in self._listeners:
            listener(key)
        return record

    def drop(self, key: TaskKey, uid: str) -> None:
        """Forget what is gone."""
        known = self._records.get(key)
        if known is not None and known.uid == uid:
            del self._records[key]
            self._unownable.discard(uid)

    def without_owner(self, task: Task) -> UsageRecord | None:
        """Return the record of a task that nobody owns and that it could, if there is one."""
        record = self._records.get(TaskKey(task.namespace, task.name))
        if record is None or record.owner_uid is not None or record.uid in self._unownable:
            return None
        return record if record.belongs_to(task) else None

    def note_unownable(self, record: UsageRecord) -> None:
        """Note that no owner can be given to a record: it is not tried again."""
        self._unownable.add(record.uid)

    def has_foreign(self, task: Task) -> bool:
        """Whether there is a record of a task's name that does not count for it."""
        record = self._records.get(TaskKey(task.namespace, task.name))
        return record is not None and not record.belongs_to(task)

    def usage_of(self, task: Task) -> Usage | None:
        """Return what was reported of a task; None where nothing was."""
        record = self._records.get(TaskKey(task.namespace, task.name))
        return record.usage if record is not None and record.belongs_to(task) else None

    def usage_of_family(
        self, task: Task, family_lister: FamilyLister, gone: Mapping[str, Usage] = NO_ONE
    ) -> Usage | None:
        """Return what was reported of a task and of all that descends from it; None where nothing was.

        `gone` is what those had used that descended from one of the descendants, by the UID of that.
        """
        total = self.usage_of(task)
        for each in descendants(task, family_lister) if self._records or gone else ():
            for usage in (self.usage_of(each), gone.get(each.uid)):
                if usage is not None:
                    total = usage if total is None else total.plus(usage)
        return total


def owner_uid(metadata: Mapping[str, Any]) -> str | None:
    """Return the UID of the task that owns an object, by its owner references."""
    for each in metadata.get("ownerReferences") or ():
        if (each.get("apiVersion"), each.get("kind")) == (API_VERSION, KIND):
            return intern(str(each.get("uid")))
    return None


def is_usage_of(owner: str | None, created_at: datetime | None, uid: str, task_created_at: datetime | None) -> bool:
    """Whether a TaskUsage counts for a task, by its owner's UID and its creation: an earlier task leaves it nothing.

    What nobody owns yet counts for the task that was there when it was made. Creations are noted in whole seconds.
    """
    if owner is not None:
        return owner == uid
    return created_at is None or task_created_at is None or created_at >= task_created_at
