"""Families of tasks: a stop goes down to all that descends, and comes back up once all of it has ended."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from tests.support import agents, laws, manifests
from tests.support.clusters import Feature
from tests.support.laws import children_of, conditions_of, exit_code, exit_codes, stalled, status, stop_of
from tests.support.namespaces import Namespace, pod_ref
from tests.support.operators import Operator
from tests.support.paper import PaperNode
from tests.support.workloads import Workloads

MIDDLE, LEAVES = 10, 100
"""How many tasks the large family has under its root, and under those."""

BETWEEN_SECONDS = 1 / 20
"""Pause between two tasks that are made."""

DEEPEST = 32
"""So many ancestors a task may have."""


async def child(ns: Namespace, name: str, parent: str, script: str = agents.IDLE, **spec: Any) -> None:
    """Make a task that runs an agent as the child of another."""
    await ns.create_task(name, agents.template(script, grace=2), parentRef={"name": parent}, **spec)


async def waiting(ns: Namespace, name: str, parent: str | None, **spec: Any) -> None:
    """Make a task that runs nothing: it waits for a pod that nobody makes."""
    above = {"parentRef": {"name": parent}} if parent is not None else {}
    await ns.create_task(name, workloadRef=pod_ref("nowhere-" + name), **above, **spec)


async def test_a_stop_goes_down_to_all_that_descends(ns: Namespace, operator: Operator) -> None:
    await ns.create_task("planner", agents.template(agents.graceful()))
    await child(ns, "researcher", "planner", agents.graceful())
    await child(ns, "reader", "researcher", agents.graceful())
    for name in ("planner", "researcher", "reader"):
        await ns.running(name)
    who = {"annotations": {"agentstop.dev/stop-requested-by": "jane@example.com"}}
    spec = {"stopRequested": True, "stop": {"reason": "RunawayCost", "message": "spent 40 USD"}}
    await ns.merge_task("planner", {"metadata": who, "spec": spec})
    for name in ("researcher", "reader"):
        task = await ns.ended(name)
        stop = stop_of(task)
        assert (status(task)["phase"], stop["verdict"], exit_code(task)) == ("Stopped", "Graceful", 0)
        assert (stop["source"], stop["origin"]) == ("Parent", "planner")
        assert (stop["requestedBy"], stop["reason"], stop["message"]) == (
            "jane@example.com",
            "RunawayCost",
            "spent 40 USD",
        )
        assert status(task)["manuallyStopped"] is True
        assert status(task)["reason"] == "ParentStopped"
    task = await ns.ended("planner")
    assert (stop_of(task)["source"], stop_of(task)["verdict"]) == ("User", "Graceful")
    assert children_of(task) == (2, 0)


async def test_a_family_is_stopped_whatever_it_runs_in(ns: Namespace, operator: Operator, workloads: Workloads) -> None:
    await ns.create_task("planner", agents.template(agents.graceful()))
    job = await workloads.create(manifests.job("job", agents.graceful(), parallelism=2))
    web = await workloads.create(manifests.deployment("web", agents.graceful()))
    box = await workloads.create(manifests.sandbox("box", agents.graceful()))
    made = {"in-a-job": (job, 2), "in-a-deployment": (web, 1), "in-a-sandbox": (box, 1)}
    for name, (worker, _) in made.items():
        await workloads.adopt(name, worker, parentRef={"name": "planner"})
    await ns.running("planner")
    for name, (worker, count) in made.items():
        await workloads.running(worker, count)
        await ns.phase(name, "Running")
    await ns.stop("planner")
    task = await ns.ended("planner")
    assert (status(task)["phase"], children_of(task)) == ("Stopped", (3, 0))
    for name, (worker, count) in made.items():
        task = await ns.task(name)
        assert (status(task)["phase"], stop_of(task)["origin"], exit_codes(task)) == ("Stopped", "planner", [0] * count)
        assert not workloads.processes(worker)


async def test_a_parent_is_stopped_only_when_its_children_are(ns: Namespace, operator: Operator) -> None:
    await ns.create_task("planner", agents.template(agents.graceful(0)))
    await child(ns, "deaf", "planner", agents.DEAF)
    await ns.running("planner")
    await ns.running("deaf")
    await ns.stop("planner")
    below = await ns.ended("deaf")
    task = await ns.ended("planner")
    assert laws.moment(stop_of(task)["confirmedAt"]) >= laws.moment(stop_of(below)["confirmedAt"])
    assert (stop_of(below)["verdict"], stop_of(task)["verdict"]) == ("Killed", "Graceful")
    waited = [each for each in ns.tasks.of("planner") if "waits for the tasks" in str(status(each).get("message"))]
    assert waited
    assert children_of(waited[0]) == (1, 1)


async def test_a_child_that_is_stopped_alone_leaves_its_parent_running(ns: Namespace, operator: Operator) -> None:
    await ns.create_task("planner", agents.template(agents.graceful()))
    await child(ns, "one", "planner", agents.graceful())
    await child(ns, "other", "planner", agents.graceful())
    for name in ("planner", "one", "other"):
        await ns.running(name)
    await ns.until("planner", lambda task: children_of(task) == (2, 2), what="counting two children")
    await ns.stop("one", reason="Mine")
    task = await ns.ended("one")
    assert (stop_of(task)["source"], stop_of(task)["reason"]) == ("User", "Mine")
    await ns.until("planner", lambda task: children_of(task) == (2, 1), what="counting one that is active")
    await ns.nothing_happens(0.5)
    for name in ("planner", "other"):
        assert status(await ns.task(name))["phase"] == "Running"
    await ns.stop("planner", reason="All")
    assert stop_of(await ns.ended("other"))["reason"] == "All"
    assert stop_of(await ns.task("one")) == stop_of(task)


async def test_the_grace_period_of_a_stop_holds_for_the_children_too(ns: Namespace, operator: Operator) -> None:
    await ns.create_task("planner", agents.template(agents.graceful()))
    await ns.create_task("deaf", agents.template(agents.DEAF, grace=120), parentRef={"name": "planner"})
    await ns.running("planner")
    await ns.running("deaf")
    await ns.stop("planner", gracePeriodSeconds=1)
    task = await ns.ended("deaf")
    assert (stop_of(task)["verdict"], stop_of(task)["gracePeriodSeconds"], exit_code(task)) == ("Killed", 1, 137)


async def test_the_deadline_of_a_parent_stops_its_children(ns: Namespace, operator: Operator) -> None:
    await ns.create_task("planner", agents.template(agents.graceful()), activeDeadlineSeconds=2)
    await child(ns, "researcher", "planner", agents.graceful())
    await ns.running("researcher")
    task = await ns.ended("researcher")
    assert (stop_of(task)["source"], stop_of(task)["origin"]) == ("Parent", "planner")
    assert status(task)["manuallyStopped"] is False
    assert stop_of(await ns.ended("planner"))["source"] == "Deadline"


async def test_a_parent_that_ends_by_itself_leaves_its_children_running(ns: Namespace, operator: Operator) -> None:
    await ns.create_task("planner", agents.template(agents.ending(1.5)))
    await child(ns, "researcher", "planner")
    await ns.running("researcher")
    assert status(await ns.ended("planner"))["phase"] == "Completed"
    await ns.nothing_happens(0.5)
    assert status(await ns.task("researcher"))["phase"] == "Running"


# Children that come too late


@pytest.mark.parametrize("paused", [False, True], ids=["", "paused"])
async def test_a_child_that_is_made_while_its_parent_is_stopping_never_starts(
    ns: Namespace, operator: Operator, paused: bool
) -> None:
    await ns.create_task("planner", agents.template(agents.DEAF, grace=2))
    await ns.running("planner")
    await ns.stop("planner")
    await ns.phase("planner", "Stopping")
    await child(ns, "late", "planner", paused=paused)
    task = await ns.ended("late")
    assert (status(task)["phase"], stop_of(task)["verdict"], stop_of(task)["source"]) == (
        "Stopped",
        "NotStarted",
        "Parent",
    )
    await ns.ended("planner")
    assert ns.pods.names() == ["planner"]


@pytest.mark.parametrize("phase", ["Stopped", "Completed", "Failed"])
async def test_a_child_that_is_made_after_its_parent_ended_never_starts(
    ns: Namespace, operator: Operator, phase: str
) -> None:
    script = agents.graceful() if phase == "Stopped" else agents.ending(0, code=0 if phase == "Completed" else 1)
    await ns.create_task("planner", agents.template(script))
    if phase == "Stopped":
        await ns.running("planner")
        await ns.stop("planner")
    assert status(await ns.ended("planner"))["phase"] == phase
    await child(ns, "late", "planner")
    task = await ns.ended("late")
    assert (status(task)["phase"], stop_of(task)["verdict"], stop_of(task)["source"]) == (
        "Stopped",
        "NotStarted",
        "Parent",
    )
    assert status(task)["manuallyStopped"] is (phase == "Stopped")
    assert ns.pods.names() == ["planner"]


# What holds up a stop


@asynccontextmanager
async def on_paper(ns: Namespace) -> AsyncIterator[PaperNode]:
    node = PaperNode(ns)
    await node.register()
    try:
        yield node
    finally:
        await node.remove()


@pytest.mark.needs(Feature.PAPER_NODES)
async def test_a_child_that_holds_up_the_stop_is_named(ns: Namespace, operator: Operator) -> None:
    async with on_paper(ns) as node:
        await ns.create_task("planner", agents.template(agents.graceful()))
        await ns.create_task("lost", node.template(), parentRef={"name": "planner"})
        await ns.running("planner")
        await node.run("lost")
        await ns.phase("lost", "Running")
        await node.say("Unknown")
        await ns.stop("planner")
        task = await ns.stalled("planner", "ChildStalled")
        assert status(task)["phase"] == "Stopping"
        assert "AgentTask lost" in conditions_of(task)["Stalled"]["message"]
        assert "NodeUnreachable" in conditions_of(task)["Stalled"]["message"]
        await node.say("True")
        await node.end("lost")
        task = await ns.ended("planner")
        assert (status(task)["phase"], stop_of(task)["verdict"], stalled(task)) == ("Stopped", "Graceful", None)


# References that lead nowhere


async def test_a_child_waits_for_a_parent_that_does_not_exist(ns: Namespace, operator: Operator) -> None:
    await child(ns, "orphan", "planner", agents.graceful())
    task = await ns.stalled("orphan", "ParentNotFound")
    assert status(task)["phase"] == "Pending"
    assert "AgentTask planner" in conditions_of(task)["Stalled"]["message"]
    await ns.nothing_happens(0.5)
    assert ns.pods.names() == []
    await ns.create_task("planner", agents.template(agents.graceful()))
    await ns.running("orphan")
    await ns.running("planner")
    await ns.stop("planner")
    assert exit_code(await ns.ended("orphan")) == 0


async def test_a_stop_of_a_child_whose_parent_does_not_exist(ns: Namespace, operator: Operator) -> None:
    await child(ns, "orphan", "planner")
    await ns.stalled("orphan", "ParentNotFound")
    await ns.stop("orphan")
    task = await ns.ended("orphan")
    assert (status(task)["phase"], stop_of(task)["verdict"], stop_of(task)["source"]) == (
        "Stopped",
        "NotStarted",
        "User",
    )


@pytest.mark.parametrize("length", [1, 2, 3])
async def test_a_circle_of_parents_starts_nothing_and_can_be_stopped(
    ns: Namespace, operator: Operator, length: int
) -> None:
    names = [f"a{number}" for number in range(length)]
    for number, name in enumerate(names):
        await child(ns, name, names[(number + 1) % length])
    for name in names:
        task = await ns.stalled(name, "ParentCycle")
        assert " -> ".join([name, *_following(names, name)]) in conditions_of(task)["Stalled"]["message"]
    assert ns.pods.names() == []
    await ns.stop("a0")
    for name in names:
        task = await ns.ended(name)
        assert (status(task)["phase"], stop_of(task)["verdict"]) == ("Stopped", "NotStarted")
    assert ns.pods.names() == []


def _following(names: list[str], name: str) -> list[str]:
    """Return the names after this one around the circle, up to itself."""
    first = names.index(name) + 1
    return [names[(first + step) % len(names)] for step in range(len(names))]


async def test_a_task_under_too_many_others_starts_nothing_and_is_stopped_with_them(
    ns: Namespace, operator: Operator
) -> None:
    names = [f"a{number}" for number in range(DEEPEST + 1)]
    for above, name in zip([None, *names], names, strict=False):
        await waiting(ns, name, above)
    await child(ns, "too-deep", names[-1])
    task = await ns.stalled("too-deep", "ParentTooDeep")
    assert str(DEEPEST) in conditions_of(task)["Stalled"]["message"]
    assert stalled(await ns.until(names[-1], lambda each: bool(status(each)), what="seen")) is None
    assert ns.pods.names() == []
    await ns.stop("a0")
    for name in [*names[1:], "too-deep"]:
        task = await ns.ended(name)
        assert (status(task)["phase"], stop_of(task)["origin"]) == ("Stopped", "a0")
    task = await ns.ended("a0")
    assert children_of(task) == (DEEPEST + 1, 0)


# Parents that are deleted


async def test_the_deletion_of_a_parent_follows_what_its_children_want(ns: Namespace, operator: Operator) -> None:
    await ns.create_task("planner", agents.template(agents.graceful()))
    await child(ns, "stays", "planner", agents.graceful())
    await child(ns, "goes", "planner", agents.graceful(), deletionPolicy="Stop")
    for name in ("planner", "stays", "goes"):
        await ns.running(name)
    await ns.delete_task("planner")
    task = await ns.ended("goes")
    assert (status(task)["phase"], stop_of(task)["verdict"], exit_code(task)) == ("Stopped", "Graceful", 0)
    assert (stop_of(task)["source"], stop_of(task)["origin"]) == ("Parent", "planner")
    assert status(task)["manuallyStopped"] is False
    await ns.tasks.until_gone("planner")
    await ns.nothing_happens(1)
    task = await ns.task("stays")
    assert (status(task)["phase"], stalled(task)) == ("Running", None)
    await ns.stop("stays")
    assert exit_code(await ns.ended("stays")) == 0


async def test_a_parent_that_is_deleted_in_the_middle_of_its_stop(ns: Namespace, operator: Operator) -> None:
    await ns.create_task("planner", agents.template(agents.graceful()))
    await child(ns, "researcher", "planner", agents.graceful(1))
    await ns.running("planner")
    await ns.running("researcher")
    await ns.stop("planner")
    await ns.delete_task("planner")
    task = await ns.ended("researcher")
    assert (status(task)["phase"], exit_code(task)) == ("Stopped", 0)


# A large family


async def test_none_of_a_large_family_escapes_while_it_still_grows(ns: Namespace, operator: Operator) -> None:
    await ns.create_task("root", agents.template(agents.graceful(0)))
    middle = [f"m{number}" for number in range(MIDDLE)]
    for name in middle:
        await child(ns, name, "root", agents.graceful(0))
    for name in ["root", *middle]:
        await ns.running(name)
    growing = asyncio.create_task(_grow(ns, middle))
    await ns.until("root", lambda task: children_of(task)[0] >= MIDDLE + LEAVES // 3, what="with a third of its leaves")
    await ns.stop("root")
    leaves = await growing
    accepted_at = laws.moment(stop_of(await ns.ended("root"))["acceptedAt"])
    for name in [*middle, *leaves]:
        task = await ns.ended(name)
        stop = stop_of(task)
        assert (status(task)["phase"], stop["source"], stop["origin"]) == ("Stopped", "Parent", "root"), name
        if laws.moment(task["metadata"]["creationTimestamp"]) > accepted_at:
            assert stop["verdict"] == "NotStarted", name
            assert name not in ns.pods.names()
    assert {stop_of(await ns.task(name))["verdict"] for name in leaves} >= {"NotStarted", "Graceful"}


async def _grow(ns: Namespace, above: list[str]) -> list[str]:
    """Make the leaves of the family, one after the other."""
    names = [f"l{number}" for number in range(LEAVES)]
    for number, name in enumerate(names):
        await child(ns, name, above[number % len(above)], agents.graceful(0))
        await asyncio.sleep(BETWEEN_SECONDS)
    return names
