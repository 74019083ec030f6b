"""Who asked for a stop, and with what: the stamps of the chart's policies, on a real API server."""

import re

import pytest

from tests.support import agents, helm, installed
from tests.support.clusters import Cluster
from tests.support.kube import APPLY, JSON_PATCH, ROLE_BINDINGS, TASKS, Kind, Kube, KubeError, Object
from tests.support.laws import status, stop_of
from tests.support.namespaces import Namespace
from tests.support.operators import Operator
from tests.support.waiting import until

from .conftest import Users
from .test_admission import (
    CLUSTER_ORDERS,
    ORDER_STAMP,
    ORDERS,
    POD_RIGHTS,
    STAMP,
    STOP,
    TASK_RIGHTS,
    order,
    refused,
    stamp_of,
    task,
)

TRIES = 10
WITH, ORDER_WITH = "agentstop.dev/stop-requested-with", "agentstop.dev/requested-with"


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


async def replaced_without_annotations(kube: Kube, ns: Namespace, name: str) -> Object:
    """Write a task whole, and again where the operator wrote to it since it was read."""
    for _ in range(TRIES):
        whole = await kube.get(TASKS, ns.name, name)
        del whole["metadata"]["annotations"]
        try:
            return await kube.call("PUT", TASKS.path(ns.name, name), whole)
        except KubeError as error:
            if error.code != 409:
                raise
    raise AssertionError(f"{name} was changed by somebody else {TRIES} times while it was written")


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
    await ns.ended("a")
    assert stamp_of(await replaced_without_annotations(maker, ns, "a")) == "jane"
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


async def by_account(ns: Namespace, cluster: Cluster, pod: str | None = None) -> Kube:
    """Return a client of a service account of the namespace, with a token that is bound to a pod if there is one."""
    accounts = Kind("/api/v1", "serviceaccounts")
    await cluster.kube.create(accounts, ns.name, {"metadata": {"name": "guard"}})
    bound = {"apiVersion": "v1", "kind": "Pod", "name": pod}
    body = {
        "apiVersion": "authentication.k8s.io/v1",
        "kind": "TokenRequest",
        "spec": {"boundObjectRef": bound} if pod else {},
    }
    made = await cluster.kube.call("POST", accounts.path(ns.name, "guard", "token"), body)
    return await Kube.open(cluster.kubeconfig_of(made["status"]["token"]))


@pytest.mark.parametrize("pod", [None, "watchdog"])
async def test_a_stop_by_a_token_has_the_tokens_id(
    ns: Namespace, users: Users, cluster: Cluster, pod: str | None
) -> None:
    """Whoever may make tokens or run pods signs as a namespace's accounts: the audit log says by the id who did."""
    if pod is not None:
        await ns.create_pod(pod, {**agents.pod_spec(agents.graceful()), "serviceAccountName": "guard"})
    guard = await by_account(ns, cluster, pod)
    subject = {"kind": "ServiceAccount", "name": "guard", "namespace": ns.name}
    reference = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "agentstop-stop"}
    role = {"metadata": {"name": "guard"}, "roleRef": reference, "subjects": [subject]}
    await cluster.kube.create(ROLE_BINDINGS, ns.name, role)
    try:
        await ns.kube.create(TASKS, ns.name, task("a"))
        forged = {"metadata": {"annotations": {WITH: "JTI=somebody-else"}}}
        assert "leave it out" in (await refused(ns.merge_task("a", forged))).message
        made = await guard.merge(TASKS, ns.name, "a", STOP)
        ordered = await guard.create(ORDERS, ns.name, order(annotations={ORDER_WITH: "JTI=somebody-else"}))
    finally:
        await guard.close()
    assert stamp_of(made) == stamp_of(ordered, ORDER_STAMP) == f"system:serviceaccount:{ns.name}:guard"
    credential = stamp_of(made, WITH)
    assert credential == stamp_of(ordered, ORDER_WITH)
    assert re.fullmatch(r"JTI=[0-9a-f-]{36}" + (f" pod={pod}" if pod else ""), str(credential))
    assert stamp_of(await ns.merge_task("a", {"metadata": {"annotations": {WITH: None}}}), WITH) == credential


async def test_where_nothing_is_known_of_the_credential_nothing_is_said(ns: Namespace, users: Users) -> None:
    maker = await users.grant("maker", TASK_RIGHTS, POD_RIGHTS)
    made = await maker.create(TASKS, ns.name, task("a", annotations={WITH: "JTI=x"}, stopRequested=True))
    assert (stamp_of(made), stamp_of(made, WITH)) == ("maker", None)
