"""Pods that have lost the labels by which they are found: what becomes of them comes out all the same."""

from collections.abc import Callable

import pytest

from agentstop.api.task import AgentTaskStatus, Phase

from .world.job_actors import REF
from .world.memory import read
from .world.server import Raw
from .world.world import World

SOON = 40
"""Seconds within which it has to come out."""


def job(spec: Raw | None = None, *, bound: bool = True) -> World:
    """A Job of one pod, and the task that adopts it; the pod runs, or is not even bound."""
    world = World()
    world.component.installed = world.gateway.has_component = True
    container = {"name": "main", "behaviour": {"dies_in": 3, "lives": None, "code": 0}}
    pod = {"restartPolicy": "Never", "terminationGracePeriodSeconds": 5, "containers": [container]}
    world.create_job(
        {"parallelism": 1, "completions": 1, "backoffLimit": 0, "suspend": False, "template": {"spec": pod}}
    )
    return operated(world, {"workloadRef": REF, **(spec or {})}, bound=bound)


def own_pod(*, bound: bool) -> World:
    """A task with a pod of its own, which runs or is not even bound."""
    world = World()
    container = {"name": "main", "behaviour": {"dies_in": 3, "lives": None, "code": 0}}
    template = {"spec": {"terminationGracePeriodSeconds": 5, "containers": [container]}}
    return operated(world, {"podTemplate": template}, bound=bound)


def operated(world: World, spec: Raw, *, bound: bool) -> World:
    """Have a task made and an operator at work, and the pod bound where that is wanted."""
    world.create_task("task", spec)
    world.start_operator()
    world.pass_time(1, attentive=True)
    if bound:
        world.schedule()
    world.pass_time(3, attentive=True)
    return world


def status_of(world: World) -> AgentTaskStatus:
    return read(world.tasks()[0]["status"])


def hide(world: World) -> str:
    """Take the labels off the one pod that is there, and return its name."""
    (pod,) = world.server.pods()
    name: str = pod["metadata"]["name"]
    world.change_pod(name, labels={})
    world.pass_time(2, attentive=True)
    return name


def complete(world: World, _name: str) -> None:
    (sandbox,) = world.node.sandboxes.values()
    sandbox.processes[0].exit(world.clock.now, 0)


def run_out_of_memory(world: World, _name: str) -> None:
    (sandbox,) = world.node.sandboxes.values()
    sandbox.processes[0].exit(world.clock.now, 137, "OOMKilled")


def delete(world: World, name: str) -> None:
    world.delete_pod(name, None)


def remove(world: World, name: str) -> None:
    world.delete_pod(name, 0)


@pytest.mark.parametrize(
    ("end", "phase"), [(complete, Phase.COMPLETED), (delete, Phase.FAILED), (remove, Phase.FAILED)]
)
def test_the_end_of_a_job_comes_out(end: Callable[[World, str], None], phase: Phase) -> None:
    world = job()
    end(world, hide(world))
    world.pass_time(SOON, attentive=True)

    assert status_of(world).phase is phase


@pytest.mark.parametrize("end", [run_out_of_memory, delete, remove])
def test_so_it_does_while_it_is_frozen_and_no_node_is_asked_again_and_again(end: Callable[[World, str], None]) -> None:
    world = job({"pausePolicy": "Freeze", "paused": True})
    assert (status_of(world).phase, status_of(world).reason) == (Phase.PAUSED, "Frozen")
    name = hide(world)
    writes = world.gateway.writes
    end(world, name)
    world.pass_time(SOON, attentive=True)

    assert status_of(world).phase is Phase.FAILED
    assert world.gateway.writes - writes < 6


def test_its_start_comes_out() -> None:
    world = job(bound=False)
    assert status_of(world).phase is Phase.PENDING
    hide(world)
    world.schedule()
    world.pass_time(SOON, attentive=True)

    assert status_of(world).phase is Phase.RUNNING


@pytest.mark.parametrize("bound", [False, True])
def test_a_pod_of_its_own_is_watched_by_its_name(bound: bool) -> None:
    world = own_pod(bound=bound)
    name = hide(world)
    world.schedule()
    world.pass_time(2, attentive=True)
    assert status_of(world).phase is Phase.RUNNING
    complete(world, name)
    world.pass_time(2, attentive=True)

    assert status_of(world).phase is Phase.COMPLETED


@pytest.mark.parametrize("bound", [False, True])
def test_a_pod_of_its_own_is_stopped(bound: bool) -> None:
    world = own_pod(bound=bound)
    hide(world)
    world.patch_spec("task", stopRequested=True)
    world.pass_time(8, attentive=True)

    assert status_of(world).phase is Phase.STOPPED
