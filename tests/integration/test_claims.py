"""Claims to sandboxes: what runs in their place is stopped, also where that becomes another one."""

import pytest

from tests.support import agents, manifests
from tests.support.clusters import Feature
from tests.support.kube import SANDBOXES, Object
from tests.support.laws import changed_by_us, exit_codes, stalled, status, stop_of
from tests.support.namespaces import Namespace
from tests.support.operators import Operator
from tests.support.waiting import PATIENCE, until
from tests.support.workloads import Workloads, controller_of


def suspended(sandbox: Object) -> bool:
    return bool(sandbox["spec"].get("operatingMode") == "Suspended")


def bound_to(task: Object) -> Object:
    return dict((status(task).get("workload") or {}).get("boundTo") or {})


async def fill_pool(workloads: Workloads, script: str, replicas: int = 0) -> Object:
    """Make a warm pool; with no replicas, each claim gets a sandbox made for it."""
    await workloads.create(manifests.sandbox_template("template", script))
    pool = await workloads.create(manifests.warm_pool("pool", "template", replicas=replicas))
    if replicas:
        await workloads.running(pool, replicas)

        # A sandbox is handed out only once its controller knows of its pod; until then a claim has one made for it.
        async def ready() -> bool:
            return bool(status(await workloads.get(pool)).get("readyReplicas") == replicas)

        await until(ready, PATIENCE, "the sandboxes of the pool ready")
    return pool


async def begin(ns: Namespace, workloads: Workloads, script: str, replicas: int = 0) -> tuple[Object, Object]:
    """Have task "a" run an agent in the sandbox of claim "mine"; returns claim and sandbox."""
    await fill_pool(workloads, script, replicas)
    claim = await workloads.create(manifests.claim("mine", "pool"))
    await workloads.adopt("a", claim)
    box = await workloads.sandbox_of(claim)
    await workloads.running(claim)
    await ns.phase("a", "Running")
    return claim, box


async def sandbox(ns: Namespace, like: Object) -> Object:
    return await ns.kube.get(SANDBOXES, ns.name, like["metadata"]["name"])


@pytest.mark.parametrize("warm", [False, True], ids=["made for it", "from a warm pool"])
async def test_the_sandbox_of_a_claim_is_stopped(
    ns: Namespace, operator: Operator, workloads: Workloads, warm: bool
) -> None:
    claim, box = await begin(ns, workloads, agents.graceful(), replicas=int(warm))
    assert (box["metadata"]["name"] == "mine") is not warm
    await ns.stop("a")
    task = await ns.ended("a")
    assert (status(task)["phase"], stop_of(task)["verdict"], exit_codes(task)) == ("Stopped", "Graceful", [0])
    workload = status(task)["workload"]
    assert (workload["kind"], workload["uid"]) == ("SandboxClaim", claim["metadata"]["uid"])
    assert (bound_to(task)["kind"], bound_to(task)["name"]) == ("Sandbox", box["metadata"]["name"])
    assert bound_to(task)["uid"] == box["metadata"]["uid"]
    assert suspended(await sandbox(ns, box))
    assert changed_by_us(await workloads.get(claim)) == set()
    assert changed_by_us(await sandbox(ns, box)) == {"operatingMode"}
    await workloads.gone(claim)


async def test_the_other_sandboxes_of_the_pool_are_left_alone(
    ns: Namespace, operator: Operator, workloads: Workloads
) -> None:
    claim, box = await begin(ns, workloads, agents.graceful(), replicas=1)
    await workloads.create(manifests.claim("other", "pool"))
    await ns.stop("a")
    await ns.ended("a")
    await ns.nothing_happens(0.5)
    boxes = await ns.kube.list(SANDBOXES, ns.name)
    assert len(boxes) >= 2
    assert [each["metadata"]["name"] for each in boxes if suspended(each)] == [box["metadata"]["name"]]
    await workloads.gone(claim)


async def test_a_claim_that_is_not_bound_is_waited_for(ns: Namespace, operator: Operator, workloads: Workloads) -> None:
    claim = await workloads.create(manifests.claim("mine", "pool"))
    await workloads.adopt("a", claim)
    task = await ns.until("a", lambda each: status(each).get("reason") == "ClaimNotBound", what="waiting")
    assert (status(task)["phase"], stalled(task)) == ("Pending", None)
    await fill_pool(workloads, agents.graceful())
    await workloads.running(claim)
    await ns.phase("a", "Running")
    await ns.stop("a")
    assert exit_codes(await ns.ended("a")) == [0]


