"""Ending a pod: preStop hooks, SIGTERM, the grace period, SIGKILL, sidecars last.

The order and the times are the kubelet's
(https://kubernetes.io/docs/concepts/workloads/pods/pod-lifecycle/#pod-termination).
"""

import math
import signal
from collections.abc import Sequence
from typing import Protocol

from agentstop_playground.node.containers import Container, Ending, Role

MIN_TERM = 2.0
"""Seconds between SIGTERM and SIGKILL at the least, however short the grace period: the kubelet's
minimumGracePeriodInSeconds."""


class Actions(Protocol):
    """What stopping does to the outside."""

    def signal(self, container: Container, number: signal.Signals) -> None:
        """Signal the container's first process."""

    def start_hook(self, container: Container) -> None:
        """Start the preStop hook, if there is one: it keeps ``ending.hook_running`` true until it has ended."""


class Stop:
    """The ending of one pod. Times are seconds of the loop's clock."""

    def __init__(self, now: float, grace: float) -> None:
        self.until = now + max(1.0, grace)
        """When the grace period ends."""

    def shorten(self, now: float, grace: float) -> None:
        """A shorter grace period, counted from now; it never gets longer.

        It counts for what has not had its SIGTERM yet. A container that has keeps the time that it was given: a kubelet
        hands that time to the runtime with the signal, and does not take it back (seen with 1.36 and containerd 2.1).
        """
        self.until = min(self.until, now + max(1.0, grace))

    def step(self, containers: Sequence[Container], now: float, actions: Actions) -> float:
        """Do what is due; returns when to look again."""
        wake_at = math.inf
        for index, item in enumerate(containers):
            if item.process is not None:
                in_turn = item.role is not Role.SIDECAR or not _active_after(containers, index)
                wake_at = min(wake_at, self._end(item, now, actions, in_turn=in_turn))
        return wake_at

    def _end(self, item: Container, now: float, actions: Actions, *, in_turn: bool) -> float:
        if item.ending is None:
            item.ending = Ending()
            actions.start_hook(item)
        ending = item.ending
        if ending.signaled_at is None:
            if now < self.until and (ending.hook_running or not in_turn):
                return self.until
            actions.signal(item, signal.SIGTERM)
            ending.signaled_at = now
            ending.kill_at = max(self.until, now + MIN_TERM)
        if ending.killed:
            return math.inf
        if now >= ending.kill_at:
            actions.signal(item, signal.SIGKILL)
            ending.killed = True
            return math.inf
        return ending.kill_at


def _active_after(containers: Sequence[Container], index: int) -> bool:
    """Whether anything that started after a sidecar is still there; sidecars end last and in reverse order."""
    return any(item.active for item in containers[index + 1 :])
