"""The component's process, from its start to its end: one worker for each PodControl of its node."""

import asyncio
import logging
import signal
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from agentstop.client.client import Api
from agentstop.client.config import Settings
from agentstop.controller.probes import Probes
from agentstop.node.cgroups import governs, is_unified
from agentstop.node.debounce import Debounce
from agentstop.node.leftovers import thaw_leftovers
from agentstop.node.metrics import Metrics
from agentstop.node.records import read_control
from agentstop.node.watch import Watch
from agentstop.node.worker import Means, Worker

log = logging.getLogger(__name__)

Object = dict[str, Any]

THREADS: Final = 4
WRITERS: Final = 2
"""So many requests are under way at once: those that a freeze or a kill waits for, and those that say what came of
it."""

REQUEST_SECONDS: Final = 10.0
"""How long one may take."""

TIDY_SECONDS: Final = 1.0
"""Pause after a pod could not be thawed that nobody asks to be frozen any more."""

BLIND_SECONDS: Final = 90.0
"""After so long without contact the component is not ready."""

BOOT_ID: Final = Path("/proc/sys/kernel/random/boot_id")


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """How the component is to run."""

    node: str
    """Name of the node that it is on."""
    root: Path = Path("/sys/fs/cgroup")
    """Root of the cgroups of version 2 in which the node's pods are."""
    namespaces: tuple[str, ...] = ()
    """Namespaces to serve; none are all."""
    host: str = "127.0.0.1"
    """Address that the probes and metrics listen on."""
    health_port: int | None = None
    metrics_port: int | None = None


class Component:
    """One component process. `run` returns when it was asked to end."""

    def __init__(self, options: Options) -> None:
        self._options = options
        self._workers: dict[str, tuple[Worker, asyncio.Task[None]]] = {}
        """By the UIDs of the objects."""
        self._watches: list[Watch] = []
        self._unlisted = set(options.namespaces or ("",))
        """Namespaces of which it is not known yet what is asked."""
        self._untidy = asyncio.Event()
        """Something may be frozen that nobody asks to be."""
        self._metrics = Metrics()
        self._metrics.controls.set_function(lambda: len(self._workers))
        self._metrics.frozen.set_function(lambda: sum(each.state == "Frozen" for each, _ in self._workers.values()))
        self._metrics.contact.set_function(lambda: min((each.contact_at or 0.0 for each in self._watches), default=0.0))

    async def run(self) -> None:
        """Run until SIGTERM or SIGINT. Raises ConfigError without a usable configuration, PortInUseError."""
        options, loop, stopping = self._options, asyncio.get_running_loop(), asyncio.Event()
        root = options.root.resolve()
        if not is_unified(root):
            log.error(
                "%s is no root of cgroups of version 2: nothing is done to any pod of this node; name the root with"
                " --cgroup-root, such as /sys/fs/cgroup/unified beside version 1",
                root,
            )
        with ThreadPoolExecutor(THREADS, "requests") as threads, ThreadPoolExecutor(WRITERS, "writers") as writers:
            api = Api.open(Settings(), interactive=False, seconds=REQUEST_SECONDS)
            means = Means(
                api=api,
                threads=threads,
                writers=writers,
                node=options.node,
                root=root,
                alone=is_unified(root) and governs(root),
                boot_id=BOOT_ID.read_text(encoding="ascii").strip(),
                metrics=self._metrics,
                debounce=Debounce(),
                clock=lambda: datetime.now(UTC),
            )
            probes = Probes(lambda: None, lambda: self._unready(root), self._metrics.registry)
            await probes.start(options.host, options.health_port, options.metrics_port)
            for number in (signal.SIGTERM, signal.SIGINT):
                loop.add_signal_handler(number, stopping.set)
            self._watch(means, loop)
            tidying = asyncio.create_task(self._tidy(root), name="tidy")
            await stopping.wait()
            tidying.cancel()
            for each in self._watches:
                each.stop()
            await self._end(list(self._workers))
            await probes.stop()

    def _watch(self, means: Means, loop: asyncio.AbstractEventLoop) -> None:
        for namespace in self._options.namespaces or ("",):

            def listed(items: list[Object], namespace: str = namespace) -> None:
                loop.call_soon_threadsafe(self._listed, means, namespace, items)

            def changed(kind: str, raw: Object) -> None:
                loop.call_soon_threadsafe(self._changed, means, kind, raw)

            self._watches.append(Watch(means.api, means.node, namespace, listed, changed))
        for watch in self._watches:
            watch.start()

    def _listed(self, means: Means, namespace: str, items: list[Object]) -> None:
        found = {raw["metadata"]["uid"] for raw in items}
        gone = [
            uid
            for uid, (worker, _) in self._workers.items()
            if uid not in found and namespace in {"", worker.control.namespace}
        ]
        for uid in gone:
            self._drop(uid)
        for raw in items:
            self._changed(means, "ADDED", raw)
        self._unlisted.discard(namespace)
        self._untidy.set()

    def _changed(self, means: Means, kind: str, raw: Object) -> None:
        control = read_control(raw)
        if kind == "DELETED":
            self._drop(control.uid)
            self._untidy.set()
        elif control.uid in self._workers:
            self._workers[control.uid][0].take(control)
        else:
            worker = Worker(means, control)
            self._workers[control.uid] = worker, asyncio.create_task(worker.run(), name=f"control {control}")

    def _drop(self, uid: str) -> None:
        known = self._workers.pop(uid, None)
        if known is not None:
            known[1].cancel()

    async def _tidy(self, root: Path) -> None:
        """Thaw what nobody asks to be frozen any more, once it is known what is asked; until cancelled."""
        while True:
            await self._untidy.wait()
            self._untidy.clear()
            asked = {(worker.control.namespace, worker.control.pod_uid) for worker, _ in self._workers.values()}
            if not self._unlisted and not thaw_leftovers(root, asked, self._options.namespaces):
                await asyncio.sleep(TIDY_SECONDS)
                self._untidy.set()

    async def _end(self, uids: list[str]) -> None:
        tasks = [self._workers[uid][1] for uid in uids]
        for uid in uids:
            self._drop(uid)
        await asyncio.gather(*tasks, return_exceptions=True)

    def _unready(self, root: Path, now: Callable[[], float] = time.time) -> str | None:
        if not is_unified(root):
            return f"{root} is no root of cgroups of version 2"
        for watch in self._watches:
            if watch.contact_at is None:
                return watch.problem
            if now() - watch.contact_at > BLIND_SECONDS:
                return f"the watch is blind: {watch.problem}"
        return None
