"""What the histories leave out, since nothing leads to it: pods that were never seen with what they are found by.

What is said then is held here. See `docs/stopping.md`, "What counts as proof".
"""

import pytest

from agentstop.api.task import AgentTaskStatus, Phase, Verdict

from .world.job_actors import REF
from .world.memory import read
from .world.server import Raw
from .world.world import World


def job_without_labels(*, counted: bool) -> World:
    """A Job whose only pod lost its labels before an operator saw it; its controller counts it for a while, or not."""
    world = World()
    container = {"name": "main", "behaviour": {"dies_in": 3, "lives": None, "code": 0}}
    spec = {"restartPolicy": "Never", "terminationGracePeriodSeconds": 5, "containers": [container]}
    world.create_job(
        {"parallelism": 1, "completions": 1, "backoffLimit": 0, "suspend": False, "template": {"spec": spec}}
    )
    world.pass_time(1)
    world.schedule()
    world.pass_time(2)
    (pod,) = world.server.pods()
    changes: Raw = {"labels": {}} if counted else {"labels": {}, "ownerReferences": [], "finalizers": []}
    world.change_pod(pod["metadata"]["name"], **changes)
    world.create_task("task", {"workloadRef": REF}, "jane")
    world.pass_time(2)
    world.start_operator()
    world.pass_time(3, attentive=True)
    return world


def status_of(world: World) -> AgentTaskStatus:
    return read(world.tasks()[0]["status"])


@pytest.mark.parametrize("change", [{"stopRequested": True}, {"paused": True}])
def test_nothing_is_proven_while_the_controller_counts_a_pod_that_nobody_sees(change: dict[str, bool]) -> None:
    world = job_without_labels(counted=True)
    world.patch_spec("task", **change)
    while any(map(world.memory.runs, world.node.sandboxes)):
        world.pass_time(1, attentive=True)  # which holds the rules: Stopped and Paused are no lies
    world.pass_time(20, attentive=True)

    after = status_of(world)
    assert after.phase in {Phase.STOPPED, Phase.PAUSED}
    assert after.stop is None or after.stop.verdict is Verdict.GONE, "it may have run"


def test_of_a_pod_that_its_own_controller_let_go_of_nothing_is_known(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Kubernetes' own controller takes the owner reference off such a pod, and makes another one."""
    world = job_without_labels(counted=False)
    monkeypatch.setattr(world, "check", lambda: None)
    world.jobs.stop()
    world.patch_spec("task", stopRequested=True)
    world.jobs.start()
    world.pass_time(20, attentive=True)

    (left,) = [pod for pod in world.server.pods() if not pod["metadata"].get("ownerReferences")]
    after = status_of(world)
    assert world.memory.runs(left["metadata"]["uid"])
    assert after.phase is Phase.STOPPED
    assert after.workload is not None
    assert left["metadata"]["uid"] not in {each.uid for each in after.workload.pods}
