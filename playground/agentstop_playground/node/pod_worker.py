"""One pod on the node: what is observed of it goes in, the next step is decided and done, its status comes out."""

import asyncio
import contextlib
import functools
import logging
import math
import shutil
import signal
from collections.abc import Callable, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

from agentstop_playground import times
from agentstop_playground.api_client import ApiError, Object, backoff
from agentstop_playground.node import pod_status
from agentstop_playground.node.adoption import containers_of
from agentstop_playground.node.containers import (
    Container,
    Running,
    Terminated,
    Waiting,
    after_exit,
    after_failed_pull,
    never_again,
    plan,
)
from agentstop_playground.node.context import NodeContext
from agentstop_playground.node.environment import ConfigError
from agentstop_playground.node.hooks import Hooks
from agentstop_playground.node.images import PullError
from agentstop_playground.node.processes import Exit, Process, StartError
from agentstop_playground.node.starting import Starter, count_attempt
from agentstop_playground.node.status_writer import StatusWriter
from agentstop_playground.node.stopping import Stop

log = logging.getLogger(__name__)

DEADLINE_EXCEEDED = ("DeadlineExceeded", "Pod was active on the node longer than the specified deadline")
DEFAULT_GRACE = 30
CONFIG_RETRY = 2.0
"""Seconds after which a container whose ConfigMap or Secret is missing is tried again."""
RELIST = 1.0
"""Seconds after a start until a kubelet does anything else for the pod: it lists what runs once a second, and waits for
that. Left out where nothing can have happened meanwhile, so that playing takes no longer than it must."""
KILL_PAUSE = 0.05
"""Seconds between two looks at a container that is killed because its postStart hook failed."""
FIRST_STATUS_DELAY = 0.03
"""Seconds that a status without news waits: as a rule the containers run before, and one write is saved."""
TERMINAL_PHASES = ("Succeeded", "Failed")


