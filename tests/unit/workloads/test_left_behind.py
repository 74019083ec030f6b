"""Workloads that are gone: the pods that they left behind are found, and so is what goes on making them."""

from typing import Any

import pytest

from agentstop.lifecycle.observation import Proof
from agentstop.workloads.controlled.record import read_owner
from agentstop.workloads.kinds.sandbox import SANDBOX_API, sandbox_selector
from agentstop.workloads.kinds.sandbox_claim import CLAIM_API
from agentstop.workloads.kinds.scalable import read_scaled
from agentstop.workloads.objects import CacheEntry, Lister, ObjectRef, PodGroup, PodsOf
from agentstop.workloads.pods.reading import read_pod
from agentstop.workloads.requests import Delete, Get, GetPod, ListPods, Meaning, Patch
from tests.unit.objects import NAMESPACE, Raw, at, raw_pod, task, when

from .adopted import ACCEPTED, DEPLOYMENT_PODS, DEPLOYMENT_REF, HALT, OVER, observe, required_reads, sent
from .owners import controller, raw_owner

SET_REF = ObjectRef("ReplicaSet", NAMESPACE, "x-1", "apps/v1")
DEPLOYMENT = controller("Deployment", "x", "deployment-uid", "apps/v1")
SET = controller("ReplicaSet", "x-1", "set-uid", "apps/v1")

