"""What is left to be done about a task or an order that is over."""

from datetime import datetime, timedelta

from agentstop.lifecycle.effects import DeleteObject, ObjectEffect, RemoveFinalizer


def after_the_end(
    *, protected: bool, deleting: bool, ended_at: datetime | None, ttl_seconds: int | None, now: datetime
) -> tuple[tuple[ObjectEffect, ...], datetime | None]:
    """Return what is to be done about an object that is over, and when to look again, if there is anything to come.

    `protected` is whether our finalizer is on it, `ttl_seconds` how long it is to be kept after its end; None is for
    ever.
    """
    effects: list[ObjectEffect] = [RemoveFinalizer()] if protected else []
    if ttl_seconds is None or ended_at is None or deleting:
        return tuple(effects), None
    due = ended_at + timedelta(seconds=ttl_seconds)
    if due > now:
        return tuple(effects), due
    return (*effects, DeleteObject()), None
