"""When the pods of a controlled workload are proven gone, who helps them to it, and what holds it up."""

from dataclasses import replace
from typing import Any

import pytest

from agentstop.api.task import PodPolicy
from agentstop.cluster.object_store import ObjectStore
from agentstop.lifecycle.effects import Terminate
from agentstop.lifecycle.observation import Proof
from agentstop.workloads.controlled.record import read_owner
from agentstop.workloads.kinds.job import read_job
from agentstop.workloads.lightening import JOB_TRACKING
from agentstop.workloads.objects import CacheEntry, ObjectRef, Rejection
from agentstop.workloads.pods.reading import read_pod
from agentstop.workloads.registry import kind_of
from agentstop.workloads.requests import Delete, Get, GetPod, ListPods, Meaning, Patch
from tests.unit.objects import NAMESPACE, NOW, Raw, at, ended, owner, task, when
from tests.unit.workloads.adopted import (
    ACCEPTED,
    GOING,
    HALT,
    OVER,
    RUNNING,
    SPEC,
    STOPPING,
    WORKLOAD,
    lister,
    observe,
    required_reads,
    sent,
)
from tests.unit.workloads.owners import JOB_PODS, JOB_REF, MARK, job_pod, raw_owner, suspended_job

# Proof


def proof(raw: Raw, *pods: Raw, now: float = 20, **more: Any) -> Proof | None:
    return observe(STOPPING, lister(raw, *pods, **more), now).proof


ENDED_POD = job_pod(status=OVER)


def test_all_of_it_makes_the_proof() -> None:
    assert proof(suspended_job(), ENDED_POD, listed=15, signaled=10) is Proof.ENDED


@pytest.mark.parametrize(
    ("raw", "pods", "listed"),
    [
        pytest.param(raw_owner("job"), (ENDED_POD,), 15, id="it is not suspended"),
        pytest.param(raw_owner("job", spec={"suspend": True}), (ENDED_POD,), 15, id="its controller has not heard"),
        pytest.param(suspended_job(), (ENDED_POD, job_pod("y")), 15, id="one pod lives"),
        pytest.param(suspended_job(), (ENDED_POD,), None, id="its pods were never listed"),
        pytest.param(suspended_job(), (ENDED_POD,), 9, id="they were listed before"),
    ],
)
def test_no_part_of_the_proof_may_be_missing(raw: Raw, pods: tuple[Raw, ...], listed: float | None) -> None:
    assert proof(raw, *pods, listed=listed, signaled=10) is None


def test_pods_that_were_just_being_made_have_their_list_wait() -> None:
    """The controller may make one more before it hears of the stop."""
    young = job_pod(status=OVER | {"startTime": when(8)})

    assert proof(suspended_job(), young, listed=11, signaled=10, seen_at=11) is None
    assert proof(suspended_job(), young, listed=12, signaled=10, seen_at=11) is Proof.ENDED
    assert proof(suspended_job(), ENDED_POD, listed=11, signaled=10, seen_at=11) is Proof.ENDED


def test_a_word_of_its_controller_that_is_older_than_the_stop_is_not_taken_for_an_answer() -> None:
    old = suspended_job(since=2)

    assert proof(old, ENDED_POD, listed=11, signaled=10, seen_at=11) is None
    assert proof(old, ENDED_POD, listed=12, signaled=10, seen_at=11) is Proof.ENDED


def test_pods_of_an_earlier_run_do_not_make_this_one_old() -> None:
    earlier = job_pod(status={"phase": "Failed", "containerStatuses": [ended(finished=5)]})

    assert proof(suspended_job(), earlier, listed=11, signaled=10, seen_at=11) is None


def test_a_stop_that_was_marked_before_a_restart_counts_from_the_mark() -> None:
    known = suspended_job(managedFields=[MARK])
    young = job_pod(status=OVER | {"startTime": when(8)})

    assert proof(known, young, listed=11, seen_at=11) is None
    assert proof(known, young, listed=12, seen_at=11) is Proof.ENDED


