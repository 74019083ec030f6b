"""What one look at the cgroup of a pod brings."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

RUNNING: Final = "Running"
"""The state in which nothing is asked of a pod but that it is not frozen."""


class Outcome(StrEnum):
    """What came of a look; a reason of the condition Ready, too."""

    RUNNING = "Running"
    """The pod is not frozen."""
    THAWING = "Thawing"
    """The kernel was told to let the pod go on, and still calls it frozen."""
    FROZEN = "Frozen"
    """Nothing of the pod runs."""
    FREEZING = "Freezing"
    """The kernel was told to freeze the pod, and does not call it frozen yet."""
    EMPTY = "Empty"
    """No process is left, and none can be started in the cgroup."""
    KILLING = "Killing"
    """SIGKILL was sent, and processes are left: they are on their way out, or wait in the kernel."""
    HYBRID = "HybridLayout"
    """No process is left in the cgroup, but on this node a container could be started outside of it."""
    NO_CGROUP = "CgroupNotFound"
    """This node has no cgroup of the pod: its kubelet has not made one, or has removed it."""
    UNSUPPORTED = "NoCgroupV2"
    """The node has no cgroups of version 2 at this root, or its kernel is too old for what is asked."""
    REFUSED = "CgroupRefused"
    """The kernel does not let the component write."""


UNDER_WAY: Final = frozenset({Outcome.FREEZING, Outcome.THAWING, Outcome.KILLING})
"""The kernel was told, and has not done it yet."""

AT_REST: Final = frozenset({Outcome.RUNNING, Outcome.NO_CGROUP})
"""What nothing has to be done about where a pod is to go on."""

DONE: Final = frozenset({Outcome.FROZEN, Outcome.RUNNING, Outcome.EMPTY})
"""What was asked for is so."""

STATES: Final = {
    Outcome.RUNNING: "Running",
    Outcome.THAWING: "Frozen",
    Outcome.FROZEN: "Frozen",
    Outcome.FREEZING: "Running",
    Outcome.EMPTY: "Killed",
    Outcome.KILLING: "Running",
    Outcome.HYBRID: "Killed",
}
"""What the processes of the pod are in, as `status.state` says it; nothing else is known of it."""


@dataclass(frozen=True, slots=True)
class Look:
    """What was found at one look."""

    outcome: Outcome
    message: str
    processes: int | None = None
    """How many there are; None where they were not counted."""
