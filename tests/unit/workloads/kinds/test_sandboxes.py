"""Sandboxes of agent-sandbox, and the claims that are bound to them."""

from typing import Any

import pytest

from agentstop.api.task import PodPolicy
from agentstop.cluster.resources import reader_of
from agentstop.lifecycle.effects import Start, Terminate
from agentstop.lifecycle.observation import Observation, Presence, Proof, Task
from agentstop.workloads.kinds.sandbox import SANDBOX_API, SANDBOX_LABEL, sandbox_selector
from agentstop.workloads.kinds.sandbox_claim import CLAIM_API
from agentstop.workloads.objects import CacheEntry, Lister, ObjectRef, PodGroup, PodsOf
from agentstop.workloads.pods.reading import read_pod
from agentstop.workloads.registry import kind_of
from agentstop.workloads.requests import Delete, Get, ListPods, LiveRead, Meaning, Patch, Request
from tests.unit.objects import NAMESPACE, Raw, at, ended, raw_pod, task, when
from tests.unit.workloads.owners import controller, raw_owner

SANDBOX_REF = ObjectRef("Sandbox", NAMESPACE, "x", SANDBOX_API)
POOLED_REF = ObjectRef("Sandbox", NAMESPACE, "pool-9", SANDBOX_API)
CLAIM_REF = ObjectRef("SandboxClaim", NAMESPACE, "x", CLAIM_API)
PODS = PodsOf(NAMESPACE, sandbox_selector("x"))
POOLED_PODS = PodsOf(NAMESPACE, sandbox_selector("pool-9"))

SPEC: Raw = {"workloadRef": {"apiVersion": SANDBOX_API, "kind": "Sandbox", "name": "x"}}
WORKLOAD: Raw = {"apiVersion": SANDBOX_API, "kind": "Sandbox", "name": "x", "uid": "sandbox-uid"}
CLAIM_SPEC: Raw = {"workloadRef": {"apiVersion": CLAIM_API, "kind": "SandboxClaim", "name": "x"}}
BOUND: Raw = {
    "apiVersion": CLAIM_API,
    "kind": "SandboxClaim",
    "name": "x",
    "uid": "claim-uid",
    "boundTo": {"apiVersion": SANDBOX_API, "kind": "Sandbox", "name": "pool-9", "uid": "pool-9-uid"},
}
ACCEPTED: Raw = {"source": "User", "acceptedAt": when(10), "signaledAt": when(10), "killAt": when(40)}
STOPPING = task(SPEC, {"phase": "Stopping", "workload": WORKLOAD, "startedAt": when(1), "stop": ACCEPTED})
CLAIM_STOPPING = task(CLAIM_SPEC, {"phase": "Stopping", "workload": BOUND, "startedAt": when(1), "stop": ACCEPTED})

HALT = Terminate(None, PodPolicy.KEEP, None)
SUSPEND: Raw = {"spec": {"operatingMode": "Suspended"}}
OVER: Raw = {"phase": "Succeeded", "containerStatuses": [ended(finished=12)]}


def condition(kind: str, reason: str, status: str = "True", **more: Any) -> Raw:
    return {"type": kind, "status": status, "reason": reason, "lastTransitionTime": when(12)} | more


DONE = condition("Suspended", "PodTerminated", observedGeneration=2)


def sandbox(mode: str, *conditions: Raw, name: str = "x", **metadata: Any) -> Raw:
    uid = "sandbox-uid" if name == "x" else f"{name}-uid"
    generation = 2 if mode == "Suspended" else 1
    status = {"conditions": list(conditions), "selector": sandbox_selector(name)}
    given: Raw = {"name": name, "uid": uid, "generation": generation}
    return raw_owner("sandbox", spec={"operatingMode": mode}, status=status, **(given | metadata))


