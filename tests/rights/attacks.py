"""What an agent can leave in its namespace, one attack of each kind, for others to live with.

An agent does it itself where the chart's policies let it. What they refuse is written by an administrator, who is
exempt: it may be from before, or on a cluster without these policies.
"""

import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field

from tests.support import agents, manifests, padding
from tests.support.kube import DEPLOYMENTS, JSON_PATCH, MERGE, PODS, TASKS, Kind, Kube, KubeError, Object
from tests.support.namespaces import Namespace, pod_ref
from tests.support.workloads import Workloads

from .conftest import Users
from .test_admission import EDIT, ORDERS, POD_RIGHTS, TASK_RIGHTS, order, refused, task

DEPTHS = (1_500, 4_500)
"""More than Python reads up to 3.11, and what a busy API server takes in its 34 seconds: its effort grows with the
square of it."""

DEEP_SECONDS = 120.0
TRIES = 3
"""An API server that is busy takes a minute for one of them, and then gives up."""

ON_PODS = ("", "pods", EDIT)
YEAR = 31_536_000
LONGEST = 2**63 - 1
FULL = 8
LARGE = 5_700
"""So many finalizers make 1.15 MB."""


@dataclass(frozen=True)
class Field:
    """Where an attack is made, and with what."""

    ns: Namespace
    users: Users
    workloads: Workloads

    async def agent(self) -> Kube:
        """Return a client of an agent that may edit tasks and pods of its namespace."""
        return await self.users.grant("agent", TASK_RIGHTS, ON_PODS)

    async def started(self, *names: str, script: str = agents.graceful(), grace: int = 5) -> None:
        """Start tasks of the agent's."""
        for name in names:
            await self.ns.create_task(name, agents.template(script, grace=grace))
        for name in names:
            await self.ns.running(name)

    async def adopted(self, name: str, *, grace: int = 5) -> None:
        """Start a pod, and have a task of the same name adopt it."""
        await self.ns.create_pod(name, agents.pod_spec(agents.graceful(), grace=grace))
        await self.ns.adopt(name, name)
        await self.ns.running(name)


@dataclass(frozen=True)
class Left:
    """The attacker's tasks that are to be stopped: before the operator is started anew, and after it."""

    before: Sequence[str] = ()
    after: Sequence[str] = field(default=())


Attack = Callable[[Field], Awaitable[Left]]


# Depth


def managed(levels: int, kind: Kind) -> str:
    """Return the text of managed fields that are nested so deep."""
    version = kind.prefix.removeprefix("/apis/").removeprefix("/api/")
    entry = {"manager": "m", "operation": "Update", "apiVersion": version, "fieldsType": "FieldsV1", "fieldsV1": "here"}
    return json.dumps([entry]).replace('"here"', '{"f:a":' * levels + "{}" + "}" * levels)


async def nest(kube: Kube, kind: Kind, namespace: str, name: str, levels: int) -> None:
    """Have an object hold what is nested so deep, and see that it does."""
    body = f'{{"metadata":{{"managedFields":{managed(levels, kind)}}}}}'
    for _ in range(TRIES):
        code, answer = await kube.raw(
            "PATCH", kind.path(namespace, name), body.encode(), content_type=MERGE, seconds=DEEP_SECONDS
        )
        if code != 504:
            break
    assert code == 200, f"{kind.plural} {name} cannot be nested so deep: {answer[:500]!r}"
    await _is_deep(kube, kind, namespace, name)


async def _is_deep(kube: Kube, kind: Kind, namespace: str, name: str) -> None:
    text = await kube.text(kind.path(namespace, name))
    assert '{"f:a":' * 1_400 in text, f"{kind.plural} {name} is not nested deep"


