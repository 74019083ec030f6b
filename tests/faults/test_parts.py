"""The parts of the proxy: what a point is called, what it strikes, and what becomes of a watch's lines."""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import pytest

from tests.faults import watches
from tests.faults.campaign import batches
from tests.faults.oracle import problems
from tests.faults.outcome import Mask, Outcome
from tests.faults.points import Fault, Kind, Point, points
from tests.faults.traffic import Target, Traffic
from tests.faults.views import Collection, Views
from tests.faults.watches import Breaker
from tests.support.kube import Object

NAMESPACE = "t-0"


@pytest.mark.parametrize(
    "text", ["3b", "12a", "3-409", "1-garbage", "4-lb", "4-frozen", "pods.2-gone", "agenttasks.10-lstale"]
)
def test_a_point_is_read_as_it_is_called(text: str) -> None:
    assert str(Point.parse(text)) == text


@pytest.mark.parametrize("text", ["", "b", "3", "3-410", "3-gone", "3-lstale", "pods.3b", "pods.2-409"])
def test_what_is_no_point_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is no point"):
        Point.parse(text)


def test_all_points_are_each_write_and_each_event_with_each_fault() -> None:
    assert [str(each) for each in points(Kind.INTERMEDIATE, 2, {"pods": 3})] == ["1b", "2b", "1a", "2a"]
    assert [str(each) for each in points(Kind.STALE, 2, {"pods": 1, "jobs": 1})] == ["jobs.1-stale", "pods.1-stale"]


def test_what_others_would_notice_is_not_played_beside_them() -> None:
    wanted = [Point.parse(text) for text in ("1b", "1-409", "pods.1-gone", "2-lb", "pods.1-merged", "pods.1-dropped")]
    played = [[str(each) for each in batch] for batch in batches(wanted)]
    assert played == [["1b"], ["2-lb"], ["pods.1-gone", "pods.1-dropped"], ["1-409", "pods.1-merged"]]


@pytest.mark.parametrize(
    ("path", "target"),
    [
        ("/api/v1/namespaces/x/pods/a/status", Target("", "x", "pods", "a", "status")),
        ("/apis/apps/v1/namespaces/x/deployments", Target("apps", "x", "deployments")),
        ("/api/v1/namespaces/x", Target("", "", "namespaces", "x")),
        ("/api/v1/pods", Target("", "", "pods")),
        ("/version", Target("", "", "")),
    ],
)
def test_a_path_says_what_a_request_is_about(path: str, target: Target) -> None:
    assert Target.of(path) == target


WRITTEN = (
    ("PATCH", "/api/v1/namespaces/{ns}/pods/a", {"metadata": {"uid": "{uid}"}, "spec": {"activeDeadlineSeconds": 1}}),
    ("DELETE", "/api/v1/namespaces/{ns}/pods/w-x7kq2", {"preconditions": {"uid": "{uid}"}}),
    ("DELETE", "/api/v1/namespaces/{ns}/pods/w-6b9df8c7d4-h2v5n", {"gracePeriodSeconds": 1}),
    ("POST", "/apis/events.k8s.io/v1/namespaces/{ns}/events", {"metadata": {"name": "a.{hex}"}, "eventTime": "{time}"}),
    ("PUT", "/apis/agentstop.dev/v1alpha1/namespaces/{ns}/agenttasks/a/status", {"status": {"phase": "Stopped"}}),
)
"""Of one run; in another one other names, UIDs and times are in it."""

ANOTHER = {
    "{uid}": "6d5a6f0e-5f0c-4b0e-9c5e-0a0b0c0d0e0f",
    "{time}": "2026-01-02T03:04:05.6Z",
    "{hex}": "0123456789abcdef",
    "{ns}": "t-1",
    "x7kq2": "bb4zt",
    "6b9df8c7d4-h2v5n": "z4t7k2m5q9-9kk8w",
}
ONE = {
    "{uid}": "7d5a6f0e-5f0c-4b0e-9c5e-0a0b0c0d0e0f",
    "{time}": "2026-02-02T03:04:05.6Z",
    "{hex}": "f123456789abcdef",
    "{ns}": NAMESPACE,
}


