"""What comes of orders and namespaces goes into the index and the queues; which order has its turn first."""

import pytest

from agentstop.cluster.orders import read_order
from agentstop.cluster.queue import Priority
from agentstop.controller.stop_order_handler import priority_of_order
from tests.unit.objects import Raw, raw_order, when

STOPPING: Raw = {"phase": "Stopping", "startedAt": when(0)}


@pytest.mark.parametrize(
    ("spec", "status", "metadata", "priority"),
    [
        ({}, {}, {}, Priority.STOP),
        ({}, STOPPING, {}, Priority.MASS),
        ({"drill": True}, {}, {}, Priority.NORMAL),
        ({"hold": True}, {"phase": "Holding", "startedAt": when(0), "finishedAt": when(1)}, {}, Priority.NORMAL),
        ({}, {"phase": "Complete", "startedAt": when(0), "finishedAt": when(1)}, {}, Priority.NORMAL),
        ({}, {}, {"deletionTimestamp": when(1), "finalizers": ["x/y"]}, Priority.NORMAL),
    ],
    ids=["nobody has accepted it", "it stops", "a drill", "it holds", "it is over", "it was withdrawn"],
)
def test_who_is_to_be_accepted_comes_first(spec: Raw, status: Raw, metadata: Raw, priority: Priority) -> None:
    assert priority_of_order(read_order(raw_order(spec, status, **metadata))) is priority


def test_what_is_gone_has_no_hurry() -> None:
    assert priority_of_order(None) is Priority.NORMAL
