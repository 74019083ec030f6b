"""Orders: whom they mean, and how they add up."""

from typing import Any

import pytest

from agentstop.api.order import Selector
from agentstop.cluster.orders import read_order
from agentstop.lifecycle.observation import Task
from agentstop.lifecycle.orders import (
    Order,
    came_later,
    hold_reason,
    in_doubt,
    is_the_orders,
    matches,
    means_orphan,
    selects,
    was_there,
)
from tests.unit.objects import Raw, at, raw_order, task, when

LABELS = {"team": "research", "tier": "agents"}


def order(spec: Raw | None = None, **more: Any) -> Order:
    return read_order(raw_order(spec, **more))


def expression(operator: str, *values: str, key: str = "team") -> Raw:
    return {"matchExpressions": [{"key": key, "operator": operator, "values": list(values)}]}


@pytest.mark.parametrize(
    ("selector", "selected"),
    [
        ({}, True),
        ({"matchLabels": {"team": "research"}}, True),
        ({"matchLabels": {"team": "sales"}}, False),
        ({"matchLabels": {"team": "research", "stage": "test"}}, False),
        (expression("In", "sales", "research"), True),
        (expression("In", "sales"), False),
        (expression("In", "sales", key="stage"), False),
        (expression("NotIn", "research"), False),
        (expression("NotIn", "sales"), True),
        (expression("NotIn", "sales", key="stage"), True),
        (expression("Exists"), True),
        (expression("Exists", key="stage"), False),
        (expression("DoesNotExist"), False),
        (expression("DoesNotExist", key="stage"), True),
        ({"matchLabels": {"tier": "agents"}, **expression("NotIn", "research")}, False),
    ],
)
def test_selectors_select_as_those_of_kubernetes(selector: Raw, selected: bool) -> None:
    assert selects(Selector.model_validate(selector), LABELS) is selected


@pytest.mark.parametrize(
    ("spec", "cluster", "meant"),
    [
        ({}, False, True),
        ({"taskNames": ["x", "y"]}, False, True),
        ({"taskNames": ["y"]}, False, False),
        ({"taskNames": []}, False, False),
        ({"agents": ["researcher"]}, False, True),
        ({"agents": ["crawler"]}, False, False),
        ({"agents": ["researcher"], "selector": {"matchLabels": {"team": "sales"}}}, False, False),
        ({}, True, True),
        ({"namespaceSelector": {}}, True, True),
        ({"namespaceSelector": {"matchLabels": {"tier": "agents"}}}, True, True),
        ({"namespaceSelector": {"matchLabels": {"tier": "web"}}}, True, False),
    ],
)
def test_whom_an_order_means(spec: Raw, cluster: bool, meant: bool) -> None:
    one = task({"podTemplate": {}, "agent": "researcher"}, labels=LABELS)

    assert matches(order(spec, cluster=cluster), one, {"ns": {"tier": "agents"}}) is meant


def test_an_order_of_a_namespace_means_nobody_in_another() -> None:
    assert not matches(order(), task(namespace="elsewhere"), {})


def test_nobody_can_tell_before_the_namespace_is_known() -> None:
    one = order({"namespaceSelector": {}}, cluster=True)

    assert not matches(one, task(), {})
    assert in_doubt(one, task(), {})
    assert not in_doubt(one, task(), {"ns": {}})
    assert not in_doubt(order({"namespaceSelector": {}, "agents": ["other"]}, cluster=True), task(), {})


def test_a_hold_says_which_order_and_why() -> None:
    word = hold_reason(order({"reason": "SecurityIncident"}))

    assert word.reason == "HeldByOrder"
    assert "StopOrder o (SecurityIncident)" in word.message


# Whose stop it is

RUNNING: Raw = {"phase": "Running"}


def numbered(number: int, status: Raw) -> Task:
    return task(None, status, uid=f"u{number}", name=f"t{number}")


