"""A cluster of orders, tasks, nodes and rights for what works on orders; stands for the gateway."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from typing import Any, cast

from agentstop.api.order import ListedTask
from agentstop.api.task import KIND
from agentstop.cluster.cache import Cache
from agentstop.cluster.errors import ApiError
from agentstop.cluster.family_index import TaskKey
from agentstop.cluster.gateway import Gateway
from agentstop.cluster.orders import key_of
from agentstop.cluster.queue import Priority, WorkQueue
from agentstop.cluster.resources import APIResource
from agentstop.controller.stop_order_handler import StopOrderHandler, priority_of_order
from agentstop.controller.stop_order_reconciler import StopOrderReconciler
from agentstop.controller.workers import Workers
from agentstop.lifecycle.orders import OrderKey
from agentstop.timings import Timings
from agentstop.workloads.objects import ObjectRef
from agentstop.workloads.requests import AccessReview, Get, Request
from tests.support.waiting import PATIENCE, until
from tests.unit.objects import NOW, Raw, raw_order, raw_task, when

ORDER = OrderKey("StopOrder", "ns", "o")
REST_SECONDS = 0.01


class Cluster:
    """What exists, and what was asked of it."""

    def __init__(self) -> None:
        self.orders: dict[OrderKey, Raw] = {}
        self.tasks: dict[TaskKey, Raw] = {}
        self.nodes: dict[str, Raw] = {}
        self.namespaces: dict[str, Raw] = {"ns": {}}
        """Their labels."""
        self.forbidden: set[tuple[str, str]] = set()
        """Verb and plural of what the operator may not do."""
        self.written: list[Raw] = []
        self.deleted: list[OrderKey] = []
        self.finalizers: list[list[str]] = []
        """What the finalizers of orders were set to."""
        self.reads: list[str] = []
        self.failures: list[ApiError] = []
        """What the next requests about orders are answered with."""
        self.before_list: Callable[[], None] = lambda: None
        self.before_write: Callable[[], None] = lambda: None
        self.after_write: Callable[[], None] = lambda: None
        self.tell_order: Callable[[str, Raw], None] = lambda kind, raw: None
        """The watch of orders."""
        self._version = 100

    def version(self) -> str:
        self._version += 1
        return str(self._version)

    def _fail(self) -> None:
        if self.failures:
            raise self.failures.pop(0)

    async def get_own(self, ref: ObjectRef) -> Raw:
        self._fail()
        self.reads.append(ref.name)
        key = OrderKey(*ref[:3])
        if key not in self.orders:
            raise ApiError(404, "NotFound", "no such order")
        return self.orders[key]

    async def write_status(self, order: Raw) -> Raw:
        await asyncio.sleep(0)
        self.before_write()
        self._fail()
        key, metadata = key_of(order), order["metadata"]
        current = self.orders.get(key)
        if current is None:
            raise ApiError(404, "NotFound", "no such order")
        if any(current["metadata"][name] != metadata[name] for name in ("uid", "resourceVersion")):
            raise ApiError(409, "Conflict", "changed meanwhile")
        self.written.append(order["status"])
        answer = self.change_order(key, status=order["status"])
        self.after_write()
        return answer

    async def patch_own(self, ref: ObjectRef, body: Raw) -> Raw:
        await asyncio.sleep(0)
        plural = f"{ref.kind.lower()}s"
        if ("patch", plural) in self.forbidden:
            raise ApiError(403, "Forbidden", f"{plural} is forbidden")
        self._fail()
        key = OrderKey(*ref[:3])
        if key not in self.orders:
            raise ApiError(404, "NotFound", "no such order")
        metadata = self.orders[key]["metadata"]
        if any(metadata[name] != body["metadata"][name] for name in ("uid", "resourceVersion")):
            raise ApiError(409, "Conflict", "changed meanwhile")
        self.finalizers.append(body["metadata"]["finalizers"])
        metadata = metadata | {"finalizers": body["metadata"]["finalizers"], "resourceVersion": self.version()}
        answer = self.orders[key] = self.orders[key] | {"metadata": metadata}
        if "deletionTimestamp" in metadata and not metadata["finalizers"]:
            del self.orders[key]
            self.tell_order("DELETED", answer)
        return answer

    def change_order(self, key: OrderKey = ORDER, **parts: Any) -> Raw:
        raw = self.orders[key]
        metadata = raw["metadata"] | {"resourceVersion": self.version()}
        if "spec" in parts:
            parts["spec"] = raw["spec"] | parts["spec"]
            metadata["generation"] += 1
        self.orders[key] = raw | parts | {"metadata": metadata}
        return self.orders[key]

    async def delete_own(self, ref: ObjectRef, uid: str, resource_version: str) -> None:
        self._fail()
        metadata = self.orders[OrderKey(*ref[:3])]["metadata"]
        if (metadata["uid"], metadata["resourceVersion"]) != (uid, resource_version):
            raise ApiError(409, "Conflict", "changed meanwhile")
        self.deleted.append(OrderKey(*ref[:3]))

    async def list_metadata(self, kind: str, namespace: str, selector: str = "") -> list[Raw]:
        assert kind == KIND
        self.before_list()
        return [raw["metadata"] for key, raw in self.tasks.items() if namespace in {"", key.namespace}]

    async def get_task(self, namespace: str, name: str) -> Raw:
        self.reads.append(name)
        if TaskKey(namespace, name) not in self.tasks:
            raise ApiError(404, "NotFound", "no such task")
        return self.tasks[TaskKey(namespace, name)]

    async def call(self, method: str, where: str, query: Mapping[str, str] | None = None, body: Any = None) -> Raw:
        assert method == "POST"
        attributes = body["spec"]["resourceAttributes"]
        return {"status": {"allowed": (attributes["verb"], attributes["resource"]) not in self.forbidden}}

    async def objects(self, place: APIResource, namespace: str = "") -> AsyncIterator[Raw]:
        if place.plural == "namespaces":
            for name, labels in self.namespaces.items():
                yield {"metadata": {"name": name, "labels": labels}}
            return
        for key, raw in list(self.orders.items()):
            if f"{key.kind.lower()}s" == place.plural and namespace in {"", key.namespace}:
                yield {name: part for name, part in raw.items() if name not in {"kind", "apiVersion"}}

    async def send(self, request: Request) -> Raw:
        match request:
            case Get(ref):
                if ("get", "nodes") in self.forbidden:
                    raise ApiError(403, "Forbidden", "nodes is forbidden")
                if ref.name not in self.nodes:
                    raise ApiError(404, "NotFound", "no such node")
                return self.nodes[ref.name]
            case AccessReview(ref):
                return {"status": {"allowed": ("patch", f"{ref.kind.lower()}s") not in self.forbidden}}
        raise AssertionError(f"a drill sends {request}")


class Bench:
    """An operator's caches, and what works on orders in it, beside a cluster."""

    def __init__(self) -> None:
        self.cluster = Cluster()
        self.filled = True
        self.orphans: list[ListedTask] = []
        self.now: datetime = NOW + timedelta(seconds=10)
        self.begin()

    def begin(self) -> None:
        """A new process of the operator begins."""
        self.cache = Cache()
        self.queue: WorkQueue[TaskKey] = WorkQueue()
        self.orders: WorkQueue[OrderKey] = WorkQueue(self._priority_of, REST_SECONDS)
        gateway = cast("Gateway", self.cluster)
        self.leads = True
        self.handler = StopOrderHandler(
            self.cache, self.queue, self.orders, gateway, lambda: self.now, trust_requested_by=True
        )
        self.book = self.handler.book
        self.reconciler = StopOrderReconciler(
            self.cache,
            gateway,
            self.orders,
            self.queue,
            self.handler,
            lambda: self.filled,
            lambda: self.now,
            orphans=lambda: self.orphans,
            timings=Timings(order_recheck=timedelta(seconds=0.01)),
        )
        self.cluster.tell_order = self.handler.order
        workers = Workers(self.orders, self._reconcile)
        self.workers = workers.start(2, urgent_only=True) + workers.start(1, urgent_only=False)

    def _priority_of(self, key: OrderKey) -> Priority:
        return priority_of_order(self.book.order(key))

    async def _reconcile(self, key: OrderKey) -> bool:
        if self.leads:
            await self.reconciler.reconcile(key)
        return self.leads

    def lead(self, *, leads: bool) -> None:
        self.leads = leads
        self.reconciler.lead(leads=leads)

    async def close(self) -> None:
        for each in self.workers:
            each.cancel()
        await asyncio.gather(*self.workers, return_exceptions=True)

    async def restart(self) -> None:
        await self.close()
        self.begin()

    # What happens in the cluster, and what the watches tell of it

    def task(self, name: str, spec: Raw | None = None, status: Raw | None = None, **metadata: Any) -> TaskKey:
        """A task is there, and is known."""
        key = self.unknown_task(name, spec, status, **metadata)
        self.tell(key)
        return key

    def unknown_task(self, name: str, spec: Raw | None = None, status: Raw | None = None, **metadata: Any) -> TaskKey:
        given = {"name": name, "uid": f"uid-{name}", "creationTimestamp": when(-60), **metadata}
        raw = raw_task(spec, status, int(self.cluster.version()), **given)
        key = TaskKey(raw["metadata"]["namespace"], name)
        self.cluster.tasks[key] = raw
        return key

    def tell(self, key: TaskKey) -> None:
        self.cache.tasks.put(self.cluster.tasks[key], self.now)

    def stopped(self, key: TaskKey, verdict: str = "Graceful") -> None:
        """The stop of a task has come to its end."""
        known = self.cache.tasks.get(key)
        assert known is not None
        asked = self.book.order_effect(known).stop
        assert asked is not None, f"nobody stops {key}"
        by = {"kind": asked.kind, "name": asked.name, "uid": asked.uid}
        stop = {"source": "StopOrder", "order": by, "verdict": verdict}
        stop |= dict.fromkeys(("acceptedAt", "signaledAt", "confirmedAt"), self.moment)
        self.set_status(key, {"phase": "Stopped", "finishedAt": self.moment, "stop": stop})

    def set_status(self, key: TaskKey, status: Raw) -> None:
        raw = self.cluster.tasks[key]
        metadata = raw["metadata"] | {"resourceVersion": self.cluster.version()}
        self.cluster.tasks[key] = raw | {"status": status, "metadata": metadata}
        self.tell(key)

    @property
    def moment(self) -> str:
        return self.now.isoformat()

    def order(self, spec: Raw | None = None, status: Raw | None = None, **more: Any) -> OrderKey:
        """An order is made, and is known."""
        key = self.unknown_order(spec, status, **more)
        self.handler.order("ADDED", self.cluster.orders[key])
        return key

    def unknown_order(self, spec: Raw | None = None, status: Raw | None = None, **more: Any) -> OrderKey:
        raw = raw_order(spec, status, int(self.cluster.version()), **more)
        self.cluster.orders[key_of(raw)] = raw
        return key_of(raw)

    def edit(self, key: OrderKey = ORDER, **spec: Any) -> None:
        self.handler.order("MODIFIED", self.cluster.change_order(key, spec=spec))

    def delete(self, key: OrderKey = ORDER, *, tell: bool = True) -> None:
        """An order is deleted; with a finalizer it stays, and says so. `tell` is whether the operator runs."""
        raw = self.cluster.orders[key]
        metadata = raw["metadata"] | {"resourceVersion": self.cluster.version()}
        kept = bool(metadata.get("finalizers"))
        if kept:
            metadata |= {"deletionTimestamp": self.moment}
            self.cluster.orders[key] = raw | {"metadata": metadata}
        else:
            del self.cluster.orders[key]
        if tell:
            self.handler.order("MODIFIED" if kept else "DELETED", raw | {"metadata": metadata})

    # What is seen of it

    def status(self, key: OrderKey = ORDER) -> Raw:
        status: Raw = self.cluster.orders[key].get("status") or {}
        return status

    async def phase(self, phase: str, key: OrderKey = ORDER) -> Raw:
        await until(lambda: self.status(key).get("phase") == phase, PATIENCE, f"{key} {phase}: {self.status(key)}")
        return self.status(key)

    async def rest(self) -> None:
        """Let everything come about that is under way."""
        for _ in range(20):
            await asyncio.sleep(0.005)

    def stops(self, key: TaskKey) -> bool:
        known = self.cache.tasks.get(key)
        return known is not None and self.book.order_effect(known).stop is not None

    def held(self, key: TaskKey) -> str | None:
        known = self.cache.tasks.get(key)
        assert known is not None
        hold = self.book.order_effect(known).hold
        return hold.reason if hold is not None else None

    def waiting(self) -> set[TaskKey]:
        """Return the keys that wait for a decision, and forget them."""
        keys = set(self.queue._waiting)
        self.queue.__init__()  # type: ignore[misc]
        return keys


@asynccontextmanager
async def running() -> AsyncIterator[Bench]:
    """A bench whose work ends with the test."""
    bench = Bench()
    try:
        yield bench
    finally:
        await bench.close()
