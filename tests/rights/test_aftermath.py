"""The check that follows every attack: it passes where nothing is wrong, and fails where the brake does not work."""

import pytest

from tests.support import agents
from tests.support.aftermath import Aftermath
from tests.support.kube import PODS, TASKS
from tests.support.namespaces import Namespace
from tests.support.operators import Operator

from .conftest import Users
from .test_admission import EDIT


async def test_nothing_is_wrong_after_what_does_no_harm(ns: Namespace, users: Users, aftermath: Aftermath) -> None:
    for name in ("a", "b"):
        await ns.create_task(name, agents.template(agents.graceful()))
    await ns.running("b")
    agent = await users.grant("agent", ("", "pods", EDIT))
    await agent.merge(PODS, ns.name, "b", {"metadata": {"finalizers": ["example.com/hold"]}})
    await aftermath.check(ns.name, stops=["a"], stops_later=["b"])
    assert not await ns.kube.list(TASKS, ns.name)
    assert not await ns.kube.list(PODS, ns.name)


async def test_an_operator_that_ended_is_noticed(aftermath: Aftermath, operator: Operator) -> None:
    await operator.program.end()
    with pytest.raises(AssertionError, match="/healthz answers 0"):
        await aftermath.brake_works(operator)
