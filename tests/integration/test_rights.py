"""An operator that may not do all that it wants: it says so, goes on where it can, and goes on once it may."""

from collections.abc import Mapping, Sequence

import pytest

from tests.support import agents, manifests
from tests.support.clusters import OPERATOR_USER, Cluster, Feature
from tests.support.kube import (
    CLUSTER_ROLE_BINDINGS,
    CLUSTER_ROLES,
    ROLE_BINDINGS,
    ROLES,
    Object,
)
from tests.support.laws import conditions_of, exit_code, exit_codes, kstatus, stalled, status, stop_of
from tests.support.namespaces import Namespace
from tests.support.operators import Operator, Operators
from tests.support.workloads import Workloads

pytestmark = pytest.mark.needs(Feature.RBAC)

BASE: dict[str, Sequence[str]] = {
    "agentstop.dev/agenttasks": ("get", "list", "watch", "update", "patch", "delete"),
    "agentstop.dev/agenttasks/status": ("update", "patch"),
    "agentstop.dev/stoporders": ("get", "list", "watch", "patch", "delete"),
    "agentstop.dev/stoporders/status": ("update",),
    "agentstop.dev/taskusages": ("get", "list", "watch", "patch"),
    "events.k8s.io/events": ("create", "patch"),
    "/pods": ("get", "list", "watch", "create", "patch", "delete"),
}

SEE = ("get", "list", "watch")
WORKLOADS: dict[str, Sequence[str]] = {
    "batch/jobs": (*SEE, "patch"),
    "apps/deployments": SEE,
    "apps/deployments/scale": ("get", "patch"),
    "apps/replicasets": ("get",),
    "agents.x-k8s.io/sandboxes": (*SEE, "patch"),
}
"""What it takes to stop a Job, a Deployment and a Sandbox."""

UNSTOPPABLE = {name: [verb for verb in verbs if verb != "patch"] for name, verbs in WORKLOADS.items()}
"""The same without what stops them."""


def rules(rights: dict[str, Sequence[str]]) -> list[Object]:
    return [
        {"apiGroups": [name.partition("/")[0]], "resources": [name.partition("/")[2]], "verbs": list(verbs)}
        for name, verbs in rights.items()
    ]


class Rights:
    """The rights of the operator's user in one namespace."""

    def __init__(self, ns: Namespace) -> None:
        self._ns = ns
        self._workloads: Mapping[str, Sequence[str]] = {}

    async def begin(self, workloads: Mapping[str, Sequence[str]] | None = None, **pods: bool) -> None:
        """Give the user what it needs, pods aside from the verbs that are set to False, and these for workloads."""
        self._workloads = workloads or {}
        subject = {"kind": "User", "name": OPERATOR_USER, "apiGroup": "rbac.authorization.k8s.io"}
        reference = {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "operator"}
        role = {"metadata": {"name": "operator"}, "rules": rules(self._without(pods))}
        await self._ns.kube.create(ROLES, self._ns.name, role)
        binding = {"metadata": {"name": "operator"}, "roleRef": reference, "subjects": [subject]}
        await self._ns.kube.create(ROLE_BINDINGS, self._ns.name, binding)

    async def change(self, workloads: Mapping[str, Sequence[str]] | None = None, **pods: bool) -> None:
        """Change them; those for workloads stay where none are given."""
        self._workloads = workloads or self._workloads
        await self._ns.kube.merge(ROLES, self._ns.name, "operator", {"rules": rules(self._without(pods))})

    async def see_nodes(self) -> None:
        """Let the user read nodes too, which is a right in the whole cluster."""
        name = f"{self._ns.name}-nodes"
        role = {"metadata": {"name": name}, "rules": rules({"/nodes": ("get",)})}
        await self._ns.kube.create(CLUSTER_ROLES, "", role)
        subject = {"kind": "User", "name": OPERATOR_USER, "apiGroup": "rbac.authorization.k8s.io"}
        reference = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": name}
        await self._ns.kube.create(
            CLUSTER_ROLE_BINDINGS, "", {"metadata": {"name": name}, "roleRef": reference, "subjects": [subject]}
        )

    def _without(self, pods: dict[str, bool]) -> dict[str, Sequence[str]]:
        return {**BASE, **self._workloads, "/pods": [verb for verb in BASE["/pods"] if pods.get(verb, True)]}


