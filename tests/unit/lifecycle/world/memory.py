"""What ever was in the world: the rules look back on it."""

from collections.abc import Iterator
from dataclasses import dataclass, field

from agentstop.api.task import KIND, AgentTaskStatus, Phase
from agentstop.lifecycle.observation import Task
from agentstop.workloads.objects import ObjectRef

from .machine import Sandbox
from .node import Node
from .server import Change, Raw, Server


@dataclass(frozen=True)
class Written:
    """A status that was written."""

    number: int
    """Its place in the history."""
    task: Raw
    """The task as it is with it."""
    before: AgentTaskStatus
    after: AgentTaskStatus

    @property
    def uid(self) -> str:
        uid: str = self.task["metadata"]["uid"]
        return uid


@dataclass
class Memory:
    """Everything that the history has shown so far."""

    server: Server
    node: Node
    pods: dict[str, Raw] = field(default_factory=dict)
    """Every pod that ever was, by UID, as it was created."""
    born: dict[str, int] = field(default_factory=dict)
    """The place in the history at which each pod was created."""
    removed: dict[str, int] = field(default_factory=dict)
    """The place in the history at which each pod was removed."""
    recorded: dict[str, int] = field(default_factory=dict)
    """The place in the history from which on each task's status names its workload, by the task's UID."""
    made: dict[str, list[str]] = field(default_factory=dict)
    """UIDs of the pods that the operator made, by the UID of their task."""
    resumed: dict[str, int] = field(default_factory=dict)
    """The place in the history at which each Job was un-suspended last, by its UID."""
    _statuses: dict[tuple[str, str], AgentTaskStatus] = field(default_factory=dict)
    _read: int = 0
    _written: list[tuple[int, Change]] = field(default_factory=list)

    def take_stock(self) -> None:
        """Take in what is new in the history."""
        for number, change in enumerate(self.server.history[self._read :], self._read):
            metadata = change.after["metadata"]
            if change.ref.kind == KIND and change.before is not None:
                self._written.append((number, change))
                if (change.after.get("status") or {}).get("workload"):
                    self.recorded.setdefault(metadata["uid"], number)
            elif change.ref.kind == "Job" and _resumes(change):
                self.resumed[metadata["uid"]] = number
            elif change.ref.kind == "Pod" and change.kind == "ADDED":
                self.pods[metadata["uid"]] = change.after
                self.born[metadata["uid"]] = number
                owner = self.owner(metadata["uid"])
                if "blockOwnerDeletion" in owner and owner["kind"] == KIND:
                    self.made.setdefault(owner["uid"], []).append(metadata["uid"])
            elif change.ref.kind == "Pod" and change.kind == "DELETED":
                self.removed[metadata["uid"]] = number
        self._read = len(self.server.history)

    def status(self, task: Raw) -> AgentTaskStatus:
        """Return the status of a task, read once for each of its versions."""
        metadata = task["metadata"]
        key = metadata["uid"], metadata["resourceVersion"]
        if key not in self._statuses:
            self._statuses[key] = read(task.get("status") or {})
        return self._statuses[key]

    def is_on_record(self, task: Task) -> bool:
        """Whether the task's object says by now that it is stopped, or is gone."""
        raw = self.server.objects.get(ObjectRef(KIND, task.namespace, task.name))
        return raw is None or raw["metadata"]["uid"] != task.uid or self.status(raw).phase is Phase.STOPPED

    def written(self) -> Iterator[Written]:
        """Yield the statuses that were written since the last time."""
        self.take_stock()
        written, self._written = self._written, []
        for number, change in written:
            assert change.before is not None
            before, after = change.before.get("status", {}), change.after.get("status", {})
            if before != after:
                yield Written(number, change.after, read(before), read(after))

    def owner(self, uid: str) -> Raw:
        """Return the owner reference that a pod was created with; empty where it has none."""
        return next(iter(self.pods[uid]["metadata"].get("ownerReferences") or ()), {})

    def pods_of(self, task: Raw, status: AgentTaskStatus, until: int | None = None) -> set[str]:
        """Return the UIDs of the pods that a task stood for, those that came later than `until` left out."""
        uids = set(self.made.get(task["metadata"]["uid"], ()))
        workload = status.workload
        if workload is not None and workload.kind == "Pod":
            uids.add(workload.uid)
        elif workload is not None:
            uids |= {uid for uid in self.pods if self.owner(uid).get("uid") == workload.uid}
        return {uid for uid in uids if until is None or self.born.get(uid, 0) <= until}

    def runs(self, uid: str) -> bool:
        """Whether processes of a pod run of which anybody could know.

        A Job's pod without a grace period is removed by its deletion, a moment before the node ends it: who was not
        there at that moment does not find anything of it.
        """
        truth = self.truth(uid)
        if truth is None or (truth.grace == 0 and self.owner(uid).get("kind") == "Job"):
            return False
        return truth.running

    def truth(self, uid: str) -> Sandbox | None:
        """Return what the node knows of a pod."""
        return self.node.truth(uid)


def _resumes(change: Change) -> bool:
    """Whether this change has a Job make pods that made none before."""
    was = change.before is not None and not change.before["spec"].get("suspend")
    return not was and not change.after["spec"].get("suspend")


def read(status: Raw) -> AgentTaskStatus:
    return AgentTaskStatus.model_validate(status)
