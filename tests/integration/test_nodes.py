"""Nodes that do not answer, are fenced, or are gone: `Stopped` is never a lie."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import pytest

from tests.support import agents
from tests.support.clusters import NODE, Cluster, Feature
from tests.support.kube import TASKS
from tests.support.laws import conditions_of, exit_code, kstatus, moment, stalled, status, stop_of
from tests.support.namespaces import Namespace
from tests.support.nodes import dead_kubelet
from tests.support.operators import Operator
from tests.support.paper import PaperNode
from tests.support.waiting import PATIENCE, until

HELD_UP_SECONDS = 11.0
"""For so long a stop is held up by a node that does not answer before the node's deletion counts at once."""

AFTER_THE_GRACE = 12.0
"""When a node's deletion counts that had a second's grace period to end what it runs."""


@pytest.fixture
async def paper(ns: Namespace) -> AsyncIterator[PaperNode]:
    node = PaperNode(ns)
    await node.register()
    yield node
    await node.remove()


@pytest.mark.needs(Feature.REHEARSAL)
@pytest.mark.parametrize("policy", ["Keep", "Delete"])
@pytest.mark.exclusive
async def test_a_stop_waits_for_a_node_that_does_not_answer(
    ns: Namespace, operator: Operator, cluster: Cluster, policy: str
) -> None:
    await ns.create_task("a", agents.template(agents.graceful(), grace=1))
    await ns.running("a")
    async with dead_kubelet(cluster):
        await ns.stop("a", podPolicy=policy)
        task = await ns.stalled("a", "NodeUnreachable")
        assert status(task)["phase"] == "Stopping"
        assert NODE in conditions_of(task)["Stalled"]["message"]
        assert kstatus(task) == "Failed"
        assert ns.processes("a")
        event = await ns.event("a", "NodeUnreachable")
        assert (event["type"], event["action"]) == ("Warning", "Stop")
        assert status(await ns.task("a"))["phase"] == "Stopping"
    task = await ns.ended("a")
    assert (status(task)["phase"], stop_of(task)["verdict"], exit_code(task)) == ("Stopped", "Graceful", 0)
    assert stalled(task) is None


@pytest.mark.needs(Feature.REHEARSAL)
@pytest.mark.exclusive
async def test_a_stop_gives_up_waiting_where_it_is_told_to(ns: Namespace, operator: Operator, cluster: Cluster) -> None:
    await ns.create_task("a", agents.template(agents.graceful(), grace=1))
    await ns.running("a")
    async with dead_kubelet(cluster):
        await ns.stop("a", onUnconfirmed="MarkStopped")
        task = await ns.ended("a")
        assert (status(task)["phase"], stop_of(task)["verdict"]) == ("Stopped", "Unverified")
        event = await ns.event("a", "StopUnverified")
        assert (event["type"], event["action"]) == ("Warning", "Stop")
    # What was marked without proof does end once its node is back.
    await until(lambda: not ns.processes("a"), PATIENCE, "processes gone")


@pytest.mark.needs(Feature.REHEARSAL)
@pytest.mark.exclusive
async def test_a_pod_removed_by_force_from_a_node_that_does_not_answer_proves_nothing(
    ns: Namespace, operator: Operator, cluster: Cluster
) -> None:
    await ns.create_task("a", agents.template(agents.graceful(), grace=1))
    await ns.running("a")
    async with dead_kubelet(cluster):
        await ns.stop("a")
        await ns.stalled("a", "NodeUnreachable")
        await ns.delete_pod("a", grace=0)
        await ns.pods.until_gone("a")
        await ns.nothing_happens(2)
        assert status(await ns.task("a"))["phase"] == "Stopping"
    task = await ns.ended("a")
    assert (status(task)["phase"], stop_of(task)["verdict"]) == ("Stopped", "Gone")
    assert not ns.processes("a")