@pytest.fixture
def rights(ns: Namespace) -> Rights:
    return Rights(ns)


async def start(launch: Operators, ns: Namespace, cluster: Cluster) -> Operator:
    assert cluster.operator_token is not None
    return await launch.start(ns.name, kubeconfig=cluster.kubeconfig_of(cluster.operator_token))


async def test_the_rights_in_one_namespace_are_enough(
    ns: Namespace, launch: Operators, cluster: Cluster, rights: Rights
) -> None:
    await rights.begin()
    operator = await start(launch, ns, cluster)
    await ns.create_task("a", agents.template(agents.graceful()))
    await ns.running("a")
    await ns.stop("a")
    task = await ns.ended("a")
    assert (stop_of(task)["verdict"], exit_code(task)) == ("Graceful", 0)
    await ns.event("a", "StopConfirmed")
    assert "forbidden" not in operator.program.text()


async def test_no_right_to_end_pods(ns: Namespace, launch: Operators, cluster: Cluster, rights: Rights) -> None:
    await rights.begin(patch=False, delete=False)
    await start(launch, ns, cluster)
    await ns.create_task("a", agents.template(agents.graceful()))
    await ns.running("a")
    await ns.stop("a")
    task = await ns.stalled("a", "DeleteForbidden")
    assert status(task)["phase"] == "Stopping"
    assert OPERATOR_USER in conditions_of(task)["Stalled"]["message"]
    assert kstatus(task) == "Failed"
    event = await ns.event("a", "DeleteForbidden")
    assert (event["type"], event["action"]) == ("Warning", "Stop")
    assert "signaledAt" not in stop_of(await ns.task("a"))
    await rights.change()
    task = await ns.ended("a")
    assert (status(task)["phase"], stop_of(task)["verdict"], exit_code(task)) == ("Stopped", "Graceful", 0)
    assert stalled(task) is None


async def test_a_refused_change_in_place_falls_back_to_deletion(
    ns: Namespace, launch: Operators, cluster: Cluster, rights: Rights
) -> None:
    await rights.begin(patch=False)
    await start(launch, ns, cluster)
    await ns.create_task("a", agents.template(agents.graceful()))
    await ns.running("a")
    await ns.stop("a")
    task = await ns.ended("a")
    assert (status(task)["phase"], stop_of(task)["verdict"], exit_code(task)) == ("Stopped", "Graceful", 0)
    await ns.pods.until_gone("a")


async def test_no_right_to_make_pods(ns: Namespace, launch: Operators, cluster: Cluster, rights: Rights) -> None:
    await rights.begin(create=False)
    await start(launch, ns, cluster)
    await ns.create_task("a", agents.template(agents.ending(0)))
    task = await ns.stalled("a", "CreateForbidden")
    assert status(task)["phase"] == "Pending"
    await rights.change()
    assert exit_code(await ns.phase("a", "Completed")) == 0


async def test_a_stop_while_the_pod_cannot_be_made(
    ns: Namespace, launch: Operators, cluster: Cluster, rights: Rights
) -> None:
    await rights.begin(create=False)
    await start(launch, ns, cluster)
    await ns.create_task("a", agents.template())
    await ns.stalled("a", "CreateForbidden")
    await ns.stop("a")
    task = await ns.ended("a")
    assert (status(task)["phase"], stop_of(task)["verdict"]) == ("Stopped", "NotStarted")


@pytest.mark.exclusive
async def test_no_right_to_read_the_node_of_a_pod_that_was_removed_by_force(
    ns: Namespace, launch: Operators, cluster: Cluster, rights: Rights
) -> None:
    await rights.begin()
    await start(launch, ns, cluster)
    await ns.create_task("a", agents.template(agents.DEAF, grace=2))
    await ns.running("a")
    await ns.stop("a")
    await ns.until("a", lambda task: "signaledAt" in stop_of(task), what="signaled")
    await ns.delete_pod("a", grace=0)
    await ns.stalled("a", "NodeReadForbidden")
    await rights.see_nodes()
    task = await ns.ended("a")
    assert (status(task)["phase"], stop_of(task)["verdict"]) == ("Stopped", "Gone")


