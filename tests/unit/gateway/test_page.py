"""What pages show and offer, and to whom."""

import asyncio
from dataclasses import replace
from typing import Any

import pytest
from aiohttp import web

from agentstop.api.order import CLUSTER_ORDER_KIND
from agentstop.gateway import page
from agentstop.gateway.dialects.api.requests import selector
from agentstop.gateway.errors import (
    ForbiddenError,
    InvalidError,
    InvalidIdError,
    NotFoundError,
    UnauthorizedError,
    UnavailableError,
)
from agentstop.gateway.page import emergency
from agentstop.gateway.page.emergency import ConfirmView, EmergencyView, scope_of, typed_for
from agentstop.gateway.page.holds import holds
from agentstop.gateway.page.orders import OrderListView, OrderView
from agentstop.gateway.page.rights import Rights
from agentstop.gateway.page.task import TaskView
from agentstop.gateway.page.task_list import TaskListView
from agentstop.gateway.page.words import steps_of
from agentstop.words.moments import moments_of
from agentstop.words.tasks import container_state
from tests.unit.objects import Raw, at, when

from .pages import COOKIE, Stand, order, task


async def test_orders_may_come_while_a_page_is_made_of_them() -> None:
    stand = Stand(rights=lambda asked: bool(asked.get("namespace")))
    stand.tell(*(order(f"order-{each}", f"ns-{each}") for each in range(3)))
    stand.during = lambda: stand.tell(order(f"later-{len(stand.asked)}", "later"))
    shown = await OrderListView(stand.page("/orders")).show()
    assert shown.rows is not None
    assert len(shown.rows) >= 3


async def test_that_there_are_no_orders_is_said_only_once_they_were_listed() -> None:
    stand = Stand()
    stand.changes.expect()
    call = stand.page("/orders")
    stand.changes.heard("AgentTask", "")
    stand.changes.heard("StopOrder", "")
    with pytest.raises(UnavailableError, match=r"ClusterStopOrders cannot be watched: .*not been listed"):
        await OrderListView(call).show()
    assert "Whether a hold stands is not known" in (await holds(call, Rights(call))).html
    stand.changes.heard("ClusterStopOrder", "")
    assert "There are no stop orders" in (await OrderListView(call).show()).parts["pages"].html
    assert not (await holds(call, Rights(call))).html


async def test_orders_of_a_watch_that_has_died_are_not_told_as_if_they_were_new() -> None:
    stand = Stand()
    stand.changes.expect()
    for source in stand.changes.sources:
        stand.changes.heard(source.kind, source.namespace)
    stand.now = 60
    stand.changes.heard("AgentTask", "")
    with pytest.raises(UnavailableError, match="silent"):
        await OrderListView(stand.page("/orders")).show()


WHERE = "/apis/agentstop.dev/v1alpha1/namespaces/ns/stoporders"


async def test_an_order_is_shown_that_the_watch_has_not_told_of_to_whoever_may_get_it() -> None:
    stand = Stand(rights=lambda asked: asked["verb"] == "get")
    stand.objects[f"{WHERE}/made-just-now"] = order("made-just-now")
    view = OrderView(stand.page("/namespaces/ns/stoporders/made-just-now", namespace="ns", name="made-just-now"))
    assert "made-just-now" in (await view.show()).parts["head"].html
    assert view.title == "StopOrder made-just-now"
    assert stand.requests == [("GET", f"{WHERE}/made-just-now")]


async def test_an_order_that_the_api_server_has_no_more_is_not_shown_as_the_watch_told_of_it() -> None:
    stand = Stand()
    stand.tell(order("gone"))
    with pytest.raises(NotFoundError):
        await OrderView(stand.page("/namespaces/ns/stoporders/gone", namespace="ns", name="gone")).show()


