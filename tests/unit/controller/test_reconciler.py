"""One pass over a task: the effect before the record, and what is done where the API server does not play along."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from datetime import datetime
from typing import Any, cast

import pytest

from agentstop.api.meta import API_VERSION
from agentstop.api.task import Phase
from agentstop.cluster.cache import Cache
from agentstop.cluster.errors import ApiError
from agentstop.cluster.family_index import TaskKey
from agentstop.cluster.gateway import Gateway
from agentstop.cluster.object_watcher import ObjectWatcher
from agentstop.cluster.orders import StopOrderIndex
from agentstop.cluster.queue import Priority, WorkQueue
from agentstop.cluster.tethers import TetherIndex
from agentstop.controller.events import EventRecorder
from agentstop.controller.executor import MAX_CREATES, Executor, Pass
from agentstop.controller.metrics import Metrics
from agentstop.controller.reconciler import Reconciler
from agentstop.controller.reporter import Reporter
from agentstop.controller.retry import RetryError
from agentstop.controller.task_pass import ROUNDS
from agentstop.controller.usage_handler import UsageHandler
from agentstop.lifecycle.decision import LIMITS, Limits
from agentstop.lifecycle.observation import Task
from agentstop.workloads import registry
from agentstop.workloads.objects import Lister, ObjectRef
from agentstop.workloads.requests import AskNode, Create, Delete, Get, GetTemplate, Meaning, Patch, Request
from tests.support.laws import moment
from tests.support.waiting import PATIENCE
from tests.unit.objects import NOW, POD_REF, Raw, raw_pod, raw_task, when

KEY = TaskKey("ns", "x")
STOP: Raw = {"podTemplate": {"spec": {}}, "stopRequested": True}
RUNNING: Raw = {"phase": "Running", "workload": {"apiVersion": "v1", "kind": "Pod", "name": "x", "uid": "pod-uid"}}
AWAY = ApiError(0, "Unreachable", "nobody answers")
LATE = ApiError(504, "Timeout", "a webhook took too long")
CONFLICT = ApiError(409, "Conflict", "changed meanwhile")


class Bench:
    """A reconciler beside an API server of one pod and its task; stands for the gateway and for all that listens."""

    def __init__(self, spec: Raw | None = None, status: Raw | None = None, limits: Limits = LIMITS) -> None:
        self.version = 10
        self.task = raw_task(spec, status)
        self.pod: Raw | None = raw_pod()
        self.calls: list[str] = []
        self.errors: dict[str, list[ApiError]] = {}
        """What the next requests of a verb are answered with."""
        self.before: dict[str, Callable[[], None]] = {}
        """What happens just before a request of a verb arrives."""
        self.making = asyncio.Event()
        self.making.set()
        self.cache = Cache()
        self.queue: WorkQueue[TaskKey] = WorkQueue()
        gateway = cast("Gateway", self)
        metrics = Metrics(self.cache.tasks.phases, lambda: 0, lambda: ())
        self.executor = Executor(self.cache, gateway, self.queue, self.clock)
        self.reconciler = Reconciler(
            self.cache,
            gateway,
            self.executor,
            self.queue,
            cast("ObjectWatcher", self),
            Reporter(cast("EventRecorder", self), metrics),
            StopOrderIndex(lambda _: None),
            UsageHandler(self.cache, self.queue, self.clock),
            TetherIndex(),
            self.clock,
            limits=limits,
        )

    def clock(self) -> datetime:
        return NOW

    # What is known

    def tell(self) -> None:
        """Both watches bring what there is."""
        self.cache.tasks.put(self.task, NOW)
        if self.pod is not None:
            self.cache.objects.see(POD_REF, self.pod, NOW)

    async def reconcile(self) -> None:
        await self.reconciler.reconcile(KEY)

    @property
    def known(self) -> Task:
        task = self.cache.tasks.get(KEY)
        assert task is not None
        return task

    def follow(self, target: Any) -> None:
        """Single objects bring nothing here."""

    def unfollow(self, target: Any) -> None:
        """The same."""

    def post(self, about: Any, note: Any) -> None:
        """Nobody reads Events here."""

    # The API server

    def _answer(self, verb: str) -> None:
        self.calls.append(verb)
        self.before.get(verb, lambda: None)()
        errors = self.errors.get(verb)
        if errors:
            raise errors.pop(0)

    def change(self, raw: Raw, **parts: Raw) -> Raw:
        self.version += 1
        parts = {"metadata": {}} | parts
        changed = raw | {name: raw.get(name, {}) | part for name, part in parts.items()}
        changed["metadata"] = changed["metadata"] | {"resourceVersion": str(self.version)}
        return changed

    async def send(self, request: Request) -> Raw:
        if isinstance(request, Create):
            await self.making.wait()
        self._answer("get template" if isinstance(request, GetTemplate) else request.verb)
        match request:
            case GetTemplate():
                return self.task
            case Patch(body=body) if self.pod is not None:
                self.pod = self.change(self.pod, **body)
                return self.pod
            case Create(_, body):
                self.pod = raw_pod(uid="made", status={"phase": "Pending", "containerStatuses": []})
                return self.pod
            case AskNode(ref, body) if "metadata" in body:
                metadata = {"namespace": ref.namespace, "name": ref.name, "uid": "control", "resourceVersion": "20"}
                return {"metadata": metadata, "spec": body["spec"]}
            case Get() | AskNode() if self.pod is not None:
                return self.pod
        raise ApiError(404, "NotFound", "no such pod")

    async def send_all(self, requests: Sequence[Request]) -> list[Raw | ApiError]:
        raise AssertionError(f"one pod takes one request at a time: {requests}")

    async def get_task(self, namespace: str, name: str) -> Raw:
        self._answer("get task")
        return self.task

    async def get_own(self, ref: ObjectRef) -> Raw:
        return await self.get_task(ref.namespace, ref.name)

    async def write_status(self, body: Raw) -> Raw:
        self._answer("status")
        if body["metadata"]["resourceVersion"] != self.task["metadata"]["resourceVersion"]:
            raise CONFLICT
        self.task = self.change(self.task) | {"status": body["status"]}
        return self.task

    async def list_children(self, namespace: str, name: str) -> AsyncIterator[Raw]:
        for child in list[Raw]():
            yield child


@pytest.fixture
async def bench() -> Bench:
    bench = Bench(STOP, RUNNING)
    bench.tell()
    return bench


async def test_the_effect_goes_out_before_anything_is_written_down(bench: Bench) -> None:
    await bench.reconcile()

    assert bench.calls == ["patch", "status"]
    assert bench.task["status"]["phase"] == "Stopping"
    assert "signaledAt" in bench.task["status"]["stop"], "written once, with what the API server answered"


async def test_what_was_sent_is_not_sent_again(bench: Bench) -> None:
    await bench.reconcile()
    bench.tell()
    await bench.reconcile()

    assert bench.calls == ["patch", "status"]


async def test_nothing_is_written_down_of_an_effect_that_did_not_go_out(bench: Bench) -> None:
    bench.errors = {"patch": [AWAY]}
    with pytest.raises(RetryError) as error:
        await bench.reconcile()

    assert not error.value.expected
    assert bench.calls == ["patch"]
    assert bench.known.status.stop is not None, "the decision is remembered, and counts"
    assert bench.cache.tasks.unwritten == {bench.known.uid}
    accepted_at = bench.known.status.stop.accepted_at

    await bench.reconcile()
    assert bench.calls == ["patch", "patch", "status"]
    assert bench.cache.tasks.unwritten == set()
    assert bench.known.status.stop.accepted_at == accepted_at


async def test_a_server_that_is_busy_is_told_of_the_stop_and_asked_again(bench: Bench) -> None:
    """It answers, so that it can be written down that the stop is accepted."""
    bench.errors = {"patch": [ApiError(429, "TooManyRequests", "busy")]}
    with pytest.raises(RetryError):
        await bench.reconcile()

    assert bench.calls == ["patch", "status"]
    assert "signaledAt" not in bench.task["status"]["stop"]


async def test_a_record_that_an_operator_with_an_old_view_comes_to_know_too_late_is_kept(bench: Bench) -> None:
    """Its watch brings the status that another one has written while its own is on the way, and meets a conflict."""
    written = {**RUNNING, "phase": "Stopping", "stop": {"source": "User", "acceptedAt": when(-5)}}

    def told() -> None:
        bench.before = {}
        bench.task = bench.change(bench.task) | {"status": written}
        bench.tell()

    bench.before = {"status": told}
    for _ in range(2):
        await bench.reconcile()

    assert bench.calls == ["patch", "status", "get task", "status"]
    assert moment(bench.task["status"]["stop"]["acceptedAt"]) == moment(when(-5))


async def test_a_status_that_could_not_be_written_is_written_by_the_next_pass(bench: Bench) -> None:
    bench.errors = {"status": [AWAY]}
    with pytest.raises(RetryError):
        await bench.reconcile()
    await bench.reconcile()

    assert bench.calls == ["patch", "status", "status"], "SIGTERM is on its way, and is not sent again"


# 409


async def test_a_pod_that_changed_meanwhile_is_read_and_the_pass_made_again(bench: Bench) -> None:
    bench.errors = {"patch": [CONFLICT]}
    with pytest.raises(RetryError):
        await bench.reconcile()
    assert bench.calls == ["patch", "get", "status"]

    await bench.reconcile()
    assert bench.calls[3:] == ["patch", "status"]


async def test_another_pod_of_that_name_is_decided_on_at_once(bench: Bench) -> None:
    bench.errors = {"patch": [CONFLICT]}
    bench.pod = raw_pod(uid="another", version=5, metadata={"ownerReferences": []})
    await bench.reconcile()

    assert bench.calls == ["patch", "get", "status"], "it is not ours, and is left alone"
    assert "signaledAt" not in bench.task["status"]["stop"]


async def test_a_task_that_changed_meanwhile_is_read_and_decided_on_anew(bench: Bench) -> None:
    bench.task = bench.change(bench.task)
    await bench.reconcile()
    assert bench.calls == ["patch", "status", "get task"]
    assert bench.known.status.stop is not None, "remembered until it is written"

    await bench.reconcile()
    assert bench.calls[3:] == ["status"]
    assert bench.cache.tasks.unwritten == set()


async def test_a_task_that_is_gone_meanwhile_is_stopped_all_the_same(bench: Bench) -> None:
    gone = ApiError(404, "NotFound", "no such task")
    bench.errors = {"status": [gone], "get task": [gone]}
    await bench.reconcile()

    assert bench.known.gone
    assert bench.calls == ["patch", "status", "get task"]


async def test_a_name_that_is_taken_is_looked_at() -> None:
    bench = Bench()
    bench.pod = None
    bench.tell()

    def taken() -> None:
        bench.pod = raw_pod(uid="another", metadata={"ownerReferences": []})

    bench.before = {"create": taken}
    bench.errors = {"create": [CONFLICT]}
    await bench.reconcile()

    assert bench.calls == ["get", "get template", "create", "get", "status"]
    stalled = [each["reason"] for each in bench.task["status"]["conditions"] if each["type"] == "Stalled"]
    assert stalled == ["PodNameTaken"]


async def test_a_name_that_is_free_again_is_taken_by_the_next_pass() -> None:
    """So it is where a quota, and no name, was in the way: the API server answers 409 to that, too."""
    bench = Bench()
    bench.pod = None
    bench.tell()
    bench.errors = {"create": [CONFLICT]}
    with pytest.raises(RetryError):
        await bench.reconcile()
    assert bench.calls == ["get", "get template", "create", "get", "status"]

    await bench.reconcile()
    assert "create" in bench.calls[5:]
    assert bench.pod is not None


# 504


async def test_a_change_that_took_too_long_is_looked_for_before_anything_else_is_done(bench: Bench) -> None:
    def carried_out() -> None:
        assert bench.pod is not None
        bench.pod = bench.change(bench.pod, spec={"activeDeadlineSeconds": 1})

    bench.before = {"patch": carried_out}
    bench.errors = {"patch": [LATE]}
    await bench.reconcile()

    assert bench.calls == ["patch", "get", "status"], "it ends in place, and is not deleted"
    assert "signaledAt" in bench.task["status"]["stop"]
    assert "logsGone" not in bench.task["status"]["workload"]


async def test_a_change_that_took_too_long_and_came_to_nothing_gives_way_to_another_one(bench: Bench) -> None:
    bench.errors = {"patch": [LATE]}
    await bench.reconcile()

    assert bench.calls[:3] == ["patch", "get", "delete"]


# Its bounds


async def test_one_pass_ends_though_a_mistake_asks_for_ever_more(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def more(task: Task, effect: Any, lister: Lister, now: datetime) -> Iterable[Request]:
        asked.append("once more")
        yield Patch(POD_REF, "pod-uid", {"metadata": {}}, Meaning.STOP, resource_version=str(len(asked)))

    kind = registry.kind_of(bench.known)
    monkeypatch.setattr(kind, "plan_requests", more)
    await bench.reconcile()

    assert bench.calls == ["patch"] * ROUNDS + ["status"]


async def test_many_objects_that_hang_in_their_creation_leave_workers_for_stops(bench: Bench) -> None:
    bench.making.clear()
    refs = [ObjectRef("Pod", "ns", f"p{number}") for number in range(MAX_CREATES + 1)]
    made = [asyncio.create_task(bench.executor.carry_out([Create(ref, {})])) for ref in refs[:-1]]
    await asyncio.sleep(0)
    late = Pass(bench.executor)
    async with asyncio.timeout(PATIENCE):
        assert await late.send_new([Create(refs[-1], {})])
    with pytest.raises(RetryError) as error:
        late.check()
    assert error.value.expected, "it is only not its turn"

    await bench.reconcile()
    assert bench.task["status"]["phase"] == "Stopping"
    bench.making.set()
    assert await asyncio.gather(*made) == [[]] * MAX_CREATES
    assert await bench.executor.carry_out([Create(refs[-1], {})]) == []


async def test_where_others_wait_to_be_stopped_the_record_comes_later(bench: Bench) -> None:
    bench.queue.add(TaskKey("ns", "other"), priority=Priority.STOP)
    await bench.reconcile()
    assert bench.calls == ["patch"]
    assert bench.known.status.phase is Phase.RUNNING
    assert bench.known.status.stop is not None
    assert KEY in bench.queue._waiting

    bench.queue = bench.reconciler._queue = WorkQueue()
    await bench.reconcile()
    assert bench.calls == ["patch", "status"]


FREEZE: Raw = {"podTemplate": {"spec": {}}, "paused": True, "pausePolicy": "Freeze"}
FREEZES: Raw = RUNNING | {"observedGeneration": 1, "startedAt": when(-9)}
FREEZES["workload"] = RUNNING["workload"] | {"pods": [{"name": "x", "uid": "pod-uid", "node": "n"}]}


async def test_a_freeze_that_the_node_is_about_to_do_is_not_written_down_and_makes_no_work() -> None:
    bench = Bench(FREEZE, FREEZES, limits=Limits(ask_nodes=True))
    bench.tell()
    bench.queue.add(TaskKey("ns", "other"), priority=Priority.MASS)
    await bench.reconcile()

    assert bench.calls == [AskNode.verb]
    assert bench.known.status.phase is Phase.RUNNING
    assert KEY not in bench.queue._waiting
    assert KEY in bench.queue._due, "if nothing is heard of the node"


# One pass


async def test_what_is_refused_is_on_record_and_no_failure(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    bench.errors = {"patch": [ApiError(403, "Forbidden", "no")]}
    await bench.executor.carry_out([Patch(POD_REF, "pod-uid", {}, Meaning.STOP)])

    assert bench.cache.lister.rejections[POD_REF, "patch"].code == 403
    assert [record.levelno for record in caplog.records] == [logging.WARNING]


KILLED: Raw = {"spec": {"taskName": "x", "nodeName": "n", "state": "Killed"}}


async def test_a_cluster_without_podcontrols_is_asked_again_later_and_is_no_failure(bench: Bench) -> None:
    ref = ObjectRef("PodControl", "ns", "pod-uid", API_VERSION)
    bench.errors = {AskNode.verb: [ApiError(404, "Unknown", "404 page not found")]}
    assert await bench.executor.carry_out([AskNode(ref, KILLED)]) == []
    assert bench.cache.lister.rejections[ref, AskNode.verb].code == 404


async def test_what_a_node_was_asked_for_is_known_at_once(bench: Bench) -> None:
    metadata = {"namespace": "ns", "name": "pod-uid", "uid": "control", "resourceVersion": "1"}
    bench.pod = {
        "kind": "PodControl",
        "metadata": metadata,
        "spec": {"taskName": "x", "nodeName": "n"} | KILLED["spec"],
    }
    await bench.executor.carry_out([AskNode(ObjectRef("PodControl", "ns", "pod-uid", API_VERSION), KILLED)])
    assert bench.cache.lister.controls["ns", "pod-uid"].task == "x"


async def test_a_podcontrol_that_is_another_one_by_now_is_asked_anew(bench: Bench) -> None:
    ref = ObjectRef("PodControl", "ns", "pod-uid", API_VERSION)
    metadata = {"namespace": "ns", "name": "pod-uid", "uid": "control", "resourceVersion": "1"}
    bench.pod = {
        "kind": "PodControl",
        "metadata": metadata,
        "spec": {"taskName": "x", "nodeName": "n"} | KILLED["spec"],
    }
    this = Pass(bench.executor)
    for error in (ApiError(404, "NotFound", "gone"), ApiError(409, "Conflict", "the UID differs")):
        bench.cache.controls.put(bench.pod, NOW)
        bench.errors = {AskNode.verb: [error]}
        assert await this.send_new([AskNode(ref, KILLED, "control")])
        assert not this.failures
        assert ("ns", "pod-uid") not in bench.cache.lister.controls
        this = Pass(bench.executor)
    assert await this.send_new([AskNode(ref, KILLED)])
    assert await this.send_new([AskNode(ref, {"spec": {"state": "Running"}})]), "another state is something new"
    assert not await this.send_new([AskNode(ref, KILLED)])


async def test_the_same_for_another_grace_period_is_something_new(bench: Bench) -> None:
    this = Pass(bench.executor)
    bench.pod = None
    once = Delete(POD_REF, "pod-uid", 30)
    assert await this.send_new([once])
    assert not await this.send_new([once])
    assert await this.send_new([Delete(POD_REF, "pod-uid", 5)])
    assert await Pass(bench.executor).send_new([once]), "another pass"
