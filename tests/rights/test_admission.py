"""The chart's admission policies, and the roles that need them, on a real API server."""

import asyncio
import os
from collections.abc import Awaitable
from typing import Any

import pytest

from tests.support import agents, helm, installed, manifests
from tests.support.clusters import Cluster
from tests.support.kube import APPLY, JSON_PATCH, PODS, TASKS, Kind, KubeError, Object
from tests.support.laws import status, stop_of
from tests.support.namespaces import API_VERSION, Namespace, pod_ref
from tests.support.operators import Operator
from tests.support.waiting import until
from tests.support.workloads import Workloads

from .conftest import Users

ORDERS = Kind("/apis/agentstop.dev/v1alpha1", "stoporders")
CLUSTER_ORDERS = Kind("/apis/agentstop.dev/v1alpha1", "clusterstoporders")

STAMP, ORDER_STAMP = "agentstop.dev/stop-requested-by", "agentstop.dev/requested-by"
STOP = {"spec": {"stopRequested": True}}
EDIT = ("get", "list", "create", "update", "patch", "delete")
TASK_RIGHTS = ("agentstop.dev", "agenttasks", EDIT)
POD_RIGHTS = ("", "pods", ("create", "patch", "delete"))


def task(name: str, *, annotations: Object | None = None, **spec: Any) -> Object:
    given = {"name": name, **({"annotations": annotations} if annotations else {})}
    if "workloadRef" not in spec:
        spec["podTemplate"] = agents.template()
    return {"apiVersion": API_VERSION, "kind": "AgentTask", "metadata": given, "spec": spec}


def order(kind: str = "StopOrder", **metadata: Any) -> Object:
    spec = {"selector": {"matchLabels": {"team": "nobody"}}}
    return {"apiVersion": API_VERSION, "kind": kind, "metadata": {"name": "o", **metadata}, "spec": spec}


def stamp_of(made: Object, name: str = STAMP) -> str | None:
    return (made["metadata"].get("annotations") or {}).get(name)


async def refused(request: Any) -> KubeError:
    with pytest.raises(KubeError) as caught:
        await request
    assert caught.value.code in {403, 422}
    return caught.value


# Who asked for a stop


async def test_who_asks_for_a_stop_is_stamped_and_written_down(ns: Namespace, users: Users, operator: Operator) -> None:
    jane = await users.bind("jane", "agentstop-stop")
    await ns.create_task("a", agents.template(agents.graceful()))
    await ns.running("a")
    assert stamp_of(await jane.merge(TASKS, ns.name, "a", STOP)) == "jane"
    last = await ns.ended("a")
    assert (status(last)["phase"], stop_of(last)["requestedBy"], stop_of(last)["verdict"]) == (
        "Stopped",
        "jane",
        "Graceful",
    )


async def test_a_name_that_is_given_with_the_stop_is_overwritten(ns: Namespace, users: Users) -> None:
    maker = await users.grant("maker", TASK_RIGHTS, POD_RIGHTS)
    forged = {STAMP: "somebody-else", "mine": "kept"}
    made = await maker.create(TASKS, ns.name, task("a", annotations=forged, stopRequested=True))
    assert (stamp_of(made), stamp_of(made, "mine")) == ("maker", "kept")
    await maker.create(TASKS, ns.name, task("b"))
    made = await maker.merge(TASKS, ns.name, "b", {"metadata": {"annotations": forged}, **STOP})
    assert stamp_of(made) == "maker"
    await maker.create(TASKS, ns.name, task("c"))
    body = {**task("c", annotations=forged), "spec": {"stopRequested": True}}
    query = {"fieldManager": "git", "force": "true"}
    made = await maker.call("PATCH", TASKS.path(ns.name, "c"), body, content_type=APPLY, query=query)
    assert stamp_of(made) == "maker"


async def test_no_name_without_a_stop(ns: Namespace, users: Users) -> None:
    maker = await users.grant("maker", TASK_RIGHTS, POD_RIGHTS)
    error = await refused(maker.create(TASKS, ns.name, task("a", annotations={STAMP: "jane"})))
    assert "written by the API server alone" in error.message
    await maker.create(TASKS, ns.name, task("a"))
    for name in ("jane", "maker"):
        await refused(maker.merge(TASKS, ns.name, "a", {"metadata": {"annotations": {STAMP: name}}}))


