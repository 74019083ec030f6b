"""Wexa's words and ids."""

import pytest

from agentstop.api.task import Phase
from agentstop.cluster.errors import ApiError
from agentstop.gateway.dialects.wexa import DIALECT
from agentstop.gateway.dialects.wexa.ids import OBJECT_ID, agentflow_id, node_id, project_id, task_id
from agentstop.gateway.dialects.wexa.records import Status, status_of
from agentstop.gateway.entry import Entry

from .serving import serving
from .test_index import task

UID = "0f8fad5b-d9cb-469f-a165-70867728950e"


def entry(phase: str, verdict: str | None = None) -> Entry:
    raw = task("a", phase=phase, stopRequested=True)
    if verdict is not None:
        raw["status"]["stop"] = {"verdict": verdict}
    return Entry(raw)


def test_cancelled_is_said_with_the_proof_alone() -> None:
    said = {phase: status_of(entry(phase)) for phase in Phase}
    assert [phase for phase, word in said.items() if word is Status.CANCELLED] == [Phase.STOPPED]
    assert status_of(entry("Stopped", "Killed")) is Status.CANCELLED
    assert status_of(entry("Stopped", "Unverified")) is Status.FAILED
    assert said[Phase.STOPPING] is Status.RUNNING


def test_ids_are_object_ids() -> None:
    assert task_id(UID) == "0f8fad5bd9cb469fa1657086"
    assert node_id(UID) == "d9cb469fa16570867728950e"
    for each in (task_id(UID), node_id(UID), project_id("a"), agentflow_id("a", "b"), agentflow_id("a", None)):
        assert OBJECT_ID.fullmatch(each)


def test_ids_of_two_are_two() -> None:
    ids = [project_id("a"), project_id("b"), agentflow_id("a", "b"), agentflow_id("b", "a"), agentflow_id("a", None)]
    assert len(set(ids)) == len(ids)


@pytest.mark.parametrize(
    ("failure", "code", "retry_after"),
    [
        (ApiError(0, "", "connection refused"), 503, None),
        (ApiError(429, "TooManyRequests", "too many", 7), 429, "7"),
        (ApiError(403, "Forbidden", "jane cannot patch"), 403, None),
        (ApiError(422, "Invalid", "spec: too long"), 422, None),
    ],
)
async def test_failures_have_a_detail(failure: ApiError, code: int, retry_after: str | None) -> None:
    async with serving(DIALECT, [task("a", uid=UID, phase="Running")], failure) as client:
        for path in (f"/wexa/task/{task_id(UID)}/stop", f"/wexa/execute_flow/{UID}/cancel"):
            answer = await client.post(path)
            assert (answer.status, answer.headers.get("Retry-After")) == (code, retry_after)
            assert failure.message in (await answer.json())["detail"]


async def test_a_project_is_called_by_its_id_or_its_name() -> None:
    names = ("ns", project_id("ns")[::-1])
    tasks = [task("a", uid=UID, namespace=names[0]), task("b", uid=UID[::-1], namespace=names[1])]
    async with serving(DIALECT, tasks) as client:
        for given, found in ((names[0], "a"), (project_id("ns"), "a"), (names[1], "b"), (project_id(names[1]), "b")):
            answer = await client.get(f"/wexa/tasks/{given}")
            assert [each["name"] for each in await answer.json()] == [found]
        assert (await client.get(f"/wexa/tasks/{project_id('other')}")).status == 404
        assert await (await client.get("/wexa/tasks/other")).json() == []
