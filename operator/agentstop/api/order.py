"""StopOrder and ClusterStopOrder: one object that stops everything that matches, and may keep it stopped."""

from enum import StrEnum
from typing import Annotated, Any, Final, Literal

from pydantic import Field

from agentstop.api.meta import API_VERSION, HARMLESS, MAX_SECONDS, Condition, Model, Seconds, Time, rule, schema
from agentstop.api.task import CAMEL_CASE, PodPolicy

ORDER_KIND: Final = "StopOrder"
ORDER_PLURAL: Final = "stoporders"
CLUSTER_ORDER_KIND: Final = "ClusterStopOrder"
CLUSTER_ORDER_PLURAL: Final = "clusterstoporders"

MAX_LISTED: Final = 20
"""So many tasks are listed by name in a status, however many there are; a count beside them has the true number."""

MAX_GROUPS: Final = 50
"""So many groups of tasks are listed in the report of a drill."""

LabelValue = Annotated[str, Field(max_length=63)]


class Operator(StrEnum):
    """How a label is compared."""

    IN = "In"
    NOT_IN = "NotIn"
    EXISTS = "Exists"
    DOES_NOT_EXIST = "DoesNotExist"


class Requirement(Model):
    """One condition on a label."""

    key: str = Field(min_length=1, max_length=317)
    """Name of the label."""
    operator: Operator
    """In, NotIn, Exists or DoesNotExist."""
    values: tuple[LabelValue, ...] = Field((), max_length=64, json_schema_extra=schema(x_kubernetes_list_type="atomic"))
    """The values that In and NotIn compare with."""


class Selector(Model):
    """A label selector; an empty one selects everything.

    Source: https://kubernetes.io/docs/concepts/overview/working-with-objects/labels/#label-selectors
    """

    match_labels: dict[str, LabelValue] | None = Field(None, max_length=64)
    """Labels that have to have just these values."""
    match_expressions: tuple[Requirement, ...] = Field(
        (), max_length=32, json_schema_extra=schema(x_kubernetes_list_type="atomic")
    )
    """Conditions that have to hold as well."""


def _fixed(name: str) -> dict[str, Any]:
    return schema(rule("self == oldSelf", f"{name} is immutable: create a new order instead"))


Agents = tuple[Annotated[str, Field(min_length=1, max_length=253, json_schema_extra=schema(HARMLESS))], ...]
Names = tuple[Annotated[str, Field(min_length=1, max_length=253)], ...]


class Then(StrEnum):
    """What becomes of the tasks that an order has frozen."""

    RESUME = "Resume"
    STOP = "Stop"
    KILL = "Kill"

    @property
    def ends(self) -> bool:
        """Whether they are stopped, however."""
        return self is not Then.RESUME