async def test_an_order_is_read_again_when_it_has_changed_and_not_with_each_task_that_has() -> None:
    stand = Stand()
    made = stand.objects[f"{WHERE}/a"] = order("a")
    view = OrderView(stand.page("/namespaces/ns/stoporders/a", namespace="ns", name="a"))
    await view.show()
    stand.tell(task("b"))
    await view.show()
    assert len(stand.requests) == 1
    stand.tell(made)
    await view.show()
    await view.show()
    assert len(stand.requests) == 2
    stand.changes.changed("StopOrder", "DELETED", made)
    stand.objects.clear()
    with pytest.raises(NotFoundError):
        await view.show()


@pytest.mark.parametrize("name", ["..", "a/../../secrets/x", "A", "", "a" * 254])
async def test_what_can_be_no_order_is_asked_of_nobody(name: str) -> None:
    stand = Stand()
    with pytest.raises(InvalidIdError):
        await OrderView(stand.page("/", namespace="ns", name=name)).show()
    assert not stand.requests


@pytest.mark.parametrize("verb", ["list", "everything"])
async def test_whoever_may_order_in_one_of_many_namespaces_is_offered_it(verb: str) -> None:
    def rights(asked: Raw) -> bool:
        if asked["verb"] == "list" and asked["resource"] == "agenttasks" and verb == "everything":
            return True
        return asked.get("namespace") == "team-40"

    stand = Stand(rights=rights)
    stand.tell(*(task("a", f"team-{each}") for each in range(10, 60)))
    call = stand.page("/emergency")
    assert await Rights(call).order()
    assert 'value="team-40"' in (await EmergencyView(call).show()).parts["offers"].html


async def test_whoever_may_order_anywhere_is_offered_it_though_there_are_no_tasks() -> None:
    stand = Stand(rights=lambda asked: asked["resource"] != "clusterstoporders")
    assert "Everything, in all" not in (await EmergencyView(stand.page("/emergency")).show()).parts["scope"].html
    stand = Stand(rights=lambda asked: asked["verb"] != "create")
    with pytest.raises(ForbiddenError, match="agentstop-stop"):
        await EmergencyView(stand.page("/emergency")).show()


async def test_a_gateway_of_some_namespaces_offers_no_other() -> None:
    stand = Stand(namespaces=("ns",))
    stand.tell(task("a"))
    shown = await EmergencyView(stand.page("/emergency")).show()
    assert "in all namespaces" not in shown.parts["scope"].html
    for query in ("scope=everything", "scope=namespace&namespace=other"):
        with pytest.raises(InvalidError, match="does not watch"):
            await emergency.order(stand.page(f"/emergency/order?{query}"))
    await emergency.order(stand.page("/emergency/order?scope=namespace&namespace=ns"))


@pytest.mark.parametrize("namespace", ["ns", ""])
@pytest.mark.parametrize("may", [True, False])
async def test_a_drill_is_confirmed_only_by_whoever_may_make_the_order(namespace: str, may: bool) -> None:
    kind = "StopOrder" if namespace else CLUSTER_ORDER_KIND
    where = WHERE if namespace else "/apis/agentstop.dev/v1alpha1/clusterstoporders"
    stand = Stand(rights=lambda asked: may or asked["verb"] != "create")
    drill = order("d", namespace, kind=kind, drill=True)
    report = {"running": 1, "waiting": 0, "longestGraceSeconds": 5, "groupCount": 0, "problemCount": 0}
    stand.objects[f"{where}/d"] = {**drill, "status": {"phase": "Drilled", "drill": report}}
    shown = await ConfirmView(stand.page("/", namespace=namespace or "-", name="d")).show()
    assert ("order-form" in shown.parts["confirm"].html) is may
    assert ("You may make no such order" in shown.parts["confirm"].html) is not may


@pytest.mark.parametrize(
    ("spec", "typed"),
    [
        ({}, "ns"),
        ({"agents": ["a", "b"]}, "ns/a,b"),
        ({"taskNames": ["x", "y"]}, "ns/x,y"),
        ({"selector": {"matchLabels": {"a": "b"}}, "taskNames": ["x"]}, "ns/x/a=b"),
        ({"namespaceSelector": {"matchLabels": {"stage": "test"}}}, "ns/stage=test"),
    ],
)
def test_what_is_typed_names_all_that_narrows_an_order(spec: Raw, typed: str) -> None:
    assert typed_for(order("a", **spec)) == typed