async def test_a_claim_that_is_bound_after_its_stop_never_runs_for_long(
    ns: Namespace, operator: Operator, workloads: Workloads
) -> None:
    claim = await workloads.create(manifests.claim("mine", "pool"))
    await workloads.adopt("a", claim)
    await ns.until("a", lambda each: status(each).get("reason") == "ClaimNotBound", what="waiting")
    await ns.stop("a")
    task = await ns.ended("a")
    assert (status(task)["phase"], stop_of(task)["verdict"]) == ("Stopped", "NotStarted")
    await fill_pool(workloads, agents.graceful())
    box = await workloads.sandbox_of(claim)
    await ns.event("a", "StoppedAgain")
    assert suspended(await sandbox(ns, box))
    await workloads.gone(claim)
    assert status(await ns.task("a")) == status(task)


async def test_a_sandbox_that_only_has_the_claims_name_is_left_alone(
    ns: Namespace, operator: Operator, workloads: Workloads
) -> None:
    box = await workloads.create(manifests.sandbox("mine"))
    await workloads.running(box)
    await fill_pool(workloads, agents.graceful())
    claim = await workloads.create(manifests.claim("mine", "pool"))
    await workloads.adopt("a", claim, stopRequested=True)
    task = await ns.ended("a")
    assert (status(task)["phase"], stop_of(task)["verdict"]) == ("Stopped", "NotStarted")
    await ns.nothing_happens(0.5)
    assert not suspended(await workloads.get(box))
    assert len(await workloads.pods(box)) == 1


# Bound anew


async def rebound(ns: Namespace, workloads: Workloads, claim: Object, before: Object) -> Object:
    """Delete a claim's sandbox, and wait until it has another one; returns that."""
    await ns.kube.delete(SANDBOXES, ns.name, before["metadata"]["name"])
    found: list[Object] = []

    async def another() -> bool:
        boxes = await ns.kube.list(SANDBOXES, ns.name)
        found[:] = [each for each in boxes if controller_of(each) == claim["metadata"]["uid"]]
        return bool(found) and found[0]["metadata"]["uid"] != before["metadata"]["uid"]

    await until(another, PATIENCE, "claim bound anew")
    return found[0]


@pytest.mark.needs(Feature.GARBAGE_COLLECTION)
@pytest.mark.parametrize("warm", [False, True], ids=["made for it", "from a warm pool"])
async def test_a_claim_that_is_bound_anew_is_stopped_where_it_runs_now(
    ns: Namespace, operator: Operator, workloads: Workloads, warm: bool
) -> None:
    claim, first = await begin(ns, workloads, agents.graceful(), replicas=2 * int(warm))
    second = await rebound(ns, workloads, claim, first)
    await ns.until("a", lambda task: bound_to(task).get("uid") == second["metadata"]["uid"], what="bound to the other")
    await workloads.running(claim)
    assert status(await ns.task("a"))["phase"] == "Running"
    await ns.stop("a")
    task = await ns.ended("a")
    assert (status(task)["phase"], stop_of(task)["verdict"]) == ("Stopped", "Graceful")
    assert bound_to(task)["uid"] == second["metadata"]["uid"]
    assert suspended(await sandbox(ns, second))
    await workloads.gone(claim)


@pytest.mark.needs(Feature.GARBAGE_COLLECTION)
async def test_a_claim_that_is_bound_anew_in_the_middle_of_its_stop(
    ns: Namespace, operator: Operator, workloads: Workloads
) -> None:
    claim, first = await begin(ns, workloads, agents.graceful(1), replicas=2)
    await ns.stop("a")
    await ns.until("a", lambda task: "signaledAt" in stop_of(task), what="signaled")
    second = await rebound(ns, workloads, claim, first)
    task = await ns.ended("a")
    assert status(task)["phase"] == "Stopped"
    await workloads.gone(claim)
    assert suspended(await sandbox(ns, second))
    await ns.nothing_happens(1)
    assert not await workloads.pods(claim)


@pytest.mark.needs(Feature.GARBAGE_COLLECTION)
async def test_a_claim_that_is_bound_anew_after_its_stop_is_stopped_again(
    ns: Namespace, operator: Operator, workloads: Workloads
) -> None:
    claim, first = await begin(ns, workloads, agents.graceful())
    await ns.stop("a")
    task = await ns.ended("a")
    second = await rebound(ns, workloads, claim, first)
    await ns.event("a", "StoppedAgain")
    assert suspended(await sandbox(ns, second))
    await workloads.gone(claim)
    assert status(await ns.task("a")) == status(task)


async def test_a_claim_is_paused_and_comes_back(ns: Namespace, operator: Operator, workloads: Workloads) -> None:
    claim, box = await begin(ns, workloads, agents.graceful())
    await ns.patch("a", paused=True)
    await ns.phase("a", "Paused")
    assert suspended(await sandbox(ns, box))
    await workloads.gone(claim)
    await ns.patch("a", paused=False)
    await workloads.running(claim)
    task = await ns.until("a", lambda each: status(each).get("attempts") == 2, what="running again")
    assert status(task)["phase"] == "Running"
