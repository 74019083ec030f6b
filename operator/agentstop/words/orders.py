"""An order in words: what it stops, and what became of it."""

from typing import Any, Final

from agentstop.words.durations import spell

_FORMS: Final = {"In": "{0} in ({1})", "NotIn": "{0} notin ({1})", "Exists": "{0}", "DoesNotExist": "!{0}"}
ENDS: Final = (("graceful", "graceful"), ("killed", "killed"), ("notStarted", "not started"), ("other", "other"))
"""What an order counts of how its tasks ended, and how that is said."""


def what_it_stops(spec: dict[str, Any]) -> str:
    """Return what an order selects."""
    parts = [f"the tasks {', '.join(spec['taskNames'])}" if spec.get("taskNames") else "everything"]
    if spec.get("agents"):
        parts.append(f"of agent {', '.join(spec['agents'])}")
    # A selector may be written out and select everything all the same.
    if labels := selector_words(spec.get("selector") or {}):
        parts.append(f"with {labels}")
    if labels := selector_words(spec.get("namespaceSelector") or {}):
        parts.append(f"in namespaces with {labels}")
    return " ".join(parts)


def selector_words(selector: dict[str, Any]) -> str:
    """Return a label selector as kubectl writes it."""
    parts = [f"{key}={value}" for key, value in (selector.get("matchLabels") or {}).items()]
    for each in selector.get("matchExpressions") or ():
        values = ",".join(each.get("values") or ())
        parts.append(_FORMS.get(each["operator"], "{0} ? ({1})").format(each["key"], values))
    return ",".join(parts)


def freezes(order: dict[str, Any]) -> bool:
    """Whether an order has something frozen, or is about to: nobody has said yet what follows."""
    spec, status = order.get("spec") or {}, order.get("status") or {}
    return bool(spec.get("freeze")) and not (spec.get("then") or status.get("startedAt"))


def what_became_of_it(status: dict[str, Any]) -> list[tuple[str, str]]:
    """Return what an order has done so far: what is told, and what is to be said of it."""
    found = []
    stopped = status.get("stopped") or {}
    if stopped:
        found.append(("ended", ", ".join(f"{stopped.get(key, 0)} {word}" for key, word in ENDS)))
    if status.get("frozen"):
        found.append(("frozen", f"{status['frozen']} now"))
    if status.get("freezeSeconds") is not None:
        found.append(("freeze", f"the last was frozen after {spell(float(status['freezeSeconds']))}"))
    if status.get("alreadyFinished"):
        found.append(("before", f"{status['alreadyFinished']} had ended before"))
    if status.get("refused"):
        found.append(("refused", f"{status['refused']} that were made under the hold"))
    if status.get("signalSeconds") is not None:
        after = spell(float(status["signalSeconds"]))
        found.append(("signal", f"the last SIGTERM was on its way after {after}"))
    if status.get("haltSeconds") is not None:
        found.append(("halt", f"the last process was proven gone after {spell(float(status['haltSeconds']))}"))
    return found
