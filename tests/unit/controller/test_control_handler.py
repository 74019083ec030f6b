"""What the nodes answer has the task decided on that is meant."""

from typing import Any

import pytest

from agentstop.api.pod_control import CONTROL_KIND
from agentstop.cluster.control_store import ControlStore
from agentstop.cluster.family_index import TaskKey
from agentstop.cluster.large_objects import NamespacedName
from agentstop.controller.control_handler import ControlHandler
from tests.unit.objects import NOW

UID = "0b51c2c5-4f80-4a2b-9d4d-3b1d8a1f6a01"
KEY = TaskKey("ns", "x")


class Place:
    def __init__(self) -> None:
        self.store = ControlStore()
        self.queued: list[TaskKey] = []
        self.doubted: list[str] = []
        self.handler = ControlHandler(self.store, self.doubted.append, self.queued.append, lambda: NOW)

    def told(self, event: str | None, version: int = 1, uid: str = "control") -> list[TaskKey]:
        metadata = {"namespace": "ns", "name": UID, "uid": uid, "resourceVersion": str(version)}
        raw: dict[str, Any] = {"metadata": metadata, "spec": {"taskName": "x", "nodeName": "n", "state": "Killed"}}
        self.queued.clear()
        self.handler.changed(CONTROL_KIND, event, raw)
        return list(self.queued)


@pytest.fixture
def place() -> Place:
    return Place()


def test_each_news_is_decided_on_and_nothing_twice(place: Place) -> None:
    assert place.told(None) == [KEY]
    assert place.told("MODIFIED") == []
    assert place.told("MODIFIED", 2) == [KEY]


def test_one_that_is_gone_is_asked_for_again_if_it_is_needed(place: Place) -> None:
    place.told("ADDED")
    assert place.told("DELETED", uid="another") == []
    assert place.told("DELETED") == [KEY]
    assert not place.store.records
    place.told("ADDED")
    place.queued.clear()
    place.handler.missing(CONTROL_KIND, NamespacedName("ns", UID), "control")
    assert place.queued == [KEY]


def test_its_pod_is_looked_at_before_since_it_goes_with_that(place: Place) -> None:
    place.told("ADDED")
    place.told("DELETED", uid="another")
    assert place.doubted == []
    place.told("DELETED")
    assert place.doubted == [UID]
    place.handler.missing(CONTROL_KIND, NamespacedName("ns", UID), "control")
    assert place.doubted == [UID], "it was known to be gone"


def test_a_cluster_without_the_kind_is_no_trouble(place: Place) -> None:
    place.handler.failed(CONTROL_KIND, "", "the server could not find the requested resource")
    place.handler.skipped(CONTROL_KIND)
    place.handler.heard(CONTROL_KIND, "")
    assert place.queued == []
