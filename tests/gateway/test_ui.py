"""`kubectl agentstop ui`: the page for one person, with his own kubeconfig, as the process that he runs."""

import asyncio
import json
import signal
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest
import yaml
from playwright.async_api import Browser, expect
from yarl import URL

from tests.gateway.api import made
from tests.gateway.conftest import People
from tests.support import agents, browsers
from tests.support.browsers import window
from tests.support.clusters import Cluster, Feature
from tests.support.kube import CLUSTER_ROLES
from tests.support.laws import stop_of
from tests.support.namespaces import Namespace
from tests.support.operators import Operator
from tests.support.programs import Program, running
from tests.support.waiting import PATIENCE, until

pytestmark = pytest.mark.on("playground", "apiserver")

MODULE = "agentstop.cli.main"


@asynccontextmanager
async def shown(
    folder: Path, kubeconfig: Path, *options: str, no_browser: bool = True, **environment: str
) -> AsyncIterator[tuple[Program, URL]]:
    """Run the verb until it has printed its address."""
    words = ["ui", *(["--no-browser"] if no_browser else []), *options]
    given = {"KUBECONFIG": str(kubeconfig), **environment}
    async with running(Program.fork(MODULE, words, folder / "ui.log", given)) as program:
        await until(lambda: program.check() and "token=" in program.text(), 30, "the address of the page")
        line = next(each for each in program.text().splitlines() if each.startswith("http://"))
        yield program, URL(line)


async def failed(folder: Path, kubeconfig: Path, *options: str) -> tuple[int, str]:
    """Run the verb to its end; return the exit code and what it wrote."""
    words = ["ui", "--no-browser", *options]
    program = await Program.fork(MODULE, words, folder / "failed.log", {"KUBECONFIG": str(kubeconfig)})
    return await program.ended(30), program.text()


async def ask(
    session: aiohttp.ClientSession, url: URL, method: str = "GET", **headers: str
) -> tuple[int, str, aiohttp.ClientResponse]:
    async with session.request(method, url, headers=headers, allow_redirects=False) as response:
        return response.status, await response.text(), response


def keeping_cookies() -> aiohttp.ClientSession:
    """Return a client that keeps cookies as a browser does."""
    return aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True))


def set_namespace(kubeconfig: Path, namespace: str) -> None:
    """Have the only context of a kubeconfig mean a namespace."""
    content = yaml.safe_load(kubeconfig.read_text())
    content["contexts"][0]["context"]["namespace"] = namespace
    kubeconfig.write_text(yaml.safe_dump(content))


@pytest.fixture
async def mine(cluster: Cluster, people: People) -> Path:
    """The kubeconfig of jane, who may stop tasks in the test's namespace; of anybody, where there are no rights."""
    await people.bind("jane", "agentstop-edit")
    return cluster.kubeconfig_of(cluster.tokens["jane"]) if "jane" in cluster.tokens else cluster.kubeconfig


async def test_the_token_lets_one_browser_in_once_and_what_it_does_is_the_users(
    tmp_path: Path, cluster: Cluster, mine: Path, ns: Namespace, operator: Operator
) -> None:
    uid = await made(ns, "worker", agents.graceful())
    await ns.running("worker")
    async with shown(tmp_path, mine, "-n", ns.name) as (program, address), keeping_cookies() as session:
        origin = str(address.origin())
        code, text, response = await ask(session, address)
        assert (code, response.headers["Location"], text) == (303, "/", "")
        (cookie,) = response.cookies.values()
        assert (cookie["httponly"], cookie["samesite"], cookie.value in str(address)) == (True, "Strict", False)
        async with keeping_cookies() as other:
            assert (await ask(other, address))[0] == 403
            for path in ("/", "/api/v1/tasks", "/metrics", "/login", "/api/v1/openapi.json"):
                assert (await ask(other, address.with_path(path)))[0] == 403, path

        code, page, _ = await ask(session, address.with_path("/"))
        assert (code, "worker" in page, "Log out" in page) == (200, True, False)
        stop = address.with_path(f"/api/v1/tasks/{uid}/stop")
        assert (await ask(session, stop, "POST"))[0] == 403
        assert (await ask(session, stop, "POST", Origin="http://elsewhere.example"))[0] == 403
        assert (await ns.task("worker"))["spec"].get("stopRequested") is not True
        code, text, _ = await ask(session, stop, "POST", Origin=origin)
        assert (code, json.loads(text)["phase"], json.loads(text)["proven"]) == (200, "Stopped", True)
        if Feature.RBAC in cluster.features:
            assert stop_of(await ns.task("worker"))["requestedBy"] == "jane"
        for path in ("/login", "/xpander/v1/tasks", "/hooks/alertmanager"):
            assert (await ask(session, address.with_path(path)))[0] == 404, path

        program.signal(signal.SIGINT)
        assert await program.ended() == 0
        assert program.text() == f"{address}\n"


