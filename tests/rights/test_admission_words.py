"""What an agent wrote beforehand is not what the stopper says: spec.stop, on a real API server."""

from typing import Any

import pytest

from tests.support import agents
from tests.support.kube import APPLY, TASKS, Object
from tests.support.laws import stop_of
from tests.support.namespaces import API_VERSION, Namespace
from tests.support.operators import Operator

from .conftest import Users
from .test_admission import POD_RIGHTS, STOP, TASK_RIGHTS, refused, stamp_of, task

WRITTEN = "agentstop.dev/stop-written-by"
BEFOREHAND: Object = {
    "reason": "Mine",
    "message": "all is well",
    "podPolicy": "Delete",
    "fence": "Never",
    "onUnconfirmed": "MarkStopped",
    "gracePeriodSeconds": 3000,
}
CLEARED: Object = {"podPolicy": "Keep", "fence": "AtRequest", "onUnconfirmed": "Wait"}


async def written(ns: Namespace, users: Users, *, grace: int = 5, **stop: Any) -> None:
    """Have an agent write into its task how it wants to be stopped."""
    agent = await users.grant("agent", TASK_RIGHTS, POD_RIGHTS)
    await ns.create_task("a", agents.template(agents.graceful(), grace=grace))
    made = await agent.merge(TASKS, ns.name, "a", {"spec": {"stop": stop or BEFOREHAND}})
    assert stamp_of(made, WRITTEN) == "agent"


async def test_a_stop_without_words_has_none_of_the_agents(ns: Namespace, users: Users, operator: Operator) -> None:
    await written(ns, users)
    await ns.running("a")
    jane = await users.bind("jane", "agentstop-stop")
    made = await jane.merge(TASKS, ns.name, "a", STOP)
    assert (stamp_of(made), made["spec"]["stop"]) == ("jane", CLEARED)
    record = stop_of(await ns.ended("a"))
    assert (record["requestedBy"], record["gracePeriodSeconds"]) == ("jane", 5)
    assert not record.keys() & {"reason", "message"}
    assert await ns.pod("a")


async def test_what_the_stopper_says_stays_and_nothing_else(ns: Namespace, users: Users) -> None:
    await written(ns, users)
    jane = await users.bind("jane", "agentstop-stop")
    said = {"reason": "RunawayCost", "gracePeriodSeconds": 2}
    made = await jane.merge(TASKS, ns.name, "a", {"spec": {"stopRequested": True, "stop": said}})
    assert made["spec"]["stop"] == {**CLEARED, **said}


@pytest.mark.parametrize(("grace", "written_seconds", "kept"), [(5, 6, None), (5, 5, 5), (3000, 1, 1)])
async def test_a_shorter_grace_period_stays_so_that_none_can_be_lost(
    ns: Namespace, users: Users, grace: int, written_seconds: int, kept: int | None
) -> None:
    """A request does not say whether it means what stood there: a second that an agent foresaw is one."""
    await written(ns, users, grace=grace, gracePeriodSeconds=written_seconds)
    jane = await users.bind("jane", "agentstop-stop")
    body = {"spec": {"stopRequested": True, "stop": {"gracePeriodSeconds": written_seconds}}}
    made = await jane.merge(TASKS, ns.name, "a", body)
    assert made["spec"]["stop"].get("gracePeriodSeconds") == kept


async def test_what_the_stopper_wrote_beforehand_stays(ns: Namespace, users: Users) -> None:
    """Such as a platform that makes its tasks so, or a commit that comes before the one that stops."""
    maker = await users.grant("maker", TASK_RIGHTS, POD_RIGHTS)
    made = await maker.create(TASKS, ns.name, task("a", stop=BEFOREHAND))
    assert stamp_of(made, WRITTEN) == "maker"
    made = await maker.merge(TASKS, ns.name, "a", STOP)
    assert made["spec"]["stop"] == BEFOREHAND


async def test_nobody_says_that_somebody_else_wrote_it(ns: Namespace, users: Users) -> None:
    agent = await users.grant("agent", TASK_RIGHTS, POD_RIGHTS)
    forged = {WRITTEN: "jane"}
    await refused(agent.create(TASKS, ns.name, task("a", annotations=forged)))
    made = await agent.create(TASKS, ns.name, task("a", annotations=forged, stop=BEFOREHAND))
    assert stamp_of(made, WRITTEN) == "agent"
    made = await agent.merge(TASKS, ns.name, "a", {"metadata": {"annotations": forged}})
    assert stamp_of(made, WRITTEN) == "agent"


