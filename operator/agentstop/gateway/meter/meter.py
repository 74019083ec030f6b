"""The meter: what is taken from whom, and a loop that writes it."""

import asyncio
import logging
import random
import secrets
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final, TypeVar

from prometheus_client import CollectorRegistry

from agentstop.api.usage import USAGE_PLURAL
from agentstop.gateway.access import CallerAccess
from agentstop.gateway.callers import Caller
from agentstop.gateway.errors import (
    ForbiddenError,
    GatewayError,
    NamespaceEndingError,
    NotFoundError,
    TooManyRequestsError,
)
from agentstop.gateway.files import WatchedFile
from agentstop.gateway.index import TaskIndex
from agentstop.gateway.meter.accumulator import Account, Accumulator, Key, Taken
from agentstop.gateway.meter.bucket import Bucket
from agentstop.gateway.meter.config import MeterFile
from agentstop.gateway.meter.counters import Counters
from agentstop.gateway.meter.evidence import Evidence, Subject
from agentstop.gateway.meter.limits import Headroom
from agentstop.gateway.meter.prices import NO_PRICES, Prices
from agentstop.gateway.meter.pricing import Namer, Pricing
from agentstop.gateway.meter.subjects import Subjects
from agentstop.gateway.meter.writer import Writer, is_final

log = logging.getLogger(__name__)

T = TypeVar("T")

MAX_BODY_BYTES: Final = 8 * 1024 * 1024
"""So large may a request with signals be, unpacked."""

MAX_BODIES: Final = 4
"""So many are read at one time: together with what they are unpacked to, some 100 MB at most."""

MAX_BODIES_OF_ONE: Final = 2
"""So many of one caller: whoever sends slowly must not keep all others from being heard."""

SMALL_BYTES: Final = 16 * 1024
"""A body up to here is read at once; a larger one in a thread, so that no stop waits for it."""

AT_A_STRETCH: Final = 500
"""So many points are taken before others have their turn: a few milliseconds."""

AT_ONCE: Final = 16
"""So many usages are written at one time."""

MAX_NAMED: Final = 16
"""In so many namespaces at most that a request names a sender is told to have no right; they may all be made up."""

MAX_NAMESPACE: Final = 63
"""Characters of a namespace's name."""

MAX_PAUSE_SECONDS: Final = 30.0
FLUSH_SECONDS: Final = 5.0
"""So long the end of the gateway waits for what is not written."""

NOT_THEIRS: Final = "belongs to no task that is known here and whose usage the sender may change"


@dataclass(slots=True)
class Outcome:
    """What became of a request's evidence."""

    taken: int = 0
    problems: list[str] = field(default_factory=list)
    """Why something was refused, one line for each."""

    @property
    def told(self) -> str:
        """Why something was refused, in one line; empty where nothing was."""
        kinds = dict.fromkeys(self.problems)
        return "; ".join(f"{self.problems.count(each)}x {each}" for each in list(kinds)[:5])


