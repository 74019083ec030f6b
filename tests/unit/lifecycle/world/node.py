"""The node: its kubelet, its machine, and what the cluster does about it when it does not answer."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from agentstop.api.meta import parse_time
from agentstop.workloads.lightening import IS_HEAVY
from agentstop.workloads.node import OUT_OF_SERVICE_TAINT
from agentstop.workloads.objects import ObjectRef

from .clock import Clock
from .machine import Sandbox, sandbox_of
from .server import NAMESPACE, Raw, Server

NODE = ObjectRef("Node", "", "node1")
MONITOR_GRACE = timedelta(seconds=50)
"""Silence after which the node controller sets Ready to Unknown: its --node-monitor-grace-period."""
EVICTION = timedelta(seconds=300)
"""After that long without an answer the taint manager deletes the pods (tolerationSeconds of every pod)."""


@dataclass
class Node:
    """One node that pods are bound to."""

    server: Server
    clock: Clock
    kubelet_runs: bool = True
    powered: bool = True
    sandboxes: dict[str, Sandbox] = field(default_factory=dict)
    done: dict[str, Sandbox] = field(default_factory=dict)
    """Pods that are over and cleaned up."""
    heard_at: datetime | None = None
    shortens: bool = False
    boots: int = 1

    def __post_init__(self) -> None:
        self.register()

    def register(self) -> None:
        if NODE not in self.server.objects:
            since = self.clock.now - timedelta(hours=1) if not self.server.history else self.clock.now
            ready = {"type": "Ready", "status": "True", "lastTransitionTime": since.strftime("%Y-%m-%dT%H:%M:%SZ")}
            self.server.create(NODE, {"spec": {}, "status": self._status([ready])})
        self.heard_at = self.clock.now

    def _status(self, conditions: list[Raw]) -> Raw:
        return {"conditions": conditions, "nodeInfo": {"bootID": f"boot-{self.boots}"}}

    def truth(self, uid: str) -> Sandbox | None:
        return self.sandboxes.get(uid) or self.done.get(uid)

    # What may happen to it

    def power_off(self) -> None:
        self.powered = self.kubelet_runs = False
        for sandbox in self.sandboxes.values():
            for each in sandbox.processes:
                if each.running:
                    each.end(self.clock.now, 137, "ContainerStatusUnknown")

    def boot(self) -> None:
        """Power and kubelet are back; what ran before does not run any more."""
        self.powered = self.kubelet_runs = True
        self.boots += 1
        self.register()
        self.server.change(NODE, lambda raw: raw.update(status=self._status(raw["status"]["conditions"])))
        self._say_ready(ready=True)
        self._taint(tainted=False)

    def taint(self) -> None:
        if not self.powered and NODE in self.server.objects:
            self._taint(tainted=True)

    def remove(self) -> None:
        if not self.powered and NODE in self.server.objects:
            self.server.delete(NODE)

    def _taint(self, *, tainted: bool) -> None:
        taints = [{"key": OUT_OF_SERVICE_TAINT, "effect": "NoExecute"}] if tainted else []
        self.server.change(NODE, lambda raw: raw["spec"].update(taints=taints))

    def _say_ready(self, *, ready: bool) -> None:
        def edit(raw: Raw) -> None:
            raw["status"]["conditions"][0] |= {"status": status, "lastTransitionTime": self.clock.second()}

        status = "True" if ready else "Unknown"
        node = self.server.objects.get(NODE)
        if node is not None and node["status"]["conditions"][0]["status"] != status:
            self.server.change(NODE, edit)

    # What happens as time passes

    def second(self) -> None:
        """Let about a second's work be done, by the machine, the kubelet and the cluster's controllers."""
        now = self.clock.now
        if self.powered:
            for sandbox in self.sandboxes.values():
                sandbox.pass_time(now)
        if self.kubelet_runs:
            self.heard_at = now
            self.register()
            self._say_ready(ready=True)
            self.sync()
            self.report()
        elif self.heard_at is not None and self.heard_at + MONITOR_GRACE <= now:
            self._say_ready(ready=False)
        self._controllers(now)

    def sync(self) -> None:
        """The kubelet compares the API server's pods with what runs."""
        now = self.clock.now
        bound = {raw["metadata"]["uid"]: raw for raw in self.server.pods() if raw["spec"].get("nodeName") == NODE.name}
        for uid, raw in bound.items():
            if uid not in self.sandboxes and uid not in self.done and raw["status"]["phase"] in {"Pending", "Running"}:
                self.sandboxes[uid] = sandbox_of(raw, now, shortens=self.shortens)
        for uid, sandbox in list(self.sandboxes.items()):
            sandbox.pass_time(now)
            bound_raw = bound.get(uid)
            self._end_if_due(sandbox, bound_raw, now)
            if bound_raw is not None:
                sandbox.work(now)
            elif not sandbox.running:
                self.done[uid] = self.sandboxes.pop(uid)

    def _end_if_due(self, sandbox: Sandbox, raw: Raw | None, now: datetime) -> None:
        if sandbox.busy(now):
            return
        if raw is None:
            sandbox.terminate(now, sandbox.grace)
            return
        metadata = raw["metadata"]
        deadline = raw["spec"].get("activeDeadlineSeconds")
        if "deletionTimestamp" in metadata:
            sandbox.terminate(now, max(1, metadata["deletionGracePeriodSeconds"]))
        elif deadline is not None and sandbox.taken_at + timedelta(seconds=deadline) <= now and not sandbox.finished:
            sandbox.terminate(now, sandbox.grace, "DeadlineExceeded")

    def report(self) -> None:
        """The kubelet writes statuses, and lets go of pods that are to be deleted and have ended."""
        for uid, sandbox in list(self.sandboxes.items()):
            ref = ObjectRef("Pod", NAMESPACE, sandbox.name)
            raw = self.server.objects.get(ref)
            if raw is None or raw["metadata"]["uid"] != uid:
                continue
            if sandbox.busy(self.clock.now) and "startTime" in raw["status"]:
                continue
            if raw["status"]["phase"] not in {"Succeeded", "Failed"} or sandbox.finished:
                status = sandbox.status(self.clock.now)
                if raw["status"]["phase"] in {"Succeeded", "Failed"}:
                    status |= {
                        key: raw["status"][key] for key in ("phase", "reason", "message") if key in raw["status"]
                    }
                self._write(ref, status)
            if sandbox.finished and "deletionTimestamp" in raw["metadata"] and IS_HEAVY not in raw:
                self.server.delete(ref, uid, 0)

    def _write(self, ref: ObjectRef, status: dict[str, Any]) -> None:
        if self.server.objects[ref]["status"] != status and IS_HEAVY not in self.server.objects[ref]:
            self.server.change(ref, lambda raw: raw.update(status=status))

    def _controllers(self, now: datetime) -> None:
        """The pod garbage collector and the taint manager."""
        node = self.server.objects.get(NODE)
        for raw in list(self.server.pods()):
            ref = ObjectRef("Pod", NAMESPACE, raw["metadata"]["name"])
            if raw["spec"].get("nodeName") != NODE.name or IS_HEAVY in raw:
                continue
            going = "deletionTimestamp" in raw["metadata"]
            if node is None or (node["spec"].get("taints") and going):
                self._collect(ref, raw)
                continue
            condition = node["status"]["conditions"][0]
            since = parse_time(condition["lastTransitionTime"])
            assert since is not None
            if condition["status"] != "True" and since + EVICTION <= now and not going:
                self.server.delete(ref)

    def _collect(self, ref: ObjectRef, raw: Raw) -> None:
        if raw["status"]["phase"] not in {"Succeeded", "Failed"}:
            self.server.change(ref, lambda each: each["status"].update(phase="Failed"))
        self.server.delete(ref, raw["metadata"]["uid"], 0)