@pytest.mark.parametrize("value", ["somebody-else", "", None])
async def test_a_stamp_stays(ns: Namespace, users: Users, operator: Operator, value: str | None) -> None:
    maker = await users.grant("maker", TASK_RIGHTS, POD_RIGHTS)
    jane = await users.bind("jane", "agentstop-stop")
    await maker.create(TASKS, ns.name, task("a"))
    await jane.merge(TASKS, ns.name, "a", STOP)
    change = {"metadata": {"annotations": {STAMP: value}}}
    assert stamp_of(await maker.merge(TASKS, ns.name, "a", change)) == "jane"
    again = {**change, "spec": {"stopRequested": True, "stop": {"reason": "Mine"}}}
    assert stamp_of(await maker.merge(TASKS, ns.name, "a", again)) == "jane"
    await ns.ended("a")  # from here on nobody else writes to it
    whole = await maker.get(TASKS, ns.name, "a")
    del whole["metadata"]["annotations"]
    assert stamp_of(await maker.call("PUT", TASKS.path(ns.name, "a"), whole)) == "jane"
    gone = [{"op": "remove", "path": "/metadata/annotations"}]
    assert stamp_of(await maker.call("PATCH", TASKS.path(ns.name, "a"), gone, content_type=JSON_PATCH)) == "jane"


async def test_orders_are_stamped(ns: Namespace, users: Users) -> None:
    jane = await users.bind("jane", "agentstop-admin", "")
    for kind, name, where in (("StopOrder", "o", ns.name), ("ClusterStopOrder", f"o-{ns.name}", "")):
        place = ORDERS if where else CLUSTER_ORDERS
        made = await jane.create(place, where, order(kind, name=name, annotations={ORDER_STAMP: "somebody-else"}))
        assert stamp_of(made, ORDER_STAMP) == "jane"
        admin = ns.kube
        for value in ("somebody-else", None):
            change = {"metadata": {"annotations": {ORDER_STAMP: value}}}
            assert stamp_of(await admin.merge(place, where, name, change), ORDER_STAMP) == "jane"
        await admin.delete(place, where, name)


async def test_a_policy_that_fails_does_not_hold_up_a_stop(ns: Namespace, users: Users, cluster: Cluster) -> None:
    """Without a stamp the task names nobody, and a forged one is refused all the same."""
    maker = await users.grant("maker", TASK_RIGHTS, POD_RIGHTS)
    policy = helm.one(installed.policies(), "MutatingAdmissionPolicy", "agentstop-requested-by-tasks")
    kind, name = installed.kind_of(policy), policy["metadata"]["name"]
    broken = {
        "patchType": "JSONPatch",
        "jsonPatch": {"expression": "[JSONPatch{op: 'add', path: '/no/where', value: 1}]"},
    }
    count = 0

    async def stopped_without_a_name() -> bool:
        nonlocal count
        count += 1
        made = await maker.create(TASKS, ns.name, task(f"t{count}", stopRequested=True))
        return stamp_of(made) is None

    await cluster.kube.merge(kind, "", name, {"spec": {"mutations": [broken]}})
    try:
        await until(stopped_without_a_name, installed.ACTIVE_SECONDS, "the policy broken")
        await maker.create(TASKS, ns.name, task("a"))
        forged = {"metadata": {"annotations": {STAMP: "jane"}}, **STOP}
        assert "leave it out" in (await refused(maker.merge(TASKS, ns.name, "a", forged))).message
        assert stamp_of(await maker.merge(TASKS, ns.name, "a", STOP)) is None
    finally:
        await cluster.kube.merge(kind, "", name, {"spec": {"mutations": policy["spec"]["mutations"]}})

    async def stamps_again() -> bool:
        nonlocal count
        count += 1
        return stamp_of(await maker.create(TASKS, ns.name, task(f"t{count}", stopRequested=True))) == "maker"

    await until(stamps_again, installed.ACTIVE_SECONDS, "the policy whole")


async def test_no_name_is_believed_that_nothing_stamps(ns: Namespace, operator: Operator, cluster: Cluster) -> None:
    """An operator that was not told to believe the annotation leaves it be."""
    untold = await Operator.start(cluster, [ns.name], trust=False)
    await operator.program.end()
    try:
        made = await ns.kube.create(TASKS, ns.name, task("a", stopRequested=True))
        assert stamp_of(made) == "admin"
        assert "requestedBy" not in stop_of(await ns.ended("a"))
    finally:
        await untold.program.end()


# The right to stop and no more


