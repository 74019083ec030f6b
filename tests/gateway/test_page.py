"""The page, in a real browser: every button, before processes that are really stopped."""

import re
from collections.abc import AsyncIterator

import pytest
from playwright.async_api import Browser, expect

from agentstop.words.orders import what_it_stops
from tests.gateway.api import ApiClient, made
from tests.gateway.conftest import People, gateway_kubeconfig
from tests.support import agents, browsers
from tests.support.browsers import Window, window
from tests.support.clusters import Cluster, Feature
from tests.support.gateways import Gateway
from tests.support.laws import stop_of
from tests.support.namespaces import Namespace
from tests.support.operators import Operator
from tests.support.orders import CLUSTER_ORDERS, ORDERS
from tests.support.programs import free_port

pytestmark = pytest.mark.skipif(browsers.missing() is not None, reason=browsers.missing() or "")


@pytest.fixture
async def jane(gateway: Gateway, people: People) -> str:
    """The API key of jane, who may do everything to tasks and orders, wherever they are."""
    await people.bind("jane", "agentstop-admin", "")
    return gateway.keys.add("jane")


@pytest.fixture
async def shown(browser: Browser, gateway: Gateway, operator: Operator, jane: str) -> AsyncIterator[Window]:
    """A window of jane's."""
    async with window(browser, gateway.url, key=jane) as shown:
        yield shown


async def test_somebody_logs_in_stops_a_task_by_keys_alone_and_sees_the_proof(
    browser: Browser, cluster: Cluster, ns: Namespace, operator: Operator, gateway: Gateway, jane: str
) -> None:
    async with window(browser, gateway.url) as shown:
        page = shown.page
        where = f"/?namespace={ns.name}"
        await page.goto(gateway.url + where)
        await shown.is_fit()
        await page.get_by_label("API key or token").fill("agentstop_wrong")
        await page.keyboard.press("Enter")
        await expect(page.get_by_role("alert")).to_contain_text("not known")
        await page.goto(gateway.url + where)
        await page.get_by_label("API key or token").fill(jane)
        await page.keyboard.press("Enter")
        await shown.live()
        await expect(page).to_have_url(gateway.url + where)
        await expect(page.locator("#empty h2")).to_be_visible()
        cookies = await shown.context.cookies()
        assert [(each["httpOnly"], each["sameSite"]) for each in cookies] == [(True, "Strict")]

        await made(ns, "worker", agents.graceful(0.5))
        await made(ns, "other")
        row = page.locator(".row", has_text="worker")
        await expect(row).to_contain_text("Running")
        await row.get_by_role("button", name=f"Stop {ns.name}/worker").focus()
        await page.keyboard.press("Enter")
        await expect(page.get_by_role("dialog")).to_contain_text(f"Stop {ns.name}/worker?")
        await shown.is_fit()
        await page.keyboard.press("Escape")
        await expect(page.get_by_role("dialog")).to_have_count(0)
        assert (await ns.task("worker"))["spec"].get("stopRequested") is not True
        await page.keyboard.press("Enter")
        await page.keyboard.type("RunawayCost")
        await page.keyboard.press("Tab")
        await page.keyboard.type("too dear")
        await page.keyboard.press("Tab")
        await page.keyboard.type("9")
        await page.keyboard.press("Enter")
        await expect(page.get_by_role("dialog")).to_have_count(0)
        await expect(row).to_contain_text("Graceful")
        await expect(row.get_by_role("button")).to_have_count(0)
        stop = stop_of(await ns.task("worker"))
        assert (stop["reason"], stop["message"], stop["gracePeriodSeconds"]) == ("RunawayCost", "too dear", 9)
        if Feature.RBAC in cluster.features:
            assert stop["requestedBy"] == "jane"
        await expect(page.locator(".row", has_text="other")).to_contain_text("Running")
        await shown.is_fit()

        await page.get_by_role("button", name="Log out").click()
        await expect(page.get_by_role("heading", name="Log in")).to_be_visible()
        assert await shown.context.cookies() == []


async def test_a_tasks_page_tells_how_a_stop_goes_in_the_words_of_why(
    ns: Namespace, shown: Window, gateway: Gateway, jane: str
) -> None:
    uid = await made(ns, "deaf", agents.DEAF, grace=10, agent="stubborn")
    await made(ns, "child", agents.IDLE, parentRef={"name": "deaf"})
    page = shown.page
    await shown.open(f"/tasks/{uid}")
    await expect(page.locator("#containers")).to_contain_text("runs, for")
    await expect(page.locator("#family")).to_contain_text("child")
    await page.get_by_role("button", name="Stop").click()
    await expect(page.get_by_role("dialog")).to_contain_text("the 1 tasks below it")
    await page.get_by_role("dialog").get_by_role("button", name="Stop").click()
    await expect(page.locator("#steps .current")).to_contain_text(["SIGKILL", "Proof that no process is left"])
    await shown.is_fit()
    await expect(page.locator("#steps li").last).to_contain_text("It is proven that no process is left Killed")
    assert ns.processes("deaf") == []
    await expect(page.locator("#containers")).to_contain_text("exit code 137")
    await expect(page.locator("#moments")).to_contain_text("proof that no process is left: Killed")
    await expect(page.locator("#conditions")).to_contain_text("It is proven that no process is left")
    why = await ApiClient(gateway, "/api/v1", jane).get(f"/tasks/{uid}/why")
    await expect(page.locator("#why")).to_contain_text(why["headline"])
    for each in why["proof"]:
        await expect(page.locator("#why .proof")).to_contain_text(each)
    await expect(page.get_by_role("button", name="Stop")).to_have_count(0)
    await shown.is_fit()


