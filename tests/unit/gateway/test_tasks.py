"""What is sent in a caller's name, and what is waited for."""

import asyncio
from collections.abc import Mapping
from typing import Any, cast

import pytest

from agentstop.api.task import PLURAL
from agentstop.cluster.transport import Transport
from agentstop.gateway.access import CallerAccess
from agentstop.gateway.callers import Caller, impersonated
from agentstop.gateway.errors import ConflictError, ForbiddenError, InvalidError, NotFoundError, UnavailableError
from agentstop.gateway.index import TaskIndex
from agentstop.gateway.tasks import Tasks
from tests.unit.objects import Raw

from .test_index import KIND, task

JANE = impersonated("ci", "jane", ())


class Access(CallerAccess):
    """Stands for the API server: keeps what it is sent, and answers with the task merged."""

    def __init__(self, *tasks: Raw) -> None:
        nowhere = cast("Transport", None)
        super().__init__(nowhere, nowhere, lambda: 0.0)
        self.tasks = {each["metadata"]["name"]: each for each in tasks}
        self.sent: list[tuple[str, str, Mapping[str, str], Any]] = []
        self.readable = {"ns", ""}

    async def call(
        self, caller: Caller, method: str, where: str, query: Any = None, body: Any = None, content_type: str = ""
    ) -> Raw:
        assert caller is JANE
        self.sent.append((method, where.rpartition("/")[2], query or {}, body))
        if method == "GET":
            raise ForbiddenError("jane may not")
        found = self.tasks[where.rpartition("/")[2]]
        return {**found, "spec": {**found["spec"], **(body.get("spec") or {})}}

    async def may(self, caller: Caller, verb: str, namespace: str, resource: str = PLURAL) -> bool:
        return namespace in self.readable


def both(*tasks: Raw) -> tuple[Tasks, TaskIndex, Access]:
    index, access = TaskIndex(), Access(*tasks)
    for each in tasks:
        index.changed(KIND, None, each)
    return Tasks(index, access, JANE, wait=0.01), index, access


async def test_a_stop_says_which_task_it_means() -> None:
    tasks, _, access = both(task("a", phase="Running"))
    outcome = await tasks.stop("uid-a", reason="RunawayCost", grace=5)
    assert (outcome.asked, outcome.proven, outcome.now.stop_requested) == (True, False, True)
    stop = {"reason": "RunawayCost", "gracePeriodSeconds": 5}
    body = {"metadata": {"uid": "uid-a"}, "spec": {"stopRequested": True, "stop": stop}}
    assert access.sent == [("PATCH", "a", {"fieldManager": "agentstop-gateway"}, body)]


@pytest.mark.parametrize(
    ("former", "wanted", "sent"),
    [
        (None, None, None),
        (None, 30, 30),
        (30, 5, 5),
        (5, 30, None),
        (5, 5, None),
    ],
)
async def test_a_second_stop_may_only_leave_less_time(former: int | None, wanted: int | None, sent: int | None) -> None:
    stop = {"gracePeriodSeconds": former} if former else None
    tasks, _, access = both(task("a", phase="Stopping", stopRequested=True, stop=stop))
    outcome = await tasks.stop("uid-a", reason="Other", message="another", grace=wanted)
    assert not outcome.asked
    ((_, _, query, body),) = access.sent
    assert ("dryRun" in query) == (sent is None)
    assert body["spec"] == {"stopRequested": True, **({"stop": {"gracePeriodSeconds": sent}} if sent else {})}


@pytest.mark.parametrize("phase", ["Stopped", "Completed", "Failed"])
async def test_what_has_ended_is_not_changed_but_the_right_is_tried(phase: str) -> None:
    tasks, _, access = both(task("a", phase=phase))
    outcome = await tasks.stop("uid-a", reason="Late")
    assert (outcome.asked, outcome.now.phase) == (False, phase)
    assert [query.get("dryRun") for _, _, query, _ in access.sent] == ["All"]


async def test_what_ended_before_the_watch_told_of_it_was_not_asked_to_stop() -> None:
    tasks, _, access = both(task("a", phase="Running"))
    access.tasks["a"] = task("a", 2, phase="Completed")
    outcome = await tasks.stop("uid-a")
    assert (outcome.asked, outcome.before.phase, outcome.now.phase) == (False, "Completed", "Completed")


async def test_the_proof_is_waited_for() -> None:
    tasks, index, _ = both(task("a", phase="Running"))
    stopping = asyncio.create_task(tasks.stop("uid-a", wait=30))
    for _ in range(5):
        await asyncio.sleep(0)
    assert not stopping.done()
    index.changed(KIND, "MODIFIED", task("a", 3, phase="Stopped", stopRequested=True))
    outcome = await stopping
    assert (outcome.asked, outcome.proven) == (True, True)


async def test_a_task_that_was_just_made_is_found() -> None:
    tasks, index, _ = both()
    asking = asyncio.create_task(tasks.get("run-1"))
    await asyncio.sleep(0.01)
    index.changed(KIND, "ADDED", task("other"))
    await asyncio.sleep(0)
    index.changed(KIND, "ADDED", task("a", externalID="run-1"))
    assert (await asking).uid == "uid-a"
    with pytest.raises(NotFoundError):
        await tasks.get("run-2")


async def test_nothing_is_said_not_to_be_there_while_nobody_knows() -> None:
    tasks, index, _ = both()
    index.failed(KIND, "", "connection refused")
    with pytest.raises(UnavailableError):
        await tasks.get("run-1")
    with pytest.raises(UnavailableError):
        await tasks.list_visible()


async def test_others_with_the_same_id_stand_in_nobodys_way() -> None:
    own, other = task("a", externalID="x"), task("b", externalID="x", namespace="theirs")
    tasks, index, _ = both(own, other)
    assert (await tasks.get("x")).uid == "uid-a"
    index.changed(KIND, "ADDED", task("c", externalID="x"))
    with pytest.raises(ConflictError, match=r"ns/a \(uid-a\)") as caught:
        await tasks.stop("x")
    assert "uid-b" not in caught.value.message


async def test_lists_have_what_the_caller_may_see_newest_first() -> None:
    raws = [task(name, namespace=namespace) for name, namespace in (("a", "ns"), ("b", "ns"), ("c", "theirs"))]
    for second, raw in enumerate(raws):
        raw["metadata"]["creationTimestamp"] = f"2026-01-01T00:00:0{second}Z"
    tasks, _, access = both(*raws)
    access.readable = {"ns"}
    found = await tasks.list_visible(limit=1)
    assert ([each.name for each in found.items], found.total) == (["b"], 2)
    assert [each.name for each in (await tasks.list_visible(offset=1)).items] == ["a"]
    with pytest.raises(ForbiddenError):
        await tasks.list_visible(namespace="theirs")


async def test_a_stop_is_not_paused_and_not_taken_back() -> None:
    tasks, _, access = both(task("a", phase="Stopping", stopRequested=True))
    for act in (tasks.pause, tasks.resume):
        outcome = await act("uid-a")
        assert not outcome.asked
    assert [query.get("dryRun") for _, _, query, _ in access.sent] == ["All", "All"]


@pytest.mark.parametrize("namespace", ["..", "../../../api/v1/secrets", "a/b", "A", "a.b", "-a", "a\n", "x" * 64])
async def test_what_can_be_no_namespace_comes_into_no_path(namespace: str) -> None:
    tasks, _, access = both(task("a"))
    with pytest.raises(InvalidError):
        await tasks.list_visible(namespace=namespace)
    assert not access.sent
