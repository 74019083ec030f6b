"""What is followed for which task."""

from collections.abc import Iterable, Set

from agentstop.cluster.family_index import TaskKey
from agentstop.workloads.objects import WatchTarget


class WatchInterest:
    """The objects and pods that have to be watched, each for as long as a task asks for it."""

    def __init__(self) -> None:
        self._watched: dict[TaskKey, frozenset[WatchTarget]] = {}
        self._watchers: dict[WatchTarget, set[TaskKey]] = {}

    def of(self, key: TaskKey) -> Set[WatchTarget]:
        """Return what is followed for a task."""
        return self._watched.get(key, frozenset())

    def watchers_of(self, watch: WatchTarget) -> Set[TaskKey]:
        """Return the tasks that something is followed for."""
        return self._watchers.get(watch, frozenset())

    def watch(self, key: TaskKey, watches: Iterable[WatchTarget]) -> tuple[list[WatchTarget], list[WatchTarget]]:
        """Note what is followed for a task; return what nobody followed before, and what nobody does any more."""
        wanted, before = frozenset(watches), self._watched.get(key, frozenset())
        begun: list[WatchTarget] = []
        for each in wanted - before:
            watchers = self._watchers.setdefault(each, set())
            if not watchers:
                begun.append(each)
            watchers.add(key)
        ended = [each for each in before - wanted if self._unwatch(key, each)]
        if wanted:
            self._watched[key] = wanted
        else:
            self._watched.pop(key, None)
        return begun, ended

    def drop(self, key: TaskKey) -> None:
        """Follow nothing for a task any more."""
        for each in self._watched.pop(key, ()):
            self._unwatch(key, each)

    def _unwatch(self, key: TaskKey, watch: WatchTarget) -> bool:
        watchers = self._watchers.get(watch, set())
        watchers.discard(key)
        if not watchers:
            self._watchers.pop(watch, None)
        return not watchers
