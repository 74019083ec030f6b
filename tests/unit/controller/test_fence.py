"""The Fence is kept in step with the tasks, by few requests."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import pytest

from agentstop.api import fence as model
from agentstop.cluster.decoding import JsonObject
from agentstop.cluster.errors import ApiError
from agentstop.cluster.family_index import TaskKey
from agentstop.controller import fence as module
from agentstop.controller.fence import FenceKeeper
from agentstop.timings import Timings
from agentstop.workloads.objects import ObjectRef
from tests.support.waiting import until

QUICK = Timings(fence_rest_seconds=0.0, fence_retry_seconds=0.0)


class Server:
    """The part of the gateway that a keeper needs."""

    def __init__(self, pods: dict[str, str] | None = None) -> None:
        self.pods = pods
        self.writes: list[dict[str, str | None]] = []
        self.failures = 0

    async def get_own(self, ref: ObjectRef) -> JsonObject:
        assert (ref.kind, ref.namespace, ref.name) == ("Fence", "", "f")
        await asyncio.sleep(0)
        if self.pods is None:
            raise ApiError(404, "NotFound", "not found")
        return {"spec": {"pods": dict(self.pods)}}

    async def call(self, method: str, where: str, _query: Any, body: Mapping[str, Any]) -> JsonObject:
        assert (method, where) == ("POST", "/apis/agentstop.dev/v1alpha1/fences")
        self.pods = {}
        return dict(body)

    async def patch_own(self, _ref: ObjectRef, body: Mapping[str, Any]) -> JsonObject:
        await asyncio.sleep(0)
        if self.failures:
            self.failures -= 1
            raise ApiError(500, "InternalError", "not now")
        changes = body["spec"]["pods"]
        self.writes.append(changes)
        merged = {**(self.pods or {}), **changes}
        self.pods = {uid: task for uid, task in merged.items() if task is not None}
        return {"spec": {"pods": dict(self.pods)}}


@pytest.fixture(autouse=True)
def _no_lingering(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LINGER_SECONDS", 0.0)


@asynccontextmanager
async def keeping(server: Server, *, leads: bool = True) -> AsyncIterator[FenceKeeper]:
    keeper = FenceKeeper(server, "f", lambda: leads, QUICK)  # type: ignore[arg-type]  # what it needs of a gateway
    task = asyncio.create_task(keeper.run())
    yield keeper
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def says(server: Server, pods: dict[str, str]) -> None:
    await until(lambda: server.pods == pods, 5, f"the fence says {pods}, and not {server.pods}")


A, B = TaskKey("ns", "a"), TaskKey("ns", "b")


async def test_pods_come_and_go_and_what_comes_at_once_is_written_at_once() -> None:
    server = Server()
    async with keeping(server) as keeper:
        keeper.note(A, {"1", "2"})
        keeper.note(B, {"3"})
        await says(server, {"1": "ns/a", "2": "ns/a", "3": "ns/b"})
        assert len(server.writes) == 1
        keeper.note(A, {"2"})
        keeper.note(B, None)
        await says(server, {"2": "ns/a", "3": "ns/b"})
        keeper.note(B, frozenset())
        await says(server, {"2": "ns/a"})
        assert server.writes[1:] == [{"1": None}, {"3": None}]


async def test_what_another_process_fenced_stays_until_all_tasks_were_looked_at() -> None:
    server = Server({"old": "ns/gone", "1": "ns/a"})
    async with keeping(server) as keeper:
        keeper.note(A, {"1", "2"})
        await says(server, {"old": "ns/gone", "1": "ns/a", "2": "ns/a"})
        assert server.writes == [{"2": "ns/a"}]
        keeper.look_again([A, B])
        await says(server, {"old": "ns/gone", "1": "ns/a", "2": "ns/a"})
        keeper.note(B, frozenset())
        keeper.look_again([A, B])
        await says(server, {"1": "ns/a", "2": "ns/a"})


async def test_a_replica_that_begins_to_act_lifts_nothing_that_another_one_fenced() -> None:
    server = Server({"1": "ns/a"})
    async with keeping(server) as keeper:
        keeper.look_again([])
        await says(server, {})
        server.pods = {"1": "ns/a", "2": "ns/b"}
        keeper.begin()
        keeper.note(A, {"1", "3"})
        await says(server, {"1": "ns/a", "2": "ns/b", "3": "ns/a"})


async def test_an_object_that_somebody_has_deleted_is_made_again() -> None:
    server = Server()
    async with keeping(server) as keeper:
        keeper.note(A, {"1"})
        await says(server, {"1": "ns/a"})
        server.pods = None
        keeper.look_again([A])
        await says(server, {"1": "ns/a"})


async def test_what_fails_is_tried_again() -> None:
    server = Server({})
    server.failures = 3
    async with keeping(server) as keeper:
        keeper.note(A, {"1"})
        await says(server, {"1": "ns/a"})


async def test_only_the_replica_that_acts_writes() -> None:
    server = Server({})
    async with keeping(server, leads=False) as keeper:
        keeper.note(A, {"1"})
        for _ in range(20):
            await asyncio.sleep(0)
    assert server.writes == []


async def test_a_pod_that_is_gone_stays_for_as_long_as_its_token_is_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LINGER_SECONDS", 1000.0)
    server = Server({})
    async with keeping(server) as keeper:
        keeper.note(A, {"1"})
        await says(server, {"1": "ns/a"})
        keeper.forget(A)
        keeper.note(B, {"2"})
        await says(server, {"1": "ns/a", "2": "ns/b"})
        assert server.writes == [{"1": "ns/a"}, {"2": "ns/b"}]


async def test_the_oldest_make_room(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_FENCED", 2)
    assert model.MAX_FENCED > 2
    server = Server({})
    async with keeping(server) as keeper:
        keeper.note(A, {"1"})
        await says(server, {"1": "ns/a"})
        keeper.note(B, {"2", "3"})
        await says(server, {"2": "ns/b", "3": "ns/b"})
