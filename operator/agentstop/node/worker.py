"""What is done for one PodControl, for as long as it is there: check, kill, and write down what the kernel says."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from concurrent.futures import Executor
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any, Final, TypeVar

from agentstop.client.client import Api
from agentstop.client.errors import ApiError, ConfigError, UnreachableError
from agentstop.node.killing import Killing, Look, Outcome
from agentstop.node.layouts import is_pod_uid
from agentstop.node.metrics import Metrics
from agentstop.node.records import Control, is_on_record
from agentstop.node.status import Refusal, status_of

log = logging.getLogger(__name__)

T = TypeVar("T")

NOT_FOUND: Final = 404

CONTROLS: Final = "podcontrols"
TASKS: Final = "agenttasks"
MANAGER: Final = "agentstop-node"
"""Field manager of the status."""

SOON_SECONDS: Final = 0.01
"""Between two looks at a pod that was just killed; each further pause is half as long again."""

HOLD_SECONDS: Final = 0.5
"""Between two looks at a pod that is as it was asked for, or that has no cgroup: what changes is set right within a
second."""

RETRY_SECONDS: Final = 1.0
MOST_RETRY_SECONDS: Final = 30.0
"""After what was refused, or did not get through; each further pause is twice as long. Whoever makes thousands of
objects for pods that are no task's has them looked at seldom."""


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
    node: str
    root: Path
    alone: bool
    """Whether no container of the node is started outside of these cgroups."""
    boot_id: str
    metrics: Metrics
    clock: Callable[[], datetime]
    pause: Callable[[float], Awaitable[None]] = field(default=asyncio.sleep)

    async def ask(self, call: Callable[..., T], *arguments: Any, **more: Any) -> T:
        """Make a call in a thread."""
        return await asyncio.get_running_loop().run_in_executor(self.threads, partial(call, *arguments, **more))


class Worker:
    """Sees to one PodControl. It is told of changes by `take`."""

    def __init__(self, means: Means, control: Control) -> None:
        self._means = means
        self._status = control.status
        self._ours = False
        self._killing: Killing | None = None
        self._begun_at = means.clock()
        self.control = control

    def take(self, control: Control) -> None:
        """Take in a newer state of the object."""
        self.control = control

    async def run(self) -> None:
        """Go on until cancelled."""
        pause = RETRY_SECONDS
        while True:
            try:
                found = await self._look()
                done = await self._write(found) and isinstance(found, Look)
            except Exception:
                # One object that we stumble over must not end its worker.
                log.exception("PodControl %s could not be seen to", self.control)
                found, done = None, False
            if not done:
                await self._means.pause(pause)
                pause = min(2 * pause, MOST_RETRY_SECONDS)
                continue
            pause = RETRY_SECONDS
            if isinstance(found, Look) and found.outcome is Outcome.KILLING:
                await self._settle()
            else:
                await self._means.pause(HOLD_SECONDS)

    async def _settle(self) -> None:
        """Look again and again until nothing is left, or it takes its time."""
        pause = SOON_SECONDS
        while pause < HOLD_SECONDS:
            await self._means.pause(pause)
            if self._killing is None or self._killing.look().outcome is not Outcome.KILLING:
                return
            pause *= 1.5

    async def _look(self) -> Look | Refusal:
        refusal = await self._check()
        if refusal is not None:
            return refusal
        if self._killing is None:
            self._killing = Killing(self._means.root, self.control.pod_uid, alone=self._means.alone)
        return self._killing.look()

    async def _check(self) -> Refusal | None:
        """Say why nothing may be done to the pod, if so. What admission lets nobody write is checked all the same."""
        control = self.control
        if not is_pod_uid(control.pod_uid) or control.name != control.pod_uid:
            return Refusal("NoPodUID", "spec.podUID is no UID of a pod, or not the name of this object")
        if control.node != self._means.node:
            return Refusal("OtherNode", f"The pod is another node's; this is {self._means.node}")
        if control.state != "Killed":
            return Refusal("UnknownState", "This version knows no such spec.state")
        if self._ours:
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

    async def _write(self, found: Look | Refusal) -> bool:
        """Write down what was found, where that is news; return whether it is written."""
        control, before, at = self.control, self._status, self._means.clock()
        status = status_of(before, control.generation, found, self._means.boot_id, at)
        if status == before:
            return True
        body = {"metadata": {"uid": control.uid}, "status": dict.fromkeys(before) | status}
        where = f"{path_of(CONTROLS, control.namespace, control.name)}/status"
        try:
            await self._means.ask(self._means.api.merge, where, body, manager=MANAGER)
        except (ApiError, UnreachableError, ConfigError) as error:
            log.warning("what became of PodControl %s cannot be written: %s", control, error)
            return False
        self._status = status
        if isinstance(found, Refusal):
            self._means.metrics.refused.labels(found.reason).inc()
            log.warning("nothing is done for PodControl %s: %s", control, found.message)
        elif status.get("empty") and not before.get("empty"):
            self._means.metrics.killed.observe((at - self._begun_at).total_seconds())
            log.info("the pod of PodControl %s is killed, and nothing of it is left", control)
        else:
            log.info("the pod of PodControl %s: %s", control, found.message)
        return True
