"""A client of the API server for programs that live for a moment: the kubectl plugin, and what the chart's hooks run.

It is here beside the official one for its start: a completion may take 0.15 seconds as a whole and a stop 0.3, and the
official client takes longer to import. So it stands on `http.client`, and imports what few people need (proxies'
networks, credential plug-ins, YAML) only where that is used. Raw objects in, raw objects out; it knows no kind. What
runs for long and asks for much, the operator and the gateway, goes through `agentstop.cluster`.

Other programs use `agentstop.client.Tether`, and the errors that it raises.
"""

from typing import TYPE_CHECKING, Any

from agentstop.client.errors import ApiError, ConfigError, TetherError, UnreachableError

if TYPE_CHECKING:
    from agentstop.client.tether import Tether

__all__ = ["ApiError", "ConfigError", "Tether", "TetherError", "UnreachableError"]


def __getattr__(name: str) -> Any:
    """Import what a request takes when it is asked for."""
    if name == "Tether":
        from agentstop.client.tether import Tether

        return Tether
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
