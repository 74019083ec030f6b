"""The place that a measurement takes place in: a namespace with its watches and its kubelet."""

import asyncio
import contextlib
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final, TypeVar

from agentstop.api.crd import crds
from agentstop.api.meta import API_VERSION
from benchmarks.api import Api, JsonObject, RequestFailedError
from benchmarks.contenders import mark_pod, mark_task, pods_path, tasks_path
from benchmarks.kubelet import FakeKubelet
from benchmarks.marks import Marks, TooSlowError, Watching

AT_ONCE: Final = 32
"""So many requests are under way at once, at most."""

CRDS: Final = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
CRD_POLLS: Final = 100
CRD_POLL_SECONDS: Final = 0.1

Item = TypeVar("Item")


@dataclass(frozen=True)
class Stage:
    """A namespace that is watched."""

    api: Api
    namespace: str
    marks: Marks
    watching: Watching
    kubelet: FakeKubelet

    async def watch(self) -> None:
        """Begin to watch pods and tasks."""

        def on_pod(at: float, kind: str, pod: JsonObject) -> None:
            mark_pod(self.marks, at, kind, pod)
            self.kubelet.see(kind, pod)

        await self.watching.start(pods_path(self.namespace), on_pod)
        await self.watching.start(tasks_path(self.namespace), lambda at, _, task: mark_task(self.marks, at, task))


@asynccontextmanager
async def stage(api: Api, *, clean_up: bool) -> AsyncIterator[Stage]:
    """Make a namespace with a kubelet; take it away afterwards where `clean_up` is wanted."""
    namespace = f"agentstop-bench-{secrets.token_hex(4)}"
    body = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}}
    await api.call("POST", "/api/v1/namespaces", body)
    place = Stage(api, namespace, Marks(), Watching(api), FakeKubelet(api))
    try:
        await place.kubelet.start()
        yield place
    finally:
        await place.watching.stop()
        if clean_up:
            await _remove(api, namespace)
        await place.kubelet.stop()


async def install_crds(api: Api) -> None:
    """Install our kinds where they are not there yet, and wait until they are served."""
    for crd in crds().values():
        with contextlib.suppress(RequestFailedError):
            await api.call("POST", CRDS, crd)
    wanted = {crd["spec"]["names"]["plural"] for crd in crds().values()}
    for _ in range(CRD_POLLS):
        with contextlib.suppress(RequestFailedError):
            served = {each["name"] for each in (await api.call("GET", f"/apis/{API_VERSION}"))["resources"]}
            if wanted <= served:
                return
        await asyncio.sleep(CRD_POLL_SECONDS)
    raise TooSlowError(f"the API server does not serve {', '.join(sorted(wanted))} of {API_VERSION}; see their status")


async def for_all(items: Iterable[Item], work: Callable[[Item], Awaitable[None]]) -> None:
    """Do something for all items, so many at once as is allowed, in their order."""
    waiting = iter(items)

    async def go_on() -> None:
        for item in waiting:
            await work(item)

    await asyncio.gather(*(go_on() for _ in range(AT_ONCE)))


async def _remove(api: Api, namespace: str) -> None:
    """Take away what no kubelet would end, then the namespace."""
    pods = (await api.call("GET", pods_path(namespace))).get("items", ())

    async def end(pod: JsonObject) -> None:
        path = f"{pods_path(namespace)}/{pod['metadata']['name']}"
        with contextlib.suppress(RequestFailedError):
            await api.patch(path, {"metadata": {"finalizers": None}})
            await api.call("DELETE", path, {"gracePeriodSeconds": 0})

    await api.call("DELETE", f"/api/v1/namespaces/{namespace}")
    await for_all(pods, end)
