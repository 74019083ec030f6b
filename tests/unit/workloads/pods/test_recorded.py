"""Pods that went while no operator looked: their own grace period is on record, and what is waited for is said."""

from datetime import timedelta

import pytest

from agentstop.api.workload_status import PodEvidence
from agentstop.lifecycle.observation import Observation, Proof
from agentstop.workloads.kinds.pod import POD
from agentstop.workloads.objects import CacheEntry, Lister, ObjectRef, PodGroup
from agentstop.workloads.pods.lateness import next_look
from agentstop.workloads.pods.node import SETTLING, SILENCE, NodeRecord
from agentstop.workloads.pods.recorded import grace_on_record
from tests.unit.objects import NOW, POD_REF, POD_UID, Raw, at, pod, raw_pod, running, task, when
from tests.unit.workloads.adopted import SPEC, WORKLOAD, observe
from tests.unit.workloads.owners import JOB_PODS, JOB_REF

NODE_REF = ObjectRef("Node", "", "n")
RUNS: Raw = {"name": "main", "startedAt": when(-5)}


def alive(read_at: float) -> CacheEntry:
    """A node that answers, and whose kubelet does not report more often than one has to."""
    seen = NodeRecord(
        name="n", uid="n", ready=True, ready_since=at(-900), out_of_service=False, boot_id=None, heartbeat_at=None
    )
    return CacheEntry(seen=seen, at=at(read_at))


def evidence(grace: int | None) -> Raw:
    found: Raw = {"name": "x", "uid": POD_UID, "node": "n", "phase": "Running", "containers": [RUNS]}
    return found | ({"gracePeriodSeconds": grace} if grace is not None else {})


def of_a_pod(grace: int | None, now: float) -> Observation:
    """What is seen of a pod that was gone when the operator came back, and has to be ended now."""
    known = {"apiVersion": "v1", "kind": "Pod", "name": "x", "uid": POD_UID, "pods": [evidence(grace)]}
    stop = {"source": "Deletion", "acceptedAt": when(0)}
    absent = CacheEntry(seen=None, absent=True, at=NOW)
    lister = Lister({POD_REF: absent, NODE_REF: alive(now)})
    return POD.observe(task(None, {"phase": "Stopping", "workload": known, "stop": stop}), lister, at(now))


def of_a_job(grace: int | None, now: float) -> Observation:
    """The same of a Job's pod, the Job being gone as well."""
    known = WORKLOAD | {"pods": [evidence(grace)], "selector": JOB_PODS.selector}
    stop = {"source": "Deletion", "acceptedAt": when(0)}
    absent = CacheEntry(seen=None, absent=True, at=NOW)
    group = PodGroup({POD_UID: absent}, listed_at=at(1))
    lister = Lister({JOB_REF: absent, NODE_REF: alive(now)}, groups={JOB_PODS: group})
    stopping = task(SPEC, {"phase": "Stopping", "workload": known, "startedAt": when(-5), "stop": stop})
    return observe(stopping, lister, now)


def test_a_pods_own_grace_period_is_on_record_unless_it_is_kubernetes_own() -> None:
    for grace, on_record in ((30, None), (5, 5), (0, 0), (300, 300)):
        seen = pod(spec={"terminationGracePeriodSeconds": grace}, status={"containerStatuses": [running()]})
        assert seen.evidence().grace_period_seconds == on_record
    assert raw_pod()["spec"].get("terminationGracePeriodSeconds", 30) == 30


@pytest.mark.parametrize(("on_record", "seconds"), [(None, 30), (5, 5), (0, 2), (1, 2), (300, 300)])
def test_what_is_on_record_is_what_a_kubelet_leaves(on_record: int | None, seconds: int) -> None:
    found = PodEvidence(name="x", uid="u", grace_period_seconds=on_record)
    assert grace_on_record(found) == timedelta(seconds=seconds)


@pytest.mark.parametrize("seen_of", [of_a_pod, of_a_job])
@pytest.mark.parametrize(("grace", "over"), [(5, 65), (None, 90), (300, 360)])
def test_nothing_is_proven_before_its_own_grace_period_is_over(seen_of: object, grace: int | None, over: int) -> None:
    """It may have been removed by force in the moment before the operator came back."""
    assert callable(seen_of)
    assert seen_of(grace, over - 1).proof is None
    assert seen_of(grace, over + 1).proof is Proof.GONE


@pytest.mark.parametrize("seen_of", [of_a_pod, of_a_job])
def test_what_is_waited_for_is_said_and_looked_at_when_it_can_come(seen_of: object) -> None:
    assert callable(seen_of)
    seen = seen_of(5, 1)
    assert seen.late is not None
    assert seen.late.reason == "AwaitingNode"
    assert "went while no operator looked" in seen.late.message
    assert f"node n has to answer until {at(65):%H:%M:%S} UTC" in seen.late.message
    assert seen.look_again_at == at(15)
    assert seen_of(5, 20).look_again_at == at(30)
    assert seen_of(5, 60).look_again_at == at(65)


def test_a_node_is_read_again_until_it_proves_it() -> None:
    due = at(5)
    assert next_look(due, at(0)) == due + SETTLING
    assert next_look(due, due + SETTLING + SILENCE) is None


def test_the_stop_is_not_called_overdue_by_kubernetes_grace_period() -> None:
    assert of_a_pod(300, 1).own_grace_seconds == 300
