"""AgentTask: one run of an agent, and the switch that stops it."""

from enum import StrEnum
from typing import Any, Final, Literal

from pydantic import Field

from agentstop.api.budget import LIMITED, Budget, Tether
from agentstop.api.meta import (
    API_VERSION,
    HARMLESS,
    MAX_SECONDS,
    NAME_PATTERN,
    Condition,
    Model,
    Seconds,
    Time,
    rule,
    schema,
)
from agentstop.api.podtemplate import pod_template_schema
from agentstop.api.usage import Spent, UsageStatus
from agentstop.api.workload_status import WorkloadStatus

KIND: Final = "AgentTask"
PLURAL: Final = "agenttasks"

MAX_REMAINS: Final = 32
"""So much of what a stop leaves behind is listed in a status."""


class Phase(StrEnum):
    """Where a task is in its life."""

    PENDING = "Pending"
    RUNNING = "Running"
    PAUSING = "Pausing"
    PAUSED = "Paused"
    STOPPING = "Stopping"
    STOPPED = "Stopped"
    COMPLETED = "Completed"
    FAILED = "Failed"

    @property
    def terminal(self) -> bool:
        """Whether a task in this phase has ended and stays so."""
        return self in TERMINAL_PHASES


TERMINAL_PHASES: Final = frozenset({Phase.STOPPED, Phase.COMPLETED, Phase.FAILED})


class PodPolicy(StrEnum):
    """What a stop does with the pod object; the later ones leave less of it, and sooner."""

    KEEP = "Keep"
    DELETE_AFTER_PROOF = "DeleteAfterProof"
    DELETE = "Delete"

    def is_stricter(self, than: "PodPolicy | None") -> bool:
        """Whether it leaves less; where nothing is said, the pod is kept."""
        order = list(PodPolicy)
        return order.index(self) > order.index(than or PodPolicy.KEEP)

    @property
    def before_proof(self) -> "PodPolicy":
        """Keep or Delete: what it means until the proof is on record."""
        return PodPolicy.KEEP if self is PodPolicy.DELETE_AFTER_PROOF else self


class FencePolicy(StrEnum):
    """From when on the API server refuses what the pod's tokens write, where the cluster has a fence."""

    AT_REQUEST = "AtRequest"
    AFTER_GRACE = "AfterGrace"
    NEVER = "Never"


class OnUnconfirmed(StrEnum):
    """What a stop does when nobody can prove that the processes are gone."""

    WAIT = "Wait"
    MARK_STOPPED = "MarkStopped"


class DeletionPolicy(StrEnum):
    """What deleting a running task does to a workload that the task adopted, and its parent's deletion to the task."""

    ORPHAN = "Orphan"
    STOP = "Stop"


class PausePolicy(StrEnum):
    """What a pause does to the processes of the workload."""

    TERMINATE = "Terminate"
    FREEZE = "Freeze"


class StopSource(StrEnum):
    """What a stop came from."""

    USER = "User"
    PARENT = "Parent"
    STOP_ORDER = "StopOrder"
    DEADLINE = "Deadline"
    DELETION = "Deletion"
    BUDGET = "Budget"
    IDLE = "Idle"
    TETHER = "Tether"


class Verdict(StrEnum):
    """How a stop ended, by the evidence."""

    GRACEFUL = "Graceful"
    KILLED = "Killed"
    NOT_STARTED = "NotStarted"
    NODE_FENCED = "NodeFenced"
    GONE = "Gone"
    UNVERIFIED = "Unverified"


CAMEL_CASE: Final = rule(
    "self.matches('^[A-Z][A-Za-z0-9]*$')", "must be one CamelCase word of letters and digits, such as RunawayCost"
)


PRINTABLE: Final = rule(
    r"!self.matches('[\\p{C}\\p{Zl}\\p{Zp}]')",
    "must have printable characters only, on one line: no control characters",
)


