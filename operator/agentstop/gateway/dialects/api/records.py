"""Tasks and orders, as our own API shows them: Kubernetes' words, flat, with what is proven."""

from collections.abc import Mapping
from typing import Any, Final, Literal

from pydantic import Field, ValidationError

from agentstop.api.meta import Condition, Model, Time, parse_time, stalled
from agentstop.api.order import ClusterStopOrderSpec, Names, OrderStatus
from agentstop.api.task import AgentTaskStatus, ChildrenStatus, OrderRef, PausePolicy, Phase, StopStatus
from agentstop.api.workload_status import WorkloadStatus
from agentstop.cluster.decoding import JsonObject
from agentstop.gateway.entry import Entry
from agentstop.gateway.tasks import Tasks

EPOCH: Final = "1970-01-01T00:00:00Z"


class HeldUp(Model):
    """What holds a task up."""

    reason: str
    """In one CamelCase word."""
    message: str
    """The same for people."""
    since: Time
    """Since when."""


class Parent(Model):
    """The task that started this one."""

    name: str
    """Its name."""
    id: str | None = None
    """Its id; absent where it is gone."""


class Task(Model):
    """One run of an agent."""

    id: str
    """Its UID."""
    namespace: str
    """Its namespace."""
    name: str
    """Its name."""
    external_id: str | None = Field(None, alias="externalID")
    """What another platform calls it."""
    agent: str | None = None
    """Which agent it is a run of."""
    labels: dict[str, str]
    """Its labels."""
    phase: Phase
    """Where it is in its life. Stopped is said with the proof in hand, but see proven."""
    proven: bool
    """Whether it is proven that nothing of it runs: it has ended, and not by onUnconfirmed alone."""
    stopping: bool
    """Whether a stop is on its way."""
    pause_requested: bool
    """Whether it is to be paused."""
    pause_policy: PausePolicy
    """What a pause does: Terminate ends the processes, Freeze has the nodes' kernels hold them where they are."""
    frozen: bool
    """Whether it is Paused with its processes frozen: they go on where they were."""
    frozen_by: OrderRef | None = None
    """The order by which it is frozen, or is to be, until it runs again; absent where its own pause alone says so."""
    reason: str | None = None
    """Why it is in its phase, in one CamelCase word."""
    message: str | None = None
    """The same for people."""
    created_at: Time
    """When it was made."""
    started_at: Time | None = None
    """When its first container started."""
    paused_at: Time | None = None
    """Since when it is proven that nothing runs, or that all of it is frozen, while it is paused."""
    finished_at: Time | None = None
    """When its end was proven."""
    stop: StopStatus | None = None
    """The record of the accepted stop."""
    held_up: HeldUp | None = None
    """What holds it up, where something does."""
    parent: Parent | None = None
    """The task that started it."""
    children: ChildrenStatus | None = None
    """How many tasks are below it."""
    workload: WorkloadStatus | None = None
    """What it stands for, with containers and exit codes; not in lists and events."""
    conditions: tuple[Condition, ...] | None = None
    """Ready, Reconciling, Stalled and Stopped; not in lists and events."""


class TaskList(Model):
    """A page of tasks, newest first."""

    items: tuple[Task, ...]
    """The tasks."""
    continue_: str | None = Field(None, alias="continue")
    """What to ask for as `continue` to get the next page; absent on the last one."""
    remaining: int
    """How many follow."""


class Tree(Model):
    """A task's family."""

    ancestors: tuple[Task, ...]
    """The task's parent, its parent, and so on."""
    task: Task
    """The task."""
    descendants: tuple[Task, ...]
    """All below it, parents before their children; each names its own parent."""
    descendant_count: int
    """How many there are; at most 1,000 are listed."""


