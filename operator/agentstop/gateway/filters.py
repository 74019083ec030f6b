"""By what callers choose among tasks."""

from collections.abc import Callable

from agentstop.api.order import Selector
from agentstop.gateway.entry import Entry
from agentstop.lifecycle.orders import selects
from agentstop.words.labels import parse_selector


def keep_by(agent: str | None, selector: Selector | None) -> Callable[[Entry], bool]:
    """Return what says whether a task is of an agent, and is selected; None leaves any be."""
    return lambda entry: agent in {None, entry.agent} and (selector is None or selects(selector, entry.labels))


def selector_of(labels: str) -> Selector:
    """Read a selector as kubectl writes it. Raises ValueError: each dialect has a name of its own for it."""
    return Selector.model_validate(parse_selector(labels))
