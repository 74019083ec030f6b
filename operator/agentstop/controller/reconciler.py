"""One task, one pass: look, decide, carry out, decide again on the answer, and only then write down."""

import logging
from collections.abc import Callable, Hashable, Iterable
from datetime import datetime
from typing import Final

from agentstop.api.task import Phase
from agentstop.cluster.cache import Cache
from agentstop.cluster.decoding import JsonObject
from agentstop.cluster.errors import ApiError
from agentstop.cluster.family_index import TaskKey
from agentstop.cluster.gateway import Gateway
from agentstop.cluster.object_watcher import ObjectWatcher
from agentstop.cluster.orders import StopOrderIndex
from agentstop.cluster.queue import Enqueuer
from agentstop.controller.event_handler import priority_of
from agentstop.controller.last_resort import LastResort
from agentstop.controller.reporter import Reporter
from agentstop.controller.retry import BUSY, RetryError
from agentstop.controller.writer import Writer
from agentstop.lifecycle.decide import decide
from agentstop.lifecycle.decision import LIMITS, Decision, Limits
from agentstop.lifecycle.family import MAX_GENERATIONS, family_of, unknown_ancestor
from agentstop.lifecycle.observation import Observation, Task
from agentstop.lifecycle.orders import FREE
from agentstop.workloads.controlled import NO_SCALE, NOT_SERVED
from agentstop.workloads.kind import WorkloadKind
from agentstop.workloads.lightening import TOO_LARGE
from agentstop.workloads.objects import ObjectRef, PodsOf, Rejection, Right
from agentstop.workloads.registry import kind_of, taken
from agentstop.workloads.requests import (
    AccessReview,
    Create,
    Delete,
    FindPods,
    Get,
    GetPod,
    GetTemplate,
    Lighten,
    ListPods,
    Meaning,
    Patch,
    Request,
    Suspend,
)

log = logging.getLogger(__name__)

ROUNDS: Final = 8
"""How often one pass decides anew on the answers to what it sent; what is sent once is not sent again in it, so that
this bound is only reached by a mistake."""


ENDED_BY_ITSELF: Final = frozenset({Phase.COMPLETED, Phase.FAILED})

MAX_CREATES: Final = 4
"""So many objects are created at once."""


