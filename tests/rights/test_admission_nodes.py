"""Who may ask a node to freeze or kill a pod, and who may say what its kernel says: on a real API server."""

import secrets
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any

import pytest

from tests.support import helm, installed
from tests.support.clusters import Cluster
from tests.support.guarded import API_GROUP
from tests.support.kube import NODES, POD_CONTROLS, PODS, TASKS, Kind, Kube, Object
from tests.support.namespaces import Namespace
from tests.support.waiting import PATIENCE, until

from .conftest import Users
from .test_admission import refused as refused_somehow
from .test_admission_fence import installing

ACCOUNTS = Kind("/api/v1", "serviceaccounts")
ACCOUNT = f"{helm.RELEASE}-node"
VALUES: dict[str, Any] = {"node": {"enabled": True}}
EVERYTHING = ("get", "list", "watch", "create", "update", "patch", "delete")
CONTROL = "agentstop.dev", "podcontrols", EVERYTHING
STATUS = "agentstop.dev", "podcontrols/status", EVERYTHING
UID = "0b51c2c5-4f80-4a2b-9d4d-3b1d8a1f6a01"
EMPTY: Object = {"status": {"observedGeneration": 1, "state": "Killed", "processes": 0, "empty": True}}
ONLY_THE_OPERATOR = "only the operator makes, changes or deletes one"
ONLY_ITS_NODE = "only the component on the pod's own node"


async def refused(request: Any, words: str) -> None:
    assert words in (await refused_somehow(request)).message


def control(node: str = "here", uid: str = UID, **spec: Any) -> Object:
    asked = {"nodeName": node, "podUID": uid, "taskName": "a", "state": "Killed"} | spec
    body = {"apiVersion": "agentstop.dev/v1alpha1", "kind": "PodControl", "metadata": {"name": uid}, "spec": asked}
    return {**body, "spec": {name: value for name, value in asked.items() if value is not None}}


@dataclass
class Place:
    """What the chart makes with `node.enabled`, and components of two nodes."""

    kube: Kube
    operator: Kube
    here: Kube
    elsewhere: Kube


async def component(cluster: Cluster, stack: AsyncExitStack, node: str) -> Kube:
    """Return a client with the token of a component's pod on a node."""
    kube, name = cluster.kube, f"component-{secrets.token_hex(4)}"
    await kube.create(NODES, "", {"metadata": {"name": node}})
    stack.push_async_callback(kube.delete, NODES, "", node)
    spec = {"nodeName": node, "serviceAccountName": ACCOUNT, "containers": [{"name": "node", "image": "x"}]}
    pod = await kube.create(PODS, helm.NAMESPACE, {"metadata": {"name": name}, "spec": spec})
    stack.push_async_callback(kube.delete, PODS, helm.NAMESPACE, name, grace=0, missing_ok=True)
    bound = {"kind": "Pod", "apiVersion": "v1", "name": name, "uid": pod["metadata"]["uid"]}
    asked = {"spec": {"expirationSeconds": 3600, "boundObjectRef": bound}}
    made = await kube.call("POST", ACCOUNTS.path(helm.NAMESPACE, ACCOUNT, "token"), asked)
    client = await Kube.open(cluster.kubeconfig_of(made["status"]["token"]))
    stack.push_async_callback(client.close)
    return client


