"""A drill: what an order would do, found out without changing anything."""

import asyncio
import logging
from collections import Counter
from collections.abc import Callable
from datetime import datetime
from typing import Final, NamedTuple

from agentstop.api.order import (
    MAX_GROUPS,
    MAX_LISTED,
    DrillGroup,
    DrillReport,
    ListedTask,
    OrderPhase,
    OrderStatus,
)
from agentstop.api.task import Phase, StopRequest
from agentstop.cluster import access_reviews
from agentstop.cluster.cache import Cache
from agentstop.cluster.errors import ApiError
from agentstop.cluster.family_index import TaskKey
from agentstop.cluster.gateway import Gateway
from agentstop.cluster.orders import StopOrderIndex
from agentstop.controller.last_resort import REASON as DECISION_FAILED
from agentstop.lifecycle.decision import MAX_GRACE_SECONDS
from agentstop.lifecycle.effects import Terminate
from agentstop.lifecycle.observation import Observation, Presence, Reason, Task
from agentstop.lifecycle.orders import MAX_MESSAGE, Order, matches, problem_of
from agentstop.workloads.objects import ObjectRef
from agentstop.workloads.pods.node import read_node
from agentstop.workloads.registry import kind_of, taken
from agentstop.workloads.requests import AccessReview, Delete, Get, Patch
from agentstop.workloads.unreadable import told

log = logging.getLogger(__name__)

BATCH: Final = 25
"""So many tasks are looked at at once: stops that come meanwhile wait for so many in each turn of the event loop."""

ACTIVE: Final = frozenset({Phase.RUNNING, Phase.STOPPING, Phase.PAUSING})

NO_MATTER: Final = frozenset({"CreateForbidden", "PodNameTaken", "MainContainerNotFound"})
"""What holds a task up, but no stop of it."""


class _Need(NamedTuple):
    """What has to be done to end workloads of one kind in one namespace."""

    verb: str
    api_version: str
    kind: str
    namespace: str
    scale: bool
    """Whether it is their scale subresource that is changed."""


class _Found(NamedTuple):
    """What a drill has found out about one task."""

    task: Task
    grace_seconds: int
    """Its grace period under the order, in seconds; 0 where nothing runs."""
    problem: Reason | None
    nodes: frozenset[str]
    """Where its pods run."""
    needs: tuple[Patch | Delete, ...]
    """The requests that would end its workload."""


