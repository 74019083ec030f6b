"""The chart's admission policies, and the roles that need them, on a real API server."""

import asyncio
import os
from typing import Any

import pytest

from tests.support import agents, helm, installed, manifests
from tests.support.clusters import Cluster
from tests.support.kube import APPLY, JSON_PATCH, PODS, TASKS, Kind, KubeError, Object
from tests.support.laws import stop_of
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
        spec.setdefault("podTemplate", agents.template())
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


def template(grace: int | None = None, **probes: Object | None) -> Object:
    made = agents.template()
    container = {**made["spec"]["containers"][0], **probes}
    spec = {**made["spec"], "containers": [container]}
    return {"spec": spec if grace is None else {**spec, "terminationGracePeriodSeconds": grace}}


def probe(seconds: int) -> Object:
    return {"exec": {"command": ["true"]}, "terminationGracePeriodSeconds": seconds}


TEMPLATES: dict[str, Object] = {
    "a year": template(31_536_000),
    "a probe": template(livenessProbe=probe(3601)),
    "a probe at the start": template(startupProbe=probe(31_536_000)),
    "a sidecar's probe": {
        "spec": {**template()["spec"], "initContainers": template(livenessProbe=probe(3601))["spec"]["containers"]}
    },
}


@pytest.mark.parametrize("made", TEMPLATES.values(), ids=TEMPLATES)
async def test_no_template_has_an_endless_grace_period(ns: Namespace, users: Users, made: Object) -> None:
    maker = await users.grant("maker", TASK_RIGHTS, POD_RIGHTS)
    error = await refused(maker.create(TASKS, ns.name, task("a", podTemplate=made)))
    assert "3600 at most" in error.message


async def test_a_template_that_is_usual_is_none_of_its_business(ns: Namespace, users: Users) -> None:
    maker = await users.grant("maker", TASK_RIGHTS, POD_RIGHTS)
    usual = template(3600, livenessProbe=probe(3600), readinessProbe={"exec": {"command": ["true"]}})
    await maker.create(TASKS, ns.name, task("a", podTemplate=usual))
    await maker.create(TASKS, ns.name, task("b", podTemplate=template(livenessProbe=None)))


async def test_a_template_that_was_there_before_is_not_in_the_way_of_a_stop(
    ns: Namespace, users: Users, cluster: Cluster
) -> None:
    jane = await users.bind("jane", "agentstop-stop")
    policy = helm.one(installed.policies(), "ValidatingAdmissionPolicyBinding", "agentstop-grace-period")
    await cluster.kube.delete(installed.kind_of(policy), "", policy["metadata"]["name"])
    count = 0

    async def made(wanted: bool) -> bool:
        nonlocal count
        count += 1
        body = task(f"t{count}", podTemplate=TEMPLATES["a year"], stop={"gracePeriodSeconds": 31_536_000})
        try:
            await ns.kube.create(TASKS, ns.name, body)
        except KubeError:
            return not wanted
        return wanted

    try:
        await until(lambda: made(True), installed.ACTIVE_SECONDS, "the policy gone")
        last = f"t{count}"
    finally:
        await installed.install(cluster.kube, [policy])
    await until(lambda: made(False), installed.ACTIVE_SECONDS, "the policy back")
    assert stamp_of(await jane.merge(TASKS, ns.name, last, STOP)) == "jane"


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
    "RayCluster": (
        reference(manifests.RAY_VERSION, "RayCluster"),
        [("ray.io", "rayclusters", ("patch",))],
        "rayclusters of API",
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
