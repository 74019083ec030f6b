"""A pause ends what runs, and the end of the pause brings it back; a stop comes before both."""

from collections.abc import Callable

import pytest

from tests.support import agents, laws, manifests
from tests.support.kube import Object
from tests.support.laws import exit_code, exit_codes, status, stop_of
from tests.support.namespaces import Namespace
from tests.support.operators import Operator
from tests.support.workloads import Workloads

Manifest = Callable[..., Object]

KINDS = pytest.mark.parametrize(
    ("manifest", "count"),
    [(manifests.job, 2), (manifests.deployment, 2), (manifests.sandbox, 1)],
    ids=["job", "deployment", "sandbox"],
)


def made(manifest: Manifest, count: int, script: str, **more: int) -> Object:
    """Return a manifest of so many agents."""
    how_many = {"job": "parallelism", "sandbox": None}.get(manifest.__name__, "replicas")
    return manifest("worker", script, **({how_many: count} if how_many else {}), **more)


def phases(ns: Namespace, task: str) -> list[str]:
    """Return the phases that a task went through, each once in a row."""
    found: list[str] = []
    for state in ns.tasks.of(task):
        phase = status(state).get("phase", "Pending")
        if not found or found[-1] != phase:
            found.append(phase)
    return found


async def again(ns: Namespace, task: str, attempts: int) -> Object:
    """Wait until a task runs for the so manieth time."""

    def runs(each: Object) -> bool:
        return (status(each).get("phase"), status(each).get("attempts")) == ("Running", attempts)

    return await ns.until(task, runs, what=f"running, attempt {attempts}")


async def paused(ns: Namespace, task: str) -> Object:
    """Pause a task that runs, and wait until it is."""
    await ns.patch(task, paused=True)
    return await ns.phase(task, "Paused")


async def test_a_pod_is_ended_for_a_pause_and_made_again(ns: Namespace, operator: Operator) -> None:
    await ns.create_task("a", agents.template(agents.graceful()))
    first = await ns.running("a")
    task = await paused(ns, "a")
    assert "pausedAt" in status(task)
    assert (status(task)["attempts"], exit_code(task)) == (1, 0)
    await ns.pods.until_gone("a")
    await ns.nothing_happens(1)
    assert len({pod["metadata"]["uid"] for pod in ns.pods.of("a")}) == 1
    await ns.patch("a", paused=False)
    task = await again(ns, "a", 2)
    assert status(task)["workload"]["uid"] != status(first)["workload"]["uid"]
    assert "pausedAt" not in status(task)
    assert status(task)["startedAt"] == status(first)["startedAt"]
    assert phases(ns, "a") == ["Pending", "Running", "Pausing", "Paused", "Running"]
    await ns.ready("a")
    await ns.stop("a")
    task = await ns.ended("a")
    assert (status(task)["phase"], stop_of(task)["verdict"], exit_code(task)) == ("Stopped", "Graceful", 0)


@KINDS
async def test_a_pause_ends_all_agents_and_brings_the_same_number_back(
    ns: Namespace, operator: Operator, workloads: Workloads, manifest: Manifest, count: int
) -> None:
    worker = await workloads.create(made(manifest, count, agents.graceful()))
    await workloads.adopt("a", worker)
    before = await workloads.running(worker, count)
    await ns.phase("a", "Running")
    task = await paused(ns, "a")
    assert not workloads.processes(worker)
    await workloads.gone(worker)
    assert (exit_codes(task), status(task)["attempts"]) == ([0] * count, 1)
    await ns.patch("a", paused=False)
    after = await workloads.running(worker, count)
    assert not {each["metadata"]["uid"] for each in before} & {each["metadata"]["uid"] for each in after}
    await again(ns, "a", 2)
    await ns.stop("a")
    task = await ns.ended("a")
    assert (status(task)["phase"], stop_of(task)["verdict"]) == ("Stopped", "Graceful")
    assert exit_codes(task) == [0] * count * 2
    await workloads.gone(worker)


async def test_a_job_that_somebody_resumes_during_its_pause_is_paused_again(
    ns: Namespace, operator: Operator, workloads: Workloads
) -> None:
    job = await workloads.create(manifests.job("worker", agents.graceful()))
    await workloads.adopt("a", job)
    await workloads.running(job)
    await ns.phase("a", "Running")
    await paused(ns, "a")
    await workloads.patch(job, suspend=False)
    event = await ns.event("a", "PausedAgain")
    assert event["type"] == "Warning"
    await workloads.until(job, lambda each: each["spec"]["suspend"], what="suspended again")
    await workloads.gone(job)
    assert status(await ns.task("a"))["attempts"] == 1


