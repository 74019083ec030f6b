"""Histories with a plan: a case that somebody reported is staged, at random times and with random trouble around it.

Chance alone hardly ever leads into these states, and a plan alone finds nothing new.
"""

from abc import abstractmethod
from collections.abc import Callable
from typing import Any

from .actors import Actors, Choose
from .job_actors import REF
from .process import Process
from .server import Raw
from .world import World

Deed = Callable[[], Any]


class Scripted(Actors):
    """Does at each second what was planned for it; a subclass stages the case."""

    steps = 60
    most = 20
    """How many histories of this case are walked: enough to find what test_reported_mutations.py breaks."""

    def __init__(self, world: World, choose: Choose) -> None:
        super().__init__(world, choose)
        self.plan: dict[int, list[Deed]] = {}
        self.second = 0
        self.back_at = 0
        """Until when no operator is started."""
        self.calm = self.choose([True, True, False])
        """Whether the operator works all the time, and its requests arrive."""

    @abstractmethod
    def stage(self) -> None:
        """Make the workload and the task, and plan what happens."""

    def begin(self) -> None:
        self.world.reported_rules.calm = self.calm
        self.stage()
        self.world.start_operator()

    def act(self) -> None:
        for deed in self.plan.pop(self.second, ()):
            deed()
        self.second += 1
        self.world.schedule()
        mood = "works" if self.calm else self.choose(["works"] * 8 + ["sleeps"] * 3 + ["fails", "crashes"])
        if mood == "fails":
            self.operator_works()
        elif mood == "crashes":
            self.world.crash_operator()
        elif mood == "works" and self.world.operator is None and self.second >= self.back_at:
            self.world.start_operator()
        self.world.pass_time(1, attentive=mood == "works")

    def _interfere(self) -> None:
        what = self.choose(["stop", "unlabel", "bind"])
        if what == "stop":
            self.plain_stop()
        elif what == "bind":
            self.world.schedule()
        else:
            for name in self.pods():
                self.world.change_pod(name, labels={})

    def at(self, second: int, deed: Deed) -> None:
        self.plan.setdefault(second, []).append(deed)

    # What is staged

    def container(self, name: str = "main", **behaviour: Any) -> Raw:
        """Return a container that runs until it is ended, but for what is said here."""
        spec = {key: behaviour.pop(key) for key in _SPEC if key in behaviour}
        mild = {"dies_in": self.choose([0.5, 3, None]), "lives": None, "code": 0}
        if behaviour.get("hook"):
            spec["lifecycle"] = {"postStart": {}}
        if behaviour.get("pre_stop"):
            spec["lifecycle"] = {"preStop": {}}
        return {"name": name, "behaviour": mild | behaviour} | spec

    def work_on(self, *containers: Raw, alone: bool = False, **more: Any) -> None:
        """Have a task with these containers: made from a template, adopted, or if not `alone` the pods of a Job."""
        spec = {"restartPolicy": "Never", "terminationGracePeriodSeconds": 5} | more | {"containers": list(containers)}
        task = self.task_spec
        kind = self.choose(["template", "template", "pod", "pod" if alone else "Job"])
        if kind == "Job":
            self.world.create_job({"suspend": False, "parallelism": 1, "backoffLimit": 6, "template": {"spec": spec}})
            self.world.create_task("task", task | {"workloadRef": REF}, "jane")
        elif kind == "template":
            self.world.create_task("task", task | {"podTemplate": {"spec": spec}}, "jane")
        else:
            self.world.create_pod("task", spec)
            self.world.create_task("task", task | {"workloadRef": {"apiVersion": "v1", "kind": "Pod", "name": "task"}})

    def is_too_early(self, deed: Deed) -> bool:
        """Put off what takes pods away that no operator has ever seen: nothing leads to them (test_limits.py)."""
        if self.is_unmet():
            self.at(self.second + 1, deed)
            return True
        return False

    def is_unmet(self) -> bool:
        """Whether there is a pod that is not on record."""
        on_record = {
            each["uid"]
            for task in self.world.tasks()
            for each in (task["status"].get("workload") or {}).get("pods") or ()
        }
        return any(pod["metadata"]["uid"] not in on_record for pod in self.world.server.pods())

    def forget_node(self) -> None:
        """Somebody deletes the Node object of a machine that lives."""
        if not self.is_too_early(self.forget_node):
            self.world.node.forget()

    @property
    def task_spec(self) -> Raw:
        return {}

    # What is planned

    def stop(self) -> None:
        how = self._some(
            gracePeriodSeconds=[None, None, 1, 10],
            podPolicy=[None, "Delete"],
            onUnconfirmed=[None, None, "MarkStopped"],
        )
        self.world.patch_spec("task", stopRequested=True, stop=how)

    def pause(self) -> None:
        self.world.patch_spec("task", paused=True)

    @property
    def some_end(self) -> Deed:
        """What is asked for: an end for good, or for now."""
        end: Deed = self.choose([self.stop, self.stop, self.pause])
        return end

    def plain_stop(self) -> None:
        self.world.patch_spec("task", stopRequested=True)

    def remove_by_force(self) -> None:
        if self.is_too_early(self.remove_by_force):
            return
        for name in self.pods():
            self.world.delete_pod(name, 0)

    def leave(self, *seconds: int) -> None:
        """The operator is away for some seconds, and the API server may not remember what came about meanwhile."""
        self.world.gateway.forgetful = self.choose([False, True])
        self.world.crash_operator()
        self.back_at = self.second + self.choose(seconds or (1, 3, 6))

    def fail_probe(self, container: str) -> None:
        for sandbox in self.world.node.sandboxes.values():
            sandbox.fail_probe(container, self.world.clock.now)

    def processes(self) -> list[Process]:
        return [each for sandbox in self.world.node.sandboxes.values() for each in sandbox.processes]


_SPEC = ("restartPolicy", "restartPolicyRules", "imagePullPolicy", "livenessProbe")
"""What the kubelet reads of a container, beside what the world knows of it."""
