"""The attacker's objects: a plain one of each kind, and twists that make it hostile.

A twist changes one thing: an object with one is as a rule accepted, and one that is refused tries nothing.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from random import Random
from typing import Any, Final

from tests.hostile import values
from tests.support import agents, manifests, marks
from tests.support.kube import (
    DEPLOYMENTS,
    EVENTS,
    JOBS,
    PODS,
    SANDBOXES,
    STATEFUL_SETS,
    TASKS,
    Kind,
    Object,
)
from tests.support.namespaces import API_VERSION
from tests.support.orders import ORDERS

LEASES: Final = Kind("/apis/coordination.k8s.io/v1", "leases")

MARK: Final = ("AgentTask", "any")
"""By this, in place of a workload's kind and name, the processes of pods that the attacker's tasks make are found."""

NAMES: Final[Mapping[Kind, tuple[str, ...]]] = {
    TASKS: tuple(f"task-{number}" for number in range(10)),
    PODS: tuple(f"pod-{number}" for number in range(4)) + tuple(f"task-{number}" for number in range(10)),
    JOBS: ("job-0", "job-1"),
    DEPLOYMENTS: ("web-0", "web-1"),
    STATEFUL_SETS: ("set-0",),
    SANDBOXES: ("box-0", "box-1"),
    ORDERS: tuple(f"order-{number}" for number in range(6)),
    EVENTS: ("event-0", "event-1"),
    LEASES: ("lease-0", "agentstop"),
}
"""Few, so that one thing is done to an object after another. A task's pod has the name of its task."""

WORKLOADS: Final = {JOBS: "Job", DEPLOYMENTS: "Deployment", STATEFUL_SETS: "StatefulSet", SANDBOXES: "Sandbox"}
VERSIONS: Final = {"Job": "batch/v1", "Sandbox": manifests.SANDBOX_VERSION, "Pod": "v1"}

COUNTS: Final = frozenset({"replicas", "parallelism", "completions"})
"""Only ever small: large ones that are valid would be pods on this machine."""

Twist = Callable[[Random, Object], None]


