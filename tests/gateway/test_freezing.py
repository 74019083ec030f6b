"""Freezes by HTTP and by the page, of processes that a node really stops and lets go on."""

from collections.abc import AsyncIterator

import pytest
from playwright.async_api import Browser, Page, expect

from agentstop.gateway.dialects.wexa.ids import task_id
from tests.support import browsers
from tests.support.browsers import Window, window
from tests.support.gateways import Client, Gateway
from tests.support.laws import exit_code, status, stop_of
from tests.support.namespaces import Namespace
from tests.support.operators import Operator, Operators
from tests.support.waiting import PATIENCE, until

from .api import PREFIX, ApiClient, made
from .conftest import FREEZING
from .test_api_orders import body

pytestmark = pytest.mark.on(FREEZING)

BEATING = (
    "trap 'echo checkpoint; exit 0' TERM; n=0; echo ready; while :; do n=$((n + 1)); echo beat $n; sleep 0.02; done"
)
"""Says a number again and again, and never the same one twice; ends well on SIGTERM."""

SILENCE = 1.0
ON_THE_WAY = 0.5
"""Seconds for which nothing may be heard, and after which all is written that was said before."""


@pytest.fixture
async def operator(ns: Namespace, operators: Operators) -> AsyncIterator[Operator]:
    """An operator that asks the node."""
    yield await operators.start(ns.name, options=["--ask-nodes"])
    await operators.end_private()


@pytest.fixture
def key(gateway: Gateway) -> str:
    return gateway.keys.add("jane")


@pytest.fixture
def api(gateway: Gateway, key: str) -> ApiClient:
    return ApiClient(gateway, PREFIX, key)


async def beats(ns: Namespace, name: str) -> list[int]:
    return [int(line.split()[-1]) for line in (await ns.logs(name)).splitlines() if "beat " in line]


async def beating(ns: Namespace, *names: str) -> list[str]:
    """Have agents run that write all the time; returns their UIDs."""
    uids = [await made(ns, name, BEATING, grace=20, agent="crawler") for name in names]
    for name in names:
        await ns.running(name)
        await goes_on(ns, name, 0)
    return uids


async def is_silent(ns: Namespace, name: str) -> int:
    await ns.nothing_happens(ON_THE_WAY)
    before = await beats(ns, name)
    await ns.nothing_happens(SILENCE)
    assert await beats(ns, name) == before
    return before[-1]


async def goes_on(ns: Namespace, name: str, before: int) -> None:
    async def further() -> bool:
        return (await beats(ns, name) or [0])[-1] > before

    await until(further, PATIENCE, f"{name} at work again")
    numbers = await beats(ns, name)
    assert numbers == list(range(1, numbers[-1] + 1)), "it began again"


async def test_a_task_is_paused_by_a_freeze_and_goes_on(ns: Namespace, operator: Operator, api: ApiClient) -> None:
    (uid,) = await beating(ns, "a")
    answer = await api.ask("POST", f"/tasks/{uid}/pause", body(pausePolicy="Freeze"))
    found = answer.body
    assert (answer.code, found["phase"], found["frozen"], found["pausePolicy"]) == (200, "Paused", True, "Freeze")
    assert "frozenBy" not in found
    assert found["workload"]["pods"][0]["frozenAt"] <= found["pausedAt"]
    (listed,) = (await api.get(f"/tasks?namespace={ns.name}"))["items"]
    assert listed["frozen"] is True
    last = await is_silent(ns, "a")
    facts = (await api.get(f"/tasks/{uid}/why"))["facts"]
    assert [each for each in facts if each.startswith("frozen by its own spec since ")]

    answer = await api.ask("POST", f"/tasks/{uid}/resume")
    assert (answer.code, answer.body["phase"], answer.body["frozen"]) == (200, "Running", False)
    await goes_on(ns, "a", last)
    assert status(await ns.task("a"))["attempts"] == 1


@pytest.mark.parametrize(("verb", "verdict"), [("stop", "graceful"), ("kill", "killed")])
async def test_an_order_halts_first_and_then_ends_what_it_froze(
    ns: Namespace, operator: Operator, api: ApiClient, verb: str, verdict: str
) -> None:
    uids = await beating(ns, "a", "b")
    where = f"/namespaces/{ns.name}/stoporders"
    answer = await api.ask("POST", where, body(name="halt", selector={}, freeze=True))
    found = answer.body["status"]
    assert (answer.code, found["phase"], found["matched"], found["frozen"]) == (201, "Frozen", 2, 2)
    assert found["freezeSeconds"] >= 0
    for uid in uids:
        task = await api.get(f"/tasks/{uid}")
        assert (task["frozen"], task["frozenBy"]["name"], task["pauseRequested"]) == (True, "halt", False)
        refused = await api.ask("POST", f"/tasks/{uid}/resume")
        assert (refused.code, "frozen by StopOrder halt" in refused.body["detail"]) == (409, True)
    lasts = {name: await is_silent(ns, name) for name in ("a", "b")}

    answer = await api.ask("POST", f"{where}/halt/{verb}")
    found = answer.body["status"]
    assert (answer.code, found["phase"], found["stopped"][verdict], found["frozen"]) == (200, "Complete", 2, 0)
    for name, last in lasts.items():
        task = await ns.ended(name)
        assert (stop_of(task)["source"], exit_code(task)) == ("StopOrder", 0 if verb == "stop" else 137)
        assert ("checkpoint" in await ns.logs(name)) is (verb == "stop")
        assert verb == "stop" or (await beats(ns, name))[-1] == last
    assert (await api.ask("POST", f"{where}/halt/{verb}")).code == 200
    assert (await api.ask("POST", f"{where}/halt/lift")).code == 409


