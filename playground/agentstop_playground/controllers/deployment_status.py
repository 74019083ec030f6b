"""What a Deployment's ReplicaSets are to be, and what its status says. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from agentstop_playground import times
from agentstop_playground.api_client import Object
from agentstop_playground.controllers.objects import condition, template_hash

HASH_LABEL: Final = "pod-template-hash"


@dataclass(frozen=True, slots=True)
class Plan:
    """What to do to ReplicaSets: the one to make, and how many pods those that are there are to have."""

    create: Object | None
    scale: tuple[tuple[Object, int], ...]


def plan(deployment: Object, owned: Sequence[Object]) -> Plan:
    """How to come closer to the template and number that the Deployment asks for.

    The new ReplicaSet comes up at once, and the old ones go when it is available; with the type Recreate they go first.
    """
    spec = deployment["spec"]
    replicas = int(spec["replicas"])
    current = current_of(deployment, owned)
    old = [item for item in owned if item is not current]
    if spec.get("paused"):
        latest = owned[-1] if owned else None
        return Plan(None, _changes([(item, replicas if item is latest else 0) for item in owned]))
    recreate = spec["strategy"]["type"] == "Recreate"
    if recreate and not all(_empty(item) for item in old):
        return Plan(None, _changes([(item, 0) for item in old]))
    if current is None:
        return Plan(_replica_set(deployment, replicas), _changes([(item, min(replicas, _asked(item))) for item in old]))
    ready = _number(current, "availableReplicas") >= replicas
    kept = [(item, 0 if ready else min(replicas, _asked(item))) for item in old]
    return Plan(None, _changes([(current, replicas), *kept]))


def current_of(deployment: Object, owned: Sequence[Object]) -> Object | None:
    """The ReplicaSet that has the Deployment's template."""
    name = f"{deployment['metadata']['name']}-{template_hash(deployment['spec']['template'])}"
    return next((item for item in owned if item["metadata"]["name"] == name), None)


def status(deployment: Object, owned: Sequence[Object], now: datetime) -> Object:
    """The status to write."""
    replicas = int(deployment["spec"]["replicas"])
    current = current_of(deployment, owned)
    available = sum(_number(item, "availableReplicas") for item in owned)
    total = sum(_number(item, "replicas") for item in owned)
    updated = _number(current, "replicas") if current is not None else 0
    new: Object = {
        "observedGeneration": deployment["metadata"]["generation"],
        "terminatingReplicas": sum(_number(item, "terminatingReplicas") for item in owned),
    }
    for name, number in (
        ("replicas", total),
        ("updatedReplicas", updated),
        ("readyReplicas", sum(_number(item, "readyReplicas") for item in owned)),
        ("availableReplicas", available),
        ("unavailableReplicas", max(max(total, replicas) - available, 0)),
    ):
        if number:
            new[name] = number
    conditions: list[Object] = [dict(item) for item in (deployment.get("status") or {}).get("conditions") or ()]
    if available >= replicas:
        reached = "MinimumReplicasAvailable", "Deployment has minimum availability."
        _set(conditions, "Available", True, *reached, now)
    else:
        missing = "MinimumReplicasUnavailable", "Deployment does not have minimum availability."
        _set(conditions, "Available", False, *missing, now)
    if current is not None and updated == total == available == replicas:
        name = current["metadata"]["name"]
        done = "NewReplicaSetAvailable", f'ReplicaSet "{name}" has successfully progressed.'
        _set(conditions, "Progressing", True, *done, now)
    elif current is not None:
        going = "ReplicaSetUpdated", f'ReplicaSet "{current["metadata"]["name"]}" is progressing.'
        _set(conditions, "Progressing", True, *going, now)
    new["conditions"] = conditions
    return new


def _empty(replica_set: Object) -> bool:
    """Whether a ReplicaSet asks for no pods and is seen to have none."""
    seen = (replica_set.get("status") or {}).get("observedGeneration") == replica_set["metadata"]["generation"]
    return seen and not any(
        (_asked(replica_set), _number(replica_set, "replicas"), _number(replica_set, "terminatingReplicas"))
    )


def _asked(replica_set: Object) -> int:
    return int(replica_set["spec"]["replicas"])


def _changes(wanted: Sequence[tuple[Object, int]]) -> tuple[tuple[Object, int], ...]:
    return tuple((item, number) for item, number in wanted if _asked(item) != number)


def _number(replica_set: Object, name: str) -> int:
    return int((replica_set.get("status") or {}).get(name) or 0)


def _replica_set(deployment: Object, replicas: int) -> Object:
    spec = deployment["spec"]
    template = spec["template"]
    label = {HASH_LABEL: template_hash(template)}
    labels = {**((template.get("metadata") or {}).get("labels") or {}), **label}
    selector = spec["selector"]
    return {
        "metadata": {"name": f"{deployment['metadata']['name']}-{label[HASH_LABEL]}", "labels": labels},
        "spec": {
            "replicas": replicas,
            "selector": {**selector, "matchLabels": {**(selector.get("matchLabels") or {}), **label}},
            "template": {**template, "metadata": {**(template.get("metadata") or {}), "labels": labels}},
        },
    }


def _set(conditions: list[Object], kind: str, holds: bool, reason: str, message: str, now: datetime) -> None:
    time, value = times.rfc3339(now), "True" if holds else "False"
    old = condition(conditions, kind)
    if old is None:
        old = {"type": kind}
        conditions.append(old)
    if (old.get("status"), old.get("reason"), old.get("message")) == (value, reason, message):
        return
    if old.get("status") != value:
        old["lastTransitionTime"] = time
    old |= {"status": value, "reason": reason, "message": message, "lastUpdateTime": time}
