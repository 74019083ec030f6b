"""What a component does for one PodControl, whom it refuses, and what it writes."""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, cast

import pytest

from agentstop.client.client import Api
from agentstop.client.errors import ApiError, UnreachableError
from agentstop.node.metrics import REFUSALS, Metrics
from agentstop.node.records import read_control
from agentstop.node.worker import MOST_RETRY_SECONDS, Means, Worker
from tests.support.cgroups import Folder, fake_root, pod_path

Raw = dict[str, Any]

UID = "0b51c2c5-4f80-4a2b-9d4d-3b1d8a1f6a01"
OTHER = "1b51c2c5-4f80-4a2b-9d4d-3b1d8a1f6a01"
SHORT = "C1HCxU-ASiudTTsdih9qAQ"
NODE = "n"
NOW = datetime(2026, 1, 1, 12, 0, 0, tzinfo=UTC)


def control(spec: Raw | None = None, status: Raw | None = None, **metadata: Any) -> Raw:
    named = {"namespace": "ns", "name": UID, "uid": "control", "generation": 1}
    asked = {"nodeName": NODE, "podUID": UID, "taskName": "x", "state": "Killed"}
    return {"metadata": named | metadata, "spec": asked | (spec or {}), "status": status or {}}


def task(**workload: Any) -> Raw:
    return {"status": {"workload": {"pods": [{"name": "x", "uid": UID}]} | workload}}


class Server:
    """The part of an API server that a worker asks."""

    def __init__(self, found: Raw | Exception) -> None:
        self.found = found
        self.reads = 0
        self.failures: list[Exception] = []
        self.written: list[Raw] = []

    def get(self, path: str) -> Raw:
        assert path == "/apis/agentstop.dev/v1alpha1/namespaces/ns/agenttasks/x"
        self.reads += 1
        if isinstance(self.found, Exception):
            raise self.found
        return self.found

    def merge(self, path: str, body: Raw, *, manager: str) -> Raw:
        assert path.startswith("/apis/agentstop.dev/v1alpha1/namespaces/ns/podcontrols/")
        assert path.endswith("/status")
        assert (body["metadata"], manager) == ({"uid": "control"}, "agentstop-node")
        if self.failures:
            raise self.failures.pop(0)
        self.written.append(body["status"])
        return {}


class EndError(BaseException):
    """Ends a worker that has paused often enough."""


class Bench:
    """A worker with a clock of its own, which goes on by its pauses."""

    def __init__(self, root: Path, server: Server, *, alone: bool = True) -> None:
        self.server = server
        self._alone = alone
        self.metrics = Metrics()
        self.passed = 0.0
        self.pauses: list[float] = []
        self._root = root

    async def run(self, raw: Raw, pauses: int, meanwhile: Any = None) -> None:
        async def pause(seconds: float) -> None:
            await asyncio.sleep(0)
            self.pauses.append(seconds)
            self.passed += seconds
            if meanwhile is not None:
                meanwhile(len(self.pauses))
            if len(self.pauses) >= pauses:
                raise EndError

        with ThreadPoolExecutor(1) as threads:
            means = Means(
                api=cast("Api", self.server),
                threads=threads,
                node=NODE,
                root=self._root,
                alone=self._alone,
                boot_id="boot",
                metrics=self.metrics,
                clock=lambda: NOW + timedelta(seconds=self.passed),
                pause=pause,
            )
            with pytest.raises(EndError):
                await Worker(means, read_control(raw)).run()

    @property
    def last(self) -> Raw:
        return self.server.written[-1]

    @property
    def ready(self) -> tuple[str, str]:
        (condition,) = self.last["conditions"]
        return condition["status"], condition["reason"]


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
    first, last = bench.server.written
    assert (first["state"], first["processes"], first.get("empty")) == ("Running", 2, None)
    assert (last["state"], last["processes"], last["empty"]) == ("Killed", 0, True)
    assert (last["bootID"], last["observedGeneration"]) == ("boot", 1)
    assert datetime.fromisoformat(last["since"]) == NOW + timedelta(seconds=sum(bench.pauses[:2]))
    assert bench.ready == ("True", "Empty")
    assert bench.server.reads == 1


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
    assert bench.metrics.registry.get_sample_value("agentstop_node_refused_total", {"reason": reason}) == 1


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

    await bench.run(control(), 30)
    assert max(bench.pauses) == MOST_RETRY_SECONDS
    assert bench.server.reads <= 30
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

    await bench.run(control(), 6, kernel)
    assert bench.last["empty"] is True
    assert len(server.written) == 1


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
    Folder(pod_path(root, UID))

    await bench.run(control(), 3)
    assert len(server.written) == 1
