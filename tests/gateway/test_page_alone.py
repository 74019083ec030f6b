"""The page before a pretended API server: thousands of tasks, hostile ones, callers with few rights, and no sight."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any, cast

import pytest
from aiohttp.test_utils import TestServer
from playwright.async_api import Browser, Route, expect

from agentstop.api.task import KIND
from agentstop.cluster.errors import ApiError
from agentstop.cluster.transport import Transport
from agentstop.gateway import page as the_page
from agentstop.gateway.access import CallerAccess
from agentstop.gateway.app import Application
from agentstop.gateway.callers import CredentialCallers
from agentstop.gateway.changes import Changes
from agentstop.gateway.dialect import Core
from agentstop.gateway.dialects import api
from agentstop.gateway.index import TaskIndex
from agentstop.gateway.metrics import Metrics
from agentstop.gateway.order_index import OrderIndex
from agentstop.gateway.page.rendering import STATIC_PREFIX
from agentstop.gateway.page.task_list import ROWS
from agentstop.gateway.streams import Streams
from agentstop.gateway.throttle import Throttle
from agentstop.words.durations import spell
from tests.support import browsers
from tests.support.browsers import Window, window

pytestmark = [
    pytest.mark.skipif(browsers.missing() is not None, reason=browsers.missing() or ""),
    pytest.mark.xdist_group("gateway page"),
]

Raw = dict[str, Any]
Rights = Callable[[Raw], bool]

MANY = 5000
MARKUP = "<script>alert(1)</script><img src=x onerror=alert(2)>\"'&lt;{{ 7 * 7 }}"
"""What an agent would have somebody's browser run."""


@dataclass
class Stand:
    """A gateway in this process, with what it knows."""

    url: str
    changes: Changes

    def tell(self, *tasks: Raw) -> None:
        """Have it hear of tasks."""
        for each in tasks:
            self.changes.changed(KIND, "MODIFIED", each)


class _Server:
    """Stands for the API server."""

    def __init__(self, rights: Rights, objects: Mapping[str, Raw]) -> None:
        self._rights = rights
        self._objects = objects

    async def call(self, method: str, where: str, query: Any = None, body: Any = None, *_: Any, **__: Any) -> Raw:
        if "selfsubjectaccessreviews" in where:
            return {"status": {"allowed": self._rights(body["spec"]["resourceAttributes"])}}
        if where.endswith("/events"):
            return {"items": []}
        if where in self._objects:
            return self._objects[where]
        raise ApiError(403, "Forbidden", f"nobody may {method} {where}")


@asynccontextmanager
async def stand(
    *tasks: Raw, rights: Rights = lambda _: True, objects: Mapping[str, Raw] = MappingProxyType({})
) -> AsyncIterator[Stand]:
    """Serve the pages of these tasks; `objects` are what else the API server has, by their paths."""
    index = TaskIndex()
    changes = Changes(index, OrderIndex())
    for each in tasks:
        changes.changed(KIND, None, each)
    transport = cast("Transport", _Server(rights, objects))
    streams = Streams()
    core = Core(
        index=index,
        changes=changes,
        access=CallerAccess(transport, transport, time.monotonic),
        callers=CredentialCallers(None, Throttle(time.monotonic), time.monotonic),
        streams=streams,
        wait=0.01,
    )
    application = Application(core, [the_page.DIALECT, api.DIALECT], Metrics(index, streams))
    async with TestServer(application.served()) as server:
        try:
            yield Stand(str(server.make_url("")).rstrip("/"), changes)
        finally:
            index.close()


@asynccontextmanager
async def looking(browser: Browser, at: Stand) -> AsyncIterator[Window]:
    async with window(browser, at.url, token="secret") as shown:
        yield shown


def task(number: int, version: int = 1, phase: str = "Running", **more: Any) -> Raw:
    status = {"observedGeneration": 1, "phase": phase, "startedAt": "2026-01-01T00:00:00Z", **more.pop("status", {})}
    return {
        "apiVersion": "agentstop.dev/v1alpha1",
        "kind": KIND,
        "metadata": {
            "name": f"task-{number:05}",
            "namespace": more.pop("namespace", f"team-{number % 7}"),
            "uid": f"00000000-0000-4000-8000-{number:012}",
            "resourceVersion": str(version),
            "generation": 1,
            "creationTimestamp": f"2026-01-01T{number // 3600:02}:{number // 60 % 60:02}:{number % 60:02}Z",
            "labels": more.pop("labels", {"half": str(number % 2)}),
        },
        "spec": {"agent": f"agent-{number % 11}", **more},
        "status": status,
    }


