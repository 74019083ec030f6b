"""Agents, neighbours and thieves who try to get around a stop: docs/threat-model.md names these tests."""

import pytest

from agentstop.api.meta import STOP_FINALIZER
from tests.support import agents, installed, manifests
from tests.support.clusters import Cluster
from tests.support.kube import JSON_PATCH, PODS, ROLES, TASKS, USAGES, Kind, KubeError, Object
from tests.support.laws import exit_code, stalled, status, stop_of
from tests.support.namespaces import Namespace, pod_ref
from tests.support.waiting import PATIENCE, until
from tests.support.workloads import Workloads

from .conftest import Users
from .test_admission import CLUSTER_ORDERS, EDIT, ORDERS, POD_RIGHTS, STOP, TASK_RIGHTS, order, refused, task

SECRETS = Kind("/api/v1", "secrets")
REVIEWS = Kind("/apis/authorization.k8s.io/v1", "selfsubjectaccessreviews")
ON_TASKS = ("agentstop.dev", "agenttasks", ("get", "update", "patch", "delete"))
YEAR = 31_536_000
OWNER = {"apiVersion": "v1", "kind": "ConfigMap", "name": "x", "uid": "x"}

pytestmark = pytest.mark.usefixtures("operator")


async def started(ns: Namespace, script: str = agents.graceful(), *, grace: int = 5) -> Object:
    await ns.create_task("a", agents.template(script, grace=grace))
    return await ns.running("a")


async def ended_in(ns: Namespace, verdict: str, name: str = "a") -> Object:
    last = await ns.ended(name)
    assert (status(last)["phase"], stop_of(last)["verdict"]) == ("Stopped", verdict)
    return last


# With its pod's service account


async def test_an_agent_without_rights_can_do_nothing_but_end(ns: Namespace, users: Users) -> None:
    await started(ns, agents.DEAF, grace=2)
    agent = await users.client("agent")
    for kind, name in ((TASKS, "a"), (PODS, "a")):
        await refused(agent.get(kind, ns.name, name))
        await refused(agent.merge(kind, ns.name, name, {"metadata": {"labels": {"x": "y"}}}))
        await refused(agent.delete(kind, ns.name, name))
    await ns.stop("a")
    assert exit_code(await ended_in(ns, "Killed")) == 137


# With rights on pods


async def test_an_agent_with_rights_on_pods_is_stopped_all_the_same(ns: Namespace, users: Users) -> None:
    """It takes its owner off, puts a finalizer on, and raises no grace period; the stop does not care."""
    await started(ns)
    agent = await users.grant("agent", ("", "pods", EDIT))
    await agent.merge(PODS, ns.name, "a", {"metadata": {"ownerReferences": None, "finalizers": ["example.com/hold"]}})
    with pytest.raises(KubeError):
        await agent.merge(PODS, ns.name, "a", {"metadata": {"labels": None}})
    with pytest.raises(KubeError):
        await agent.delete(PODS, ns.name, "a", grace=YEAR)
    with pytest.raises(KubeError):
        await agent.merge(
            PODS, ns.name, "a", {"spec": {"activeDeadlineSeconds": YEAR, "terminationGracePeriodSeconds": YEAR}}
        )
    await ns.stop("a")
    await ended_in(ns, "Graceful")
    await ns.patch_pod("a", {"metadata": {"finalizers": None}})


async def test_a_deadline_on_the_pod_is_only_ever_lowered(ns: Namespace, users: Users) -> None:
    """So what the operator set to end the pod stays."""
    await started(ns, agents.DEAF, grace=4)
    agent = await users.grant("agent", ("", "pods", EDIT))
    await ns.stop("a")
    await ns.until("a", lambda each: "signaledAt" in stop_of(each), what="signaled")
    for value in (YEAR, None):
        with pytest.raises(KubeError):
            await agent.merge(PODS, ns.name, "a", {"spec": {"activeDeadlineSeconds": value}})
    await ended_in(ns, "Killed")


# With rights on its own task


async def test_an_agent_with_rights_on_its_task_cannot_take_the_stop_back(ns: Namespace, users: Users) -> None:
    await started(ns, agents.DEAF, grace=3)
    agent = await users.grant("agent", ON_TASKS, name="a")
    await ns.stop("a", gracePeriodSeconds=3)
    for change in (
        {"spec": {"stopRequested": False}},
        {"spec": {"stopRequested": None}},
        {"spec": {"stop": {"gracePeriodSeconds": YEAR}}},
        {"spec": {"stop": None}},
        {"spec": None},
    ):
        await refused(agent.merge(TASKS, ns.name, "a", change))
    remove = [{"op": "remove", "path": "/spec/stopRequested"}]
    await refused(agent.call("PATCH", TASKS.path(ns.name, "a"), remove, content_type=JSON_PATCH))
    await refused(agent.merge(TASKS, ns.name, "a", {"status": {"phase": "Completed"}}, "status"))
    await agent.merge(TASKS, ns.name, "a", {"spec": {"paused": True, "activeDeadlineSeconds": YEAR}})
    await agent.merge(TASKS, ns.name, "a", {"spec": {"stop": {"onUnconfirmed": "MarkStopped"}}})
    await agent.merge(TASKS, ns.name, "a", {"metadata": {"finalizers": ["example.com/hold"]}})
    await ended_in(ns, "Killed")


