"""Drills: what a report says, and that nothing else is sent than questions."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from agentstop.api.order import MAX_GROUPS, MAX_LISTED
from agentstop.cluster.family_index import TaskKey
from agentstop.workloads.objects import ObjectRef
from tests.unit.objects import Raw, owner, raw_pod, when

from .orders import Bench, running


@pytest.fixture
async def bench() -> AsyncIterator[Bench]:
    async with running() as bench:
        yield bench


def runs(bench: Bench, name: str, spec: Raw | None = None, *, grace: int = 30, node: str = "n", **more: Any) -> TaskKey:
    """A task whose pod runs on a node that answers, unless something else is said of it."""
    namespace = more.get("namespace", "ns")
    workload = {"apiVersion": "v1", "kind": "Pod", "name": name, "uid": f"pod-{name}"}
    pod = {
        "name": name,
        "namespace": namespace,
        "uid": f"pod-{name}",
        "ownerReferences": [owner(f"uid-{name}", name=name)],
    }
    raw = raw_pod(metadata=pod, spec={"nodeName": node, "terminationGracePeriodSeconds": grace}, uid=f"pod-{name}")
    bench.cache.objects.see(ObjectRef("Pod", namespace, name), raw, bench.now)
    bench.cluster.nodes.setdefault(node, node_object(node, "True"))
    return bench.task(name, spec, {"phase": "Running", "attempts": 1, "workload": workload}, **more)


def node_object(name: str, ready: str, *taints: Raw) -> Raw:
    conditions = [{"type": "Ready", "status": ready, "lastTransitionTime": when(-600)}]
    return {
        "metadata": {"name": name, "uid": name},
        "spec": {"taints": list(taints)},
        "status": {"conditions": conditions},
    }


async def drill(bench: Bench, spec: Raw | None = None) -> Raw:
    bench.order({"drill": True} | (spec or {}))
    return await bench.phase("Drilled")


async def problems(bench: Bench, spec: Raw | None = None) -> list[tuple[str, str]]:
    report = (await drill(bench, spec))["drill"]
    assert report["problemCount"] >= len(report["problems"])
    return [(each["name"], each["reason"]) for each in report["problems"]]


async def test_what_would_be_stopped_is_counted_by_namespace_and_agent(bench: Bench) -> None:
    for number in range(3):
        runs(bench, f"r{number}", {"podTemplate": {}, "agent": "researcher"})
    runs(bench, "c", {"podTemplate": {}, "agent": "crawler"})
    bench.task("waits")
    bench.task("paused", {"podTemplate": {}, "paused": True}, {"phase": "Paused", "pausedAt": when(0)})
    bench.task("over", None, {"phase": "Completed", "finishedAt": when(0)})
    status = await drill(bench)

    assert (status["matched"], status["alreadyFinished"]) == (6, 1)
    assert (status["drill"]["running"], status["drill"]["waiting"]) == (4, 2)
    assert status["drill"]["groupCount"] == 3
    assert status["drill"]["groups"] == [
        {"namespace": "ns", "agent": "researcher", "tasks": 3},
        {"namespace": "ns", "tasks": 2},
        {"namespace": "ns", "agent": "crawler", "tasks": 1},
    ]
    assert status["drill"]["problems"] == []


async def test_a_report_is_bounded_and_its_counts_are_not(bench: Bench) -> None:
    for number in range(MAX_GROUPS + 10):
        runs(bench, f"t{number}", {"podTemplate": {}, "agent": f"a{number}"}, node="dead")
    bench.cluster.nodes["dead"] = node_object("dead", "Unknown")
    report = (await drill(bench))["drill"]

    assert (len(report["groups"]), report["groupCount"]) == (MAX_GROUPS, MAX_GROUPS + 10)
    assert (len(report["problems"]), report["problemCount"]) == (MAX_LISTED, MAX_GROUPS + 10)


@pytest.mark.parametrize(
    ("order", "own", "grace"), [({}, {}, 90), ({}, {"gracePeriodSeconds": 7}, 7), ({"gracePeriodSeconds": 5}, {}, 5)]
)
async def test_the_longest_grace_period_is_that_of_the_pod_unless_another_is_asked_for(
    bench: Bench, order: Raw, own: Raw, grace: int
) -> None:
    """The template of a task that runs is not kept: it has to come from the pod."""
    runs(bench, "one", {"podTemplate": {"spec": {}}, "stop": own}, grace=90)
    bench.task("waits", {"podTemplate": {"spec": {"terminationGracePeriodSeconds": 600}}})

    assert (await drill(bench, order))["drill"]["longestGraceSeconds"] == grace


async def test_a_drill_claims_no_workload(bench: Bench) -> None:
    """Who was looked at first does not have it for that: an older task may come to be known later."""
    spec: Raw = {"workloadRef": {"apiVersion": "v1", "kind": "Pod", "name": "x"}}
    bench.task("younger", spec, creationTimestamp=when(5))
    await drill(bench)
    elder = bench.task("elder", spec, creationTimestamp=when(1))
    task = bench.cache.tasks.get(elder)

    assert task is not None
    assert bench.cache.claims.rival_of(elder, task) is None


@pytest.mark.parametrize("ready", ["False", "Unknown"])
async def test_a_node_that_does_not_answer_is_a_problem(bench: Bench, ready: str) -> None:
    runs(bench, "fine")
    runs(bench, "lost", node="dead")
    bench.cluster.nodes["dead"] = node_object("dead", ready)

    assert await problems(bench) == [("lost", "NodeUnreachable")]


async def test_a_node_that_is_gone_is_a_problem(bench: Bench) -> None:
    runs(bench, "lost", node="dead")
    del bench.cluster.nodes["dead"]

    assert await problems(bench) == [("lost", "NodeUnreachable")]


async def test_a_node_out_of_service_is_none(bench: Bench) -> None:
    runs(bench, "one", node="dead")
    taint = {"key": "node.kubernetes.io/out-of-service", "effect": "NoExecute"}
    bench.cluster.nodes["dead"] = node_object("dead", "Unknown", taint)

    assert await problems(bench) == []


async def test_nodes_that_may_not_be_read_are_no_problem_of_the_tasks(bench: Bench) -> None:
    runs(bench, "one")
    bench.cluster.forbidden = {("get", "nodes")}

    assert await problems(bench) == []


async def test_no_right_to_end_pods(bench: Bench) -> None:
    runs(bench, "one")
    bench.cluster.forbidden = {("patch", "pods"), ("delete", "pods")}
    status = await drill(bench)

    assert [each["reason"] for each in status["drill"]["problems"]] == ["StopForbidden"]
    assert "may not patch or delete Pod" in status["drill"]["problems"][0]["message"]
    assert "namespace ns" in status["drill"]["problems"][0]["message"]


@pytest.mark.parametrize(
    ("missing", "order", "problem"),
    [("patch", {}, False), ("delete", {}, False), ("delete", {"gracePeriodSeconds": 1}, True)],
    ids=["it is deleted", "it is stopped in place", "another grace period takes a deletion"],
)
async def test_one_of_the_rights_may_be_enough(bench: Bench, missing: str, order: Raw, problem: bool) -> None:
    runs(bench, "one")
    bench.cluster.forbidden = {(missing, "pods")}

    assert await problems(bench, order) == ([("one", "StopForbidden")] if problem else [])


async def test_rights_are_asked_for_once_in_each_namespace(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    send = bench.cluster.send

    async def counting(request: Any) -> Raw:
        asked.append(f"{request.verb} {request.ref.namespace}")
        return await send(request)

    monkeypatch.setattr(bench.cluster, "send", counting)
    for number in range(5):
        runs(bench, f"t{number}")
    await drill(bench)

    assert sorted(asked) == ["ask ns", "get "]


async def test_no_right_to_suspend_a_job(bench: Bench) -> None:
    uid = "job-uid"
    reference = {"apiVersion": "batch/v1", "kind": "Job", "name": "j"}
    workload = reference | {"uid": uid}
    bench.task("one", {"workloadRef": reference}, {"phase": "Running", "attempts": 1, "workload": workload})
    job = {
        "kind": "Job",
        "metadata": {"name": "j", "namespace": "ns", "uid": uid, "resourceVersion": "5"},
        "spec": {"parallelism": 1, "suspend": False},
        "status": {},
    }
    bench.cache.objects.see(ObjectRef("Job", "ns", "j", "batch/v1"), job, bench.now)
    bench.cluster.forbidden = {("patch", "jobs")}
    status = await drill(bench)

    assert [each["reason"] for each in status["drill"]["problems"]] == ["StopForbidden"]
    assert "patch Job objects of batch/v1" in status["drill"]["problems"][0]["message"]


async def test_a_workload_that_cannot_be_a_tasks_is_a_problem(bench: Bench) -> None:
    bench.task("one", {"workloadRef": {"apiVersion": "v1", "kind": "Pod", "name": "p"}})
    pod = raw_pod(metadata={"name": "p", "ownerReferences": [owner("rs", "ReplicaSet", "rs")]})
    bench.cache.objects.see(ObjectRef("Pod", "ns", "p"), pod, bench.now)

    assert await problems(bench) == [("one", "WorkloadHasController")]


async def test_a_stop_that_is_held_up_already_is_a_problem(bench: Bench) -> None:
    stalled = {"type": "Stalled", "status": "True", "reason": "BlockedByFinalizer", "message": "m"}
    stop = {"source": "User", "acceptedAt": when(0)}
    conditions = [stalled | {"lastTransitionTime": when(0)}]
    bench.task("one", None, {"phase": "Stopping", "stop": stop, "conditions": conditions})

    assert await problems(bench) == [("one", "BlockedByFinalizer")]


async def test_what_cannot_start_can_be_stopped(bench: Bench) -> None:
    stalled = {"type": "Stalled", "status": "True", "reason": "CreateForbidden", "message": "m"}
    bench.task("one", None, {"phase": "Pending", "conditions": [stalled | {"lastTransitionTime": when(0)}]})

    assert await problems(bench) == []
