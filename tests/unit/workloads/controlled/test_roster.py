"""All pods of a large workload on record, in a form that stays small."""

import json
from dataclasses import replace
from uuid import UUID

import pytest

from agentstop.api.workload_status import MAX_LISTED_PODS, MAX_OTHER_PODS, PodEvidence, WorkloadStatus
from agentstop.lifecycle.observation import Task
from agentstop.workloads.controlled.roster import LeftPod, known_pods, missing, other_pods, restored, shortened
from agentstop.workloads.kinds.scalable import read_scaled
from agentstop.workloads.objects import CacheEntry, Lister, PodGroup
from agentstop.workloads.pods.reading import read_pod
from agentstop.workloads.pods.recorded import may_be_starting
from agentstop.workloads.requests import FindPods, ListPods
from tests.unit.objects import Raw, at, raw_pod, task, when
from tests.unit.workloads.adopted import ACCEPTED, DEPLOYMENT_PODS, DEPLOYMENT_REF, observe, required_reads
from tests.unit.workloads.owners import controller, raw_owner

UID = "532e67e6-f461-4911-a9c1-640a9afdba61"
SPEC: Raw = {"workloadRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "x"}}
OWNER = controller("Deployment", "x", "deployment-uid", "apps/v1")


def uid_of(number: int) -> str:
    return str(UUID(int=number))


@pytest.mark.parametrize("uid", [UID, UID.upper(), "job-uid", "x", "AAAAAAAAAAAAAAAAAAAAAA", "=x", ""])
def test_a_uid_is_what_it_was(uid: str) -> None:
    assert restored(shortened(uid)) == uid


def test_a_uid_takes_22_characters() -> None:
    assert len(shortened(UID)) == 22
    assert restored("$$$$$$$$$$$$$$$$$$$$$$") == "$$$$$$$$$$$$$$$$$$$$$$"


def test_pods_are_recorded_by_their_nodes_without_those_that_are_shown() -> None:
    left = [("n", True, UID), (None, False, "b"), ("n", True, "c"), ("n", False, "d"), ("m", True, "shown")]
    found, count = other_pods((LeftPod(*each) for each in left), {"shown"})

    assert count == 4
    uids = {(each.node, each.started): [restored(uid) for uid in each.uids] for each in found}
    assert uids == {(None, None): ["b"], ("n", None): ["d"], ("n", True): [UID, "c"]}
    known = list(known_pods(WorkloadStatus(api_version="v1", kind="X", name="x", uid="u", other_pods=found)))
    assert {(each.name, each.node, each.uid) for each in known} == {("", node, uid) for node, _, uid in left[:4]}
    assert {each.uid for each in known if may_be_starting(each) is None} == {UID, "c"}


def test_a_status_has_room_for_thousands() -> None:
    left = (LeftPod("some-node-of-a-cloud.internal", True, uid_of(each)) for each in range(10_000))
    found, count = other_pods(left, ())

    assert count == 10_000
    assert sum(len(each.uids) for each in found) == MAX_OTHER_PODS
    assert len(json.dumps([each.wire() for each in found])) < 120_000


def test_what_has_no_room_is_missed_until_it_is_known_again() -> None:
    found, count = other_pods((LeftPod("n", True, uid_of(each)) for each in range(MAX_OTHER_PODS + 3)), ())
    status = WorkloadStatus(api_version="v1", kind="X", name="x", uid="u", other_pods=found, other_pod_count=count)

    assert missing(status, ()) == 3
    assert missing(status, [uid_of(each) for each in range(MAX_OTHER_PODS)]) == 3
    assert missing(status, [uid_of(each) for each in range(MAX_OTHER_PODS + 2)]) == 1
    assert missing(status, [uid_of(each) for each in range(MAX_OTHER_PODS + 3)]) == 0
    assert missing(None, ()) == 0


# A Deployment of 36


def stopping(*others: str, count: int | None = None) -> Task:
    shown = [PodEvidence(name="p", uid="p-uid", node="n", phase="Succeeded").wire()]
    workload: Raw = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "name": "x",
        "uid": "deployment-uid",
        "selector": DEPLOYMENT_PODS.selector,
        "pods": shown,
        "podCount": 36,
        "otherPods": [{"node": "n", "uids": [shortened(each) for each in others]}],
        "otherPodCount": len(others) if count is None else count,
    }
    return task(SPEC, {"phase": "Stopping", "workload": workload, "startedAt": when(1), "stop": ACCEPTED})