async def test_five_thousand_tasks_are_searched_and_followed_a_page_at_a_time(browser: Browser) -> None:
    async with stand(*(task(each) for each in range(MANY))) as at, looking(browser, at) as shown:
        page = shown.page
        rows = page.locator("#rows > .row")
        await shown.open("/")
        await expect(rows).to_have_count(ROWS)
        await expect(page.locator("#phases")).to_contain_text("All 5,000")
        await page.get_by_role("link", name="Older").click()
        await expect(page.locator("#pages")).to_contain_text("101 to 200 of 5,000")
        await expect(rows.first).to_contain_text("task-04899")
        await page.go_back()
        await expect(rows.first).to_contain_text("task-04999")

        await page.get_by_label("Search").press_sequentially("team-3 task-00003")
        await expect(rows).to_have_count(1)
        await expect(page).to_have_url(f"{at.url}/?q=team-3+task-00003")
        await page.reload()
        await shown.live()
        await expect(rows).to_have_count(1)
        await page.get_by_label("Search").fill("")
        await page.get_by_label("Labels").fill("half=1,")
        await expect(page.locator("#empty")).to_contain_text("is no label selector")
        await page.get_by_label("Labels").fill("half=1")
        await expect(page.locator("#phases")).to_contain_text("All 2,500")

        # All of them change, and the page says what has become of them; whoever has the focus keeps it.
        await page.get_by_label("Labels").focus()
        for each in range(MANY):
            at.tell(task(each, version=2, phase="Completed", status={"finishedAt": "2026-01-02T00:00:00Z"}))
            if each % 100 == 0:
                await asyncio.sleep(0)
        await expect(page.locator("#phases")).to_contain_text("Completed 2,500")
        await expect(rows.first).to_contain_text("Completed")
        await expect(rows).to_have_count(ROWS)
        await expect(page.get_by_label("Labels")).to_be_focused()


async def test_whatever_a_task_says_is_text(browser: Browser) -> None:
    stop = {
        "source": "User",
        "requestedBy": MARKUP,
        "reason": "Evil",
        "message": MARKUP,
        "verdict": MARKUP,
        "acceptedAt": "2026-01-01T00:00:01Z",
        "gracePeriodSeconds": 5,
    }
    container = {"name": MARKUP, "exitCode": 1, "reason": MARKUP, "finishedAt": "2026-01-01T00:00:02Z"}
    condition = {"type": "Stopped", "status": "True", "reason": MARKUP, "message": MARKUP}
    evil = task(
        1,
        agent=MARKUP,
        externalID=MARKUP,
        labels={"a": MARKUP},
        status={
            "stop": stop,
            "conditions": [{**condition, "lastTransitionTime": "2026-01-01T00:00:02Z"}],
            "workload": {
                "kind": "Pod",
                "name": MARKUP,
                "pods": [{"name": MARKUP, "node": MARKUP, "containers": [container]}],
            },
        },
        phase="Stopped",
    )
    async with stand(evil) as at, looking(browser, at) as shown:
        page = shown.page
        for version, path in enumerate(("/", f"/tasks/{evil['metadata']['uid']}", f"/?q={MARKUP[:20]}"), start=2):
            await shown.open(path)
            await expect(page.locator("main")).to_contain_text(MARKUP)
            told = f"{MARKUP} again {version}"
            metadata = {**evil["metadata"], "resourceVersion": str(version)}
            at.tell({**evil, "metadata": metadata, "spec": {**evil["spec"], "agent": told}})
            await expect(page.locator("main")).to_contain_text(told)
            assert await page.locator("main script, main img").count() == 0
        answer = await page.goto(at.url)
        assert answer is not None
        policy = answer.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy


