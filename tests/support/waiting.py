"""Waiting for what comes about by itself, never longer than is said."""

import asyncio
from collections.abc import Callable
from typing import Any

PAUSE_SECONDS = 0.05


async def until(check: Callable[[], Any], seconds: float, what: str) -> None:
    """Wait until a check is true; raises AssertionError after the time. It may be a coroutine function."""
    try:
        async with asyncio.timeout(seconds):
            while True:
                result = check()
                if asyncio.iscoroutine(result):
                    result = await result
                if result:
                    return
                await asyncio.sleep(PAUSE_SECONDS)
    except TimeoutError:
        raise AssertionError(f"after {seconds} s still not: {what}") from None
