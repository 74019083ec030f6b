"""Stop orders: which tasks they mean, what they do to a task, and how they add up."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from heapq import nsmallest
from typing import Final, NamedTuple

from agentstop.api.meta import STOP_FINALIZER, ConditionType
from agentstop.api.order import (
    MAX_LISTED,
    ClusterStopOrderSpec,
    ListedTask,
    Operator,
    OrderPhase,
    OrderStatus,
    Selector,
    StopOrderSpec,
    StoppedCounts,
)
from agentstop.api.task import Phase, PodPolicy, Verdict
from agentstop.lifecycle.observation import Reason, Task


class OrderKey(NamedTuple):
    """Kind, namespace (empty for ClusterStopOrder) and name of an order."""

    kind: str
    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.kind} {self.namespace}/{self.name}" if self.namespace else f"{self.kind} {self.name}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """A StopOrder or ClusterStopOrder at one resource version."""

    key: OrderKey
    uid: str
    resource_version: str
    generation: int
    spec: StopOrderSpec | ClusterStopOrderSpec
    status: OrderStatus
    requested_by: str | None = None
    """Who made it, as admission stamped it."""
    created_at: datetime | None = None
    """When the object was made, in whole seconds."""
    deleted_at: datetime | None = None
    """When its deletion was asked for, in whole seconds: a finalizer keeps it."""
    finalizers: tuple[str, ...] = ()

    @property
    def holds(self) -> bool:
        """Whether nothing that matches may start."""
        held = self.spec.hold and not self.spec.drill and self.deleted_at is None
        return held and self.status.phase is not OrderPhase.LIFTED

    @property
    def stops(self) -> bool:
        """Whether tasks that match are still to be stopped."""
        return not self.spec.drill and self.status.phase in {OrderPhase.PENDING, OrderPhase.STOPPING}

    @property
    def protected(self) -> bool:
        """Whether our finalizer is on it."""
        return STOP_FINALIZER in self.finalizers

    @property
    def withdrawn(self) -> bool:
        """Whether it was deleted before it was accepted, and is only kept by somebody else's finalizer."""
        return self.deleted_at is not None and not self.protected and self.status.started_at is None


@dataclass(frozen=True, slots=True)
class Ordered:
    """The stop that an order asks of a task."""

    kind: str
    name: str
    uid: str
    requested_by: str | None
    reason: str | None
    message: str | None
    grace_seconds: int | None
    pod_policy: PodPolicy | None = None

    def joined(self, later: "Ordered") -> "Ordered":
        """Return the stop as a later order leaves it: it may shorten the grace period, and have the pod deleted."""
        graces = [each for each in (self.grace_seconds, later.grace_seconds) if each is not None]
        policy = later.pod_policy if later.pod_policy is PodPolicy.DELETE else self.pod_policy
        return replace(self, grace_seconds=min(graces, default=None), pod_policy=policy)


@dataclass(frozen=True, slots=True)
class OrderEffect:
    """What all orders together mean to one task."""

    stop: Ordered | None = None
    hold: Reason | None = None
    """Why it may not be started or resumed, if so."""


HELD: Final = "HeldByOrder"

MAX_MESSAGE: Final = 1024
"""So many characters of what the API server or a webhook says are repeated in the status of an order."""

FREE: Final = OrderEffect()
"""No order means the task."""


def selects(selector: Selector, labels: Mapping[str, str]) -> bool:
    """Whether a label selector finds an object with these labels."""
    wanted = selector.match_labels or {}
    if any(labels.get(key) != value for key, value in wanted.items()):
        return False
    for each in selector.match_expressions:
        there = each.key in labels
        match each.operator:
            case Operator.EXISTS:
                holds = there
            case Operator.DOES_NOT_EXIST:
                holds = not there
            case Operator.IN:
                holds = there and labels[each.key] in each.values
            case Operator.NOT_IN:
                holds = labels.get(each.key) not in each.values
        if not holds:
            return False
    return True


