"""The guardian: exit codes, descendants that try to get away, and the ways in which a node can end."""

import asyncio
import os
import secrets
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from tests.support.waiting import PATIENCE

import agentstop
from agentstop_playground.node.guardian.process_tree import kill_tree, signal_tree
from agentstop_playground.node.processes import Exit, Process, ProcessHost, StartError

from .cluster import alive

RUNAWAY = 'setsid sh -c "sh -c \'sleep 1000; :\' {marker} & exit" & (setsid sh -c "sleep 1000; :" {marker} &) ;'
"""Starts processes in sessions of their own whose parents are gone."""

HOST_PROGRAM = """
import asyncio, sys
from pathlib import Path
from agentstop_playground.node.guardian.process_tree import kill_tree, signal_tree
from agentstop_playground.node.processes import ProcessHost
from tests.support.waiting import PATIENCE

async def main():
    host = ProcessHost()
    await host.open()
    for number in range(3):
        await host.start(["sh", "-c", sys.argv[1]], env={"PATH": sys.argv[2]}, cwd=Path("/"), log_file=None,
                         on_start=lambda process: None, on_exit=lambda end: None)
    print("started", flush=True)
    await asyncio.sleep(1000)

asyncio.run(main())
"""


@dataclass
class Started:
    """A process that a test started."""

    process: Process | None = None
    end: "asyncio.Future[Exit]" = field(default_factory=lambda: asyncio.get_running_loop().create_future())

    def signal(self, host: ProcessHost, number: signal.Signals) -> None:
        assert self.process is not None
        host.signal(self.process, number)


@pytest.fixture
async def host() -> AsyncIterator[ProcessHost]:
    host = ProcessHost()
    await host.open()
    yield host
    await host.close(0.1)


async def start(host: ProcessHost, script: str, log_file: Path | None = None) -> Started:
    started = Started()

    def note(process: Process) -> None:
        started.process = process

    await host.start(
        ["sh", "-c", script],
        env={"PATH": os.environ["PATH"]},
        cwd=Path("/"),
        log_file=log_file,
        on_start=note,
        on_exit=started.end.set_result,
    )
    return started


async def until_gone(marker: str) -> None:
    async with asyncio.timeout(PATIENCE):
        while alive(marker):  # noqa: ASYNC110
            await asyncio.sleep(0.02)


async def until_alive(marker: str, count: int) -> None:
    async with asyncio.timeout(PATIENCE):
        while len(alive(marker)) < count:  # noqa: ASYNC110
            await asyncio.sleep(0.02)


@pytest.fixture
def marker() -> str:
    return f"marker-{secrets.token_hex(6)}"


async def test_the_end_is_told_only_when_runaways_are_gone(host: ProcessHost, marker: str) -> None:
    started = await start(host, RUNAWAY.format(marker=marker) + "sleep 0.5; exit 5")
    await until_alive(marker, 2)
    end = await asyncio.wait_for(started.end, PATIENCE)
    assert end.exit_code == 5
    assert not alive(marker)


async def test_a_container_ending_leaves_the_others_alone(host: ProcessHost, marker: str) -> None:
    other = f"{marker}-other"
    staying = await start(host, RUNAWAY.format(marker=other) + "sleep 1000")
    ending = await start(host, RUNAWAY.format(marker=marker) + "sleep 1000")
    await until_alive(marker, 2)
    await until_alive(other, 2)
    before = sorted(alive(other))
    ending.signal(host, signal.SIGKILL)
    assert (await asyncio.wait_for(ending.end, PATIENCE)).exit_code == 137
    assert not alive(marker)
    assert sorted(alive(other)) == before
    assert not staying.end.done()


async def test_only_the_first_process_gets_sigterm(host: ProcessHost, tmp_path: Path) -> None:
    log_file = tmp_path / "log"
    child = "sh -c 'trap \"echo child\" TERM; while :; do sleep 0.05; done' &"
    script = f'{child} trap "echo main; exit 0" TERM; echo up; while :; do sleep 0.05; done'
    started = await start(host, script, log_file)
    async with asyncio.timeout(PATIENCE):
        while not (log_file.exists() and "up" in log_file.read_text()):  # noqa: ASYNC110
            await asyncio.sleep(0.02)
    started.signal(host, signal.SIGTERM)
    assert (await asyncio.wait_for(started.end, PATIENCE)).exit_code == 0
    assert [line.split(" ", 2)[2] for line in log_file.read_text().splitlines()] == ["up", "main"]


