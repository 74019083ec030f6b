"""Patches of every kind, and who owns which fields after them."""

from typing import Any

from .api import APPLY_PATCH, JSON_PATCH, STRATEGIC_PATCH, Api
from .objects import GROUP, WIDGETS, binding, pod, widget


def owners(body: dict[str, Any]) -> dict[tuple[str, str, str], Any]:
    """The owned fields by manager, operation and subresource."""
    return {
        (entry["manager"], entry["operation"], entry.get("subresource", "")): entry["fieldsV1"]
        for entry in body["metadata"].get("managedFields", [])
    }


async def test_json_patches(api: Api) -> None:
    path = api.path(WIDGETS, "w")
    await api.create(api.path(WIDGETS), widget("w", size=4, tags=["a"]))
    operations = [{"op": "test", "path": "/spec/size", "value": 4}, {"op": "add", "path": "/spec/tags/-", "value": "b"}]
    answer = await api.patch(path, operations, JSON_PATCH)
    assert answer.body["spec"]["tags"] == ["a", "b"]
    failed = await api.patch(path, [{"op": "test", "path": "/spec/size", "value": 5}], JSON_PATCH)
    assert (failed.status, failed.body["reason"]) == (422, "Invalid")
    nowhere = await api.patch(path, [{"op": "replace", "path": "/spec/no/where", "value": 5}], JSON_PATCH)
    assert nowhere.status == 422
    assert (await api.patch(path, {"op": "add"}, JSON_PATCH)).status == 400


async def test_the_last_finalizer_leaves_no_empty_list(api: Api) -> None:
    body = pod("p")
    body["metadata"]["finalizers"] = ["a.b/c"]
    await api.create(api.path("pods"), body)
    patch = {"metadata": {"$deleteFromPrimitiveList/finalizers": ["a.b/c"]}}
    answer = await api.patch(api.path("pods", "p"), patch, STRATEGIC_PATCH)
    assert answer.status == 200
    assert "finalizers" not in answer.body["metadata"]


async def test_patches_of_what_is_not_there(api: Api) -> None:
    for media_type in (JSON_PATCH, "application/merge-patch+json"):
        answer = await api.patch(api.path(WIDGETS, "no"), [] if media_type == JSON_PATCH else {}, media_type)
        assert (answer.status, answer.message) == (404, f'widgets.{GROUP} "no" not found')


async def test_patches_in_an_unknown_format(api: Api) -> None:
    await api.create(api.path(WIDGETS), widget("w"))
    answer = await api.patch(api.path(WIDGETS, "w"), {}, "text/plain")
    assert answer.status == 415


async def test_a_patch_owns_what_it_changes(api: Api) -> None:
    path = api.path("pods", "p")
    await api.create(api.path("pods"), pod("p"), agent="maker/1")
    patched = await api.patch(path + "?fieldManager=stopper", {"spec": {"activeDeadlineSeconds": 60}}, STRATEGIC_PATCH)
    owned = owners(patched.body)
    assert owned["stopper", "Update", ""] == {"f:spec": {"f:activeDeadlineSeconds": {}}}
    assert "f:activeDeadlineSeconds" not in owned["maker", "Update", ""]["f:spec"]
    taken = await api.patch(path, {"spec": {"activeDeadlineSeconds": 1}}, agent="other/2")
    owned = owners(taken.body)
    assert owned["other", "Update", ""] == {"f:spec": {"f:activeDeadlineSeconds": {}}}
    assert ("stopper", "Update", "") not in owned


async def test_ownership_of_lists_goes_by_key(api: Api) -> None:
    await api.create(api.path("pods"), pod("p"), agent="maker/1")
    await api.create(api.path("pods", "p") + "/binding", binding("p", "nowhere"))
    status = {"status": {"conditions": [{"type": "Ready", "status": "True"}], "phase": "Running"}}
    answer = await api.patch(api.path("pods", "p") + "/status", status, STRATEGIC_PATCH, agent="kubelet/1")
    owned = owners(answer.body)
    container = owned["maker", "Update", ""]["f:spec"]["f:containers"]['k:{"name":"main"}']
    assert container["."] == {}
    assert container["f:image"] == {}
    conditions = owned["kubelet", "Update", "status"]["f:status"]["f:conditions"]
    assert set(conditions['k:{"type":"Ready"}']) == {
        ".",
        "f:lastProbeTime",
        "f:lastTransitionTime",
        "f:status",
        "f:type",
    }
    assert owned["kubelet", "Update", "status"]["f:status"]["f:phase"] == {}


async def test_removed_fields_belong_to_no_one(api: Api) -> None:
    path = api.path(WIDGETS, "w")
    await api.create(api.path(WIDGETS), widget("w", color="red", title="x"), agent="maker/1")
    answer = await api.patch(path, {"spec": {"title": None}}, agent="other/1")
    owned = owners(answer.body)
    assert "f:title" not in owned["maker", "Update", ""]["f:spec"]
    assert ("other", "Update", "") not in owned


async def test_the_record_of_owners_can_be_emptied(api: Api) -> None:
    path = api.path(WIDGETS, "w")
    await api.create(api.path(WIDGETS), widget("w"), agent="maker/1")
    answer = await api.patch(path, {"metadata": {"managedFields": [{}]}})
    assert answer.status == 200
    assert ("maker", "Update", "") not in owners(answer.body)