def matches(order: Order, task: Task, namespaces: Mapping[str, Mapping[str, str]]) -> bool:
    """Whether an order means this task; `namespaces` are the labels of each namespace that is known."""
    return may_match(order, task) and bool(_in_namespace(order, task.namespace, namespaces))


def in_doubt(order: Order, task: Task, namespaces: Mapping[str, Mapping[str, str]]) -> bool:
    """Whether nobody can tell yet if an order means this task, since the labels of its namespace are not known."""
    return may_match(order, task) and _in_namespace(order, task.namespace, namespaces) is None


def may_match(order: Order, task: Task) -> bool:
    """Whether an order means this task, as far as the task itself decides it."""
    spec = order.spec
    if order.key.namespace and order.key.namespace != task.namespace:
        return False
    if isinstance(spec, StopOrderSpec) and spec.task_names is not None and task.name not in spec.task_names:
        return False
    if spec.agents is not None and task.spec.agent not in spec.agents:
        return False
    return task.overlabelled or selects(spec.selector, task.labels)


def means_orphan(order: Order, namespace: str, name: str, namespaces: Mapping[str, Mapping[str, str]]) -> bool:
    """Whether an order means a pod whose task is gone: what labels and agent the task had nobody knows any more."""
    spec = order.spec
    if order.key.namespace and order.key.namespace != namespace:
        return False
    if isinstance(spec, StopOrderSpec) and spec.task_names is not None and name not in spec.task_names:
        return False
    everything = spec.agents is None and not spec.selector.match_labels and not spec.selector.match_expressions
    return everything and bool(_in_namespace(order, namespace, namespaces))


def _in_namespace(order: Order, namespace: str, namespaces: Mapping[str, Mapping[str, str]]) -> bool | None:
    selector = order.spec.namespace_selector if isinstance(order.spec, ClusterStopOrderSpec) else None
    if selector is None:
        return True
    labels = namespaces.get(namespace)
    return selects(selector, labels) if labels is not None else None


def ordered_by(order: Order) -> Ordered:
    """Return the stop that an order asks for."""
    spec, key = order.spec, order.key
    return Ordered(
        kind=key.kind,
        name=key.name,
        uid=order.uid,
        requested_by=order.requested_by,
        reason=spec.reason,
        message=spec.message,
        grace_seconds=spec.grace_period_seconds,
        pod_policy=spec.pod_policy,
    )


def hold_reason(order: Order) -> Reason:
    """Return why nothing starts under an order."""
    why = f" ({order.spec.reason})" if order.spec.reason else ""
    message = f"{order.key.kind} {order.key.name}{why} holds everything that matches; set hold to false to lift it"
    return Reason(HELD, message)


def was_held(task: Task) -> bool:
    """Whether a hold is on record as what keeps the task from starting."""
    problem = problem_of(task)
    return problem is not None and problem.reason == HELD


def doubt_reason(order: Order, namespace: str) -> Reason:
    """Return why nothing starts while it is not known whether an order means it."""
    message = (
        f"{order.key.kind} {order.key.name} selects by the labels of namespace {namespace}, which are not known yet"
    )
    return Reason("NamespaceUnknown", f"{message}; nothing is started before they are")


def is_the_orders(task: Task, order: Order) -> bool:
    """Whether the task's stop follows this order, as against an earlier one of the same name."""
    stop = task.status.stop
    return stop is not None and stop.order is not None and stop.order.uid == order.uid


def was_there(task: Task, moment: datetime) -> bool:
    """Whether a task was there at a moment, or was made in the same second: creations are noted in whole seconds."""
    return task.created_at is None or task.created_at <= moment


def came_later(task: Task, moment: datetime) -> bool:
    """Whether a task was made after a moment, or in the same second."""
    return task.created_at is not None and task.created_at + timedelta(seconds=1) > moment


_BUCKETS: Final = {
    Verdict.GRACEFUL: "graceful",
    Verdict.KILLED: "killed",
    Verdict.NOT_STARTED: "not_started",
}
OTHER: Final = "other"
STOPPING: Final = "stopping"