def test_the_list_is_asked_for_when_all_else_is_there() -> None:
    assert required_reads(STOPPING, lister(suspended_job(), ENDED_POD, listed=9, signaled=10)) == (ListPods(JOB_PODS),)
    assert required_reads(STOPPING, lister(suspended_job(), ENDED_POD, listed=15, signaled=10)) == ()
    assert required_reads(STOPPING, lister(suspended_job(), job_pod(), listed=9, signaled=10)) == ()


def test_a_workload_that_is_looked_at_once_more_needs_no_other_list_where_it_has_not_changed() -> None:
    """Somebody may start it again in the moment of the stop, and the event of that be on its way."""
    assert kind_of(STOPPING).last_reads(STOPPING, lister(suspended_job())) == (Get(JOB_REF),)
    assert kind_of(STOPPING).last_reads(STOPPING, lister(suspended_job(), absent=True)) == ()

    for version, proven in (("900", True), ("901", False)):
        store = ObjectStore()
        store.see(JOB_REF, suspended_job(), at(14))
        store.list_pods(JOB_PODS, [read_pod(ENDED_POD)], at(15))
        again = suspended_job()
        again["metadata"]["resourceVersion"] = version
        store.see(JOB_REF, again, at(19))
        assert (observe(STOPPING, store.lister).proof is Proof.ENDED) is proven
        assert required_reads(STOPPING, store.lister) == (() if proven else (ListPods(JOB_PODS),))


def test_it_is_asked_for_again_at_the_right_moment() -> None:
    young = job_pod(status=OVER | {"startTime": when(8)})
    known = lister(suspended_job(), young, listed=11, signaled=10, seen_at=11)

    assert required_reads(STOPPING, known, 11) == ()
    assert observe(STOPPING, known, 11).look_again_at == at(12)


@pytest.mark.parametrize(("taken", "again", "counts"), [(8, False, True), (12, False, False), (20, True, False)])
def test_a_job_that_somebody_starts_again_while_it_is_stopped_is_said_to_be(
    taken: float, again: bool, counts: bool
) -> None:
    """A queue of Jobs does so for as long as it has admitted it: https://github.com/kubernetes-sigs/kueue/issues/6915."""
    made = job_pod("y", metadata=GOING, status={"startTime": when(taken)})
    seen = observe(STOPPING, lister(suspended_job(), ENDED_POD, made, listed=15, signaled=10))

    assert (seen.blocked is not None and seen.blocked.reason == "StartedAgain") is again
    assert (seen.killed_by is not None) is counts, "the time of a pod that was made later is not that of the stop"
    assert observe(RUNNING, lister(raw_owner("job"), made)).blocked is None


def test_a_job_that_is_gone_proves_nothing_while_its_pods_live() -> None:
    assert proof(raw_owner("job"), job_pod(), absent=True, listed=15) is None
    assert proof(raw_owner("job"), ENDED_POD, absent=True, listed=15) is Proof.ENDED


@pytest.mark.parametrize(
    "raw",
    [
        pytest.param(raw_owner("job"), id="seen before"),
        pytest.param(
            None,
            id="gone before a restart",
        ),
    ],
)
def test_the_ends_of_its_pods_are_taken_down_though_it_is_gone(raw: Raw | None) -> None:
    on_record = task(SPEC, {"phase": "Stopping", "workload": WORKLOAD | {"selector": JOB_PODS.selector}})
    seen = observe(on_record, lister(raw, ENDED_POD, absent=True, listed=15))

    assert seen.workload is not None
    assert (seen.workload.uid, seen.workload.selector) == ("job-uid", JOB_PODS.selector)
    assert [each.exit_code for pod in seen.workload.pods for each in pod.containers] == [143]