class Reconciler:
    """Brings one task at a time nearer to what is asked of it.

    The effect that ends a workload goes out before anything is written down, and the status is then written once, with
    what the API server answered. A crash between the two loses nothing: the effect leaves its mark on the workload.
    """

    def __init__(
        self,
        cache: Cache,
        gateway: Gateway,
        queue: Enqueuer[TaskKey],
        object_watcher: ObjectWatcher,
        reporter: Reporter,
        orders: StopOrderIndex,
        clock: Callable[[], datetime],
        *,
        limits: Limits = LIMITS,
    ) -> None:
        self._limits = limits
        self._cache = cache
        self._gateway = gateway
        self._queue = queue
        self._object_watcher = object_watcher
        self._reporter = reporter
        self._orders = orders
        self._clock = clock
        self._making = 0
        self._writer = Writer(cache, gateway, queue, reporter, orders.selected_by, clock)
        self._last_resort = LastResort(cache, gateway, self._writer, clock)

    async def reconcile(self, key: TaskKey) -> None:
        """Make one pass over a task. Raises RetryError where it has to be made again.

        Whatever else is raised kept it from being decided on; what was asked to stop is ended all the same, then.
        """
        try:
            await self._reconcile(key)
        except RetryError:
            raise
        except Exception as error:
            task = self._cache.task(key)
            await self._last_resort.take(key, self._orders.order_effect(task) if task is not None else FREE, error)
            raise

    async def _reconcile(self, key: TaskKey) -> None:
        task = self._cache.task(key)
        if task is None:
            return
        kind = kind_of(task)
        failed: list[ApiError] = []
        uid = task.uid
        try:
            task, decision = await self._decide_and_send(key, task, kind, failed)
        finally:
            self._cache.return_template(uid)
        self._follow(key, task)
        if failed and failed[0].code == 0:
            self._writer.remember(key, decision)
            raise RetryError(failed[0])
        if decision.effects and not task.gone and self._queue.has_urgent:
            # Other agents wait to be stopped: that goes before the writing down of what was done for this one.
            self._writer.remember(key, decision)
            self._queue.add(key)
            return
        try:
            if task.gone:
                self._finish_gone(key, task, decision)
            elif await self._writer.write(key, task, decision):
                await self._writer.tidy(key, task, decision.afterwards)
        except ApiError as error:
            raise RetryError(error) from error
        if failed:
            raise RetryError(failed[0])
        self._follow(key, self._cache.task(key))
        if decision.wake_at is not None and self._cache.task(key) is not None:
            self._queue.add_after(key, (decision.wake_at - self._clock()).total_seconds())

    def observe_only(self, key: TaskKey) -> None:
        """Keep what is known of a task up to date while another replica acts; nothing is sent."""
        task = self._cache.task(key)
        if task is not None and task.gone:
            kind, now = kind_of(task), self._clock()
            decision = decide(task, self._observe(key, task, kind, now), now)
            if decision.status.phase.terminal or not decision.effects:
                self.forget(key)
                return
        self._follow(key, task)

    def _finish_gone(self, key: TaskKey, task: Task, decision: Decision) -> None:
        """Keep a task whose object is gone until what was to be ended has ended."""
        self._writer.remember(key, decision)
        self._cache.note_gone(key, decision.status)
        if decision.status.phase.terminal or not decision.effects:
            if decision.status.phase.terminal:
                self._reporter.ended(task, decision.status)
            self.forget(key)

    def forget(self, key: TaskKey) -> None:
        """Forget a task that is gone."""
        self._follow(key, None)
        self._cache.drop_task(key)
        self._queue.forget(key)

    def _follow(self, key: TaskKey, task: Task | None) -> None:
        """Watch what the task has to do with, for as long as any task needs that."""
        wanted = kind_of(task).watches(task, self._cache.lister) if task is not None else ()
        begun, ended = self._cache.watch(key, wanted)
        for each in begun:
            self._object_watcher.follow(each)
        for each in ended:
            self._object_watcher.unfollow(each)
            if isinstance(each, PodsOf):
                self._cache.forget(each)

    async def _decide_and_send(
        self, key: TaskKey, task: Task, kind: WorkloadKind, failed: list[ApiError]
    ) -> tuple[Task, Decision]:
        """Decide, and send what the decision asks for, until it asks for nothing that was not sent already.

        Returns the decision with the task that it was made on: the newest there is, since a stop may come meanwhile.
        """
        sent: set[Hashable] = set()
        told = False
        await self._know_ancestors(key, task)
        for _ in range(ROUNDS):
            now = self._clock()
            required_reads = kind.required_reads(task, self._cache.lister, now)
            if await self.send_new(required_reads, sent, failed):
                if failed:
                    raise RetryError(failed[0])
                continue
            task = self._cache.task(key) or task
            family = family_of(task, self._cache.family_lister(key.namespace))
            seen, order_effect = self._observe(key, task, kind, now), self._orders.order_effect(task)
            decision = decide(task, seen, now, family, order_effect, self._limits)
            confirms = decision.status.phase is Phase.STOPPED and not task.status.phase.terminal
            if confirms and family.children is not None and await self._list_children(key, sent):
                continue
            if not await self.send_new(self._requests(task, kind, decision, now), sent, failed):
                break
            if task.status.phase.terminal and not told:
                self._reporter.tell(task, decision)
                told = True
        return task, decision

    async def _know_ancestors(self, key: TaskKey, task: Task) -> None:
        """Read the tasks above this one that are not known yet. Raises RetryError where that is not possible."""
        family_lister = self._cache.family_lister(key.namespace)
        for _ in range(MAX_GENERATIONS + 1):
            name = unknown_ancestor(task, family_lister)
            if name is None:
                return
            try:
                self._meet(await self._gateway.get_task(key.namespace, name))
            except ApiError as error:
                if not error.absent:
                    raise RetryError(error) from error
                self._cache.miss_task(TaskKey(key.namespace, name))

    def _meet(self, raw: JsonObject) -> None:
        """Take in a relative, and have it decided on: its own event may come later, and bring nothing new."""
        taken = self._cache.put_task(raw, self._clock())
        if taken is not None:
            self._queue.add(taken, priority=priority_of(self._cache.task(taken)))

    async def _list_children(self, key: TaskKey, sent: set[Hashable]) -> bool:
        """Read the children live, once in a pass, before it is said that all have ended; return whether it was done.

        The children of those, too, that ended by themselves: only what was stopped has waited for its own.
        """
        before = len(sent)
        names = [key.name]
        family_lister = self._cache.family_lister(key.namespace)
        while new := [name for name in names if (key, name) not in sent]:
            for name in new:
                sent.add((key, name))
                try:
                    async for child in self._gateway.list_children(key.namespace, name):
                        self._meet(child)
                except ApiError as error:
                    raise RetryError(error) from error
                names += [each.name for each in family_lister.children(name) if each.status.phase in ENDED_BY_ITSELF]
        return len(sent) > before

    async def send_new(self, requests: Iterable[Request], sent: set[Hashable], failed: list[ApiError]) -> bool:
        """Send what was not sent before in this pass; return whether there was anything."""
        new = [request for request in requests if _identity(request) not in sent]
        sent.update(map(_identity, new))
        if len(new) == 1:
            try:
                await self._send(new[0])
            except ApiError as error:
                failed.append(error)
        elif new:
            for request, answer in zip(new, await self._gateway.send_all(new), strict=True):
                try:
                    await self._take(request, answer)
                except ApiError as error:
                    failed.append(error)
        for request in new:
            if isinstance(request, Lighten):
                # What it was too large for before may be asked for again.
                sent -= {each for each in sent if _is_of(each, request.ref)}
        return bool(new)

    def _observe(self, key: TaskKey, task: Task, kind: WorkloadKind, now: datetime) -> Observation:
        rival = self._cache.rival_of(key, task)
        if rival is not None:
            return taken(task, rival)
        self._cache.claim(key, task)
        return kind.observe(task, self._cache.lister, now)

    def _requests(self, task: Task, kind: WorkloadKind, decision: Decision, now: datetime) -> list[Request]:
        lister = self._cache.lister
        return [each for effect in decision.effects for each in kind.plan_requests(task, effect, lister, now)]

    async def _send(self, request: Request) -> None:
        """Send a request, and take in what the answer says. Raises ApiError where none came."""
        try:
            making = isinstance(request, Create | GetTemplate)
            answer = await self._make(request) if making else await self._gateway.send(request)
        except ApiError as error:
            await self._take(request, error)
        else:
            await self._take(request, answer)

    async def _take(self, request: Request, answer: JsonObject | ApiError) -> None:
        """Take in what came of a request. Raises ApiError where that says nothing."""
        if isinstance(answer, ApiError):
            await self._failed(request, answer)
        else:
            self._cache.allow(request.ref, request.verb)
            if isinstance(request, Lighten):
                for verb in (Patch.verb, Delete.verb):
                    self._cache.allow(request.ref, verb)
            self._answered(request, answer)

    async def _failed(self, request: Request, error: ApiError) -> None:
        """Take in what an error says about the object. Raises it where it says nothing."""
        ref = request.ref
        if isinstance(request, GetTemplate):
            if not error.absent:
                raise error
            self._cache.mark_gone(TaskKey(request.ref.namespace, request.ref.name))
        elif error.absent and isinstance(request, GetPod):
            self._cache.mark_pod_deleted(request.group, request.uid, self._clock())
        elif error.absent and isinstance(request, Delete):
            self._cache.mark_deleted(request.ref, request.uid, self._clock())
        elif error.absent and isinstance(request, Get | Patch | Lighten):
            self._cache.see_absent(request.ref, self._clock())
        elif error.code == 409 and isinstance(request, Create | Patch | Lighten | Delete):
            # Another object has that name, or another UID or version: what is known of it is out of date.
            await self._send(Get(request.ref))
            decided_anew = isinstance(request, Delete) and request.resource_version is not None
            if not isinstance(request, Create) and not decided_anew and self._cache.is_there(request.ref, request.uid):
                raise error
        elif isinstance(request, Create) and error.reason != BUSY and not error.refused:
            self._cache.mark_stale(request.ref)  # nobody knows whether it was carried out
            raise error
        elif error.refused or error.reason in {NOT_SERVED, NO_SCALE}:
            if error.reason == NOT_SERVED and isinstance(ref, ObjectRef) and self._cache.knows(ref):
                self._cache.see_absent(ref, self._clock())  # its kind was removed, and it with it
            reason = TOO_LARGE if error.too_large else error.reason
            self._cache.refuse(ref, request.verb, Rejection(error.code, reason, error.message, self._clock()))
            if error.refused:
                log.warning("%s of %s was refused: %s", request.verb, ref, error)
        else:
            raise error

    def _answered(self, request: Request, answer: JsonObject) -> None:
        """Take in the object as it is after a request."""
        now = self._clock()
        match request:
            case Suspend(job=job):
                self._cache.note_schedule(job, answer["schedule"])
            case AccessReview(ref):
                self._cache.note_right(ref, Right(_missing(answer), now))
            case ListPods(pods):
                self._cache.list_pods(pods, answer["items"], now)
            case FindPods(pods, uids):
                found = {each.uid: each for each in answer["items"]}
                for uid in uids:
                    if uid in found:
                        self._cache.find_member(pods, found[uid], now)
                    else:
                        self._cache.mark_pod_deleted(pods, uid, now)
            case GetPod(ref, uid, pods):
                if answer["metadata"]["uid"] == uid:
                    self._cache.see_member(pods, answer, now)
                else:
                    self._cache.mark_pod_deleted(pods, uid, now)
            case GetTemplate(ref, uid):
                self._meet(answer)
                if answer["metadata"]["uid"] == uid:
                    self._cache.lend_template(uid, answer["spec"].get("podTemplate") or {})
            case Delete(ref, uid) if "resourceVersion" not in answer.get("metadata", {}):
                # Gone: the answer is a Status, or the last state of an object that somebody else removed just now.
                self._cache.mark_deleted(ref, uid, now)
            case Get(ref, link):
                self._cache.see(ref, answer, now, link=link)
            case Patch(ref):
                signal = None if request.meaning is Meaning.UNTRACK else request.meaning is not Meaning.RESUME
                self._cache.see(ref, answer, now, signal=signal)
            case Lighten(ref):
                self._cache.see(ref, answer, now, signal=True if request.spec else None)
            case Create(ref) | Delete(ref) if answer.get("kind") == ref.kind:
                signal = True if isinstance(request, Delete) and request.ends_processes else None
                self._cache.see(ref, answer, now, signal=signal)

    async def _make(self, request: Request) -> JsonObject:
        """Create an object, unless too many others are being created: what hangs there must leave workers for stops.

        The same goes for what has to be read before.
        """
        if self._making >= MAX_CREATES:
            raise ApiError(0, BUSY, f"{request.ref} is made later, as others are being made")
        self._making += 1
        try:
            return await self._gateway.send(request)
        finally:
            self._making -= 1


def _identity(request: Request) -> Hashable:
    """Return what makes a request the same as another one: the verb, the object as it is known, the grace period."""
    named = (getattr(request, name, None) for name in ("uid", "resource_version", "grace_seconds"))
    return request.verb, request.ref, *named


def _is_of(identity: Hashable, ref: ObjectRef) -> bool:
    """Whether an identity is that of a change or deletion of an object."""
    return isinstance(identity, tuple) and identity[:2] in {(Patch.verb, ref), (Delete.verb, ref)}


def _missing(review: JsonObject) -> str | None:
    """Return what a SelfSubjectAccessReview says is not granted, if so."""
    if review.get("status", {}).get("allowed", True):
        return None
    asked = review["spec"]["resourceAttributes"]
    resource = "/".join(part for part in (asked["resource"], asked.get("subresource")) if part)
    group = f" of API group {asked['group']}" if asked.get("group") else ""
    return f"the operator may not {asked['verb']} {resource}{group} in namespace {asked['namespace']}; grant it that"
