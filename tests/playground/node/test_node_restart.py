"""The node's process is killed and comes back; the API server goes and comes back."""

import asyncio
import contextlib
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

import agentstop

from .cluster import Cluster, alive, container, main_status, phase_is, pod, terminated
from .test_node_pods import PATIENT


@contextlib.contextmanager
def node_process(cluster: Cluster) -> Iterator["subprocess.Popen[bytes]"]:
    """The node as a program of its own; it serves all namespaces of a node name of its own."""
    command = [sys.executable, "-m", "agentstop_playground.node", "--kubeconfig", str(cluster.endpoint.kubeconfig)]
    command += ["--data-dir", str(cluster.data_dir), "--name", cluster.node_name, "-n", cluster.namespace]
    source = str(Path(agentstop.__file__ or "").parent.parent)
    program = subprocess.Popen(command, env={"PYTHONPATH": source, "PATH": "/usr/local/bin:/usr/bin:/bin"})
    try:
        yield program
    finally:
        if program.poll() is None:
            program.terminate()
        program.wait(20)


async def test_killed_node_leaves_nothing_and_reports_after_its_return(empty_cluster: Cluster) -> None:
    cluster = empty_cluster
    marker = f"restart-{cluster.namespace}"
    script = f'echo before; exec python3 -c "import time; time.sleep(1000)" {marker}'
    with node_process(cluster) as program:
        await cluster.run(pod("never", container(script)))
        await cluster.run(pod("always", container(script), restartPolicy="Always"))
        await cluster.create(pod("done", container("exit 4")))
        await cluster.until("done", phase_is("Failed"))
        await cluster.until_logged("never", "before")
        program.send_signal(signal.SIGKILL)
        await asyncio.to_thread(program.wait)
        await cluster.until_true(lambda: not alive(marker))
    with node_process(cluster):
        item = await cluster.until("never", phase_is("Failed"))
        end = terminated(item)
        assert (end["exitCode"], end["reason"]) == (137, "ContainerStatusUnknown")
        again = await cluster.until("always", lambda item: main_status(item).get("restartCount") == 1)
        assert main_status(again)["lastState"]["terminated"]["reason"] == "ContainerStatusUnknown"
        assert terminated(cluster.history["done"][-1][1])["exitCode"] == 4
        assert (await cluster.logs("never"))[1] == "before\n"
        for name in ("never", "always", "done"):
            await cluster.delete(name)
            await cluster.until_gone(name)
        await cluster.until_true(lambda: not list((cluster.data_dir / "pods").iterdir()))


async def test_unreadable_kubeconfig_is_one_line(tmp_path: Path) -> None:
    source = str(Path(agentstop.__file__ or "").parent.parent)
    command = [sys.executable, "-m", "agentstop_playground.node", "--data-dir", str(tmp_path), "--kubeconfig"]
    for content, words in ((None, "No such file"), ("contexts: []", "not usable"), ("{", "not usable")):
        file = tmp_path / "kubeconfig"
        if content is not None:
            file.write_text(content)
        run = await asyncio.to_thread(
            subprocess.run, [*command, str(file)], env={"PYTHONPATH": source}, capture_output=True, text=True
        )
        assert run.returncode == 1
        assert words in run.stderr
        assert "Traceback" not in run.stderr


class Cable:
    """A TCP connection to the API server that can be pulled out."""

    def __init__(self, port: int) -> None:
        self._target = port
        self._server: asyncio.Server | None = None
        self._open: set[asyncio.StreamWriter] = set()
        self.port = 0

    async def plug(self) -> None:
        self._server = await asyncio.start_server(self._connect, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def pull(self) -> None:
        assert self._server is not None
        self._server.close()
        for writer in list(self._open):
            writer.transport.abort()

    async def _connect(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self._target)
        except OSError:
            writer.close()
            return
        self._open |= {writer, far_writer}
        await asyncio.gather(self._copy(reader, far_writer), self._copy(far_reader, writer))
        self._open -= {writer, far_writer}

    async def _copy(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(65536):
                writer.write(data)
                await writer.drain()
        writer.close()


@pytest.fixture
async def cable(empty_cluster: Cluster) -> AsyncIterator[Cable]:
    cable = Cable(int(empty_cluster.endpoint.url.rsplit(":", 1)[1]))
    await cable.plug()
    yield cable
    await cable.pull()


async def test_api_server_away(empty_cluster: Cluster, cable: Cable) -> None:
    cluster = empty_cluster
    scheme = cluster.endpoint.url.split(":", 1)[0]
    node = cluster.node(url=f"{scheme}://127.0.0.1:{cable.port}")
    await cable.pull()
    await node.start()
    try:
        await cluster.create(pod("stopped", container(PATIENT)))
        await cluster.create(pod("ending", container('while [ ! -e "$HOME/go" ]; do sleep 0.05; done; exit 3')))
        await cable.plug()
        running = await cluster.until("ending", phase_is("Running"))
        await cluster.until("stopped", phase_is("Running"))
        await cluster.until_logged("stopped", "up")
        await cable.pull()
        (cluster.home(running) / "go").touch()
        await cluster.delete("stopped", grace=5)
        await asyncio.sleep(0.5)
        assert cluster.history["ending"][-1][1]["status"]["phase"] == "Running"
        await cable.plug()
        assert terminated(await cluster.until("ending", phase_is("Failed")))["exitCode"] == 3
        assert terminated(await cluster.until_gone("stopped"))["exitCode"] == 0
    finally:
        await node.stop()
