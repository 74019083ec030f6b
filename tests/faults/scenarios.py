"""What is played while one thing breaks: what people do, and how each stop comes about."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from tests.support import agents, manifests
from tests.support.clusters import Cluster
from tests.support.kube import USAGES, Object
from tests.support.laws import status
from tests.support.namespaces import API_VERSION, Namespace
from tests.support.orders import Orders
from tests.support.workloads import Workloads

PATIENCE: Final = 90.0
"""Seconds for what has to come about, with a new operator in between and everything else running beside it."""

CHECKPOINT_SECONDS: Final = 3
"""How long agents work on where their pods go with their end: a new operator is there by then, and sees how."""


@dataclass(frozen=True)
class Stage:
    """Where a scenario is played."""

    ns: Namespace
    workloads: Workloads
    orders: Orders

    @classmethod
    def of(cls, cluster: Cluster, namespace: str) -> "Stage":
        """Return one in a namespace of its own, which is not made yet."""
        ns = Namespace(cluster, namespace)
        return cls(ns, Workloads(ns), Orders(cluster, namespace))

    async def running(self, name: str, attempt: int = 1) -> None:
        """Wait until a task's pod runs for the so manieth time and its agent is ready."""

        def runs(task: Object) -> bool:
            return (status(task).get("phase"), status(task).get("attempts")) == ("Running", attempt)

        task = await self.ns.until(name, runs, PATIENCE, what=f"running, attempt {attempt}")
        await self.ns.ready(task["status"]["workload"]["name"])

    async def ended(self, name: str) -> Object:
        """Wait for a task's end."""
        return await self.ns.ended(name, PATIENCE)


async def pod(stage: Stage) -> None:
    await stage.ns.create_task("a", agents.template(agents.graceful()))
    await stage.running("a")
    await stage.ns.stop("a", reason="Tried")
    await stage.ended("a")


async def pod_deleted(stage: Stage) -> None:
    await stage.ns.create_task("a", agents.template(agents.graceful(CHECKPOINT_SECONDS), grace=20))
    await stage.running("a")
    await stage.ns.stop("a", podPolicy="Delete")
    await stage.ended("a")


async def shorter_grace(stage: Stage) -> None:
    await stage.ns.create_task("a", agents.template(agents.DEAF, grace=60))
    await stage.running("a")
    await stage.ns.stop("a", gracePeriodSeconds=CHECKPOINT_SECONDS)
    await stage.ended("a")


async def pending(stage: Stage) -> None:
    await stage.ns.create_task("a", agents.template(), stopRequested=True)
    await stage.ended("a")


async def unschedulable(stage: Stage) -> None:
    await stage.ns.create_task("a", agents.template(nodeSelector={"example.com/nowhere": "true"}))
    await stage.ns.until("a", lambda task: status(task).get("reason") == "Unschedulable", PATIENCE)
    await stage.ns.stop("a")
    await stage.ended("a")


async def completion(stage: Stage) -> None:
    await stage.ns.create_task("a", agents.template(agents.ending(0.5)))
    await stage.ended("a")


async def _workload(stage: Stage, manifest: Object, count: int) -> None:
    made = await stage.workloads.create(manifest)
    await stage.workloads.adopt("a", made)
    await stage.workloads.running(made, count, PATIENCE)
    await stage.ns.phase("a", "Running", PATIENCE)
    await stage.ns.stop("a")
    await stage.ended("a")


async def job(stage: Stage) -> None:
    script = agents.graceful(CHECKPOINT_SECONDS)
    await _workload(stage, manifests.job("worker", script, parallelism=2, grace=20), 2)


async def deployment(stage: Stage) -> None:
    script = agents.graceful(CHECKPOINT_SECONDS)
    await _workload(stage, manifests.deployment("worker", script, replicas=2, grace=20), 2)


async def stateful_set(stage: Stage) -> None:
    script = agents.graceful(CHECKPOINT_SECONDS)
    await _workload(stage, manifests.stateful_set("worker", script, replicas=2, grace=20), 2)


async def sandbox(stage: Stage) -> None:
    await _workload(stage, manifests.sandbox("box", agents.graceful(CHECKPOINT_SECONDS), grace=20), 1)


async def claim(stage: Stage) -> None:
    script = agents.graceful(CHECKPOINT_SECONDS)
    await stage.workloads.create(manifests.sandbox_template("template", script, grace=20))
    await stage.workloads.create(manifests.warm_pool("pool", "template"))
    await _workload(stage, manifests.claim("mine", "pool"), 1)


