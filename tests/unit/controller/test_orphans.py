"""How orphans are found, made sure of, ended, and let go."""

import asyncio
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import cast

import pytest

from agentstop.api.meta import TASK_LABEL
from agentstop.api.task import KIND
from agentstop.cluster.cache import Cache
from agentstop.cluster.errors import ApiError
from agentstop.cluster.family_index import OrphanKey, TaskKey
from agentstop.cluster.gateway import Gateway
from agentstop.cluster.large_objects import NamespacedName
from agentstop.cluster.queue import Priority, WorkQueue
from agentstop.controller.event_handler import EventHandler
from agentstop.controller.events import EventRecorder
from agentstop.controller.executor import Executor
from agentstop.controller.metrics import Metrics
from agentstop.controller.orphans import Orphans, priority_of_orphan
from agentstop.controller.retry import RetryError
from agentstop.controller.stalls import Stalls
from agentstop.lifecycle.decision import MARGIN
from agentstop.lifecycle.events import Note
from agentstop.timings import TIMINGS
from agentstop.workloads.objects import ObjectRef, Rejection
from agentstop.workloads.pods.record import PodRecord
from agentstop.workloads.requests import Delete, Get, Patch, Request
from tests.unit.objects import ADOPTS, NOW, POD_REF, POD_UID, Raw, ended, raw_pod, raw_task, when

NODE_REF = ObjectRef("Node", "", "n")
KEY = OrphanKey("ns", "x", POD_UID)
TASK = TaskKey("ns", "x")
NOT_SERVED = ApiError(404, "Unknown", "404 page not found")
FREE: Raw = {"ownerReferences": []}
RUNNING: Raw = {"phase": "Running", "workload": {"apiVersion": "v1", "kind": "Pod", "name": "x", "uid": POD_UID}}


class Bench:
    """The caches of an operator beside a cluster of one task and one pod; stands for gateway, executor and Events."""

    def __init__(self) -> None:
        self.now = NOW
        self.task: Raw | None = None
        self.pod: Raw | None = None
        self.error: ApiError | None = None
        self.reads = 0
        self.sent: list[Request] = []
        self.refuses = False
        self.fails = False
        self.filled = True
        self.notes: list[tuple[str, str]] = []
        self.cache = Cache()
        self.queue: WorkQueue[TaskKey | OrphanKey] = WorkQueue()
        self.stalls = Stalls()
        self.metrics = Metrics(self.cache.tasks.phases, lambda: 0, lambda: self.stalls)
        self.event_handler = EventHandler(self.cache, self.queue, self.metrics, self.clock)
        self.orphans = Orphans(
            self.cache,
            cast("Gateway", self),
            cast("Executor", self),
            self.queue,
            self.event_handler,
            cast("EventRecorder", self),
            self.metrics,
            self.stalls,
            lambda: self.filled,
            self.clock,
        )

    def clock(self) -> datetime:
        return self.now

    # The cluster

    async def get_task(self, namespace: str, name: str) -> Raw:
        self.reads += 1
        await asyncio.sleep(0)
        if self.error is not None:
            raise self.error
        if self.task is None or self.task["metadata"]["name"] != name:
            raise ApiError(404, "NotFound", "no such task")
        return self.task

    async def carry_out(self, requests: Sequence[Request]) -> list[ApiError]:
        errors: list[ApiError] = []
        for each in requests:
            self.sent.append(each)
            if self.fails:
                errors.append(ApiError(0, "Unreachable", "away"))
            elif self.refuses:
                self.cache.objects.refuse(each.ref, each.verb, Rejection(403, "Forbidden", "no", self.now))
            elif isinstance(each, Get):
                self.see(self.pod)
            elif isinstance(each, Patch) and self.pod is not None:
                self.change(spec={"activeDeadlineSeconds": 1})
                self.cache.objects.see(POD_REF, self.pod, self.now, signal=True)
            elif isinstance(each, Delete):
                self.change(metadata={"deletionTimestamp": when(30), "deletionGracePeriodSeconds": 30})
                self.see(self.pod)
        return errors

    def post(self, about: PodRecord, note: Note) -> None:
        self.notes.append((about.uid, note.reason))

    # What happens

    def change(self, **parts: Raw) -> None:
        assert self.pod is not None
        for part, values in parts.items():
            self.pod = self.pod | {part: self.pod[part] | values}
        version = str(int(self.pod["metadata"]["resourceVersion"]) + 1)
        self.pod = self.pod | {"metadata": self.pod["metadata"] | {"resourceVersion": version}}

    def see(self, pod: Raw | None, event: str | None = None) -> None:
        assert pod is not None
        self.event_handler.changed("Pod", event, pod)

    def begin(self, metadata: Raw | None = None, *, known_task: Raw | None = None) -> None:
        """A pod runs that the watch tells of."""
        self.pod = raw_pod(metadata=FREE if metadata is None else metadata)
        if known_task is not None:
            self.task = known_task
            self.event_handler.changed(KIND, "ADDED", known_task)
        self.see(self.pod)

    def lose_task(self, *, told: bool = True) -> None:
        assert self.task is not None
        metadata = self.task["metadata"] | {"resourceVersion": "99"}
        if told:
            self.event_handler.changed(KIND, "DELETED", self.task | {"metadata": metadata})
        self.task = None

    def end(self) -> None:
        self.change(status={"phase": "Failed", "containerStatuses": [ended()]})
        self.see(self.pod)

    async def work(self, after: timedelta = TIMINGS.orphan_settling) -> None:
        self.now += after
        await self.orphans.reconcile(KEY)

    @property
    def known(self) -> list[str]:
        return [each.reason for each in self.orphans]

    @property
    def changes(self) -> list[type[Request]]:
        return [type(each) for each in self.sent if not isinstance(each, Get)]

    def stalled(self) -> dict[str, int]:
        return {each.reason: each.count for each in self.stalls if each.count}


