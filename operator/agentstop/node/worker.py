"""What is done for one PodControl, for as long as it is there: check, act, and write down what the kernel says."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from concurrent.futures import Executor
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any, Final, TypeVar

from agentstop.client.client import Api
from agentstop.client.errors import ApiError, ConfigError, UnreachableError
from agentstop.node.debounce import Debounce
from agentstop.node.keeper import Keeper
from agentstop.node.layouts import is_pod_uid
from agentstop.node.looks import AT_REST, RUNNING, UNDER_WAY, Look
from agentstop.node.metrics import REFUSALS, Metrics
from agentstop.node.records import Control, is_on_record
from agentstop.node.status import SEEN, Refusal, is_done, status_of

log = logging.getLogger(__name__)

T = TypeVar("T")

NOT_FOUND: Final = 404

CONTROLS: Final = "podcontrols"
TASKS: Final = "agenttasks"
MANAGER: Final = "agentstop-node"
"""Field manager of the status."""

SOON_SECONDS: Final = 0.01
"""Between two looks at a pod whose kernel was just told something; each further pause is half as long again."""

LATER_SECONDS: Final = 0.1
"""The longest of these pauses: what the kernel has done is not to be heard of much later."""

TELL_AFTER: Final = timedelta(seconds=1)
"""So long after it was told, it is written down that the kernel takes its time; most have done it by then, and whoever
writes does not look meanwhile."""

HOLD_SECONDS: Final = 0.5
"""Between two looks at a pod that is held as it was asked for, or that has no cgroup: what changes is set right within
a second."""

RETRY_SECONDS: Final = 1.0
MOST_RETRY_SECONDS: Final = 30.0
"""After what was refused, or did not get through; each further pause is twice as long. Whoever makes thousands of
objects for pods that are no task's has them looked at seldom."""


async def pause(seconds: float | None, news: asyncio.Event | None = None) -> None:
    """Wait, but not on once there is news; without an end where `seconds` is None."""
    if news is None:
        await asyncio.sleep(seconds or 0.0)
        return
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await news.wait()


def path_of(plural: str, namespace: str, name: str = "") -> str:
    """Return the path of an object of ours, or of all of its kind in a namespace (empty: in all)."""
    where = ("namespaces", namespace) if namespace else ()
    return "/".join(part for part in ("/apis/agentstop.dev/v1alpha1", *where, plural, name) if part)


@dataclass(frozen=True, slots=True)
class Means:
    """What workers work with."""

    api: Api
    threads: Executor
    """For requests: the client waits for each."""
    writers: Executor
    """For status writes: no freeze waits for these."""
    node: str
    root: Path
    alone: bool
    """Whether no container of the node is started outside of these cgroups."""
    boot_id: str
    metrics: Metrics
    debounce: Debounce
    clock: Callable[[], datetime]
    pause: Callable[[float | None, asyncio.Event | None], Awaitable[None]] = field(default=pause)

    async def ask(self, call: Callable[..., T], *arguments: Any, **more: Any) -> T:
        """Ask the API server in a thread."""
        return await asyncio.get_running_loop().run_in_executor(self.threads, partial(call, *arguments, **more))

    async def write(self, where: str, status: dict[str, Any]) -> None:
        """Merge a status into an object in a thread."""
        call = partial(self.api.merge, where, status, manager=MANAGER)
        await asyncio.get_running_loop().run_in_executor(self.writers, call)


