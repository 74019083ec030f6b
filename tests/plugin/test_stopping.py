"""`stop`, `wait`, `pause` and `resume` on real processes."""

import asyncio
from pathlib import Path

import pytest

from tests.plugin.commands import Cli, Terminal
from tests.plugin.paper import ORDERS, Paper
from tests.support import agents
from tests.support.laws import stop_of
from tests.support.namespaces import Namespace


async def test_a_stop_waits_for_the_proof_and_says_how_it_ended(live: Cli, ns: Namespace) -> None:
    await ns.create_task("a", agents.template(agents.graceful()))
    await ns.running("a")
    words = ("--reason", "RunawayCost", "--message", "too much", "--grace", "7s")
    done = await live("stop", "a", "-n", ns.name, "--wait", *words)
    assert done.code == 0, done.err
    assert "a stopped after" in done.out
    assert "Graceful, exit code 0" in done.out
    task = await ns.task("a")
    assert task["spec"]["stop"] == {
        "reason": "RunawayCost",
        "message": "too much",
        "gracePeriodSeconds": 7,
        "podPolicy": "Keep",
        "fence": "AtRequest",
        "onUnconfirmed": "Wait",
    }
    assert stop_of(task)["reason"] == "RunawayCost"
    managers = {each["manager"] for each in task["metadata"]["managedFields"] if not each.get("subresource")}
    assert "agentstop" in managers


async def test_now_is_a_grace_period_of_one_second(live: Cli, ns: Namespace) -> None:
    await ns.create_task("a", agents.template(agents.DEAF, grace=60))
    await ns.running("a")
    done = await live("stop", "a", "-n", ns.name, "--now", "--wait", "-o", "json")
    assert (done.code, done.json()["status"]["stop"]["verdict"]) == (0, "Killed")
    assert done.json()["spec"]["stop"]["gracePeriodSeconds"] == 1


@pytest.mark.parametrize(
    ("words", "kept"),
    [(("stop", "a"), False), (("stop", "a", "b", "-y"), True), (("order", "create", "o", "--all", "-y"), True)],
)
async def test_the_pods_go_with_the_stop(cli: Cli, paper: Paper, words: tuple[str, ...], kept: bool) -> None:
    for name in ("a", "b"):
        await paper.task(name)
    done = await cli(*words, "--pod-policy", "delete", "--no-wait", "-n", paper.namespace)
    assert done.code == 0, done.err
    if not kept:
        assert (await paper.get("a"))["spec"]["stop"]["podPolicy"] == "Delete"
        return
    (order,) = await paper.orders()
    assert order["spec"]["podPolicy"] == "Delete"
    shown = await cli("order", "get", order["metadata"]["name"], "-n", paper.namespace)
    assert "pods        are deleted" in shown.out


async def test_several_names_are_one_order(live: Cli, ns: Namespace) -> None:
    for name in ("a", "b", "c"):
        await ns.create_task(name, agents.template(agents.graceful()))
        await ns.running(name)
    done = await live("stop", "a", "b", "-n", ns.name, "-y", "--wait", "--reason", "Incident")
    assert done.code == 0, done.err
    assert "2 tasks stopped" in done.out
    (order,) = await ns.kube.list(ORDERS, ns.name)
    assert order["spec"]["taskNames"] == ["a", "b"]
    assert {name: (await ns.task(name))["status"]["phase"] for name in "abc"} == {
        "a": "Stopped",
        "b": "Stopped",
        "c": "Running",
    }


async def test_a_terminal_shows_a_bar_and_what_still_runs(live: Cli, ns: Namespace, tmp_path: Path) -> None:
    await ns.create_task("a", agents.template(agents.graceful(2)))
    await ns.running("a")
    terminal = await Terminal.start(live, tmp_path, "stop", "a", "-n", ns.name)
    await terminal.shows("0/1")
    await terminal.shows("SIGKILL in")
    assert await terminal.ended() == 0
    assert "━" in terminal.text()
    assert "stopped after" in terminal.text()


