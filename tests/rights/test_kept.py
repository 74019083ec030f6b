"""The record of a stop outlives what the stopped asked for, with the rights and the options that the chart gives."""

import pytest

from tests.support import agents
from tests.support.kube import TASKS
from tests.support.laws import status, stop_of
from tests.support.namespaces import Namespace
from tests.support.operators import Operators

from .conftest import Users
from .test_admission import POD_RIGHTS, TASK_RIGHTS


async def stopped(ns: Namespace, users: Users) -> None:
    """Have an agent ask for no record of its end, and somebody else stop it."""
    agent = await users.grant("agent", TASK_RIGHTS, POD_RIGHTS)
    jane = await users.bind("jane", "agentstop-stop")
    await ns.create_task("a", agents.template(agents.graceful()))
    await ns.running("a")
    beforehand = {"ttlSecondsAfterFinished": 0, "stop": {"reason": "Mine", "podPolicy": "Delete"}}
    await agent.merge(TASKS, ns.name, "a", {"spec": beforehand})
    await jane.merge(TASKS, ns.name, "a", {"spec": {"stopRequested": True}})


async def test_a_stopped_task_is_there_to_be_seen(ns: Namespace, users: Users, operators: Operators) -> None:
    operator = await operators.start(ns.name, options=["--min-ttl-seconds=3600"])
    try:
        await stopped(ns, users)
        await ns.ended("a")
        await ns.nothing_happens(4)
        last = await ns.task("a")
        assert (status(last)["phase"], stop_of(last)["requestedBy"]) == ("Stopped", "jane")
        assert "reason" not in stop_of(last)
        assert (await ns.pod("a"))["status"]["phase"] in {"Succeeded", "Failed"}
        assert not operator.mistakes()
    finally:
        await operators.end_private()


@pytest.mark.parametrize("least", [0, 2])
async def test_and_then_it_goes(ns: Namespace, users: Users, operators: Operators, least: int) -> None:
    await operators.start(ns.name, options=[f"--min-ttl-seconds={least}"])
    try:
        await stopped(ns, users)
        assert status(await ns.tasks.until_gone("a"))["phase"] == "Stopped"
    finally:
        await operators.end_private()
