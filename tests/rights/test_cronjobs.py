"""A CronJob whose Job is stopped: suspended where that is wanted, where it made the Job, and with few rights."""

from tests.support import agents, installed, manifests
from tests.support.kube import Kind, Object
from tests.support.laws import conditions_of, status
from tests.support.namespaces import Namespace
from tests.support.operators import Operators
from tests.support.workloads import Workloads

CRON_JOBS = Kind("/apis/batch/v1", "cronjobs")
SUSPENDING = "--suspend-cronjobs"


async def nightly(ns: Namespace, workloads: Workloads, *, counted: bool = True) -> Object:
    """A CronJob with a Job that runs; without `counted` it does not know of the Job, which somebody else made."""
    template = manifests.job("digest", agents.graceful())["spec"]
    spec = {"schedule": "0 0 1 1 *", "concurrencyPolicy": "Forbid", "jobTemplate": {"spec": template}}
    cron = await ns.create(
        CRON_JOBS, {"apiVersion": "batch/v1", "kind": "CronJob", "metadata": {"name": "nightly"}, "spec": spec}
    )
    job = manifests.job("digest", agents.graceful())
    owner = {"apiVersion": "batch/v1", "kind": "CronJob", "name": "nightly", "uid": cron["metadata"]["uid"]}
    job["metadata"]["ownerReferences"] = [owner | {"controller": True}]
    made = await workloads.create(job)
    if counted:
        active = {"apiVersion": "batch/v1", "kind": "Job", "namespace": ns.name, "name": "digest"}
        body = {"status": {"active": [active | {"uid": made["metadata"]["uid"]}]}}
        await ns.kube.merge(CRON_JOBS, ns.name, "nightly", body, "status")
    await workloads.adopt("a", made)
    await workloads.running(made)
    await ns.phase("a", "Running")
    return cron


async def suspended(ns: Namespace) -> bool:
    return bool((await ns.kube.get(CRON_JOBS, ns.name, "nightly"))["spec"].get("suspend"))


def elsewhere(task: Object) -> tuple[str, str]:
    found = conditions_of(task)["ControlledElsewhere"]
    return found["status"], found["reason"]


async def test_it_is_suspended_with_its_job(ns: Namespace, workloads: Workloads, operators: Operators) -> None:
    await installed.let_suspend(ns.kube, ns.name)
    await operators.start(ns.name, options=[SUSPENDING])
    try:
        cron = await nightly(ns, workloads)
        assert "ControlledElsewhere" not in conditions_of(await ns.task("a"))
        await ns.stop("a")
        task = await ns.ended("a")
        assert (status(task)["phase"], elsewhere(task)) == ("Stopped", ("False", "CronJobSuspended"))
        assert await suspended(ns)
        assert (await ns.event("a", "CronJobSuspended"))["type"] == "Normal"
        found = await ns.kube.get(CRON_JOBS, ns.name, "nightly")
        changed = {each["manager"] for each in found["metadata"]["managedFields"] if "agentstop" in each["manager"]}
        assert changed == {"agentstop-stop"}
        assert found["metadata"]["uid"] == cron["metadata"]["uid"]
        await ns.kube.merge(CRON_JOBS, ns.name, "nightly", {"spec": {"suspend": False}})
        await ns.nothing_happens(2)
        assert not await suspended(ns), "whoever lets it go on means it"
    finally:
        await operators.end_private()


async def test_it_is_left_alone_without_the_option_and_for_a_pause(
    ns: Namespace, workloads: Workloads, operators: Operators
) -> None:
    await installed.let_suspend(ns.kube, ns.name)
    await operators.start(ns.name, options=[SUSPENDING])
    try:
        await nightly(ns, workloads)
        await ns.patch("a", paused=True)
        await ns.phase("a", "Paused")
        assert not await suspended(ns)
    finally:
        await operators.end_private()
    await operators.start(ns.name)
    try:
        await ns.stop("a")
        assert elsewhere(await ns.ended("a")) == ("True", "MadeByCronJob")
        assert not await suspended(ns)
    finally:
        await operators.end_private()


async def test_one_that_did_not_make_the_job_is_left_alone(
    ns: Namespace, workloads: Workloads, operators: Operators
) -> None:
    """Whoever may make a Job may name any CronJob as its controller."""
    await installed.let_suspend(ns.kube, ns.name)
    await operators.start(ns.name, options=[SUSPENDING])
    try:
        await nightly(ns, workloads, counted=False)
        await ns.stop("a")
        task = await ns.ended("a")
        assert elsewhere(task) == ("True", "MadeByCronJob")
        assert "does not have Job digest in its status.active" in conditions_of(task)["ControlledElsewhere"]["message"]
        assert not await suspended(ns)
    finally:
        await operators.end_private()


async def test_without_the_right_the_stop_goes_on_and_says_so(
    ns: Namespace, workloads: Workloads, operators: Operators
) -> None:
    await operators.start(ns.name, options=[SUSPENDING])
    try:
        await nightly(ns, workloads)
        await ns.stop("a")
        task = await ns.ended("a")
        assert (status(task)["phase"], elsewhere(task)) == ("Stopped", ("True", "MadeByCronJob"))
        message = conditions_of(task)["ControlledElsewhere"]["message"]
        assert "it could not be suspended" in message
        assert "cannot get resource" in message
        assert not await suspended(ns)
    finally:
        await operators.end_private()


async def test_a_deadline_stops_this_run_alone(ns: Namespace, workloads: Workloads, operators: Operators) -> None:
    await installed.let_suspend(ns.kube, ns.name)
    await operators.start(ns.name, options=[SUSPENDING])
    try:
        await nightly(ns, workloads)
        await ns.patch("a", activeDeadlineSeconds=1)
        task = await ns.ended("a")
        assert (status(task)["reason"], elsewhere(task)) == ("DeadlineExceeded", ("True", "MadeByCronJob"))
        assert not await suspended(ns)
    finally:
        await operators.end_private()
