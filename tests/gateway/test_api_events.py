"""Our own API: what changes, as it changes, for a client that leaves and comes back."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import aiohttp
import pytest

from tests.support import agents
from tests.support.clusters import Cluster, Feature
from tests.support.gateways import Gateway
from tests.support.namespaces import Namespace
from tests.support.operators import Operator
from tests.support.waiting import PATIENCE

from .api import PREFIX, ApiClient, made, validate
from .conftest import People, gateway_kubeconfig


@dataclass
class Event:
    kind: str
    data: Any
    id: str | None


class Reader:
    """A client of the stream, which keeps the last id as a browser does."""

    def __init__(self, response: aiohttp.ClientResponse) -> None:
        self.response = response
        self.last_id = ""
        self.seen: list[Event] = []

    async def next(self) -> Event:
        """Return the next event. Raises StopAsyncIteration at the end."""
        kind, data, mark = "", "", None
        while True:
            line = (await asyncio.wait_for(self.response.content.readline(), PATIENCE)).decode()
            if not line:
                raise StopAsyncIteration
            name, _, value = line.rstrip("\n").partition(": ")
            if name == "event":
                kind = value
            elif name == "data":
                data += value
            elif name == "id":
                mark = self.last_id = value
            elif not line.strip() and data:
                event = Event(kind, json.loads(data), mark)
                self.seen.append(event)
                return event

    async def until(self, wanted: Callable[[Event], bool]) -> Event:
        """Return the first event that is as wanted."""
        while True:
            event = await self.next()
            if wanted(event):
                return event

    async def synced(self) -> list[Event]:
        """Return what comes before all is told."""
        await self.until(lambda each: each.kind == "synced")
        return self.seen[:-1]

    def names(self) -> list[str]:
        return [each.data["name"] for each in self.seen if "name" in each.data]


@asynccontextmanager
async def following(gateway: Gateway, key: str, query: str, last_id: str = "") -> AsyncIterator[Reader]:
    headers = {"x-api-key": key, **({"Last-Event-ID": last_id} if last_id else {})}
    timeout = aiohttp.ClientTimeout(total=60)
    async with (
        aiohttp.ClientSession(timeout=timeout) as session,
        session.get(f"{gateway.url}{PREFIX}/events?{query}", headers=headers) as response,
    ):
        assert response.status == 200, await response.text()
        yield Reader(response)


@pytest.fixture
def api(gateway: Gateway, jane: str) -> ApiClient:
    return ApiClient(gateway, PREFIX, jane)


def phase_is(phase: str) -> Callable[[Event], bool]:
    return lambda event: event.kind == "task" and event.data["phase"] == phase


async def test_all_that_there_is_then_each_change(
    ns: Namespace, operator: Operator, gateway: Gateway, api: ApiClient
) -> None:
    uid = await made(ns, "a", agents.graceful())
    await ns.running("a")
    async with following(gateway, api.key, f"namespace={ns.name}") as reader:
        (first,) = await reader.synced()
        assert (first.kind, first.data["id"], first.data["phase"]) == ("task", uid, "Running")
        assert reader.last_id
        await api.ask("POST", f"/tasks/{uid}/stop")
        stopped = await reader.until(phase_is("Stopped"))
        assert (stopped.data["proven"], stopped.data["finishedAt"]) == (True, stopped.data["stop"]["confirmedAt"])
        assert not any(each.data["proven"] for each in reader.seen[:-1] if each.kind == "task")
        order = json.dumps({"name": "o", "selector": {}}).encode()
        await api.ask("POST", f"/namespaces/{ns.name}/stoporders", order)
        done = await reader.until(lambda each: each.kind == "stoporder" and each.data["status"]["phase"] == "Complete")
        assert done.data["name"] == "o"
        await ns.delete_task("a")
        gone = await reader.until(lambda each: each.kind == "removed")
        assert gone.data == {"kind": "AgentTask", "id": uid, "namespace": ns.name, "name": "a"}
    schemas = {"task": "Task", "stoporder": "Order"}
    for event in reader.seen:
        if event.kind in schemas:
            validate({"$ref": f"#/components/schemas/{schemas[event.kind]}"}, event.data)


async def test_who_comes_back_gets_what_he_missed_and_no_more(
    ns: Namespace, operator: Operator, gateway: Gateway, api: ApiClient, cluster: Cluster
) -> None:
    for name in ("a", "b", "c"):
        await made(ns, name, agents.graceful())
        await ns.running(name)
    async with following(gateway, api.key, f"namespace={ns.name}") as reader:
        assert {each.data["name"] for each in await reader.synced()} == {"a", "b", "c"}
    other = await Gateway.start(cluster, kubeconfig=gateway_kubeconfig(cluster))
    try:
        key = other.keys.add("jane")
        # The other replica must have been there before what is missed.
        async with following(other, key, f"namespace={ns.name}", reader.last_id) as moved:
            await moved.synced()
            mark = moved.last_id
        await ns.stop("a")
        await ns.ended("a")
        await ns.delete_task("b")
        for each, its_key in ((gateway, api.key), (other, key)):
            async with following(each, its_key, f"namespace={ns.name}", mark) as back:
                seen = await back.synced()
                if "a" not in back.names() or "removed" not in {event.kind for event in back.seen}:
                    await back.until(lambda event: event.kind == "removed")
                    seen = back.seen
                assert {event.kind for event in seen} - {"synced"} == {"task", "removed"}, seen
                assert set(back.names()) == {"a", "b"}
    finally:
        await other.program.end()


async def test_who_was_away_for_too_long_begins_anew(
    ns: Namespace, operator: Operator, gateway: Gateway, api: ApiClient
) -> None:
    await made(ns, "a")
    await ns.running("a")
    for mark in ("1.1.1", "no mark", "1"):
        async with following(gateway, api.key, f"namespace={ns.name}", mark) as reader:
            seen = await reader.synced()
            assert [each.kind for each in seen] == ["reset", "task"]


async def test_what_matches_no_more_is_removed(
    ns: Namespace, operator: Operator, gateway: Gateway, api: ApiClient
) -> None:
    await made(ns, "a", agent="x")
    await made(ns, "b", agent="y")
    await ns.running("a")
    await ns.running("b")
    await ns.merge_task("a", {"metadata": {"labels": {"team": "x"}}})
    query = f"namespace={ns.name}&agent=x&labelSelector=team%3Dx"
    async with following(gateway, api.key, query) as reader:
        await reader.synced()
        if not reader.names():
            await reader.until(lambda each: each.kind == "task")
        assert reader.names() == ["a"]
        await ns.merge_task("b", {"metadata": {"labels": {"team": "x"}}})
        await ns.merge_task("a", {"metadata": {"labels": {"team": "y"}}})
        removed = await reader.next()
        assert (removed.kind, removed.data["name"]) == ("removed", "a")


async def test_a_key_that_is_revoked_ends_its_streams(
    ns: Namespace, operator: Operator, gateway: Gateway, people: People
) -> None:
    await people.bind("jane", "agentstop-view")
    key = gateway.keys.add("jane", name="short-lived")
    async with following(gateway, key, f"namespace={ns.name}") as reader:
        await reader.synced()
        gateway.keys.revoke("short-lived")
        with pytest.raises(StopAsyncIteration):
            await reader.until(lambda _: False)


async def test_the_gateways_end_is_the_streams_end(ns: Namespace, cluster: Cluster, people: People) -> None:
    await people.bind("jane", "agentstop-view")
    gateway = await Gateway.start(cluster, kubeconfig=gateway_kubeconfig(cluster))
    async with following(gateway, gateway.keys.add("jane"), f"namespace={ns.name}") as reader:
        await reader.synced()
        ending = asyncio.create_task(gateway.program.end())
        with pytest.raises(StopAsyncIteration):
            await reader.until(lambda _: False)
        await ending


@pytest.mark.needs(Feature.RBAC)
async def test_others_see_nothing_of_it(ns: Namespace, operator: Operator, gateway: Gateway, people: People) -> None:
    await made(ns, "a")
    await ns.running("a")
    joe = ApiClient(gateway, PREFIX, gateway.keys.add("joe"))
    answer = await joe.ask("GET", f"/events?namespace={ns.name}")
    assert (answer.code, 'User "joe" cannot' in answer.body["detail"]) == (403, True)
    async with following(gateway, joe.key, "") as reader:
        # He may have rights in the namespaces of other tests: what those leave behind is not collected here.
        assert not [each for each in await reader.synced() if each.data.get("namespace") == ns.name]
        await ns.stop("a")
        await ns.ended("a")
        await people.bind("joe", "agentstop-view")
        await made(ns, "b")
        # What he had no right to see comes once he has it, though it has changed before.
        first = await reader.until(lambda each: each.kind == "task" and each.data["name"] == "a")
        assert first.data["phase"] == "Stopped"
        if "b" not in reader.names():
            await reader.until(lambda each: each.kind == "task" and each.data["name"] == "b")
