"""Maia's words, and what it makes of an API server that does not do as asked."""

import pytest

from agentstop.api.task import Phase
from agentstop.cluster.errors import ApiError
from agentstop.gateway.dialects.maia import DIALECT, Status, status_of
from agentstop.gateway.entry import Entry

from .serving import serving
from .test_index import task

UID = "0f8fad5b-d9cb-469f-a165-70867728950e"
STOP = f"/maia/dpc/v1/ai/agents/tasks/{UID}/stop"


def entry(phase: str, verdict: str | None = None, *, asked: bool = False) -> Entry:
    raw = task("a", phase=phase, stopRequested=asked)
    if verdict is not None:
        raw["status"]["stop"] = {"verdict": verdict}
    return Entry(raw)


def test_stopped_is_said_of_what_has_ended() -> None:
    said = {phase: status_of(entry(phase)) for phase in Phase}
    assert {phase for phase, word in said.items() if word is Status.STOPPED} == {Phase.STOPPED, Phase.COMPLETED}
    assert (said[Phase.STOPPING], said[Phase.PAUSED], said[Phase.FAILED]) == (
        Status.STOPPING,
        Status.RUNNING,
        Status.ERRORED,
    )
    assert status_of(entry("Stopped", "Unverified")) is Status.ERRORED


@pytest.mark.parametrize("phase", [Phase.PENDING, Phase.RUNNING, Phase.PAUSING, Phase.PAUSED, Phase.STOPPING])
def test_a_stop_on_its_way_is_said(phase: Phase) -> None:
    assert status_of(entry(phase, asked=True)) is Status.STOPPING


def late() -> ApiError:
    error = ApiError(0, "", "no answer within 8 seconds")
    error.__cause__ = TimeoutError()
    return error


@pytest.mark.parametrize(
    ("failure", "code", "title", "retry_after"),
    [
        (ApiError(0, "", "connection refused"), 502, "Bad Gateway", None),
        (ApiError(500, "InternalError", "etcd is away"), 502, "Bad Gateway", None),
        (ApiError(503, "ServiceUnavailable", "not now", 7), 502, "Bad Gateway", "7"),
        (late(), 504, "Gateway Timeout", None),
        (ApiError(504, "Timeout", "a webhook took too long"), 504, "Gateway Timeout", None),
        (ApiError(429, "TooManyRequests", "too many", 7), 429, "Too Many Requests", "7"),
        (ApiError(401, "Unauthorized", "Unauthorized"), 401, "Unauthorized", None),
        (ApiError(403, "Forbidden", "jane cannot patch"), 403, "Forbidden", None),
        (ApiError(404, "NotFound", "not found"), 404, "Not Found", None),
        (ApiError(422, "Invalid", "spec: too long"), 400, "Bad Request", None),
    ],
)
async def test_failures_are_problems(failure: ApiError, code: int, title: str, retry_after: str | None) -> None:
    async with serving(DIALECT, [task("a", uid=UID, phase="Running")], failure) as client:
        answer = await client.post(STOP)
        found = await answer.json()
    assert (answer.status, answer.content_type) == (code, "application/problem+json")
    assert answer.headers.get("Retry-After") == retry_after
    assert (found["status"], found["title"], found["instance"]) == (code, title, STOP)
    assert found["type"] == "https://api.matillion.com/problems/" + title.lower().replace(" ", "-")
    assert found["detail"]
    assert bool(found["violations"]) == (code == 400)
