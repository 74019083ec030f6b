"""`agentstop unprotect`: takes the operator's finalizer off tasks and orders. The chart's uninstallation runs it."""

import argparse
import time
from typing import Any, Final

from agentstop.api.meta import STOP_FINALIZER
from agentstop.api.order import CLUSTER_ORDER_PLURAL, ORDER_PLURAL
from agentstop.api.task import PLURAL
from agentstop.cli.errors import UserError
from agentstop.cli.in_cluster import MANAGER, PAUSE_SECONDS, api, path
from agentstop.cli.options import add_namespaces
from agentstop.client.client import Api
from agentstop.client.errors import ApiError
from agentstop.words.tasks import Object

LOOKS: Final = 4
"""So many looks in a row must find nothing: an operator that is just ending may still put one on."""

IN_NAMESPACES: Final = (PLURAL, ORDER_PLURAL)
EVERYWHERE: Final = (*IN_NAMESPACES, CLUSTER_ORDER_PLURAL)

GIVE_UP_SECONDS: Final = 60.0


def add_parser(verbs: Any, about: str) -> None:
    """Add the verb."""
    parser: argparse.ArgumentParser = verbs.add_parser(
        "unprotect",
        help=about,
        description="Takes the operator's finalizer off tasks and orders, so that they can be deleted without it.",
    )
    add_namespaces(parser, "in this namespace")
    parser.set_defaults(carry_out=carry_out)


def carry_out(options: argparse.Namespace) -> int:
    """Take it off. Raises UserError where it is put on again and again."""
    freed = set[str]()
    quiet = 0
    until = time.monotonic() + GIVE_UP_SECONDS
    plurals = IN_NAMESPACES if options.namespace else EVERYWHERE
    with api() as client:
        while quiet < LOOKS:
            found = [
                (plural, each)
                for namespace in options.namespace or [""]
                for plural in plurals
                for each in _protected(client, plural, namespace)
            ]
            for plural, each in found:
                _unprotect(client, plural, each)
                freed.add(each["metadata"]["uid"])
            quiet = 0 if found else quiet + 1
            if time.monotonic() > until:
                raise UserError("the finalizer is put on again and again: end the operator first")
            time.sleep(PAUSE_SECONDS)
    print(f"took the finalizer off {len(freed)} tasks and orders")
    return 0


def _protected(client: Api, plural: str, namespace: str) -> list[Object]:
    try:
        found, _ = client.list(path(plural, namespace))
    except ApiError as error:
        if error.code != 404:
            raise
        return []
    return [each for each in found if STOP_FINALIZER in (each["metadata"].get("finalizers") or ())]


def _unprotect(client: Api, plural: str, found: Object) -> None:
    """Take it off one of them; the next look sees to one that was changed meanwhile."""
    metadata = found["metadata"]
    kept = [each for each in metadata["finalizers"] if each != STOP_FINALIZER]
    change = {"metadata": {"resourceVersion": metadata["resourceVersion"], "finalizers": kept}}
    try:
        client.merge(path(plural, metadata.get("namespace", ""), metadata["name"]), change, manager=MANAGER)
    except ApiError as error:
        if error.code not in {404, 409}:
            raise
