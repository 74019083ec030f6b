"""Maia's API, held against its OpenAPI with requests that are made up, right ones and wrong ones."""

import asyncio
from typing import Any

import pytest
from schemathesis import GenerationMode

from tests.support import agents
from tests.support.gateways import Gateway
from tests.support.namespaces import Namespace
from tests.support.operators import Operator

from .described import MODES, description, hold


@pytest.fixture(scope="module")
def api() -> Any:
    return description("maia")


@pytest.mark.parametrize("mode", MODES, ids=[each.value for each in MODES])
@pytest.mark.parametrize("operation", ["listTasks", "getTask", "stopTask"])
async def test_whatever_is_asked_is_answered_as_described(
    gateway: Gateway, jane: str, api: Any, operation: str, mode: GenerationMode
) -> None:
    codes = await asyncio.to_thread(hold, api, f"{gateway.url}/maia/dpc", jane, operation, mode)
    assert codes <= {200, 400, 403, 404}
    assert (400 in codes) == (mode is GenerationMode.NEGATIVE)


async def test_a_task_is_shown_and_stopped_as_described(
    ns: Namespace, operator: Operator, gateway: Gateway, jane: str, api: Any
) -> None:
    uid = str((await ns.create_task("a", agents.template(agents.graceful())))["metadata"]["uid"])
    await ns.running("a")
    url, mode = f"{gateway.url}/maia/dpc", GenerationMode.POSITIVE
    for operation, code in (("getTask", 200), ("stopTask", 204), ("stopTask", 409), ("getTask", 200)):
        assert await asyncio.to_thread(hold, api, url, jane, operation, mode, taskId=uid) == {code}
