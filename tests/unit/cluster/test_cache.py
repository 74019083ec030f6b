"""What the caches believe, and what they do not."""

from datetime import datetime, timedelta
from typing import Any

import pytest

from agentstop.api.meta import Condition
from agentstop.api.task import AgentTaskStatus, Phase, StopSource, StopStatus
from agentstop.cluster.cache import Cache
from agentstop.cluster.family_index import TaskKey
from agentstop.cluster.object_store import MAX_BOOTS, is_newer
from agentstop.lifecycle.observation import Reason
from agentstop.workloads.objects import Boot, ObjectRef, Rejection
from agentstop.workloads.pods.record import PodRecord
from tests.unit.objects import ADOPTS, NOW, POD_REF, Raw, at, ended, raw_pod, raw_task, when

KEY = TaskKey("ns", "x")
NODE_REF = ObjectRef("Node", "", "n")
ENDED: Raw = {"phase": "Succeeded", "containerStatuses": [ended()]}
STOP = StopStatus(source=StopSource.USER, accepted_at=NOW)
STOPPING = AgentTaskStatus(phase=Phase.STOPPING, manually_stopped=True, stop=STOP)


@pytest.fixture
def cache() -> Cache:
    return Cache()


def pod_in(cache: Cache) -> PodRecord | None:
    seen = cache.lister.entries[POD_REF].seen
    assert seen is None or isinstance(seen, PodRecord)
    return seen


@pytest.mark.parametrize(
    ("version", "than", "newer"),
    [("2", "1", True), ("1", "2", False), ("1", "1", False), ("10", "9", True), ("9", "10", False)],
)
def test_resource_versions_are_numbers_of_any_length(version: str, than: str, newer: bool) -> None:
    assert is_newer(version, than) is newer


# Nodes


def booted(boot_id: str) -> Raw:
    return {"metadata": {"name": "n", "uid": "n"}, "status": {"nodeInfo": {"bootID": boot_id}}}


def test_each_boot_of_a_node_is_remembered_with_when_it_said_so_last(cache: Cache) -> None:
    for seconds, boot_id in ((0, "one"), (5, "one"), (9, "two")):
        cache.objects.see(NODE_REF, booted(boot_id), at(seconds))
    cache.objects.see_absent(NODE_REF, at(10))
    cache.objects.see(NODE_REF, booted("three"), at(20))
    boots = cache.lister.entries[NODE_REF].boots
    assert boots == (Boot("one", at(5)), Boot("two", at(9)), Boot("three", at(20)))
    for each in range(MAX_BOOTS):
        cache.objects.see(NODE_REF, booted(str(each)), at(30))
    assert [boot.boot_id for boot in cache.lister.entries[NODE_REF].boots] == [str(each) for each in range(MAX_BOOTS)]


# Tasks


@pytest.mark.parametrize(("trusted", "who"), [(False, None), (True, "jane")])
def test_who_asked_is_believed_only_where_nobody_can_forge_it(trusted: bool, who: str | None) -> None:
    cache = Cache(trust_requested_by=trusted)
    cache.tasks.put(raw_task(annotations={"agentstop.dev/stop-requested-by": "jane"}), NOW)
    task = cache.tasks.get(KEY)
    assert task is not None
    assert task.requested_by == who


def test_the_newest_state_of_a_task_wins(cache: Cache) -> None:
    assert cache.tasks.put(raw_task(version=9), NOW) == KEY
    assert cache.tasks.put(raw_task({"stopRequested": True, "podTemplate": {}}, version=10), NOW) == KEY
    assert cache.tasks.put(raw_task(version=9), NOW) is None

    task = cache.tasks.get(KEY)
    assert task is not None
    assert task.spec.stop_requested