async def deep_templates(at: Field) -> Left:
    """Tasks whose template is nested: the API server drops the field, or refuses the task."""
    agent = await at.agent()
    await at.started("a", "b")
    for levels in DEPTHS:
        text = json.dumps(task(f"deep-{levels}")).replace(
            '"containers": ', '"deep": ' + '{"a":' * levels + "1" + "}" * levels + ', "containers": ', 1
        )
        try:
            await agent.call("POST", TASKS.path(at.ns.name), text, seconds=DEEP_SECONDS)
        except KubeError as error:
            assert error.code in {400, 422, 500}, error  # noqa: PT017
    return Left(["a"], ["b"])


async def deep_pods(at: Field) -> Left:
    """A pod of a task, one for each depth."""
    await at.started("a", "b")
    for name, levels in zip(("a", "b"), DEPTHS, strict=True):
        await nest(at.ns.kube, PODS, at.ns.name, name, levels)
    return Left(["a"], ["b"])


async def deep_tasks(at: Field) -> Left:
    """A task, one for each depth."""
    await at.started("a", "b")
    for name, levels in zip(("a", "b"), DEPTHS, strict=True):
        await nest(at.ns.kube, TASKS, at.ns.name, name, levels)
    return Left(["a"], ["b"])


async def deep_workloads(at: Field) -> Left:
    """Adopted Deployments, and a pod of each; their controllers write to them, which takes its time with each level."""
    for name, levels in zip(("a", "b"), (DEPTHS[0], DEPTHS[1] // 2), strict=True):
        made = await at.workloads.create(manifests.deployment(name, agents.graceful()))
        await at.workloads.adopt(name, made)
        (pod,) = await at.workloads.running(made)
        await nest(at.ns.kube, DEPLOYMENTS, at.ns.name, name, levels)
        await nest(at.ns.kube, PODS, at.ns.name, pod["metadata"]["name"], levels)
    return Left(["a"], ["b"])


async def deep_orders(at: Field) -> Left:
    """Orders that stop nothing."""
    await at.started("a", "b")
    for levels in DEPTHS:
        name = f"deep-{levels}"
        marked = json.dumps({**order(), "metadata": {"name": name, "managedFields": "here"}})
        body = marked.replace('"here"', managed(levels, ORDERS))
        await at.ns.kube.call("POST", ORDERS.path(at.ns.name), body, seconds=DEEP_SECONDS)
        await _is_deep(at.ns.kube, ORDERS, at.ns.name, name)
    return Left(["a"], ["b"])


# Numbers, sizes


async def endless_numbers(at: Field) -> Left:
    """Adopted pods with more time than there is."""
    await at.adopted("a", grace=LONGEST)
    await at.adopted("b", grace=2**31)
    return Left(["a"], ["b"])


async def a_year_of_its_own(at: Field) -> Left:
    """A Job whose template gives each pod a year."""
    for name in ("a", "b"):
        made = await at.workloads.create(manifests.job(name, agents.graceful(), grace=YEAR))
        await at.workloads.adopt(name, made)
        await at.workloads.running(made)
        await at.ns.phase(name, "Running")
    return Left(["a"], ["b"])


async def padded_pods(at: Field) -> Left:
    """A pod of a task and an adopted one that hold not a byte more."""
    await at.started("a")
    await at.adopted("b")
    for name in ("a", "b"):
        await padding.fill(at.ns.kube, PODS, at.ns.name, name)
    return Left(["a"], ["b"])


async def padded_tasks(at: Field) -> Left:
    """Tasks that hold not a byte more."""
    await at.started("a", "b")
    for name in ("a", "b"):
        await padding.fill(at.ns.kube, TASKS, at.ns.name, name)
    return Left(["a"], ["b"])


async def a_crowd(at: Field) -> Left:
    """Paused tasks as large as can be stored."""
    domain = f"{'a' * 60}.{'b' * 60}.example.com"
    await at.started("a", "b")
    for number in range(FULL):
        body = task(f"t{number}", paused=True)
        body["metadata"]["finalizers"] = [f"{domain}/{'f' * 50}-{each:05}" for each in range(LARGE)]
        await at.ns.kube.create(TASKS, at.ns.name, body)
    return Left(["a", "t0"], ["b", f"t{FULL - 1}"])


# Ways out


async def orphans(at: Field) -> Left:
    """A task that is deleted without its pod: by the agent, who takes the owner off, and by an administrator."""
    await at.started("a", "b", "c", "d", script=agents.DEAF, grace=2)
    agent = await at.agent()
    orphan = {"propagationPolicy": "Orphan"}
    await refused(agent.call("DELETE", TASKS.path(at.ns.name, "c"), orphan))
    await agent.merge(PODS, at.ns.name, "c", {"metadata": {"ownerReferences": None}})
    await agent.delete(TASKS, at.ns.name, "c")
    await at.ns.kube.delete(TASKS, at.ns.name, "d", propagation="Orphan")
    return Left(["a"], ["b"])


async def let_go(at: Field) -> Left:
    """A pod whose labels and owner are off, which only those who are exempt can do."""
    unlabelled = {"metadata": {"labels": None, "ownerReferences": None, "finalizers": ["example.com/hold"]}}
    await at.started("a", "b")
    agent = await at.agent()
    for name in ("a", "b"):
        await refused(agent.merge(PODS, at.ns.name, name, unlabelled))
        await at.ns.patch_pod(name, unlabelled)
    return Left(["a"], ["b"])


# Words


async def words(at: Field) -> Left:
    """What the record is to say, and what a terminal or a shell would obey."""
    agent = await at.agent()
    await at.started("a", "b")
    said = {"reason": "Mine", "message": "\x1b[2J\x07$(reboot)\r\nall is well", "podPolicy": "Delete"}
    for name in ("a", "b"):
        await agent.merge(TASKS, at.ns.name, name, {"spec": {"stop": said}})
    for evil in ("$(reboot)", "a\nb", "`x`", "\x1b]0;x\x07"):
        await refused(agent.create(TASKS, at.ns.name, task("c", agent=evil)))
    return Left(["a"], ["b"])


async def orders_and_bindings(at: Field) -> Left:
    """With the stop role: orders over nothing, holds over everything; a pod bound to a node that is none."""
    jane = await at.users.bind("jane", "agentstop-stop")
    maker = await at.users.grant("maker", TASK_RIGHTS, POD_RIGHTS, ("", "pods/binding", ("create",)))
    await at.started("a", "b")
    for number in range(20):
        body = {**order(name=f"o{number}"), "spec": {"selector": {"matchLabels": {"team": f"t{number}"}}, "hold": True}}
        await jane.create(ORDERS, at.ns.name, body)
    await maker.create(TASKS, at.ns.name, task("c", workloadRef=pod_ref("nobody")))
    finalizer = [{"op": "add", "path": "/metadata/finalizers", "value": ["example.com/hold"]}]
    await maker.call("PATCH", TASKS.path(at.ns.name, "b"), finalizer, content_type=JSON_PATCH)
    target: Object = {"apiVersion": "v1", "kind": "Node", "name": "nowhere"}
    binding = {"apiVersion": "v1", "kind": "Binding", "metadata": {"name": "a"}, "target": target}
    await refused(maker.call("POST", PODS.path(at.ns.name, "a", "binding"), binding))
    return Left(["a"], ["b"])


ATTACKS: Mapping[str, Attack] = {
    "deep templates": deep_templates,
    "deep pods": deep_pods,
    "deep tasks": deep_tasks,
    "deep workloads": deep_workloads,
    "deep orders": deep_orders,
    "endless numbers": endless_numbers,
    "padded pods": padded_pods,
    "padded tasks": padded_tasks,
    "orphans": orphans,
    "let go": let_go,
    "a crowd": a_crowd,
    "a year of its own": a_year_of_its_own,
    "words": words,
    "orders and bindings": orders_and_bindings,
}
