"""What people do with every platform: stop, and poll until it says stopped. It is never said before the proof."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import pytest

from agentstop.gateway.dialects.wexa.ids import task_id
from tests.support import agents
from tests.support.clusters import Cluster, Feature
from tests.support.gateways import Client, Gateway
from tests.support.laws import status
from tests.support.namespaces import Namespace
from tests.support.nodes import dead_kubelet
from tests.support.operators import Operator
from tests.support.waiting import PATIENCE, until

from .api import made

PAUSE_SECONDS = 0.1
UNREACHABLE_SECONDS = 3.0


def same(uid: str) -> str:
    return uid


def at_the_top(page: Any) -> str:
    return str(page["status"])


@dataclass(frozen=True, kw_only=True)
class Speaker:
    """How a client of a dialect stops a task, and learns what became of it."""

    prefix: str
    page: str
    """A task's page; `{id}` stands for what the dialect calls it."""
    stop: str
    taken: int
    """Code of a stop that is taken."""
    too_late: int
    """Code of a stop of a task that has ended."""
    stopped: str
    completed: str
    name: Callable[[str], str] = same
    method: str = "POST"
    """How a stop is sent."""
    body: bytes | None = None
    word: Callable[[Any], str] = at_the_top
    """Where on a task's page it says how things are."""


BLACKBOX = Speaker(
    prefix="/blackbox",
    page="/api/v1/tasks/{id}",
    stop="/api/v1/tasks/{id}",
    method="PATCH",
    body=b'{"action": "cancel"}',
    taken=200,
    too_late=400,
    stopped="cancelled",
    completed="completed",
)

SPEAKERS = {
    "xpander": Speaker(
        prefix="/xpander",
        page="/v1/tasks/{id}",
        stop="/v1/tasks/{id}/stop",
        taken=200,
        too_late=200,
        stopped="stopped",
        completed="completed",
    ),
    "wexa": Speaker(
        prefix="/wexa",
        page="/task/{id}",
        stop="/task/{id}/stop",
        name=task_id,
        taken=201,
        too_late=201,
        stopped="cancelled",
        completed="completed",
    ),
    "maia": Speaker(
        prefix="/maia/dpc",
        page="/v1/ai/agents/tasks/{id}",
        stop="/v1/ai/agents/tasks/{id}/stop",
        taken=204,
        too_late=409,
        stopped="STOPPED",
        completed="STOPPED",
    ),
    "blackbox": replace(
        BLACKBOX,
        page="/api/tasks/{id}",
        stop="/api/tasks/{id}",
        body=b'{"action": "stop"}',
        word=lambda page: str(page["task"]["status"]),
        stopped="stopped",
    ),
    "blackbox v1": BLACKBOX,
    "a2a": Speaker(
        prefix="/a2a",
        page="/tasks/{id}",
        stop="/tasks/{id}:cancel",
        word=lambda page: str(page["status"]["state"]),
        taken=200,
        too_late=400,
        stopped="TASK_STATE_CANCELED",
        completed="TASK_STATE_COMPLETED",
    ),
}


class Talk:
    """A conversation in one dialect, about the tasks of one namespace."""

    def __init__(self, ns: Namespace, client: Client, speaker: Speaker) -> None:
        self._ns = ns
        self._client = client
        self.speaker = speaker

    async def said(self, uid: str, names: Sequence[str]) -> str:
        """Return the word for where a task is. None for stopped is said while a process of it is there."""
        page = self.speaker.page.format(id=self.speaker.name(uid))
        word = self.speaker.word(await self._client.get(page))
        if word == self.speaker.stopped:
            assert not [each for name in names for each in self._ns.processes(name)], f"{word} is no proof"
        return word

    async def stop(self, uid: str, code: int | None = None) -> Any:
        """Stop a task, and return what is answered."""
        path = self.speaker.stop.format(id=self.speaker.name(uid))
        headers = {"Content-Type": "application/json"} if self.speaker.body is not None else {}
        answer = await self._client.ask(self.speaker.method, path, self.speaker.body, **headers)
        assert answer.code == (code or self.speaker.taken), answer
        return answer.body

    async def until_stopped(self, uid: str, *names: str) -> None:
        """Poll until it says stopped."""

        async def says_so() -> bool:
            return await self.said(uid, names) == self.speaker.stopped

        await until(says_so, PATIENCE, self.speaker.stopped)


@pytest.fixture(params=list(SPEAKERS))
def talk(request: pytest.FixtureRequest, ns: Namespace, gateway: Gateway, jane: str) -> Talk:
    speaker = SPEAKERS[request.param]
    return Talk(ns, Client(gateway, speaker.prefix, jane), speaker)


@pytest.mark.parametrize("script", [agents.graceful(1), agents.DEAF], ids=["graceful", "deaf"])
async def test_a_task_that_runs(ns: Namespace, operator: Operator, talk: Talk, script: str) -> None:
    uid = await made(ns, "a", script, grace=3)
    await ns.running("a")
    stopping = asyncio.create_task(talk.stop(uid))
    await talk.until_stopped(uid, "a")
    await stopping


async def test_a_task_that_never_started(ns: Namespace, operator: Operator, talk: Talk) -> None:
    task = await ns.create_task("a", agents.template(nodeSelector={"nobody": "has-it"}))
    uid = task["metadata"]["uid"]
    await ns.until("a", lambda each: bool(status(each).get("workload")), what="seen by the operator")
    await talk.stop(uid)
    await talk.until_stopped(uid, "a")


async def test_a_paused_task(ns: Namespace, operator: Operator, talk: Talk) -> None:
    uid = await made(ns, "a", paused=True)
    await ns.phase("a", "Paused")
    assert await talk.said(uid, ["a"]) != talk.speaker.stopped
    await talk.stop(uid)
    await talk.until_stopped(uid, "a")


async def test_a_finished_task(ns: Namespace, operator: Operator, talk: Talk) -> None:
    uid = await made(ns, "a", agents.ending(0))
    await ns.ended("a")
    version = (await ns.task("a"))["metadata"]["resourceVersion"]
    await talk.stop(uid, talk.speaker.too_late)
    assert await talk.said(uid, ["a"]) == talk.speaker.completed
    assert (await ns.task("a"))["metadata"]["resourceVersion"] == version


async def test_a_whole_family(ns: Namespace, operator: Operator, talk: Talk) -> None:
    parents = {"a": None, "b": "a", "c": "b"}
    uids: dict[str, str] = {}
    for name, parent in parents.items():
        spec = {"parentRef": {"name": parent}} if parent else {}
        uids[name] = await made(ns, name, agents.graceful(), **spec)
        await ns.running(name)
    await talk.stop(uids["a"])
    for name, uid in uids.items():
        await talk.until_stopped(uid, name)


@pytest.mark.needs(Feature.REHEARSAL)
async def test_a_task_that_cannot_be_reached(ns: Namespace, operator: Operator, talk: Talk, cluster: Cluster) -> None:
    uid = await made(ns, "a", agents.graceful(), grace=1)
    await ns.running("a")
    async with dead_kubelet(cluster):
        stopping = asyncio.create_task(talk.stop(uid))
        await ns.stalled("a", "NodeUnreachable")
        async with asyncio.timeout(PATIENCE):
            await stopping
        for _ in range(round(UNREACHABLE_SECONDS / PAUSE_SECONDS)):
            assert await talk.said(uid, ["a"]) != talk.speaker.stopped
            await asyncio.sleep(PAUSE_SECONDS)
    await talk.until_stopped(uid, "a")
