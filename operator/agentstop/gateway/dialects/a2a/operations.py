"""What can be asked of tasks over A2A, whatever the binding and the version."""

import base64
import binascii
import heapq
import json
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from operator import itemgetter
from typing import Any, Final, TypeVar

from aiohttp import web
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic.alias_generators import to_camel

from agentstop.cluster.decoding import JsonObject
from agentstop.gateway.dialect import Call, task_id_of
from agentstop.gateway.dialects.a2a.errors import NotCancelableError, UnsupportedOperationError
from agentstop.gateway.dialects.a2a.records import (
    State,
    Task,
    TaskList,
    change_key,
    changed_at,
    context_of,
    state_of,
    task,
)
from agentstop.gateway.dialects.a2a.versions import Form
from agentstop.gateway.entry import Entry
from agentstop.gateway.errors import ForbiddenError, InvalidError, NotFoundError
from agentstop.gateway.streams import EventStream

WAIT_SECONDS: Final = 4.0
"""So long a stop's answer waits at most: A2A's own client gives up after five seconds."""

MAX_TOKEN: Final = 400

P = TypeVar("P", bound=BaseModel)


class Params(BaseModel):
    """What a request says. What we do not know is let be."""

    model_config = ConfigDict(alias_generator=to_camel, extra="ignore", frozen=True)

    tenant: str | None = None


class TaskParams(Params):
    """Which task is meant."""

    id: str
    metadata: dict[str, Any] | None = None
    history_length: int | None = Field(None, ge=0)
    """There is no history."""


class ListParams(Params):
    """Which tasks are asked for."""

    context_id: str | None = None
    status: State | None = None
    page_size: int = Field(50, ge=1, le=100)
    page_token: str = Field("", max_length=MAX_TOKEN)
    history_length: int | None = Field(None, ge=0)
    status_timestamp_after: datetime | None = None
    include_artifacts: bool = False
    """There are none."""


def read(model: type[P], given: Mapping[str, Any], where: str) -> P:
    """Return parameters that come from there. Raises InvalidError."""
    try:
        return model.model_validate(given)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        name = ".".join(map(str, first["loc"]))
        raise InvalidError(f"{name}: {first['msg']}", where=(where, name)) from None


async def get(call: Call, wanted: TaskParams) -> Task:
    """Return a task."""
    return task(await _readable(call, wanted), call.tasks)


async def cancel(call: Call, wanted: TaskParams) -> Task:
    """Stop a task, and return it as it is then. Raises NotCancelableError for one that has ended."""
    ref = _ref(wanted)
    if wanted.tenant:
        await _readable(call, wanted)
    try:
        outcome = await call.tasks.stop(ref, wait=min(call.core.wait, WAIT_SECONDS))
    except ForbiddenError:
        # That there is a task which is somebody else's is not said.
        await _readable(call, wanted)
        raise
    if outcome.before.ended:
        raise NotCancelableError(f"Task cannot be canceled: it has ended, as {state_of(outcome.before)}")
    return task(outcome.now, call.tasks)


async def list_tasks(call: Call, wanted: ListParams) -> TaskList:
    """Return a part of the tasks that the caller may see, those first whose status is the newest."""
    after = _position(wanted.page_token)
    found = await call.tasks.list_visible(_keep_by(wanted, call), namespace=wanted.tenant or "")
    placed = (((change_key(each), each.uid), each) for each in found.items)
    # One more than a page has says whether there is another page.
    newest = heapq.nlargest(
        wanted.page_size + 1, (each for each in placed if after is None or each[0] < after), key=itemgetter(0)
    )
    page = newest[: wanted.page_size]
    return TaskList(
        tasks=tuple(task(each, call.tasks) for _, each in page),
        next_page_token=_token(page[-1][0]) if len(newest) > len(page) else "",
        page_size=wanted.page_size,
        total_size=found.total,
    )


async def subscribe(
    call: Call, wanted: TaskParams, form: Form, wrap: Callable[[JsonObject], JsonObject]
) -> web.StreamResponse:
    """Send a task, and its status each time that it changes, until its end. Each event goes through `wrap`.

    Raises UnsupportedOperationError where the task has ended.
    """
    entry = await _readable(call, wanted)
    if entry.ended:
        raise UnsupportedOperationError("the task has ended; nothing of it changes any more")
    async with call.core.streams.open(call.request) as stream:
        last: Task | None = None
        async for each in call.tasks.follow(entry):
            if each is None:
                await stream.beat()
                continue
            current = task(each, call.tasks)
            if last is None:
                await _send(stream, wrap(form.begun(current)))
            elif current.status != last.status:
                await _send(stream, wrap(form.changed(current)))
            last = current
    return stream.response


async def _send(stream: EventStream, event: JsonObject) -> None:
    await stream.send(json.dumps(event))


def _ref(wanted: TaskParams) -> str:
    ref = task_id_of(wanted.id)
    if ref is None:
        raise NotFoundError("no task can have this id")
    return ref


async def _readable(call: Call, wanted: TaskParams) -> Entry:
    """Return the task. Raises NotFoundError where the caller may not read it, or where it is another tenant's."""
    try:
        entry = await call.tasks.get(_ref(wanted))
    except ForbiddenError as error:
        raise NotFoundError(error.message) from None
    if wanted.tenant and wanted.tenant != entry.namespace:
        raise NotFoundError("there is no such task in this namespace")
    return entry


def _keep_by(wanted: ListParams, call: Call) -> Callable[[Entry], bool]:
    after = wanted.status_timestamp_after
    since = after.replace(tzinfo=UTC) if after is not None and after.tzinfo is None else after

    def keep(entry: Entry) -> bool:
        return (
            (wanted.status is None or wanted.status is state_of(entry))
            and (since is None or changed_at(entry) >= since)
            and (not wanted.context_id or context_of(entry, call.tasks) == wanted.context_id)
        )

    return keep


def _token(position: tuple[str, str]) -> str:
    """Return what stands for a place in the list: the last task before it, so that changes meanwhile do no harm."""
    return base64.urlsafe_b64encode("\n".join(position).encode()).decode()


def _position(token: str) -> tuple[str, str] | None:
    if not token:
        return None
    try:
        key, uid = base64.b64decode(token, altchars=b"-_", validate=True).decode().split("\n")
    except (binascii.Error, ValueError):
        raise InvalidError("pageToken: this is none of ours", where=("params", "pageToken")) from None
    return key, uid
