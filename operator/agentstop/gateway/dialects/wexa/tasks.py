"""Wexa's tasks.

A stop that comes again is answered like the first one: the SDK sends each of its requests up to three times.
Source: https://developers.wexa.ai/get-task-by-id-16213406e0
"""

from typing import Final

from aiohttp import web

from agentstop.gateway.dialect import Call, Route
from agentstop.gateway.dialects.wexa.ids import NOBODY
from agentstop.gateway.dialects.wexa.records import task, task_details
from agentstop.gateway.dialects.wexa.requests import (
    answer,
    array,
    list_query,
    namespace_of,
    paused,
    read_body,
    resumed,
    task_ref,
)

CREATED: Final = 201
"""Wexa's code for what was done to a task."""


async def stop(call: Call) -> web.StreamResponse:
    """POST /task/{id}/stop: also of a task that has ended, which stays as it is."""
    ref = await _changed(call)
    return answer(task((await call.tasks.stop(ref)).now, call.tasks), CREATED)


async def pause(call: Call) -> web.StreamResponse:
    """POST /task/{id}/pause."""
    return answer(task(await paused(call, await _changed(call)), call.tasks), CREATED)


async def resume(call: Call) -> web.StreamResponse:
    """POST /task/{id}/resume."""
    return answer(task(await resumed(call, await _changed(call)), call.tasks), CREATED)


async def show(call: Call) -> web.StreamResponse:
    """GET /task/{id}."""
    return answer(task_details(await call.tasks.get(task_ref(call.params["task_id"])), call.tasks))


async def show_all(call: Call) -> web.StreamResponse:
    """GET /tasks/{projectID}: the newest first."""
    wanted = list_query(call)
    found = await call.tasks.list_visible(
        lambda _: wanted.created_by in {None, NOBODY},  # of no task it is known who made it
        namespace=namespace_of(call),
        offset=wanted.skip,
        limit=wanted.limit,
    )
    return array([task(each, call.tasks) for each in found.items])


async def _changed(call: Call) -> str:
    """Return the task that is to be changed, once the whole request is seen to be in order."""
    ref = task_ref(call.params["task_id"])
    await read_body(call)
    return ref


ROUTES: Final = (
    Route("POST", "/task/{task_id}/stop", stop),
    Route("POST", "/task/{task_id}/pause", pause),
    Route("POST", "/task/{task_id}/resume", resume),
    Route("GET", "/task/{task_id}", show),
    Route("GET", "/tasks/{project_id}", show_all),
)
