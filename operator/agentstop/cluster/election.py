"""Which of several replicas acts: the one that holds a Lease, and only for as long as it can be sure to hold it.

The official client has an election, which we do not use: it renews without a limit of time, so that an API server that
hangs leaves two leaders; it compares clocks that may be set; and it does not give a lease back.
"""

import asyncio
import logging
import secrets
import socket
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from agentstop.cluster import lease
from agentstop.cluster.errors import ApiError
from agentstop.cluster.leader_guard import LeaderGuard
from agentstop.cluster.lease import ObservedLease
from agentstop.cluster.resources import LEASES
from agentstop.cluster.transport import Transport
from agentstop.timings import TIMINGS, Timings

log = logging.getLogger(__name__)

TENURE_SHARE: Final = 2 / 3
"""For so much of the lease's time a leader acts after its last renewal was sent. Others wait for all of it: what was
sent at the last moment has come to its end by then."""

RENEWAL_SHARE: Final = 2 / 15
POLL_SHARE: Final = 1 / 20
"""How often the leader renews the lease and the others look at it, as shares of its time."""

REQUEST_SHARE: Final = 1 / 5
"""How long a request of the election may take, as a share of that time."""

GIVE_BACK_TRIES: Final = 3
"""So often is a lease given back that changes meanwhile: a renewal that was not answered in time may arrive late."""


def own_identity() -> str:
    """Return a name that no other replica has, nor this one after a restart."""
    return f"{socket.gethostname()}_{secrets.token_hex(4)}"


@dataclass(frozen=True, slots=True, kw_only=True)
class LeaderElectionConfig:
    """What the replicas compete for."""

    namespace: str
    name: str
    duration: float
    """Seconds for which the lease is held without a sign of life."""
    identity: str
    """Of one process at a time. Whoever has it holds what the process before it held, which must have ended."""