async def test_agents_that_ignore_sigterm_are_paused_all_the_same(
    ns: Namespace, operator: Operator, workloads: Workloads
) -> None:
    job = await workloads.create(manifests.job("worker", agents.DEAF, grace=1))
    await workloads.adopt("a", job)
    await workloads.running(job)
    await ns.phase("a", "Running")
    task = await paused(ns, "a")
    assert exit_codes(task) == [137]
    assert not workloads.processes(job)


# A stop comes first, whenever it comes


@pytest.mark.parametrize("kind", ["pod", "job"])
async def test_a_stop_while_the_task_is_being_paused(
    ns: Namespace, operator: Operator, workloads: Workloads, kind: str
) -> None:
    await _begin(ns, workloads, kind, agents.graceful(1))
    await ns.patch("a", paused=True)
    await ns.phase("a", "Pausing")
    await ns.stop("a")
    task = await ns.ended("a")
    assert (status(task)["phase"], stop_of(task)["verdict"], exit_codes(task)) == ("Stopped", "Graceful", [0])
    assert status(task)["attempts"] == 1
    assert "Paused" not in phases(ns, "a")


@pytest.mark.parametrize("kind", ["pod", "job"])
async def test_a_stop_while_the_task_is_paused(
    ns: Namespace, operator: Operator, workloads: Workloads, kind: str
) -> None:
    await _begin(ns, workloads, kind, agents.graceful())
    await paused(ns, "a")
    await ns.stop("a")
    task = await ns.ended("a")
    assert (status(task)["phase"], stop_of(task)["verdict"], exit_codes(task)) == ("Stopped", "Graceful", [0])
    await ns.patch("a", paused=False)
    await ns.nothing_happens(1)
    assert _made(ns) == 1
    assert status(await ns.task("a"))["attempts"] == 1


@pytest.mark.parametrize("kind", ["pod", "job"])
async def test_a_stop_that_comes_with_the_end_of_the_pause(
    ns: Namespace, operator: Operator, workloads: Workloads, kind: str
) -> None:
    await _begin(ns, workloads, kind, agents.graceful())
    await paused(ns, "a")
    await ns.patch("a", paused=False, stopRequested=True)
    task = await ns.ended("a")
    assert (status(task)["phase"], status(task)["attempts"]) == ("Stopped", 1)
    await ns.nothing_happens(1)
    assert _made(ns) == 1


async def test_a_stop_right_after_the_end_of_the_pause(ns: Namespace, operator: Operator, workloads: Workloads) -> None:
    await _begin(ns, workloads, "pod", agents.graceful())
    await paused(ns, "a")
    await ns.patch("a", paused=False)
    await ns.stop("a")
    task = await ns.ended("a")
    assert status(task)["phase"] == "Stopped"
    last = _made(ns)
    await ns.nothing_happens(1)
    assert _made(ns) == last


async def test_a_stop_and_a_pause_at_once(ns: Namespace, operator: Operator, workloads: Workloads) -> None:
    await _begin(ns, workloads, "pod", agents.graceful())
    await ns.patch("a", paused=True, stopRequested=True)
    task = await ns.ended("a")
    assert (status(task)["phase"], stop_of(task)["verdict"], exit_codes(task)) == ("Stopped", "Graceful", [0])
    assert not {"Pausing", "Paused"} & set(phases(ns, "a"))


async def _begin(ns: Namespace, workloads: Workloads, kind: str, script: str) -> None:
    """Have task "a" run one agent, in a pod of its own or in a Job."""
    if kind == "pod":
        await ns.create_task("a", agents.template(script))
        await ns.running("a")
        return
    job = await workloads.create(manifests.job("worker", script))
    await workloads.adopt("a", job)
    await workloads.running(job)
    await ns.phase("a", "Running")


def _made(ns: Namespace) -> int:
    """Return how many pods there ever were."""
    return len({pod["metadata"]["uid"] for name in ns.pods.names() for pod in ns.pods.of(name)})


# Time that is spent in a pause


