"""The server's parts by themselves, where HTTP would only stand in the way."""

import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agentstop_playground.server import fieldset, managers, protobuf
from agentstop_playground.server.admission import WriteOptions
from agentstop_playground.server.builtin_kinds import BUILTIN
from agentstop_playground.server.cel_rules import RuleError, compile_rules
from agentstop_playground.server.custom import resources_of
from agentstop_playground.server.engine import Engine
from agentstop_playground.server.errors import ApiError
from agentstop_playground.server.negotiation import Target, parse_path, view
from agentstop_playground.server.patches import JSON_PATCH, MERGE_PATCH, STRATEGIC_PATCH, merge_patch, strategic_patch
from agentstop_playground.server.registry import Registry
from agentstop_playground.server.selectors import parse_labels
from agentstop_playground.server.store import Store
from agentstop_playground.server.tables import human_duration
from agentstop_playground.server.topology import Path, Rule, builtin
from agentstop_playground.server.wire import dumps, loads

from .objects import DEFINITION, pod, widget

SCALARS = st.none() | st.booleans() | st.integers(-5, 5) | st.sampled_from(["", "a", "Always", "1Gi", "x y"])
KEYS = st.sampled_from(
    [
        "name",
        "image",
        "spec",
        "status",
        "metadata",
        "labels",
        "containers",
        "env",
        "type",
        "conditions",
        "finalizers",
        "ports",
        "a",
        "size",
        "tags",
        "parts",
    ]
)
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=4), max_leaves=12
)
OBJECTS = st.dictionaries(KEYS, VALUES, max_size=5)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0s"),
        (119, "119s"),
        (120, "2m"),
        (192, "3m12s"),
        (3 * 3600, "3h"),
        (90 * 60, "90m"),
        (50 * 3600, "2d2h"),
        (800 * 86400, "2y70d"),
    ],
)
def test_ages(seconds: float, text: str) -> None:
    assert human_duration(seconds) == text


@pytest.mark.parametrize(
    ("path", "target"),
    [
        ("/api/v1/namespaces", Target("", "v1", "namespaces")),
        ("/api/v1/namespaces/a", Target("", "v1", "namespaces", "", "a")),
        ("/api/v1/namespaces/a/status", Target("", "v1", "namespaces", "", "a", "status")),
        ("/api/v1/namespaces/a/pods", Target("", "v1", "pods", "a")),
        ("/api/v1/namespaces/a/pods/b/log", Target("", "v1", "pods", "a", "b", "log")),
        ("/apis/g.dev/v1/things/b", Target("g.dev", "v1", "things", "", "b")),
        ("/apis/g.dev/v1", None),
        ("/api/v1/namespaces/a/pods/b/log/c/d", None),
        ("/metrics", None),
    ],
)
def test_paths(path: str, target: Target | None) -> None:
    assert parse_path(path) == target


def test_accept_headers() -> None:
    assert view("application/json;as=Table;v=v1;g=meta.k8s.io,application/json") == "table"
    assert view("application/vnd.kubernetes.protobuf, application/json") == "plain"
    assert view("") == "plain"
    with pytest.raises(ApiError, match="only the following media types are accepted"):
        view("application/vnd.kubernetes.protobuf")


@pytest.mark.parametrize("text", ["a b", "a in b", "=x", "a in (b", "a,,b"])
def test_bad_label_selectors(text: str) -> None:
    with pytest.raises(ApiError):
        parse_labels(text)


def dumps_sorted(value: Any) -> str:
    return json.dumps(value, sort_keys=True)


def by_member(path: Path, value: Any) -> Rule:
    return "atomic" if isinstance(value, list) else "granular"


