"""What a reflector tells of: all that there is, what changes, and after a gap what is there no more."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, cast

import pytest

from agentstop.cluster import reflector as reflector_module
from agentstop.cluster.errors import ApiError
from agentstop.cluster.gateway import BOOKMARK, Gateway
from agentstop.cluster.reflector import Name, Reflector, Source
from tests.support.waiting import until
from tests.unit.objects import Raw

SOURCE = Source("Pod", "", "a=b")
SECONDS = 5.0

EXPIRED = ApiError(410, "Expired", "too old resource version")
AWAY = ApiError(0, "Unreachable", "the API server cannot be reached")
BUSY = ApiError(503, "ServiceUnavailable", "not now")
FORBIDDEN = ApiError(403, "Forbidden", "pods is forbidden")


def pod(name: str, version: int = 1, uid: str | None = None) -> Raw:
    """Return an object as a list or an event brings it."""
    return {"metadata": {"namespace": "ns", "name": name, "uid": uid or f"uid-{name}", "resourceVersion": str(version)}}


def bookmark(version: int) -> tuple[str, Raw]:
    """Return the event that brings nothing but a version."""
    return BOOKMARK, {"metadata": {"resourceVersion": str(version)}}


class Script:
    """What the API server says, one entry after the other; stands for the gateway. Afterwards watches are silent."""

    def __init__(self, lists: list[list[Raw] | Exception], watches: list[list[tuple[str, Raw] | Exception]]) -> None:
        self.lists = lists
        self.watches = watches
        self.listed = 0
        self.versions: list[str] = []

    async def pages(self, kind: str, namespace: str, selector: str) -> AsyncIterator[Raw]:
        assert (kind, namespace, selector) == tuple(SOURCE)
        self.listed += 1
        items = self.lists.pop(0)
        if isinstance(items, Exception):
            raise items
        # One object a page, and one empty page: a cluster has that when the last objects of a list were deleted.
        for item in items:
            yield {"metadata": {"resourceVersion": "100"}, "items": [item]}
        yield {"metadata": {"resourceVersion": "100"}, "items": None}

    async def events(
        self, kind: str, namespace: str, selector: str, version: str, accepted: Callable[[], None]
    ) -> AsyncIterator[tuple[str, Raw]]:
        assert (kind, namespace, selector) == tuple(SOURCE)
        self.versions.append(version)
        accepted()
        if not self.watches:
            await asyncio.Event().wait()
        for event in self.watches.pop(0):
            if isinstance(event, Exception):
                raise event
            yield event


class Told:
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.all: list[tuple[Any, ...]] = []
        self.contacts = 0

    def changed(self, kind: str, event: str | None, raw: Raw) -> None:
        self.all.append((event, raw["metadata"]["name"]))
        if raw["metadata"]["name"] == "stumbled-over":
            raise ValueError("a mistake of ours")

    def missing(self, kind: str, name: Name, uid: str) -> None:
        self.all.append(("missing", name.name, uid))
        if name.name == "stumbled-over":
            raise ValueError("a mistake of ours")

    def contact(self, kind: str, namespace: str) -> None:
        assert (kind, namespace) == SOURCE[:2]
        self.contacts += 1


@asynccontextmanager
async def reflecting(script: Script) -> AsyncIterator[tuple[Told, Reflector]]:
    """Run a reflector until it has used up its script."""
    told = Told()
    reflector = Reflector(cast("Gateway", script), SOURCE, told, told.contact)
    running = asyncio.create_task(reflector.run())

    def at_the_end() -> bool:
        return running.done() or (not script.lists and not script.watches)

    await until(at_the_end, SECONDS, "all said")
    await asyncio.sleep(0.05)
    yield told, reflector
    assert not running.done(), running
    running.cancel()


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reflector_module, "PAUSES_SECONDS", (0.001, 0.002))


async def test_it_goes_on_where_the_list_ends() -> None:
    script = Script([[pod("a"), pod("b")]], [[("MODIFIED", pod("a", 101)), ("ADDED", pod("c", 102))]])
    async with reflecting(script) as (told, reflector):
        assert told.all == [(None, "a"), (None, "b"), ("MODIFIED", "a"), ("ADDED", "c")]
        assert script.versions == ["100", "102"]
        assert reflector.listed.is_set()


async def test_a_bookmark_is_contact_and_a_version_to_go_on_from() -> None:
    script = Script([[]], [[bookmark(150)]])
    async with reflecting(script) as (told, _):
        assert told.all == []
        assert script.versions == ["100", "150"]
        assert told.contacts == 3


async def test_after_a_gap_it_tells_what_is_there_no_more() -> None:
    first = [pod("stays"), pod("goes"), pod("made-anew"), pod("deleted-before")]
    events: list[tuple[str, Raw] | Exception] = [("DELETED", pod("deleted-before")), ("ADDED", pod("came")), EXPIRED]
    script = Script([first, [pod("stays"), pod("made-anew", uid="another")]], [events])
    async with reflecting(script) as (told, _):
        *_, again, anew, one, other = told.all
        assert [again, anew] == [(None, "stays"), (None, "made-anew")]
        assert {one, other} == {("missing", "goes", "uid-goes"), ("missing", "came", "uid-came")}
        assert script.versions == ["100", "100"]


@pytest.mark.parametrize("error", [AWAY, BUSY, ApiError(429, "TooManyRequests", "slow"), ApiError(401, "U", "login")])
async def test_a_watch_that_breaks_off_goes_on_without_a_new_list(error: ApiError) -> None:
    script = Script([[]], [[("ADDED", pod("a", 101)), error], [error], [error]])
    async with reflecting(script) as (told, _):
        assert script.listed == 1
        assert script.versions == ["100", "101", "101", "101"]
        assert told.all == [("ADDED", "a")]


@pytest.mark.parametrize("error", [FORBIDDEN, AWAY, ApiError(404, "NotFound", "no such kind")])
async def test_a_list_is_tried_until_it_is_had_and_the_reason_said_once(
    error: ApiError, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        async with reflecting(Script([error, error, error, [pod("a")]], [])) as (told, _):
            assert told.all == [(None, "a")]
    assert [record.message for record in caplog.records] == [f"Pods cannot be watched, which is tried again: {error}"]


async def test_an_object_that_it_stumbles_over_does_not_make_it_blind(caplog: pytest.LogCaptureFixture) -> None:
    script = Script([[pod("stumbled-over"), pod("a")]], [[("ADDED", pod("stumbled-over")), ("ADDED", pod("b"))]])
    async with reflecting(script) as (told, _):
        assert (None, "a") in told.all
        assert ("ADDED", "b") in told.all
    assert "Pod ns/stumbled-over could not be taken in" in caplog.text


@pytest.mark.parametrize("error", [ValueError("no JSON"), KeyError("object"), TypeError("a page of HTML")])
async def test_what_is_no_answer_of_the_api_does_not_make_it_blind(
    error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    script = Script([error, [pod("a")], [pod("a"), pod("b")]], [[error]])
    async with reflecting(script) as (told, reflector):
        assert told.all == [(None, "a"), (None, "a"), (None, "b")]
        assert reflector.listed.is_set()
    assert repr(error) in caplog.text


async def test_a_missing_one_that_it_stumbles_over_does_not_make_it_blind() -> None:
    script = Script([[pod("stumbled-over"), pod("goes")], [pod("b")]], [[EXPIRED]])
    async with reflecting(script) as (told, _):
        assert {("missing", "stumbled-over", "uid-stumbled-over"), ("missing", "goes", "uid-goes")} <= set(told.all)
