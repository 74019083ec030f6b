"""What is made of watch events."""

import logging

import pytest

from agentstop.api.meta import STOP_FINALIZER
from agentstop.api.task import KIND
from agentstop.cluster.cache import Cache
from agentstop.cluster.family_index import TaskKey
from agentstop.cluster.large_objects import NamespacedName
from agentstop.cluster.queue import Priority, WorkQueue
from agentstop.controller.event_handler import EventHandler, priority_of
from agentstop.controller.metrics import Metrics
from agentstop.workloads.controlled.roster import shortened
from agentstop.workloads.objects import ObjectRef
from tests.unit.objects import ADOPTS, NOW, POD_REF, Raw, raw_pod, raw_task, when

KEY = TaskKey("ns", "x")
STOP: Raw = {"podTemplate": {}, "stopRequested": True}
SIGNALED: Raw = {"source": "User", "acceptedAt": when(0), "signaledAt": when(1), "killAt": when(31)}
LET_GO: Raw = {"deletionTimestamp": when(9), "deletionGracePeriodSeconds": 0}


@pytest.fixture
def cache() -> Cache:
    return Cache()


@pytest.fixture
def queue() -> WorkQueue[TaskKey]:
    return WorkQueue()


@pytest.fixture
def event_handler(cache: Cache, queue: WorkQueue[TaskKey]) -> EventHandler:
    return EventHandler(cache, queue, Metrics(cache.tasks.phases, lambda: 0, lambda: ()), lambda: NOW)


def drained(queue: WorkQueue[TaskKey]) -> int:
    """How many keys wait, and forget them."""
    waiting = len(queue)
    queue.__init__()  # type: ignore[misc]
    return waiting


def test_a_task_is_decided_on(event_handler: EventHandler, queue: WorkQueue[TaskKey]) -> None:
    event_handler.task("ADDED", raw_task())

    assert len(queue) == 1
    assert not queue.has_urgent


@pytest.mark.parametrize(
    ("spec", "status", "urgent"),
    [
        (STOP, {}, True),
        (STOP, {"phase": "Stopping", "stop": {"source": "User", "acceptedAt": when(0)}}, True),
        (STOP, {"phase": "Stopping", "stop": SIGNALED}, False),
        (ADOPTS, {}, False),
        (STOP, {"phase": "Stopped"}, False),
        (STOP, {"phase": "Completed"}, False),
        ({"podTemplate": {}}, {"phase": "Running"}, False),
    ],
)
def test_stops_that_were_not_signaled_yet_come_first(
    event_handler: EventHandler, queue: WorkQueue[TaskKey], spec: Raw, status: Raw, urgent: bool
) -> None:
    event_handler.task("MODIFIED", raw_task(spec, status))

    assert queue.has_urgent is urgent


@pytest.mark.parametrize(
    ("spec", "metadata", "priority"),
    [
        (STOP, {}, Priority.STOP),
        ({"podTemplate": {}}, {}, Priority.MASS),
        ({"podTemplate": {}}, {"deletionTimestamp": when(0), "finalizers": [STOP_FINALIZER]}, Priority.STOP),
    ],
    ids=["its own stop", "an order, or an ancestor", "deleted"],
)
def test_single_stops_come_before_those_of_many(
    event_handler: EventHandler, cache: Cache, spec: Raw, metadata: Raw, priority: Priority
) -> None:
    event_handler.task("ADDED", raw_task(spec, **metadata))
    cache.tasks.mark_asked(KEY, NOW)

    assert priority_of(cache.tasks.get(KEY)) is priority


FREEZE: Raw = {"podTemplate": {}, "paused": True, "pausePolicy": "Freeze"}


@pytest.mark.parametrize(
    ("spec", "status", "priority"),
    [
        (FREEZE, {"phase": "Running"}, Priority.MASS),
        ({"podTemplate": {}}, {"phase": "Pausing", "reason": "Freezing"}, Priority.MASS),
        (FREEZE, {"phase": "Paused", "reason": "Frozen", "pausePolicy": "Freeze"}, Priority.NORMAL),
        ({"podTemplate": {}, "paused": True}, {"phase": "Pausing", "reason": "Pausing"}, Priority.NORMAL),
    ],
    ids=["to be frozen", "on its way", "frozen", "is ended by a pause"],
)
def test_what_is_being_frozen_comes_with_those_that_are_stopped(
    event_handler: EventHandler, cache: Cache, spec: Raw, status: Raw, priority: Priority
) -> None:
    event_handler.task("ADDED", raw_task(spec, status))

    assert priority_of(cache.tasks.get(KEY)) is priority


