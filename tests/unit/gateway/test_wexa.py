"""Wexa's words and ids."""

from agentstop.api.task import Phase
from agentstop.gateway.dialects.wexa.ids import OBJECT_ID, agentflow_id, node_id, project_id, task_id
from agentstop.gateway.dialects.wexa.records import Status, status_of
from agentstop.gateway.entry import Entry

from .test_index import task

UID = "0f8fad5b-d9cb-469f-a165-70867728950e"


def entry(phase: str, verdict: str | None = None) -> Entry:
    raw = task("a", phase=phase, stopRequested=True)
    if verdict is not None:
        raw["status"]["stop"] = {"verdict": verdict}
    return Entry(raw)


def test_cancelled_is_said_with_the_proof_alone() -> None:
    said = {phase: status_of(entry(phase)) for phase in Phase}
    assert [phase for phase, word in said.items() if word is Status.CANCELLED] == [Phase.STOPPED]
    assert status_of(entry("Stopped", "Killed")) is Status.CANCELLED
    assert status_of(entry("Stopped", "Unverified")) is Status.FAILED
    assert said[Phase.STOPPING] is Status.RUNNING


def test_ids_are_object_ids() -> None:
    assert task_id(UID) == "0f8fad5bd9cb469fa1657086"
    assert node_id(UID) == "d9cb469fa16570867728950e"
    for each in (task_id(UID), node_id(UID), project_id("a"), agentflow_id("a", "b"), agentflow_id("a", None)):
        assert OBJECT_ID.fullmatch(each)


def test_ids_of_two_are_two() -> None:
    ids = [project_id("a"), project_id("b"), agentflow_id("a", "b"), agentflow_id("b", "a"), agentflow_id("a", None)]
    assert len(set(ids)) == len(ids)
