"""Everybody who acts in the world, and what they may do. All choices are made by one function, whoever provides it."""

from collections.abc import Callable, Sequence
from typing import Any

from agentstop.api.meta import TASK_LABEL
from agentstop.api.order import ORDER_KIND
from agentstop.api.pod_control import CONTROL_KIND
from agentstop.api.task import KIND
from agentstop.api.usage import USAGE_KIND
from agentstop.workloads.objects import ObjectRef

from .gateway import Fault
from .server import NAMESPACE, Raw
from .world import HOLDER, World

STEPS = 30
"""How often somebody acts in a history, where it has no length of its own."""

TERMINAL = {"Stopped", "Completed", "Failed"}

TOKEN: Raw = {"name": "token", "projected": {"sources": [{"serviceAccountToken": {"expirationSeconds": 3607}}]}}
"""The volume that admission gives a pod for its service account."""

Choose = Callable[[Sequence[Any]], Any]


class Actors:
    """Acts in a world as `choose` decides."""

    steps = STEPS

    def __init__(self, world: World, choose: Choose) -> None:
        self.world = world
        self.choose = choose
        world.gateway.interfere = self._interfere

    # What people write

    def _container(self, name: str, **more: Any) -> Raw:
        init = name == "init"
        behaviour = {
            "dies_in": self.choose([0.5, 2, 8, None]),
            "lives": self.choose([1, 1, 30] if init else [None, None, 3, 20]),
            "code": self.choose([0, 0, 0, 1] if init else [0, 0, 1]),
        }
        hook = self.choose([0] * 7 + [20]) if not init else 0
        if hook:
            more |= {"lifecycle": {"postStart": {}}}
        return {"name": name, "behaviour": behaviour | {"hook": hook}, **more}

    def _pod_spec(self) -> Raw:
        spec: Raw = {
            "restartPolicy": self.choose(["Never", "Never", "OnFailure", "Always"]),
            "terminationGracePeriodSeconds": self.choose([5, 30, 30, 1, 0]),
            "containers": [self._container("main")],
        }
        if self.choose([False, True]):
            spec["containers"].append(self._container("second"))
        extra = self.choose([None, None, "init", "sidecar"])
        if extra is not None:
            policy = {"restartPolicy": "Always"} if extra == "sidecar" else {}
            spec["initContainers"] = [self._container(extra, **policy)]
        if spec["terminationGracePeriodSeconds"] == 30:
            spec["volumes"] = [TOKEN]
        deadline = self.choose([None] * 6 + [1, 40])
        return spec | ({"activeDeadlineSeconds": deadline} if deadline else {})

    def _stop(self) -> Raw:
        return self._some(
            gracePeriodSeconds=[None, None, 1, 3, 10, 60],
            podPolicy=[None, "Keep", "DeleteAfterProof", "Delete"],
            onUnconfirmed=[None, "Wait", "MarkStopped"],
            reason=[None, "RunawayCost", "Other"],
        )

    def _task_spec(self) -> Raw:
        spec = self._some(
            stopRequested=[None] * 7 + [True],
            mainContainer=[None, None, None, "main", "main", "missing"],
            activeDeadlineSeconds=[None] * 4 + [4, 30],
            ttlSecondsAfterFinished=[None] * 4 + [0, 40],
            deletionPolicy=[None, "Orphan", "Stop"],
        )
        return spec | ({"stop": self._stop()} if self.choose([False, True]) else {})

    def _some(self, **choices: list[Any]) -> Raw:
        chosen = {name: self.choose(values) for name, values in choices.items()}
        return {name: value for name, value in chosen.items() if value is not None}

    # How it begins

    def begin(self) -> None:
        self.world.node.shortens = self.choose([False, True])
        by = self.choose([None, "jane"])
        if self.choose([False, False, True]):
            if self.choose([True, True, True, False]):
                self.world.create_pod("pod", self._pod_spec())
            ref = {"apiVersion": "v1", "kind": "Pod", "name": "pod"}
            self.world.create_task("task", self._task_spec() | {"workloadRef": ref}, by)
        else:
            self.world.create_task("task", self._task_spec() | {"podTemplate": {"spec": self._pod_spec()}}, by)
        self.world.start_operator()
        if self.choose([True, True, True, False]):
            for _ in range(3):
                self.world.schedule()
                self.world.pass_time(1, attentive=True)

    def task(self) -> Raw | None:
        return self.world.server.objects.get(ObjectRef(KIND, NAMESPACE, "task"))

    def pods(self) -> list[str]:
        return [raw["metadata"]["name"] for raw in self.world.server.pods()]

    # Who acts

    def act(self) -> None:
        """Have somebody do something."""
        self.choose(
            [
                self.people,
                self.others,
                self.node,
                self.operator,
                self.operator_works,
                self.operator_sleeps,
                self.all_goes_well,
                self.all_goes_well,
            ]
        )()

    def people(self) -> None:
        what = self.choose(["stop"] * 4 + ["how"] * 2 + ["policy", "delete", "again"])
        if self.task() is None:
            if what in {"again", "stop"}:
                self.world.create_task("task", self._task_spec() | {"podTemplate": {"spec": self._pod_spec()}})
        elif what == "stop":
            self.world.patch_spec("task", stopRequested=True, stop=self._stop())
        elif what == "how":
            self.world.patch_spec("task", stop=self._stop())
        elif what == "policy":
            self.world.patch_spec("task", deletionPolicy=self.choose(["Orphan", "Stop"]))
        elif what == "delete":
            self.world.delete_task("task", orphan=self.choose([False, True]))

    def others(self) -> None:
        what = self.choose(["delete"] * 3 + ["unlabel"] * 2 + ["hold", "release", "create", "again", "again", "fatten"])
        if what == "create":
            self._create_a_pod()
        elif what == "again":
            task = self.task()
            if task is not None and "podTemplate" in task["spec"] and task["status"].get("phase") in TERMINAL:
                self.world.create_impostor(task)
        elif self.pods():
            name = self.choose(self.pods())
            if what == "delete":
                self.world.delete_pod(name, self.choose([None, 0, 0, 1, 60]))
            elif what == "fatten":
                self.world.fatten_pod(name)
            elif what == "unlabel":
                self.world.change_pod(name, labels={})
            else:
                self.world.change_pod(name, finalizers=[HOLDER] if what == "hold" else [])

    def _create_a_pod(self) -> None:
        owner = {"apiVersion": "batch/v1", "kind": "Job", "name": "job", "uid": "job-uid", "controller": True}
        labels = self.choose([{}, {TASK_LABEL: "task"}])
        owners = self.choose([[], [owner]])
        self.world.create_pod(self.choose(["pod", "task"]), self._pod_spec(), labels=labels, ownerReferences=owners)

    def node(self) -> None:
        node = self.world.node
        what = self.choose(["end"] * 4 + ["schedule", "sync", "back", "back", "back", "silence", "off", "fenced"])
        if what == "end":
            self._end_a_container()
        elif what == "schedule":
            self.world.schedule()
        elif what == "sync" and node.kubelet_runs:
            node.sync()
        elif what == "back":
            if node.powered:
                node.kubelet_runs = True
            else:
                node.boot()
        elif what == "silence":
            node.kubelet_runs = False
        elif what in {"off", "fenced"}:
            node.power_off()
            if what == "fenced":
                self.choose([node.taint, node.remove])()

    def _end_a_container(self) -> None:
        sandboxes = self.world.node.sandboxes.values()
        running = [each for sandbox in sandboxes for each in sandbox.processes if each.running and not sandbox.frozen]
        if running:
            code = self.choose([0, 0, 0, 1, 137])
            self.choose(running).exit(self.world.clock.now, code, "OOMKilled" if code == 137 else None)

    def operator_sleeps(self) -> None:
        seconds = self.choose([1, 2, 5, 15, 70, 400])
        self.world.pass_time(seconds, step=1 if seconds < 20 else 5)

    def all_goes_well(self) -> None:
        if self.world.operator is None:
            self.world.start_operator()
        self.world.schedule()
        self.world.pass_time(self.choose([1, 1, 2, 2, 5, 20, 70]), attentive=True)

    def operator(self) -> None:
        operator = self.world.operator
        what = self.choose(
            [
                "start",
                "crash",
                "blink",
                "second look",
                "tasks",
                "pods",
                "follow",
                "rights",
                "rights back",
                "mistakes",
                "memory",
            ]
        )
        most = self.choose([1, 2, None])
        if what == "start":
            self.world.start_operator()
        elif what == "crash":
            self.world.crash_operator()
        elif what == "rights":
            self.world.gateway.forbidden.add(self.choose(["delete Pod", "patch Pod", "create Pod", "get Node"]))
        elif what == "memory":
            self.world.gateway.forgetful = self.choose([False, True])
        elif what == "rights back":
            self.world.gateway.forbidden.clear()
        elif operator is not None:
            steps: dict[str, Callable[[], None]] = {
                "mistakes": lambda: operator.mistaken(self.choose([1, 3])),
                "blink": operator.blink,
                "second look": operator.look_again,
                "tasks": lambda: operator.watch(KIND, most),
                "pods": lambda: operator.watch("Pod", most),
                "follow": operator.follow,
            }
            steps[what]()

    def operator_works(self) -> None:
        if self.choose([True, True, False]) and self.world.operator is not None:
            for kind in ("Pod", KIND, USAGE_KIND, CONTROL_KIND, ORDER_KIND):
                self.world.operator.watch(kind)
        faults = [self.choose([Fault.NONE, Fault.NONE, *Fault]) for _ in range(self.choose([1, 2, 4]))]
        self.world.work(self.choose([1, 2, 3]), faults)

    def _interfere(self) -> None:
        what = self.choose(["stop", "delete", "force", "unlabel", "task", "bind", "fatten"])
        if what == "stop" and self.task() is not None:
            self.world.patch_spec("task", stopRequested=True)
        elif what == "task" and self.task() is not None:
            self.world.delete_task("task", orphan=self.choose([False, True]))
        elif what == "bind":
            self.world.schedule()
        for name in self.pods() if what in {"delete", "force", "unlabel", "fatten"} else ():
            if what == "fatten":
                self.world.fatten_pod(name)
            elif what == "unlabel":
                self.world.change_pod(name, labels={})
            else:
                self.world.delete_pod(name, 0 if what == "force" else None)

    # How it ends

    def all_comes_to_its_place(self) -> None:
        """What else holds once nothing stands in the way, before everything is stopped."""

    def end(self) -> None:
        """All comes to its end once nothing stands in the way, and then it is quiet."""
        world = self.world
        world.turn_benign()
        world.settle()
        world.check()
        world.rules.check_orphans(world.server.pods(), world.tasks())
        world.rules.check_remains(world.server.pods(), world.tasks())
        for raw in world.tasks():
            if raw["spec"].get("stopRequested"):
                assert raw["status"].get("phase") in TERMINAL, "rule 1: a stop was lost"
        self.all_comes_to_its_place()
        for raw in world.tasks():
            world.patch_spec(raw["metadata"]["name"], stopRequested=True)
        world.settle()
        world.check()
        for raw in world.tasks():
            assert raw["status"].get("phase") in TERMINAL, "rule 1: a stop was lost"
            assert raw["status"]["observedGeneration"] == raw["metadata"]["generation"]
        requests = world.gateway.requests
        world.pass_time(200, attentive=True, step=5)
        assert world.gateway.requests == requests, "the operator does not come to rest"