class StopRequest(Model):
    """How to stop, and why. May be set before the switch or with it."""

    reason: str | None = Field(None, min_length=1, max_length=64, json_schema_extra=schema(CAMEL_CASE))
    """Why the task is stopped, as one CamelCase word for machines, such as RunawayCost."""
    message: str | None = Field(None, max_length=1024)
    """Why the task is stopped, for people."""
    grace_period_seconds: Seconds | None = Field(None, ge=1, le=MAX_SECONDS)
    """Seconds between SIGTERM and SIGKILL; overrides the workload's own. May be lowered while the task is stopping, never raised. The least is 1: with 0 the pod would be forgotten rather than stopped, and nothing could be proven."""  # noqa: E501
    pod_policy: PodPolicy = Field(PodPolicy.KEEP)
    """Keep (the default) stops the pod in place, so that its logs and last states stay readable. DeleteAfterProof does the same, and removes the pod object once the proof and the exit codes are on record, and with it what its tokens are good for. Delete stops it by removing the object."""  # noqa: E501
    fence: FencePolicy = Field(FencePolicy.AT_REQUEST)
    """From when on the API server refuses every write by the pod's tokens, where the cluster has a fence: AtRequest (the default) as soon as the stop is accepted; AfterGrace when the grace period is over, for an agent that needs the API to end well; Never."""  # noqa: E501
    on_unconfirmed: OnUnconfirmed = Field(OnUnconfirmed.WAIT)
    """What to do when it cannot be proven that the processes are gone, for example because the node does not answer. Wait (the default) keeps the task in Stopping until there is proof; MarkStopped moves it to Stopped with verdict Unverified, a margin after its grace period."""  # noqa: E501


API_VERSION_PATTERN: Final = "^([a-z0-9]([-a-z0-9.]*[a-z0-9])?/)?[a-z0-9]+$"
"""What API versions look like; like names, they become part of a path of the API."""


class WorkloadRef(Model):
    """A workload in the task's own namespace that was made by somebody else."""

    api_version: str = Field(min_length=1, max_length=317, pattern=API_VERSION_PATTERN)
    """API version of the workload, such as batch/v1."""
    kind: str = Field(min_length=1, max_length=63, pattern="^[A-Za-z][A-Za-z0-9]*$")
    """Kind of the workload: Pod, what can be suspended, such as Job or Sandbox, or scaled, such as Deployment."""
    name: str = Field(min_length=1, max_length=253, pattern=NAME_PATTERN)
    """Name of the workload."""


class ParentRef(Model):
    """The task that this one is a part of."""

    name: str = Field(min_length=1, max_length=63, pattern=NAME_PATTERN)
    """Name of the parent, a task in the same namespace."""


def _describe_template(node: dict[str, Any]) -> None:
    """Give the field its schema. It is large, and read only where a CRD is made."""
    node.pop("anyOf", None)
    node.update(pod_template_schema())


