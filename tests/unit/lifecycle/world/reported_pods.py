"""Cases of single pods: busy kubelets, probes, hooks, deleted Nodes, disruptions, restart rules, takeovers."""

from .replica_sets import LABEL
from .scripted import Scripted
from .server import Raw


class SlowStart(Scripted):
    """An image is pulled, a volume awaited, or a start hook runs, and somebody removes the pod by force meanwhile."""

    def stage(self) -> None:
        slow = self.choose(["pull", "pull", "hook", "volume"])
        seconds = self.choose([25, 110, 110, 160])
        self.world.node.shortens = self.choose([False, True])
        if slow == "volume":
            self.work_on(self.container(), behaviour={"volume": seconds})
        else:
            second = [self.container("second")] if self.choose([True, False]) else []
            self.work_on(self.container(**{slow: seconds}), *second)
        began = self.choose([2, 3, 4])
        self.at(began + self.choose([-1, 0, 1, 5, 40]), self.some_end)
        how = self.choose(["force", "force", "unseen", "unseen", "deleted", "left"])
        if how == "force":
            self.at(began + self.choose([0, 1, 3]), self.remove_by_force)
        elif how == "unseen":
            self.at(began, self.leave)
            self.at(began, self.remove_by_force)
        elif how == "deleted":
            self.at(began, lambda: self.world.delete_pod("task", None))


class UnseenStart(Scripted):
    """A pod is bound, begins with a slow start and is removed by force, all that while no operator looks."""

    def stage(self) -> None:
        self.work_on(self.container(**self.choose([{"pull": 110}, {"hook": 110}])))
        self.at(self.choose([1, 2]), self.leave)
        self.at(4, self.remove_by_force)
        self.at(self.choose([0, 5, 9]), self.some_end)


class SlowRestart(Scripted):
    """A container ends, its image is pulled for it to be started again, and its pod is removed by force meanwhile."""

    most = 10

    def stage(self) -> None:
        how = self.choose(["unseen", "unseen", "unseen", "seen", "probe", "probe"])
        slow: Raw = {"imagePullPolicy": "Always", "pull_again": 250}
        probe: Raw = {"livenessProbe": {"terminationGracePeriodSeconds": 2}} if how == "probe" else {}
        again = self.choose(["Always", "OnFailure"])
        main = self.container(lives=None if how == "probe" else 10, codes=[1], **slow, **probe)
        self.work_on(main, alone=again == "Always", restartPolicy=again)
        if how == "probe":
            self.at(11, lambda: self.fail_probe("main"))
        if how == "unseen":
            self.at(self.choose([9, 10]), lambda: self.leave(6))
        self.at(14, self.remove_by_force)
        if how != "unseen" and self.choose([True, False]):
            self.at(17, self.leave)
        self.at(self.choose([5, 12, 20]), self.some_end)


class SlowVolume(Scripted):
    """A volume comes after the stop."""

    most = 10

    def stage(self) -> None:
        self.work_on(self.container(), behaviour={"volume": self.choose([15, 30])})
        self.at(self.choose([2, 4, 8]), self.plain_stop)


class FailingProbe(Scripted):
    """A probe fails whose grace period is longer than the pod's, and somebody removes the pod by force meanwhile."""

    steps = 100

    def stage(self) -> None:
        grace = self.choose([30, 100, 150, 150])
        probed = self.container(livenessProbe={"terminationGracePeriodSeconds": grace}, dies_in=None)
        again = self.choose(["Always", "Never"])
        self.work_on(probed, alone=again == "Always", restartPolicy=again)
        failed = self.choose([5, 8])
        self.at(failed, lambda: self.fail_probe("main"))
        gone = failed + self.choose([1, 2, 6])
        self.at(self.choose([0, gone - 1, gone - 1, gone - 2]), self.some_end)
        how = self.choose(["force", "force", "unseen", "unseen", "left"])
        if how == "unseen":
            self.at(gone, self.leave)
        if how != "left":
            self.at(gone, self.remove_by_force)


class StopHook(Scripted):
    """A stop hook takes its time: SIGTERM comes late, or not before the grace period is over, and SIGKILL after 2 s."""

    def stage(self) -> None:
        hooked = self.container(pre_stop=self.choose([3, 20, 20]), dies_in=self.choose([0.5, None, None]))
        self.work_on(hooked, terminationGracePeriodSeconds=self.choose([5, 10]))
        how = self.choose(["ours", "ours", "deleted", "force"])
        self.at(self.choose([5, 7]), self.plain_stop)
        if how != "ours":
            self.at(self.choose([4, 9]), lambda: self.world.delete_pod("task", 0 if how == "force" else None))


class DeletedNode(Scripted):
    """Somebody deletes the Node object of a machine that lives; it may be registered again, or be another boot."""

    steps = 90
    most = 30

    def stage(self) -> None:
        node = self.world.node
        self.world.collector.quarantine = self.choose([0, 0, 5, 40])
        end = self.choose([self.plain_stop, self.plain_stop, self.pause])
        grace = self.choose([5, 30, 60])
        pull = self.choose([0, 0, 30, 75])
        slow = {"pull": pull, "hook": self.choose([0, 0, 20])}
        self.work_on(self.container(dies_in=self.choose([None, 20]), **slow), terminationGracePeriodSeconds=grace)
        deleted = self.choose([6, 10])
        if self.choose([True, False]):
            self.at(deleted - self.choose([0, 0, 1, 4]), end)
        if pull and self.choose([True, False]):
            self.at(deleted, self.remove_by_force)
        self.at(deleted, self.forget_node)
        after = self.choose(["same boot", "another boot", "never"])
        back = deleted + self.choose([1, 3, 20, 50])
        if after == "same boot":
            self.at(back, node.restart_kubelet)
        elif after == "another boot":
            self.at(back, node.reboot)


