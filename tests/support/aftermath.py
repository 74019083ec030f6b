"""What must hold after an attack, while the attacker's objects are still there: the brake works for everybody else."""

import asyncio
import json
import re
import secrets
import time
import warnings
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import aiohttp

from tests.support import agents
from tests.support.clusters import Cluster
from tests.support.kube import (
    DEPLOYMENTS,
    JOBS,
    MERGE,
    NAMESPACES,
    PODS,
    REPLICA_SETS,
    SANDBOXES,
    STATEFUL_SETS,
    TASKS,
    Kind,
    Kube,
    KubeError,
    Object,
    decode,
)
from tests.support.laws import moment, status, stop_of
from tests.support.namespaces import Namespace
from tests.support.operators import Operator, Operators
from tests.support.orders import ORDERS, Order, Orders
from tests.support.programs import TOLD_CHARACTERS
from tests.support.waiting import PATIENCE, until

SIGNAL_SECONDS = 1.0
"""The promise: so long after the API server has said yes to a stop, the change that ends the workload is accepted."""

SLOW_SECONDS = 0.5
"""An API server that takes so long for the cheapest question is no place to hold anybody to a second."""

BEAT_SECONDS = 0.05

TRIES = 3
"""So many stops are measured at most, until the API server was quick enough during one."""

SILENT_SECONDS = 90.0
"""A healthy watch is answered every 30 seconds; the alert fires after 120."""

CONTACT = re.compile(r'^agentstop_watch_last_contact_timestamp_seconds\{kind="(\w+)"\} (\S+)$', re.MULTILINE)

ATTACKED = (ORDERS, TASKS, JOBS, DEPLOYMENTS, STATEFUL_SETS, REPLICA_SETS, SANDBOXES, PODS)
"""Kinds that agents write and an administrator must get rid of; what makes others comes first."""

PAGE = 500
"""As `kubectl` lists."""

OURS = "agentstop.dev/"


@dataclass
class Aftermath:
    """Looks at a cluster after something hostile was done in one of its namespaces."""

    cluster: Cluster
    operators: Operators

    async def check(self, attacked: str, *, stops: Sequence[str] = (), stops_later: Sequence[str] = ()) -> None:
        """Raise AssertionError unless everything that was promised holds, also after a crash of the operator.

        `stops` are tasks of the attacked namespace that are stopped before the crash, `stops_later` those that are
        stopped after it. At the end an administrator removes all that is in the attacked namespace.
        """
        operator = await self.operators.serve(attacked)
        await self.brake_works(operator)
        await self.stopped(attacked, stops)
        operator = await self.operators.restart(seconds=PATIENCE)
        await self.brake_works(operator)
        try:
            await self.stopped(attacked, stops_later)
        except AssertionError as error:
            error.add_note(operator.program.text()[-TOLD_CHARACTERS:])
            raise
        assert not operator.mistakes(), f"after its restart the operator tells of mistakes: {operator.mistakes()}"
        await self.clean_up(attacked)

    async def brake_works(self, operator: Operator) -> None:
        """See that a stop, an order and a hold in another namespace work, and that the operator says so."""
        await self._says_that_all_is_well(operator)
        namespace = Namespace(self.cluster, f"next-{secrets.token_hex(4)}")
        await namespace.open()
        orders = Orders(self.cluster, namespace.name)
        try:
            await self._single_stop(namespace, operator)
            await _orders_stop(namespace, orders)
            namespace.check()
        finally:
            await orders.close()
            await namespace.close()
        await self._says_that_all_is_well(operator)

    async def stopped(self, namespace: str, tasks: Sequence[str]) -> None:
        """Stop tasks as an administrator, and see that they end.

        Where one is so large that no word fits into it, that takes an order.
        """
        body = json.dumps({"spec": {"stopRequested": True}}).encode()
        orders = Orders(self.cluster, namespace)
        for name in tasks:
            code, answer = await self.cluster.kube.raw("PATCH", TASKS.path(namespace, name), body, content_type=MERGE)
            if b"too large" in answer:
                await orders.make(f"stop-{name}", taskNames=[name])
            else:
                assert code == 200, f"an administrator cannot stop {namespace}/{name}: {answer[:500]!r}"
        for name in tasks:

            async def ended(name: str = name) -> bool:
                return "Stopped" in (await self.cluster.kube.rows(TASKS, namespace))[name]

            await until(ended, PATIENCE, f"the attacker's task {namespace}/{name} is stopped")
        await orders.close()

    async def clean_up(self, namespace: str) -> None:
        """Remove all that is in a namespace as an administrator does, having looked at all namespaces first."""
        for kind in ATTACKED:
            await _list_everything(self.cluster.kube, kind)
        for kind in ATTACKED:
            await remove_all(self.cluster.kube, kind, namespace)

    async def _single_stop(self, namespace: Namespace, operator: Operator) -> None:
        for number in range(TRIES):
            name = f"single-{number}"
            await started(namespace, name)
            if await signaled_in_time(namespace, name, operator):
                return
        warnings.warn("the API server was too slow for a stop to be measured", stacklevel=2)

    async def _says_that_all_is_well(self, operator: Operator) -> None:
        for page in ("/healthz", "/readyz"):
            code, text = await operator.get(page)
            assert code == 200, f"{page} answers {code}: {text}"
        watch_health = CONTACT.findall((await operator.get("/metrics"))[1])
        assert watch_health, "no metric tells of the watches"
        silent = {kind: round(time.time() - float(at)) for kind, at in watch_health}
        assert max(silent.values()) < SILENT_SECONDS, f"seconds since watches had contact: {silent}"