def write(traffic: Traffic, number: int, names: Mapping[str, str]) -> Fault | None:
    """Have one of these written."""
    verb, path, body = WRITTEN[number]
    text = json.dumps(body)
    for before, after in names.items():
        path, text = path.replace(before, after), text.replace(before, after)
    return traffic.write(verb, path, text.encode())[1]


@pytest.mark.parametrize("number", range(len(WRITTEN)))
def test_a_write_is_found_again_in_another_run(number: int) -> None:
    learned = Traffic(NAMESPACE)
    for each in range(len(WRITTEN)):
        write(learned, each, ONE)
    point = Point(number + 1, Fault.LOST)
    traffic = Traffic("t-1", point, learned.place_of(point))
    # More is written than when it was learned, and in another order; it is struck once all the same.
    struck = [each for each in reversed(range(len(WRITTEN))) if write(traffic, each, ANOTHER) is Fault.LOST]
    assert struck == [number]
    assert write(traffic, number, ANOTHER) is None


def test_of_writes_that_are_alike_the_same_one_is_struck() -> None:
    learned = Traffic(NAMESPACE)
    for _ in range(3):
        write(learned, 0, ONE)
    point = Point(2, Fault.LOST)
    traffic = Traffic("t-1", point, learned.place_of(point))
    assert [write(traffic, number, ANOTHER) for number in (0, 1, 0, 0)] == [None, None, Fault.LOST, None]


@pytest.mark.parametrize(
    ("number", "before", "after"),
    [(0, ": 1", ": 2"), (0, "PATCH", "PUT"), (0, "pods/a", "pods/b"), (4, "Stopped", "Stopping"), (4, "/status", "")],
)
def test_another_write_is_another_place(number: int, before: str, after: str) -> None:
    learned = Traffic(NAMESPACE)
    write(learned, number, ONE)
    verb, path, body = WRITTEN[number]
    content = json.dumps(body).replace(before, after)
    other = Traffic("t-1").write(verb.replace(before, after), path.replace(before, after), content.encode())[0]
    assert other.place.what != learned.writes[0].place.what or other.place.digest != learned.writes[0].place.digest


def pod(name: str, version: int) -> Object:
    return {"metadata": {"name": name, "uid": name, "namespace": NAMESPACE, "resourceVersion": str(version)}}


PODS_WATCH = Collection.of("/api/v1/pods", {"labelSelector": "agentstop.dev/task"})
EVENTS = (("ADDED", pod("a", 1)), ("MODIFIED", pod("b", 2)), ("MODIFIED", pod("a", 3)), ("DELETED", pod("a", 4)))


async def watched(traffic: Traffic, events: Sequence[tuple[str, Object]]) -> list[dict[str, Any]]:
    """Return what comes out of a watch."""
    out: list[dict[str, Any]] = []

    async def lines() -> AsyncIterator[bytes]:
        for kind, item in events:
            yield json.dumps({"type": kind, "object": item}).encode()

    async def send(content: bytes) -> None:
        out.append(json.loads(content))

    def stale(fault: Fault) -> None:
        out.append({"type": "STALE", "object": {}})

    await Breaker("pods", PODS_WATCH, {NAMESPACE: traffic}.get, send, stale).run(lines(), lambda kind, item: None)
    return out


async def brought(point: Point | None, events: Sequence[tuple[str, Object]] = EVENTS) -> list[tuple[str, str]]:
    """Return what comes out of a watch: types, and versions or codes."""
    learned = Traffic(NAMESPACE)
    out = await watched(learned, events)
    if point is not None:
        traffic = Traffic(NAMESPACE, point, learned.place_of(point))
        out = await watched(traffic, events)
        assert traffic.struck
    return [
        (each["type"], str(each["object"].get("code") or each["object"].get("metadata", {}).get("resourceVersion")))
        for each in out
    ]