@dataclass(slots=True)
class Ledger:
    """What became of each task that an order meant, kept up with every change of a task."""

    whole: bool = False
    """Whether all is in it: the order was accepted by this process, or an earlier one's counts were taken over."""
    version: str = ""
    """The order's resource version when it was accepted: what a task was like up to then counts."""
    buckets: dict[str, str] = field(default_factory=dict)
    """Where each task stands, by UID: stopping, or how its stop ended."""
    counts: dict[str, int] = field(default_factory=dict)
    """How many tasks there are in each bucket."""
    found: dict[str, int] = field(default_factory=dict)
    """How many were in it when this process saw them first, where an earlier one had begun."""
    past: dict[str, int] = field(default_factory=dict)
    """The same of tasks that were counted by an earlier process, and are gone."""
    unrecorded: set[str] = field(default_factory=set)
    """UIDs of the tasks that have no record of a stop: nothing but the order asks for it."""
    unsignaled: set[str] = field(default_factory=set)
    """UIDs of the tasks whose SIGTERM is not on its way."""
    stalled: dict[str, ListedTask] = field(default_factory=dict)
    """Tasks whose stop is held up, by UID."""
    finished: set[str] = field(default_factory=set)
    """UIDs of tasks that had ended before the order was accepted."""
    finished_before: int | None = None
    """How many they were, by an earlier process's count."""
    refused: set[str] = field(default_factory=set)
    """UIDs of tasks that were made under the hold, and are still there."""
    refused_before: int = 0
    """How many others were made under it."""
    signaled_at: datetime | None = None
    ended_at: datetime | None = None
    """When the last of those that ended did so."""
    orphans: tuple[ListedTask, ...] = ()
    """Pods that the order means, and that still run though their tasks are gone; they are not counted as tasks."""
    waited: bool = False
    """Whether there were such pods."""

    def wait_for(self, orphans: Iterable[ListedTask]) -> None:
        """Take in which pods run though their tasks are gone: the order is not over before they have ended."""
        self.orphans = tuple(orphans)
        self.waited = self.waited or bool(self.orphans)

    def put(self, task: Task, gone_at: datetime | None = None) -> None:
        """Take in the state of a task, or its last state once it is gone."""
        bucket = _bucket(task)
        if gone_at is not None and bucket == STOPPING:
            bucket = OTHER
            self.ended_at = _later(self.ended_at, gone_at)
        before = self.buckets.get(task.uid)
        if before is not None:
            self.counts[before] -= 1
        elif not self.whole:
            self.found[bucket] = self.found.get(bucket, 0) + 1
        self.buckets[task.uid] = bucket
        self.counts[bucket] = self.counts.get(bucket, 0) + 1
        stop = task.status.stop
        _keep(self.unrecorded, task.uid, bucket == STOPPING and stop is None)
        _keep(self.unsignaled, task.uid, bucket == STOPPING and (stop is None or stop.signaled_at is None))
        if stop is not None:
            self.signaled_at = _later(self.signaled_at, stop.signaled_at)
        self.ended_at = _later(self.ended_at, task.status.finished_at)
        problem = problem_of(task) if bucket == STOPPING else None
        if problem is None and task.unwritable is not None:
            problem = _listed(task, task.unwritable)  # how it ended is on record here alone
        if problem is not None:
            self.stalled[task.uid] = problem
        else:
            self.stalled.pop(task.uid, None)

    def remove(self, task: Task) -> None:
        """Take in that a task is gone that was made under the hold; it stays counted."""
        if task.uid in self.refused:
            self.refused.discard(task.uid)
            self.refused_before += 1

    def take_over(self, status: OrderStatus) -> None:
        """Go on from what an earlier process has written: what it has counted and is gone now stays counted."""
        stopped = status.stopped or StoppedCounts()
        missing = max(status.matched - len(self.buckets), 0)
        for bucket in (*_BUCKETS.values(), OTHER):
            self.past[bucket] = min(missing, max(getattr(stopped, bucket) - self.found.get(bucket, 0), 0))
            missing -= self.past[bucket]
        self.past[OTHER] += missing
        self.finished_before = status.already_finished
        self.refused_before += max(status.refused - self.rejections, 0)
        self.whole = True

    def count(self, bucket: str) -> int:
        """Return how many tasks are in a bucket."""
        return self.counts.get(bucket, 0) + self.past.get(bucket, 0)

    @property
    def stopping(self) -> int:
        """How many have not ended."""
        return self.count(STOPPING)

    @property
    def rejections(self) -> int:
        """How many tasks were made under the hold."""
        return len(self.refused) + self.refused_before


