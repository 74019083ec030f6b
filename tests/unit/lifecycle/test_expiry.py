"""What is left to be done about what is over."""

from datetime import datetime

import pytest

from agentstop.lifecycle.effects import DeleteObject, ObjectEffect, RemoveFinalizer
from agentstop.lifecycle.expiry import after_the_end
from tests.unit.objects import at

ENDED = at(0)


@pytest.mark.parametrize(
    ("ended_at", "seconds", "now", "deleting", "effects", "wake_at"),
    [
        (ENDED, None, at(999), False, (), None),
        (ENDED, 60, at(59), False, (), at(60)),
        (ENDED, 60, at(60), False, (DeleteObject(),), None),
        (ENDED, 0, at(0), False, (DeleteObject(),), None),
        (ENDED, 60, at(99), True, (), None),
        (None, 60, at(99), False, (), None),
    ],
    ids=["kept", "not yet", "now", "at once", "on its way already", "not over"],
)
@pytest.mark.parametrize("protected", [False, True])
def test_the_finalizer_goes_first_and_the_object_in_its_time(
    ended_at: datetime | None,
    seconds: int | None,
    now: datetime,
    deleting: bool,
    effects: tuple[ObjectEffect, ...],
    wake_at: datetime | None,
    protected: bool,
) -> None:
    found = after_the_end(protected=protected, deleting=deleting, ended_at=ended_at, ttl_seconds=seconds, now=now)
    assert found == ((RemoveFinalizer(),) * protected + effects, wake_at)
