"""xpander's records of tasks.

A stop that is on its way is `executing` with `is_manually_stopped: true` and `internal_status: "stopping"`; `stopped`
is said with the proof in hand. A namespace is an organization, a task's UID its id.
Source: https://docs.xpander.ai/api-reference/v1/tasks/get-task
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, Final

from pydantic import BaseModel, Field

from agentstop.api.meta import EARLIEST, format_time, parse_time
from agentstop.api.task import Phase
from agentstop.gateway.entry import Entry
from agentstop.gateway.tasks import Tasks

STOPPING: Final = "stopping"
FROZEN: Final = "frozen"
UNVERIFIED: Final = "unverified"


class Status(StrEnum):
    """xpander's words for where a task is. We never say `error`: its clients wait on after it."""

    PENDING = "pending"
    EXECUTING = "executing"
    PAUSED = "paused"
    ERROR = "error"
    FAILED = "failed"
    COMPLETED = "completed"
    STOPPED = "stopped"


_STATUS: Final[Mapping[Phase, Status]] = {
    Phase.PENDING: Status.PENDING,
    Phase.RUNNING: Status.EXECUTING,
    Phase.PAUSING: Status.EXECUTING,
    Phase.PAUSED: Status.PAUSED,
    Phase.STOPPING: Status.EXECUTING,
    Phase.STOPPED: Status.STOPPED,
    Phase.COMPLETED: Status.COMPLETED,
    Phase.FAILED: Status.FAILED,
}


def status_of(entry: Entry) -> Status:
    """Return xpander's word for where a task is. A stop that was never proven has failed."""
    if entry.phase is Phase.STOPPED and not entry.proven:
        return Status.FAILED
    return _STATUS[entry.phase]


def internal_status_of(entry: Entry) -> str:
    """Return what xpander's own word does not say: the phase in small letters, `stopping`, `frozen`, `unverified`."""
    if entry.stopping:
        return STOPPING
    if entry.frozen:
        return FROZEN
    return UNVERIFIED if entry.ended and not entry.proven else entry.phase.lower()


class Input(BaseModel):
    """What the task was given. We know nothing of it; clients cannot do without."""

    text: str = ""
    files: tuple[str, ...] = ()
    user: None = None


class Tokens(BaseModel):
    """How many tokens were used."""

    completion_tokens: int = 0
    prompt_tokens: int = 0
    total_tokens: int = 0


class AgentExecution(BaseModel):
    """A task, as xpander shows one."""

    id: str
    agent_id: str
    organization_id: str
    input: Input = Field(default_factory=Input)
    status: Status
    internal_status: str
    created_at: str
    started_at: str | None
    paused_at: str | None
    finished_at: str | None
    result: str | None = None
    parent_execution: str | None
    sub_executions: tuple[str, ...]
    finished_sub_executions: tuple[str, ...]
    is_manually_stopped: bool
    source: str = "api"
    title: str
    execution_attempts: int
    events_streaming: bool = True
    tokens: Tokens | None


class ListItem(BaseModel):
    """A task, as xpander's lists show one."""

    id: str
    agent_id: str
    organization_id: str
    status: Status
    user_id: str | None = None
    parent_task_id: str | None
    triggering_agent_id: str | None
    created_at: str
    updated_at: str
    source_node_type: str | None = None
    result: str | None = None
    title: str


class ListPage(BaseModel):
    """One page of tasks."""

    items: tuple[ListItem, ...]
    total: int
    page: int
    per_page: int
    total_pages: int


def execution(entry: Entry, tasks: Tasks) -> AgentExecution:
    """Return a task in xpander's words."""
    status, parent, children = entry.status, tasks.parent(entry), tasks.children(entry)
    return AgentExecution(
        id=entry.uid,
        agent_id=entry.agent or "",
        organization_id=entry.namespace,
        status=status_of(entry),
        internal_status=internal_status_of(entry),
        created_at=format_time(entry.created_at or EARLIEST),
        started_at=_time(status.get("startedAt")),
        paused_at=_time(status.get("pausedAt")),
        finished_at=_written(entry.ended_at),  # xpander's own is when the stop was asked for
        parent_execution=parent.uid if parent is not None else None,
        sub_executions=tuple(each.uid for each in children),
        finished_sub_executions=tuple(each.uid for each in children if each.ended),
        is_manually_stopped=status.get("manuallyStopped") is True or (entry.stopping and entry.stop_requested),
        title=entry.name,
        execution_attempts=max(1, _number(status.get("attempts"))),
        tokens=_tokens(status.get("usage")),
    )


def list_item(entry: Entry, tasks: Tasks) -> ListItem:
    """Return a task as a list shows it."""
    parent = tasks.parent(entry)
    return ListItem(
        id=entry.uid,
        agent_id=entry.agent or "",
        organization_id=entry.namespace,
        status=status_of(entry),
        parent_task_id=parent.uid if parent is not None else None,
        triggering_agent_id=parent.agent if parent is not None else None,
        created_at=format_time(entry.created_at or EARLIEST),
        updated_at=format_time(entry.changed_at or EARLIEST),
        title=entry.name,
    )


def now() -> str:
    """Return the time, as xpander writes it."""
    return format_time(datetime.now(UTC))


def _time(value: Any) -> str | None:
    return _written(parse_time(value)) if isinstance(value, str) else None


def _written(moment: datetime | None) -> str | None:
    return format_time(moment) if moment is not None else None


def _number(value: Any) -> int:
    return value if isinstance(value, int) else 0


def _tokens(usage: Any) -> Tokens | None:
    total = usage.get("totalTokens") if isinstance(usage, dict) else None
    return Tokens(total_tokens=total) if isinstance(total, int) else None