# Workloads that make their own pods


async def make_all(ns: Namespace, workloads: Workloads) -> dict[str, Object]:
    """Make a Job, a Deployment and a Sandbox, each with a task of the same name, and wait until their agents run."""
    made = {
        "job": await workloads.create(manifests.job("job", agents.graceful())),
        "web": await workloads.create(manifests.deployment("web", agents.graceful())),
        "box": await workloads.create(manifests.sandbox("box", agents.graceful())),
    }
    for task, worker in made.items():
        await workloads.running(worker)
        await workloads.adopt(task, worker)
    return made


async def test_the_rights_that_stopping_workloads_takes(
    ns: Namespace, launch: Operators, cluster: Cluster, rights: Rights, workloads: Workloads
) -> None:
    await rights.begin(WORKLOADS)
    operator = await start(launch, ns, cluster)
    made = await make_all(ns, workloads)
    for task in made:
        assert stalled(await ns.phase(task, "Running")) is None
        await ns.stop(task)
    for task in made:
        last = await ns.ended(task)
        assert (status(last)["phase"], stop_of(last)["verdict"], exit_codes(last)) == ("Stopped", "Graceful", [0])
    assert "forbidden" not in operator.program.text()


async def test_workloads_that_may_not_be_stopped(
    ns: Namespace, launch: Operators, cluster: Cluster, rights: Rights, workloads: Workloads
) -> None:
    await rights.begin(UNSTOPPABLE)
    await start(launch, ns, cluster)
    made = await make_all(ns, workloads)
    resources = {"job": "jobs", "web": "deployments/scale", "box": "sandboxes"}
    # It is known before anybody is in a hurry.
    for task, resource in resources.items():
        seen = await ns.until(task, lambda each: _forbidden_in(each, "Running"), what="running, and not to be stopped")
        message = conditions_of(seen)["Stalled"]["message"]
        assert "patch" in message
        assert resource in message
        assert (await ns.event(task, "StopForbidden"))["type"] == "Warning"
    for task in made:
        await ns.stop(task)
    for task, resource in resources.items():
        seen = await ns.until(task, lambda each: _forbidden_in(each, "Stopping"), what="not to be stopped")
        message = conditions_of(seen)["Stalled"]["message"]
        assert "patch" in message
        assert resource in message
        assert kstatus(seen) == "Failed"
        assert "signaledAt" not in stop_of(seen)
    await rights.change(WORKLOADS)
    for task in made:
        last = await ns.ended(task)
        assert (status(last)["phase"], stop_of(last)["verdict"], exit_codes(last)) == ("Stopped", "Graceful", [0])
        assert stalled(last) is None


def _forbidden_in(task: Object, phase: str) -> bool:
    return status(task).get("phase") == phase and stalled(task) == "StopForbidden"


async def test_a_workload_that_may_not_even_be_read(
    ns: Namespace, launch: Operators, cluster: Cluster, rights: Rights, workloads: Workloads
) -> None:
    await rights.begin()
    await start(launch, ns, cluster)
    job = await workloads.create(manifests.job("worker", agents.graceful()))
    await workloads.running(job)
    await workloads.adopt("a", job)
    task = await ns.stalled("a", "StopForbidden")
    assert status(task)["phase"] == "Pending"
    message = conditions_of(task)["Stalled"]["message"]
    assert "get" in message
    assert "jobs" in message
    await ns.stop("a")
    task = await ns.until("a", lambda each: _forbidden_in(each, "Stopping"), what="not to be stopped")
    await rights.change(WORKLOADS)
    task = await ns.ended("a")
    assert (status(task)["phase"], stop_of(task)["verdict"], exit_codes(task)) == ("Stopped", "Graceful", [0])
