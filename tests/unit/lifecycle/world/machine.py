"""A machine with its processes, and the kubelet on it. What runs here is the truth that the operator must not bend."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from agentstop.lifecycle.graces import MIN_KUBELET_SECONDS

from .clock import whole

KILLED = 137


@dataclass
class Process:
    """One container: what it would do, and what it does."""

    name: str
    role: str
    """init, sidecar or main."""
    policy: str
    """Restart policy in force for it."""
    dies_in: float | None
    """Seconds from SIGTERM to its end; None for one that ignores it."""
    lives: float | None = None
    """Seconds that it runs if nobody ends it; None for one that runs on and on."""
    code: int = 0
    """Exit code when it ends by itself or on SIGTERM."""
    hook: float = 0
    """Seconds that its start hook takes: the kubelet neither hears nor says anything of its pod meanwhile."""
    running: bool = False
    ever_ran: bool = False
    first_at: datetime | None = None
    """When it was started the first time."""
    started_at: datetime | None = None
    finished_at: datetime | None = None
    exit_code: int | None = None
    reason: str | None = None
    killed: bool = False
    """Whether SIGKILL ended it when its grace ran out."""
    over: bool = False
    """Whether it is never started again."""

    def hooked(self, now: datetime) -> bool:
        """Whether its start hook runs."""
        return self.running and self.started_at is not None and now < self.started_at + timedelta(seconds=self.hook)

    def start(self, now: datetime) -> None:
        self.running = self.ever_ran = True
        self.first_at = self.first_at or now
        self.started_at, self.finished_at, self.exit_code, self.reason = now, None, None, None

    def end(self, now: datetime, code: int, reason: str | None = None, *, killed: bool = False) -> None:
        self.running = False
        self.finished_at, self.exit_code, self.killed = now, code, killed
        self.reason = reason or ("Completed" if code == 0 else "Error")
        again = self.policy == "Always" or (self.policy == "OnFailure" and code != 0)
        self.over = not again


@dataclass
class Sandbox:
    """A pod as the kubelet has it."""

    uid: str
    name: str
    grace: int
    deadline: int | None
    processes: list[Process]
    taken_at: datetime
    shortens: bool = False
    """Whether this kubelet takes a shorter grace period in while one is running; that of 1.36 does not."""
    term_at: datetime | None = None
    kill_at: datetime | None = None
    reason: str | None = None

    @property
    def ended_by_own_deadline(self) -> bool:
        """Whether the user's own deadline ended it: the API server shows no trace of that until it is over."""
        return self.reason is not None and self.deadline is not None and self.deadline > 1

    @property
    def running(self) -> bool:
        return any(each.running for each in self.processes)

    @property
    def ever_ran(self) -> bool:
        return any(each.ever_ran for each in self.processes)

    def busy(self, now: datetime) -> bool:
        """Whether the kubelet is held up by a start hook of it."""
        return any(each.hooked(now) for each in self.processes)

    def terminate(self, now: datetime, grace: int, reason: str | None = None) -> None:
        """Send SIGTERM, or shorten the grace period that is running."""
        if self.term_at is None:
            self.term_at, self.reason = now, reason
            self.kill_at = now + timedelta(seconds=max(grace, MIN_KUBELET_SECONDS))
            for each in self.processes:
                each.over = each.over or not each.running
        elif self.shortens and self.kill_at is not None:
            self.kill_at = min(self.kill_at, now + timedelta(seconds=max(grace, MIN_KUBELET_SECONDS)))

    def pass_time(self, now: datetime) -> None:
        """Let processes end that have been told to; the machine does this without the kubelet's help."""
        for each in self.processes:
            if each.running and each.lives is not None and each.started_at is not None:
                due = each.started_at + timedelta(seconds=each.lives)
                if due <= now and (self.kill_at is None or due < self.kill_at):
                    each.end(due, each.code)
        if self.term_at is None or self.kill_at is None:
            return
        for each in self.processes:
            if not each.running:
                continue
            own = self.term_at + timedelta(seconds=each.dies_in) if each.dies_in is not None else None
            if own is not None and own <= min(now, self.kill_at):
                each.end(own, each.code)
            elif self.kill_at <= now:
                each.end(self.kill_at, KILLED, killed=True)
            each.over = each.over or not each.running

    def work(self, now: datetime) -> None:
        """Start what is to be started next: init containers one by one, sidecars before the others."""
        if self.term_at is not None:
            return
        mains = [each for each in self.processes if each.role == "main"]
        if mains and all(each.over for each in mains):
            self._end_sidecars(now)
            return
        for each in self.processes:
            if each.role == "init":
                if each.over and each.exit_code != 0:
                    return
                if not each.over:
                    if not each.running:
                        each.start(now)
                    return
            elif not each.running and not each.over:
                each.start(now)

    def _end_sidecars(self, now: datetime) -> None:
        for each in self.processes:
            if each.role == "sidecar" and not each.over:
                if each.running:
                    each.end(now, 0)
                each.over = True

    @property
    def finished(self) -> bool:
        """Whether nothing runs and nothing will."""
        if self.running:
            return False
        if self.term_at is not None:
            return True
        inits = [each for each in self.processes if each.role == "init"]
        if any(each.over and each.exit_code != 0 for each in inits):
            return True
        return all(each.over for each in self.processes if each.role != "init")

    def status(self, now: datetime) -> dict[str, Any]:
        """Return the pod's status as the kubelet reports it.

        It never reports a terminal phase while a container may still run.
        Source: mergePodStatus in k8s.io/kubernetes/pkg/kubelet/status/status_manager.go
        """
        status: dict[str, Any] = {"phase": self._phase(now), "startTime": whole(self.taken_at)}
        if self.finished and self.reason is not None:
            status["reason"] = self.reason
            status["message"] = "Pod was active on the node longer than the specified deadline"
        inits = [self._container(each, now) for each in self.processes if each.role != "main"]
        if inits:
            status["initContainerStatuses"] = inits
        status["containerStatuses"] = [self._container(each, now) for each in self.processes if each.role == "main"]
        return status

    def _initialized(self) -> bool:
        return all(
            each.ever_ran and (each.running or each.exit_code == 0) for each in self.processes if each.role == "init"
        )

    def _phase(self, now: datetime) -> str:
        if self.finished:
            mains = [each for each in self.processes if each.role == "main"]
            good = all(each.exit_code == 0 for each in mains) and self.reason is None and mains[0].ever_ran
            return "Succeeded" if good else "Failed"
        started = any(each.role == "main" and each.ever_ran and not each.hooked(now) for each in self.processes)
        return "Running" if started else "Pending"

    def _container(self, each: Process, now: datetime) -> dict[str, Any]:
        if each.hooked(now):
            return {"name": each.name, "state": {"waiting": {"reason": "ContainerCreating"}}}
        if each.running:
            assert each.started_at is not None
            return {"name": each.name, "state": {"running": {"startedAt": whole(each.started_at)}}}
        if each.exit_code is None:
            if self.finished and self._initialized():
                lost = {
                    "exitCode": KILLED,
                    "reason": "ContainerStatusUnknown",
                    "message": "The container could not be located when the pod was terminated",
                }
                return {"name": each.name, "state": {"terminated": lost}}
            reason = "PodInitializing" if each.role == "main" else "ContainerCreating"
            return {"name": each.name, "state": {"waiting": {"reason": reason}}}
        assert each.started_at is not None
        assert each.finished_at is not None
        end = {
            "exitCode": each.exit_code,
            "reason": each.reason,
            "startedAt": whole(each.started_at),
            "finishedAt": whole(each.finished_at),
        }
        if each.over or self.finished:
            return {"name": each.name, "state": {"terminated": end}}
        return {
            "name": each.name,
            "state": {"waiting": {"reason": "CrashLoopBackOff"}},
            "lastState": {"terminated": end},
        }


def sandbox_of(raw: dict[str, Any], now: datetime, *, shortens: bool) -> Sandbox:
    """Return what a kubelet makes of a pod that was bound to its node."""
    spec = raw["spec"]
    policy = spec.get("restartPolicy", "Always")
    processes = []
    for group, role in (("initContainers", "init"), ("containers", "main")):
        for each in spec.get(group, ()):
            sidecar = role == "init" and each.get("restartPolicy") == "Always"
            own = "Always" if sidecar else ("OnFailure" if role == "init" and policy == "Always" else policy)
            processes.append(
                Process(
                    name=each["name"],
                    role="sidecar" if sidecar else role,
                    policy=own,
                    dies_in=each["behaviour"]["dies_in"],
                    lives=each["behaviour"]["lives"],
                    code=each["behaviour"]["code"],
                    hook=each["behaviour"].get("hook", 0),
                )
            )
    return Sandbox(
        uid=raw["metadata"]["uid"],
        name=raw["metadata"]["name"],
        grace=spec["terminationGracePeriodSeconds"],
        deadline=spec.get("activeDeadlineSeconds"),
        processes=processes,
        taken_at=now,
        shortens=shortens,
    )
