"""A Lease that tasks are tethered to: they may run for as long as the program lives that renews it."""

import getpass
import logging
import os
import secrets
import socket
import threading
from collections.abc import Callable
from datetime import datetime, timedelta
from types import TracebackType
from typing import Final, Self

from agentstop.client.client import Api
from agentstop.client.config import Settings, Target, find_target
from agentstop.client.errors import ApiError, ConfigError, TetherError, UnreachableError
from agentstop.words import leases
from agentstop.words.durations import now, spell
from agentstop.words.tasks import Object, has_ended, name_of, spec_of, stop_asked

log = logging.getLogger(__name__)

MANAGER: Final = "agentstop-tether"
"""Field manager of the Lease."""

RENEWAL_SHARE: Final = 1 / 6
"""How often the Lease is renewed, as a share of its time: several renewals may fail before it runs out."""

LONGEST_PAUSE_SECONDS: Final = 30.0
RETRY_SECONDS: Final = 1.0
"""Pause after a renewal that failed: once a network is back, the Lease must not wait for long."""

TOLD: Final = 3
"""On so many tasks a note is tried at the end. One is enough for all of them, but it may just be gone."""

LEASES_PATH: Final = f"{leases.LEASES_ROOT}/namespaces/{{}}/{leases.LEASES_PLURAL}"
TASKS_PATH: Final = "/apis/agentstop.dev/v1alpha1/namespaces/{}/agenttasks"


