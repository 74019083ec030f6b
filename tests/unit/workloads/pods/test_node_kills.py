"""What the nodes are asked for, and what their word proves of pods in all states."""

from typing import Any

import pytest

from agentstop.api.task import PodPolicy
from agentstop.cluster.cache import Cache
from agentstop.lifecycle.effects import Terminate
from agentstop.lifecycle.observation import Proof, Task
from agentstop.node.looks import Outcome
from agentstop.workloads.kinds.pod import POD
from agentstop.workloads.objects import ObjectRef, Rejection
from agentstop.workloads.pods.controls import ANSWER_AFTER, AT_WORK
from agentstop.workloads.pods.node_kills import REPORT_AFTER
from agentstop.workloads.requests import AskNode, Delete
from tests.unit.objects import NAMESPACE, POD_REF, POD_UID, Raw, at, ended, raw_pod, task, waiting, when

KILL = Terminate(None, PodPolicy.KEEP, at(30), by_nodes=True)
GOING: Raw = {"deletionTimestamp": when(30), "deletionGracePeriodSeconds": 30}
IN_PLACE: Raw = {"activeDeadlineSeconds": 1, "terminationGracePeriodSeconds": 300}
CONTROL = ObjectRef("PodControl", NAMESPACE, POD_UID, "agentstop.dev/v1alpha1")
SPEC: Raw = {"nodeName": "n", "podUID": POD_UID, "taskName": "x", "state": "Killed"}
BUSY: Raw = {"phase": "Pending", "containerStatuses": [waiting()]}


def known(**more: Any) -> Raw:
    pods = [{"name": "x", "uid": POD_UID, "node": "n", "phase": "Running", "containers": []} | more]
    return {"apiVersion": "v1", "kind": "Pod", "name": "x", "uid": POD_UID, "pods": pods}


def stopping(workload: Raw | None = None) -> Task:
    stop = {"source": "User", "acceptedAt": when(0), "signaledAt": when(0), "killAt": when(30)}
    return task(None, {"phase": "Stopping", "workload": workload or known(), "stop": stop})


def control(status: Raw | None = None, version: int = 1, **metadata: Any) -> Raw:
    named = {"namespace": NAMESPACE, "name": POD_UID, "uid": "control", "resourceVersion": str(version)}
    return {"kind": "PodControl", "metadata": named | metadata, "spec": SPEC, "status": status or {}}


EMPTY: Raw = {"observedGeneration": 1, "state": "Killed", "since": when(33), "processes": 0, "empty": True}
CANNOT: Raw = {
    "observedGeneration": 1,
    "conditions": [{"type": "Ready", "status": "False", "reason": "NoCgroupV2", "message": "this node has none"}],
}


SLOW: Raw = {
    "observedGeneration": 1,
    "conditions": [{"type": "Ready", "status": "False", "reason": "Killing", "message": "1 processes are left"}],
}


def cluster(pod: Raw | None = None, answer: Raw | None = None, *, absent: bool = False, heard: float = 33) -> Cache:
    cache = Cache()
    if pod is not None:
        cache.objects.see(POD_REF, pod, at(5))
    if absent:
        cache.objects.see_absent(POD_REF, at(31))
    if answer is not None:
        cache.controls.put(answer, at(heard))
    return cache


def asked(cache: Cache, kill: Terminate = KILL, whose: Task | None = None, now: float = 32) -> list[AskNode]:
    requests = POD.plan_requests(whose or stopping(), kill, cache.lister, at(now))
    return [each for each in requests if isinstance(each, AskNode)]


def proof(cache: Cache, now: float, whose: Task | None = None) -> Proof | None:
    return POD.observe(whose or stopping(), cache.lister, at(now)).proof


# What is asked for


def test_what_is_asked_for_goes_with_the_pod() -> None:
    (request,) = asked(cluster(raw_pod(metadata=GOING)))
    assert request.ref == CONTROL
    assert request.body["spec"] == {"nodeName": "n", "podUID": POD_UID, "taskName": "x", "state": "Killed"}
    (owner,) = request.body["metadata"]["ownerReferences"]
    assert (owner["kind"], owner["uid"]) == ("Pod", POD_UID)


@pytest.mark.parametrize("pod", [raw_pod(metadata=GOING), None], ids=["seen", "only on record"])
def test_where_the_pod_is_gone_it_goes_with_the_task(pod: Raw | None) -> None:
    (request,) = asked(cluster(pod, absent=True))
    (owner,) = request.body["metadata"]["ownerReferences"]
    assert (owner["kind"], owner["uid"]) == ("AgentTask", stopping().uid)


