"""Wexa's records of tasks and executions. Each task has one execution, whose id is the task's UID.

Wexa has no word for a stop that is on its way: the task is `running`, and our own field `stop_requested` says the rest.
Nor has it one for what a pause has done: our own field `frozen` says whether the task goes on where it was.
Times are seconds since 1970, with a fraction.
Source: https://developers.wexa.ai/get-task-by-id-16213406e0
"""

from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum
from typing import Final

from pydantic import BaseModel, Field

from agentstop.api.task import Phase
from agentstop.gateway.dialects.wexa.ids import NOBODY, agentflow_id, node_id, project_id, task_id
from agentstop.gateway.entry import Entry
from agentstop.gateway.tasks import Tasks


class Status(StrEnum):
    """Wexa's words for where a task or an execution is, as far as its documents and its SDK have them."""

    READY = "ready"
    RUNNING = "running"
    PAUSED = "paused"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"


_STATUS: Final[Mapping[Phase, Status]] = {
    Phase.PENDING: Status.READY,
    Phase.RUNNING: Status.RUNNING,
    Phase.PAUSING: Status.RUNNING,
    Phase.PAUSED: Status.PAUSED,
    Phase.STOPPING: Status.RUNNING,
    Phase.STOPPED: Status.CANCELLED,
    Phase.COMPLETED: Status.COMPLETED,
    Phase.FAILED: Status.FAILED,
}


def status_of(entry: Entry) -> Status:
    """Return Wexa's word for where a task is. A stop that was never proven has failed."""
    if entry.phase is Phase.STOPPED and not entry.proven:
        return Status.FAILED
    return _STATUS[entry.phase]


class ExecutionNode(BaseModel):
    """A node in the tree of executions."""

    execution_id: str
    id: str = Field(serialization_alias="_id")
    execution_type: str = "execution"
    children: tuple[str, ...]
    """Ids of the executions that it started itself."""


class Task(BaseModel):
    """A task, as Wexa shows one."""

    id: str = Field(serialization_alias="_id")
    project_id: str = Field(serialization_alias="projectID")
    created_at: float
    updated_at: float
    status: Status
    created_by: str = NOBODY
    execution_ids: tuple[str, ...]
    execution_nodes: tuple[ExecutionNode, ...]
    name: str
    stop_requested: bool
    frozen: bool


class TaskExecution(BaseModel):
    """The execution of a task, in the task's own record."""

    execution_id: str
    agentflow_id: str
    status: Status
    conclusion: None = None
    """What the agent came to: we know nothing of it."""


class TaskDetails(Task):
    """A task with its executions, as Wexa shows one that is asked for."""

    executions: tuple[TaskExecution, ...]


class ExecutionState(BaseModel):
    """What became of an execution that was to be paused, resumed or cancelled."""

    execution_id: str
    status: Status


class Execution(ExecutionState):
    """An execution, as Wexa shows one that is asked for."""

    id: str = Field(serialization_alias="_id")
    task_id: str
    project_id: str = Field(serialization_alias="projectID")
    agentflow_id: str
    parent_execution_id: str | None
    created_at: float
    end_time: float | None
    conclusion: None = None
    stop_requested: bool
    frozen: bool


def task(entry: Entry, tasks: Tasks) -> Task:
    """Return a task in Wexa's words."""
    children = tuple(each.uid for each in tasks.children(entry))
    return Task(
        id=task_id(entry.uid),
        project_id=project_id(entry.namespace),
        created_at=_seconds(entry.created_at) or 0.0,
        updated_at=_seconds(entry.changed_at) or 0.0,
        status=status_of(entry),
        execution_ids=(entry.uid,),
        execution_nodes=(ExecutionNode(execution_id=entry.uid, id=node_id(entry.uid), children=children),),
        name=entry.name,
        stop_requested=_stop_requested(entry),
        frozen=entry.frozen,
    )


def task_details(entry: Entry, tasks: Tasks) -> TaskDetails:
    """Return a task with its executions in Wexa's words."""
    one = TaskExecution(
        execution_id=entry.uid, agentflow_id=agentflow_id(entry.namespace, entry.agent), status=status_of(entry)
    )
    return TaskDetails(**dict(task(entry, tasks)), executions=(one,))


def execution(entry: Entry, tasks: Tasks) -> Execution:
    """Return a task's execution in Wexa's words."""
    parent = tasks.parent(entry)
    return Execution(
        execution_id=entry.uid,
        status=status_of(entry),
        id=node_id(entry.uid),
        task_id=task_id(entry.uid),
        project_id=project_id(entry.namespace),
        agentflow_id=agentflow_id(entry.namespace, entry.agent),
        parent_execution_id=parent.uid if parent is not None else None,
        created_at=_seconds(entry.created_at) or 0.0,
        end_time=_seconds(entry.ended_at),
        stop_requested=_stop_requested(entry),
        frozen=entry.frozen,
    )


def _stop_requested(entry: Entry) -> bool:
    return entry.stopping or entry.stop_requested


def _seconds(moment: datetime | None) -> float | None:
    return moment.timestamp() if moment is not None else None
