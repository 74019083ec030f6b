"""What a stop does with the pod object, where an order and the task say different things."""

from dataclasses import replace
from datetime import datetime

import pytest

from agentstop.api.task import Phase, PodPolicy
from agentstop.api.workload_status import WorkloadStatus
from agentstop.lifecycle.decide import decide
from agentstop.lifecycle.decision import DecisionInput
from agentstop.lifecycle.effects import DeleteObject, RemoveFinalizer, Terminate
from agentstop.lifecycle.family import ALONE, Family, Inherited, family_of
from agentstop.lifecycle.observation import KeptPod, Observation, Presence, Proof, Reason, Task
from agentstop.lifecycle.orders import FREE, Ordered, OrderEffect
from agentstop.workloads.kinds.pod import POD as POD_KIND
from agentstop.workloads.requests import Delete
from tests.unit.lifecycle.test_family import TaskTree, member
from tests.unit.objects import NOW, POD_REF, POD_UID, Raw, at, ended, entry, lister, pod, task, when

KEEP, AFTER, DELETE = PodPolicy
KNOWN = WorkloadStatus(api_version="v1", kind="Pod", name="x", uid=POD_UID)
POD = KeptPod("x", POD_UID, "default", None, None)
RUNS = Observation(presence=Presence.PRESENT, started_at=NOW, active=True)


def ordered(policy: PodPolicy | None) -> OrderEffect:
    return OrderEffect(stop=Ordered("StopOrder", "o", "u", "jane", None, None, None, policy))


def one(own: str | None = None, *, asked: bool = False, on_record: str | None = None) -> Task:
    spec: Raw = {"podTemplate": {}, "stopRequested": asked} | ({"stop": {"podPolicy": own}} if own else {})
    stop: Raw = {"source": "StopOrder", "order": {"kind": "StopOrder", "name": "o"}, "acceptedAt": when(0)}
    stop |= {"podPolicy": on_record} if on_record else {}
    return task(spec, {"phase": "Stopping", "attempts": 1, "stop": stop} if on_record else None)


def halted(
    each: Task,
    order_effect: OrderEffect = FREE,
    family: Family = ALONE,
    now: datetime = NOW,
    seen: Observation = RUNS,
) -> Terminate:
    (effect,) = decide(each, seen, now, family, order_effect).effects
    assert isinstance(effect, Terminate)
    return effect


@pytest.mark.parametrize(
    ("order", "own", "asked", "policy"),
    [
        (None, None, False, KEEP),
        (None, "Delete", False, DELETE),
        (DELETE, None, False, DELETE),
        (DELETE, "Keep", False, DELETE),
        (DELETE, "Keep", True, DELETE),
        (KEEP, "Delete", False, KEEP),
        (KEEP, "Delete", True, DELETE),
        (KEEP, None, False, KEEP),
    ],
)
def test_what_an_order_says_counts_for_the_stop_that_it_causes(
    order: PodPolicy | None, own: str | None, asked: bool, policy: PodPolicy
) -> None:
    """What a task says for itself beforehand neither weakens nor overrides it; a stop of its own may delete, too."""
    assert halted(one(own, asked=asked), ordered(order)).policy is policy


@pytest.mark.parametrize(
    ("on_record", "later", "own", "policy"),
    [
        ("Delete", None, "Keep", DELETE),
        ("Delete", KEEP, "Keep", DELETE),
        ("Keep", None, "Delete", KEEP),
        ("Keep", DELETE, None, DELETE),
    ],
)
def test_it_stands_when_the_order_is_gone_and_a_later_one_makes_it_only_stricter(
    on_record: str, later: PodPolicy | None, own: str | None, policy: PodPolicy
) -> None:
    order_effect = ordered(later) if later else FREE
    each = one(own, on_record=on_record)
    assert halted(each, order_effect).policy is policy
    status = decide(each, RUNS, at(1), ALONE, order_effect).status
    assert status.stop is not None
    assert status.stop.pod_policy is policy


def test_where_no_order_says_it_none_is_on_record() -> None:
    status = decide(one("Delete", asked=True), RUNS, NOW).status
    assert status.stop is not None
    assert status.stop.pod_policy is None


