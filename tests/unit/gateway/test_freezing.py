"""Freezes, as our own API and the dialects ask for them and tell of them."""

from typing import Any, cast

import pytest

from agentstop.api.task import PausePolicy
from agentstop.cluster.errors import ApiError
from agentstop.cluster.transport import Transport
from agentstop.gateway.dialect import Dialect
from agentstop.gateway.dialects import api, wexa, xpander
from agentstop.gateway.dialects.a2a import records as a2a
from agentstop.gateway.entry import Entry
from agentstop.gateway.errors import ConflictError
from tests.unit.objects import Raw, when

from .serving import serving
from .test_index import task
from .test_tasks import both

UID = "0f8fad5b-d9cb-469f-a165-70867728950e"
BY = {"kind": "StopOrder", "name": "look-first", "uid": "o"}
PLACE = "/namespaces/ns/stoporders"


def frozen(*, by: Raw | None = None, reason: str = "Frozen", **spec: Any) -> Raw:
    """Return a task that is frozen, by its own pause or by an order."""
    found = task("a", uid=UID, phase="Paused", **spec)
    found["metadata"]["creationTimestamp"] = when(0)
    found["status"] |= {"reason": reason, "pausePolicy": "Freeze", "pausedAt": when(0), "observedGeneration": 1}
    if by is not None:
        found["status"]["frozenBy"] = by
    return found


# Tasks


@pytest.mark.parametrize(
    ("given", "policy", "sent"),
    [
        ({}, None, {"paused": True}),
        ({}, PausePolicy.FREEZE, {"paused": True, "pausePolicy": "Freeze"}),
        ({"paused": True}, PausePolicy.FREEZE, {"paused": True, "pausePolicy": "Freeze"}),
        ({"pausePolicy": "Freeze"}, PausePolicy.TERMINATE, {"paused": True, "pausePolicy": "Terminate"}),
    ],
)
async def test_a_pause_is_as_the_task_says_or_as_is_asked(given: Raw, policy: PausePolicy | None, sent: Raw) -> None:
    tasks, _, access = both(task("a", phase="Running", **given))
    outcome = await tasks.pause("uid-a", policy=policy)
    assert outcome.asked
    assert [body["spec"] for *_, body in access.sent] == [sent]
    assert "dryRun" not in access.sent[0][2]


async def test_a_pause_that_is_asked_for_again_changes_nothing() -> None:
    tasks, _, access = both(task("a", phase="Paused", paused=True, pausePolicy="Freeze"))
    for policy in (None, PausePolicy.FREEZE):
        assert not (await tasks.pause("uid-a", policy=policy)).asked
    assert [query.get("dryRun") for _, _, query, _ in access.sent] == ["All", "All"]


async def test_what_an_order_alone_keeps_frozen_goes_on_with_that_order() -> None:
    tasks, _, access = both(frozen(by=BY))
    with pytest.raises(ConflictError, match="frozen by StopOrder look-first"):
        await tasks.resume(UID)
    assert [query.get("dryRun") for _, _, query, _ in access.sent] == ["All"], "whoever may not is told that"


async def test_what_an_order_keeps_frozen_besides_is_resumed_and_not_waited_for() -> None:
    tasks, _, access = both(frozen(by=BY, paused=True, pausePolicy="Freeze"))
    outcome = await tasks.resume(UID, wait=3600)
    assert (outcome.asked, outcome.now.frozen, access.sent[0][3]["spec"]) == (True, True, {"paused": False})


async def test_what_an_order_lets_go_is_waited_for() -> None:
    tasks, _, _ = both(frozen(by=BY, reason="Thawing"))
    outcome = await tasks.resume(UID)
    assert (outcome.asked, outcome.now.kept_frozen_by) == (False, None)


def test_it_is_found_by_what_has_it_frozen() -> None:
    found = Entry(frozen(by=BY)).searchable.splitlines()
    assert {"frozen", "look-first"} <= set(found)
    assert "frozen" not in Entry(task("a", phase="Paused")).searchable.splitlines()


# Our own API


