"""Takes in what the nodes answer: a PodControl that changes has its task decided on. Nothing here waits."""

import logging
from collections.abc import Callable
from datetime import datetime
from typing import Any

from agentstop.cluster.control_store import ControlStore
from agentstop.cluster.family_index import TaskKey
from agentstop.cluster.large_objects import NamespacedName
from agentstop.workloads.objects import ControlRecord

log = logging.getLogger(__name__)


class ControlHandler:
    """Takes in what the reflector of PodControls tells of, and how its watches are.

    Without the kind, or without the right to it, no node can be asked, and all goes on as without the components.
    """

    def __init__(
        self,
        store: ControlStore,
        mark_pod_stale: Callable[[str], None],
        enqueue: Callable[[TaskKey], None],
        clock: Callable[[], datetime],
    ) -> None:
        """`mark_pod_stale` has the pod with a UID looked at live: a PodControl goes with its pod."""
        self._store = store
        self._mark_pod_stale = mark_pod_stale
        self._enqueue = enqueue
        self._clock = clock

    def changed(self, _kind: str, event: str | None, raw: dict[str, Any]) -> None:
        """Take in a PodControl."""
        metadata = raw["metadata"]
        namespace = metadata["namespace"]
        if event == "DELETED":
            self._is_gone(namespace, metadata["name"], metadata["uid"])
        else:
            self._matters(namespace, self._store.put(raw, self._clock()))

    def missing(self, _kind: str, name: NamespacedName, uid: str) -> None:
        """Take in that a PodControl went while its watch was blind."""
        self._is_gone(name.namespace, name.name, uid)

    def heard(self, _kind: str, _namespace: str) -> None:
        """Take in a sign of life of a watch."""

    def failed(self, _kind: str, _namespace: str, _problem: str) -> None:
        """Take in that nothing is heard of the nodes now; the log has it already, and each stop goes on."""

    def skipped(self, _kind: str, _number: int = 1) -> None:
        """Take in that there is what cannot be read; the log has it already."""

    def _is_gone(self, namespace: str, name: str, uid: str) -> None:
        record = self._store.drop(namespace, name, uid)
        if record is not None:
            self._mark_pod_stale(name)
        self._matters(namespace, record)

    def _matters(self, namespace: str, record: ControlRecord | None) -> None:
        if record is not None:
            self._enqueue(TaskKey(namespace, record.task))