async def started(namespace: Namespace, name: str) -> Object:
    """Start an agent that ends as soon as it is told to."""
    await namespace.create_task(name, agents.template(agents.graceful()))
    await namespace.phase(name, "Running")
    return await namespace.running(name)


async def signaled_in_time(namespace: Namespace, name: str, operator: Operator) -> bool:
    """Stop a task, and see that it was signaled in time by its own record.

    What the operator waited for a processor meanwhile is not held against it: others of this machine had it. Returns
    whether the time says anything: it does not where the API server itself was slow at that moment.
    """
    async with _Pulse(namespace.kube, namespace.name, operator.program.pid) as pulse:
        await namespace.stop(name)
        asked = datetime.now(UTC)
        last = await namespace.ended(name)
    assert status(last)["phase"] == "Stopped", f"{name} ended as {status(last)['phase']}"
    signaled = moment(stop_of(last)["signaledAt"])
    took = (signaled - asked).total_seconds()
    ran, waited = pulse.spent(asked, signaled)
    if pulse.slowest > SLOW_SECONDS:
        return False
    assert took - waited <= SIGNAL_SECONDS, (
        f"{name} was signaled after {took:.2f} s, in which the operator ran {ran:.2f} s and waited {waited:.2f} s for a"
        f" processor; a GET took {pulse.slowest:.2f} s at most: {stop_of(last)}"
    )
    return True


class _Pulse:
    """How busy the machine is meanwhile: how soon the cheapest question is answered, how long the operator runs."""

    def __init__(self, kube: Kube, namespace: str, pid: int) -> None:
        self._kube = kube
        self._path = NAMESPACES.path("", namespace)
        self._schedule = Path(f"/proc/{pid}/schedstat")
        self._beats: list[tuple[datetime, float, float]] = []
        self.slowest = 0.0
        """Seconds that the question took at most."""

    async def __aenter__(self) -> "_Pulse":
        self._asking = asyncio.create_task(self._ask())
        await asyncio.sleep(0)
        return self

    async def __aexit__(self, *_: object) -> None:
        self._asking.cancel()
        await asyncio.gather(self._asking, return_exceptions=True)

    def spent(self, begin: datetime, end: datetime) -> tuple[float, float]:
        """Return for how many seconds the operator ran between two moments, and was ready to run and not let."""
        before = [beat for beat in self._beats if beat[0] <= begin] or self._beats[:1]
        after = [beat for beat in self._beats if beat[0] >= end] or self._beats[-1:]
        return after[0][1] - before[-1][1], after[0][2] - before[-1][2]

    async def _ask(self) -> None:
        while True:
            self._beats.append((datetime.now(UTC), *self._schedule_of_operator()))
            begun = time.monotonic()
            try:
                await self._kube.raw("GET", self._path)
            except (aiohttp.ClientError, TimeoutError):
                self.slowest = float("inf")
            finally:
                self.slowest = max(self.slowest, time.monotonic() - begun)
            await asyncio.sleep(BEAT_SECONDS)

    def _schedule_of_operator(self) -> tuple[float, float]:
        # Nanoseconds that it ran, and that it waited. Source: https://docs.kernel.org/scheduler/sched-stats.html
        try:
            ran, waited, _ = self._schedule.read_text(encoding="ascii").split()
        except OSError:
            return 0.0, 0.0
        return int(ran) / 1e9, int(waited) / 1e9


