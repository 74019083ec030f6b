"""A machine with its processes, and the kubelet on it. What runs here is the truth that the operator must not bend."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from agentstop.words.graces import MIN_KUBELET_SECONDS

from .clock import whole
from .process import KILLED, Process, process_of


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
    mounts_at: datetime | None = None
    """When the volume is there for which it waits; a deletion has the kubelet give up, its deadline does not."""
    was_cut_off: bool = False
    """Whether its kubelet has heard of nothing for a while."""
    waited_until: datetime | None = None
    """When such a wait was over because the volume came."""
    grace_given: float = 0
    term_at: datetime | None = None
    kill_at: datetime | None = None
    reason: str | None = None
    frozen_at: datetime | None = None
    """Since when its cgroup is frozen: whatever runs in it does nothing."""
    closed: bool = False
    """Whether nothing can be started in its cgroup any more."""
    tidied: bool = False
    """Whether its kubelet has removed its cgroup: it has ended."""

    @property
    def frozen(self) -> bool:
        return self.frozen_at is not None

    @property
    def works(self) -> bool:
        """Whether a process of it does anything."""
        return self.running and not self.frozen

    def freeze(self, now: datetime) -> None:
        self.frozen_at = self.frozen_at or now

    def thaw(self, now: datetime) -> None:
        """Have its processes go on where they were: none of their time has passed."""
        if self.frozen_at is None:
            return
        for each in self.processes:
            if each.running and each.started_at is not None:
                since = max(self.frozen_at, each.started_at)
                each.lives = each.lives + (now - since).total_seconds() if each.lives is not None else None
                told_at = each.probed_at or self.term_at
                if told_at is not None:
                    each.held += max((now - max(since, told_at)).total_seconds(), 0.0)
        self.frozen_at = None

    def kill(self, now: datetime) -> None:
        """End all that runs in its cgroup, and close that."""
        self.closed = True
        for each in self.processes:
            each.pulled_at = None
            if each.running:
                each.end(now, KILLED, killed=True)
                each.over = each.over or self.term_at is not None

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
        """Whether the kubelet is held up by it: by a pull, a start hook, or what it ends for a probe."""
        return any(each.occupies(now) for each in self.processes)

    def starting(self, now: datetime) -> bool:
        return any(each.is_starting(now) for each in self.processes)

    def fail_probe(self, name: str, now: datetime) -> None:
        """A probe of a container fails, and the kubelet ends it, if it does not do something else with the pod."""
        for each in self.processes:
            if each.name == name and each.running and self.term_at is None and not self.busy(now):
                each.probed_at = now

    def crash_kubelet(self) -> None:
        """The kubelet is started anew: it begins with what there is, and does not go on with a pull."""
        for each in self.processes:
            each.pulled_at = None

    def crash_machine(self, now: datetime) -> None:
        self.crash_kubelet()
        for each in self.processes:
            each.probed_at = None
            if each.running:
                each.end(now, KILLED, "ContainerStatusUnknown")

    def terminate(self, now: datetime, grace: int, reason: str | None = None) -> None:
        """Send SIGTERM, or shorten the grace period that is running."""
        if self.term_at is None:
            self.term_at, self.reason, self.mounts_at = now, reason, None
            self.grace_given = max(grace, MIN_KUBELET_SECONDS)
            self.kill_at = now + timedelta(seconds=max(grace, MIN_KUBELET_SECONDS))
            for each in self.processes:
                each.over = each.over or not each.running
        elif self.shortens and self.kill_at is not None:
            self.kill_at = min(self.kill_at, now + timedelta(seconds=max(grace, MIN_KUBELET_SECONDS)))

    def pass_time(self, now: datetime) -> None:
        """Let processes end that have been told to; the machine does this without the kubelet's help."""
        for each in self.processes:
            if each.running and each.lives is not None and each.started_at is not None and not self.frozen:
                due = each.started_at + timedelta(seconds=each.lives)
                if due <= now and (self.kill_at is None or due < self.kill_at):
                    each.end_by_itself(due)
            each.die_of_probe(now, frozen=self.frozen)
        self._go_on(now)
        if self.term_at is None or self.kill_at is None:
            return
        for each in self.processes:
            if each.running:
                each.die(now, self.term_at, self.kill_at, self.grace_given, frozen=self.frozen)
                each.over = each.over or not each.running

    def _go_on(self, now: datetime) -> None:
        """Go on with what the kubelet does not break off, whatever it is told meanwhile."""
        if self.mounts_at is not None and self.mounts_at <= now:
            self.mounts_at, self.waited_until = None, now
            self.work(now)
        for each in self.processes:
            if each.pulled_at is not None and each.pulled_at <= now:
                each.start(now)
                self.work(now)
            elif each.probed_at is not None and not each.running:
                each.probed_at = None
                if not each.over:
                    each.begin(now)

    def work(self, now: datetime) -> None:
        """Start what is to be started next: init containers one by one, sidecars before the others."""
        if self.term_at is not None or self.mounts_at is not None or self.closed:
            return
        mains = [each for each in self.processes if each.role == "main"]
        if mains and all(each.over for each in mains):
            self._end_sidecars(now)
            return
        for each in self.processes:
            if each.pulled_at is not None or each.probed_at is not None:
                return
            if each.role == "init":
                if each.over and each.exit_code != 0:
                    return
                if not each.over:
                    if not each.running:
                        each.begin(now)
                    return
            elif not each.running and not each.over:
                each.begin(now)
                if each.pulled_at is not None:
                    return

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
        last = {"lastState": {"terminated": each.before}} if each.before is not None else {}
        return last | self._state(each, now)

    def _state(self, each: Process, now: datetime) -> dict[str, Any]:
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
        if each.over or self.finished or (each.starts == 1 and each.pulled_at is None):
            return {"name": each.name, "state": {"terminated": each.told}}
        return {
            "name": each.name,
            "state": {"waiting": {"reason": "CrashLoopBackOff"}},
            "lastState": {"terminated": each.told},
        }


def sandbox_of(raw: dict[str, Any], now: datetime, *, shortens: bool) -> Sandbox:
    """Return what a kubelet makes of a pod that was bound to its node."""
    spec = raw["spec"]
    policy = spec.get("restartPolicy", "Always")
    processes: list[Process] = []
    for group, role in (("initContainers", "init"), ("containers", "main")):
        processes += [process_of(each, role, policy) for each in spec.get(group, ())]
    volume = (spec.get("behaviour") or {}).get("volume")
    return Sandbox(
        uid=raw["metadata"]["uid"],
        name=raw["metadata"]["name"],
        grace=spec["terminationGracePeriodSeconds"],
        deadline=spec.get("activeDeadlineSeconds"),
        processes=processes,
        taken_at=now,
        shortens=shortens,
        mounts_at=now + timedelta(seconds=volume) if volume else None,
    )
