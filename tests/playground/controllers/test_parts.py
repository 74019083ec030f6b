"""What controllers are made of: the informer that is told of writes, the cache, the queue."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from aiohttp import web
from tests.support.waiting import PATIENCE, until

from agentstop_playground.api_client import ApiClient, ApiError, Object
from agentstop_playground.controllers.cache import Cache
from agentstop_playground.controllers.queue import Queue
from agentstop_playground.informer import Informer

PATH = "/api/v1/pods"


def obj(uid: str, version: int, owner: str = "", name: str = "") -> Object:
    metadata: Object = {"name": name or uid, "namespace": "n", "uid": uid, "resourceVersion": str(version)}
    if owner:
        metadata["ownerReferences"] = [{"kind": "Job", "name": owner, "uid": owner, "controller": True}]
    return {"metadata": metadata}


class Script:
    """An API server of one collection that says what a test has it say."""

    def __init__(self) -> None:
        self.lists: list[tuple[int, list[Object]]] = []
        self.events: asyncio.Queue[Object | None] = asyncio.Queue()
        self.seen: list[tuple[str, str, str]] = []

    def handler(self, kind: str, item: Object) -> None:
        self.seen.append((kind, item["metadata"]["uid"], item["metadata"]["resourceVersion"]))

    async def answer(self, request: web.BaseRequest) -> web.StreamResponse:
        if request.query.get("watch") != "true":
            version, items = self.lists.pop(0) if len(self.lists) > 1 else self.lists[0]
            return web.json_response({"metadata": {"resourceVersion": str(version)}, "items": items})
        response = web.StreamResponse()
        await response.prepare(request)
        while (event := await self.events.get()) is not None:
            await response.write(json.dumps(event).encode() + b"\n")
        return response

    @asynccontextmanager
    async def following(self) -> AsyncIterator[Informer]:
        """An informer that has seen the first list."""
        runner = web.ServerRunner(web.Server(self.answer), shutdown_timeout=0.1)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        client = ApiClient(f"http://127.0.0.1:{runner.addresses[0][1]}")
        await client.open()
        informer = Informer(client, PATH, self.handler)
        task = asyncio.create_task(informer.run())
        try:
            await asyncio.wait_for(informer.synced.wait(), PATIENCE)
            yield informer
        finally:
            task.cancel()
            await client.close()
            await runner.cleanup()

    async def until_seen(self, kind: str, uid: str, version: int) -> None:
        await until(lambda: (kind, uid, str(version)) in self.seen, PATIENCE, f"{kind} {uid} at {version}")


def event(kind: str, item: Object) -> Object:
    return {"type": kind, "object": item}


async def test_the_answer_of_a_write_is_known_before_the_watch_tells() -> None:
    script = Script()
    script.lists = [(5, [])]
    async with script.following() as informer:
        informer.note(obj("a", 7))
        assert script.seen == [("ADDED", "a", "7")]


async def test_what_the_watch_tells_later_of_an_older_version_is_passed_over() -> None:
    script = Script()
    script.lists = [(5, [])]
    async with script.following() as informer:
        informer.note(obj("a", 7))
        for item in (event("ADDED", obj("a", 6)), event("MODIFIED", obj("a", 7)), event("MODIFIED", obj("a", 8))):
            script.events.put_nowait(item)
        await script.until_seen("MODIFIED", "a", 8)
    assert script.seen == [("ADDED", "a", "7"), ("MODIFIED", "a", "8")]


async def test_a_late_answer_brings_nothing_back() -> None:
    script = Script()
    script.lists = [(5, [obj("a", 4)])]
    async with script.following() as informer:
        script.events.put_nowait(event("DELETED", obj("a", 9)))
        await script.until_seen("DELETED", "a", 9)
        informer.note(obj("a", 8))
    assert script.seen[-1] == ("DELETED", "a", "9")


async def test_what_a_list_could_not_have_is_not_taken_for_deleted() -> None:
    script = Script()
    script.lists = [(5, []), (8, [])]
    async with script.following() as informer:
        informer.note(obj("old", 7))
        informer.note(obj("new", 9))
        expired = {"code": 410, "reason": "Expired", "message": "too old", "metadata": {}}
        script.events.put_nowait(event("ERROR", expired))
        await script.until_seen("DELETED", "old", 7)
    assert ("DELETED", "new", "9") not in script.seen


def test_a_cache_finds_objects_by_their_controller() -> None:
    cache = Cache()
    for item in (obj("a", 1, "one"), obj("b", 2, "two"), obj("c", 3, "one")):
        cache.take("ADDED", item)
    assert [item["metadata"]["uid"] for item in cache.controlled_by("one")] == ["a", "c"]
    cache.take("MODIFIED", obj("a", 4, "two"))
    cache.take("DELETED", obj("c", 5, "one"))
    assert cache.controlled_by("one") == []
    assert {item["metadata"]["uid"] for item in cache.controlled_by("two")} == {"a", "b"}


def test_a_cache_finds_the_latest_object_of_a_name() -> None:
    cache = Cache()
    cache.take("ADDED", obj("old", 1, name="x"))
    cache.take("ADDED", obj("new", 2, name="x"))
    cache.take("DELETED", obj("old", 3, name="x"))
    found = cache.named("n", "x")
    assert found is not None
    assert found["metadata"]["uid"] == "new"


def test_listeners_are_told_what_was_known_before() -> None:
    cache, told = Cache(), []
    cache.subscribe(lambda kind, item, old: told.append((kind, old and old["metadata"]["resourceVersion"])))
    cache.take("ADDED", obj("a", 1))
    cache.take("MODIFIED", obj("a", 2))
    cache.take("DELETED", obj("a", 3))
    assert told == [("ADDED", None), ("MODIFIED", "1"), ("DELETED", "2")]


class Work:
    """Work that a test lets go on step by step."""

    def __init__(self, *outcomes: Any) -> None:
        self.outcomes = list(outcomes)
        self.done = 0
        self.at_once = 0
        self.most_at_once = 0
        self.go = asyncio.Event()

    async def __call__(self, key: str) -> float | None:
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        await self.go.wait()
        self.at_once -= 1
        self.done += 1
        outcome = self.outcomes.pop(0) if self.outcomes else None
        if isinstance(outcome, Exception):
            raise outcome
        return outcome


async def test_a_key_that_is_added_during_its_work_is_worked_on_once_more() -> None:
    work = Work()
    queue = Queue("test", work)
    queue.open()
    queue.add("a")
    await until(lambda: work.at_once == 1, PATIENCE, "the work begun")
    for _ in range(3):
        queue.add("a")
    work.go.set()
    await until(lambda: work.done == 2, PATIENCE, "the work done twice")
    await queue.close()
    assert (work.done, work.most_at_once) == (2, 1)


async def test_nothing_is_worked_on_before_the_queue_is_open() -> None:
    work = Work()
    work.go.set()
    queue = Queue("test", work)
    queue.add("a")
    await asyncio.sleep(0)
    assert work.done == 0
    queue.open()
    await until(lambda: work.done == 1, PATIENCE, "the work done")
    await queue.close()


async def test_work_that_failed_is_tried_again() -> None:
    work = Work(ApiError(409, "Conflict", "changed"), ValueError("broken"))
    work.go.set()
    queue = Queue("test", work)
    queue.open()
    queue.add("a")
    await until(lambda: work.done == 3, PATIENCE, "the work done three times")
    await queue.close()


async def test_work_is_done_again_when_it_asked_for_it() -> None:
    work = Work(0.01)
    work.go.set()
    queue = Queue("test", work)
    queue.open()
    queue.add("a")
    await until(lambda: work.done == 2, PATIENCE, "the work done twice")
    await queue.close()