class Orders:
    """Stands for an API server that has one order, and keeps what is merged into it."""

    def __init__(self, *, status: Raw | None = None, **spec: Any) -> None:
        metadata = {"namespace": "ns", "name": "o", "uid": "o", "creationTimestamp": when(0)}
        self.order: Raw = {"metadata": metadata, "spec": {"selector": {}, **spec}, "status": status or {}}
        self.sent: list[tuple[str, Raw]] = []
        self.named = ""
        """What the one is called that was made, or how its name is to begin."""

    async def call(self, method: str, where: str, query: Any = None, body: Any = None, *_: Any, **__: Any) -> Raw:
        if "accessreviews" in where:
            return {"status": {"allowed": True}}
        if method == "GET":
            return self.order
        self.sent.append((method, body["spec"]))
        self.named = body["metadata"].get("name") or body["metadata"].get("generateName", "")
        spec = {**self.order["spec"], **body["spec"]}
        if method == "PATCH" and self.order["spec"].get("then") not in {None, spec.get("then")}:
            raise ApiError(422, "Invalid", "then is said once: create a new order instead")
        return {**self.order, "spec": spec, "metadata": {**self.order["metadata"], **body["metadata"]}}


async def asked(dialect: Dialect, path: str, orders: Orders | None = None, *tasks: Raw, body: Raw | None = None) -> Any:
    """Return status, body and Location of an answer."""
    transport = cast("Transport", orders) if orders is not None else None
    async with serving(dialect, tasks, transport=transport) as client:
        method = "GET" if body is None else "POST"
        answer = await client.request(method, f"{dialect.prefix}{path}", json=body, headers={"Prefer": "wait=0"})
        return answer.status, await answer.json(), answer.headers.get("Location")


@pytest.mark.parametrize(("more", "name"), [({}, "freeze-"), ({"then": "Kill"}, "freeze-"), ({"name": "x"}, None)])
async def test_an_order_that_freezes_is_made(more: Raw, name: str | None) -> None:
    orders = Orders()
    code, found, where = await asked(api.DIALECT, PLACE, orders, body={"selector": {}, "freeze": True, **more})
    assert (code, where) == (202, f"/api/v1{PLACE}/{more.get('name', 'o')}")
    ((method, spec),) = orders.sent
    assert (method, spec["freeze"], spec.get("then")) == ("POST", True, more.get("then"))
    assert orders.named == (name or more["name"])
    assert found["spec"]["freeze"] is True


@pytest.mark.parametrize("then", ["Resume", "stop", "", True])
async def test_what_follows_on_a_freeze_is_one_of_two(then: Any) -> None:
    orders = Orders()
    code, _, _ = await asked(api.DIALECT, PLACE, orders, body={"selector": {}, "freeze": True, "then": then})
    assert (code, orders.sent) == (422, [])


@pytest.mark.parametrize(("verb", "then"), [("lift", "Resume"), ("stop", "Stop"), ("kill", "Kill")])
async def test_it_is_said_once_what_follows_and_may_be_asked_again(verb: str, then: str) -> None:
    for said in ({}, {"then": then}):
        orders = Orders(status={"phase": "Frozen"}, freeze=True, **said)
        code, found, where = await asked(api.DIALECT, f"{PLACE}/o/{verb}", orders, body={})
        assert (code, found["spec"]["then"], where) == (202, then, f"/api/v1{PLACE}/o")
        assert orders.sent == [("PATCH", {"then": then})]


@pytest.mark.parametrize(
    ("verb", "spec", "says"),
    [
        ("lift", {"freeze": True, "then": "Stop"}, "there is nothing to lift"),
        ("stop", {"freeze": True, "then": "Resume"}, "was told to resume what it froze"),
        ("kill", {"freeze": True, "then": "Stop"}, "was told to stop what it froze"),
        ("kill", {}, "freezes nothing"),
        ("stop", {"hold": True}, "freezes nothing"),
    ],
)
async def test_what_was_said_stands(verb: str, spec: Raw, says: str) -> None:
    orders = Orders(**spec)
    code, found, _ = await asked(api.DIALECT, f"{PLACE}/o/{verb}", orders, body={})
    assert (code, says in found["detail"], orders.sent) == (409, True, []), found


