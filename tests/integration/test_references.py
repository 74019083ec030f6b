"""References that cannot be served: what is wrong is said at once, and what is missing is waited for."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from tests.support import agents, definitions, installed, manifests
from tests.support.clusters import Cluster, Feature
from tests.support.kube import CRDS, Kind, Object
from tests.support.laws import conditions_of, exit_codes, kstatus, stalled, status, stop_of
from tests.support.namespaces import Namespace, pod_ref
from tests.support.operators import Operator, Operators
from tests.support.waiting import PATIENCE, until
from tests.support.workloads import Workloads

HOLD = "example.com/hold"


def reference(version: str, kind: str, name: str = "x") -> Object:
    return {"apiVersion": version, "kind": kind, "name": name}


# Kinds


async def test_a_kind_that_cannot_be_scaled_is_refused_and_those_that_work_are_named(
    ns: Namespace, operator: Operator
) -> None:
    await ns.create_task("a", workloadRef=reference("v1", "ConfigMap"))
    task = await ns.ended("a")
    assert (status(task)["phase"], status(task)["reason"]) == ("Failed", "UnsupportedWorkload")
    message = status(task)["message"]
    assert "ConfigMap of v1" in message
    for works in ("Pod of v1", "Job of batch/v1", "Sandbox of", "SandboxClaim of", "Deployment"):
        assert works in message
    assert kstatus(task) == "Failed"


class Teams:
    """A kind that only this test knows, and the objects and controller of it."""

    def __init__(self, ns: Namespace) -> None:
        self._ns = ns
        self.group = f"{ns.name}.example.com"
        self.kind = Kind(f"/apis/{self.group}/v1", "teams")
        self.definition = f"teams.{self.group}"
        self.reference = reference(f"{self.group}/v1", "Team")

    async def install(self, *, scales: bool = True) -> None:
        """Have the kind served, and let the operator stop its objects."""
        if Feature.RBAC in self._ns.cluster.features:
            await installed.let_scale(self._ns.kube, self._ns.name, self.group, "teams")
        free = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
        paths = {"specReplicasPath": ".spec.size", "statusReplicasPath": ".status.size"}
        scale = {"scale": {**paths, "labelSelectorPath": ".status.selector"}} if scales else {}
        version = {
            "name": "v1",
            "served": True,
            "storage": True,
            "schema": {"openAPIV3Schema": {"type": "object", "properties": {"spec": free, "status": free}}},
            "subresources": {"status": {}, **scale},
        }
        names = {"kind": "Team", "plural": "teams", "singular": "team", "listKind": "TeamList"}
        spec = {"group": self.group, "scope": "Namespaced", "names": names, "versions": [version]}
        definition = {
            "apiVersion": "apiextensions.k8s.io/v1",
            "kind": "CustomResourceDefinition",
            "metadata": {"name": self.definition},
            "spec": spec,
        }
        await definitions.install(self._ns.kube, [definition])

    async def make(self, end_seconds: float = 0.2, grace: int = 2) -> None:
        """Make a Team of one agent, as its controller would; the agent ends so long after SIGTERM."""
        ns, body = self._ns, {**self.reference, "metadata": {"name": "x"}, "spec": {"size": 1}}
        made = await ns.kube.create(self.kind, ns.name, body)
        await self.say({"size": 1, "selector": "team=x"})
        owner = {**self.reference, "uid": made["metadata"]["uid"], "controller": True}
        spec = agents.pod_spec(agents.graceful(end_seconds), grace=grace)
        await ns.create_pod("x-0", spec, labels={"team": "x"}, ownerReferences=[owner])
        await ns.ready("x-0")

    async def say(self, status: Object) -> None:
        """Write the status of the Team."""
        await self._ns.kube.merge(self.kind, self._ns.name, "x", {"status": status}, "status")


@pytest.fixture
async def teams(ns: Namespace) -> AsyncIterator[Teams]:
    """The kind Team, not served before it is installed."""
    teams = Teams(ns)
    yield teams
    await ns.kube.delete(CRDS, "", teams.definition, missing_ok=True)


async def remove(cluster: Cluster, definition: str) -> None:
    """Remove a definition, and wait until it is gone."""
    await cluster.kube.delete(CRDS, "", definition)

    async def gone() -> bool:
        return definition not in {each["metadata"]["name"] for each in await cluster.kube.list(CRDS)}

    await until(gone, PATIENCE, f"{definition} gone")


async def test_a_custom_kind_that_cannot_be_scaled_is_refused(ns: Namespace, operator: Operator, teams: Teams) -> None:
    await teams.install(scales=False)
    await ns.create_task("a", workloadRef=teams.reference)
    task = await ns.ended("a")
    assert (status(task)["phase"], status(task)["reason"]) == ("Failed", "UnsupportedWorkload")
    assert f"Team of {teams.group}/v1" in status(task)["message"]


async def test_a_kind_that_is_installed_later_is_noticed(ns: Namespace, operator: Operator, teams: Teams) -> None:
    await ns.create_task("a", workloadRef=teams.reference)
    task = await ns.until("a", lambda each: status(each).get("reason") == "KindNotServed", what="waiting for its kind")
    assert (status(task)["phase"], stalled(task), kstatus(task)) == ("Pending", None, "InProgress")
    assert f"Team of {teams.group}/v1" in status(task)["message"]
    await teams.install()
    await teams.make()
    await ns.phase("a", "Running")
    await ns.stop("a")
    await ns.pods.until_gone("x-0")
    await teams.say({"size": 0})
    task = await ns.ended("a")
    assert (status(task)["phase"], stop_of(task)["verdict"], exit_codes(task)) == ("Stopped", "Graceful", [0])


async def test_a_stop_of_what_is_left_of_a_kind_that_was_removed(
    ns: Namespace, operator: Operator, cluster: Cluster, teams: Teams
) -> None:
    await teams.install()
    await teams.make(5, grace=30)
    await ns.create_task("a", workloadRef=teams.reference)
    await ns.phase("a", "Running")
    await remove(cluster, teams.definition)
    # Where nothing collects what the Team owned, its agent still runs; where something does, it takes its time to end.
    await ns.stop("a")
    task = await ns.ended("a")
    assert (status(task)["phase"], stop_of(task)["verdict"], exit_codes(task)) == ("Stopped", "Graceful", [0])


async def test_a_stop_of_a_task_whose_kind_is_not_served(ns: Namespace, operator: Operator, teams: Teams) -> None:
    await ns.create_task("a", workloadRef=teams.reference, stopRequested=True)
    task = await ns.ended("a")
    assert (status(task)["phase"], stop_of(task)["verdict"]) == ("Stopped", "NotStarted")


SANDBOX_KINDS = {each["metadata"]["name"]: each for each in definitions.sandboxes()}


@pytest.mark.needs(Feature.OWN_SERVER)
@pytest.mark.exclusive
async def test_a_cluster_where_agent_sandbox_is_installed_later_and_removed_again(
    ns: Namespace, launch: Operators, cluster: Cluster, workloads: Workloads
) -> None:
    for name in SANDBOX_KINDS:
        await remove(cluster, name)
    try:
        operator = await launch.start(ns.name)
        await ns.create_task("other", agents.template(agents.graceful()))
        await ns.create_task("a", workloadRef=reference(manifests.SANDBOX_VERSION, "Sandbox", "box"))
        await ns.create_task("b", workloadRef=reference(manifests.EXTENSIONS_VERSION, "SandboxClaim", "claim"))
        for name in ("a", "b"):
            await ns.until(name, lambda each: status(each).get("reason") == "KindNotServed", what="waiting")
        await ns.running("other")
        await definitions.install(cluster.kube, SANDBOX_KINDS.values())
        box = await workloads.create(manifests.sandbox("box", agents.graceful()))
        await workloads.create(manifests.sandbox_template("template", agents.graceful()))
        await workloads.create(manifests.warm_pool("pool", "template"))
        claim = await workloads.create(manifests.claim("claim", "pool"))
        await workloads.running(box)
        await workloads.running(claim)
        for name in ("a", "b"):
            await ns.phase(name, "Running")
        await ns.stop("a")
        assert exit_codes(await ns.ended("a")) == [0]
        for name in SANDBOX_KINDS:
            await remove(cluster, name)
        # All sandboxes went with their kind; whether that or the stop ends the agent first is chance.
        await ns.stop("b")
        task = await ns.ended("b")
        assert status(task)["phase"] in {"Stopped", "Failed"}
        assert exit_codes(task) == [0]
        await ns.stop("other")
        assert stop_of(await ns.ended("other"))["verdict"] == "Graceful"
        assert not operator.mistakes()
    finally:
        await definitions.install(cluster.kube, SANDBOX_KINDS.values())


# Workloads


async def test_a_pod_of_a_job_is_refused_and_the_job_named(
    ns: Namespace, operator: Operator, workloads: Workloads
) -> None:
    job = await workloads.create(manifests.job("worker"))
    (pod,) = await workloads.running(job)
    await ns.adopt("a", pod["metadata"]["name"], stopRequested=True)
    task = await ns.ended("a")
    assert (status(task)["phase"], status(task)["reason"]) == ("Failed", "WorkloadHasController")
    assert "Job worker" in status(task)["message"]
    assert len(await workloads.pods(job)) == 1


@pytest.mark.parametrize("manifest", [manifests.job, manifests.sandbox, manifests.deployment], ids=lambda m: m.__name__)
async def test_a_workload_that_is_being_deleted_is_refused(
    ns: Namespace, operator: Operator, workloads: Workloads, manifest: object
) -> None:
    assert callable(manifest)
    made = manifest("worker")
    made["metadata"]["finalizers"] = [HOLD]
    made = await workloads.create(made)
    await workloads.delete(made)
    await workloads.adopt("a", made)
    task = await ns.ended("a")
    assert (status(task)["phase"], status(task)["reason"]) == ("Failed", "WorkloadBeingDeleted")
    assert f"{made['kind']} worker is being deleted" in status(task)["message"]


async def test_a_workload_that_does_not_exist_yet_is_waited_for(
    ns: Namespace, operator: Operator, workloads: Workloads
) -> None:
    await ns.create_task("a", workloadRef=reference("batch/v1", "Job", "worker"))
    task = await ns.until("a", lambda each: status(each).get("reason") == "WorkloadNotFound", what="waiting")
    assert "Job worker does not exist" in status(task)["message"]
    job = await workloads.create(manifests.job("worker", agents.graceful()))
    await workloads.running(job)
    await ns.phase("a", "Running")
    await ns.stop("a")
    assert exit_codes(await ns.ended("a")) == [0]


async def test_a_job_of_the_same_name_is_another_one(ns: Namespace, operator: Operator, workloads: Workloads) -> None:
    job = await workloads.create(manifests.job("worker", agents.ending(0)))
    await workloads.until(job, lambda each: "Complete" in conditions_of(each), what="complete")
    await workloads.adopt("a", job)
    await ns.ended("a")
    await workloads.delete(job)
    await workloads.gone(job)
    other = await workloads.create(manifests.job("worker"))
    await workloads.running(other)
    await ns.stop("a")
    await ns.nothing_happens(0.5)
    assert not (await workloads.get(other))["spec"].get("suspend")


# Two tasks, one workload


async def test_a_workload_that_is_another_tasks_is_refused_and_that_task_named(
    ns: Namespace, operator: Operator, workloads: Workloads
) -> None:
    job = await workloads.create(manifests.job("worker", agents.graceful()))
    await workloads.adopt("first", job)
    await workloads.running(job)
    await ns.phase("first", "Running")
    await workloads.adopt("second", job, stopRequested=True)
    task = await ns.ended("second")
    assert (status(task)["phase"], status(task)["reason"]) == ("Failed", "WorkloadTaken")
    assert "AgentTask first" in status(task)["message"]
    assert status(await ns.task("first"))["phase"] == "Running"
    assert not (await workloads.get(job))["spec"].get("suspend")
    await ns.stop("first")
    assert exit_codes(await ns.ended("first")) == [0]


async def test_of_many_tasks_for_one_workload_exactly_one_has_it(ns: Namespace, operator: Operator) -> None:
    await ns.create_pod("worker", agents.pod_spec(agents.graceful()))
    names = [f"a{number}" for number in range(6)]
    await asyncio.gather(*(ns.create_task(name, workloadRef=pod_ref("worker")) for name in names))

    async def decided() -> bool:
        phases = [status(await ns.task(name)).get("phase") for name in names]
        return phases.count("Failed") == len(names) - 1 and phases.count("Running") == 1

    await until(decided, PATIENCE, "one task running, the others refused")


async def test_a_workload_whose_task_was_deleted_can_have_another_one(
    ns: Namespace, operator: Operator, workloads: Workloads
) -> None:
    job = await workloads.create(manifests.job("worker", agents.graceful()))
    await workloads.adopt("first", job)
    await workloads.running(job)
    await ns.phase("first", "Running")
    await ns.delete_task("first")
    await ns.tasks.until_gone("first")
    await workloads.adopt("second", job)
    await ns.phase("second", "Running")
    await ns.stop("second")
    assert exit_codes(await ns.ended("second")) == [0]


async def test_a_workload_whose_task_was_stopped_stays_that_tasks(
    ns: Namespace, operator: Operator, workloads: Workloads
) -> None:
    job = await workloads.create(manifests.job("worker", agents.graceful()))
    await workloads.adopt("first", job)
    await workloads.running(job)
    await ns.stop("first")
    await ns.ended("first")
    await workloads.adopt("second", job)
    task = await ns.ended("second")
    assert (status(task)["phase"], status(task)["reason"]) == ("Failed", "WorkloadTaken")
    assert (await workloads.get(job))["spec"]["suspend"] is True