async def test_paused_time_does_not_count_against_the_deadline(ns: Namespace, operator: Operator) -> None:
    await ns.create_task("a", agents.template(agents.graceful(0), grace=1), activeDeadlineSeconds=4)
    await ns.running("a")
    await paused(ns, "a")
    await ns.nothing_happens(4)
    assert status(await ns.task("a"))["phase"] == "Paused"
    await ns.patch("a", paused=False)
    await again(ns, "a", 2)
    task = await ns.ended("a")
    assert (status(task)["phase"], stop_of(task)["source"]) == ("Stopped", "Deadline")
    ran = laws.moment(stop_of(task)["acceptedAt"]) - laws.moment(status(task)["startedAt"])
    assert ran.total_seconds() - status(task)["pausedSeconds"] >= 4 - 0.01
    # Nodes report starts in whole seconds, rounded down.
    assert status(task)["pausedSeconds"] > 3


# Paused from the beginning


async def test_a_task_that_is_created_paused_starts_nothing(ns: Namespace, operator: Operator) -> None:
    await ns.create_task("a", agents.template(agents.graceful()), paused=True)
    task = await ns.phase("a", "Paused")
    assert status(task)["attempts"] == 0
    await ns.nothing_happens(1)
    assert ns.pods.names() == []
    await ns.patch("a", paused=False)
    await again(ns, "a", 1)
    await ns.ready("a")
    await ns.stop("a")
    assert exit_code(await ns.ended("a")) == 0


async def test_a_stop_of_a_task_that_was_created_paused(ns: Namespace, operator: Operator) -> None:
    await ns.create_task("a", agents.template(), paused=True)
    await ns.phase("a", "Paused")
    await ns.stop("a")
    task = await ns.ended("a")
    assert (status(task)["phase"], stop_of(task)["verdict"], status(task)["attempts"]) == ("Stopped", "NotStarted", 0)
    assert ns.pods.names() == []


async def test_a_deployment_that_is_adopted_by_a_paused_task_comes_back_with_its_number(
    ns: Namespace, operator: Operator, workloads: Workloads
) -> None:
    worker = await workloads.create(manifests.deployment("worker", agents.graceful(), replicas=2))
    await workloads.running(worker, 2)
    await workloads.adopt("a", worker, paused=True)
    await ns.phase("a", "Paused")
    await workloads.gone(worker)
    await ns.patch("a", paused=False)
    await workloads.running(worker, 2)


# A pause, and what else may happen


async def test_an_agent_that_ends_by_itself_after_a_pause(ns: Namespace, operator: Operator) -> None:
    agent = f"trap 'exit 9' TERM; ({agents.ending(8)}) & wait $!"
    await ns.create_task("a", agents.template(agent, grace=1))
    await ns.running("a")
    assert exit_code(await paused(ns, "a")) == 9
    await ns.patch("a", paused=False)
    task = await ns.ended("a")
    assert (status(task)["phase"], exit_code(task), status(task)["attempts"]) == ("Completed", 0, 2)


async def test_an_agent_that_had_ended_before_the_pause_came(
    ns: Namespace, operator: Operator, workloads: Workloads
) -> None:
    job = await workloads.create(manifests.job("worker", agents.ending(0)))
    await workloads.until(job, lambda each: "Complete" in laws.conditions_of(each), what="complete")
    await workloads.adopt("a", job, paused=True)
    task = await ns.ended("a")
    assert (status(task)["phase"], exit_codes(task)) == ("Completed", [0])


async def test_a_deleted_task_leaves_its_paused_job_as_it_is(
    ns: Namespace, operator: Operator, workloads: Workloads
) -> None:
    job = await workloads.create(manifests.job("worker", agents.graceful()))
    await workloads.adopt("a", job)
    await workloads.running(job)
    await ns.phase("a", "Running")
    await paused(ns, "a")
    await ns.delete_task("a")
    await ns.tasks.until_gone("a")
    await ns.nothing_happens(0.5)
    assert (await workloads.get(job))["spec"]["suspend"] is True


async def test_a_pause_that_is_taken_back_at_once(ns: Namespace, operator: Operator, workloads: Workloads) -> None:
    await _begin(ns, workloads, "job", agents.graceful(0.5))
    await ns.patch("a", paused=True)
    await ns.patch("a", paused=False)
    await ns.nothing_happens(2)
    task = await ns.until("a", lambda each: status(each).get("phase") == "Running", what="running")
    await ns.stop("a")
    task = await ns.ended("a")
    assert status(task)["phase"] == "Stopped"
