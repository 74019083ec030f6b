"""How many bodies with signals are read at one time, and whose."""

from contextlib import AsyncExitStack
from typing import cast

import pytest
from prometheus_client import CollectorRegistry

from agentstop.gateway.access import CallerAccess
from agentstop.gateway.callers import impersonated
from agentstop.gateway.errors import TooManyRequestsError
from agentstop.gateway.index import TaskIndex
from agentstop.gateway.meter.config import MeterFile
from agentstop.gateway.meter.meter import MAX_BODIES, MAX_BODIES_OF_ONE, Meter

CALLERS = [impersonated(name, name, ()) for name in ("slow", "jane", "joe")]


async def test_who_sends_slowly_keeps_nobody_else_from_being_heard() -> None:
    meter = Meter(MeterFile(), None, TaskIndex(), cast("CallerAccess", None), CollectorRegistry())
    slow, jane, joe = CALLERS
    async with AsyncExitStack() as stack:
        for _ in range(MAX_BODIES_OF_ONE):
            await stack.enter_async_context(meter.body(slow))
        with pytest.raises(TooManyRequestsError):
            await stack.enter_async_context(meter.body(slow))
        for _ in range(MAX_BODIES - MAX_BODIES_OF_ONE):
            await stack.enter_async_context(meter.body(jane))
        with pytest.raises(TooManyRequestsError):
            await stack.enter_async_context(meter.body(joe))
    for _ in range(MAX_BODIES + 1):
        async with meter.body(slow):
            pass