class Drill:
    """Works out the report of a drill from what is known, and from a live look at nodes and rights."""

    def __init__(
        self,
        cache: Cache,
        gateway: Gateway,
        book: StopOrderIndex,
        clock: Callable[[], datetime],
        max_grace_seconds: int = MAX_GRACE_SECONDS,
    ) -> None:
        self._cache = cache
        self._max_grace_seconds = max_grace_seconds
        self._gateway = gateway
        self._book = book
        self._clock = clock

    async def status(self, order: Order) -> OrderStatus:
        """Return the status of a drill that is over. Raises ApiError where nodes or rights cannot be read."""
        started_at = self._clock()
        found: list[_Found] = []
        ended = 0
        for number, (key, task) in enumerate(self._cache.tasks.items()):
            if matches(order, task, self._book.namespaces):
                if task.status.phase.terminal:
                    ended += 1
                else:
                    found.append(self._found(order, key, task))
            if number % BATCH == BATCH - 1:
                await asyncio.sleep(0)
        problems = await self._problems(found)
        groups = Counter((each.task.namespace, each.task.spec.agent) for each in found)
        ranked = sorted(groups.items(), key=lambda group: (-group[1], group[0][0], group[0][1] or ""))
        report = DrillReport(
            running=sum(each.task.status.phase in ACTIVE for each in found),
            waiting=sum(each.task.status.phase not in ACTIVE for each in found),
            longest_grace_seconds=max((each.grace_seconds for each in found), default=0),
            groups=tuple(
                DrillGroup(namespace=namespace, agent=agent, tasks=count)
                for (namespace, agent), count in ranked[:MAX_GROUPS]
            ),
            group_count=len(groups),
            problems=tuple(problems[:MAX_LISTED]),
            problem_count=len(problems),
        )
        return OrderStatus(
            observed_generation=order.generation,
            phase=OrderPhase.DRILLED,
            requested_by=order.requested_by,
            matched=len(found),
            already_finished=ended,
            drill=report,
            started_at=started_at,
            finished_at=self._clock(),
        )

    def _found(self, order: Order, key: TaskKey, task: Task) -> _Found:
        try:
            return self._look_at(order, key, task)
        except Exception as error:  # noqa: BLE001  (one task of which nothing can be made must not end the drill)
            log.error("%s could not be looked at: %s", key, told(error))
            return _Found(task, 0, Reason(DECISION_FAILED, told(error)), frozenset(), ())

    def _look_at(self, order: Order, key: TaskKey, task: Task) -> _Found:
        now, lister, kind = self._clock(), self._cache.lister, kind_of(task)
        rival = self._cache.claims.rival_of(key, task)
        seen = taken(task, rival) if rival is not None else kind.observe(task, lister, now)
        request = task.spec.stop or StopRequest()
        asked = order.spec.grace_period_seconds or request.grace_period_seconds
        policy = (order.spec.pod_policy or request.pod_policy).before_proof
        requests = kind.plan_requests(task, Terminate(asked, policy, None), lister, now)
        runs = seen.presence is Presence.PRESENT and seen.proof is None
        workload = (seen.workload or task.status.workload) if runs else None
        pods = workload.pods if workload is not None else ()
        return _Found(
            task=task,
            grace_seconds=(asked or min(seen.own_grace_seconds, self._max_grace_seconds)) if runs else 0,
            problem=_problem(task, seen),
            nodes=frozenset(pod.node for pod in pods if pod.node is not None),
            needs=tuple(each for each in requests if isinstance(each, Patch | Delete)),
        )

    async def _problems(self, found: list[_Found]) -> list[ListedTask]:
        dead = await self._dead_nodes({node for each in found for node in each.nodes})
        missing: dict[_Need, str | None] = {}
        problems: list[ListedTask] = []
        for each in found:
            word = each.problem or next((dead[node] for node in sorted(each.nodes) if node in dead), None)
            for need in dict.fromkeys(_need(request) for request in each.needs) if word is None else ():
                if need not in missing:
                    missing[need] = await self._missing(need)
                text = missing[need]
                word = word or (Reason("StopForbidden", text) if text is not None else None)
            if word is not None:
                task = each.task
                message = word.message[:MAX_MESSAGE]
                problems.append(
                    ListedTask(namespace=task.namespace, name=task.name, reason=word.reason, message=message)
                )
        return sorted(problems, key=lambda problem: (problem.namespace, problem.name))

    async def _dead_nodes(self, names: set[str]) -> dict[str, Reason]:
        dead: dict[str, Reason] = {}
        for name in sorted(names):
            try:
                node = read_node(await self._gateway.send(Get(ObjectRef("Node", "", name))))
            except ApiError as error:
                if error.absent:
                    dead[name] = _unreachable(f"node {name} is gone")
                elif not error.refused:
                    raise
            else:
                if not node.ready and not node.out_of_service:
                    dead[name] = _unreachable(f"node {name} does not answer")
        return dead

    async def _missing(self, need: _Need) -> str | None:
        """Return what the operator may not do, though the stop of such a workload takes it; None where it may.

        A pod that cannot be changed in place is deleted, so that one of the two rights is enough there.
        """
        ways = [need]
        if need.kind == "Pod" and need.verb == Patch.verb:
            ways.append(need._replace(verb=Delete.verb))
        for way in ways:
            if await self._may(way):
                return None
        verbs = " or ".join(way.verb for way in ways)
        return access_reviews.not_granted(verbs, f"{need.kind} objects of {need.api_version}", need.namespace)

    async def _may(self, need: _Need) -> bool:
        ref = ObjectRef(need.kind, need.namespace, "", need.api_version)
        try:
            if need.verb == Patch.verb:
                answer = await self._gateway.send(AccessReview(ref, need.scale))
            else:
                # Pods: nothing else is ever deleted to stop it.
                review = access_reviews.self_review(Delete.verb, "pods", namespace=need.namespace)
                answer = await self._gateway.call("POST", access_reviews.PATH, {}, review)
        except ApiError as error:
            if not error.refused and not error.absent:
                raise
            return True  # nobody can tell
        return access_reviews.allowed(answer) is not False


def _need(request: Patch | Delete) -> _Need:
    ref = request.ref
    return _Need(request.verb, ref.api_version, ref.kind, ref.namespace, isinstance(request, Patch) and request.scale)


def _unreachable(what: str) -> Reason:
    return Reason("NodeUnreachable", f"{what}, so nobody could prove that its processes have ended")


def _problem(task: Task, seen: Observation) -> Reason | None:
    """Return what would hold up a stop, as far as the task and its workload show it."""
    if task.status.phase is Phase.STOPPING:
        listed = problem_of(task)
        return Reason(listed.reason, listed.message or "") if listed is not None else None
    if seen.refused is not None:
        return seen.refused
    return seen.blocked if seen.blocked is not None and seen.blocked.reason not in NO_MATTER else None
