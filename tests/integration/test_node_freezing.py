"""The component on the node freezes pods and has them go on, as PodControls ask for; here the test makes these.

The judge is what the agent writes. On the playground's node the test puts the processes into the pods' cgroups.
"""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.support import agents, components
from tests.support.clusters import Cluster
from tests.support.components import NodeComponent, controls
from tests.support.kube import POD_CONTROLS, Object
from tests.support.namespaces import Namespace
from tests.support.operators import Operators
from tests.support.waiting import PATIENCE, until

BEATING = "n=0; echo ready; while :; do n=$((n + 1)); echo beat $n; sleep 0.02; done"
"""Says a number again and again, and never the same one twice."""

SILENCE = 1.0
"""Seconds for which nothing may be heard of what is frozen."""

ON_THE_WAY = 0.5
"""Seconds after which is written what was said before the freeze."""

FLIPS = 50


@pytest.fixture
async def node(ns: Namespace, cluster: Cluster, launch: Operators) -> AsyncIterator[NodeComponent]:
    await launch.start(ns.name)
    async with components.component(cluster, ns.name) as made:
        yield made


async def beating(ns: Namespace, node: NodeComponent, name: str = "a") -> str:
    """Have an agent run that writes all the time; returns the UID of its pod."""
    await ns.create_task(name, agents.template(BEATING, grace=1))
    await ns.running(name)
    return await node.hold(ns, name)


async def ask(ns: Namespace, uid: str, state: str, name: str = "a") -> int:
    """Ask for a state of a pod; returns the generation of the PodControl that does."""
    if uid in await controls(ns):
        changed = await ns.kube.merge(POD_CONTROLS, ns.name, uid, {"spec": {"state": state}})
        return int(changed["metadata"]["generation"])
    pod = await ns.pod(name)
    owner = {"apiVersion": "v1", "kind": "Pod", "name": name, "uid": uid}
    spec = {"nodeName": pod["spec"]["nodeName"], "podUID": uid, "taskName": name, "state": state}
    body = {"apiVersion": "agentstop.dev/v1alpha1", "kind": "PodControl", "spec": spec}
    made = await ns.create(POD_CONTROLS, {**body, "metadata": {"name": uid, "ownerReferences": [owner]}})
    return int(made["metadata"]["generation"])


async def answered(ns: Namespace, uid: str, state: str, generation: int) -> Object:
    """Wait until the node says that what was asked for is so; returns the status."""

    async def said() -> bool:
        status = await status_of(ns, uid)
        ready = (status.get("conditions") or [{}])[0]
        return (status.get("state"), status.get("observedGeneration"), ready.get("status")) == (
            state,
            generation,
            "True",
        )

    await until(said, PATIENCE, f"{state} by the kernel's word")
    return await status_of(ns, uid)


async def status_of(ns: Namespace, uid: str) -> Object:
    status: Object = (await controls(ns))[uid].get("status") or {}
    return status


async def beats(ns: Namespace, name: str = "a") -> list[int]:
    return [int(line.split()[-1]) for line in (await ns.logs(name)).splitlines() if "beat " in line]


async def is_silent(ns: Namespace, name: str = "a") -> int:
    """Check that nothing is heard of an agent; returns the last that was."""
    await ns.nothing_happens(ON_THE_WAY)
    before = await beats(ns, name)
    await ns.nothing_happens(SILENCE)
    assert await beats(ns, name) == before
    return before[-1]


async def goes_on(ns: Namespace, before: int = 0, name: str = "a") -> None:
    async def further() -> bool:
        return (await beats(ns, name) or [0])[-1] > before

    await until(further, PATIENCE, f"{name} at work again")
    numbers = await beats(ns, name)
    assert numbers == sorted(set(numbers)), "it began again"


async def test_a_pod_is_frozen_and_goes_on_where_it_was(ns: Namespace, node: NodeComponent) -> None:
    uid = await beating(ns, node)
    await goes_on(ns)
    status = await answered(ns, uid, "Frozen", await ask(ns, uid, "Frozen"))
    assert status["processes"] >= 1
    assert "empty" not in status
    last = await is_silent(ns)
    assert ns.processes("a"), "it is there, and does nothing"
    status = await answered(ns, uid, "Running", await ask(ns, uid, "Running"))
    assert "processes" not in status
    await goes_on(ns, last)
    (container,) = (await ns.pod("a"))["status"]["containerStatuses"]
    assert (container["restartCount"], "running" in container["state"]) == (0, True)
    _, numbers = await node.get("/metrics")
    assert "agentstop_node_freeze_seconds_count 1.0" in numbers
    assert "agentstop_node_thaw_seconds_count 1.0" in numbers