def test_an_answer_that_comes_after_the_deletion_brings_no_task_back(cache: Cache) -> None:
    assert cache.tasks.put_answer(raw_task(version=1), NOW) == KEY, "it was asked for since nobody had told of it"
    assert cache.tasks.put_answer(raw_task(version=2), NOW) == KEY
    cache.drop_task(KEY)
    assert cache.tasks.put_answer(raw_task(version=3), NOW) is None
    assert cache.tasks.get(KEY) is None
    assert cache.tasks.put_answer(raw_task(version=3, uid="another"), NOW) == KEY
    cache.drop_task(KEY)
    assert cache.tasks.put(raw_task(version=4), NOW) == KEY, "a watch is believed in any case"
    cache.tasks.mark_gone(KEY)
    assert cache.tasks.put_answer(raw_task(version=5), NOW) is None
    gone = cache.tasks.get(KEY)
    assert gone is not None
    assert gone.gone


def test_a_new_task_of_the_same_name_is_another_one(cache: Cache) -> None:
    cache.tasks.put(raw_task({"stopRequested": True, "podTemplate": {}}, version=9), at(0))
    cache.tasks.put(raw_task({"stopRequested": True, "podTemplate": {}}, version=10, uid="new"), at(5))
    assert cache.tasks.put(raw_task(version=9), at(6)) is None

    task = cache.tasks.get(KEY)
    assert task is not None
    assert (task.uid, task.stop_seen_at) == ("new", at(5))


def test_the_first_sight_of_a_stop_is_kept(cache: Cache) -> None:
    cache.tasks.put(raw_task(version=1), at(0))
    cache.tasks.put(raw_task({"stopRequested": True, "podTemplate": {}}, version=2), at(1))
    cache.tasks.put(raw_task({"stopRequested": True, "podTemplate": {}}, version=3), at(2))

    task = cache.tasks.get(KEY)
    assert task is not None
    assert task.stop_seen_at == at(1)


@pytest.mark.parametrize("phase", ["Stopped", "Completed", "Failed"])
def test_a_stop_of_a_task_that_ended_is_no_stop(cache: Cache, phase: str) -> None:
    cache.tasks.put(raw_task({"stopRequested": True, "podTemplate": {}}, {"phase": phase}), NOW)

    task = cache.tasks.get(KEY)
    assert task is not None
    assert task.stop_seen_at is None


def test_a_deletion_that_we_hold_up_is_a_stop(cache: Cache) -> None:
    going = {"deletionTimestamp": when(0), "finalizers": ["agentstop.dev/stop"]}
    cache.tasks.put(raw_task(ADOPTS, None, 1, **going), NOW)

    task = cache.tasks.get(KEY)
    assert task is not None
    assert (task.deleting, task.protected, task.stop_seen_at) == (True, True, NOW)


def test_an_accepted_stop_that_could_not_be_written_is_not_forgotten(cache: Cache) -> None:
    cache.tasks.put(raw_task(version=1), NOW)
    cache.tasks.accept(KEY, STOPPING)
    cache.tasks.put(raw_task(version=2), NOW)

    task = cache.tasks.get(KEY)
    assert task is not None
    assert task.status.stop == STOP


def condition(kind: str, status: str, reason: str) -> Raw:
    return {"type": kind, "status": status, "reason": reason, "message": "", "lastTransitionTime": when(0)}


def test_what_an_accepted_stop_says_of_budget_and_tether_is_not_forgotten(cache: Cache) -> None:
    """Nobody says it anew once the stop was accepted."""
    before = [condition("Ready", "True", "Running"), condition("BudgetExceeded", "Unknown", "NoSignal")]
    accepted = [condition("Ready", "False", "Stopping"), condition("BudgetExceeded", "True", "TurnsExceeded")]
    said = [Condition.model_validate(each) for each in (*accepted, condition("Tethered", "False", "TetherLost"))]
    cache.tasks.put(raw_task(None, {"conditions": before}, version=1), NOW)
    cache.tasks.accept(KEY, STOPPING.but(conditions=tuple(said)))
    for version in (1, 2):
        cache.tasks.put(raw_task(None, {"conditions": before}, version=version), NOW)
        task = cache.tasks.get(KEY)
        assert task is not None
        reasons = {each.type: each.reason for each in task.status.conditions}
        assert reasons == {"Ready": "Running", "BudgetExceeded": "TurnsExceeded", "Tethered": "TetherLost"}


