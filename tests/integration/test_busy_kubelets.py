"""Kubelets that are busy with the start of a container: they hear of no stop meanwhile, and start it all the same.

The judge is the process table, at the moment of the proof and a few seconds after.
"""

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from agentstop.words.reasons import answer
from tests.support import agents, manifests
from tests.support.clusters import Cluster, Feature
from tests.support.kube import CONFIG_MAPS, TASKS, Object
from tests.support.laws import TERMINAL, conditions_of, status, stop_of
from tests.support.namespaces import Namespace
from tests.support.operators import Operator
from tests.support.registry import Registry
from tests.support.registry import registry as serve_registry
from tests.support.waiting import PATIENCE, until
from tests.support.workloads import Workloads

AFTERWARDS = 2.0
"""Seconds for which nothing may be seen of an agent whose task is Stopped."""

SOON = 20.0
"""Seconds in which a stop is over that waits for nothing; a volume that is missing takes a kubelet two minutes."""

MOUNT: Object = {"volumeMounts": [{"name": "v", "mountPath": "/v"}]}
LATE = "comes-late"

pytestmark = [pytest.mark.needs(Feature.PROCESSES), pytest.mark.exclusive]


@pytest.fixture
async def registry() -> AsyncIterator[Registry]:
    async with serve_registry() as served:
        yield served
        served.open.set()


class StartHook:
    """A start hook that lasts until it is told to be done."""

    def __init__(self, file: Path) -> None:
        self._file = file
        command = ["sh", "-c", f"until [ -e {file} ]; do sleep 0.1; done"]
        self.lifecycle: Object = {"postStart": {"exec": {"command": command}}}

    def finish(self) -> None:
        self._file.touch()


@pytest.fixture
def hook(tmp_path: Path) -> StartHook:
    return StartHook(tmp_path / "done")


def one_container(script: str, *, grace: int = 1, volumes: list[Object] | None = None, **more: object) -> Object:
    containers = [{**agents.container(script), **more}]
    return {"spec": {"terminationGracePeriodSeconds": grace, "containers": containers, "volumes": volumes or []}}


async def taken(ns: Namespace, name: str) -> None:
    await ns.pods.until(name, lambda pod: bool(pod.get("status", {}).get("containerStatuses")), what="taken")


async def ended_for_good(ns: Namespace, name: str, seconds: float = SOON) -> Object:
    task = await ns.ended(name, seconds)
    assert not ns.processes(name), "Stopped, and there is a process"
    await ns.nothing_happens(AFTERWARDS)
    assert not ns.processes(name), "Stopped, and then there is a process"
    return task


@pytest.mark.needs(Feature.OWN_NODE)
async def test_pods_that_are_removed_by_force_while_their_kubelet_starts_them(
    ns: Namespace, operator: Operator, cluster: Cluster, workloads: Workloads, registry: Registry, hook: StartHook
) -> None:
    job = manifests.job("job", agents.DEAF, grace=1)
    job["spec"]["template"]["spec"]["containers"][0]["lifecycle"] = hook.lifecycle
    made = await workloads.create(job)
    await workloads.adopt("job", made)
    await ns.create_task("hooked", one_container(agents.DEAF, lifecycle=hook.lifecycle))
    await ns.create_task("lost", one_container(agents.DEAF, lifecycle=hook.lifecycle))
    await ns.create_task("pulled", one_container(agents.DEAF, image=registry.image(), imagePullPolicy="Always"))
    names = ["job", "hooked", "lost", "pulled"]
    await until(lambda: ns.processes("hooked") and ns.processes("lost"), SOON, "agents and their start hooks run")
    await until(lambda: workloads.processes(made), SOON, "the agent of the Job runs")
    await registry.asked.wait()

    for name in names:
        pod = name if name != "job" else (await workloads.pods(made))[0]["metadata"]["name"]
        await taken(ns, pod)
        if name != "lost":
            await ns.stop(name)
            await ns.until(name, lambda task: bool(stop_of(task)), what="accepted")
        await ns.patch_pod(pod, {"metadata": {"finalizers": None}})
        await ns.delete_pod(pod, grace=0)
        await ns.pods.until_gone(pod)
    for name in names:
        task = await ns.stalled(name, "KubeletBusy")
        assert "reboot node" in conditions_of(task)["Stalled"]["message"]
    # Nobody has stopped it, and it has not ended: so it still can be stopped.
    assert status(await ns.task("lost"))["phase"] == "Pending"
    await ns.stop("lost")
    assert all((ns.processes("hooked"), ns.processes("lost"), workloads.processes(made)))
    assert not ns.processes("pulled")
    registry.open.set()
    await until(lambda: ns.processes("pulled"), SOON, "the agent is started although its pod is gone")
    await until(lambda: not ns.processes("pulled"), SOON, "the kubelet has ended it")
    hook.finish()
    await until(lambda: not ns.processes("hooked"), SOON, "the kubelet has ended the agent")
    # Nobody saw these ends: only another boot of the node proves them.
    await ns.nothing_happens(1)
    assert {name: status(await ns.task(name))["phase"] for name in names} == dict.fromkeys(names, "Stopping")
    await cluster.reboot_node()
    for name in names:
        task = await ns.ended(name)
        assert (status(task)["phase"], stop_of(task)["verdict"]) == ("Stopped", "Gone")
        assert not ns.processes(name)
    await ns.nothing_happens(AFTERWARDS)
    assert not [name for name in names if ns.processes(name)]
    assert not workloads.processes(made)


