"""The second look: what a blind watch missed is found."""

from typing import Any, cast

import pytest

from agentstop.api.task import KIND
from agentstop.cluster.cache import Cache
from agentstop.cluster.errors import ApiError
from agentstop.cluster.family_index import TaskKey
from agentstop.cluster.gateway import Gateway
from agentstop.cluster.queue import WorkQueue
from agentstop.controller.event_handler import EventHandler
from agentstop.controller.metrics import Metrics
from agentstop.controller.resync import Resync
from agentstop.workloads.requests import Delete, Get
from tests.unit.objects import ADOPTS, NOW, POD_REF, Raw, raw_pod, raw_task

KEY = TaskKey("ns", "x")
WORKLOAD = {"apiVersion": "v1", "kind": "Pod", "name": "x", "uid": "pod-uid"}
RUNNING: Raw = {"phase": "Running", "workload": WORKLOAD}
ADOPTS_A_JOB: Raw = {"workloadRef": {"apiVersion": "batch/v1", "kind": "Job", "name": "x"}}
REMAINS = [{"kind": "Pod", "name": "x", "endedBy": "deletion of the pod"}]
STOPPED: Raw = {
    "phase": "Stopped",
    "workload": WORKLOAD,
    "stop": {"source": "User", "acceptedAt": "2026-01-01T00:00:00.000000Z", "remains": REMAINS},
}


class Cluster:
    """What exists; stands for the gateway."""

    def __init__(self) -> None:
        self.tasks: dict[str, Raw] = {}
        self.pods: dict[str, Raw] = {}
        self.reads: list[str] = []
        self.deleted: list[Delete] = []
        self.refusal: ApiError | None = None
        """What a deletion is answered with."""

    async def list_metadata(self, kind: str, namespace: str, selector: str = "") -> list[Raw]:
        objects = self.tasks if kind == KIND else self.pods
        return [raw["metadata"] for raw in objects.values() if namespace in {"", raw["metadata"]["namespace"]}]

    async def send(self, request: Get | Delete) -> Raw:
        if isinstance(request, Delete):
            self.deleted.append(request)
            if self.refusal is not None:
                raise self.refusal
            return {}
        self.reads.append(f"pod {request.ref.name}")
        if request.ref.name not in self.pods:
            raise ApiError(404, "NotFound", "no such pod")
        return self.pods[request.ref.name]

    async def get_task(self, namespace: str, name: str) -> Raw:
        self.reads.append(name)
        if name not in self.tasks:
            raise ApiError(404, "NotFound", "no such task")
        return self.tasks[name]


class Bench:
    """An operator's caches beside a cluster."""

    def __init__(self, *namespaces: str) -> None:
        self.cluster = Cluster()
        self.cache = Cache()
        self.queue: WorkQueue[TaskKey] = WorkQueue()
        metrics = Metrics(self.cache.tasks.phases, lambda: 0, lambda: ())
        self.event_handler = EventHandler(self.cache, self.queue, metrics, lambda: NOW)
        self.looked = 0
        self.resync = Resync(
            self.cache, cast("Gateway", self.cluster), self.event_handler, namespaces, self._afterwards
        )

    def _afterwards(self) -> None:
        self.looked += 1

    def knows(self, task: Raw | None = None, pod: Raw | None = None) -> None:
        if task is not None:
            self.cache.tasks.put(task, NOW)
        if pod is not None:
            self.cache.objects.see(POD_REF, pod, NOW)

    def has(self, task: Raw | None = None, pod: Raw | None = None) -> None:
        if task is not None:
            self.cluster.tasks[task["metadata"]["name"]] = task
        if pod is not None:
            self.cluster.pods[pod["metadata"]["name"]] = pod

    def stale(self) -> bool:
        return self.cache.lister.entries[POD_REF].stale


@pytest.fixture
def bench() -> Bench:
    return Bench()


async def test_what_is_in_step_is_read_no_more_but_decided_on_anew(bench: Bench) -> None:
    bench.has(raw_task(None, RUNNING), raw_pod())
    bench.knows(raw_task(None, RUNNING), raw_pod())
    await bench.resync.run_once()

    assert bench.cluster.reads == []
    assert len(bench.queue) == 1
    assert not bench.stale()


async def test_what_has_ended_is_left_in_peace(bench: Bench) -> None:
    bench.has(raw_task(None, {"phase": "Stopped", "workload": WORKLOAD}))
    bench.knows(raw_task(None, {"phase": "Stopped", "workload": WORKLOAD}))
    await bench.resync.run_once()

    assert len(bench.queue) == 0