class PodWorker:
    """Runs one pod (one UID) from the moment it is bound until its object is gone."""

    def __init__(self, pod: Object, context: NodeContext, on_gone: Callable[["PodWorker"], None]) -> None:
        self.pod = pod
        metadata = pod["metadata"]
        self.uid: str = metadata["uid"]
        self.folder: Path = context.data_dir / "pods" / self.uid
        self._path = f"/api/v1/namespaces/{metadata['namespace']}/pods/{metadata['name']}"
        self._context = context
        self._on_gone = on_gone
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        self._closed = False
        self._round: asyncio.Task[None] | None = None
        """The start of some of the containers, if that is under way."""
        self._mounting = False
        """Whether that start still waits for the pod's volumes."""
        self._stop: Stop | None = None
        self._failure: tuple[str, str] | None = None
        self._object_gone = False
        self._deletion_grace: float | None = None
        self._removal: asyncio.Task[None] | None = None
        self._policy: str = pod["spec"].get("restartPolicy") or "Always"
        status = pod.get("status") or {}
        self._over = status.get("phase") in TERMINAL_PHASES
        self._report = not self._over
        self._started_at = times.parse(status.get("startTime")) or times.now().replace(microsecond=0)
        self._status: dict[str, Any] = status
        self.containers = containers_of(pod, self._policy, self._loop.time())
        self._starter = Starter(context, self.folder)
        self._hooks = Hooks(context.host, self.uid, self.step)
        self._writer = StatusWriter(
            context.client, f"{self._path}/status", self.uid, may_write=context.acting, on_settled=self.step
        )

    @property
    def over(self) -> bool:
        """Whether every process is gone and none will be started."""
        return self._over

    def log_file(self, container: str, attempt: int) -> Path:
        """Where the output of one attempt (its restart count) of a container is."""
        return self._starter.log_file(container, attempt)

    def update(self, pod: Object) -> None:
        """The pod object has changed."""
        self.pod = pod
        known = {item.name for item in self.containers}
        added = containers_of(pod, self._policy, self._loop.time())
        self.containers += [item for item in added if item.name not in known]
        self.step()

    def removed(self, pod: Object) -> None:
        """The pod object is gone."""
        self.pod = pod
        self._object_gone = True
        self.step()

    def close(self) -> None:
        """Stop acting; processes are left to the process host."""
        self._closed = True
        self._writer.close()
        self._hooks.close()
        if self._timer is not None:
            self._timer.cancel()
        for task in (self._round, self._removal):
            if task is not None:
                task.cancel()

    def step(self) -> None:
        """Look at everything and do what is due.

        Nothing is, and nothing is said, while containers are started: a kubelet does one thing at a time for a pod, and
        neither a pull nor a postStart hook is broken off for anything. Only the wait for volumes is, for a deletion.
        https://github.com/kubernetes/kubernetes/issues/116032
        """
        starting = self._round is not None and not self._mounting
        if self._closed or starting or not self._context.acting():
            return
        now = self._loop.time()
        wake_at = math.inf
        if not self._over:
            wake_at = math.inf if self._mounting else self._deadline(now)
            self._consider_deletion(now)
            if self._stop is None:
                wake_at = min(wake_at, self._run(now))
            if self._stop is not None:
                wake_at = min(wake_at, self._stop.step(self.containers, now, self))
                self._over = not any(item.active for item in self.containers)
        if self._report:
            self._write_status(now)
        if self._over:
            self._finish()
        self._wake(wake_at)

    def _wake(self, at: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._loop.call_at(at, self.step) if at < math.inf else None

    def _grace(self) -> float:
        configured = self.pod["spec"].get("terminationGracePeriodSeconds")
        return float(DEFAULT_GRACE if configured is None else configured)

    def _stop_within(self, now: float, grace: float) -> None:
        if self._stop is None:
            self._stop = Stop(now, grace)
            if self._round is not None:
                # It waits for volumes.
                self._round.cancel()
            # What waits for a restart has ended for good.
            for item in self.containers:
                never_again(item)
        else:
            self._stop.shorten(now, grace)

    def _consider_deletion(self, now: float) -> None:
        metadata = self.pod["metadata"]
        if self._object_gone or metadata.get("deletionTimestamp"):
            grace = metadata.get("deletionGracePeriodSeconds")
            wanted = self._grace() if grace is None else float(grace)
            if self._deletion_grace is None or wanted < self._deletion_grace:
                self._deletion_grace = wanted
                self._stop_within(now, wanted)
            return
        status = self.pod.get("status") or {}
        if status.get("phase") in TERMINAL_PHASES and self._stop is None:
            # Somebody else declared it over, as an eviction does.
            if status.get("reason") and self._failure is None:
                self._failure = (status["reason"], status.get("message") or "")
            self._stop_within(now, self._grace())

    def _deadline(self, now: float) -> float:
        seconds = self.pod["spec"].get("activeDeadlineSeconds")
        if seconds is None or self._failure is not None:
            return math.inf
        left = (self._started_at + timedelta(seconds=seconds) - times.now()).total_seconds()
        if left > 0:
            return now + left
        self._failure = DEADLINE_EXCEEDED
        self._context.events.record(self.pod, "Normal", *DEADLINE_EXCEEDED)
        if self._stop is None:
            self._stop_within(now, self._grace())
        return math.inf

    def _run(self, now: float) -> float:
        decided = plan(self.containers, self._policy, now)
        if decided.finished:
            self._stop_within(now, self._grace())
        elif decided.start and self._round is None:
            for item in decided.start:
                item.starting = True
            self._mounting = True
            self._round = asyncio.create_task(self._start_all(decided.start))
            self._round.add_done_callback(functools.partial(self._round_ended, decided.start))
        return decided.wake_at

    def _round_ended(self, items: Sequence[Container], _: asyncio.Task[None]) -> None:
        self._round, self._mounting = None, False
        for item in items:
            item.starting = False
        self.step()

    async def _start_all(self, items: Sequence[Container]) -> None:
        """Start containers one after the other, each with its pull and its postStart hook, as a kubelet does."""
        if not await self._starter.mount(self.pod):
            return
        self._mounting = False
        for item in items:
            await self._start(item)
        if any(self._is_slow(item) for item in items):
            await asyncio.sleep(RELIST)

    async def _start(self, item: Container) -> None:
        try:
            await self._pull(item)
            launch = await self._starter.prepare(self.pod, item)
            if launch is None:
                return
            await self._context.host.start(
                launch.command,
                env=item.env,
                cwd=item.cwd,
                log_file=launch.log_file,
                on_start=lambda process: self._started(item, process),
                on_exit=lambda exit_: self._exited(item, exit_),
                pod=self.uid,
            )
            problem = await self._hooks.after_start(item)
            if problem is not None:
                self._event("Warning", "FailedPostStartHook", f"PostStartHook failed: {problem}", item)
                await self._kill(item)
        except PullError as error:
            after_failed_pull(item, str(error), self._loop.time())
            self._event("Warning", "Failed", str(error), item)
        except (ConfigError, ApiError) as error:
            item.state = Waiting("CreateContainerConfigError", str(error))
            item.retry_at = self._loop.time() + CONFIG_RETRY
            self._event("Warning", "Failed", f"Error: {error}", item)
        except (StartError, OSError) as error:
            self._start_failed(item, str(error))
        except Exception as error:
            # Reported as a failed start, so that it is repeated with back-off and not at once.
            log.exception("container %s of pod %s", item.name, self._path)
            self._start_failed(item, f"{error!r}")

    def _is_slow(self, item: Container) -> bool:
        """Whether a start of it is held up by a pull or a postStart hook."""
        image = item.spec.get("image") or ""
        return self._context.images.is_pulled(image) or "postStart" in (item.spec.get("lifecycle") or {})

    async def _pull(self, item: Container) -> None:
        image = item.spec.get("image") or ""
        if not self._context.images.wanted(image, item.spec.get("imagePullPolicy") or "IfNotPresent"):
            return
        self._event("Normal", "Pulling", f'Pulling image "{image}"', item)
        await self._context.images.pull(image)
        self._event("Normal", "Pulled", f'Successfully pulled image "{image}"', item)

    async def _kill(self, item: Container) -> None:
        """End a container whose postStart hook failed."""
        stop = Stop(self._loop.time(), self._grace())
        while item.process is not None:
            stop.step([item], self._loop.time(), self)
            await asyncio.sleep(KILL_PAUSE)

    def _started(self, item: Container, process: Process) -> None:
        count_attempt(item)
        item.starting = False
        item.process = process
        item.ending = None
        item.container_id = f"process://{process.pid}"
        item.state = Running(times.from_epoch(process.started_at))
        self._event("Normal", "Started", f"Started container {item.name}", item)

    def _start_failed(self, item: Container, message: str) -> None:
        count_attempt(item)
        text = f"failed to start container {item.name}: {message}"
        never = times.from_epoch(0)
        item.container_id = ""
        item.state = Terminated(pod_status.START_ERROR_EXIT_CODE, pod_status.START_ERROR, text, never, times.now())
        after_exit(item, self._policy, 0.0, self._loop.time())
        self._event("Warning", "Failed", f"Error: {text}", item)

    def _event(self, kind: str, reason: str, message: str, item: Container) -> None:
        self._context.events.record(self.pod, kind, reason, message, item.name)

    def _exited(self, item: Container, exit_: Exit) -> None:
        if item.ending is not None:
            self._hooks.end(item.ending)
        self._hooks.container_ended(item)
        process, item.process = item.process, None
        started = process.started_at if process is not None else exit_.ended_at
        reason = "Completed" if exit_.exit_code == 0 else "Error"
        item.state = Terminated(
            exit_.exit_code,
            reason,
            "",
            times.from_epoch(started),
            times.from_epoch(exit_.ended_at),
            item.container_id,
        )
        if self._stop is None:
            after_exit(item, self._policy, exit_.ended_at - started, self._loop.time())
        self.step()

    def signal(self, container: Container, number: signal.Signals) -> None:
        """Signal a container's first process (for ``Stop``)."""
        if container.process is None:
            return
        self._context.host.signal(container.process, number)
        if number is signal.SIGTERM:
            message = f"Stopping container {container.name}"
            self._event("Normal", "Killing", message, container)

    def start_hook(self, container: Container) -> None:
        """Start a container's preStop hook, if it has one (for ``Stop``)."""
        self._hooks.start(container)

    def _write_status(self, now: float) -> None:
        moment = pod_status.Moment(
            pod=self.pod,
            address=self._context.address,
            started_at=self._started_at,
            previous=self._status,
            terminal=self._over,
            failure=self._failure,
            time=times.now(),
            clock=now,
        )
        self._status = pod_status.build(self.containers, moment)
        quiet = not self._over and not any(item.ever_started for item in self.containers)
        pending = quiet and any(item.starting for item in self.containers)
        if not self._object_gone:
            self._writer.offer(self._status, delay=FIRST_STATUS_DELAY if pending else 0.0)

    def _finish(self) -> None:
        if self._object_gone:
            self.close()
            self._on_gone(self)
            return
        metadata = self.pod["metadata"]
        # With grace 0 in it the object only waits for its finalizers; there is nothing to add.
        asked = metadata.get("deletionTimestamp") and metadata.get("deletionGracePeriodSeconds") != 0
        if asked and self._removal is None and (not self._report or self._writer.settled):
            self._removal = asyncio.create_task(self._remove_object())

    async def _remove_object(self) -> None:
        """Everything has ended and the status says so: now, and not before, the object may go."""
        body = {
            "apiVersion": "v1",
            "kind": "DeleteOptions",
            "gracePeriodSeconds": 0,
            "preconditions": {"uid": self.uid},
        }
        attempt = 0
        while self._context.acting():
            try:
                await self._context.client.request("DELETE", self._path, body)
            except ApiError as error:
                if error.code in {404, 409}:
                    return
                attempt += 1
                await asyncio.sleep(backoff(attempt))
            else:
                return
        self._removal = None

    def remove_files(self) -> None:
        """Remove the pod's directory with its logs (blocking)."""
        with contextlib.suppress(FileNotFoundError):
            shutil.rmtree(self.folder, ignore_errors=True)
