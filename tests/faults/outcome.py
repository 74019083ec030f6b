"""What came of a scenario, masked, so that two runs of it can be compared."""

import json
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from tests.faults.masks import without_moments
from tests.faults.scenarios import Stage
from tests.faults.traffic import Traffic, Write
from tests.support.kube import PODS, REPLICA_SETS, SANDBOXES, Kind, KubeError, Object
from tests.support.laws import status
from tests.support.orders import ORDERS
from tests.support.workloads import KINDS

_PASSING: Final = frozenset({"resourceVersion", "durationSeconds", "pausedSeconds", "signalSeconds", "haltSeconds"})
"""Fields whose values are other ones each time."""

_MADE: Final = (REPLICA_SETS, SANDBOXES, PODS)
"""What controllers give names to; those whose names begin others come first."""

_EFFECTLESS: Final = frozenset({"events"})
"""Resources whose objects tell, and do nothing."""


class Mask:
    """Takes out of texts what no two runs have in common."""

    def __init__(self, namespace: str) -> None:
        self._names = {namespace: "NAMESPACE"}

    async def learn(self, stage: Stage) -> None:
        """Learn the names that controllers have given."""
        for kind in _MADE:
            for item in await _all(stage, kind):
                self.learn_name(item)
        for name in stage.ns.pods.names():
            self.learn_name(stage.ns.pods.of(name)[-1])

    def learn_name(self, item: Object) -> None:
        """Have an object that has a controller go by the controller's name."""
        name = item["metadata"]["name"]
        owners = [each for each in item["metadata"].get("ownerReferences") or () if each.get("controller")]
        if owners and name not in self._names and name != owners[0]["name"]:
            called = self._names.get(owners[0]["name"], f"{owners[0]['kind']} {owners[0]['name']}")
            self._names[name] = f"one of {called}"

    def text(self, text: str) -> str:
        """Return a text without names, UIDs, times and durations."""
        for name in sorted(self._names, key=len, reverse=True):
            text = re.sub(rf"(?<![\w-]){re.escape(name)}(?![\w-])", self._names[name], text)
        return without_moments(text)

    def value(self, value: Any) -> Any:
        """Return a value without them; what has no order of its own is sorted."""
        match value:
            case str():
                return self.text(value)
            case dict():
                return {name: self.value(each) for name, each in value.items() if name not in _PASSING}
            case list():
                return sorted((self.value(each) for each in value), key=lambda each: json.dumps(each, sort_keys=True))
        return value


@dataclass
class Outcome:
    """What came of one run."""

    tasks: dict[str, Object]
    """The last status of each task, and whether the task is still there."""
    others: dict[str, Any]
    """The specs of workloads, the statuses of orders, and how many pods there ever were."""
    effects: dict[str, list[int]] = field(default_factory=dict)
    """By verb and masked path of what is neither status nor Event: how often it was done to each object."""
    requests: int = 0
    statuses: int = 0


async def outcome(stage: Stage, traffic: Traffic) -> Outcome:
    """Return what came of a scenario that has come to its end."""
    mask = Mask(stage.ns.name)
    await mask.learn(stage)
    tasks = {name: mask.value(_last(stage, name)) for name in stage.ns.tasks.names()}
    others: dict[str, Any] = {}
    for item in await _all(stage, ORDERS):
        others[f"StopOrder {item['metadata']['name']}"] = mask.value(item.get("status"))
    for called, kind in KINDS.items():
        for item in await _all(stage, kind):
            others[mask.text(f"{called} {item['metadata']['name']}")] = _wants(item)
    ever = Counter(mask.text(_called(state)) for state in _ever(stage))
    others["pods ever"] = dict(ever)
    carried_out = [each for each in traffic.writes if each.carried_out]
    return Outcome(
        tasks,
        others,
        _effects(carried_out, mask),
        sum(traffic.requests.values()),
        sum(each.target.subresource == "status" for each in carried_out),
    )


def _last(stage: Stage, name: str) -> Object:
    task = stage.ns.tasks.of(name)[-1]
    found = status(task)
    # Which generation was looked at last, where the task has ended, is no one's promise.
    return {**found, "gone": stage.ns.tasks.gone(name), "finalizers": task["metadata"].get("finalizers")}


def _wants(item: Object) -> Object:
    """Return what says whether a workload is to run."""
    spec = item["spec"]
    return {name: spec[name] for name in ("suspend", "replicas", "operatingMode", "parallelism") if name in spec}


def _ever(stage: Stage) -> list[Object]:
    """Return one state of each pod that there ever was."""
    found = {state["metadata"]["uid"]: state for name in stage.ns.pods.names() for state in stage.ns.pods.of(name)}
    return list(found.values())


def _called(pod: Object) -> str:
    return str(pod["metadata"]["name"])


def _effects(writes: Sequence[Write], mask: Mask) -> dict[str, list[int]]:
    counts = Counter(
        (each.verb, each.path)
        for each in writes
        if each.target.resource not in _EFFECTLESS and each.target.subresource != "status"
    )
    found: dict[str, list[int]] = {}
    for (verb, path), count in counts.items():
        found.setdefault(f"{verb} {mask.text(path)}", []).append(count)
    return {name: sorted(each, reverse=True) for name, each in found.items()}


async def _all(stage: Stage, kind: Kind) -> list[Object]:
    try:
        return await stage.ns.kube.list(kind, stage.ns.name)
    except KubeError as error:
        if error.code != 404:
            raise
        return []
