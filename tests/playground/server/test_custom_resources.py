"""Custom resources: defaults, pruning, validation, rules, versions and the status subresource."""

from typing import Any

import pytest

from .api import STRATEGIC_PATCH, Api
from .objects import GROUP, WIDGETS, widget

NOT_CHECKED = (
    "<nil>",
    "FieldValueInvalid",
    "Invalid value: null: some validation rules were not checked because the object was invalid; correct the existing "
    "errors to complete validation",
)


async def test_defaults_are_filled_in_and_unknown_fields_dropped(api: Api) -> None:
    answer = await api.create(
        api.path(WIDGETS), widget("w", nope=1, note=None, title=None, parts=[{"name": "a"}], free={"any": {"thing": 1}})
    )
    assert answer.status == 201
    assert answer.body["spec"] == {
        "size": 3,
        "locked": False,
        "note": None,
        "parts": [{"name": "a", "count": 1}],
        "free": {"any": {"thing": 1}},
    }
    assert answer.warnings == ['299 - "unknown field \\"spec.nope\\""']
    metadata = answer.body["metadata"]
    assert metadata["generation"] == 1
    assert metadata["namespace"] == api.ns
    assert metadata["resourceVersion"].isdecimal()


async def test_strict_validation_names_the_unknown_fields(api: Api) -> None:
    answer = await api.create(api.path(WIDGETS) + "?fieldValidation=Strict", widget("w", nope=1))
    assert answer.status == 400
    assert answer.message == (
        'Widget in version "v1" cannot be handled as a Widget: strict decoding error: unknown field "spec.nope"'
    )
    quiet = await api.create(api.path(WIDGETS) + "?fieldValidation=Ignore", widget("w", nope=1))
    assert (quiet.status, quiet.warnings) == (201, [])
    patched = await api.patch(api.path(WIDGETS, "w") + "?fieldValidation=Strict", {"spec": {"nope": 1}})
    assert patched.status == 422
    assert patched.message.endswith('strict decoding error: unknown field "spec.nope"')


async def test_a_field_given_twice_is_named(api: Api) -> None:
    body = f'{{"apiVersion":"{GROUP}/v1","kind":"Widget","metadata":{{"name":"w"}},"spec":{{"size":1,"size":2}}}}'
    answer = await api.create(api.path(WIDGETS) + "?fieldValidation=Strict", body)
    assert answer.status == 400
    assert "duplicate field" in answer.message
    assert "size" in answer.message


@pytest.mark.parametrize(
    ("spec", "causes"),
    [
        (
            {"color": "blue"},
            {("spec.color", "FieldValueNotSupported", 'Unsupported value: "blue": supported values: "red", "green"')},
        ),
        (
            {"size": "x"},
            {
                (
                    "spec.size",
                    "FieldValueTypeInvalid",
                    'Invalid value: "string": spec.size in body must be of type integer: "string"',
                )
            },
        ),
        ({"title": "far too long"}, {("spec.title", "FieldValueTooLong", "Too long: may not be more than 8 bytes")}),
        (
            {"tags": ["a", "b", "c", "d"]},
            {("spec.tags", "FieldValueTooMany", "Too many: 4: must have at most 3 items")},
        ),
        ({"parts": [{"count": 1}]}, {("spec.parts[0].name", "FieldValueRequired", "Required value")}),
        (
            {"port": 1.5},
            {
                (
                    "spec.port",
                    "FieldValueTypeInvalid",
                    'Invalid value: "number": spec.port in body must be of type integer,string: "number"',
                )
            },
        ),
    ],
)
async def test_what_is_so_wrong_that_rules_are_not_run(
    api: Api, spec: dict[str, Any], causes: set[tuple[str, str, str]]
) -> None:
    answer = await api.create(api.path(WIDGETS), widget("w", **spec))
    assert answer.status == 422
    assert answer.body["reason"] == "Invalid"
    assert answer.causes == causes | {NOT_CHECKED}


