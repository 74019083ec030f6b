"""One task, one pass: look, decide, carry out, decide again on the answer, and only then write down."""

import logging
from collections.abc import Callable, Hashable, Iterable
from datetime import datetime
from typing import Any, Final

from agentstop.api.meta import API_VERSION, STOP_FINALIZER
from agentstop.api.task import KIND
from agentstop.cluster.cache import Cache, TaskKey
from agentstop.cluster.errors import ApiError
from agentstop.cluster.followers import Followers
from agentstop.cluster.gateway import Gateway, JsonObject
from agentstop.cluster.queue import KeyedQueue
from agentstop.controller.recorder import Recorder
from agentstop.lifecycle.decide import Decision, decide
from agentstop.lifecycle.effects import Protect, Release, Remove, TaskEffect
from agentstop.lifecycle.seen import Seen, Task
from agentstop.workloads.kind import WorkloadKind
from agentstop.workloads.objects import Refusal
from agentstop.workloads.registry import kind_of, unsupported
from agentstop.workloads.requests import Create, Delete, Look, Patch, Request

log = logging.getLogger(__name__)

ROUNDS: Final = 8
"""How often one pass decides anew on the answers to what it sent; what is sent once is not sent again in it, so that
this bound is only reached by a mistake."""


BUSY: Final = "Busy"
MOST_CREATES: Final = 4
"""So many objects are created at once."""


class RetryError(Exception):
    """The pass could not be finished, and is to be made again after a pause."""

    def __init__(self, cause: ApiError) -> None:
        super().__init__(str(cause))
        self.expected = cause.reason == BUSY
        """Whether nothing is wrong: it was only not its turn yet."""