class AgentTaskSpec(Model):
    """What is wanted of the task."""

    agent: str | None = Field(None, min_length=1, max_length=253, json_schema_extra=schema(HARMLESS))
    """Which agent this task is a run of. Can be selected by: kubectl get atask --field-selector spec.agent=NAME"""
    external_id: str | None = Field(
        None,
        alias="externalID",
        min_length=1,
        max_length=253,
        json_schema_extra=schema(
            PRINTABLE, rule("self == oldSelf", "externalID is immutable: create a new task instead")
        ),
    )
    """What another platform calls this run, so that its clients can stop it by that name through the gateway. Any printable characters. Cannot be changed. Can be selected by: kubectl get atask --field-selector spec.externalID=ID"""  # noqa: E501
    pod_template: dict[str, Any] | None = Field(None, json_schema_extra=_describe_template)
    """The pod to run. The operator makes it, with the name of the task, and owns it. Exactly one of podTemplate and workloadRef is given; neither can be changed."""  # noqa: E501
    workload_ref: WorkloadRef | None = Field(
        None,
        json_schema_extra=schema(rule("self == oldSelf", "workloadRef is immutable: create a new task instead")),
    )
    """A workload in the same namespace to adopt: it is watched and can be stopped, but never changed otherwise."""
    parent_ref: ParentRef | None = Field(
        None,
        json_schema_extra=schema(rule("self == oldSelf", "parentRef is immutable: create a new task instead")),
    )
    """The task that started this one. A stop of the parent stops this task too, and nothing is started for it once the parent is stopping or has ended. Cannot be changed."""  # noqa: E501
    main_container: str | None = Field(None, min_length=1, max_length=63)
    """Name of the container that does the task's work. When it ends, the task has ended, and what still runs beside it is stopped. Without it the task ends with all of its pod's containers."""  # noqa: E501
    stop_requested: bool = Field(False)
    """The switch: true stops the task. It is one way, a stop cannot be taken back."""
    stop: StopRequest | None = None
    """How to stop, and why; optional."""
    paused: bool = Field(False)
    """true halts the workload until it is false again, as pausePolicy says."""
    pause_policy: PausePolicy = Field(PausePolicy.TERMINATE)
    """What a pause does. Terminate (the default) ends the processes: afterwards a pod is made anew, what was suspended is resumed, and what was scaled to 0 gets its former number back. Freeze has the nodes' kernels hold the processes where they are, with their memory, and go on there afterwards; it takes the component on each node. May be changed at any time: Freeze counts at once, Terminate not for a task that is Paused and frozen, which stays so until it runs again."""  # noqa: E501
    active_deadline_seconds: Seconds | None = Field(None, ge=1, le=MAX_SECONDS)
    """Seconds that the task may run, counted from the start of its first container without the time that it was paused; then it is stopped with source Deadline."""  # noqa: E501
    budget: Budget | None = Field(None, json_schema_extra=schema(LIMITED))
    """What the task may spend, and for how long it may be silent; the usage comes from the TaskUsage of the same name. May be changed while the task runs."""  # noqa: E501
    tether: Tether | None = Field(
        None,
        json_schema_extra=schema(rule("self == oldSelf", "tether cannot be changed: create a new task instead")),
    )
    """A Lease that the task must not outlive. May be given to a task that runs, and is never changed or taken off."""
    ttl_seconds_after_finished: Seconds | None = Field(None, ge=0, le=MAX_SECONDS)
    """Seconds after its end when the task object is deleted, and with it a pod that the operator made. Without it the task stays. Where the operator runs with --min-ttl-seconds, a task that was stopped stays that long at least."""  # noqa: E501
    deletion_policy: DeletionPolicy = Field(DeletionPolicy.ORPHAN)
    """What deleting the task while it runs does to an adopted workload: Orphan (the default) leaves it running, Stop ends it first. A pod that the operator made always goes with its task. It also says what the deletion of the parent does to this task: Orphan leaves it running, Stop stops it."""  # noqa: E501


class OrderRef(Model):
    """The order that stopped a task, or has it frozen."""

    kind: str
    """StopOrder or ClusterStopOrder."""
    name: str
    """Name of the order."""
    uid: str | None = None
    """UID of the order, which tells it from others of the same name."""


class RemainsKind(StrEnum):
    """What a stop may leave behind."""

    POD = "Pod"
    SERVICE_ACCOUNT_TOKEN = "ServiceAccountToken"  # noqa: S105  (the name of a kind)


class Remains(Model):
    """One thing that a stop leaves behind."""

    kind: RemainsKind
    """Pod, or ServiceAccountToken for the tokens of a service account that are mounted in a pod."""
    name: str
    """Name of the pod, or of the service account."""
    pod: str | None = None
    """The pod that such tokens were made for, and are bound to."""
    until: Time | None = None
    """When it ends at the latest if nobody does anything; absent where it stays for as long as nobody ends it."""
    ended_by: str
    """What ends it, for people."""