@pytest.mark.parametrize(
    ("pod", "answer", "kill"),
    [
        (raw_pod(metadata=GOING), None, Terminate(None, PodPolicy.KEEP, at(30))),
        (raw_pod(metadata=GOING), control(), KILL),
        (raw_pod(), None, KILL),
        (raw_pod(metadata=GOING, spec={"nodeName": None}), None, KILL),
        (raw_pod(metadata=GOING, status={"phase": "Failed", "containerStatuses": [ended(code=137)]}), None, KILL),
    ],
    ids=["not yet", "asked already", "not asked to go", "on no node", "ended"],
)
def test_nobody_is_asked_in_vain(pod: Raw, answer: Raw | None, kill: Terminate) -> None:
    assert asked(cluster(pod, answer), kill) == []


def test_a_refusal_counts_for_a_while() -> None:
    cache = cluster(raw_pod(metadata=GOING))
    cache.objects.refuse(CONTROL, AskNode.verb, Rejection(404, "NotFound", "no such kind", at(30)))
    assert asked(cache) == []
    assert len(asked(cache, now=40)) == 1


def test_one_that_went_with_its_pod_is_made_again_where_it_is_needed() -> None:
    cache = cluster(raw_pod(metadata=GOING), control(), absent=True)
    assert asked(cache) == []
    cache.controls.drop(NAMESPACE, POD_UID, "another")
    cache.controls.drop("another", POD_UID, "control")
    assert asked(cache) == []
    cache.controls.drop(NAMESPACE, POD_UID, "control")
    assert len(asked(cache)) == 1


# Ends in place


def in_place(cache: Cache, kill: Terminate, now: float) -> bool:
    """Whether the pod is left in place."""
    return not [each for each in POD.plan_requests(stopping(), kill, cache.lister, at(now)) if isinstance(each, Delete)]


def test_a_pod_that_its_node_kills_keeps_its_logs() -> None:
    kill = Terminate(1, PodPolicy.KEEP, at(30), by_nodes=True)
    pod = raw_pod(spec=IN_PLACE)
    late = 33 + ANSWER_AFTER.total_seconds()
    assert in_place(cluster(pod), kill, 32)
    assert in_place(cluster(pod, control()), kill, late - 1)
    assert not in_place(cluster(pod, control()), kill, late), "it does not answer"
    assert not in_place(cluster(pod, control(CANNOT)), kill, 33)
    assert in_place(cluster(pod, control(EMPTY)), kill, late)
    assert not in_place(cluster(pod), Terminate(1, PodPolicy.KEEP, at(30)), 32), "there is no component"


# What is proven


@pytest.mark.parametrize(
    "pod",
    [raw_pod(metadata=GOING), raw_pod(spec=IN_PLACE), raw_pod(metadata=GOING, status=BUSY)],
    ids=["being deleted", "stopped in place", "being started"],
)
def test_the_kubelets_own_word_is_waited_for_and_not_for_long(pod: Raw) -> None:
    cache = cluster(pod, control(EMPTY))
    due = 33 + REPORT_AFTER.total_seconds()
    assert proof(cache, due - 1) is None
    assert POD.observe(stopping(), cache.lister, at(due - 1)).look_again_at == at(due)
    seen = POD.observe(stopping(), cache.lister, at(due))
    assert seen.proof is Proof.EMPTIED
    assert seen.workload is not None
    assert seen.workload.pods[0].empty_at == at(33)


def test_the_kubelets_word_comes_first() -> None:
    over = raw_pod(metadata=GOING, status={"phase": "Failed", "containerStatuses": [ended(code=137, finished=33)]})
    seen = POD.observe(stopping(), cluster(over, control(EMPTY)).lister, at(34))
    assert seen.proof is Proof.ENDED
    assert seen.workload is not None
    assert (seen.workload.pods[0].empty_at, seen.workload.pods[0].containers[0].exit_code) == (at(33), 137)


@pytest.mark.parametrize(
    "pod",
    [raw_pod(metadata=GOING, status=BUSY), raw_pod(metadata=GOING), None],
    ids=["while it was being started", "while it ran", "while nobody looked"],
)
def test_a_pod_that_was_removed_by_force_is_proven_at_once(pod: Raw | None) -> None:
    assert proof(cluster(pod, absent=True), 34) is None
    assert proof(cluster(pod, control(EMPTY), absent=True), 34) is Proof.EMPTIED


def test_what_is_on_record_outlives_the_object() -> None:
    whose = stopping(known(emptyAt=when(33)))
    assert proof(cluster(absent=True), 40, whose) is Proof.EMPTIED
    assert proof(cluster(raw_pod(metadata=GOING)), 40, whose) is Proof.EMPTIED


