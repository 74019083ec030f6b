"""What is read from a workload that makes pods of its own."""

from typing import Any

import pytest

from agentstop.workloads.controlled.record import OwnerRecord, read_owner
from agentstop.workloads.kinds.job import read_job
from agentstop.workloads.kinds.ray_cluster import read_ray_cluster
from agentstop.workloads.kinds.sandbox import read_sandbox, sandbox_selector
from agentstop.workloads.kinds.sandbox_claim import read_claim
from agentstop.workloads.kinds.scalable import read_scaled
from agentstop.workloads.pods.record import Controller
from tests.unit.objects import Raw, at, when
from tests.unit.workloads.owners import MARK, SUSPENDED, controller, raw_owner, suspended_job


def condition(kind: str, reason: str, status: str = "True", **more: Any) -> Raw:
    return {"type": kind, "status": status, "reason": reason, "lastTransitionTime": when(20)} | more


# Any


def test_of_what_only_links_the_controller_is_read() -> None:
    raw = raw_owner("deployment", ownerReferences=[controller("Fleet", "f", "f-uid", "example.com/v1")])
    seen = read_owner(raw)

    assert seen.controller == Controller("Fleet", "f", "f-uid", "example.com/v1")
    assert (seen.uid, seen.selector, seen.halted) == ("deployment-uid", None, False)


@pytest.mark.parametrize("read", [read_job, read_sandbox, read_claim, read_ray_cluster, read_scaled, read_owner])
def test_an_object_without_status_can_be_read(read: Any) -> None:
    metadata = {"name": "x", "namespace": "ns", "uid": "u", "resourceVersion": "1", "deletionTimestamp": when(1)}
    seen = read({"metadata": metadata})

    assert (seen.uid, seen.deleting, seen.running, seen.ending) == ("u", True, 0, None)


# Jobs


def test_a_job_that_runs() -> None:
    seen = read_job(raw_owner("job"))

    assert (seen.uid, seen.resource_version, seen.generation) == ("job-uid", "812", 1)
    assert (seen.halted, seen.settled, seen.running) == (False, False, 3)
    assert seen.selector == "batch.kubernetes.io/controller-uid=job-uid"
    assert (seen.controller, seen.manager, seen.marked_at, seen.ending, seen.deleting) == (
        None,
        None,
        None,
        None,
        False,
    )


@pytest.mark.parametrize(
    ("status", "settled"),
    [
        pytest.param({}, False, id="its controller has not heard of it"),
        pytest.param({"conditions": [SUSPENDED]}, False, id="an old word of it, and pods are counted"),
        pytest.param({"active": 0, "conditions": [SUSPENDED]}, True, id="suspended"),
        pytest.param({"active": 0, "conditions": [SUSPENDED | {"status": "False"}]}, False, id="resumed before"),
        pytest.param({"active": None, "terminating": 2, "conditions": [SUSPENDED]}, True, id="its pods are going"),
    ],
)
def test_a_suspended_job_is_settled_once_its_controller_says_so(status: Raw, settled: bool) -> None:
    seen = read_job(raw_owner("job", spec={"suspend": True}, status=status))

    assert (seen.halted, seen.settled) == (True, settled)


def test_pods_that_are_going_are_counted_as_running() -> None:
    assert read_job(raw_owner("job", status={"active": 1, "terminating": 2})).running == 3


def test_since_when_a_job_is_suspended() -> None:
    assert read_job(suspended_job(since=11)).settled_at == at(11)


@pytest.mark.parametrize(
    ("managers", "marked"),
    [
        pytest.param([MARK], True, id="ours"),
        pytest.param([MARK | {"manager": "kubectl"}], False, id="somebody else's"),
        pytest.param([MARK | {"fieldsV1": {"f:spec": {"f:parallelism": {}}}}], False, id="taken back by somebody"),
        pytest.param([MARK | {"manager": "agentstop-pause"}], False, id="a pause of ours"),
        pytest.param([{"manager": "agentstop-stop", "time": when(10)}], False, id="without fields"),
    ],
)
def test_the_mark_of_our_stop_is_the_field_that_we_own(managers: list[Raw], marked: bool) -> None:
    assert read_job(suspended_job(managedFields=managers)).marked_at == (at(10) if marked else None)


