"""The StatefulSet controller, for sets without volumes of their own."""

from typing import Final

from agentstop_playground.api_client import Object
from agentstop_playground.controllers.controller import Controller
from agentstop_playground.controllers.hub import Hub
from agentstop_playground.controllers.kinds import POD, STATEFUL_SET
from agentstop_playground.controllers.objects import (
    FINISHED_PHASES,
    active,
    deleting,
    owner_reference,
    phase,
    ready,
    template_hash,
)
from agentstop_playground.controllers.pods import Pods, from_template

_REVISION: Final = "controller-revision-hash"
_NAME: Final = "statefulset.kubernetes.io/pod-name"
_INDEX: Final = "apps.kubernetes.io/pod-index"


class StatefulSetController(Controller):
    """Keeps pods with the names NAME-0, NAME-1 and so on: made upwards, deleted downwards, one after another."""

    kind = STATEFUL_SET

    def __init__(self, hub: Hub) -> None:
        super().__init__(hub, POD)
        self._pods = Pods(hub)

    async def reconcile(self, key: str) -> float | None:
        """Take the next step; the change that it makes leads to the one after."""
        found = self.objects.get(key)
        if found is None or deleting(found):
            return None
        by_index = _by_index(found, self._pods.cache.controlled_by(key))
        doomed, missing = _step(found, by_index)
        await self._pods.delete(doomed)
        await self._pods.create(found["metadata"]["namespace"], [_pod(found, index) for index in missing])
        found = self.objects.get(key) or found
        pods = list(_by_index(found, self._pods.cache.controlled_by(key)).values())
        await self.hub.write_status(STATEFUL_SET, found, _status(found, pods))
        return None


def _by_index(stateful_set: Object, pods: list[Object]) -> dict[int, Object]:
    prefix = f"{stateful_set['metadata']['name']}-"
    numbered = ((pod["metadata"]["name"].removeprefix(prefix), pod) for pod in pods)
    return {int(index): pod for index, pod in numbered if index.isdecimal()}


def _step(stateful_set: Object, pods: dict[int, Object]) -> tuple[list[Object], list[int]]:
    """The pods to delete, and the numbers to make pods for."""
    spec = stateful_set["spec"]
    replicas, parallel = int(spec["replicas"]), spec["podManagementPolicy"] == "Parallel"
    ended = [pod for pod in pods.values() if phase(pod) in FINISHED_PHASES and not deleting(pod)]
    if ended:
        return ended, []
    missing = [index for index in range(replicas) if index not in pods]
    surplus = sorted((index for index in pods if index >= replicas), reverse=True)
    if parallel:
        return [pods[index] for index in surplus if not deleting(pods[index])], missing
    for index in range(replicas):
        if index not in pods:
            return [], [index]
        if not ready(pods[index]) or deleting(pods[index]):
            return [], []
    if surplus:
        last = pods[surplus[0]]
        return [] if deleting(last) else [last], []
    revision = _revision(stateful_set)
    outdated = [index for index in pods if pods[index]["metadata"]["labels"].get(_REVISION) != revision]
    if outdated and spec["updateStrategy"]["type"] == "RollingUpdate":
        return [pods[max(outdated)]], []
    return [], []


def _revision(stateful_set: Object) -> str:
    return f"{stateful_set['metadata']['name']}-{template_hash(stateful_set['spec']['template'])}"


def _pod(stateful_set: Object, index: int) -> Object:
    name = f"{stateful_set['metadata']['name']}-{index}"
    labels = {_NAME: name, _INDEX: str(index), _REVISION: _revision(stateful_set)}
    template = stateful_set["spec"]["template"]
    pod = from_template(template, owner_reference(STATEFUL_SET, stateful_set), name=name, labels=labels)
    pod["spec"] = {**pod["spec"], "hostname": name}
    return pod


def _status(stateful_set: Object, pods: list[Object]) -> Object:
    revision = _revision(stateful_set)
    serving = sum(ready(pod) for pod in pods if active(pod))
    updated = sum(pod["metadata"]["labels"].get(_REVISION) == revision for pod in pods if active(pod))
    old = stateful_set.get("status") or {}
    current = old.get("currentRevision") or revision
    if updated == len(pods) == int(stateful_set["spec"]["replicas"]) == serving:
        current = revision
    status: Object = {
        "replicas": len(pods),
        "availableReplicas": serving,
        "observedGeneration": stateful_set["metadata"]["generation"],
        "currentRevision": current,
        "updateRevision": revision,
        "collisionCount": 0,
    }
    for name, number in (
        ("readyReplicas", serving),
        ("updatedReplicas", updated),
        ("currentReplicas", updated if current == revision else 0),
    ):
        if number:
            status[name] = number
    return status
