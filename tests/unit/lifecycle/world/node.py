"""The node: its kubelet, its machine, and what the control plane says of it when it does not answer."""

from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from agentstop.cluster.errors import ApiError
from agentstop.workloads.lightening import IS_HEAVY
from agentstop.workloads.objects import ObjectRef
from agentstop.workloads.pods.node import OUT_OF_SERVICE_TAINT

from .clock import Clock
from .machine import Sandbox, sandbox_of
from .server import NAMESPACE, Raw, Server

NODE = ObjectRef("Node", "", "node1")
MONITOR_GRACE = timedelta(seconds=50)
"""Silence after which the node controller sets Ready to Unknown: its --node-monitor-grace-period."""


@dataclass
class Node:
    """One node that pods are bound to."""

    server: Server
    clock: Clock
    kubelet_runs: bool = True
    cut_off: bool = False
    """Whether the API server is out of reach of its kubelet, which goes on with the pods that it has."""
    powered: bool = True
    sandboxes: dict[str, Sandbox] = field(default_factory=dict)
    done: dict[str, Sandbox] = field(default_factory=dict)
    """Pods that are over and cleaned up."""
    heard_at: datetime | None = None
    shortens: bool = False
    boots: int = 1
    forgotten: bool = False
    """Whether somebody deleted the Node object of a machine that lives: a kubelet registers once, at its start."""
    gone_at: datetime | None = None
    thrown_out: dict[str, str] = field(default_factory=dict)
    """By UID of a pod that was thrown out while it ran: why."""
    last_told: dict[str, str] = field(default_factory=dict)
    """By UID of a pod that has ended: the version of its object since which its status says so."""

    def __post_init__(self) -> None:
        self.register()

    def register(self) -> None:
        if NODE not in self.server.objects:
            since = self.clock.now - timedelta(hours=1) if not self.server.history else self.clock.now
            ready = {"type": "Ready", "status": "True", "lastTransitionTime": since.strftime("%Y-%m-%dT%H:%M:%SZ")}
            self.server.create(NODE, {"spec": {}, "status": self._status([ready])})
        self.heard_at, self.gone_at = self.clock.now, None

    def _status(self, conditions: list[Raw]) -> Raw:
        return {"conditions": conditions, "nodeInfo": {"bootID": f"boot-{self.boots}"}}

    def truth(self, uid: str) -> Sandbox | None:
        return self.sandboxes.get(uid) or self.done.get(uid)

    # What may happen to it

    def power_off(self) -> None:
        self.powered = self.kubelet_runs = False
        for sandbox in self.sandboxes.values():
            sandbox.crash_machine(self.clock.now)

    def boot(self) -> None:
        """Power and kubelet are back; what ran before does not run any more."""
        self.powered = self.kubelet_runs = True
        self.forgotten = False
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
            self._unregister()

    def forget(self) -> None:
        """Somebody deletes the Node object of a machine that lives."""
        if NODE in self.server.objects:
            self.forgotten = True
            self._unregister()

    def restart_kubelet(self) -> None:
        """The kubelet registers its node anew, with the same boot ID; what runs goes on."""
        for sandbox in self.sandboxes.values():
            sandbox.crash_kubelet()
        self.kubelet_runs, self.forgotten = True, False
        self.register()

    def reboot(self) -> None:
        self.power_off()
        self.boot()

    def _unregister(self) -> None:
        self.server.delete(NODE)
        self.gone_at = self.clock.now

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
        """Let about a second's work be done, by the machine, the kubelet and the node controller."""
        now = self.clock.now
        if self.powered:
            for sandbox in self.sandboxes.values():
                sandbox.pass_time(now)
        if self.kubelet_runs and not self.cut_off:
            self.heard_at = now
            if not self.forgotten:
                self.register()
            self._say_ready(ready=True)
            self.sync()
            self.report()
            return
        if self.heard_at is not None and self.heard_at + MONITOR_GRACE <= now:
            self._say_ready(ready=False)
        for sandbox in self.sandboxes.values() if self.kubelet_runs else ():
            sandbox.was_cut_off = True
            sandbox.work(now)

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
                if not sandbox.busy(now):
                    self._report(uid, sandbox)
                    sandbox.tidied |= sandbox.finished
                sandbox.work(now)
            elif not sandbox.running and not sandbox.busy(now):
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
        elif (
            deadline is not None
            and not sandbox.mounts_at
            and sandbox.taken_at + timedelta(seconds=deadline) <= now
            and not sandbox.finished
        ):
            sandbox.terminate(now, sandbox.grace, "DeadlineExceeded")

    def report(self) -> None:
        """The kubelet writes statuses, and lets go of pods that are to be deleted and have ended."""
        for uid, sandbox in list(self.sandboxes.items()):
            self._report(uid, sandbox)

    def _report(self, uid: str, sandbox: Sandbox) -> None:
        ref = ObjectRef("Pod", NAMESPACE, sandbox.name)
        raw = self.server.objects.get(ref)
        if raw is None or raw["metadata"]["uid"] != uid:
            return
        if sandbox.busy(self.clock.now) and "startTime" in raw["status"]:
            return
        finished = sandbox.finished
        told = finished and self.last_told.get(uid) == raw["metadata"]["resourceVersion"]
        if not told and (finished or raw["status"]["phase"] not in {"Succeeded", "Failed"}):
            status = sandbox.status(self.clock.now)
            kept = ["conditions"]
            if raw["status"]["phase"] in {"Succeeded", "Failed"}:
                kept += ["phase", "reason", "message"]
            self._write(ref, status | {key: raw["status"][key] for key in kept if key in raw["status"]})
            if finished:
                self.last_told[uid] = self.server.objects[ref]["metadata"]["resourceVersion"]
        if finished and "deletionTimestamp" in raw["metadata"] and IS_HEAVY not in raw:
            self.server.delete(ref, uid, 0)

    def _write(self, ref: ObjectRef, status: dict[str, Any]) -> None:
        if self.server.objects[ref]["status"] != status and IS_HEAVY not in self.server.objects[ref]:
            self.server.change(ref, lambda raw: raw.update(status=status))

    def disrupt(self, ref: ObjectRef, reason: str) -> None:
        """Somebody notes on a pod that it is thrown out, and why."""
        target = {"type": "DisruptionTarget", "status": "True", "reason": reason, "message": f"{reason} (model)"}
        target["lastTransitionTime"] = self.clock.second()
        with suppress(ApiError):
            uid = self.server.change(ref, lambda each: each["status"].update(conditions=[target]))["metadata"]["uid"]
            truth = self.truth(uid)
            if truth is not None and truth.running:
                self.thrown_out.setdefault(uid, reason)

    def evict(self, uid: str, grace: int) -> None:
        """The kubelet needs the room of a pod: it ends it, and nobody deletes it.

        Source: https://github.com/kubernetes/kubernetes/issues/141483
        """
        sandbox = self.sandboxes.get(uid)
        if sandbox is not None and self.kubelet_runs and sandbox.term_at is None and not sandbox.busy(self.clock.now):
            self.disrupt(ObjectRef("Pod", NAMESPACE, sandbox.name), "TerminationByKubelet")
            sandbox.terminate(self.clock.now, grace)
