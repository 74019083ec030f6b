"""What controllers do in a cluster and the playground does itself: owners, namespaces, definitions."""

import asyncio
from typing import Any

from tests.support.waiting import PATIENCE

from .api import Api
from .objects import DEFINITION, WIDGETS, binding, pod, widget


async def until_gone(api: Api, path: str) -> None:
    for _ in range(int(PATIENCE * 50)):
        if (await api.get(path)).status == 404:
            return
        await asyncio.sleep(0.02)
    raise AssertionError(f"{path} is still there")


async def settle() -> None:
    """Let the collector's steps run."""
    for _ in range(20):
        await asyncio.sleep(0.005)


def owned(obj: dict[str, Any], *owners: dict[str, Any], block: bool = False) -> dict[str, Any]:
    obj["metadata"]["ownerReferences"] = [
        {
            "apiVersion": owner["apiVersion"],
            "kind": owner["kind"],
            "name": owner["metadata"]["name"],
            "uid": owner["metadata"]["uid"],
            "blockOwnerDeletion": block,
        }
        for owner in owners
    ]
    return obj


async def make(api: Api, plural: str, obj: dict[str, Any]) -> dict[str, Any]:
    answer = await api.create(api.path(plural), obj)
    assert answer.status == 201, answer.body
    body: dict[str, Any] = answer.body
    return body


async def test_dependents_go_with_their_last_owner(play: Api) -> None:
    one, two = [await make(play, WIDGETS, widget(name)) for name in ("one", "two")]
    await make(play, "configmaps", owned({"metadata": {"name": "both"}}, one, two))
    await play.delete(play.path(WIDGETS, "one"))
    await settle()
    left = (await play.get(play.path("configmaps", "both"))).body
    assert [owner["name"] for owner in left["metadata"]["ownerReferences"]] == ["two"]
    await play.delete(play.path(WIDGETS, "two"))
    await until_gone(play, play.path("configmaps", "both"))


async def test_a_pod_of_a_deleted_owner_gets_its_grace(play: Api) -> None:
    owner = await make(play, WIDGETS, widget("w"))
    await make(play, "pods", owned(pod("p", terminationGracePeriodSeconds=7), owner))
    await play.create(play.path("pods", "p") + "/binding", binding("p", "n"))
    await play.delete(play.path(WIDGETS, "w"))
    await settle()
    left = (await play.get(play.path("pods", "p"))).body
    assert left["metadata"]["deletionGracePeriodSeconds"] == 7
    await play.delete(play.path("pods", "p"), {"gracePeriodSeconds": 0})


async def test_what_is_made_for_an_owner_that_has_gone_goes_too(play: Api) -> None:
    owner = await make(play, WIDGETS, widget("w"))
    await play.delete(play.path(WIDGETS, "w"))
    await make(play, "configmaps", owned({"metadata": {"name": "late"}}, owner))
    await until_gone(play, play.path("configmaps", "late"))


async def test_owners_of_unknown_kinds_are_believed_in(play: Api) -> None:
    owner = {"apiVersion": "apps/v1", "kind": "DaemonSet", "metadata": {"name": "d", "uid": "u"}}
    await make(play, "configmaps", owned({"metadata": {"name": "c"}}, owner))
    await settle()
    assert (await play.get(play.path("configmaps", "c"))).status == 200


async def test_orphans_lose_the_reference_only(play: Api) -> None:
    owner = await make(play, WIDGETS, widget("w"))
    await make(play, "configmaps", owned({"metadata": {"name": "c"}}, owner))
    await play.delete(play.path(WIDGETS, "w"), {"propagationPolicy": "Orphan"})
    await until_gone(play, play.path(WIDGETS, "w"))
    left = (await play.get(play.path("configmaps", "c"))).body
    assert "ownerReferences" not in left["metadata"]


async def test_foreground_deletion_waits_for_dependents(play: Api) -> None:
    owner = await make(play, WIDGETS, widget("w"))
    dependent = owned({"metadata": {"name": "c", "finalizers": ["a.b/c"]}}, owner, block=True)
    await make(play, "configmaps", dependent)
    begun = await play.delete(play.path(WIDGETS, "w"), {"propagationPolicy": "Foreground"})
    assert begun.body["metadata"]["finalizers"] == ["foregroundDeletion"]
    await settle()
    assert (await play.get(play.path(WIDGETS, "w"))).status == 200
    assert "deletionTimestamp" in (await play.get(play.path("configmaps", "c"))).body["metadata"]
    await play.patch(play.path("configmaps", "c"), {"metadata": {"finalizers": None}})
    await until_gone(play, play.path(WIDGETS, "w"))


