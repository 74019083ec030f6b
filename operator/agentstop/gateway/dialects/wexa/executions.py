"""Wexa's executions.

Its documents cancel one by a POST to the execution itself, its SDK by one to /cancel; the documents' own examples leave
the id in the path empty and have it in the body alone. All of it works.
Source: https://developers.wexa.ai/cancel-executeflow-16213387e0
"""

from typing import Final

from aiohttp import web

from agentstop.gateway.dialect import Call, Route
from agentstop.gateway.dialects.wexa.records import ExecutionState, Status, execution, status_of
from agentstop.gateway.dialects.wexa.requests import answer, paused, read_body, resumed, task_ref
from agentstop.gateway.dialects.wexa.tasks import CREATED
from agentstop.gateway.entry import Entry
from agentstop.gateway.errors import InvalidError, InvalidIdError


async def cancel(call: Call) -> web.StreamResponse:
    """POST /execute_flow/{id}/cancel: also of one that has ended, which stays as it is."""
    return _state((await call.tasks.stop(await _named(call))).now)


async def pause(call: Call) -> web.StreamResponse:
    """POST /execute_flow/{id}/pause."""
    return _state(await paused(call, await _named(call)))


async def resume(call: Call) -> web.StreamResponse:
    """POST /execute_flow/{id}/resume: Wexa's word for one that may go on is `ready`."""
    now = await resumed(call, await _named(call))
    may_go_on = not (now.ended or now.stopping or now.kept_frozen_by)
    return _state(now, Status.READY if may_go_on else status_of(now))


async def show(call: Call) -> web.StreamResponse:
    """GET /execute_flow/{id}."""
    return answer(execution(await call.tasks.get(task_ref(call.params["execution_id"])), call.tasks))


async def _named(call: Call) -> str:
    """Return the execution that the path names, or the body where the path is empty. Raises InvalidError and others."""
    inner, outer = (await read_body(call)).execution_id, call.params["execution_id"]
    if not outer and not inner:
        raise InvalidIdError("neither the path nor the body names an execution", where=("path", "id"))
    if outer and inner and task_ref(outer) != task_ref(inner):
        raise InvalidError("the body names another execution than the path", where=("body", "execution_id"))
    return task_ref(outer or inner or "")


def _state(entry: Entry, status: Status | None = None) -> web.Response:
    return answer(ExecutionState(execution_id=entry.uid, status=status or status_of(entry)), CREATED)


_ONE: Final = "/execute_flow/{execution_id:[^/]*}"

ROUTES: Final = (
    Route("POST", f"{_ONE}/cancel", cancel),
    Route("POST", _ONE, cancel),
    Route("POST", f"{_ONE}/pause", pause),
    Route("POST", f"{_ONE}/resume", resume),
    Route("GET", _ONE, show),
)
