"""How long a request has waited for what an agent does: that tells nothing of how quick the gateway is."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass


@dataclass(slots=True)
class Waited:
    """What one request has waited for so far."""

    seconds: float = 0.0


_current: ContextVar[Waited | None] = ContextVar("waited", default=None)


@contextmanager
def counted() -> Iterator[Waited]:
    """Count the waits within the block, those of its asyncio tasks too; of waits at the same time each counts."""
    waited = Waited()
    token = _current.set(waited)
    try:
        yield waited
    finally:
        _current.reset(token)


@contextmanager
def waiting() -> Iterator[None]:
    """Have the block counted as a wait."""
    begun = time.perf_counter()
    try:
        yield
    finally:
        waited = _current.get()
        if waited is not None:
            waited.seconds += time.perf_counter() - begun
