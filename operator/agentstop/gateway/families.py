"""What is told of a task beside itself: its family, and its Events."""

from dataclasses import dataclass
from typing import Any, Final

from agentstop.gateway.dialect import Call
from agentstop.gateway.entry import Entry
from agentstop.gateway.errors import ForbiddenError, InvalidError

MAX_ANCESTORS: Final = 64
MAX_EVENTS: Final = 500
"""So many Kubernetes Events are read of one task."""


@dataclass(frozen=True, slots=True)
class Family:
    """A task's ancestors and descendants."""

    ancestors: list[Entry]
    """Its parent, that one's parent, and so on."""
    descendants: list[Entry]
    """All below it, parents before their children."""


async def family_of(call: Call, entry: Entry) -> Family:
    """Return a task's family. Raises GatewayError.

    All of it is in the task's namespace. Whoever may read a task need not be one who may read its family: then this
    raises ForbiddenError.
    """
    ancestors: list[Entry] = []
    parent = call.tasks.parent(entry)
    while parent is not None and parent not in ancestors and parent.uid != entry.uid and len(ancestors) < MAX_ANCESTORS:
        ancestors.append(parent)
        parent = call.tasks.parent(parent)
    below = list(call.core.index.descendants(entry.key))
    if ancestors or below:
        await call.tasks.list_visible(lambda _: False, namespace=entry.namespace)
    return Family(ancestors, below)


async def events_of(call: Call, entry: Entry) -> list[Any]:
    """Return the Events about a task; none where the caller may not read them. Raises GatewayError."""
    where = f"/apis/events.k8s.io/v1/namespaces/{entry.namespace}/events"
    query = {"fieldSelector": f"regarding.name={entry.name}", "limit": str(MAX_EVENTS)}
    try:
        found = await call.core.access.call(call.caller, "GET", where, query)
    except (ForbiddenError, InvalidError):
        return []
    return [each for each in found.get("items") or () if (each.get("regarding") or {}).get("uid") == entry.uid]
