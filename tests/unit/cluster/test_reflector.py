"""What a reflector tells of: all that there is, what changes, and after a gap what is there no more."""

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, cast

import pytest

from agentstop.cluster.decoding import Listing
from agentstop.cluster.errors import ApiError
from agentstop.cluster.gateway import Gateway
from agentstop.cluster.large_objects import NamespacedName
from agentstop.cluster.pages import Page
from agentstop.cluster.reflector import Reflector, Source
from agentstop.cluster.watching import BOOKMARK, UNREAD, UNREAD_ENDING
from agentstop.timings import Timings
from tests.support.waiting import PATIENCE, until
from tests.unit.objects import Raw

SOURCE = Source("Pod", "", "a=b")
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


def page(items: list[Raw] | None) -> Page:
    """Return a part of a list as it comes from the API server."""
    return Page("/x", Listing(json.dumps({"items": items, "metadata": {"resourceVersion": "100"}}).encode()))


BEGUN: tuple[str, Raw] = ("begun", {})
"""A watch that has this before its error was accepted."""


class Script:
    """What the API server says, one entry after the other; stands for the gateway. Afterwards watches are silent."""

    def __init__(
        self,
        lists: list[list[Raw] | Exception],
        watches: list[list[tuple[str, Raw] | Exception]],
        source: Source = SOURCE,
    ) -> None:
        self.source = source
        self.lists = lists
        self.watches = watches
        self.listed = 0
        self.versions: list[str] = []
        self.objects: dict[str, Raw | Exception] = {}
        """What is there to be read live."""

    async def get_one(self, kind: str, name: NamespacedName) -> Raw:
        found = self.objects.get(name.name, ApiError(404, "NotFound", "no such pod"))
        if isinstance(found, Exception):
            raise found
        return found

    async def pages(self, kind: str, namespace: str, selector: str) -> AsyncIterator[Page]:
        assert (kind, namespace, selector) == tuple(self.source)
        self.listed += 1
        items = self.lists.pop(0)
        if isinstance(items, Exception):
            raise items
        # One object a page, and one empty page: a cluster has that when the last objects of a list were deleted.
        for item in items:
            yield page([item])
        yield page(None)

    async def events(
        self, kind: str, namespace: str, selector: str, version: str, accepted: Callable[[], None]
    ) -> AsyncIterator[tuple[str, Raw]]:
        assert (kind, namespace, selector) == tuple(self.source)
        self.versions.append(version)
        if self.watches and isinstance(self.watches[0][0], Exception):
            raise cast("Exception", self.watches.pop(0)[0])
        accepted()
        if not self.watches:
            await asyncio.Event().wait()
        for event in self.watches.pop(0):
            if isinstance(event, Exception):
                raise event
            if event != BEGUN:
                yield event


class Told:
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.all: list[tuple[Any, ...]] = []
        self.versions: list[str] = []
        self.watch_health = 0
        self.problems: list[str] = []
        self.skips = 0

    def changed(self, kind: str, event: str | None, raw: Raw) -> None:
        self.all.append((event, raw["metadata"]["name"]))
        if raw["metadata"]["name"] == "stumbled-over":
            raise ValueError("a mistake of ours")

    def reached(self, source: Source, version: str) -> None:
        self.versions.append(version)

    def missing(self, kind: str, name: NamespacedName, uid: str) -> None:
        self.all.append(("missing", name.name, uid))
        if name.name == "stumbled-over":
            raise ValueError("a mistake of ours")

    def heard(self, kind: str, namespace: str) -> None:
        self.watch_health += 1

    def failed(self, kind: str, namespace: str, problem: str) -> None:
        self.problems.append(problem)

    def skipped(self, kind: str, number: int = 1) -> None:
        self.skips += number


IMPATIENT = Timings(reflect_retries_seconds=(0.001, 0.002))


@asynccontextmanager
async def reflecting(script: Script) -> AsyncIterator[tuple[Told, Reflector]]:
    """Run a reflector until it has used up its script."""
    told = Told()
    reflector = Reflector(cast("Gateway", script), script.source, told, told, told.reached, IMPATIENT)
    running = asyncio.create_task(reflector.run())

    def at_the_end() -> bool:
        return running.done() or (not script.lists and not script.watches)

    await until(at_the_end, PATIENCE, "all said")
    await asyncio.sleep(0.05)
    yield told, reflector
    assert not running.done(), running
    running.cancel()


async def test_it_goes_on_where_the_list_ends() -> None:
    script = Script([[pod("a"), pod("b")]], [[("MODIFIED", pod("a", 101)), ("ADDED", pod("c", 102))]])
    async with reflecting(script) as (told, reflector):
        assert told.all == [(None, "a"), (None, "b"), ("MODIFIED", "a"), ("ADDED", "c")]
        assert script.versions == ["100", "102"]
        assert reflector.listed.is_set()
        assert told.versions == ["100", "101", "102"]


async def test_a_bookmark_is_contact_and_a_version_to_go_on_from() -> None:
    script = Script([[]], [[bookmark(150)]])
    async with reflecting(script) as (told, _):
        assert told.all == []
        assert script.versions == ["100", "150"]
        assert told.watch_health == 3


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
    script = Script([[]], [[("ADDED", pod("a", 101)), AWAY], [error], [error]])
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


