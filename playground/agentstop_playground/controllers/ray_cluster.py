"""The controller of RayClusters: a head and its workers, and nothing of Ray.

What it does and says of a suspension is what KubeRay does and says, its odd sides included: once begun, it is carried
out whatever the spec says meanwhile, and it ends only where the spec says false in so many words.
https://github.com/ray-project/kuberay/blob/v1.7.0/ray-operator/controllers/ray/raycluster_controller.go
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Final

from agentstop_playground import times
from agentstop_playground.api_client import Object
from agentstop_playground.controllers.controller import Controller
from agentstop_playground.controllers.hub import Hub
from agentstop_playground.controllers.kinds import POD, RAY_CLUSTER
from agentstop_playground.controllers.objects import condition, deleting, owner_reference, phase
from agentstop_playground.controllers.pods import Pods, from_template

CLUSTER_LABEL: Final = "ray.io/cluster"
GROUP_LABEL: Final = "ray.io/group"
HEAD: Final = "headgroup"
SUSPENDING: Final = "RayClusterSuspending"
SUSPENDED: Final = "RayClusterSuspended"
OURS: Final = "ray.io/kuberay-operator"
MAX_NAME: Final = 53
"""KubeRay looks after none whose name is longer."""


class RayClusterController(Controller):
    """Keeps the pods of each RayCluster that is to run, and ends all pods of one that is not."""

    kind = RAY_CLUSTER

    def __init__(self, hub: Hub) -> None:
        super().__init__(hub, POD)
        self._pods = Pods(hub)

    async def reconcile(self, key: str) -> float | None:
        """Make or delete pods, then say how things are."""
        cluster = self.objects.get(key)
        if cluster is None or deleting(cluster) or not _looked_after(cluster):
            return None
        pods = self._pods.cache.controlled_by(key)
        step = step_of(cluster)
        if step == SUSPENDING:
            await self._pods.delete(pod for pod in pods if not deleting(pod))
        elif not step and not cluster["spec"].get("suspend"):
            await self._pods.delete(pod for pod in pods if phase(pod) in {"Succeeded", "Failed"} and not deleting(pod))
            await self._pods.create(cluster["metadata"]["namespace"], missing(cluster, pods))
        pods = self._pods.cache.controlled_by(key)
        await self.hub.write_status(RAY_CLUSTER, cluster, status(cluster, pods, times.now()))
        return None


def step_of(cluster: Object) -> str:
    """Which of its two conditions holds: it is suspending, or suspended; empty where neither does."""
    found = (cluster.get("status") or {}).get("conditions") or ()
    return next((each["type"] for each in found if each["type"] in {SUSPENDING, SUSPENDED} and _holds(each)), "")


def missing(cluster: Object, pods: Sequence[Object]) -> list[Object]:
    """The pods that a RayCluster lacks; one that is going counts until it is gone."""
    spec, name = cluster["spec"], cluster["metadata"]["name"]
    groups = [(HEAD, 1, spec["headGroupSpec"]["template"])]
    groups += [(each["groupName"], each["replicas"], each["template"]) for each in spec.get("workerGroupSpecs") or ()]
    owner, found = owner_reference(RAY_CLUSTER, cluster), []
    for group, wanted, template in groups:
        there = sum(pod["metadata"]["labels"].get(GROUP_LABEL) == group for pod in pods)
        labels = {CLUSTER_LABEL: name, GROUP_LABEL: group}
        made = (from_template(template, owner, generateName=f"{name}-{group}-", labels=labels) for _ in range(wanted))
        found += list(made)[there:]
    return found


def status(cluster: Object, pods: Sequence[Object], now: datetime) -> Object:
    """The status to write."""
    new = dict(cluster.get("status") or {})
    suspend, step = cluster["spec"].get("suspend"), step_of(cluster)
    conditions: list[Object] = [dict(each) for each in new.get("conditions") or ()]
    if step == SUSPENDING and not pods:
        _set(conditions, SUSPENDING, False, now)
        _set(conditions, SUSPENDED, True, now)
    elif step == SUSPENDED and suspend is False:
        _set(conditions, SUSPENDED, False, now)
    elif not step:
        _set(conditions, SUSPENDED, False, now)
        _set(conditions, SUSPENDING, bool(suspend), now)
    if suspend and not pods:
        new["state"] = "suspended"
    elif pods and not missing(cluster, pods) and all(phase(pod) == "Running" for pod in pods):
        new["state"] = "ready"
    return {**new, "conditions": conditions}


def _looked_after(cluster: Object) -> bool:
    return len(cluster["metadata"]["name"]) <= MAX_NAME and cluster["spec"].get("managedBy", OURS) == OURS


def _holds(item: Object) -> bool:
    return bool(item["status"] == "True")


def _set(conditions: list[Object], kind: str, holds: bool, now: datetime) -> None:
    old = condition(conditions, kind)
    if old is None:
        old = {"type": kind, "reason": kind, "message": ""}
        conditions.append(old)
    value = "True" if holds else "False"
    if old.get("status") != value:
        old |= {"status": value, "lastTransitionTime": times.rfc3339(now)}
