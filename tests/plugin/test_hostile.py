"""What an agent, or whoever writes an object, puts into a person's shell and terminal: nothing but words."""

import asyncio
import os
import pty
import re
import shutil
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from aiohttp import web

from agentstop.api.meta import AGENT_NAME
from agentstop.cli.plugin.candidates import HARMLESS
from tests.plugin.commands import Cli, Terminal, environment
from tests.plugin.paper import STOP, STOPPED, Paper, stalled
from tests.plugin.test_completion import complete
from tests.support.kube import Object
from tests.support.waiting import PATIENCE

RUN = ";touch${IFS}$HOME/owned;"

NAMES = [
    f"only{RUN}",
    f"x{RUN}",
    f"x{RUN}#",
    "$(touch${IFS}$HOME/owned)",
    "`touch $HOME/owned`",
    "x\n;touch $HOME/owned",
    "x\tplain,y",
    "x\nplain,y",
    "--kubeconfig=x",
    "-A",
    "~",
    "x*",
    "x y",
    "x&y",
    "x'y",
    'x"y',
    "x\\y",
    "x!y",
    "=x",
    "{a,b}",
    "x\x1b]0;owned\x07",
    "x\u202ey",
    "",
    7,
]
"""None of these is a word for a shell."""

GOOD = "team/researcher:v1.2@prod_x-1"


def test_what_the_definition_takes_is_what_is_offered() -> None:
    assert f"^{HARMLESS.pattern}$" == AGENT_NAME
    assert HARMLESS.fullmatch(GOOD)
    assert not [name for name in NAMES if isinstance(name, str) and HARMLESS.fullmatch(name)]


def item(name: Any, **more: Any) -> Object:
    return {"metadata": {"name": name, "namespace": "default"}, **more}


@pytest.fixture
async def lenient(tmp_path: Path) -> AsyncIterator[Cli]:
    """An API server that lets everything through, and a kubeconfig from anywhere."""
    runs = {"phase": "Running\nplain,y\t;x", "observedGeneration": 1}
    tasks = [item(name, spec={"agent": name}, status=runs) for name in [*NAMES, GOOD] if isinstance(name, str)]
    tasks.append(item("number", spec={"agent": 7}))
    answers = {"agenttasks": tasks, "namespaces": tasks, "stoporders": tasks, "clusterstoporders": tasks}

    async def answer(request: web.Request) -> web.Response:
        return web.json_response({"items": answers[request.path.rsplit("/", 1)[-1]], "metadata": {}})

    app = web.Application()
    app.router.add_get("/{path:.*}", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = runner.addresses[0][1]
    contexts = [str(name) for name in [*NAMES, GOOD] if name]
    content = {
        "clusters": [{"name": "c", "cluster": {"server": f"http://127.0.0.1:{port}"}}],
        "users": [{"name": "u", "user": {"token": "t"}}],
        "contexts": [{"name": name, "context": {"cluster": "c", "user": "u"}} for name in contexts],
        "current-context": GOOD,
    }
    path = tmp_path / "kubeconfig"
    await asyncio.to_thread(path.write_text, yaml.safe_dump(content), "utf-8")
    yield Cli(path)
    await runner.cleanup()


PLACES = [
    ("stop", "--agent"),
    ("stop",),
    ("get",),
    ("order", "get"),
    ("order", "lift", "-A"),
    ("list", "-n"),
    ("list", "--context"),
]


@pytest.mark.parametrize("words", PLACES)
async def test_kubectl_is_offered_nothing_that_a_shell_would_run(lenient: Cli, words: tuple[str, ...]) -> None:
    found, directive = await complete(lenient, *words, "")
    assert directive == ":4"
    assert GOOD in found
    assert set(found) <= {GOOD, "7", "number"}


async def test_the_phase_beside_a_candidate_adds_no_other(lenient: Cli) -> None:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "agentstop.cli.complete", "stop", ""),
        env=environment(lenient.kubeconfig),
        stdout=asyncio.subprocess.PIPE,
    )
    out, _ = await process.communicate()
    assert sorted(out.decode().splitlines()) == sorted(["number\tPending", GOOD, ":4"])


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
async def test_the_shells_own_protocols_are_held_to_the_same(lenient: Cli, shell: str) -> None:
    last = "" if shell == "fish" else "3"  # fish gives the word itself, the others its number
    more = {"_AGENTSTOP_COMPLETE": f"{shell}_complete", "COMP_WORDS": "agentstop stop --agent ", "COMP_CWORD": last}
    found = await lenient(**more)
    assert GOOD in found.out
    assert not re.search(r"[;$`\\'\"\x1b\u202e~*!]|owned|kubeconfig", found.out)
    assert len(found.out.splitlines()) == {"bash": 2, "zsh": 6, "fish": 2}[shell]


