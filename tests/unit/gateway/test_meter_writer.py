"""Whose TaskUsage the meter adds to."""

import asyncio
from typing import Any, cast

import pytest

from agentstop.gateway.access import CallerAccess
from agentstop.gateway.callers import Caller
from agentstop.gateway.entry import Entry
from agentstop.gateway.errors import UnavailableError
from agentstop.gateway.meter.tally import Tally
from agentstop.gateway.meter.usage import Change
from agentstop.gateway.meter.writer import Writer
from tests.unit.objects import Raw, raw_task, when

OWNER: Raw = {"apiVersion": "agentstop.dev/v1alpha1", "kind": "AgentTask", "name": "x"}


class Served:
    """Has one TaskUsage, and takes what is written."""

    def __init__(self, metadata: Raw) -> None:
        self.found: Raw = {"metadata": {"uid": "u", "resourceVersion": "1", **metadata}, "spec": {}}
        self.written = 0

    async def call(self, _: Caller, method: str, *__: Any) -> Raw:
        self.written += method != "GET"
        return self.found


@pytest.mark.parametrize(
    ("metadata", "its_own"),
    [
        ({"ownerReferences": [OWNER | {"uid": "task-uid"}], "creationTimestamp": when(0)}, True),
        ({"ownerReferences": [OWNER | {"uid": "former"}], "creationTimestamp": when(20)}, False),
        ({"creationTimestamp": when(10)}, True),
        ({"creationTimestamp": when(9)}, False),
    ],
)
def test_nothing_is_added_where_it_would_not_count(metadata: Raw, its_own: bool) -> None:
    raw = raw_task({"podTemplate": {}})
    raw["metadata"] |= {"uid": "task-uid", "creationTimestamp": when(10)}
    served = Served(metadata)
    writer = Writer(cast("CallerAccess", served), "USD")
    change = Change(Tally(), None, "otel", "w", 1)
    writing = writer.write(Entry(raw), cast("Caller", None), change)
    if its_own:
        asyncio.run(writing)
    else:
        with pytest.raises(UnavailableError, match="was there before the task"):
            asyncio.run(writing)
    assert served.written == its_own
