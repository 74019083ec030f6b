"""What the API server itself refuses, so that no user and no agent gets past it."""

import copy
from typing import Any

import pytest

from tests.support import agents
from tests.support.kube import APPLY, JSON_PATCH, MERGE, TASKS, KubeError, Object
from tests.support.namespaces import Namespace, pod_ref

pytestmark = pytest.mark.usefixtures("launch")
"""No operator runs here: what is refused is refused by the API server alone."""

API_VERSION = "agentstop.dev/v1alpha1"

FINAL = "cannot be taken back"


async def refused(ns: Namespace, method: str, body: Any, content_type: str, **query: str) -> KubeError:
    with pytest.raises(KubeError) as caught:
        await ns.kube.call(method, TASKS.path(ns.name, "a"), body, content_type=content_type, query=query)
    return caught.value


@pytest.mark.parametrize(
    "body",
    [{"spec": {"stopRequested": False}}, {"spec": {"stopRequested": None}}],
    ids=["false", "null"],
)
async def test_a_stop_cannot_be_taken_back_by_a_merge(ns: Namespace, body: Object) -> None:
    await ns.create_task("a", agents.template(), stopRequested=True)
    error = await refused(ns, "PATCH", body, MERGE)
    assert (error.code, error.reason) == (422, "Invalid")
    assert FINAL in error.message
    assert "new task" in error.message


@pytest.mark.parametrize("what", ["/spec/stopRequested", "/spec"])
async def test_a_stop_cannot_be_removed(ns: Namespace, what: str) -> None:
    await ns.create_task("a", agents.template(), stopRequested=True)
    error = await refused(ns, "PATCH", [{"op": "remove", "path": what}], JSON_PATCH)
    assert (error.code, error.reason) == (422, "Invalid")
    assert "spec" in error.message


async def test_a_stop_cannot_be_lost_by_a_merge_of_null(ns: Namespace) -> None:
    await ns.create_task("a", agents.template(), stopRequested=True)
    error = await refused(ns, "PATCH", {"spec": None}, MERGE)
    assert (error.code, error.reason) == (422, "Invalid")


@pytest.mark.parametrize("kept", [True, False], ids=["spec without it", "no spec"])
async def test_a_stop_cannot_be_replaced_away(ns: Namespace, kept: bool) -> None:
    task = await ns.create_task("a", agents.template(), stopRequested=True)
    body = copy.deepcopy(task)
    if kept:
        del body["spec"]["stopRequested"]
    else:
        del body["spec"]
    error = await refused(ns, "PUT", body, "application/json")
    assert (error.code, error.reason) == (422, "Invalid")


async def test_a_stop_cannot_be_applied_away(ns: Namespace) -> None:
    await ns.create_task("a", agents.template(), stopRequested=True)
    body = {
        "apiVersion": API_VERSION,
        "kind": "AgentTask",
        "metadata": {"name": "a"},
        "spec": {"stopRequested": False},
    }
    error = await refused(ns, "PATCH", body, APPLY, fieldManager="flux", force="true")
    assert error.code == 422
    assert FINAL in error.message


async def test_an_apply_without_the_switch_leaves_the_stop_alone(ns: Namespace) -> None:
    spec = {"agent": "researcher", "podTemplate": agents.template()}
    body = {"apiVersion": API_VERSION, "kind": "AgentTask", "metadata": {"name": "a"}, "spec": spec}
    path = TASKS.path(ns.name, "a")
    await ns.kube.call("PATCH", path, body, content_type=APPLY, query={"fieldManager": "flux"})
    change = {"spec": {"stopRequested": True}}
    await ns.kube.call("PATCH", path, change, content_type=MERGE, query={"fieldManager": "agentstop"})
    await ns.kube.call("PATCH", path, body, content_type=APPLY, query={"fieldManager": "flux"})
    assert (await ns.task("a"))["spec"]["stopRequested"] is True


async def test_the_grace_period_can_be_lowered_but_not_raised_once_the_stop_is_requested(ns: Namespace) -> None:
    await ns.create_task("a", agents.template(), stopRequested=True, stop={"gracePeriodSeconds": 20})
    await ns.stop("a", gracePeriodSeconds=10)
    error = await refused(ns, "PATCH", {"spec": {"stop": {"gracePeriodSeconds": 11}}}, MERGE)
    assert (error.code, error.reason) == (422, "Invalid")
    assert "lowered" in error.message


TEMPLATE = agents.template()