async def test_an_agent_gives_itself_no_year_before_or_with_the_stop(ns: Namespace, users: Users) -> None:
    await started(ns, agents.DEAF, grace=2)
    agent = await users.grant("agent", ON_TASKS, name="a")
    year = {"stop": {"gracePeriodSeconds": YEAR}}
    await refused(agent.merge(TASKS, ns.name, "a", {"spec": year}))
    await refused(agent.merge(TASKS, ns.name, "a", {"spec": {"stopRequested": True, **year}}))
    await ns.stop("a")
    await ended_in(ns, "Killed")


async def test_whoever_stops_says_how_long_it_may_take(ns: Namespace, users: Users) -> None:
    """What an agent wrote into its task beforehand counts only where the stop leaves it open."""
    await started(ns, agents.DEAF, grace=2)
    agent = await users.grant("agent", ON_TASKS, name="a")
    jane = await users.bind("jane", "agentstop-stop")
    await agent.merge(TASKS, ns.name, "a", {"spec": {"stop": {"gracePeriodSeconds": 600}}})
    await jane.merge(TASKS, ns.name, "a", {"spec": {"stopRequested": True, "stop": {"gracePeriodSeconds": 1}}})
    await ended_in(ns, "Killed")


async def test_a_task_that_is_deleted_in_the_middle_of_its_stop(ns: Namespace, users: Users) -> None:
    await started(ns, agents.graceful(2), grace=5)
    agent = await users.grant("agent", ON_TASKS, name="a")
    await ns.stop("a")
    await ns.until("a", lambda each: "signaledAt" in stop_of(each), what="signaled")
    await agent.delete(TASKS, ns.name, "a")
    await _no_process_is_left(ns, "a")


async def test_a_finalizer_that_is_taken_off_saves_nobody(ns: Namespace, users: Users) -> None:
    """The task is gone at once; the pod that it adopted is ended all the same."""
    await ns.create_pod("x", agents.pod_spec(agents.DEAF, grace=3))
    await ns.adopt("a", "x", deletionPolicy="Stop")
    await ns.running("a")
    agent = await users.grant("agent", ON_TASKS, name="a")
    await ns.stop("a")
    await ns.until("a", lambda each: "signaledAt" in stop_of(each), what="signaled")
    await agent.merge(TASKS, ns.name, "a", {"metadata": {"finalizers": None}})
    await agent.delete(TASKS, ns.name, "a")
    await _no_process_is_left(ns, "x")


async def _no_process_is_left(ns: Namespace, pod: str) -> None:
    await until(lambda: not ns.processes(pod), PATIENCE, f"no process of {pod}")


async def test_an_agent_reports_nothing_of_itself(ns: Namespace, users: Users) -> None:
    """Who counts can do nothing else; and the operator's own rights are enough to hold a task to its budget."""
    await ns.create_task("a", agents.template(agents.graceful()), budget={"maxCost": "5"})
    await ns.running("a")
    agent, counter = await users.bind("agent", "agentstop-edit"), await users.bind("maker", "agentstop-report")
    used = {"metadata": {"name": "a"}, "apiVersion": "agentstop.dev/v1alpha1", "kind": "TaskUsage"}
    await refused(agent.create(USAGES, ns.name, {**used, "spec": {"cost": "0"}}))
    await counter.create(USAGES, ns.name, {**used, "spec": {"cost": "1"}})
    await refused(agent.merge(USAGES, ns.name, "a", {"spec": {"cost": "1"}}))
    await refused(agent.delete(USAGES, ns.name, "a"))
    await refused(counter.delete(USAGES, ns.name, "a"))
    await refused(counter.merge(TASKS, ns.name, "a", {"spec": {"stopRequested": True}}))

    async def owned() -> bool:
        return bool((await ns.kube.get(USAGES, ns.name, "a"))["metadata"].get("ownerReferences"))

    await until(owned, PATIENCE, "an owner")
    await counter.merge(USAGES, ns.name, "a", {"spec": {"cost": "5.01"}})
    last = await ended_in(ns, "Graceful")
    assert (stop_of(last)["source"], stop_of(last)["message"]) == ("Budget", "5.01 of 5.00 USD")
    await ns.create_task("b", agents.template(agents.graceful()), budget={"maxTurns": 1, "action": "Pause"})
    await ns.running("b")
    await counter.create(USAGES, ns.name, {**used, "metadata": {"name": "b"}, "spec": {"turns": 1}})
    assert (await ns.phase("b", "Paused"))["spec"]["paused"] is True


