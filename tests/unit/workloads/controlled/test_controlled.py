"""Workloads whose pods are made by a controller: Jobs, and whatever can be scaled."""

from dataclasses import replace

import pytest

from agentstop.lifecycle.effects import Start
from agentstop.lifecycle.observation import Presence, Proof
from agentstop.workloads.objects import Boot, CacheEntry, Lister, ObjectRef, Rejection, Right, WatchTarget
from agentstop.workloads.pods.node import read_node
from agentstop.workloads.pods.reading import read_pod
from agentstop.workloads.registry import kind_of
from agentstop.workloads.requests import (
    AccessReview,
    Get,
    Meaning,
    Patch,
)
from tests.unit.objects import NAMESPACE, Raw, at, task, waiting, when
from tests.unit.workloads.adopted import (
    ACCEPTED,
    DEPLOYMENT_REF,
    GOING,
    HALT,
    OVER,
    PAUSE,
    PAUSING,
    RUNNING,
    SPEC,
    STOPPED,
    STOPPING,
    SUSPEND,
    WORKLOAD,
    lister,
    observe,
    required_reads,
    sent,
)
from tests.unit.workloads.owners import (
    JOB_PODS,
    JOB_REF,
    JOB_UID,
    MARK,
    SUSPENDED,
    controller,
    job_pod,
    raw_owner,
    suspended_job,
)

# Which workload it is


def test_nothing_is_known_before_it_was_read() -> None:
    assert observe(task(SPEC), Lister()).presence is Presence.UNKNOWN
    assert required_reads(task(SPEC), Lister()) == (Get(JOB_REF),)


def test_a_workload_that_does_not_exist_is_waited_for() -> None:
    seen = observe(task(SPEC), lister(None))

    assert seen.presence is Presence.ABSENT
    assert seen.waiting is not None
    assert seen.waiting.reason == "WorkloadNotFound"


def test_a_job_that_runs() -> None:
    seen = observe(task(SPEC), lister(raw_owner("job"), job_pod("a"), job_pod("b")))

    assert (seen.presence, seen.active, seen.halted, seen.started_at) == (Presence.PRESENT, True, False, at(1))
    assert seen.workload is not None
    assert (seen.workload.uid, seen.workload.pod_count) == (JOB_UID, 2)
    assert [each.name for each in seen.workload.pods] == ["a", "b"]
    assert (seen.proof, seen.ending, seen.blocked, seen.signaled_at) == (None, None, None, None)


@pytest.mark.parametrize(("phase", "longest"), [("Running", 90), ("Failed", None)])
def test_a_stop_gives_pods_that_are_gone_the_time_that_they_had(phase: str, longest: int | None) -> None:
    """Who comes after a crash has not seen them, and decides by that when the stop is overdue."""
    gone = {"name": "a", "uid": "a-uid", "phase": phase, "gracePeriodSeconds": 90}
    seen = observe(task(SPEC, {"phase": "Running", "workload": WORKLOAD | {"pods": [gone]}}), lister(suspended_job()))

    assert (seen.own_grace_seconds, seen.longest_grace_seconds) == (90, longest)


def test_a_workload_that_is_being_deleted_is_refused() -> None:
    refused = observe(task(SPEC), lister(raw_owner("job", deletionTimestamp=when(1)))).refused

    assert refused is not None
    assert refused.reason == "WorkloadBeingDeleted"
    assert observe(RUNNING, lister(raw_owner("job", deletionTimestamp=when(1)))).refused is None


