"""Pods that a controller counts, and that no list shows."""

import pytest

from agentstop.cluster.object_store import ObjectStore
from agentstop.lifecycle.observation import Proof
from tests.unit.objects import NOW, Raw, at, ended, task, when
from tests.unit.workloads.adopted import SPEC, WORKLOAD, observe
from tests.unit.workloads.owners import JOB_PODS, JOB_REF, job_pod, suspended_job

STOP: Raw = {"source": "User", "acceptedAt": when(0), "signaledAt": when(1), "killAt": when(31)}
LATER = 100


def store_of(terminating: int, *pods: Raw) -> ObjectStore:
    store = ObjectStore()
    job = suspended_job()
    job["status"]["terminating"] = terminating
    store.see(JOB_REF, job, NOW)
    for raw in pods:
        store.see_member(JOB_PODS, raw, NOW)
    store.list_pods(JOB_PODS, [], at(LATER))
    return store


@pytest.mark.parametrize(("counted", "proof"), [(0, Proof.NEVER_STARTED), (2, None)])
def test_what_its_controller_counts_is_waited_for(counted: int, proof: Proof | None) -> None:
    stopping = task(SPEC, {"phase": "Stopping", "workload": WORKLOAD, "stop": STOP})
    found = observe(stopping, store_of(counted).lister, LATER)

    assert found.proof is proof
    assert found.workload is not None
    assert found.workload.pod_count == counted
    if counted:
        assert found.blocked is not None
        assert (found.blocked.reason, "counts 2 pods" in found.blocked.message) == ("PodsUnknown", True)
        ended = task(SPEC, {"phase": "Stopping", "workload": found.workload.wire(), "stop": STOP})
        assert observe(ended, store_of(0).lister, LATER).proof is Proof.GONE, "they may have run"


def test_pods_that_are_seen_speak_for_themselves() -> None:
    """What a controller counts comes later than what becomes of its pods, and nobody waits for it."""
    over: Raw = {"phase": "Failed", "containerStatuses": [ended()]}
    store = store_of(1, job_pod(status=over))
    stopping = task(SPEC, {"phase": "Stopping", "workload": WORKLOAD, "startedAt": when(-5), "stop": STOP})
    assert observe(stopping, store.lister, LATER).proof is Proof.ENDED
