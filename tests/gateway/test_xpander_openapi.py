"""xpander's REST API, held against its OpenAPI with requests that are made up, right ones and wrong ones."""

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
    return description("xpander")


@pytest.mark.parametrize("mode", MODES, ids=[each.value for each in MODES])
@pytest.mark.parametrize("operation", ["listTasks", "getTask", "stopTask", "deleteTask"])
async def test_whatever_is_asked_is_answered_as_described(
    gateway: Gateway, jane: str, api: Any, operation: str, mode: GenerationMode
) -> None:
    codes = await asyncio.to_thread(hold, api, f"{gateway.url}/xpander", jane, operation, mode)
    assert codes <= {200, 403, 404, 422}
    assert (422 in codes) == (mode is GenerationMode.NEGATIVE)


async def test_a_task_is_shown_stopped_and_deleted_as_described(
    ns: Namespace, operator: Operator, gateway: Gateway, jane: str, api: Any
) -> None:
    uid = str((await ns.create_task("a", agents.template(agents.graceful())))["metadata"]["uid"])
    await ns.running("a")
    url, mode = f"{gateway.url}/xpander", GenerationMode.POSITIVE
    for operation in ("getTask", "stopTask", "stopTask", "getTask"):
        assert await asyncio.to_thread(hold, api, url, jane, operation, mode, task_id=uid) == {200}
    gone = await asyncio.to_thread(hold, api, url, jane, "deleteTask", mode, task_id=uid)
    assert 204 in gone
    assert gone <= {204, 404}