def test_everything_is_typed_only_for_everything() -> None:
    assert typed_for(order("a", "", kind=CLUSTER_ORDER_KIND)) == "everything"
    narrowed = order("a", "", kind=CLUSTER_ORDER_KIND, namespaceSelector={"matchLabels": {"stage": "test"}})
    assert typed_for(narrowed) == "stage=test"


async def test_a_selector_that_is_none_is_said_of_the_field_that_has_it() -> None:
    with pytest.raises(InvalidError, match=r"^query\.labelSelector: "):
        selector("half=1,")
    with pytest.raises(InvalidError, match=r"^labels: ") as refused:
        scope_of({"scope": "labels", "labels": "half=1,"})
    assert refused.value.where == ("labels",)
    shown = await TaskListView(Stand().page("/?labels=half=1,")).show()
    assert "Labels: " in shown.parts["empty"].html
    assert "query" not in shown.parts["empty"].html


async def text_of(stand: Stand, path: str, **options: Any) -> str:
    """Return a page as it is served."""
    call = stand.page(path, **options)
    route = next(each for each in call.dialect.routes if each.path == options.get("route", "/tasks/{id}"))
    response = await route.handler(call)
    assert isinstance(response, web.Response)
    return str(response.text)


@pytest.mark.parametrize(
    ("then", "phase", "banner", "answer"),
    [
        (None, "Frozen", "A freeze stands", "2 of 3 tasks are frozen"),
        ("Resume", "Thawing", "", "3 tasks are still to go on"),
        ("Resume", "Lifted", "", "Nothing is frozen by it any more"),
    ],
)
async def test_a_freeze_is_told_of_until_it_is_lifted(then: str | None, phase: str, banner: str, answer: str) -> None:
    stand = Stand()
    made = order("a", freeze=True, **({"then": then} if then else {}))
    made["status"] = {"observedGeneration": 1, "phase": phase, "matched": 3, "frozen": 2}
    stand.tell(made)
    stand.objects[f"{WHERE}/a"] = made
    parts = (await OrderView(stand.page("/namespaces/ns/stoporders/a", namespace="ns", name="a")).show()).parts

    assert (banner in parts["holds"].html, bool(parts["holds"].html.strip())) == (True, bool(banner))
    assert ("Lift the freeze" in parts["head"].html) is bool(banner)
    assert answer in parts["progress"].html


async def test_every_page_is_made_whole() -> None:
    """A template that cannot be filled shows itself nowhere but in a page."""
    stand = Stand()
    wide, made = order("wide", "", kind=CLUSTER_ORDER_KIND, hold=True), order("a")
    stand.tell(task("a"), made, wide)
    stand.objects |= {f"{WHERE}/a": made, "/apis/agentstop.dev/v1alpha1/clusterstoporders/wide": wide}
    stand.objects[f"{WHERE}/drill"] = order("drill", drill=True)
    params = {"id": "AgentTask-ns-a", "namespace": "ns", "name": "a"}
    routes = [each for each in page.DIALECT.routes if each.method == "GET" and "{digest}" not in each.path]
    pages = [each for each in routes if not each.path.endswith("/live") and each.path != "/emergency/order"]
    assert len(pages) >= 8
    for route in pages:
        at = {**params, "name": "drill"} if route.path.startswith("/emergency/") else params
        at = {**at, "name": "wide"} if "clusterstoporders" in route.path else at
        named: Any = {name: value for name, value in at.items() if f"{{{name}}}" in route.path}
        response = await route.handler(stand.page(route.path.format(**at), **named))
        assert isinstance(response, web.Response)
        assert "</html>" in str(response.text), route.path


