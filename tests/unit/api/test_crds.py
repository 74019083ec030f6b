"""The CRDs: in step with the models, described, bounded, and named as the design says."""

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from agentstop.api.crd import TASK_RULES, crds, task_crd
from agentstop.api.podtemplate import kubernetes_version
from agentstop.api.reference import reference
from agentstop.cli.main import main

FOLDER = Path(__file__).parents[3] / "crds"
VERSION: dict[str, Any] = task_crd()["spec"]["versions"][0]
SCHEMA: dict[str, Any] = VERSION["schema"]["openAPIV3Schema"]
FREE = frozenset({"spec.podTemplate.spec", "metadata"})
"""What Kubernetes itself describes."""

Node = Mapping[str, Any]


def nodes(schema: Node, where: str = "") -> Iterator[tuple[str, Node]]:
    """Every field below a schema, with its path."""
    for name, child in schema.get("properties", {}).items():
        path = f"{where}.{name}".lstrip(".")
        yield path, child
        if path not in FREE:
            yield from nodes(child, path)
            yield from nodes(child.get("items", {}), f"{path}[]")


FIELDS = dict(nodes(SCHEMA))
IN_SPEC = {path: node for path, node in FIELDS.items() if path.startswith("spec.")}


def test_the_files_are_what_the_models_say() -> None:
    """If this fails: make crds."""
    on_disk = {
        each.name: yaml.load(each.read_text(encoding="utf-8"), Loader=yaml.CSafeLoader)
        for each in FOLDER.glob("*.yaml")
    }

    assert on_disk == crds()


def test_each_file_can_be_read_from_above_to_below() -> None:
    """YAML's anchors are for what writes it; people, and some tools, look in vain for what stands elsewhere."""
    for path in FOLDER.glob("*.yaml"):
        assert not re.search("[&*]id[0-9]+", path.read_text(encoding="utf-8")), path.name


def test_the_command_writes_the_same_files(tmp_path: Path) -> None:
    assert main(["crds", "--directory", str(tmp_path)]) == 0

    written = {each.name: each.read_text(encoding="utf-8") for each in tmp_path.iterdir()}
    assert written == {each.name: each.read_text(encoding="utf-8") for each in FOLDER.glob("*.yaml")}


def test_the_names() -> None:
    crd = task_crd()

    assert crd["metadata"]["name"] == "agenttasks.agentstop.dev"
    assert crd["spec"]["group"] == "agentstop.dev"
    assert crd["spec"]["scope"] == "Namespaced"
    names = crd["spec"]["names"]
    assert (names["kind"], names["plural"], names["singular"]) == ("AgentTask", "agenttasks", "agenttask")
    assert (names["shortNames"], names["categories"]) == (["atask"], ["agents"])
    assert (VERSION["name"], VERSION["subresources"]) == ("v1alpha1", {"status": {}})


def test_the_columns() -> None:
    columns = VERSION["additionalPrinterColumns"]

    assert [each["name"] for each in columns if not each.get("priority")] == ["Phase", "Manual", "Reason", "Age"]
    assert {each["name"] for each in columns if each.get("priority")} == {
        "Workload",
        "Verdict",
        "Stopped-By",
        "Stop-Seconds",
    }
    for each in columns:
        path = each["jsonPath"].lstrip(".")
        assert path in FIELDS or path == "metadata.creationTimestamp", f"{path} does not exist"


def test_the_selectable_fields() -> None:
    selectable = [each["jsonPath"] for each in VERSION["selectableFields"]]

    assert selectable == [".spec.agent", ".spec.externalID", ".spec.parentRef.name", ".status.phase"]
    assert all(FIELDS[each.lstrip(".")]["type"] == "string" for each in selectable)


@pytest.mark.parametrize("path", [path for path in FIELDS if path not in {"apiVersion", "kind", "metadata"}])
def test_every_field_is_described(path: str) -> None:
    description = FIELDS[path].get("description", "")

    assert len(description) > 10
    assert "\n" not in description


@pytest.mark.parametrize("path", [path for path, node in IN_SPEC.items() if node.get("type") == "integer"])
def test_every_number_of_the_spec_is_bounded(path: str) -> None:
    node = IN_SPEC[path]

    assert node["minimum"] >= 0
    assert node["maximum"] < {"int32": 2**31, "int64": 2**53}[node["format"]]


@pytest.mark.parametrize("path", [path for path, node in IN_SPEC.items() if node.get("type") == "string"])
def test_every_text_of_the_spec_is_bounded(path: str) -> None:
    node = IN_SPEC[path]

    assert "enum" in node or node["maxLength"] > 0


def below(schema: Node, path: str = "", depth: int = 0) -> Iterator[tuple[str, Node, int]]:
    """Every node of a schema, whatever describes it, with how deep it is nested."""
    yield path, schema, depth
    for name, child in schema.get("properties", {}).items():
        yield from below(child, f"{path}.{name}".lstrip("."), depth + 1)
    for word, mark in (("items", "[]"), ("additionalProperties", "{}")):
        if word in schema:
            yield from below(schema[word], path + mark, depth + 1)