@pytest.mark.skipif(shutil.which("bash") is None, reason="no bash")
async def test_a_line_completed_in_bash_runs_nothing_of_an_agents(lenient: Cli, tmp_path: Path) -> None:
    """The whole way: the user types, presses Tab and Enter."""
    command = tmp_path / "agentstop"
    text = f'#!/bin/sh\nexec {sys.executable} -m agentstop.cli.main "$@"\n'
    await asyncio.to_thread(command.write_text, text, "utf-8")
    command.chmod(0o755)
    path = f"{tmp_path}:{os.environ['PATH']}"
    shell = await _Bash.start(environment(lenient.kubeconfig, HOME=str(tmp_path), PATH=path))
    await shell.run("source <(agentstop completion bash)")
    for words in ("list --agent", "get", "list --context", "list -n"):
        for letters in ("only", "team/"):
            await shell.run(f"agentstop {words} {letters}\t")
    await shell.end()
    assert not (tmp_path / "owned").exists()
    assert GOOD in shell.text


class _Bash:
    """An interactive bash on a terminal of its own."""

    def __init__(self, process: asyncio.subprocess.Process, master: int) -> None:
        self._process = process
        self._master = master
        self.text = ""

    @classmethod
    async def start(cls, variables: dict[str, str]) -> "_Bash":
        master, slave = pty.openpty()
        os.set_blocking(master, False)
        process = await asyncio.create_subprocess_exec(
            *("bash", "--norc", "--noprofile", "-i"),
            env={**variables, "PS1": "> "},
            stdin=slave,
            stdout=slave,
            stderr=slave,
            start_new_session=True,
        )
        os.close(slave)
        return cls(process, master)

    async def run(self, line: str) -> None:
        """Type a line, with whatever it completes, and wait until it was carried out."""
        self._type(f"{line}\n")
        self._type("echo do''ne\n")
        await self._shows("done")

    async def end(self) -> None:
        self._type("exit\n")
        async with asyncio.timeout(PATIENCE):
            await self._process.wait()
        self._read()
        os.close(self._master)

    def _type(self, text: str) -> None:
        os.write(self._master, text.encode())

    def _read(self) -> None:
        try:
            while more := os.read(self._master, 65_536):
                self.text += more.decode(errors="replace")
        except OSError:
            pass

    async def _shows(self, word: str) -> None:
        seen = self.text.count(f"{word}\r\n")
        async with asyncio.timeout(PATIENCE):
            while self.text.count(f"{word}\r\n") <= seen:
                await asyncio.sleep(0.05)
                self._read()


EVIL = "[bold red]a[/]\x1b]0;owned\x07\x1b[2J\u202e\u2066\rb\nplain\x9b31m\x85"
"""Rich's markup, a window's title, a cleared screen, bidirectional controls, line breaks, and C1 controls."""

SHOWN = "[bold red]a[/]"


def harmless(text: str) -> bool:
    """Whether nothing of `EVIL` got through; rich itself may move the cursor and colour."""
    return not re.search("\x1b\\]0;|\x07|\x1b\\[2J|[\u202e\u2066\x9b\x85]|\nplain", text)


def evil_status(phase: str, **more: Any) -> Object:
    pod = STOPPED["workload"]["pods"][0]
    container = {"name": f"c{EVIL}", "reason": EVIL, "startedAt": STOP["acceptedAt"]}
    pods = [{**pod, "name": f"p{EVIL}", "node": EVIL, "containers": [container]}]
    return {
        "phase": phase,
        "reason": f"R{EVIL}",
        "message": f"M{EVIL}",
        "startedAt": STOP["acceptedAt"],
        "stop": {**STOP, "requestedBy": f"jane{EVIL}", "reason": EVIL, "message": EVIL},
        "workload": {"apiVersion": "v1", "kind": f"Pod{EVIL}", "name": EVIL, "uid": "u", "podCount": 1, "pods": pods},
        "conditions": [stalled(f"S{EVIL}", f"why{EVIL}")],
        **more,
    }


