"""All tasks, by whatever they are called, and who waits for them."""

import asyncio
from typing import Any

import pytest

from agentstop.cluster.large_objects import NamespacedName
from agentstop.gateway.entry import Entry
from agentstop.gateway.index import TaskIndex
from agentstop.gateway.sight import BLIND_SECONDS
from tests.unit.objects import Raw

KIND = "AgentTask"


def task(
    name: str, version: int = 1, *, uid: str | None = None, phase: str | None = None, namespace: str = "ns", **spec: Any
) -> Raw:
    metadata = {"namespace": namespace, "name": name, "uid": uid or f"uid-{name}", "resourceVersion": str(version)}
    return {"metadata": metadata, "spec": spec, "status": {"phase": phase} if phase else {}}


def filled(*raws: Raw) -> TaskIndex:
    index = TaskIndex({"short": lambda uid: uid[:5]})
    for raw in raws:
        index.changed(KIND, None, raw)
    return index


def uids(entries: list[Entry]) -> list[str]:
    return sorted(each.uid for each in entries)


def test_a_task_is_found_by_all_that_it_is_called() -> None:
    index = filled(task("a", externalID="run-1", parentRef={"name": "p"}), task("b", namespace="other"))
    entry = index.get("uid-a")
    assert entry is not None
    assert index.named(NamespacedName("ns", "a")) is entry
    assert index.with_external_id("run-1") == [entry]
    assert index.children(NamespacedName("ns", "p")) == [entry]
    assert uids(index.with_alias("short", "uid-a")) == ["uid-a"]
    assert (index.get("a"), index.named(NamespacedName("ns", "b")), index.with_external_id("")) == (None, None, [])
    index.changed(KIND, "DELETED", task("a", 2))
    assert (index.get("uid-a"), index.with_external_id("run-1"), len(index)) == (None, [], 1)
    assert not index.children(NamespacedName("ns", "p"))
    assert not index.with_alias("short", "uid-a")


def test_another_task_of_the_same_name_takes_its_place() -> None:
    index = filled(task("a", 1, uid="first", externalID="x"))
    index.changed(KIND, "ADDED", task("a", 5, uid="second"))
    assert (index.get("first"), index.with_external_id("x")) == (None, [])
    index.missing(KIND, NamespacedName("ns", "a"), "first")
    named = index.named(NamespacedName("ns", "a"))
    assert named is not None
    assert named.uid == "second"


def test_two_of_one_external_id_are_both_found() -> None:
    index = filled(task("a", externalID="x"), task("b", externalID="x"))
    assert uids(index.with_external_id("x")) == ["uid-a", "uid-b"]


def test_an_answer_is_newer_than_the_event_that_comes_after_it() -> None:
    index = filled(task("a", 1))
    index.learned(task("a", 9, phase="Stopping", stopRequested=True))
    index.changed(KIND, "MODIFIED", task("a", 5))
    entry = index.get("uid-a")
    assert entry is not None
    assert entry.stop_requested
    index.changed(KIND, "MODIFIED", task("a", 10, phase="Stopped"))
    entry = index.get("uid-a")
    assert entry is not None
    assert entry.ended


def test_an_answer_about_a_task_that_is_gone_brings_nothing_back() -> None:
    index = filled(task("a"))
    index.changed(KIND, "DELETED", task("a", 2))
    assert index.learned(task("a", 2)).uid == "uid-a"
    assert index.get("uid-a") is None


def test_a_family_in_a_circle_ends() -> None:
    index = filled(*(task(name, parentRef={"name": parent}) for name, parent in ("ab", "bc", "ca", "da")))
    assert [each.name for each in index.descendants(NamespacedName("ns", "a"))] == ["c", "d", "b"]


def test_neither_template_nor_managed_fields_are_kept() -> None:
    raw = task("a", podTemplate={"spec": {"containers": ["x" * 1000]}})
    raw["metadata"]["managedFields"] = [{"manager": "kubectl"}]
    entry = Entry(raw)
    assert (entry.spec["podTemplate"], "managedFields" in entry.raw["metadata"]) == ({}, False)
    assert raw["spec"]["podTemplate"]["spec"]


async def test_who_waits_is_told_at_once() -> None:
    index = filled(task("a"))
    waiting = asyncio.create_task(index.until("uid-a", lambda entry: entry.ended, 30))
    await asyncio.sleep(0)
    index.changed(KIND, "MODIFIED", task("a", 2, phase="Stopping"))
    await asyncio.sleep(0)
    assert not waiting.done()
    index.changed(KIND, "MODIFIED", task("a", 3, phase="Stopped"))
    found = await waiting
    assert found is not None
    assert found.ended
    assert index._waiting == {}