@given(OBJECTS, OBJECTS)
def test_every_difference_is_seen(old: dict[str, Any], new: dict[str, Any]) -> None:
    """No difference is missed, and none is seen where there is none."""
    wrapped_old, wrapped_new = {"spec": {"x": old}}, {"spec": {"x": new}}
    touched = fieldset.changed(wrapped_old, wrapped_new, by_member)
    assert fieldset.changed(wrapped_new, wrapped_new, by_member) == {}
    removed = fieldset.changed(wrapped_new, wrapped_old, by_member)
    assert (not touched and not removed) == (dumps_sorted(wrapped_old) == dumps_sorted(wrapped_new))


@given(OBJECTS)
def test_everything_an_applier_owns_goes_when_it_applies_nothing(config: dict[str, Any]) -> None:
    writer = managers.Writer("m", "v1", "", "2026-01-01T00:00:00Z")
    base = {"metadata": {"name": "x"}, "spec": {"kept": 1}}
    applied = managers.apply(base, {"metadata": {}, "spec": {"x": config}}, writer, by_member, force=False)
    assert applied["spec"]["x"] == config
    gone = managers.apply(applied, {"metadata": {}}, writer, by_member, force=False)
    assert gone["spec"] == {"kept": 1}


@given(OBJECTS, OBJECTS)
def test_merge_patches_leave_the_original_alone(target: dict[str, Any], patch: dict[str, Any]) -> None:
    before = dumps(target)
    once = merge_patch(target, patch)
    assert dumps(target) == before
    assert merge_patch(once, patch) == once


def test_strategic_directives() -> None:
    target = pod("p", containers=[{"name": "a", "image": "1"}, {"name": "b", "image": "2"}])
    deleted = strategic_patch(target, {"spec": {"containers": [{"name": "a", "$patch": "delete"}]}})
    assert [item["name"] for item in deleted["spec"]["containers"]] == ["b"]
    replaced = strategic_patch(target, {"spec": {"containers": [{"$patch": "replace"}, {"name": "c"}]}})
    assert replaced["spec"]["containers"] == [{"name": "c"}]
    target["metadata"]["finalizers"] = ["a/b", "c/d"]
    listed = strategic_patch(target, {"metadata": {"$deleteFromPrimitiveList/finalizers": ["a/b"]}})
    assert listed["metadata"]["finalizers"] == ["c/d"]
    order = {"spec": {"$setElementOrder/containers": [{"name": "b"}, {"name": "a"}]}}
    assert [item["name"] for item in strategic_patch(target, order)["spec"]["containers"]] == ["b", "a"]
    with pytest.raises(ApiError, match="does not contain declared merge key: name"):
        strategic_patch(target, {"spec": {"containers": [{"image": "x"}]}})


def test_rules_on_lists_and_with_an_optional_old_value() -> None:
    item = {"type": "object", "x-kubernetes-validations": [{"rule": "self.n >= oldSelf.n", "message": "shrinks"}]}
    optional = {"rule": "!oldSelf.hasValue() || self >= oldSelf.value()", "optionalOldSelf": True, "message": "less"}
    schema = {
        "type": "object",
        "properties": {
            "items": {
                "type": "array",
                "items": item,
                "x-kubernetes-list-type": "map",
                "x-kubernetes-list-map-keys": ["k"],
            },
            "plain": {"type": "array", "items": item},
            "level": {"type": "integer", "x-kubernetes-validations": [optional]},
            "extra": {"type": "object", "additionalProperties": item},
        },
    }
    tree = compile_rules(schema)
    assert tree is not None
    old = {"items": [{"k": "a", "n": 5}], "plain": [{"n": 5}], "extra": {"q": {"n": 5}}}
    new = {"items": [{"k": "b", "n": 1}, {"k": "a", "n": 4}], "plain": [{"n": 1}], "extra": {"q": {"n": 4}}, "level": 1}
    assert [str(error) for error in tree.check(new, old)] == [
        "items[1]: Invalid value: shrinks",
        "extra.q: Invalid value: shrinks",
    ]
    assert [str(error) for error in tree.check({"level": 1}, {"level": 2})] == ["level: Invalid value: 1: less"]
    with pytest.raises(RuleError, match="compilation failed"):
        compile_rules({"x-kubernetes-validations": [{"rule": "self.("}]})


