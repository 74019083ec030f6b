"""The agent's own end and the stop meet: one of them wins, for good."""

# ruff: noqa: S311  (random moments guard no secret)

import asyncio
import random

from tests.support import agents
from tests.support.laws import exit_code, status, stop_of
from tests.support.namespaces import Namespace
from tests.support.operators import Operator

RACES = 10


async def test_an_agent_that_ends_by_itself_while_the_stop_travels(ns: Namespace, operator: Operator) -> None:
    names = [f"a{number}" for number in range(RACES)]

    async def race(name: str) -> None:
        await ns.create_task(name, agents.template(agents.ending(1)))
        await ns.running(name)
        await asyncio.sleep(random.uniform(0.4, 1.2))
        await ns.stop(name)
        task = await ns.ended(name)
        assert status(task)["phase"] in {"Completed", "Stopped"}
        if status(task)["phase"] == "Completed":
            assert not stop_of(task)
            assert status(task)["manuallyStopped"] is False
            assert exit_code(task) == 0
        else:
            assert stop_of(task)["verdict"] == "Graceful"
            assert exit_code(task) in {0, 143}

    await asyncio.gather(*(race(name) for name in names))
    await ns.nothing_happens(1)
    for name in names:
        first = await ns.ended(name)
        assert {**status(await ns.task(name)), "observedGeneration": 0} == {**status(first), "observedGeneration": 0}


async def test_a_stop_at_any_moment_of_a_start(ns: Namespace, operator: Operator) -> None:
    names = [f"a{number}" for number in range(RACES)]

    async def race(name: str) -> None:
        await ns.create_task(name, agents.template(grace=1))
        await asyncio.sleep(random.uniform(0, 0.5))
        await ns.stop(name)
        task = await ns.ended(name)
        assert status(task)["phase"] == "Stopped"
        assert stop_of(task)["verdict"] in {"NotStarted", "Graceful", "Killed"}

    await asyncio.gather(*(race(name) for name in names))
    await ns.nothing_happens(1)
    for name in names:
        assert len({pod["metadata"]["uid"] for pod in ns.pods.of(name)}) <= 1
        assert not ns.processes(name)
