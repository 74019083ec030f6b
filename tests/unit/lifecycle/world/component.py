"""The component on the node: it freezes, thaws and kills pods as PodControls ask, and says what the kernel says."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from agentstop.api.meta import API_VERSION, format_time
from agentstop.api.pod_control import CONTROL_KIND
from agentstop.api.task import KIND
from agentstop.workloads.objects import ObjectRef

from .clock import Clock
from .machine import Sandbox
from .node import NODE, Node
from .server import NAMESPACE, Raw, Server


@dataclass
class Component:
    """One process on the one node; what it has frozen stays so while it is away."""

    server: Server
    node: Node
    clock: Clock
    installed: bool = False
    """Whether the cluster has PodControls at all."""
    runs: bool = True
    lag: float = 0
    """Seconds that it takes to hear of what is asked."""
    was_faulty: bool = False
    """Whether it ever was slow, silent or away."""
    mute: bool = False
    """Whether it does what it is asked for, and nothing that it writes arrives."""
    _heard: dict[str, tuple[int, datetime]] = field(default_factory=dict)
    """By UID of a PodControl: the generation of it that came last, and when."""

    def controls(self) -> Iterator[tuple[ObjectRef, Raw]]:
        """Yield all PodControls."""
        yield from [(ref, raw) for ref, raw in self.server.objects.items() if ref.kind == CONTROL_KIND]

    def second(self) -> None:
        """Let a second's work be done."""
        if not (self.installed and self.runs and self.node.powered and not self.node.cut_off):
            return
        asked: set[str] = set()
        for ref, raw in self.controls():
            if raw["spec"]["nodeName"] != NODE.name:
                continue
            asked.add(ref.name)
            if self._has_heard(raw):
                self._see_to(ref, raw)
        for uid, sandbox in self.node.sandboxes.items():
            if uid not in asked:
                sandbox.thaw(self.clock.now)

    def _has_heard(self, raw: Raw) -> bool:
        metadata = raw["metadata"]
        generation, at = self._heard.get(metadata["uid"], (0, self.clock.now))
        if generation != metadata["generation"]:
            generation, at = self._heard[metadata["uid"]] = metadata["generation"], self.clock.now
        return at + timedelta(seconds=self.lag) <= self.clock.now

    def _see_to(self, ref: ObjectRef, raw: Raw) -> None:
        now, state = self.clock.now, raw["spec"]["state"]
        sandbox = self.node.sandboxes.get(ref.name)
        before = raw["status"]
        said: Raw = {"observedGeneration": raw["metadata"]["generation"]}
        reason = state
        if state != "Running" and not self._is_on_record(raw["spec"]["taskName"], ref.name):
            reason = "NotTheTasks"
        elif sandbox is None or sandbox.tidied:
            reason = "Empty" if before.get("empty") else "CgroupNotFound"
            said |= {"state": "Killed", "empty": True} if before.get("empty") else {}
        else:
            self._do(sandbox, state, now)
            said["state"] = state
            said |= {"empty": True} if state == "Killed" and not sandbox.running else {}
        done = "True" if reason in {"Running", "Frozen", "Empty"} or said.get("empty") else "False"
        if said.get("state") is not None:
            same = before.get("state") == said["state"]
            said["since"] = before["since"] if same and "since" in before else format_time(now)
        said["conditions"] = [{"type": "Ready", "status": done, "reason": reason, "message": f"{reason} (model)"}]
        if not self.mute:
            self.server.change(ref, lambda each: each.update(status=said))

    def _do(self, sandbox: Sandbox, state: str, now: datetime) -> None:
        if state == "Frozen":
            sandbox.freeze(now)
        elif state == "Running":
            sandbox.thaw(now)
        else:
            sandbox.kill(now)

    def _is_on_record(self, task: str, uid: str) -> bool:
        """Whether the task has this pod on record; in a world with few pods all of them are shown."""
        raw = self.server.objects.get(ObjectRef(KIND, NAMESPACE, task))
        workload = (raw or {}).get("status", {}).get("workload") or {}
        return any(each["uid"] == uid for each in workload.get("pods") or ())

    def collect(self) -> None:
        """The garbage collector removes what goes with what is gone."""
        for ref, raw in self.controls():
            if raw["metadata"]["ownerReferences"][0]["uid"] in self.server.gone:
                self.server.delete(ref)


def control_ref(uid: str) -> ObjectRef:
    """Return the PodControl of a pod."""
    return ObjectRef(CONTROL_KIND, NAMESPACE, uid, API_VERSION)