@pytest.mark.on("playground")
async def test_a_foreign_host_is_refused_before_its_token_is_looked_at(tmp_path: Path, mine: Path) -> None:
    async with shown(tmp_path, mine) as (_, address), keeping_cookies() as session:
        for host in ("evil.example", f"evil.example:{address.port}", "127.0.0.1", "localhost:1", "127.0.0.2"):
            assert (await ask(session, address, Host=host))[0] == 421, host
        # It still lets somebody in, by either of its names.
        assert (await ask(session, address, Host=f"localhost:{address.port}"))[0] == 303
        assert (await ask(session, address.with_path("/"), Host="evil.example"))[0] == 421


@pytest.mark.on("playground")
async def test_it_opens_the_browser(tmp_path: Path, mine: Path) -> None:
    browser, opened = tmp_path / "browser", tmp_path / "opened"
    browser.write_text(f'#!/bin/sh\nprintf %s "$1" > {opened}.new && mv {opened}.new {opened}\n')
    browser.chmod(0o755)
    async with shown(tmp_path, mine, no_browser=False, BROWSER=f"{browser} %s") as (_, address):
        await until(opened.exists, PATIENCE, "the browser")
        assert opened.read_text() == str(address)


@pytest.mark.on("apiserver")
async def test_who_may_not_list_all_namespaces_sees_his_own(tmp_path: Path, mine: Path, ns: Namespace) -> None:
    code, text = await failed(tmp_path, mine)
    assert (code, "cannot list" in text.splitlines()[-1]) == (5, True)
    await made(ns, "worker")
    set_namespace(mine, ns.name)
    async with shown(tmp_path, mine) as (program, address), keeping_cookies() as session:
        await ask(session, address)
        assert f"shows {ns.name} alone" in program.text()
        assert "worker" in (await ask(session, address.with_path("/")))[1]


@pytest.mark.on("apiserver")
async def test_who_may_follow_tasks_alone_has_a_live_page_of_them(
    tmp_path: Path, cluster: Cluster, people: People, ns: Namespace
) -> None:
    name = f"tasks-of-{ns.name}"
    rule = {"apiGroups": ["agentstop.dev"], "resources": ["agenttasks"], "verbs": ["get", "list", "watch"]}
    await cluster.kube.create(CLUSTER_ROLES, "", {"metadata": {"name": name}, "rules": [rule]})
    await people.bind("joe", name)
    await made(ns, "worker")
    kubeconfig = cluster.kubeconfig_of(cluster.tokens["joe"])
    async with shown(tmp_path, kubeconfig, "-n", ns.name) as (program, address), keeping_cookies() as session:
        said = f"agentstop: the page does not show StopOrders of namespace {ns.name}: you may not list and watch them"
        assert said in program.text().splitlines()
        await ask(session, address)
        async with session.get(address.with_path("/live")) as response, asyncio.timeout(PATIENCE):
            assert response.status == 200
            kinds = [line.split()[1] async for line in first_events(response) if line.startswith("event:")]
        assert (kinds[0], kinds[-1], "stale" in kinds) == ("patch", "beat", False)


async def first_events(response: aiohttp.ClientResponse) -> AsyncIterator[str]:
    """Yield the lines of a stream up to that with which a page is told that it is live, or that it is not."""
    async for line in response.content:
        yield line.decode().rstrip()
        if line.rstrip() in {b"event: beat", b"event: stale"}:
            return