@pytest.mark.parametrize("name", ["example.com/queue", "kubernetes.io/job-controller"])
def test_who_manages_a_job(name: str) -> None:
    manager = read_job(raw_owner("job", spec={"managedBy": name})).manager

    assert manager == (None if name.startswith("kubernetes.io/") else name)


def test_a_complete_job() -> None:
    done = [condition("SuccessCriteriaMet", "CompletionsReached"), condition("Complete", "CompletionsReached")]
    status = {"active": None, "succeeded": 3, "completionTime": when(19), "conditions": done}
    seen = read_job(raw_owner("job", status=status))

    assert seen.ending is not None
    assert (seen.ending.succeeded, seen.ending.word.reason, seen.ending.at) == (True, "Completed", at(19))
    assert (seen.halted, seen.settled) == (True, True)


def test_a_failed_job() -> None:
    words = {"reason": "BackoffLimitExceeded", "message": "Job has reached the specified backoff limit"}
    status = {"active": None, "failed": 7, "conditions": [condition("Failed", **words)]}
    seen = read_job(raw_owner("job", status=status))

    assert seen.ending is not None
    assert (seen.ending.succeeded, seen.ending.at) == (False, at(20))
    assert seen.ending.word.reason == "BackoffLimitExceeded"
    assert seen.ending.word.message == words["message"]


@pytest.mark.parametrize("kind", ["SuccessCriteriaMet", "FailureTarget"])
def test_a_job_that_is_about_to_end_has_not(kind: str) -> None:
    """Its last pods are still going."""
    seen = read_job(raw_owner("job", status={"conditions": [condition(kind, "CompletionsReached")]}))

    assert (seen.ending, seen.halted) == (None, False)


# What can be scaled


def test_a_deployment_that_runs() -> None:
    seen = read_scaled(raw_owner("deployment"))

    assert (seen.uid, seen.selector, seen.replicas, seen.running) == ("deployment-uid", "app=x", 2, 2)
    assert (seen.halted, seen.settled) == (False, False)


@pytest.mark.parametrize(
    ("observed", "left", "settled"),
    [(1, 0, False), (2, 2, False), (2, 0, True), (3, 0, True), (None, 0, True)],
    ids=["not heard yet", "pods are left", "done", "done for long", "it says nothing of generations"],
)
def test_what_is_scaled_to_0_is_settled_once_its_controller_says_so(
    observed: int | None, left: int, settled: bool
) -> None:
    raw = raw_owner(
        "deployment",
        status={"observedGeneration": observed},
        scale={"spec": {"replicas": 0}, "status": {"replicas": left}},
        generation=2,
    )
    seen = read_scaled(raw)

    assert (seen.halted, seen.settled, seen.replicas) == (True, settled, 0)
    assert seen.marked_at == at(9), "the mark of our stop is on the scale subresource"


@pytest.mark.parametrize("scale", [None, {"spec": {}, "status": {}}, {"spec": {}}])
def test_a_scale_that_says_nothing(scale: Raw | None) -> None:
    raw = raw_owner("deployment") | {"scale": scale}
    seen = read_scaled(raw)

    assert (seen.selector, seen.replicas, seen.running) == (None, 0, 0)


# Sandboxes


def sandbox(conditions: list[Raw], mode: str = "Suspended", generation: int = 2, **metadata: Any) -> OwnerRecord:
    raw = raw_owner(
        "sandbox",
        spec={"operatingMode": mode},
        status={"conditions": conditions},
        generation=generation,
        **metadata,
    )
    return read_sandbox(raw)


