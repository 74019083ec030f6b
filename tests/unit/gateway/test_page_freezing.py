"""What pages show of freezes, and what they offer to do about them."""

import html
import json
import re
from typing import Any

import pytest

from agentstop.gateway.page.emergency import ConfirmView
from agentstop.gateway.page.orders import OrderView
from agentstop.gateway.page.task import TaskView
from agentstop.gateway.page.task_list import TaskListView
from tests.unit.objects import Raw, when

from .pages import Stand, order, task

WHERE = "/apis/agentstop.dev/v1alpha1/namespaces/ns/stoporders"
CLUSTER_ORDER = {"kind": "ClusterStopOrder", "name": "wide", "uid": "w"}
ORDER = {"kind": "StopOrder", "name": "look", "uid": "l"}
FROZEN: Raw = {"phase": "Paused", "reason": "Frozen", "pausePolicy": "Freeze", "pausedAt": when(0)}


def buttons(shown: str) -> dict[str, dict[str, str]]:
    """Return the data of all buttons that open the dialog which asks, by what they say."""
    found = {}
    for attributes in re.findall(r'<button [^>]*data-dialog="confirm"[^>]*>', shown):
        data = {name: html.unescape(value) for name, value in re.findall(r'data-(\w+)="([^"]*)"', attributes)}
        found[data["verb"]] = data
    return found


async def head_of(raw: Raw, **spec: Any) -> str:
    """Return the head of a task's page."""
    stand = Stand()
    stand.tell(raw | {"spec": spec})
    return (await TaskView(stand.page("/tasks/x", id=raw["metadata"]["uid"])).show()).parts["head"].html


async def test_a_task_that_runs_may_be_frozen_or_paused() -> None:
    found = buttons(await head_of(task("a"), pausePolicy="Freeze"))
    asked = {verb: (each["url"], json.loads(each["body"])) for verb, each in found.items()}
    where = "/api/v1/tasks/AgentTask-ns-a/pause"
    assert asked == {"Freeze": (where, {"pausePolicy": "Freeze"}), "Pause": (where, {"pausePolicy": "Terminate"})}
    assert "hold" in found["Freeze"]["what"]
    assert "ended" in found["Pause"]["what"]


@pytest.mark.parametrize(
    ("status", "what"),
    [
        (FROZEN, "It goes on where it was."),
        ({"phase": "Paused"}, "It starts anew."),
        ({"phase": "Pausing", "reason": "Freezing"}, "What is frozen of it goes on where it was"),
        ({"phase": "Running"}, "It runs on."),
    ],
)
async def test_a_resume_says_what_it_does(status: Raw, what: str) -> None:
    found = buttons(await head_of(task("a", **status), paused=True, pausePolicy="Freeze"))
    assert list(found) == ["Resume"]
    assert what in found["Resume"]["what"]
    assert json.loads(found["Resume"]["body"]) == {}


@pytest.mark.parametrize(
    ("more", "paused", "offered"),
    [
        ({"reason": "Frozen"}, False, None),
        ({"phase": "Pausing", "reason": "Freezing", "pausePolicy": None}, False, None),
        ({"reason": "Frozen"}, True, "stays frozen until StopOrder look is lifted"),
        ({"reason": "Thawing"}, True, "It goes on where it was."),
    ],
)
async def test_what_an_order_freezes_is_not_offered_to_be_paused(more: Raw, paused: bool, offered: str | None) -> None:
    found = buttons(await head_of(task("a", **FROZEN | {"frozenBy": ORDER} | more), paused=paused))
    assert list(found) == (["Resume"] if offered else [])
    assert not offered or offered in found["Resume"]["what"]


@pytest.mark.parametrize(
    ("by", "path"),
    [(ORDER, "/namespaces/ns/stoporders/look"), (CLUSTER_ORDER, "/clusterstoporders/wide"), (None, None)],
)
async def test_a_task_says_since_when_it_is_frozen_and_leads_to_the_order(by: Raw | None, path: str | None) -> None:
    head = await head_of(task("a", **FROZEN | ({"frozenBy": by} if by else {})), paused=by is None)
    assert '<span class="badge frozen">frozen</span>' in head
    assert re.search(r'frozen for <time data-since="\d+"', head)
    assert re.findall(r' by <a href="([^"]+)"', head) == ([path] if path else [])


async def test_the_list_tells_what_is_frozen_and_finds_it() -> None:
    stand = Stand()
    stand.tell(task("a", **FROZEN, frozenBy=ORDER), task("b", phase="Paused"), task("c"))
    for query in ("", "frozen", "look"):
        rows = (await TaskListView(stand.page(f"/?q={query}")).show()).rows
        assert rows is not None
        assert [name for name, row in rows.items() if "badge frozen" in row.html] == ["t-AgentTask-ns-a"]
        assert len(rows) == (1 if query else 3)


@pytest.mark.parametrize("may", [True, False])
async def test_what_an_order_froze_may_be_ended_by_whoever_may_lift_it(may: bool) -> None:
    stand = Stand(rights=lambda asked: may or asked["verb"] != "patch")
    made = order("o", freeze=True)
    made["status"] = {"observedGeneration": 1, "phase": "Frozen", "matched": 7, "frozen": 7}
    stand.objects[f"{WHERE}/o"] = made
    view = OrderView(stand.page("/namespaces/ns/stoporders/o", namespace="ns", name="o"))
    found = buttons((await view.show()).parts["head"].html)
    urls = {verb: each["url"].rpartition("/")[2] for verb, each in found.items()}
    assert urls == ({"Lift": "lift", "Stop": "stop", "Kill": "kill"} if may else {})
    assert not may or "7 tasks" in found["Kill"]["what"]


@pytest.mark.parametrize("spec", [{"freeze": True, "then": "Stop"}, {"freeze": True, "then": "Resume"}, {}])
async def test_what_was_told_what_follows_is_asked_no_more(spec: Raw) -> None:
    stand = Stand()
    made = order("o", **spec)
    made["status"] = {"observedGeneration": 1, "phase": "Frozen", "matched": 2, "frozen": 1}
    stand.objects[f"{WHERE}/o"] = made
    parts = (await OrderView(stand.page("/namespaces/ns/stoporders/o", namespace="ns", name="o")).show()).parts
    assert buttons(parts["head"].html) == {}
    assert "before somebody says so" not in parts["progress"].html


async def test_an_emergency_may_halt_before_it_asks() -> None:
    stand = Stand()
    report = {"running": 1, "waiting": 0, "longestGraceSeconds": 5, "groupCount": 0, "problemCount": 0}
    stand.objects[f"{WHERE}/d"] = {**order("d", drill=True), "status": {"phase": "Drilled", "drill": report}}
    shown = (await ConfirmView(stand.page("/", namespace="ns", name="d")).show()).parts["confirm"].html
    inputs = re.findall(r'<input type="radio" name="how" value="([^"]*)" data-verb="([^"]*)"( checked)?>', shown)
    assert [(json.loads(html.unescape(how)), verb, bool(checked)) for how, verb, checked in inputs] == [
        ({}, "Stop", True),
        ({"freeze": True}, "Freeze", False),
        ({"freeze": True, "then": "Stop"}, "Freeze and stop", False),
        ({"freeze": True, "then": "Kill"}, "Freeze and kill", False),
    ]
