"""What callers do to tasks: the one service behind all dialects. Each call acts as the caller."""

import asyncio
import re
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from operator import attrgetter, is_not
from typing import Any, Final

from agentstop.api.task import PausePolicy, Phase
from agentstop.cluster.decoding import JsonObject
from agentstop.cluster.large_objects import NamespacedName
from agentstop.cluster.resources import collection, path, task_ref
from agentstop.gateway import waits
from agentstop.gateway.access import MERGE, CallerAccess
from agentstop.gateway.callers import Caller
from agentstop.gateway.entry import Entry
from agentstop.gateway.errors import ConflictError, ForbiddenError, InvalidError, NotFoundError, UnavailableError
from agentstop.gateway.index import TaskIndex
from agentstop.gateway.streams import BEAT_SECONDS

MANAGER: Final = "agentstop-gateway"
"""Field manager of what the gateway changes for its callers."""

MAX_WAIT_SECONDS: Final = 60.0
"""So long an answer may wait at most, whoever asks for it."""

ARRIVAL_SECONDS: Final = 0.2
"""So long is waited for a task that nobody knows: whoever has just made one may stop it at once."""

NAMESPACE: Final = re.compile("[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
"""What a namespace may be called.

Source: https://kubernetes.io/docs/concepts/overview/working-with-objects/names/#dns-label-names
"""

TaskRef = str | NamespacedName
"""What a caller calls a task: its UID, what another platform or a dialect calls it, or namespace and name."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a request to stop, pause, resume or delete."""

    before: Entry
    """The task as it was when the request came."""
    now: Entry
    """The task as it is now."""
    asked: bool
    """Whether this request has changed what is wanted of the task: not where it had ended, or had been asked before."""

    @property
    def proven(self) -> bool:
        """Whether it is proven that nothing of the task runs."""
        return self.now.proven


@dataclass(frozen=True, slots=True)
class Listing:
    """A part of the tasks that a caller may see, newest first."""

    items: list[Entry]
    total: int
    """How many there are in all."""


class Tasks:
    """The tasks, as one caller has them. Every method raises GatewayError."""

    def __init__(
        self, index: TaskIndex, access: CallerAccess, caller: Caller, *, wait: float, dialect: str = ""
    ) -> None:
        """`wait` are the seconds that an answer waits for the proof; `dialect` is whose aliases count."""
        self._index = index
        self._access = access
        self._caller = caller
        self._wait = wait
        self._dialect = dialect

    # Reading

    async def get(self, ref: TaskRef) -> Entry:
        """Return a task, if the caller may read it."""
        return await self._readable(await self._find(ref))

    async def list_visible(
        self,
        keep: Callable[[Entry], bool] = lambda _: True,
        *,
        namespace: str = "",
        offset: int = 0,
        limit: int | None = None,
    ) -> Listing:
        """Return the tasks that the caller may list and that are to be kept, in one namespace or (empty) in all."""
        if namespace and not NAMESPACE.fullmatch(namespace):
            # Callers name it, and it comes into a path of the API server's.
            raise InvalidError("no namespace can be called so", where=("namespace",))
        self._be_current()
        seen = await self._listable(namespace)
        found = [entry for entry in self._index.all() if (seen is None or entry.namespace in seen) and keep(entry)]
        found.sort(key=attrgetter("position"), reverse=True)
        return Listing(found[offset : None if limit is None else offset + limit], len(found))

    async def namespaces(self) -> list[str]:
        """Return the namespaces that have tasks which the caller may list, as far as they are known, sorted."""
        seen = await self._listable("")
        return self._namespaces() if seen is None else sorted(seen)

    def children(self, entry: Entry) -> list[Entry]:
        """Return a task's own children; they are in its namespace, where the caller may read them, too."""
        return self._index.children(entry.key)

    def parent(self, entry: Entry) -> Entry | None:
        """Return the task that started one."""
        return self._index.named(entry.parent) if entry.parent is not None else None

    async def until(self, entry: Entry, wanted: Callable[[Entry], bool], seconds: float) -> Entry:
        """Wait until a task is as wanted; return it as it is then, and as it was last where it is gone."""
        with waits.waiting():
            return await self._index.until(entry.uid, wanted, min(seconds, MAX_WAIT_SECONDS)) or entry

    async def follow(self, entry: Entry, beat: float = BEAT_SECONDS) -> AsyncIterator[Entry | None]:
        """Yield a task as it is, and again each time it has changed; None after so many seconds without a change.

        Ends with the task's end, when it is gone, and when the gateway ends. Whether the caller may read it is asked
        again each time: a right that was taken away ends the stream, with ForbiddenError.
        """
        seen: Entry | None = None
        while True:
            current = await self._index.until(entry.uid, partial(is_not, seen), beat)
            if current is None:
                return
            await self._readable(current)
            yield None if current is seen else current
            seen = current
            if current.ended or self._index.closing.is_set():
                return

    # Changing

    async def stop(
        self,
        ref: TaskRef,
        *,
        reason: str | None = None,
        message: str | None = None,
        grace: int | None = None,
        dry_run: bool = False,
        wait: float | None = None,
    ) -> Outcome:
        """Stop a task, and wait for the proof. `grace` and `wait` are in seconds.

        The stop is the API server's before anybody waits: a client that leaves does not take it with it. Of a task that
        has ended or is stopping nothing is changed, but the caller must be one who may stop it all the same; a shorter
        grace period still counts.
        """
        given = {"reason": reason, "message": message, "gracePeriodSeconds": grace}
        return await self._stop(await self._find(ref), given, {}, dry_run=dry_run, wait=wait)

    async def pause(
        self, ref: TaskRef, *, policy: PausePolicy | None = None, dry_run: bool = False, wait: float | None = None
    ) -> Outcome:
        """Pause a task, and wait until it is proven that nothing of it runs; nothing where it ends or has ended.

        Whether its processes are ended or frozen is said by its pausePolicy, which is set to `policy` where one is
        given. Frozen is proven by the kernels' word.
        """
        change = {"paused": True} if policy is None else {"paused": True, "pausePolicy": policy.value}
        return await self._set_paused(ref, change, lambda e: e.phase is Phase.PAUSED, dry_run=dry_run, wait=wait)

    async def resume(self, ref: TaskRef, *, dry_run: bool = False, wait: float | None = None) -> Outcome:
        """Let a paused task go on, and wait until it runs; nothing where it ends or has ended.

        Raises ConflictError where an order alone keeps it frozen: it goes on when that order is lifted.
        """
        return await self._set_paused(
            ref, {"paused": False}, lambda e: e.phase is Phase.RUNNING, dry_run=dry_run, wait=wait
        )

    async def delete(self, ref: TaskRef, *, wait: float | None = None) -> Outcome:
        """Stop a task and all below it, wait for the proof, and delete them, the last ones first.

        Where the proof is still out when the time is up, the operator deletes them once they have ended: a task that is
        deleted before has nobody who waits for its end. The caller must be one who may delete them, either way.
        """
        entry = await self._find(ref)
        family = [entry, *self._index.descendants(entry.key)]
        for each in family:
            await self._delete(each, dry_run=True)
        running = [each for each in family if not each.ended]
        outcome = Outcome(entry, entry, asked=False)
        for each in running:
            try:
                stopped = await self._stop(each, {}, {"ttlSecondsAfterFinished": 0}, wait=0)
            except NotFoundError:
                continue  # it has ended with its parent, and is removed by now
            outcome = stopped if each is entry else outcome
        deadline = asyncio.get_running_loop().time() + (self._wait if wait is None else min(wait, MAX_WAIT_SECONDS))
        for each in running:
            left = deadline - asyncio.get_running_loop().time()
            with waits.waiting():
                await self._index.until(each.uid, lambda one: one.ended, max(left, 0.0))
        now = [self._index.get(each.uid) for each in family]
        ended = [each for each in now if each is not None and each.ended]
        for each in reversed(ended):
            await self._delete(each)
        return Outcome(outcome.before, now[0] or outcome.now, outcome.asked)

    # How

    async def _stop(
        self,
        entry: Entry,
        given: Mapping[str, Any],
        more: Mapping[str, Any],
        *,
        dry_run: bool = False,
        wait: float | None = None,
    ) -> Outcome:
        stop = {name: value for name, value in given.items() if value is not None}
        spec: dict[str, Any] = {"stopRequested": True, **({"stop": stop} if stop else {}), **more}
        asked = not entry.ended and not entry.stop_requested
        if entry.stop_requested:
            # Who, why and when stay as the first request has them; only less time may follow, never more.
            shorter = {"gracePeriodSeconds": stop["gracePeriodSeconds"]} if self._shortens(entry, stop) else {}
            spec = {"stopRequested": True, **({"stop": shorter} if shorter else {}), **more}
        changes = not entry.ended and (asked or len(spec) > 1)
        answer = await self._patch(entry, spec, dry_run=dry_run or not changes)
        if dry_run:
            return Outcome(entry, entry, asked)
        if asked and answer.ended:
            # It had ended, and the watch had not told of it.
            return Outcome(answer, answer, asked=False)
        return Outcome(entry, await self.until(answer, lambda each: each.ended, self._seconds(wait)), asked)

    @staticmethod
    def _shortens(entry: Entry, stop: Mapping[str, Any]) -> bool:
        wanted = stop.get("gracePeriodSeconds")
        spec = entry.spec.get("stop")
        former = spec.get("gracePeriodSeconds") if isinstance(spec, dict) else None
        return wanted is not None and (not isinstance(former, int) or wanted < former)

    async def _set_paused(
        self,
        ref: TaskRef,
        change: Mapping[str, Any],
        reached: Callable[[Entry], bool],
        *,
        dry_run: bool,
        wait: float | None,
    ) -> Outcome:
        entry = await self._find(ref)
        over = entry.ended or entry.stopping
        now = {"paused": False, "pausePolicy": PausePolicy.TERMINATE, **entry.spec}
        asked = not over and any(now[name] != value for name, value in change.items())
        answer = await self._patch(entry, change, dry_run=dry_run or not asked)
        resumes, order = not change["paused"], entry.kept_frozen_by
        if resumes and not asked and not over and order is not None:
            raise ConflictError(f"the task is frozen by {order.words}: it goes on when that order is lifted")
        if dry_run or over:
            return Outcome(entry, entry, asked)

        def settled(each: Entry) -> bool:
            kept = resumes and each.kept_frozen_by is not None
            return reached(each) or each.ended or each.stopping or kept

        return Outcome(entry, await self.until(answer, settled, self._seconds(wait)), asked)

    async def _patch(self, entry: Entry, spec: Mapping[str, Any], *, dry_run: bool = False) -> Entry:
        """Merge into a task's spec, if it still is the same; return it as the API server answers.

        Where nothing is to change it is a dry run, by which the API server says whether the caller may.
        """
        query = {"fieldManager": MANAGER, **({"dryRun": "All"} if dry_run else {})}
        body = {"metadata": {"uid": entry.uid}, "spec": spec}
        raw = await self._access.call(self._caller, "PATCH", self._path(entry), query, body, MERGE)
        if dry_run:
            return entry
        self._index.learned(raw)
        return Entry(raw)

    async def _delete(self, entry: Entry, *, dry_run: bool = False) -> None:
        """Delete a task, if it still is the same; there is nothing to do where it is gone."""
        options: JsonObject = {"preconditions": {"uid": entry.uid}, "propagationPolicy": "Background"}
        if dry_run:
            options["dryRun"] = ["All"]  # beside a body, the API server does not look at the query
        with suppress(NotFoundError):
            await self._access.call(self._caller, "DELETE", self._path(entry), {}, options)

    def _path(self, entry: Entry) -> str:
        return path(task_ref(entry.namespace, entry.name))

    def _seconds(self, wait: float | None) -> float:
        return self._wait if wait is None else wait

    # What the caller may see

    def _be_current(self) -> None:
        """Raise UnavailableError where what is known may be old: it is never told as if it were new."""
        problem = self._index.problem
        if problem is not None:
            raise UnavailableError(problem)

    async def _find(self, ref: TaskRef) -> Entry:
        """Return the task that is called so.

        Whoever may read one of several with the same name from elsewhere is told of those that he may read: what
        somebody else does in a namespace of his own stands in nobody's way.
        """
        found = await self._index.soon(lambda: self._called(ref), ARRIVAL_SECONDS)
        if not found:
            self._be_current()
            raise NotFoundError("there is no such task")
        if len(found) == 1:
            return found[0]
        readable = [each for each in found if await self._may_read(each)]
        if not readable:
            raise NotFoundError("there is no such task")
        if len(readable) > 1:
            names = ", ".join(f"{each.namespace}/{each.name} ({each.uid})" for each in readable[:10])
            raise ConflictError(f"{len(readable)} tasks have this id; use the UID of one of them: {names}")
        return readable[0]

    def _called(self, ref: TaskRef) -> list[Entry]:
        if isinstance(ref, NamespacedName):
            named = self._index.named(ref)
            return [named] if named is not None else []
        by_uid = self._index.get(ref)
        if by_uid is not None:
            return [by_uid]
        return self._index.with_alias(self._dialect, ref) or self._index.with_external_id(ref)

    async def _may_read(self, entry: Entry) -> bool:
        try:
            await self._readable(entry)
        except (ForbiddenError, NotFoundError):
            return False
        return True

    async def _readable(self, entry: Entry) -> Entry:
        """Return a task as it is, if the caller may read it.

        Where he may not read all of its namespace, or what is known may be old, the API server is asked for the task
        itself: he may have the right to this one alone, and if not, it says so in words of its own.
        """
        if self._index.problem is None and await self._access.may(self._caller, "get", entry.namespace):
            return self._index.get(entry.uid) or entry
        raw = await self._access.call(self._caller, "GET", self._path(entry))
        if raw["metadata"].get("uid") != entry.uid:
            raise NotFoundError("there is no such task")
        return self._index.learned(raw)

    async def _listable(self, namespace: str) -> set[str] | None:
        """Return the namespaces whose tasks the caller may list; None for all."""
        if namespace:
            if await self._access.may(self._caller, "list", namespace):
                return {namespace}
            where = collection(task_ref(namespace, ""))
            await self._access.call(self._caller, "GET", where, {"limit": "1"})  # to be refused in its own words
            return {namespace}
        if await self._access.may(self._caller, "list", ""):
            return None
        return set(await self._access.allowed_in(self._caller, "list", self._namespaces()))

    def _namespaces(self) -> list[str]:
        return sorted({entry.namespace for entry in self._index.all()})
