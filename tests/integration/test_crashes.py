"""The operator dies, or the API server is away: no stop is lost, and none is done twice."""

# ruff: noqa: S311  (random moments guard no secret)

import asyncio
import random
import signal

import pytest

from tests.support import agents, manifests
from tests.support.clusters import Cluster, Feature
from tests.support.kube import Object
from tests.support.laws import exit_code, exit_codes, status, stop_of
from tests.support.namespaces import Namespace
from tests.support.operators import Operator, Operators
from tests.support.waiting import PATIENCE, until
from tests.support.workloads import Workloads

AWAY_SECONDS = 5.0
"""How long the API server is away; longer than the operator's pauses between tries, shorter than a test should be."""

MAX_LIFE = 0.8
"""The operator is killed at most so many seconds after a stop was asked for."""

SLOW = agents.graceful(5)
"""Agents that end once the next operator is there and sees how: the pods of controllers go with their last state."""

BATCH = 10
"""So many agents run at a time."""


def attempts(pods: list[Object]) -> int:
    return len({pod["metadata"]["uid"] for pod in pods})


async def test_an_operator_that_is_killed_at_random_moments_of_stops(
    ns: Namespace, launch: Operators, request: pytest.FixtureRequest
) -> None:
    kills: int = request.config.getoption("kills")
    operator = await launch.start(ns.name)
    for first in range(0, kills, BATCH):
        names = [f"a{number}" for number in range(first, min(first + BATCH, kills))]
        for number, name in enumerate(names):
            deaf = number % 3 == 2
            script = agents.DEAF if deaf else agents.graceful(0.3 * (number % 4))
            await ns.create_task(name, agents.template(script, grace=1 if deaf else 5))
        for name in names:
            await ns.running(name)
        for name in names:
            await ns.stop(name)
            await asyncio.sleep(random.uniform(0, MAX_LIFE) ** 2)
            await operator.program.kill()
            operator = await launch.start(ns.name, wait=False)
            if random.random() < 0.5:
                await operator.ready()
        for number, name in enumerate(names):
            task = await ns.ended(name)
            deaf = number % 3 == 2
            verdict, code = ("Killed", 137) if deaf else ("Graceful", 0)
            assert status(task)["phase"] == "Stopped"
            assert (stop_of(task)["verdict"], exit_code(task)) == (verdict, code), name
            assert "signaledAt" in stop_of(task), name
            assert status(task)["attempts"] == 1
            assert attempts(ns.pods.of(name)) == 1