def progress(order: Order, ledger: Ledger, now: datetime, *, complete: bool) -> OrderStatus:
    """Return the status of an order that stops; `complete` once it is certain that no other task was meant."""
    before = order.status
    status = before.but(
        observed_generation=order.generation,
        requested_by=before.requested_by or order.requested_by,
        refused=ledger.rejections,
    )
    if before.finished_at is None:
        status = _counted(status, ledger, now, complete=complete)
    if status.finished_at is None:
        return status.but(phase=OrderPhase.STOPPING)
    if order.spec.hold and order.deleted_at is None:
        return status.but(phase=OrderPhase.HOLDING)
    if before.phase in {OrderPhase.HOLDING, OrderPhase.LIFTED}:
        return status.but(phase=OrderPhase.LIFTED, lifted_at=before.lifted_at or now)
    return status.but(phase=OrderPhase.COMPLETE)


def _counted(before: OrderStatus, ledger: Ledger, now: datetime, *, complete: bool) -> OrderStatus:
    """Return the status with the counts of an order that has not come to its end yet."""
    started_at = before.started_at or now
    signaled_at = before.signaled_at
    if signaled_at is None and complete and not ledger.unsignaled:
        signaled_at = max(ledger.signaled_at or started_at, started_at)
    done = complete and ledger.stopping == 0 and not ledger.orphans
    stalled = (*ledger.stalled.values(), *ledger.orphans)
    ended_at = ledger.ended_at if not ledger.waited else None
    finished_at = max(ended_at or now, signaled_at or started_at) if done else None
    finished = len(ledger.finished) if ledger.finished_before is None else ledger.finished_before
    return before.but(
        matched=len(ledger.buckets) + sum(ledger.past.values()),
        stopping=ledger.stopping,
        stopped=StoppedCounts(**{bucket: ledger.count(bucket) for bucket in (*_BUCKETS.values(), OTHER)}),
        already_finished=finished,
        stalled=tuple(nsmallest(MAX_LISTED, stalled, key=lambda each: (each.namespace, each.name))),
        stalled_count=len(stalled),
        started_at=started_at,
        signaled_at=signaled_at,
        finished_at=finished_at,
        signal_seconds=_seconds(started_at, signaled_at),
        halt_seconds=_seconds(started_at, finished_at),
    )


def _seconds(start: datetime, end: datetime | None) -> float | None:
    return round(max((end - start).total_seconds(), 0.0), 3) if end is not None else None


def _keep(uids: set[str], uid: str, there: bool) -> None:
    if there:
        uids.add(uid)
    else:
        uids.discard(uid)


def _bucket(task: Task) -> str:
    if not task.status.phase.terminal:
        return STOPPING
    stop = task.status.stop
    verdict = stop.verdict if stop is not None and task.status.phase is Phase.STOPPED else None
    return _BUCKETS.get(verdict, OTHER) if verdict is not None else OTHER


def _later(one: datetime | None, other: datetime | None) -> datetime | None:
    moments: Iterable[datetime] = [each for each in (one, other) if each is not None]
    return max(moments, default=None)


def problem_of(task: Task) -> ListedTask | None:
    """Return what holds up a task, if anything does."""
    for each in task.status.conditions:
        if each.type == ConditionType.STALLED and each.status == "True":
            return _listed(task, Reason(each.reason, each.message))
    return None


def _listed(task: Task, word: Reason) -> ListedTask:
    message = word.message[:MAX_MESSAGE]
    return ListedTask(namespace=task.namespace, name=task.name, reason=word.reason, message=message)