@pytest.mark.parametrize(
    ("verbs", "buttons", "emergency"),
    [
        ({"get", "list"}, [], 0),
        ({"get", "list", "patch"}, ["Stop"], 0),
        ({"get", "list", "patch", "update", "create"}, ["Freeze", "Pause", "Stop"], 1),
    ],
)
async def test_what_somebody_has_no_right_to_is_not_offered(
    browser: Browser, verbs: set[str], buttons: list[str], emergency: int
) -> None:
    async with stand(task(1), rights=lambda asked: asked["verb"] in verbs) as at, looking(browser, at) as shown:
        page = shown.page
        await shown.open("/")
        await expect(page.locator("#rows button")).to_have_count(1 if buttons else 0)
        await expect(page.get_by_role("link", name="Emergency stop")).to_have_count(emergency)
        await page.get_by_role("link", name="task-00001").click()
        await shown.live()
        shown_buttons = [each.split()[0] for each in await page.locator("#head button").all_inner_texts()]
        assert shown_buttons == buttons
        await page.goto(f"{at.url}/emergency")
        await expect(page.locator("h1")).to_have_text("Emergency stop" if emergency else "Forbidden")


async def test_a_page_without_tasks_says_what_to_do(browser: Browser) -> None:
    async with stand() as at, looking(browser, at) as shown:
        await shown.open("/")
        await expect(shown.page.locator("#empty")).to_contain_text("kubectl apply")
        await shown.is_fit()
        at.tell(task(1))
        await expect(shown.page.locator("#rows")).to_contain_text("task-00001")
        await expect(shown.page.locator("#empty")).to_be_empty()


async def test_a_gateway_that_does_not_see_the_cluster_calls_nothing_live(browser: Browser) -> None:
    started = datetime.now(UTC).isoformat()
    async with stand(task(1, version=7, status={"startedAt": started})) as at, looking(browser, at) as shown:
        page = shown.page
        await shown.open("/")
        with blind(at):
            await expect(page.locator("#connection")).to_have_text("Not live")
            await expect(page.locator("#lost")).to_contain_text("cannot see the cluster")
            clock = await page.locator("#rows time").text_content()
            await page.goto(at.url)
            await expect(page.get_by_role("alert")).to_contain_text("the API server is away")
        await shown.live()
        await expect(page.locator("#rows time")).not_to_have_text(clock or "")


async def test_a_task_that_is_deleted_is_said_to_be_gone(browser: Browser) -> None:
    gone = task(1)
    async with stand(gone) as at, looking(browser, at) as shown:
        await shown.open(f"/tasks/{gone['metadata']['uid']}")
        at.changes.changed(KIND, "DELETED", gone)
        await expect(shown.page.locator("#lost")).to_contain_text("not there any more")
        await expect(shown.page.locator("#connection")).to_have_text("Gone")


async def test_a_page_that_was_called_old_can_still_be_gone(browser: Browser) -> None:
    gone = task(1)
    async with stand(gone) as at, looking(browser, at) as shown:
        await shown.open(f"/tasks/{gone['metadata']['uid']}")
        with blind(at):
            await expect(shown.page.locator("#connection")).to_have_text("Not live")
            at.changes.changed(KIND, "DELETED", gone)
        await expect(shown.page.locator("#connection")).to_have_text("Gone")


async def test_a_page_that_is_asked_for_something_else_while_it_waits_follows_that_alone(browser: Browser) -> None:
    count = """
        window.sources = [];
        window.EventSource = class extends EventSource {
            constructor(url) { super(url); window.sources.push(this); }
        };"""
    async with stand(task(1)) as at, looking(browser, at) as shown:
        page = shown.page
        await page.add_init_script(count)
        await page.clock.install()
        await shown.open("/")
        await page.evaluate("() => { sources.at(-1).dispatchEvent(new Event('error')); }")
        await page.evaluate("() => { window.dispatchEvent(new Event('online')); }")
        await shown.live()
        await page.clock.run_for(5000)
        assert await page.evaluate("() => sources.length") == 2
        assert await page.evaluate("() => sources.filter((each) => each.readyState !== 2).length") == 1


async def test_the_browser_spells_durations_as_the_gateway_does(browser: Browser) -> None:
    seconds = (0.0, 0.04, 0.3, 4.46, 9.9, 9.96, 42.0, 119.0, 190.0, 601.0, 8000.0, 200_000.0, 1_000_000.0)
    async with stand() as at, looking(browser, at) as shown:
        await shown.open("/")
        spelt = await shown.page.evaluate(
            "async ([where, all]) => all.map((await import(where)).spell)", [f"{STATIC_PREFIX}/clock.js", seconds]
        )
        assert spelt == [spell(each) for each in seconds]


