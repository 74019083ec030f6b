"""One test's namespace: what a user does in it, and all that was seen there."""

import asyncio
from collections.abc import Callable
from typing import Any

import aiohttp

from tests.support import laws, marks
from tests.support.clusters import Cluster, Feature
from tests.support.history import History
from tests.support.kube import (
    EVENTS,
    NAMESPACES,
    PODS,
    REPLICA_SETS,
    SANDBOXES,
    TASKS,
    Kind,
    KubeError,
    Object,
    missing_ignored,
)
from tests.support.waiting import PATIENCE, until

API_VERSION = "agentstop.dev/v1alpha1"


class Namespace:
    """A namespace of its own for one test."""

    def __init__(self, cluster: Cluster, name: str) -> None:
        self.cluster = cluster
        self.kube = cluster.kube
        self.name = name
        self.tasks = History(cluster.kube, TASKS, name)
        self.pods = History(cluster.kube, PODS, name)
        self._made: list[tuple[Kind, str]] = []
        self._task_uids: dict[str, str] = {}

    async def open(self) -> None:
        """Make the namespace and begin to watch it."""
        await self.kube.create(NAMESPACES, "", {"metadata": {"name": self.name}})
        await self.tasks.start()
        await self.pods.start()

    async def close(self) -> None:
        """Remove all that is in it, and the namespace."""
        for task in await self.kube.list(TASKS, self.name):
            await self._remove(TASKS, task)
        for kind, name in reversed(self._made):
            with missing_ignored():
                await self._remove(kind, await self.kube.get(kind, self.name, name))
        if self._made and Feature.GARBAGE_COLLECTION not in self.cluster.features:
            await self._remove_what_controllers_made()
        # Where the whole cluster goes in the end, nothing has to be awaited.
        grace = 1 if self.cluster.shares_namespaces else 0
        for pod in await self.kube.list(PODS, self.name):
            await self._remove(PODS, pod, grace)
        await self.tasks.stop()
        await self.pods.stop()
        await self.kube.delete(NAMESPACES, "", self.name, missing_ok=True)

    async def _remove_what_controllers_made(self) -> None:
        for kind in (SANDBOXES, REPLICA_SETS):
            with missing_ignored():
                for item in await self.kube.list(kind, self.name):
                    await self._remove(kind, item)

    async def _remove(self, kind: Kind, item: Object, grace: int | None = None) -> None:
        name = item["metadata"]["name"]
        if item["metadata"].get("finalizers"):
            with missing_ignored():
                await self.kube.merge(kind, self.name, name, {"metadata": {"finalizers": None}})
        await self.kube.delete(kind, self.name, name, grace=grace, missing_ok=True)

    def check(self) -> None:
        """Raise AssertionError unless everything that happened here kept the rules."""
        for name in self.tasks.names():
            states = self.tasks.of(name)
            laws.check(states)
            self._proof_was_no_lie(states[-1])

    def _proof_was_no_lie(self, task: Object) -> None:
        evident = laws.stop_of(task).get("verdict") in laws.EVIDENT | {"NotStarted", "Gone"}
        workload = laws.status(task).get("workload") or {}
        if evident and workload and Feature.PROCESSES in self.cluster.features:
            left = self.processes_of(workload)
            assert not left, f"{task['metadata']['name']} is Stopped, but these processes run: {left}"

    def processes_of(self, workload: Object) -> list[int]:
        """Return the ids of this machine's processes that belong to a workload, as a task's status names it."""
        kind, name = workload["kind"], workload["name"]
        if kind == "Pod":
            return self.processes(name)
        listed = [pid for pod in workload.get("pods") or () for pid in self.processes(pod["name"])]
        return [*listed, *marks.of_workload(self.name, kind, name)]

    # What a user does

    async def create_task(self, name: str, pod: Object | None = None, **spec: Any) -> Object:
        """Create a task, from a pod template if one is given."""
        if pod is not None:
            spec["podTemplate"] = {**pod, "spec": self._marked(name, pod["spec"])}
        body = {"apiVersion": API_VERSION, "kind": "AgentTask", "metadata": {"name": name}, "spec": spec}
        return self.mean(await self.kube.create(TASKS, self.name, body))

    def mean(self, task: Object) -> Object:
        """From now on mean this task by its name, and none that had the name before; returns it."""
        self._task_uids[task["metadata"]["name"]] = task["metadata"]["uid"]
        return task

    async def adopt(self, name: str, pod: str | None = None, **spec: Any) -> Object:
        """Create a task that adopts a pod, by default one of the same name."""
        return await self.create_task(name, workloadRef=pod_ref(pod or name), **spec)

    async def create_pod(self, name: str, spec: Object, **metadata: Any) -> Object:
        """Create a bare pod; it is not started again when it ends."""
        body = {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": name, **metadata},
            "spec": {"restartPolicy": "Never", **self._marked(name, spec)},
        }
        return await self.kube.create(PODS, self.name, body)

    def _marked(self, pod: str, spec: Object) -> Object:
        return marks.put(spec, marks.for_pod(self.name, pod))

    async def create(self, kind: Kind, body: Object) -> Object:
        """Create an object of any kind; it goes with the namespace."""
        made = await self.kube.create(kind, self.name, body)
        self._made.append((kind, made["metadata"]["name"]))
        return made

    async def merge_task(self, name: str, body: Object) -> Object:
        """Merge into a task."""
        return await self.kube.merge(TASKS, self.name, name, body)

    async def patch(self, name: str, **spec: Any) -> Object:
        """Merge into a task's spec."""
        return await self.merge_task(name, {"spec": spec})

    async def stop(self, name: str, **stop: Any) -> Object:
        """Request a task's stop."""
        return await self.patch(name, stopRequested=True, **({"stop": stop} if stop else {}))

    async def task(self, name: str) -> Object:
        """Return a task as it is now."""
        return await self.kube.get(TASKS, self.name, name)

    async def pod(self, name: str) -> Object:
        """Return a pod as it is now."""
        return await self.kube.get(PODS, self.name, name)

    async def patch_pod(self, name: str, body: Object, subresource: str = "") -> Object:
        """Merge into a pod."""
        return await self.kube.merge(PODS, self.name, name, body, subresource)

    async def delete_pod(self, name: str, grace: int | None = None) -> None:
        """Delete a pod, as somebody other than the operator."""
        await self.kube.delete(PODS, self.name, name, grace=grace)

    async def delete_task(self, name: str) -> None:
        """Delete a task."""
        await self.kube.delete(TASKS, self.name, name)

    # What a user sees

    async def until(
        self, name: str, wanted: Callable[[Object], bool], seconds: float = PATIENCE, *, what: str = "as wanted"
    ) -> Object:
        """Wait for a state of a task, past ones included, but not those of one that had the name before."""
        return await self.tasks.until(name, wanted, seconds, what=what, of=self._task_uids.get(name))

    async def phase(self, name: str, phase: str, seconds: float = PATIENCE) -> Object:
        """Wait until a task is, or was, in a phase."""
        return await self.until(name, lambda task: laws.status(task).get("phase") == phase, seconds, what=phase)

    async def ended(self, name: str, seconds: float = PATIENCE) -> Object:
        """Wait for a task's end."""
        return await self.until(
            name, lambda task: laws.status(task).get("phase") in laws.TERMINAL, seconds, what="at its end"
        )

    async def stalled(self, name: str, reason: str, seconds: float = PATIENCE) -> Object:
        """Wait until a task is stalled for a reason."""
        return await self.until(name, lambda task: laws.stalled(task) == reason, seconds, what=f"stalled by {reason}")

    async def ready(self, pod: str, container: str = "agent") -> None:
        """Wait until an agent says in its log that it is ready, so that its traps are set."""

        async def says_so() -> bool:
            try:
                return "ready" in await self.logs(pod, container)
            except (KubeError, aiohttp.ClientError):
                return False

        await until(says_so, PATIENCE, f"{container} of pod {pod} ready")

    async def running(self, name: str, container: str = "agent") -> Object:
        """Wait until a task runs and its agent is ready."""
        task = await self.phase(name, "Running")
        await self.ready(task["status"]["workload"]["name"], container)
        return task

    async def logs(self, pod: str, container: str = "agent") -> str:
        """Return what a container wrote."""
        return await self.cluster.logs(self.name, pod, container)

    async def events(self, name: str) -> list[Object]:
        """Return the events about a task."""
        events = await self.kube.list(EVENTS, self.name)
        return [each for each in events if _is_about(each, name)]

    async def event(self, name: str, reason: str, seconds: float = PATIENCE, *, repeated: int = 1) -> Object:
        """Wait for an event about a task, seen so many times."""
        found: list[Object] = []

        async def there() -> bool:
            events = [each for each in await self.events(name) if each["reason"] == reason]
            found[:] = [each for each in events if (each.get("series") or {}).get("count", 1) >= repeated]
            return bool(found)

        await until(there, seconds, f"event {reason} about {name}, {repeated} times")
        return found[0]

    def processes(self, pod: str) -> list[int]:
        """Return the ids of this machine's processes that belong to a pod."""
        return marks.of_pod(self.name, pod)

    async def versions(self) -> dict[str, str]:
        """Return the resource version of each task, pod and Event, by its UID."""
        found = [each for kind in (TASKS, PODS, EVENTS) for each in await self.kube.list(kind, self.name)]
        return {each["metadata"]["uid"]: each["metadata"]["resourceVersion"] for each in found}

    async def quiet(self, seconds: float = 2.0) -> None:
        """Wait until no task, pod or Event has changed for so long: what came before has had all its consequences."""
        for _ in range(30):
            before = await self.versions()
            await asyncio.sleep(seconds)
            if await self.versions() == before:
                return
        raise AssertionError("it never becomes quiet")

    async def nothing_happens(self, seconds: float) -> None:
        """Give things that should not happen the time to happen."""
        await asyncio.sleep(seconds)


def pod_ref(name: str) -> Object:
    """Return a workloadRef to a pod."""
    return {"apiVersion": "v1", "kind": "Pod", "name": name}


def _is_about(event: Object, task: str) -> bool:
    regarding = event.get("regarding") or {}
    return regarding.get("kind") == "AgentTask" and regarding.get("name") == task
