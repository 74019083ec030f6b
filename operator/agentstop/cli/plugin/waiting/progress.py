"""How far it has come: the same for one task, for many, and for an order."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from agentstop.cli.plugin.exit_codes import Exit


@dataclass(frozen=True, slots=True)
class Row:
    """One task that is not there yet."""

    namespace: str
    name: str
    phase: str
    detail: str
    """What it waits for, in a few words."""
    stalled: bool = False


@dataclass(frozen=True, slots=True)
class Progress:
    """How far it has come."""

    verb: str
    """What is going on, such as Stopping."""
    total: int | None
    """How many tasks it is about; None while nobody knows."""
    done: int = 0
    counts: Mapping[str, int] = field(default_factory=dict)
    """How the others ended, by words such as Graceful."""
    rows: tuple[Row, ...] = ()
    """What still runs; not all of it where it is a lot."""
    stalled: int = 0
    note: str | None = None
    """What else to know: nobody answers, nobody has taken it up."""


@dataclass(frozen=True, slots=True)
class Assessment:
    """What one look at the cluster says."""

    progress: Progress
    outcome: Exit | None = None
    """The exit code, once there is nothing to wait for."""
    problem: str | None = None
    """What went wrong, where the outcome is not OK."""
    held_up: str | None = None
    """Why it cannot go on as things are, while that is so."""