async def test_an_order_tells_how_many_are_frozen_and_how_long_it_took() -> None:
    status = {"phase": "Frozen", "matched": 3, "frozen": 2, "freezeSeconds": 0.085}
    code, found, _ = await asked(api.DIALECT, f"{PLACE}/o", Orders(status=status, freeze=True))
    assert (code, {name: found["status"][name] for name in status}) == (200, status)


async def test_a_task_tells_that_it_is_frozen_and_by_what() -> None:
    raw = frozen(by=BY)
    for path, within in (("/tasks", "items"), (f"/tasks/{UID}", ""), (f"/tasks/{UID}/tree", "task")):
        _, found, _ = await asked(api.DIALECT, path, None, raw)
        found = found["items"][0] if within == "items" else found[within] if within else found
        assert (found["frozen"], found["frozenBy"], found["pausePolicy"]) == (True, BY, "Terminate"), path
    _, why, _ = await asked(api.DIALECT, f"/tasks/{UID}/why", None, raw)
    assert [each for each in why["facts"] if each.startswith("frozen by StopOrder look-first since ")]


async def test_a_task_that_is_paused_and_not_frozen_says_so() -> None:
    raw = frozen(pausePolicy="Freeze", paused=True)
    raw["status"] |= {"reason": "Paused", "pausePolicy": None}
    _, found, _ = await asked(api.DIALECT, f"/tasks/{UID}", None, raw)
    assert (found["frozen"], "frozenBy" in found, found["pausePolicy"]) == (False, False, "Freeze")


async def test_a_policy_that_nobody_knows_is_refused() -> None:
    path, body = f"/tasks/{UID}/pause", {"pausePolicy": "Halt"}
    code, _, _ = await asked(api.DIALECT, path, None, task("a", uid=UID, phase="Running"), body=body)
    assert code == 422


# The dialects


async def test_wexa_says_paused_and_whether_it_is_frozen() -> None:
    for raw, is_frozen in ((frozen(), True), (task("a", uid=UID, phase="Paused", paused=True), False)):
        for path in (f"/task/{UID}", f"/execute_flow/{UID}"):
            _, found, _ = await asked(wexa.DIALECT, path, None, raw)
            assert (found["status"], found["frozen"]) == ("paused", is_frozen)


@pytest.mark.parametrize(("more", "code", "word"), [({"paused": True}, 201, "paused"), ({}, 409, None)])
async def test_wexa_calls_nothing_ready_that_an_order_keeps_frozen(more: Raw, code: int, word: str | None) -> None:
    raw = frozen(by=BY, **more)

    class Merging:
        async def call(self, _: str, where: str, __: Any = None, body: Any = None, *___: Any, **____: Any) -> Raw:
            if "accessreviews" in where:
                return {"status": {"allowed": True}}
            return {**raw, "spec": {**raw["spec"], **body.get("spec", {})}}

    async with serving(wexa.DIALECT, [raw], transport=cast("Transport", Merging())) as client:
        answer = await client.post(f"/wexa/execute_flow/{UID}/resume")
        assert (answer.status, (await answer.json()).get("status")) == (code, word)


async def test_xpander_says_paused_and_inside_frozen() -> None:
    raw = frozen(by=BY)
    _, found, _ = await asked(xpander.DIALECT, f"/v1/tasks/{UID}", None, raw)
    assert (found["status"], found["internal_status"], found["paused_at"][:19]) == ("paused", "frozen", when(0)[:19])
    for status, there in (("frozen", 1), ("paused", 0)):
        _, page, _ = await asked(xpander.DIALECT, f"/v1/tasks?internal_status={status}", None, raw)
        assert page["total"] == there


def test_a2a_tells_a_freeze_from_a_pause() -> None:
    said = [a2a._said(Entry(each)) for each in (frozen(), task("a", phase="Paused"))]
    assert said == ["The task is frozen, and goes on where it was.", "The task is paused."]