def test_what_was_signaled_or_has_ended_or_is_not_known_waits_its_turn(
    event_handler: EventHandler, cache: Cache
) -> None:
    assert priority_of(cache.tasks.get(KEY)) is Priority.NORMAL
    statuses: list[Raw] = [{"phase": "Stopping", "stop": SIGNALED}, {"phase": "Stopped"}]
    for version, status in enumerate(statuses, 1):
        event_handler.task("MODIFIED", raw_task(STOP, status, version=version))
        assert priority_of(cache.tasks.get(KEY)) is Priority.NORMAL


def test_old_news_are_no_news(event_handler: EventHandler, queue: WorkQueue[TaskKey]) -> None:
    event_handler.task("ADDED", raw_task(version=5))
    drained(queue)
    event_handler.task("MODIFIED", raw_task(version=4))

    assert len(queue) == 0


def test_a_task_that_cannot_be_read_is_left_alone_and_said_so(
    event_handler: EventHandler, cache: Cache, queue: WorkQueue[TaskKey], caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.ERROR):
        event_handler.task("ADDED", raw_task({"stop": {"gracePeriodSeconds": "soon"}, "podTemplate": {}}))

    assert cache.tasks.get(KEY) is None
    assert len(queue) == 0
    assert "ns/x" in caplog.text
    assert "stop.gracePeriodSeconds" in caplog.text
    assert "Traceback" not in caplog.text


def test_a_deleted_task_is_forgotten(event_handler: EventHandler, cache: Cache) -> None:
    event_handler.task("ADDED", raw_task())
    event_handler.task("DELETED", raw_task(version=2))

    assert cache.tasks.get(KEY) is None


def test_the_end_of_a_predecessor_is_not_the_end_of_its_successor(event_handler: EventHandler, cache: Cache) -> None:
    event_handler.task("ADDED", raw_task(version=5, uid="new"))
    event_handler.task("DELETED", raw_task(version=4))

    assert cache.tasks.get(KEY) is not None


def test_a_stop_outlives_its_task_where_nobody_else_ends_the_pod(
    event_handler: EventHandler, cache: Cache, queue: WorkQueue[TaskKey]
) -> None:
    event_handler.task("ADDED", raw_task(ADOPTS | {"stopRequested": True}))
    drained(queue)
    event_handler.task("DELETED", raw_task(ADOPTS | {"stopRequested": True}, version=2))

    task = cache.tasks.get(KEY)
    assert task is not None
    assert task.gone
    assert queue.has_urgent


def test_a_task_that_may_have_frozen_something_is_looked_at_once_more(
    event_handler: EventHandler, cache: Cache, queue: WorkQueue[TaskKey]
) -> None:
    spec: Raw = ADOPTS | {"paused": True, "pausePolicy": "Freeze"}
    for phase, kept in (("Paused", True), ("Pausing", True), ("Running", False)):
        event_handler.task("ADDED", raw_task(spec, {"phase": phase}, uid=phase))
        drained(queue)
        event_handler.task("DELETED", raw_task(spec, {"phase": phase}, version=2, uid=phase))
        assert (cache.tasks.get(KEY) is not None, bool(drained(queue))) == (kept, kept), phase
        cache.tasks.drop(KEY)


@pytest.mark.parametrize(
    "pods",
    [
        {"pods": [{"name": "x-1", "uid": "pod-uid"}]},
        {"otherPods": [{"node": "n", "started": True, "uids": [shortened("pod-uid")]}]},
    ],
    ids=["shown", "not shown"],
)
def test_a_task_whose_node_was_only_just_asked_to_freeze_it_is_looked_at_once_more(
    event_handler: EventHandler, cache: Cache, queue: WorkQueue[TaskKey], pods: Raw
) -> None:
    """That is not on its record yet, and nobody else would have it go on."""
    status: Raw = {"phase": "Running", "workload": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "x"}}
    status["workload"] |= {"uid": "u", **pods}
    for version, state in enumerate(("Running", "Frozen"), start=1):
        metadata = {"namespace": "ns", "name": "pod-uid", "uid": "control", "resourceVersion": str(version)}
        spec = {"nodeName": "n", "podUID": "pod-uid", "taskName": "x", "state": state}
        cache.controls.put({"metadata": metadata, "spec": spec}, NOW)
        event_handler.task("ADDED", raw_task(ADOPTS, status, uid=state))
        drained(queue)
        event_handler.task("DELETED", raw_task(ADOPTS, status, version=2, uid=state))
        assert (cache.tasks.get(KEY) is not None, bool(drained(queue))) == (state == "Frozen", state == "Frozen")
        cache.tasks.drop(KEY)


WITH_POD: Raw = {"phase": "Running", "workload": {"apiVersion": "v1", "kind": "Pod", "name": "x", "uid": "u"}}