class Meter:
    """Takes in what was spent, and writes it into usages."""

    def __init__(
        self,
        file: MeterFile,
        prices: WatchedFile[Prices] | None,
        index: TaskIndex,
        access: CallerAccess,
        registry: CollectorRegistry,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._file = file
        self._prices = prices
        self._access = access
        self._clock = clock
        self._subjects = Subjects(index)
        self._writer = Writer(access, file.currency)
        self._accumulator = Accumulator(
            secrets.token_hex(4),
            file.write_seconds,
            file.limits.tasks,
            Headroom(index, self._writer.spent, clock).left_of,
        )
        self._bucket = Bucket(file.limits.points_per_second, clock)
        self.counters = Counters(registry, lambda: float(self._accumulator.unwritten))
        self._namer = Namer()
        self._bodies: Counter[str] = Counter()
        self._reading = asyncio.Lock()
        self._slots = asyncio.Semaphore(AT_ONCE)
        self._news = asyncio.Event()
        self._writes: set[asyncio.Task[None]] = set()

    @property
    def currency(self) -> str:
        """The one currency of all costs."""
        return self._file.currency

    @property
    def trusts_requests(self) -> bool:
        """Whether a request through LiteLLM may say itself whose it is."""
        return self._file.trust_requests

    # Taking

    def check(self, caller: Caller) -> None:
        """Raise ForbiddenError for who may send no signals."""
        keys = self._file.keys
        if keys is not None and not (caller.own and caller.name in keys):
            raise ForbiddenError("this key is none of those that the meter's file names")

    @asynccontextmanager
    async def body(self, caller: Caller) -> AsyncIterator[None]:
        """Have room for a body while it is read. Raises TooManyRequestsError where there is none."""
        if self._bodies.total() >= MAX_BODIES or self._bodies[caller.identity] >= MAX_BODIES_OF_ONE:
            raise TooManyRequestsError("too many requests with signals come at once", retry_after=1)
        self._bodies[caller.identity] += 1
        try:
            yield
        finally:
            self._bodies[caller.identity] -= 1
            if not self._bodies[caller.identity]:
                del self._bodies[caller.identity]

    async def read(self, size: int, how: Callable[[], T]) -> T:
        """Return what a function makes of a body of so many bytes; one large body at a time."""
        if size <= SMALL_BYTES:
            return how()
        async with self._reading:
            return await asyncio.to_thread(how)

    def admit(self, signal: str, number: int) -> None:
        """Let so many points in. Raises TooManyRequestsError where there have been too many."""
        seconds = self._bucket.take(number)
        if seconds:
            self.counters.points(signal, "limited", number)
            most = self._file.limits.points_per_second
            raise TooManyRequestsError(f"more than {most} points came in a second", retry_after=seconds)

    def pricing(self) -> Pricing:
        """Return the prices as they are now."""
        return Pricing(self._prices.current() if self._prices is not None else NO_PRICES)

    def unpriced(self, pricing: Pricing) -> None:
        """Take in which models had no price."""
        self.counters.unpriced(pricing.unknown.total())
        self._namer.name(pricing.unknown)

    async def take(
        self,
        caller: Caller,
        reporter: str,
        signal: str,
        told: Iterable[tuple[Subject, Sequence[Evidence]]],
        problems: Iterable[str] = (),
    ) -> Outcome:
        """Take in what was told of several tasks. Raises GatewayError where it may be sent again as it is.

        Nothing is taken before it is known what the caller may do; and what is sent again is not taken twice.
        `problems` are of what could not be read.
        """
        outcome = Outcome(problems=list(problems))
        told = list(told)
        await self._check_named(caller, [subject for subject, evidence in told if evidence])
        found = [(self._subjects.find(subject), evidence) for subject, evidence in told]
        namespaces = dict.fromkeys(entry.namespace for entry, _ in found if entry is not None)
        allowed = set(await self._access.allowed_in(caller, "patch", namespaces, USAGE_PLURAL))
        now, moment, number = self._clock(), datetime.now(UTC), 0
        for entry, evidence in found:
            if entry is None or entry.namespace not in allowed:
                outcome.problems += [NOT_THEIRS] * len(evidence)
                continue
            for each in evidence:
                number += 1
                if number % AT_A_STRETCH == 0:
                    await asyncio.sleep(0)  # no stop waits for a whole body
                at = min(each.at, moment) if each.at is not None else moment
                result = self._accumulator.note(entry, caller, reporter, each.moved(at), now)
                if result is Taken.FULL:
                    self.counters.points(signal, "limited", 1)
                    self._news.set()
                    raise TooManyRequestsError("too much waits to be written", retry_after=1)
                if result is Taken.CROWDED:
                    outcome.problems.append("there are too many counters of one task")
                else:
                    outcome.taken += 1
        self._news.set()
        self.counters.points(signal, "taken", outcome.taken)
        self.counters.points(signal, "refused", len(outcome.problems))
        return outcome

    async def _check_named(self, caller: Caller, subjects: list[Subject]) -> None:
        """Raise ForbiddenError where all name a namespace, and the caller has the right in none of them.

        Whether there is such a task makes no difference: it is none of the business of whoever may not change it.
        """
        named = list(dict.fromkeys(each.namespace for each in subjects if each.namespace is not None))
        if not named or len(named) > MAX_NAMED or any(each.namespace is None for each in subjects):
            return
        could_be = [each for each in named if len(each) <= MAX_NAMESPACE]
        if could_be and not await self._access.allowed_in(caller, "patch", could_be, USAGE_PLURAL):
            raise ForbiddenError(f"the caller may not patch {USAGE_PLURAL} in namespace {', '.join(could_be)}")

    # Writing

    async def run(self) -> None:
        """Write what is due, until cancelled."""
        log.info("metering in %s; %d models have a price", self.currency, len(self.pricing()))
        while True:
            self._news.clear()
            for key, account in self._accumulator.take_due(self._clock()):
                await self._slots.acquire()
                task = asyncio.create_task(self._write(key, account))
                self._writes.add(task)
                task.add_done_callback(self._writes.discard)
            due = self._accumulator.next_due()
            with suppress(TimeoutError):
                async with asyncio.timeout(max(due - self._clock(), 0.0) if due is not None else None):
                    await self._news.wait()

    async def flush(self) -> None:
        """Write all that waits, for some seconds at most. `run` has to run meanwhile."""
        deadline = self._clock() + FLUSH_SECONDS
        while self._accumulator.unwritten and self._clock() < deadline:
            self._accumulator.hurry()
            self._news.set()
            await asyncio.sleep(0.1)
        if self._accumulator.unwritten:
            log.error("what was spent by %d tasks could not be written before the end", self._accumulator.unwritten)

    async def _write(self, key: Key, account: Account) -> None:
        assert account.change is not None  # noqa: S101  (it is what is due)
        entry = account.entry
        try:
            await self._writer.write(entry, account.caller, account.change)
        except GatewayError as error:
            if is_final(error, account.failures):
                # A task may go while its usage is on the way: nobody has made a mistake then.
                level = logging.WARNING if isinstance(error, NotFoundError | NamespaceEndingError) else logging.ERROR
                log.log(level, "usage of task %s/%s not written: %s", entry.namespace, entry.name, error.message)
                self.counters.wrote("dropped")
                self._accumulator.settled(key, self._clock())
            else:
                log.debug("usage of task %s/%s not written yet: %s", entry.namespace, entry.name, error.message)
                self._failed(key, account)
        except Exception as error:  # noqa: BLE001  (what it was about must not wait for ever)
            log.error("usage of task %s/%s not written: %r", entry.namespace, entry.name, error)
            self._failed(key, account)
        else:
            self.counters.wrote("ok")
            self._accumulator.settled(key, self._clock())
        finally:
            self._slots.release()
            self._news.set()

    def _failed(self, key: Key, account: Account) -> None:
        self.counters.wrote("failed")
        pause = min(2.0 ** min(account.failures - 2, 10), MAX_PAUSE_SECONDS)
        self._accumulator.failed(key, self._clock() + pause * random.uniform(0.5, 1.0))  # noqa: S311
