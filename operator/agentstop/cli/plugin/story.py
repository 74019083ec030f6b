"""All that is known of one task: its family and its Events."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from agentstop.cli.plugin.names import EVENT, TASK
from agentstop.client.client import Api
from agentstop.client.errors import ApiError
from agentstop.words.tasks import Object, name_of, namespace_of, spec_of, status_of

MAX_RELATIVES: Final = 50
"""So many descendants are shown."""

MAX_GENERATIONS: Final = 32


@dataclass(frozen=True, slots=True)
class Story:
    """A task, and what goes with it."""

    task: Object
    ancestors: tuple[Object, ...] = ()
    """Nearest first."""
    children: tuple[tuple[str, Object], ...] = ()
    """(name of the parent, task) of all descendants, nearest first."""
    events: tuple[Object, ...] = ()
    """Empty where there are none, or where the user may not read them."""


def read_story(api: Api, task: Object) -> Story:
    """Return what is known of a task. What the user may not read is left out."""
    return Story(task, tuple(_ancestors(api, task)), tuple(_descendants(api, task)), tuple(events_of(api, task)))


def _ancestors(api: Api, task: Object) -> Iterator[Object]:
    reached = {name_of(task)}
    for _ in range(MAX_GENERATIONS):
        name = (spec_of(task).get("parentRef") or {}).get("name")
        if name is None or name in reached:
            return
        reached.add(name)
        try:
            task = api.get(TASK.path(namespace_of(task), name))
        except ApiError:
            return
        yield task


def _descendants(api: Api, task: Object) -> Iterator[tuple[str, Object]]:
    reached, waiting = {name_of(task)}, [task]
    while waiting and len(reached) <= MAX_RELATIVES:
        parent = waiting.pop(0)
        if not (status_of(parent).get("children") or {}).get("total"):
            continue
        query = {"fieldSelector": f"spec.parentRef.name={name_of(parent)}", "limit": str(MAX_RELATIVES)}
        try:
            items = api.page(TASK.path(namespace_of(task)), query).get("items") or ()
        except ApiError:
            return
        for child in items:
            if name_of(child) not in reached:
                reached.add(name_of(child))
                waiting.append(child)
                yield name_of(parent), child


def events_of(api: Api, task: Object) -> list[Object]:
    """Return the Events about a task; none where the user may not read them."""
    query = {"fieldSelector": f"regarding.name={name_of(task)}"}
    try:
        found, _ = api.list(EVENT.path(namespace_of(task)), query)
    except ApiError as error:
        if error.code != 400:
            return []
        try:
            found, _ = api.list(EVENT.path(namespace_of(task)))
        except ApiError:
            return []
    uid = task["metadata"]["uid"]
    return [each for each in found if (each.get("regarding") or {}).get("uid") == uid]