async def test_the_record_of_owners_can_be_rewritten(api: Api) -> None:
    path = api.path(WIDGETS, "w")
    made = await api.create(api.path(WIDGETS), widget("w", color="red"), agent="maker/1")
    entries = [{**entry, "manager": "heir"} for entry in made.body["metadata"]["managedFields"]]
    answer = await api.patch(path, {"metadata": {"managedFields": entries}}, agent="writer/1")
    assert set(owners(answer.body)) == {("heir", "Update", "")}
    unreadable = [{"manager": "x", "operation": "Nope"}]
    answer = await api.patch(path, {"metadata": {"managedFields": unreadable}}, agent="writer/1")
    assert set(owners(answer.body)) == {("heir", "Update", "")}


class TestServerSideApply:
    """Server-side apply."""

    @staticmethod
    async def apply(api: Api, manager: str, spec: dict[str, Any], query: str = "") -> Any:
        path = f"{api.path(WIDGETS, 'w')}?fieldManager={manager}{query}"
        return await api.patch(path, widget("w", **spec), APPLY_PATCH)

    async def test_it_creates_and_owns_just_what_it_says(self, api: Api) -> None:
        answer = await self.apply(api, "one", {"color": "red", "parts": [{"name": "a"}]})
        assert answer.status == 201
        assert answer.body["spec"]["size"] == 3
        assert owners(answer.body)["one", "Apply", ""] == {
            "f:spec": {"f:color": {}, "f:parts": {'k:{"name":"a"}': {".": {}, "f:name": {}}}}
        }
        assert (await self.apply(api, "one", {"color": "red", "parts": [{"name": "a"}]})).status == 200

    async def test_conflicts_are_named_and_can_be_forced(self, api: Api) -> None:
        await self.apply(api, "one", {"color": "red"})
        refused = await self.apply(api, "two", {"color": "green"})
        assert (refused.status, refused.body["reason"]) == (409, "Conflict")
        assert refused.message == 'Apply failed with 1 conflict: conflict with "one": .spec.color'
        assert refused.causes == {(".spec.color", "FieldManagerConflict", 'conflict with "one"')}
        forced = await self.apply(api, "two", {"color": "green"}, "&force=true")
        assert forced.body["spec"]["color"] == "green"
        assert ("one", "Apply", "") not in owners(forced.body) or owners(forced.body)["one", "Apply", ""] == {}

    async def test_agreeing_managers_share_a_field(self, api: Api) -> None:
        await self.apply(api, "one", {"color": "red", "title": "x"})
        shared = await self.apply(api, "two", {"color": "red"})
        assert shared.status == 200
        dropped = await self.apply(api, "one", {"title": "x"})
        assert dropped.body["spec"]["color"] == "red"
        gone = await self.apply(api, "two", {})
        assert "color" not in gone.body["spec"]

    async def test_fields_and_items_that_are_no_longer_applied_go(self, api: Api) -> None:
        await self.apply(api, "one", {"color": "red", "parts": [{"name": "a"}, {"name": "b"}], "tags": ["x", "y"]})
        await self.apply(api, "two", {"parts": [{"name": "c"}], "tags": ["z"]})
        answer = await self.apply(api, "one", {"parts": [{"name": "b"}], "tags": ["y"]})
        spec = answer.body["spec"]
        assert "color" not in spec
        assert [part["name"] for part in spec["parts"]] == ["b", "c"]
        assert spec["tags"] == ["y", "z"]

    async def test_an_update_takes_a_field_from_an_applier(self, api: Api) -> None:
        await self.apply(api, "one", {"color": "red"})
        await api.patch(api.path(WIDGETS, "w"), {"spec": {"color": "green"}}, agent="hand/1")
        refused = await self.apply(api, "one", {"color": "red"})
        assert refused.message == f'Apply failed with 1 conflict: conflict with "hand" using {GROUP}/v1: .spec.color'

    async def test_the_status_is_applied_apart(self, api: Api) -> None:
        await self.apply(api, "one", {"color": "red"})
        body = {"apiVersion": f"{GROUP}/v1", "kind": "Widget", "status": {"phase": "Good"}, "spec": {"color": "green"}}
        path = api.path(WIDGETS, "w") + "/status?fieldManager=op"
        answer = await api.patch(path, body, APPLY_PATCH)
        assert answer.body["status"] == {"phase": "Good"}
        assert answer.body["spec"]["color"] == "red"
        assert owners(answer.body)["op", "Apply", "status"] == {"f:status": {"f:phase": {}}}

    async def test_it_needs_a_manager_and_takes_yaml(self, api: Api) -> None:
        nameless = await api.patch(api.path(WIDGETS, "w"), widget("w"), APPLY_PATCH)
        assert nameless.status == 422
        assert "is required for apply patch" in nameless.message
        text = f"apiVersion: {GROUP}/v1\nkind: Widget\nmetadata: {{name: w}}\nspec:\n  color: red\n"
        answer = await api.patch(api.path(WIDGETS, "w") + "?fieldManager=one", text, APPLY_PATCH)
        assert answer.body["spec"]["color"] == "red"

    async def test_an_unchanged_configuration_writes_nothing(self, api: Api) -> None:
        first = await self.apply(api, "one", {"color": "red"})
        second = await self.apply(api, "one", {"color": "red"})
        assert first.body["metadata"]["resourceVersion"] == second.body["metadata"]["resourceVersion"]
