"""People who start tasks under other tasks, and stop them anywhere."""

from agentstop.api.task import KIND
from agentstop.cluster.errors import ApiError
from agentstop.workloads.objects import ObjectRef

from .actors import TERMINAL, Actors
from .server import NAMESPACE, Raw

NAMES = ("a", "b", "c", "d")
PARENTS: tuple[str | None, ...] = (None, "a", "a", "b", "b", "c", "d", "nobody")
"""Whose child a new task may be: circles come about, and parents that do not exist."""


class FamilyActors(Actors):
    """Two to four tasks that refer to each other."""

    def begin(self) -> None:
        self.world.node.shortens = self.choose([False, True])
        if self.choose([True, True, False]):
            self.world.start_operator()
        for name in NAMES[: self.choose([1, 2, 3, 4])]:
            self._create(name)
            if self.choose([True, False]):
                self.all_goes_well()

    def _create(self, name: str) -> None:
        parent = self.choose(PARENTS)
        spec = self._task_spec() | {"podTemplate": {"spec": self._pod_spec()}}
        spec |= {"parentRef": {"name": parent}} if parent else {}
        if self.choose([True, True, False]):
            spec.pop("stopRequested", None)
        try:
            self.world.create_task(name, spec, self.choose([None, "jane"]))
        except ApiError:
            return  # the name is taken

    def _task_spec(self) -> Raw:
        spec = super()._task_spec()
        if self.choose([True, True, True, False]):
            spec.pop("activeDeadlineSeconds", None)
            spec.pop("ttlSecondsAfterFinished", None)
        return spec

    def _names(self) -> list[str]:
        return [ref.name for ref in self.world.server.objects if ref.kind == KIND]

    def people(self) -> None:
        what = self.choose(["stop"] * 3 + ["create"] * 4 + ["how", "policy", "delete"])
        name = self.choose(NAMES)
        if what == "create":
            self._create(name)
        elif name not in self._names():
            return
        elif what == "stop":
            self.world.patch_spec(name, stopRequested=True, stop=self._stop())
        elif what == "how":
            self.world.patch_spec(name, stop=self._stop())
        elif what == "policy":
            self.world.patch_spec(name, deletionPolicy=self.choose(["Orphan", "Stop"]))
        elif what == "delete":
            self.world.delete_task(name)

    def others(self) -> None:
        """Pods are no matter of families: the other histories see to them."""
        self.people()

    def _interfere(self) -> None:
        what = self.choose(["stop", "create", "create", "bind", "delete"])
        if what == "create":
            self._create(self.choose(NAMES))
        elif what == "bind":
            self.world.schedule()
        elif self._names():
            name = self.choose(self._names())
            if what == "stop":
                self.world.patch_spec(name, stopRequested=True)
            else:
                self.world.delete_task(name)

    def all_comes_to_its_place(self) -> None:
        """Whatever descends from a task that was stopped has ended; whatever does not lives on as it likes."""
        for raw in self.world.tasks():
            if raw["spec"].get("stopRequested") and raw["status"].get("phase") == "Stopped":
                for name in self._below(raw["metadata"]["name"]):
                    below = self.world.server.objects[ObjectRef(KIND, NAMESPACE, name)]
                    phase = below["status"].get("phase")
                    assert phase in TERMINAL, f"{name} descends from a task that was stopped, and is {phase}"

    def _below(self, name: str) -> set[str]:
        found: set[str] = set()
        front = {name}
        while front:
            tasks = self.world.tasks()
            parents = {each["metadata"]["name"]: (each["spec"].get("parentRef") or {}).get("name") for each in tasks}
            front = {child for child, parent in parents.items() if parent in front and child not in found}
            found |= front
        return found - {name}
