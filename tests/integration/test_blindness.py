"""What tells a quiet cluster from a blind operator."""

import asyncio
import re
import time

import pytest

from tests.support.clusters import Feature
from tests.support.namespaces import Namespace
from tests.support.operators import Operator, Operators
from tests.support.waiting import until

pytestmark = pytest.mark.exclusive

RENEWAL_SECONDS = 30
"""How long a watch lasts before it is asked for anew."""

CONTACT = re.compile(r'agentstop_watch_last_contact_timestamp_seconds\{kind="(\w+)"\} (\S+)')


async def watch_health(operator: Operator) -> dict[str, float]:
    _, text = await operator.get("/metrics")
    return {kind: float(at) for kind, at in CONTACT.findall(text)}


@pytest.mark.needs(Feature.OWN_SERVER)
async def test_a_quiet_cluster_is_heard_and_a_silent_one_is_not(ns: Namespace, launch: Operators) -> None:
    operator = await launch.start(ns.name)
    begun = await watch_health(operator)
    assert set(begun) == {"AgentTask", "Pod", "StopOrder"}

    async def heard() -> bool:
        return all(at > begun[kind] for kind, at in (await watch_health(operator)).items())

    await until(heard, RENEWAL_SECONDS + 10, "nothing happens, and every watch is answered all the same")
    with ns.cluster.halted():
        halted_at = time.time()
        await asyncio.sleep(RENEWAL_SECONDS + 3)
        assert max((await watch_health(operator)).values()) <= halted_at
    begun = await watch_health(operator)
    await until(heard, 2 * RENEWAL_SECONDS, "every watch is answered again")
