"""An API server that has too much to do: its 429 and its Retry-After reach the client in each dialect's form."""

import json
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml
from aiohttp import web
from aiohttp.test_utils import TestServer
from kubernetes.aio.client import Configuration

from agentstop.cluster.transport import Transport
from agentstop.gateway.dialects.hooks import DIALECT as HOOKS
from agentstop.gateway.dialects.wexa.ids import task_id
from agentstop.gateway.files import WatchedFile
from agentstop.gateway.hooks import NO_HOOKS, read_hooks
from agentstop.gateway.keys import NO_KEYS, make_key, read_keys
from agentstop.gateway.registry import DIALECTS

from .serving import serving
from .test_index import task

UID = "0f8fad5b-d9cb-469f-a165-70867728950e"
WORDS = "too much to do"

STATUS = {
    "kind": "Status",
    "apiVersion": "v1",
    "metadata": {},
    "status": "Failure",
    "message": "the server has received too many requests",
    "reason": "TooManyRequests",
    "code": 429,
}
OVER = {"text": "Too many requests, please try again later.\n", "Status": json.dumps(STATUS)}
"""What an API server says: of its flow control it is plain text."""

Said = Callable[[Any], Any]


@asynccontextmanager
async def busy(text: str, headers: Mapping[str, str]) -> AsyncIterator[Transport]:
    """Serve an API server that tells everybody his rights, and carries nothing out."""

    async def answer(request: web.Request) -> web.Response:
        if request.path.endswith("selfsubjectaccessreviews"):
            return web.json_response({"status": {"allowed": True}})
        kind = "application/json" if text.startswith("{") else "text/plain"
        return web.Response(status=429, text=text, content_type=kind, headers=headers)

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", answer)
    async with TestServer(app) as server:
        transport = Transport(Configuration(host=str(server.make_url("")).rstrip("/")), whole_errors=True)
        try:
            yield transport
        finally:
            await transport.close()


RPC = json.dumps({"jsonrpc": "2.0", "id": 7, "method": "CancelTask", "params": {"id": UID}})

STOPS: list[tuple[str, str, str, str | None, str, Said]] = [
    ("xpander", "POST", f"/v1/tasks/{UID}/stop", None, "application/json", lambda said: said["detail"]),
    ("xpander", "DELETE", f"/agent-execution/{UID}", None, "application/json", lambda said: said["detail"]),
    ("wexa", "POST", f"/task/{task_id(UID)}/stop", None, "application/json", lambda said: said["detail"]),
    ("wexa", "POST", f"/execute_flow/{UID}/cancel", None, "application/json", lambda said: said["detail"]),
    ("maia", "POST", f"/v1/ai/agents/tasks/{UID}/stop", None, "application/problem+json", lambda said: said["detail"]),
    ("blackbox", "PATCH", f"/api/tasks/{UID}", '{"action": "stop"}', "application/json", lambda said: said["error"]),
    ("blackbox", "PATCH", f"/api/v1/tasks/{UID}", '{"action": "cancel"}', "application/json", lambda d: d["error"]),
    ("a2a", "POST", f"/tasks/{UID}:cancel", None, "application/json", lambda said: said["error"]["message"]),
    ("a2a", "POST", "", RPC, "application/json", lambda said: said["error"]["message"]),
    ("api", "POST", f"/tasks/{UID}/stop", "{}", "application/problem+json", lambda said: said["detail"]),
]


@pytest.mark.parametrize("over", OVER.values(), ids=list(OVER))
@pytest.mark.parametrize(("told", "passed_on"), [({"Retry-After": "7"}, "7"), ({}, "1")], ids=["told", "untold"])
@pytest.mark.parametrize(
    ("dialect", "method", "path", "body", "kind", "words"), STOPS, ids=[f"{each[0]} {each[2][:9]}" for each in STOPS]
)
async def test_it_is_said_when_to_come_again(
    dialect: str,
    method: str,
    path: str,
    body: str | None,
    kind: str,
    words: Said,
    told: Mapping[str, str],
    passed_on: str,
    over: str,
) -> None:
    found = next(each for each in DIALECTS if each.name == dialect)
    headers = {"Content-Type": "application/json"} if body is not None else {}
    async with (
        busy(over, told) as transport,
        serving(found, [task("a", uid=UID, phase="Running")], transport=transport) as client,
    ):
        answer = await client.request(method, found.prefix + path, data=body, headers=headers)
        said = await answer.json(content_type=None)
    assert (answer.status, answer.headers.get("Retry-After")) == (429, passed_on), said
    assert answer.content_type == kind
    assert WORDS in words(said)


@pytest.mark.parametrize("over", OVER.values(), ids=list(OVER))
async def test_a_hook_says_so_too(over: str, tmp_path: Path) -> None:
    key, entry = make_key("alerts", "jane")
    files = {
        "keys": [entry.model_dump(mode="json")],
        "hooks": [{"name": "alert", "kind": "Generic", "key": "alerts", "fields": {"namespace": "/in", "task": "/of"}}],
    }
    for name, content in files.items():
        (tmp_path / name).write_text(yaml.safe_dump({name: content}), encoding="utf-8")
    keys = WatchedFile(tmp_path / "keys", read_keys, NO_KEYS)
    hooks = WatchedFile(tmp_path / "hooks", read_hooks, NO_HOOKS)
    async with (
        busy(over, {"Retry-After": "7"}) as transport,
        serving(HOOKS, keys=keys, hooks=hooks, headers={"x-api-key": key}, transport=transport) as client,
    ):
        answer = await client.post("/hooks/alert", json={"in": "ns", "of": "a"})
        said = await answer.json()
    assert (answer.status, answer.headers.get("Retry-After")) == (429, "7"), said
    assert WORDS in said["error"]
