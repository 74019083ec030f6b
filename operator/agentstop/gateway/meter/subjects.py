"""Which task it is that somebody means by a task's name, or by one of its pods."""

from collections.abc import Iterator, Mapping
from typing import Any

from agentstop.cluster.large_objects import NamespacedName
from agentstop.gateway.entry import Entry
from agentstop.gateway.index import TaskIndex
from agentstop.gateway.meter.evidence import Subject

Key = str | NamespacedName
"""A pod's UID, or its namespace and name."""


class Subjects:
    """Finds tasks by what signals say of where they come from. Told by the index of each change."""

    def __init__(self, index: TaskIndex) -> None:
        self._index = index
        self._by_pod: dict[Key, str] = {}
        for entry in index.all():
            self._changed(None, entry)
        index.listen(self._changed)

    def find(self, subject: Subject) -> Entry | None:
        """Return the task that is meant; None where none is known."""
        if subject.namespace is not None and subject.task is not None:
            return self._index.named(NamespacedName(subject.namespace, subject.task))
        keys: list[Key] = [subject.pod_uid] if subject.pod_uid is not None else []
        if subject.namespace is not None and subject.pod is not None:
            keys.append(NamespacedName(subject.namespace, subject.pod))
        for key in keys:
            uid = self._by_pod.get(key)
            if uid is not None:
                return self._index.get(uid)
        return None

    def _changed(self, before: Entry | None, after: Entry | None) -> None:
        gone = set(_keys(before)) - set(_keys(after)) if before is not None else set()
        for key in gone:
            # A task that adopted the pod meanwhile keeps it.
            if before is not None and self._by_pod.get(key) == before.uid:
                del self._by_pod[key]
        for key in _keys(after):
            if after is not None:
                self._by_pod[key] = after.uid


def _keys(entry: Entry | None) -> Iterator[Key]:
    """Yield what the pods of a task are known by."""
    if entry is None:
        return
    workload = entry.status.get("workload")
    for pod in _listed(workload.get("pods") if isinstance(workload, dict) else None):
        if isinstance(pod.get("uid"), str):
            yield pod["uid"]
        if isinstance(pod.get("name"), str):
            yield NamespacedName(entry.namespace, pod["name"])


def _listed(pods: Any) -> Iterator[Mapping[str, Any]]:
    for each in pods if isinstance(pods, list) else ():
        if isinstance(each, dict):
            yield each
