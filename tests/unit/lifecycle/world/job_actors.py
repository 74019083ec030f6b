"""People who run a Job under a task, and others who meddle with it."""

from .actors import TERMINAL
from .jobs import JOB
from .pausers import PausingActors, stalled
from .server import Raw
from .world import World

REF = {"apiVersion": "batch/v1", "kind": "Job", "name": JOB.name}


class JobActors(PausingActors):
    """One Job, the task that adopts it, and perhaps another one that would."""

    def begin(self) -> None:
        self.world.node.shortens = self.choose([False, True])
        if self.choose([True, True, True, False]):
            self._create_job()
        self.world.create_task("task", self._task_spec(), self.choose([None, "jane"]))
        if self.choose([False, False, False, True]):
            self.world.create_task("other", self._task_spec())
        self.world.start_operator()
        for _ in range(self.choose([0, 3, 6])):
            self.world.schedule()
            self.world.pass_time(1, attentive=True)

    def _create_job(self) -> None:
        spec = {
            "suspend": self.choose([False, False, False, True]),
            "parallelism": self.choose([1, 2, 3]),
            "completions": self.choose([1, 3, 4, None]),
            "backoffLimit": self.choose([0, 1, 6]),
            "template": {"spec": self._pod_spec()},
        }
        self.world.create_job({name: value for name, value in spec.items() if value is not None})

    def _pod_spec(self) -> Raw:
        return super()._pod_spec() | {"restartPolicy": self.choose(["Never", "Never", "OnFailure"])}

    def _task_spec(self) -> Raw:
        spec = super()._task_spec() | {"workloadRef": REF}
        spec.pop("mainContainer", None)
        return spec

    def people(self) -> None:
        if self.task() is None:
            self.world.create_task("task", self._task_spec())
        else:
            super().people()

    def others(self) -> None:
        what = self.choose(["job", "job", "controller", "controller", "pod"])
        if what == "controller":
            self._controller()
        elif what == "job":
            self._job()
        elif self.pods():
            name = self.choose(self.pods())
            how = self.choose(["delete", "delete", "unlabel", "disown"])
            if how == "delete":
                self.world.delete_pod(name, self.choose([None, None, 0, 1]))
            elif how == "unlabel":
                self.world.change_pod(name, labels={})
            else:
                self.world.change_pod(name, ownerReferences=[])

    def _controller(self) -> None:
        controller = self.world.jobs
        what = self.choose(["stop", "start", "start", "quick", "slow", "very slow"])
        if what == "stop":
            controller.stop()
        elif what == "start":
            controller.start()
        else:
            controller.lag = {"quick": 0, "slow": 1, "very slow": 6}[what]

    def _job(self) -> None:
        what = self.choose(["resume"] * 4 + ["suspend"] * 2 + ["delete", "orphan", "create"])
        if what in {"resume", "suspend"}:
            self.world.change_job(suspend=what == "suspend")
        elif what == "create":
            self._create_job()
        else:
            self.world.delete_job(orphan=what == "orphan")

    def operator(self) -> None:
        if self.choose([True, False, False, False]):
            self.world.gateway.forbidden.add(self.choose(["patch Job", "get Job", "list Pod", "delete Pod"]))
        else:
            super().operator()

    def _interfere(self) -> None:
        what = self.choose(["resume", "suspend", "sync", "other"])
        if what == "other":
            super()._interfere()
        elif what == "sync" and self.world.jobs.runs:
            self.world.jobs.sync()
        elif what != "sync":
            self.world.change_job(suspend=what == "suspend")

    def all_comes_to_its_place(self) -> None:
        super().all_comes_to_its_place()
        check_stays_ended(self.world)

    def _check_place(self, spec: Raw, status: Raw) -> None:
        job = self.world.server.objects.get(JOB)
        if job is not None and (status.get("workload") or {}).get("uid") == job["metadata"]["uid"]:
            over = _is_over(job) and not any(self.world.memory.runs(uid) for uid in self.world.node.sandboxes)
            assert not over or status.get("phase") != "Running" or stalled(status), "its Job is over, and it is Running"
        if job is not None or status.get("phase") in TERMINAL:
            super()._check_place(spec, status)


def check_stays_ended(world: World) -> None:
    """What a stopped task stood for stays suspended, and nothing of it runs."""
    job = world.server.objects.get(JOB)
    for raw in world.tasks():
        workload = raw["status"].get("workload")
        if raw["status"].get("phase") != "Stopped" or workload is None or job is None:
            continue
        if workload["uid"] == job["metadata"]["uid"]:
            assert _is_over(job) or job["spec"].get("suspend"), "rule 4: what was stopped runs again, and stays so"
            for pod in world.server.pods():
                sandbox = world.node.truth(pod["metadata"]["uid"])
                owners = world.memory.owner(pod["metadata"]["uid"])
                assert owners.get("uid") != workload["uid"] or sandbox is None or not sandbox.running


def _is_over(job: Raw) -> bool:
    """Whether its controller says that it is complete or has failed."""
    conditions = {each["type"] for each in job["status"].get("conditions") or () if each["status"] == "True"}
    return bool(conditions & {"Complete", "Failed"})