class DeletedNodeInAHurry(Scripted):
    """The pod goes with its Node before a stop reaches it that gives it less time than it has."""

    steps = 90

    def stage(self) -> None:
        self.work_on(self.container(dies_in=None), terminationGracePeriodSeconds=60)
        self.at(6, self.stop)
        self.at(self.choose([5, 6]), self.forget_node)


class NodeComesBack(Scripted):
    """A pod is removed by force in its slow start, and its Node is registered again: with the same boot ID, or not."""

    steps = 90

    def stage(self) -> None:
        node = self.world.node
        self.work_on(self.container(hook=self.choose([60, 110])))
        self.at(4, self.stop)
        self.at(self.choose([3, 5]), self.remove_by_force)
        back = self.choose([8, 20])
        self.at(back, self.choose([node.restart_kubelet, self._silence, node.reboot]))

    def _silence(self) -> None:
        self.world.node.kubelet_runs = False
        self.at(self.second + self.choose([2, 60]), self.world.node.restart_kubelet)


class ThrownOut(Scripted):
    """The scheduler or the kubelet needs the pod's place, and it exits with 0 on SIGTERM."""

    def stage(self) -> None:
        self.work_on(self.container(dies_in=self.choose([0.5, 3]), code=self.choose([0, 0, 1])), alone=True)
        at = self.choose([4, 8])
        self.at(at, self.choose([self._evicted_by_kubelet, self._evicted_by_api]))
        if self.choose([True, False]):
            self.at(at + self.choose([0, 1, 5]), self.stop)

    def _evicted_by_api(self) -> None:
        for name in self.pods():
            self.world.evict_pod(name, self.choose(["PreemptionByScheduler", "EvictionByEvictionAPI"]))

    def _evicted_by_kubelet(self) -> None:
        for uid in list(self.world.node.sandboxes):
            self.world.node.evict(uid, self.choose([0, 5]))


class OwnRules(Scripted):
    """The main container's own rules start it again, beside a helper that goes on."""

    most = 40

    def stage(self) -> None:
        codes = self.choose([[42], [42, 42], [42, 42, 42]])
        rule = {"action": "Restart", "exitCodes": {"operator": "In", "values": [42]}}
        other = {"action": "Restart", "exitCodes": {"operator": "NotIn", "values": [0]}}
        ruled = {"restartPolicy": "Never", "restartPolicyRules": [self.choose([rule, other])]}
        own: Raw = self.choose([ruled, ruled, {"restartPolicy": "OnFailure"}])
        slow: Raw = {"imagePullPolicy": "Always", "pull": 20} if self.choose([True, False]) else {}
        main = self.container(lives=self.choose([2, 4]), codes=codes, **own, **slow)
        if self.choose([True, False]):
            main = self.container(lives=3, imagePullPolicy="Always", pull=20, restartPolicy="Always")
            main.pop("restartPolicy")
            self.work_on(main, self.container("helper"), alone=True, restartPolicy="Always")
        else:
            self.work_on(main, self.container("helper"), alone=True)
        if self.choose([False, False, True]):
            self.at(self.choose(range(3, 20)), self.stop)
        if self.choose([False, False, True]):
            self.at(self.choose(range(3, 20)), self.remove_by_force)

    @property
    def task_spec(self) -> Raw:
        return {"mainContainer": "main"}


class CutOff(Scripted):
    """The main container succeeds, and a kubelet that is cut off starts it again and again before it hears more."""

    def stage(self) -> None:
        main = self.container(lives=self.choose([2, 4]))
        self.work_on(main, self.container("helper"), alone=True, restartPolicy="Always")
        began = self.choose(range(3, 9))
        self.at(began, lambda: self.cut_off(yes=True))
        self.at(began + self.choose([5, 20, 40]), lambda: self.cut_off(yes=False))
        if self.choose([False, False, True]):
            self.at(self.choose(range(3, 20)), self.stop)

    def cut_off(self, *, yes: bool) -> None:
        self.world.node.cut_off = yes

    @property
    def task_spec(self) -> Raw:
        return {"mainContainer": "main"}


class TakenOver(Scripted):
    """A ReplicaSet takes an adopted pod over, before its stop or after it, and makes another one in its place."""

    most = 10

    def stage(self) -> None:
        spec = {"terminationGracePeriodSeconds": 5, "restartPolicy": "Always", "containers": [self.container()]}
        self.world.create_pod("task", spec, labels={LABEL: "web"})
        self.world.create_task("task", {"workloadRef": {"apiVersion": "v1", "kind": "Pod", "name": "task"}}, "jane")
        stopped = self.choose([10, 14])
        self.at(stopped, self.plain_stop)

        def take() -> None:
            self.world.replica_set.template = spec

        self.at(stopped - self.choose([-2, -1, 0, 4, 8]), take)


class TaskGone(Scripted):
    """A task is stopped and deleted while its pod, removed by force, is being pulled."""

    most = 10

    def stage(self) -> None:
        self.work_on(self.container(pull=40), alone=True)
        self.at(4, self.stop)
        self.at(6, self.remove_by_force)
        self.at(self.choose([7, 9]), lambda: self.world.delete_task("task"))


PODS = (
    SlowStart,
    UnseenStart,
    SlowRestart,
    SlowVolume,
    FailingProbe,
    StopHook,
    DeletedNode,
    DeletedNodeInAHurry,
    NodeComesBack,
    ThrownOut,
    OwnRules,
    CutOff,
    TakenOver,
    TaskGone,
)
