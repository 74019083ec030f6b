"""Agents that spend, and people who say how much."""

from datetime import timedelta

from agentstop.api.meta import API_VERSION, format_time
from agentstop.api.task import KIND
from agentstop.api.usage import USAGE_KIND
from agentstop.workloads.objects import ObjectRef

from .pausers import PausingActors
from .server import NAMESPACE, Raw

USAGE = ObjectRef(USAGE_KIND, NAMESPACE, "task")


class SpendingActors(PausingActors):
    """As all others, and they have budgets and spend."""

    def _budget(self) -> Raw:
        budget: Raw = {
            **self._some(maxIdleSeconds=[None, None, 5, 60], warnPercent=[None, 50]),
            "maxTurns": self.choose([1, 3, 8]),
            "action": self.choose(["Stop", "Stop", "Pause", "Observe"]),
        }
        return budget

    def _task_spec(self) -> Raw:
        budget = {"budget": self._budget()} if self.choose([True, True, False]) else {}
        return super()._task_spec() | budget

    def people(self) -> None:
        what = self.choose(["report"] * 4 + ["budget", "processor", "pause", "others"])
        if what == "report":
            self._report()
        elif what == "processor":
            self.world.gateway.millicores = self.choose([None, 1, 500])
        elif what == "budget" and self.task() is not None:
            self.world.patch_spec("task", budget=self.choose([None, self._budget(), self._budget()]))
        elif what == "pause" and self.task() is not None:
            self._pause()
        else:
            super().people()

    def _report(self) -> None:
        """Say that some more was spent: of the task that there is, or of none."""
        world, task = self.world, self.task()
        known = world.server.objects.get(USAGE)
        owners = (known["metadata"].get("ownerReferences") or ()) if known is not None else ()
        if known is not None and task is not None and any(each["uid"] != task["metadata"]["uid"] for each in owners):
            world.server.delete(USAGE)  # as the garbage collector does it
            known = None
        spec = dict(known["spec"]) if known is not None else {}
        spec["turns"] = spec.get("turns", 0) + self.choose([0, 1, 1, 2])
        if self.choose([True, False]):
            at = format_time(world.clock.now + timedelta(seconds=self.choose([0, 0, -30, 3600])))
            spec["lastActivityAt"] = max(at, spec.get("lastActivityAt", at))
        if known is None:
            body = {"apiVersion": API_VERSION, "spec": spec, "metadata": {"ownerReferences": self._owners()}}
            world.server.create(USAGE, body)
        else:
            world.server.change(USAGE, lambda raw: raw.update(spec=spec))

    def _owners(self) -> list[Raw]:
        task = self.task()
        if task is None or self.choose([True, False]):
            return []
        owner = {"apiVersion": API_VERSION, "kind": KIND, "name": "task", "uid": task["metadata"]["uid"]}
        return [owner]

    def _interfere(self) -> None:
        if self.choose([True, False]):
            self._report()
        else:
            super()._interfere()

    def all_comes_to_its_place(self) -> None:
        """No task runs on above its limit."""
        for raw in self.world.tasks():
            self.world.budget_rules.check_obeyed(raw)