@pytest.mark.parametrize(
    ("spec", "cause"),
    [
        (
            {"size": 0},
            (
                "spec.size",
                "FieldValueInvalid",
                "Invalid value: 0: spec.size in body should be greater than or equal to 1",
            ),
        ),
        (
            {"size": 11},
            (
                "spec.size",
                "FieldValueInvalid",
                "Invalid value: 11: spec.size in body should be less than or equal to 10",
            ),
        ),
        (
            {"title": ""},
            (
                "spec.title",
                "FieldValueInvalid",
                'Invalid value: "": spec.title in body should be at least 1 chars long',
            ),
        ),
        ({"tags": ["a", "a"]}, ("spec.tags[1]", "FieldValueDuplicate", 'Duplicate value: "a"')),
        (
            {"parts": [{"name": "a"}, {"name": "a"}]},
            ("spec.parts[1]", "FieldValueDuplicate", 'Duplicate value: {"name":"a"}'),
        ),
        ({"limits": {"low": 2, "high": 1}}, ("spec.limits.low", "FieldValueForbidden", "Forbidden: low is two")),
    ],
)
async def test_wrong_values_are_told_in_the_servers_words(
    api: Api, spec: dict[str, Any], cause: tuple[str, str, str]
) -> None:
    answer = await api.create(api.path(WIDGETS), widget("w", **spec))
    assert answer.status == 422
    assert answer.causes == {cause}
    assert answer.message == f'Widget.{GROUP} "w" is invalid: {cause[0]}: {cause[2]}'


async def test_transition_rules_look_at_both_states(api: Api) -> None:
    path = api.path(WIDGETS, "w")
    await api.create(api.path(WIDGETS), widget("w", locked=True, fixed="a"))
    for patch in ({"spec": {"locked": False}}, {"spec": {"locked": None}}, {"spec": None}):
        answer = await api.patch(path, patch)
        assert answer.status == 422, patch
        assert answer.message == f'Widget.{GROUP} "w" is invalid: <nil>: Invalid value: a lock can\'t be taken off'
    changed = await api.patch(path, {"spec": {"fixed": "b"}})
    assert changed.causes == {("spec.fixed", "FieldValueInvalid", 'Invalid value: "b": fixed is immutable')}
    removed = await api.patch(path, {"spec": {"fixed": None}})
    assert removed.status == 200


async def test_generation_counts_changes_of_the_specification_only(api: Api) -> None:
    path = api.path(WIDGETS, "w")
    await api.create(api.path(WIDGETS), widget("w"))
    spec = await api.patch(path, {"spec": {"size": 4}})
    label = await api.patch(path, {"metadata": {"labels": {"a": "b"}}})
    status = await api.patch(path + "/status", {"status": {"phase": "Good"}})
    assert [item.body["metadata"]["generation"] for item in (spec, label, status)] == [2, 2, 2]


async def test_the_status_has_its_own_way(api: Api) -> None:
    path = api.path(WIDGETS, "w")
    created = await api.create(api.path(WIDGETS), {**widget("w"), "status": {"phase": "Early"}})
    assert "status" not in created.body
    main = await api.patch(path, {"status": {"phase": "Bad"}, "spec": {"size": 5}})
    assert "status" not in main.body
    assert main.body["spec"]["size"] == 5
    change = {"status": {"phase": "Good"}, "spec": {"size": 6}, "metadata": {"labels": {"a": "b"}}}
    status = await api.patch(path + "/status", change)
    assert status.body["status"] == {"phase": "Good"}
    assert status.body["spec"]["size"] == 5
    assert "labels" not in status.body["metadata"]


async def test_writes_that_change_nothing_leave_the_version(api: Api) -> None:
    path = api.path(WIDGETS, "w")
    created = await api.create(api.path(WIDGETS), widget("w", size=4))
    same = await api.patch(path, {"spec": {"size": 4}})
    again = await api.put(path, same.body)
    versions = {item.body["metadata"]["resourceVersion"] for item in (created, same, again)}
    assert len(versions) == 1


async def test_only_the_latest_version_can_be_replaced(api: Api) -> None:
    path = api.path(WIDGETS, "w")
    first = (await api.create(api.path(WIDGETS), widget("w"))).body
    await api.patch(path, {"spec": {"size": 4}})
    stale = await api.put(path, first)
    assert (stale.status, stale.body["reason"]) == (409, "Conflict")
    assert stale.message == (
        f'Operation cannot be fulfilled on widgets.{GROUP} "w": the object has been modified; please apply your '
        "changes to the latest version and try again"
    )
    patched = await api.patch(path, {"metadata": {"resourceVersion": first["metadata"]["resourceVersion"]}})
    assert patched.status == 409
    blind = await api.put(path, widget("w"))
    assert blind.status == 422
    assert "metadata.resourceVersion: Invalid value: 0: must be specified for an update" in blind.message


