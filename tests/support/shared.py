"""Clusters that all processes of a run share (`pytest -n`): each is started by the first that needs it.

A cluster belongs to a host, a process of its own. It ends with the run's first process, whichever of the others end
before, and lets go of everything by then.
"""

import asyncio
import fcntl
import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

from tests.support import clusters
from tests.support.clusters import Cluster, Feature
from tests.support.kube import Kube
from tests.support.operators import Operator
from tests.support.programs import ROOT, Program
from tests.support.run import END_SECONDS, HOST, Run
from tests.support.waiting import until

START_SECONDS: Final = 300.0
"""How long a cluster may take to come up, its operator included."""


STATE: Final = "state.json"
"""File in a shared cluster's folder that tells what is there, once all is."""


class _Elsewhere:
    """A process that somebody else started."""

    def __init__(self, pid: int) -> None:
        self.pid = pid

    @property
    def returncode(self) -> int | None:
        try:
            os.kill(self.pid, 0)
        except ProcessLookupError:
            return -1
        return None

    def send_signal(self, number: int, /) -> None:
        os.kill(self.pid, number)

    async def wait(self) -> int:
        await until(lambda: self.returncode is not None, float("inf"), "its end")
        return -1


@asynccontextmanager
async def attached(run: Run, kind: str, *, served: bool) -> AsyncIterator[Cluster]:
    """The run's one cluster of a kind: where an operator of all namespaces runs, or where none does."""
    folder = run.folder / f"shared-{kind}-{'served' if served else 'idle'}"
    folder.mkdir(exist_ok=True)
    state = folder / STATE
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not state.exists():
            await _start(run, kind, folder, state, served=served)
    found = json.loads(state.read_text(encoding="utf-8"))
    kube = await Kube.open(Path(found["cluster"]["kubeconfig"]))
    try:
        yield _cluster(found["cluster"], kube)
    finally:
        await kube.close()


def operator_of(cluster: Cluster) -> Operator | None:
    """Return the operator that serves all of a shared cluster; None where there is none, or it is no such cluster."""
    state = cluster.folder / STATE
    found = json.loads(state.read_text(encoding="utf-8")) if state.exists() else {}
    return Operator(_program(found["operator"]), found["port"]) if "operator" in found else None


async def _start(run: Run, kind: str, folder: Path, state: Path, *, served: bool) -> None:
    log = folder / "host.log"
    host = _spawn([kind, str(folder), str(run.pid), "served" if served else "idle"], log)
    (folder / HOST).write_text(str(host.pid), encoding="utf-8")

    def there() -> bool:
        assert host.poll() is None, f"the cluster's host ended: {log.read_text(encoding='utf-8')[-3000:]}"
        return state.exists()

    await until(there, START_SECONDS, f"the shared cluster {kind}; see {folder}")


def _spawn(arguments: list[str], log: Path) -> "subprocess.Popen[bytes]":
    # Without a main module: it would be imported again by each program that is forked.
    code = "import sys; from tests.support.shared import main; main(*sys.argv[1:])"
    paths = [str(ROOT), str(ROOT / "operator"), str(ROOT / "playground")]
    with log.open("wb") as output:
        return subprocess.Popen(
            [sys.executable, "-c", code, *arguments],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
            start_new_session=True,
        )


def main(kind: str, folder: str, pid: str, how: str) -> None:
    """Be the host of a cluster until SIGTERM, or until the process `pid` ends."""
    asyncio.run(_host(kind, Path(folder), int(pid), served=how == "served"))


async def _host(kind: str, folder: Path, pid: int, *, served: bool) -> None:
    loop, ending = asyncio.get_running_loop(), asyncio.Event()
    loop.add_signal_handler(signal.SIGTERM, ending.set)
    descriptor = os.pidfd_open(pid)
    loop.add_reader(descriptor, ending.set)
    begun = asyncio.create_task(_serve(kind, folder, ending, served=served))
    over = asyncio.create_task(ending.wait())
    await asyncio.wait({begun, over}, return_when=asyncio.FIRST_COMPLETED)
    if not begun.done():
        await asyncio.wait({begun}, timeout=END_SECONDS)
    loop.remove_reader(descriptor)
    await begun


async def _serve(kind: str, folder: Path, ending: asyncio.Event, *, served: bool) -> None:
    context = clusters.playground(folder) if kind == "playground" else clusters.real(folder)
    async with context as cluster:
        operator = await Operator.start(cluster) if served else None
        found: dict[str, Any] = {"cluster": _written(cluster)}
        if operator is not None:
            found |= {"operator": _written_program(operator.program), "port": operator.port}
        unfinished = folder / "state.unfinished"
        unfinished.write_text(json.dumps(found), encoding="utf-8")
        unfinished.rename(folder / STATE)
        await ending.wait()
        if operator is not None:
            await operator.program.end()


def _written(cluster: Cluster) -> dict[str, Any]:
    return {
        "name": cluster.name,
        "kubeconfig": str(cluster.kubeconfig),
        "features": [each.name for each in cluster.features],
        "folder": str(cluster.folder),
        "operator_token": cluster.operator_token,
        "operator_kubeconfig": cluster.operator_kubeconfig and str(cluster.operator_kubeconfig),
        "tokens": dict(cluster.tokens),
        "job_controller": cluster.job_controller,
        "server": _written_program(cluster.server),
        "controllers": _written_program(cluster.controllers),
        "node": _written_program(cluster.node),
    }


def _cluster(found: dict[str, Any], kube: Kube) -> Cluster:
    operator_kubeconfig = found["operator_kubeconfig"]
    return Cluster(
        found["name"],
        Path(found["kubeconfig"]),
        kube,
        frozenset(Feature[each] for each in found["features"]),
        Path(found["folder"]),
        operator_token=found["operator_token"],
        operator_kubeconfig=operator_kubeconfig and Path(operator_kubeconfig),
        tokens=found["tokens"],
        job_controller=found["job_controller"],
        server=_program(found["server"]),
        controllers=_program(found["controllers"]),
        node=_program(found["node"]),
    )


def _written_program(program: Program | None) -> dict[str, Any]:
    assert program is not None
    return {"pid": program.pid, "log": str(program.log)}


def _program(found: dict[str, Any]) -> Program:
    return Program(_Elsewhere(found["pid"]), Path(found["log"]))
