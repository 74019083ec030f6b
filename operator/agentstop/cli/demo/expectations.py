"""How the tasks of the demo should end, and the comparison with how they did."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from agentstop.api.task import AgentTask, ChildrenStatus, Phase, StopSource, Verdict

SLACK_SECONDS: Final = 0.5
"""The node gets the stop a little before the operator writes down that it was sent."""

AUTOMATIC: Final = frozenset({StopSource.BUDGET, StopSource.TETHER})
"""Stops that nobody asked for."""


@dataclass(frozen=True, kw_only=True)
class Expectation:
    """How one task should end."""

    phase: Phase
    exit_code: int
    verdict: Verdict | None = None
    """None for a task that was never stopped."""
    reason: str | None = None
    """Reason of the stop, as it was given or found."""
    source: StopSource = StopSource.USER
    """What the stop came from, where there was one."""
    origin: str | None = None
    """Name of the task where a stop with source Parent began."""
    children: int = 0
    """How many tasks descend from it; none of them may be active at the end."""
    not_before_seconds: float = 0
    """The least that must lie between signal and proof."""


def mismatches(task: AgentTask, expected: Expectation) -> Iterator[str]:
    """Yield one line for everything that is not as expected."""
    name, status = task.metadata["name"], task.status
    pods = status.workload.pods if status.workload else ()
    codes = [container.exit_code for pod in pods for container in pod.containers]
    stop = status.stop
    stopped = expected.verdict is not None
    facts = [
        ("phase", status.phase, expected.phase),
        ("manuallyStopped", status.manually_stopped, stopped and expected.source not in AUTOMATIC),
        ("exit codes", codes, [expected.exit_code]),
        ("stop.verdict", stop and stop.verdict, expected.verdict),
        ("stop.reason", stop and stop.reason, expected.reason),
        ("stop.source", stop and stop.source, expected.source if stopped else None),
        ("stop.origin", stop and stop.origin, expected.origin),
        ("children", status.children, _children(expected.children)),
        ("observedGeneration", status.observed_generation, task.metadata["generation"]),
    ]
    for what, found, wanted in facts:
        if found != wanted:
            yield f"{name}: {what} is {_text(found)}, not {_text(wanted)}"
    if stop is None or stop.signaled_at is None or stop.confirmed_at is None:
        if stopped:
            yield f"{name}: the times of its stop are not all there"
        return
    took = (stop.confirmed_at - stop.signaled_at).total_seconds()
    if took < expected.not_before_seconds - SLACK_SECONDS:
        yield f"{name}: it was gone {took:.1f} s after the signal, but had {expected.not_before_seconds} s of grace"


def _children(total: int) -> ChildrenStatus | None:
    return ChildrenStatus(total=total) if total else None


def _text(value: object) -> str:
    return "absent" if value is None else str(value)
