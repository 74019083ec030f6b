"""The controller of Sandboxes."""

import asyncio
from dataclasses import dataclass

from agentstop_playground import times
from agentstop_playground.api_client import ApiError, Object
from agentstop_playground.controllers import quirks, sandbox_status
from agentstop_playground.controllers.controller import Controller
from agentstop_playground.controllers.hub import Hub
from agentstop_playground.controllers.kinds import POD, SANDBOX
from agentstop_playground.controllers.objects import controller_of, deleting, owner_reference, uid
from agentstop_playground.controllers.pods import Pods, from_template
from agentstop_playground.controllers.quirks import Quirks
from agentstop_playground.controllers.sandbox_status import NAME_HASH_LABEL, POD_NAME, Finding, Seen


@dataclass(frozen=True, slots=True)
class Generation:
    """When a generation of a Sandbox was first seen, by the loop's clock."""

    number: int
    since: float


class SandboxController(Controller):
    """Keeps the one pod of each Sandbox that is to run, and ends that of one that is not."""

    kind = SANDBOX

    def __init__(self, hub: Hub) -> None:
        super().__init__(hub, POD)
        self._pods = Pods(hub)
        self._generations: dict[str, Generation] = {}

    async def reconcile(self, key: str) -> float | None:
        """Make or delete the pod, then say how things are."""
        sandbox = self.objects.get(key)
        if sandbox is None or deleting(sandbox):
            self._generations.pop(key, None)
            return None
        asked, age = self._quirks_of(sandbox), self._age(sandbox)
        if asked.never:
            return None
        if age < asked.slow:
            return asked.slow - age
        left = sandbox_status.time_left(sandbox, times.now())
        if left is not None and left <= 0:
            await self._expire(sandbox)
            return None
        if sandbox_status.suspended(sandbox) and age < asked.slow + asked.stale_suspended:
            await self._write_status(sandbox, Finding())
            return asked.slow + asked.stale_suspended - age
        found = sandbox_status.find(sandbox, self._seen(sandbox))
        try:
            await self._act(sandbox, found)
            if found.action != "delete":
                # A pod whose deletion was asked for is terminating until it is seen to be gone.
                found = sandbox_status.find(self.objects.get(key) or sandbox, self._seen(sandbox))
        except ApiError as error:
            await self._write_status(self.objects.get(key) or sandbox, Finding(found.pod, error=str(error)))
            raise
        await self._write_status(self.objects.get(key) or sandbox, found)
        return left

    def child_changed(self, change: str, obj: Object, old: Object | None) -> None:
        """A pod has changed: its Sandbox looks, and one whose pod's name it has."""
        super().child_changed(change, obj, old)
        namespace, name = obj["metadata"]["namespace"], obj["metadata"]["name"]
        namesake = self.objects.named(namespace, name)
        if namesake is not None:
            self.queue.add(uid(namesake))

    def _quirks_of(self, sandbox: Object) -> Quirks:
        try:
            return quirks.parse((sandbox["metadata"].get("annotations") or {}).get(quirks.ANNOTATION, ""))
        except ValueError as error:
            self.record(sandbox, "BadQuirks", f"annotation {quirks.ANNOTATION}: {error}", "Warning")
            return Quirks()

    def _age(self, sandbox: Object) -> float:
        """Seconds since the present generation was first seen."""
        now, number = asyncio.get_running_loop().time(), sandbox["metadata"]["generation"]
        known = self._generations.get(uid(sandbox))
        if known is None or known.number != number:
            known = self._generations[uid(sandbox)] = Generation(number, now)
        return now - known.since

    def _seen(self, sandbox: Object) -> Seen:
        metadata = sandbox["metadata"]
        label = sandbox_status.name_hash(metadata["name"])
        controlled = (
            pod
            for pod in self._pods.cache.controlled_by(uid(sandbox))
            if (pod["metadata"].get("labels") or {}).get(NAME_HASH_LABEL) == label
        )
        named = self._pods.cache.named(metadata["namespace"], sandbox_status.pod_name(sandbox))
        return Seen(tuple(controlled), named)

    async def _act(self, sandbox: Object, found: Finding) -> None:
        pod = found.pod
        match found.action:
            case "create":
                pod = await self._create(sandbox)
            case "delete" if pod is not None:
                await self._pods.delete([pod])
            case "adopt" if pod is not None:
                references = [*(pod["metadata"].get("ownerReferences") or ()), owner_reference(SANDBOX, sandbox)]
                labels = {NAME_HASH_LABEL: sandbox_status.name_hash(sandbox["metadata"]["name"])}
                await self.hub.patch(POD, pod, {"metadata": {"ownerReferences": references, "labels": labels}})
        if found.error or found.several:
            return
        running = not sandbox_status.suspended(sandbox) and pod is not None
        terminating = found.action == "delete" or (
            pod is not None and (controller_of(pod) or {}).get("uid") == uid(sandbox)
        )
        if running and pod is not None:
            await self._track(sandbox, pod["metadata"]["name"])
        elif not terminating:
            await self._track(sandbox, None)

    async def _create(self, sandbox: Object) -> Object:
        metadata = sandbox["metadata"]
        labels = {NAME_HASH_LABEL: sandbox_status.name_hash(metadata["name"])}
        template, owner = sandbox["spec"]["podTemplate"], owner_reference(SANDBOX, sandbox)
        pod = from_template(template, owner, name=metadata["name"], labels=labels)
        return await self.hub.create(POD, metadata["namespace"], pod)

    async def _track(self, sandbox: Object, name: str | None) -> None:
        """Note the pod's name on the Sandbox, or that it has none."""
        sandbox = self.objects.get(uid(sandbox)) or sandbox
        if (sandbox["metadata"].get("annotations") or {}).get(POD_NAME) != name:
            await self.hub.patch(SANDBOX, sandbox, {"metadata": {"annotations": {POD_NAME: name}}})

    async def _expire(self, sandbox: Object) -> None:
        """The Sandbox's time is over: say so, and only then end its pod."""
        if not sandbox_status.marked_expired(sandbox):
            status = sandbox_status.expired_status(sandbox, times.now(), cleared=False)
            await self.hub.write_status(SANDBOX, sandbox, status)
            sandbox = self.objects.get(uid(sandbox)) or sandbox
        pod = self._pods.cache.named(sandbox["metadata"]["namespace"], sandbox_status.pod_name(sandbox))
        if pod is not None and (controller_of(pod) or {}).get("uid") == uid(sandbox) and not deleting(pod):
            await self._pods.delete([pod])
        if sandbox["spec"].get("shutdownPolicy") == "Delete":
            await self.hub.delete(SANDBOX, sandbox)
            return
        status = sandbox_status.expired_status(sandbox, times.now(), cleared=True)
        await self.hub.write_status(SANDBOX, sandbox, status)

    async def _write_status(self, sandbox: Object, found: Finding) -> None:
        status = sandbox_status.status(sandbox, found, times.now())
        if found.several:
            self.record(sandbox, "MultiplePods", sandbox_status.several_message(found.several), "Warning")
        await self.hub.write_status(SANDBOX, sandbox, status)