async def test_an_operator_that_is_killed_at_random_moments_of_starts(
    ns: Namespace, launch: Operators, request: pytest.FixtureRequest
) -> None:
    operator = await launch.start(ns.name)
    names = [f"a{number}" for number in range(request.config.getoption("kills") // 2)]
    for name in names:
        await ns.create_task(name, agents.template(agents.ending(0.2)))
        await asyncio.sleep(random.uniform(0, 0.3))
        await operator.program.kill()
        operator = await launch.start(ns.name, wait=False)
        if random.random() < 0.5:
            await operator.ready()
    for name in names:
        task = await ns.ended(name)
        assert (status(task)["phase"], exit_code(task), status(task)["attempts"]) == ("Completed", 0, 1)
        assert attempts(ns.pods.of(name)) == 1


@pytest.mark.parametrize("adopted", [False, True])
async def test_a_pod_that_was_never_bound_and_went_while_no_operator_ran(
    ns: Namespace, launch: Operators, adopted: bool
) -> None:
    """The operator that comes back asks the API server how it went: nothing on any node could prove its end."""
    operator = await launch.start(ns.name)
    spec = agents.template(nodeSelector={"example.com/nowhere": "true"})
    if adopted:
        await ns.create_pod("a", spec["spec"])
        await ns.adopt("a")
    else:
        await ns.create_task("a", spec)
    await ns.until("a", lambda task: status(task).get("reason") == "Unschedulable", what="unschedulable")
    await operator.program.kill()
    await ns.stop("a")
    await ns.delete_pod("a")
    await launch.start(ns.name)
    task = await ns.ended("a")
    assert (status(task)["phase"], stop_of(task)["verdict"]) == ("Stopped", "NotStarted")


async def killed(ns: Namespace, launch: Operators, operator: Operator) -> Operator:
    """Kill the operator at a random moment from now on, and start another one."""
    await asyncio.sleep(random.uniform(0, MAX_LIFE) ** 2)
    await operator.program.kill()
    operator = await launch.start(ns.name, wait=False)
    if random.random() < 0.5:
        await operator.ready()
    return operator


async def test_an_operator_that_is_killed_at_random_moments_of_stops_of_jobs(
    ns: Namespace, launch: Operators, workloads: Workloads, request: pytest.FixtureRequest
) -> None:
    operator = await launch.start(ns.name)
    made = manifests.job("worker", SLOW, parallelism=3, grace=15)
    jobs = [
        await workloads.create({**made, "metadata": {"name": f"worker-{number}"}})
        for number in range(request.config.getoption("kills") // 3)
    ]
    for number, job in enumerate(jobs):
        await workloads.adopt(f"a{number}", job)
        await workloads.running(job, 3)
        await ns.phase(f"a{number}", "Running")
    for number in range(len(jobs)):
        await ns.stop(f"a{number}")
        operator = await killed(ns, launch, operator)
    for number, job in enumerate(jobs):
        task = await ns.ended(f"a{number}")
        assert status(task)["phase"] == "Stopped"
        seen = ("Graceful", [0, 0, 0])
        assert stop_of(task)["verdict"] == "Gone" or (stop_of(task)["verdict"], exit_codes(task)) == seen
        assert "signaledAt" in stop_of(task)
        assert (await workloads.get(job))["spec"]["suspend"] is True
        assert len(await workloads.ever(job)) == 3


async def test_an_operator_that_is_killed_at_random_moments_of_pauses(
    ns: Namespace, launch: Operators, workloads: Workloads, request: pytest.FixtureRequest
) -> None:
    operator = await launch.start(ns.name)
    job = await workloads.create(manifests.job("worker", SLOW, parallelism=2, grace=15))
    await workloads.adopt("job", job)
    await ns.create_task("pod", agents.template(SLOW, grace=15))
    await workloads.running(job, 2)
    await ns.running("pod")
    rounds = max(1, request.config.getoption("kills") // 10)
    for attempt in range(1, rounds + 1):
        await ns.patch("job", paused=True)
        await ns.patch("pod", paused=True)
        operator = await killed(ns, launch, operator)
        for name in ("job", "pod"):
            await phase_of(ns, name, "Paused", attempt)
        await ns.patch("job", paused=False)
        await ns.patch("pod", paused=False)
        operator = await killed(ns, launch, operator)
        for name in ("job", "pod"):
            await phase_of(ns, name, "Running", attempt + 1)
        await workloads.running(job, 2)
        await ns.ready("pod")
    await ns.stop("job")
    await ns.stop("pod")
    await killed(ns, launch, operator)
    for name in ("job", "pod"):
        task = await ns.ended(name)
        assert (status(task)["phase"], status(task)["attempts"]) == ("Stopped", rounds + 1)
        assert stop_of(task)["verdict"] in {"Graceful", "Gone"}
    assert len(await workloads.ever(job)) == 2 * (rounds + 1)
    assert attempts(ns.pods.of("pod")) == rounds + 1


async def phase_of(ns: Namespace, task: str, phase: str, attempt: int) -> None:
    """Wait until a task is in a phase, in the so manieth of its runs."""

    def so(each: Object) -> bool:
        return (status(each).get("phase"), status(each).get("attempts")) == (phase, attempt)

    await ns.until(task, so, what=f"{phase} in run {attempt}")


async def test_an_operator_that_is_killed_at_random_moments_of_stops_of_families(
    ns: Namespace, launch: Operators, request: pytest.FixtureRequest
) -> None:
    operator = await launch.start(ns.name)
    for family in range(max(2, request.config.getoption("kills") // 5)):
        root = f"f{family}"
        names = [f"{root}-{number}" for number in range(6)]
        await ns.create_task(root, agents.template(agents.graceful()))
        for number, name in enumerate(names):
            above = root if number < 3 else names[number - 3]
            await ns.create_task(name, agents.template(agents.graceful(0.3)), parentRef={"name": above})
        for name in [root, *names]:
            await ns.running(name)
        await ns.stop(root)
        late = f"{root}-late"
        await ns.create_task(late, agents.template(), parentRef={"name": names[-1]})
        operator = await killed(ns, launch, operator)
        for name in [*names, late]:
            task = await ns.ended(name)
            assert (status(task)["phase"], stop_of(task)["source"], stop_of(task)["origin"]) == (
                "Stopped",
                "Parent",
                root,
            )
            verdict = "NotStarted" if name == late else "Graceful"
            assert stop_of(task)["verdict"] == verdict, name
        task = await ns.ended(root)
        assert (status(task)["phase"], stop_of(task)["source"], stop_of(task)["verdict"]) == (
            "Stopped",
            "User",
            "Graceful",
        )
        assert late not in ns.pods.names()


async def test_a_pod_of_a_job_that_loses_its_labels_while_the_operator_is_down(
    ns: Namespace, launch: Operators, workloads: Workloads
) -> None:
    operator = await launch.start(ns.name)
    job = await workloads.create(manifests.job("worker", agents.graceful()))
    await workloads.adopt("a", job)
    (pod,) = await workloads.running(job)
    name = pod["metadata"]["name"]
    await ns.until("a", lambda task: exit_codes(task) == [None], what="listing its pod")
    await operator.program.kill()
    bare = {"labels": None, "ownerReferences": None, "finalizers": None}
    await ns.patch_pod(name, {"metadata": bare})
    await launch.start(ns.name)
    await ns.stop("a")
    # Nothing leads to it any more but its name in the status.
    await ns.pods.until_gone(name)
    await workloads.gone(job)
    assert status(await ns.task("a"))["phase"] in {"Stopping", "Stopped"}


async def test_a_stop_and_the_agents_own_end_while_the_operator_is_down(ns: Namespace, launch: Operators) -> None:
    operator = await launch.start(ns.name)
    await ns.create_task("ends", agents.template(agents.ending(2.5)))
    await ns.create_task("runs", agents.template(agents.graceful()))
    await ns.running("ends")
    await ns.running("runs")
    await operator.program.kill()
    await ns.stop("ends")
    await ns.stop("runs")
    await ns.pods.until("ends", lambda pod: pod["status"]["phase"] == "Succeeded", what="ended")
    await launch.start(ns.name)
    # What ended before anybody accepted the stop was not stopped.
    task = await ns.ended("ends")
    assert (status(task)["phase"], exit_code(task), status(task)["manuallyStopped"]) == ("Completed", 0, False)
    task = await ns.ended("runs")
    assert (stop_of(task)["verdict"], exit_code(task), status(task)["manuallyStopped"]) == ("Graceful", 0, True)


@pytest.mark.parametrize("deaf", [False, True], ids=["graceful", "deaf"])
async def test_an_agent_that_ends_after_the_signal_while_the_operator_is_down(
    ns: Namespace, launch: Operators, deaf: bool
) -> None:
    operator = await launch.start(ns.name)
    await ns.create_task("a", agents.template(agents.DEAF if deaf else agents.graceful(1), grace=2))
    await ns.running("a")
    await ns.stop("a")
    await ns.until("a", lambda task: "signaledAt" in stop_of(task), what="signaled")
    await operator.program.kill()
    await ns.pods.until("a", lambda pod: pod["status"]["phase"] == "Failed", what="ended")
    await launch.start(ns.name)
    task = await ns.ended("a")
    expected = ("Stopped", "Killed", 137) if deaf else ("Stopped", "Graceful", 0)
    assert (status(task)["phase"], stop_of(task)["verdict"], exit_code(task)) == expected


async def test_a_deadline_that_passes_while_the_operator_is_down(ns: Namespace, launch: Operators) -> None:
    operator = await launch.start(ns.name)
    await ns.create_task("a", agents.template(agents.graceful()), activeDeadlineSeconds=3)
    await ns.running("a")
    await operator.program.kill()
    await ns.nothing_happens(3)
    await launch.start(ns.name)
    task = await ns.ended("a")
    assert (stop_of(task)["source"], stop_of(task)["verdict"]) == ("Deadline", "Graceful")


async def test_a_task_that_is_deleted_with_its_operator_down_stops_its_pod_afterwards(
    ns: Namespace, launch: Operators
) -> None:
    operator = await launch.start(ns.name)
    await ns.create_pod("worker", agents.pod_spec(agents.graceful()))
    await ns.adopt("a", "worker", deletionPolicy="Stop")
    await ns.running("a")
    await ns.tasks.until("a", lambda task: bool(task["metadata"].get("finalizers")), what="protected")
    await operator.program.kill()
    await ns.delete_task("a")
    await launch.start(ns.name)
    last = await ns.tasks.until_gone("a")
    assert (stop_of(last)["source"], stop_of(last)["verdict"]) == ("Deletion", "Graceful")


async def test_an_operator_that_is_asked_to_end_in_the_middle_of_a_stop(ns: Namespace, launch: Operators) -> None:
    operator = await launch.start(ns.name)
    await ns.create_task("a", agents.template(agents.graceful(1)))
    await ns.running("a")
    await ns.stop("a")
    operator.program.signal(signal.SIGTERM)
    assert await operator.program.ended() == 0
    assert not operator.mistakes()
    await launch.start(ns.name)
    task = await ns.ended("a")
    assert (stop_of(task)["verdict"], exit_code(task)) == ("Graceful", 0)


@pytest.mark.needs(Feature.OWN_SERVER)
@pytest.mark.exclusive
async def test_an_api_server_that_is_away_after_the_stop_was_asked_for(
    ns: Namespace, launch: Operators, cluster: Cluster
) -> None:
    await launch.start(ns.name)
    await ns.create_task("a", agents.template(agents.graceful()))
    await ns.running("a")
    await ns.stop("a")
    with cluster.halted():
        await asyncio.sleep(AWAY_SECONDS)
    task = await ns.ended("a")
    assert (status(task)["phase"], stop_of(task)["verdict"], exit_code(task)) == ("Stopped", "Graceful", 0)


@pytest.mark.needs(Feature.OWN_SERVER)
@pytest.mark.exclusive
async def test_an_api_server_that_is_away_while_the_agent_is_being_stopped(
    ns: Namespace, launch: Operators, cluster: Cluster
) -> None:
    operator = await launch.start(ns.name)
    await ns.create_task("a", agents.template(agents.DEAF, grace=2))
    await ns.create_task("b", agents.template(agents.graceful()))
    await ns.running("a")
    await ns.running("b")
    await ns.stop("a")
    await ns.until("a", lambda task: "signaledAt" in stop_of(task), what="signaled")
    with cluster.halted():
        await asyncio.sleep(AWAY_SECONDS)
        assert await operator.probe("/healthz") == 200
    task = await ns.ended("a")
    assert (status(task)["phase"], stop_of(task)["verdict"], exit_code(task)) == ("Stopped", "Killed", 137)
    # The watches are alive again.
    await ns.stop("b")
    assert stop_of(await ns.ended("b"))["verdict"] == "Graceful"


async def test_an_operator_serves_its_own_namespaces_only(ns: Namespace, launch: Operators) -> None:
    operator = await launch.start("default")
    await ns.create_task("a", agents.template(agents.ending(0)))
    await ns.nothing_happens(1)
    assert ns.pods.names() == []
    assert not status(await ns.task("a"))
    await operator.program.end()
    await launch.start(ns.name)
    await until(lambda: bool(ns.pods.names()), PATIENCE, "pod made")
