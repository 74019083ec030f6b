"""What the processors say of a task that seems to be idle."""

import asyncio
from typing import Any, cast

import pytest

from agentstop.cluster.errors import ApiError
from agentstop.cluster.gateway import Gateway
from agentstop.controller.processors import AT_ONCE, METRICS, look, millicores
from agentstop.lifecycle.facts import Life
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

    async def call(self, _: str, where: str) -> Raw:
        answer = self.served if where == METRICS else self.answers.get(where.rpartition("/")[2], ABSENT)
        if isinstance(answer, ApiError):
            raise answer
        return {"containers": [{"name": "agent", "usage": {"cpu": answer, "memory": "1Mi"}}]}


@pytest.mark.parametrize(
    ("measured", "life"),
    [
        (Measured(served=ABSENT), Life.NOT_SERVED),
        (Measured(served=ApiError(403, "Forbidden", "no")), Life.NOT_SERVED),
        (Measured(served=ApiError(503, "ServiceUnavailable", "away")), Life.UNKNOWN),
        (Measured(), Life.UNKNOWN),
        (Measured(p="2500000n", q="7m"), Life.QUIET),
        (Measured(p="2500000n"), Life.QUIET),
        (Measured(p="4m", q="7m"), Life.ALIVE),
        (Measured(p=ApiError(500, "InternalError", "?"), q="1"), Life.ALIVE),
        (Measured(p=ApiError(500, "InternalError", "?")), Life.UNKNOWN),
        (Measured(p=ApiError(500, "InternalError", "?"), q="1m"), Life.UNKNOWN),
    ],
)
def test_life(measured: Measured, life: Life) -> None:
    known = task({"podTemplate": {}}, {"workload": WORKLOAD})
    assert asyncio.run(look(cast("Gateway", measured), [known])) is life


def member(*pods: str, phase: str = "Running") -> Task:
    listed = [{"name": name, "uid": name, "phase": phase} for name in pods]
    return task({"podTemplate": {}}, {"workload": {**WORKLOAD, "pods": listed}})


def test_a_family_is_quiet_only_where_each_of_its_tasks_is() -> None:
    many = [member(f"p{number}") for number in range(100)]
    waiting: dict[str, Any] = {f"p{number}": "2m" for number in range(100)}

    def life(tasks: list[Task], **answers: Any) -> Life:
        return asyncio.run(look(cast("Gateway", Measured(**waiting, **answers)), tasks))

    assert life(many) is Life.QUIET, "each of them waits, however many they are"
    assert life([*many, member("busy")], busy="800m") is Life.ALIVE
    assert life([*many, member("new")]) is Life.UNKNOWN, "nobody has measured it yet"
    assert life([*many, member("later", phase="Pending")]) is Life.QUIET


def test_a_look_that_takes_too_long_says_nothing() -> None:
    many = [member(f"p{number}") for number in range(AT_ONCE + 1)]
    gateway = cast("Gateway", Measured(**{f"p{number}": "1m" for number in range(AT_ONCE + 1)}))
    assert asyncio.run(look(gateway, many)) is Life.QUIET
    assert asyncio.run(look(gateway, many, seconds=0.0)) is Life.UNKNOWN


def test_quantities_of_processors() -> None:
    for text, wanted in (("250m", 250), ("1", 1000), ("0.5", 500), ("12345678n", 12), ("1500u", 2), ("0", 0)):
        assert millicores({"usage": {"cpu": text}}) == wanted
    strange: list[Any] = [None, {}, {"usage": None}, {"usage": {"cpu": "x"}}, {"usage": {"cpu": 10**30}}, []]
    for wrong in strange:
        assert millicores(wrong) == 0