async def test_ctrl_c_ends_the_waiting_and_not_the_stop(live: Cli, ns: Namespace, tmp_path: Path) -> None:
    await ns.create_task("a", agents.template(agents.graceful(2)))
    await ns.running("a")
    terminal = await Terminal.start(live, tmp_path, "stop", "a", "-n", ns.name)
    await terminal.shows("SIGKILL in")
    terminal.type("\x03")
    terminal.interrupt()
    assert await terminal.ended() == 130
    assert "the stop goes on" in terminal.text()
    assert (await ns.ended("a"))["status"]["phase"] == "Stopped"


async def test_a_timeout_has_a_code_of_its_own(live: Cli, ns: Namespace) -> None:
    await ns.create_task("a", agents.template(agents.DEAF, grace=4))
    await ns.running("a")
    done = await live("stop", "a", "-n", ns.name, "--wait", "--timeout", "1s")
    assert done.code == 3
    assert "what was asked for goes on" in done.err
    followed = await live("wait", "a", "-n", ns.name)
    assert (followed.code, "Killed" in followed.out) == (0, True)


async def test_pause_and_resume(live: Cli, ns: Namespace) -> None:
    for name in ("a", "b"):
        await ns.create_task(name, agents.template(agents.graceful()), agent="x")
        await ns.running(name)
    paused = await live("pause", "--agent", "x", "-n", ns.name, "-y", "--wait")
    assert paused.code == 0, paused.err
    assert paused.out.count("is Paused") == 2
    resumed = await live("resume", "a", "b", "-n", ns.name, "-y", "--wait")
    assert resumed.code == 0, resumed.err
    assert resumed.out.count("is Running") == 2


async def test_wait_for_running(live: Cli, ns: Namespace) -> None:
    await ns.create_task("a", agents.template())
    assert (await live("wait", "a", "--for", "running", "-n", ns.name)).code == 0


async def test_a_drill_stops_nothing_and_says_what_it_would(live: Cli, ns: Namespace) -> None:
    await ns.create_task("a", agents.template(agents.graceful()), agent="x")
    before = await ns.running("a")
    done = await live("stop", "--all", "-n", ns.name, "--dry-run")
    assert done.code == 0, done.err
    assert "it would stop 1 task: 1 that runs" in done.out
    assert "nothing was stopped" in done.out
    assert (await ns.task("a"))["metadata"]["resourceVersion"] == before["metadata"]["resourceVersion"]


async def test_a_hold_and_its_lift(live: Cli, ns: Namespace) -> None:
    await ns.create_task("a", agents.template(agents.graceful()))
    await ns.running("a")
    made = await live("order", "create", "freeze", "--all", "--hold", "-y", "--wait", "-n", ns.name)
    assert made.code == 0, made.err
    assert "order lift freeze" in made.out
    await ns.create_task("b", agents.template())
    assert (await ns.ended("b"))["status"]["phase"] == "Stopped"
    lifted = await live("order", "lift", "freeze", "-n", ns.name)
    assert (lifted.code, "is lifted" in lifted.out) == (0, True)
    await ns.create_task("c", agents.template())
    await ns.running("c")


async def test_the_whole_story_of_a_real_stop(live: Cli, ns: Namespace) -> None:
    await ns.create_task("a", agents.template(agents.graceful()))
    await ns.running("a")
    await live("stop", "a", "-n", ns.name, "--wait")
    shown, reasons, probed = await asyncio.gather(
        live("get", "a", "-n", ns.name), live("why", "a", "-n", ns.name), live("check", "-n", ns.name, "--probe")
    )
    for words in ("container agent  exit code 0", "SIGTERM on its way", "proof that no process is left: Graceful"):
        assert words in shown.out
    assert "What proves it" in reasons.out
    assert "ended with exit code 0" in reasons.out
    assert probed.code == 0, probed.out
    assert "answers a drill" in probed.out