def pod(name: str = "x", sandbox_name: str = "x", **changes: Any) -> Raw:
    uid = "sandbox-uid" if sandbox_name == "x" else f"{sandbox_name}-uid"
    label = sandbox_selector(sandbox_name).partition("=")[2]
    metadata: Raw = {
        "name": name,
        "labels": {SANDBOX_LABEL: label},
        "ownerReferences": [controller("Sandbox", sandbox_name, uid, SANDBOX_API)],
    }
    return raw_pod(metadata=metadata | changes.pop("metadata", {}), uid=f"{name}-uid", **changes)


def lister(
    *raws: Raw, pods: tuple[Raw, ...] = (), listed: float | None = 15, signaled: float | None = 10, gone: str = ""
) -> Lister:
    """What is known of sandboxes and claims, and of the pods of sandboxes; `gone` names a sandbox that is gone."""
    signal = at(signaled) if signaled is not None else None
    moment = at(listed) if listed is not None else None
    known: dict[ObjectRef, CacheEntry] = {}
    for raw in raws:
        name = raw["metadata"]["name"]
        ref = ObjectRef(raw["kind"], NAMESPACE, name, raw["apiVersion"])
        known[ref] = CacheEntry(seen=reader_of(ref)(raw), at=at(11), signaled_at=signal, absent=name == gone)
    groups = {each: PodGroup({}, moment) for each in (PODS, POOLED_PODS)}
    for raw in pods:
        seen = read_pod(raw)
        selector = f"{SANDBOX_LABEL}={raw['metadata']['labels'][SANDBOX_LABEL]}"
        groups[PodsOf(NAMESPACE, selector)].pods[seen.uid] = CacheEntry(seen=seen, at=at(11))
    return Lister(known, groups=groups)


def observe(task: Task, known: Lister, now: float = 20) -> Observation:
    return kind_of(task).observe(task, known, at(now))


def required_reads(task: Task, known: Lister, now: float = 20) -> tuple[LiveRead, ...]:
    return kind_of(task).required_reads(task, known, at(now))


def sent(task: Task, effect: Terminate | Start, known: Lister, now: float = 20) -> tuple[Request, ...]:
    return kind_of(task).plan_requests(task, effect, known, at(now))


# Sandboxes


def test_a_stop_suspends_the_sandbox_and_leaves_its_pod_alone() -> None:
    """Its controller would make a pod again that somebody deletes."""
    known = lister(sandbox("Running"), pods=(pod(),))

    assert sent(STOPPING, HALT, known) == (Patch(SANDBOX_REF, "sandbox-uid", SUSPEND, Meaning.STOP),)


def test_a_suspended_sandbox_is_proven_by_its_word_a_list_and_the_pods_end() -> None:
    over = (pod(status=OVER),)

    assert observe(STOPPING, lister(sandbox("Suspended", DONE), pods=over)).proof is Proof.ENDED
    assert observe(STOPPING, lister(sandbox("Suspended"), pods=over)).proof is None
    assert observe(STOPPING, lister(sandbox("Suspended", DONE), pods=over, listed=9)).proof is None
    assert observe(STOPPING, lister(sandbox("Suspended", DONE), pods=(pod(),))).proof is None


def test_a_word_from_a_stale_cache_is_no_proof() -> None:
    """Suspended=True can be said before the pod was seen: the list finds it."""
    known = lister(sandbox("Suspended", DONE), pods=(), listed=9)
    assert required_reads(STOPPING, known) == (ListPods(PODS),)

    assert observe(STOPPING, lister(sandbox("Suspended", DONE), pods=(pod(),))).proof is None


def test_a_word_about_an_earlier_generation_is_no_proof() -> None:
    earlier = DONE | {"observedGeneration": 1}

    assert observe(STOPPING, lister(sandbox("Suspended", earlier), pods=(pod(status=OVER),))).proof is None


def test_a_recorded_pod_that_nobody_sees_any_more_must_be_accounted_for() -> None:
    listed = WORKLOAD | {"pods": [{"name": "x", "uid": "x-uid", "node": "n", "phase": "Running"}]}
    stopping = task(SPEC, {"phase": "Stopping", "workload": listed, "stop": ACCEPTED})

    assert observe(stopping, lister(sandbox("Suspended", DONE))).proof is None


