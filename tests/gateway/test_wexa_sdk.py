"""Wexa's real client, unchanged, and what its documents tell people to run: but for the host, the key and the ids."""

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from shutil import which
from typing import Any

import pytest
from aiohttp import web
from wexa_sdk import WexaClient
from wexa_sdk.core.http import ApiError

from agentstop.gateway.dialects.wexa.ids import project_id, task_id
from tests.support import agents
from tests.support.gateways import Gateway
from tests.support.laws import stop_of
from tests.support.namespaces import Namespace
from tests.support.operators import Operator
from tests.support.programs import free_port
from tests.support.waiting import PATIENCE

from .api import made


@pytest.fixture
def sdk(gateway: Gateway, jane: str) -> Iterator[Any]:
    client = WexaClient(base_url=f"{gateway.url}/wexa", api_key=jane)
    yield client
    client.http._client.close()


async def test_stop_and_poll(ns: Namespace, operator: Operator, sdk: Any) -> None:
    uid = await made(ns, "a", agents.DEAF, grace=12)
    await ns.running("a")
    (listed,) = await asyncio.to_thread(sdk.tasks.list, project_id(ns.name), limit=10)
    assert (listed["_id"], listed["status"]) == (task_id(uid), "running")
    found = await asyncio.to_thread(sdk.tasks.stop, listed["_id"])
    assert (found["status"], found["stop_requested"]) == ("running", True)
    async with asyncio.timeout(PATIENCE):
        while found["status"] != "cancelled":
            assert found["status"] == "running"
            await asyncio.sleep(0.2)
            found = await asyncio.to_thread(sdk.tasks.get, listed["_id"], listed["projectID"])
    assert not ns.processes("a")
    assert stop_of(await ns.ended("a"))["verdict"] == "Killed"


async def test_pause_and_resume(ns: Namespace, operator: Operator, sdk: Any) -> None:
    uid = await made(ns, "a")
    await ns.running("a")
    assert (await asyncio.to_thread(sdk.tasks.pause, task_id(uid)))["status"] == "paused"
    assert (await asyncio.to_thread(sdk.tasks.resume, task_id(uid)))["status"] == "running"
    await asyncio.to_thread(sdk.tasks.stop, task_id(uid))


async def test_executions(ns: Namespace, operator: Operator, sdk: Any) -> None:
    uid = await made(ns, "a", agents.graceful())
    await ns.running("a")
    (execution,) = (await asyncio.to_thread(sdk.tasks.get, task_id(uid)))["execution_ids"]
    for action, word in (("pause", "paused"), ("resume", "ready"), ("cancel", "cancelled")):
        found = await asyncio.to_thread(getattr(sdk.executions, action), execution)
        assert found == {"execution_id": execution, "status": word}
    assert (await asyncio.to_thread(sdk.executions.get, execution))["status"] == "cancelled"


async def test_errors_are_read(sdk: Any) -> None:
    for given, code, words in (("680716d41a9ea363140a265c", 404, "no such task"), ("x" * 300, 422, "ObjectId")):
        with pytest.raises(ApiError) as caught:
            await asyncio.to_thread(sdk.tasks.stop, given)
        assert (caught.value.status, words in str(caught.value.detail)) == (code, True)
        assert len(caught.value.request_id or "") == 16


@asynccontextmanager
async def losing_answers(gateway: Gateway, count: int) -> AsyncIterator[tuple[str, list[str]]]:
    """Serve the gateway, and drop the connection instead of its first answers; yield where, and what was asked."""
    asked: list[str] = []

    async def pass_on(request: web.Request) -> web.StreamResponse:
        asked.append(f"{request.method} {request.path}")
        answer = await gateway.ask(request.method, request.path_qs, key=request.headers["x-api-key"])
        if len(asked) <= count:
            assert request.transport is not None
            request.transport.abort()
        return web.Response(status=answer.code, text=answer.text, content_type="application/json")

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", pass_on)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    port = free_port()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    try:
        yield f"http://127.0.0.1:{port}", asked
    finally:
        await runner.cleanup()


async def test_a_stop_whose_answers_are_lost_is_one_stop(
    ns: Namespace, operator: Operator, gateway: Gateway, jane: str
) -> None:
    uid = await made(ns, "a", agents.graceful())
    await ns.running("a")
    async with losing_answers(gateway, 2) as (url, asked):
        client = WexaClient(base_url=f"{url}/wexa", api_key=jane)
        found = await asyncio.to_thread(client.tasks.stop, task_id(uid))
        client.http._client.close()
    assert asked == [f"POST /wexa/task/{task_id(uid)}/stop"] * 3
    assert found["status"] == "cancelled"


CURL_STOP = """
curl --location --request POST 'https://api.wexa.ai/task/{task}/stop' \\
--header 'x-api-key: {key}'
"""

CURL_CANCEL = """
curl --location -g --request POST 'https://api.wexa.ai/execute_flow/?projectID={project}' \\
--header 'x-api-key: {key}' \\
--header 'Content-Type: application/json' \\
--data-raw '{{
    "projectID":"{project}",
    "execution_id":"{execution}"
}}'
"""

FETCH_STOP = """
const headers = new Headers();
headers.append("x-api-key", "{key}");
fetch("https://api.wexa.ai/task/{task}/stop", {{method: "POST", headers, redirect: "follow"}})
  .then((response) => response.text())
  .then((result) => console.log(result));
"""

REQUESTS_STOP = """
import requests
from tests.support.waiting import PATIENCE
response = requests.request("POST", "https://api.wexa.ai/task/{task}/stop", headers={{"x-api-key": "{key}"}}, data={{}})
print(response.text)
"""


@pytest.mark.parametrize(
    ("program", "snippet"),
    [
        (["sh", "-ec"], CURL_STOP),
        (["sh", "-ec"], CURL_CANCEL),
        (["node", "-e"], FETCH_STOP),
        ([sys.executable, "-c"], REQUESTS_STOP),
    ],
    ids=["curl stop", "curl cancel", "fetch", "requests"],
)
async def test_what_the_documents_tell_people_to_run(
    ns: Namespace, operator: Operator, gateway: Gateway, jane: str, program: list[str], snippet: str
) -> None:
    for needed in {program[0], snippet.split()[0]} & {"node", "curl"}:
        if which(needed) is None:
            pytest.skip(f"there is no {needed}")
    uid = await made(ns, "a", agents.graceful())
    await ns.running("a")
    text = snippet.format(task=task_id(uid), execution=uid, project=project_id(ns.name), key=jane)
    text = text.replace("https://api.wexa.ai", f"{gateway.url}/wexa")
    run = subprocess.run
    done = await asyncio.to_thread(run, [*program, text], capture_output=True, text=True, timeout=PATIENCE, check=False)
    assert '"status":"cancelled"' in done.stdout, done