async def test_output_is_complete_and_in_order(host: ProcessHost, tmp_path: Path) -> None:
    script = "i=0; while [ $i -lt 2000 ]; do echo out $i; echo err $i >&2; i=$((i+1)); done; printf rest"
    started = await start(host, script, tmp_path / "log")
    await asyncio.wait_for(started.end, PATIENCE)
    text = [line.split(" ", 2)[1:] for line in (tmp_path / "log").read_text().splitlines()]
    expected = [["F", f"{stream} {number}"] for number in range(2000) for stream in ("out", "err")]
    assert text == [*expected, ["P", "rest"]]


async def test_many_at_once(host: ProcessHost) -> None:
    several = await asyncio.gather(*(start(host, "sleep 1000") for _ in range(200)))
    for started in several:
        started.signal(host, signal.SIGTERM)
    ends = await asyncio.wait_for(asyncio.gather(*(started.end for started in several)), PATIENCE)
    assert {end.exit_code for end in ends} == {143}


def _guardians(host_pid: int) -> list[int]:
    """PIDs of the outer and the inner process of a host's guardian."""
    found = []
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                words = (folder / "cmdline").read_bytes().split(b"\0")
            except OSError:
                continue
            if b"guardian.main" in b" ".join(words) and words[-2] == str(host_pid).encode():
                found.append(int(folder.name))
    return sorted(found)


@pytest.mark.parametrize("which", [0, 1], ids=["outer", "inner"])
async def test_guardian_killed_takes_all_processes_along_and_is_replaced(
    host: ProcessHost, marker: str, which: int
) -> None:
    started = await start(host, RUNAWAY.format(marker=marker) + "sleep 1000")
    await until_alive(marker, 2)
    guardians = _guardians(os.getpid())
    assert len(guardians) == 2
    os.kill(guardians[which], signal.SIGKILL)
    assert (await asyncio.wait_for(started.end, PATIENCE)).exit_code == 137
    assert not alive(marker)
    again = await start(host, "exit 6")
    assert (await asyncio.wait_for(again.end, PATIENCE)).exit_code == 6


UNPRIVILEGED = ["setpriv", "--bounding-set=-all", "--inh-caps=-all", "--ambient-caps=-all"]
"""As an ordinary user, of root's rights only the name."""


@pytest.mark.parametrize("ordinary_user", [False, True])
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
async def test_nothing_outlives_the_host_process(marker: str, number: signal.Signals, ordinary_user: bool) -> None:
    if ordinary_user and (os.getuid() != 0 or not shutil.which("setpriv")):
        pytest.skip("an ordinary user runs the tests anyway, or there is no setpriv to become one")
    source = str(Path(agentstop.__file__ or "").parent.parent)
    command = [*(UNPRIVILEGED if ordinary_user else []), sys.executable, "-c", HOST_PROGRAM]
    command += [RUNAWAY.format(marker=marker) + "sleep 1000", os.environ["PATH"]]
    program = subprocess.Popen(command, stdout=subprocess.PIPE, env={**os.environ, "PYTHONPATH": source})  # noqa: ASYNC220
    try:
        assert program.stdout is not None
        assert await asyncio.to_thread(program.stdout.readline) == b"started\n"
        await until_alive(marker, 6)
    finally:
        program.send_signal(number)
        await asyncio.to_thread(program.wait)
    await until_gone(marker)
    assert not await _still_there(program.pid)


async def _still_there(host_pid: int) -> list[int]:
    for _ in range(100):
        if not _guardians(host_pid):
            break
        await asyncio.sleep(0.02)
    return _guardians(host_pid)


async def test_start_after_close_is_refused(marker: str) -> None:
    host = ProcessHost()
    await host.open()
    await start(host, RUNAWAY.format(marker=marker) + 'trap "" TERM; sleep 1000; sleep 1000')
    await until_alive(marker, 2)
    await host.close(0.1)
    assert not alive(marker)
    with pytest.raises(StartError):
        await start(host, "exit 0")


def test_a_process_is_stopped_wherever_it_is_just_then(tmp_path: Path) -> None:
    """Such as in vfork(2), where it waits in the kernel for a child that is stopped, too."""
    count = tmp_path / "count"
    script = f"n=0; while :; do n=$((n + 1)); echo $n > {count}; sleep 0.001; done"
    process = subprocess.Popen(["sh", "-c", script], start_new_session=True)
    try:
        while not count.exists():
            time.sleep(0.01)
        for _ in range(100):
            limit = time.monotonic() + PATIENCE
            while len(set(signal_tree(process.pid, signal.SIGSTOP))) > 1:
                assert time.monotonic() < limit, "never stopped"
            before = count.read_text(encoding="ascii")
            time.sleep(0.002)
            assert count.read_text(encoding="ascii") == before
            while signal_tree(process.pid, signal.SIGCONT)[1]:
                assert time.monotonic() < limit, "never continued"
            time.sleep(0.003)
    finally:
        kill_tree(process.pid)
        process.wait()
