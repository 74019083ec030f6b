"""Whatever can be scaled: it is stopped by scaling it to nothing, and its pods prove that it took place."""

import asyncio
from collections.abc import AsyncIterator, Callable

import pytest

from tests.support import agents, definitions, manifests
from tests.support.clusters import Cluster
from tests.support.kube import CRDS, DEPLOYMENTS, PODS, REPLICA_SETS, Kind, Object
from tests.support.laws import conditions_of, exit_codes, status, stop_of
from tests.support.namespaces import Namespace
from tests.support.operators import Operator, Operators
from tests.support.waiting import PATIENCE, until
from tests.support.workloads import Workloads, controller_of

Manifest = Callable[..., Object]

GROUP = "test.agentstop.dev"
CREWS = Kind(f"/apis/{GROUP}/v1", "crews")

KINDS = pytest.mark.parametrize(
    "manifest", [manifests.deployment, manifests.replica_set, manifests.stateful_set], ids=lambda each: each.__name__
)


def replicas(made: Object) -> int:
    return int(made["spec"]["replicas"])


def two_pods(task: Object) -> bool:
    return (status(task).get("workload") or {}).get("podCount") == 2


@KINDS
async def test_what_scales_is_stopped(
    ns: Namespace, operator: Operator, workloads: Workloads, manifest: Manifest
) -> None:
    made = await workloads.create(manifest("worker", agents.graceful(), replicas=2))
    await workloads.adopt("a", made)
    await workloads.running(made, 2)
    await ns.phase("a", "Running")
    await ns.stop("a")
    task = await ns.ended("a")
    assert (status(task)["phase"], stop_of(task)["verdict"], exit_codes(task)) == ("Stopped", "Graceful", [0, 0])
    workload = status(task)["workload"]
    assert (workload["uid"], workload["replicas"], workload["podCount"]) == (made["metadata"]["uid"], 2, 2)
    assert not workloads.processes(made)
    await workloads.gone(made)
    assert replicas(await workloads.get(made)) == 0


async def test_a_deployment_that_was_stopped_stays_at_nothing(
    ns: Namespace, operator: Operator, workloads: Workloads
) -> None:
    made = await workloads.create(manifests.deployment("worker", agents.graceful(), replicas=2))
    await workloads.adopt("a", made)
    await workloads.running(made, 2)
    await ns.stop("a")
    first = await ns.ended("a")
    await ns.nothing_happens(1)
    assert replicas(await workloads.get(made)) == 0
    assert len(await workloads.ever(made)) == 2
    assert status(await ns.task("a")) == status(first)


async def test_a_deployment_that_somebody_scales_up_is_stopped_again(
    ns: Namespace, operator: Operator, workloads: Workloads
) -> None:
    made = await workloads.create(manifests.deployment("worker", agents.graceful()))
    await workloads.adopt("a", made)
    await workloads.running(made)
    await ns.stop("a")
    first = await ns.ended("a")
    await workloads.patch(made, replicas=3)
    event = await ns.event("a", "StoppedAgain")
    assert "Deployment worker" in event["note"]
    await workloads.until(made, lambda each: replicas(each) == 0, what="at 0 again")
    await workloads.gone_for_good(made)
    assert status(await ns.task("a")) == status(first)


async def test_a_pod_that_somebody_deletes_is_made_again_by_its_deployment_and_stopped_all_the_same(
    ns: Namespace, operator: Operator, workloads: Workloads
) -> None:
    made = await workloads.create(manifests.deployment("worker", agents.graceful()))
    await workloads.adopt("a", made)
    (first,) = await workloads.running(made)
    await ns.phase("a", "Running")
    await ns.delete_pod(first["metadata"]["name"])
    await ns.pods.until_gone(first["metadata"]["name"])
    await workloads.running(made)
    await ns.stop("a")
    task = await ns.ended("a")
    assert (stop_of(task)["verdict"], exit_codes(task)) == ("Graceful", [0, 0])
    assert len(await workloads.ever(made)) == 2


async def test_a_deployment_in_the_middle_of_a_rollout_is_stopped(
    ns: Namespace, operator: Operator, workloads: Workloads
) -> None:
    made = await workloads.create(manifests.deployment("worker", agents.graceful(1), replicas=2))
    await workloads.adopt("a", made)
    await workloads.running(made, 2)
    await workloads.patch(made, template={"metadata": {"annotations": {"example.com/round": "2"}}})

    async def two_sets() -> bool:
        return len(await ns.kube.list(REPLICA_SETS, ns.name)) == 2

    await until(two_sets, PATIENCE, "second ReplicaSet made")
    await ns.stop("a")
    task = await ns.ended("a")
    assert status(task)["phase"] == "Stopped"
    await ns.nothing_happens(0.5)
    await workloads.gone(made)


