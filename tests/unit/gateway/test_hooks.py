"""What a webhook asks for, and the order that is made of it."""

import copy
from typing import Any

import pytest

from agentstop.api.order import StopOrderSpec
from agentstop.gateway.dialects.hooks.wishes import order_of, wishes_of
from agentstop.gateway.errors import InvalidError
from agentstop.gateway.hooks import Hook, read_hooks

ALERT: dict[str, Any] = {
    "status": "firing",
    "labels": {"alertname": "RunawayCost", "namespace": "team-a", "task": "researcher"},
    "annotations": {"summary": "researcher costs too much"},
    "startsAt": "2026-11-29T10:00:00.5Z",
    "endsAt": "0001-01-01T00:00:00Z",
    "generatorURL": "http://prometheus/graph",
    "fingerprint": "3d6a6b6e2a7ad2a4",
}


def alerts(*changes: dict[str, Any]) -> dict[str, Any]:
    """Return what Alertmanager sends, with an alert for each of these changes."""
    found = []
    for change in changes or ({},):
        alert = copy.deepcopy(ALERT)
        alert["labels"] |= change.pop("labels", {})
        found.append({key: each for key, each in (alert | change).items() if each is not None})
    return {"version": "4", "groupKey": "{}:{}", "status": "firing", "receiver": "agentstop", "alerts": found}


def hook(kind: str = "Alertmanager", **more: Any) -> Hook:
    return Hook.model_validate({"name": "alert", "kind": kind, "key": "alerts", **more})


def test_a_firing_alert_is_an_order_with_its_fingerprint() -> None:
    (wish,) = wishes_of(hook(), alerts())
    order = order_of(hook(), wish)
    assert wish.namespace == "team-a"
    assert order["metadata"] == {"name": "alert-3d6a6b6e2a7ad2a4-1795946400"}
    assert order["spec"] == {
        "selector": {},
        "taskNames": ["researcher"],
        "reason": "Alert",
        "message": "researcher costs too much",
        "hold": False,
        "ttlSecondsAfterFinished": 604_800,
    }
    StopOrderSpec.model_validate(order["spec"])


def test_repeats_have_one_name_and_an_alert_that_comes_back_another() -> None:
    def name(**change: Any) -> str | None:
        (wish,) = wishes_of(hook(), alerts(change))
        return wish.name

    assert name() == name(annotations={}) == name(endsAt="2026-11-29T11:00:00Z")
    assert name() != name(startsAt="2026-11-30T10:00:00Z")
    assert name() != name(fingerprint="aa")
    assert len(wishes_of(hook(), alerts({}, {}))) == 1


def test_a_resolved_alert_does_nothing() -> None:
    assert wishes_of(hook(), alerts({"status": "resolved"})) == []
    assert len(wishes_of(hook(), alerts({"status": "resolved"}, {}))) == 1


def test_labels_say_what_is_stopped() -> None:
    fields = {"task": "pod", "agent": "agent_name", "selector": "match"}
    labels = {"task": "no", "pod": "p", "agent_name": "x", "match": "team=a,tier!=test"}
    (wish,) = wishes_of(hook(fields=fields), alerts({"labels": labels}))
    order = order_of(hook(fields=fields), wish)
    assert (order["spec"]["taskNames"], order["spec"]["agents"]) == (["p"], ["x"])
    assert order["spec"]["selector"]["matchLabels"] == {"team": "a"}


@pytest.mark.parametrize(
    "labels",
    [
        {"task": ""},
        {"namespace": ""},
        {"namespace": "../x"},
        {"task": "../x"},
        {"task": "x" * 300},
        {"agent": "a b"},
        {"selector": "a b"},
    ],
)
def test_what_names_nothing_that_can_be_stops_nothing(labels: dict[str, str]) -> None:
    with pytest.raises(InvalidError):
        wishes_of(hook(), alerts({"labels": labels}))


def test_a_whole_namespace_only_where_the_file_says_so() -> None:
    (wish,) = wishes_of(hook(wholeNamespace=True), alerts({"labels": {"task": ""}}))
    assert order_of(hook(), wish)["spec"]["selector"] == {}
    (wish,) = wishes_of(hook(namespace="team-b"), alerts({"labels": {"namespace": ""}}))
    assert wish.namespace == "team-b"


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"version": "3", "alerts": []},
        {"version": "4"},
        {"version": "4", "alerts": {}},
        alerts({"fingerprint": None}),
        alerts({"fingerprint": "../x"}),
        alerts({"status": "burning"}),
        alerts({"startsAt": 5}),
        alerts({"labels": {"task": 5}}),
        alerts(*({} for _ in range(1001))),
    ],
)
def test_what_is_no_alert_is_refused(body: dict[str, Any]) -> None:
    with pytest.raises(InvalidError):
        wishes_of(hook(), body)


def test_litellm_sends_what_it_was_told_to() -> None:
    body = {"agent": "inventory-agent", "namespace": "shop", "reason": "manual stop"}
    (wish,) = wishes_of(hook("LiteLLM"), body)
    order = order_of(hook("LiteLLM", name="litellm"), wish)
    assert (wish.namespace, order["spec"]["agents"], order["spec"]["message"]) == (
        "shop",
        ["inventory-agent"],
        "manual stop",
    )
    assert order["metadata"] == {"generateName": "litellm-"}


def test_a_generic_body_is_read_by_pointers() -> None:
    generic = hook(
        "Generic",
        fields={"task": "/data/0/run~1name", "id": "/event", "message": "/text"},
        namespace="ns",
        when={"/state": "open", "/test": False},
    )
    body: dict[str, Any] = {"event": 7, "state": "open", "test": False, "text": "x", "data": [{"run/name": "a"}]}
    (wish,) = wishes_of(generic, body)
    assert (wish.task, wish.message) == ("a", "x")
    assert wish.name == wishes_of(generic, body)[0].name
    assert wish.name != wishes_of(generic, body | {"event": 8})[0].name
    assert wishes_of(generic, body | {"state": "closed"}) == []
    wrong: list[dict[str, Any]] = [
        {"event": None},
        {"data": []},
        {"data": [{"run/name": {}}]},
        {"data": "a"},
        {"text": ["x"]},
    ]
    for bad in wrong:
        with pytest.raises(InvalidError):
            wishes_of(generic, body | bad)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("hooks: [{name: A, kind: Generic, key: k}]", "hooks.0.name"),
        ("hooks: [{name: a, kind: Pager, key: k}]", "hooks.0.kind"),
        ("hooks: [{name: a, kind: Generic}]", "hooks.0.key"),
        ("hooks: [{name: a, kind: Generic, key: k, fields: {task: name}}]", "JSON pointer"),
        ("hooks: [{name: a, kind: Alertmanager, key: k, fields: {id: x}}]", "of their own"),
        ("hooks: [{name: a, kind: Generic, key: k, wholeNameSpace: true}]", "wholeNameSpace"),
        ("hooks: [{name: a, kind: Generic, key: k, order: {drill: true}}]", "drill"),
        ("hooks: [{name: a, kind: Generic, key: k}, {name: a, kind: Generic, key: l}]", "same name"),
        ("hooks: [{name: a, kind: Generic, key: k}, {name: b, kind: Generic, key: k}]", "same key"),
        ("hooks: [", "no YAML"),
        ("- a", "the file"),
    ],
)
def test_a_file_that_does_not_say_it_is_refused(text: str, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        read_hooks(text)


def test_a_file_may_have_no_hooks() -> None:
    assert read_hooks("").hooks == read_hooks("hooks: []").hooks == ()
