"""The place that a measurement takes place in: a namespace with its watches and its kubelet."""

import asyncio
import contextlib
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Final, TypeVar

from tests.support import definitions
from tests.support.kube import Kube, KubeError, Object

from agentstop.api.crd import crds
from benchmarks.contenders import mark_pod, mark_task, pods_path, tasks_path
from benchmarks.kubelet import FakeKubelet
from benchmarks.marks import Marks, TooSlowError, Watching

RUN_LABEL: Final = "agentstop-bench"
"""On the namespaces of one stage, with a value of its own."""

AT_ONCE: Final = 32
"""So many requests are under way at once, where nothing else is said."""


Item = TypeVar("Item")


@dataclass(frozen=True)
class Stage:
    """Namespaces that are watched."""

    api: Kube
    namespaces: tuple[str, ...]
    marks: Marks
    watching: Watching
    kubelet: FakeKubelet
    pods: set[tuple[str, str]] = field(default_factory=set)
    """Namespace and name of every pod that ever was."""

    @property
    def namespace(self) -> str:
        """The first namespace, for what needs only one."""
        return self.namespaces[0]

    async def watch(self) -> None:
        """Begin to watch pods and tasks."""

        def on_pod(at: float, kind: str, pod: Object) -> None:
            self.pods.add((pod["metadata"]["namespace"], pod["metadata"]["name"]))
            mark_pod(self.marks, at, kind, pod)
            self.kubelet.see(kind, pod)

        for namespace in self.namespaces:
            await self.watching.start(pods_path(namespace), on_pod)
            await self.watching.start(tasks_path(namespace), lambda at, _, task: mark_task(self.marks, at, task))


@asynccontextmanager
async def stage(api: Kube, *, clean_up: bool, namespaces: int = 1) -> AsyncIterator[Stage]:
    """Make so many namespaces with one kubelet; take them away afterwards where `clean_up` is wanted."""
    run = f"agentstop-bench-{secrets.token_hex(4)}"
    names = tuple(f"{run}-{number}" for number in range(namespaces))
    for name in names:
        metadata = {"name": name, "labels": {RUN_LABEL: run}}
        await api.call("POST", "/api/v1/namespaces", {"apiVersion": "v1", "kind": "Namespace", "metadata": metadata})
    place = Stage(api, names, Marks(), Watching(api), FakeKubelet(api))
    try:
        await place.kubelet.start()
        yield place
    finally:
        await place.watching.stop()
        for name in names if clean_up else ():
            await _remove(api, name)
        await place.kubelet.stop()


async def install_crds(api: Kube) -> None:
    """Install our kinds where they are not there yet, and wait until they are served. Raises TooSlowError."""
    try:
        await definitions.install(api, crds().values())
    except AssertionError as error:
        raise TooSlowError(str(error)) from error


async def for_all(items: Iterable[Item], work: Callable[[Item], Awaitable[None]], at_once: int = AT_ONCE) -> None:
    """Do something for all items, so many at once, in their order."""
    waiting = iter(items)

    async def go_on() -> None:
        for item in waiting:
            await work(item)

    await asyncio.gather(*(go_on() for _ in range(at_once)))


async def _remove(api: Kube, namespace: str) -> None:
    """Take away what no kubelet would end, then the namespace."""
    pods = (await api.call("GET", pods_path(namespace))).get("items", ())

    async def end(pod: Object) -> None:
        path = f"{pods_path(namespace)}/{pod['metadata']['name']}"
        with contextlib.suppress(KubeError):
            await api.patch(path, {"metadata": {"finalizers": None}})
            await api.call("DELETE", path, {"gracePeriodSeconds": 0})

    await api.call("DELETE", f"/api/v1/namespaces/{namespace}")
    await for_all(pods, end)
