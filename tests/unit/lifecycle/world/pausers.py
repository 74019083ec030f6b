"""People who pause tasks and have them run again."""

from typing import Any

from agentstop.workloads.lightening import IS_HEAVY
from agentstop.workloads.pods.proof import NODE_UNKNOWN

from .actors import TERMINAL, Actors
from .server import Raw


class PausingActors(Actors):
    """As all others, and they pause."""

    def _task_spec(self) -> Raw:
        return super()._task_spec() | self._some(paused=[None, None, None, True])

    def people(self) -> None:
        if self.task() is not None and self.choose([True, True, False]):
            self._pause()
        else:
            super().people()

    def _pause(self) -> None:
        self.world.patch_spec("task", paused=self.choose([True, True, False, False]))

    def _interfere(self) -> None:
        if self.task() is not None and self.choose([True, False]):
            self._pause()
        else:
            super()._interfere()

    def all_comes_to_its_place(self) -> None:
        """What is paused is Paused, then runs again when it may, and only then it is stopped."""
        for paused in (None, False, True, False):
            for raw in self.world.tasks():
                if paused is not None:
                    self.world.patch_spec(raw["metadata"]["name"], paused=paused)
            self.world.settle()
            self.world.check()
            for raw in self.world.tasks():
                self._check_place(raw["spec"], raw["status"])

    def _check_place(self, spec: Raw, status: Raw) -> None:
        phase = status.get("phase")
        if phase in TERMINAL:
            return
        if spec.get("paused") and (spec.get("workloadRef") or {}).get("kind") != "Pod":
            # What went unseen before it had a node may run on any: no pause comes to its end, only a stop can give up.
            unknown = phase == "Pausing" and stalled(status, NODE_UNKNOWN)
            assert phase == "Paused" or unknown, f"asked to be paused, it is {phase}"
        elif phase != "Paused" or not any(IS_HEAVY in pod for pod in self.world.server.pods()):
            # A kubelet cannot write down that it has started a pod that is too large: it waits, as one that is Pending.
            assert phase in {"Pending", "Running"} or stalled(status), f"asked to run, it is {phase}"


def stalled(status: Raw, reason: str | None = None) -> bool:
    """Whether a task says that something holds it up, for this reason or for any."""
    conditions: list[dict[str, Any]] = status.get("conditions") or []
    found = [each for each in conditions if (each["type"], each["status"]) == ("Stalled", "True")]
    return any(reason in {None, each["reason"]} for each in found)