@pytest.mark.parametrize("late", [False, True], ids=["it comes later", "it is known by now"])
def test_the_written_record_of_a_stop_is_the_one_that_counts(cache: Cache, *, late: bool) -> None:
    written = raw_task(None, {"phase": "Stopping", "stop": {"source": "Deadline", "acceptedAt": when(3)}}, 2)
    cache.tasks.put(raw_task(version=1), NOW)
    if late:
        cache.tasks.put(written, NOW)
    cache.tasks.accept(KEY, STOPPING)
    cache.tasks.put(written, NOW)

    task = cache.tasks.get(KEY)
    assert task is not None
    assert task.status.stop is not None
    assert task.status.stop.source is StopSource.DEADLINE


@pytest.mark.parametrize(("accepted_at", "another"), [(NOW, False), (NOW + timedelta(seconds=3), True)])
def test_a_status_that_is_not_taken_gives_way_to_the_record_of_another_operator(
    cache: Cache, accepted_at: datetime, *, another: bool
) -> None:
    """That one could write it, while this one did not lead."""
    stop: Raw = {"source": "User", "acceptedAt": accepted_at.isoformat()}
    cache.tasks.put(raw_task(version=1), NOW)
    cache.tasks.stand_in(KEY, STOPPING.but(message="kept"), Reason("StatusTooLarge", "too large"))
    cache.tasks.put(raw_task(None, {"phase": "Stopping", "stop": stop}, 2), NOW)

    task = cache.tasks.get(KEY)
    assert task is not None
    assert task.status.stop is not None
    assert (task.status.stop.accepted_at, task.unwritable is None) == (accepted_at, another)
    assert cache.tasks.unwritten == (set() if another else {task.uid})


def test_what_is_decided_on_a_task_whose_object_is_gone_stays_until_it_is_dropped(cache: Cache) -> None:
    cache.tasks.put(raw_task(), NOW)
    cache.tasks.note_gone(KEY, STOPPING)
    task = cache.tasks.get(KEY)
    assert task is not None
    assert task.status.phase is Phase.PENDING, "what stands there is what the API server says"
    cache.tasks.mark_gone(KEY)
    cache.tasks.note_gone(KEY, STOPPING)
    task = cache.tasks.get(KEY)
    assert task is not None
    assert (task.status, task.gone) == (STOPPING, True)
    assert cache.tasks.phases == {("ns", Phase.PENDING): 0, ("ns", Phase.STOPPING): 1}


def test_another_tasks_stop_is_not_taken_over(cache: Cache) -> None:
    cache.tasks.put(raw_task(version=1), NOW)
    cache.tasks.accept(KEY, STOPPING)
    cache.tasks.put(raw_task(version=2, uid="new"), NOW)

    task = cache.tasks.get(KEY)
    assert task is not None
    assert task.status.stop is None


def test_phases_are_counted(cache: Cache) -> None:
    cache.tasks.put(raw_task(version=1), NOW)
    cache.tasks.put(raw_task(version=1, name="y", uid="y"), NOW)
    cache.tasks.put(raw_task(None, {"phase": "Running"}, 2), NOW)
    assert +cache.tasks.phases == {("ns", Phase.PENDING): 1, ("ns", Phase.RUNNING): 1}

    cache.tasks.mark_gone(KEY)
    assert +cache.tasks.phases == {("ns", Phase.PENDING): 1, ("ns", Phase.RUNNING): 1}
    cache.drop_task(KEY)
    assert +cache.tasks.phases == {("ns", Phase.PENDING): 1}


