"""When SIGKILL comes: what the record of a stop says of it, against the moment at which the processes are gone."""

import asyncio
from datetime import UTC, datetime

import pytest

from agentstop.words.graces import MIN_KUBELET_SECONDS
from tests.support import agents
from tests.support.clusters import Feature
from tests.support.kube import Object
from tests.support.laws import conditions_of, moment, status, stop_of
from tests.support.namespaces import Namespace
from tests.support.operators import Operator
from tests.support.waiting import PATIENCE, until

PRECISION = 2.0
"""Seconds by which a death may miss its moment: Kubernetes counts in whole ones, and the machine may be busy."""

pytestmark = pytest.mark.needs(Feature.PROCESSES)


async def death_of(ns: Namespace, name: str) -> datetime:
    """Return when the last process of a pod was gone."""
    await until(lambda: not ns.processes(name), PATIENCE, f"the processes of {name} gone")
    return datetime.now(UTC)


def misses(task: Object, death: datetime) -> float:
    """Return by how many seconds a death came after the moment that the record says."""
    return (death - moment(stop_of(task)["killAt"])).total_seconds()


async def test_deaf_agents_die_when_it_is_said_that_they_do(ns: Namespace, operator: Operator) -> None:
    # The pod's own grace period, that of the stop, and how the pod is stopped.
    cases = {
        "own": (3, None, "Keep"),
        "least": (1, None, "Keep"),
        "deleted": (3, None, "Delete"),
        "shorter": (60, 3, "Keep"),
        "shortest": (60, 1, "Keep"),
        "longer": (1, 4, "Keep"),
    }
    for name, (own, _, _) in cases.items():
        await ns.create_task(name, agents.template(agents.DEAF, grace=own))
    for name in cases:
        await ns.running(name)

    async def stopped(name: str) -> float:
        _, asked, policy = cases[name]
        await ns.stop(name, podPolicy=policy, **({} if asked is None else {"gracePeriodSeconds": asked}))
        death = await death_of(ns, name)
        task = await ns.ended(name)
        assert (status(task)["phase"], stop_of(task)["verdict"]) == ("Stopped", "Killed")
        return misses(task, death)

    missed = dict(zip(cases, await asyncio.gather(*map(stopped, cases)), strict=True))
    assert all(abs(seconds) <= PRECISION for seconds in missed.values()), missed


@pytest.mark.parametrize("policy", ["Keep", "Delete"])
async def test_a_grace_period_that_runs_is_not_shortened_and_it_is_said_so(
    ns: Namespace, operator: Operator, policy: str
) -> None:
    await ns.create_task("a", agents.template(agents.DEAF, grace=300))
    await ns.running("a")
    await ns.stop("a", gracePeriodSeconds=6, podPolicy=policy)
    first = await ns.until("a", lambda task: "signaledAt" in stop_of(task), what="signaled")
    await ns.stop("a", gracePeriodSeconds=1)
    wished = await ns.until("a", lambda task: stop_of(task).get("gracePeriodSeconds") == 1, what="asked for less")
    told = await ns.until("a", tells_of_the_longer_one, what="told of the longer grace period")
    death = await death_of(ns, "a")
    task = await ns.ended("a")
    for state in (first, wished, told, task):
        assert abs(misses(state, death)) <= PRECISION, stop_of(state)


def tells_of_the_longer_one(task: Object) -> bool:
    return "no kubelet shortens" in conditions_of(task).get("Reconciling", {}).get("message", "")


async def test_a_hook_before_the_end_takes_of_the_grace_period(ns: Namespace, operator: Operator) -> None:
    """Where it takes all of it, SIGTERM comes when the time is over, and the container has two seconds from then on."""
    hooks = {"shares": (4, 2, agents.DEAF), "eats": (2, 60, agents.DEAF), "obeys": (2, 60, agents.graceful(0.2))}
    for name, (grace, seconds, script) in hooks.items():
        hook = {"preStop": {"exec": {"command": ["sleep", str(seconds)]}}}
        container = agents.container(script, lifecycle=hook)
        await ns.create_task(name, {"spec": {"terminationGracePeriodSeconds": grace, "containers": [container]}})
    for name in hooks:
        await ns.running(name)

    async def stopped(name: str) -> tuple[str, float]:
        await ns.stop(name)
        death = await death_of(ns, name)
        task = await ns.ended(name)
        return stop_of(task)["verdict"], misses(task, death)

    ends = dict(zip(hooks, await asyncio.gather(*map(stopped, hooks)), strict=True))
    assert {name: verdict for name, (verdict, _) in ends.items()} == {
        "shares": "Killed",
        "eats": "Killed",
        "obeys": "Graceful",
    }
    missed = {name: seconds for name, (_, seconds) in ends.items()}
    assert abs(missed["shares"]) <= PRECISION, missed
    assert -PRECISION <= missed["eats"] <= MIN_KUBELET_SECONDS + PRECISION, missed
