"""Names of the API group and the building blocks that every kind shares."""

from collections.abc import Iterable
from datetime import UTC, datetime
from enum import StrEnum
from typing import Annotated, Any, Final, Self

from pydantic import BaseModel, ConfigDict, Field, PlainSerializer, WithJsonSchema
from pydantic.alias_generators import to_camel

GROUP: Final = "agentstop.dev"
VERSION: Final = "v1alpha1"
API_VERSION: Final = "agentstop.dev/v1alpha1"

TASK_LABEL: Final = f"{GROUP}/task"
"""Label on every pod that the operator makes; its value is the name of the task."""

REQUESTED_BY_ANNOTATION: Final = f"{GROUP}/stop-requested-by"
"""Annotation on a task that names who asked for the stop; admission stamps it, nobody else.

It counts only where the operator was told that this is so."""

ORDERED_BY_ANNOTATION: Final = f"{GROUP}/requested-by"
"""Annotation on an order that names who made it; the same holds for it."""

STOP_FINALIZER: Final = f"{GROUP}/stop"
"""Finalizer on a task whose deletion must first stop a workload that the task does not own, and on an order for as
long as there are tasks to stop that have no record of it."""


def format_time(moment: datetime) -> str:
    """Write a moment as RFC 3339 in UTC with microseconds, as Kubernetes' MicroTime does."""
    return moment.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="microseconds") + "Z"


EARLIEST: Final = datetime(1970, 1, 1, tzinfo=UTC)
LATEST: Final = datetime(3000, 1, 1, tzinfo=UTC)
"""What is said to be before or after is taken for these: years are added to it and taken off it."""

MAX_DURATION_SECONDS: Final = 2**31 - 1
"""What is said to last longer is taken to last so long: some 68 years, and the most that 32 bits hold."""


def parse_time(text: str | None) -> datetime | None:
    """Read an RFC 3339 moment as Kubernetes writes it, or None where there is none.

    Whoever may write an object may write any moment into it, and the API server takes some that Python has no word
    for, such as the year 0. What cannot be read was long ago.
    """
    if not text:
        return None
    try:
        moment = datetime.fromisoformat(text)
        moment = moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
        return min(max(moment, EARLIEST), LATEST)
    except (ValueError, TypeError, OverflowError):
        return EARLIEST


def parse_seconds(value: object, default: int = 0) -> int:
    """Read a duration in whole seconds: from 0 to `MAX_DURATION_SECONDS`, the default where there is none.

    The API server takes grace periods of up to 2^63 - 1 seconds.
    """
    return min(max(parse_number(value, default), 0), MAX_DURATION_SECONDS)


def parse_number(value: object, default: int = 0) -> int:
    """Read a whole number as JSON has it; the default where there is none, or something else."""
    return value if isinstance(value, int) and not isinstance(value, bool) else default


Time = Annotated[
    datetime,
    PlainSerializer(format_time, return_type=str, when_used="json"),
    WithJsonSchema({"type": "string", "format": "date-time"}),
]
"""A moment; RFC 3339 in UTC with microseconds on the wire."""

MAX_SECONDS: Final = 31_536_000
"""One year: the most that any duration may ask for, in seconds."""

Seconds = Annotated[int, Field(json_schema_extra={"format": "int32"})]
"""A duration in whole seconds."""

NAME_PATTERN: Final = "^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$"
"""What names look like. They become part of a path of the API: with a slash or dots alone, one could lead elsewhere."""


def rule(expression: str, message: str, **more: str | bool) -> dict[str, str | bool]:
    """Return one CEL rule of a CRD schema.

    Source: https://kubernetes.io/docs/reference/using-api/cel/
    """
    return {"rule": expression, "message": message, **more}


def schema(*rules: dict[str, str | bool], **extra: Any) -> dict[str, Any]:
    """Return the part of a field's schema that JSON Schema has no word for: CEL rules, defaults, list types."""
    keys = {name.replace("x_kubernetes_", "x-kubernetes-").replace("_", "-"): value for name, value in extra.items()}
    return {**({"x-kubernetes-validations": list(rules)} if rules else {}), **keys}


AGENT_NAME: Final = "^[A-Za-z0-9][A-Za-z0-9._/:@-]*$"
"""What the name of an agent looks like. It is completed in people's shells, which read something into all else."""

HARMLESS: Final = rule(
    f"self.matches('{AGENT_NAME}')", "must begin with a letter or digit, and have none but these and . _ - / : @"
)


class Model(BaseModel):
    """Base of all models: camelCase on the wire, immutable, blind to fields of newer versions."""

    model_config = ConfigDict(
        alias_generator=to_camel,
        populate_by_name=True,
        frozen=True,
        extra="ignore",
        use_attribute_docstrings=True,
        hide_input_in_errors=True,  # what does not fit may be a secret, and errors are logged
    )

    def wire(self) -> dict[str, Any]:
        """Return the model as Kubernetes sees it: camelCase, without what is not set."""
        return self.model_dump(mode="json", by_alias=True, exclude_none=True)

    def but(self, **changes: Any) -> Self:
        """Return a copy with these fields changed."""
        return self.model_copy(update=changes)


class ConditionType(StrEnum):
    """Types of conditions, as kstatus reads them.

    Source: https://github.com/kubernetes-sigs/cli-utils/blob/master/pkg/kstatus/README.md
    """

    READY = "Ready"
    """The task is in the state that its spec asks for."""
    RECONCILING = "Reconciling"
    """The operator, or the cluster on its behalf, is still working towards that state."""
    STALLED = "Stalled"
    """The work cannot go on as things are; the reason names what holds it up."""
    STOPPED = "Stopped"
    """The stop is proven; false while it is under way, absent where none was accepted."""
    CONTROLLED_ELSEWHERE = "ControlledElsewhere"
    """Somebody else's controller has the workload, and may make another one in its place; absent where none has."""
    TETHERED = "Tethered"
    """The Lease of the task's tether is renewed; absent where it has no tether."""
    BUDGET_EXCEEDED = "BudgetExceeded"
    """A limit of the budget is reached; false with reason Warning from warnPercent on, absent without a budget."""


class Condition(Model):
    """One observation of the object's state, as in all of Kubernetes."""

    type: str
    """Type of the condition in CamelCase."""
    status: str = Field(json_schema_extra={"enum": ["True", "False", "Unknown"]})
    """True, False or Unknown."""
    reason: str
    """One CamelCase word that says why the condition is as it is."""
    message: str = ""
    """The same for people."""
    last_transition_time: Time
    """When the status of this condition changed last."""


def find_condition(conditions: Iterable[Condition], kind: ConditionType) -> Condition | None:
    """Return the condition of this type, None where there is none; like apimachinery's FindStatusCondition."""
    return next((each for each in conditions if each.type == kind), None)


def stalled(conditions: Iterable[Condition]) -> Condition | None:
    """Return what says that something is held up and by what, None where nothing is."""
    found = find_condition(conditions, ConditionType.STALLED)
    return found if found is not None and found.status == "True" else None
