"""Stop orders: which tasks they mean, and what they ask of a task."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final, NamedTuple

from agentstop.api.meta import STOP_FINALIZER, stalled
from agentstop.api.order import (
    ClusterStopOrderSpec,
    ListedTask,
    Operator,
    OrderPhase,
    OrderStatus,
    Selector,
    StopOrderSpec,
    Then,
)
from agentstop.api.task import PodPolicy
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
        """Whether nothing that matches may start. One that freezes holds by that, and lets go of all at once."""
        held = self.spec.hold and not self.spec.drill and self.deleted_at is None
        return held and self.status.phase is not OrderPhase.LIFTED and not self.halts_first

    @property
    def stops(self) -> bool:
        """Whether tasks that match are still to be stopped."""
        begun = self.status.phase in {OrderPhase.PENDING, OrderPhase.STOPPING}
        return begun and not (self.spec.drill or self.halts_first)

    @property
    def halts_first(self) -> bool:
        """Whether it freezes what matches, or lets it go on: no stop of it was accepted yet."""
        return self.spec.freeze and self.status.started_at is None and not self.status.phase.over

    @property
    def freezes(self) -> bool:
        """Whether what matches is to be frozen, and nothing that matches may start."""
        return self.halts_first and self.deleted_at is None and self.spec.then is not Then.RESUME

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
    kill: bool = False
    """Whether the components on the nodes kill what runs, at once: it gets no SIGTERM, and what is frozen stays so."""

    def joined(self, later: "Ordered") -> "Ordered":
        """Return the stop as a later order leaves it: a shorter grace period or none, and the pod deleted."""
        graces = [each for each in (self.grace_seconds, later.grace_seconds) if each is not None]
        policy, said = self.pod_policy, later.pod_policy
        if said is not None and said.is_stricter(policy):
            policy = said
        kill = self.kill or later.kill
        return replace(self, grace_seconds=min(graces, default=None), pod_policy=policy, kill=kill)


@dataclass(frozen=True, slots=True)
class OrderedFreeze:
    """The freeze that an order asks of a task."""

    kind: str
    name: str
    uid: str
    reason: str | None


@dataclass(frozen=True, slots=True)
class OrderEffect:
    """What all orders together mean to one task."""

    stop: Ordered | None = None
    hold: Reason | None = None
    """Why it may not be started or resumed, if so."""
    freeze: OrderedFreeze | None = None
    """The first order that has it frozen, if one does; then it may not be started or resumed either."""
    thaw: OrderedFreeze | None = None
    """The first order that lets it go on if it has it frozen, where none has it frozen now."""


HELD: Final = "HeldByOrder"

AT_ONCE_SECONDS: Final = 1
"""The least grace period that a kubelet can be told without taking the object away before the end is known."""

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


def by_namespace(order: Order) -> bool:
    """Whether the labels of namespaces decide on whom an order means."""
    return isinstance(order.spec, ClusterStopOrderSpec) and order.spec.namespace_selector is not None


def ordered_by(order: Order) -> Ordered:
    """Return the stop that an order asks for."""
    spec, key = order.spec, order.key
    kill = spec.then is Then.KILL
    return Ordered(
        kind=key.kind,
        name=key.name,
        uid=order.uid,
        requested_by=order.requested_by,
        reason=spec.reason,
        message=spec.message,
        grace_seconds=AT_ONCE_SECONDS if kill else spec.grace_period_seconds,
        pod_policy=spec.pod_policy,
        kill=kill,
    )


def ordered_freeze(order: Order) -> OrderedFreeze:
    """Return the freeze that an order asks for."""
    return OrderedFreeze(order.key.kind, order.key.name, order.uid, order.spec.reason)


def accepted(order: Order, now: datetime) -> Order:
    """Return an order that is accepted from now on.

    What was made before the order is meant by it, whatever our clock says. One that is being deleted was accepted
    before that, by a process that did not come to write it down.
    """
    started_at = max(min(now, order.deleted_at or now), order.created_at or now)
    return replace(order, status=order.status.but(phase=OrderPhase.STOPPING, started_at=started_at))


def hold_reason(order: Order) -> Reason:
    """Return why nothing starts under an order."""
    why = f" ({order.spec.reason})" if order.spec.reason else ""
    held = "holds everything that matches; set hold to false to lift it"
    if order.freezes:
        held = "has everything frozen that matches; set then to Resume to lift that"
    return Reason(HELD, f"{order.key.kind} {order.key.name}{why} {held}")


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


def problem_of(task: Task) -> ListedTask | None:
    """Return what holds up a task, if anything does."""
    found = stalled(task.status.conditions)
    return listed(task, Reason(found.reason, found.message)) if found is not None else None


def listed(task: Task, word: Reason) -> ListedTask:
    """Return a task as the status of an order lists it, with what holds it up."""
    message = word.message[:MAX_MESSAGE]
    return ListedTask(namespace=task.namespace, name=task.name, reason=word.reason, message=message)
