"""What a decision is made from: the task as the API server has it, and what was seen of its workload."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final, NamedTuple

from agentstop.api.task import AgentTaskSpec, AgentTaskStatus, PausePolicy, Phase
from agentstop.api.workload_status import WorkloadStatus


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """An AgentTask at one resource version."""

    namespace: str
    name: str
    uid: str
    resource_version: str
    generation: int
    spec: AgentTaskSpec
    status: AgentTaskStatus
    requested_by: str | None = None
    """Who asked for the stop, as admission stamped it."""
    deleting: bool = False
    """Whether the object carries a deletion timestamp."""
    protected: bool = False
    """Whether our finalizer is on it."""
    gone: bool = False
    """Whether the object itself is gone; then nothing can be written any more, only carried out."""
    stop_seen_at: datetime | None = None
    """When this process first saw the request to stop, the task's own or an ancestor's."""
    requested_at: datetime | None = None
    """When the API server took the request to stop or to delete it, in whole seconds; None where that is not known."""
    unwritable: "Reason | None" = None
    """Why the API server does not take its status, if so: then the status is the one that could not be written."""
    labels: Mapping[str, str] = field(default_factory=dict)
    overlabelled: bool = False
    """Whether it has so many labels that they are not looked at: every label selector finds it then."""
    created_at: datetime | None = None
    """When the object was made, in whole seconds."""
    tether_ended: str = ""
    """What the holder of its Lease has left on it; any change of that is a hint that the Lease is gone."""

    @property
    def leaves_something(self) -> bool:
        """Whether its stop has left something behind, by the record."""
        return self.status.stop is not None and bool(self.status.stop.remains)

    @property
    def pausable(self) -> bool:
        """Whether it can be paused. An adopted pod can only be frozen: nobody would make it again."""
        ref = self.spec.workload_ref
        return ref is None or ref.kind != "Pod" or self.freezes

    @property
    def freezes(self) -> bool:
        """Whether a pause freezes what it runs. One that has done so goes on as it is, whatever the spec says since."""
        return PausePolicy.FREEZE in {self.spec.pause_policy, self.status.pause_policy}

    @property
    def to_be_paused(self) -> bool:
        """Whether nothing of it is to run for now."""
        return self.spec.paused and self.pausable

    @property
    def may_have_frozen(self) -> bool:
        """Whether what it runs may be frozen, by its record."""
        return self.freezes and self.status.phase in {Phase.PAUSING, Phase.PAUSED}

    @property
    def to_be_frozen(self) -> bool:
        """Whether what runs of it is to be held where it is, for now."""
        return self.to_be_paused and self.freezes


class Presence(StrEnum):
    """What is known about the existence of the workload."""

    UNKNOWN = "Unknown"
    """It was not looked at yet."""
    ABSENT = "Absent"
    """There is none, and there never was one that belonged to the task."""
    PRESENT = "Present"
    """It exists, or it existed and the task has its UID."""


class Proof(StrEnum):
    """Why no process of the workload can be left."""

    ENDED = "Ended"
    """The node reported every container as ended."""
    EMPTIED = "Emptied"
    """The kernel of its node said that no process is left and none can be started; no kubelet reported the end."""
    NEVER_STARTED = "NeverStarted"
    """No container was ever started, and none can be any more."""
    NODE_FENCED = "NodeFenced"
    """The node is gone or declared out of service, and the pod went with it."""
    GONE = "Gone"
    """A node that answers has no such pod any more, but its last state was not seen."""


@dataclass(frozen=True, slots=True)
class Reason:
    """A reason in one CamelCase word, and the same for people."""

    reason: str
    message: str


@dataclass(frozen=True, slots=True)
class Ending:
    """How the workload's work ended."""

    succeeded: bool
    word: Reason
    at: datetime | None
    """When the last of it ended, by the node's clock."""
    by_stop: bool = False
    """Whether a stop of ours ended it, by the marks that the stop left on the workload."""


class KeptPod(NamedTuple):
    """A pod whose object is there."""

    name: str
    uid: str
    account: str
    """The service account that it runs as."""
    token_seconds: int | None
    """How long the tokens of that account live that are mounted in it, counted from when the last was made; None where
    none are."""
    goes_at: datetime | None
    """Its deletion timestamp, if it is being deleted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FreezeState:
    """What the kernels of its nodes say of the processes of a workload, and what they were asked for."""

    frozen: bool = False
    """Whether they say of every pod that may have processes left that it is frozen, as was asked; and there is one."""
    held: bool = False
    """Whether any pod is frozen, or may be by what its node was asked for."""
    refused: Reason | None = None
    """Why it cannot be frozen."""
    waits: Reason | None = None
    """What comes first: a pod has not started."""
    late: Reason | None = None
    """What keeps a node from doing what it was asked for, or from saying so."""
    due_at: datetime | None = None
    """Until when the answer of a node is waited for, if any is yet to come."""
    asked_at: datetime | None = None
    """Since when the nodes are asked to freeze what is not frozen; None where one of them is not."""


NOT_FROZEN: Final = FreezeState()


@dataclass(frozen=True, slots=True, kw_only=True)
class Observation:
    """What was seen of a task's workload, in terms that hold for every kind of workload."""

    presence: Presence
    workload: WorkloadStatus | None = None
    """The workload's identity and the evidence of its pods."""
    started_at: datetime | None = None
    """When its first container was started."""
    last_started_at: datetime | None = None
    """When the first container was started of the pod that was started last."""
    active: bool = False
    """Whether a container of it was started that is not known to have ended."""
    live: bool = False
    """Whether a pod of it is there that has not ended: if nothing of it runs, it may yet start."""
    halted: bool = False
    """Whether it was asked to end, by anybody."""
    own_grace_seconds: int = 30
    """The grace period that the workload brings along, in seconds."""
    longest_grace_seconds: int | None = None
    """The longest grace period that it can be given, in seconds, where there is such a limit."""
    signaled_at: datetime | None = None
    """When the API server accepted the change that ends it."""
    killed_by: datetime | None = None
    """When the cluster will send SIGKILL, where it says so itself."""
    begins_after: timedelta = timedelta()
    """How long after the change that ends it the node begins with it, on the average."""
    soonest_kill: datetime | None = None
    """When SIGKILL could come at the earliest, on a kubelet that shortens a grace period which runs."""
    ending: Ending | None = None
    """How it ended, once all of it has ended or it is lost."""
    main_ending: Ending | None = None
    """How the container that does the task's work ended."""
    proof: Proof | None = None
    """Why no process of it can be left, if that is proven."""
    refused: Reason | None = None
    """Why this workload cannot be the task's; final."""
    waiting: Reason | None = None
    """What it waits for before it runs; not final."""
    blocked: Reason | None = None
    """What holds up its start or its end, as far as anybody can tell."""
    elsewhere: Reason | None = None
    """Whose controller has it besides, which may make another one in its place."""
    goes_on: bool = True
    """Whether that controller goes on; not where it was stopped as well."""
    loses_logs: bool = False
    """Whether a pod that has logs goes with its object."""
    not_in_place: str | None = None
    """Why it cannot be ended in place, if so."""
    kept: tuple[KeptPod, ...] | None = None
    """Its pods that are still there, though nothing of them may run; None where that is not known."""
    busy: Reason | None = None
    """What its node does first, before it acts on what ends the workload."""
    late: Reason | None = None
    """What the proof waits for, to be said once it is overdue; None where nobody can tell."""
    look_again_at: datetime | None = None
    """From when on it can be looked at for a proof that could not be had before."""
    freeze_state: FreezeState = NOT_FROZEN
    """What is frozen of it, or was asked to be."""