async def test_an_order_that_is_sent_twice_leads_to_the_one_that_was_made(browser: Browser) -> None:
    where = "/apis/agentstop.dev/v1alpha1/namespaces/ns/stoporders/drill"
    report = {"running": 1, "waiting": 0, "longestGraceSeconds": 5, "groupCount": 0, "problemCount": 0}
    drill = {
        "metadata": {"name": "drill", "namespace": "ns", "uid": "u", "creationTimestamp": "2026-01-01T00:00:00Z"},
        "spec": {"selector": {}, "drill": True},
        "status": {"phase": "Drilled", "drill": report},
    }
    async with stand(objects={where: drill}) as at, looking(browser, at) as shown:
        page = shown.page
        sent: list[Any] = []

        async def answer(route: Route) -> None:
            sent.append((route.request.post_data_json or {})["name"])
            if len(sent) == 1:
                await route.abort()  # it was made, and the answer is lost
            else:
                await route.fulfill(status=409, json={"detail": "it exists already"})

        await page.route("**/api/v1/**", answer)
        await shown.open("/emergency/ns/drill")
        await page.get_by_label("to confirm").fill("ns")
        await page.get_by_role("button", name="Stop everything").click()
        await expect(page.locator("#order-form [role=alert]")).to_contain_text("does not answer")
        await page.get_by_role("button", name="Stop everything").click()
        await expect(page).to_have_url(f"{at.url}/namespaces/ns/stoporders/{sent[0]}")
        assert sent == [sent[0]] * 2


@contextmanager
def blind(at: Stand) -> Iterator[None]:
    at.changes.failed(KIND, "", "the API server is away")
    yield
    at.changes.heard(KIND, "")


async def test_each_limit_of_a_budget_has_a_bar_that_can_be_heard_and_a_figure_in_the_list(browser: Browser) -> None:
    family = {"cost": "33.1", "currency": "USD", "totalTokens": 4_842_500, "turns": 503}
    usage = {"cost": "12.41", "currency": "USD", "totalTokens": 842_500, "turns": 118}
    times = {"asOf": "2026-01-01T00:01:00Z", "lastActivityAt": "2026-01-01T00:00:30Z"}
    condition = {"type": "BudgetExceeded", "status": "True", "reason": "TurnsExceeded", "message": "503 of 500 turns"}
    budget = {"maxCost": "40.0", "maxTokens": 5_000_000, "maxTurns": 500, "maxIdleSeconds": 900}
    status = {"usage": {**usage, **times, "family": family}, "conditions": [condition]}
    spends = task(80_001, budget={**budget, "scope": "Family", "action": "Observe"}, status=status)
    counted = task(80_002, status={"usage": {**usage, **times}})
    async with stand(spends, counted, task(80_003)) as at, looking(browser, at) as shown:
        page = shown.page
        await shown.open("/")
        row = page.locator("#rows > .row", has_text="task-80001")
        await expect(row).to_contain_text("12.41 USD")
        await expect(row).to_contain_text("100% of its turns")
        await shown.is_fit()
        await row.get_by_role("link").click()
        for what, said in (
            ("Cost", "33.10 of 40.00 USD"),
            ("Tokens", "4,842,500 of 5,000,000 tokens"),
            ("Turns", "503 of 500 turns"),
            ("Silence", "of 15m"),
        ):
            bar = page.get_by_role("meter", name=what)
            await expect(bar).to_be_visible()
            assert said in (await bar.get_attribute("aria-valuetext") or "")
        await expect(page.locator("#why")).to_contain_text("the budget only observes")
        await shown.is_fit()

        await shown.open(f"/tasks/{counted['metadata']['uid']}")
        await expect(page.locator("#budget h2")).to_have_text("Usage")
        await expect(page.get_by_role("meter")).to_have_count(0)
        await shown.open(f"/tasks/{task(80_003)['metadata']['uid']}")
        await expect(page.locator("#budget h2")).to_have_count(0)
