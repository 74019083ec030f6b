"""The subresource scale, of built-in kinds and of custom ones that declare it."""

from typing import Any

import pytest

from .api import JSON_PATCH, STRATEGIC_PATCH, TABLE, Api
from .objects import DEPLOYMENTS, FLEETS, REPLICA_SETS, STATEFUL_SETS, WIDGETS, fleet, replicated, widget

KINDS = {DEPLOYMENTS: "Deployment", REPLICA_SETS: "ReplicaSet", STATEFUL_SETS: "StatefulSet"}


async def make(api: Api, plural: str = DEPLOYMENTS, replicas: int = 2) -> dict[str, Any]:
    """Create an object with the name `one`, as the manager `maker`."""
    body = fleet("one", ships=replicas) if plural == FLEETS else replicated(KINDS[plural], "one", replicas=replicas)
    answer = await api.create(api.path(plural), body, agent="maker/1")
    assert answer.status == 201, answer.body
    made: dict[str, Any] = answer.body
    return made


def scale_path(api: Api, plural: str = DEPLOYMENTS) -> str:
    return f"{api.path(plural, 'one')}/scale"


def owners(body: dict[str, Any]) -> dict[tuple[str, str, str], Any]:
    """The owned specification by manager, operation and subresource."""
    return {
        (entry["manager"], entry["operation"], entry.get("subresource", "")): entry["fieldsV1"].get("f:spec", {})
        for entry in body["metadata"]["managedFields"]
    }


@pytest.mark.parametrize("plural", KINDS)
async def test_a_built_in_kind_shows_its_scale(api: Api, plural: str) -> None:
    made = await make(api, plural)
    answer = await api.get(scale_path(api, plural))
    metadata = made["metadata"]
    assert answer.body == {
        "kind": "Scale",
        "apiVersion": "autoscaling/v1",
        "metadata": {
            key: metadata[key] for key in ("name", "namespace", "uid", "resourceVersion", "creationTimestamp")
        },
        "spec": {"replicas": 2},
        "status": {"replicas": 0, "selector": "app=x"},
    }


async def test_a_selector_is_shown_as_text(api: Api) -> None:
    expressions = [
        {"key": "tier", "operator": "In", "values": ["b", "a"]},
        {"key": "zone", "operator": "Exists"},
        {"key": "old", "operator": "DoesNotExist"},
    ]
    selector = {"matchLabels": {"app": "x"}, "matchExpressions": expressions}
    body = replicated("Deployment", "one", selector=selector)
    body["spec"]["template"]["metadata"]["labels"] |= {"tier": "a", "zone": "z"}
    assert (await api.create(api.path(DEPLOYMENTS), body)).status == 201
    answer = await api.get(scale_path(api))
    assert answer.body["status"]["selector"] == "app=x,!old,tier in (a,b),zone"


async def test_a_custom_kind_scales_where_its_definition_says(api: Api) -> None:
    await make(api, FLEETS)
    await api.patch(f"{api.path(FLEETS, 'one')}/status", {"status": {"afloat": 1, "selector": "a=b"}})
    shown = (await api.get(scale_path(api, FLEETS))).body
    assert (shown["spec"], shown["status"]) == ({"replicas": 2}, {"replicas": 1, "selector": "a=b"})
    assert (await api.patch(scale_path(api, FLEETS), {"spec": {"replicas": 4}})).body["spec"] == {"replicas": 4}
    changed = (await api.get(api.path(FLEETS, "one"))).body
    assert (changed["spec"]["ships"], changed["metadata"]["generation"]) == (4, 2)
    assert changed["status"] == {"afloat": 1, "selector": "a=b"}


async def test_a_custom_kind_without_a_number_has_no_scale_to_show(api: Api) -> None:
    await api.create(api.path(FLEETS), fleet("one", flag="white"))
    answer = await api.get(scale_path(api, FLEETS))
    assert answer.status == 500
    assert 'the spec replicas field ".spec.ships" does not exist' in answer.message


async def test_a_scale_is_held_to_the_schema_of_its_kind(api: Api) -> None:
    await make(api, FLEETS)
    answer = await api.patch(scale_path(api, FLEETS), {"spec": {"replicas": 9}})
    assert answer.status == 422
    assert "should be less than or equal to 5" in answer.message


async def test_a_kind_without_scale_says_so(api: Api) -> None:
    await api.create(api.path(WIDGETS), widget("one"))
    answer = await api.get(f"{api.path(WIDGETS, 'one')}/scale")
    assert (answer.status, answer.body["reason"]) == (404, "NotFound")


@pytest.mark.parametrize("plural", [DEPLOYMENTS, FLEETS])
async def test_scaling_counts_a_generation(api: Api, plural: str) -> None:
    made = await make(api, plural)
    answer = await api.patch(scale_path(api, plural), {"spec": {"replicas": 0}})
    assert (answer.status, answer.body["spec"]) == (200, {})
    changed = (await api.get(api.path(plural, "one"))).body
    assert changed["spec"].get("replicas", changed["spec"].get("ships")) == 0
    assert changed["metadata"]["generation"] == made["metadata"]["generation"] + 1
    assert answer.body["metadata"]["resourceVersion"] == changed["metadata"]["resourceVersion"]


