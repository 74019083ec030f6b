"""What the nodes were asked for, and what they answered: a small record of each PodControl."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from agentstop.cluster.object_store import is_newer
from agentstop.workloads.objects import ControlRecord
from agentstop.workloads.pods.controls import read_control


class ControlStore:
    """The newest known PodControls, by the namespaces and the UIDs of their pods."""

    def __init__(self) -> None:
        self._records: dict[tuple[str, str], ControlRecord] = {}

    @property
    def records(self) -> Mapping[tuple[str, str], ControlRecord]:
        """All of them; always current."""
        return self._records

    def put(self, raw: Mapping[str, Any], now: datetime) -> ControlRecord | None:
        """Take in a PodControl; None if something newer is known already."""
        key = raw["metadata"]["namespace"], raw["metadata"]["name"]
        known = self._records.get(key)
        if known is not None and not is_newer(raw["metadata"]["resourceVersion"], known.resource_version):
            return None
        same = known if known is not None and known.uid == raw["metadata"]["uid"] else None
        record = self._records[key] = read_control(raw, now, same)
        return record

    def drop(self, namespace: str, name: str, uid: str) -> ControlRecord | None:
        """Forget one that is gone, and return what was known of it."""
        known = self._records.get((namespace, name))
        return self._records.pop((namespace, name)) if known is not None and known.uid == uid else None
