"""The transitions of a task's phase: every edge that exists, and when it is taken."""

from collections.abc import Mapping
from typing import Final

from agentstop.api.task import Phase

EDGES: Final[Mapping[Phase, Mapping[Phase, str]]] = {
    Phase.PENDING: {
        Phase.RUNNING: "a container of the workload runs",
        Phase.PAUSING: "`paused` is true, and the workload exists",
        Phase.PAUSED: "`paused` is true, and nothing runs",
        Phase.STOPPING: "a stop was accepted",
        Phase.STOPPED: "a stop was accepted, and it is proven that nothing runs",
        Phase.COMPLETED: "all containers ended with exit code 0",
        Phase.FAILED: "a container failed, the workload is lost, or it cannot be the task's",
    },
    Phase.RUNNING: {
        Phase.PAUSING: "`paused` is true; or what runs is found to be frozen, and is thawed",
        Phase.PAUSED: "`paused` is true, and it is proven that nothing runs, or that what runs is frozen",
        Phase.STOPPING: "a stop was accepted",
        Phase.STOPPED: "a stop was accepted, and it is proven that nothing runs",
        Phase.COMPLETED: "all containers, or the main container, ended with exit code 0",
        Phase.FAILED: "a container failed, or the workload is lost",
    },
    Phase.PAUSING: {
        Phase.PAUSED: "it is proven that no process is left, or that all are frozen",
        Phase.RUNNING: "`paused` is false again, the workload was not asked to end yet, and nothing of it is frozen",
        Phase.STOPPING: "a stop was accepted",
        Phase.STOPPED: "a stop was accepted, and it is proven that nothing runs",
        Phase.COMPLETED: "all of it had ended with exit code 0 before the pause reached it",
        Phase.FAILED: "it had failed before the pause reached it, or it cannot be the task's",
    },
    Phase.PAUSED: {
        Phase.RUNNING: "`paused` is false again, and a container runs that is not frozen",
        Phase.PAUSING: "a pod of it is there: somebody else started it, or it was on its way back; it is halted again",
        Phase.STOPPING: "a stop was accepted",
        Phase.STOPPED: "a stop was accepted, and it is proven that nothing runs",
        Phase.COMPLETED: "all of it has ended with exit code 0, and `paused` is false again or it was frozen",
        Phase.FAILED: "it failed, and `paused` is false again or it was frozen; or it cannot be the task's",
    },
    Phase.STOPPING: {
        Phase.STOPPED: "no process is left, and all descendants have ended, proven; or MarkStopped gave up waiting",
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
