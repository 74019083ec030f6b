"""The translation of Kubernetes' own description of a pod into a schema that a CRD takes."""

from typing import Any

import pytest
from tools.podspec import ROOT, UnknownShapeError, podspec

REF = "#/components/schemas/"


def document(properties: Any, **others: Any) -> dict[str, Any]:
    schemas = {ROOT: {"type": "object", "properties": properties}, **others}
    return {"info": {"version": "1.99"}, "components": {"schemas": schemas}}


def translated(properties: Any, **others: Any) -> dict[str, Any]:
    properties = podspec(document(properties, **others))["schema"]["properties"]
    return dict(properties)


def test_the_version_comes_along() -> None:
    assert podspec(document({}))["kubernetes"] == "1.99"


def test_references_are_put_in_place() -> None:
    made = translated(
        {"probe": {"description": "x", "default": {}, "allOf": [{"$ref": f"{REF}Probe"}]}},
        Probe={"type": "object", "required": ["port"], "properties": {"port": {"type": "integer", "format": "int32"}}},
    )
    inner = {"port": {"type": "integer", "format": "int32"}}
    assert made["probe"] == {"type": "object", "properties": inner, "required": ["port"]}


def test_lists_are_atomic_and_values_are_left_to_the_pods_api() -> None:
    given = {
        "type": "array",
        "x-kubernetes-list-type": "map",
        "x-kubernetes-list-map-keys": ["name"],
        "x-kubernetes-patch-merge-key": "name",
        "items": {"type": "string", "default": "", "enum": ["A", "B"]},
    }
    assert translated({"rules": given})["rules"] == {
        "type": "array",
        "maxItems": 256,
        "items": {"type": "string", "maxLength": 4096},
    }


def test_scripts_may_be_longer_than_names() -> None:
    texts = {"type": "array", "items": {"type": "string"}}
    made = translated({"args": texts, "finalizers": texts})
    assert (made["args"]["items"]["maxLength"], made["finalizers"]["items"]["maxLength"]) == (32_768, 4_096)


def test_the_grace_period_of_a_template_is_bounded_as_all_durations_are() -> None:
    made = translated({"terminationGracePeriodSeconds": {"type": "integer", "format": "int64"}})
    assert made["terminationGracePeriodSeconds"]["maximum"] == 31_536_000


@pytest.mark.parametrize(
    ("node", "others", "why"),
    [
        ({"$ref": f"{REF}Loop"}, {"Loop": {"properties": {"a": {"$ref": f"{REF}Loop"}}, "type": "object"}}, "itself"),
        ({"type": "object", "additionalProperties": True}, {}, "fields of any type"),
        ({"description": "anything"}, {}, "no translation"),
        ({"oneOf": [{"type": "string"}]}, {}, "no translation"),
    ],
)
def test_what_has_no_bound_is_no_part_of_it(node: Any, others: Any, why: str) -> None:
    with pytest.raises(UnknownShapeError, match=why) as caught:
        podspec(document({"field": node}, **others))
    assert "spec.field" in str(caught.value)


def test_another_document_is_refused() -> None:
    with pytest.raises(UnknownShapeError, match="/openapi/v3/api/v1"):
        podspec({"info": {"version": "1.99"}})