def test_rules_see_nothing_of_the_metadata_but_names() -> None:
    tree = compile_rules({"type": "object", "x-kubernetes-validations": [{"rule": "!has(self.metadata.labels)"}]})
    assert tree is not None
    assert list(tree.check({"metadata": {"name": "x", "labels": {"a": "b"}}})) == []


def test_bodies_that_kubectl_sends_as_protobuf() -> None:
    def field(number: int, value: bytes) -> bytes:
        return bytes([number << 3 | 2, len(value)]) + value

    meta = field(1, b"settings") + field(11, field(1, b"app") + field(2, b"x"))
    config = field(1, meta) + field(2, field(1, b"key") + field(2, "wörd".encode())) + bytes([4 << 3, 1])
    data = b"k8s\x00" + field(1, field(1, b"v1") + field(2, b"ConfigMap")) + field(2, config)
    assert protobuf.decode(data) == {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "settings", "labels": {"app": "x"}},
        "data": {"key": "wörd"},
        "immutable": True,
    }
    for bad in (b"", b"{}", data[:-3], data.replace(b"ConfigMap", b"Something")):
        with pytest.raises(ApiError, match="unknown format"):
            protobuf.decode(bad)


def test_atomic_lists_of_built_in_kinds_are_replaced() -> None:
    assert builtin(("spec", "tolerations"), []) == "atomic"
    assert builtin(("status", "conditions"), []) == ("type",)
    assert builtin(("metadata", "finalizers"), []) == "set"


def _engine() -> Engine:
    registry = Registry(BUILTIN)
    registry.install("widgets", resources_of(loads(dumps(DEFINITION))))
    engine = Engine(Store(), registry)
    namespaces = registry.find("", "v1", "namespaces")
    assert namespaces is not None
    engine.create(namespaces, "", {"metadata": {"name": "n"}}, WriteOptions())
    return engine


ENGINE = _engine()


@settings(suppress_health_check=[HealthCheck.too_slow], max_examples=200)
@given(
    st.sampled_from(list(ENGINE.registry)), OBJECTS, VALUES, st.sampled_from([MERGE_PATCH, STRATEGIC_PATCH, JSON_PATCH])
)
def test_no_input_breaks_the_server(resource: Any, obj: dict[str, Any], patch: Any, media_type: str) -> None:
    """Whatever is sent is stored or refused with a client error; what is stored always serialises."""
    namespace = "n" if resource.namespaced else ""
    identity = {"apiVersion": resource.api_version, "kind": resource.kind}
    base = {"Pod": pod("p"), "Widget": widget("w")}.get(resource.kind, {"metadata": {"name": "x"}})
    for body in ({**obj, **identity, "metadata": {"generateName": "x"}}, {**identity, **obj}):
        _attempt(lambda body=body: ENGINE.create(resource, namespace, loads(dumps(body)), WriteOptions(dry_run=True)))
    try:
        record = ENGINE.create(
            resource, namespace, {**base, **identity, "metadata": {"generateName": "x"}}, WriteOptions()
        )
    except ApiError:
        return
    name = record.obj["metadata"]["name"]
    for subresource in ("", "status"):
        for change in (patch, {"spec": patch}, {"status": patch}, {"metadata": patch}):
            options = WriteOptions(dry_run=True, subresource=subresource)
            _attempt(lambda c=change, o=options: ENGINE.patch(resource, namespace, name, media_type, c, o))
    assert loads(record.body) == record.obj


def _attempt(write: Any) -> None:
    try:
        record = write()
    except ApiError as refused:
        error: ApiError | None = refused
    else:
        error = None
        assert loads(record.body)["metadata"]["name"]
    assert error is None or error.code < 500
