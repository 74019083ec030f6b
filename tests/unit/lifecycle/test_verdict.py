"""Verdicts, from the evidence of the containers."""

from typing import Any

import pytest

from agentstop.api.task import Verdict
from agentstop.api.workload_status import ContainerEnd, PodEvidence
from agentstop.lifecycle.observation import Proof
from agentstop.lifecycle.verdict import verdict_of
from tests.unit.objects import at

KILL = 30.0


def evidence(*ends: dict[str, Any]) -> list[PodEvidence]:
    containers = tuple(ContainerEnd(name=f"c{number}", **each) for number, each in enumerate(ends))
    return [PodEvidence(name="x", uid="u", containers=containers)]


@pytest.mark.parametrize(
    ("proof", "verdict"),
    [
        (Proof.NODE_FENCED, Verdict.NODE_FENCED),
        (Proof.GONE, Verdict.GONE),
        (Proof.NEVER_STARTED, Verdict.NOT_STARTED),
    ],
)
def test_some_proofs_are_verdicts_whatever_the_containers_say(proof: Proof, verdict: Verdict) -> None:
    killed = evidence({"exit_code": 137, "finished_at": at(KILL)})

    assert verdict_of(proof, killed, at(KILL), at(KILL + 1)) is verdict


@pytest.mark.parametrize(
    ("ends", "verdict"),
    [
        ([], Verdict.GRACEFUL),
        ([{"exit_code": 0, "finished_at": at(2)}], Verdict.GRACEFUL),
        ([{"exit_code": 1, "finished_at": at(2)}], Verdict.GRACEFUL),
        ([{"exit_code": 143, "finished_at": at(2)}], Verdict.GRACEFUL),
        ([{"exit_code": 143, "finished_at": at(KILL)}], Verdict.GRACEFUL),
        ([{"exit_code": 137, "finished_at": at(KILL)}], Verdict.KILLED),
        ([{"exit_code": 137, "finished_at": at(KILL + 7)}], Verdict.KILLED),
        ([{"exit_code": 137, "finished_at": at(KILL - 1)}], Verdict.KILLED),
        ([{"exit_code": 137, "finished_at": at(KILL - 3)}], Verdict.GRACEFUL),
        ([{"exit_code": 137}], Verdict.KILLED),
        ([{"exit_code": 0, "signal": 9, "finished_at": at(KILL)}], Verdict.KILLED),
        ([{"exit_code": 137, "reason": "OOMKilled", "finished_at": at(KILL)}], Verdict.GRACEFUL),
        ([{"exit_code": 0, "finished_at": at(2)}, {"exit_code": 137, "finished_at": at(KILL)}], Verdict.KILLED),
        ([{"exit_code": None}], Verdict.GRACEFUL),
    ],
)
def test_containers_that_ended(ends: list[dict[str, Any]], verdict: Verdict) -> None:
    assert verdict_of(Proof.ENDED, evidence(*ends), at(KILL), at(KILL + 10)) is verdict


def test_what_was_seen_before_the_kill_time_was_not_ended_by_the_kill() -> None:
    """Our own clock alone decides here: a node's clock that runs ahead must not make a kill of it."""
    ahead = evidence({"exit_code": 137, "finished_at": at(KILL + 60)})

    assert verdict_of(Proof.ENDED, ahead, at(KILL), at(KILL - 1)) is Verdict.GRACEFUL


def test_without_a_signal_there_is_no_kill() -> None:
    assert verdict_of(Proof.ENDED, evidence({"exit_code": 137}), None, at(0)) is Verdict.GRACEFUL


@pytest.mark.parametrize(
    ("finished", "seen", "verdict"),
    [
        (KILL + 1, KILL + 2, Verdict.KILLED),
        (KILL, KILL + 2, Verdict.KILLED),
        (KILL - 1, KILL + 2, Verdict.GRACEFUL),
        (KILL, KILL - 1, Verdict.GRACEFUL),
    ],
)
def test_a_container_of_which_a_process_ran_out_of_memory_before_was_killed_all_the_same(
    finished: float, seen: float, verdict: Verdict
) -> None:
    """The runtime says OOMKilled of it however it ends: https://github.com/kubernetes/kubernetes/issues/140716."""
    told = evidence({"exit_code": 137, "reason": "OOMKilled", "finished_at": at(finished)})

    assert verdict_of(Proof.ENDED, told, at(KILL), at(seen), at(KILL)) is verdict
