"""A namespace that is deleted while no operator runs: what was adopted there is let go soon, and told of truly."""

import asyncio
import time

from tests.support import agents, manifests
from tests.support.kube import JOBS, NAMESPACES, PODS, TASKS, Kind, KubeError, Object
from tests.support.laws import stalled
from tests.support.namespaces import Namespace
from tests.support.operators import Operators
from tests.support.waiting import PATIENCE, until
from tests.support.workloads import Workloads

GRACE = 2
"""The pods' own grace period in seconds, which is on record."""

SOON = 85.0
"""The grace period, 10 seconds for a kubelet to settle, 50 in which one that says nothing counts as ready (some report
every 5 minutes where nothing changes), and time to look. With no grace period on record it takes 28 seconds more."""


async def deleted_meanwhile(ns: Namespace, launch: Operators, *kinds: Kind) -> None:
    """Delete the namespace while no operator runs, until no pod of it is left; the task "a" is protected before."""
    await ns.tasks.until("a", lambda task: bool(task["metadata"].get("finalizers")), what="protected")
    await launch.end_private()
    await ns.kube.delete(NAMESPACES, "", ns.name)
    for kind in (TASKS, *kinds, PODS):  # as the namespace controller does, which not every cluster here has
        for each in await ns.kube.list(kind, ns.name):
            try:
                await ns.kube.delete(kind, ns.name, each["metadata"]["name"])
            except KubeError as error:
                if error.code != 404:
                    raise

    async def no_pods() -> bool:
        return not await ns.kube.list(PODS, ns.name)

    await until(no_pods, PATIENCE, "the pods of the namespace gone")


async def reasons_until_gone(ns: Namespace, name: str) -> set[str]:
    """Follow a task until it is gone; return what held it up meanwhile, by its own words."""
    began = time.monotonic()
    reasons: set[str] = set()
    while time.monotonic() - began < SOON:
        try:
            task: Object = await ns.task(name)
        except KubeError as error:
            if error.code != 404:
                raise
            return reasons
        reasons |= set(filter(None, [stalled(task)]))
        await asyncio.sleep(0.2)
    raise AssertionError(f"after {SOON} s the task is still there, held up by {reasons}")


async def test_a_pod_that_was_adopted(ns: Namespace, launch: Operators) -> None:
    await launch.start(ns.name)
    await ns.create_pod("p", agents.pod_spec(agents.graceful(), grace=GRACE))
    await ns.adopt("a", "p", deletionPolicy="Stop")
    await ns.running("a")
    await deleted_meanwhile(ns, launch)
    assert (await ns.task("a"))["metadata"]["deletionTimestamp"], "the task waits for an operator"
    await launch.start(ns.name)
    reasons = await reasons_until_gone(ns, "a")
    assert reasons <= {"AwaitingNode"}, "nothing is wrong with the kubelet"


async def test_a_job_that_was_adopted(ns: Namespace, launch: Operators, workloads: Workloads) -> None:
    await launch.start(ns.name)
    job = await workloads.create(manifests.job("worker", agents.graceful(), grace=GRACE))
    await workloads.adopt("a", job, deletionPolicy="Stop")
    await workloads.running(job)
    await ns.phase("a", "Running")
    await deleted_meanwhile(ns, launch, JOBS)
    await launch.start(ns.name)
    reasons = await reasons_until_gone(ns, "a")
    assert reasons <= {"AwaitingNode"}