@pytest.mark.needs(Feature.REHEARSAL)
@pytest.mark.exclusive
async def test_an_agent_that_ends_on_a_node_that_does_not_answer(
    ns: Namespace, operator: Operator, cluster: Cluster
) -> None:
    await ns.create_task("a", agents.template(agents.ending(1.5), grace=1))
    await ns.running("a")
    async with dead_kubelet(cluster):
        await ns.stop("a")
        await ns.stalled("a", "NodeUnreachable")
        await until(lambda: not ns.processes("a"), PATIENCE, "the agent's end")
    task = await ns.ended("a")
    assert (status(task)["phase"], exit_code(task)) == ("Stopped", 0)


@pytest.mark.needs(Feature.PAPER_NODES)
async def test_a_stop_on_a_node_that_is_deleted(ns: Namespace, operator: Operator, paper: PaperNode) -> None:
    await ns.create_task("a", paper.template())
    await paper.run("a")
    await ns.phase("a", "Running")
    await paper.say("Unknown")
    await ns.stop("a")
    await ns.stalled("a", "NodeUnreachable")
    await paper.remove()
    await paper.forget("a")
    task = await ns.ended("a")
    assert (status(task)["phase"], stop_of(task)["verdict"]) == ("Stopped", "NodeFenced")


@pytest.mark.needs(Feature.PAPER_NODES)
async def test_a_pod_that_waited_when_its_node_was_lost_may_have_run(
    ns: Namespace, operator: Operator, paper: PaperNode
) -> None:
    """The garbage collector of pods says that it has failed, which nobody on the node has reported."""
    await ns.create_task("a", paper.template())
    await paper.wait("a")
    await paper.say("Unknown")
    await ns.stop("a")
    await ns.stalled("a", "NodeUnreachable")
    await ns.nothing_happens(HELD_UP_SECONDS)
    await paper.remove()
    await paper.collect("a")
    task = await ns.ended("a")
    assert (status(task)["phase"], stop_of(task)["verdict"]) == ("Stopped", "NodeFenced")


@pytest.mark.needs(Feature.PAPER_NODES)
async def test_that_a_node_did_not_answer_counts_for_a_task_that_is_gone_too(
    ns: Namespace, operator: Operator, paper: PaperNode
) -> None:
    await ns.create_task("a", paper.template())
    await paper.wait("a")
    await paper.say("Unknown")
    await ns.stop("a")
    await ns.until("a", lambda each: "signaledAt" in stop_of(each), what="signaled")
    await ns.kube.delete(TASKS, ns.name, "a", propagation="Orphan")
    await ns.tasks.until_gone("a")
    stopping = f'agentstop_tasks{{namespace="{ns.name}",phase="Stopping"}} 1.0'

    async def over() -> bool:
        return stopping not in (await operator.get("/metrics"))[1]

    await ns.nothing_happens(AFTER_THE_GRACE + HELD_UP_SECONDS)
    assert not await over()
    await paper.remove()
    await paper.collect("a")
    await until(over, PATIENCE, "the operator is done with it")


@pytest.mark.needs(Feature.PAPER_NODES)
async def test_a_node_that_is_deleted_while_it_lives_has_the_time_to_end_what_it_runs(
    ns: Namespace, operator: Operator, paper: PaperNode
) -> None:
    await ns.create_task("a", paper.template(grace=3))
    await paper.run("a")
    await ns.phase("a", "Running")
    await ns.stop("a")
    await ns.until("a", lambda each: "signaledAt" in stop_of(each), what="signaled")
    await paper.remove()
    await paper.forget("a")
    await ns.nothing_happens(1)
    assert status(await ns.task("a"))["phase"] == "Stopping"
    task = await ns.ended("a")
    assert (status(task)["phase"], stop_of(task)["verdict"]) == ("Stopped", "NodeFenced")
    assert moment(stop_of(task)["confirmedAt"]) >= moment(stop_of(task)["killAt"])


