"""The attacker against the operator, while somebody else's agents are stopped one after another."""

import asyncio
import secrets
import time
import warnings
from collections import deque
from collections.abc import Coroutine, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

from tests.hostile.actions import Attacker
from tests.hostile.objects import MARK
from tests.support import agents, marks
from tests.support.aftermath import Aftermath, signaled_in_time, started
from tests.support.clusters import Cluster
from tests.support.kube import TASKS, Kube
from tests.support.laws import TERMINAL, stop_of
from tests.support.namespaces import Namespace
from tests.support.operators import Operator, Operators
from tests.support.orders import Orders
from tests.support.waiting import PATIENCE, until

MAX_MEMORY = 512 * 2**20
"""In bytes; what the chart gives the operator."""

LOOK_SECONDS = 0.5
"""Between looks at the operator's probes and memory."""

HANDS = 4
"""So many actions are under way at once."""

SHOWN = 25
"""So many of the last actions are told when something has gone wrong."""

HOLD_EVERY = 8
"""Every so many stops, one is made by an order that holds."""


@dataclass
class Battle:
    """One attacker with one seed in a namespace of its own."""

    cluster: Cluster
    operators: Operators
    attacker: Kube
    namespace: str
    seed: int
    weights: Mapping[str, float] = field(default_factory=dict)
    only: Sequence[int] = ()
    """Numbers of actions, where these alone are to be done again."""
    log: Path | None = None
    """Where every action is written down before and after it is done."""
    measured: int = 0
    """How many stops were held to a second; the others fell on moments when the API server itself was slow."""
    stops: int = 0
    _last: deque[str] = field(default_factory=lambda: deque(maxlen=SHOWN))

    async def fight(self, seconds: float) -> None:
        """Let it do its worst for so long; raises AssertionError, with what was done, if anything gives way."""
        with self._story():
            operator = await self.operators.serve(self.namespace)
            since = len(operator.program.text())
            await self._all_at_once(operator, seconds)
            mistakes = operator.mistakes(since)
            assert not mistakes, f"the operator tells of mistakes: {mistakes[:3]}"
        if not self.measured:
            warnings.warn(f"seed {self.seed}: the API server was too slow to measure any stop", stacklevel=2)

    async def end(self) -> None:
        """See that its own tasks end when that is ordered, and that the brake works, with all that it made in place."""
        with self._story():
            await self._its_own_tasks_end()
            await Aftermath(self.cluster, self.operators).check(self.namespace)

    @contextmanager
    def _story(self) -> Iterator[None]:
        """Tell what was done last where something gives way."""
        try:
            yield
        except AssertionError as error:
            last = [f"seed {self.seed}; the last actions, of which the newest may be at fault:", *self._last]
            raise AssertionError("\n".join([str(error), *last, f"make hostile SEED={self.seed}"])) from None

    async def _all_at_once(self, operator: Operator, seconds: float) -> None:
        sides = [
            asyncio.create_task(each) for each in (self._stop_others(operator), _look_after(operator), *self._attacks())
        ]
        try:
            done, _ = await asyncio.wait(sides, timeout=seconds, return_when=asyncio.FIRST_EXCEPTION)
        finally:
            for each in sides:
                each.cancel()
            await asyncio.gather(*sides, return_exceptions=True)
        for each in done:
            each.result()

    # The attacker

    def _attacks(self) -> list[Coroutine[Any, Any, None]]:
        mind = Attacker(self.namespace, self.seed, self.weights)
        numbers = iter(self.only) if self.only else count()

        async def hand() -> None:
            for number in numbers:
                action = mind.action(number)
                self._note(f"#{number} {action.words}")
                begun = time.monotonic()
                went = await action.run(self.attacker)
                self._note(f"#{number} {action.words} -> {went} in {time.monotonic() - begun:.2f} s")

        return [hand() for _ in range(HANDS)]

    def _note(self, line: str) -> None:
        if "->" in line:
            self._last.append(line)
        if self.log is not None:
            with self.log.open("a", encoding="utf-8") as file:
                file.write(f"{time.strftime('%H:%M:%S')} {line}\n")

    async def _its_own_tasks_end(self) -> None:
        """Make an order over all of the attacker's, and see that no task of it goes on and no process is left."""
        orders = Orders(self.cluster, self.namespace)
        await orders.make("the-end", gracePeriodSeconds=1)
        kube = self.cluster.kube
        left: dict[str, list[object]] = {}

        async def ended() -> bool:
            left.clear()
            left.update(
                {
                    name: row
                    for name, row in (await kube.rows(TASKS, self.namespace)).items()
                    if not TERMINAL & {*map(str, row)}
                }
            )
            return not left

        try:
            await until(ended, PATIENCE, "all of the attacker's tasks have ended")
        except AssertionError as error:
            raise AssertionError(f"{error}: {left}") from None
        await self._no_process_is_left()
        await orders.close()

    async def _no_process_is_left(self) -> None:
        def left() -> list[int]:
            return marks.of_workload(self.namespace, *MARK)

        try:
            await until(lambda: not left(), PATIENCE, "no process of the attacker's tasks is left")
        except AssertionError as error:
            raise AssertionError(f"{error}; pods: {sorted({marks.pod_of(pid) for pid in left()})}") from None

    # Everybody else

    async def _stop_others(self, operator: Operator) -> None:
        """Stop one agent after another in another namespace, for ever."""
        namespace = Namespace(self.cluster, f"calm-{secrets.token_hex(4)}")
        await namespace.open()
        try:
            for number in count():
                if number % HOLD_EVERY == HOLD_EVERY - 1:
                    await _hold(namespace, number)
                else:
                    await started(namespace, f"a-{number}")
                    self.measured += await signaled_in_time(namespace, f"a-{number}", operator)
                    assert not namespace.processes(f"a-{number}"), f"a-{number} is Stopped, and its process runs"
                    self.stops += 1
                namespace.check()
        finally:
            await namespace.close()


async def _hold(namespace: Namespace, number: int) -> None:
    """See that nothing starts under a hold."""
    orders = Orders(namespace.cluster, namespace.name)
    order = await orders.make(f"hold-{number}", hold=True)
    try:
        await order.accepted()
        await namespace.create_task(f"late-{number}", agents.template())
        last = await namespace.ended(f"late-{number}")
        assert stop_of(last).get("verdict") == "NotStarted", f"a task under a hold: {stop_of(last)}"
    finally:
        await orders.close()
        await order.gone(PATIENCE)


async def _look_after(operator: Operator) -> None:
    """See that the operator lives, says so, and stays within its memory, for ever."""
    while True:
        operator.program.check()
        for page in ("/healthz", "/readyz"):
            code, text = await operator.get(page)
            assert code == 200, f"{page} answers {code}: {text}"
        used = memory(operator.program.pid)
        assert used < MAX_MEMORY, f"the operator used {used / 2**20:.0f} MiB"
        await asyncio.sleep(LOOK_SECONDS)


def memory(pid: int) -> int:
    """Return the most memory that a process has used up to now, in bytes."""
    for line in Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    return 0