@pytest.mark.parametrize("known", [None, 1])
async def test_a_task_that_came_or_changed_is_found(bench: Bench, known: int | None) -> None:
    bench.has(raw_task({"podTemplate": {}, "stopRequested": True}, version=2))
    bench.knows(raw_task(version=known) if known is not None else None)
    await bench.resync.run_once()

    task = bench.cache.tasks.get(KEY)
    assert task is not None
    assert task.spec.stop_requested
    assert bench.queue.has_urgent


async def test_a_task_that_went_is_forgotten(bench: Bench) -> None:
    bench.knows(raw_task())
    await bench.resync.run_once()

    assert bench.cache.tasks.get(KEY) is None


async def test_a_pod_that_went_is_doubted(bench: Bench) -> None:
    bench.has(raw_task(None, RUNNING))
    bench.knows(raw_task(None, RUNNING), raw_pod())
    await bench.resync.run_once()

    assert bench.stale()
    assert len(bench.queue) == 1


async def test_an_adopted_pod_needs_no_label(bench: Bench) -> None:
    bench.has(raw_task(ADOPTS, RUNNING))
    bench.knows(raw_task(ADOPTS, RUNNING), raw_pod())
    await bench.resync.run_once()

    assert not bench.stale()


@pytest.mark.parametrize(
    ("spec", "labelled", "stale"),
    [
        (None, True, False),
        # Whoever takes the label off has no watch tell of the pod's end.
        (None, False, True),
        (ADOPTS, True, False),
        (ADOPTS, False, True),
        (ADOPTS_A_JOB, False, False),
    ],
    ids=["own", "own, without label", "adopted", "adopted, without label", "of a Job"],
)
async def test_a_pod_that_a_stop_left_is_read_where_no_watch_tells_of_it(
    bench: Bench, spec: Raw | None, labelled: bool, stale: bool
) -> None:
    task = raw_task(spec, STOPPED)
    bench.has(task, *([raw_pod()] if labelled else []))
    bench.knows(task, raw_pod())
    await bench.resync.run_once()

    assert bench.stale() is stale
    assert len(bench.queue) == stale


async def test_a_pod_of_no_task_that_no_watch_told_of_is_read(bench: Bench) -> None:
    bench.has(pod=raw_pod())
    await bench.resync.run_once()
    assert bench.cluster.reads == ["pod x"]
    assert bench.cache.objects.knows(POD_REF)
    assert bench.looked == 1

    await bench.resync.run_once()
    assert bench.cluster.reads == ["pod x"], "once"
    assert bench.looked == 2


async def test_an_outage_is_passed_on_and_nothing_is_forgotten(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    async def away(*_: Any) -> list[Raw]:
        raise ApiError(0, "Unreachable", "away")

    bench.knows(raw_task())
    monkeypatch.setattr(bench.cluster, "list_metadata", away)
    with pytest.raises(ApiError):
        await bench.resync.run_once()

    assert bench.cache.tasks.get(KEY) is not None


def control(state: str, task: str = "x") -> Raw:
    metadata = {"namespace": "ns", "name": "pod-uid", "uid": "control", "resourceVersion": "1"}
    return {"metadata": metadata, "spec": {"taskName": task, "nodeName": "n", "state": state}}


@pytest.mark.parametrize(
    ("state", "there", "deleted"), [("Frozen", False, True), ("Frozen", True, False), ("Killed", False, False)]
)
async def test_what_was_frozen_for_a_task_that_is_gone_goes_on(
    bench: Bench, state: str, there: bool, deleted: bool
) -> None:
    bench.has(raw_task(status=RUNNING) if there else None)
    bench.cache.controls.put(control(state), NOW)
    await bench.resync.run_once()
    assert [(each.ref.kind, each.ref.name, each.uid) for each in bench.cluster.deleted] == (
        [("PodControl", "pod-uid", "control")] if deleted else []
    )


@pytest.mark.parametrize(("code", "reason", "told"), [(404, "NotFound", False), (403, "Forbidden", True)])
async def test_what_cannot_be_let_go_on_is_told_and_holds_nothing_else_up(
    bench: Bench, caplog: pytest.LogCaptureFixture, code: int, reason: str, told: bool
) -> None:
    bench.cache.controls.put(control("Frozen"), NOW)
    bench.cluster.refusal = ApiError(code, reason, "no")
    await bench.resync.run_once()
    assert bench.looked == 1
    assert ("stays frozen" in caplog.text) is told
