"""Pods of workloads that make their own: which of them the nodes are asked to kill, and what their word proves."""

from dataclasses import replace
from typing import Any

from agentstop.api.meta import parse_time
from agentstop.lifecycle.observation import Proof
from agentstop.workloads.objects import CacheEntry, ControlRecord, PodGroup
from agentstop.workloads.requests import AskNode
from tests.unit.objects import NAMESPACE, Raw, at, task, when
from tests.unit.workloads.adopted import GOING, HALT, OVER, SPEC, STOPPING, WORKLOAD, lister, observe, sent
from tests.unit.workloads.owners import JOB_PODS, job_pod, suspended_job

KILL = replace(HALT, by_nodes=True)


def emptied(uid: str, heard: float = 15, node: str = "n") -> dict[tuple[str, str], ControlRecord]:
    record = ControlRecord(uid="control", resource_version="1", task="x", node=node, asked_at=at(14), answered=True)
    return {(NAMESPACE, uid): replace(record, empty_at=at(14), heard_at=at(heard))}


def asked(*pods: Raw, whose: Any = STOPPING, **more: Any) -> list[str]:
    requests = sent(whose, KILL, lister(suspended_job(), *pods, **more))
    return [each.ref.name for each in requests if isinstance(each, AskNode)]


def test_those_that_were_asked_to_go_and_have_not_ended() -> None:
    going, over, wanted = (
        job_pod("going", metadata=GOING),
        job_pod("over", status=OVER, metadata=GOING),
        job_pod("wanted"),
    )
    assert asked(going, over, wanted) == ["going-uid"]
    assert asked(going, controls=emptied("going-uid")) == []


def test_one_of_which_nothing_but_the_record_is_left() -> None:
    recorded = {"name": "x-1", "uid": "x-1-uid", "node": "n", "phase": "Running"}
    whose = task(SPEC, STOPPING.status.wire() | {"workload": WORKLOAD | {"pods": [recorded]}})
    known = lister(suspended_job())
    known.groups[JOB_PODS].pods["x-1-uid"] = CacheEntry(seen=None, absent=True, at=at(12))
    assert [each.ref.name for each in sent(whose, KILL, known) if isinstance(each, AskNode)] == ["x-1-uid"]
    looked = {JOB_PODS: PodGroup(known.groups[JOB_PODS].pods, at(15))}
    assert observe(whose, replace(known, groups=looked, controls=emptied("x-1-uid"))).proof is Proof.EMPTIED
    forged = observe(whose, replace(known, groups=looked, controls=emptied("x-1-uid", node="another")))
    assert (forged.proof, forged.late and forged.late.reason) == (None, "PodControlForged")


def test_the_kernels_word_is_proof_once_the_kubelets_is_overdue() -> None:
    pod = job_pod("going", metadata=GOING)

    def seen(now: float) -> Any:
        return observe(
            STOPPING, lister(suspended_job(), pod, listed=15, signaled=10, controls=emptied("going-uid")), now
        )

    assert seen(16).proof is None
    assert seen(16).look_again_at == at(17)
    assert seen(17).proof is Proof.EMPTIED
    (evidence,) = seen(17).workload.pods
    assert evidence.empty_at == parse_time(when(14))
