"""The record of a container: in which state it is, and what its kubelet may be doing with it."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final

from agentstop.api.workload_status import ContainerEnd
from agentstop.workloads.pods.restarting import Restart, Role

LOST_CONTAINER: Final = "ContainerStatusUnknown"
"""Reason that the kubelet gives for a container that it cannot find any more."""


class State(StrEnum):
    """The state of a container."""

    WAITING = "waiting"
    RUNNING = "running"
    TERMINATED = "terminated"


@dataclass(frozen=True, slots=True)
class ContainerRecord:
    """One container of a pod; where it waits to be restarted, the end of its last run."""

    name: str
    role: Role
    state: State
    reason: str | None
    message: str | None
    exit_code: int | None
    signal: int | None
    started_at: datetime | None
    finished_at: datetime | None
    restart: Restart
    """Whether the kubelet starts it again after the end that it had, and by whose rule."""
    starts_slowly: bool
    ends_late: bool
    is_probed: bool
    probe_grace_seconds: int
    """How it starts and ends, by the functions of these names."""
    restarts_slowly: bool
    """Whether it may be started again after some end, and that takes its time."""
    succeeded_before: datetime | None = None
    """When it ended with exit code 0 in the run before the one that is shown; None where its own rules want more."""

    @property
    def ran(self) -> bool:
        """Whether a process of it was ever started."""
        if self.started_at is not None or self.state is State.RUNNING:
            return True
        return self.reason == LOST_CONTAINER and "used to be Running" in (self.message or "")

    @property
    def over(self) -> bool:
        """Whether it has ended and is not started again."""
        return self.state is State.TERMINATED and self.restart is Restart.NO

    @property
    def starting(self) -> bool:
        """Whether the kubelet may be busy with starting it, or have started it without saying so yet.

        It says nothing, and hears nothing, while it pulls an image, waits for a volume or runs a start hook, however
        long that takes. To start a container again takes it a moment, if neither image nor hook holds it up.
        Source: https://kubernetes.io/docs/concepts/containers/container-lifecycle-hooks/
        """
        again = self.finished_at is not None
        comes = self.state is State.WAITING or (self.state is State.TERMINATED and self.restart is not Restart.NO)
        return comes and self.role is not Role.EPHEMERAL and (self.starts_slowly or not again)

    def restarting(self, *, unseen: bool) -> bool:
        """Whether the kubelet may be starting it again though its state does not say so.

        It ends a container whose probe has failed, and starts it again, without a word in between. `unseen` says that
        the state may be an older one: the container may have ended since, or the pod got another sandbox, for which its
        init containers run once more.
        Source: SyncPod in kubernetes/kubernetes v1.36.2, pkg/kubelet/kuberuntime/kuberuntime_manager.go
        """
        if self.state is State.RUNNING:
            return self.restarts_slowly and (unseen or self.is_probed)
        return self.restarts_slowly and unseen and self.role is Role.INIT

    def ended_since(self, moment: datetime | None) -> bool:
        """Whether it ended after this moment, if there is one: no container of a pod that is to go is started again.

        Both are told in whole seconds, so what ended in that very second may have been started again before it.
        """
        over_at = self.finished_at if self.state is State.TERMINATED else None
        return moment is not None and over_at is not None and over_at > moment.replace(microsecond=0)

    def evidence(self) -> ContainerEnd:
        """Return what a task's status says of it: no exit code where nothing ran, whatever stands in for one."""
        if not self.ran:
            return ContainerEnd(name=self.name, reason=self.reason)
        return ContainerEnd(
            name=self.name,
            exit_code=self.exit_code,
            signal=self.signal,
            reason=self.reason,
            started_at=self.started_at,
            finished_at=self.finished_at,
        )
