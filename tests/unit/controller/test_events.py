"""Events: what is posted, and what is joined into a series."""

import asyncio
from datetime import datetime, timedelta
from typing import Any, cast

import pytest

from agentstop.cluster.errors import ApiError
from agentstop.cluster.gateway import Gateway
from agentstop.controller.events import SERIES_ENDS_AFTER, EventRecorder
from agentstop.lifecycle.events import Action, Note, Severity
from tests.unit.objects import NOW, Raw, pod, task

NOTE = Note(Severity.WARNING, "NodeUnreachable", Action.STOP, "node n does not answer")


class Posted:
    """Takes events; stands for the gateway."""

    def __init__(self) -> None:
        self.created: list[Raw] = []
        self.patched: list[tuple[str, Raw]] = []
        self.fail = False
        self.slow = False

    async def post_event(self, namespace: str, body: Raw) -> None:
        if self.fail:
            raise ApiError(403, "Forbidden", "no")
        if self.slow:
            await asyncio.sleep(0)
        assert namespace == "ns"
        self.created.append(body)

    async def patch_event(self, namespace: str, name: str, body: Raw) -> None:
        self.patched.append((name, body))


class Bench:
    def __init__(self) -> None:
        self.now = NOW
        self.busy = False
        self.posted = Posted()
        self.poster = EventRecorder(cast("Gateway", self.posted), self._clock, lambda: self.busy)

    def _clock(self) -> datetime:
        return self.now

    async def run(self) -> None:
        """Let everything that waits be posted."""
        running = asyncio.create_task(self.poster.run())
        for _ in range(20):
            await asyncio.sleep(0)
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


@pytest.fixture
def bench() -> Bench:
    return Bench()


async def test_an_event_has_what_the_api_asks_for(bench: Bench) -> None:
    bench.poster.post(task(), NOTE)
    await bench.run()

    (event,) = bench.posted.created
    assert event["metadata"]["name"].startswith("x.")
    assert len(event["metadata"]["name"]) <= 253
    assert (event["type"], event["reason"], event["action"]) == ("Warning", "NodeUnreachable", "Stop")
    assert event["note"] == "node n does not answer"
    assert event["eventTime"] == "2026-01-01T12:00:00.000000Z"
    assert event["reportingController"]
    assert 0 < len(event["reportingInstance"]) <= 128
    assert event["regarding"] == {
        "apiVersion": "agentstop.dev/v1alpha1",
        "kind": "AgentTask",
        "namespace": "ns",
        "name": "x",
        "uid": "task-uid",
    }


async def test_an_event_about_a_pod(bench: Bench) -> None:
    bench.poster.post(pod(), NOTE)
    await bench.run()

    (event,) = bench.posted.created
    regarding = {"apiVersion": "v1", "kind": "Pod", "namespace": "ns", "name": "x", "uid": "pod-uid"}
    assert event["regarding"] == regarding


@pytest.mark.parametrize("slow", [False, True], ids=["after it", "while it is posted"])
async def test_the_same_again_is_a_series(bench: Bench, slow: bool) -> None:
    bench.posted.slow = slow
    for _ in range(3):
        bench.poster.post(task(), NOTE)
        bench.now += timedelta(seconds=10)
    await bench.run()

    (event,) = bench.posted.created
    assert {name for name, _ in bench.posted.patched} == {event["metadata"]["name"]}
    assert [body["series"]["count"] for _, body in bench.posted.patched] == [2, 3]
    assert bench.posted.patched[-1][1]["series"]["lastObservedTime"] == "2026-01-01T12:00:20.000000Z"


@pytest.mark.parametrize(
    "change",
    [{"reason": "Other"}, {"message": "node m does not answer"}, {"severity": Severity.NORMAL}],
)
async def test_something_else_is_another_event(bench: Bench, change: dict[str, Any]) -> None:
    given: dict[str, Any] = {"severity": NOTE.severity, "reason": NOTE.reason, "action": NOTE.action}
    bench.poster.post(task(), NOTE)
    bench.poster.post(task(), Note(**(given | {"message": NOTE.message} | change)))
    await bench.run()

    assert len(bench.posted.created) == 2
    assert not bench.posted.patched


async def test_another_task_of_that_name_is_another_one(bench: Bench) -> None:
    bench.poster.post(task(), NOTE)
    bench.poster.post(task(uid="new"), NOTE)
    await bench.run()

    assert len(bench.posted.created) == 2


async def test_a_series_ends_after_a_while(bench: Bench) -> None:
    bench.poster.post(task(), NOTE)
    bench.now += SERIES_ENDS_AFTER
    bench.poster.post(task(), NOTE)
    await bench.run()

    assert len(bench.posted.created) == 2


async def test_a_long_note_is_cut(bench: Bench) -> None:
    bench.poster.post(task(), Note(Severity.NORMAL, "X", Action.STOP, "long " * 1000))
    await bench.run()

    assert len(bench.posted.created[0]["note"]) == 1024


async def test_a_refused_event_stands_in_nobodys_way(bench: Bench) -> None:
    bench.posted.fail = True
    bench.poster.post(task(), NOTE)
    await bench.run()
    bench.posted.fail = False
    bench.poster.post(task(), Note(Severity.NORMAL, "Running", Action.START, "it runs"))
    await bench.run()

    assert [event["reason"] for event in bench.posted.created] == ["Running"]


async def test_while_stops_wait_events_wait_too(bench: Bench) -> None:
    bench.busy = True
    bench.poster.post(task(), NOTE)
    await bench.run()

    assert bench.posted.created == []