@dataclass(frozen=True)
class Namespaced:
    """The attacker's place, of which plain objects know the name: their processes are marked with it."""

    namespace: str

    def plain(self, rng: Random, kind: Kind, name: str) -> Object:
        """Return an object with nothing wrong about it."""
        if kind is TASKS:
            return self._task(rng, name)
        if kind is PODS:
            spec = {"restartPolicy": "Never", **agents.pod_spec()}
            return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": spec}
        if kind is ORDERS:
            spec = {"selector": {}, "taskNames": [rng.choice(NAMES[TASKS])]}
            return {"apiVersion": API_VERSION, "kind": "StopOrder", "metadata": {"name": name}, "spec": spec}
        if kind is EVENTS:
            return _event(name, self.namespace)
        if kind is LEASES:
            metadata = {"name": name}
            return {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": metadata, "spec": {}}
        making: Mapping[Kind, Callable[[str], Object]] = {
            JOBS: manifests.job,
            DEPLOYMENTS: manifests.deployment,
            STATEFUL_SETS: manifests.stateful_set,
        }
        return making.get(kind, manifests.sandbox)(name)

    def _task(self, rng: Random, name: str) -> Object:
        spec: Object = {}
        if rng.random() < 0.6:
            pod = {"restartPolicy": "Never", **agents.pod_spec()}
            spec["podTemplate"] = {"spec": marks.put(pod, marks.for_workload(self.namespace, *MARK))}
        else:
            kind = rng.choice((*WORKLOADS, PODS))
            called = WORKLOADS.get(kind, "Pod")
            version = VERSIONS.get(called, "apps/v1")
            spec["workloadRef"] = {"apiVersion": version, "kind": called, "name": rng.choice(NAMES[kind])}
        return {"apiVersion": API_VERSION, "kind": "AgentTask", "metadata": {"name": name}, "spec": spec}


def _event(name: str, namespace: str) -> Object:
    regarding = {"apiVersion": API_VERSION, "kind": "AgentTask", "namespace": namespace, "name": "task-0"}
    return {
        "apiVersion": "events.k8s.io/v1",
        "kind": "Event",
        "metadata": {"name": name},
        "eventTime": "2026-01-01T00:00:00.000000Z",
        "type": "Normal",
        "action": "Stop",
        "reason": "StopConfirmed",
        "reportingController": "agentstop.dev/operator",
        "reportingInstance": "agentstop",
        "regarding": regarding,
        "note": "No process is left",
    }


# Twists of metadata


def _deep_fields(rng: Random, item: Object) -> None:
    entry = {
        "manager": values.text(rng)[:40] or "m",
        "operation": rng.choice(("Update", "Apply")),
        "apiVersion": item.get("apiVersion", "v1"),
        "fieldsType": "FieldsV1",
        "time": "2026-01-01T00:00:00Z",
        "fieldsV1": values.deep(rng),
    }
    _metadata(item)["managedFields"] = [entry] * rng.choice((1, 1, 3))


def _strange_fields(rng: Random, item: Object) -> None:
    entry = {"manager": values.anything(rng), "operation": values.anything(rng), "time": values.time(rng)}
    _metadata(item)["managedFields"] = rng.choice(([{}], [entry], None, [{**entry, "operation": "Update"}] * 5_000))


def _padding(rng: Random, item: Object) -> None:
    _metadata(item)[rng.choice(("labels", "annotations"))] = values.labels(rng)


def _long_annotation(rng: Random, item: Object) -> None:
    _metadata(item)["annotations"] = {"example.com/long": values.long_text(rng)}


def _strange_labels(rng: Random, item: Object) -> None:
    _metadata(item)[rng.choice(("labels", "annotations"))] = values.strange_labels(rng)


def _our_labels(rng: Random, item: Object) -> None:
    names = ("agentstop.dev/task", "agentstop.dev/stop-requested-by", "agentstop.dev/requested-by", "agentstop.dev/x")
    value = rng.choice((*NAMES[TASKS], None, "", "a" * 63))
    _metadata(item)[rng.choice(("labels", "annotations"))] = {rng.choice(names): value}


def _owners(rng: Random, item: Object) -> None:
    kinds = (("v1", "Pod"), (API_VERSION, "AgentTask"), ("v1", "Node"), ("apps/v1", "ReplicaSet"), ("x/y", "Nothing"))
    owners = []
    for _ in range(rng.choice((1, 1, 2, 400))):
        version, kind = rng.choice(kinds)
        uid = f"{rng.getrandbits(128):032x}"
        owner = {"apiVersion": version, "kind": kind, "name": rng.choice(NAMES[TASKS]), "uid": uid}
        owners.append({**owner, "controller": rng.random() < 0.4, "blockOwnerDeletion": rng.random() < 0.5})
    _metadata(item)["ownerReferences"] = owners if rng.random() < 0.8 else values.anything(rng)


def _finalizers(rng: Random, item: Object) -> None:
    some: tuple[Any, ...] = (["example.com/hold"], ["foregroundDeletion"], ["orphan"], ["agentstop.dev/stop"], [], None)
    many = [f"example.com/f{number}" for number in range(rng.choice(values.MANY))]
    _metadata(item)["finalizers"] = rng.choice((*some, many))


def _times(rng: Random, item: Object) -> None:
    field = rng.choice(("creationTimestamp", "deletionTimestamp"))
    _metadata(item)[field] = values.time(rng)


def _identity(rng: Random, item: Object) -> None:
    field = rng.choice(("uid", "resourceVersion", "generation", "deletionGracePeriodSeconds", "selfLink", "namespace"))
    _metadata(item)[field] = values.anything(rng)


def _generated_name(rng: Random, item: Object) -> None:
    metadata = _metadata(item)
    metadata.pop("name", None)
    metadata["generateName"] = rng.choice(("g-", "g" * 62 + "-", values.text(rng), "../g-"))


def _metadata(item: Object) -> Object:
    return _part(item, "metadata")


def _part(item: Object, name: str) -> Object:
    """Return a part of an object; it is made anew where another twist has made something else of it."""
    part = item.get(name)
    if not isinstance(part, dict):
        part = item[name] = {}
    return part


# Twists of what an object is about


def _pod_number(rng: Random, item: Object) -> None:
    field = rng.choice(("terminationGracePeriodSeconds", "activeDeadlineSeconds", "priority"))
    pod_spec_of(item)[field] = values.number(rng)


def _pod_field(rng: Random, item: Object) -> None:
    spec = pod_spec_of(item)
    fields = ("nodeSelector", "tolerations", "schedulingGates", "hostname", "overhead", "readinessGates", "newField")
    spec[rng.choice((*fields, "nodeName", "subdomain", "dnsConfig"))] = values.anything(rng)


def _pod_pending(rng: Random, item: Object) -> None:
    pod_spec_of(item)["schedulerName"] = "nobody"


def _pod_deep(rng: Random, item: Object) -> None:
    pod_spec_of(item)[rng.choice(("affinity", "newField", "securityContext"))] = values.deep(rng)


def _pod_large(rng: Random, item: Object) -> None:
    volume = {"name": "v", "csi": {"driver": "d", "volumeAttributes": {"a": values.long_text(rng)}}}
    pod_spec_of(item)["volumes"] = [volume]


def _pod_probe(rng: Random, item: Object) -> None:
    for container in _containers(item):
        probe = {"exec": {"command": ["true"]}, "terminationGracePeriodSeconds": values.number(rng)}
        container[rng.choice(("livenessProbe", "startupProbe"))] = probe


def _pod_crowd(rng: Random, item: Object) -> None:
    spec = pod_spec_of(item)
    first = next(iter(_containers(item)), {})
    gates = [{"conditionType": f"example.com/{number}"} for number in range(rng.choice(values.MANY))]
    spec["readinessGates"] = gates
    spec["containers"] = [first, {**first, "name": values.text(rng)[:63]}]


def _task_number(rng: Random, item: Object) -> None:
    field = rng.choice(("activeDeadlineSeconds", "ttlSecondsAfterFinished"))
    _spec(item)[field] = rng.choice((values.number(rng), 0, 1, 31_536_000))


def _task_text(rng: Random, item: Object) -> None:
    text = rng.choice((values.text, values.long_text))(rng)
    _spec(item)[rng.choice(("agent", "mainContainer", "newField"))] = text


def _task_stop(rng: Random, item: Object) -> None:
    stop = {
        "reason": rng.choice(("Mine", values.text(rng))),
        "message": rng.choice((values.text(rng), values.long_text(rng))),
        "gracePeriodSeconds": rng.choice((1, 3600, values.number(rng))),
        "podPolicy": rng.choice(("Keep", "Delete", values.text(rng))),
        "onUnconfirmed": rng.choice(("Wait", "MarkStopped")),
    }
    chosen = rng.sample(sorted(stop), rng.randint(1, 2))
    _spec(item)["stop"] = {name: stop[name] for name in chosen}


def _task_family(rng: Random, item: Object) -> None:
    _spec(item)["parentRef"] = {"name": rng.choice((*NAMES[TASKS], "nobody", values.text(rng)))}


def _task_switch(rng: Random, item: Object) -> None:
    field = rng.choice(("paused", "paused", "stopRequested"))
    _spec(item)[field] = rng.choice((True, False, None))


def _task_deletion(rng: Random, item: Object) -> None:
    _spec(item)["deletionPolicy"] = rng.choice(("Orphan", "Stop", "Never"))


def _status(rng: Random, item: Object) -> None:
    phase = rng.choice(("Stopped", "Running", "Completed", values.text(rng)))
    item["status"] = rng.choice((values.anything(rng), {"phase": phase, "conditions": [values.anything(rng)]}))


def _replicas(rng: Random, item: Object) -> None:
    field = "parallelism" if item.get("kind") == "Job" else "replicas"
    _spec(item)[field] = rng.choice((0, 1, 2, 3, -1, None, values.text(rng), values.Raw("0.5")))


def _workload_field(rng: Random, item: Object) -> None:
    fields = ("paused", "suspend", "selector", "serviceName", "minReadySeconds", "backoffLimit", "operatingMode")
    _spec(item)[rng.choice(fields)] = values.anything(rng)


def _order_terms(rng: Random, item: Object) -> None:
    many = rng.choice((1, 64, 65, 2_000))
    terms = [
        {"key": f"k{number}", "operator": "NotIn", "values": ["v"] * rng.choice((1, 64))} for number in range(many)
    ]
    pairs = {f"k{number}": "v" for number in range(many)}
    _spec(item)["selector"] = rng.choice(({"matchExpressions": terms}, {"matchLabels": pairs}, values.anything(rng)))


def _order_names(rng: Random, item: Object) -> None:
    field = rng.choice(("taskNames", "agents"))
    _spec(item)[field] = [f"task-{number}" for number in range(rng.choice((0, 1, 256, 5_000)))]


def _order_mode(rng: Random, item: Object) -> None:
    spec = _spec(item)
    spec[rng.choice(("drill", "drill", "hold"))] = True
    spec["ttlSecondsAfterFinished"] = rng.choice((0, 1, values.number(rng)))
    spec["message"] = rng.choice((values.text(rng), values.long_text(rng)))


def _any_field(rng: Random, item: Object) -> None:
    target = rng.choice((item, _metadata(item), _spec(item)))
    names = sorted(name for name in target if name not in COUNTS)
    target[rng.choice((*names, "newField"))] = values.anything(rng)


def _spec(item: Object) -> Object:
    return _part(item, "spec")


def pod_spec_of(item: Object) -> Object:
    """Return where an object has its pod's spec, or the spec itself."""
    spec = _spec(item)
    for field in ("podTemplate", "template"):
        if field in spec:
            return _part(_part(spec, field), "spec")
    return spec


def _containers(item: Object) -> list[Object]:
    found = pod_spec_of(item).get("containers")
    return [each for each in found if isinstance(each, dict)] if isinstance(found, list) else []


METADATA: Final[Mapping[str, tuple[Twist, ...]]] = {
    "depth": (_deep_fields,),
    "size": (_padding, _long_annotation),
    "unicode": (_strange_labels,),
    "fields": (_strange_fields, _identity, _generated_name, _any_field),
    "labels": (_our_labels,),
    "owners": (_owners,),
    "finalizers": (_finalizers,),
    "times": (_times,),
}

_IN_PODS: Final[Mapping[str, tuple[Twist, ...]]] = {
    "depth": (_pod_deep,),
    "size": (_pod_large, _pod_crowd),
    "numbers": (_pod_number, _pod_probe),
    "fields": (_pod_field, _pod_pending),
}

SPECIAL: Final[Mapping[Kind, Mapping[str, tuple[Twist, ...]]]] = {
    TASKS: {
        **_IN_PODS,
        "numbers": (_pod_number, _pod_probe, _task_number),
        "unicode": (_task_text,),
        "stops": (_task_stop, _task_switch),
        "families": (_task_family, _task_deletion),
        "status": (_status,),
    },
    PODS: {**_IN_PODS, "status": (_status,)},
    ORDERS: {"size": (_order_terms, _order_names), "stops": (_order_mode,), "status": (_status,)},
    **{kind: {**_IN_PODS, "numbers": (_pod_number, _replicas), "fields": (_workload_field,)} for kind in WORKLOADS},
}
"""What can be done to an object, by the word by which it is weighed."""


def twists(kind: Kind) -> dict[str, tuple[Twist, ...]]:
    """Return all twists of a kind, by the word by which they are weighed."""
    found = dict(METADATA)
    for word, more in SPECIAL.get(kind, {}).items():
        found[word] = (*found.get(word, ()), *more)
    return found
