"""What is known of the cluster: small records, the newest state of each object, and who belongs to whom."""

from collections.abc import Iterable

from agentstop.cluster.claims import Claims
from agentstop.cluster.control_store import ControlStore
from agentstop.cluster.family_index import TaskKey
from agentstop.cluster.object_store import ObjectStore
from agentstop.cluster.task_store import TaskStore
from agentstop.cluster.watch_interest import WatchInterest
from agentstop.workloads.objects import Lister, ObjectRef, WatchTarget


class Cache:
    """The newest known state of tasks and of all they have to do with. Decides nothing, and does no input or output.

    Its parts stand by themselves; only the claims follow the tasks. What joins them is here: which tasks an object
    matters to, and that it is forgotten with the last of them. For `trust_requested_by` see `read_task`.
    """

    def __init__(self, *, trust_requested_by: bool = False) -> None:
        self.tasks = TaskStore(trust_requested_by=trust_requested_by)
        self.claims = Claims(self.tasks)
        self.controls = ControlStore()
        self.objects = ObjectStore(self.controls.records)
        self._interest = WatchInterest()
        self._kept: set[ObjectRef] = set()

    @property
    def lister(self) -> Lister:
        """What workload modules may look at; always current."""
        return self.objects.lister

    def watch(self, key: TaskKey, watches: Iterable[WatchTarget]) -> tuple[list[WatchTarget], list[WatchTarget]]:
        """Note what is followed for a task; return what nobody followed before, and what nobody does any more."""
        return self._interest.watch(key, watches)

    def keys_of(self, watch: WatchTarget) -> set[TaskKey]:
        """Return the tasks that an object, or the pods of a workload, matter to."""
        keys = set(self._interest.watchers_of(watch))
        if isinstance(watch, ObjectRef):
            keys |= self.claims.adopters_of(watch)
            own = TaskKey(watch.namespace, watch.name)
            task = self.tasks.get(own)
            if watch.kind == "Pod" and task is not None and task.spec.pod_template is not None:
                keys.add(own)
        return keys

    def drop_task(self, key: TaskKey) -> None:
        """Forget a task, and what only it has to do with."""
        task = self.tasks.get(key)
        if task is None:
            return
        ref = task.spec.workload_ref
        own = ObjectRef("Pod", *key) if ref is None else ObjectRef(ref.kind, key.namespace, ref.name, ref.api_version)
        watched = self._interest.of(key)
        self.tasks.drop(key)
        self._interest.drop(key)
        for each in {own, *watched}:
            if not self.keys_of(each):
                self.forget(each)

    def keep(self, ref: ObjectRef) -> None:
        """Have a pod remembered that no task has to do with: it has to be ended."""
        self._kept.add(ref)

    def let_go(self, ref: ObjectRef) -> None:
        """Have a pod remembered no longer than others."""
        self._kept.discard(ref)
        entry = self.lister.entries.get(ref)
        if entry is not None and entry.absent and not self.keys_of(ref):
            self.forget(ref)

    def forget(self, watch: WatchTarget) -> None:
        """Forget an object, or pods, that no task has to do with any more, unless it is kept."""
        if watch not in self._kept:
            self.objects.forget(watch)
