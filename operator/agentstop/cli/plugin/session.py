"""What one run of the command has in common: settings, connection, terminal."""

import os
import sys
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

from agentstop.cli.plugin.exit_codes import PluginError
from agentstop.cli.plugin.names import TASK, Kind
from agentstop.cli.plugin.problems import is_unknown_kind, no_such, problem_of
from agentstop.client.config import Settings
from agentstop.client.errors import ApiError
from agentstop.words.tasks import Object

if TYPE_CHECKING:
    from agentstop.client.client import Api


class Session:
    """One run of the command."""

    def __init__(self) -> None:
        self.settings = Settings()

    def set(self, name: str, value: Any) -> None:
        """Set what an option says about the connection."""
        self.settings = replace(self.settings, **{name: value})

    @cached_property
    def api(self) -> "Api":
        """The API server, as the user."""
        from agentstop.client.client import Api

        return Api.open(self.settings)

    @property
    def namespace(self) -> str:
        """The namespace that is meant."""
        return self.api.target.namespace

    def find(self, kind: Kind, name: str) -> Object:
        """Return an object of the namespace. Raises PluginError where there is none of this name."""
        try:
            return self.api.get(kind.path(self.namespace, name))
        except ApiError as error:
            raise self.missing(kind, name, error) from error

    def missing(self, kind: Kind, name: str, error: ApiError) -> PluginError:
        """Return the problem that a refusal is, asked for an object by its name."""
        if error.code == 404 and not is_unknown_kind(error):
            return no_such(self.api, kind, self.namespace, name)
        return problem_of(self.api, error)

    def tasks(self, query: dict[str, str], *, all_namespaces: bool = False) -> list[Object]:
        """Return tasks of the namespace, or of all."""
        items, _ = self.api.list(TASK.path(None if all_namespaces else self.namespace), query)
        for item in items:
            # Lists of the API leave out what all their items have in common.
            item.setdefault("apiVersion", "agentstop.dev/v1alpha1")
            item.setdefault("kind", TASK.kind)
        return items


def command_name() -> str:
    """Return what the user typed to get here."""
    return "kubectl agentstop" if os.path.basename(sys.argv[0]).startswith("kubectl") else "agentstop"  # noqa: PTH119


def asks() -> bool:
    """Whether there is a person who can answer a question."""
    return sys.stdin.isatty() and sys.stderr.isatty()


def colourful(stream: Any) -> bool:
    """Whether a stream is a terminal that shows colours, and the user wants them.

    Source: https://no-color.org
    """
    return stream.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
