"""kopf, from its start to its end, and anew whenever it gives up: watching nothing is worse than trying."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Final

import kopf

from agentstop.api.meta import GROUP
from agentstop.api.order import CLUSTER_ORDER_PLURAL, ORDER_PLURAL
from agentstop.api.task import PLURAL
from agentstop.cluster.errors import ApiError
from agentstop.cluster.gateway import Gateway
from agentstop.cluster.resources import TASKS
from agentstop.controller.settings import arguments, operator_settings
from agentstop.timings import TIMINGS, Timings

log = logging.getLogger(__name__)

PLURALS: Final = frozenset({PLURAL, ORDER_PLURAL, CLUSTER_ORDER_PLURAL})
NOT_SERVED: Final = f"the API server does not serve all kinds of {GROUP}; install them with: kubectl apply -f crds/"


class KopfRunner:
    """Runs kopf with these handlers.

    `stopping` is set when the operator is to end; it is set here, too, when a signal has ended kopf. `prepare` is
    awaited before kopf begins, each time; `begun` is called once kopf has put signal handlers of its own in place.
    """

    def __init__(
        self,
        gateway: Gateway,
        registry: Callable[[], kopf.OperatorRegistry],
        namespaces: tuple[str, ...],
        stopping: asyncio.Event,
        *,
        prepare: Callable[[], Awaitable[None]],
        begun: Callable[[], None],
        timings: Timings = TIMINGS,
    ) -> None:
        self._timings = timings
        self._gateway = gateway
        self._registry = registry
        self._namespaces = namespaces
        self._stopping = stopping
        self._prepare = prepare
        self._begun = begun

    async def run(self) -> None:
        """Run kopf until the operator is to end."""
        while not self._stopping.is_set():
            if not await self._wait_for_crd():
                return
            try:
                await self._prepare()
                await self._run_once()
            except Exception as error:  # noqa: BLE001  (kopf passes on whatever ended one of its watches)
                log.error("the watches broke off and are begun anew: %s", error)
                await self._pause()

    async def _run_once(self) -> None:
        """Run kopf until it ends or the operator is asked to.

        It is cancelled rather than asked: asked, it waits five seconds for tasks that it did not start.
        """
        watches = asyncio.create_task(self._kopf(), name="kopf")
        asked = asyncio.create_task(self._stopping.wait(), name="stop")
        try:
            await asyncio.wait((watches, asked), return_when=asyncio.FIRST_COMPLETED)
            if watches.done():
                await watches
                self._stopping.set()  # kopf ends without an error only when a signal reached its own handler
        finally:
            asked.cancel()
            if self._stopping.is_set():
                # A scan of the API that is cut off in the middle of a request would call that an error.
                logging.getLogger("kopf").setLevel(logging.CRITICAL)
            watches.cancel()
            await asyncio.wait((watches,), timeout=self._timings.kopf_cancel_seconds)

    async def _kopf(self) -> None:
        """Run kopf's tasks. It puts signal handlers of its own in place at the end of the first step."""
        others = asyncio.all_tasks()
        tasks = await kopf.spawn_tasks(
            registry=self._registry(),
            settings=operator_settings(self._timings),
            **arguments(self._namespaces),
        )
        self._begun()
        await kopf.run_tasks(tasks, ignored=others)

    async def _wait_for_crd(self) -> bool:
        """Wait until the API server serves our kinds; return whether it does, as against being asked to end."""
        said = ""
        while not self._stopping.is_set():
            try:
                served = {each["name"] for each in (await self._gateway.call("GET", TASKS)).get("resources", ())}
                if served >= PLURALS:
                    return True
                problem = NOT_SERVED
            except ApiError as error:
                problem = NOT_SERVED if error.code == 404 else str(error)
            if problem != said:
                log.warning("waiting: %s", problem)
                said = problem
            await self._pause()
        return False

    async def _pause(self) -> None:
        with suppress(TimeoutError):
            await asyncio.wait_for(self._stopping.wait(), self._timings.served_seconds)