async def test_an_event_is_told_by_what_it_says_and_by_its_watch() -> None:
    learned = Traffic(NAMESPACE)
    running = {**pod("a", 2), "status": {"phase": "Running"}}
    for watch in (PODS_WATCH, Collection.of("/api/v1/pods", {"fieldSelector": "metadata.name=a"})):
        learned.event("pods", watch, "MODIFIED", pod("a", 1))
        learned.event("pods", watch, "MODIFIED", running)
    places = [each.place for each in learned.events["pods"]]
    assert len(set(places)) == len(places)
    assert [each.occurrence for each in places] == [1, 1, 1, 1]
    assert learned.event("pods", PODS_WATCH, "MODIFIED", {**pod("a", 9), "status": {"phase": "Running"}}) is None
    assert learned.events["pods"][-1].place == replace(places[1], occurrence=2)


ALL = [("ADDED", "1"), ("MODIFIED", "2"), ("MODIFIED", "3"), ("DELETED", "4")]


async def test_what_is_not_broken_goes_through() -> None:
    assert await brought(None) == ALL


@pytest.mark.parametrize(
    ("number", "fault", "expected"),
    [
        (1, Fault.DROPPED, ALL[1:]),
        (1, Fault.MERGED, [("MODIFIED", "2"), ("ADDED", "3"), ("DELETED", "4")]),
        (3, Fault.MERGED, [*ALL[:2], ("DELETED", "4")]),
        (2, Fault.MERGED, [ALL[0], *ALL[2:], ALL[1]]),
        (2, Fault.DROPPED, [ALL[0], *ALL[2:], ("ERROR", "410")]),
        (2, Fault.REPEATED, [*ALL[:2], *ALL[1:]]),
        (3, Fault.GONE, [*ALL[:2], ("ERROR", "410")]),
        (3, Fault.STALE, [*ALL[:2], ("STALE", "None")]),
        (1, Fault.LATE, [ALL[1], ALL[0], *ALL[2:]]),
        (2, Fault.LATE, [ALL[0], *ALL[2:], ALL[1]]),
        (3, Fault.LATE, ALL),
        (3, Fault.LEADER_STALE, [*ALL[:2], ("STALE", "None"), *ALL[2:]]),
    ],
)
async def test_one_event_is_broken(number: int, fault: Fault, expected: list[tuple[str, str]]) -> None:
    assert await brought(Point(number, fault, "pods")) == expected


async def test_other_watches_go_on_while_one_lags(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watches, "LATE_SECONDS", 0.05)
    learned = Traffic(NAMESPACE)
    await watched(learned, EVENTS)
    point = Point(2, Fault.LAGGING, "pods")
    traffic = Traffic(NAMESPACE, point, learned.place_of(point))
    out: list[str] = []

    async def watch(resource: str, events: Sequence[tuple[str, Object]]) -> None:
        async def lines() -> AsyncIterator[bytes]:
            for kind, item in events:
                yield watches.line(kind, item)

        async def send(content: bytes) -> None:
            out.append(f"{resource} {json.loads(content)['object']['metadata']['resourceVersion']}")

        breaker = Breaker(resource, PODS_WATCH, {NAMESPACE: traffic}.get, send, lambda fault: None)
        await breaker.run(lines(), lambda kind, item: None)

    await asyncio.gather(watch("pods", EVENTS), watch("jobs", [("ADDED", pod("w", 8)), ("DELETED", pod("w", 9))]))
    assert sorted(out[:3]) == ["jobs 8", "jobs 9", "pods 1"]
    assert out[3:] == ["pods 2", "pods 3", "pods 4"]