async def test_a_freeze_is_lifted_and_all_go_on(ns: Namespace, operator: Operator, api: ApiClient) -> None:
    await beating(ns, "a", "b")
    where = f"/namespaces/{ns.name}/stoporders"
    assert (await api.ask("POST", where, body(name="halt", selector={}, freeze=True))).code == 201
    lasts = {name: await is_silent(ns, name) for name in ("a", "b")}
    for _ in range(2):
        answer = await api.ask("POST", f"{where}/halt/lift")
        assert (answer.code, answer.body["status"]["phase"], answer.body["spec"]["then"]) == (200, "Lifted", "Resume")
    for name, last in lasts.items():
        await goes_on(ns, name, last)


async def test_wexa_pauses_as_the_task_says_and_goes_on_where_it_was(
    ns: Namespace, operator: Operator, gateway: Gateway, key: str
) -> None:
    wexa = Client(gateway, "/wexa", key)
    (uid,) = await beating(ns, "a")
    await ns.patch("a", pausePolicy="Freeze")
    answer = await wexa.ask("POST", f"/task/{task_id(uid)}/pause")
    assert (answer.code, answer.body["status"], answer.body["frozen"]) == (201, "paused", True)
    assert (await Client(gateway, "/xpander", key).get(f"/v1/tasks/{uid}"))["internal_status"] == "frozen"
    last = await is_silent(ns, "a")
    answer = await wexa.ask("POST", f"/execute_flow/{uid}/resume")
    assert (answer.code, answer.body["status"]) == (201, "ready")
    await goes_on(ns, "a", last)


# The page


needs_browser = pytest.mark.skipif(browsers.missing() is not None, reason=browsers.missing() or "")


@pytest.fixture
async def shown(browser: Browser, gateway: Gateway, operator: Operator, key: str) -> AsyncIterator[Window]:
    async with window(browser, gateway.url, key=key) as shown:
        yield shown


async def confirmed(page: Page, verb: str) -> str:
    """Press a button and confirm it; return what its dialog said."""
    await page.locator("#head").get_by_role("button", name=verb).click()
    dialog = page.get_by_role("dialog")
    said = await dialog.inner_text()
    await dialog.get_by_role("button", name=verb).click()
    await expect(dialog).to_have_count(0)
    return said


@needs_browser
async def test_a_button_freezes_a_task_and_another_lets_it_go_on(ns: Namespace, shown: Window) -> None:
    (uid,) = await beating(ns, "worker")
    page = shown.page
    await shown.open(f"/tasks/{uid}")
    assert "where they are" in await confirmed(page, "Freeze")
    await expect(page.locator("#head .badge.frozen")).to_have_text("frozen")
    await expect(page.locator("#head")).to_contain_text("frozen for")
    await expect(page.locator("#why")).to_contain_text("frozen by its own spec since")
    last = await is_silent(ns, "worker")
    await shown.is_fit()
    assert "It goes on where it was." in await confirmed(page, "Resume")
    await expect(page.locator("#head .badge")).to_have_text(["Running"])
    await goes_on(ns, "worker", last)


@needs_browser
async def test_an_emergency_freezes_first_and_stops_once_somebody_says_so(ns: Namespace, shown: Window) -> None:
    await beating(ns, "one", "two")
    page = shown.page
    await shown.open("/emergency")
    await page.get_by_label("All of a namespace").check()
    await page.locator("#scope-form [name=namespace]").fill(ns.name)
    await page.get_by_role("button", name="Show what it would stop").click()
    await page.get_by_label("Freeze: the kernel").check()
    await shown.is_fit()
    await page.get_by_label("Message").fill("odd traffic")
    await page.get_by_label("to confirm").fill(ns.name)
    await page.get_by_role("button", name="Freeze everything").click()
    await expect(page.locator("#progress")).to_contain_text("2 of 2 tasks are frozen. Nothing is stopped before")
    await shown.is_fit()
    banner = page.locator(".hold", has_text=ns.name)
    await expect(banner).to_contain_text("A freeze stands")
    for name in ("one", "two"):
        await is_silent(ns, name)

    await banner.get_by_role("link").click()
    await shown.live()
    await page.goto(f"{shown.url}/?q=frozen")
    await shown.live()
    rows = page.locator("#rows .row", has_text=ns.name)
    await expect(rows).to_have_count(2)
    await rows.get_by_role("link", name="one").click()
    await page.locator("#head").get_by_role("link", name="StopOrder").click()
    await shown.live()
    assert "cannot be taken back" in await confirmed(page, "Stop")
    await expect(page.locator("#progress")).to_contain_text("All 2 tasks are proven to have ended")
    await expect(page.locator("#head button")).to_have_count(0)
    for name in ("one", "two"):
        assert "checkpoint" in await ns.logs(name)
