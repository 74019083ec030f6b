"""A pause that freezes holds what runs where it is, and lets it go on there; a stop comes before it.

The judge is what the agent writes. On the playground's node the test puts the processes into the pods' cgroups.
"""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support import agents, cgroups, disks, manifests
from tests.support.clusters import Cluster, Feature
from tests.support.components import NodeComponent, controls
from tests.support.kube import PODS, KubeError, Object
from tests.support.laws import exit_codes, moment, pods_of, stalled, status, stop_of
from tests.support.namespaces import Namespace
from tests.support.operators import Operator, Operators
from tests.support.waiting import PATIENCE, until
from tests.support.workloads import Workloads

BEATING = (
    "trap 'echo checkpoint; exit 0' TERM; echo ready; n=0; while :; do n=$((n + 1)); echo beat $n; sleep 0.02; done"
)
"""Says a number again and again, never the same one twice, and ends well on SIGTERM."""

STUBBORN = BEATING.replace("'echo checkpoint; exit 0'", "''")
"""The same, and it ignores SIGTERM."""

SILENCE = 1.0
"""Seconds for which nothing may be heard of what is frozen."""

ON_THE_WAY = 0.5
"""Seconds after which is written what was said before the freeze."""

A_FEW_BEATS = 5
"""So often an agent says something in the time between its thaw and SIGTERM, at most: none but what it had begun."""


async def beating(ns: Namespace, node: NodeComponent, script: str = BEATING, *, grace: int = 20) -> Object:
    """Have an agent run that writes all the time."""
    await ns.create_task("a", agents.template(script, grace=grace), pausePolicy="Freeze")
    task = await ns.running("a")
    await node.hold(ns, "a")
    return task


async def frozen(ns: Namespace, name: str = "a") -> Object:
    """Pause a task, and wait until it is frozen."""
    await ns.patch(name, paused=True)
    return await ns.until(name, lambda task: status(task).get("reason") == "Frozen", what="frozen")


async def runs(ns: Namespace, name: str = "a") -> Object:
    """Resume a task, and wait until it runs."""
    generation = (await ns.patch(name, paused=False))["metadata"]["generation"]

    def again(task: Object) -> bool:
        return (status(task).get("phase"), status(task).get("observedGeneration")) == ("Running", generation)

    return await ns.until(name, again, what="running again")


async def beats(ns: Namespace, pod: str = "a") -> list[int]:
    return [int(line.split()[-1]) for line in (await ns.logs(pod)).splitlines() if "beat " in line]


async def is_silent(ns: Namespace, pod: str = "a") -> int:
    """Check that nothing is heard of an agent; returns the last that was."""
    await ns.nothing_happens(ON_THE_WAY)
    before = await beats(ns, pod)
    await ns.nothing_happens(SILENCE)
    assert await beats(ns, pod) == before
    return before[-1]


async def goes_on(ns: Namespace, before: int = 0, pod: str = "a") -> None:
    async def further() -> bool:
        return (await beats(ns, pod) or [0])[-1] > before

    await until(further, PATIENCE, f"{pod} at work again")
    numbers = await beats(ns, pod)
    assert numbers == sorted(set(numbers)), "it began again"


async def test_a_task_is_frozen_and_goes_on_where_it_was(ns: Namespace, asking: Operator, node: NodeComponent) -> None:
    first = await beating(ns, node)
    task = await frozen(ns)
    assert (status(task)["phase"], status(task)["pausePolicy"], status(task)["attempts"]) == ("Paused", "Freeze", 1)
    (pod,) = pods_of(task)
    assert moment(pod["frozenAt"]) <= moment(status(task)["pausedAt"])
    assert exit_codes(task) == [None]
    last = await is_silent(ns)
    await ns.event("a", "Frozen")

    task = await runs(ns)
    assert (status(task)["attempts"], status(task)["startedAt"]) == (1, status(first)["startedAt"])
    assert status(task)["pausedSeconds"] >= SILENCE
    assert {"pausedAt", "pausePolicy"}.isdisjoint(status(task))
    assert "frozenAt" not in pods_of(task)[0]
    await goes_on(ns, last)
    (container,) = (await ns.pod("a"))["status"]["containerStatuses"]
    assert (container["restartCount"], "running" in container["state"]) == (0, True)
    await frozen(ns)
    last = await is_silent(ns)
    await runs(ns)
    await goes_on(ns, last)


async def test_a_stop_of_a_frozen_task_ends_it_in_its_grace_period(
    ns: Namespace, asking: Operator, node: NodeComponent
) -> None:
    await beating(ns, node)
    await frozen(ns)
    last = await is_silent(ns)
    await ns.stop("a")
    task = await ns.ended("a")
    assert (status(task)["phase"], stop_of(task)["verdict"], exit_codes(task)) == ("Stopped", "Graceful", [0])
    assert "pausePolicy" not in status(task)
    assert "checkpoint" in await ns.logs("a")
    assert (await beats(ns))[-1] <= last + A_FEW_BEATS, "it works on before SIGTERM"
    assert not ns.processes("a")


async def test_a_stop_at_once_of_a_frozen_task_lets_it_do_nothing_more(
    ns: Namespace, asking: Operator, node: NodeComponent
) -> None:
    await beating(ns, node, STUBBORN, grace=300)
    await frozen(ns)
    last = await is_silent(ns)
    await ns.stop("a", gracePeriodSeconds=1)
    task = await ns.ended("a")
    assert (status(task)["phase"], stop_of(task)["verdict"], exit_codes(task)) == ("Stopped", "Killed", [137])
    assert last
    assert not ns.processes("a")


