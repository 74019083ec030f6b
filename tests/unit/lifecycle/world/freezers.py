"""People who pause tasks by a freeze, and a component on the node that is slow, silent or away."""

from typing import Final

from agentstop.api.meta import API_VERSION
from agentstop.api.order import ORDER_KIND
from agentstop.api.pod_control import CONTROL_KIND
from agentstop.workloads.objects import ObjectRef

from .actors import TERMINAL
from .job_actors import JobActors
from .pausers import PausingActors, stalled
from .server import NAMESPACE, Raw

MINUTE: Final = 60


class FreezingActors(PausingActors):
    """As those who pause, and a pause may be a freeze."""

    def begin(self) -> None:
        self._install()
        super().begin()

    def _install(self) -> None:
        world = self.world
        world.component.installed = world.gateway.has_component = self.choose([True] * 7 + [False])
        world.component.lag = self.choose([0, 0, 2])

    def _task_spec(self) -> Raw:
        return super()._task_spec() | self._some(pausePolicy=[None, "Freeze", "Freeze"])

    def _pause(self) -> None:
        if self.choose([True, False, False, False]):
            policy, spec = self.choose(["Freeze", "Freeze", "Terminate"]), (self.task() or {}).get("spec", {})
            # The API server has no adopted Pod ended for a pause.
            if policy == "Freeze" or not spec.get("paused") or (spec.get("workloadRef") or {}).get("kind") != "Pod":
                self.world.patch_spec("task", pausePolicy=policy)
        super()._pause()

    def node(self) -> None:
        if self.choose([True, False]):
            self._component()
        else:
            super().node()

    def _component(self) -> None:
        component = self.world.component
        what = self.choose(["away", "back", "back", "back", "slow", "quick", "mute", "loud"])
        if what in {"away", "back"}:
            component.runs = what == "back"
        elif what in {"slow", "quick"}:
            component.lag = 4 if what == "slow" else 0
        else:
            component.mute = what == "mute"
        component.was_faulty |= what in {"away", "slow", "mute"}

    def operator(self) -> None:
        if self.choose([True, False, False, False]) and self.world.operator is not None:
            self.world.operator.watch(CONTROL_KIND, self.choose([1, None]))
        else:
            super().operator()

    def all_comes_to_its_place(self) -> None:
        super().all_comes_to_its_place()
        self.world.freeze_rules.check_end(self.world.tasks())
        for raw in self.world.tasks():
            self.world.patch_spec(raw["metadata"]["name"], paused=True, pausePolicy="Freeze")
        self.world.settle()
        self._check_rests()
        self.world.freeze_rules.from_here_on_all_is_well()

    def _check_rests(self) -> None:
        """While everything is frozen, or to be, nothing is asked for again and again."""
        writes = self.world.gateway.writes
        self.world.pass_time(MINUTE, attentive=True)
        assert self.world.gateway.writes - writes < MINUTE / 2, "something is asked for again and again"

    def _check_place(self, spec: Raw, status: Raw) -> None:
        phase = status.get("phase")
        ref = spec.get("workloadRef") or {}
        if ref.get("kind") == "Pod" and status.get("workload") is None:
            assert phase in {"Pending", "Paused", *TERMINAL}, f"there is no pod, and it is {phase}"
            return
        freezes = spec.get("pausePolicy") == "Freeze"
        if not (spec.get("paused") and freezes) or phase in TERMINAL:
            super()._check_place(spec, status)
            return
        # What has no node cannot be frozen, nor can anything without the component: it is said, and nothing is ended.
        waits = any(not raw["spec"].get("nodeName") for raw in self.world.server.pods())
        assert phase == "Paused" or (phase == "Pausing" and (stalled(status) or waits)), f"to be frozen, it is {phase}"

    def end(self) -> None:
        super().end()
        self.world.freeze_rules.check_end(self.world.tasks())


ORDER: Final = ObjectRef(ORDER_KIND, NAMESPACE, "order", API_VERSION)


class OrderingActors(FreezingActors):
    """As those who freeze tasks, and there are orders that do so, are lifted, and deleted."""

    def people(self) -> None:
        if self.choose([True, False, False]):
            self._order()
        else:
            super().people()

    def _interfere(self) -> None:
        if self.choose([True, False, False]):
            self._order()
        else:
            super()._interfere()

    def _order(self) -> None:
        server = self.world.server
        if ORDER not in server.objects:
            server.create(ORDER, {"apiVersion": API_VERSION, "spec": {"selector": {}, "freeze": True}})
        elif self.choose([True, False]):
            server.delete(ORDER)
        else:
            server.change(ORDER, lambda raw: raw["spec"].update(then="Resume"))

    def operator(self) -> None:
        if self.choose([True, False, False, False]) and self.world.operator is not None:
            self.world.operator.watch(ORDER_KIND, self.choose([1, None]))
        else:
            super().operator()

    def all_comes_to_its_place(self) -> None:
        if ORDER in self.world.server.objects:
            self.world.settle()
            self.world.check()
            if "then" not in self.world.server.objects[ORDER]["spec"]:
                for raw in self.world.tasks():
                    self._check_frozen(raw["status"])
            self.world.server.delete(ORDER)
        super().all_comes_to_its_place()

    def _check_frozen(self, status: Raw) -> None:
        phase = status.get("phase")
        waits = any(not raw["spec"].get("nodeName") for raw in self.world.server.pods())
        assert phase in {"Paused", *TERMINAL} or stalled(status) or (phase == "Pausing" and waits), (
            f"an order has it frozen, and it is {phase}"
        )

    def end(self) -> None:
        if ORDER in self.world.server.objects:
            self.world.server.delete(ORDER)
        super().end()


class OrderingJobActors(OrderingActors, JobActors):
    """The same with a Job."""


class FreezingJobActors(FreezingActors, JobActors):
    """The same with a Job."""


FREEZERS = (FreezingActors, FreezingJobActors, OrderingActors, OrderingJobActors)