def lister(*pods: Raw, lost: tuple[str, ...] = ()) -> Lister:
    """The Deployment is at 0, and its pods were listed after that: these are all that were found."""
    nothing = {"spec": {"replicas": 0}, "status": {"replicas": 0, "selector": DEPLOYMENT_PODS.selector}}
    seen = read_scaled(raw_owner("deployment", scale=nothing))
    known = {DEPLOYMENT_REF: CacheEntry(seen=seen, at=at(30), signaled_at=at(10))}
    read = [read_pod(each) for each in pods]
    group = PodGroup({each.uid: CacheEntry(seen=each, at=at(30)) for each in read}, at(900))
    group.pods |= {uid: CacheEntry(seen=None, absent=True, at=at(30)) for uid in lost}
    return Lister(known, groups={DEPLOYMENT_PODS: group})


def pod(uid: str) -> Raw:
    return raw_pod(metadata={"name": "hidden", "labels": {}, "ownerReferences": []}, uid=uid)


def test_a_pod_of_which_only_the_uid_is_known_is_looked_for_everywhere() -> None:
    found = required_reads(stopping(UID), lister(), 901)

    assert FindPods(DEPLOYMENT_PODS, (UID,)) in found
    assert observe(stopping(UID), lister(), 901).proof is None


def test_it_is_looked_for_only_where_no_list_shows_it() -> None:
    assert not [each for each in required_reads(stopping(UID), lister(pod(UID)), 901) if isinstance(each, FindPods)]
    assert not [each for each in required_reads(stopping(), lister(), 901) if isinstance(each, FindPods)]


def test_it_is_the_workloads_though_nothing_on_it_says_so() -> None:
    seen = observe(stopping(UID), lister(pod(UID)), 901)

    assert (seen.proof, seen.active) == (None, True)
    assert seen.workload is not None
    assert [each.uid for each in seen.workload.pods] == [UID, "p-uid"]


def test_nothing_is_proven_while_pods_are_missing() -> None:
    seen = observe(stopping(count=2), lister(), 901)

    assert seen.proof is None
    assert seen.blocked is not None
    assert seen.blocked.reason == "PodsUnknown"
    assert "2 pods of Deployment x" in seen.blocked.message


def test_what_is_missing_stays_missed_in_the_next_status() -> None:
    workload = observe(stopping(count=2), lister(), 901).workload

    assert workload is not None
    assert workload.other_pod_count == 2


def test_what_is_shown_is_not_recorded_twice_and_what_runs_is_not_forgotten() -> None:
    pods = [
        raw_pod(metadata={"name": f"p{each}", "labels": {"app": "x"}, "ownerReferences": [OWNER]}, uid=uid_of(each))
        for each in range(36)
    ]
    workload = observe(stopping(), lister(*pods), 901).workload

    assert workload is not None
    assert len(workload.pods) == MAX_LISTED_PODS
    uids = {each.uid for each in known_pods(workload)}
    assert {uid_of(each) for each in range(36)} <= uids
    assert workload.other_pod_count == 4
    assert ListPods(DEPLOYMENT_PODS) not in required_reads(stopping(), lister(*pods), 901)


@pytest.mark.parametrize("phase", ["Pending", "Running"])
def test_whether_it_was_started_is_on_record_as_well(phase: str) -> None:
    pods = [
        raw_pod(
            metadata={"name": f"p{each}", "labels": {"app": "x"}, "ownerReferences": [OWNER]},
            spec={"nodeName": "n"},
            status={"phase": phase},
            uid=uid_of(each),
        )
        for each in range(MAX_LISTED_PODS + 4)
    ]
    before = observe(stopping(), lister(*pods), 901).workload
    assert before is not None
    others = [each for each in known_pods(before) if not each.name]
    assert [may_be_starting(each) is None for each in others] == [phase == "Running"] * 4

    known = stopping()
    gone = replace(known, status=known.status.but(workload=before.but(pods=())))
    after = observe(gone, lister(lost=tuple(each.uid for each in others)), 901).workload
    assert after is not None
    assert [each for each in known_pods(after) if not each.name] == others


def test_a_pod_that_is_gone_stays_on_record_until_its_node_says_so() -> None:
    workload = observe(stopping(UID), lister(lost=(UID,)), 901).workload

    assert workload is not None
    assert [each.uid for each in known_pods(workload) if not each.name] == [UID]