@pytest.mark.parametrize("verb", ["wait", "stop"])
async def test_the_live_view_shows_words_and_obeys_none(cli: Cli, paper: Paper, tmp_path: Path, verb: str) -> None:
    await paper.task("a")
    await paper.write("a", **evil_status("Running"))
    terminal = await Terminal.start(cli, tmp_path, verb, "a", "-n", paper.namespace, "--timeout", "4s", columns=200)
    await terminal.shows(f"why{SHOWN}")
    await paper.write("a", **evil_status("Stopping"))
    await terminal.shows(f"why{SHOWN}")
    assert await terminal.ended() == 4
    assert SHOWN in terminal.text()
    assert harmless(terminal.text()), repr(terminal.text())


async def test_the_live_view_of_an_order_is_held_to_the_same(cli: Cli, paper: Paper, tmp_path: Path) -> None:
    made = await paper.order("o")
    await paper.task("a")
    stop = {**STOP, "order": {"kind": "StopOrder", "name": EVIL, "uid": made["metadata"]["uid"]}}
    await paper.write("a", **evil_status("Stopping", stop=stop))
    held = [{"namespace": EVIL, "name": EVIL, "reason": EVIL, "message": EVIL}]
    counts: Object = {"matched": 1, "stopping": 1, "stalledCount": 1, "stalled": held, "requestedBy": EVIL}
    await paper.write_order("o", phase="Stopping", startedAt=STOP["acceptedAt"], **counts)
    words = ("order", "get", "-w", "o", "-n", paper.namespace, "--timeout", "4s")
    terminal = await Terminal.start(cli, tmp_path, *words, columns=200)
    await terminal.shows(f"why{SHOWN}")
    assert await terminal.ended() == 4
    assert harmless(terminal.text()), repr(terminal.text())


@pytest.mark.parametrize("phase", ["Running", "Stopping", "Stopped", "Failed"])
@pytest.mark.parametrize("words", [("get", "a"), ("why", "a"), ("list", "-o", "wide"), ("order", "get", "o")])
async def test_what_is_shown_once_is_held_to_the_same(
    cli: Cli, paper: Paper, tmp_path: Path, words: tuple[str, ...], phase: str
) -> None:
    await paper.task("a", message=EVIL, stop={"message": EVIL})
    verdict = {"stop": {**evil_status(phase)["stop"], "verdict": "Graceful"}} if phase == "Stopped" else {}
    await paper.write("a", **evil_status(phase, **verdict))
    await paper.order("o", message=EVIL)
    held = [{"namespace": EVIL, "name": EVIL, "reason": EVIL, "message": EVIL}]
    await paper.write_order("o", phase="Stopping", requestedBy=EVIL, stalledCount=1, stalled=held)
    terminal = await Terminal.start(cli, tmp_path, *words, "-n", paper.namespace, columns=400)
    assert await terminal.ended() == 0
    assert SHOWN in terminal.text()
    assert harmless(terminal.text()), repr(terminal.text())


async def test_lines_in_a_pipe_are_held_to_the_same(cli: Cli, paper: Paper) -> None:
    await paper.task("a")
    await paper.write("a", **evil_status("Stopping"))
    done = await cli("wait", "a", "-n", paper.namespace, "--timeout", "1s")
    assert done.code == 4
    assert SHOWN in done.err
    assert harmless(done.err), repr(done.err)


async def test_an_agent_cannot_have_a_name_that_a_shell_would_run(paper: Paper) -> None:
    for name in NAMES:
        with pytest.raises(Exception, match=r"agent"):
            await paper.task("a", agent=name)
        with pytest.raises(Exception, match=r"agents"):
            await paper.order("a", agents=[name])
    await paper.task("a", agent=GOOD)
    await paper.order("a", agents=[GOOD])