async def test_a_pod_that_only_has_the_labels_of_a_deployment_is_left_alone(
    ns: Namespace, operator: Operator, workloads: Workloads
) -> None:
    made = await workloads.create(manifests.deployment("worker", agents.graceful()))
    labels = made["spec"]["selector"]["matchLabels"]
    await ns.create_pod("stranger", agents.pod_spec(), labels=labels)
    await workloads.adopt("a", made)
    await workloads.running(made)
    await ns.ready("stranger")
    await ns.stop("a")
    task = await ns.ended("a")
    assert (status(task)["phase"], status(task)["workload"]["podCount"]) == ("Stopped", 1)
    stranger = await ns.pod("stranger")
    assert stranger["status"]["phase"] == "Running"
    assert "deletionTimestamp" not in stranger["metadata"]


async def test_a_stop_of_a_deployment_that_is_at_nothing(
    ns: Namespace, operator: Operator, workloads: Workloads
) -> None:
    made = await workloads.create(manifests.deployment("worker", replicas=0))
    await workloads.adopt("a", made)
    await ns.until("a", lambda each: status(each).get("reason") == "WorkloadHalted", what="waiting")
    await ns.stop("a")
    task = await ns.ended("a")
    assert (status(task)["phase"], stop_of(task)["verdict"]) == ("Stopped", "NotStarted")


async def test_the_replica_set_of_a_deployment_is_refused_and_the_deployment_named(
    ns: Namespace, operator: Operator, workloads: Workloads
) -> None:
    made = await workloads.create(manifests.deployment("worker"))
    (pod,) = await workloads.running(made)
    (owned,) = await ns.kube.list(REPLICA_SETS, ns.name)
    name = owned["metadata"]["name"]
    reference = {"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": name}
    await ns.create_task("a", workloadRef=reference, stopRequested=True)
    task = await ns.ended("a")
    assert (status(task)["phase"], status(task)["reason"]) == ("Failed", "WorkloadHasController")
    assert "point workloadRef at Deployment worker" in status(task)["message"]
    assert replicas(await ns.kube.get(REPLICA_SETS, ns.name, name)) == 1
    assert "deletionTimestamp" not in (await ns.pod(pod["metadata"]["name"]))["metadata"]


@pytest.mark.parametrize("up", [True, False], ids=["operator up", "operator down"])
async def test_a_replica_set_that_its_deployment_leaves_behind_is_stopped_in_its_place(
    ns: Namespace, launch: Operators, workloads: Workloads, up: bool
) -> None:
    """Whoever deletes a Deployment with `--cascade=orphan` has its agents run on, and made again."""
    operator = await launch.start(ns.name)
    made = await workloads.create(manifests.deployment("worker", agents.graceful(), replicas=2))
    await workloads.adopt("a", made)
    first, second = (pod["metadata"]["name"] for pod in await workloads.running(made, 2))
    await ns.until("a", two_pods, what="of two pods")
    await ns.phase("a", "Running")
    if not up:
        await operator.program.kill()
    await ns.kube.delete(DEPLOYMENTS, ns.name, "worker", propagation="Orphan")
    (found,) = await ns.kube.list(REPLICA_SETS, ns.name)
    left = await ns.kube.get(REPLICA_SETS, ns.name, found["metadata"]["name"])
    await workloads.until(left, lambda each: controller_of(each) is None, what="an orphan")
    if not up:
        await launch.start(ns.name)
    for name in (first, second):
        await ns.delete_pod(name)
        await ns.pods.until_gone(name)
        await workloads.running(left, 2)
    await ns.nothing_happens(1)
    assert status(await ns.task("a"))["phase"] == "Running"
    await ns.stop("a")
    # A pod that went while the new operator was only beginning to watch it may have left no exit code: then its node
    # has to answer for its grace period, for 10 seconds more, and until it is looked at again.
    task = await ns.ended("a")
    assert (status(task)["phase"], status(task)["workload"]["uid"]) == ("Stopped", made["metadata"]["uid"])
    assert exit_codes(task) == [0, 0, 0, 0] or not up
    assert not await workloads.pods(left)
    assert replicas(await workloads.get(left)) == 0
    assert stop_of(task)["acceptedAt"] <= stop_of(task)["signaledAt"]


async def test_a_deployment_that_somebody_deletes(ns: Namespace, operator: Operator, workloads: Workloads) -> None:
    made = await workloads.create(manifests.deployment("worker", agents.graceful(1)))
    await workloads.adopt("a", made)
    await workloads.running(made)
    await ns.phase("a", "Running")
    await workloads.patch(made, progressDeadlineSeconds=77)
    await workloads.delete(made)
    task = await ns.ended("a")
    assert (status(task)["phase"], status(task)["reason"], exit_codes(task)) == ("Failed", "WorkloadLost", [0])


