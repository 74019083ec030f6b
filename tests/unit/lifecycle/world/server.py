"""The world's API server: objects, resource versions, preconditions, graceful deletion as kube-apiserver does it."""

import marshal
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from agentstop.api.meta import TASK_LABEL, parse_time
from agentstop.api.pod_control import CONTROL_KIND
from agentstop.api.task import KIND, TERMINAL_PHASES
from agentstop.cluster.errors import ApiError
from agentstop.workloads.lightening import IS_HEAVY
from agentstop.workloads.objects import ObjectRef, PodsOf

from .clock import Clock, whole

Raw = dict[str, Any]
NAMESPACE = "ns"
FIRST_VERSION = 100
WITH_GENERATION = frozenset({KIND, "Job", CONTROL_KIND})


@dataclass(frozen=True)
class Change:
    """One entry of the history that watches read."""

    kind: str
    """ADDED, MODIFIED or DELETED."""
    ref: ObjectRef
    before: Raw | None
    after: Raw


class Server:
    """Objects and their history."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.objects: dict[ObjectRef, Raw] = {}
        self.history: list[Change] = []
        self.gone: set[str] = set()
        """UIDs of what was removed."""
        self._uids = 0

    # What everybody can do

    def get(self, ref: ObjectRef) -> Raw:
        found = self.objects.get(ref)
        if found is None:
            raise ApiError(404, "NotFound", f"{ref} not found")
        return copied(found)

    def create(self, ref: ObjectRef, body: Mapping[str, Any]) -> Raw:
        if ref in self.objects:
            raise ApiError(409, "AlreadyExists", f"{ref} already exists")
        raw = copied(dict(body))
        self._uids += 1
        metadata = raw.setdefault("metadata", {})
        metadata |= {"name": ref.name, "uid": f"uid-{self._uids}", "creationTimestamp": self.clock.second()}
        if ref.namespace:
            metadata["namespace"] = ref.namespace
        raw["kind"] = ref.kind
        if ref.kind == "Pod":
            raw["spec"].setdefault("terminationGracePeriodSeconds", 30)
            raw["status"] = {"phase": "Pending"}
        if ref.kind in WITH_GENERATION:
            metadata["generation"] = 1
            raw.setdefault("status", {})
        return self._store("ADDED", ref, raw)

    def change(
        self, ref: ObjectRef, edit: Callable[[Raw], None], manager: str | None = None, fields: Iterable[str] = ()
    ) -> Raw:
        """Edit an object in place; a change that changes nothing leaves no trace, as in the real one.

        `fields` of its spec are the manager's from then on, and nobody else's.
        """
        after = self.get(ref)
        edit(after)
        before = self.objects[ref]
        if after == before:
            return after
        if IS_HEAVY in before and IS_HEAVY in after and len(str(after)) >= len(str(before)):
            raise too_large()
        if manager is not None:
            self._sign(after["metadata"].setdefault("managedFields", []), manager, {f"f:{name}" for name in fields})
        if ref.kind == CONTROL_KIND and before["spec"]["state"] == "Killed" != after["spec"]["state"]:
            raise ApiError(422, "Invalid", "what is Killed stays so")
        if ref.kind in WITH_GENERATION and after["spec"] != before["spec"]:
            after["metadata"]["generation"] += 1
        metadata = after["metadata"]
        let_go = metadata.get("deletionTimestamp") and metadata["deletionGracePeriodSeconds"] == 0
        if let_go and not metadata.get("finalizers"):
            return self._remove(ref, after)
        return self._store("MODIFIED", ref, after)

    def delete(
        self, ref: ObjectRef, uid: str | None = None, grace: int | None = None, version: str | None = None
    ) -> Raw:
        """Delete an object.

        Source: BeforeDelete in k8s.io/apiserver/pkg/registry/rest/delete.go, CheckGracefulDelete of pods.
        """
        raw = self.get(ref)
        metadata = raw["metadata"]
        if (uid is not None and uid != metadata["uid"]) or (
            version is not None and version != metadata["resourceVersion"]
        ):
            raise ApiError(409, "Conflict", f"{ref}: the precondition does not hold")
        if IS_HEAVY in raw:
            raise too_large()
        period = self._period(ref, raw, grace)
        running = metadata.get("deletionGracePeriodSeconds")
        if "deletionTimestamp" in metadata:
            requested = parse_time(metadata["deletionTimestamp"])
            assert requested is not None
            if ref.kind != "Pod" or not running or grace is None or period >= running:
                return raw
            end = requested + timedelta(seconds=period - running)
            if end < self.clock.now:  # as a 1.36 server was seen to do it
                end, period = self.clock.now, min(period, 1)
            metadata |= {"deletionTimestamp": whole(end), "deletionGracePeriodSeconds": period}
        else:
            end = self.clock.now + timedelta(seconds=period)
            metadata |= {"deletionTimestamp": whole(end), "deletionGracePeriodSeconds": period}
        if period == 0 and not metadata.get("finalizers"):
            return self._remove(ref, raw)
        return self._store("MODIFIED", ref, raw)

    def pods(self) -> list[Raw]:
        return [raw for ref, raw in self.objects.items() if ref.kind == "Pod"]

    def selected(self, pods: PodsOf) -> list[Raw]:
        """Return the pods that a selector of one label finds."""
        return [copied(raw) for raw in self.pods() if selects(pods, raw)]

    def deleted_since(self, version: str, uids: Iterable[str]) -> list[Raw]:
        """Return the last states of what went after a resource version."""
        later = self.history[int(version) - FIRST_VERSION + 1 :]
        return [
            copied(each.after) for each in later if each.kind == "DELETED" and each.after["metadata"]["uid"] in uids
        ]

    # Tasks

    def children(self, namespace: str, name: str) -> list[Raw]:
        """Return the tasks whose parentRef has this name."""
        tasks = [raw for ref, raw in self.objects.items() if (ref.kind, ref.namespace) == (KIND, namespace)]
        return [copied(raw) for raw in tasks if (raw["spec"].get("parentRef") or {}).get("name") == name]

    def write_status(self, body: Mapping[str, Any]) -> Raw:
        metadata = body["metadata"]
        ref = ObjectRef(KIND, metadata["namespace"], metadata["name"])
        raw = self.get(ref)
        if (
            metadata["uid"] != raw["metadata"]["uid"]
            or metadata["resourceVersion"] != raw["metadata"]["resourceVersion"]
        ):
            raise ApiError(409, "Conflict", f"{ref} has been modified")
        old, new = raw.get("status", {}), body["status"]
        assert old.get("phase") not in TERMINAL_PHASES or old["phase"] == new.get("phase"), "status.phase is final"
        assert not old.get("manuallyStopped") or new["manuallyStopped"], "manuallyStopped cannot go back to false"
        return self.change(ref, lambda each: each.update(status=copied(new)))

    # Inside

    def _period(self, ref: ObjectRef, raw: Raw, grace: int | None) -> int:
        if ref.kind != "Pod":
            return 0
        if not raw["spec"].get("nodeName") or raw["status"]["phase"] in {"Succeeded", "Failed"}:
            return 0
        return raw["spec"]["terminationGracePeriodSeconds"] if grace is None else grace

    def _sign(self, entries: list[Raw], manager: str, fields: set[str]) -> None:
        """Note who changed which fields of the spec, as the API server does in managedFields."""
        for each in entries:
            for name in fields:
                each["fieldsV1"]["f:spec"].pop(name, None)
        entries[:] = [each for each in entries if each["fieldsV1"]["f:spec"] and each["manager"] != manager]
        owned: Raw = {"f:spec": {name: {} for name in fields}}
        entries.append({"manager": manager, "operation": "Update", "time": self.clock.second(), "fieldsV1": owned})

    def _store(self, kind: str, ref: ObjectRef, raw: Raw) -> Raw:
        before = self.objects.get(ref)
        raw["metadata"]["resourceVersion"] = str(FIRST_VERSION + len(self.history))
        self.objects[ref] = raw
        self.history.append(Change(kind, ref, before, raw))
        return copied(raw)

    def _remove(self, ref: ObjectRef, raw: Raw) -> Raw:
        before = self.objects.pop(ref)
        self.gone.add(before["metadata"]["uid"])
        raw["metadata"]["resourceVersion"] = str(FIRST_VERSION + len(self.history))
        self.history.append(Change("DELETED", ref, before, raw))
        return copied(raw)


def too_large() -> ApiError:
    """What the API server says where one byte more is one too many, in a change or a deletion."""
    return ApiError(500, "Unknown", "etcdserver: request is too large")


def copied(raw: Raw) -> Raw:
    """Return a deep copy of an object; many times faster than copy.deepcopy, for JSON alone."""
    copy: Raw = marshal.loads(marshal.dumps(raw))  # noqa: S302  (what was written a moment ago, by us)
    return copy


def selects(pods: PodsOf, raw: Raw | None) -> bool:
    """Whether a selector of one label finds this pod."""
    label, _, value = pods.selector.partition("=")
    return raw is not None and (raw["metadata"].get("labels") or {}).get(label) == value


def labelled(raw: Raw | None) -> bool:
    """Whether the operator's watch of pods shows this one."""
    return raw is not None and TASK_LABEL in (raw["metadata"].get("labels") or {})
