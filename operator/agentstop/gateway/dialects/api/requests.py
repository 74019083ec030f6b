"""What clients send: queries, bodies and preferences. All is as it must be, or nothing is done."""

import json
import re
from typing import Annotated, Any, Final, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from agentstop.api.meta import AGENT_NAME, MAX_SECONDS, Model, Time
from agentstop.api.money import CURRENCY, Currency, looks_like
from agentstop.api.order import Operator
from agentstop.api.order import Selector as TaskSelector
from agentstop.api.task import PausePolicy, Phase, PodPolicy
from agentstop.api.usage import MAX_COUNT
from agentstop.gateway.bodies import parse_object, read_body
from agentstop.gateway.dialect import Call, task_id_of
from agentstop.gateway.errors import InvalidError, InvalidIdError
from agentstop.gateway.filters import selector_of
from agentstop.gateway.problems import first_problem
from agentstop.gateway.tasks import MAX_WAIT_SECONDS

M = TypeVar("M", bound=BaseModel)

MAX_LIMIT: Final = 500
DEFAULT_LIMIT: Final = 100

_LABEL_PART: Final = "[A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?"
_SUBDOMAIN: Final = r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*"
NAMESPACE: Final = "^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$"
NAME: Final = f"^{_SUBDOMAIN}$"

Name = Annotated[str, Field(min_length=1, max_length=253, pattern=NAME)]
Namespace = Annotated[str, Field(min_length=1, max_length=63, pattern=NAMESPACE)]
LabelKey = Annotated[str, Field(min_length=1, max_length=317, pattern=f"^({_SUBDOMAIN}/)?{_LABEL_PART}$")]
LabelValue = Annotated[str, Field(max_length=63, pattern=f"^({_LABEL_PART})?$")]
Agent = Annotated[str, Field(min_length=1, max_length=253, pattern=AGENT_NAME)]
Selector = Annotated[str, Field(min_length=1, max_length=1024)]
Reason = Annotated[str, Field(min_length=1, max_length=64, pattern="^[A-Z][A-Za-z0-9]*$")]

_UNIQUE: Final[dict[str, Any]] = {"uniqueItems": True}


class Request(Model):
    """Base of what is sent. What nobody knows is refused: a misspelt field must not have a stop mean more than it."""

    model_config = ConfigDict(extra="forbid")


class NoQuery(Request):
    """A query without parameters."""


class DryRunQuery(Request):
    """Whether it is meant."""

    dry_run: Literal["All"] | None = None
    """All: the API server checks the request, and nothing is changed."""


class TaskListQuery(Request):
    """Which tasks."""

    namespace: Namespace | None = None
    """Only tasks of this namespace."""
    label_selector: Selector | None = None
    """Only tasks with these labels, as kubectl writes them: team=a,tier!=test."""
    agent: Agent | None = None
    """Only tasks of this agent."""
    phase: Phase | None = None
    """Only tasks in this phase."""
    limit: int = Field(DEFAULT_LIMIT, ge=1, le=MAX_LIMIT)
    """How many at most."""
    continue_: str | None = Field(None, alias="continue", min_length=1, max_length=512)
    """Where the page before this one ended, as it says."""


class OrderListQuery(Request):
    """Which orders."""

    label_selector: Selector | None = None
    """Only orders with these labels."""
    limit: int = Field(DEFAULT_LIMIT, ge=1, le=MAX_LIMIT)
    """How many at most."""
    continue_: str | None = Field(None, alias="continue", min_length=1, max_length=4096)
    """Where the page before this one ended, as it says."""


class EventQuery(Request):
    """Changes of what."""

    namespace: Namespace | None = None
    """Only of this namespace, and of orders of the whole cluster."""
    label_selector: Selector | None = None
    """Only of tasks with these labels; orders come all the same."""
    agent: Agent | None = None
    """Only of tasks of this agent; orders come all the same."""


class StopRequest(Request):
    """How to stop, and why."""

    reason: Reason | None = None
    """Why, as one CamelCase word for machines, such as RunawayCost."""
    message: str | None = Field(None, max_length=1024)
    """Why, for people."""
    grace_period_seconds: int | None = Field(None, ge=1, le=MAX_SECONDS)
    """Seconds between SIGTERM and SIGKILL."""


class PauseRequest(Request):
    """How to pause."""

    pause_policy: PausePolicy | None = None
    """Terminate ends the processes; Freeze has the nodes' kernels hold them where they are. Without it, the task's own counts; given, it becomes the task's own."""  # noqa: E501


COST: Final = "^[0-9]{1,9}([.][0-9]{1,18})?$"
"""What the cost of a report looks like: one call may cost less than a usage can say."""

_COST: Final = (
    'must be a decimal number as text, such as "0.0035", with at most 9 digits before the point and 18 after it'
)

Cost = Annotated[str, looks_like(COST, _COST)]


class UsageReport(Request):
    """What was spent since the last report."""

    prompt_tokens: int = Field(0, ge=0, le=MAX_COUNT)
    """Tokens that went into models."""
    completion_tokens: int = Field(0, ge=0, le=MAX_COUNT)
    """Tokens that came out of models."""
    turns: int = Field(0, ge=0, le=MAX_COUNT)
    """How many times a model was asked."""
    cost: Cost | None = Field(None, min_length=1, max_length=32, pattern=COST)
    """What it cost, as a decimal number; without it, tokens are priced by the model."""
    currency: Currency | None = Field(None, min_length=3, max_length=3, pattern=CURRENCY)
    """The currency of cost: the one in which the gateway counts."""
    model: str | None = Field(None, min_length=1, max_length=253)
    """Which model was asked, as the file of prices has it."""
    at: Time | None = None
    """When it was spent; now, where it is not said."""
    id: str | None = Field(None, min_length=1, max_length=253)
    """The same whenever the same report is sent again: it is counted once then."""
    reported_by: str | None = Field(None, min_length=1, max_length=253)
    """Who counts, for people."""