@pytest.mark.parametrize(
    ("spec", "status", "kept"),
    [
        (STOP, WITH_POD, True),
        (STOP, WITH_POD | {"phase": "Completed"}, False),
        ({"podTemplate": {}}, WITH_POD, False),
        (ADOPTS, WITH_POD, False),
    ],
    ids=["its stop goes on", "it had ended", "its pod is an orphan", "adopted, nobody asked for a stop"],
)
def test_a_task_is_remembered_for_as_long_as_a_stop_of_it_goes_on(
    event_handler: EventHandler, cache: Cache, spec: Raw, status: Raw, kept: bool
) -> None:
    event_handler.task("ADDED", raw_task(spec, status))
    event_handler.task("DELETED", raw_task(spec, status, version=2))

    assert (cache.tasks.get(KEY) is not None) is kept


@pytest.mark.parametrize(("uid", "known"), [("uid", False), ("another", True)])
def test_a_task_that_went_unseen_is_gone_unless_another_has_its_name(
    event_handler: EventHandler, cache: Cache, uid: str, known: bool
) -> None:
    raw = raw_task()
    event_handler.changed(KIND, None, raw)
    event_handler.missing(KIND, NamespacedName(*KEY), raw["metadata"]["uid"] if uid == "uid" else uid)

    assert (cache.tasks.get(KEY) is not None) is known


# Pods


def test_a_pod_that_went_unseen_is_doubted_until_it_was_looked_at(
    event_handler: EventHandler, cache: Cache, queue: WorkQueue[TaskKey]
) -> None:
    event_handler.changed(KIND, None, raw_task())
    event_handler.changed("Pod", None, raw_pod())
    drained(queue)
    event_handler.missing("Pod", NamespacedName("ns", "x"), "pod-uid")

    assert cache.lister.entries[POD_REF].stale
    assert len(queue) == 1


def test_a_pod_has_its_task_decided_on(event_handler: EventHandler, cache: Cache, queue: WorkQueue[TaskKey]) -> None:
    event_handler.task("ADDED", raw_task())
    drained(queue)
    event_handler.object(POD_REF, "ADDED", raw_pod())

    assert cache.objects.knows(POD_REF)
    assert len(queue) == 1


def test_a_pod_of_no_known_task_is_remembered_until_its_task_comes(
    event_handler: EventHandler, cache: Cache, queue: WorkQueue[TaskKey]
) -> None:
    event_handler.object(POD_REF, None, raw_pod())
    assert cache.objects.knows(POD_REF)
    assert len(queue) == 0

    event_handler.object(POD_REF, "DELETED", raw_pod(metadata=LET_GO, version=2))
    assert not cache.objects.knows(POD_REF)


def test_a_real_deletion_is_believed(event_handler: EventHandler, cache: Cache) -> None:
    event_handler.task("ADDED", raw_task())
    event_handler.object(POD_REF, "ADDED", raw_pod())
    event_handler.object(POD_REF, "DELETED", raw_pod(metadata=LET_GO, version=2))

    assert cache.lister.entries[POD_REF].absent


@pytest.mark.parametrize(
    "metadata",
    [{}, {"deletionTimestamp": when(30), "deletionGracePeriodSeconds": 30}],
    ids=["running", "in its grace period"],
)
def test_a_pod_that_lost_its_label_is_doubted_and_not_believed_gone(
    event_handler: EventHandler, cache: Cache, queue: WorkQueue[TaskKey], metadata: Raw
) -> None:
    """A watch by label shows it as DELETED, as it was before."""
    event_handler.task("ADDED", raw_task())
    event_handler.object(POD_REF, "ADDED", raw_pod())
    drained(queue)
    event_handler.object(POD_REF, "DELETED", raw_pod(metadata=metadata, version=2))

    entry = cache.lister.entries[POD_REF]
    assert (entry.absent, entry.stale) == (False, True)
    assert len(queue) == 1


def test_a_node_concerns_nobody_by_itself(event_handler: EventHandler, queue: WorkQueue[TaskKey]) -> None:
    event_handler.task("ADDED", raw_task())
    drained(queue)
    event_handler.object(ObjectRef("Node", "", "x"), "ADDED", {"metadata": {"name": "x", "uid": "node-uid"}})

    assert len(queue) == 0


def test_what_is_followed_by_name_can_be_absent(
    event_handler: EventHandler, cache: Cache, queue: WorkQueue[TaskKey]
) -> None:
    event_handler.task("ADDED", raw_task(ADOPTS))
    event_handler.object(POD_REF, "ADDED", raw_pod())
    drained(queue)
    event_handler.absent(POD_REF)

    assert cache.lister.entries[POD_REF].absent
    assert len(queue) == 1
