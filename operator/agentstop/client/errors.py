"""What comes back from the API server where it is not what was asked for; imported without all that a request takes."""

from collections.abc import Mapping
from typing import Any


class ApiError(Exception):
    """The API server said no, in a Kubernetes Status."""

    def __init__(self, code: int, status: Mapping[str, Any]) -> None:
        self.code = code
        self.reason = str(status.get("reason") or "")
        self.message = " ".join(str(status.get("message") or f"HTTP {code}").split())
        self.details: Mapping[str, Any] = status.get("details") or {}
        super().__init__(self.message)


class ConfigError(Exception):
    """What the command line or a kubeconfig says of the connection cannot be used. One line, with what to do."""


class UnreachableError(Exception):
    """No answer came."""


class TetherError(Exception):
    """The Lease of a tether cannot be had. One line, with what to do."""
