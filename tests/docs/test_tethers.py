"""The programs in the page on tethers, run as they stand there."""

import asyncio
import os
import sys

import yaml

from tests.support.kube import TASKS
from tests.support.laws import conditions_of
from tests.support.waiting import PATIENCE, until

from . import agents
from .conftest import Place
from .documents import ROOT, blocks
from .test_commands import differences


async def start(place: Place, program: str) -> asyncio.subprocess.Process:
    environment = os.environ | {"KUBECONFIG": str(place.kubeconfig), "PYTHONPATH": str(ROOT / "operator")}
    pipe = asyncio.subprocess.PIPE
    return await asyncio.create_subprocess_exec(sys.executable, "-c", program, env=environment, stdin=pipe, stdout=pipe)


async def test_the_programs_do_what_is_said(place: Place) -> None:
    found = list(blocks(ROOT / "docs/tethers.md"))
    manifest, status = (each.text for each in found if each.language == "yaml")
    with_a_name, with_a_loop = (each.text for each in found if each.language == "python")
    # The task is made while the program waits, so that the Lease is there before it.
    waits = "print('held', flush=True); input(); "
    holder = await start(place, with_a_name.replace("tether.attach(", f"{waits}tether.attach("))
    assert holder.stdout is not None
    async with asyncio.timeout(PATIENCE):
        assert await holder.stdout.readline() == b"held\n"
    await place.cluster.kube.create(TASKS, place.namespace, yaml.safe_load(manifest))
    await agents.at_work(place)

    async def held() -> bool:
        task = await place.cluster.kube.get(TASKS, place.namespace, "research-42")
        return conditions_of(task).get("Tethered", {}).get("status") == "True"

    await until(held, PATIENCE, "held")
    assert await _ended(holder) == b"stopping: research-42\n"
    ended = await agents.ended(place, "research-42")
    assert not list(differences(ended, yaml.safe_load(status.replace("NAMESPACE", place.namespace))))
    assert b"keeping tether-" in await _ended(await start(place, with_a_loop))


async def _ended(program: asyncio.subprocess.Process) -> bytes:
    """Let a program go on to its end, and return what it has written."""
    async with asyncio.timeout(PATIENCE):
        written, _ = await program.communicate(b"\n")
    assert program.returncode == 0
    return written
