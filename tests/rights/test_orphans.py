"""An agent that has its task deleted without its pod gets around no stop, no order and no hold."""

import pytest

from agentstop.api.meta import TASK_LABEL
from tests.support import agents
from tests.support.kube import PODS, TASKS, Object
from tests.support.laws import exit_code, status, stop_of
from tests.support.namespaces import Namespace, pod_ref
from tests.support.operators import Operator, Operators
from tests.support.waiting import PATIENCE, until

from .conftest import Users
from .test_admission import EDIT, ORDERS, POD_RIGHTS, TASK_RIGHTS, order, refused, task

ON_TASKS = ("agentstop.dev", "agenttasks", ("get", "create", "update", "patch", "delete"))
ON_PODS = ("", "pods", EDIT)
DISOWNED: Object = {"metadata": {"ownerReferences": None}}
HOLD: Object = {"selector": {}, "hold": True}


async def started(ns: Namespace, name: str = "a", script: str = agents.DEAF, *, grace: int = 2) -> None:
    await ns.create_task(name, agents.template(script, grace=grace))
    await ns.running(name)


async def ended(ns: Namespace, pod: str = "a") -> None:
    await until(lambda: not ns.processes(pod), PATIENCE, f"no process of {pod}")


async def orphan(ns: Namespace, name: str = "a") -> None:
    """Delete a task without its pod, with more rights than any agent has."""
    await ns.kube.delete(TASKS, ns.name, name, propagation="Orphan")
    await ns.tasks.until_gone(name)


async def held(ns: Namespace, users: Users) -> Object:
    """Have everything stopped and held, and wait until that says that all has ended."""
    jane = await users.bind("jane", "agentstop-stop")
    await jane.create(ORDERS, ns.name, {**order(), "spec": HOLD})
    found: list[Object] = [{}]

    async def holds() -> bool:
        found[0] = status(await ns.kube.get(ORDERS, ns.name, "o"))
        return found[0].get("phase") == "Holding"

    await until(holds, PATIENCE, "Holding")
    return found[0]


async def test_a_task_that_is_deleted_without_its_pod_takes_it_along(ns: Namespace, operator: Operator) -> None:
    await started(ns)
    await orphan(ns)
    await ended(ns)


async def test_an_owner_that_is_taken_off_before_the_task_is_deleted(
    ns: Namespace, users: Users, operator: Operator
) -> None:
    """An agent may do that itself, with rights on pods and tasks."""
    await started(ns)
    agent = await users.grant("agent", ON_TASKS, ON_PODS)
    await agent.merge(PODS, ns.name, "a", {**DISOWNED, "metadata": {**DISOWNED["metadata"], "finalizers": ["a.b/c"]}})
    await agent.delete(TASKS, ns.name, "a")
    await refused(agent.merge(PODS, ns.name, "a", {"metadata": {"labels": {TASK_LABEL: None}}}))
    await ended(ns)
    await ns.patch_pod("a", {"metadata": {"finalizers": None}})


@pytest.mark.parametrize("how", ["orphan", "disown"])
async def test_a_hold_means_the_pod_of_a_task_that_went_while_no_operator_ran(
    ns: Namespace, users: Users, operators: Operators, how: str
) -> None:
    operator = await operators.start(ns.name)
    await started(ns, grace=5)
    await operator.program.kill()
    if how == "orphan":
        await orphan(ns)
    else:
        agent = await users.grant("agent", ON_TASKS, ON_PODS)
        await agent.merge(PODS, ns.name, "a", DISOWNED)
        await agent.delete(TASKS, ns.name, "a")
    assert ns.processes("a")
    await operators.start(ns.name)
    await held(ns, users)
    assert not ns.processes("a"), "the order says that all has ended"
    await operators.end_private()


async def test_a_task_made_again_under_the_name_of_the_former_hides_no_pod(
    ns: Namespace, users: Users, operator: Operator
) -> None:
    await started(ns)
    old = (await ns.pod("a"))["metadata"]["uid"]
    agent = await users.grant("agent", TASK_RIGHTS, POD_RIGHTS)
    await orphan(ns)
    ns.mean(await agent.create(TASKS, ns.name, task("a", podTemplate=agents.template(agents.graceful()))))
    await ns.pods.until_gone("a", of=old)
    await ns.stop("a")
    assert stop_of(await ns.ended("a"))["verdict"] in {"Graceful", "NotStarted"}
    await ended(ns)


async def test_the_attackers_orphan_holds_up_no_stop_next_door(ns: Namespace, users: Users, operator: Operator) -> None:
    """Its pods cannot be ended for a while: whoever else is to be stopped does not notice."""
    for number in range(5):
        await started(ns, f"evil{number}", grace=15)
    await ns.create_task("good", agents.template(agents.graceful()))
    await ns.running("good")
    for number in range(5):
        await orphan(ns, f"evil{number}")
    await ns.stop("good")
    last = await ns.ended("good")
    assert (stop_of(last)["verdict"], exit_code(last)) == ("Graceful", 0)
    for number in range(5):
        await ended(ns, f"evil{number}")


async def test_a_pod_that_is_adopted_before_its_task_goes_is_stopped_with_the_rest(
    ns: Namespace, users: Users, operator: Operator
) -> None:
    await started(ns)
    agent = await users.grant("agent", ON_TASKS, ON_PODS)
    await agent.merge(PODS, ns.name, "a", DISOWNED)
    await agent.create(TASKS, ns.name, task("mine", workloadRef=pod_ref("a")))
    await ns.running("mine")
    await agent.delete(TASKS, ns.name, "a")
    await held(ns, users)
    assert not ns.processes("a")


async def test_only_those_who_are_exempt_let_a_pod_go(ns: Namespace, users: Users, operator: Operator) -> None:
    """Without the label nobody ends it."""
    await started(ns)
    unlabelled = {"metadata": {"labels": {TASK_LABEL: None}}}
    agent = await users.grant("agent", ON_PODS)
    await refused(agent.merge(PODS, ns.name, "a", unlabelled))
    await ns.patch_pod("a", unlabelled)
    await orphan(ns)
    await ns.nothing_happens(3)
    assert ns.processes("a")
