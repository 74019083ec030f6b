"""The ReplicaSet controller."""

from agentstop_playground.api_client import Object
from agentstop_playground.controllers.controller import Controller
from agentstop_playground.controllers.hub import Hub
from agentstop_playground.controllers.kinds import POD, REPLICA_SET
from agentstop_playground.controllers.objects import (
    active,
    controller_of,
    deleting,
    owner_reference,
    ready,
    removal_rank,
    selects,
    terminating,
    uid,
)
from agentstop_playground.controllers.pods import Pods, from_template


class ReplicaSetController(Controller):
    """Keeps as many pods of a template as each ReplicaSet asks for."""

    kind = REPLICA_SET

    def __init__(self, hub: Hub) -> None:
        super().__init__(hub, POD)
        self._pods = Pods(hub)

    async def reconcile(self, key: str) -> float | None:
        """Make the pods that are missing, delete those that are too many."""
        replica_set = self.objects.get(key)
        if replica_set is None or deleting(replica_set):
            return None
        try:
            await self._act(replica_set)
        finally:
            replica_set = self.objects.get(key) or replica_set
            pods = self._pods.cache.controlled_by(key)
            await self.hub.write_status(REPLICA_SET, replica_set, _status(replica_set, pods))
        return None

    def child_changed(self, change: str, obj: Object, old: Object | None) -> None:
        """A pod has changed; one that has no controller may be one for us to adopt."""
        super().child_changed(change, obj, old)
        if change != "DELETED" and _adoptable(obj):
            for replica_set in self.objects.all():
                if _wants(replica_set, obj):
                    self.queue.add(uid(replica_set))

    async def _adopt(self, replica_set: Object) -> None:
        """Take over what matches the selector and has no controller.

        https://kubernetes.io/docs/concepts/workloads/controllers/replicaset/#non-template-pod-acquisitions
        """
        for pod in self._pods.cache.uncontrolled():
            if _adoptable(pod) and _wants(replica_set, pod):
                await self._pods.adopt(pod, owner_reference(REPLICA_SET, replica_set))

    async def _act(self, replica_set: Object) -> None:
        await self._adopt(replica_set)
        running = [pod for pod in self._pods.cache.controlled_by(uid(replica_set)) if active(pod)]
        surplus = len(running) - int(replica_set["spec"]["replicas"])
        if surplus > 0:
            doomed = sorted(running, key=removal_rank)[:surplus]
            await self._pods.delete(doomed)
            for pod in doomed:
                self.record(replica_set, "SuccessfulDelete", f"Deleted pod: {pod['metadata']['name']}")
        elif surplus < 0:
            owner, metadata = owner_reference(REPLICA_SET, replica_set), replica_set["metadata"]
            template, prefix = replica_set["spec"]["template"], f"{metadata['name']}-"
            pods = [from_template(template, owner, generateName=prefix) for _ in range(-surplus)]
            for pod in await self._pods.create(metadata["namespace"], pods):
                self.record(replica_set, "SuccessfulCreate", f"Created pod: {pod['metadata']['name']}")


def _adoptable(pod: Object) -> bool:
    return controller_of(pod) is None and active(pod)


def _wants(replica_set: Object, pod: Object) -> bool:
    if deleting(replica_set) or replica_set["metadata"]["namespace"] != pod["metadata"]["namespace"]:
        return False
    return selects(replica_set["spec"]["selector"], pod)


def _status(replica_set: Object, pods: list[Object]) -> Object:
    running = [pod for pod in pods if active(pod)]
    labels = replica_set["spec"]["template"]["metadata"]["labels"].items()
    labelled = sum(labels <= (pod["metadata"].get("labels") or {}).items() for pod in running)
    serving = sum(ready(pod) for pod in running)
    status: Object = {
        "replicas": len(running),
        "observedGeneration": replica_set["metadata"]["generation"],
        "terminatingReplicas": sum(terminating(pod) for pod in pods),
    }
    for name, number in (
        ("fullyLabeledReplicas", labelled),
        ("readyReplicas", serving),
        ("availableReplicas", serving),
    ):
        if number:
            status[name] = number
    return status