class _OrderSpec(Model):
    """What both kinds of orders have in common."""

    selector: Selector = Field(json_schema_extra=_fixed("selector"))
    """Which tasks are stopped, by their labels; {} is all of them. agents and taskNames narrow it further."""
    agents: Agents | None = Field(
        None, max_length=64, json_schema_extra={**_fixed("agents"), "x-kubernetes-list-type": "set"}
    )
    """Only tasks whose spec.agent is one of these."""
    reason: str | None = Field(
        None,
        min_length=1,
        max_length=64,
        json_schema_extra=schema(CAMEL_CASE, *_fixed("reason")["x-kubernetes-validations"]),
    )
    """Why the tasks are stopped, as one CamelCase word for machines, such as SecurityIncident."""
    message: str | None = Field(None, max_length=1024, json_schema_extra=_fixed("message"))
    """Why the tasks are stopped, for people."""
    grace_period_seconds: Seconds | None = Field(
        None, ge=1, le=MAX_SECONDS, json_schema_extra={"format": "int32", **_fixed("gracePeriodSeconds")}
    )
    """Seconds between SIGTERM and SIGKILL; overrides what the tasks and their workloads say."""
    pod_policy: PodPolicy | None = Field(None, json_schema_extra=_fixed("podPolicy"))
    """What becomes of the pods: Keep stops them in place, so that logs and last states stay readable; DeleteAfterProof does the same, and removes the pod objects once exit codes are on record; Delete stops them by removing the objects. What their tokens are good for goes with the objects. Overrides what the tasks say; without it, theirs counts."""  # noqa: E501
    hold: bool = Field(
        False,
        json_schema_extra=schema(rule("oldSelf || !self", "hold cannot be set later: create a new order instead")),
    )
    """true: for as long as the order stands, nothing that matches is started or resumed, and what is created is stopped at once. false, or deleting the order, lifts that; it restarts nothing."""  # noqa: E501
    freeze: bool = Field(False, json_schema_extra=_fixed("freeze"))
    """true: nothing is stopped before then says so. Until that moment the nodes' kernels hold the processes of everything that matches where they are, and nothing that matches is started or resumed. It takes the component on each node; status.stalled names what could not be frozen, and that runs on."""  # noqa: E501
    then: Then | None = Field(
        None, json_schema_extra=schema(rule("self == oldSelf", "then is said once: create a new order instead"))
    )
    """What becomes of what was frozen; only with freeze, and said once. Resume has everything go on where it was. Stop has it go on into SIGTERM: from then on this is an order as any other, over what matches then. Kill is the same without a grace period: what is frozen never runs again. Without it everything stays frozen; deleting the order is the same as Resume. Given at the creation, it follows as soon as all is frozen, or after 3 seconds."""  # noqa: E501
    drill: bool = Field(False, json_schema_extra=_fixed("drill"))
    """true: stops nothing, and writes a report of what would be stopped, and what could not be."""
    ttl_seconds_after_finished: Seconds | None = Field(
        None, ge=0, le=MAX_SECONDS, json_schema_extra={"format": "int32", **_fixed("ttlSecondsAfterFinished")}
    )
    """Seconds after its end (Complete, Lifted or Drilled) when the order is deleted. Without it the order stays."""


class StopOrderSpec(_OrderSpec):
    """What is to be stopped in the order's namespace."""

    task_names: Names | None = Field(
        None, max_length=256, json_schema_extra={**_fixed("taskNames"), "x-kubernetes-list-type": "set"}
    )
    """Only tasks of these names."""


class ClusterStopOrderSpec(_OrderSpec):
    """What is to be stopped in all namespaces, or some."""

    namespace_selector: Selector | None = Field(None, json_schema_extra=_fixed("namespaceSelector"))
    """Only tasks in namespaces with these labels; without it, in all namespaces."""


class OrderPhase(StrEnum):
    """Where an order is in its life."""

    PENDING = "Pending"
    FREEZING = "Freezing"
    FROZEN = "Frozen"
    THAWING = "Thawing"
    STOPPING = "Stopping"
    COMPLETE = "Complete"
    HOLDING = "Holding"
    LIFTED = "Lifted"
    DRILLED = "Drilled"

    @property
    def over(self) -> bool:
        """Whether the order has no effect any more."""
        return self in {OrderPhase.COMPLETE, OrderPhase.LIFTED, OrderPhase.DRILLED}


class StoppedCounts(Model):
    """How the stops of an order ended."""

    graceful: int = 0
    """Every container ended before its kill time."""
    killed: int = 0
    """At least one container was ended by SIGKILL."""
    not_started: int = 0
    """Stopped before anything of it ran."""
    other: int = 0
    """Any other verdict; ended by itself in the meantime; or removed before its end was seen."""


class ListedTask(Model):
    """One task, and what is wrong with it."""

    namespace: str
    """Its namespace."""
    name: str
    """Its name."""
    reason: str
    """What holds it up, in one CamelCase word."""
    message: str | None = None
    """The same for people."""


class DrillGroup(Model):
    """Tasks of one agent in one namespace."""

    namespace: str
    """The namespace."""
    agent: str | None = None
    """The agent, where the tasks name one."""
    tasks: int
    """How many tasks would be stopped."""