async def test_without_an_answer_it_says_so_and_runs_on(ns: Namespace, asking: Operator) -> None:
    await ns.create_task("a", agents.template(BEATING), pausePolicy="Freeze")
    await ns.running("a")
    await ns.patch("a", paused=True)
    task = await ns.stalled("a", "NodeComponentSilent")
    assert status(task)["phase"] == "Pausing"
    await goes_on(ns, (await beats(ns))[-1])
    await runs(ns)
    await ns.patch("a", paused=True)
    await ns.stalled("a", "NodeComponentSilent")
    await ns.patch("a", pausePolicy="Terminate")
    task = await ns.phase("a", "Paused")
    assert (status(task)["reason"], exit_codes(task)) == ("Paused", [0])


async def test_what_waits_in_the_kernel_is_said_to_and_frozen_when_it_comes_back(
    ns: Namespace, asking: Operator, node: NodeComponent, cluster: Cluster, tmp_path: Path
) -> None:
    if Feature.OWN_NODE not in cluster.features:
        pytest.skip("the agent has to see a folder of the test's")
    with disks.disk(tmp_path) as disk:
        await beating(ns, node, BEATING.replace("echo beat $n", f"echo $n > {disk.folder}/work; echo beat $n"))
        await goes_on(ns)
        disk.hold()
        await ns.patch("a", paused=True)
        task = await ns.stalled("a", "KernelDoesNotFreeze")
        assert status(task)["phase"] == "Pausing", "it is not said to be frozen"
        last = await is_silent(ns)
        disk.let_go()
        await ns.until("a", lambda task: status(task).get("reason") == "Frozen", what="frozen")
        assert await is_silent(ns) == last, "it did nothing more when it came back"
        await runs(ns)
        await goes_on(ns, last)


@pytest.mark.parametrize(
    ("reason", "more"),
    [
        ("NodesNotAsked", {}),
        ("LivenessProbe", {"livenessProbe": {"exec": {"command": ["true"]}, "periodSeconds": 1000}}),
    ],
)
async def test_what_cannot_be_frozen_is_not_ended_instead(
    ns: Namespace, launch: Operators, reason: str, more: Object
) -> None:
    await launch.start(ns.name, options=["--ask-nodes"] if more else [])
    spec = agents.pod_spec(BEATING) | {"containers": [agents.container(BEATING, **more)]}
    await ns.create_task("a", {"spec": spec}, pausePolicy="Freeze")
    await ns.running("a")
    await ns.patch("a", paused=True)
    task = await ns.stalled("a", reason)
    assert status(task)["phase"] == "Pausing"
    await ns.nothing_happens(ON_THE_WAY)
    assert not await controls(ns)
    await goes_on(ns, (await beats(ns))[-1])
    task = await runs(ns)
    assert (status(task)["attempts"], stalled(task)) == (1, None)


async def test_a_bare_pod_is_frozen_and_goes_on_without_its_task(
    ns: Namespace, asking: Operator, node: NodeComponent
) -> None:
    await ns.create_pod("a", agents.pod_spec(BEATING))
    await ns.adopt("a")
    await ns.running("a")
    await node.hold(ns, "a")
    with pytest.raises(KubeError, match="nothing would make it again"):
        await ns.patch("a", paused=True)
    await ns.patch("a", pausePolicy="Freeze")
    await frozen(ns)
    last = await is_silent(ns)
    await ns.delete_task("a")
    await goes_on(ns, last)


@pytest.mark.parametrize("manifest", [manifests.job, manifests.deployment], ids=["job", "deployment"])
async def test_a_workload_keeps_its_frozen_pods(
    ns: Namespace,
    asking: Operator,
    node: NodeComponent,
    workloads: Workloads,
    cluster: Cluster,
    manifest: Callable[..., Object],
) -> None:
    worker = await workloads.create(manifest("worker", BEATING))
    await workloads.adopt("a", worker, pausePolicy="Freeze")
    (pod,) = await workloads.running(worker)
    name = pod["metadata"]["name"]
    await ns.phase("a", "Running")
    if Feature.OWN_NODE in cluster.features:
        cgroups.hold(node.root, pod["metadata"]["uid"], workloads.processes(worker))
    task = await frozen(ns)
    last = await is_silent(ns, name)
    assert [each["name"] for each in pods_of(task)] == [name]
    await runs(ns)
    await goes_on(ns, last, name)
    assert [each["metadata"]["name"] for each in await ns.kube.list(PODS, ns.name)] == [name]
    await frozen(ns)
    await ns.stop("a")
    task = await ns.ended("a")
    assert (status(task)["phase"], stop_of(task)["verdict"]) == ("Stopped", "Graceful")
    await workloads.gone(worker)


async def test_a_freeze_holds_while_the_operator_and_the_component_are_away(
    ns: Namespace, cluster: Cluster, launch: Operators, asking: Operator, node: NodeComponent
) -> None:
    await beating(ns, node)
    await frozen(ns)
    await asking.program.kill()
    await node.kill()
    last = await is_silent(ns)
    await ns.patch("a", paused=False)
    await launch.start(ns.name, options=["--ask-nodes"])
    task = await ns.until("a", lambda task: status(task).get("reason") == "Thawing", what="thawing")
    assert status(task)["phase"] == "Paused"
    await is_silent(ns)
    await node.start()
    await ns.until(
        "a",
        lambda task: status(task).get("phase") == "Running" and status(task)["observedGeneration"] > 2,
        what="running",
    )
    await goes_on(ns, last)
