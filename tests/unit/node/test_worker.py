"""What a component does for one PodControl, whom it refuses, and what it writes."""

from datetime import datetime, timedelta
from pathlib import Path

import pytest

from agentstop.client.errors import ApiError, UnreachableError
from agentstop.node.metrics import REFUSALS
from agentstop.node.worker import MOST_RETRY_SECONDS, RETRY_SECONDS
from tests.support.cgroups import Folder, fake_root, pod_path

from .bench import NOW, OTHER, SHORT, UID, Bench, Raw, Server, control, task


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return fake_root(tmp_path)


async def test_the_kernels_word_is_written_once(root: Path) -> None:
    pod = Folder(pod_path(root, UID), processes=2)
    bench = Bench(root, Server(task()))

    def kernel(pauses: int) -> None:
        if pauses == 2:
            pod.empty()

    await bench.run(control(), 8, kernel)
    (last,) = bench.server.written
    assert (last["state"], last["processes"], last["empty"]) == ("Killed", 0, True)
    assert (last["bootID"], last["observedGeneration"]) == ("boot", 1)
    assert datetime.fromisoformat(last["since"]) == NOW + timedelta(seconds=sum(bench.pauses[:2]))
    assert bench.ready == ("True", "Empty")
    assert bench.server.reads == 1
    assert bench.counted("kill_seconds_count") == 1


async def test_a_kernel_that_takes_its_time_is_told_of(root: Path) -> None:
    pod = Folder(pod_path(root, UID), processes=2)
    bench = Bench(root, Server(task()))

    def kernel(pauses: int) -> None:
        if pauses == 20:
            assert bench.ready == ("False", "Killing")
            pod.empty()

    await bench.run(control(), 22, kernel)
    first, last = bench.server.written
    assert (first["state"], first["processes"], first["empty"]) == ("Running", 2, None)
    assert (last["state"], last["processes"], last["empty"]) == ("Killed", 0, True)


@pytest.mark.parametrize(
    ("found", "reason"),
    [
        (task(pods=[{"name": "x", "uid": OTHER}]), "NotTheTasks"),
        ({}, "NotTheTasks"),
        ({"status": {"workload": {"pods": "x", "otherPods": [1, {"uids": None}]}}}, "NotTheTasks"),
        (ApiError(404, {"reason": "NotFound", "message": "not found"}), "TaskNotFound"),
        (ApiError(403, {"reason": "Forbidden", "message": "no"}), "TaskUnknown"),
        (UnreachableError("it does not answer"), "TaskUnknown"),
    ],
)
async def test_a_pod_that_is_not_known_to_be_the_tasks_is_left_alone(
    root: Path, found: Raw | Exception, reason: str
) -> None:
    pod = Folder(pod_path(root, UID))
    bench = Bench(root, Server(found))

    await bench.run(control(), 3)
    assert bench.ready == ("False", reason)
    assert pod.said() == {}
    assert not bench.last.get("empty")
    assert reason in REFUSALS
    assert bench.counted("refused_total", {"reason": reason}) == 1


async def test_a_pod_that_the_task_has_no_room_to_show_is_its_own_too(root: Path) -> None:
    pod = Folder(pod_path(root, UID))
    bench = Bench(root, Server(task(pods=[], otherPods=[{"node": "n", "uids": ["AAAA", SHORT]}])))

    await bench.run(control(), 1)
    assert pod.said()["cgroup.kill"] == "1"


@pytest.mark.parametrize(
    ("spec", "name", "reason"),
    [
        ({"nodeName": "another"}, UID, "OtherNode"),
        ({"podUID": OTHER}, UID, "NoPodUID"),
        ({"podUID": "../.."}, "../..", "NoPodUID"),
        ({"podUID": None}, "None", "NoPodUID"),
        ({"state": "Paused"}, UID, "UnknownState"),
    ],
)
async def test_what_no_operator_asks_for_is_refused(root: Path, spec: Raw, name: str, reason: str) -> None:
    pods = [Folder(pod_path(root, uid)) for uid in (UID, OTHER)]
    server = Server(task())
    bench = Bench(root, server)
    raw = control(spec, name=name)
    await bench.run(raw, 2)
    assert bench.ready == ("False", reason)
    assert [pod.said() for pod in pods] == [{}, {}]
    assert server.reads == 0


async def test_thousands_that_are_refused_take_few_requests(root: Path) -> None:
    bench = Bench(root, Server(task(pods=[])))

    await bench.run(control(), 60)
    assert max(bench.pauses) == MOST_RETRY_SECONDS - RETRY_SECONDS
    assert bench.server.reads < 33
    assert bench.passed > 700
    assert len(bench.server.written) == 1


async def test_a_word_that_does_not_get_through_is_said_again_and_the_killing_goes_on(root: Path) -> None:
    pod = Folder(pod_path(root, UID))
    server = Server(task())
    server.failures = [UnreachableError("away"), ApiError(500, {"message": "no"}), UnreachableError("away")]
    bench = Bench(root, server)

    def kernel(pauses: int) -> None:
        if pauses == 1:
            pod.empty()

    await bench.run(control(), 20, kernel)
    assert bench.last["empty"] is True
    assert len(server.written) == 1
    assert datetime.fromisoformat(bench.last["since"]) == NOW + timedelta(seconds=bench.pauses[0]), "when it was so"


async def test_beside_version_1_it_is_killed_and_nothing_is_proven(root: Path) -> None:
    pod = Folder(pod_path(root, UID))
    bench = Bench(root, Server(task()), alone=False)

    def kernel(pauses: int) -> None:
        if pauses == 1:
            pod.empty()

    await bench.run(control(), 4, kernel)
    assert pod.path.joinpath("cgroup.kill").read_text(encoding="ascii") == "1"
    assert (bench.last["state"], bench.last["processes"], bench.last.get("empty")) == ("Killed", 0, None)
    assert bench.ready == ("False", "HybridLayout")


async def test_what_the_kernel_said_once_stays_said(root: Path) -> None:
    """The next process of the component, once the kubelet has removed the cgroup."""
    said = {"observedGeneration": 1, "state": "Killed", "since": "2026-01-01T11:00:00.000000Z", "processes": 0}
    said |= {"empty": True, "bootID": "boot"}
    bench = Bench(root, Server(task()))

    await bench.run(control(status=said), 3)
    assert bench.last == said | {"conditions": bench.last["conditions"]}
    assert bench.ready == ("True", "Empty")


async def test_no_cgroup_is_no_proof_and_one_that_comes_is_killed(root: Path) -> None:
    bench = Bench(root, Server(task()))
    made: list[Folder] = []

    def kubelet(pauses: int) -> None:
        if pauses == 3:
            assert bench.ready == ("False", "CgroupNotFound")
            assert not bench.last.get("empty")
            made.append(Folder(pod_path(root, UID)))

    await bench.run(control(), 6, kubelet)
    assert made[0].said()["cgroup.kill"] == "1"


async def test_one_that_is_stumbled_over_does_not_end_its_worker(root: Path) -> None:
    server = Server(task())
    server.failures = [RuntimeError("a mistake")]
    bench = Bench(root, server)
    Folder(pod_path(root, UID)).empty()

    await bench.run(control(), 3)
    assert len(server.written) == 1
