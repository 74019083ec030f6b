"""What the processors say of a task that seems to be idle."""

import asyncio
from typing import Any, cast

import pytest

from agentstop.cluster.errors import ApiError
from agentstop.cluster.gateway import Gateway
from agentstop.controller.processors import AT_ONCE, LOOK_SECONDS, METRICS, look, millicores
from agentstop.lifecycle.facts import CPUUse
from agentstop.lifecycle.observation import Task
from tests.unit.objects import Raw, task

PODS = [{"name": name, "uid": name} for name in ("p", "q")]
WORKLOAD: Raw = {"apiVersion": "batch/v1", "kind": "Job", "name": "j", "uid": "j", "pods": PODS}
ABSENT = ApiError(404, "NotFound", "not there")


class Measured:
    """A gateway that answers for pods by name."""

    def __init__(self, **answers: Any) -> None:
        self.served: Any = answers.pop("served", {})
        self.answers = answers
        self.timeouts: list[float] = []

    async def call(self, _: str, where: str, *, timeout: float) -> Raw:
        self.timeouts.append(timeout)
        answer = self.served if where == METRICS else self.answers.get(where.rpartition("/")[2], ABSENT)
        if isinstance(answer, ApiError):
            raise answer
        return {"containers": [{"name": "agent", "usage": {"cpu": answer, "memory": "1Mi"}}]}


@pytest.mark.parametrize(
    ("measured", "cpu"),
    [
        (Measured(served=ABSENT), CPUUse.NOT_SERVED),
        (Measured(served=ApiError(403, "Forbidden", "no")), CPUUse.NOT_SERVED),
        (Measured(served=ApiError(503, "ServiceUnavailable", "away")), CPUUse.UNKNOWN),
        (Measured(), CPUUse.UNKNOWN),
        (Measured(p="2500000n", q="7m"), CPUUse.QUIET),
        (Measured(p="2500000n"), CPUUse.QUIET),
        (Measured(p="4m", q="7m"), CPUUse.BUSY),
        (Measured(p=ApiError(500, "InternalError", "?"), q="1"), CPUUse.BUSY),
        (Measured(p=ApiError(500, "InternalError", "?")), CPUUse.UNKNOWN),
        (Measured(p=ApiError(500, "InternalError", "?"), q="1m"), CPUUse.UNKNOWN),
    ],
)
def test_what_the_processors_say(measured: Measured, cpu: CPUUse) -> None:
    known = task({"podTemplate": {}}, {"workload": WORKLOAD})
    assert asyncio.run(look(cast("Gateway", measured), [known])) is cpu


def member(*pods: str, phase: str = "Running") -> Task:
    listed = [{"name": name, "uid": name, "phase": phase} for name in pods]
    return task({"podTemplate": {}}, {"workload": {**WORKLOAD, "pods": listed}})


def test_a_family_is_quiet_only_where_each_of_its_tasks_is() -> None:
    many = [member(f"p{number}") for number in range(100)]
    waiting: dict[str, Any] = {f"p{number}": "2m" for number in range(100)}

    def cpu(tasks: list[Task], **answers: Any) -> CPUUse:
        return asyncio.run(look(cast("Gateway", Measured(**waiting, **answers)), tasks))

    assert cpu(many) is CPUUse.QUIET, "each of them waits, however many they are"
    assert cpu([*many, member("busy")], busy="800m") is CPUUse.BUSY
    assert cpu([*many, member("new")]) is CPUUse.UNKNOWN, "nobody has measured it yet"
    assert cpu([*many, member("later", phase="Pending")]) is CPUUse.QUIET


def test_a_look_that_takes_too_long_says_nothing() -> None:
    many = [member(f"p{number}") for number in range(AT_ONCE + 1)]
    measured = Measured(**{f"p{number}": "1m" for number in range(AT_ONCE + 1)})
    gateway = cast("Gateway", measured)
    assert asyncio.run(look(gateway, many)) is CPUUse.QUIET
    assert 0 < min(measured.timeouts) < max(measured.timeouts) == LOOK_SECONDS, "each waits for what is left"
    assert asyncio.run(look(gateway, many, seconds=0.0)) is CPUUse.UNKNOWN


def test_quantities_of_processors() -> None:
    for text, wanted in (
        ("250m", 250),
        ("1", 1000),
        ("0.5", 500),
        ("12345678n", 12),
        ("1500u", 2),
        ("0", 0),
        ("1e999999999", 10**9),
    ):
        assert millicores({"usage": {"cpu": text}}) == wanted
    strange: list[Any] = [
        None,
        {},
        {"usage": None},
        {"usage": {"cpu": "x"}},
        {"usage": {"cpu": "NaN"}},
        {"usage": {"cpu": "-1"}},
        [],
    ]
    for wrong in strange:
        assert millicores(wrong) == 0
