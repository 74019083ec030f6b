"""The containers of one pod as the node knows them, and the pure decisions about starting them.

States and their names are those of ``v1.ContainerState``; the rules are the kubelet's
(https://kubernetes.io/docs/concepts/workloads/pods/pod-lifecycle/).
"""

import enum
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from agentstop_playground.node.processes import Process

CRASH_BACKOFF_FIRST = 1.0
CRASH_BACKOFF_MOST = 30.0
CRASH_BACKOFF_RESET = 60.0
"""Seconds: a tenth of the kubelet's 10 s, 5 min and 10 min, because a playground is watched by a person."""

UNKNOWN_EXIT_CODE = 137
UNKNOWN_REASON = "ContainerStatusUnknown"
UNKNOWN_MESSAGE = "The container could not be located when the pod was terminated"


class Role(enum.Enum):
    """What a container is in its pod."""

    INIT = "init container"
    SIDECAR = "sidecar"
    """An init container with ``restartPolicy: Always`` (KEP-753)."""
    MAIN = "container"
    EPHEMERAL = "ephemeral container"
    """Put in to debug a pod that is there already; never started again."""


@dataclass(frozen=True)
class Waiting:
    """Not running, and to be started when what the reason names is over."""

    reason: str
    message: str = ""


@dataclass(frozen=True)
class Running:
    """Its first process runs."""

    started_at: datetime


@dataclass(frozen=True)
class Terminated:
    """Its first process and all that it had started are gone."""

    exit_code: int
    reason: str
    message: str = ""
    started_at: datetime | None = None
    finished_at: datetime | None = None
    container_id: str = ""


State = Waiting | Running | Terminated


@dataclass
class Ending:
    """How far the ending of one running container has come. Times are seconds of the loop's clock."""

    hook_running: bool = False
    """The grace period is still the hook's: SIGTERM waits for it."""
    hook_alive: bool = False
    """The hook is a command, and its process may not be gone yet."""
    hook_process: Process | None = None
    signaled_at: float | None = None
    kill_at: float = math.inf
    killed: bool = False


@dataclass(eq=False)
class Container:
    """One container of a pod over all its restarts."""

    name: str
    role: Role
    spec: dict[str, Any]
    state: State
    last: Terminated | None = None
    restart_count: int = 0
    container_id: str = ""
    retry_at: float = 0.0
    """When it may be started (loop clock); ``math.inf``: not again."""
    pause: float = 0.0
    """Seconds between its last end and ``retry_at``."""
    crash_backoff: float | None = None
    """Seconds that the next crash waits; None before the first."""
    pull_backoff: float = CRASH_BACKOFF_FIRST
    """Seconds that the next pull waits after one that failed."""
    starting: bool = False
    process: Process | None = None
    env: dict[str, str] = field(default_factory=dict)
    cwd: Path = Path()
    ending: Ending | None = None

    @property
    def active(self) -> bool:
        """Whether there is, or may at any moment be, a process."""
        return self.starting or self.process is not None or (self.ending is not None and self.ending.hook_alive)

    @property
    def ever_started(self) -> bool:
        """Whether any attempt of it has run."""
        return self.last is not None or not isinstance(self.state, Waiting)


def roles(pod: dict[str, Any]) -> list[tuple[Role, dict[str, Any]]]:
    """The containers of a pod in the order in which they start."""
    spec = pod["spec"]
    before = [
        (Role.SIDECAR if item.get("restartPolicy") == "Always" else Role.INIT, item)
        for item in spec.get("initContainers") or []
    ]
    after = [(Role.EPHEMERAL, item) for item in spec.get("ephemeralContainers") or []]
    return before + [(Role.MAIN, item) for item in spec.get("containers") or []] + after


