"""What both of Blackbox' APIs say of a task in the same way: times, and what went wrong."""

from datetime import UTC, datetime
from typing import Any, Final

from agentstop.api.meta import EARLIEST, parse_time
from agentstop.api.task import Phase
from agentstop.gateway.entry import Entry

STOPPED_BY_USER: Final = "Task was stopped by user"
UNVERIFIED: Final = "Task was given up on: it is not proven that nothing of it runs"


def stopped(entry: Entry) -> bool:
    """Whether it was stopped, and nothing of it runs any more."""
    return entry.phase is Phase.STOPPED and entry.proven


def failed(entry: Entry) -> bool:
    """Whether it has failed; so has a stop that was never proven."""
    return entry.phase is Phase.FAILED or (entry.phase is Phase.STOPPED and not entry.proven)


def progress(entry: Entry) -> int:
    """Return how far it is, in percent. We know of nothing between the beginning and the end."""
    return 100 if entry.phase is Phase.COMPLETED else 0


def error_of(entry: Entry) -> str | None:
    """Return what went wrong with a task. Blackbox takes a stop for an error, too."""
    if not entry.ended or entry.phase is Phase.COMPLETED:
        return None
    if entry.phase is Phase.STOPPED and not entry.proven:
        return UNVERIFIED
    if stopped(entry) and entry.status.get("manuallyStopped") is True:
        return STOPPED_BY_USER
    for name in ("message", "reason"):
        said = entry.status.get(name)
        if isinstance(said, str) and said:
            return said
    return "Task was stopped" if stopped(entry) else "Task failed"


def created(entry: Entry) -> datetime:
    """Return when it was made."""
    return entry.created_at or EARLIEST


def started(entry: Entry) -> datetime | None:
    """Return when it began to run."""
    return _moment(entry.status.get("startedAt"))


def completed(entry: Entry) -> datetime | None:
    """Return when its end was proven; Blackbox' own is when the stop was asked for."""
    if not entry.ended:
        return None
    return _moment(entry.stop_record.get("confirmedAt")) or _moment(entry.status.get("finishedAt"))


def updated(entry: Entry) -> datetime:
    """Return when something of it was last written down."""
    times = [entry.status.get(name) for name in ("finishedAt", "pausedAt", "startedAt")]
    times += [entry.stop_record.get(name) for name in ("confirmedAt", "signaledAt", "acceptedAt")]
    return max(filter(None, map(_moment, times)), default=created(entry))


def written(moment: datetime) -> str:
    """Write a moment as Blackbox does: in UTC, with milliseconds."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def written_or_none(moment: datetime | None) -> str | None:
    """Write a moment, if there is one."""
    return written(moment) if moment is not None else None


def _moment(value: Any) -> datetime | None:
    return parse_time(value) if isinstance(value, str) else None