@pytest.fixture
async def place(cluster: Cluster, ns: Namespace) -> AsyncIterator[Place]:
    rights = [each for each in installed.rights(VALUES) if each["metadata"]["name"] == ACCOUNT]
    policies = [each for each in installed.policies(VALUES) if f"{ACCOUNT}-" in each["metadata"]["name"]]
    assert (len(rights), len(policies)) == (2, 4)
    async with AsyncExitStack() as stack:
        await installed.install(cluster.kube, rights)
        for each in rights:
            stack.push_async_callback(cluster.kube.delete, installed.kind_of(each), "", each["metadata"]["name"])
        await cluster.kube.create(ACCOUNTS, helm.NAMESPACE, {"metadata": {"name": ACCOUNT}})
        stack.push_async_callback(cluster.kube.delete, ACCOUNTS, helm.NAMESPACE, ACCOUNT)
        await installed.let_ask_nodes(cluster.kube, ns.name)
        await stack.enter_async_context(installing(cluster.kube, policies))
        assert cluster.operator_kubeconfig is not None
        operator = await Kube.open(cluster.operator_kubeconfig)
        stack.push_async_callback(operator.close)
        here, elsewhere = [await component(cluster, stack, f"{name}-{ns.name}") for name in ("here", "elsewhere")]
        yield Place(cluster.kube, operator, here, elsewhere)


async def test_nobody_but_the_operator_has_a_pod_killed(place: Place, ns: Namespace, users: Users) -> None:
    agent = await users.grant("agent", CONTROL, STATUS)
    for somebody in (agent, place.kube):
        await refused(somebody.create(POD_CONTROLS, ns.name, control()), ONLY_THE_OPERATOR)
    await place.operator.create(POD_CONTROLS, ns.name, control())
    change: Object = {"metadata": {"annotations": {"a": "b"}}}
    await refused(agent.merge(POD_CONTROLS, ns.name, UID, change), ONLY_THE_OPERATOR)
    await refused(agent.delete(POD_CONTROLS, ns.name, UID), ONLY_THE_OPERATOR)
    for node in (place.here, place.elsewhere):
        await refused(node.create(POD_CONTROLS, ns.name, control(uid=UID.replace("0b", "1b"))), "")
        await refused(node.delete(POD_CONTROLS, ns.name, UID), "")
    # Who removes what is left of a namespace or of a pod may.
    await place.kube.delete(POD_CONTROLS, ns.name, UID)


async def test_only_the_operator_changes_what_a_pod_is_to_be_in(place: Place, ns: Namespace, users: Users) -> None:
    agent = await users.grant("agent", CONTROL, STATUS)
    await place.operator.create(POD_CONTROLS, ns.name, control(state="Frozen"))
    for state in ("Running", "Killed"):
        change: Object = {"spec": {"state": state}}
        for somebody in (agent, place.kube):
            await refused(somebody.merge(POD_CONTROLS, ns.name, UID, change), ONLY_THE_OPERATOR)
        for node in (place.here, place.elsewhere):
            await refused(node.merge(POD_CONTROLS, ns.name, UID, change), "cannot patch")
    await refused(agent.delete(POD_CONTROLS, ns.name, UID), ONLY_THE_OPERATOR)
    for generation, state in enumerate(("Running", "Frozen", "Running", "Killed"), 2):
        changed = await place.operator.merge(POD_CONTROLS, ns.name, UID, {"spec": {"state": state}})
        assert (changed["spec"]["state"], changed["metadata"]["generation"]) == (state, generation)


async def test_what_is_killed_comes_back_for_nobody(place: Place, ns: Namespace) -> None:
    await place.operator.create(POD_CONTROLS, ns.name, control())
    for state in ("Running", "Frozen", None):
        await refused(place.operator.merge(POD_CONTROLS, ns.name, UID, {"spec": {"state": state}}), "")
    await refused(place.operator.merge(POD_CONTROLS, ns.name, UID, {"spec": {"state": "Running"}}), "stays so")


async def test_only_the_component_of_the_node_says_what_its_kernel_says(
    place: Place, ns: Namespace, users: Users
) -> None:
    agent = await users.grant("agent", CONTROL, STATUS)
    await place.operator.create(POD_CONTROLS, ns.name, control(f"here-{ns.name}"))
    for somebody in (agent, place.kube, place.elsewhere):
        await refused(somebody.merge(POD_CONTROLS, ns.name, UID, EMPTY, "status"), ONLY_ITS_NODE)
    await refused(place.operator.merge(POD_CONTROLS, ns.name, UID, EMPTY, "status"), "")
    said = await place.here.merge(POD_CONTROLS, ns.name, UID, EMPTY, "status")
    assert said["status"]["empty"] is True
    # What the kernel said once stays said, by whomever.
    await refused(place.here.merge(POD_CONTROLS, ns.name, UID, {"status": {"empty": None}}, "status"), "cannot go back")


