"""A2A's records of tasks, as version 1.0 has them.

A stop that is on its way is `TASK_STATE_WORKING` with a status message; `TASK_STATE_CANCELED` is said with the proof in
hand. A task's UID is its id, its namespace the tenant, and the UID of the first of its family the context.
Source: https://a2a-protocol.org/v1.0.0/specification/
"""

import zlib
from collections.abc import Mapping
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, Final

from pydantic import BaseModel, ConfigDict
from pydantic.alias_generators import to_camel

from agentstop.api.meta import EARLIEST, parse_time
from agentstop.api.task import Phase
from agentstop.cluster.decoding import JsonObject
from agentstop.gateway.entry import Entry
from agentstop.gateway.tasks import Tasks
from agentstop.words.tasks import held_up

OURS: Final = "agentstop.dev"
"""The key of what we say of a task in its metadata."""

UNVERIFIED: Final = "The task was given up on: it is not proven that nothing of it runs."

_TIMES: Final = ("startedAt", "pausedAt", "finishedAt")
_STOP_TIMES: Final = ("acceptedAt", "signaledAt", "confirmedAt")


class State(StrEnum):
    """A2A's words for where a task is. We never say the last three: no task here takes messages, or is refused."""

    SUBMITTED = "TASK_STATE_SUBMITTED"
    WORKING = "TASK_STATE_WORKING"
    COMPLETED = "TASK_STATE_COMPLETED"
    FAILED = "TASK_STATE_FAILED"
    CANCELED = "TASK_STATE_CANCELED"
    INPUT_REQUIRED = "TASK_STATE_INPUT_REQUIRED"
    AUTH_REQUIRED = "TASK_STATE_AUTH_REQUIRED"
    REJECTED = "TASK_STATE_REJECTED"


_STATE: Final[Mapping[Phase, State]] = {
    Phase.PENDING: State.SUBMITTED,
    Phase.RUNNING: State.WORKING,
    Phase.PAUSING: State.WORKING,
    Phase.PAUSED: State.WORKING,
    Phase.STOPPING: State.WORKING,
    Phase.STOPPED: State.CANCELED,
    Phase.COMPLETED: State.COMPLETED,
    Phase.FAILED: State.FAILED,
}


def state_of(entry: Entry) -> State:
    """Return A2A's word for where a task is. A stop that was never proven has failed."""
    if entry.stopping:
        return State.WORKING
    return State.FAILED if entry.ended and not entry.proven else _STATE[entry.phase]


class Wire(BaseModel):
    """What is sent has names in camelCase, and leaves out what there is nothing of."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, frozen=True)

    def wire(self) -> JsonObject:
        """Return it as it is sent."""
        return self.model_dump(mode="json", by_alias=True, exclude_none=True)


class Part(Wire):
    """A piece of a message."""

    text: str


class Message(Wire):
    """Something that is said of a task."""

    message_id: str
    role: str = "ROLE_AGENT"
    parts: tuple[Part, ...]
    task_id: str
    context_id: str


class TaskStatus(Wire):
    """Where a task is, since when, and what there is to say of that."""

    state: State
    timestamp: str
    message: Message | None = None


class Task(Wire):
    """A task."""

    id: str
    context_id: str
    status: TaskStatus
    metadata: dict[str, Any]


class TaskList(Wire):
    """A part of the tasks."""

    tasks: tuple[Task, ...]
    next_page_token: str
    page_size: int
    total_size: int


def task(entry: Entry, tasks: Tasks) -> Task:
    """Return a task in A2A's words."""
    context, said = context_of(entry, tasks), _said(entry)
    message = None
    if said is not None:
        # The same words are the same message, whoever asks and how often.
        message_id = f"{entry.uid}-{zlib.crc32(said.encode(errors='replace')):08x}"
        parts = (Part(text=said),)
        message = Message(message_id=message_id, parts=parts, task_id=entry.uid, context_id=context)
    return Task(
        id=entry.uid,
        context_id=context,
        status=TaskStatus(state=state_of(entry), timestamp=written(changed_at(entry)), message=message),
        metadata={OURS: _facts(entry)},
    )


def context_of(entry: Entry, tasks: Tasks) -> str:
    """Return the UID of the first task of the family."""
    seen = {entry.uid}
    while (parent := tasks.parent(entry)) is not None and parent.uid not in seen:
        seen.add(parent.uid)
        entry = parent
    return entry.uid


def changed_at(entry: Entry) -> datetime:
    """Return when the task came to where it is; of an end, when that was proven."""
    return parse_time(change_key(entry)) or EARLIEST


def change_key(entry: Entry) -> str:
    """Return the same without reading it: such texts can be compared.

    A list is sorted by them, and to read six times of each task would take longer than all the rest.
    """
    status, stop = entry.status, entry.stop_record
    times = [entry.raw["metadata"].get("creationTimestamp")]
    times += [status.get(name) for name in _TIMES]
    times += [stop.get(name) for name in _STOP_TIMES] if stop else []
    return max((each.removesuffix("Z") for each in times if isinstance(each, str)), default="")


def written(moment: datetime) -> str:
    """Write a moment as A2A does: in UTC, with milliseconds."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _said(entry: Entry) -> str | None:
    """Return what there is to say of where a task is."""
    if entry.stopping:
        who = entry.stop_record.get("requestedBy")
        asked = f", asked for by {who}" if isinstance(who, str) and who else ""
        held = held_up(dict(entry.raw))
        why = f" It is held up: {held.message}" if held is not None and held.message else ""
        return f"A stop is on its way{asked}. It is not proven yet that nothing of the task runs.{why}"
    if entry.ended and not entry.proven:
        return UNVERIFIED
    if entry.phase is Phase.PAUSED:
        return "The task is frozen, and goes on where it was." if entry.frozen else "The task is paused."
    message = entry.status.get("message")
    return message if entry.ended and isinstance(message, str) and message else None


def _facts(entry: Entry) -> JsonObject:
    facts = {
        "namespace": entry.namespace,
        "name": entry.name,
        "agent": entry.agent,
        "phase": entry.phase.value,
        "manuallyStopped": entry.status.get("manuallyStopped"),
        "reason": entry.status.get("reason"),
        "requestedBy": entry.stop_record.get("requestedBy"),
        "verdict": entry.stop_record.get("verdict"),
    }
    return {name: value for name, value in facts.items() if value is not None}