class Election:
    """Takes part in an election while `run` runs; `changed` hears whether this replica leads, whenever that changes."""

    def __init__(
        self,
        transport: Transport,
        seat: LeaderElectionConfig,
        leader_guard: LeaderGuard,
        changed: Callable[[bool], None],
        clock: Callable[[], datetime],
        timings: Timings = TIMINGS,
        unanswered: Callable[[], None] = lambda: None,
    ) -> None:
        """`unanswered` is called when a request for the lease got no answer that says anything of it."""
        self._unanswered = unanswered
        self._timings = timings
        self._transport = transport
        self._seat = seat
        self._leader_guard = leader_guard
        self._changed = changed
        self._clock = clock
        self._term = ObservedLease()
        self._said = ""
        self._claim: asyncio.Task[Any] | None = None
        """The last request for the lease. One that was cut off may be carried out all the same."""
        leader_guard.end()

    async def run(self) -> None:
        """Stand for election, lead, and stand again; until cancelled."""
        while True:
            await self._campaign()
            log.info("this replica leads, as %s", self._seat.identity)
            self._said = ""
            self._changed(True)
            try:
                await self._hold()
            finally:
                self._leader_guard.end()
                self._changed(False)

    async def release(self) -> None:
        """Let another replica lead at once; to be called when `run` has been cancelled, and nothing is under way."""
        if self._claim is None:
            return
        self._leader_guard.end()
        try:
            async with asyncio.timeout(self._timings.lease_release_seconds):
                await asyncio.wait((self._claim,))
                await self._let_go()
        except (ApiError, TimeoutError) as error:
            log.warning(
                "the lease %s is not given back, and runs out: %s", self._where, str(error) or "no answer in time"
            )

    async def _let_go(self) -> None:
        for tries_left in reversed(range(GIVE_BACK_TRIES)):
            await self._look()
            if self._term.raw is None or self._term.holder != self._seat.identity:
                return
            try:
                await self._write("")
            except ApiError as error:
                if error.code != 409 or not tries_left:
                    raise
            else:
                return

    async def _campaign(self) -> None:
        poll = self._seat.duration * POLL_SHARE
        while True:
            try:
                if await self._take(poll):
                    return
            except ApiError as error:
                if error.code != 409:
                    self._failed(f"the lease {self._where} cannot be read or taken", error)
            await asyncio.sleep(poll)

    async def _take(self, slack: float) -> bool:
        """Take the lease if it is free; return whether this replica leads now."""
        await self._look()
        if not self._term.is_free_for(self._seat.identity, self._leader_guard.now(), slack):
            self._say(f"on standby: {self._term.holder} leads")
            return False
        await self._renew()
        return True

    async def _hold(self) -> None:
        """Renew the lease until it is lost, or may be."""
        pause = self._seat.duration * RENEWAL_SHARE
        while True:
            await asyncio.sleep(min(pause, max(self._leader_guard.left(), 0.0)))
            try:
                if not await self._renew():
                    # What was heard while it might not act was passed over: to begin anew has all of it looked at.
                    log.error("this replica leads no more: the lease was renewed too late")
                    return
                pause = self._seat.duration * RENEWAL_SHARE
            except ApiError as error:
                pause = self._timings.lease_retry_seconds
                if error.code in {404, 409} and await self._is_another_s():
                    log.error("this replica leads no more: %s has the lease", self._term.holder or "nobody")
                    return
                self._failed(f"the lease {self._where} is not renewed", error)
            if self._leader_guard.left() <= 0:
                log.error("this replica leads no more: the lease could not be renewed in time")
                return

    async def _is_another_s(self) -> bool:
        """Read the lease, which somebody has changed; return whether another replica has it."""
        try:
            await self._look()
        except ApiError:
            return False
        return self._term.raw is not None and self._term.holder != self._seat.identity

    async def _renew(self) -> bool:
        """Write the lease; return whether this replica could act all the time until that was done."""
        sent_at = self._leader_guard.now()
        await self._write(self._seat.identity)
        held = self._leader_guard.holds
        self._leader_guard.last_until(sent_at + self._seat.duration * TENURE_SHARE)
        return held

    async def _look(self) -> None:
        try:
            raw = await self._transport.exchange("GET", self._path, timeout=self._seat.duration * REQUEST_SHARE)
        except ApiError as error:
            if not error.absent:
                raise
            self._term = lease.see(self._term, None, self._leader_guard.now())
        else:
            self._term = lease.see(self._term, raw, self._leader_guard.now())

    async def _write(self, identity: str) -> None:
        seat, timeout = self._seat, self._seat.duration * REQUEST_SHARE
        wanted = lease.body(self._term, seat.name, seat.namespace, identity, seat.duration, self._clock())
        new = self._term.raw is None
        method, where = ("POST", LEASES.collection(seat.namespace)) if new else ("PUT", self._path)
        request = self._transport.exchange(method, where, {}, wanted, timeout=timeout)
        self._claim = asyncio.create_task(request, name="lease")
        self._claim.add_done_callback(_take_note)
        answer = await asyncio.shield(self._claim)
        self._term = lease.see(self._term, answer, self._leader_guard.now())

    @property
    def _path(self) -> str:
        return f"{LEASES.collection(self._seat.namespace)}/{self._seat.name}"

    @property
    def _where(self) -> str:
        return f"{self._seat.namespace}/{self._seat.name}"

    def _failed(self, what: str, error: ApiError) -> None:
        self._say(f"{what}: {error}")
        if error.code == 0 or error.code >= 500:
            self._unanswered()

    def _say(self, text: str) -> None:
        """Log something that may happen again and again, once."""
        if text != self._said:
            self._said = text
            log.log(logging.INFO if text.startswith("on standby") else logging.WARNING, "%s", text)


def _take_note(request: asyncio.Task[Any]) -> None:
    """Have asyncio not complain of a request that failed when nobody waited for it any more."""
    if not request.cancelled():
        request.exception()