@pytest.fixture
async def bench() -> Bench:
    return Bench()


async def test_a_pod_of_no_task_is_ended_once_that_is_certain(bench: Bench) -> None:
    bench.begin()
    assert bench.known == ["OrphanedPod"]
    await bench.work(timedelta())
    assert bench.reads == 0, "the garbage collector has its time"
    await bench.work()

    assert bench.changes == [Patch]
    assert bench.notes == [(POD_UID, "OrphanedPod")]
    await bench.work(TIMINGS.overdue_recheck)
    assert (bench.changes, len(bench.notes)) == ([Patch], 1)
    bench.end()
    await bench.work(TIMINGS.overdue_recheck)
    assert bench.known == []
    assert len(bench.notes) == 1


async def test_a_task_that_is_not_known_yet_has_its_pod(bench: Bench) -> None:
    """Its event comes later than that of its pod."""
    bench.task = raw_task(None, RUNNING)
    bench.begin()
    await bench.work()

    assert (bench.sent, bench.known) == ([], [])
    assert bench.cache.tasks.get(TASK) is not None


async def test_before_everything_is_known_nothing_is_suspected(bench: Bench) -> None:
    bench.filled = False
    bench.begin()
    assert bench.known == []

    bench.filled = True
    bench.orphans.sweep()
    await bench.work()
    assert bench.changes == [Patch]


@pytest.mark.parametrize("told", [True, False], ids=["told", "missed by the watch"])
async def test_a_task_that_goes_leaves_an_orphan(bench: Bench, told: bool) -> None:
    bench.begin(known_task=raw_task(None, RUNNING))
    assert bench.known == []
    bench.lose_task(told=told)
    if not told:
        bench.event_handler.missing(KIND, NamespacedName(*TASK), "task-uid")
    assert bench.cache.objects.knows(POD_REF), "its pod is not forgotten with it"
    await bench.work()

    assert bench.changes == [Patch]


async def test_a_stop_that_goes_on_after_its_task_needs_no_help(bench: Bench) -> None:
    bench.begin(known_task=raw_task({"podTemplate": {}, "stopRequested": True}, RUNNING))
    bench.lose_task()
    assert bench.known == []
    bench.cache.drop_task(TASK)
    await bench.work()
    assert bench.changes == [Patch]


async def test_a_task_made_again_under_the_same_name_has_the_pod_of_the_former_deleted(bench: Bench) -> None:
    bench.begin(known_task=raw_task(None, RUNNING))
    bench.task = raw_task(uid="new", version=9)
    bench.event_handler.changed(KIND, "MODIFIED", bench.task)
    await bench.work()

    assert bench.changes == [Delete]


@pytest.mark.parametrize("error", [ApiError(0, "Unreachable", "away"), ApiError(500, "InternalError", "oh")], ids=str)
async def test_an_api_server_that_does_not_say_is_asked_again(bench: Bench, error: ApiError) -> None:
    bench.begin()
    bench.error = error
    with pytest.raises(RetryError):
        await bench.work()
    assert bench.sent == []

    bench.error = None
    await bench.work()
    assert bench.changes == [Patch]


async def test_a_kind_that_is_not_served_says_nothing_about_any_task(bench: Bench) -> None:
    bench.begin()
    bench.error = NOT_SERVED
    for _ in range(3):
        await bench.work(TIMINGS.orphan_unserved)
    assert bench.sent == []
    assert bench.known == ["OrphanedPod"]