@pytest.mark.parametrize("reason", ["SandboxExpired"])
def test_expired_does_not_mean_gone(reason: str) -> None:
    expired = sandbox("Running", condition("Ready", reason, "False"))
    seen = observe(STOPPING, lister(expired, pods=(pod(),)))

    assert (seen.proof, seen.ending) == (None, None)


def test_several_pods_are_ended_one_by_one() -> None:
    several = sandbox("Suspended", condition("Ready", "MultiplePods", "False"))
    known = lister(several, pods=(pod("a"), pod("b"), pod("c", status=OVER)))
    requests = sent(STOPPING, HALT, known, 10)

    assert requests == tuple(Delete(ObjectRef("Pod", NAMESPACE, name), f"{name}-uid", None) for name in ("a", "b"))


def test_several_pods_are_not_ended_before_their_sandbox_is_suspended() -> None:
    several = sandbox("Running", condition("Ready", "MultiplePods", "False"))
    known = lister(several, pods=(pod("a"), pod("b")))

    assert sent(STOPPING, HALT, known) == (Patch(SANDBOX_REF, "sandbox-uid", SUSPEND, Meaning.STOP),)


def test_a_pod_that_is_not_the_sandboxs_is_never_touched() -> None:
    not_owned = condition("Suspended", "PodNotOwned", "False", observedGeneration=2, message="pod x is Job/y's")
    theirs = pod(metadata={"ownerReferences": []})
    known = lister(sandbox("Suspended", not_owned), pods=(theirs,))
    seen = observe(STOPPING, known, 900)

    assert sent(STOPPING, Terminate(1, PodPolicy.DELETE, at(11)), known, 900) == ()
    assert seen.proof is None
    assert seen.blocked is not None
    assert (seen.blocked.reason, "pod x is Job/y's" in seen.blocked.message) == ("PodNotOwned", True)


def test_a_sandbox_that_waits_in_a_pool_is_refused() -> None:
    pooled = sandbox("Running", ownerReferences=[controller("SandboxWarmPool", "pool", "pool-uid", CLAIM_API)])
    refused = observe(task(SPEC), lister(pooled)).refused

    assert refused is not None
    assert refused.reason == "SandboxUnclaimed"
    assert "warm pool pool" in refused.message


def test_a_sandbox_of_a_claim_may_be_a_target() -> None:
    claimed = sandbox("Running", ownerReferences=[controller("SandboxClaim", "c", "c-uid", CLAIM_API)])

    assert observe(task(SPEC), lister(claimed)).refused is None


def test_the_end_of_a_finished_sandbox_is_taken_before_it_is_suspended() -> None:
    finished = sandbox("Running", condition("Finished", "PodSucceeded"))
    seen = observe(task(SPEC), lister(finished, pods=(pod(status=OVER),), signaled=None))

    assert seen.ending is not None
    assert (seen.ending.succeeded, seen.ending.by_stop) == (True, False)
    assert seen.workload is not None
    assert [end.exit_code for each in seen.workload.pods for end in each.containers] == [0]


def test_a_resume_sets_it_running_as_it_was_seen() -> None:
    (patch,) = sent(STOPPING, Start(), lister(sandbox("Suspended", DONE)))

    body = {"spec": {"operatingMode": "Running"}}
    assert patch == Patch(SANDBOX_REF, "sandbox-uid", body, Meaning.RESUME, "55")


# Claims


HELD = sandbox("Running", name="pool-9", ownerReferences=[controller("SandboxClaim", "x", "claim-uid", CLAIM_API)])
CLAIM = raw_owner("claim")


def test_a_claim_that_is_not_bound_yet_waits() -> None:
    unbound = raw_owner("claim", status={"sandbox": None}, annotations={})
    seen = observe(task(CLAIM_SPEC), lister(unbound))

    assert seen.presence is Presence.PRESENT
    assert seen.waiting is not None
    assert seen.waiting.reason == "ClaimNotBound"
    assert seen.workload is not None
    assert seen.workload.bound_to is None