@pytest.mark.needs(Feature.OWN_NODE)
async def test_a_job_that_completes_has_not_ended_its_task_while_an_earlier_pod_may_live(
    ns: Namespace, operator: Operator, cluster: Cluster, workloads: Workloads, hook: StartHook, tmp_path: Path
) -> None:
    """The hook of its first pod hangs; the pod that takes its place needs none."""
    first = tmp_path / "first"
    ended = f"[ -e {first} ] && exit 0; touch {first}; {agents.DEAF}"
    waits = hook.lifecycle["postStart"]["exec"]["command"][2]
    job = manifests.job("job", ended, grace=1)
    hooks = {"postStart": {"exec": {"command": ["sh", "-c", f"[ -e {first}2 ] && exit 0; touch {first}2; {waits}"]}}}
    job["spec"]["template"]["spec"]["containers"][0]["lifecycle"] = hooks
    made = await workloads.create(job)
    await workloads.adopt("job", made)
    await until(lambda: workloads.processes(made), SOON, "the agent of the Job runs")
    pod = (await workloads.pods(made))[0]["metadata"]["name"]
    await taken(ns, pod)
    await ns.until("job", lambda task: bool((status(task).get("workload") or {}).get("pods")), what="with its pod")
    await ns.delete_pod(pod, grace=0)
    await workloads.until(made, lambda each: bool(each["status"].get("completionTime")), what="complete")
    task = await ns.stalled("job", "KubeletBusy")
    assert workloads.processes(made)
    assert status(task)["phase"] not in TERMINAL
    await ns.nothing_happens(AFTERWARDS)
    assert status(await ns.task("job"))["phase"] not in TERMINAL
    await cluster.reboot_node()
    task = await ns.ended("job")
    assert status(task)["phase"] == "Completed"
    assert not workloads.processes(made)


@pytest.mark.needs(Feature.OWN_NODE)
async def test_a_task_that_is_gone_is_over_once_the_node_has_rebooted(
    ns: Namespace, operator: Operator, cluster: Cluster, hook: StartHook
) -> None:
    await ns.create_task("a", one_container(agents.DEAF, lifecycle=hook.lifecycle))
    await until(lambda: ns.processes("a"), SOON, "the agent runs")
    await taken(ns, "a")
    await ns.stop("a")
    await ns.until("a", lambda task: bool(stop_of(task)), what="accepted")
    await ns.kube.delete(TASKS, ns.name, "a")
    await ns.tasks.until_gone("a")
    await ns.patch_pod("a", {"metadata": {"finalizers": None}})
    await ns.delete_pod("a", grace=0)
    await ns.pods.until_gone("a")
    await ns.nothing_happens(AFTERWARDS)
    assert ns.processes("a")
    stalled = f'agentstop_tasks{{namespace="{ns.name}",phase="Stopping"}} 1.0'

    async def over() -> bool:
        return stalled not in (await operator.get("/metrics"))[1]

    assert not await over()
    await cluster.reboot_node()
    await until(over, PATIENCE, "the operator is done with it")


async def test_a_stop_while_a_start_hook_runs_waits_for_it(ns: Namespace, operator: Operator, hook: StartHook) -> None:
    await ns.create_task("a", one_container(agents.graceful(), grace=10, lifecycle=hook.lifecycle))
    await until(lambda: ns.processes("a"), SOON, "the agent runs")
    await taken(ns, "a")
    await ns.stop("a")
    await ns.nothing_happens(2)
    task = await ns.task("a")
    assert (status(task)["phase"], bool(ns.processes("a"))) == ("Stopping", True)
    waits = conditions_of(task)["Reconciling"]
    assert (waits["status"], waits["reason"]) == ("True", "KubeletBusy")
    assert "runs the start hook, and only then ends it" in waits["message"]
    said = answer(task, (), datetime.now(UTC))
    assert "the kubelet is busy, and does not act before that is over" in said.headline
    assert not [fact for fact in said.facts if "SIGTERM was on its way" in fact]
    event = await ns.event("a", "StopSignaled")
    assert "SIGTERM comes later" in event["note"]
    hook.finish()
    task = await ended_for_good(ns, "a")
    assert (status(task)["phase"], stop_of(task)["verdict"]) == ("Stopped", "Graceful")