class Empty(Request):
    """An empty object, or nothing."""


class LabelRequirement(Request):
    """One condition on a label."""

    key: LabelKey
    """Name of the label."""
    operator: Operator
    """How its value is compared."""
    values: tuple[LabelValue, ...] = Field((), max_length=64)
    """The values that In and NotIn compare with."""


class LabelSelector(Request):
    """A label selector; an empty one selects everything."""

    match_labels: dict[LabelKey, LabelValue] | None = Field(None, max_length=64)
    """Labels that have to have just these values."""
    match_expressions: tuple[LabelRequirement, ...] = Field((), max_length=32)
    """Conditions that have to hold as well."""


class _Drill(Request):
    """What an order selects, and how it stops."""

    name: Name | None = None
    """Name of the order; without it, it gets one. Whoever may send a request twice should give one."""
    selector: LabelSelector
    """Which tasks, by their labels; {} is all of them."""
    agents: tuple[Agent, ...] | None = Field(None, min_length=1, max_length=64, json_schema_extra=_UNIQUE)
    """Only tasks of these agents."""
    reason: Reason | None = None
    """Why, as one CamelCase word for machines."""
    message: str | None = Field(None, max_length=1024)
    """Why, for people."""
    grace_period_seconds: int | None = Field(None, ge=1, le=MAX_SECONDS)
    """Seconds between SIGTERM and SIGKILL."""
    pod_policy: PodPolicy | None = None
    """Keep stops pods in place, DeleteAfterProof removes the pod objects afterwards, Delete stops by removing them."""
    ttl_seconds_after_finished: int | None = Field(None, ge=0, le=MAX_SECONDS)
    """Seconds after its end when the order is deleted."""


class _Acting(Request):
    """What an order may do besides stopping what it selects."""

    hold: bool = False
    """Whether nothing that matches may start, until the order is lifted."""
    freeze: bool = False
    """Whether the nodes' kernels hold the processes of all that matches where they are, and nothing is stopped before somebody says so."""  # noqa: E501
    then: Literal["Stop", "Kill"] | None = None
    """With freeze: what follows once all is frozen. Stop has it go on into SIGTERM; Kill ends it without a thaw."""


class StopOrderDrill(_Drill):
    """A rehearsal in one namespace."""

    task_names: tuple[Name, ...] | None = Field(None, min_length=1, max_length=256, json_schema_extra=_UNIQUE)
    """Only tasks of these names."""


class StopOrderRequest(StopOrderDrill, _Acting):
    """An order for one namespace."""


class ClusterStopOrderDrill(_Drill):
    """A rehearsal in all namespaces, or some."""

    namespace_selector: LabelSelector | None = None
    """Only in namespaces with these labels."""


class ClusterStopOrderRequest(ClusterStopOrderDrill, _Acting):
    """An order for all namespaces, or some."""


def query(call: Call, model: type[M]) -> M:
    """Return the query. Raises InvalidError."""
    try:
        return model.model_validate(dict(call.query))
    except ValidationError as error:
        raise _invalid("query", error) from None


async def body(call: Call, model: type[M]) -> M:
    """Return the body, whose values are of just the types that they must have. Raises InvalidError, TooLargeError."""
    found = parse_object(await read_body(call.request))
    try:
        return model.model_validate_json(json.dumps(found), strict=True)
    except ValidationError as error:
        raise _invalid("body", error) from None


def _invalid(where: str, error: ValidationError) -> InvalidError:
    found, message = first_problem(error)
    place = (where, *found)
    return InvalidError(f"{'.'.join(place)}: {message}", where=place)


def task_ref(call: Call) -> str:
    """Return the task's id in the path: a UID, or what another platform calls it. Raises InvalidIdError."""
    ref = task_id_of(call.params["id"])
    if ref is None:
        raise InvalidIdError("an id is a UID, or 1 to 253 printable characters", where=("path", "id"))
    return ref


def selector(labels: str | None) -> TaskSelector | None:
    """Return the query's label selector. Raises InvalidError."""
    if labels is None:
        return None
    try:
        return selector_of(labels)
    except ValueError as error:
        raise InvalidError(f"query.labelSelector: {error}", where=("query", "labelSelector")) from None


def namespace(call: Call) -> str:
    """Return the namespace in the path; empty where it has none. Raises InvalidIdError."""
    given = call.params.get("namespace", "")
    if "namespace" in call.params and not (len(given) <= 63 and re.fullmatch(NAMESPACE, given)):
        raise InvalidIdError("this can be no namespace", where=("path", "namespace"))
    return given


def name(call: Call) -> str:
    """Return the name in the path. Raises InvalidIdError."""
    given = call.params["name"]
    if not (len(given) <= 253 and re.fullmatch(NAME, given)):
        raise InvalidIdError("this can be no name", where=("path", "name"))
    return given


def wait(call: Call) -> float | None:
    """Return for how many seconds the client prefers to wait; None where it does not say.

    Source: https://www.rfc-editor.org/rfc/rfc7240#section-4.3
    """
    for each in ",".join(call.request.headers.getall("Prefer", ())).split(","):
        name, _, value = each.partition(";")[0].partition("=")
        value = value.strip().strip('"')
        if name.strip().lower() == "wait" and value.isascii() and value.isdigit():
            return min(float(value[:9]), MAX_WAIT_SECONDS)
    return None