def stopped_by(uid: str | None = "order-uid", verdict: str = "Graceful", **metadata: Any) -> Task:
    by = {"kind": "StopOrder", "name": "o"} | ({"uid": uid} if uid else {})
    stop = {"source": "StopOrder", "order": by, "acceptedAt": when(1)}
    ended = {"verdict": verdict, "confirmedAt": when(2), "signaledAt": when(1)}
    return task(None, {"phase": "Stopped", "finishedAt": when(2), "stop": stop | ended}, **metadata)


@pytest.mark.parametrize(
    ("stopped", "mine"),
    [(stopped_by(), True), (stopped_by("earlier"), False), (stopped_by(None), False), (numbered(1, RUNNING), False)],
    ids=["its own", "another order of that name", "of a record that does not say", "nobody's"],
)
def test_whose_stop_it_is(stopped: Task, mine: bool) -> None:
    assert is_the_orders(stopped, order()) is mine


def test_an_order_that_is_being_deleted_holds_nothing_and_goes_on_stopping() -> None:
    accepted_at = {"phase": "Stopping", "startedAt": when(0)}
    deleting = order({"hold": True}, status=accepted_at, deletionTimestamp=when(5), finalizers=["agentstop.dev/stop"])

    assert (deleting.holds, deleting.stops, deleting.withdrawn) == (False, True, False)


@pytest.mark.parametrize(
    ("metadata", "status", "withdrawn"),
    [
        ({"finalizers": ["other/one"]}, {}, True),
        ({"finalizers": ["other/one", "agentstop.dev/stop"]}, {}, False),
        ({"finalizers": ["other/one"]}, {"phase": "Stopping", "startedAt": when(0)}, False),
    ],
    ids=["never accepted", "accepted, and that not written", "accepted"],
)
def test_what_was_deleted_before_it_was_accepted_is_withdrawn(metadata: Raw, status: Raw, withdrawn: bool) -> None:
    assert order(status=status, deletionTimestamp=when(5), **metadata).withdrawn is withdrawn


def test_what_was_made_in_the_second_of_the_acceptance_was_there_and_came_later() -> None:
    moment = at(10.4)
    made = {seconds: task(creationTimestamp=when(seconds)) for seconds in (9, 10, 11)}

    assert [was_there(each, moment) for each in made.values()] == [True, True, False]
    assert [came_later(each, moment) for each in made.values()] == [False, True, True]


# Pods whose tasks are gone


@pytest.mark.parametrize(
    ("spec", "cluster", "meant"),
    [
        ({}, False, True),
        ({}, True, True),
        ({"taskNames": ["x", "y"]}, False, True),
        ({"taskNames": ["y"]}, False, False),
        ({"selector": {"matchLabels": {"team": "research"}}}, False, False),
        ({"selector": expression("Exists")}, False, False),
        ({"agents": ["researcher"]}, False, False),
        ({"namespaceSelector": {"matchLabels": {"tier": "agents"}}}, True, True),
        ({"namespaceSelector": {"matchLabels": {"tier": "web"}}}, True, False),
    ],
)
def test_which_orders_mean_a_pod_whose_task_is_gone(spec: Raw, cluster: bool, meant: bool) -> None:
    """What labels its task had nobody knows: only those do that mean every task, or that one by its name."""
    assert means_orphan(order(spec, cluster=cluster), "ns", "x", {"ns": {"tier": "agents"}}) is meant


def test_a_pod_of_a_namespace_that_is_gone_is_not_meant_by_its_labels() -> None:
    """Orders that ask for labels of namespaces know all that there are."""
    assert not means_orphan(order({"namespaceSelector": {"matchLabels": {"a": "b"}}}, cluster=True), "ns", "x", {})
    assert means_orphan(order(cluster=True), "ns", "x", {})


def test_a_pod_of_another_namespace_is_not_meant() -> None:
    assert not means_orphan(order(), "other", "x", {})
