"""The question that comes before more than one task."""

from typing import Any

import click

from agentstop.cli.plugin.exit_codes import Exit, PluginError
from agentstop.cli.plugin.graces import longest, warning
from agentstop.cli.plugin.names import TASK
from agentstop.cli.plugin.output import note
from agentstop.cli.plugin.selecting import Selection
from agentstop.cli.plugin.session import Session, asks
from agentstop.client.errors import ApiError
from agentstop.words.tasks import Object

COUNTED = 500
"""So many tasks are looked at for the question, in one request, however many there are."""


def confirm(session: Session, selection: Selection, verb: str, *, yes: bool, patient: bool = False) -> None:
    """Ask whether to go on, where it is about more than one task; `patient` where they get the time that is theirs.

    Raises click.UsageError where nobody can answer, and PluginError where the answer is no.
    """
    if yes or selection.single is not None:
        return
    if not asks():
        raise click.UsageError(
            f"{verb} can be about more than one task, and there is no terminal to ask on: add -y, or look first with"
            " --dry-run"
        )
    found, more = _look(session, selection)
    seconds = longest(found) if found is not None and patient else None
    if seconds is not None:
        note(warning("one of them" if more or len(found or ()) > 1 else "it", seconds, verb))
    if found is not None and len(found) <= 1 and not more:
        return
    what = selection.words(session.namespace)
    if found is None:
        counted = f"all {what}"
    else:
        places = {item["metadata"].get("namespace") for item in found}
        number = f"more than {len(found)}" if more else str(len(found))
        counted = number if selection.names else f"{number} {what}"
        if selection.names:
            counted = f"{number} tasks ({what})"
        elif selection.all_namespaces and not more and len(places) < 20:
            counted += f" ({len(places)} of them have some)"
    if not click.confirm(f"{verb.capitalize()} {counted}?", err=True):
        raise PluginError("nothing was done", Exit.ERROR)


def _look(session: Session, selection: Selection) -> tuple[list[Object] | None, bool]:
    """Return active tasks that are meant, and whether there are more; None where the user may not look."""
    path = TASK.path(None if selection.all_namespaces else session.namespace)
    query: dict[str, Any] = {**selection.query(active_only=True), "limit": str(COUNTED)}
    try:
        page = session.api.page(path, query)
    except ApiError as error:
        if error.code == 403:
            return None, False
        raise
    found = [item for item in page.get("items") or () if selection.matches(item)]
    return found, bool((page.get("metadata") or {}).get("continue"))