def should_restart(container: Container, restart_policy: str) -> bool:
    """Whether a container that has terminated is to be started again.

    Its own rules are asked first, then its own policy, and only where it has none that of its pod.
    https://kubernetes.io/docs/concepts/workloads/pods/pod-lifecycle/#container-restart-rules
    """
    if not isinstance(container.state, Terminated) or container.role is Role.EPHEMERAL:
        return False
    if container.role is Role.SIDECAR:
        return True
    exit_code, own = container.state.exit_code, container.spec.get("restartPolicy")
    if container.role is Role.INIT and exit_code == 0:
        return False
    if own and any(_meets(rule, exit_code) for rule in container.spec.get("restartPolicyRules") or ()):
        return True
    policy = own or restart_policy
    if container.role is Role.INIT:
        return policy != "Never"
    return policy == "Always" or (policy == "OnFailure" and exit_code != 0)


def _meets(rule: dict[str, Any], exit_code: int) -> bool:
    codes = rule.get("exitCodes") or {}
    listed = exit_code in (codes.get("values") or ())
    return rule.get("action") == "Restart" and listed == (codes.get("operator") == "In")


def after_exit(container: Container, restart_policy: str, ran_for: float, now: float) -> None:
    """Set when a container that has just terminated is started again: at once the first time, then with back-off."""
    if not should_restart(container, restart_policy):
        container.retry_at = math.inf
        return
    if container.crash_backoff is None or ran_for > CRASH_BACKOFF_RESET:
        container.crash_backoff = CRASH_BACKOFF_FIRST
        container.pause = 0.0
        container.retry_at = now
        return
    container.pause = container.crash_backoff
    container.retry_at = now + container.pause
    container.crash_backoff = min(CRASH_BACKOFF_MOST, container.crash_backoff * 2)


def after_failed_pull(container: Container, message: str, now: float) -> None:
    """Set when the image of a container is pulled again."""
    container.state = Waiting("ErrImagePull", message)
    container.retry_at = now + container.pull_backoff
    container.pull_backoff = min(CRASH_BACKOFF_MOST, container.pull_backoff * 2)


def never_again(container: Container) -> None:
    """It is not to be started any more."""
    container.retry_at = math.inf


def in_crash_backoff(container: Container, now: float) -> bool:
    """Whether it has terminated and waits for its next start."""
    return isinstance(container.state, Terminated) and now < container.retry_at < math.inf


@dataclass(frozen=True)
class Plan:
    """What to do with a pod that is not being stopped."""

    start: tuple[Container, ...] = ()
    wake_at: float = math.inf
    """When to look again (loop clock), if nothing happens before."""
    finished: bool = False
    """Nothing will be started any more but what restarts for ever: end what still runs, the pod is over."""


def plan(containers: Sequence[Container], restart_policy: str, now: float) -> Plan:
    """Decide which containers to start now."""
    start: list[Container] = []
    wake_at = math.inf
    mains = [item for item in containers if item.role is Role.MAIN]
    mains_begun = any(item.active or item.ever_started for item in mains)

    def consider(item: Container) -> None:
        nonlocal wake_at
        if item.active:
            return
        if item.retry_at <= now:
            start.append(item)
        else:
            wake_at = min(wake_at, item.retry_at)

    for item in containers:
        if item.role is Role.EPHEMERAL and isinstance(item.state, Waiting):
            consider(item)
    for item in containers:
        if item.role is Role.INIT:
            if isinstance(item.state, Terminated) and item.state.exit_code == 0:
                continue
            if isinstance(item.state, Terminated) and not should_restart(item, restart_policy):
                return Plan(finished=True)
            consider(item)
            return Plan(tuple(start), wake_at)
        if item.role is Role.SIDECAR and not isinstance(item.state, Running):
            consider(item)
            if not mains_begun:
                return Plan(tuple(start), wake_at)
    if mains and all(isinstance(item.state, Terminated) and not should_restart(item, restart_policy) for item in mains):
        return Plan(finished=True)
    for item in mains:
        if isinstance(item.state, Waiting) or should_restart(item, restart_policy):
            consider(item)
    return Plan(tuple(start), wake_at)
