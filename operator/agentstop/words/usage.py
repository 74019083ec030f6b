"""What a task has used, against what its budget allows: from the raw object."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal, InvalidOperation
from typing import Any, Final

from agentstop.words.durations import moment, spell
from agentstop.words.tasks import Object, clean, cleaned, condition, phase_of, spec_of, status_of

_CENT: Final = Decimal("0.01")

_COUNTS: Final = (("tokens", "maxTokens", "totalTokens"), ("turns", "maxTurns", "turns"))


@dataclass(frozen=True, slots=True)
class Limit:
    """One limit of a budget, and how much of it is used."""

    what: str
    """cost, tokens, turns or silence."""
    said: str
    """Both, such as `12.41 of 40.00 USD`."""
    percent: int
    """How much is used; more than 100 beyond the limit."""


def money(amount: Decimal) -> str:
    """Write an amount of money for people: with two digits after the point, or as many as it has."""
    exact = amount.normalize()
    exponent = exact.as_tuple().exponent
    return f"{exact.quantize(_CENT):f}" if isinstance(exponent, int) and exponent > -2 else f"{exact:f}"


def usage_of(task: Object) -> dict[str, Any]:
    """Return what is known of a task's usage, empty where nothing is."""
    return cleaned(status_of(task).get("usage") or {})


def cost_of(record: dict[str, Any]) -> Decimal | None:
    """Return what something has cost, by a record of usage; None where it does not say."""
    return _decimal(record.get("cost"))


def cost_words(record: dict[str, Any]) -> str:
    """Return the cost in a record of usage with its currency; empty where it has none."""
    cost = cost_of(record)
    return f"{money(cost)} {record.get('currency') or 'USD'}" if cost is not None else ""


def token_words(record: dict[str, Any]) -> str:
    """Return the tokens in a record of usage in words; empty where there are none."""
    return _plural(count_of(record, "totalTokens"), "token")


def turn_words(record: dict[str, Any]) -> str:
    """Return the questions to a model in a record of usage in words; empty where there are none."""
    return _plural(count_of(record, "turns"), "turn")


def _plural(number: int, what: str) -> str:
    return f"{number:,} {what}{'' if number == 1 else 's'}" if number else ""


def used_words(record: dict[str, Any]) -> str:
    """Return a record of usage in words; empty where nothing was used."""
    spent = cost_words(record) if cost_of(record) else ""
    return ", ".join(filter(None, (spent, token_words(record), turn_words(record))))


def count_of(record: dict[str, Any], field: str) -> int:
    """Return a number of a record of usage; 0 where it has none."""
    found = record.get(field)
    return found if isinstance(found, int) else 0


def limits_of(task: Object, now: datetime) -> list[Limit]:
    """Return the limits of a task's own budget that can be compared with what it has used.

    Silence is only told of a task that runs. What the operator's second signal says is not in the task.
    """
    budget, usage = spec_of(task).get("budget") or {}, usage_of(task)
    if not usage:
        return []
    return [*_spent(budget, counted(budget, usage)), *_silence(budget, task, usage, now)]


def counted(budget: dict[str, Any], usage: dict[str, Any]) -> dict[str, Any]:
    """Return the record of usage that counts for a budget: that of the family where its scope says so."""
    family: dict[str, Any] | None = usage.get("family") if budget.get("scope") == "Family" else None
    return family or usage


def standing(task: Object) -> str | None:
    """Return what condition BudgetExceeded means for a task that goes on; None where there is nothing to tell."""
    found = condition(task, "BudgetExceeded")
    status, reason, message = found.get("status"), found.get("reason"), found.get("message") or ""
    if status == "True":
        action = (spec_of(task).get("budget") or {}).get("action")
        then = {
            "Observe": "; the budget only observes, so nothing follows",
            "Pause": "; it pauses the task: raise the limit, then resume it",
        }.get(str(action), "")
        return f"its budget is used up: {message}{then}"
    if reason == "Warning":
        return f"it comes near the limit of its budget: {message}"
    return f"its budget cannot be compared: {message}" if status == "Unknown" else None


def _spent(budget: dict[str, Any], used: dict[str, Any]) -> Iterator[Limit]:
    most, cost = _decimal(budget.get("maxCost")), cost_of(used)
    currency = clean(budget.get("currency") or "USD")
    if most and cost is not None and used.get("currency", currency) == currency:
        yield Limit("cost", f"{money(cost)} of {money(most)} {currency}", int(cost * 100 / most))
    for what, limit, field in _COUNTS:
        allowed, count = count_of(budget, limit), count_of(used, field)
        if allowed:
            yield Limit(what, f"{count:,} of {allowed:,} {what}", count * 100 // allowed)


def _silence(budget: dict[str, Any], task: Object, usage: dict[str, Any], now: datetime) -> Iterator[Limit]:
    allowed, active = count_of(budget, "maxIdleSeconds"), moment(usage.get("lastActivityAt"))
    if not allowed or active is None or phase_of(task) != "Running":
        return
    started = moment(status_of(task).get("startedAt"))
    quiet = max((now - max(filter(None, (active, started)))).total_seconds(), 0.0)
    yield Limit("silence", f"silent for {spell(quiet)} of {spell(allowed)}", int(quiet * 100 / allowed))


def _decimal(text: Any) -> Decimal | None:
    try:
        found = Decimal(text) if isinstance(text, str) else None
    except InvalidOperation:
        return None
    return found if found is not None and found.is_finite() else None
