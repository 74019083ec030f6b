"""The chart's bounds: nobody pads an object so that no stop fits in, or nests it so that nobody can read it."""

from typing import Any

import pytest

from tests.support import agents
from tests.support.kube import APPLY, JSON_PATCH, PODS, TASKS, Object
from tests.support.namespaces import Namespace
from tests.support.operators import Operator

from .conftest import Users
from .test_admission import CLUSTER_ORDERS, EDIT, ORDERS, POD_RIGHTS, STOP, TASK_RIGHTS, order, refused, stamp_of, task

ORDER_RIGHTS = ("agentstop.dev", "stoporders", EDIT)
STRATEGIC = "application/strategic-merge-patch+json"


def nested(depth: int) -> Object:
    tree: Object = {}
    for _ in range(depth):
        tree = {"f:a": tree}
    return tree


WIDE: Object = {f"f:{number:020}": {} for number in range(4000)}


def managed(fields: Object, version: str) -> Object:
    entry = {"manager": "m", "operation": "Update", "apiVersion": version, "time": "2026-01-01T00:00:00Z"}
    return {"managedFields": [{**entry, "fieldsType": "FieldsV1", "fieldsV1": fields}]}


def owners(count: int, name: str = "o") -> Object:
    one = {"apiVersion": "v1", "kind": "ConfigMap", "uid": "u"}
    return {"ownerReferences": [{**one, "name": f"{name}{number}"} for number in range(count)]}


def padding(version: str) -> dict[str, tuple[Object, str]]:
    """Return what makes an object too large, and what is said of it."""
    return {
        "labels": ({"labels": {f"l{number}": "" for number in range(129)}}, "128 labels and annotations at most"),
        "very many labels": ({"labels": {f"l{number}": "" for number in range(2000)}}, "128 labels and annotations"),
        "annotations": ({"annotations": {f"a{number}": "" for number in range(129)}}, "128 labels and annotations"),
        "a large annotation": ({"annotations": {"a": "ü" * 33_000}}, "65536 bytes at most"),
        "finalizers": ({"finalizers": [f"example.com/f{number}" for number in range(17)]}, "16 finalizers at most"),
        "owners": (owners(17), "16 owners at most"),
        "an owner with a long name": (owners(1, "o" * 2000), "16 owners at most"),
        "deep managedFields": (managed(nested(200), version), "16 levels deep at most"),
        "large managedFields": (managed({"f:" + "a" * 70_000: {}}, version), "65536 bytes and be"),
        "very many managedFields": (managed(WIDE, version), "65536 bytes and be"),
    }


OF_OURS, OF_PODS = padding("agentstop.dev/v1alpha1"), padding("v1")


@pytest.mark.parametrize(("metadata", "said"), OF_OURS.values(), ids=OF_OURS)
async def test_nobody_pads_a_task_or_an_order(ns: Namespace, users: Users, metadata: Object, said: str) -> None:
    agent = await users.grant("agent", TASK_RIGHTS, POD_RIGHTS, ORDER_RIGHTS)
    jane = await users.bind("jane", "agentstop-stop", "")
    await agent.create(TASKS, ns.name, task("a"))
    await agent.create(ORDERS, ns.name, order())
    padded = task("b")
    padded["metadata"] |= metadata
    requests = [
        agent.merge(TASKS, ns.name, "a", {"metadata": metadata}),
        agent.merge(ORDERS, ns.name, "o", {"metadata": metadata}),
        agent.create(TASKS, ns.name, padded),
        agent.create(TASKS, ns.name, {**padded, "spec": {**padded["spec"], "stopRequested": True}}),
        agent.create(ORDERS, ns.name, order(**{"name": "p", **metadata})),
        jane.create(CLUSTER_ORDERS, "", order("ClusterStopOrder", **{"name": f"o-{ns.name}", **metadata})),
    ]
    if "managedFields" not in metadata:
        requests.append(agent.merge(TASKS, ns.name, "a", {"metadata": metadata, **STOP}))
    for request in requests:
        assert said in (await refused(request)).message
    assert stamp_of(await jane.merge(TASKS, ns.name, "a", STOP)) == "jane"


async def test_what_is_usual_is_not_too_much(ns: Namespace, users: Users) -> None:
    agent = await users.grant("agent", TASK_RIGHTS, ("", "pods", EDIT))
    much = {
        "labels": {f"l{number}": "x" for number in range(60)},
        "annotations": {"kubectl.kubernetes.io/last-applied-configuration": "x" * 60_000},
        "finalizers": [f"example.com/f{number}" for number in range(16)],
    }
    container = {
        **agents.template()["spec"]["containers"][0],
        "env": [{"name": f"E{n}", "value": "x"} for n in range(500)],
    }
    body = task("a", podTemplate={"spec": {"containers": [container]}})
    body["metadata"] |= much
    query = {"fieldManager": "git", "force": "true"}
    await agent.call("PATCH", TASKS.path(ns.name, "a"), body, content_type=APPLY, query=query)
    await agent.merge(TASKS, ns.name, "a", {"spec": {"agent": "x"}})
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "x", **much}, "spec": {"containers": [container]}}
    await agent.call("PATCH", PODS.path(ns.name, "x"), pod, content_type=APPLY, query=query)
    await agent.merge(PODS, ns.name, "x", {"metadata": {"annotations": {"a": "b"}}})


def large(times: int) -> Object:
    """Return the metadata of what is so many times as large as the policies allow, or about that."""
    return {
        "labels": {f"l{number}": "" for number in range(200 * times)},
        "annotations": {f"a{number}": "x" * 20 for number in range(500 * times)},
        "finalizers": [f"example.com/f{number}" for number in range(20)],
    }


