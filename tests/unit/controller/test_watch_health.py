"""What tells a quiet cluster from a blind operator."""

import asyncio
from collections.abc import AsyncIterator

import kopf
import pytest
from aiohttp import web

from agentstop.controller.handlers import Sessions
from agentstop.controller.watch_health import WatchHealth
from agentstop.timings import TIMINGS
from tests.support.programs import free_port

TASKS = "/apis/agentstop.dev/v1alpha1"


class Clock:
    now = 100.0


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def watch_health(clock: Clock) -> WatchHealth:
    return WatchHealth(lambda: clock.now)


def test_a_watch_that_never_begins_is_silent_from_the_start(watch_health: WatchHealth, clock: Clock) -> None:
    watch_health.expect(())
    clock.now = 200.0
    watch_health.note(f"https://x{TASKS}/agenttasks?watch=true&resourceVersion=7")

    assert dict(watch_health.oldest()) == {
        "AgentTask": 200.0,
        "Pod": 100.0,
        "StopOrder": 100.0,
        "ClusterStopOrder": 100.0,
        "Namespace": 100.0,
    }


def test_the_watches_without_which_nothing_is_stopped_are_awaited(watch_health: WatchHealth) -> None:
    watch_health.expect(("one", "two"))
    awaited = [watch_health.awaited()]
    for where in (f"{TASKS}/namespaces/%s/agenttasks", "/api/v1/namespaces/%s/pods"):
        for namespace in ("one", "two"):
            watch_health.note(f"https://x{where % namespace}?watch=true")
            awaited.append(watch_health.awaited())

    assert awaited == ["AgentTask", "AgentTask", "Pod", "Pod", None]


def test_single_namespaces_have_no_watches_of_the_whole_cluster(watch_health: WatchHealth) -> None:
    watch_health.expect(("a", "b"))

    assert {kind for kind, _ in watch_health.oldest()} == {"AgentTask", "Pod", "StopOrder"}


def test_one_watch_that_hears_does_not_hide_another_that_is_deaf(watch_health: WatchHealth, clock: Clock) -> None:
    watch_health.expect(("a", "b"))
    clock.now = 200.0
    watch_health.note(f"https://x{TASKS}/namespaces/a/agenttasks?watch=true")
    assert dict(watch_health.oldest())["AgentTask"] == 100.0

    watch_health.note(f"https://x{TASKS}/namespaces/b/agenttasks?watch=true")
    assert dict(watch_health.oldest())["AgentTask"] == 200.0


@pytest.mark.parametrize(
    "url", [f"{TASKS}/agenttasks?limit=250", TASKS, "/version?watch=true", "/api/v1/nodes?watch=true"]
)
def test_what_is_no_contact_of_a_watch(watch_health: WatchHealth, clock: Clock, url: str) -> None:
    watch_health.expect(())
    clock.now = 200.0
    watch_health.note(f"https://x{url}")

    assert set(dict(watch_health.oldest()).values()) == {100.0}


def test_a_watch_without_contact_is_blind_and_says_why(watch_health: WatchHealth, clock: Clock) -> None:
    watch_health.expect(("a", "b"))
    clock.now += TIMINGS.blind_seconds + 1
    for kind in ("Pod", "AgentTask", "StopOrder"):
        watch_health.heard(kind, "a")
        watch_health.heard(kind, "b")
    assert watch_health.blind() is None

    watch_health.failed("Pod", "b", "pods is forbidden")
    assert watch_health.blind() is None
    clock.now += TIMINGS.blind_seconds + 1
    for kind, namespace in (("AgentTask", "a"), ("AgentTask", "b"), ("Pod", "a"), ("StopOrder", "a")):
        watch_health.heard(kind, namespace)
    assert watch_health.blind() == "the watch of Pod in namespace b is blind since 91 seconds: pods is forbidden"
    watch_health.heard("Pod", "b")
    assert watch_health.blind() == (
        "the watch of StopOrder in namespace b is blind since 91 seconds: the API server does not answer it"
    )
    watch_health.heard("StopOrder", "b")
    assert watch_health.blind() is None


class Server:
    """Answers watches, and says nothing in them."""

    status = 200
    asked = 0

    async def watch(self, request: web.Request) -> web.StreamResponse:
        self.asked += 1
        answer = web.StreamResponse(status=self.status)
        await answer.prepare(request)
        await asyncio.Event().wait()
        return answer


@pytest.fixture
def server() -> Server:
    return Server()


@pytest.fixture
async def url(server: Server) -> AsyncIterator[str]:
    app = web.Application()
    app.router.add_get(f"{TASKS}/agenttasks", server.watch)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    port = free_port()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    yield f"http://127.0.0.1:{port}"
    await runner.cleanup()


@pytest.mark.parametrize(("status", "heard"), [(200, 200.0), (403, 100.0)])
async def test_an_answer_counts_before_anything_comes(
    watch_health: WatchHealth, clock: Clock, server: Server, url: str, status: int, heard: float
) -> None:
    watch_health.expect(())
    server.status = status
    clock.now = 200.0
    session = Sessions(watch_health).session(kopf.ConnectionInfo(server=url)).aiohttp_session
    async with session, session.get(f"{url}{TASKS}/agenttasks?watch=true") as answer:
        assert answer.status == status

    assert dict(watch_health.oldest())["AgentTask"] == heard


async def test_credentials_that_were_refused_are_known_again(watch_health: WatchHealth) -> None:
    """kopf gives up on credentials that it has tried; with a new session each time it would try for ever."""
    sessions = Sessions(watch_health)
    first = sessions.session(kopf.ConnectionInfo(server="http://127.0.0.1:1", token="a"))
    assert sessions.session(kopf.ConnectionInfo(server="http://127.0.0.1:1", token="a")) == first

    second = sessions.session(kopf.ConnectionInfo(server="http://127.0.0.1:1", token="b"))
    assert second != first
    assert second.aiohttp_session.headers["Authorization"] == "Bearer b"
    await first.aiohttp_session.close()
    await second.aiohttp_session.close()
