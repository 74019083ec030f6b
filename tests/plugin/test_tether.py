"""`tether`: tasks live only as long as a command, and the command gets signals and gives its exit code."""

import asyncio
import os
import signal
import sys

import pytest

from tests.plugin.commands import COMMAND, Cli, environment
from tests.plugin.paper import Paper
from tests.support import agents
from tests.support.kube import TASKS
from tests.support.laws import stop_of
from tests.support.namespaces import Namespace
from tests.support.tethers import LEASES
from tests.support.waiting import PATIENCE, until


async def leases(paper: Paper) -> list[str]:
    return [each["metadata"]["name"] for each in await paper.kube.list(LEASES, paper.namespace)]


async def test_the_tasks_are_tied_to_a_lease_while_the_command_runs(cli: Cli, paper: Paper) -> None:
    for name in ("a", "b", "c"):
        await paper.task(name, {"phase": "Running"}, labels={"team": "x" if name != "c" else "y"})
    look = 'echo "$AGENTSTOP_TETHER"; exit 7'
    done = await cli("tether", "-l", "team=x", "-n", paper.namespace, "--", "sh", "-c", look)
    assert done.code == 7, done.err
    lease = done.out.strip()
    assert f"Lease {lease} holds 2 tasks (a, b) until the command ends" in done.err
    assert "2 tasks (a, b) stop now" in done.err
    assert "agentstop.dev/tether-ended" in (await paper.get("a"))["metadata"]["annotations"]
    tied = {name: (await paper.get(name))["spec"].get("tether") for name in ("a", "b", "c")}
    assert tied == {"a": {"leaseName": lease}, "b": {"leaseName": lease}, "c": None}
    assert await leases(paper) == []
    again = await cli("tether", "a", "-n", paper.namespace, "--", "true")
    assert again.line.startswith(f"a is tied to Lease {lease} already"), again.err


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (("--", "true"), 2, "say which tasks"),
        (("a", "--", "no-such-program"), 127, "there is no program 'no-such-program' on PATH; nothing was tied"),
        (("nobody", "--", "true"), 6, "there is no task 'nobody'"),
        (("over", "--", "true"), 1, "over has ended (Stopped); nothing was tied"),
        (("-l", "team=none", "--", "true"), 6, "there are no tasks with team=none"),
        (("a", "--lease", "election", "--", "true"), 1, "has no label agentstop.dev/tether=true: choose another name"),
        (("a", "--duration", "2s", "--", "true"), 2, "the least is 5s"),
        (("a", "--duration", "2h", "--", "true"), 2, "the most for --duration is 3600s"),
    ],
)
async def test_what_cannot_be_done_is_said_before_anything_is_tied(
    cli: Cli, paper: Paper, words: tuple[str, ...], code: int, says: str
) -> None:
    await paper.task("a", {"phase": "Running"})
    await paper.task("over", {"phase": "Stopped"})
    election = {"metadata": {"name": "election"}, "spec": {"holderIdentity": "x", "leaseDurationSeconds": 15}}
    await paper.kube.create(LEASES, paper.namespace, election)
    done = await cli("tether", "-n", paper.namespace, *words)
    assert (done.code, says in done.line) == (code, True), done.err
    assert "tether" not in (await paper.get("a"))["spec"]
    assert await leases(paper) == ["election"]


async def started(cli: Cli, *words: str) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        *COMMAND,
        "tether",
        *words,
        env=environment(cli.kubeconfig),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        process_group=0,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )


async def says(stream: asyncio.StreamReader | None, words: bytes) -> None:
    assert stream is not None
    async with asyncio.timeout(PATIENCE):
        while words not in (line := await stream.readline()):
            assert line


async def test_signals_reach_the_command_and_a_lease_in_use_is_left_alone(cli: Cli, paper: Paper) -> None:
    await paper.task("a", {"phase": "Running"})
    wait = "import signal, sys; signal.signal(15, lambda *_: sys.exit(9)); print('up', flush=True); signal.pause()"
    tether = await started(cli, "a", "-n", paper.namespace, "--lease", "mine", "--", sys.executable, "-c", wait)
    await says(tether.stdout, b"up")
    other = await cli("tether", "--lease", "mine", "-n", paper.namespace, "--", "true")
    assert other.code == 1
    assert "mine is held by" in other.line
    tether.send_signal(signal.SIGTERM)
    assert await asyncio.wait_for(tether.wait(), PATIENCE) == 9
    assert await leases(paper) == []


async def held(ns: Namespace) -> None:
    """Wait until the operator has seen the Lease: one that goes before is waited for."""

    async def seen() -> bool:
        found = (await ns.kube.get(TASKS, ns.name, "a"))["status"]["conditions"]
        return any((each["type"], each["status"]) == ("Tethered", "True") for each in found)

    await until(seen, PATIENCE, "a held")


async def test_without_a_command_until_ctrl_c(live: Cli, ns: Namespace) -> None:
    await ns.create_task("a", agents.template(agents.graceful()))
    await ns.running("a")
    # Nobody has time to wait until this Lease runs out.
    tether = await started(live, "a", "-n", ns.name, "--duration", "1h", "--wait")
    await says(tether.stderr, b"until Ctrl-C")
    await held(ns)
    tether.send_signal(signal.SIGINT)
    out, err = await asyncio.wait_for(tether.communicate(), PATIENCE)
    assert tether.returncode == 0, err
    assert b"1 task (a) stops now" in err
    assert b"a stopped after" in out
    assert stop_of(await ns.task("a"))["source"] == "Tether"


async def test_it_is_killed_and_the_tasks_stop(live: Cli, ns: Namespace) -> None:
    await ns.create_task("a", agents.template(agents.graceful()))
    await ns.running("a")
    tether = await started(live, "a", "-n", ns.name, "--duration", "5s", "--", "sleep", "1000")
    await says(tether.stderr, b"until the command ends")
    await held(ns)
    os.killpg(tether.pid, signal.SIGKILL)
    await asyncio.wait_for(tether.wait(), PATIENCE)
    task = await ns.ended("a")
    assert (stop_of(task)["source"], stop_of(task)["reason"]) == ("Tether", "TetherLost")