# In its namespace


async def test_a_task_of_its_own_over_itself_is_stopped_with_the_rest(ns: Namespace, users: Users) -> None:
    """An agent with the role edit adopts its pod before others do: their task is refused, an order ends it."""
    await ns.create_pod("x", agents.pod_spec(agents.graceful()))
    agent = await users.bind("agent", "agentstop-edit")
    await refused(agent.create(TASKS, ns.name, task("mine", workloadRef=pod_ref("x"))))
    await users.grant("agent", POD_RIGHTS)
    await agent.create(TASKS, ns.name, task("mine", workloadRef=pod_ref("x")))
    await ns.running("mine")
    await ns.create_task("theirs", workloadRef=pod_ref("x"))
    await ns.until(
        "theirs", lambda each: stalled(each) is not None or status(each).get("phase") == "Failed", what="refused"
    )
    jane = await users.bind("jane", "agentstop-stop")
    await jane.create(ORDERS, ns.name, {**order(), "spec": {"selector": {}}})
    await ended_in(ns, "Graceful", "mine")


async def test_nothing_starts_under_a_hold_that_an_agent_cannot_lift(ns: Namespace, users: Users) -> None:
    await started(ns)
    agent = await users.bind("agent", "agentstop-edit")
    await users.grant("agent", POD_RIGHTS)
    jane = await users.bind("jane", "agentstop-stop")
    await jane.create(ORDERS, ns.name, {**order(), "spec": {"selector": {}, "hold": True}})
    await ended_in(ns, "Graceful")
    await refused(agent.delete(ORDERS, ns.name, "o"))
    await refused(agent.merge(ORDERS, ns.name, "o", {"spec": {"hold": False}}))
    await agent.create(TASKS, ns.name, task("again"))
    await ended_in(ns, "NotStarted", "again")


async def test_a_child_that_comes_late_is_stopped_too(ns: Namespace, users: Users) -> None:
    await started(ns, agents.graceful(2))
    agent = await users.grant("agent", TASK_RIGHTS, POD_RIGHTS)
    await ns.stop("a")
    await agent.create(TASKS, ns.name, task("child", parentRef={"name": "a"}))
    await ended_in(ns, "NotStarted", "child")
    await ended_in(ns, "Graceful")


async def test_a_workload_that_is_started_again_is_stopped_again(
    ns: Namespace, users: Users, workloads: Workloads
) -> None:
    made = await workloads.create(manifests.deployment("web", agents.graceful()))
    await workloads.running(made)
    await workloads.adopt("a", made)
    await ns.phase("a", "Running")
    agent = await users.grant("agent", ("apps", "deployments", EDIT), ("apps", "deployments/scale", EDIT))
    await ns.stop("a")
    await ended_in(ns, "Graceful")
    where = Kind("/apis/apps/v1", "deployments")
    await agent.merge(where, ns.name, "web", {"spec": {"replicas": 2}})
    await ns.event("a", "StoppedAgain")

    async def stopped_again() -> bool:
        return not await ns.kube.list(PODS, ns.name)

    await until(stopped_again, PATIENCE, "stopped again")


# Next door


async def test_a_tenant_next_door_reaches_nothing(ns: Namespace, users: Users, cluster: Cluster) -> None:
    """All rights in its own namespace: none in this one, and none to order everything to stop."""
    await started(ns)
    other = f"{ns.name}-next"
    await cluster.kube.create(Kind("/api/v1", "namespaces"), "", {"metadata": {"name": other}})
    neighbour = await users.bind("neighbour", "agentstop-admin", other)
    await users.grant("neighbour", POD_RIGHTS, namespace=other)
    await refused(neighbour.list(TASKS, ns.name))
    await refused(neighbour.merge(TASKS, ns.name, "a", STOP))
    await refused(neighbour.create(ORDERS, ns.name, order()))
    await refused(neighbour.create(CLUSTER_ORDERS, "", order("ClusterStopOrder", name=other)))
    for name in (f"../../{ns.name}/pods/a", f"../{ns.name}/a"):
        error = await refused(neighbour.create(TASKS, other, task("b", workloadRef=pod_ref(name))))
        assert "spec.workloadRef.name" in error.message
    await neighbour.create(TASKS, other, task("c", workloadRef=pod_ref("a"), stopRequested=True))
    await neighbour.create(TASKS, other, task("d", parentRef={"name": "a"}, stopRequested=True))
    await neighbour.create(ORDERS, other, {**order(), "spec": {"selector": {}}})
    await ns.nothing_happens(3)
    assert status(await ns.task("a"))["phase"] == "Running"
    for name in ("c", "d"):
        await neighbour.delete(TASKS, other, name)


