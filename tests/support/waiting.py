"""Waiting for what comes about by itself, never longer than is said."""

import asyncio
import time
from collections.abc import Callable
from typing import Any

PATIENCE = 120.0
"""Seconds for what has to come about, on a machine however busy. A test that passes never waits so long: a limit of
its own is for what must not take longer, not for what need not."""

MIN_PAUSE_SECONDS = 0.05
MAX_PAUSE_SECONDS = 0.3
SHARE = 0.1
"""The longer something is waited for already, the less often it is looked at: what looks takes time from what is
awaited. So much of the time may have passed in vain in the end."""


async def until(check: Callable[[], Any], seconds: float, what: str) -> None:
    """Wait until a check is true; raises AssertionError after the time. It may be a coroutine function."""
    began = time.monotonic()
    try:
        async with asyncio.timeout(seconds):
            while True:
                result = check()
                if asyncio.iscoroutine(result):
                    result = await result
                if result:
                    return
                pause = SHARE * (time.monotonic() - began)
                await asyncio.sleep(min(max(pause, MIN_PAUSE_SECONDS), MAX_PAUSE_SECONDS))
    except TimeoutError:
        raise AssertionError(f"after {seconds} s still not: {what}") from None