def test_a_job_that_never_made_a_pod() -> None:
    fresh = task(SPEC, {"phase": "Stopping", "workload": WORKLOAD, "stop": ACCEPTED})
    known = lister(suspended_job(), listed=15, signaled=10)

    assert observe(fresh, known).proof is Proof.NEVER_STARTED


@pytest.mark.parametrize("absent", [True, False], ids=["its Job was deleted alone", "somebody disowned it"])
def test_a_pod_with_the_label_of_its_job_is_the_jobs_though_it_was_never_seen_under_it(absent: bool) -> None:
    """The Job controller takes back by its label what nobody controls; it may run on, and is ended."""
    fresh = task(SPEC, {"phase": "Stopping", "workload": WORKLOAD, "stop": ACCEPTED})
    left = job_pod("a", metadata={"ownerReferences": [], "finalizers": []})
    known = lister(suspended_job(), left, listed=15, signaled=10, absent=absent)

    assert observe(fresh, known).proof is None
    assert sent(fresh, HALT, known, 20) == (Delete(ObjectRef("Pod", NAMESPACE, "a"), "a-uid", None),)


def test_a_pod_that_does_not_show_any_more_is_read_by_its_name() -> None:
    known = lister(raw_owner("job"), job_pod("a"))
    seen = known.groups[JOB_PODS].pods["a-uid"]
    known.groups[JOB_PODS].pods["a-uid"] = CacheEntry(seen=seen.seen, at=seen.at, stale=True)

    assert GetPod(ObjectRef("Pod", NAMESPACE, "a"), "a-uid", JOB_PODS) in required_reads(RUNNING, known)


def test_a_scale_without_a_selector_proves_nothing_and_says_so() -> None:
    spec = {"workloadRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "x"}}
    workload = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "x", "uid": "deployment-uid"}
    adopting = task(spec, {"phase": "Stopping", "workload": workload, "stop": ACCEPTED})
    scale: Raw = {"spec": {"replicas": 0}, "status": {"replicas": 0, "selector": ""}}
    seen = observe(adopting, lister(raw_owner("deployment", scale=scale)))

    assert seen.proof is None
    assert seen.blocked is not None
    assert seen.blocked.reason == "PodsUnknown"


# Help

UNTRACKED: Raw = {"finalizers": []}


def untracking(name: str) -> Patch:
    body = {"metadata": {"$deleteFromPrimitiveList/finalizers": [JOB_TRACKING]}}
    return Patch(ObjectRef("Pod", NAMESPACE, name), f"{name}-uid", body, Meaning.UNTRACK)


def test_its_controller_ends_the_pods_and_is_given_time_for_it() -> None:
    known = lister(suspended_job(), job_pod("a"), signaled=10)

    assert sent(STOPPING, HALT, known, 11) == ()
    assert observe(STOPPING, known, 11).look_again_at == at(12)


def test_pods_that_it_leaves_alone_are_ended_one_by_one() -> None:
    known = lister(suspended_job(), job_pod("a", metadata=UNTRACKED), job_pod("b", metadata=GOING), signaled=10)

    assert sent(STOPPING, HALT, known, 12) == (Delete(ObjectRef("Pod", NAMESPACE, "a"), "a-uid", None),)


def test_pods_that_lost_their_controller_are_ended_at_once() -> None:
    known = lister(raw_owner("job"), job_pod("a", metadata=UNTRACKED), absent=True)

    assert sent(STOPPING, HALT, known, 10) == (Delete(ObjectRef("Pod", NAMESPACE, "a"), "a-uid", None),)


def test_a_pod_whose_own_grace_is_zero_is_not_deleted_by_force() -> None:
    known = lister(
        suspended_job(), job_pod("a", metadata=UNTRACKED, spec={"terminationGracePeriodSeconds": 0}), signaled=10
    )

    assert sent(STOPPING, HALT, known, 12) == (Delete(ObjectRef("Pod", NAMESPACE, "a"), "a-uid", 1),)


