"""Which pods are of no task, and how these are ended."""

from typing import Any

import pytest

from agentstop.api.meta import TASK_LABEL
from agentstop.api.task import PodPolicy
from agentstop.lifecycle.observation import Presence, Proof
from agentstop.workloads.kinds.pod import POD
from agentstop.workloads.pods.orphans import ending_of_orphan, is_orphan, stand_in
from agentstop.workloads.requests import Delete, Patch
from tests.unit.objects import ADOPTS, NOW, POD_UID, Raw, ended, entry, lister, owner, pod, task

NOBODYS: Raw = {"ownerReferences": []}
ANOTHERS: Raw = {"ownerReferences": [owner("another-uid")]}
A_JOBS: Raw = {"ownerReferences": [{**owner("job-uid", "Job", "j"), "apiVersion": "batch/v1"}]}
COPIED: Raw = {"labels": {TASK_LABEL: "y"}}
RECORDED: Raw = {"workload": {"apiVersion": "v1", "kind": "Pod", "name": "x", "uid": POD_UID}}
RECORDED_OTHER: Raw = {"workload": {"apiVersion": "v1", "kind": "Pod", "name": "x", "uid": "another-pod"}}


@pytest.mark.parametrize("metadata", [{}, NOBODYS, ANOTHERS, A_JOBS, COPIED | NOBODYS, COPIED], ids=str)
def test_a_pod_with_our_label_is_an_orphan_without_a_task_of_that_name(metadata: Raw) -> None:
    assert is_orphan(pod(metadata=metadata), None)


def test_what_a_controller_makes_is_left_to_it() -> None:
    """It would only be made again; the operator's own have the name of their label, and names stay."""
    assert not is_orphan(pod(metadata=COPIED | A_JOBS), None)


@pytest.mark.parametrize("metadata", [{"labels": {}}, {"labels": None}])
def test_a_pod_without_our_label_is_nobodys_business(metadata: Raw) -> None:
    assert not is_orphan(pod(metadata=metadata), None)


def test_what_has_ended_needs_no_end() -> None:
    assert not is_orphan(pod(status={"phase": "Failed", "containerStatuses": [ended()]}), None)


@pytest.mark.parametrize(
    ("metadata", "status", "orphan"),
    [
        (NOBODYS, RECORDED, False),
        (ANOTHERS, RECORDED, False),
        (NOBODYS, {}, True),
        (ANOTHERS, {}, True),
        (NOBODYS, RECORDED_OTHER, True),
        (A_JOBS, {}, True),
        (NOBODYS | {"name": "copy"}, {}, False),
        (ANOTHERS | {"name": "copy"}, {}, False),
    ],
    ids=[
        "its owner was taken off",
        "its owner was exchanged",
        "an earlier task's",
        "an earlier task's, not collected yet",
        "somebody else's",
        "a Job's",
        "a copy of the label",
        "a copy with an owner",
    ],
)
@pytest.mark.parametrize("phase", ["Pending", "Running", "Stopped", "Completed"])
def test_beside_a_task_of_that_name(metadata: Raw, status: Raw, orphan: bool, phase: str) -> None:
    finished = {"phase": phase, **status}
    assert is_orphan(pod(metadata=metadata), task(None, finished)) is orphan


@pytest.mark.parametrize(
    ("status", "orphan"),
    [
        ({}, False),
        ({"phase": "Pending"}, False),
        ({"phase": "Running", **RECORDED}, False),
        ({"phase": "Completed", **RECORDED}, False),
        ({"phase": "Paused", **RECORDED_OTHER}, False),
        ({"phase": "Stopped", **RECORDED_OTHER}, False),
        ({"phase": "Running", **RECORDED_OTHER}, True),
        ({"phase": "Completed", **RECORDED_OTHER}, True),
        ({"phase": "Failed"}, True),
    ],
    ids=[
        "new",
        "being started",
        "on record",
        "ended",
        "coming back from a pause",
        "started anew, and stopped again for that",
        "running, with another pod",
        "ended, with another pod",
        "failed without any",
    ],
)
def test_a_pod_with_the_owner_of_its_task(status: Raw, orphan: bool) -> None:
    assert is_orphan(pod(), task(None, status)) is orphan


@pytest.mark.parametrize(
    ("status", "orphan"),
    [
        ({}, False),
        ({"phase": "Running", **RECORDED}, False),
        ({"phase": "Stopping", **RECORDED}, False),
        ({"phase": "Running", **RECORDED_OTHER}, True),
        ({"phase": "Failed"}, True),
    ],
)
def test_a_pod_that_a_task_stands_for_that_has_adopted_it(status: Raw, orphan: bool) -> None:
    adopter = task(ADOPTS, status, name="b", uid="b")
    assert is_orphan(pod(metadata=NOBODYS), None, [adopter]) is orphan


def test_a_task_that_points_elsewhere_saves_no_pod() -> None:
    for kind, name in (("Job", "x"), ("Pod", "other")):
        spec = {"workloadRef": {"apiVersion": "v1", "kind": kind, "name": name}}
        assert is_orphan(pod(metadata=NOBODYS), None, [task(spec, name="b", uid="b")])


# The end


@pytest.mark.parametrize(
    ("metadata", "namesake", "policy"),
    [
        (NOBODYS, False, PodPolicy.KEEP),
        ({}, False, PodPolicy.DELETE),
        (A_JOBS, False, PodPolicy.DELETE),
        (NOBODYS, True, PodPolicy.DELETE),
    ],
    ids=["nobody misses it", "it goes with its owner", "its controller would go on", "it is in a task's way"],
)
def test_how_an_orphan_is_ended(metadata: Raw, namesake: bool, policy: PodPolicy) -> None:
    assert ending_of_orphan(pod(metadata=metadata), task() if namesake else None).policy is policy


def requests(metadata: Raw, **changes: Any) -> tuple[Any, ...]:
    seen = pod(metadata=metadata, **changes)
    return POD.plan_requests(stand_in(seen), ending_of_orphan(seen, None), lister(entry(seen)), NOW)


def test_an_orphan_is_ended_like_the_pod_of_a_task() -> None:
    (in_place,) = requests(NOBODYS)
    assert isinstance(in_place, Patch)
    assert (in_place.uid, in_place.body) == (POD_UID, {"spec": {"activeDeadlineSeconds": 1}})
    (deletion,) = requests(ANOTHERS)
    assert isinstance(deletion, Delete)
    assert (deletion.uid, deletion.grace_seconds) == (POD_UID, None)
    (unbound,) = requests(NOBODYS, spec={"nodeName": None}, status={"startTime": None, "containerStatuses": []})
    assert isinstance(unbound, Delete)
    assert unbound.resource_version == "1"
    assert requests(NOBODYS, spec={"activeDeadlineSeconds": 1}) == ()


def test_the_proof_is_that_of_a_tasks_pod() -> None:
    seen = pod(metadata=NOBODYS)
    running = POD.observe(stand_in(seen), lister(entry(seen)), NOW)
    assert (running.presence, running.proof, running.halted) == (Presence.PRESENT, None, False)
    over = pod(metadata=NOBODYS, status={"phase": "Failed", "containerStatuses": [ended()]})
    assert POD.observe(stand_in(over), lister(entry(over)), NOW).proof is Proof.ENDED