@pytest.mark.parametrize("end", ["gone", "time", "closing"])
async def test_waiting_has_an_end(end: str) -> None:
    index = filled(task("a"))
    waiting = asyncio.create_task(index.until("uid-a", lambda entry: entry.ended, 0.01 if end == "time" else 30))
    await asyncio.sleep(0)
    if end == "gone":
        index.changed(KIND, "DELETED", task("a", 2))
    elif end == "closing":
        index.close()
    found = await waiting
    assert (found is None) == (end == "gone")
    assert index._waiting == {}


def test_what_may_be_old_is_said() -> None:
    now = [0.0]
    index = TaskIndex(clock=lambda: now[0])
    index.expect(("a", "b"))
    assert "not been listed" in str(index.problem)
    index.heard(KIND, "a")
    index.heard(KIND, "b")
    assert index.problem is None
    index.failed(KIND, "b", "connection refused")
    assert index.problem == "tasks of namespace b cannot be watched: connection refused"
    index.heard(KIND, "b")
    now[0] += BLIND_SECONDS + 1
    index.heard(KIND, "a")
    assert "silent" in str(index.problem)


def test_listeners_are_told_and_do_not_hurt_one_another() -> None:
    index = filled(task("a"))
    seen: list[tuple[bool, bool]] = []

    def stumbling(_: Entry | None, __: Entry | None) -> None:
        raise ValueError("a mistake")

    index.listen(stumbling)
    end = index.listen(lambda before, after: seen.append((before is None, after is None)))
    index.changed(KIND, "ADDED", task("b"))
    index.changed(KIND, "MODIFIED", task("b", 2))
    index.changed(KIND, "DELETED", task("b", 3))
    end()
    index.changed(KIND, "ADDED", task("c"))
    assert seen == [(True, False), (False, False), (False, True)]


@pytest.mark.parametrize(
    ("status", "spec", "ended", "stopping", "proven"),
    [
        ({}, {}, False, False, False),
        ({"phase": "Nonsense"}, {}, False, False, False),
        ({"phase": "Running"}, {"stopRequested": True}, False, True, False),
        ({"phase": "Stopping"}, {}, False, True, False),
        ({"phase": "Stopped", "stop": {"verdict": "Graceful"}}, {"stopRequested": True}, True, False, True),
        ({"phase": "Stopped", "stop": {"verdict": "Unverified"}}, {}, True, False, False),
        ({"phase": "Completed"}, {"stopRequested": True}, True, False, True),
        (["no", "object"], "none", False, False, False),
    ],
)
def test_what_an_entry_says(status: Any, spec: Any, ended: bool, stopping: bool, proven: bool) -> None:
    entry = Entry({**task("a"), "status": status, "spec": spec})
    assert (entry.ended, entry.stopping, entry.proven) == (ended, stopping, proven)


def test_when_it_changed_and_ended() -> None:
    raw = task("a", phase="Stopping")
    raw["metadata"]["creationTimestamp"] = "2026-11-01T00:00:00Z"
    assert str(Entry(raw).changed_at) == "2026-11-01 00:00:00+00:00"
    raw["status"] |= {"startedAt": "2026-11-01T00:00:01.5Z", "stop": {"acceptedAt": "2026-11-01T00:00:03Z"}}
    raw["status"]["finishedAt"] = "2026-11-01T00:00:02Z"
    assert (str(Entry(raw).changed_at), Entry(raw).ended_at) == ("2026-11-01 00:00:03+00:00", None)
    raw["status"]["phase"] = "Stopped"
    assert str(Entry(raw).ended_at) == "2026-11-01 00:00:02+00:00"
    raw["status"]["stop"]["confirmedAt"] = "2026-11-01T00:00:04Z"
    assert str(Entry(raw).ended_at) == str(Entry(raw).changed_at) == "2026-11-01 00:00:04+00:00"


def test_moments_that_are_none() -> None:
    entry = Entry({**task("a"), "status": {"phase": "Failed", "finishedAt": 7, "stop": {"confirmedAt": ["x"]}}})
    assert (entry.changed_at, entry.ended_at) == (None, None)


def test_whoever_goes_through_all_tasks_may_wait_while_they_change() -> None:
    index = filled(task("a"), task("b"))
    seen = []
    for each in index.all():
        index.changed(KIND, "ADDED", task(f"{each.name}-child"))
        seen.append(each.name)
    assert seen == ["a", "b"]
