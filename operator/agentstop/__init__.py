"""agentstop stops AI-agent work on Kubernetes: fast, gracefully, and with proof."""

from importlib.metadata import PackageNotFoundError, version

try:
    __version__ = version("agentstop")
except PackageNotFoundError:  # run from a source tree that was never installed
    __version__ = "0.0.0"