class Why(Model):
    """Why a task is as it is, in plain words, as `kubectl agentstop why` says it."""

    id: str
    """The task's id."""
    namespace: str
    """The task's namespace."""
    name: str
    """The task's name."""
    phase: str
    """Its phase."""
    headline: str
    """The answer in one sentence."""
    facts: tuple[str, ...]
    """Who asked, when, and how it went."""
    proof: tuple[str, ...]
    """What proves it."""
    remains: tuple[str, ...]
    """What the stop leaves behind."""
    held_up: str | None = None
    """What holds it up."""
    advice: tuple[str, ...]
    """What to do about it."""


class OrderSpec(ClusterStopOrderSpec):
    """What an order stops. namespaceSelector is for ClusterStopOrders, taskNames for StopOrders."""

    task_names: Names | None = None
    """Only tasks of these names."""


class Order(Model):
    """An order that stops everything that matches."""

    kind: Literal["StopOrder", "ClusterStopOrder"]
    """StopOrder for one namespace, ClusterStopOrder for all or some."""
    id: str | None = None
    """Its UID; absent after a dry run."""
    namespace: str | None = None
    """Its namespace; absent for a ClusterStopOrder."""
    name: str
    """Its name."""
    created_at: Time
    """When it was made."""
    spec: OrderSpec
    """What it stops, and how."""
    status: OrderStatus
    """What became of it."""


class OrderList(Model):
    """A page of orders."""

    items: tuple[Order, ...]
    """The orders."""
    continue_: str | None = Field(None, alias="continue")
    """What to ask for as `continue` to get the next page; absent on the last one."""
    remaining: int | None = None
    """How many follow, where the API server says it."""


def task_of(entry: Entry, tasks: Tasks, *, whole: bool = False) -> Task:
    """Return a task; `whole` is with its workload and its conditions."""
    status = _status(entry)
    spec = entry.spec
    held_up = stalled(status.conditions)
    parent = tasks.parent(entry)
    confirmed = status.stop.confirmed_at if status.stop is not None else None
    return Task(
        id=entry.uid,
        namespace=entry.namespace,
        name=entry.name,
        external_id=entry.external_id,
        agent=entry.agent,
        labels=dict(entry.labels),
        phase=entry.phase,
        proven=entry.proven,
        stopping=entry.stopping,
        pause_requested=spec.get("paused") is True and not entry.ended,
        pause_policy=PausePolicy.FREEZE if spec.get("pausePolicy") == PausePolicy.FREEZE else PausePolicy.TERMINATE,
        frozen=entry.frozen,
        frozen_by=status.frozen_by,
        reason=status.reason,
        message=status.message,
        created_at=_created(entry.raw),
        started_at=status.started_at,
        paused_at=status.paused_at,
        finished_at=(confirmed or status.finished_at) if entry.ended else None,
        stop=status.stop,
        held_up=(
            HeldUp(reason=held_up.reason, message=held_up.message, since=held_up.last_transition_time)
            if held_up is not None and not entry.ended
            else None
        ),
        parent=(
            Parent(name=entry.parent.name, id=parent.uid if parent is not None else None)
            if entry.parent is not None
            else None
        ),
        children=status.children,
        workload=status.workload if whole else None,
        conditions=status.conditions if whole else None,
    )


def order_of(raw: JsonObject, kind: Any) -> Order:
    """Return an order, from an object of the API server's."""
    metadata = raw["metadata"]
    return Order(
        kind=kind,
        id=metadata.get("uid"),
        namespace=metadata.get("namespace"),
        name=metadata.get("name") or metadata.get("generateName") or "",
        created_at=_created(raw),
        spec=OrderSpec.model_validate(raw.get("spec") or {}),
        status=OrderStatus.model_validate(raw.get("status") or {}),
    )


def _status(entry: Entry) -> AgentTaskStatus:
    try:
        return entry.task.status
    except ValidationError:
        return AgentTaskStatus(phase=entry.phase)  # an operator of another version has written it


def _created(raw: Mapping[str, Any]) -> Any:
    return parse_time(raw["metadata"].get("creationTimestamp")) or parse_time(EPOCH)
