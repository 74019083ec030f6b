"""Where nothing can be decided, and where nothing can be written down: the stop is carried out all the same."""

from typing import Any

import pytest

from agentstop.api.meta import API_VERSION
from agentstop.api.task import KIND
from agentstop.cluster.errors import ApiError
from agentstop.workloads.objects import ObjectRef
from tests.unit.lifecycle.world.jobs import JOB
from tests.unit.lifecycle.world.operator import METRICS
from tests.unit.lifecycle.world.server import NAMESPACE, Raw
from tests.unit.lifecycle.world.spenders import USAGE
from tests.unit.lifecycle.world.world import World

CONTAINER: Raw = {"name": "main", "behaviour": {"dies_in": 2, "lives": None, "code": 0}}
POD: Raw = {"restartPolicy": "Never", "terminationGracePeriodSeconds": 30, "containers": [CONTAINER]}
ADOPTS_JOB: Raw = {"workloadRef": {"apiVersion": "batch/v1", "kind": "Job", "name": JOB.name}}
A_JOB: Raw = {"parallelism": 1, "completions": 3, "suspend": False, "template": {"spec": POD}}
FOR_EVER = 10**6


@pytest.fixture
def world() -> World:
    world = World()
    world.start_operator()
    return world


def status(world: World) -> Raw:
    found: Raw = world.server.objects[ObjectRef(KIND, NAMESPACE, "task")]["status"]
    return found


def stalled(world: World) -> str | None:
    conditions = status(world).get("conditions") or ()
    holds = [each["reason"] for each in conditions if (each["type"], each["status"]) == ("Stalled", "True")]
    return holds[0] if holds else None


def goes_well(world: World, seconds: int) -> None:
    for _ in range(seconds):
        world.schedule()
        world.pass_time(1, attentive=True)
    world.check()


def started(world: World, spec: Raw) -> None:
    world.create_task("task", spec)
    goes_well(world, 3)
    assert status(world)["phase"] == "Running"


def running(world: World) -> bool:
    return any(each.running for each in world.node.sandboxes.values())


@pytest.mark.parametrize("adopts", [False, True], ids=["pod", "job"])
def test_a_task_that_cannot_be_decided_on_is_stopped_all_the_same(world: World, adopts: bool) -> None:
    if adopts:
        world.create_job(A_JOB)
    started(world, ADOPTS_JOB if adopts else {"podTemplate": {"spec": POD}})
    assert world.operator is not None
    world.operator.mistaken(FOR_EVER)
    world.patch_spec("task", stopRequested=True)
    goes_well(world, 10)
    assert not running(world)
    assert (status(world)["phase"], stalled(world)) == ("Stopping", "DecisionFailed")
    assert (status(world)["stop"]["source"], status(world)["manuallyStopped"]) == ("User", True)
    message = next(each["message"] for each in status(world)["conditions"] if each["type"] == "Stalled")
    assert "MistakeError: nobody thought of this" in message
    assert "DecisionFailed" in [reason for _, reason in world.operator.events.notes]
    told = [reason for _, reason in world.operator.events.notes].count("LogsGone")
    assert (told, "logsGone" in status(world)["workload"]) == ((0, False) if adopts else (1, True))
    world.operator.mistaken(0)
    goes_well(world, 40)
    assert status(world)["phase"] == "Stopped"


FREEZES: Raw = {"pausePolicy": "Freeze", "paused": True}


def frozen(world: World, spec: Raw) -> None:
    """Start a task that is frozen from now on, before it can be decided on no more."""
    world.component.installed = world.gateway.has_component = True
    world.crash_operator()
    world.start_operator()
    started(world, spec)
    world.patch_spec("task", **FREEZES)
    goes_well(world, 3)
    assert (status(world)["phase"], status(world)["reason"]) == ("Paused", "Frozen")
    assert world.operator is not None
    world.operator.mistaken(FOR_EVER)


@pytest.mark.parametrize("adopts", [False, True], ids=["pod", "job"])
def test_what_is_frozen_is_thawed_into_sigterm_by_a_stop_that_cannot_be_decided_on(world: World, adopts: bool) -> None:
    if adopts:
        world.create_job(A_JOB)
    frozen(world, ADOPTS_JOB if adopts else {"podTemplate": {"spec": POD}})
    world.patch_spec("task", stopRequested=True)
    goes_well(world, 10)

    (sandbox,) = [*world.node.sandboxes.values(), *world.node.done.values()]
    (process,) = sandbox.processes
    assert not process.running
    assert (process.killed, process.exit_code) == (False, 0)


def test_nothing_goes_on_before_its_end_was_asked_for(world: World) -> None:
    frozen(world, {"podTemplate": {"spec": POD}})
    world.gateway.forbidden.add("delete Pod")
    world.patch_spec("task", stopRequested=True)
    goes_well(world, 10)
    (sandbox,) = world.node.sandboxes.values()
    assert sandbox.running
    assert sandbox.frozen

    world.gateway.forbidden.clear()
    goes_well(world, 10)
    assert not running(world)
    assert not sandbox.processes[0].killed


