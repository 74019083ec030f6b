"""How the pods of a Job are counted: each once, whatever happens in between."""

from datetime import UTC, datetime
from typing import Any

import pytest

from agentstop_playground.api_client import Object
from agentstop_playground.controllers import job_status
from agentstop_playground.controllers.job_status import FINALIZER

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


def job(status: Object | None = None, **spec: Any) -> Object:
    template = {"spec": {"restartPolicy": spec.pop("restartPolicy", "Never")}}
    defaults = {"parallelism": 2, "completions": 4, "backoffLimit": 6, "template": template}
    return {"metadata": {"name": "j", "uid": "j"}, "spec": {**defaults, **spec}, "status": status or {}}


def pod(uid: str, phase: str = "Running", *, held: bool = True, deleting: bool = False) -> Object:
    metadata: Object = {"name": uid, "uid": uid, "finalizers": [FINALIZER] if held else []}
    if deleting:
        metadata["deletionTimestamp"] = "2026-01-02T03:04:05Z"
    return {"metadata": metadata, "status": {"phase": phase}}


def status(of: Object, *pods: Object) -> Object:
    return job_status.status(of, job_status.tally(of, pods, NOW), NOW)


def actions(of: Object, *pods: Object) -> job_status.Actions:
    return job_status.actions(of, job_status.tally(of, pods, NOW))


def test_an_ended_pod_is_noted_before_it_is_counted() -> None:
    noted = status(job(), pod("a", "Succeeded"))
    assert noted["uncountedTerminatedPods"] == {"succeeded": ["a"]}
    assert "succeeded" not in noted


def test_it_is_counted_once_its_finalizer_is_off() -> None:
    noted = status(job(), pod("a", "Succeeded"))
    counted = status(job(noted), pod("a", "Succeeded", held=False))
    assert (counted["succeeded"], counted["uncountedTerminatedPods"]) == (1, {})
    assert status(job(counted), pod("a", "Succeeded", held=False)) == counted


def test_it_is_counted_though_it_is_gone() -> None:
    noted = status(job(), pod("a", "Failed"))
    assert status(job(noted))["failed"] == 1


def test_it_is_not_noted_twice() -> None:
    noted = status(job(), pod("a", "Failed"))
    assert status(job(noted), pod("a", "Failed")) == noted


def test_a_pod_that_is_being_deleted_has_failed() -> None:
    assert status(job(), pod("a", deleting=True))["uncountedTerminatedPods"] == {"failed": ["a"]}


def test_a_pod_that_is_being_deleted_is_waited_for_if_the_job_says_so() -> None:
    patient = job(podReplacementPolicy="Failed")
    assert status(patient, pod("a", deleting=True))["uncountedTerminatedPods"] == {}
    assert actions(patient, pod("a", deleting=True)).create == 1


def test_a_pod_without_the_finalizer_counts_for_nothing() -> None:
    left = status(job(suspend=True), pod("a", "Succeeded", held=False, deleting=True))
    assert not {"succeeded", "failed"} & set(left)
    assert left["uncountedTerminatedPods"] == {}


def test_what_has_succeeded_lessens_what_is_made() -> None:
    assert actions(job({"succeeded": 3})).create == 1
    assert actions(job({"succeeded": 1}), pod("a")).create == 1


def test_pods_beyond_the_completions_end_when_these_are_reached() -> None:
    wanted = actions(job({"succeeded": 3}), pod("a", "Succeeded"), pod("b"))
    assert ([item["metadata"]["uid"] for item in wanted.delete], wanted.uncounted) == (["b"], True)


def test_a_job_is_complete_only_once_all_is_counted_and_gone() -> None:
    reached = status(job({"succeeded": 3}), pod("a", "Succeeded"), pod("b", held=False, deleting=True))
    assert [item["type"] for item in reached["conditions"]] == ["SuccessCriteriaMet"]
    counted = status(job(reached), pod("a", "Succeeded", held=False), pod("b", held=False, deleting=True))
    assert [item["type"] for item in counted["conditions"]] == ["SuccessCriteriaMet"]
    done = status(job(counted), pod("a", "Succeeded", held=False))
    assert [item["type"] for item in done["conditions"]] == ["SuccessCriteriaMet", "Complete"]
    assert (done["succeeded"], "completionTime" in done) == (4, True)


def test_all_pods_of_a_failed_job_have_failed() -> None:
    failing = job({"failed": 6})
    wanted, noted = actions(failing, pod("a", "Failed"), pod("b")), status(failing, pod("a", "Failed"), pod("b"))
    assert ([item["metadata"]["uid"] for item in wanted.delete], wanted.uncounted) == (["b"], False)
    assert noted["uncountedTerminatedPods"] == {"failed": ["a", "b"]}


@pytest.mark.parametrize(("manager", "ours"), [(None, True), ("kubernetes.io/job-controller", True), ("x/y", False)])
def test_whose_job_it_is(manager: str | None, ours: bool) -> None:
    assert job_status.ours(job(managedBy=manager)) is ours


def test_suspended_time_has_no_deadline() -> None:
    started = {"startTime": "2026-01-02T03:04:00Z"}
    assert job_status.deadline(job(started, activeDeadlineSeconds=10), NOW) == 5
    assert job_status.deadline(job(started, activeDeadlineSeconds=10, suspend=True), NOW) is None
    assert job_status.deadline(job(activeDeadlineSeconds=10), NOW) is None