async def test_a_stolen_token_of_a_nodes_component(place: Place, ns: Namespace) -> None:
    """It reads tasks, and answers for its own node: that is all."""
    task = {"metadata": {"name": "a"}, "spec": {"podTemplate": {"spec": {"containers": [{"name": "a", "image": "x"}]}}}}
    await place.kube.create(TASKS, ns.name, {"apiVersion": "agentstop.dev/v1alpha1", "kind": "AgentTask", **task})
    thief = place.here
    assert (await thief.get(TASKS, ns.name, "a"))["metadata"]["name"] == "a"
    await thief.list(POD_CONTROLS, ns.name)
    await refused(thief.list(TASKS, ns.name), "cannot list")
    await refused(thief.merge(TASKS, ns.name, "a", {"spec": {"paused": True}}), "cannot patch")
    await refused(thief.list(PODS, ns.name), "cannot list")
    await refused(thief.get(PODS, ns.name, "a"), "cannot get")
    await refused(thief.get(NODES, "", f"here-{ns.name}"), "cannot get")
    await refused(thief.list(Kind("/api/v1", "secrets"), ns.name), "cannot list")


@pytest.mark.parametrize(
    "wrong",
    [
        control(uid="../.."),
        control(uid="..") | {"metadata": {"name": UID}},
        control(uid=f"{UID}/x") | {"metadata": {"name": UID}},
        control(podUID=UID.replace("0b", "1b")),
        control(uid=UID.upper()) | {"metadata": {"name": UID}},
        control("../x"),
        control(state="Reboot"),
        control(taskName="../x"),
        control(taskName=None),
    ],
)
async def test_a_forged_uid_is_refused_of_the_operator_too(place: Place, ns: Namespace, wrong: Object) -> None:
    await refused(place.operator.create(POD_CONTROLS, ns.name, wrong), "")


async def test_what_was_asked_for_is_not_changed(place: Place, ns: Namespace) -> None:
    await place.operator.create(POD_CONTROLS, ns.name, control())
    for name in ("nodeName", "podUID", "taskName"):
        value = UID.replace("0b", "1b") if name == "podUID" else "b"
        await refused(place.kube.merge(POD_CONTROLS, ns.name, UID, {"spec": {name: value}}), "")

    async def gone() -> bool:
        return not await place.kube.list(POD_CONTROLS, ns.name)

    await place.kube.delete(POD_CONTROLS, ns.name, UID)
    await until(gone, PATIENCE, "gone")


def test_the_components_rights_are_these_and_no_others() -> None:
    (role,) = [
        each
        for each in installed.rights(VALUES)
        if each["kind"] == "ClusterRole" and each["metadata"]["name"] == ACCOUNT
    ]
    assert {(tuple(each["resources"]), tuple(each["verbs"])) for each in role["rules"]} == {
        (("podcontrols",), ("list", "watch")),
        (("podcontrols/status",), ("patch",)),
        (("agenttasks",), ("get",)),
    }
    assert {group for each in role["rules"] for group in each["apiGroups"]} == {"agentstop.dev"}
    assert API_GROUP not in str(role["rules"])
    single = [
        each
        for each in installed.rights(VALUES | {"watchNamespaces": ["team-a"]})
        if each["kind"].endswith("Role") and each["metadata"]["name"].endswith("-node")
    ]
    assert [(each["kind"], each["metadata"]["namespace"]) for each in single] == [("Role", "team-a")]