def test_what_has_a_controller_of_its_own_is_refused_naming_that() -> None:
    spec = {"workloadRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "x"}}
    owned = raw_owner("deployment", ownerReferences=[controller("Fleet", "f", "f-uid", "example.com/v1")])
    refused = observe(task(spec), lister(owned)).refused

    assert refused is not None
    assert refused.reason == "WorkloadHasController"
    assert "point workloadRef at Fleet f" in refused.message


def test_a_later_workload_of_that_name_is_another_one() -> None:
    seen = observe(RUNNING, lister(raw_owner("job", uid="another")))

    assert seen.ending is not None
    assert seen.ending.word.reason == "WorkloadLost"
    assert sent(STOPPING, HALT, lister(raw_owner("job", uid="another"))) == ()
    assert sent(RUNNING, Start(), lister(raw_owner("job", uid="another"))) == ()


def test_a_job_that_is_complete_already_has_ended() -> None:
    done = {"active": 0, "conditions": [SUSPENDED | {"type": "Complete"}], "completionTime": when(11)}
    seen = observe(task(SPEC), lister(raw_owner("job", status=done), job_pod(status=OVER)))

    assert seen.ending is not None
    assert (seen.ending.succeeded, seen.ending.by_stop) == (True, False)


@pytest.mark.parametrize(("condition", "succeeded"), [("Complete", True), ("Failed", False)])
def test_a_job_that_had_ended_before_it_was_tidied_up_is_not_lost(condition: str, succeeded: bool) -> None:
    """With ttlSecondsAfterFinished 0 it may be gone before its pods' own ends are heard of."""
    job = raw_owner("job", status={"active": 0, "conditions": [SUSPENDED | {"type": condition}]})
    ending = observe(RUNNING, lister(job, job_pod(status=OVER), absent=True, listed=15)).ending

    assert ending is not None
    assert (ending.succeeded, ending.word.reason == "WorkloadLost") == (succeeded, False)


DONE: Raw = {"active": 0, "conditions": [SUSPENDED | {"type": "Complete"}], "completionTime": when(11)}
NODE_REF = ObjectRef("Node", "", "n")
STARTING: Raw = {"phase": "Pending", "containerStatuses": [waiting()]}


def node(boot_id: str | None, read_at: float) -> CacheEntry:
    """A node in this boot; None for one that was deleted."""
    ready = {"type": "Ready", "status": "True", "lastTransitionTime": when(-900)}
    raw = {"metadata": {"name": "n", "uid": "n"}, "status": {"conditions": [ready], "nodeInfo": {"bootID": boot_id}}}
    seen = read_node(raw) if boot_id is not None else None
    return CacheEntry(
        seen=seen, absent=seen is None, at=at(read_at), boots=(Boot(boot_id, at(read_at)),) if boot_id else ()
    )


@pytest.mark.parametrize("looked", [True, False], ids=["it was seen", "the operator was down since"])
@pytest.mark.parametrize("absent", [True, False], ids=["tidied up", "there"])
def test_a_job_has_not_ended_while_a_pod_that_was_removed_in_its_start_may_live(looked: bool, absent: bool) -> None:
    """Its controller has long made another one, and that has ended."""
    forced = {"deletionTimestamp": when(5), "deletionGracePeriodSeconds": 0}
    removed = CacheEntry(seen=read_pod(job_pod("x-0", metadata=forced, status=STARTING)), absent=True, at=at(5))

    def known(boot_id: str | None, now: float) -> Lister:
        others = {NODE_REF: node(boot_id, now)}
        found = lister(raw_owner("job", status=DONE), job_pod(status=OVER), listed=15, absent=absent, others=others)
        found.groups[JOB_PODS].pods["x-0-uid"] = removed
        return found

    first = observe(RUNNING, known("one", 20), 20)
    assert (first.ending, first.blocked and first.blocked.reason) == (None, "KubeletBusy")
    assert first.workload is not None
    later = task(SPEC, {"phase": "Running", "startedAt": when(1), "workload": first.workload.wire()})
    if not looked:
        removed = replace(removed, seen=None)
    for boot_id, now in (("one", 900), (None, 9000)):
        assert observe(later, known(boot_id, now), now).ending is None
    ending = observe(later, known("two", 900), 900).ending
    assert ending is not None
    assert (ending.succeeded, ending.word.reason == "WorkloadLost") == (True, False)


@pytest.mark.parametrize(("reason", "proven"), [("NodeUnreachable", True), ("KubeletBusy", False)])
def test_a_deleted_node_counts_at_once_for_a_job_too_where_it_had_not_answered(reason: str, proven: bool) -> None:
    held_up = {"type": "Stalled", "status": "True", "reason": reason, "lastTransitionTime": when(1)}
    gone = CacheEntry(seen=read_pod(job_pod("x-0", metadata=GOING)), absent=True, at=at(12))
    known = lister(suspended_job(), job_pod(status=OVER), listed=15, signaled=10, others={NODE_REF: node(None, 12)})
    known.groups[JOB_PODS].pods["x-0-uid"] = gone
    status: Raw = {"phase": "Stopping", "workload": WORKLOAD, "startedAt": when(1), "stop": ACCEPTED}
    stopping = task(SPEC, status | {"conditions": [held_up]})

    assert (observe(stopping, known).proof is Proof.NODE_FENCED) is proven


def test_what_the_kubelet_of_one_of_its_pods_does_before_it_acts_on_a_stop() -> None:
    starting = job_pod("y", metadata=GOING, status=STARTING)
    busy = observe(STOPPING, lister(suspended_job(), job_pod(status=OVER), starting)).busy

    assert busy is not None
    assert (busy.reason, "pod y" in busy.message) == ("KubeletBusy", True)


def test_a_job_has_ended_though_nobody_saw_how_a_pod_went_that_was_to_start() -> None:
    """It may have run and ended as well as any."""
    record = {"name": "x-0", "uid": "x-0-uid", "node": "n", "phase": "Pending", "containers": [{"name": "main"}]}
    later = task(SPEC, {"phase": "Running", "workload": WORKLOAD | {"pods": [record]}})
    known = lister(raw_owner("job", status=DONE), job_pod(status=OVER), others={NODE_REF: node("one", 900)})
    known.groups[JOB_PODS].pods["x-0-uid"] = CacheEntry(seen=None, absent=True, at=at(5))

    assert observe(later, known, 900).ending is not None


def test_a_job_has_not_ended_while_the_machine_of_a_node_that_was_deleted_may_run_its_pods() -> None:
    gone = CacheEntry(seen=read_pod(job_pod("x-0", metadata=GOING)), absent=True, at=at(12))
    known = lister(raw_owner("job", status=DONE), job_pod(status=OVER), others={NODE_REF: node(None, 12)})
    known.groups[JOB_PODS].pods["x-0-uid"] = gone
    early = observe(RUNNING, known, 50)

    assert (early.ending, early.look_again_at) == (None, at(51))
    assert observe(RUNNING, known, 51).ending is not None


@pytest.mark.parametrize(("completed", "by_stop"), [(9, False), (10, True), (12, True)])
def test_what_completes_after_our_stop_was_stopped(completed: float, by_stop: bool) -> None:
    done = {"active": 0, "conditions": [SUSPENDED | {"type": "Complete"}], "completionTime": when(completed)}
    job = raw_owner("job", spec={"suspend": True}, status=done)
    ending = observe(STOPPING, lister(job, job_pod(status=OVER), signaled=10.4)).ending

    assert ending is not None
    assert ending.by_stop is by_stop


def test_a_workload_that_somebody_halted_before_says_why_it_does_not_run() -> None:
    waiting = observe(task(SPEC), lister(suspended_job())).waiting

    assert waiting is not None
    assert waiting.reason == "WorkloadHalted"


# What may be done, and what not


@pytest.mark.parametrize(
    ("verb", "reason", "expected"),
    [("get", "Forbidden", "StopForbidden"), ("patch", "Forbidden", "StopForbidden")],
)
def test_a_kind_that_may_not_be_touched_is_said(verb: str, reason: str, expected: str) -> None:
    rejection = Rejection(403, reason, "jobs.batch is forbidden", at(20))
    known = Lister({}, {(JOB_REF, verb): rejection})
    if verb == "patch":
        known = lister(raw_owner("job"), job_pod(), rejections={(JOB_REF, verb): rejection})
    blocked = observe(STOPPING, known, 21).blocked

    assert blocked is not None
    assert (blocked.reason, blocked.message) == (expected, "jobs.batch is forbidden")


def test_a_right_that_is_missing_is_said_before_it_is_needed() -> None:
    missing = {("batch/v1", "Job", NAMESPACE): Right("the operator may not patch jobs", at(19))}
    blocked = observe(RUNNING, lister(raw_owner("job"), job_pod(), rights=missing)).blocked

    assert blocked is not None
    assert (blocked.reason, blocked.message) == ("StopForbidden", "the operator may not patch jobs")


@pytest.mark.parametrize(
    ("right", "asked"),
    [(None, True), (Right(None, at(19)), False), (Right(None, at(-900)), True), (Right("no", at(-20)), True)],
    ids=["never asked", "granted", "granted long ago", "missing a while ago"],
)
def test_rights_are_asked_for_while_there_is_time(right: Right | None, asked: bool) -> None:
    rights = {("batch/v1", "Job", NAMESPACE): right} if right is not None else {}
    known = lister(raw_owner("job"), job_pod(), rights=rights)

    assert (AccessReview(JOB_REF, scale=False) in required_reads(RUNNING, known)) is asked
    assert AccessReview(JOB_REF, scale=False) not in required_reads(STOPPING, known), "nothing goes before a stop"


def test_a_kind_that_is_not_served_is_waited_for() -> None:
    refused: dict[tuple[WatchTarget, str], Rejection] = {
        (JOB_REF, "get"): Rejection(404, "KindNotServed", "install it", at(19))
    }
    seen = observe(task(SPEC), Lister({}, refused))

    assert (seen.presence, seen.refused) == (Presence.ABSENT, None)
    assert seen.waiting is not None
    assert seen.waiting.reason == "KindNotServed"


def test_a_kind_that_cannot_be_stopped_is_refused() -> None:
    refused: dict[tuple[WatchTarget, str], Rejection] = {
        (JOB_REF, "get"): Rejection(404, "NoScale", "it has no scale", at(19))
    }
    word = observe(task(SPEC), Lister({}, refused)).refused

    assert word is not None
    assert word.reason == "UnsupportedWorkload"


# Halting


def test_a_stop_suspends_the_job_and_nothing_else() -> None:
    known = lister(raw_owner("job"), job_pod("a"), job_pod("b"))

    assert sent(STOPPING, HALT, known) == (Patch(JOB_REF, JOB_UID, SUSPEND, Meaning.STOP),)
    assert sent(PAUSING, PAUSE, known) == (Patch(JOB_REF, JOB_UID, SUSPEND, Meaning.PAUSE),)


def test_what_is_suspended_is_not_suspended_again() -> None:
    assert sent(STOPPING, HALT, lister(suspended_job(), signaled=10)) == ()


@pytest.mark.parametrize("raw", [raw_owner("job"), suspended_job()], ids=["runs again", "suspended"])
def test_what_was_stopped_is_kept_so(raw: Raw) -> None:
    """Its pods are left to its controller: whoever starts it again starts others."""
    expected = () if raw["spec"]["suspend"] else (Patch(JOB_REF, JOB_UID, SUSPEND, Meaning.STOP),)

    assert sent(STOPPED, HALT, lister(raw, job_pod(), signaled=10), 900) == expected


def test_a_job_that_is_gone_is_not_changed() -> None:
    assert sent(STOPPING, HALT, lister(raw_owner("job"), absent=True)) == ()


def test_a_resume_is_of_the_job_as_it_was_seen() -> None:
    (patch,) = sent(RUNNING, Start(), lister(suspended_job()))

    assert patch == Patch(JOB_REF, JOB_UID, {"spec": {"suspend": False}}, Meaning.RESUME, "900")
    assert sent(RUNNING, Start(), lister(raw_owner("job"))) == ()


def test_what_can_be_scaled_is_scaled_to_0_and_back() -> None:
    spec = {"workloadRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "x"}}
    workload = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "x", "uid": "deployment-uid", "replicas": 2}
    adopting = task(spec, {"phase": "Pausing", "workload": workload})
    zero: Raw = {"spec": {"replicas": 0}, "status": {"replicas": 0}}
    body: Raw = {"spec": {"replicas": 0}}
    known = lister(raw_owner("deployment"))

    assert sent(adopting, HALT, known) == (Patch(DEPLOYMENT_REF, "deployment-uid", body, Meaning.STOP, scale=True),)
    (back,) = sent(adopting, Start(), lister(raw_owner("deployment", scale=zero)))
    assert isinstance(back, Patch)
    assert (back.body, back.meaning, back.scale) == ({"spec": {"replicas": 2}}, Meaning.RESUME, True)


def test_the_former_number_is_kept_while_there_are_none() -> None:
    spec = {"workloadRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "x"}}
    workload = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "x", "uid": "deployment-uid", "replicas": 2}
    zero: Raw = {"spec": {"replicas": 0}, "status": {"replicas": 0}}
    seen = observe(task(spec, {"workload": workload}), lister(raw_owner("deployment", scale=zero)))

    assert seen.workload is not None
    assert seen.workload.replicas == 2


# When it was signaled


@pytest.mark.parametrize(
    ("raw", "pods", "signaled", "expected"),
    [
        (raw_owner("job"), (), None, None),
        (suspended_job(), (), 12.5, 12.5),
        (suspended_job(managedFields=[MARK]), (), None, 10),
        (suspended_job(), (job_pod(metadata=GOING),), None, 11),
        (suspended_job(), (job_pod(),), None, 14),
    ],
    ids=["it was not", "by our patch", "by our mark", "by its pods' end", "by the first sight of it"],
)
def test_when_the_end_was_signaled(
    raw: Raw, pods: tuple[Raw, ...], signaled: float | None, expected: float | None
) -> None:
    known = lister(raw, *pods, signaled=signaled, seen_at=14)

    assert observe(STOPPING, known).signaled_at == (at(expected) if expected is not None else None)


# What is watched


def test_what_is_watched_for_how_long() -> None:
    known = lister(raw_owner("job"))
    module = kind_of(RUNNING)

    assert module.watches(task(SPEC), Lister()) == (JOB_REF,)
    assert module.watches(RUNNING, known) == (JOB_REF, JOB_PODS)
    assert module.watches(STOPPING, known) == (JOB_REF, JOB_PODS)
    assert module.watches(STOPPED, known) == (JOB_REF,), "somebody may start it again"
    assert module.watches(task(SPEC, {"phase": "Completed"}), known) == ()