@pytest.mark.parametrize(
    "answer", [control(), control(CANNOT), control({"empty": True}), control(EMPTY | {"empty": 1})]
)
def test_nothing_less_proves_anything(answer: Raw) -> None:
    assert proof(cluster(raw_pod(metadata=GOING), answer, absent=True), 34) is None


def test_a_pod_that_is_wanted_may_be_started_anew() -> None:
    assert proof(cluster(raw_pod(), control(EMPTY)), 60) is None


def test_of_what_runs_in_a_machine_of_its_own_the_nodes_kernel_says_nothing() -> None:
    pod = raw_pod(metadata=GOING, spec={"runtimeClassName": "kata"})
    seen = POD.observe(stopping(), cluster(pod, control(EMPTY)).lister, at(60))
    assert seen.proof is None
    assert seen.workload is not None
    assert (seen.workload.pods[0].runtime_class, seen.workload.pods[0].empty_at) == ("kata", None)
    assert proof(cluster(pod, control(EMPTY), absent=True), 34) is None
    assert proof(cluster(None, control(EMPTY), absent=True), 34, stopping(known(runtimeClass="kata"))) is None
    assert len(asked(cluster(pod))) == 1, "it is killed all the same"


@pytest.mark.parametrize(
    ("answer", "reason", "words"),
    [
        (control(), "NodeComponentSilent", "has not answered"),
        (control(CANNOT), "NodeCannotKill", "this node has none"),
        (control(SLOW), "KernelDoesNotKill", "1 processes are left"),
    ],
)
def test_what_keeps_the_node_from_it_is_said(answer: Raw, reason: str, words: str) -> None:
    late = POD.observe(stopping(), cluster(raw_pod(metadata=GOING), answer).lister, at(60)).late
    assert late is not None
    assert late.reason == reason
    assert words in late.message


@pytest.mark.parametrize("reason", sorted(AT_WORK["Killed"]))
def test_a_node_that_is_not_done_yet_is_given_its_time(reason: str) -> None:
    said = {"type": "Ready", "status": "False", "reason": reason, "message": "it does what it can"}
    cache = cluster(raw_pod(spec=IN_PLACE), control({"observedGeneration": 1, "conditions": [said]}))
    assert in_place(cache, Terminate(1, PodPolicy.KEEP, at(30), by_nodes=True), 60)
    assert proof(cache, 60) is None
    late = POD.observe(stopping(), cache.lister, at(60)).late
    assert late is None or late.reason != "NodeCannotKill"
    assert {str(Outcome.KILLING), str(Outcome.HYBRID)} == AT_WORK["Killed"]


@pytest.mark.parametrize("absent", [False, True])
def test_a_word_that_is_not_the_pods_own_nodes_counts_for_nothing(absent: bool) -> None:
    forged = control(EMPTY) | {"spec": SPEC | {"nodeName": "another"}}
    cache = cluster(raw_pod(spec=IN_PLACE), forged, absent=absent)
    seen = POD.observe(stopping(), cache.lister, at(60))
    assert (seen.proof, seen.workload and seen.workload.pods[0].empty_at) == (None, None)
    assert asked(cache) == [], "its name is taken"
    assert seen.late is not None
    assert (seen.late.reason, "names node another" in seen.late.message) == ("PodControlForged", True)
    assert not in_place(cache, Terminate(1, PodPolicy.KEEP, at(30), by_nodes=True), 60) or absent, (
        "nothing is waited for"
    )
    assert proof(cluster(None, forged, absent=True), 60) is None, "by the record of it alone, too"


def test_a_word_in_another_namespace_counts_for_nothing() -> None:
    cache = cluster(raw_pod(metadata=GOING), control(EMPTY, namespace="another"))
    assert proof(cache, 60) is None
    assert len(asked(cache)) == 1


# What is kept


def test_an_older_state_changes_nothing() -> None:
    cache = cluster(None, control(EMPTY, version=7))
    assert cache.controls.put(control(version=6), at(40)) is None
    record = cache.controls.put(control(EMPTY, version=9), at(40))
    assert record is not None
    assert (record.empty_at, record.heard_at, record.asked_at) == (at(33), at(33), at(33))


def test_another_object_of_the_name_says_nothing_of_the_first() -> None:
    cache = cluster(None, control(EMPTY))
    record = cache.controls.put(control(version=9, uid="second"), at(40))
    assert record is not None
    assert (record.empty_at, record.heard_at, record.asked_at) == (None, None, at(40))
