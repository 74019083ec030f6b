"""Names from the cluster for the shell's completion. Whatever goes wrong, there are just none.

A shell puts a candidate into the command line as it is, and the next key runs it. So only what no shell reads anything
into is a candidate, whoever made it: an agent chooses its own name, a kubeconfig may come from anywhere, and an API
server with an older definition lets more through than ours.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

import click
from click.shell_completion import CompletionItem

from agentstop.cli.plugin.names import ACTIVE_ONLY, CLUSTER_ORDER, NAMESPACE, ORDER, TASK, Kind
from agentstop.cli.plugin.session import Session
from agentstop.client.client import Api
from agentstop.client.config import contexts
from agentstop.client.errors import ApiError, ConfigError, UnreachableError
from agentstop.words.tasks import Object, name_of, phase_of, spec_of

HARMLESS: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/:@-]*")
"""What may be offered. The same goes for `spec.agent`, in `agentstop.api.meta`; a test holds them in step."""

SECONDS: Final = 2.0
"""So long a person waits for a candidate."""

MOST: Final = 500


def find(what: str, context: click.Context, incomplete: str) -> list[CompletionItem]:
    """Return what may be meant: namespaces, contexts, tasks, agents or orders that begin like this."""
    session = context.ensure_object(Session)
    taken = set(context.params.get("names") or ())
    try:
        found = dict(_names(what, session, context))
    except (ConfigError, ApiError, UnreachableError):
        return []
    return [
        CompletionItem(name, help=about if about is not None and HARMLESS.fullmatch(about) else None)
        for name, about in sorted(found.items())
        if name.startswith(incomplete) and name not in taken and HARMLESS.fullmatch(name)
    ]


def _names(what: str, session: Session, context: click.Context) -> Iterator[tuple[str, str | None]]:
    if what == "contexts":
        for name in contexts(session.settings):
            yield name, None
        return
    api = Api.open(session.settings, interactive=False, seconds=SECONDS)
    namespace = api.target.namespace
    if what == "namespaces":
        for item in _items(api, NAMESPACE, None):
            yield name_of(item), None
    elif what == "orders":
        for kind in (CLUSTER_ORDER,) if context.params.get("all_namespaces") else (ORDER, CLUSTER_ORDER):
            for item in _items(api, kind, namespace):
                yield name_of(item), phase_of(item)
    else:
        # What has ended cannot be stopped, paused or resumed.
        active = context.info_name in {"stop", "pause", "resume", "wait"}
        for item in _items(api, TASK, namespace, {"fieldSelector": ACTIVE_ONLY} if active else {}):
            if what == "tasks":
                yield name_of(item), phase_of(item)
            elif spec_of(item).get("agent"):
                yield str(spec_of(item)["agent"]), None


def _items(api: Api, kind: Kind, namespace: str | None, query: Mapping[str, str] | None = None) -> list[Object]:
    try:
        page: dict[str, Any] = api.page(kind.path(namespace), {**(query or {}), "limit": str(MOST)})
    except ApiError:
        return []
    return list(page.get("items") or ())
