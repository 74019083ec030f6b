"""Pods that had no node by the last that is known of them, and went: nobody knows on which node they may run."""

import pytest

from agentstop.api.workload_status import WorkloadStatus
from agentstop.cluster.object_store import ObjectStore
from agentstop.lifecycle.observation import Proof, Task
from agentstop.workloads.kinds.pod import POD
from agentstop.workloads.objects import CacheEntry, Departure
from agentstop.workloads.requests import Get, GetPod, Recall
from tests.unit.objects import NOW, POD_REF, POD_UID, Raw, at, raw_pod, task, when
from tests.unit.workloads.adopted import SPEC, WORKLOAD, observe, required_reads
from tests.unit.workloads.owners import JOB_PODS, JOB_REF, job_pod, suspended_job

UNBOUND: Raw = {
    "spec": {"nodeName": None},
    "status": {"phase": "Pending", "containerStatuses": None, "startTime": None},
}
PULLING: Raw = {
    "status": {"phase": "Pending", "containerStatuses": [{"name": "main", "state": {"waiting": {"reason": "Pull"}}}]}
}
TAKEN: Raw = {"deletionTimestamp": when(5), "deletionGracePeriodSeconds": 0}
STOP: Raw = {"source": "User", "acceptedAt": when(0), "signaledAt": when(0), "killAt": when(30)}
ON_RECORD: Raw = {"name": "x", "uid": POD_UID, "phase": "Pending", "containers": []}
LONG_AFTER = 9000


def stopping(phase: str = "Stopping", known: WorkloadStatus | None = None) -> Task:
    pods = [ON_RECORD] if known is None else [each.wire() for each in known.pods]
    workload = {"apiVersion": "v1", "kind": "Pod", "name": "x", "uid": POD_UID, "pods": pods}
    return task(None, {"phase": phase, "workload": workload} | ({"stop": STOP} if phase == "Stopping" else {}))


def gone(*, seen: bool) -> ObjectStore:
    """A pod is found to be gone, by a process that had `seen` it without a node, or by one that never saw it."""
    store = ObjectStore()
    if seen:
        store.see(POD_REF, raw_pod(**UNBOUND, version=7), NOW)
        store.mark_stale(POD_REF)
    store.see_absent(POD_REF, at(5))
    return store


@pytest.mark.parametrize("seen", [True, False], ids=["its watch was blind", "no operator ran"])
def test_no_time_proves_the_end_of_what_may_run_on_nobody_knows_which_node(seen: bool) -> None:
    found = POD.observe(stopping(), gone(seen=seen).lister, at(LONG_AFTER))

    assert found.proof is None
    assert found.blocked is not None
    assert found.blocked.reason == "NodeUnknown"
    assert "MarkStopped" in found.blocked.message
    assert POD.observe(stopping("Pending"), gone(seen=seen).lister, at(LONG_AFTER)).ending is None, "it can be stopped"


@pytest.mark.parametrize(("seen", "since"), [(True, "7"), (False, "1")])
def test_the_api_server_is_asked_how_it_went_once(seen: bool, since: str) -> None:
    store = gone(seen=seen)
    asked = Recall(POD_REF, (POD_UID,), since)
    assert POD.required_reads(stopping(), store.lister, at(6)) == (asked,)

    store.recalled(POD_REF, (POD_UID,), (), at(6))
    assert store.lister.entries[POD_REF].departure is Departure.FORGOTTEN
    assert POD.required_reads(stopping(), store.lister, at(LONG_AFTER)) == ()


def test_an_answer_about_one_pod_says_nothing_of_another_one_of_its_name() -> None:
    store = gone(seen=True)
    store.recalled(POD_REF, ("former",), (), at(6))
    assert store.lister.entries[POD_REF].departure is Departure.UNSEEN
    assert POD.required_reads(stopping(), store.lister, at(6)) == (Recall(POD_REF, (POD_UID,), "7"),)

    former: Raw = {"apiVersion": "v1", "kind": "Pod", "name": "x", "uid": "former"}
    on_record = former | {"pods": [ON_RECORD | {"uid": "former"}]}
    of_the_former = task(None, {"phase": "Stopping", "workload": on_record, "stop": STOP})
    assert POD.required_reads(of_the_former, store.lister, at(6)) == (), "there is no place to keep the answer"


