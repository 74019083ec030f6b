"""What is ended where nothing can be made out: which object stands for a task, and whether it is the task's."""

from typing import Any

import pytest

from agentstop.workloads.blindly import end_blindly, target_of
from agentstop.workloads.kinds.sandbox import SANDBOX_API
from agentstop.workloads.kinds.sandbox_claim import CLAIM_API
from agentstop.workloads.objects import ObjectRef
from agentstop.workloads.requests import Delete, Patch
from tests.unit.objects import NAMESPACE, TASK_UID, Raw, owner, raw_pod, task

from .owners import controller, raw_owner

CLAIM: Raw = {"workloadRef": {"apiVersion": CLAIM_API, "kind": "SandboxClaim", "name": "c"}}
SANDBOX: Raw = {"workloadRef": {"apiVersion": SANDBOX_API, "kind": "Sandbox", "name": "c"}}
JOB: Raw = {"workloadRef": {"apiVersion": "batch/v1", "kind": "Job", "name": "j"}}
POD: Raw = {"workloadRef": {"apiVersion": "v1", "kind": "Pod", "name": "p"}}
BOUND: Raw = {
    "workload": {
        "apiVersion": CLAIM_API,
        "kind": "SandboxClaim",
        "name": "c",
        "uid": "claim-uid",
        "boundTo": {"apiVersion": SANDBOX_API, "kind": "Sandbox", "name": "pool-9", "uid": "pool-9-uid"},
    }
}
HELD: dict[str, Any] = {"ownerReferences": [controller("SandboxClaim", "c", "claim-uid", CLAIM_API)]}


@pytest.mark.parametrize(
    ("spec", "status", "kind", "name", "api_version"),
    [
        (None, None, "Pod", "x", "v1"),
        (POD, None, "Pod", "p", "v1"),
        (JOB, None, "Job", "j", "batch/v1"),
        (SANDBOX, None, "Sandbox", "c", SANDBOX_API),
        (CLAIM, None, "Sandbox", "c", SANDBOX_API),
        (CLAIM, BOUND, "Sandbox", "pool-9", SANDBOX_API),
    ],
    ids=["template", "pod", "job", "sandbox", "claim", "claim of a pool"],
)
def test_which_object_is_ended(spec: Raw | None, status: Raw | None, kind: str, name: str, api_version: str) -> None:
    assert target_of(task(spec, status)) == ObjectRef(kind, NAMESPACE, name, api_version)


@pytest.mark.parametrize(("spec", "ends"), [(CLAIM, True), (SANDBOX, False)], ids=["by its claim", "by itself"])
def test_a_sandbox_with_a_controller_is_ended_by_its_claim_alone(spec: Raw, ends: bool) -> None:
    named = task(spec)
    found = end_blindly(named, target_of(named), raw_owner("sandbox", name="c", **HELD))
    assert isinstance(found, Patch) is ends


@pytest.mark.parametrize(("uid", "ends"), [("pool-9-uid", True), ("another-uid", False)])
def test_once_a_sandbox_is_on_record_no_other_is_ended(uid: str, ends: bool) -> None:
    bound = task(CLAIM, BOUND)
    found = end_blindly(bound, target_of(bound), raw_owner("sandbox", name="pool-9", uid=uid, **HELD))
    assert isinstance(found, Patch) is ends


@pytest.mark.parametrize(("maker", "ends"), [(TASK_UID, True), ("another-uid", False)])
def test_a_pod_of_the_tasks_name_is_ended_if_it_is_the_tasks(maker: str, ends: bool) -> None:
    mine = task()
    found = end_blindly(mine, target_of(mine), raw_pod(metadata={"ownerReferences": [owner(maker)]}))
    assert isinstance(found, Delete) is ends
