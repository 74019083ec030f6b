"""xpander's REST API for tasks.

Source: https://docs.xpander.ai/api-reference/v1/tasks/stop-task
"""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Final

from aiohttp import web

from agentstop.gateway.dialect import Call, Route
from agentstop.gateway.dialects.xpander.records import ListPage, execution, internal_status_of, list_item, status_of
from agentstop.gateway.dialects.xpander.requests import ListQuery, answer, list_query, task_ref
from agentstop.gateway.entry import Entry
from agentstop.gateway.tasks import Tasks


async def stop(call: Call) -> web.StreamResponse:
    """POST /v1/tasks/{task_id}/stop: also of a task that has ended, which stays as it is."""
    outcome = await call.tasks.stop(await task_ref(call))
    return answer(execution(outcome.now, call.tasks))


async def show(call: Call) -> web.StreamResponse:
    """GET /v1/tasks/{task_id}."""
    return answer(execution(await call.tasks.get(await task_ref(call)), call.tasks))


async def delete(call: Call) -> web.StreamResponse:
    """DELETE /v1/tasks/{task_id}: stops the task and all below it, and removes them."""
    await call.tasks.delete(await task_ref(call))
    return web.Response(status=204)


async def show_all(call: Call) -> web.StreamResponse:
    """GET /v1/tasks, page by page."""
    wanted = list_query(call)
    offset = (wanted.page - 1) * wanted.per_page
    found = await call.tasks.list_visible(keep_by(wanted, call.tasks), offset=offset, limit=wanted.per_page)
    return answer(
        ListPage(
            items=tuple(list_item(each, call.tasks) for each in found.items),
            total=found.total,
            page=wanted.page,
            per_page=wanted.per_page,
            total_pages=-(-found.total // wanted.per_page),
        )
    )


def keep_by(wanted: ListQuery, tasks: Tasks) -> Callable[[Entry], bool]:
    """Return whether a task is among those that are asked for."""
    since, until = _moment(wanted.from_date), _moment(wanted.to_date)

    def keep(entry: Entry) -> bool:
        created = entry.created_at
        family = wanted.parent_task_id is not None or wanted.triggering_agent_id is not None
        parent = tasks.parent(entry) if family else None
        return (
            wanted.user_id is None  # of no task it is known whose it is
            and wanted.agent_id in {None, entry.agent}
            and wanted.status in {None, status_of(entry)}
            and wanted.internal_status in {None, internal_status_of(entry)}
            and (wanted.parent_task_id is None or (parent is not None and parent.uid == wanted.parent_task_id.lower()))
            and (
                wanted.triggering_agent_id is None
                or (parent is not None and parent.agent == wanted.triggering_agent_id)
            )
            and (since is None or (created is not None and created >= since))
            and (until is None or (created is not None and created <= until))
        )

    return keep


def _moment(value: datetime | None) -> datetime | None:
    return value.replace(tzinfo=UTC) if value is not None and value.tzinfo is None else value


ROUTES: Final = (
    Route("POST", "/v1/tasks/{task_id}/stop", stop),
    Route("GET", "/v1/tasks/{task_id}", show),
    Route("DELETE", "/v1/tasks/{task_id}", delete),
    Route("GET", "/v1/tasks", show_all),
)