async def test_a_namespace_goes_once_it_is_empty(play: Api) -> None:
    await make(play, "configmaps", {"metadata": {"name": "c"}})
    await make(play, "pods", pod("p"))
    await play.create(play.path("pods", "p") + "/binding", binding("p", "n"))
    begun = await play.delete(f"/api/v1/namespaces/{play.ns}")
    assert begun.body["status"]["phase"] == "Terminating"
    await until_gone(play, play.path("configmaps", "c"))
    refused = await play.create(play.path("configmaps"), {"metadata": {"name": "d"}})
    assert (refused.status, refused.body["reason"]) == (403, "Forbidden")
    assert "because it is being terminated" in refused.message
    assert (await play.get(f"/api/v1/namespaces/{play.ns}")).status == 200
    await play.delete(play.path("pods", "p"), {"gracePeriodSeconds": 0})
    await until_gone(play, f"/api/v1/namespaces/{play.ns}")


async def test_definitions_come_and_go_at_run_time(play: Api) -> None:
    definitions = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
    gadgets = {
        **DEFINITION,
        "metadata": {"name": "gadgets.other.dev"},
        "spec": {
            **DEFINITION["spec"],
            "group": "other.dev",
            "names": {"plural": "gadgets", "kind": "Gadget"},
        },
    }
    path = play.path("other.dev/v1/gadgets")
    assert (await play.get(path)).status == 404
    made = await play.create(definitions, gadgets)
    conditions = {item["type"]: item["status"] for item in made.body["status"]["conditions"]}
    assert conditions == {"NamesAccepted": "True", "Established": "True"}
    gadget = {"apiVersion": "other.dev/v1", "kind": "Gadget", "metadata": {"name": "g"}}
    version = (await play.create(path, gadget)).body["metadata"]["resourceVersion"]
    async with play.watch(path, {"resourceVersion": version}) as watch:
        await play.delete(f"{definitions}/gadgets.other.dev")
        assert await watch.names(1) == [("DELETED", "g")]
        assert await asyncio.wait_for(watch.response.content.read(), PATIENCE) == b""
    await until_gone(play, f"{definitions}/gadgets.other.dev")
    assert (await play.get(path)).status == 404


async def test_a_definition_with_a_rule_that_does_not_compile_is_refused(play: Api) -> None:
    schema = {"type": "object", "x-kubernetes-validations": [{"rule": "self.spec.("}]}
    version = {"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": schema}}
    names = {"plural": "bads", "kind": "Bad"}
    bad = {
        "metadata": {"name": "bads.other.dev"},
        "spec": {"group": "other.dev", "scope": "Cluster", "names": names, "versions": [version]},
    }
    answer = await play.create("/apis/apiextensions.k8s.io/v1/customresourcedefinitions", bad)
    assert answer.status == 422
    assert "x-kubernetes-validations[0].rule" in answer.message
    assert "compilation failed" in answer.message


async def test_every_served_version_shows_the_same_objects(play: Api) -> None:
    (version,) = DEFINITION["spec"]["versions"]
    names = {"plural": "twins", "kind": "Twin"}
    definition = {
        "metadata": {"name": "twins.other.dev"},
        "spec": {
            "group": "other.dev",
            "scope": "Namespaced",
            "names": names,
            "versions": [version, {**version, "name": "v1beta1", "storage": False}],
        },
    }
    definitions = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
    assert (await play.create(definitions, definition)).status == 201
    group = (await play.get("/apis/other.dev")).body
    assert [item["version"] for item in group["versions"]] == ["v1", "v1beta1"]
    twin = {"apiVersion": "other.dev/v1beta1", "kind": "Twin", "metadata": {"name": "t"}, "spec": {"size": 4}}
    made = await play.create(play.path("other.dev/v1beta1/twins"), twin)
    assert (made.status, made.body["apiVersion"]) == (201, "other.dev/v1beta1")
    other = play.path("other.dev/v1/twins", "t")
    assert (await play.get(other)).body["apiVersion"] == "other.dev/v1"
    async with play.watch(play.path("other.dev/v1beta1/twins"), {}) as watch:
        assert await watch.names(1) == [("ADDED", "t")]
        assert (await play.patch(other, {"spec": {"size": 5}})).status == 200
        _, obj = await watch.next()
    assert (obj["apiVersion"], obj["spec"]["size"]) == ("other.dev/v1beta1", 5)
    applied = await play.patch(
        play.path("other.dev/v1beta1/twins", "t") + "?fieldManager=one&force=true",
        {**twin, "spec": {"size": 6}},
        "application/apply-patch+yaml",
    )
    assert (applied.body["apiVersion"], applied.body["spec"]["size"]) == ("other.dev/v1beta1", 6)
    await play.delete(f"{definitions}/twins.other.dev")
    await until_gone(play, f"{definitions}/twins.other.dev")