class Worker:
    """Sees to one PodControl. It is told of changes by `take`."""

    def __init__(self, means: Means, control: Control) -> None:
        self._means = means
        self._written = self._status = control.status
        """What the object says, and what it is to say."""
        self._write_after = self._asked_at = self._done_at = means.clock()
        self._write_retry = RETRY_SECONDS
        self._ours = False
        self._asked_before = False
        """Whether the API server was asked for the task before."""
        self._news = asyncio.Event()
        self._keeper = Keeper(means.root, control.pod_uid, control.namespace, alone=means.alone)
        self.control = control
        means.debounce.note(control.uid, self._asked_at)

    def take(self, control: Control) -> None:
        """Take in a newer state of the object."""
        if control.generation != self.control.generation:
            self._asked_at = self._means.clock()
            self._means.debounce.note(control.uid, self._asked_at)
            self._news.set()
        self.control = control

    @property
    def state(self) -> str | None:
        """What the processes of the pod are in, as far as is known."""
        return self._status.get("state")

    async def run(self) -> None:
        """Go on until cancelled."""
        retry, soon = RETRY_SECONDS, SOON_SECONDS
        told_at: datetime | None = None
        """When the kernel was told what it has not done yet."""
        while True:
            if self._news.is_set():
                self._news.clear()
                retry, soon, told_at = RETRY_SECONDS, SOON_SECONDS, None
            try:
                found = await self._look()
                delay, now = self._write_delay(found), self._means.clock()
                told_at = (told_at or now) if _is_under_way(found) else None
                slow = told_at is not None and now >= told_at + TELL_AFTER
                if not delay and (slow or told_at is None):
                    await self._write()
            except Exception:
                # One object that we stumble over must not end its worker.
                log.exception("PodControl %s could not be seen to", self.control)
                found = None
            if not isinstance(found, Look):
                # Whoever changes again and again what is refused has it looked at no sooner.
                await self._means.pause(RETRY_SECONDS, None)
                if retry > RETRY_SECONDS:
                    await self._means.pause(retry - RETRY_SECONDS, self._news)
                retry = min(2 * retry, MOST_RETRY_SECONDS)
                continue
            retry = RETRY_SECONDS
            if told_at is None:
                soon = SOON_SECONDS
                await self._means.pause(delay or self._until(found), self._news)
            else:
                await self._means.pause(HOLD_SECONDS if slow else soon, self._news)
                soon = min(1.5 * soon, LATER_SECONDS)

    def _write_delay(self, found: Look | Refusal) -> float:
        """Return for how many seconds a status write is held back while other pods are asked for."""
        if isinstance(found, Refusal) or self._status == self._written:
            return 0.0
        return self._means.debounce.delay(self.control.uid, self._asked_at, self._means.clock())

    async def _look(self) -> Look | Refusal:
        refusal = None
        if not self._ours and self._wrong() is None:
            refusal = await self._check_task()
        # From here on nothing waits: what is looked at, done and said is of one generation.
        generation = self.control.generation
        found = self._wrong() or refusal or self._keeper.look(self.control.state)
        now = self._means.clock()  # after the look: what was at work until just before it was not frozen yet
        done = is_done(self._status, generation)
        self._status = status_of(self._status, generation, found, self._means.boot_id, now)
        if not done:
            self._done_at = now
        return found

    def _until(self, found: Look) -> float | None:
        """Return after how long the pod is looked at again; None where nobody asks for anything but what it does.

        What was frozen goes on by itself once it was thawed, and what has no cgroup has nothing that is frozen.
        """
        at_rest = self.control.state == RUNNING and found.outcome in AT_REST
        return None if at_rest and self._status == self._written else HOLD_SECONDS

    def _wrong(self) -> Refusal | None:
        """Say what is wrong with the object, if anything. What admission lets nobody write is checked all the same."""
        control = self.control
        if not is_pod_uid(control.pod_uid) or control.name != control.pod_uid:
            return Refusal("NoPodUID", "spec.podUID is no UID of a pod, or not the name of this object")
        if control.node != self._means.node:
            return Refusal("OtherNode", f"The pod is another node's; this is {self._means.node}")
        if not self._keeper.knows(control.state):
            return Refusal("UnknownState", "This version knows no such spec.state")
        return None

    async def _check_task(self) -> Refusal | None:
        """Say why the pod is not known to be the task's, if so."""
        control = self.control
        if await self._is_known_to_be_the_tasks():
            self._ours = True
            return None
        try:
            task = await self._means.ask(self._means.api.get, path_of(TASKS, control.namespace, control.task))
        except ApiError as error:
            if error.code != NOT_FOUND:
                return Refusal("TaskUnknown", f"AgentTask {control.task} cannot be read: {error.message}")
            return Refusal("TaskNotFound", f"There is no AgentTask {control.task}, so nothing is done to the pod")
        except (UnreachableError, ConfigError) as error:
            return Refusal("TaskUnknown", f"AgentTask {control.task} cannot be read: {error}")
        if not is_on_record(task, control.pod_uid):
            return Refusal("NotTheTasks", f"AgentTask {control.task} has no such pod on record: nothing is done to it")
        self._ours = True
        return None

    async def _is_known_to_be_the_tasks(self) -> bool:
        """Whether the API server's cache has the pod on the task's record, which is asked once: that costs it little.

        A cache may be behind. But a pod that a task had is not another's later, and where it has none etcd is asked.
        """
        if self._asked_before:
            return False
        self._asked_before = True
        where = path_of(TASKS, self.control.namespace, self.control.task)
        try:
            task = await self._means.ask(self._means.api.get, where, cached=True)
        except (ApiError, UnreachableError, ConfigError):
            return False
        return is_on_record(task, self.control.pod_uid)

    async def _write(self) -> None:
        """Write down what was found, where that is news."""
        control, before, status, now = self.control, self._written, self._status, self._means.clock()
        if status == before or now < self._write_after:
            return
        body = {"metadata": {"uid": control.uid}, "status": {**dict.fromkeys(SEEN), **status}}
        where = f"{path_of(CONTROLS, control.namespace, control.name)}/status"
        try:
            await self._means.write(where, body)
        except (ApiError, UnreachableError, ConfigError) as error:
            log.warning("what became of PodControl %s cannot be written: %s", control, error)
            self._write_after = now + timedelta(seconds=self._write_retry)
            self._write_retry = min(2 * self._write_retry, MOST_RETRY_SECONDS)
            return
        self._written, self._write_retry = status, RETRY_SECONDS
        self._report(before, status)

    def _report(self, before: Mapping[str, Any], status: Mapping[str, Any]) -> None:
        """Count and log what was written."""
        generation, (ready,) = status["observedGeneration"], status["conditions"]
        if ready["reason"] in REFUSALS:
            self._means.metrics.refused.labels(ready["reason"]).inc()
            log.warning("nothing is done for PodControl %s: %s", self.control, ready["message"])
            return
        log.info("the pod of PodControl %s: %s", self.control, ready["message"])
        took = self._means.metrics.took(before.get("state"), status.get("state"))
        if took is not None and is_done(status, generation) and not is_done(before, generation):
            took.observe(max((self._done_at - self._asked_at).total_seconds(), 0.0))


def _is_under_way(found: Look | Refusal) -> bool:
    return isinstance(found, Look) and found.outcome in UNDER_WAY