async def test_a_page_is_followed_and_come_back_to_under_the_path_that_it_was_asked_for() -> None:
    stand = Stand()
    made = task("a")
    made["spec"] = {"externalID": "run/1 %2F?"}
    stand.tell(made)
    path = "/tasks/run%2F1%20%252F%3F"
    html = await text_of(stand, path, id="run/1 %2F?")
    assert f'data-live="{path}/live"' in html
    call = replace(stand.page(f"{path}?q=%C3%A4"), sender=None)
    html = str(page.render(UnauthorizedError("who?"), call).text)
    assert f'name="next" value="{path}?q=%C3%A4"' in html


async def test_who_has_no_session_to_end_is_not_asked_to_log_out() -> None:
    stand = Stand()
    stand.tell(task("a"))
    options = {"id": "AgentTask-ns-a", "headers": COOKIE}
    assert "Log out" in await text_of(stand, "/tasks/AgentTask-ns-a", **options)
    routes = tuple(each for each in page.DIALECT.routes if each.path != "/logout")
    owners = replace(page.DIALECT, routes=routes)
    assert "Log out" not in await text_of(stand, "/tasks/AgentTask-ns-a", **options, dialect=owners)


@pytest.mark.parametrize(
    ("finished", "reads"), [({}, 3), ({"phase": "Stopped", "finishedAt": "2026-01-01T00:00:00Z"}, 1)]
)
async def test_events_of_a_task_that_has_ended_are_not_read_over_and_over(
    finished: Raw, reads: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    stand = Stand()
    stand.tell(task("a", **finished))
    view = TaskView(stand.page("/tasks/x", id="AgentTask-ns-a"))
    loop = asyncio.get_running_loop()
    for seconds in (0, 5, 10):
        monkeypatch.setattr(loop, "time", lambda seconds=seconds: 1000.0 + seconds)
        await view.show()
    monkeypatch.undo()
    assert len([where for _, where in stand.requests if where.endswith("/events")]) == reads


@pytest.mark.parametrize(
    ("seconds", "more", "told"),
    [
        (1, {}, True),
        (9, {}, False),
        (1, {"conditions": [{"type": "Reconciling", "status": "True", "reason": "KubeletBusy"}]}, False),
        (9, {"phase": "Stopped", "verdict": "Killed", "confirmedAt": when(6)}, True),
        (9, {"phase": "Stopped", "verdict": "Graceful", "confirmedAt": when(2)}, False),
    ],
    ids=["comes", "is due", "nobody knows when", "came", "was not needed"],
)
def test_the_steps_and_the_time_line_tell_of_a_kill_alike(seconds: float, more: Raw, told: bool) -> None:
    stop = {"source": "User", "acceptedAt": when(0), "signaledAt": when(0), "killAt": when(5), "gracePeriodSeconds": 5}
    stop |= {name: more[name] for name in ("verdict", "confirmedAt") if name in more}
    status = {"phase": more.get("phase", "Stopping"), "conditions": more.get("conditions", []), "stop": stop}
    stopping = task("a", **status)
    assert any("SIGKILL:" in each.what for each in steps_of(stopping, at(seconds))) is told
    moments = [each.what for each in moments_of(stopping, (), at(seconds))]
    assert any(each.endswith("SIGKILL") or each.startswith("SIGKILL") for each in moments) is told


def test_a_container_of_a_frozen_pod_does_not_run() -> None:
    assert container_state({"startedAt": when(0)}, at(42), at(40)) == ("frozen, for 2.0s", "frozen")
    assert container_state({"startedAt": when(0), "exitCode": 0}, at(42), at(40)) == ("exit code 0", "good")
    assert container_state({"reason": "ImagePullBackOff"}, at(42), at(40)) == ("ImagePullBackOff", "waits")


@pytest.mark.parametrize(
    ("container", "says"),
    [
        ({"exitCode": 0, "startedAt": when(0)}, ("exit code 0", "good")),
        ({"exitCode": 137}, ("exit code 137", "bad")),
        ({"startedAt": when(0)}, ("runs, for 42s", "runs")),
        ({"reason": "ImagePullBackOff"}, ("ImagePullBackOff", "waits")),
        ({}, ("not started", "waits")),
    ],
)
def test_what_a_container_does(container: Raw, says: tuple[str, str]) -> None:
    assert container_state(container, at(42)) == says
