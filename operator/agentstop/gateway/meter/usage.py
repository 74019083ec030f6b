"""The TaskUsage that follows from one and from what is to be added. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import ROUND_FLOOR, Decimal, InvalidOperation
from typing import Any, Final

from agentstop.api.meta import API_VERSION, format_time, parse_number, parse_time
from agentstop.api.task import KIND
from agentstop.api.usage import MAX_COUNT, USAGE_KIND
from agentstop.cluster.decoding import JsonObject
from agentstop.cluster.usage_store import is_usage_of, owner_uid
from agentstop.gateway.entry import Entry
from agentstop.gateway.meter.amounts import MONEY, NOTHING_SPENT
from agentstop.gateway.meter.tally import Tally, read_tally

TALLY_ANNOTATION: Final = "agentstop.dev/meter"
"""What the meter's numbers are made of, so that any gateway goes on where another one ended."""

SMALLEST: Final = Decimal("0.000001")
MAX_COST: Final = Decimal("999999999.999999")
"""The smallest and the largest cost that a TaskUsage holds."""


@dataclass(frozen=True, slots=True)
class Change:
    """What is to be added to the usage of a task."""

    tally: Tally
    at: datetime | None
    """When the last of it was spent."""
    reporter: str
    """Who told it, for people."""
    writer: str
    """The gateway that adds it."""
    number: int
    """Which of its writes to this task this is."""


@dataclass(frozen=True, slots=True)
class Spent:
    """What a TaskUsage says was spent."""

    cost: Decimal
    tokens: int
    turns: int


def spent(spec: Mapping[str, Any]) -> Spent:
    """Return what a TaskUsage's spec says was spent."""
    return Spent(_cost(spec), _tokens(spec), parse_number(spec.get("turns")))


def is_written(found: JsonObject, change: Change) -> bool:
    """Whether a change is in a TaskUsage already: its write was carried out, and the answer to it was lost."""
    return _tally(found).writers.get(change.writer, 0) >= change.number


def changed(found: JsonObject | None, change: Change, currency: str) -> JsonObject:
    """Return annotation and spec of a TaskUsage with what is added."""
    spec: Mapping[str, Any] = (found or {}).get("spec") or {}
    tally = _tally(found or {})
    more = tally.take(change.tally)
    tally.writers.pop(change.writer, None)
    tally.writers[change.writer] = change.number
    exact = MONEY.add(MONEY.add(_cost(spec), tally.rest), more.cost)
    cost = min(exact.quantize(SMALLEST, ROUND_FLOOR, MONEY), MAX_COST)
    tally.rest = MONEY.subtract(exact, cost) if cost < MAX_COST else NOTHING_SPENT
    moments = [each for each in (change.at, parse_time(spec.get("lastActivityAt"))) if each is not None]
    numbers = {
        "promptTokens": parse_number(spec.get("promptTokens")) + more.prompt,
        "completionTokens": parse_number(spec.get("completionTokens")) + more.completion,
        "totalTokens": _tokens(spec) + more.prompt + more.completion,
        "turns": parse_number(spec.get("turns")) + more.turns,
    }
    return {
        "metadata": {"annotations": {TALLY_ANNOTATION: tally.text()}},
        "spec": {
            **{name: min(number, MAX_COUNT) for name, number in numbers.items()},
            "cost": f"{cost.normalize():f}",
            "currency": currency,
            "reportedBy": change.reporter,
            **({"lastActivityAt": format_time(max(moments))} if moments else {}),
        },
    }


def created(entry: Entry, fields: JsonObject) -> JsonObject:
    """Return a new TaskUsage of a task, which goes with it."""
    owner = {"apiVersion": API_VERSION, "kind": KIND, "name": entry.name, "uid": entry.uid}
    metadata = {"name": entry.name, "namespace": entry.namespace, "ownerReferences": [owner], **fields["metadata"]}
    return {"apiVersion": API_VERSION, "kind": USAGE_KIND, "metadata": metadata, "spec": fields["spec"]}


def patched(found: JsonObject, fields: JsonObject) -> JsonObject:
    """Return the merge patch that changes a TaskUsage, if it still is as it was found."""
    metadata = found["metadata"]
    same = {"uid": metadata.get("uid"), "resourceVersion": metadata.get("resourceVersion")}
    return {"metadata": {**same, **fields["metadata"]}, "spec": fields["spec"]}


def belongs_to(found: JsonObject, entry: Entry) -> bool:
    """Whether a TaskUsage counts for a task."""
    metadata = found["metadata"]
    made, task_made = (parse_time(each.get("creationTimestamp")) for each in (metadata, entry.raw["metadata"]))
    return is_usage_of(owner_uid(metadata), made, entry.uid, task_made)


def _tally(found: JsonObject) -> Tally:
    annotations = (found.get("metadata") or {}).get("annotations") or {}
    return read_tally(annotations.get(TALLY_ANNOTATION))


def _tokens(spec: Mapping[str, Any]) -> int:
    parts = parse_number(spec.get("promptTokens")) + parse_number(spec.get("completionTokens"))
    return max(parse_number(spec.get("totalTokens")), parts)


def _cost(spec: Mapping[str, Any]) -> Decimal:
    try:
        found = Decimal(spec.get("cost") or 0)
    except (InvalidOperation, TypeError, ValueError):
        return NOTHING_SPENT
    return found if found.is_finite() and found > 0 else NOTHING_SPENT