@pytest.mark.parametrize(
    ("metadata", "asked", "kill_at", "expected"),
    [
        pytest.param({"finalizers": []}, 5, None, 5, id="nobody ends it yet"),
        pytest.param({}, 60, None, None, id="a longer one: that of the pod"),
        pytest.param(GOING, 5, 15, 4, id="its controller ends it, later than asked for"),
        pytest.param(GOING, 5, 5, 1, id="the time is up"),
        pytest.param(GOING, 60, 70, None, id="its controller ends it sooner"),
        pytest.param(GOING, None, None, None, id="none was asked for"),
    ],
)
def test_a_shorter_grace_period_is_brought_to_the_pods(
    metadata: Raw, asked: int | None, kill_at: float | None, expected: int | None
) -> None:
    halt = Terminate(asked, PodPolicy.KEEP, at(kill_at) if kill_at is not None else None)
    known = lister(suspended_job(), job_pod("a", metadata=metadata), signaled=10)
    wanted = (Delete(ObjectRef("Pod", NAMESPACE, "a"), "a-uid", expected),) if expected is not None else ()

    assert sent(STOPPING, halt, known, 11) == wanted


def test_the_job_controller_is_to_count_no_pod_that_we_end() -> None:
    """It takes such a pod for a failure or a success, and the suspended Job for over."""
    known = lister(suspended_job(), job_pod("a"), signaled=10)
    untrack = untracking("a")

    assert sent(STOPPING, HALT, known, 12) == (untrack,)
    refused = replace(known, rejections={(untrack.ref, "patch"): Rejection(403, "Forbidden", "no", at(12))})
    assert sent(STOPPING, HALT, refused, 12) == (Delete(untrack.ref, "a-uid", None),), "an agent runs on otherwise"


def test_a_shorter_grace_period_waits_until_nobody_counts_the_pods_but_not_for_long() -> None:
    halt = Terminate(5, PodPolicy.KEEP, None)
    seen = replace(STOPPING, stop_seen_at=at(10))
    suspend = Patch(JOB_REF, "job-uid", {"spec": {"suspend": True}}, Meaning.STOP)

    known = lister(raw_owner("job"), job_pod("a"))
    assert sent(seen, halt, known, 10.5) == (untracking("a"),)
    assert sent(seen, halt, known, 11) == (suspend, untracking("a"))
    untracked = lister(raw_owner("job"), job_pod("a", metadata=UNTRACKED))
    assert sent(seen, halt, untracked, 10.5) == (suspend, Delete(untracking("a").ref, "a-uid", 5))


@pytest.mark.parametrize("phase", ["Pending", "Running", "Paused"])
@pytest.mark.parametrize(("now", "wanted"), [(39, False), (40, True)])
def test_a_pod_without_its_labels_is_read_live_from_time_to_time(phase: str, now: float, wanted: bool) -> None:
    """It starts, ends or goes, and no watch shows it."""
    seen = task(SPEC, {"phase": phase, "workload": WORKLOAD})
    look = GetPod(ObjectRef("Pod", NAMESPACE, "a"), "a-uid", JOB_PODS)
    store = ObjectStore()
    store.see(JOB_REF, raw_owner("job"), NOW)
    store.find_member(JOB_PODS, read_pod(job_pod("a")), at(10))

    assert (look in required_reads(seen, store.lister, now)) is wanted


def test_a_pause_leaves_the_pods_to_their_controller_however_late_it_is() -> None:
    pause = Terminate(None, PodPolicy.DELETE, None, pause=True)

    assert sent(STOPPING, pause, lister(suspended_job(), job_pod("a"), signaled=10), 500) == ()
    orphaned = lister(raw_owner("job"), job_pod("a"), absent=True)
    assert sent(STOPPING, pause, orphaned, 10) == (untracking("a"),), "nobody else ends them"