async def test_a_task_that_cannot_be_read_is_one_all_the_same(bench: Bench) -> None:
    bench.task = raw_task({"podTemplate": {}, "stop": {"gracePeriodSeconds": "soon"}})
    bench.begin()
    await bench.work()
    assert bench.sent == []


async def test_a_pod_that_goes_with_its_task_is_no_news(bench: Bench) -> None:
    bench.begin(metadata={})
    bench.change(metadata={"deletionTimestamp": when(30), "deletionGracePeriodSeconds": 30})
    bench.see(bench.pod)
    await bench.work()
    assert (bench.changes, bench.notes) == ([], [])
    assert bench.known == ["OrphanedPod"], "it is seen to until it has ended"
    bench.end()
    await bench.work(TIMINGS.overdue_recheck)
    assert bench.known == []


async def test_what_holds_it_up_is_said_once_and_counted(bench: Bench) -> None:
    bench.begin()
    bench.refuses = True
    await bench.work()
    await bench.work(TIMINGS.overdue_recheck)
    assert set(bench.changes) == {Patch, Delete}
    assert bench.notes == [(POD_UID, "DeleteForbidden")]
    assert bench.stalled() == {"DeleteForbidden": 1}
    assert bench.known == ["DeleteForbidden"]

    bench.refuses = False
    await bench.work(TIMINGS.overdue_recheck)
    assert bench.stalled() == {}
    assert bench.notes[1:] == [(POD_UID, "OrphanedPod")]


async def test_a_node_that_does_not_report_the_end(bench: Bench) -> None:
    bench.begin()
    await bench.work()
    bench.cache.objects.see(NODE_REF, raw_node(bench.now), bench.now)
    for _ in range(5):
        bench.now += timedelta(seconds=30) + MARGIN
        bench.cache.objects.see(NODE_REF, raw_node(bench.now), bench.now)
        await bench.work(timedelta())
    assert bench.stalled() == {"NotConfirmed": 1}
    bench.end()
    await bench.work(TIMINGS.overdue_recheck)
    assert bench.stalled() == {}


def raw_node(now: datetime, *, ready: bool = True) -> Raw:
    condition = {"type": "Ready", "status": "True" if ready else "Unknown", "lastHeartbeatTime": now.isoformat()}
    version = str(int(now.timestamp()))
    return {
        "kind": "Node",
        "metadata": {"name": "n", "uid": "node-uid", "resourceVersion": version},
        "spec": {},
        "status": {"conditions": [condition]},
    }


@pytest.mark.parametrize(("answered", "over_after"), [(True, 40), (False, 0)], ids=["it answered", "it did not"])
async def test_the_deletion_of_its_node_is_no_end_of_an_orphan_that_may_live(
    bench: Bench, answered: bool, over_after: float
) -> None:
    bench.begin()
    await bench.work()
    bench.now += timedelta(seconds=31)
    for _ in range(3):
        bench.cache.objects.see(NODE_REF, raw_node(bench.now, ready=answered), bench.now)
        await bench.work(TIMINGS.overdue_recheck)
    assert set(bench.stalled()) == {"NotConfirmed" if answered else "NodeUnreachable"}
    bench.change(metadata={"deletionTimestamp": bench.now.isoformat(), "deletionGracePeriodSeconds": 0})
    bench.see(bench.pod, "DELETED")
    bench.cache.objects.see_absent(NODE_REF, bench.now)
    removed_at = bench.now
    while bench.known:
        bench.cache.objects.mark_stale(NODE_REF)
        bench.cache.objects.see_absent(NODE_REF, bench.now)
        await bench.work(timedelta(seconds=1))
        assert bench.now < removed_at + timedelta(seconds=90)
    assert (bench.now - removed_at).total_seconds() == pytest.approx(over_after, abs=1.5)


async def test_an_outage_is_tried_again(bench: Bench) -> None:
    bench.begin()
    bench.fails = True
    with pytest.raises(RetryError):
        await bench.work()
    bench.fails = False
    await bench.work()
    assert bench.notes == [(POD_UID, "OrphanedPod")]


async def test_a_pod_whose_label_an_administrator_takes_off_is_let_go(bench: Bench) -> None:
    bench.begin()
    assert bench.pod is not None
    before = bench.pod
    bench.change(metadata={"labels": {}})
    assert bench.pod is not None
    told = before | {"metadata": before["metadata"] | {"resourceVersion": bench.pod["metadata"]["resourceVersion"]}}
    bench.see(told, "DELETED")  # what a watch by label says
    await bench.work()

    assert bench.changes == []
    assert bench.known == []