@pytest.mark.needs(Feature.PAPER_NODES)
async def test_a_node_that_is_deleted_while_it_starts_a_container_proves_nothing_before_its_machine_has_rebooted(
    ns: Namespace, operator: Operator, paper: PaperNode
) -> None:
    """A pull takes as long as it takes."""
    for name in ("a", "b", "c"):
        await ns.create_task(name, paper.template())
        await paper.wait(name)
    for name in ("a", "c"):
        await ns.stop(name)
        await ns.until(name, lambda each: "signaledAt" in stop_of(each), what="signaled")
    await ns.nothing_happens(0.5)
    await paper.remove()
    for name in ("a", "b", "c"):
        await paper.collect(name)
    for name in ("a", "b", "c"):
        task = await ns.stalled(name, "NodeDeleted")
        assert "shut the machine down" in conditions_of(task)["Stalled"]["message"]
    await ns.nothing_happens(AFTER_THE_GRACE)
    phases = {name: status(await ns.task(name))["phase"] for name in ("a", "b", "c")}
    assert phases == {"a": "Stopping", "b": "Pending", "c": "Stopping"}
    await ns.stop("b", onUnconfirmed="MarkStopped")
    assert stop_of(await ns.ended("b"))["verdict"] == "Unverified"
    await paper.register()
    await ns.stalled("c", "KubeletBusy")
    paper.boot_id = "two"
    await paper.say("True")
    for name in ("a", "c"):
        task = await ns.ended(name)
        assert (status(task)["phase"], stop_of(task)["verdict"]) == ("Stopped", "Gone")


@pytest.mark.needs(Feature.PAPER_NODES)
async def test_a_pod_of_which_its_kubelet_had_reported_nothing_may_be_started_yet(
    ns: Namespace, operator: Operator, paper: PaperNode
) -> None:
    for name in ("stopped", "lost"):
        await ns.create_task(name, paper.template())
        await ns.pods.until(name, lambda _: True)
    await ns.nothing_happens(2.5)
    await ns.stop("stopped")
    await ns.until("stopped", lambda each: "signaledAt" in stop_of(each), what="signaled")
    for name in ("stopped", "lost"):
        await paper.forget(name)
    for name, phase in (("stopped", "Stopping"), ("lost", "Pending")):
        assert status(await ns.stalled(name, "KubeletBusy"))["phase"] == phase
    paper.boot_id = "two"
    await paper.say("True")
    stopped, lost = await ns.ended("stopped"), await ns.ended("lost")
    assert (status(stopped)["phase"], stop_of(stopped)["verdict"]) == ("Stopped", "Gone")
    assert (status(lost)["phase"], status(lost)["reason"]) == ("Failed", "WorkloadLost")


@pytest.mark.needs(Feature.PAPER_NODES)
async def test_a_task_that_nobody_stopped_has_not_ended_while_the_machine_of_a_deleted_node_may_live(
    ns: Namespace, operator: Operator, paper: PaperNode
) -> None:
    beside = paper.template(grace=3)
    beside["spec"]["containers"].append(agents.container(agents.IDLE, "beside"))
    await ns.create_task("a", paper.template(grace=3))
    await ns.create_task("main", beside, mainContainer="agent")
    for name in ("a", "main"):
        await paper.run(name)
        await ns.phase(name, "Running")
    await paper.end("main", phase="Running", beside=True)
    await ns.until("main", lambda each: status(each).get("reason") == "MainContainerEnded", what="at its main end")
    await paper.remove()
    removed_at = datetime.now(UTC)
    for name in ("a", "main"):
        await paper.collect(name)
    await ns.nothing_happens(2)
    assert {status(await ns.task(name))["phase"] for name in ("a", "main")} == {"Running"}
    lost, done = await ns.ended("a"), await ns.ended("main")
    assert datetime.now(UTC) >= removed_at + timedelta(seconds=13)
    assert (status(lost)["phase"], status(lost)["reason"]) == ("Failed", "DeletionByPodGC")
    assert (status(done)["phase"], status(done)["reason"]) == ("Completed", "Completed")