@pytest.mark.parametrize(
    ("media_type", "patch"),
    [
        ("application/merge-patch+json", {"spec": {"replicas": 5}}),
        (STRATEGIC_PATCH, {"spec": {"replicas": 5}}),
        (JSON_PATCH, [{"op": "replace", "path": "/spec/replicas", "value": 5}]),
    ],
)
async def test_every_patch_scales_from_zero(api: Api, media_type: str, patch: Any) -> None:
    await make(api, replicas=0)
    answer = await api.patch(scale_path(api), patch, media_type)
    assert (answer.status, answer.body["spec"]) == (200, {"replicas": 5})
    assert (await api.get(api.path(DEPLOYMENTS, "one"))).body["spec"]["replicas"] == 5


async def test_custom_kinds_take_no_strategic_patch_of_their_scale(api: Api) -> None:
    await make(api, FLEETS)
    answer = await api.patch(scale_path(api, FLEETS), {"spec": {"replicas": 0}}, STRATEGIC_PATCH)
    assert answer.status == 415


async def test_scaling_by_the_old_version_conflicts(api: Api) -> None:
    made = await make(api)
    await api.patch(api.path(DEPLOYMENTS, "one"), {"metadata": {"labels": {"a": "b"}}})
    version = made["metadata"]["resourceVersion"]
    answer = await api.patch(scale_path(api), {"metadata": {"resourceVersion": version}, "spec": {"replicas": 0}})
    assert (answer.status, answer.body["reason"]) == (409, "Conflict")
    assert answer.message == (
        'Operation cannot be fulfilled on deployments.apps "one": '
        "the object has been modified; please apply your changes to the latest version and try again"
    )


async def test_scaling_another_uid_conflicts(api: Api) -> None:
    made = await make(api)
    answer = await api.patch(scale_path(api), {"metadata": {"uid": "other"}, "spec": {"replicas": 0}})
    assert (answer.status, answer.body["reason"]) == (409, "Conflict")
    uid = made["metadata"]["uid"]
    assert f"Precondition failed: UID in precondition: other, UID in object meta: {uid}" in answer.message
    tested = await api.patch(scale_path(api), [{"op": "test", "path": "/metadata/uid", "value": "other"}], JSON_PATCH)
    assert tested.status == 422


async def test_a_negative_number_is_refused(api: Api) -> None:
    await make(api)
    answer = await api.patch(scale_path(api), {"spec": {"replicas": -1}})
    assert answer.status == 422
    assert answer.message == (
        'Scale.autoscaling "one" is invalid: spec.replicas: Invalid value: -1: must be greater than or equal to 0'
    )


async def test_another_kind_is_no_scale(api: Api) -> None:
    await make(api)
    patch = {"apiVersion": "v1", "kind": "Pod", "spec": {"replicas": 1}}
    assert (await api.patch(scale_path(api), patch)).status in {400, 422}


async def test_a_dry_run_changes_nothing(api: Api) -> None:
    await make(api)
    answer = await api.patch(scale_path(api) + "?dryRun=All", {"spec": {"replicas": 7}})
    assert answer.body["spec"] == {"replicas": 7}
    assert (await api.get(api.path(DEPLOYMENTS, "one"))).body["spec"]["replicas"] == 2


async def test_who_scales_owns_the_number(api: Api) -> None:
    await make(api)
    await api.patch(scale_path(api), {"spec": {"replicas": 1}}, agent="scaler/1")
    owned = owners((await api.get(api.path(DEPLOYMENTS, "one"))).body)
    assert owned["scaler", "Update", "scale"] == {"f:replicas": {}}
    assert "f:replicas" not in owned["maker", "Update", ""]


async def test_the_scale_of_nothing_is_not_found(api: Api) -> None:
    for answer in (await api.get(scale_path(api)), await api.patch(scale_path(api), {"spec": {"replicas": 1}})):
        assert (answer.status, answer.message) == (404, 'deployments.apps "one" not found')


async def test_a_scale_is_neither_created_nor_deleted(api: Api) -> None:
    await make(api)
    for answer in (await api.create(scale_path(api), {}), await api.delete(scale_path(api))):
        assert (answer.status, answer.body["reason"]) == (405, "MethodNotAllowed")


async def test_a_scale_is_shown_as_a_table(api: Api) -> None:
    await make(api)
    table = (await api.get(scale_path(api), accept=TABLE)).body
    assert [column["name"] for column in table["columnDefinitions"]] == ["Name", "Desired", "Available", "Age"]
    assert table["rows"][0]["cells"][:3] == ["one", 2, 0]


async def test_discovery_names_the_kind_of_a_scale(api: Api) -> None:
    for group_version, name in (("apps/v1", "deployments/scale"), ("tests.agentstop.dev/v1", "fleets/scale")):
        resources = (await api.get(f"/apis/{group_version}")).body["resources"]
        found = next(item for item in resources if item["name"] == name)
        assert {key: found[key] for key in ("group", "version", "kind")} == {
            "group": "autoscaling",
            "version": "v1",
            "kind": "Scale",
        }
        assert {"get", "patch"} <= set(found["verbs"])