async def test_a_frozen_pod_is_killed(ns: Namespace, node: NodeComponent) -> None:
    uid = await beating(ns, node)
    await answered(ns, uid, "Frozen", await ask(ns, uid, "Frozen"))
    last = await is_silent(ns)
    await ask(ns, uid, "Killed")
    await until(lambda: not ns.processes("a"), PATIENCE, "killed")

    async def said() -> bool:
        return (await status_of(ns, uid)).get("state") == "Killed"

    await until(said, PATIENCE, "Killed by the kernel's word")
    assert (await beats(ns))[-1] == last, "it was killed as it was"


async def test_one_that_is_flipped_without_end_is_in_the_end_as_was_asked_last(
    ns: Namespace, node: NodeComponent
) -> None:
    uid = await beating(ns, node)
    for last in ("Running", "Frozen"):
        for number in range(FLIPS):
            generation = await ask(ns, uid, "Frozen" if number % 2 else "Running")
            await asyncio.sleep(0.01)
        generation = await ask(ns, uid, last)
        await answered(ns, uid, last, generation)
    number = await is_silent(ns)
    await answered(ns, uid, "Running", await ask(ns, uid, "Running"))
    await goes_on(ns, number)


async def test_a_freeze_holds_while_the_component_is_away_and_then_is_what_was_asked_meanwhile(
    ns: Namespace, node: NodeComponent
) -> None:
    uid = await beating(ns, node)
    await answered(ns, uid, "Frozen", await ask(ns, uid, "Frozen"))
    since = (await status_of(ns, uid))["since"]
    await node.kill()
    last = await is_silent(ns)
    await node.start()
    assert await is_silent(ns) == last
    assert (await status_of(ns, uid))["since"] == since

    await node.kill()
    generation = await ask(ns, uid, "Running")
    assert await is_silent(ns) == last
    await node.start()
    await answered(ns, uid, "Running", generation)
    await goes_on(ns, last)


@pytest.mark.parametrize("away", [False, True], ids=["while it is there", "while it is away"])
async def test_nothing_stays_frozen_because_an_object_is_gone(ns: Namespace, node: NodeComponent, away: bool) -> None:
    uid = await beating(ns, node)
    await answered(ns, uid, "Frozen", await ask(ns, uid, "Frozen"))
    last = await is_silent(ns)
    if away:
        await node.kill()
    await ns.kube.delete(POD_CONTROLS, ns.name, uid)
    if away:
        assert await is_silent(ns) == last
        await node.start()
    await goes_on(ns, last)


async def test_a_pod_that_ends_and_one_that_is_made_in_its_place(ns: Namespace, node: NodeComponent) -> None:
    """The freeze is of a pod, not of a name."""
    uid = await beating(ns, node)
    await answered(ns, uid, "Frozen", await ask(ns, uid, "Frozen"))
    await ns.stop("a")
    await until(lambda: not ns.processes("a"), PATIENCE, "SIGKILL ends what is frozen")
    await ns.ended("a")
    other = await beating(ns, node, "b")
    assert other != uid
    await goes_on(ns, 0, "b")


@pytest.mark.parametrize("wrong", [{"taskName": "b"}, {"nodeName": "elsewhere"}])
async def test_a_pod_that_is_not_known_to_be_the_tasks_is_not_frozen(
    ns: Namespace, node: NodeComponent, wrong: dict[str, Any]
) -> None:
    uid = await beating(ns, node)
    await ns.create_task("b", agents.template())
    await ns.running("b")
    spec = {"nodeName": (await ns.pod("a"))["spec"]["nodeName"], "podUID": uid, "taskName": "a", "state": "Frozen"}
    body = {"apiVersion": "agentstop.dev/v1alpha1", "kind": "PodControl", "metadata": {"name": uid}}
    await ns.create(POD_CONTROLS, {**body, "spec": spec | wrong})
    await ns.nothing_happens(2.0)
    await goes_on(ns, (await beats(ns))[-1])
    assert (await status_of(ns, uid)).get("state") is None