CHANGES: dict[str, Object] = {
    "paused": {"spec": {"paused": True}},
    "another deadline": {"spec": {"activeDeadlineSeconds": 5}},
    "no deadline": {"spec": {"activeDeadlineSeconds": None}},
    "an agent": {"spec": {"agent": "other"}},
    "a time to live": {"spec": {"ttlSecondsAfterFinished": 0}},
    "a policy on deletion": {"spec": {"deletionPolicy": "Stop"}},
    "a label": {"metadata": {"labels": {"team": "other"}}},
    "no label": {"metadata": {"labels": None}},
    "an annotation": {"metadata": {"annotations": {"note": "x"}}},
    "no annotation": {"metadata": {"annotations": {"kept": None}}},
    "a finalizer": {"metadata": {"finalizers": ["example.com/hold"]}},
    "how to stop, without a stop": {"spec": {"stop": {"onUnconfirmed": "MarkStopped"}}},
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
async def test_the_stop_role_changes_nothing_else(ns: Namespace, users: Users, change: Object) -> None:
    jane = await users.bind("jane", "agentstop-stop")
    body = task("a", annotations={"kept": "x"}, activeDeadlineSeconds=60)
    body["metadata"]["labels"] = {"team": "mine"}
    await ns.kube.create(TASKS, ns.name, body)
    error = await refused(jane.merge(TASKS, ns.name, "a", change))
    assert "without the right to update agenttasks you may" in error.message
    if "stop" not in change.get("spec", {}):
        merged = {**change, "spec": {**change.get("spec", {}), "stopRequested": True}}
        await refused(jane.merge(TASKS, ns.name, "a", merged))
    assert not (await ns.task("a"))["spec"].get("stopRequested")


async def test_the_stop_role_stops_and_says_why(ns: Namespace, users: Users) -> None:
    jane = await users.bind("jane", "agentstop-stop")
    await ns.kube.create(TASKS, ns.name, task("a", annotations={"kept": "x"}))
    why = {"reason": "RunawayCost", "message": "m", "gracePeriodSeconds": 9}
    made = await jane.merge(TASKS, ns.name, "a", {"spec": {"stopRequested": True, "stop": why}})
    assert (stamp_of(made), made["spec"]["stop"]["reason"]) == ("jane", "RunawayCost")
    made = await jane.merge(TASKS, ns.name, "a", {"spec": {"stop": {"gracePeriodSeconds": 2}}})
    assert made["spec"]["stop"]["gracePeriodSeconds"] == 2
    for name in ("b", "c"):
        await ns.kube.create(TASKS, ns.name, task(name))
    body = {"apiVersion": API_VERSION, "kind": "AgentTask", "metadata": {"name": "b"}, **STOP}
    query = {"fieldManager": "jane", "force": "true"}
    await jane.call("PATCH", TASKS.path(ns.name, "b"), body, content_type=APPLY, query=query)
    steps = [{"op": "add", "path": "/spec/stopRequested", "value": True}]
    await jane.call("PATCH", TASKS.path(ns.name, "c"), steps, content_type=JSON_PATCH)
    made = await jane.create(ORDERS, ns.name, order())
    assert stamp_of(made, ORDER_STAMP) == "jane"


async def test_the_stop_role_makes_and_removes_nothing(ns: Namespace, users: Users) -> None:
    jane = await users.bind("jane", "agentstop-stop")
    await ns.kube.create(TASKS, ns.name, task("a"))
    await jane.create(ORDERS, ns.name, order())
    await refused(jane.create(TASKS, ns.name, task("b")))
    query = {"fieldManager": "jane"}
    await refused(jane.call("PATCH", TASKS.path(ns.name, "b"), task("b"), content_type=APPLY, query=query))
    await refused(jane.call("PUT", TASKS.path(ns.name, "a"), await jane.get(TASKS, ns.name, "a")))
    await refused(jane.delete(TASKS, ns.name, "a"))
    await refused(jane.merge(TASKS, ns.name, "a", {"status": {"phase": "Stopped"}}, "status"))
    await refused(jane.merge(ORDERS, ns.name, "o", {"spec": {"hold": False}}))
    await refused(jane.delete(ORDERS, ns.name, "o"))
    await refused(jane.list(PODS, ns.name))


async def test_edit_makes_and_stops_tasks_but_lifts_no_order(ns: Namespace, users: Users) -> None:
    maker = await users.bind("maker", "agentstop-edit")
    await users.grant("maker", POD_RIGHTS)
    await maker.create(TASKS, ns.name, task("a"))
    await maker.merge(TASKS, ns.name, "a", {"spec": {"paused": True}, "metadata": {"labels": {"team": "x"}}})
    await maker.merge(TASKS, ns.name, "a", STOP)
    held = order()
    held["spec"]["hold"] = True
    await maker.create(ORDERS, ns.name, held)
    await refused(maker.merge(ORDERS, ns.name, "o", {"spec": {"hold": False}}))
    await refused(maker.delete(ORDERS, ns.name, "o"))
    jane = await users.bind("jane", "agentstop-admin")
    await jane.merge(ORDERS, ns.name, "o", {"spec": {"hold": False}})
    await jane.delete(ORDERS, ns.name, "o")


# How long it may take


async def test_nobody_asks_for_an_endless_grace_period(ns: Namespace, users: Users) -> None:
    long, too_long = {"gracePeriodSeconds": 3600}, {"gracePeriodSeconds": 3601}
    maker = await users.grant("maker", TASK_RIGHTS, POD_RIGHTS)
    jane = await users.bind("jane", "agentstop-stop", "")
    error = await refused(maker.create(TASKS, ns.name, task("a", stop=too_long)))
    assert "3600 at most" in error.message
    await maker.create(TASKS, ns.name, task("a", stop=long))
    await refused(maker.merge(TASKS, ns.name, "a", {"spec": {"stop": too_long}}))
    await refused(jane.merge(TASKS, ns.name, "a", {"spec": {"stop": too_long, "stopRequested": True}}))
    await refused(jane.create(ORDERS, ns.name, {**order(), "spec": {"selector": {}, **too_long}}))
    whole = order("ClusterStopOrder", name=f"o-{ns.name}")
    await refused(jane.create(CLUSTER_ORDERS, "", {**whole, "spec": {**whole["spec"], **too_long}}))
    await jane.create(ORDERS, ns.name, {**order(), "spec": {"selector": {"matchLabels": {"x": "y"}}, **long}})


# The verb `stop`


async def can_stop(users: Users, user: str, ns: Namespace) -> str:
    command = ["kubectl", "auth", "can-i", "stop", "agenttasks", "-n", ns.name]
    environment = {**os.environ, "KUBECONFIG": str(users.kubeconfig(user))}
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(*command, env=environment, stdout=pipe, stderr=pipe)
    output, _ = await process.communicate()
    return output.decode().strip()


async def test_kubectl_tells_who_may_stop(ns: Namespace, users: Users) -> None:
    await users.bind("jane", "agentstop-stop")
    await users.bind("maker", "agentstop-edit")
    await users.bind("neighbour", "agentstop-view")
    assert [await can_stop(users, user, ns) for user in ("jane", "maker", "neighbour")] == ["yes", "yes", "no"]


async def test_where_the_verb_is_demanded(ns: Namespace, users: Users, cluster: Cluster) -> None:
    maker = await users.grant("maker", TASK_RIGHTS, POD_RIGHTS)
    jane = await users.bind("jane", "agentstop-stop")
    verb = [
        each
        for each in installed.policies({"admission": {"stopVerb": {"enabled": True}}})
        if "stop-verb" in str(each["metadata"])
    ]
    assert len(verb) == 2
    await installed.install(cluster.kube, verb)
    try:
        count, said = 0, ""

        async def demanded() -> bool:
            nonlocal count, said
            count += 1
            await maker.create(TASKS, ns.name, task(f"t{count}"))
            try:
                await maker.merge(TASKS, ns.name, f"t{count}", STOP)
            except KubeError as error:
                said = error.message
            return bool(said)

        await until(demanded, installed.ACTIVE_SECONDS, "the verb demanded")
        assert f"maker may not stop agenttask t{count} in namespace {ns.name}" in said
        await maker.merge(TASKS, ns.name, f"t{count}", {"spec": {"stop": {"reason": "Later"}}})
        await jane.merge(TASKS, ns.name, f"t{count}", STOP)
        await maker.merge(TASKS, ns.name, f"t{count}", {"spec": {"stop": {"reason": "Again"}}})
    finally:
        for each in reversed(verb):
            await cluster.kube.delete(installed.kind_of(each), "", each["metadata"]["name"])


# Nobody has a task do what they may not do


async def test_a_pod_template_takes_the_right_to_create_pods(ns: Namespace, users: Users) -> None:
    maker = await users.grant("maker", TASK_RIGHTS)
    error = await refused(maker.create(TASKS, ns.name, task("a")))
    assert f"maker may not create pods in namespace {ns.name}" in error.message
    await users.grant("maker", ("", "pods", ("create",)))
    await maker.create(TASKS, ns.name, task("a"))


def reference(version: str, kind: str) -> Object:
    return {"apiVersion": version, "kind": kind, "name": "x"}


ADOPTIONS = {
    "Pod": (reference("v1", "Pod"), [("", "pods", ("patch", "delete"))], "patch pods"),
    "Job": (reference("batch/v1", "Job"), [("batch", "jobs", ("patch",))], "patch jobs of API group batch"),
    "Sandbox": (
        reference(manifests.SANDBOX_VERSION, "Sandbox"),
        [("agents.x-k8s.io", "sandboxes", ("patch",))],
        "sandboxes",
    ),
    "Deployment": (
        reference("apps/v1", "Deployment"),
        [("apps", "deployments/scale", ("patch",))],
        "deployments/scale",
    ),
    "StatefulSet": (
        reference("apps/v1", "StatefulSet"),
        [("apps", "statefulsets/scale", ("patch",))],
        "statefulsets/scale",
    ),
    "a custom kind": (reference("example.com/v1", "Crew"), [("example.com", "crews/scale", ("patch",))], "crews/scale"),
    "in -y": (
        reference("example.com/v1", "Factory"),
        [("example.com", "factories/scale", ("patch",))],
        "factories/scale",
    ),
    "in -ey": (reference("example.com/v1", "Relay"), [("example.com", "relays/scale", ("patch",))], "relays/scale"),
    "in -x": (reference("example.com/v1", "Box"), [("example.com", "boxes/scale", ("patch",))], "boxes/scale"),
}


@pytest.mark.parametrize(("ref", "rights", "said"), ADOPTIONS.values(), ids=ADOPTIONS)
async def test_an_adoption_takes_the_right_to_do_the_same(
    ns: Namespace, users: Users, ref: Object, rights: Any, said: str
) -> None:
    maker = await users.grant("maker", TASK_RIGHTS)
    error = await refused(maker.create(TASKS, ns.name, task("a", workloadRef=ref)))
    assert f"maker may not {said}" in error.message or (
        error.message.count("maker may not patch") and said in error.message
    )
    await users.grant("maker", *rights, name="another")
    await refused(maker.create(TASKS, ns.name, task("a", workloadRef=ref)))
    await users.grant("maker", *rights, name="x")
    await maker.create(TASKS, ns.name, task("a", workloadRef=ref))


async def test_a_pod_takes_both_rights(ns: Namespace, users: Users) -> None:
    maker = await users.grant("maker", TASK_RIGHTS, ("", "pods", ("patch",)))
    error = await refused(maker.create(TASKS, ns.name, task("a", workloadRef=pod_ref("x"))))
    assert "maker may not delete pods" in error.message


async def test_a_claim_takes_the_right_to_all_sandboxes(ns: Namespace, users: Users) -> None:
    ref = reference(manifests.EXTENSIONS_VERSION, "SandboxClaim")
    rights = ("agents.x-k8s.io", "sandboxes", ("patch",))
    maker = await users.grant("maker", TASK_RIGHTS, ("extensions.agents.x-k8s.io", "sandboxclaims", EDIT))
    await users.grant("maker", rights, name="x")
    await refused(maker.create(TASKS, ns.name, task("a", workloadRef=ref)))
    await users.grant("maker", rights)
    await maker.create(TASKS, ns.name, task("a", workloadRef=ref))


async def test_who_makes_a_task_vouches_for_whoever_stops_it(
    ns: Namespace, users: Users, operator: Operator, workloads: Workloads
) -> None:
    """A stop takes no right on the workload, so that nothing of the kind can hold it up."""
    maker = await users.grant("maker", TASK_RIGHTS, POD_RIGHTS)
    jane = await users.bind("jane", "agentstop-stop")
    await ns.create_pod("x", agents.pod_spec(agents.graceful()))
    await maker.create(TASKS, ns.name, task("a", workloadRef=pod_ref("x")))
    await ns.running("a")
    await refused(jane.delete(PODS, ns.name, "x"))
    await jane.merge(TASKS, ns.name, "a", STOP)
    assert stop_of(await ns.ended("a"))["verdict"] == "Graceful"


BAD = {
    "another namespace": ("v1", "Pod", "../../kube-system/pods/x"),
    "a subresource": ("v1", "Pod", "x/status"),
    "a query": ("v1", "Pod", "x?y"),
    "escaped": ("v1", "Pod", "x%2Fstatus"),
    "dots": ("v1", "Pod", ".."),
    "another group": ("apps/v1/../../../api/v1", "Pod", "x"),
    "a path as a group": ("../v1", "Pod", "x"),
    "a kind that is none": ("v1", "Pod/x", "x"),
}


@pytest.mark.parametrize(("version", "kind", "name"), BAD.values(), ids=BAD)
async def test_a_reference_is_no_path(ns: Namespace, version: str, kind: str, name: str) -> None:
    ref = {"apiVersion": version, "kind": kind, "name": name}
    assert "spec.workloadRef" in (await refused(ns.kube.create(TASKS, ns.name, task("a", workloadRef=ref)))).message


# The pods of tasks


async def owned(ns: Namespace) -> Object:
    await ns.create_task("a", agents.template(agents.graceful(), grace=5))
    await ns.running("a")
    return await ns.pod("a")


async def test_nobody_gives_a_tasks_pod_more_time(ns: Namespace, users: Users, operator: Operator) -> None:
    await owned(ns)
    agent = await users.grant("agent", ("", "pods", EDIT))
    error = await refused(agent.delete(PODS, ns.name, "a", grace=31_536_000))
    assert "its own grace period or a shorter one" in error.message
    where = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": "a"}}
    await refused(agent.call("POST", PODS.path(ns.name, "a", "eviction"), where))
    await agent.delete(PODS, ns.name, "a", grace=5)
    await ns.ended("a")


async def test_nobody_evicts_a_pod_with_a_year(ns: Namespace, users: Users, operator: Operator) -> None:
    """The operator may not evict, so that whoever does is somebody else."""
    await owned(ns)
    agent = await users.grant("agent", ("", "pods/eviction", ("create",)))

    def evict(**options: Any) -> Awaitable[Any]:
        metadata = {"name": "a", "namespace": ns.name}
        body = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": metadata, "deleteOptions": options}
        return agent.call("POST", PODS.path(ns.name, "a", "eviction"), body)

    assert "3600 at most" in (await refused(evict(gracePeriodSeconds=31_536_000))).message
    assert "deletionTimestamp" not in (await ns.pod("a"))["metadata"]
    await evict(gracePeriodSeconds=3600)
    await ns.ended("a")


async def test_the_operator_may_give_more_time(ns: Namespace, operator: Operator) -> None:
    await ns.create_task("a", agents.template(agents.graceful(), grace=2))
    await ns.running("a")
    await ns.stop("a", gracePeriodSeconds=20)
    assert stop_of(await ns.ended("a"))["gracePeriodSeconds"] == 20


async def test_nobody_but_nodes_writes_what_became_of_containers(
    ns: Namespace, users: Users, operator: Operator
) -> None:
    await owned(ns)
    agent = await users.grant("agent", ("", "pods", EDIT), ("", "pods/status", EDIT))
    error = await refused(agent.merge(PODS, ns.name, "a", {"status": {"phase": "Succeeded"}}, "status"))
    assert "only its node writes it" in error.message
    await refused(agent.merge(PODS, ns.name, "a", {"status": {"containerStatuses": []}}, "status"))
    await refused(agent.merge(PODS, ns.name, "a", {"status": {"startTime": "2020-01-01T00:00:00Z"}}, "status"))
    # What networks and queues write there does no harm.
    await agent.merge(PODS, ns.name, "a", {"metadata": {"annotations": {"network": "x"}}}, "status")
    await agent.merge(PODS, ns.name, "a", {"metadata": {"annotations": {"note": "x"}}})


@pytest.mark.parametrize("value", [None, "other"])
async def test_the_label_stays(ns: Namespace, users: Users, operator: Operator, value: str | None) -> None:
    await owned(ns)
    agent = await users.grant("agent", ("", "pods", EDIT))
    error = await refused(agent.merge(PODS, ns.name, "a", {"metadata": {"labels": {"agentstop.dev/task": value}}}))
    assert "cannot be changed" in error.message


async def test_other_pods_are_nobodys_business(ns: Namespace, users: Users) -> None:
    await ns.create_pod("x", agents.pod_spec(agents.graceful()))
    agent = await users.grant("agent", ("", "pods", EDIT), ("", "pods/status", EDIT))
    await agent.merge(PODS, ns.name, "x", {"status": {"reason": "Mine"}}, "status")
    await agent.delete(PODS, ns.name, "x", grace=60)
    await ns.kube.delete(PODS, ns.name, "x", grace=1, missing_ok=True)