# A kind that nobody knew before, and that nobody but its own controller (here: the test) makes pods for


def crew_crd(**scale: str) -> Object:
    paths = {"specReplicasPath": ".spec.size", "statusReplicasPath": ".status.size", **scale}
    free = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    version = {
        "name": "v1",
        "served": True,
        "storage": True,
        "schema": {"openAPIV3Schema": {"type": "object", "properties": {"spec": free, "status": free}}},
        "subresources": {"status": {}, "scale": paths},
    }
    names = {"kind": "Crew", "plural": "crews", "singular": "crew", "listKind": "CrewList"}
    spec = {"group": GROUP, "scope": "Namespaced", "names": names, "versions": [version]}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"crews.{GROUP}"},
        "spec": spec,
    }


@pytest.fixture(scope="module")
async def crews(cluster: Cluster) -> AsyncIterator[None]:
    """The cluster serves the kind Crew."""
    await definitions.install(cluster.kube, [crew_crd(labelSelectorPath=".status.selector")])
    yield
    await cluster.kube.delete(CRDS, "", f"crews.{GROUP}")


class Crew:
    """An object of a kind of its own, and the controller for it."""

    def __init__(self, ns: Namespace, made: Object) -> None:
        self._ns = ns
        self.made = made

    @classmethod
    async def create(cls, ns: Namespace, size: int, script: str) -> "Crew":
        body = {"apiVersion": f"{GROUP}/v1", "kind": "Crew", "metadata": {"name": "crew"}, "spec": {"size": size}}
        crew = cls(ns, await ns.create(CREWS, body))
        await crew.say(size)
        owner = {"apiVersion": f"{GROUP}/v1", "kind": "Crew", "name": "crew", "uid": crew.made["metadata"]["uid"]}
        for number in range(size):
            await ns.create_pod(
                f"crew-{number}",
                agents.pod_spec(script, grace=1),
                labels={"crew": "crew"},
                ownerReferences=[{**owner, "controller": True}],
            )
            await ns.ready(f"crew-{number}")
        return crew

    async def say(self, size: int, selector: str | None = "crew=crew") -> None:
        """Write the status."""
        body = {"status": {"size": size, "selector": selector}}
        await self._ns.kube.merge(CREWS, self._ns.name, "crew", body, "status")

    async def size(self) -> int:
        found = await self._ns.kube.get(CREWS, self._ns.name, "crew")
        return int(found["spec"]["size"])

    async def obey(self) -> None:
        """Do what the controller of such a kind does: end the pods that are too many."""
        await until(self._asked_to_end, PATIENCE, "crew scaled to 0")
        for pod in await self._ns.kube.list(PODS, self._ns.name):
            await self._ns.kube.delete(PODS, self._ns.name, pod["metadata"]["name"], missing_ok=True)
        await self.say(0)

    async def _asked_to_end(self) -> bool:
        return await self.size() == 0


@pytest.mark.exclusive
async def test_a_kind_of_somebody_elses_is_scaled_to_nothing(ns: Namespace, operator: Operator, crews: None) -> None:
    crew = await Crew.create(ns, 2, agents.graceful())
    await ns.create_task("a", workloadRef=manifests.reference(crew.made))
    await ns.phase("a", "Running")
    await ns.stop("a")
    await crew.obey()
    task = await ns.ended("a")
    assert (stop_of(task)["verdict"], exit_codes(task), status(task)["workload"]["replicas"]) == ("Graceful", [0, 0], 2)


@pytest.mark.exclusive
async def test_pods_whose_controller_is_not_there_are_ended(ns: Namespace, operator: Operator, crews: None) -> None:
    crew = await Crew.create(ns, 1, agents.graceful())
    await ns.create_task("a", workloadRef=manifests.reference(crew.made))
    await ns.phase("a", "Running")
    await ns.stop("a")
    await ns.pods.until_gone("crew-0")
    assert await crew.size() == 0
    await crew.say(0)
    task = await ns.ended("a")
    assert (status(task)["phase"], stop_of(task)["verdict"], exit_codes(task)) == ("Stopped", "Graceful", [0])


@pytest.mark.exclusive
async def test_a_kind_that_does_not_say_which_pods_are_its_own(ns: Namespace, operator: Operator, crews: None) -> None:
    crew = await Crew.create(ns, 1, agents.graceful())
    await crew.say(1, selector=None)
    await ns.create_task("a", workloadRef=manifests.reference(crew.made), stopRequested=True)
    task = await ns.stalled("a", "PodsUnknown")
    assert status(task)["phase"] == "Stopping"
    assert "Crew crew" in conditions_of(task)["Stalled"]["message"]
    await asyncio.gather(crew.say(1), crew.obey())
    task = await ns.ended("a")
    assert status(task)["phase"] == "Stopped"