class DrillReport(Model):
    """What an order would have done."""

    running: int = 0
    """Tasks whose processes would get SIGTERM."""
    waiting: int = 0
    """Tasks that have not started, or are paused: they would not start any more."""
    longest_grace_seconds: int = 0
    """The longest grace period among them, in seconds: by then the last process would be killed."""
    groups: tuple[DrillGroup, ...] = Field(
        (), max_length=MAX_GROUPS, json_schema_extra=schema(x_kubernetes_list_type="atomic")
    )
    """What would be stopped, by namespace and agent; the largest first, at most 50."""
    group_count: int = 0
    """How many groups there are."""
    problems: tuple[ListedTask, ...] = Field(
        (), max_length=MAX_LISTED, json_schema_extra=schema(x_kubernetes_list_type="atomic")
    )
    """Tasks that could not be stopped as things are, at most 20."""
    problem_count: int = 0
    """How many such tasks there are."""


class OrderStatus(Model):
    """What became of the order. Written by the operator alone."""

    observed_generation: int = 0
    """The generation of the spec that this status was made from."""
    phase: OrderPhase = OrderPhase.PENDING
    """Where the order is: Pending, Stopping, then Complete or Holding, and Lifted once a hold is over; Drilled. With freeze: Freezing, Frozen, and then Stopping, or Thawing and Lifted."""  # noqa: E501
    requested_by: str | None = None
    """Who made the order, as admission stamped it; absent where nothing stamps it."""
    matched: int = 0
    """How many tasks matched when the order was accepted and had not ended; while it freezes, how many do now."""
    frozen: int = 0
    """How many of them are frozen now, of an order that freezes; 0 once it stops."""
    stopping: int = 0
    """How many of them have not ended yet."""
    stopped: StoppedCounts | None = None
    """How the others ended."""
    already_finished: int = 0
    """How many tasks matched that had ended before."""
    refused: int = 0
    """How many tasks were made under the hold, and stopped for it."""
    stalled: tuple[ListedTask, ...] = Field(
        (), max_length=MAX_LISTED, json_schema_extra=schema(x_kubernetes_list_type="atomic")
    )
    """Tasks whose stop is held up, or that could not be frozen, at most 20."""
    stalled_count: int = 0
    """How many such tasks there are."""
    drill: DrillReport | None = None
    """What a drill found."""
    freeze_started_at: Time | None = None
    """When the order began to freeze."""
    frozen_at: Time | None = None
    """When all that matched was frozen, for the first time."""
    started_at: Time | None = None
    """When the order was accepted: from that moment on what matched is stopped."""
    signaled_at: Time | None = None
    """When the last SIGTERM was on its way."""
    finished_at: Time | None = None
    """When the last process was proven gone."""
    lifted_at: Time | None = None
    """When the hold was lifted, or nothing was frozen any more."""
    freeze_seconds: float | None = None
    """Seconds until the last task was frozen."""
    signal_seconds: float | None = None
    """Seconds until the last SIGTERM was on its way."""
    halt_seconds: float | None = None
    """Seconds until the last process was proven gone."""
    conditions: tuple[Condition, ...] = Field(
        (), max_length=16, json_schema_extra=schema(x_kubernetes_list_type="map", x_kubernetes_list_map_keys=["type"])
    )
    """Ready, Reconciling and Stalled, as kstatus reads them."""


class StopOrder(Model):
    """Stops every task of its namespace that matches, and may keep anything that matches from starting."""

    api_version: Literal["agentstop.dev/v1alpha1"] = API_VERSION
    kind: Literal["StopOrder"] = ORDER_KIND
    metadata: dict[str, Any]
    spec: StopOrderSpec
    status: OrderStatus = OrderStatus()


class ClusterStopOrder(Model):
    """Stops every task of the cluster that matches, and may keep anything that matches from starting."""

    api_version: Literal["agentstop.dev/v1alpha1"] = API_VERSION
    kind: Literal["ClusterStopOrder"] = CLUSTER_ORDER_KIND
    metadata: dict[str, Any]
    spec: ClusterStopOrderSpec
    status: OrderStatus = OrderStatus()
