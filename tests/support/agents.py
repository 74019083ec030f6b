"""Agents for tests: shell scripts that behave in one known way, and the specs that run them."""

from typing import Any

from tests.support.kube import Object

IMAGE = "busybox:1.36"

IDLE = "echo ready; sleep 1000 & wait"
"""Does nothing, and dies of SIGTERM at once (143)."""

DEAF = "trap '' TERM; echo ready; while :; do sleep 1000; done"
"""Ignores SIGTERM; only SIGKILL ends it (137)."""


def graceful(seconds: float = 0.2, code: int = 0) -> str:
    """Return an agent that on SIGTERM works on for so many seconds and then exits with a code."""
    return f"trap 'echo checkpoint; sleep {seconds}; exit {code}' TERM; echo ready; sleep 1000 & wait"


def ending(seconds: float, code: int = 0) -> str:
    """Return an agent that ends by itself after so many seconds."""
    return f"echo ready; sleep {seconds}; exit {code}"


def container(script: str, name: str = "agent", **more: Any) -> Object:
    """Return a container that runs a script."""
    return {"name": name, "image": IMAGE, "command": ["sh", "-c", script], **more}


def pod_spec(script: str = IDLE, *, grace: int = 5, **more: Any) -> Object:
    """Return a pod spec with one container; `grace` in seconds."""
    return {"terminationGracePeriodSeconds": grace, "containers": [container(script)], **more}


def template(script: str = IDLE, *, grace: int = 5, **more: Any) -> Object:
    """Return a task's pod template with one container."""
    return {"spec": pod_spec(script, grace=grace, **more)}