class StopStatus(Model):
    """The record of the accepted stop. Who, why and when never change."""

    source: StopSource
    """What the stop came from: User, StopOrder, Parent, Deadline, Deletion, Budget, Idle or Tether."""
    order: OrderRef | None = None
    """The order that a stop with source StopOrder follows."""
    origin: str | None = None
    """The task where a stop with source Parent began: the parent, or an ancestor further up."""
    requested_by: str | None = None
    """Who asked for the stop, as admission stamped it; absent where nothing stamps it."""
    reason: str | None = None
    """The request's reason."""
    message: str | None = None
    """The request's message."""
    accepted_at: Time
    """When the operator saw the request. From here on only Stopped can follow."""
    signaled_at: Time | None = None
    """When the API server accepted the change that ends the workload: from then on the node can act, and SIGTERM is on its way, unless the kubelet is busy with starting a container."""  # noqa: E501
    kill_at: Time | None = None
    """When the kubelet sends SIGKILL: at the end of the grace period that it heard of first. A shorter one that is asked for later changes nothing about it."""  # noqa: E501
    confirmed_at: Time | None = None
    """When the proof was in hand that no process is left."""
    grace_period_seconds: Seconds | None = None
    """The shortest grace period that was asked for, in seconds, or the workload's own."""
    pod_policy: PodPolicy | None = None
    """What the order asks to be done with the pod object, which stands even when the order is gone; absent where no order says it, and spec.stop.podPolicy counts."""  # noqa: E501
    duration_seconds: float | None = None
    """Seconds from acceptance to confirmation."""
    verdict: Verdict | None = None
    """How the stop ended, by the evidence."""
    usage_at_acceptance: Spent | None = None
    """What the task had spent when the stop was accepted, as far as it was reported."""
    usage_after: Spent | None = None
    """What was reported on top of that since: work that was under way, and reports that came late."""
    remains: tuple[Remains, ...] | None = Field(
        None, max_length=MAX_REMAINS, json_schema_extra=schema(x_kubernetes_list_type="atomic")
    )
    """What the stop leaves behind, at most 32: pods that are kept, and tokens of theirs that are accepted after every process has ended. Kept up to date; absent where nothing remains."""  # noqa: E501


class ChildrenStatus(Model):
    """The tasks that descend from a task, however deep."""

    total: int = Field(0, ge=0)
    """How many there are."""
    active: int = Field(0, ge=0)
    """How many of them have not ended."""


class AgentTaskStatus(Model):
    """What was observed of the task. Written by the operator alone."""

    observed_generation: int = 0
    """The generation of the spec that this status was made from."""
    phase: Phase = Phase.PENDING
    """Where the task is: Pending, Running, Pausing, Paused, Stopping, or at its end in Stopped, Completed or Failed."""
    manually_stopped: bool = False
    """Whether a person stopped the task, or an ancestor of it, as against a deadline or another rule of the system."""
    reason: str | None = None
    """Why the task is in its phase, in one CamelCase word."""
    message: str | None = None
    """The same for people."""
    started_at: Time | None = None
    """When the first container was started."""
    paused_at: Time | None = None
    """Since when it is proven that nothing runs, or that what runs is frozen, while the task is paused."""
    paused_seconds: float = 0
    """For how many seconds the task was paused since its first start, in pauses that are over."""
    pause_policy: PausePolicy | None = None
    """Freeze from the moment at which the task is Paused with its processes frozen until it runs again; absent otherwise."""  # noqa: E501
    frozen_by: OrderRef | None = None
    """The order by which the task is frozen, or is to be, until it runs again; absent where its spec alone says so."""
    finished_at: Time | None = None
    """When the task ended."""
    attempts: int = 0
    """How many times the workload was started: each pause that is over counts once more, but those that froze it."""
    grace_period_seconds: Seconds | None = None
    """How many seconds a stop would leave between SIGTERM and SIGKILL as things are: what spec.stop says, or else the pods' own, within the administrator's --max-grace-period-seconds. Absent while nothing runs, and once a stop is on record."""  # noqa: E501
    usage: UsageStatus | None = None
    """What the task has spent; absent where nobody has reported it."""
    stop: StopStatus | None = None
    """The record of the accepted stop."""
    workload: WorkloadStatus | None = None
    """The workload that the task stands for."""
    children: ChildrenStatus | None = None
    """The tasks that descend from this one; absent where there are none."""
    conditions: tuple[Condition, ...] = Field(
        (), max_length=16, json_schema_extra=schema(x_kubernetes_list_type="map", x_kubernetes_list_map_keys=["type"])
    )
    """Ready, Reconciling and Stalled, as kstatus reads them, Stopped, BudgetExceeded, and Tethered."""


class AgentTask(Model):
    """One run of an AI agent, with a switch that stops it for good and a status that proves it."""

    api_version: Literal["agentstop.dev/v1alpha1"] = API_VERSION
    kind: Literal["AgentTask"] = KIND
    metadata: dict[str, Any]
    spec: AgentTaskSpec
    status: AgentTaskStatus = AgentTaskStatus()