def with_plug_in(kubeconfig: Path, token: str) -> Path:
    """Have a credential plug-in tell the token of a kubeconfig, which expires at once; return what counts its runs."""
    runs, plug_in = kubeconfig.with_suffix(".runs"), kubeconfig.with_suffix(".sh")
    status = {"token": token, "expirationTimestamp": "2020-01-01T00:00:00Z"}
    credential = {"apiVersion": "client.authentication.k8s.io/v1", "kind": "ExecCredential", "status": status}
    plug_in.write_text(f"#!/bin/sh\necho >> {runs}\ncat <<'END'\n{json.dumps(credential)}\nEND\n")
    plug_in.chmod(0o755)
    content = yaml.safe_load(kubeconfig.read_text())
    command = {"apiVersion": credential["apiVersion"], "command": str(plug_in), "interactiveMode": "Never"}
    content["users"][0]["user"] = {"exec": command}
    kubeconfig.write_text(yaml.safe_dump(content))
    return runs


@pytest.mark.on("apiserver")
async def test_a_credential_plug_in_is_asked_again_once_its_token_has_expired(
    tmp_path: Path, cluster: Cluster, mine: Path, ns: Namespace
) -> None:
    runs = with_plug_in(mine, cluster.tokens["jane"])
    uid = await made(ns, "worker")
    async with shown(tmp_path, mine, "-n", ns.name) as (_, address), keeping_cookies() as session:
        await ask(session, address)
        before = runs.stat().st_size
        stop = address.with_path(f"/api/v1/tasks/{uid}/stop").with_query(dryRun="All")
        assert (await ask(session, stop, "POST", Origin=str(address.origin())))[0] == 200
        assert runs.stat().st_size > before


@pytest.mark.on("apiserver")
async def test_whoever_acts_as_somebody_is_on_record_as_that_one(
    tmp_path: Path, cluster: Cluster, mine: Path, ns: Namespace, operator: Operator
) -> None:
    uid = await made(ns, "worker", agents.graceful())
    await ns.running("worker")
    options = ("-n", ns.name, "--as", "jane")
    async with shown(tmp_path, cluster.kubeconfig, *options) as (_, address), keeping_cookies() as session:
        await ask(session, address)
        stop = address.with_path(f"/api/v1/tasks/{uid}/stop")
        assert (await ask(session, stop, "POST", Origin=str(address.origin())))[0] == 200
    assert stop_of(await ns.task("worker"))["requestedBy"] == "jane"


@pytest.mark.on("playground")
async def test_what_is_wrong_is_said_in_one_line(tmp_path: Path, cluster: Cluster) -> None:
    bad = tmp_path / "bad"
    bad.write_text("{")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        cases: tuple[tuple[Path, tuple[str, ...], str], ...] = (
            (tmp_path / "none", (), "no kubeconfig at"),
            (bad, (), "cannot be used"),
            (cluster.kubeconfig, ("--server", "http://127.0.0.1:9"), "cannot reach the API server"),
            (cluster.kubeconfig, ("--port", str(port)), f"cannot listen on 127.0.0.1:{port}: address already in use"),
        )
        for number, (kubeconfig, options, said) in enumerate(cases):
            folder = tmp_path / str(number)
            folder.mkdir()
            code, text = await failed(folder, kubeconfig, *options)
            assert (code, text.count("\n"), text.startswith("agentstop: ")) == (1, 1, True), text
            assert said in text


@pytest.mark.on("playground")
@pytest.mark.skipif(browsers.missing() is not None, reason=browsers.missing() or "")
async def test_a_browser_opens_the_address_and_stops_a_task(
    tmp_path: Path, browser: Browser, mine: Path, ns: Namespace, operator: Operator
) -> None:
    await made(ns, "worker", agents.graceful())
    async with (
        shown(tmp_path, mine, "-n", ns.name) as (program, address),
        window(browser, str(address.origin())) as opened,
    ):
        page = opened.page
        await page.goto(str(address))
        await opened.live()
        assert "token" not in page.url
        row = page.locator(".row", has_text="worker")
        await expect(row).to_contain_text("Running")
        await row.get_by_role("button", name=f"Stop {ns.name}/worker").focus()
        await page.keyboard.press("Enter")
        await expect(page.get_by_role("dialog")).to_contain_text(f"Stop {ns.name}/worker?")
        await page.keyboard.type("RunawayCost")
        await page.keyboard.press("Enter")
        await expect(row).to_contain_text("Graceful")
        program.signal(signal.SIGINT)
        assert await program.ended() == 0
        await expect(page.locator("#lost")).to_be_visible()