async def test_a_stop_during_a_pull_waits_until_what_is_pulled_has_been_ended(
    ns: Namespace, operator: Operator, registry: Registry
) -> None:
    await ns.create_task("a", one_container(agents.DEAF, image=registry.image(), imagePullPolicy="Always"))
    await registry.asked.wait()
    await taken(ns, "a")
    await ns.stop("a")
    await ns.nothing_happens(1)
    assert status(await ns.task("a"))["phase"] == "Stopping"
    registry.open.set()
    task = await ended_for_good(ns, "a")
    assert (status(task)["phase"], stop_of(task)["verdict"]) == ("Stopped", "Killed")


ONCE = 'f=${TMPDIR:-/s}/n; [ -e "$f" ] || { touch "$f"; sleep 1; exit 0; }; '
"""Ends well at the first run; the playground's pods share a folder of their own."""


async def test_a_main_container_that_is_started_once_more_has_ended_all_the_same(
    ns: Namespace, operator: Operator, registry: Registry
) -> None:
    """Its kubelet pulls the image for the next run when the pod is ended, and starts it once more."""
    registry.open.set()
    mount: Object = {"volumeMounts": [{"name": "s", "mountPath": "/s"}]}
    pulled: Object = {"image": registry.image(), "imagePullPolicy": "Always"}
    pod = one_container(ONCE + agents.DEAF, volumes=[{"name": "s", "emptyDir": {}}], **pulled, **mount)
    pod["spec"]["restartPolicy"] = "Always"
    await ns.create_task("a", pod, mainContainer="agent", activeDeadlineSeconds=4)
    await until(lambda: ns.processes("a"), SOON, "the agent runs")
    registry.open.clear()
    await ns.until("a", lambda task: status(task).get("reason") == "MainContainerEnded", what="at its main end")
    await until(lambda: registry.pulls > 1, SOON, "the image is pulled again")
    await ns.nothing_happens(4)
    assert status(await ns.task("a"))["phase"] == "Running"
    registry.open.set()
    await ns.pods.until("a", lambda pod: ran_again(pod), what="started once more")
    task = await ended_for_good(ns, "a")
    assert (status(task)["phase"], status(task)["reason"]) == ("Completed", "Completed")
    assert not stop_of(task)


def ran_again(pod: Object) -> bool:
    return any(each["restartCount"] > 0 and "waiting" not in each["state"] for each in statuses_of(pod))


def statuses_of(pod: Object) -> list[Object]:
    return pod.get("status", {}).get("containerStatuses") or []


@pytest.mark.parametrize("waits", ["volume", "variable", "image"])
async def test_nothing_starts_in_a_pod_that_was_stopped_before_anything_did(
    ns: Namespace, operator: Operator, registry: Registry, waits: str
) -> None:
    volumes: list[Object] = []
    more: Object = {}
    if waits == "volume":
        volumes, more = [{"name": "v", "configMap": {"name": LATE}}], MOUNT
    elif waits == "variable":
        more = {"env": [{"name": "X", "valueFrom": {"configMapKeyRef": {"name": LATE, "key": "x"}}}]}
    else:
        registry.status = 404
        registry.open.set()
        more = {"image": registry.image()}
    await ns.create_task("a", one_container(agents.graceful(), grace=5, volumes=volumes, **more))
    await taken(ns, "a")
    await ns.nothing_happens(1)
    await ns.stop("a")
    task = await ns.ended("a", SOON)
    assert (status(task)["phase"], stop_of(task)["verdict"]) == ("Stopped", "NotStarted")
    registry.status = 200
    await ns.create(CONFIG_MAPS, {"metadata": {"name": LATE}, "data": {"x": "y"}})
    await ns.nothing_happens(3)
    assert not ns.processes("a")
    assert not [pod for pod in ns.pods.of("a") if ran(pod)]


def ran(pod: Object) -> bool:
    states = [each["state"] for each in pod.get("status", {}).get("containerStatuses") or ()]
    return any("running" in state or (state.get("terminated") or {}).get("startedAt") for state in states)
