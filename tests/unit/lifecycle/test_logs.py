"""Logs that go with a pod which was to be kept are told of, with the reason."""

from dataclasses import replace
from typing import Any

import pytest

from agentstop.api.task import AgentTaskStatus, Phase
from agentstop.api.workload_status import WorkloadStatus
from agentstop.lifecycle.decide import decide
from agentstop.lifecycle.decision import Decision, Limits
from agentstop.lifecycle.observation import Ending, Observation, Presence, Proof, Reason, Task
from agentstop.words.reasons import answer
from tests.unit.objects import Raw, at, task, when

POD = WorkloadStatus(api_version="v1", kind="Pod", name="a", uid="u")
GOING = Observation(
    presence=Presence.PRESENT,
    workload=POD,
    active=True,
    halted=True,
    started_at=at(1),
    signaled_at=at(10),
    loses_logs=True,
)
RECORD: Raw = {"source": "User", "acceptedAt": when(10)}
WORKLOAD: Raw = {"apiVersion": "v1", "kind": "Pod", "name": "a", "uid": "u"}


def stopping(**stop: Any) -> Task:
    status = {"phase": "Stopping", "workload": WORKLOAD, "startedAt": when(1), "stop": RECORD}
    return task({"stopRequested": True, "stop": stop}, status)


def said(decision: Decision) -> tuple[str | None, list[str]]:
    workload = decision.status.workload
    assert workload is not None
    return workload.logs_gone, [each.message for each in decision.notes if each.reason == "LogsGone"]


def test_another_grace_period_takes_the_logs() -> None:
    why = "the pod's own grace period is 30 s, and only a deletion gives it another one, of 5 s"
    assert said(decide(stopping(gracePeriodSeconds=5), GOING, at(11))) == (why, [f"The logs go with the pod: {why}"])


def test_the_administrators_bound_takes_them_too() -> None:
    seen = replace(GOING, own_grace_seconds=7200)
    lost, _ = said(decide(stopping(), seen, at(11), limits=Limits(max_grace_seconds=60)))
    assert lost == "the pod's own grace period is 7200 s, and only a deletion gives it another one, of 60 s"


def test_a_wish_that_comes_too_late_takes_them_without_a_false_promise() -> None:
    status = {"phase": "Stopping", "workload": WORKLOAD, "startedAt": when(1)}
    record = RECORD | {"signaledAt": when(10), "killAt": when(40), "gracePeriodSeconds": 30}
    late = task({"stopRequested": True, "stop": {"gracePeriodSeconds": 2}}, status | {"stop": record})
    lost, _ = said(decide(late, GOING, at(15)))
    assert lost == (
        "2 s were asked for when a longer grace period ran already, and a deletion is all by which a kubelet could hear"
        " of that"
    )


def test_what_cannot_be_ended_in_place_takes_them() -> None:
    lost, notes = said(decide(stopping(), replace(GOING, not_in_place="the API server refuses it"), at(11)))
    assert lost == "the API server refuses it, so that it is deleted"
    assert len(notes) == 1


@pytest.mark.parametrize(
    ("asked", "seen"),
    [
        ({"gracePeriodSeconds": 5, "podPolicy": "Delete"}, GOING),
        ({"gracePeriodSeconds": 30}, GOING),
        ({}, GOING),
        ({"gracePeriodSeconds": 5}, replace(GOING, loses_logs=False)),
    ],
    ids=["it was to go", "its own grace period", "somebody else deleted it", "there are no logs"],
)
def test_nothing_is_said_otherwise(asked: Raw, seen: Observation) -> None:
    assert said(decide(stopping(**asked), seen, at(11))) == (None, [])


def again(before: Task, status: AgentTaskStatus) -> Task:
    return replace(before, status=status)


def test_it_is_said_once_and_stays_on_record_to_the_end() -> None:
    first = stopping(gracePeriodSeconds=5)
    told = decide(first, GOING, at(11))
    gone = replace(GOING, active=False, proof=Proof.ENDED)
    last = decide(again(first, told.status), gone, at(12))
    assert last.status.phase is Phase.STOPPED
    assert said(last) == (said(told)[0], [])


def test_what_runs_beside_a_main_container_that_has_ended() -> None:
    status = {"phase": "Running", "workload": WORKLOAD, "startedAt": when(1)}
    running = task({"mainContainer": "main", "stop": {"gracePeriodSeconds": 5}}, status)
    ending = Ending(succeeded=True, word=Reason("Completed", "Main container main ended"), at=at(9))
    told = decide(running, replace(GOING, main_ending=ending), at(11))
    assert len(said(told)[1]) == 1
    done = replace(GOING, main_ending=ending, active=False, proof=Proof.ENDED)
    last = decide(again(running, told.status), done, at(12))
    assert (last.status.phase, said(last)) == (Phase.COMPLETED, (said(told)[0], []))


@pytest.mark.parametrize(("phase", "verb"), [("Stopping", "go"), ("Stopped", "went")])
def test_why_says_it(phase: str, verb: str) -> None:
    stop = {"source": "User", "acceptedAt": when(10), "verdict": "Killed"}
    status = {"phase": phase, "observedGeneration": 1, "stop": stop, "workload": {**WORKLOAD, "logsGone": "so it is"}}
    found = {"metadata": {"name": "a", "namespace": "x", "generation": 1}, "spec": {}, "status": status}
    assert f"its logs {verb} with the pod: so it is" in answer(found, (), at(20)).facts
    completed = {**found, "status": {**status, "phase": "Completed", "stop": None}}
    assert "its logs went with the pod: so it is" in answer(completed, (), at(20)).facts