def test_what_is_dropped_leaves_nothing_behind(cache: Cache) -> None:
    cache.tasks.put(raw_task(), NOW)
    cache.objects.see(POD_REF, raw_pod(), NOW)
    cache.objects.refuse(POD_REF, "delete", Rejection(403, "Forbidden", "no", NOW))
    cache.drop_task(KEY)
    cache.drop_task(KEY)

    assert cache.tasks.get(KEY) is None
    assert not cache.objects.knows(POD_REF)
    assert not cache.lister.rejections
    assert not list(cache.tasks.items())


def test_nothing_is_followed_for_a_task_that_is_dropped(cache: Cache) -> None:
    cache.tasks.put(raw_task(ADOPTS), NOW)
    cache.watch(KEY, [POD_REF])
    cache.drop_task(KEY)
    assert not cache.keys_of(POD_REF)
    assert cache.watch(TaskKey("ns", "other"), [POD_REF]) == ([POD_REF], [])


def test_a_template_whose_pod_was_made_is_not_kept(cache: Cache) -> None:
    workload = {"apiVersion": "v1", "kind": "Pod", "name": "x", "uid": "u"}
    cache.tasks.put(raw_task({"podTemplate": {"spec": {"large": 1}}}, {"workload": workload}), NOW)

    task = cache.tasks.get(KEY)
    assert task is not None
    assert task.spec.pod_template == {}


# Whose


def test_a_pod_matters_to_its_owner_and_to_all_who_adopted_it(cache: Cache) -> None:
    cache.tasks.put(raw_task(), NOW)
    for name in ("a", "b"):
        cache.tasks.put(raw_task(ADOPTS, name=name, uid=name), NOW)
    assert cache.keys_of(POD_REF) == {KEY, TaskKey("ns", "a"), TaskKey("ns", "b")}

    cache.drop_task(TaskKey("ns", "a"))
    assert cache.keys_of(POD_REF) == {KEY, TaskKey("ns", "b")}


def test_a_pod_of_an_adopting_tasks_name_does_not_matter_to_it(cache: Cache) -> None:
    cache.tasks.put(raw_task(ADOPTS, name="a", uid="a"), NOW)

    assert cache.keys_of(ObjectRef("Pod", "ns", "a")) == set()
    assert cache.keys_of(ObjectRef("Node", "", "x")) == set()


def test_a_pod_that_others_adopted_is_not_forgotten_with_one_of_them(cache: Cache) -> None:
    for name in ("a", "b"):
        cache.tasks.put(raw_task(ADOPTS, name=name, uid=name), NOW)
    cache.objects.see(POD_REF, raw_pod(), NOW)
    cache.drop_task(TaskKey("ns", "a"))
    assert cache.objects.knows(POD_REF)

    cache.drop_task(TaskKey("ns", "b"))
    assert not cache.objects.knows(POD_REF)


# Pods


def test_the_newest_state_of_a_pod_wins(cache: Cache) -> None:
    cache.objects.see(POD_REF, raw_pod(status=ENDED, version=10), NOW)
    cache.objects.see(POD_REF, raw_pod(version=9), NOW)

    pod = pod_in(cache)
    assert pod is not None
    assert pod.phase == "Succeeded"


def test_what_is_gone_does_not_come_back(cache: Cache) -> None:
    cache.objects.see(POD_REF, raw_pod(version=1), NOW)
    cache.objects.see_absent(POD_REF, NOW)
    cache.objects.see(POD_REF, raw_pod(version=2), NOW)

    assert cache.lister.entries[POD_REF].absent


def test_another_pod_of_that_name_does(cache: Cache) -> None:
    cache.objects.see(POD_REF, raw_pod(version=1), NOW)
    cache.objects.see_absent(POD_REF, NOW)
    cache.objects.see(POD_REF, raw_pod(version=3, uid="new"), NOW)

    entry = cache.lister.entries[POD_REF]
    assert (entry.absent, entry.signaled_at) == (False, None)


