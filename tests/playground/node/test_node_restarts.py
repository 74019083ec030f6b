"""A container that ends so soon that its end is heard before its start has come to its own."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

from tests.support.waiting import PATIENCE, until

from agentstop_playground.api_client import ApiClient
from agentstop_playground.events import EventRecorder
from agentstop_playground.node.context import NodeContext
from agentstop_playground.node.images import Images
from agentstop_playground.node.pod_worker import PodWorker
from agentstop_playground.node.processes import Exit, Process, ProcessHost


class Host:
    """Its first process has ended when `start` returns; the guardian tells of both in one breath under load."""

    def __init__(self) -> None:
        self.starts = 0

    async def start(
        self, _argv: object, *, on_start: Callable[[Process], None], on_exit: Callable[[Exit], None], **_: object
    ) -> None:
        self.starts += 1
        number = self.starts
        if number > 1:
            await asyncio.sleep(0.05)
        on_start(Process(number, on_start, on_exit, pid=number, started_at=1.0))
        if number == 1:
            on_exit(Exit(7, 1.0))
        await asyncio.sleep(0)


class Server:
    """Takes every status."""

    async def request(self, *_: object, **__: object) -> dict[str, Any]:
        return {}


class Events:
    """Takes every event."""

    def record(self, *_: object) -> None:
        """Do nothing."""


async def test_it_is_started_again_once(tmp_path: Path) -> None:
    host = Host()
    pod = {
        "metadata": {"namespace": "ns", "name": "p", "uid": "u"},
        "spec": {"restartPolicy": "Always", "containers": [{"name": "p", "image": "none", "command": ["true"]}]},
    }
    context = NodeContext(
        name="n",
        address="127.0.0.1",
        data_dir=tmp_path,
        client=cast("ApiClient", Server()),
        host=cast("ProcessHost", host),
        events=cast("EventRecorder", Events()),
        images=Images(),
        acting=lambda: True,
    )
    worker = PodWorker(pod, context, lambda _: None)
    worker.step()
    await until(lambda: host.starts == 2, PATIENCE, "started again")
    await asyncio.sleep(0.3)  # and no third time
    worker.close()

    (container,) = worker.containers
    assert (host.starts, container.restart_count) == (2, 1)