def test_while_it_has_no_node_its_first_version_is_on_record() -> None:
    """A task that was written after its pod went says nothing of when the pod was there."""
    store, known = ObjectStore(), None
    for version in (7, 8):  # a version of its own is no reason to write a status
        store.see(POD_REF, raw_pod(**UNBOUND, version=version), NOW)
        known = POD.observe(stopping(known=known), store.lister, NOW).workload
        assert known is not None
        assert known.pods[0].resource_version == "7"
    again = ObjectStore()
    again.see_absent(POD_REF, at(5))
    assert POD.required_reads(stopping(known=known), again.lister, at(6)) == (Recall(POD_REF, (POD_UID,), "7"),)

    store.see(POD_REF, raw_pod(version=9), NOW)
    known = POD.observe(stopping(known=known), store.lister, NOW).workload
    assert known is not None
    assert known.pods[0].resource_version is None


@pytest.mark.parametrize("seen", [True, False])
def test_that_it_went_without_a_node_is_proof(seen: bool) -> None:
    store = gone(seen=seen)
    store.recalled(POD_REF, (POD_UID,), [raw_pod(spec=UNBOUND["spec"], status=UNBOUND["status"], version=9)], at(6))

    assert POD.observe(stopping(), store.lister, at(7)).proof is Proof.NEVER_STARTED
    assert POD.required_reads(stopping(), store.lister, at(7)) == ()


@pytest.mark.parametrize("seen", [True, False])
def test_the_node_is_asked_that_it_had_when_it_went(seen: bool) -> None:
    store = gone(seen=seen)
    store.recalled(POD_REF, (POD_UID,), [raw_pod(metadata=TAKEN, **PULLING, version=9)], at(6))

    assert [each.ref.name for each in POD.required_reads(stopping(), store.lister, at(7)) if isinstance(each, Get)] == [
        "n"
    ]
    assert POD.observe(stopping(), store.lister, at(LONG_AFTER)).proof is None


def test_what_the_watch_brought_last_is_how_it_went() -> None:
    store = ObjectStore()
    store.see(POD_REF, raw_pod(**UNBOUND, version=7), NOW)
    store.see_absent(POD_REF, at(5), raw_pod(**UNBOUND, version=8))

    assert POD.observe(stopping(), store.lister, at(6)).proof is Proof.NEVER_STARTED


def test_a_pod_that_cannot_be_bound_any_more_went_without_a_node() -> None:
    store = ObjectStore()
    store.see(POD_REF, raw_pod(metadata=TAKEN, **UNBOUND, version=7), NOW)
    store.see_absent(POD_REF, at(5))

    assert POD.required_reads(stopping(), store.lister, at(6)) == ()
    assert POD.observe(stopping(), store.lister, at(6)).proof is Proof.NEVER_STARTED


def test_that_a_pod_cannot_be_bound_any_more_is_on_record_before_it_is_gone() -> None:
    """A process that comes later finds nobody who could tell it that, and a paused task goes on."""
    store = ObjectStore()
    store.see(POD_REF, raw_pod(metadata=TAKEN, **UNBOUND, version=7), NOW)
    known = POD.observe(stopping(), store.lister, at(6)).workload
    again = ObjectStore()
    again.see_absent(POD_REF, at(LONG_AFTER))

    assert POD.required_reads(stopping("Paused", known), again.lister, at(LONG_AFTER)) == ()
    assert POD.observe(stopping("Paused", known), again.lister, at(LONG_AFTER)).proof is Proof.NEVER_STARTED


# The pods of a Job