ERROR = ApiError(500, "InternalError", "unable to decode an object in the watch stream")
UNREADABLE = ApiError(0, "Unreadable", "a line of a watch cannot be read")


@pytest.mark.parametrize("error", [ERROR, BUSY, UNREADABLE])
async def test_an_error_in_a_watch_means_a_new_list_and_no_sign_of_life(error: ApiError) -> None:
    """Else a watch that always begins, and always ends so, would look alive."""
    script = Script([[], [], []], [[BEGUN, error], [BEGUN, error]])
    async with reflecting(script) as (told, _):
        assert script.versions == ["100"] * 3
        assert told.watch_health == 1
        assert told.problems == [str(error)] * 2


async def test_after_an_error_a_watch_is_alive_again_with_what_it_brings() -> None:
    script = Script([[], []], [[BEGUN, ERROR], [BEGUN, bookmark(150)], [BEGUN]])
    async with reflecting(script) as (told, _):
        assert told.watch_health == 4, "the first that began, the bookmark, and the two that began after it"


async def test_a_watch_that_lasts_its_time_is_alive_though_it_brings_nothing() -> None:
    script = Script([[], []], [[BEGUN, ERROR], [BEGUN]])
    async with reflecting(script) as (told, _):
        assert told.watch_health == 3, "the first that began, the one that lasted, and the one after it"


NO_OBJECTS: list[Raw] = [{}, {"metadata": None}, {"metadata": {"name": "x"}}, pod("x") | {"metadata": {"name": 1}}]


async def test_what_is_no_object_costs_no_more_than_itself() -> None:
    """And nothing that was known is taken for gone, which one of these may be."""
    events: list[tuple[str, Raw] | Exception] = [("MODIFIED", bad) for bad in NO_OBJECTS]
    script = Script([[pod("known")], [*NO_OBJECTS, pod("a")]], [[*events, ("ADDED", pod("b", 102)), EXPIRED]])
    async with reflecting(script) as (told, _):
        assert told.all == [(None, "known"), ("ADDED", "b"), (None, "a")]
        assert told.skips == 2 * len(NO_OBJECTS)
        assert script.versions == ["100", "100"]


async def test_what_is_in_no_namespace_is_told_of_where_its_kind_is_so() -> None:
    order, task = pod("order", 101), pod("other", 102)
    del order["metadata"]["namespace"]
    for source, expected in ((Source("ClusterStopOrder", ""), "order"), (Source("StopOrder", ""), "other")):
        async with reflecting(Script([[order]], [[("MODIFIED", order), ("ADDED", task)]], source)) as (told, _):
            assert {name for _, name in told.all} == {expected}


def heavy(name: str, version: int, event: str = UNREAD) -> tuple[str, Raw]:
    """Return the event of an object that is too large to be read at once."""
    return event, {"metadata": {"namespace": "ns", "name": name, "resourceVersion": str(version)}}


async def test_large_objects_are_read_later_and_once_for_all_their_events() -> None:
    events: list[tuple[str, Raw] | Exception] = [heavy("large", version) for version in range(101, 130)]
    script = Script([[pod("large"), pod("gone")]], [[*events, heavy("gone", 130), ("ADDED", pod("small", 131))]])
    script.objects = {"large": pod("large", 140)}
    async with reflecting(script) as (told, _):
        await until(lambda: len(told.all) >= 5, PATIENCE, "all told")
        assert told.all[:3] == [(None, "large"), (None, "gone"), ("ADDED", "small")]
        assert told.all[3:] == [("MODIFIED", "large"), ("missing", "gone", "uid-gone")]
        assert script.versions == ["100", "131"]


async def test_a_large_object_that_cannot_be_read_now_is_read_later() -> None:
    script = Script([[]], [[heavy("large", 101)]])
    script.objects = {"large": AWAY}
    async with reflecting(script) as (told, _):
        assert told.all == []
        script.objects = {"large": pod("large", 140)}
        await until(lambda: told.all == [("MODIFIED", "large")], PATIENCE, "told")


async def test_a_large_object_that_is_to_end_is_read_first() -> None:
    """Also where it could not be read the first time."""
    crowd = [f"x{number}" for number in range(20)]
    events: list[tuple[str, Raw] | Exception] = [heavy(name, 101 + at) for at, name in enumerate(crowd)]
    script = Script([[]], [[*events, heavy("x19", 130, UNREAD_ENDING)]])
    script.objects = {name: pod(name, 140) for name in crowd} | {"x19": AWAY}
    async with reflecting(script) as (told, _):
        script.objects["x19"] = pod("x19", 140)
        await until(lambda: len(told.all) == len(crowd), PATIENCE, "all told")
        assert told.all[0] == ("MODIFIED", "x19")


async def test_a_large_object_that_makes_us_stumble_is_no_end() -> None:
    script = Script([[]], [[heavy("bad", 101), heavy("large", 102)]])
    script.objects = {"bad": ValueError("a mistake of ours"), "large": pod("large", 140)}
    async with reflecting(script) as (told, _):
        await until(lambda: told.all == [("MODIFIED", "large")], PATIENCE, "told")
        assert told.skips == 1
