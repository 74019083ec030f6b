"""Completion: kubectl's protocol, and the shells' own."""

import asyncio
import subprocess
import sys

import pytest

from tests.plugin.commands import Cli, environment
from tests.plugin.paper import STOPPED, Paper


async def complete(cli: Cli, *words: str) -> tuple[list[str], str]:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "agentstop.cli.complete", *words),
        env=environment(cli.kubeconfig),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await process.communicate()
    assert err == b""
    *lines, directive = out.decode().splitlines()
    return [line.partition("\t")[0] for line in lines], directive


@pytest.mark.parametrize(
    ("words", "candidates"),
    [
        (("st",), ["stop"]),
        (("order", "l"), ["lift", "list"]),
        (("stop", "--mess"), ["--message"]),
        (("list", "-o", "js"), ["json"]),
        (("list", "--output=js"), ["--output=json"]),
        (("wait", "--for", "p"), ["paused"]),
        (("completion", "f"), ["fish"]),
    ],
)
async def test_words_of_the_command_line(cli: Cli, words: tuple[str, ...], candidates: list[str]) -> None:
    assert await complete(cli, *words) == (candidates, ":4")


async def test_all_verbs(cli: Cli) -> None:
    found, _ = await complete(cli, "")
    assert {"stop", "pause", "resume", "wait", "list", "get", "order", "why", "check", "run", "playground"} <= set(
        found
    )


async def test_names_from_the_cluster(cli: Cli, paper: Paper) -> None:
    await paper.task("abc", {"phase": "Running"}, agent="researcher")
    await paper.task("abd", STOPPED)
    await paper.order("incident")
    where = ("-n", paper.namespace)
    assert await complete(cli, "get", *where, "ab") == (["abc", "abd"], ":4")
    assert await complete(cli, "stop", *where, "") == (["abc"], ":4")
    assert await complete(cli, "stop", *where, "abc", "") == ([], ":4")
    assert await complete(cli, "stop", *where, "--agent", "") == (["researcher"], ":4")
    assert await complete(cli, "order", "get", *where, "inc") == (["incident"], ":4")
    assert await complete(cli, "list", "-n", paper.namespace[:-2]) == ([paper.namespace], ":4")


async def test_nothing_is_said_where_nothing_is_known(cli: Cli) -> None:
    assert await complete(cli, "stop", "--server", "http://127.0.0.1:1", "") == ([], ":4")
    assert await complete(Cli(None), "stop", "--kubeconfig", "/nowhere", "") == ([], ":4")


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
async def test_scripts_for_the_shells(cli: Cli, shell: str) -> None:
    done = await cli("completion", shell)
    assert (done.code, "_AGENTSTOP_COMPLETE" in done.out) == (0, True)


def test_the_shells_own_protocol(cli: Cli) -> None:
    variables = {"_AGENTSTOP_COMPLETE": "bash_complete", "COMP_WORDS": "agentstop st", "COMP_CWORD": "1"}
    command = [sys.executable, "-c", "from agentstop.cli.main import main; main()"]
    done = subprocess.run(
        command, env=environment(cli.kubeconfig, **variables), capture_output=True, text=True, timeout=60, check=False
    )
    assert done.stdout.split() == ["plain,stop"]