def test_a_claims_sandbox_is_read_with_it() -> None:
    assert required_reads(task(CLAIM_SPEC), Lister()) == (Get(CLAIM_REF),)
    assert required_reads(task(CLAIM_SPEC), lister(CLAIM)) == (Get(POOLED_REF),)
    assert kind_of(task(CLAIM_SPEC)).watches(task(CLAIM_SPEC), lister(CLAIM)) == (CLAIM_REF, POOLED_REF)


def test_what_a_claim_is_bound_to_is_on_record() -> None:
    seen = observe(task(CLAIM_SPEC), lister(CLAIM, HELD, pods=(pod("pool-9", "pool-9"),)))

    assert seen.workload is not None
    assert (seen.workload.kind, seen.workload.uid) == ("SandboxClaim", "claim-uid")
    assert seen.workload.bound_to is not None
    assert (seen.workload.bound_to.name, seen.workload.bound_to.uid) == ("pool-9", "pool-9-uid")
    assert [each.name for each in seen.workload.pods] == ["pool-9"]
    assert seen.active


def test_a_stop_of_a_claim_suspends_its_sandbox() -> None:
    assert sent(CLAIM_STOPPING, HALT, lister(CLAIM, HELD)) == (Patch(POOLED_REF, "pool-9-uid", SUSPEND, Meaning.STOP),)


@pytest.mark.parametrize(
    "owners",
    [[], [controller("SandboxClaim", "another", "another-uid", CLAIM_API)]],
    ids=["nobody's", "another claim's"],
)
def test_a_sandbox_that_is_not_the_claims_is_never_touched(owners: list[Raw]) -> None:
    fresh = task(CLAIM_SPEC, {"phase": "Stopping", "workload": BOUND | {"boundTo": None}, "stop": ACCEPTED})
    other = sandbox("Running", name="pool-9", ownerReferences=owners)

    assert sent(fresh, HALT, lister(CLAIM, other)) == ()


def test_a_sandbox_on_record_is_the_claims_though_its_owner_was_wiped() -> None:
    wiped = sandbox("Running", name="pool-9", ownerReferences=[])

    assert [type(each) for each in sent(CLAIM_STOPPING, HALT, lister(CLAIM, wiped))] == [Patch]


def test_a_claim_that_is_bound_anew_is_stopped_there_too() -> None:
    anew = raw_owner("claim", status={"sandbox": {"name": "x"}})
    mine = sandbox("Running", ownerReferences=[controller("SandboxClaim", "x", "claim-uid", CLAIM_API)])
    suspended = sandbox("Suspended", DONE, name="pool-9")
    known = lister(anew, suspended, mine, pods=(pod("pool-9", "pool-9", status=OVER),))

    assert sent(CLAIM_STOPPING, HALT, known) == (Patch(SANDBOX_REF, "sandbox-uid", SUSPEND, Meaning.STOP),)
    assert observe(CLAIM_STOPPING, known).proof is None


def test_a_claim_is_read_again_with_the_last_list() -> None:
    suspended = sandbox("Suspended", DONE, name="pool-9")
    known = lister(CLAIM, suspended, pods=(pod("pool-9", "pool-9", status=OVER),), listed=9)

    assert required_reads(CLAIM_STOPPING, known) == (ListPods(POOLED_PODS), Get(CLAIM_REF))


def test_a_claim_that_is_gone_leaves_its_sandbox_to_be_proven() -> None:
    suspended = sandbox("Suspended", DONE, name="pool-9")
    lives = lister(CLAIM, suspended, pods=(pod("pool-9", "pool-9"),), gone="x")
    ended_too = lister(CLAIM, suspended, pods=(pod("pool-9", "pool-9", status=OVER),), gone="x")

    assert observe(CLAIM_STOPPING, lives).proof is None
    assert observe(CLAIM_STOPPING, ended_too).proof is Proof.ENDED


def test_a_sandbox_that_was_deleted_with_its_pods_is_proven_by_them() -> None:
    known = lister(CLAIM, HELD, pods=(pod("pool-9", "pool-9", status=OVER),), gone="pool-9")

    assert observe(CLAIM_STOPPING, known).proof is Proof.ENDED
