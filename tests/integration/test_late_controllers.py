"""A Job controller that is late by more than the operator waits for it: neither a pause nor a stop may end its Job."""

import asyncio

import pytest

from tests.support import agents, manifests
from tests.support.clusters import Cluster, Feature
from tests.support.kube import Object
from tests.support.laws import conditions_of, status, stop_of
from tests.support.namespaces import Namespace
from tests.support.operators import Operator
from tests.support.workloads import Workloads

pytestmark = pytest.mark.exclusive

LATE_SECONDS = 7.0
EACH = 4
"""Pauses, and stops."""


def finals(job: Object) -> set[str]:
    """Return the conditions by which a Job has ended, or is about to."""
    held = {kind for kind, each in conditions_of(job).items() if each["status"] == "True"}
    return held & {"Complete", "Failed", "SuccessCriteriaMet", "FailureTarget"}


@pytest.mark.needs(Feature.OWN_CONTROLLERS, Feature.PROCESSES)
async def test_pauses_and_stops_while_the_job_controller_is_late(
    ns: Namespace, operator: Operator, workloads: Workloads, cluster: Cluster
) -> None:
    paused, stopped = ([f"{word}{number}" for number in range(EACH)] for word in ("paused", "stopped"))
    jobs = {}
    for name in (*paused, *stopped):
        jobs[name] = await workloads.create(manifests.job(name, agents.graceful(), backoffLimit=0))
        await workloads.adopt(name, jobs[name])
    for name, job in jobs.items():
        await workloads.running(job)
        await ns.phase(name, "Running")

    with cluster.controllers_halted():
        await asyncio.gather(*(ns.patch(name, paused=True) for name in paused), *map(ns.stop, stopped))
        await ns.nothing_happens(LATE_SECONDS)
        # Nobody else ends what a pause suspends; a stop does not wait for its controller.
        assert all(workloads.processes(jobs[name]) for name in paused)
        assert not [name for name in stopped if workloads.processes(jobs[name])]

    for name in paused:
        await ns.phase(name, "Paused")
        assert not workloads.processes(jobs[name])
    for name in stopped:
        task = await ns.ended(name)
        assert (status(task)["phase"], stop_of(task)["verdict"]) == ("Stopped", "Graceful")
        assert not workloads.processes(jobs[name])

    for name in paused:
        await ns.patch(name, paused=False)
    for name in paused:
        await workloads.running(jobs[name])
        await ns.until(name, lambda task: status(task).get("attempts") == 2, what="running again")
    assert {name: finals(await workloads.get(job)) for name, job in jobs.items()} == {name: set() for name in jobs}
    for name in stopped:
        assert conditions_of(await workloads.get(jobs[name]))["Suspended"]["status"] == "True"
        assert not workloads.processes(jobs[name])
