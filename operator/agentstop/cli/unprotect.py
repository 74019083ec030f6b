"""`agentstop unprotect`: takes the operator's finalizer off all tasks. The chart's uninstallation runs it."""

import argparse
import time
from typing import Any, Final

from agentstop.api.meta import STOP_FINALIZER
from agentstop.cli.errors import UserError
from agentstop.cli.inside import MANAGER, PAUSE_SECONDS, Object, api, tasks
from agentstop.cli.plugin.api.client import Api, ApiError

LOOKS: Final = 4
"""So many looks in a row must find nothing: an operator that is just ending may still put one on."""

GIVE_UP_SECONDS: Final = 60.0


def add_parser(verbs: Any) -> None:
    """Add the verb."""
    parser: argparse.ArgumentParser = verbs.add_parser(
        "unprotect",
        help="take the operator's finalizer off all tasks, before or after it is uninstalled",
        description="Takes the operator's finalizer off all tasks, so that they can be deleted without an operator.",
    )
    parser.add_argument(
        "-n",
        "--namespace",
        action="append",
        default=[],
        metavar="NAME",
        help="in this namespace; repeatable; default all",
    )
    parser.set_defaults(carry_out=carry_out)


def carry_out(options: argparse.Namespace) -> int:
    """Take it off. Raises UserError where it is put on again and again."""
    freed = set[str]()
    quiet = 0
    until = time.monotonic() + GIVE_UP_SECONDS
    with api() as client:
        while quiet < LOOKS:
            found = [task for each in options.namespace or [""] for task in _protected(client, each)]
            for task in found:
                _unprotect(client, task)
                freed.add(task["metadata"]["uid"])
            quiet = 0 if found else quiet + 1
            if time.monotonic() > until:
                raise UserError("the finalizer is put on again and again: end the operator first")
            time.sleep(PAUSE_SECONDS)
    print(f"took the finalizer off {len(freed)} tasks")
    return 0


def _protected(client: Api, namespace: str) -> list[Object]:
    try:
        found, _ = client.list(tasks(namespace))
    except ApiError as error:
        if error.code != 404:
            raise
        return []
    return [each for each in found if STOP_FINALIZER in (each["metadata"].get("finalizers") or ())]


def _unprotect(client: Api, task: Object) -> None:
    """Take it off one task; the next look sees to a task that was changed meanwhile."""
    metadata = task["metadata"]
    kept = [each for each in metadata["finalizers"] if each != STOP_FINALIZER]
    change = {"metadata": {"resourceVersion": metadata["resourceVersion"], "finalizers": kept}}
    try:
        client.merge(tasks(metadata["namespace"], metadata["name"]), change, manager=MANAGER)
    except ApiError as error:
        if error.code not in {404, 409}:
            raise