@pytest.mark.parametrize(("fields", "times"), [(nested(200), 3), (WIDE, 10)], ids=["deep", "wide"])
async def test_what_is_too_large_already_is_stopped_and_made_smaller(
    ns: Namespace, users: Users, fields: Object, times: int
) -> None:
    """It was there before the policy, or an administrator made it."""
    agent = await users.grant("agent", TASK_RIGHTS, ORDER_RIGHTS)
    jane = await users.bind("jane", "agentstop-stop")
    finalizers = large(times)["finalizers"]
    for name in ("a", "b"):
        body = task(name)
        body["metadata"] |= large(times) | managed(fields, "agentstop.dev/v1alpha1")
        await ns.kube.create(TASKS, ns.name, body)
    made = await jane.merge(TASKS, ns.name, "a", {"spec": {"stopRequested": True, "stop": {"reason": "Incident"}}})
    assert (stamp_of(made), made["spec"]["stop"]["reason"]) == ("jane", "Incident")
    await jane.merge(TASKS, ns.name, "a", {"spec": {"stop": {"gracePeriodSeconds": 1}}})

    await refused(agent.merge(TASKS, ns.name, "b", {"metadata": {"labels": {"one-more": ""}}}))
    await refused(agent.merge(TASKS, ns.name, "b", {"metadata": {"finalizers": [*finalizers, "example.com/x"]}}))
    clear = [{"op": "replace", "path": "/metadata/managedFields", "value": [{}]}]
    await agent.call("PATCH", TASKS.path(ns.name, "b"), clear, content_type=JSON_PATCH)
    await agent.merge(TASKS, ns.name, "b", {"metadata": {"labels": {"l1": None}}})
    await agent.merge(TASKS, ns.name, "b", {"metadata": {"finalizers": finalizers[1:]}})
    await agent.merge(TASKS, ns.name, "b", {"spec": {"agent": "x"}})
    await agent.merge(TASKS, ns.name, "b", {"metadata": {"labels": None, "annotations": None, "finalizers": None}})


PADDED_PODS: dict[str, tuple[Object, str]] = {
    **{name: ({"metadata": metadata}, said) for name, (metadata, said) in OF_PODS.items()},
    "tolerations": (
        {"spec": {"tolerations": [{"key": f"k{number}", "operator": "Exists"} for number in range(65)]}},
        "64 tolerations at most",
    ),
}


@pytest.mark.parametrize(("change", "said"), PADDED_PODS.values(), ids=PADDED_PODS)
async def test_nobody_pads_a_pod(ns: Namespace, users: Users, change: Object, said: str) -> None:
    """Neither that of a task nor one that is adopted, which has no label of ours."""
    agent = await users.grant("agent", ("", "pods", EDIT), ("", "pods/status", EDIT))
    template = {"spec": agents.pod_spec(agents.graceful())}
    for name, labels in (("x", {}), ("y", {"agentstop.dev/task": "y"})):
        await ns.create_pod(name, template["spec"], labels=labels)
        assert said in (await refused(agent.merge(PODS, ns.name, name, change))).message
        if change.get("metadata", {}).keys() & {"labels", "annotations"}:  # the rest is not changed by that way
            assert said in (await refused(agent.merge(PODS, ns.name, name, change, "status"))).message
    if "metadata" in change:
        body = {"metadata": {"name": "z", **change["metadata"]}, **template}
        assert said in (await refused(agent.create(PODS, ns.name, body))).message


async def test_an_image_has_no_endless_name(ns: Namespace, users: Users) -> None:
    agent = await users.grant("agent", ("", "pods", EDIT))
    await ns.create_pod("x", agents.pod_spec(agents.graceful()))
    container = (await ns.pod("x"))["spec"]["containers"][0]["name"]

    def change(image: str) -> Any:
        steps = {"spec": {"containers": [{"name": container, "image": image}]}}
        return agent.call("PATCH", PODS.path(ns.name, "x"), steps, content_type=STRATEGIC)

    assert "1024 characters" in (await refused(change("i" * 1025))).message
    await change("i" * 1024)


async def test_a_pod_is_not_padded_with_ephemeral_containers(ns: Namespace, users: Users) -> None:
    agent = await users.grant("agent", ("", "pods", EDIT), ("", "pods/ephemeralcontainers", EDIT))
    await ns.create_pod("x", agents.pod_spec(agents.graceful()))

    def add(count: int, word: str) -> Any:
        made = [{"name": f"e{number}", "image": "busybox", "args": [word]} for number in range(count)]
        body = {"spec": {"ephemeralContainers": made}}
        return agent.call("PATCH", PODS.path(ns.name, "x", "ephemeralcontainers"), body, content_type=STRATEGIC)

    assert "16 ephemeral containers at most" in (await refused(add(17, ""))).message
    assert "65536 bytes" in (await refused(add(1, "x" * 70_000))).message
    await add(1, "sh")


async def test_a_pod_that_is_too_large_already_is_made_smaller_and_ended(
    ns: Namespace, users: Users, operator: Operator
) -> None:
    agent = await users.grant("agent", ("", "pods", EDIT))
    metadata = large(10) | {"finalizers": []} | managed(nested(200), "v1")
    await ns.create_pod("x", agents.pod_spec(agents.graceful()), **metadata)
    await refused(agent.merge(PODS, ns.name, "x", {"metadata": {"labels": {"one-more": ""}}}))
    await agent.merge(PODS, ns.name, "x", {"metadata": {"managedFields": [{}], "labels": {"l1": None}}})
    await ns.adopt("a", "x")
    await ns.running("a")
    await ns.stop("a")
    await ns.ended("a")
