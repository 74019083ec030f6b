"""What a test does with Jobs, Deployments, sandboxes and the like in its namespace, and the pods that come of them."""

import secrets
from collections.abc import Mapping, Sequence
from typing import Any

from tests.support import manifests, marks
from tests.support.kube import (
    DEPLOYMENTS,
    JOBS,
    PODS,
    RAY_CLUSTERS,
    REPLICA_SETS,
    SANDBOX_CLAIMS,
    SANDBOX_TEMPLATES,
    SANDBOXES,
    STATEFUL_SETS,
    WARM_POOLS,
    Kind,
    Object,
)
from tests.support.namespaces import Namespace
from tests.support.waiting import PATIENCE, until

KINDS: Mapping[str, Kind] = {
    "Job": JOBS,
    "Deployment": DEPLOYMENTS,
    "ReplicaSet": REPLICA_SETS,
    "StatefulSet": STATEFUL_SETS,
    "RayCluster": RAY_CLUSTERS,
    "Sandbox": SANDBOXES,
    "SandboxClaim": SANDBOX_CLAIMS,
    "SandboxTemplate": SANDBOX_TEMPLATES,
    "SandboxWarmPool": WARM_POOLS,
}

BETWEEN: Mapping[str, Sequence[Kind]] = {
    "Deployment": (REPLICA_SETS,),
    "SandboxClaim": (SANDBOXES,),
    "SandboxWarmPool": (SANDBOXES,),
}
"""What stands between a kind and its pods in the chain of controllers."""


class Workloads:
    """The workloads of one test; what is made here goes with its namespace.

    Where a method takes `made`, any state of the object will do: it is about the object with that UID.
    """

    def __init__(self, ns: Namespace) -> None:
        self._ns = ns

    async def create(self, manifest: Object) -> Object:
        """Create a workload, with its processes marked as its own."""
        return await self._ns.create(_kind(manifest), _marked(self._ns.name, manifest))

    async def get(self, made: Object) -> Object:
        """Return a workload as it is now."""
        return await self._ns.kube.get(_kind(made), self._ns.name, _name(made))

    async def merge(self, made: Object, body: Object, subresource: str = "") -> Object:
        """Merge into a workload, as somebody other than the operator."""
        return await self._ns.kube.merge(_kind(made), self._ns.name, _name(made), body, subresource)

    async def patch(self, made: Object, **spec: Any) -> Object:
        """Merge into a workload's spec, as somebody other than the operator."""
        return await self.merge(made, {"spec": spec})

    async def delete(self, made: Object) -> None:
        """Delete a workload, as somebody other than the operator."""
        await self._ns.kube.delete(_kind(made), self._ns.name, _name(made))

    async def adopt(self, task: str, made: Object, **spec: Any) -> Object:
        """Create a task that adopts a workload."""
        return await self._ns.create_task(task, workloadRef=manifests.reference(made), **spec)

    async def pods(self, made: Object) -> list[Object]:
        """Return the pods that there are whose chain of controllers leads to a workload."""
        return _controlled(await self._ns.kube.list(PODS, self._ns.name), await self._controllers(made))

    async def ever(self, made: Object) -> list[Object]:
        """Return the last state of each pod that a workload ever had, those of pods that went included."""
        last = [self._ns.pods.of(name)[-1] for name in self._ns.pods.names()]
        return _controlled(last, await self._controllers(made))

    async def running(self, made: Object, count: int = 1, seconds: float = PATIENCE) -> list[Object]:
        """Wait until a workload has so many pods, all of them running and their agents ready; returns the pods."""
        found: list[Object] = []

        async def there() -> bool:
            found[:] = await self.pods(made)
            return len(found) == count and all(_runs(pod) for pod in found)

        await until(there, seconds, f"{_called(made)} with {count} running pods")
        for pod in found:
            await self._ns.ready(_name(pod))
        return found

    async def gone(self, made: Object, seconds: float = PATIENCE) -> None:
        """Wait until a workload has no pod left."""

        async def none_left() -> bool:
            return not await self.pods(made)

        await until(none_left, seconds, f"{_called(made)} without pods")

    async def gone_for_good(self, made: Object) -> None:
        """Wait until a workload has no pod left, and its controller none in mind.

        A controller that is behind may still make what was asked for a moment ago. It works in order: once it has made
        the pod of a workload that is made now, it knows what the others are.
        """
        make = manifests.job if made["kind"] == "Job" else manifests.deployment
        later = await self.create(make(f"later-{secrets.token_hex(4)}"))

        async def in_turn() -> bool:
            return bool(await self.pods(later))

        await until(in_turn, PATIENCE, f"{_called(later)} with its pod")
        await self.gone(made)

    async def until(self, made: Object, check: Any, seconds: float = PATIENCE, *, what: str = "as wanted") -> Object:
        """Wait until a workload is as a check of its object wants it; returns that state."""
        found: list[Object] = []

        async def so() -> bool:
            found[:] = [await self.get(made)]
            return bool(check(found[0]))

        await until(so, seconds, f"{_called(made)} {what}")
        return found[0]

    async def sandbox_of(self, claim: Object, seconds: float = PATIENCE) -> Object:
        """Wait until a claim is bound, and return its Sandbox."""
        bound = await self.until(claim, _bound_to, seconds, what="bound")
        return await self._ns.kube.get(SANDBOXES, self._ns.name, _bound_to(bound))

    def processes(self, made: Object) -> list[int]:
        """Return the ids of this machine's processes that belong to a workload; none for what uses a template."""
        return marks.of_workload(self._ns.name, made["kind"], _name(made))

    async def _controllers(self, made: Object) -> set[str]:
        uids = {str(made["metadata"]["uid"])}
        for kind in BETWEEN.get(made["kind"], ()):
            between = _controlled(await self._ns.kube.list(kind, self._ns.name), uids)
            uids |= {str(each["metadata"]["uid"]) for each in between}
        return uids


def controller_of(item: Object) -> str | None:
    """Return the UID of an object's controller."""
    owners = item["metadata"].get("ownerReferences") or ()
    return next((str(each["uid"]) for each in owners if each.get("controller")), None)


def _controlled(items: Sequence[Object], by: set[str]) -> list[Object]:
    return [each for each in items if controller_of(each) in by]


def _kind(item: Object) -> Kind:
    return KINDS[item["kind"]]


def _name(item: Object) -> str:
    return str(item["metadata"]["name"])


def _called(item: Object) -> str:
    return f"{item['kind']} {_name(item)}"


def _runs(pod: Object) -> bool:
    return "deletionTimestamp" not in pod["metadata"] and pod.get("status", {}).get("phase") == "Running"


def _bound_to(claim: Object) -> str:
    return str(((claim.get("status") or {}).get("sandbox") or {}).get("name", ""))


def _marked(namespace: str, manifest: Object) -> Object:
    # A template's sandboxes belong to their claims; which of them is not known before one is bound.
    shared, kind = manifest["kind"] == "SandboxTemplate", manifest["kind"]
    variables = marks.for_template(namespace) if shared else marks.for_workload(namespace, kind, _name(manifest))
    return {**manifest, "spec": _with_marks(manifest["spec"], variables)}


def _with_marks(value: Any, variables: list[Object]) -> Any:
    """Return a part of a manifest with variables in all pod templates that there are in it."""
    if isinstance(value, list):
        return [_with_marks(each, variables) for each in value]
    if not isinstance(value, dict):
        return value
    return {
        key: {**each, "spec": marks.put(each["spec"], variables)}
        if key in {"template", "podTemplate"}
        else _with_marks(each, variables)
        for key, each in value.items()
    }