class Reconciler:
    """Brings one task at a time nearer to what is asked of it.

    The effect that ends a workload goes out before anything is written down, and the status is then written once, with
    what the API server answered. A crash between the two loses nothing: the effect leaves its mark on the workload.
    """

    def __init__(
        self,
        cache: Cache,
        gateway: Gateway,
        queue: KeyedQueue[TaskKey],
        followers: Followers,
        recorder: Recorder,
        clock: Callable[[], datetime],
    ) -> None:
        self._cache = cache
        self._gateway = gateway
        self._queue = queue
        self._followers = followers
        self._recorder = recorder
        self._clock = clock
        self._making = 0

    async def reconcile(self, key: TaskKey) -> None:
        """Make one pass over a task. Raises RetryError where it has to be made again."""
        task = self._cache.task(key)
        if task is None:
            return
        kind = kind_of(task)
        failed: list[ApiError] = []
        task, decision = await self._carry_out(key, task, kind, failed)
        self._follow(task, kind)
        if failed and failed[0].code == 0:
            self._remember(key, decision)
            raise RetryError(failed[0])
        if decision.effects and not task.gone and self._queue.has_urgent:
            # Other agents wait to be stopped: that goes before the writing down of what was done for this one.
            self._remember(key, decision)
            self._queue.add(key)
            return
        try:
            if task.gone:
                self._finish_gone(key, decision)
            elif await self._write(key, task, decision):
                await self._tidy(key, task, decision.afterwards)
        except ApiError as error:
            raise RetryError(error) from error
        if failed:
            raise RetryError(failed[0])
        self._follow(self._cache.task(key) or task, kind)
        if decision.wake_at is not None and self._cache.task(key) is not None:
            self._queue.add_after(key, (decision.wake_at - self._clock()).total_seconds())

    def _finish_gone(self, key: TaskKey, decision: Decision) -> None:
        """Keep a task whose object is gone until what was to be ended has ended."""
        self._remember(key, decision)
        if decision.status.phase.terminal or not decision.effects:
            self.forget(key)

    def forget(self, key: TaskKey) -> None:
        """Forget a task that is gone."""
        task = self._cache.task(key)
        if task is None:
            return
        self._cache.drop_task(key)
        self._queue.forget(key)
        self._follow(task, kind_of(task))

    def _follow(self, task: Task, kind: WorkloadKind | None) -> None:
        """Watch the task's workload by its name for as long as any task needs that."""
        if kind is None:
            return
        target = kind.target(task)
        tasks = [self._cache.task(key) for key in self._cache.keys_of(target)]
        if any(each is not None and kind.follows(each, self._cache.around) for each in tasks):
            self._followers.follow(target)
        else:
            self._followers.unfollow(target)

    async def _carry_out(
        self, key: TaskKey, task: Task, kind: WorkloadKind | None, failed: list[ApiError]
    ) -> tuple[Task, Decision]:
        """Decide, and send what the decision asks for, until it asks for nothing that was not sent already.

        Returns the decision with the task that it was made on: the newest there is, since a stop may come meanwhile.
        """
        sent: set[Hashable] = set()
        for _ in range(ROUNDS):
            now = self._clock()
            looks = kind.looks(task, self._cache.around, now) if kind is not None else ()
            if await self._send_new(looks, sent, failed):
                if failed:
                    raise RetryError(failed[0])
                continue
            task = self._cache.task(key) or task
            decision = decide(task, self._observe(task, kind, now), now)
            if not await self._send_new(self._requests(task, kind, decision, now), sent, failed):
                break
            if task.status.phase.terminal:
                self._recorder.tell(task, decision)
        return task, decision

    async def _send_new(self, requests: Iterable[Request], sent: set[Hashable], failed: list[ApiError]) -> bool:
        """Send what was not sent before in this pass; return whether there was anything."""
        new = [request for request in requests if _identity(request) not in sent]
        for request in new:
            sent.add(_identity(request))
            try:
                await self._send(request)
            except ApiError as error:
                failed.append(error)
        return bool(new)

    def _observe(self, task: Task, kind: WorkloadKind | None, now: datetime) -> Seen:
        return unsupported(task) if kind is None else kind.observe(task, self._cache.around, now)

    def _requests(self, task: Task, kind: WorkloadKind | None, decision: Decision, now: datetime) -> list[Request]:
        if kind is None:
            return []
        around = self._cache.around
        return [each for effect in decision.effects for each in kind.carry_out(task, effect, around, now)]

    async def _send(self, request: Request) -> None:
        """Send a request, and take in what the answer says about the object. Raises ApiError where none came."""
        ref = request.ref
        try:
            answer = await self._make(request) if isinstance(request, Create) else await self._gateway.send(request)
        except ApiError as error:
            if error.absent and not isinstance(request, Create):
                self._cache.see_absent(ref, self._clock())
            elif error.code == 409 and not isinstance(request, Look):
                # Another object has that name, or another UID: what is known of it is out of date.
                await self._send(Look(ref))
                if not isinstance(request, Create) and self._cache.is_there(ref, request.uid):
                    raise
            elif error.refused:
                self._cache.refuse(ref, request.verb, Refusal(error.code, error.reason, error.message, self._clock()))
                log.warning("%s of %s was refused: %s", request.verb, ref, error)
            else:
                raise
            return
        self._cache.allow(ref, request.verb)
        if isinstance(request, Delete) and "resourceVersion" not in answer.get("metadata", {}):
            # Gone: the answer is a Status, or the last state of an object that somebody else removed just now.
            self._cache.see_absent(ref, self._clock())
        elif answer.get("kind") == ref.kind:
            signal = isinstance(request, Patch | Delete) and request.ends_processes
            self._cache.see(ref, answer, self._clock(), signal=signal)

    def _remember(self, key: TaskKey, decision: Decision) -> None:
        """Keep the record of an accepted stop until it can be written."""
        if decision.status.stop is not None and not decision.status.phase.terminal:
            self._cache.accept(key, decision.status.stop)

    async def _make(self, request: Create) -> JsonObject:
        """Create an object, unless too many others are being created: what hangs there must leave workers for stops."""
        if self._making >= MOST_CREATES:
            raise ApiError(0, BUSY, f"{request.ref} is made later, as others are being made")
        self._making += 1
        try:
            return await self._gateway.send(request)
        finally:
            self._making -= 1

    async def _write(self, key: TaskKey, task: Task, decision: Decision) -> bool:
        """Write the status if it changed; return whether the decision stands."""
        if decision.status == task.status:
            return True
        body = {**_identified(task), "status": decision.status.wire()}
        try:
            answer = await self._gateway.write_status(body)
        except ApiError as error:
            if not error.absent and error.code != 409:
                raise
            self._remember(key, decision)
            await self._read_again(key, task)
            return False
        self._cache.put_task(answer, self._clock())
        self._recorder.wrote(task, decision)
        return True

    async def _read_again(self, key: TaskKey, task: Task) -> None:
        """The task has changed since the decision: take the new state in, and decide on that."""
        try:
            self._cache.put_task(await self._gateway.get_task(task.namespace, task.name), self._clock())
        except ApiError as error:
            if not error.absent:
                raise
            self._cache.mark_gone(key)
        self._queue.retry(key)

    async def _tidy(self, key: TaskKey, task: Task, effects: tuple[TaskEffect, ...]) -> None:
        """Carry out what concerns the task object itself."""
        for effect in effects:
            current = self._cache.task(key)
            if current is None or current.uid != task.uid:
                return
            try:
                await self._change(current, effect)
            except ApiError as error:
                if not error.absent and error.code != 409:
                    raise
                await self._read_again(key, current)

    async def _change(self, task: Task, effect: TaskEffect) -> None:
        match effect:
            case Remove():
                await self._gateway.delete_task(task.namespace, task.name, task.uid, task.resource_version)
            case Protect() | Release():
                raw = await self._gateway.get_task(task.namespace, task.name)
                kept = [each for each in raw["metadata"].get("finalizers") or () if each != STOP_FINALIZER]
                wanted = [*kept, STOP_FINALIZER] if isinstance(effect, Protect) else kept
                metadata = {
                    "uid": task.uid,
                    "resourceVersion": raw["metadata"]["resourceVersion"],
                    "finalizers": wanted,
                }
                answer = await self._gateway.patch_task(task.namespace, task.name, {"metadata": metadata})
                self._cache.put_task(answer, self._clock())


def _identity(request: Request) -> Hashable:
    """Return what makes a request the same as another one: the verb, the object, and the grace period."""
    return request.verb, request.ref, getattr(request, "uid", None), getattr(request, "grace_seconds", None)


def _identified(task: Task) -> dict[str, Any]:
    return {
        "apiVersion": API_VERSION,
        "kind": KIND,
        "metadata": {
            "name": task.name,
            "namespace": task.namespace,
            "uid": task.uid,
            "resourceVersion": task.resource_version,
        },
    }
