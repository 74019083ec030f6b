"""``python -m agentstop_playground.controllers``: the controllers as a process of their own."""

import asyncio
import sys
from pathlib import Path

import pytest
from tests.support import apiserver
from tests.support.programs import free_port
from tests.support.waiting import PATIENCE

from agentstop_playground.controllers.kinds import JOB

from .bench import Bench, conditions, pod_spec


async def run(*arguments: str) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "agentstop_playground.controllers",
        *arguments,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )


def kubeconfig(folder: Path, url: str, token: str) -> str:
    path = folder / "kubeconfig"
    apiserver.write_kubeconfig(path, url, token, None)
    return f"--kubeconfig={path}"


@pytest.mark.playground_only
async def test_it_works_until_it_is_asked_to_end(idle_bench: Bench, tmp_path: Path) -> None:
    config = kubeconfig(tmp_path, idle_bench.endpoint.url, idle_bench.endpoint.token)
    process = await run(config, "--only=job", f"--namespace={idle_bench.namespace}")
    try:
        spec = {"suspend": True, "template": {"spec": pod_spec(restartPolicy="Never")}}
        await idle_bench.create(JOB, "j", spec)
        await idle_bench.until(JOB, "j", lambda obj: "Suspended" in conditions(obj))
    finally:
        process.terminate()
    assert await asyncio.wait_for(process.wait(), PATIENCE) == 0


async def test_it_ends_though_no_api_server_ever_answers(tmp_path: Path) -> None:
    process = await run(kubeconfig(tmp_path, f"http://127.0.0.1:{free_port()}", "t"), "--verbose")
    assert process.stdout is not None
    async with asyncio.timeout(PATIENCE):
        while b"trying again" not in await process.stdout.readline():
            pass
        process.terminate()
        assert await process.wait() == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--only=cron"], "invalid choice: 'cron'"),
        ([], "cannot read kubeconfig"),
    ],
)
async def test_what_it_can_not_work_with_is_named(tmp_path: Path, arguments: list[str], message: str) -> None:
    process = await run(f"--kubeconfig={tmp_path / 'none'}", *arguments)
    output, _ = await asyncio.wait_for(process.communicate(), PATIENCE)
    assert process.returncode
    assert message in output.decode()