# With the operator's token


FORBIDDEN = (
    ("", "secrets", "get"),
    ("", "secrets", "list"),
    ("", "pods/exec", "create"),
    ("", "pods/attach", "create"),
    ("", "pods/log", "get"),
    ("", "pods/ephemeralcontainers", "patch"),
    ("", "pods/status", "patch"),
    ("", "serviceaccounts/token", "create"),
    ("", "configmaps", "get"),
    ("rbac.authorization.k8s.io", "roles", "create"),
    ("rbac.authorization.k8s.io", "rolebindings", "create"),
    ("admissionregistration.k8s.io", "validatingadmissionpolicies", "delete"),
    ("apiextensions.k8s.io", "customresourcedefinitions", "patch"),
    ("agentstop.dev", "agenttasks", "create"),
    ("agentstop.dev", "agenttasks", "update"),
    ("agentstop.dev", "stoporders", "create"),
    ("agentstop.dev", "stoporders", "update"),
    ("apps", "deployments", "patch"),
    ("batch", "jobs", "create"),
    ("", "nodes", "list"),
)


async def test_a_stolen_token_of_the_operator(ns: Namespace, users: Users) -> None:
    """It reads no secret, gets into no pod and gives no rights; it makes no tasks, and may no more than pause them."""
    await started(ns)
    thief = await users.client(installed.USER)
    for group, resource, verb in FORBIDDEN:
        main, _, sub = resource.partition("/")
        wanted = {"namespace": ns.name, "group": group, "resource": main, "subresource": sub, "verb": verb}
        body = {"apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectAccessReview"}
        answer = await thief.call("POST", REVIEWS.path(), {**body, "spec": {"resourceAttributes": wanted}})
        assert not answer["status"].get("allowed"), f"{verb} {resource}"
    await refused(thief.list(SECRETS, ns.name))
    await refused(thief.create(ROLES, ns.name, {"metadata": {"name": "x"}, "rules": []}))
    pause, resume = {"spec": {"paused": True}}, {"spec": {"paused": False}}
    for change in (STOP, {"spec": {"paused": True, "agent": "x"}}, {"metadata": {"labels": {"x": "y"}}}):
        await refused(thief.merge(TASKS, ns.name, "a", change))
    await thief.merge(TASKS, ns.name, "a", pause)
    await refused(thief.merge(TASKS, ns.name, "a", resume))
    await ns.phase("a", "Paused")


async def test_a_stolen_token_only_takes_labels_off_a_task(ns: Namespace, users: Users) -> None:
    """As the operator does where a task is too large; it writes none, and leaves ours."""
    await started(ns)
    own, text = "agentstop.dev/own", {"agentstop.dev/own": "x", "team": "x"}
    await ns.merge_task("a", {"metadata": {"labels": text, "annotations": text}})
    thief = await users.client(installed.USER)
    for part in ("labels", "annotations"):
        for change in ({"team": "y"}, {"more": "x"}, {own: None}, {own: "y"}):
            await refused(thief.merge(TASKS, ns.name, "a", {"metadata": {part: change}}))
        left = await thief.merge(TASKS, ns.name, "a", {"metadata": {part: {"team": None}}})
        assert left["metadata"][part] == {own: "x"}
    await refused(thief.merge(TASKS, ns.name, "a", {"metadata": {"ownerReferences": [OWNER]}}))


async def test_a_stolen_token_lifts_no_hold(ns: Namespace, users: Users) -> None:
    await ns.create(ORDERS, {**order(), "spec": {"selector": {}, "hold": True}})
    thief = await users.client(installed.USER)
    marked = {"x": "y"}
    for change in ({"spec": {"hold": False}}, {"metadata": {"labels": marked}}, {"metadata": {"annotations": marked}}):
        await refused(thief.merge(ORDERS, ns.name, "o", change))
    # What the operator does itself.
    await thief.merge(ORDERS, ns.name, "o", {"metadata": {"finalizers": [STOP_FINALIZER]}})
    await thief.merge(ORDERS, ns.name, "o", {"metadata": {"finalizers": None}})


async def test_a_stolen_token_takes_no_stop_back(ns: Namespace, users: Users) -> None:
    await started(ns)
    await ns.stop("a")
    last = await ended_in(ns, "Graceful")
    thief = await users.client(installed.USER)
    await refused(thief.merge(TASKS, ns.name, "a", {"spec": {"stopRequested": False}}))
    for phase in ("Running", "Completed"):
        body = {**last, "status": {**last["status"], "phase": phase}}
        body["metadata"] = (await ns.task("a"))["metadata"]
        error = await refused(thief.call("PUT", TASKS.path(ns.name, "a", "status"), body))
        assert "status.phase is final" in error.message
