"""What comes back from the API server where it is not what was asked for; imported without all that a request takes."""

from collections.abc import Mapping
from typing import Any

from agentstop.cli.plugin.api.config import Target
from agentstop.cli.plugin.exit_codes import Exit, PluginError


class ApiError(Exception):
    """The API server said no, in a Kubernetes Status."""

    def __init__(self, code: int, status: Mapping[str, Any]) -> None:
        self.code = code
        self.reason = str(status.get("reason") or "")
        self.message = " ".join(str(status.get("message") or f"HTTP {code}").split())
        self.details: Mapping[str, Any] = status.get("details") or {}
        super().__init__(self.message)


class UnreachableError(Exception):
    """No answer came."""


def unreachable(target: Target, error: UnreachableError) -> PluginError:
    """Return the one line for people."""
    return PluginError(
        f"cannot reach the API server {target.server} (context {target.context}): {error};"
        " is the cluster up, and is this the right context?",
        Exit.ERROR,
    )
