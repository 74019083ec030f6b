"""Nobody deletes a task so that its pod runs on unseen: `--cascade=orphan`, on a real API server."""

from typing import Any

import pytest

from tests.support import agents
from tests.support.kube import JSON_PATCH, PODS, TASKS, Kube, KubeError, Object
from tests.support.namespaces import Namespace
from tests.support.operators import Operator
from tests.support.waiting import PATIENCE, until

from .conftest import Users
from .test_admission import EDIT, POD_RIGHTS, STOP, TASK_RIGHTS, refused, task

COLLECTION_RIGHTS = ("agentstop.dev", "agenttasks", ("deletecollection",))
WAYS: dict[str, Object] = {
    "a policy": {"propagationPolicy": "Orphan"},
    "as it was before": {"orphanDependents": True},
}


def delete(kube: Kube, ns: Namespace, options: Object, name: str = "a") -> Any:
    body = {"apiVersion": "v1", "kind": "DeleteOptions", **options}
    return kube.call("DELETE", TASKS.path(ns.name, name), body)


@pytest.mark.parametrize("options", WAYS.values(), ids=WAYS)
async def test_nobody_orphans_the_pod_of_a_task(
    ns: Namespace, users: Users, operator: Operator, options: Object
) -> None:
    agent = await users.grant("agent", TASK_RIGHTS, POD_RIGHTS, COLLECTION_RIGHTS)
    await ns.create_task("a", agents.template(agents.graceful()))
    await ns.running("a")
    for name in ("a", ""):  # one task, and all that there are
        assert "--cascade=orphan" in (await refused(delete(agent, ns, options, name))).message
    query = {key: str(value).lower() if value is True else value for key, value in options.items()}
    assert "--cascade=orphan" in (await refused(agent.call("DELETE", TASKS.path(ns.name, "a"), query=query))).message
    assert "deletionTimestamp" not in (await ns.task("a"))["metadata"]
    await delete(agent, ns, {})

    async def gone() -> bool:
        return not await ns.kube.list(PODS, ns.name)

    await until(gone, PATIENCE, "the pod gone with its task")


async def test_a_finalizer_does_not_orphan_it_either(ns: Namespace, users: Users) -> None:
    agent = await users.grant("agent", TASK_RIGHTS, POD_RIGHTS)
    body = task("b")
    body["metadata"]["finalizers"] = ["orphan"]
    assert "finalizer orphan" in (await refused(agent.create(TASKS, ns.name, body))).message
    await agent.create(TASKS, ns.name, task("a"))
    for finalizers in (["orphan"], ["example.com/hold", "orphan"]):
        error = await refused(agent.merge(TASKS, ns.name, "a", {"metadata": {"finalizers": finalizers}}))
        assert "finalizer orphan" in error.message
    steps = [{"op": "add", "path": "/metadata/finalizers", "value": ["orphan"]}]
    await refused(agent.call("PATCH", TASKS.path(ns.name, "a"), steps, content_type=JSON_PATCH))


async def test_a_task_that_has_the_finalizer_already_is_stopped_but_not_orphaned(ns: Namespace, users: Users) -> None:
    agent = await users.grant("agent", TASK_RIGHTS, POD_RIGHTS)
    await agent.create(TASKS, ns.name, task("a"))
    await ns.merge_task("a", {"metadata": {"finalizers": ["orphan"]}})
    assert "--cascade=foreground" in (await refused(delete(agent, ns, {}))).message
    await agent.merge(TASKS, ns.name, "a", STOP)
    await agent.merge(TASKS, ns.name, "a", {"metadata": {"finalizers": None}})
    await delete(agent, ns, {"propagationPolicy": "Background"})


async def test_what_has_ended_may_be_deleted_so_and_administrators_may_always(
    ns: Namespace, users: Users, operator: Operator
) -> None:
    agent = await users.grant("agent", TASK_RIGHTS, POD_RIGHTS, COLLECTION_RIGHTS)
    await ns.create_task("a", agents.template(agents.graceful()))
    await ns.running("a")
    await ns.stop("a")
    await ns.ended("a")
    await delete(agent, ns, WAYS["a policy"])
    await agent.create(TASKS, ns.name, task("b"))
    await refused(delete(agent, ns, WAYS["a policy"], "b"))
    admin = await users.grant("jane", TASK_RIGHTS, ("agentstop.dev", "agenttasks/status", EDIT))
    await delete(admin, ns, WAYS["a policy"], "b")
    await _pods_end(ns)


async def _pods_end(ns: Namespace) -> None:
    for pod in await ns.kube.list(PODS, ns.name):
        try:
            await ns.kube.delete(PODS, ns.name, pod["metadata"]["name"], grace=1)
        except KubeError as error:
            if error.code != 404:
                raise