def test_an_operator_with_a_stale_view_is_listed_what_the_one_before_it_was_told() -> None:
    views, collection = Views(), Collection.of("/api/v1/pods", {"labelSelector": "x", "limit": "20"})
    views.listed(
        collection, {"kind": "PodList", "metadata": {"resourceVersion": "5"}, "items": [pod("a", 4)]}, first=True
    )
    views.brought(collection, "ADDED", pod("b", 6))
    views.brought(collection, "DELETED", pod("a", 7))
    assert views.before(collection) is None
    views.begin(stale=True)
    listed = json.loads(views.before(collection) or b"")
    assert listed == {"kind": "PodList", "metadata": {"resourceVersion": "7"}, "items": [pod("b", 6)]}
    views.forget()
    assert views.before(collection) is None


def test_a_mask_takes_out_what_no_two_runs_have_in_common() -> None:
    mask = Mask("t-1")
    mask.learn_name(
        {"metadata": {"name": "w-x7", "ownerReferences": [{"kind": "Job", "name": "w", "controller": True}]}}
    )
    text = "w-x7 (6d5a6f0e-5f0c-4b0e-9c5e-0a0b0c0d0e0f) of t-1 ended at 2026-01-02T03:04:05.6Z after 1.5 s; w-x stays"
    assert mask.text(text) == "one of Job w (UID) of NAMESPACE ended at TIME after SECONDS; w-x stays"


STOPPED = {"phase": "Stopped", "stop": {"verdict": "Graceful"}, "workload": {"pods": [{"name": "a"}]}}


PODS = "/api/v1/namespaces/NAMESPACE/pods"


def found(tasks: Object | None = None, **more: Any) -> Outcome:
    others = {"pods ever": {"a": 1, "one of w": 1}}
    return Outcome({"a": STOPPED} if tasks is None else tasks, others, **more)


@pytest.mark.parametrize(
    ("scenario", "fault", "outcome", "says"),
    [
        ("pod", Fault.LOST, found(), None),
        ("pod", Fault.LOST, found({"a": {**STOPPED, "phase": "Failed"}}), ".phase"),
        ("pod", Fault.LOST, found({}), "task a"),
        ("job", Fault.KILLED_AFTER, found({"a": {**STOPPED, "stop": {"verdict": "Gone"}, "workload": {}}}), None),
        ("job", Fault.LOST, found({"a": {**STOPPED, "stop": {"verdict": "Gone"}}}), ".stop.verdict"),
        ("job", Fault.GONE, found({"a": {**STOPPED, "stop": {"verdict": "Gone"}, "workload": {}}}), None),
        ("job", Fault.LEADER_FROZEN, found({"a": {**STOPPED, "stop": {"verdict": "Gone"}}}), ".stop.verdict"),
        ("job", Fault.LOST, found(effects={f"DELETE {PODS}/one of w": [1]}), None),
        ("job", Fault.LOST, found(effects={f"DELETE {PODS}/one of w": [1, 1]}), "on 2 objects"),
        ("pod", Fault.LOST, found(effects={f"DELETE {PODS}/a": [1]}), "on 1 objects"),
        ("pod", Fault.LOST, found(effects={"PATCH p": [2], "POST q": [1]}), None),
        ("pod", Fault.LOST, found(effects={"PATCH p": [3], "POST q": [1]}), "3 times on one object"),
        ("pod", Fault.LOST, found(effects={"PATCH p": [1, 1], "POST q": [1]}), "on 2 objects"),
        ("pod", Fault.LOST, found(effects={"POST q": [2]}), "2 times instead of 1"),
        ("pod", Fault.LOST, found(requests=1000), "1000 requests"),
    ],
)
def test_the_oracle_tells_what_is_wrong(scenario: str, fault: Fault, outcome: Outcome, says: str | None) -> None:
    traffic = Traffic(NAMESPACE, Point(1, fault), struck="something")
    reference = found(effects={"PATCH p": [1], "POST q": [1]}, requests=10)
    told = list(problems(scenario, traffic.point, reference, outcome, traffic))
    assert (told == []) if says is None else (len(told) == 1 and says in told[0])