def test_the_stop_of_a_parent_takes_the_pods_below_it_along() -> None:
    """Through a generation that does not match the order, and where the order is gone."""
    stop: Raw = {"source": "StopOrder", "acceptedAt": when(0), "podPolicy": "Delete"}
    top = member("top", None, None, {"phase": "Stopping", "attempts": 1, "stop": stop})
    tree = TaskTree(top, member("child", "top", {"stop": {"podPolicy": "Keep"}}))
    family = tree.family("child")
    assert family.stop is not None
    assert family.stop.pod_policy is DELETE
    assert halted(tree.tasks["child"], family=family).policy is DELETE
    status = decide(tree.tasks["child"], RUNS, NOW, family).status.wire()
    tree.tasks["child"] = member("child", "top", None, status)
    below = TaskTree(tree.tasks["child"], member("grandchild", "child"), absent=["top"])
    inherited = family_of(member("grandchild", "child"), below).stop
    assert isinstance(inherited, Inherited)
    assert inherited.pod_policy is DELETE


@pytest.mark.parametrize(
    ("order", "own", "policy"), [(AFTER, "Keep", AFTER), (AFTER, "Delete", DELETE), (KEEP, "DeleteAfterProof", AFTER)]
)
def test_the_stricter_of_an_order_and_a_stop_counts(order: PodPolicy, own: str, policy: PodPolicy) -> None:
    case = DecisionInput(one(own, asked=True), RUNS, NOW, order_effect=ordered(order))
    assert case.pod_policy is policy


def test_the_proof_is_on_record_before_the_pod_is_deleted() -> None:
    """In place first; the status with the evidence; then the deletion, for as long as it takes; then the end of it."""
    each = one("DeleteAfterProof", asked=True)
    assert halted(each).policy is KEEP
    kept = replace(RUNS, proof=Proof.ENDED, active=False, halted=True, workload=KNOWN, kept=(POD,))
    decision = decide(each, kept, NOW)
    (first,) = decision.effects
    assert isinstance(first, Terminate)
    assert (first.policy, decision.status.phase, decision.wake_at) == (KEEP, Phase.STOPPED, NOW)
    assert decision.status.stop is not None
    assert [each.ended_by for each in decision.status.stop.remains or ()] == [
        "deletion of the pod by the operator, which comes next"
    ]
    over = replace(each, status=decision.status)
    assert halted(replace(over, unwritable=Reason("StatusNotWritable", "")), seen=kept).policy is KEEP
    assert halted(over, seen=kept).policy is DELETE
    again = decide(over, kept, at(1)).wake_at
    assert again is not None
    assert again > at(1)
    after = decide(over, replace(kept, kept=()), at(1))
    assert (after.status.stop is not None and after.status.stop.remains, after.wake_at) == (None, None)


def test_a_task_outlives_its_pod_that_is_to_go() -> None:
    """Nothing else tells an operator that starts just then what there is to be done."""
    stop: Raw = {"source": "User", "acceptedAt": when(0), "confirmedAt": when(1)}
    spec: Raw = {"podTemplate": {}, "stopRequested": True, "ttlSecondsAfterFinished": 0}
    status: Raw = {"phase": "Stopped", "finishedAt": when(1), "attempts": 1, "stop": stop}
    kept = replace(RUNS, proof=Proof.ENDED, workload=KNOWN, kept=(POD,))
    for policy, goes in (("DeleteAfterProof", False), ("Keep", True)):
        over = task({**spec, "stop": {"podPolicy": policy}}, status, finalizers=["agentstop.dev/stop"])
        assert bool(decide(over, kept, at(9)).afterwards) is goes
        assert decide(over, replace(kept, kept=()), at(9)).afterwards == (RemoveFinalizer(), DeleteObject())


def test_without_a_proof_nothing_is_deleted() -> None:
    stop: Raw = {"source": "User", "acceptedAt": when(0), "confirmedAt": when(1), "verdict": "Unverified"}
    status: Raw = {"phase": "Stopped", "finishedAt": when(1), "attempts": 1, "stop": stop}
    over = task({"podTemplate": {}, "stopRequested": True, "stop": {"podPolicy": "DeleteAfterProof"}}, status)
    silent = pod(spec={"activeDeadlineSeconds": 1})
    assert POD_KIND.plan_requests(over, halted(over), lister(entry(silent)), at(9)) == ()
    late = pod(spec={"activeDeadlineSeconds": 1}, status={"phase": "Failed", "containerStatuses": [ended()]})
    assert POD_KIND.plan_requests(over, halted(over), lister(entry(late)), at(9)) == (
        Delete(POD_REF, POD_UID, None, ends_processes=False),
    )


def test_what_is_found_running_after_the_end_is_deleted_too() -> None:
    stop: Raw = {"source": "StopOrder", "acceptedAt": when(0), "confirmedAt": when(1), "podPolicy": "Delete"}
    over = task({"podTemplate": {}}, {"phase": "Stopped", "finishedAt": when(1), "attempts": 1, "stop": stop})
    assert DecisionInput(over, RUNS, NOW).pod_policy is DELETE
    assert halted(over).policy is DELETE