def test_so_it_goes_with_a_task_that_is_gone_meanwhile(world: World) -> None:
    frozen(world, {"podTemplate": {"spec": POD}})
    world.patch_spec("task", stopRequested=True)
    assert world.operator is not None
    world.operator.watch(KIND)
    world.delete_task("task", orphan=True)
    goes_well(world, 10)
    (sandbox,) = [*world.node.sandboxes.values(), *world.node.done.values()]
    assert (sandbox.running, sandbox.processes[0].killed) == (False, False)


def test_a_task_that_nobody_stops_is_left_alone_and_says_so(world: World) -> None:
    started(world, {"podTemplate": {"spec": POD}})
    assert world.operator is not None
    world.operator.mistaken(FOR_EVER)
    world.patch_spec("task", ttlSecondsAfterFinished=40)
    goes_well(world, 10)
    assert running(world)
    assert (status(world)["phase"], stalled(world)) == ("Running", "DecisionFailed")


def spends(world: World, turns: int) -> None:
    owner = {"apiVersion": API_VERSION, "kind": KIND, "name": "task", "uid": world.tasks()[0]["metadata"]["uid"]}
    body = {"apiVersion": API_VERSION, "spec": {"turns": turns}, "metadata": {"ownerReferences": [owner]}}
    world.server.create(USAGE, body)


def told_of_budget(world: World) -> str | None:
    found = [each["reason"] for each in status(world)["conditions"] if each["type"] == "BudgetExceeded"]
    return found[0] if found else None


def test_how_a_task_that_cannot_be_decided_on_stood_to_its_budget_stays_on_record(world: World) -> None:
    started(world, {"podTemplate": {"spec": POD}, "budget": {"maxTurns": 3}})
    spends(world, 1)
    goes_well(world, 3)
    assert world.operator is not None
    world.operator.mistaken(FOR_EVER)
    world.patch_spec("task", stopRequested=True)
    goes_well(world, 10)
    assert (stalled(world), told_of_budget(world)) == ("DecisionFailed", "WithinBudget")
    world.operator.mistaken(0)
    goes_well(world, 40)
    assert (status(world)["phase"], told_of_budget(world)) == ("Stopped", "WithinBudget")


def test_a_stop_by_a_budget_that_is_not_taken_for_a_while_says_so_later(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    started(world, {"podTemplate": {"spec": POD}, "budget": {"maxTurns": 3}})
    with monkeypatch.context() as patched:
        refuse(world, patched, ApiError(422, "Invalid", "no such status"))
        spends(world, 3)
        goes_well(world, 60)
        assert not running(world)
        assert told_of_budget(world) == "NoSignal"
    world.pass_time(600, attentive=True, step=20)
    assert (status(world)["phase"], status(world)["stop"]["source"]) == ("Stopped", "Budget")
    assert told_of_budget(world) == "TurnsExceeded"


def refuse(world: World, monkeypatch: pytest.MonkeyPatch, error: ApiError) -> None:
    async def write_status(_: Any) -> Raw:
        raise error

    monkeypatch.setattr(world.gateway, "write_status", write_status)


def counted(reason: str) -> float:
    found = METRICS.registry.get_sample_value("agentstop_status_unwritable_total", {"reason": reason})
    return found or 0.0


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (ApiError(422, "Invalid", "no such status"), "StatusNotWritable"),
        (ApiError(403, "Forbidden", "no status here"), "StatusNotWritable"),
        (ApiError(500, "Unknown", "etcdserver: request is too large"), "TaskTooLarge"),
    ],
)
def test_a_status_that_is_not_taken(
    world: World, monkeypatch: pytest.MonkeyPatch, error: ApiError, reason: str
) -> None:
    started(world, {"podTemplate": {"spec": POD}})
    assert world.operator is not None
    before = counted(reason)
    with monkeypatch.context() as patched:
        refuse(world, patched, error)

        async def lighten_task(*_: Any) -> Raw:
            raise ApiError(413, "TooLarge", "nothing can be taken off")

        patched.setattr(world.gateway, "lighten_task", lighten_task, raising=False)
        world.patch_spec("task", stopRequested=True)
        goes_well(world, 60)
        assert not running(world)
        assert status(world)["phase"] == "Running"
        known = next(task for _, task in world.operator.cache.tasks.items())
        assert (known.status.phase, known.unwritable and known.unwritable.reason) == ("Stopped", reason)
        assert [why for _, why in world.operator.events.notes].count(reason) == 1
        assert counted(reason) == before + 1
        assert not world.operator.cache.tasks.unwritten
    world.pass_time(600, attentive=True, step=20)
    assert status(world)["phase"] == "Stopped"
    assert status(world)["stop"]["verdict"] == "Graceful"
    assert next(task for _, task in world.operator.cache.tasks.items()).unwritable is None
