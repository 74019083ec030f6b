"""agentstop stops AI-agent work on Kubernetes: fast, gracefully, and with proof."""

from typing import Any


def __getattr__(name: str) -> Any:
    """Look up `__version__` when it is asked for: that takes longer than all else that a stop has to import."""
    if name != "__version__":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("agentstop")
    except PackageNotFoundError:  # run from a source tree that was never installed
        return "0.0.0"
