"""Events of large objects: which object they are about, without that they are read."""

import asyncio
import json

import pytest

from agentstop.cluster.large_objects import (
    MAX_PAUSE_SECONDS,
    SHARE,
    FairQueue,
    Hint,
    NamespacedName,
    hint_of,
    pause_after,
)
from tests.unit.objects import Raw

HINT = Hint(NamespacedName("ns", "x"), "7", ending=False)


def line(raw: Raw, event: str = "MODIFIED") -> bytes:
    """Return the line of an event, without blanks, as the API server writes it."""
    return json.dumps({"type": event, "object": raw}, separators=(",", ":")).encode()


def pod(**more: object) -> Raw:
    """Return a pod in the API server's order."""
    metadata = {"name": "x", **more, "namespace": "ns", "uid": "u", "resourceVersion": "7"}
    return {"kind": "Pod", "apiVersion": "v1", "metadata": metadata | {"annotations": {"a": "b"}}, "spec": {}}


def task(**more: object) -> Raw:
    """Return a task in the API server's order, which is the alphabet's."""
    metadata = {"name": "x", "namespace": "ns", "uid": "u", "resourceVersion": "7", "generation": 1, **more}
    spec = {"podTemplate": {"spec": {"containers": [{"args": ["a"], "name": "c"}], "tolerations": []}}}
    raw = {"apiVersion": "agentstop.dev/v1alpha1", "kind": "AgentTask", "metadata": metadata, "spec": spec}
    ordered: Raw = json.loads(json.dumps(raw, sort_keys=True))
    return ordered


FIELDS = [{"manager": "m", "fieldsV1": {"f:a": {'k:{"name":"y"}': {}}}, "time": "t"}]
OWNERS = [{"apiVersion": "v1", "kind": "Pod", "name": "o", "uid": "other", "controller": True}]
LIES = {
    "name": "lie",
    "namespace": "lie",
    "resourceVersion": "9",
    "uid": "lie",
    "x": ']},"name":"lie","namespace":"lie",',
}


@pytest.mark.parametrize("event", ["ADDED", "MODIFIED", "DELETED"])
@pytest.mark.parametrize(
    "raw",
    [
        pod(),
        pod(generateName="x-"),
        task(),
        task(managedFields=FIELDS),
        task(managedFields=FIELDS, ownerReferences=OWNERS, labels=LIES, annotations=LIES),
        task(labels=LIES),
        task(annotations=LIES, finalizers=["a"]),
    ],
)
def test_it_is_known_which_object_has_changed(raw: Raw, event: str) -> None:
    assert hint_of(line(raw, event)) == HINT


SAID = 'he said "stopRequested":true, and "deletionTimestamp":"now"'


@pytest.mark.parametrize(
    ("raw", "ending"),
    [
        (pod(), False),
        (task(deletionTimestamp="2026-01-01T00:00:00Z"), True),
        (task() | {"spec": {"stopRequested": True}}, True),
        (task() | {"spec": {"stopRequested": False}}, False),
        (task(annotations={"a": SAID, "stopRequested": "true"}) | {"spec": {"x": SAID}}, False),
    ],
)
def test_what_is_to_end_says_so(raw: Raw, ending: bool) -> None:
    assert hint_of(line(raw)) == HINT._replace(ending=ending)


TWICE = {"a": [], "name": "lie", "namespace": "lie", "resourceVersion": "9"}


@pytest.mark.parametrize(
    "text",
    [
        line(task() | {"status": TWICE}),
        line(task(managedFields=[{"fieldsV1": TWICE}])),
        line(pod())[:40],
        line(task())[:80],
        line(pod(), "BOOKMARK"),
        line({"kind": "Status", "code": 500}, "ERROR"),
        json.dumps({"type": "MODIFIED", "object": task()}).encode(),
        b"<html>",
    ],
)
def test_where_that_is_not_certain_the_event_is_read(text: bytes) -> None:
    assert hint_of(text) is None


async def test_namespaces_take_turns_and_nobody_waits_twice() -> None:
    turns = FairQueue()
    crowd = [NamespacedName("crowd", f"x{number}") for number in range(3)]
    for name in [*crowd, *crowd, NamespacedName("other", "a")]:
        turns.add(name, ending=False)
    assert [(await turns.next())[0] for _ in range(4)] == [crowd[0], NamespacedName("other", "a"), crowd[1], crowd[2]]
    waiting = asyncio.create_task(turns.next())
    await asyncio.sleep(0)
    assert not waiting.done()
    turns.add(crowd[0], ending=False)
    assert await waiting == (crowd[0], False)


async def test_what_is_to_end_goes_before_the_others_of_its_namespace() -> None:
    turns = FairQueue()
    crowd = [NamespacedName("crowd", f"x{number}") for number in range(4)]
    for name in [*crowd, NamespacedName("other", "a")]:
        turns.add(name, ending=False)
    for name in (crowd[3], crowd[2]):
        turns.add(name, ending=True)
        turns.add(name, ending=False)
    order = [
        (crowd[2], True),
        (NamespacedName("other", "a"), False),
        (crowd[3], True),
        (crowd[0], False),
        (crowd[1], False),
    ]
    assert [await turns.next() for _ in order] == order


def test_most_of_the_time_is_left_to_others() -> None:
    assert 0.1 / (0.1 + pause_after(0.1)) <= SHARE + 0.001
    assert pause_after(100) == MAX_PAUSE_SECONDS
