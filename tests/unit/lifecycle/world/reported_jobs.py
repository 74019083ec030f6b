"""Cases of Jobs: a controller that is late, and a queue that resumes what was suspended."""

from .job_actors import REF, check_stays_ended
from .jobs import JOB
from .scripted import Scripted
from .server import Raw
from .world import World


class _OnJob(Scripted):
    """A Job whose pods end on SIGTERM alone, with success, which a controller would count."""

    def stage(self) -> None:
        pod = {
            "restartPolicy": "Never",
            "terminationGracePeriodSeconds": 5,
            "containers": [self.container(dies_in=self.choose([0.5, 3]), code=self.choose([0, 1]))],
        }
        parallelism = self.choose([1, 2])
        spec: Raw = {"parallelism": parallelism, "completions": parallelism, "backoffLimit": 0, "suspend": False}
        self.world.create_job(spec | {"template": {"spec": pod}})
        self.world.create_task("task", {"workloadRef": REF}, "jane")
        self.world.reported_rules.only_by_stop = True

    def _interfere(self) -> None:
        self.world.schedule()

    def end(self) -> None:
        super().end()
        check_not_counted(self.world)
        check_stays_ended(self.world)


class LateController(_OnJob):
    """The Job controller is held for some seconds, hears of nothing, and then counts what it finds."""

    most = 10

    def stage(self) -> None:
        super().stage()
        asked = self.choose([8, 10])
        held = asked - self.choose([0, 0, 1, 2])
        self.at(held, self.world.jobs.stop)
        self.at(held + self.choose([3, 5, 7, 9]), self.world.jobs.start)
        if self.choose([True, True, False]):
            self.at(asked, lambda: self.world.patch_spec("task", paused=True))
            self.at(asked + self.choose([2, 6, 20]), self.choose([self._resume, self.plain_stop]))
        else:
            self.at(asked, self.plain_stop)

    def _resume(self) -> None:
        self.world.patch_spec("task", paused=False)


class Queue(_OnJob):
    """A queue resumes the Job, again and again, or once and after the stop."""

    most = 10
    steps = 70

    def stage(self) -> None:
        super().stage()
        after = self.choose([1, 4, 8])
        self.at(self.choose([2, 8]), lambda: setattr(self.world.queue, "after", after))
        self.at(8, self.plain_stop)
        self.at(self.choose([12, 30, 60]), lambda: setattr(self.world.queue, "after", None))


class Unlabelled(_OnJob):
    """Somebody takes the labels off a Job's pods, so that no selector finds them any more."""

    def stage(self) -> None:
        super().stage()
        self.at(self.choose([4, 7]), self._unlabel)
        self.at(8, self.choose([self.plain_stop, self.plain_stop, self.pause]))

    def _unlabel(self) -> None:
        if self.is_too_early(self._unlabel):
            return
        for name in self.pods():
            self.world.change_pod(name, labels={})


def check_not_counted(world: World) -> None:
    """No Job is over by what was done to it: neither by a pause nor by a stop."""
    job = world.server.objects[JOB]
    over = {each["type"] for each in job["status"].get("conditions") or () if each["status"] == "True"}
    assert not over & {"Complete", "Failed"}, f"the Job is {sorted(over)} by a signal of ours"


JOBS = (LateController, Queue, Unlabelled)
