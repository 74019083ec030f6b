"""The transitions of a task's phase: every edge that exists, and when it is taken."""

from collections.abc import Mapping
from typing import Final

from agentstop.api.task import Phase

EDGES: Final[Mapping[Phase, Mapping[Phase, str]]] = {
    Phase.PENDING: {
        Phase.RUNNING: "a container of the workload runs",
        Phase.STOPPING: "a stop was accepted",
        Phase.STOPPED: "a stop was accepted, and it is proven that nothing runs",
        Phase.COMPLETED: "all containers ended with exit code 0",
        Phase.FAILED: "a container failed, the workload is lost, or it cannot be the task's",
    },
    Phase.RUNNING: {
        Phase.STOPPING: "a stop was accepted",
        Phase.STOPPED: "a stop was accepted, and it is proven that nothing runs",
        Phase.COMPLETED: "all containers, or the main container, ended with exit code 0",
        Phase.FAILED: "a container failed, or the workload is lost",
    },
    Phase.STOPPING: {
        Phase.STOPPED: "it is proven that no process is left, or MarkStopped gave up waiting for the proof",
    },
    Phase.STOPPED: {},
    Phase.COMPLETED: {},
    Phase.FAILED: {},
}


class ForbiddenTransitionError(AssertionError):
    """A decision would take an edge that does not exist: a mistake in this program, never in its input."""


def check(before: Phase, after: Phase) -> None:
    """Raise ForbiddenTransitionError unless a task may go from `before` to `after`."""
    if after is not before and after not in EDGES[before]:
        raise ForbiddenTransitionError(f"a task cannot go from {before} to {after}")


def table() -> str:
    """Return the transitions as a Markdown table, for people."""
    rows = [f"| `{before}` | `{after}` | {when} |" for before, edges in EDGES.items() for after, when in edges.items()]
    return "\n".join(["| from | to | when |", "|---|---|---|", *rows])