async def _orders_stop(namespace: Namespace, orders: Orders) -> None:
    """See that an order stops what it means, in one namespace and in all, and that nothing starts under its hold."""
    for name in ("ordered", "wide"):
        await started(namespace, name)
    here = {"matchLabels": {"kubernetes.io/metadata.name": namespace.name}}
    for name, making in (
        ("ordered", orders.make("some", taskNames=["ordered"])),
        ("wide", orders.make_wide(namespaceSelector=here)),
    ):
        order: Order = await making
        last = await namespace.ended(name)
        assert stop_of(last)["verdict"] == "Graceful", f"an order's stop of {name}: {stop_of(last)}"
        await order.phase("Complete")
    await started(namespace, "held")
    await orders.make("hold", hold=True)
    await namespace.ended("held")
    await namespace.create_task("late", agents.template())
    last = await namespace.ended("late")
    assert stop_of(last).get("verdict") == "NotStarted", f"a task under a hold: {status(last)}"


async def _list_everything(kube: Kube, kind: Kind) -> None:
    """List whole objects of all namespaces, as `kubectl get -A -o json` does."""
    query = {"limit": str(PAGE)}
    while True:
        code, content = await kube.raw("GET", kind.path(), query=query, seconds=PATIENCE)
        if code == 404:
            return
        assert code == 200, f"{kind.plural} of all namespaces cannot be listed: {code} {content[:500]!r}"
        found = decode(content)["metadata"].get("continue")
        if not found:
            return
        query["continue"] = found


async def remove_all(kube: Kube, kind: Kind, namespace: str) -> None:
    """Remove all objects of a kind, and see that they go."""

    async def gone() -> bool:
        try:
            names = await kube.rows(kind, namespace)
        except KubeError as error:
            if error.code != 404:
                raise
            return True
        await asyncio.gather(*(_remove(kube, kind, namespace, name) for name in names))
        return not names

    await until(gone, PATIENCE, f"all {kind.plural} of {namespace} are removed by an administrator")


async def _remove(kube: Kube, kind: Kind, namespace: str, name: str) -> None:
    path = kind.path(namespace, name)
    options: Object = {"propagationPolicy": "Background", **({"gracePeriodSeconds": 0} if kind is PODS else {})}
    await _patch(kube, path, {"metadata": {"finalizers": None}})
    code, answer = await kube.raw("DELETE", path, json.dumps(options).encode())
    if code >= 400 and b"too large" in answer:
        await _make_smaller(kube, path)


async def _make_smaller(kube: Kube, path: str) -> None:
    """Take off foreign labels and annotations: what is as large as the store allows cannot be changed else."""
    with suppress(KubeError):
        metadata = (await kube.call("GET", path))["metadata"]
        change = {
            part: {key: None for key in metadata.get(part) or () if not key.startswith(OURS)}
            for part in ("labels", "annotations")
        }
        await _patch(kube, path, {"metadata": {**change, "finalizers": None, "managedFields": [{}]}})


async def _patch(kube: Kube, path: str, body: Object) -> None:
    await kube.raw("PATCH", path, json.dumps(body).encode(), content_type=MERGE)