SPEC: Raw = {"workloadRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "x"}}
LISTED: Raw = {"name": "a", "uid": "a-uid", "node": "n", "phase": "Running"}
WORKLOAD: Raw = {
    "apiVersion": "apps/v1",
    "kind": "Deployment",
    "name": "x",
    "uid": "deployment-uid",
    "selector": DEPLOYMENT_PODS.selector,
    "pods": [LISTED],
    "podCount": 1,
}
RUNNING = task(SPEC, {"phase": "Running", "workload": WORKLOAD, "startedAt": when(1)})
STOPPING = task(SPEC, {"phase": "Stopping", "workload": WORKLOAD, "startedAt": when(1), "stop": ACCEPTED})


def set_pod(name: str, **changes: Any) -> Raw:
    metadata: Raw = {"name": name, "labels": {"app": "x"}, "ownerReferences": [SET]}
    return raw_pod(metadata=metadata, uid=f"{name}-uid", **changes)


def raw_set(*owners: Raw, uid: str = "set-uid", replicas: int = 2) -> Raw:
    return raw_owner(
        "deployment",
        scale={
            "spec": {"replicas": replicas},
            "status": {"replicas": replicas, "selector": "app=x,pod-template-hash=1"},
        },
        name="x-1",
        uid=uid,
        ownerReferences=list(owners),
    )


def lister(*pods: Raw, left: Raw | None = None, gone: bool = False, listed: float | None = 15) -> Lister:
    """The Deployment is gone, and was never seen; `left` is its ReplicaSet, which may be `gone`, too."""
    known = {DEPLOYMENT_REF: CacheEntry(seen=None, absent=True, at=at(11))}
    if left is not None:
        known[SET_REF] = CacheEntry(seen=read_scaled(left), absent=gone, at=at(11))
    read = [read_pod(each) for each in pods]
    group = PodGroup({each.uid: CacheEntry(seen=each, at=at(11)) for each in read}, at(listed) if listed else None)
    return Lister(known, groups={DEPLOYMENT_PODS: group})


# Pods


def test_pods_of_what_is_gone_are_looked_for_before_it_is_called_lost() -> None:
    unlisted = lister(listed=None)

    assert GetPod(ObjectRef("Pod", NAMESPACE, "a"), "a-uid", DEPLOYMENT_PODS) in required_reads(RUNNING, unlisted)
    assert ListPods(DEPLOYMENT_PODS) in required_reads(RUNNING, unlisted)
    assert observe(RUNNING, unlisted).ending is None


@pytest.mark.parametrize(
    "known",
    [
        pytest.param(lister(set_pod("a"), left=raw_set(), gone=True), id="a pod lives"),
        pytest.param(lister(set_pod("a", status=OVER), left=raw_set(), gone=True, listed=9), id="the list is older"),
        pytest.param(lister(set_pod("b", status=OVER), left=raw_set(), gone=True), id="one on record was not found"),
        pytest.param(lister(set_pod("a", status=OVER), set_pod("b")), id="nobody knows yet whose another one is"),
    ],
)
def test_what_is_gone_is_not_lost_while(known: Lister) -> None:
    assert observe(RUNNING, known).ending is None


def test_what_is_gone_with_all_its_pods_is_lost() -> None:
    ending = observe(RUNNING, lister(set_pod("a", status=OVER), left=raw_set(), gone=True)).ending

    assert ending is not None
    assert (ending.word.reason, "Deployment x" in ending.word.message) == ("WorkloadLost", True)


# Controllers


def test_a_controller_in_between_is_read_once_what_it_belonged_to_is_gone() -> None:
    assert required_reads(RUNNING, lister(set_pod("a"))) == (Get(SET_REF),)


@pytest.mark.parametrize("owners", [[], [DEPLOYMENT]], ids=["orphaned", "not yet collected"])
def test_it_is_halted_in_its_place(owners: list[Raw]) -> None:
    known = lister(set_pod("a"), set_pod("b"), left=raw_set(*owners))

    scaled = {"spec": {"replicas": 0}}
    assert sent(STOPPING, HALT, known) == (Patch(SET_REF, "set-uid", scaled, Meaning.STOP, scale=True),)
    workload = observe(STOPPING, known).workload
    assert workload is not None
    assert [each.name for each in workload.pods] == ["a", "b"]


def test_nothing_is_over_while_it_may_make_pods() -> None:
    ended = (set_pod("a", status=OVER),)
    halted = raw_set(replicas=0)

    assert observe(RUNNING, lister(*ended, left=raw_set())).ending is None
    assert observe(STOPPING, lister(*ended, left=raw_set())).proof is None
    assert observe(STOPPING, lister(*ended, left=halted)).proof is Proof.ENDED


def test_a_controller_that_is_gone_too_or_another_one_is_not_touched() -> None:
    another = lister(set_pod("a"), left=raw_set(uid="another-uid"))
    away = lister(set_pod("a"), left=raw_set(), gone=True)

    delete = Delete(ObjectRef("Pod", NAMESPACE, "a"), "a-uid", None)
    assert sent(STOPPING, HALT, another) == sent(STOPPING, HALT, away) == (delete,)


def test_a_controller_that_somebody_has_taken_over_is_left_alone() -> None:
    """A new Deployment with the same selector adopts the ReplicaSet that the former one left behind."""
    successor = controller("Deployment", "x", "another-uid", "apps/v1")
    known = lister(set_pod("a"), left=raw_set(successor))

    assert sent(STOPPING, HALT, known) == (Delete(ObjectRef("Pod", NAMESPACE, "a"), "a-uid", None),)


# Claims

CLAIM_REF = ObjectRef("SandboxClaim", NAMESPACE, "x", CLAIM_API)
BOX_REF = ObjectRef("Sandbox", NAMESPACE, "pool-9", SANDBOX_API)
BOX_PODS = PodsOf(NAMESPACE, sandbox_selector("pool-9"))


@pytest.mark.parametrize("seen", [None, read_owner(raw_owner("sandbox", uid="another-uid"))], ids=["none", "another"])
def test_the_pods_of_a_claims_former_sandbox_are_on_record(seen: Any) -> None:
    workload = {
        "apiVersion": CLAIM_API,
        "kind": "SandboxClaim",
        "name": "x",
        "uid": "claim-uid",
        "boundTo": {"apiVersion": SANDBOX_API, "kind": "Sandbox", "name": "pool-9", "uid": "pool-9-uid"},
        "selector": BOX_PODS.selector,
        "pods": [LISTED],
    }
    spec = {"workloadRef": {"apiVersion": CLAIM_API, "kind": "SandboxClaim", "name": "x"}}
    stopping = task(spec, {"phase": "Stopping", "workload": workload, "startedAt": when(1), "stop": ACCEPTED})
    gone = CacheEntry(seen=None, absent=True, at=at(11))
    known = {CLAIM_REF: gone, BOX_REF: CacheEntry(seen=seen, absent=seen is None, at=at(11))}
    box = controller("Sandbox", "pool-9", "pool-9-uid", SANDBOX_API)

    def found(**changes: Any) -> Lister:
        pod = read_pod(raw_pod(metadata={"name": "a", "ownerReferences": [box]}, uid="a-uid", **changes))
        return Lister(known, groups={BOX_PODS: PodGroup({"a-uid": CacheEntry(seen=pod, at=at(11))}, at(15))})

    assert observe(stopping, Lister(known)).proof is None
    assert observe(stopping, found()).proof is None
    assert observe(stopping, found(status=OVER)).proof is Proof.ENDED
    assert sent(stopping, HALT, found()) == (Delete(ObjectRef("Pod", NAMESPACE, "a"), "a-uid", None),)
