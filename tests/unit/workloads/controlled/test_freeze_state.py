"""Pods of workloads that make their own, frozen while their controllers keep them."""

from typing import Any

from agentstop.lifecycle.effects import Freeze, Thaw
from agentstop.lifecycle.observation import FreezeState, Task
from agentstop.workloads.objects import ControlRecord
from agentstop.workloads.requests import AskNode, Patch
from tests.unit.objects import NAMESPACE, Raw, at, task, when
from tests.unit.workloads.adopted import GOING, HALT, OVER, SPEC, STOPPING, WORKLOAD, lister, observe, sent
from tests.unit.workloads.owners import job_pod, raw_owner, suspended_job

RUNNING = task(SPEC, {"phase": "Running", "startedAt": when(1), "workload": WORKLOAD})


def controls(*uids: str, state: str = "Frozen", is_in: str | None = "Frozen") -> dict[tuple[str, str], ControlRecord]:
    record = ControlRecord(
        uid="control",
        resource_version="1",
        task="x",
        node="n",
        state=state,
        asked_at=at(5),
        answered=is_in is not None,
        heard=is_in is not None,
        is_in=is_in,
        since=at(6) if is_in is not None else None,
    )
    return {(NAMESPACE, uid): record for uid in uids}


def freeze_state(*pods: Raw, whose: Task = RUNNING, **more: Any) -> FreezeState:
    return observe(whose, lister(raw_owner("job"), *pods, **more)).freeze_state


def asked(*pods: Raw, effect: Any, job: Raw | None = None, whose: Task = RUNNING, **more: Any) -> list[Any]:
    requests = sent(whose, effect, lister(job or raw_owner("job"), *pods, **more))
    return [(each.ref.name, each.state) for each in requests if isinstance(each, AskNode)]


def test_each_pod_that_is_there_is_frozen_and_the_workload_is_left_as_it_is() -> None:
    pods = job_pod("first"), job_pod("second"), job_pod("over", status=OVER)
    requests = sent(RUNNING, Freeze(), lister(raw_owner("job"), *pods, controls=controls("second-uid")))

    assert [(each.ref.name, each.state) for each in requests if isinstance(each, AskNode)] == [("first-uid", "Frozen")]
    assert not any(isinstance(each, Patch) for each in requests)


def test_all_of_them_have_to_be_frozen() -> None:
    first, second, over = job_pod("first"), job_pod("second"), job_pod("over", status=OVER)

    assert not freeze_state(first, second).held
    some = freeze_state(first, second, controls=controls("first-uid"))
    assert (some.frozen, some.held) == (False, True)
    assert freeze_state(first, second, over, controls=controls("first-uid", "second-uid")).frozen
    assert not freeze_state(over).frozen, "there is nothing to freeze"


def test_one_that_is_gone_and_may_live_on_is_waited_for() -> None:
    recorded = {"name": "x-1", "uid": "x-1-uid", "node": "n", "phase": "Running"}
    whose = task(SPEC, RUNNING.status.wire() | {"workload": WORKLOAD | {"pods": [recorded]}})

    assert not freeze_state(job_pod("first"), whose=whose, controls=controls("first-uid")).frozen


def test_what_of_one_pod_is_refused_is_refused_for_all() -> None:
    refused = freeze_state(job_pod("first"), job_pod("second", spec={"runtimeClassName": "kata"})).refused

    assert refused is not None
    assert refused.reason == "RuntimeClass"


def test_those_that_are_frozen_go_on() -> None:
    pods = job_pod("first"), job_pod("second")

    assert asked(*pods, effect=Thaw(), controls=controls("first-uid")) == [("first-uid", "Running")]


def test_the_evidence_of_each_says_since_when() -> None:
    workload = observe(RUNNING, lister(raw_owner("job"), job_pod("first"), controls=controls("first-uid"))).workload

    assert workload is not None
    assert [each.frozen_at for each in workload.pods] == [at(6)]


def test_a_stop_thaws_those_that_were_asked_to_go() -> None:
    frozen = controls("going-uid", "kept-uid")
    pods = job_pod("going", metadata=GOING), job_pod("kept")

    assert asked(*pods, effect=HALT, job=suspended_job(), whose=STOPPING, controls=frozen) == [("going-uid", "Running")]
