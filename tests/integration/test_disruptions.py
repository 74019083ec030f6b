"""Ends that are none of the agent's own: its container comes back by its rules, or somebody throws its pod out."""

from collections.abc import Awaitable, Callable

import pytest

from tests.support import agents
from tests.support.clusters import Feature
from tests.support.kube import PODS, Object
from tests.support.laws import TERMINAL, conditions_of, containers_of, status, stop_of
from tests.support.namespaces import Namespace
from tests.support.operators import Operator

STRATEGIC = "application/strategic-merge-patch+json"

TRIES = 'f=${TMPDIR:-/s}/n; n=$(cat "$f" 2>/dev/null || echo 0); echo $((n+1)) >"$f"; [ "$n" -ge 2 ] || exit 42; '
"""Ends with 42 twice, and goes on at the third try; the playground's pods share a folder of their own."""


def with_helper(script: str) -> Object:
    rules = [{"action": "Restart", "exitCodes": {"operator": "In", "values": [42]}}]
    mount: Object = {"volumeMounts": [{"name": "s", "mountPath": "/s"}]}
    main = agents.container(script, restartPolicy="Never", restartPolicyRules=rules, **mount)
    helper = agents.container(agents.graceful(), "helper")
    spec = {"restartPolicy": "Never", "terminationGracePeriodSeconds": 5, "volumes": [{"name": "s", "emptyDir": {}}]}
    return {"spec": {**spec, "containers": [main, helper]}}


def restarts(pod: Object) -> dict[str, int]:
    return {each["name"]: each["restartCount"] for each in pod.get("status", {}).get("containerStatuses") or ()}


async def test_a_main_container_that_its_rules_start_again_has_not_ended(ns: Namespace, operator: Operator) -> None:
    await ns.create_task("a", with_helper(TRIES + agents.graceful()), mainContainer="agent")
    await ns.pods.until("a", lambda pod: restarts(pod).get("agent") == 2, what="at the third try")
    await ns.ready("a")
    assert restarts(await ns.pod("a")) == {"agent": 2, "helper": 0}
    await ns.nothing_happens(1)
    assert not [task for task in ns.tasks.of("a") if status(task).get("phase") in TERMINAL]
    assert "deletionTimestamp" not in (await ns.pod("a"))["metadata"]
    await ns.stop("a")
    task = await ns.ended("a")
    assert (status(task)["phase"], stop_of(task)["verdict"]) == ("Stopped", "Graceful")
    assert restarts(await ns.pod("a")) == {"agent": 2, "helper": 0}


async def test_a_main_container_whose_rules_let_it_go_has_ended(ns: Namespace, operator: Operator) -> None:
    await ns.create_task("a", with_helper(TRIES + "sleep 0.5; exit 7"), mainContainer="agent")
    task = await ns.ended("a")
    assert (status(task)["phase"], status(task)["reason"]) == ("Failed", "ContainerFailed")
    assert containers_of(task)["agent"]["exitCode"] == 7
    assert not stop_of(task)
    assert not ns.processes("a")


async def evicted(ns: Namespace) -> None:
    body = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": "a", "namespace": ns.name}}
    await ns.kube.call("POST", PODS.path(ns.name, "a", "eviction"), body)


async def preempted(ns: Namespace) -> None:
    """Do what the scheduler does to a pod that has to make place."""
    reason = {"reason": "PreemptionByScheduler", "message": "default-scheduler: preempting to accommodate a higher one"}
    condition = {"type": "DisruptionTarget", "status": "True", **reason}
    body = {"status": {"conditions": [condition]}}
    await ns.kube.call("PATCH", PODS.path(ns.name, "a", "status"), body, content_type=STRATEGIC)
    await ns.delete_pod("a")


@pytest.mark.parametrize(
    ("thrown_out", "reason"), [(evicted, "EvictionByEvictionAPI"), (preempted, "PreemptionByScheduler")]
)
async def test_an_agent_that_is_thrown_out_and_exits_well_is_not_done(
    ns: Namespace, operator: Operator, thrown_out: Callable[[Namespace], Awaitable[None]], reason: str
) -> None:
    await ns.create_task("a", agents.template(agents.graceful()))
    await ns.running("a")
    await thrown_out(ns)
    task = await ns.ended("a")
    assert (status(task)["phase"], status(task)["reason"]) == ("Failed", reason)
    assert containers_of(task)["agent"]["exitCode"] == 0
    assert not ns.processes("a")


@pytest.mark.needs(Feature.REHEARSAL)
async def test_an_agent_that_its_node_evicts_and_that_exits_well_is_not_done(ns: Namespace, operator: Operator) -> None:
    """The playground's node ends what its status declares over, as a kubelet does that is short of something."""
    await ns.create_task("a", agents.template(agents.graceful()))
    await ns.running("a")
    over = {"phase": "Failed", "reason": "Evicted", "message": "The node was low on resource: memory."}
    await ns.patch_pod("a", {"status": over}, "status")
    task = await ns.ended("a")
    assert (status(task)["phase"], status(task)["reason"]) == ("Failed", "Evicted")
    assert "low on resource" in status(task)["message"]
    assert not ns.processes("a")


@pytest.mark.parametrize("policy", ["Keep", "Delete"])
async def test_what_somebody_debugs_a_pod_with_is_no_part_of_its_end(
    ns: Namespace, operator: Operator, policy: str
) -> None:
    await ns.create_task("a", agents.template(agents.graceful(), grace=2))
    await ns.running("a")
    debug = {"spec": {"ephemeralContainers": [agents.container(agents.DEAF, "debug")]}}
    path = PODS.path(ns.name, "a", "ephemeralcontainers")
    await ns.kube.call("PATCH", path, debug, content_type=STRATEGIC)
    await ns.ready("a", "debug")
    await ns.stop("a", podPolicy=policy)
    task = await ns.ended("a")
    assert (status(task)["phase"], stop_of(task)["verdict"]) == ("Stopped", "Graceful")
    assert {name: each["exitCode"] for name, each in containers_of(task).items()} == {"agent": 0}
    assert not ns.processes("a")
    (last,) = ns.pods.of("a")[-1]["status"]["ephemeralContainerStatuses"]
    assert last["state"]["terminated"]["exitCode"] == 137


async def test_the_condition_of_a_pod_that_is_thrown_out_while_it_is_stopped(ns: Namespace, operator: Operator) -> None:
    """What ends it then is the stop."""
    await ns.create_task("a", agents.template(agents.graceful(1)))
    await ns.running("a")
    await ns.stop("a")
    await ns.until("a", lambda task: "signaledAt" in stop_of(task), what="signaled")
    await evicted(ns)
    task = await ns.ended("a")
    assert (status(task)["phase"], stop_of(task)["verdict"]) == ("Stopped", "Graceful")
    assert conditions_of(task)["Stopped"]["status"] == "True"