async def test_a_pod_that_is_gone_is_not_followed_for_ever(bench: Bench) -> None:
    bench.begin()
    await bench.work()
    bench.change(metadata={"deletionTimestamp": when(9), "deletionGracePeriodSeconds": 0})
    bench.change(status={"phase": "Failed", "containerStatuses": [ended()]})
    bench.see(bench.pod, "DELETED")
    await bench.work(TIMINGS.overdue_recheck)

    assert bench.known == []
    assert not bench.cache.objects.knows(POD_REF)


UNPROVEN: Raw = {"stopRequested": True, "stop": {"onUnconfirmed": "MarkStopped"}, "podTemplate": {"spec": {}}}


@pytest.mark.parametrize("spec", [UNPROVEN, UNPROVEN | {"stopRequested": False}, UNPROVEN | {"stop": {}}, None])
async def test_somebody_may_say_that_nothing_is_left_of_what_cannot_be_proven(bench: Bench, spec: Raw | None) -> None:
    """By a task of its name: the pod's own is gone, and nobody can write it."""
    bench.pod = raw_pod(metadata=FREE, spec={"nodeName": None}, status={"phase": "Pending", "containerStatuses": None})
    bench.see(bench.pod)
    bench.cache.objects.mark_stale(POD_REF)
    bench.cache.objects.see_absent(POD_REF, bench.now)
    bench.cache.objects.recalled(POD_REF, (POD_UID,), (), bench.now)
    await bench.work()
    assert bench.stalled() == {"NodeUnknown": 1}

    if spec is not None:
        bench.task = raw_task(spec, uid="another")
        bench.event_handler.changed(KIND, "ADDED", bench.task)
    await bench.work(TIMINGS.overdue_recheck)
    assert bench.known, "not before its grace period is over"
    await bench.work(timedelta(seconds=30) + MARGIN)

    over = spec is UNPROVEN
    assert bool(bench.known) is not over
    assert (bench.stalled() == {}) is over
    assert ([reason for _, reason in bench.notes] == ["NodeUnknown", "StopUnverified"]) is over
    bench.orphans.sweep()
    assert bool(bench.known) is not over


@pytest.mark.parametrize(("verdict", "gone"), [("Unverified", True), ("Unverified", False), ("Gone", True)])
async def test_what_a_task_has_given_up_on_is_not_waited_for_once_it_is_gone(
    bench: Bench, verdict: str, gone: bool
) -> None:
    """The task has been stopped without the proof, and goes when its time is up: nobody is to say it once more."""
    stop = {"source": "User", "acceptedAt": when(0), "verdict": verdict}
    bench.begin(known_task=raw_task(UNPROVEN, {**RUNNING, "phase": "Stopped", "stop": stop}))
    if gone:
        bench.cache.objects.see_absent(POD_REF, bench.now)
    bench.lose_task()
    await bench.work()

    assert bool(bench.known) is not (gone and verdict == "Unverified")
    bench.orphans.sweep()
    assert bool(bench.known) is not (gone and verdict == "Unverified")


async def test_what_a_task_adopts_is_an_orphan_when_that_one_goes(bench: Bench) -> None:
    bench.begin(known_task=raw_task(ADOPTS, name="b", uid="b"))
    assert bench.known == []
    bench.event_handler.changed(KIND, "DELETED", raw_task(ADOPTS, name="b", uid="b", version=9))
    bench.task = None
    await bench.work()
    assert bench.changes == [Patch]


async def test_a_replica_that_stands_by_knows_them_and_sends_nothing(bench: Bench) -> None:
    bench.begin()
    bench.orphans.observe_only(KEY)
    assert bench.known == ["OrphanedPod"]
    bench.end()
    bench.orphans.observe_only(KEY)
    assert (bench.known, bench.sent) == ([], [])


async def test_they_wait_with_the_stops_of_many_until_they_are_asked_to_end(bench: Bench) -> None:
    bench.begin()
    assert priority_of_orphan(KEY, bench.cache.lister) is Priority.MASS
    await bench.work()
    assert priority_of_orphan(KEY, bench.cache.lister) is Priority.NORMAL
    assert priority_of_orphan(OrphanKey("ns", "gone", "u"), bench.cache.lister) is Priority.NORMAL


async def test_labels_of_others_do_no_harm(bench: Bench) -> None:
    bench.begin(metadata=FREE | {"labels": {TASK_LABEL: "y"}})
    bench.task = raw_task(name="y", uid="y")
    await bench.work()
    assert (bench.sent, bench.known) == ([], [])