KINDS = {name: crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"] for name, crd in crds().items()}
POD_SPEC: dict[str, Any] = FIELDS["spec.podTemplate.spec"]  # type: ignore[assignment]


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_is_nested_deeper_than_the_schema_says(kind: str) -> None:
    """An object of any depth would blind whoever lists its kind; so no field of any kind is left open."""
    for path, node, depth in below(KINDS[kind]):
        assert "x-kubernetes-preserve-unknown-fields" not in node, path
        assert "x-kubernetes-embedded-resource" not in node, path
        assert node.get("additionalProperties") is not True, path
        assert node.get("type") in {"object", "array", "string", "integer", "number", "boolean"} or node.get(
            "x-kubernetes-int-or-string"
        ), path
        assert depth < 24, path


@pytest.mark.parametrize("kind", KINDS)
def test_the_file_can_be_applied(kind: str) -> None:
    """kubectl keeps it in an annotation.

    Source: https://kubernetes.io/docs/concepts/overview/working-with-objects/annotations/ (256 KiB for all of them)
    """
    assert len(json.dumps(crds()[kind], separators=(",", ":"))) < 100_000


def test_every_text_list_and_map_of_a_template_is_bounded() -> None:
    bounds = {"string": "maxLength", "array": "maxItems"}
    for path, node, _ in below(FIELDS["spec.podTemplate"]):
        bound = "maxProperties" if "additionalProperties" in node else bounds.get(str(node.get("type", "string")))
        assert bound is None or node[bound] > 0, path


def test_a_template_gets_no_default_and_no_judgement_of_values() -> None:
    """The pod's own API does both, and does it as the cluster's version does."""
    for path, node, _ in below(POD_SPEC):
        assert not {"default", "enum", "pattern", "minimum"} & node.keys(), path


def test_the_schema_names_its_version_of_kubernetes() -> None:
    assert re.fullmatch(r"1\.\d+", kubernetes_version())
    assert f"Kubernetes {kubernetes_version()}" in POD_SPEC["description"]


@pytest.mark.parametrize("word", ["anyOf", "$ref", "$defs", "title", "const"])
def test_the_schema_is_structural(word: str) -> None:
    assert f"'{word}':" not in str(SCHEMA)


def test_the_defaults() -> None:
    defaults = {path: node["default"] for path, node in FIELDS.items() if "default" in node}

    assert defaults == {
        "spec.stopRequested": False,
        "spec.stop.podPolicy": "Keep",
        "spec.stop.fence": "AtRequest",
        "spec.stop.onUnconfirmed": "Wait",
        "spec.paused": False,
        "spec.pausePolicy": "Terminate",
        "spec.budget.currency": "USD",
        "spec.budget.scope": "Task",
        "spec.budget.action": "Stop",
        "spec.deletionPolicy": "Orphan",
        "status": {"observedGeneration": 0},
    }


def test_a_task_needs_no_field_of_the_spec_by_name() -> None:
    """Which of podTemplate and workloadRef is given is for a rule with a message that a person can act on."""
    assert "required" not in SCHEMA["properties"]["spec"]
    assert SCHEMA["properties"]["spec"]["properties"]["workloadRef"]["required"] == ["apiVersion", "kind", "name"]


def test_the_least_grace_period_leaves_time_for_proof() -> None:
    assert IN_SPEC["spec.stop.gracePeriodSeconds"]["minimum"] == 1


def test_the_rules_stand_at_the_root() -> None:
    """Below spec or status they would be gone with it."""
    assert SCHEMA["x-kubernetes-validations"] == list(TASK_RULES)
    for needed in (
        "stopRequested",
        "podTemplate",
        "workloadRef",
        "parentRef",
        "externalID",
        "tether",
        "gracePeriodSeconds",
        "status.?phase",
        "manuallyStopped",
    ):
        assert any(needed in str(each["rule"]) for each in TASK_RULES), needed


@pytest.mark.parametrize("rule", [rule["message"] for rule in TASK_RULES])
def test_every_rule_has_a_message_that_names_its_field(rule: str) -> None:
    assert rule.startswith(("spec", "status", "metadata"))
    assert len(rule) > 40


def test_immutable_fields_say_so_on_themselves() -> None:
    for path in ("spec.workloadRef", "spec.parentRef", "spec.externalID", "spec.tether"):
        assert any(each["rule"] == "self == oldSelf" for each in FIELDS[path]["x-kubernetes-validations"])


def test_a_pod_template_is_measured_when_it_is_new_and_compared_afterwards_by_one_rule() -> None:
    """Every patch of a task waits for its rules, and a template is the largest that they look at."""
    (rule,) = FIELDS["spec.podTemplate"]["x-kubernetes-validations"]
    assert rule["optionalOldSelf"] is True
    assert rule["rule"].startswith("oldSelf.hasValue() ? self == oldSelf.value() : ")


def test_the_reference_has_every_field_of_spec_and_status() -> None:
    page = reference()

    for path in FIELDS:
        part, _, field = path.partition(".")
        if part in {"spec", "status"} and field:
            assert f"`{field}`" in page, path