def of_a_job(*, seen: bool) -> tuple[ObjectStore, Task]:
    store = ObjectStore()
    store.see(JOB_REF, suspended_job(), NOW)
    if seen:
        store.see_member(JOB_PODS, job_pod("a", **UNBOUND, version=7), at(1))
    store.list_pods(JOB_PODS, [], at(4))
    store.mark_pod_deleted(JOB_PODS, "a-uid", at(5))
    pods = [ON_RECORD | {"name": "a", "uid": "a-uid"}]
    known = WORKLOAD | {"pods": pods, "selector": JOB_PODS.selector}
    return store, task(SPEC, {"phase": "Stopping", "workload": known, "stop": STOP})


@pytest.mark.parametrize(("seen", "since"), [(True, "7"), (False, "1")])
def test_the_same_goes_for_a_pod_of_a_job(seen: bool, since: str) -> None:
    store, stopped = of_a_job(seen=seen)
    store.list_pods(JOB_PODS, [], at(100))
    assert Recall(JOB_PODS, ("a-uid",), since) in required_reads(stopped, store.lister, LONG_AFTER)
    found = observe(stopped, store.lister, LONG_AFTER)
    assert (found.proof, found.blocked and found.blocked.reason) == (None, "NodeUnknown")

    store.recalled(JOB_PODS, ("a-uid",), (), at(6))
    assert not [each for each in required_reads(stopped, store.lister, LONG_AFTER) if isinstance(each, Recall | GetPod)]

    last = UNBOUND | {"metadata": TAKEN}
    store.recalled(JOB_PODS, ("a-uid",), [job_pod("a", **last, version=9)], at(7))
    assert observe(stopped, store.lister, LONG_AFTER).proof is Proof.NEVER_STARTED


def test_a_pod_that_only_lost_its_label_has_not_gone() -> None:
    store, _ = of_a_job(seen=True)
    store.recalled(JOB_PODS, ("a-uid",), [job_pod("a", **UNBOUND, version=9)], at(7))

    assert store.lister.groups[JOB_PODS].pods["a-uid"].departure is not Departure.SEEN


def test_the_first_version_of_a_jobs_pod_is_on_record_too() -> None:
    store, _ = of_a_job(seen=True)
    pods = [ON_RECORD | {"name": "b", "uid": "b-uid", "resourceVersion": "5"}]
    stopped = task(SPEC, {"phase": "Stopping", "workload": WORKLOAD | {"pods": pods}, "stop": STOP})
    store.see_member(JOB_PODS, job_pod("b", **UNBOUND, version=9), at(6))
    found = observe(stopped, store.lister, 6).workload
    assert found is not None
    assert [each.resource_version for each in found.pods if each.uid == "b-uid"] == ["5"]

    store.mark_pod_deleted(JOB_PODS, "b-uid", at(7))
    store.lister.groups[JOB_PODS].pods["b-uid"] = CacheEntry(seen=None, absent=True, at=at(7))
    store.list_pods(JOB_PODS, [], at(8))
    assert Recall(JOB_PODS, ("a-uid", "b-uid"), "5") in required_reads(stopped, store.lister, 9)


def test_that_it_was_seen_to_go_without_a_node_is_on_record_for_who_comes_later() -> None:
    """The version in which it went is the last one: to ask for what came after that finds nothing."""
    store = ObjectStore()
    store.see(POD_REF, raw_pod(**UNBOUND, version=7), NOW)
    store.see_absent(POD_REF, at(5), raw_pod(metadata=TAKEN, **UNBOUND, version=8))
    known = POD.observe(stopping(), store.lister, at(6)).workload
    assert known is not None
    assert (known.pods[0].phase, known.pods[0].resource_version) == ("Failed", None)

    again = ObjectStore()
    again.see_absent(POD_REF, at(9))
    assert POD.required_reads(stopping(known=known), again.lister, at(9)) == ()
    found = POD.observe(stopping(known=known), again.lister, at(9))
    assert (found.proof, found.blocked) == (Proof.NEVER_STARTED, None)