async def test_uids_can_not_be_mistaken(api: Api) -> None:
    path = api.path(WIDGETS, "w")
    created = (await api.create(api.path(WIDGETS), widget("w"))).body
    other = {**created, "metadata": {**created["metadata"], "uid": "another"}}
    assert (await api.put(path, other)).status == 409
    wrong = await api.delete(path, {"preconditions": {"uid": "another"}})
    assert (wrong.status, wrong.body["reason"]) == (409, "Conflict")
    assert "the UID in the precondition (another) does not match the UID in record" in wrong.message
    stale = await api.delete(path, {"preconditions": {"resourceVersion": "1"}})
    assert stale.status == 409
    right = await api.delete(path, {"preconditions": {"uid": created["metadata"]["uid"]}})
    assert (right.status, right.body["status"]) == (200, "Success")
    assert right.body["details"]["uid"] == created["metadata"]["uid"]
    gone = await api.get(path)
    assert (gone.status, gone.message) == (404, f'widgets.{GROUP} "w" not found')


async def test_names(api: Api) -> None:
    path = api.path(WIDGETS)
    assert (await api.create(path, widget("w"))).status == 201
    taken = await api.create(path, widget("w"))
    assert (taken.status, taken.body["reason"]) == (409, "AlreadyExists")
    bad = await api.create(path, widget("Not_A_Name"))
    assert bad.status == 422
    assert "a lowercase RFC 1123 subdomain must consist of" in bad.message
    generated = await api.create(path, {**widget(""), "metadata": {"generateName": "w-"}})
    assert generated.status == 201
    assert len(generated.body["metadata"]["name"]) == len("w-") + 5
    nameless = await api.create(path, {**widget(""), "metadata": {}})
    assert (
        "metadata.name",
        "FieldValueRequired",
        "Required value: name or generateName is required",
    ) in nameless.causes


async def test_namespaces_have_to_exist_and_to_agree(api: Api) -> None:
    missing = await api.create(f"/apis/{GROUP}/v1/namespaces/no-such/widgets", widget("w"))
    assert (missing.status, missing.message) == (404, 'namespaces "no-such" not found')
    other = {**widget("w"), "metadata": {"name": "w", "namespace": "other"}}
    assert (await api.create(api.path(WIDGETS), other)).status == 400


async def test_a_dry_run_changes_nothing(api: Api) -> None:
    answer = await api.create(api.path(WIDGETS) + "?dryRun=All", widget("w"))
    assert answer.status == 201
    assert answer.body["spec"]["size"] == 3
    assert (await api.get(api.path(WIDGETS, "w"))).status == 404
    await api.create(api.path(WIDGETS), widget("w"))
    assert (await api.delete(api.path(WIDGETS, "w"), {"dryRun": ["All"]})).status == 200
    assert (await api.get(api.path(WIDGETS, "w"))).status == 200


async def test_finalizers_hold_a_deletion(api: Api) -> None:
    path = api.path(WIDGETS, "w")
    body = widget("w")
    body["metadata"]["finalizers"] = ["tests.agentstop.dev/hold"]
    await api.create(api.path(WIDGETS), body)
    begun = await api.delete(path)
    assert begun.status == 200
    assert begun.body["metadata"]["deletionGracePeriodSeconds"] == 0
    assert begun.body["metadata"]["generation"] == 2
    again = await api.delete(path)
    assert again.body["metadata"]["resourceVersion"] == begun.body["metadata"]["resourceVersion"]
    more = await api.patch(path, {"metadata": {"finalizers": ["tests.agentstop.dev/hold", "a.b/c"]}})
    assert more.status == 422
    assert "no new finalizers can be added if the object is being deleted" in more.message
    assert (await api.patch(path, {"metadata": {"finalizers": None}})).status == 200
    assert (await api.get(path)).status == 404


async def test_strategic_patches_are_for_built_in_kinds(api: Api) -> None:
    await api.create(api.path(WIDGETS), widget("w"))
    answer = await api.patch(api.path(WIDGETS, "w"), {}, STRATEGIC_PATCH)
    assert (answer.status, answer.body["reason"]) == (415, "UnsupportedMediaType")


async def test_other_kinds_are_refused(api: Api) -> None:
    kind = await api.create(api.path(WIDGETS), {**widget("w"), "kind": "Gadget"})
    assert (kind.status, kind.causes) == (
        422,
        {("kind", "FieldValueInvalid", 'Invalid value: "Gadget": must be Widget')},
    )
    version = await api.create(api.path(WIDGETS), {**widget("w"), "apiVersion": "v1"})
    assert version.status == 400
    assert (await api.create(api.path(WIDGETS), "{not json")).status == 400