def test_a_sandbox_that_runs() -> None:
    seen = read_sandbox(raw_owner("sandbox"))

    assert (seen.halted, seen.settled, seen.unsettled, seen.ending) == (False, False, None, None)
    assert seen.selector == "agents.x-k8s.io/sandbox-name-hash=fd0c5087"


def test_the_selector_of_a_sandbox_that_says_none() -> None:
    assert read_sandbox(raw_owner("sandbox", status={"selector": ""})).selector == sandbox_selector("x")


@pytest.mark.parametrize(("name", "value"), [("a", "e40c292c"), ("foobar", "bf9cf968")])
def test_pods_of_sandboxes_are_labelled_with_a_hash_of_the_name(name: str, value: str) -> None:
    """The values are of the published test vectors of FNV-1a."""
    assert sandbox_selector(name) == f"agents.x-k8s.io/sandbox-name-hash={value}"


@pytest.mark.parametrize(
    ("status", "observed", "settled"),
    [("True", 2, True), ("True", 1, False), ("True", None, False), ("False", 2, False), ("True", 3, True)],
)
def test_a_suspended_sandbox_is_settled_at_its_own_generation(status: str, observed: int | None, settled: bool) -> None:
    said = condition("Suspended", "PodTerminated", status, observedGeneration=observed)

    assert sandbox([said]).settled is settled


def test_a_sandbox_whose_pod_is_not_its_own() -> None:
    said = condition(
        "Suspended", "PodNotOwned", "False", observedGeneration=2, message='pod "x" is controlled by Job/y'
    )
    seen = sandbox([said])

    assert (seen.settled, seen.halted) == (False, True)
    assert seen.unsettled is not None
    assert seen.unsettled.reason == "PodNotOwned"
    assert 'pod "x" is controlled by Job/y' in seen.unsettled.message


def test_a_sandbox_with_several_pods() -> None:
    seen = sandbox([condition("Ready", "MultiplePods", "False")])

    assert seen.unsettled is not None
    assert seen.unsettled.reason == "MultiplePods"


@pytest.mark.parametrize(("reason", "succeeded"), [("PodSucceeded", True), ("PodFailed", False)])
def test_a_finished_sandbox(reason: str, succeeded: bool) -> None:
    seen = sandbox([condition("Finished", reason)], mode="Running")

    assert seen.ending is not None
    assert (seen.ending.succeeded, seen.ending.at) == (succeeded, at(20))


def test_a_sandbox_that_expired_has_ended_but_nothing_is_said_of_its_pods() -> None:
    seen = sandbox([condition("Ready", "SandboxExpired", "False")], mode="Running")

    assert seen.ending is not None
    assert (seen.ending.succeeded, seen.ending.word.reason) == (False, "SandboxExpired")
    assert (seen.halted, seen.settled) == (False, False)


@pytest.mark.parametrize(("marked", "ended"), [(None, False), (25, True), (15, False)])
def test_a_pod_that_ends_because_of_the_suspension_finishes_nothing(marked: float | None, ended: bool) -> None:
    fields: Raw = {"f:spec": {"f:operatingMode": {}}}
    mark = [MARK | {"time": when(marked), "fieldsV1": fields}] if marked is not None else []
    seen = sandbox([condition("Finished", "PodSucceeded")], managedFields=mark)

    assert (seen.ending is not None) is ended


# Claims


@pytest.mark.parametrize(
    ("status", "annotations", "name"),
    [
        ({}, None, "pool-9"),
        ({"sandbox": {}}, None, "pool-7"),
        ({"sandbox": None}, None, "pool-7"),
        ({"sandbox": {}}, {}, "x"),
    ],
    ids=["by its status", "by its annotation", "without a status", "by its own name"],
)
def test_where_a_claim_runs(status: Raw, annotations: Raw | None, name: str) -> None:
    raw = raw_owner("claim", status=status)
    if annotations is not None:
        raw["metadata"]["annotations"] = annotations
    seen = read_claim(raw)

    assert (seen.bound_to, seen.uid) == (name, "claim-uid")
    assert (seen.halted, seen.selector) == (False, None)
