"""The two versions of A2A, and how a task looks in each.

Source: https://a2a-protocol.org/v0.3.0/specification/
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from aiohttp import web

from agentstop.cluster.decoding import JsonObject
from agentstop.gateway.dialects.a2a.records import Message, State, Task, TaskStatus

VERSION_HEADER: Final = "A2A-Version"


class Version(StrEnum):
    """Versions that are spoken."""

    V1_0 = "1.0"
    V0_3 = "0.3"


def named_version(request: web.BaseRequest) -> str:
    """Return the version that a request names, without its patch; empty where it names none."""
    given = request.headers.get(VERSION_HEADER) or request.query.get(VERSION_HEADER) or ""
    return ".".join(given.strip().split(".")[:2])


@dataclass(frozen=True, slots=True)
class Form:
    """How a task, and a change of it, are written."""

    task: Callable[[Task], JsonObject]
    begun: Callable[[Task], JsonObject]
    """The first event of a stream."""
    changed: Callable[[Task], JsonObject]
    """Each further one."""


# 1.0


def _update(task: Task) -> JsonObject:
    return {
        "taskId": task.id,
        "contextId": task.context_id,
        "status": task.status.wire(),
        "metadata": task.metadata,
    }


CURRENT: Final = Form(
    task=Task.wire,
    begun=lambda task: {"task": task.wire()},
    changed=lambda task: {"statusUpdate": _update(task)},
)


# 0.3: small words over JSON-RPC, and other names for some things over HTTP+JSON

ENDS: Final = frozenset({State.COMPLETED, State.FAILED, State.CANCELED, State.REJECTED})

_SMALL: Final[Mapping[State, str]] = {
    each: each.removeprefix("TASK_STATE_").lower().replace("_", "-") for each in State
}
_CANCELLED: Final = "TASK_STATE_CANCELLED"


def _old_rpc_status(status: TaskStatus) -> JsonObject:
    found: JsonObject = {"state": _SMALL[status.state], "timestamp": status.timestamp}
    if status.message is not None:
        parts = [{"kind": "text", "text": each.text} for each in status.message.parts]
        found["message"] = {**_old_message(status.message), "kind": "message", "role": "agent", "parts": parts}
    return found


def _old_rest_status(status: TaskStatus) -> JsonObject:
    state = _CANCELLED if status.state is State.CANCELED else status.state.value
    found: JsonObject = {"state": state, "timestamp": status.timestamp}
    if status.message is not None:
        content = [{"text": each.text} for each in status.message.parts]
        found["message"] = {**_old_message(status.message), "role": status.message.role, "content": content}
    return found


def _old_message(message: Message) -> JsonObject:
    return {"messageId": message.message_id, "taskId": message.task_id, "contextId": message.context_id}


def _old_task(task: Task, status: JsonObject) -> JsonObject:
    return {"id": task.id, "contextId": task.context_id, "status": status, "metadata": task.metadata}


def _old_update(task: Task, status: JsonObject) -> JsonObject:
    return {**_update(task), "status": status, "final": task.status.state in ENDS}


def _old_rpc_task(task: Task) -> JsonObject:
    return {"kind": "task", **_old_task(task, _old_rpc_status(task.status))}


OLD_RPC: Final = Form(
    task=_old_rpc_task,
    begun=_old_rpc_task,
    changed=lambda task: {"kind": "status-update", **_old_update(task, _old_rpc_status(task.status))},
)

OLD_REST: Final = Form(
    task=lambda task: _old_task(task, _old_rest_status(task.status)),
    begun=lambda task: {"task": _old_task(task, _old_rest_status(task.status))},
    changed=lambda task: {"statusUpdate": _old_update(task, _old_rest_status(task.status))},
)