async def family(stage: Stage) -> None:
    parents = {"root": None, "left": "root", "right": "root", "left-leaf": "left", "right-leaf": "right"}
    for name, parent in parents.items():
        above = {"parentRef": {"name": parent}} if parent else {}
        await stage.ns.create_task(name, agents.template(agents.graceful()), **above)
    for name in parents:
        await stage.running(name)
    await stage.ns.stop("root")
    for name in parents:
        await stage.ended(name)


async def order(stage: Stage) -> None:
    for name in ("a", "b"):
        await stage.ns.create_task(name, agents.template(agents.graceful()))
    for name in ("a", "b"):
        await stage.running(name)
    made = await stage.orders.make("everything", hold=True, reason="Incident")
    for name in ("a", "b"):
        await stage.ended(name)
    await made.phase("Holding", PATIENCE)
    await stage.ns.create_task("late", agents.template())
    await stage.ended("late")
    await made.until(lambda now: now.get("refused") == 1, "one refused", PATIENCE)


async def hold_lifted(stage: Stage) -> None:
    held = await stage.orders.make("hold", hold=True, selector={"matchLabels": {"team": "a"}})
    await held.phase("Holding", PATIENCE)
    await held.edit(hold=False)
    await held.phase("Lifted", PATIENCE)
    await stage.ns.create_task("a", agents.template(agents.ending(0.5)))
    await stage.ns.merge_task("a", {"metadata": {"labels": {"team": "a"}}})
    await stage.ended("a")


async def pause(stage: Stage) -> None:
    await stage.ns.create_task("a", agents.template(agents.graceful(CHECKPOINT_SECONDS), grace=20))
    await stage.running("a")
    await stage.ns.patch("a", paused=True)
    await stage.ns.phase("a", "Paused", PATIENCE)
    await stage.ns.patch("a", paused=False)
    await stage.running("a", 2)
    await stage.ns.stop("a")
    await stage.ended("a")


async def job_paused(stage: Stage) -> None:
    made = await stage.workloads.create(manifests.job("worker", agents.graceful(CHECKPOINT_SECONDS), grace=20))
    await stage.workloads.adopt("a", made)
    await stage.workloads.running(made, 1, PATIENCE)
    await stage.ns.phase("a", "Running", PATIENCE)
    await stage.ns.patch("a", paused=True)
    await stage.ns.phase("a", "Paused", PATIENCE)
    await stage.ns.stop("a")
    await stage.ended("a")


async def deadline(stage: Stage) -> None:
    await stage.ns.create_task("a", agents.template(agents.graceful()), activeDeadlineSeconds=2)
    await stage.ended("a")


async def budget(stage: Stage) -> None:
    await stage.ns.create_task("a", agents.template(agents.graceful()), budget={"maxTurns": 3})
    await stage.running("a")
    reported = {"turns": 3, "lastActivityAt": datetime.now(UTC).isoformat()}
    body = {"apiVersion": API_VERSION, "kind": "TaskUsage", "metadata": {"name": "a"}, "spec": reported}
    await stage.ns.create(USAGES, body)
    await stage.ended("a")


async def deletion(stage: Stage) -> None:
    await stage.ns.create_pod("worker", agents.pod_spec(agents.graceful(), grace=20))
    await stage.ns.adopt("a", "worker", deletionPolicy="Stop")
    await stage.running("a")
    await stage.ns.tasks.until("a", lambda task: bool(task["metadata"].get("finalizers")), PATIENCE, what="protected")
    await stage.ns.delete_task("a")
    await stage.ns.tasks.until_gone("a", PATIENCE)


async def time_to_live(stage: Stage) -> None:
    await stage.ns.create_task("a", agents.template(agents.ending(0.5)), ttlSecondsAfterFinished=1)
    await stage.ns.tasks.until_gone("a", PATIENCE)


SCENARIOS: Final[Mapping[str, Callable[[Stage], Awaitable[None]]]] = {
    play.__name__.replace("_", "-"): play
    for play in (
        pod,
        pod_deleted,
        job,
        pause,
        order,
        shorter_grace,
        pending,
        unschedulable,
        completion,
        deployment,
        stateful_set,
        sandbox,
        claim,
        family,
        hold_lifted,
        job_paused,
        deadline,
        budget,
        deletion,
        time_to_live,
    )
}
"""By name, in the order in which they are played."""

EVIDENCE_MAY_GO: Final = frozenset(
    {"pod-deleted", "job", "deployment", "stateful-set", "sandbox", "claim", "pause", "job-paused"}
)
"""Where pods go with their end. What happened while no operator was there, or its watch brought nothing, may have no
evidence left then: a stop with verdict Gone, which says so, is as good an end there."""