async def test_a_task_is_paused_and_resumed(ns: Namespace, shown: Window) -> None:
    uid = await made(ns, "sleeper")
    page = shown.page
    await shown.open(f"/tasks/{uid}")
    for verb, phase in (("Pause", "Paused"), ("Resume", "Running")):
        await page.get_by_role("button", name=verb).click()
        await page.get_by_role("dialog").get_by_role("button", name=verb).click()
        await expect(page.locator("#head .badge").first).to_have_text(phase)


async def test_an_emergency_stop_shows_first_what_it_stops_and_holds_until_it_is_lifted(
    ns: Namespace, shown: Window
) -> None:
    await made(ns, "one", agent="alpha")
    await made(ns, "two", agents.graceful(0.2), agent="alpha")
    await made(ns, "three", agent="beta", paused=True)
    page = shown.page
    await shown.open("/")
    await page.get_by_role("link", name="Emergency stop").click()
    await page.get_by_label("All of a namespace").check()
    await shown.is_fit()
    await page.get_by_label("Namespace", exact=False).last.fill(ns.name)
    await page.get_by_role("button", name="Show what it would stop").click()
    await expect(page.locator("#report .counts")).to_contain_text("2 running 1 waiting or paused")
    await expect(page.locator("#report")).to_contain_text(f"2 of agent alpha in {ns.name}")
    assert not any([(await ns.task(each))["spec"].get("stopRequested") for each in ("one", "two", "three")])
    await shown.is_fit()
    await page.get_by_label("Message").fill("an incident")
    await page.get_by_label("Hold").check()
    await page.get_by_label("to confirm").fill("everything")
    await page.get_by_role("button", name="Stop everything").click()
    await expect(page.get_by_role("alert").filter(has_text="Type exactly this")).to_be_visible()
    assert [each["spec"].get("drill") for each in await ns.kube.list(ORDERS, ns.name)] == [True]
    await page.get_by_label("to confirm").fill(ns.name)
    await page.get_by_role("button", name="Stop everything").click()
    await expect(page.locator("#progress")).to_contain_text("All 3 tasks are proven to have ended")
    assert [ns.processes(each) for each in ("one", "two", "three")] == [[], [], []]
    await shown.is_fit()
    banner = page.locator(".hold", has_text=ns.name)
    await expect(banner).to_contain_text("an incident")
    await shown.open("/orders")
    await shown.is_fit()
    await banner.get_by_role("button", name="Lift").click()
    await page.get_by_role("dialog").get_by_role("button", name="Lift").click()
    await expect(banner).to_have_count(0)


async def test_an_emergency_stop_is_for_an_agent_for_labels_or_for_everything(ns: Namespace, shown: Window) -> None:
    page = shown.page
    before = {each["metadata"]["uid"] for each in await ns.kube.list(CLUSTER_ORDERS)}
    await shown.open("/emergency")
    await page.get_by_label("Whatever has these labels").check()
    await page.locator("#scope-form [name=labels]").fill("team=(")
    await page.get_by_role("button", name="Show what it would stop").click()
    await expect(page.get_by_role("alert").filter(has_text="is no label selector")).to_be_visible()
    for scope, field, text, typed in (
        ("All runs of an agent", "agent", "researcher", "researcher"),
        ("Whatever has these labels", "labels", "team=a,tier!=test", "team=a,tier notin (test)"),
        ("Everything", None, "", "everything"),
    ):
        await shown.open("/emergency")
        await page.get_by_label(scope).check()
        if field is not None:
            await page.locator(f"#scope-form [name={field}]").fill(text)
        await page.get_by_role("button", name="Show what it would stop").click()
        await page.get_by_label("to confirm").fill(typed)
        await page.locator("#order-form button.stop").click()
        await expect(page.locator("#progress")).to_contain_text(re.compile("nothing to stop|proven to have ended"))
    made = [each for each in await ns.kube.list(CLUSTER_ORDERS) if each["metadata"]["uid"] not in before]
    orders = [each["spec"] for each in made]
    stopped = {what_it_stops(each) for each in orders if not each.get("drill")}
    assert stopped == {"everything of agent researcher", "everything with team=a,tier notin (test)", "everything"}


async def test_a_lost_connection_is_said_at_once_and_what_is_old_is_not_called_live(
    browser: Browser, cluster: Cluster, ns: Namespace, operator: Operator, people: People
) -> None:
    await people.bind("jane", "agentstop-edit")
    port = free_port()
    first = await Gateway.start(cluster, kubeconfig=gateway_kubeconfig(cluster), port=port)
    key = first.keys.add("jane")
    uid = await made(ns, "worker")
    async with window(browser, first.url, key=key) as shown:
        page = shown.page
        await shown.open(f"/tasks/{uid}")
        await expect(page.locator("#head")).to_contain_text("Running")
        await first.program.end()
        await expect(page.locator("#connection")).to_have_text("Not live")
        await expect(page.locator("#lost")).to_contain_text("Connection lost")
        await shown.is_fit()
        await ns.stop("worker")
        await page.get_by_role("button", name="Stop").click()
        await page.get_by_role("dialog").get_by_role("button", name="Stop").click()
        await expect(page.get_by_role("dialog")).to_contain_text("The gateway does not answer")
        await page.keyboard.press("Escape")
        await ns.until("worker", lambda task: task.get("status", {}).get("phase") == "Stopped")
        await expect(page.locator("#head")).to_contain_text("Running")
        await expect(page.locator("#lost")).to_be_visible()
        second = await Gateway.start(cluster, kubeconfig=gateway_kubeconfig(cluster), port=port, keys=first.keys)
        await shown.live()
        await expect(page.locator("#lost")).to_be_hidden()
        await expect(page.locator("#head")).to_contain_text("Stopped")
    await second.program.end()