@pytest.mark.needs(Feature.PAPER_NODES)
async def test_a_stop_on_a_node_that_is_out_of_service(ns: Namespace, operator: Operator, paper: PaperNode) -> None:
    await ns.create_task("a", paper.template())
    await paper.run("a")
    await ns.phase("a", "Running")
    await paper.say("Unknown")
    await ns.stop("a")
    await ns.stalled("a", "NodeUnreachable")
    await paper.declare_out_of_service()
    await ns.nothing_happens(0.5)
    assert status(await ns.task("a"))["phase"] == "Stopping"
    await paper.forget("a")
    task = await ns.ended("a")
    assert (status(task)["phase"], stop_of(task)["verdict"]) == ("Stopped", "NodeFenced")


@pytest.mark.needs(Feature.PAPER_NODES)
async def test_a_finalizer_on_the_pod_of_a_node_that_is_gone_is_named(
    ns: Namespace, operator: Operator, paper: PaperNode
) -> None:
    await ns.create_task("a", paper.template())
    await paper.run("a")
    await ns.phase("a", "Running")
    await ns.patch_pod("a", {"metadata": {"finalizers": ["example.com/hold"]}})
    await ns.stop("a", podPolicy="Delete")
    await ns.until("a", lambda task: "signaledAt" in stop_of(task), what="signaled")
    await paper.remove()
    task = await ns.stalled("a", "BlockedByFinalizer")
    assert "example.com/hold" in conditions_of(task)["Stalled"]["message"]
    await ns.patch_pod("a", {"metadata": {"finalizers": None}})
    await paper.forget("a")
    task = await ns.ended("a")
    assert (status(task)["phase"], stop_of(task)["verdict"]) == ("Stopped", "NodeFenced")


@pytest.mark.needs(Feature.PAPER_NODES)
async def test_a_phase_that_somebody_else_wrote_proves_nothing(
    ns: Namespace, operator: Operator, paper: PaperNode
) -> None:
    await ns.create_task("a", paper.template())
    pod = await paper.run("a")
    await ns.phase("a", "Running")
    await ns.stop("a")
    await ns.until("a", lambda task: "signaledAt" in stop_of(task), what="signaled")
    await paper.write("a", "Failed", pod["status"]["containerStatuses"][0]["state"])
    await ns.nothing_happens(1)
    assert status(await ns.task("a"))["phase"] == "Stopping"
    await paper.end("a", 143)
    task = await ns.ended("a")
    assert (status(task)["phase"], stop_of(task)["verdict"], exit_code(task)) == ("Stopped", "Graceful", 143)


@pytest.mark.needs(Feature.PAPER_NODES)
async def test_a_node_that_never_reports_the_end_stalls_the_stop(
    ns: Namespace, operator: Operator, paper: PaperNode
) -> None:
    await ns.create_task("a", paper.template())
    await paper.run("a")
    await ns.phase("a", "Running")
    await ns.stop("a")
    await ns.stalled("a", "NotConfirmed")
    await paper.end("a", 137)
    task = await ns.ended("a")
    assert (stop_of(task)["verdict"], stalled(task)) == ("Killed", None)


@pytest.mark.needs(Feature.PAPER_NODES)
async def test_running_out_of_memory_is_no_kill_of_ours(ns: Namespace, operator: Operator, paper: PaperNode) -> None:
    await ns.create_task("a", paper.template(grace=1))
    await paper.run("a")
    await ns.phase("a", "Running")
    await ns.stop("a")
    task = await ns.until("a", lambda each: "signaledAt" in stop_of(each), what="signaled")
    await ns.nothing_happens(1.5)
    await paper.end("a", 137, reason="OOMKilled")
    task = await ns.ended("a")
    assert (stop_of(task)["verdict"], exit_code(task)) == ("Graceful", 137)
    assert status(task)["workload"]["pods"][0]["containers"][0]["reason"] == "OOMKilled"


@pytest.mark.needs(Feature.PAPER_NODES)
async def test_an_agent_that_runs_out_of_memory_by_itself(ns: Namespace, operator: Operator, paper: PaperNode) -> None:
    await ns.create_task("a", paper.template())
    await paper.run("a")
    await ns.phase("a", "Running")
    await paper.end("a", 137, reason="OOMKilled")
    task = await ns.ended("a")
    assert (status(task)["phase"], status(task)["reason"]) == ("Failed", "OOMKilled")
