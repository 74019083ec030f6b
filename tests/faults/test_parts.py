"""The parts of the proxy: what a point is called, what it strikes, and what becomes of a watch's lines."""

import json
from collections.abc import AsyncIterator, Sequence
from typing import Any

import pytest

from tests.faults.campaign import batches
from tests.faults.oracle import problems
from tests.faults.outcome import Mask, Outcome
from tests.faults.points import Fault, Kind, Point, points
from tests.faults.traffic import Target, Traffic
from tests.faults.views import Collection, Views
from tests.faults.watches import Breaker
from tests.support.kube import Object

NAMESPACE = "t-0"


@pytest.mark.parametrize("text", ["3b", "12a", "3-409", "1-garbage", "4-lb", "pods.2-gone", "agenttasks.10-stale"])
def test_a_point_is_read_as_it_is_called(text: str) -> None:
    assert str(Point.parse(text)) == text


@pytest.mark.parametrize("text", ["", "b", "3", "3-410", "3-gone", "pods.3b", "pods.2-409"])
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


def test_a_fault_strikes_once() -> None:
    traffic = Traffic(NAMESPACE, Point(2, Fault.LOST))
    struck = [traffic.write("PUT", "/api/v1/namespaces/t-0/pods/a", b"")[1] for _ in range(3)]
    assert struck == [None, Fault.LOST, None]


def pod(name: str, version: int) -> Object:
    return {"metadata": {"name": name, "uid": name, "namespace": NAMESPACE, "resourceVersion": str(version)}}


EVENTS = (("ADDED", pod("a", 1)), ("MODIFIED", pod("b", 2)), ("MODIFIED", pod("a", 3)), ("DELETED", pod("a", 4)))


async def brought(point: Point | None, events: Sequence[tuple[str, Object]] = EVENTS) -> list[tuple[str, str]]:
    """Return what comes out of a watch: types, and versions or codes."""
    traffic = Traffic(NAMESPACE, point)
    out: list[dict[str, Any]] = []

    async def lines() -> AsyncIterator[bytes]:
        for kind, item in events:
            yield json.dumps({"type": kind, "object": item}).encode()

    async def send(content: bytes) -> None:
        out.append(json.loads(content))

    breaker = Breaker("pods", {NAMESPACE: traffic}.get, send, lambda: out.append({"type": "STALE", "object": {}}))
    await breaker.run(lines(), lambda kind, item: None)
    assert point is None or traffic.struck
    return [
        (each["type"], str(each["object"].get("code") or each["object"].get("metadata", {}).get("resourceVersion")))
        for each in out
    ]


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
    ],
)
async def test_one_event_is_broken(number: int, fault: Fault, expected: list[tuple[str, str]]) -> None:
    assert await brought(Point(number, fault, "pods")) == expected


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
