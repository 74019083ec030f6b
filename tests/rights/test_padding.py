"""Whoever may change a pod, a workload or a task can make it too large to be changed: a stop ends it all the same."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from tests.support import agents, installed, manifests, padding
from tests.support.kube import JOBS, PODS, TASKS, Kind, KubeError, Object
from tests.support.laws import exit_code, status, stop_of
from tests.support.namespaces import Namespace
from tests.support.operators import Operator
from tests.support.waiting import PATIENCE, until
from tests.support.workloads import Workloads

from .test_admission import ORDERS, order

pytestmark = pytest.mark.usefixtures("operator")

LABEL = "agentstop.dev/task"
OWN = "agentstop.dev/own"
UNWRITABLE = 'agentstop_status_unwritable_total{reason="StatusNotWritable"}'


async def test_a_task_whose_pod_is_too_large_to_be_changed_is_stopped(ns: Namespace) -> None:
    """Nobody can end such a pod by any of the usual ways."""
    await ns.create_task("a", agents.template(agents.graceful()))
    await ns.running("a")
    await padding.fill(ns.kube, PODS, ns.name, "a")
    eviction = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": "a", "namespace": ns.name}}
    for attempt in (
        ns.kube.merge(PODS, ns.name, "a", {"spec": {"activeDeadlineSeconds": 1}}),
        ns.kube.delete(PODS, ns.name, "a"),
        ns.kube.delete(PODS, ns.name, "a", grace=0),
        ns.kube.call("POST", PODS.path(ns.name, "a", "eviction"), eviction),
    ):
        with pytest.raises(KubeError, match="request is too large") as caught:
            await attempt
        assert caught.value.code == 500
    await ns.stop("a")
    last = await ns.ended("a")
    assert (status(last)["phase"], stop_of(last)["verdict"], exit_code(last)) == ("Stopped", "Graceful", 0)
    assert (await ns.kube.get(PODS, ns.name, "a"))["metadata"]["labels"] == {LABEL: "a"}


async def test_an_adopted_pod_that_is_too_large_is_stopped(ns: Namespace) -> None:
    """With less time than it would have by itself, it has to be deleted."""
    await ns.create_pod("x", agents.pod_spec(agents.graceful()))
    await ns.adopt("a", "x")
    await ns.running("a")
    await padding.fill(ns.kube, PODS, ns.name, "x")
    await ns.stop("a", gracePeriodSeconds=3)
    last = await ns.ended("a")
    assert (status(last)["phase"], stop_of(last)["verdict"], exit_code(last)) == ("Stopped", "Graceful", 0)


async def test_a_pod_that_becomes_large_while_it_ends_is_made_small_again(ns: Namespace, tmp_path: Path) -> None:
    """Else what its node reports in the end would not fit."""
    may_end = tmp_path / "may-end"
    script = f"trap 'until [ -e {may_end} ]; do sleep 0.1; done; exit 0' TERM; echo ready; sleep 1000 & wait"
    await ns.create_task("a", agents.template(script, grace=300))
    await ns.running("a")
    await ns.stop("a")
    await ns.until("a", lambda each: "signaledAt" in stop_of(each), what="signaled")
    assert await padding.burden(ns.kube, PODS, ns.name, "a")

    async def is_small() -> bool:
        return bool((await ns.kube.get(PODS, ns.name, "a"))["metadata"]["labels"] == {LABEL: "a"})

    await until(is_small, PATIENCE, "the pod is small again")
    may_end.touch()
    last = await ns.ended("a")
    assert (status(last)["phase"], exit_code(last)) == ("Stopped", 0)


async def test_a_job_that_is_too_large_to_be_suspended_is_stopped(ns: Namespace, workloads: Workloads) -> None:
    job = await workloads.create(manifests.job("j", agents.graceful()))
    await workloads.adopt("a", job)
    await workloads.running(job)
    await ns.phase("a", "Running")
    await padding.fill(ns.kube, JOBS, ns.name, "j")
    await ns.stop("a")
    last = await ns.ended("a")
    assert (status(last)["phase"], stop_of(last)["verdict"]) == ("Stopped", "Graceful")


async def test_a_jobs_pod_that_is_too_large_is_stopped(ns: Namespace, workloads: Workloads) -> None:
    job = await workloads.create(manifests.job("j", agents.graceful()))
    await workloads.adopt("a", job)
    await workloads.running(job)
    await ns.phase("a", "Running")
    (pod,) = await ns.kube.list(PODS, ns.name)
    await padding.fill(ns.kube, PODS, ns.name, pod["metadata"]["name"])
    await ns.stop("a")
    last = await ns.ended("a")
    assert (status(last)["phase"], stop_of(last)["verdict"]) == ("Stopped", "Graceful")


# Tasks


async def test_a_task_that_is_too_large_for_its_status_is_stopped_by_an_order(ns: Namespace) -> None:
    """It is made smaller for that, but keeps the label by which the order means it."""
    await ns.create_task("a", agents.template(agents.graceful()))
    await ns.running("a")
    await ns.merge_task("a", {"metadata": {"labels": {"team": "x", OWN: "y"}}})
    await padding.fill(ns.kube, TASKS, ns.name, "a")
    spec = {"selector": {"matchLabels": {"team": "x"}}}
    await ns.kube.create(ORDERS, ns.name, {**order(), "spec": spec})
    last = await ns.ended("a")
    assert (status(last)["phase"], stop_of(last)["verdict"]) == ("Stopped", "Graceful")
    assert last["metadata"]["labels"] == {"team": "x", OWN: "y"}
    done = await _complete(ns)
    assert (done["stopped"]["graceful"], done["stalledCount"]) == (1, 0)


async def test_a_task_whose_status_cannot_be_written_is_stopped_and_told_of(ns: Namespace, operator: Operator) -> None:
    """The order comes to its end, and says what became of the task."""
    before = await operator.number(UNWRITABLE)
    await ns.create_task("a", agents.template(agents.graceful()))
    await ns.running("a")
    async with _no_statuses(ns):
        await ns.kube.create(ORDERS, ns.name, {**order(), "spec": {"selector": {}}})
        done = await _complete(ns)
        assert (done["stopped"]["graceful"], done["stalledCount"], done["matched"]) == (1, 1, 1)
        (listed,) = done["stalled"]
        assert (listed["name"], listed["reason"]) == ("a", "StatusNotWritable")
        assert "no statuses here" in listed["message"]
        assert await ns.event("a", "StatusNotWritable")
        assert not ns.processes("a")
        assert await operator.number(UNWRITABLE) == before + 1
        assert status(await ns.task("a"))["phase"] == "Running"


async def _complete(ns: Namespace) -> Object:
    found: list[Object] = []

    async def done() -> bool:
        found[:] = [(await ns.kube.get(ORDERS, ns.name, "o")).get("status") or {}]
        return found[0].get("phase") == "Complete"

    await until(done, PATIENCE, "the order is complete")
    return found[0]


@asynccontextmanager
async def _no_statuses(ns: Namespace) -> AsyncIterator[None]:
    """Have somebody's policy refuse every status of a task in the namespace."""
    api, name = "admissionregistration.k8s.io/v1", f"no-statuses-{ns.name}"
    policies = Kind(f"/apis/{api}", "validatingadmissionpolicies")
    bindings = Kind(f"/apis/{api}", "validatingadmissionpolicybindings")
    rule = {
        "apiGroups": ["agentstop.dev"],
        "apiVersions": ["*"],
        "operations": ["UPDATE"],
        "resources": ["agenttasks/status"],
    }
    here = {"matchLabels": {"kubernetes.io/metadata.name": ns.name}}
    await ns.kube.create(
        policies,
        "",
        {
            "apiVersion": api,
            "kind": "ValidatingAdmissionPolicy",
            "metadata": {"name": name},
            "spec": {
                "matchConstraints": {"resourceRules": [rule], "namespaceSelector": here},
                "validations": [{"expression": "false", "message": "no statuses here"}],
            },
        },
    )
    binding = {"policyName": name, "validationActions": ["Deny"]}
    kind = "ValidatingAdmissionPolicyBinding"
    body = {"apiVersion": api, "kind": kind, "metadata": {"name": name}, "spec": binding}
    await ns.kube.create(bindings, "", body)
    try:

        async def counts() -> bool:
            try:
                await ns.kube.merge(TASKS, ns.name, "a", {"status": {"message": "tried"}}, "status")
            except KubeError as error:
                return "no statuses here" in error.message
            return False

        await until(counts, installed.ACTIVE_SECONDS, "no statuses")
        yield
    finally:
        await ns.kube.delete(bindings, "", name)
        await ns.kube.delete(policies, "", name)
