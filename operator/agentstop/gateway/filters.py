"""By what callers choose among tasks."""

from collections.abc import Callable

from agentstop.api.order import Selector
from agentstop.gateway.entry import Entry
from agentstop.gateway.errors import InvalidError
from agentstop.lifecycle.orders import selects
from agentstop.words.labels import parse_selector


def keep_by(agent: str | None, labels: str | None) -> Callable[[Entry], bool]:
    """Return whether a task is of an agent and has these labels. Raises InvalidError."""
    selector = selector_of(labels)
    return lambda entry: agent in {None, entry.agent} and (selector is None or selects(selector, entry.labels))


def selector_of(labels: str | None) -> Selector | None:
    """Return a selector as kubectl writes it. Raises InvalidError."""
    if labels is None:
        return None
    try:
        return Selector.model_validate(parse_selector(labels))
    except ValueError as error:
        raise InvalidError(f"query.labelSelector: {error}", where=("query", "labelSelector")) from None