class Tether:
    """Keeps a Lease while it is open, in a thread of its own; tasks that name it in `spec.tether` live no longer.

    A context manager, for `with` and for `async with`. At its end the Lease is deleted, and the tasks stop. Where the
    program is killed, hangs as a whole or loses the network, nobody renews the Lease, and they stop once it runs out.
    What happens to the Lease while it is open is logged, or told to `say`.
    """

    def __init__(
        self,
        name: str | None = None,
        *,
        namespace: str | None = None,
        duration: float = leases.HELD_SECONDS,
        holder: str | None = None,
        kubeconfig: str | None = None,
        context: str | None = None,
        target: Target | None = None,
        say: Callable[[str], None] = log.warning,
        clock: Callable[[], datetime] = now,
    ) -> None:
        """Prepare a tether; nothing is sent before it is opened.

        `name` is the Lease's, one of its own without it, and `duration` how many seconds the Lease lasts without a
        renewal: from 5 to 3600. `holder` says who renews it, for people. The cluster is that of `target`, or found as
        kubectl does. Raises ConfigError, and ValueError for a duration that is out of bounds.
        """
        if not leases.LEAST_SECONDS <= duration <= leases.MOST_SECONDS or duration != int(duration):
            raise ValueError(
                f"a tether lasts from {leases.LEAST_SECONDS} to {leases.MOST_SECONDS} whole seconds, not {duration:g}"
            )
        self.name = name or f"tether-{secrets.token_hex(4)}"
        self.duration = int(duration)
        self.holder = (holder or _own_name())[: leases.MOST_WORDS]
        self.stopped: tuple[str, ...] = ()
        """After its end: the tasks that were tethered to it and had not ended, as far as the user may list tasks."""
        self.prompt = False
        """After its end: whether they are stopped at once, and not only when the Lease would have run out."""
        self.lost: str | None = None
        """Why the Lease is renewed no more though the tether is open, if so: somebody else deleted it."""
        target = target or find_target(Settings(kubeconfig=kubeconfig, context=context, namespace=namespace))
        self.namespace = namespace or target.namespace
        self._api = Api(target, request_seconds=leases.answer_seconds(duration), interactive=False)
        self._say = say
        self._clock = clock
        self._said = ""
        self._uid = ""
        self._process = 0
        self._ended = threading.Event()
        self._thread: threading.Thread | None = None

    @property
    def spec(self) -> Object:
        """What stands in `spec.tether` of a task that is to live no longer than this."""
        return {"leaseName": self.name}

    def open(self) -> None:
        """Make the Lease, and renew it from now on.

        Raises TetherError where another one of its name is in use, ApiError, UnreachableError, ConfigError.
        """
        self._uid = self._take()["metadata"]["uid"]
        self._process = os.getpid()
        self._thread = threading.Thread(target=self._renew_until_ended, name="tether", daemon=True)
        self._thread.start()

    def attach(self, name: str, *, dry_run: bool = False) -> None:
        """Tether a task that is there already to the Lease: it stays so until it ends.

        Raises ApiError, UnreachableError, ConfigError.
        """
        path = f"{TASKS_PATH.format(self.namespace)}/{name}"
        self._api.merge(path, {"spec": {"tether": self.spec}}, manager=MANAGER, dry_run=dry_run)

    def close(self) -> None:
        """Delete the Lease, so that its tasks stop, and say in `stopped` which. What fails is told, and not raised."""
        if self._thread is None or self._process != os.getpid():
            return  # a process that was forked off has no thread, and another one lives that has it
        self._ended.set()
        self._thread.join()
        self._thread = None
        try:
            self.stopped = self._tied()
        except (ApiError, UnreachableError, ConfigError) as error:
            self._say(f"which tasks stop is not known: {error}")
        try:
            self._delete(self._uid)
        except (ApiError, UnreachableError, ConfigError) as error:
            if not isinstance(error, ApiError) or error.code not in {404, 409}:
                self._say(f"{self._what} is not deleted, and runs out in {self.duration}s: {error}")
                return
        self.prompt = any(map(self._tell, self.stopped[:TOLD]))

    def __enter__(self) -> Self:
        """Open it."""
        self.open()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Close it."""
        self.close()

    async def __aenter__(self) -> Self:
        """Open it, in a thread: the event loop goes on."""
        import asyncio

        await asyncio.to_thread(self.open)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Close it in the same way."""
        import asyncio

        await asyncio.to_thread(self.close)

    @property
    def _what(self) -> str:
        return f"the Lease {self.namespace}/{self.name}"

    @property
    def _path(self) -> str:
        return f"{LEASES_PATH.format(self.namespace)}/{self.name}"

    def _body(self, metadata: Object) -> Object:
        moment = _written(self._clock())
        return {
            "apiVersion": "coordination.k8s.io/v1",
            "kind": "Lease",
            "metadata": {**metadata, "labels": {leases.TETHER_LABEL: "true"}},
            "spec": {
                "holderIdentity": self.holder,
                "leaseDurationSeconds": self.duration,
                "acquireTime": moment,
                "renewTime": moment,
            },
        }

    def _take(self) -> Object:
        """Make the Lease, in the place of one that has run out."""
        where, body = LEASES_PATH.format(self.namespace), self._body({"name": self.name})
        try:
            return self._api.create(where, body, manager=MANAGER)
        except ApiError as error:
            if error.reason != "AlreadyExists":
                raise
        there = self._api.get(self._path)
        if not leases.is_tether(there):
            raise TetherError(
                f"{self._what} is no tether, as it has no label {leases.TETHER_LABEL}=true: choose another name"
            )
        left = self._left(there)
        if left > 0:
            by = f" by {leases.holder_of(there)}" if leases.holder_of(there) else ""
            raise TetherError(
                f"{self._what} is held{by}: choose another name, or wait until it runs out, {spell(left)} from now"
            )
        self._delete(there["metadata"]["uid"], there["metadata"]["resourceVersion"])
        return self._api.create(where, body, manager=MANAGER)

    def _left(self, there: Object) -> float:
        """Return for how many seconds a Lease lasts that was found: by the API server's clock, as all of this."""
        trial = self._body({"generateName": f"{self.name[:200]}-"})
        made = self._api.create(LEASES_PATH.format(self.namespace), trial, manager=MANAGER, dry_run=True)
        current = datetime.fromisoformat(made["metadata"]["creationTimestamp"])
        lasts = timedelta(seconds=leases.seconds_of(there) + 1)  # what it is reckoned from is cut off to the second
        return ((leases.renewed_at(there) or current) + lasts - current).total_seconds()

    def _delete(self, uid: str, version: str | None = None) -> None:
        only = {"uid": uid} | ({"resourceVersion": version} if version else {})
        self._api.request("DELETE", self._path, None, {"preconditions": only})

    def _tell(self, name: str) -> bool:
        """Have the operator look at the Lease by a note on a task; return whether there was a right to leave one."""
        note = {"metadata": {"annotations": {leases.ENDED_ANNOTATION: self._uid}}}
        try:
            self._api.merge(f"{TASKS_PATH.format(self.namespace)}/{name}", note, manager=MANAGER)
        except (ApiError, UnreachableError, ConfigError):
            return False
        return True

    def _tied(self) -> tuple[str, ...]:
        """Return the tasks that are tethered to the Lease, and still to be stopped."""
        tasks, _ = self._api.list(TASKS_PATH.format(self.namespace))
        tied = (each for each in tasks if spec_of(each).get("tether") == self.spec)
        return tuple(sorted(name_of(each) for each in tied if not has_ended(each) and not stop_asked(each)))

    def _renew_until_ended(self) -> None:
        """Renew the Lease again and again: an API server that was away finds it renewed once it is back."""
        regular = min(self.duration * RENEWAL_SHARE, LONGEST_PAUSE_SECONDS)
        pause = regular
        while not self._ended.wait(pause):
            try:
                self._renew()
            except (ApiError, UnreachableError, ConfigError) as error:
                if isinstance(error, ApiError) and error.code in {404, 409} and self._is_gone():
                    self.lost = f"{self._what} was deleted by somebody else: what is tethered to it stops"
                    self._say(self.lost)
                    return
                pause = min(regular, RETRY_SECONDS)
                if str(error) != self._said:
                    self._said = str(error)
                    self._say(f"{self._what} is not renewed, which is tried again: {error}")
            else:
                pause, self._said = regular, ""

    def _is_gone(self) -> bool:
        """Whether there is another Lease of this name, or none: a conflict alone may be about something else."""
        try:
            found: str = self._api.get(self._path)["metadata"]["uid"]
        except ApiError as error:
            return error.code == 404
        except (UnreachableError, ConfigError):
            return False
        return found != self._uid

    def _renew(self) -> None:
        """Write the Lease, if it still is the one that was made: another UID makes the API server answer 409."""
        body = {"metadata": {"uid": self._uid}, "spec": {"renewTime": _written(self._clock())}}
        self._api.merge(self._path, body, manager=MANAGER)


def _written(moment: datetime) -> str:
    """Write a moment as Kubernetes' MicroTime does."""
    return f"{moment.replace(tzinfo=None).isoformat(timespec='microseconds')}Z"


def _own_name() -> str:
    """Return who this program is: the user, the machine, the process, and what sets it apart from all others."""
    try:
        user = getpass.getuser()
    except (OSError, KeyError):
        user = str(os.getuid())  # a container's user may have no name
    return f"{user}@{socket.gethostname()}_{os.getpid()}_{secrets.token_hex(4)}"
