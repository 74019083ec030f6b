"""Vendors' APIs, held against their OpenAPI in our words, with requests that are made up: right ones and wrong ones."""

import asyncio
from collections.abc import Set
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pytest
import schemathesis
import yaml
from hypothesis import HealthCheck, given, settings
from schemathesis import GenerationMode

from tests.support import agents
from tests.support.gateways import Gateway
from tests.support.namespaces import Namespace
from tests.support.operators import Operator

EXAMPLES: Final = 25


@dataclass(frozen=True)
class Vendor:
    """One description, and where and how we answer as it says."""

    dialect: str
    prefix: str
    operations: tuple[str, ...]
    refused: int
    """The code of the answer to a wrong request."""
    id_name: str
    """What the path calls a task's id."""
    steps: tuple[tuple[str, int, Set[int]], ...]
    """Operations on a task that runs, one after the other, each with the code of its answer, and those of later ones
    where it is asked for several times."""

    def schema(self) -> Any:
        path = Path(__file__).parent / "openapi" / f"{self.dialect}.yaml"
        return schemathesis.openapi.from_dict(yaml.load(path.read_text(), Loader=yaml.CSafeLoader))


SAME: Final[Set[int]] = frozenset()

VENDORS: Final = (
    Vendor(
        "maia",
        "/maia/dpc",
        ("listTasks", "getTask", "stopTask"),
        refused=400,
        id_name="taskId",
        steps=(("getTask", 200, SAME), ("stopTask", 204, SAME), ("stopTask", 409, SAME), ("getTask", 200, SAME)),
    ),
    Vendor(
        "xpander",
        "/xpander",
        ("listTasks", "getTask", "stopTask", "deleteTask"),
        refused=422,
        id_name="task_id",
        steps=(
            ("getTask", 200, SAME),
            ("stopTask", 200, SAME),
            ("stopTask", 200, SAME),
            ("getTask", 200, SAME),
            ("deleteTask", 204, {404}),
        ),
    ),
)


@pytest.mark.parametrize("mode", GenerationMode, ids=lambda each: each.value)
@pytest.mark.parametrize(
    ("vendor", "operation"),
    [pytest.param(each, name, id=f"{each.dialect}-{name}") for each in VENDORS for name in each.operations],
)
async def test_whatever_is_asked_is_answered_as_described(
    gateway: Gateway, jane: str, vendor: Vendor, operation: str, mode: GenerationMode
) -> None:
    codes = await asyncio.to_thread(hold, vendor.schema(), gateway.url + vendor.prefix, jane, operation, mode)
    assert codes <= {200, 403, 404, vendor.refused}
    assert (vendor.refused in codes) == (mode is GenerationMode.NEGATIVE)


@pytest.mark.parametrize("vendor", VENDORS, ids=[each.dialect for each in VENDORS])
async def test_a_task_is_carried_through_its_steps_as_described(
    ns: Namespace, operator: Operator, gateway: Gateway, jane: str, vendor: Vendor
) -> None:
    uid = str((await ns.create_task("a", agents.template(agents.graceful())))["metadata"]["uid"])
    await ns.running("a")
    schema, url, mode = vendor.schema(), gateway.url + vendor.prefix, GenerationMode.POSITIVE
    for operation, code, later in vendor.steps:
        codes = await asyncio.to_thread(hold, schema, url, jane, operation, mode, **{vendor.id_name: uid})
        assert {code} <= codes <= {code, *later}, operation


def hold(schema: Any, url: str, key: str, operation: str, mode: GenerationMode, **path: str) -> set[int]:
    """Send what may be asked of an operation, hold each answer against the description, and return the codes."""
    found = schema.find_operation_by_id(operation)
    codes: set[int] = set()

    @given(case=found.as_strategy(generation_mode=mode, path_parameters=path or None))
    @settings(max_examples=EXAMPLES, derandomize=True, database=None, suppress_health_check=list(HealthCheck))
    def run(case: Any) -> None:
        answer = case.call_and_validate(base_url=url, headers={"Authorization": f"Bearer {key}"})
        codes.add(answer.status_code)

    run()
    return codes
