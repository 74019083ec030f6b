"""Maia's OpenAPI, and whatever schemathesis makes of it: right requests, and wrong ones."""

import asyncio
from pathlib import Path
from typing import Any

import pytest
import schemathesis
import yaml
from hypothesis import HealthCheck, given, settings

from tests.support import agents
from tests.support.gateways import Gateway
from tests.support.namespaces import Namespace
from tests.support.operators import Operator

DESCRIPTION = Path(__file__).parent / "openapi" / "maia.yaml"
EXAMPLES = 25

MODES = tuple(schemathesis.GenerationMode)


@pytest.fixture(scope="module")
def api() -> Any:
    return schemathesis.openapi.from_dict(yaml.safe_load(DESCRIPTION.read_text()))


def hold(api: Any, url: str, key: str, operation: str, mode: schemathesis.GenerationMode, **path: str) -> set[int]:
    """Send what may be asked of an operation, hold each answer against the description, and return the codes."""
    found = api.find_operation_by_id(operation)
    codes: set[int] = set()

    @given(case=found.as_strategy(generation_mode=mode, path_parameters=path or None))
    @settings(
        max_examples=EXAMPLES, derandomize=True, database=None, deadline=None, suppress_health_check=list(HealthCheck)
    )
    def run(case: Any) -> None:
        answer = case.call_and_validate(base_url=url, headers={"Authorization": f"Bearer {key}"})
        codes.add(answer.status_code)

    run()
    return codes


@pytest.mark.parametrize("mode", MODES, ids=[each.value for each in MODES])
@pytest.mark.parametrize("operation", ["listTasks", "getTask", "stopTask"])
async def test_whatever_is_asked_is_answered_as_described(
    gateway: Gateway, jane: str, api: Any, operation: str, mode: schemathesis.GenerationMode
) -> None:
    codes = await asyncio.to_thread(hold, api, f"{gateway.url}/maia/dpc", jane, operation, mode)
    assert codes <= {200, 400, 403, 404}
    assert (400 in codes) == (mode is schemathesis.GenerationMode.NEGATIVE)


async def test_a_task_is_shown_and_stopped_as_described(
    ns: Namespace, operator: Operator, gateway: Gateway, jane: str, api: Any
) -> None:
    uid = str((await ns.create_task("a", agents.template(agents.graceful())))["metadata"]["uid"])
    await ns.running("a")
    url, mode = f"{gateway.url}/maia/dpc", schemathesis.GenerationMode.POSITIVE
    for operation, code in (("getTask", 200), ("stopTask", 204), ("stopTask", 409), ("getTask", 200)):
        assert await asyncio.to_thread(hold, api, url, jane, operation, mode, taskId=uid) == {code}
