"""What xpander's SDK sends, which is another API than the one that is documented.

A DELETE stops the task and keeps its record. A worker of the SDK's PATCHes the whole record that it once got, with the
status that it believes in: nothing of it moves a task, neither backwards nor out of its end.
"""

from typing import Final

from aiohttp import web
from pydantic import BaseModel

from agentstop.gateway.dialect import Call, Handler, Route
from agentstop.gateway.dialects.xpander.records import AgentExecution, execution, list_item, now
from agentstop.gateway.dialects.xpander.requests import answer, array, check_organization, list_query, task_ref
from agentstop.gateway.dialects.xpander.rest import keep_by
from agentstop.gateway.entry import Entry

MAX_HISTORY: Final = 1000
"""So many tasks are in one history, the newest ones: it has no pages."""


class Event(BaseModel):
    """One event of a task."""

    type: str
    task_id: str
    organization_id: str
    time: str
    data: AgentExecution


async def stop(call: Call) -> web.StreamResponse:
    """DELETE /agent-execution/{task_id}."""
    ref = await task_ref(call)
    if "organization_id" in call.params:
        await _readable(call, ref)
    return answer(execution((await call.tasks.stop(ref)).now, call.tasks))


async def show(call: Call) -> web.StreamResponse:
    """GET /agent-execution/{task_id}/status."""
    return answer(execution(await _readable(call, await task_ref(call)), call.tasks))


async def update(call: Call) -> web.StreamResponse:
    """PATCH /agent-execution/{task_id}/update: is read, and has no effect."""
    await call.body()
    return await show(call)


async def history(call: Call) -> web.StreamResponse:
    """GET /agent-execution/executions/history/{agent_id}."""
    wanted = list_query(call).model_copy(update={"agent_id": call.params["agent_id"]})
    namespace = call.params.get("organization_id", "")
    found = await call.tasks.list_visible(keep_by(wanted, call.tasks), namespace=namespace, limit=MAX_HISTORY)
    return array([list_item(each, call.tasks) for each in found.items])


async def history_of_user(call: Call) -> web.StreamResponse:
    """GET /agent-execution/executions/history/user/{user_id}: of no task it is known whose it is."""
    list_query(call)
    return array([])


async def events(call: Call) -> web.StreamResponse:
    """GET /{organization_id}/agent-execution/{task_id}/events: each change, until the task's end."""
    entry = await _readable(call, await task_ref(call))
    async with call.core.streams.open(call.request) as stream:
        kind = "connected"
        async for each in call.tasks.follow(entry):
            if each is None:
                await stream.beat()
                continue
            if kind == "connected":
                await stream.send(_event(call, kind, each), kind=kind)
            kind = "task_finished" if each.ended else "task_updated"
            await stream.send(_event(call, kind, each), kind=kind)
    return stream.response


def _event(call: Call, kind: str, entry: Entry) -> str:
    return Event(
        type=kind,
        task_id=entry.uid,
        organization_id=entry.namespace,
        time=now(),
        data=execution(entry, call.tasks),
    ).model_dump_json()


async def _readable(call: Call, ref: str) -> Entry:
    entry = await call.tasks.get(ref)
    check_organization(call, entry.namespace)
    return entry


_ROUTES: Final[tuple[tuple[str, str, Handler], ...]] = (
    ("DELETE", "/agent-execution/{task_id}", stop),
    ("GET", "/agent-execution/{task_id}/status", show),
    ("PATCH", "/agent-execution/{task_id}/update", update),
    ("GET", "/agent-execution/{task_id}/events", events),
    ("GET", "/agent-execution/executions/history/{agent_id}", history),
    ("GET", "/agent-execution/executions/history/user/{user_id}", history_of_user),
)

ROUTES: Final = (
    *(Route(*each) for each in _ROUTES),
    # The SDK puts the organization before them, for its agent controller, and always for events.
    *(Route(method, f"/{{organization_id}}{path}", handler) for method, path, handler in _ROUTES),
)