def test_late_news_of_a_predecessor_are_no_news(cache: Cache) -> None:
    cache.objects.see(POD_REF, raw_pod(version=5, uid="new"), NOW)
    cache.objects.see(POD_REF, raw_pod(version=3), NOW)
    cache.objects.see_absent(POD_REF, NOW, raw_pod(version=4))

    pod = pod_in(cache)
    assert pod is not None
    assert pod.uid == "new"
    assert not cache.lister.entries[POD_REF].absent


def test_the_last_state_of_what_is_gone_is_kept(cache: Cache) -> None:
    cache.objects.see(POD_REF, raw_pod(version=1), NOW)
    cache.objects.see_absent(POD_REF, NOW, raw_pod(status=ENDED, version=2))

    pod = pod_in(cache)
    assert pod is not None
    assert pod.ended
    assert cache.lister.entries[POD_REF].absent


def test_an_answer_without_an_object_keeps_what_was_seen(cache: Cache) -> None:
    cache.objects.see(POD_REF, raw_pod(), at(0))
    cache.objects.see_absent(POD_REF, at(3))
    cache.objects.see_absent(POD_REF, at(9))

    entry = cache.lister.entries[POD_REF]
    assert entry.seen is not None
    assert entry.at == at(3), "it was learnt when it was learnt first"


def test_a_doubt_lasts_until_somebody_looked(cache: Cache) -> None:
    cache.objects.mark_stale(POD_REF)
    assert not cache.objects.knows(POD_REF)

    cache.objects.see(POD_REF, raw_pod(version=1), NOW)
    cache.objects.mark_stale(POD_REF)
    assert cache.lister.entries[POD_REF].stale
    cache.objects.see(POD_REF, raw_pod(version=1), NOW)
    assert not cache.lister.entries[POD_REF].stale

    cache.objects.mark_stale(POD_REF)
    cache.objects.see_absent(POD_REF, NOW)
    assert not cache.lister.entries[POD_REF].stale


def test_the_signal_is_remembered_for_this_pod_alone(cache: Cache) -> None:
    cache.objects.see(POD_REF, raw_pod(version=1), at(0))
    cache.objects.see(POD_REF, raw_pod(version=2), at(1), signal=True)
    cache.objects.see(POD_REF, raw_pod(version=3), at(2), signal=True)
    assert cache.lister.entries[POD_REF].signaled_at == at(1)

    cache.objects.see_absent(POD_REF, at(3), raw_pod(version=4))
    assert cache.lister.entries[POD_REF].signaled_at == at(1)
    cache.objects.see(POD_REF, raw_pod(version=5, uid="new"), at(4))
    assert cache.lister.entries[POD_REF].signaled_at is None


def test_what_had_ended_before_was_not_ended_by_the_signal(cache: Cache) -> None:
    cache.objects.see(POD_REF, raw_pod(status=ENDED, version=2), at(1), signal=True)

    assert cache.lister.entries[POD_REF].signaled_at is None


def test_when_a_pod_was_asked_to_go_does_not_move(cache: Cache) -> None:
    going = raw_pod(metadata={"deletionTimestamp": when(38), "deletionGracePeriodSeconds": 30}, version=2)
    let_go: dict[str, Any] = {"deletionTimestamp": when(15), "deletionGracePeriodSeconds": 0}
    cache.objects.see(POD_REF, going, NOW)
    cache.objects.see(POD_REF, raw_pod(metadata=let_go, version=3), NOW)
    cache.objects.see_absent(POD_REF, NOW, raw_pod(metadata=let_go, version=4))

    pod = pod_in(cache)
    assert pod is not None
    assert pod.deletion_requested_at == at(8)


def test_refusals_come_and_go(cache: Cache) -> None:
    rejection = Rejection(403, "Forbidden", "no", NOW)
    cache.objects.refuse(POD_REF, "delete", rejection)
    assert cache.lister.rejection(POD_REF, "delete", NOW) == rejection
    assert cache.lister.rejection(POD_REF, "patch", NOW) is None

    cache.objects.allow(POD_REF, "delete")
    assert cache.lister.rejection(POD_REF, "delete", NOW) is None