BAD: dict[str, tuple[Object, str]] = {
    "neither": ({}, "exactly one of podTemplate"),
    "both": ({"podTemplate": TEMPLATE, "workloadRef": pod_ref("x")}, "exactly one of podTemplate"),
    "empty reason": ({"podTemplate": TEMPLATE, "stop": {"reason": ""}}, "spec.stop.reason"),
    "long reason": ({"podTemplate": TEMPLATE, "stop": {"reason": "A" * 65}}, "spec.stop.reason"),
    "reason of two words": ({"podTemplate": TEMPLATE, "stop": {"reason": "too expensive"}}, "CamelCase"),
    "long message": ({"podTemplate": TEMPLATE, "stop": {"message": "x" * 1025}}, "spec.stop.message"),
    "negative grace": ({"podTemplate": TEMPLATE, "stop": {"gracePeriodSeconds": -1}}, "gracePeriodSeconds"),
    "no grace": ({"podTemplate": TEMPLATE, "stop": {"gracePeriodSeconds": 0}}, "gracePeriodSeconds"),
    "huge grace": ({"podTemplate": TEMPLATE, "stop": {"gracePeriodSeconds": 31_536_001}}, "gracePeriodSeconds"),
    "negative deadline": ({"podTemplate": TEMPLATE, "activeDeadlineSeconds": -5}, "activeDeadlineSeconds"),
    "huge deadline": ({"podTemplate": TEMPLATE, "activeDeadlineSeconds": 10**12}, "activeDeadlineSeconds"),
    "negative time to live": ({"podTemplate": TEMPLATE, "ttlSecondsAfterFinished": -1}, "ttlSecondsAfterFinished"),
    "switch as a word": ({"podTemplate": TEMPLATE, "stopRequested": "yes"}, "stopRequested"),
    "unknown pod policy": ({"podTemplate": TEMPLATE, "stop": {"podPolicy": "Burn"}}, "podPolicy"),
    "unknown choice": ({"podTemplate": TEMPLATE, "stop": {"onUnconfirmed": "Guess"}}, "onUnconfirmed"),
    "unknown deletion policy": ({"workloadRef": pod_ref("x"), "deletionPolicy": "Maybe"}, "deletionPolicy"),
    "workload without a name": ({"workloadRef": {"apiVersion": "v1", "kind": "Pod"}}, "name"),
}


@pytest.mark.parametrize("case", BAD)
async def test_bad_input_is_refused(ns: Namespace, case: str) -> None:
    spec, says = BAD[case]
    with pytest.raises(KubeError) as caught:
        await ns.create_task("a", **spec)
    assert (caught.value.code, caught.value.reason) == (422, "Invalid")
    assert says in caught.value.message
    assert ns.tasks.names() == []


async def test_an_unknown_field_is_refused(ns: Namespace) -> None:
    spec = {"podTemplate": TEMPLATE, "stopRequestd": True}
    body = {"apiVersion": API_VERSION, "kind": "AgentTask", "metadata": {"name": "a"}, "spec": spec}
    with pytest.raises(KubeError) as caught:
        await ns.kube.call("POST", TASKS.path(ns.name), body, query={"fieldValidation": "Strict"})
    assert caught.value.code == 400
    assert 'unknown field "spec.stopRequestd"' in caught.value.message


async def test_a_name_that_is_too_long_for_a_label_is_refused(ns: Namespace) -> None:
    with pytest.raises(KubeError) as caught:
        await ns.create_task("a" * 64, TEMPLATE)
    assert caught.value.code == 422
    assert "63 characters" in caught.value.message


@pytest.mark.parametrize(
    "change",
    [
        {"podTemplate": agents.template(grace=99)},
        {"podTemplate": None, "workloadRef": pod_ref("x")},
        {"podTemplate": None},
        {"workloadRef": pod_ref("x")},
    ],
    ids=["other template", "ref instead", "neither", "both"],
)
async def test_the_workload_of_a_task_cannot_be_changed(ns: Namespace, change: Object) -> None:
    await ns.create_task("a", agents.template())
    error = await refused(ns, "PATCH", {"spec": change}, MERGE)
    assert (error.code, error.reason) == (422, "Invalid")


@pytest.mark.parametrize("phase", ["Stopped", "Completed", "Failed"])
async def test_a_phase_that_is_final_cannot_be_changed_by_anybody(ns: Namespace, phase: str) -> None:
    await ns.kube.create(
        TASKS,
        ns.name,
        {"apiVersion": API_VERSION, "kind": "AgentTask", "metadata": {"name": "a"}, "spec": {"podTemplate": TEMPLATE}},
    )
    stop = {"source": "User", "acceptedAt": "2030-01-01T00:00:00.0Z", "confirmedAt": "2030-01-01T00:00:01.0Z"}
    proof = {"stop": {**stop, "verdict": "Gone"}, "manuallyStopped": True} if phase == "Stopped" else {}
    end = {"phase": phase, "finishedAt": "2030-01-01T00:00:01.0Z", **proof}
    await ns.kube.merge(TASKS, ns.name, "a", {"status": end}, "status")
    for change in ({"phase": "Running"}, {"phase": None}):
        with pytest.raises(KubeError) as caught:
            await ns.kube.merge(TASKS, ns.name, "a", {"status": change}, "status")
        assert caught.value.code == 422
        assert "final" in caught.value.message
    if phase == "Stopped":
        with pytest.raises(KubeError) as caught:
            await ns.kube.merge(TASKS, ns.name, "a", {"status": {"manuallyStopped": False}}, "status")
        assert "manuallyStopped" in caught.value.message
