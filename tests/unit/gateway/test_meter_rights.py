"""What a sender without the right is told, and what becomes of what was reported by one whom nobody knows just now."""

import asyncio
from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import Any, cast

import pytest
from prometheus_client import CollectorRegistry

from agentstop.gateway.access import CallerAccess
from agentstop.gateway.callers import Caller, of_token
from agentstop.gateway.errors import ForbiddenError, UnauthorizedError
from agentstop.gateway.meter.amounts import Amounts
from agentstop.gateway.meter.config import MeterFile
from agentstop.gateway.meter.evidence import Direct, Evidence, Subject
from agentstop.gateway.meter.meter import MAX_NAMED, Meter, Outcome
from agentstop.gateway.meter.writer import MAX_UNKNOWN, is_final
from tests.unit.objects import Raw, raw_task

from .test_index import filled

JANE = of_token("jane")
POD = {"workload": {"pods": [{"name": "research", "uid": "pod-1"}]}}


class Access:
    """Lets the caller change usages in some namespaces, and may not know him for a while."""

    def __init__(self, *allowed: str) -> None:
        self.allowed = allowed
        self.asked: list[str] = []
        self.strange = 0
        self.written: list[Mapping[str, Any]] = []
        self.wrote = asyncio.Event()

    async def allowed_in(self, _: Caller, __: str, namespaces: Iterable[str], ___: str) -> list[str]:
        self.asked += namespaces
        return [each for each in namespaces if each in self.allowed]

    async def call(self, _: Caller, method: str, *rest: Any) -> Raw:
        if self.strange:
            self.strange -= 1
            raise UnauthorizedError("the API server does not know this token")
        if method == "GET":
            return {"metadata": {"ownerReferences": [{"kind": "AgentTask", "uid": "task-1"}]}}
        self.written.append(rest[2])
        self.wrote.set()
        return {"metadata": {}, "spec": rest[2]["spec"]}


def meter(access: Access) -> Meter:
    task = raw_task({"podTemplate": {}}, POD, namespace="team", name="research", uid="task-1")
    return Meter(MeterFile(), None, filled(task), cast("CallerAccess", access), CollectorRegistry())


async def take(access: Access, *subjects: Subject) -> Outcome:
    evidence = (Evidence(Direct(Amounts(turns=1)), at=None),)
    return await meter(access).take(JANE, "otlp", "spans", [(each, evidence) for each in subjects])


@pytest.mark.parametrize(
    ("there", "not_there"),
    [
        (Subject("team", task="research"), Subject("team", task="nothing")),
        (Subject("team", pod="research"), Subject("team", pod="nothing")),
        (Subject("team", pod_uid="pod-1"), Subject("team", pod_uid="pod-2")),
        (Subject(pod_uid="pod-1"), Subject(pod_uid="pod-2")),
    ],
)
@pytest.mark.parametrize("others", [(), (Subject("mine", task="x"),), tuple(Subject(f"n{n}") for n in range(20))])
async def test_who_has_no_right_is_not_told_whether_there_is_such_a_task(
    there: Subject, not_there: Subject, others: tuple[Subject, ...]
) -> None:
    told = []
    for subject in (there, not_there):
        try:
            told.append(str(await take(Access("mine"), *others, subject)))
        except ForbiddenError as error:
            told.append(error.message)
    assert told[0] == told[1]


async def test_who_has_no_right_at_all_is_told_so_and_made_up_namespaces_are_not_asked_for() -> None:
    with pytest.raises(ForbiddenError, match="may not patch taskusages in namespace team"):
        await take(Access(), Subject("team", task="research"))
    access = Access()
    await take(access, *(Subject(f"n{number}", task="x") for number in range(MAX_NAMED + 1)))
    await take(access, Subject("n" * 64, task="x"))
    assert access.asked == []


async def test_what_was_reported_by_one_who_is_not_known_for_a_while_is_kept() -> None:
    access = Access("team")
    counting = meter(access)
    running = asyncio.create_task(counting.run())
    access.strange = 2
    await counting.take(
        JANE, "me", "reports", [(Subject("team", task="research"), (Evidence(Direct(Amounts(turns=3)), at=None),))]
    )
    async with asyncio.timeout(20):
        await access.wrote.wait()
    running.cancel()
    with suppress(asyncio.CancelledError):
        await running
    assert [each["spec"]["turns"] for each in access.written] == [3]


def test_a_token_that_has_run_out_does_not_wait_for_ever() -> None:
    error = UnauthorizedError("the API server does not know this token")
    assert [is_final(error, failures) for failures in (0, MAX_UNKNOWN - 1, MAX_UNKNOWN)] == [False, False, True]