CHANGES: dict[str, Object] = {
    "other words": {"stop": {"reason": "Mine", "message": "all is well"}},
    "MarkStopped": {"stop": {"onUnconfirmed": "MarkStopped"}},
    "Delete": {"stop": {"podPolicy": "Delete"}},
    "no words": {"stop": {"reason": None, "message": None}},
    "nothing": {"stop": None},
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
async def test_what_a_stop_says_is_not_for_others_to_change(ns: Namespace, users: Users, change: Object) -> None:
    """They are not refused, so that no sync fails for it, and a shorter grace period goes through."""
    agent = await users.grant("agent", TASK_RIGHTS, POD_RIGHTS)
    jane = await users.bind("jane", "agentstop-stop")
    await agent.create(TASKS, ns.name, task("a"))
    said = {"reason": "RunawayCost", "message": "40 USD"}
    before = await jane.merge(TASKS, ns.name, "a", {"spec": {"stopRequested": True, "stop": said}})
    assert (await agent.merge(TASKS, ns.name, "a", {"spec": change}))["spec"] == before["spec"]
    shorter = {"stop": {**(change["stop"] or {}), "gracePeriodSeconds": 1}}
    made = await agent.merge(TASKS, ns.name, "a", {"spec": shorter})
    assert made["spec"]["stop"] == {**before["spec"]["stop"], "gracePeriodSeconds": 1}


async def test_where_a_stop_says_nothing_others_add_nothing(ns: Namespace, users: Users) -> None:
    agent = await users.grant("agent", TASK_RIGHTS, POD_RIGHTS)
    jane = await users.bind("jane", "agentstop-stop")
    await agent.create(TASKS, ns.name, task("a"))
    await jane.merge(TASKS, ns.name, "a", STOP)
    made = await agent.merge(TASKS, ns.name, "a", {"spec": {"stop": BEFOREHAND}})
    assert made["spec"]["stop"] == CLEARED
    made = await agent.merge(TASKS, ns.name, "a", {"spec": {"stop": {**BEFOREHAND, "gracePeriodSeconds": 3}}})
    assert made["spec"]["stop"] == {**CLEARED, "gracePeriodSeconds": 3}


async def test_the_stopper_and_administrators_may_add_to_it(ns: Namespace, users: Users) -> None:
    """A stop that hangs is given up by who asked for it, or by an administrator: see the runbook."""
    maker = await users.grant("maker", TASK_RIGHTS, POD_RIGHTS)
    jane = await users.bind("jane", "agentstop-stop")
    await maker.create(TASKS, ns.name, task("a"))
    await jane.merge(TASKS, ns.name, "a", STOP)
    made = await jane.merge(TASKS, ns.name, "a", {"spec": {"stop": {"onUnconfirmed": "MarkStopped"}}})
    assert made["spec"]["stop"]["onUnconfirmed"] == "MarkStopped"
    made = await ns.patch("a", stop={"podPolicy": "Delete"})
    assert made["spec"]["stop"]["podPolicy"] == "Delete"


async def test_a_sync_after_somebody_elses_stop_does_not_fail(ns: Namespace, users: Users) -> None:
    """Git has `stop` in it, which the docs advise against; a person stops; Git is applied again, and again."""
    git = await users.grant("maker", TASK_RIGHTS, POD_RIGHTS)
    jane = await users.bind("jane", "agentstop-stop")
    query = {"fieldManager": "git", "force": "true"}
    body = {**task("a", stop=BEFOREHAND), "apiVersion": API_VERSION}

    async def sync(**spec: Any) -> Object:
        applied = {**body, "spec": {**body["spec"], **spec}}
        return await git.call("PATCH", TASKS.path(ns.name, "a"), applied, content_type=APPLY, query=query)

    await sync()
    await jane.merge(TASKS, ns.name, "a", STOP)
    for spec in ({}, {"stopRequested": True}, {"stopRequested": True}):
        stop = (await sync(**spec))["spec"]["stop"]
        assert stop == CLEARED