def test_a_pause_ends_a_pod_that_its_controller_has_let_go_of_once_it_had_time_to_take_it_back() -> None:
    pause = Terminate(None, PodPolicy.DELETE, None, pause=True)
    store = ObjectStore()
    store.see(JOB_REF, suspended_job(), at(10))
    store.list_pods(JOB_PODS, [read_pod(job_pod("a"))], at(0))
    store.see_member(JOB_PODS, job_pod("a", version=2, metadata={"ownerReferences": []}), at(1))

    assert sent(STOPPING, pause, store.lister, 11) == ()
    assert sent(STOPPING, pause, store.lister, 12) == (untracking("a"),)


@pytest.mark.parametrize("target", ["FailureTarget", "SuccessCriteriaMet"])
@pytest.mark.parametrize(("status", "settled"), [({}, True), ({"active": 1}, False), ({"terminating": 1}, False)])
def test_a_job_whose_end_is_certain_need_not_say_that_it_is_suspended(target: str, status: Raw, settled: bool) -> None:
    raw = {**raw_owner("job"), "status": status | {"conditions": [{"type": target, "status": "True"}]}}

    assert read_job(raw).settled is settled


def test_a_pod_that_is_stuck_gets_one_second_and_no_more() -> None:
    stuck = lister(suspended_job(), job_pod("a", metadata=GOING), signaled=10)
    once = lister(suspended_job(), job_pod("a", metadata=GOING | {"deletionGracePeriodSeconds": 1}), signaled=10)

    assert sent(STOPPING, HALT, stuck, 50) == ()
    assert sent(STOPPING, HALT, stuck, 51) == (Delete(ObjectRef("Pod", NAMESPACE, "a"), "a-uid", 1),)
    assert sent(STOPPING, HALT, once, 900) == ()


def test_nothing_is_ended_before_what_makes_it_is_halted() -> None:
    known = lister(raw_owner("job"), job_pod("a", metadata=GOING))

    assert [type(each) for each in sent(STOPPING, Terminate(1, PodPolicy.KEEP, at(11)), known, 90)] == [Patch]


def test_a_pod_that_may_be_somebody_elses_is_not_deleted() -> None:
    """It has the label, and what controls it is gone, so nobody can tell any more whose it is."""
    spec = {"workloadRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "x"}}
    workload = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "x", "uid": "deployment-uid"}
    adopting = task(spec, {"phase": "Stopping", "workload": workload, "stop": ACCEPTED})
    replica_set = ObjectRef("ReplicaSet", NAMESPACE, "theirs", "apps/v1")
    theirs = job_pod(
        "a", metadata={"ownerReferences": [owner("rs-uid", "ReplicaSet", "theirs") | {"apiVersion": "apps/v1"}]}
    )
    zero: Raw = {"spec": {"replicas": 0}, "status": {"replicas": 0}}
    last = read_owner({"metadata": {"name": "theirs", "uid": "rs-uid", "resourceVersion": "1"}})
    gone = {replica_set: CacheEntry(seen=last, absent=True, at=NOW)}
    known = lister(raw_owner("deployment", scale=zero), theirs, others=gone, signaled=10)

    seen = observe(adopting, known, 900)

    assert seen.proof is None
    assert sent(adopting, HALT, known, 900) == ()
    assert seen.workload is not None
    assert seen.workload.pods == (), "what is on record counts as the task's from then on"


# What holds up the end


def test_a_controller_that_does_not_act_is_named() -> None:
    managed = raw_owner("job", spec={"suspend": True, "managedBy": "example.com/queue"})
    known = lister(managed, job_pod("a"), signaled=10)

    assert observe(STOPPING, known, 49).blocked is None, "the grace period and a margin"
    blocked = observe(STOPPING, known, 50).blocked
    assert blocked is not None
    assert blocked.reason == "ControllerNotActing"
    assert "example.com/queue has not ended its pods" in blocked.message


def test_a_controller_that_has_acted_is_not_blamed_for_a_slow_pod() -> None:
    known = lister(suspended_job(), job_pod("a", metadata=GOING), signaled=10)

    assert observe(STOPPING, known, 50).blocked is None
