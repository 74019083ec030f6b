"""The story: twelve agents, ten stops, two freezes, and what must come of them."""

import asyncio
import re
from pathlib import Path
from typing import Any, Final

from agentstop.api.meta import API_VERSION, ConditionType, find_condition, stalled
from agentstop.api.order import ORDER_KIND, OrderPhase
from agentstop.api.task import AgentTask, Phase
from agentstop.cli.child import Child, last_line
from agentstop.cli.demo.cast import (
    CHILDREN,
    CRAWLERS,
    DEAF_GRACE_SECONDS,
    EXPECTED,
    HELPER,
    IN_SANDBOX,
    LEASE,
    LEASE_SECONDS,
    NEEDED,
    ORDER,
    ORDER_FILE,
    PARENT,
    SANDBOX_KIND,
    TALKER,
    manifests,
    tasks,
)
from agentstop.cli.demo.display import Display
from agentstop.cli.demo.expectations import mismatches
from agentstop.cli.demo.following import Following, NotInTimeError, exit_codes, stop_seconds
from agentstop.cli.demo.kubectl import Answer
from agentstop.cli.demo.stage import Stage
from agentstop.cli.demo.steps import ORDER_SHORT_NAME, SHORT_NAME, USAGE_SHORT_NAME, Apply, Logs, Patch, Show
from agentstop.cluster.errors import ApiError
from agentstop.cluster.resources import task_ref
from agentstop.workloads.objects import ObjectRef

STOP_SECONDS: Final = 60.0
"""How long anything but a pod's start may take before the demo gives up; far more than it needs."""
LOG_POLL_SECONDS: Final = 0.2
ORDER_POLL_SECONDS: Final = 0.1

ON_THE_WAY_SECONDS: Final = 0.5
"""So long what an agent printed before it was frozen may be on its way to its log."""
SILENT_SECONDS: Final = 1.0
"""For so long it is shown that a frozen agent does nothing; it makes three steps in this time."""

LOGGED: Final = 1000
"""More lines than an agent prints here."""

TOO_MUCH: Final = "5.02"
"""What the talker has cost in the end: more than its budget."""


def stop_patch(reason: str) -> dict[str, Any]:
    """Return the patch that stops a task."""
    return {"spec": {"stopRequested": True, "stop": {"reason": reason}}}


class Story:
    """One performance. `problems` has one line for everything that did not come out as it should."""

    def __init__(self, stage: Stage, display: Display, examples: Path) -> None:
        self._stage = stage
        self._display = display
        self._place = stage.place
        self._examples = examples
        self._following = Following(stage.requests.gateway, stage.place.namespace, display)
        self._missing: frozenset[str] = frozenset()
        self._starter: Child | None = None
        self._guards: list[asyncio.Task[None]] = []
        self.problems: list[str] = []

    async def play(self) -> None:
        """Play all of it. Raises NotInTimeError where something does not happen at all."""
        if self._stage.operator is not None:
            self._guard(self._stage.operator)
        try:
            needed = NEEDED.items()
            self._missing = frozenset([name for name, kind in needed if not await self._stage.requests.serves(*kind)])
            self._following.begin(*tasks(self._missing))
            await self._start()
            await self._stop_the_researcher()
            await self._stop_the_deaf()
            await self._kill_the_starter()
            await self._stop_the_finished()
            await self._take_back()
            await self._stop_twice()
            await self._stop_the_sandbox()
            await self._stop_the_family()
            await self._spend_too_much()
            await self._freeze_one()
            await self._freeze_all()
            await self._wait_for_the_deaf()
            await self._wait_for_the_helper()
        finally:
            for guard in self._guards:
                guard.cancel()
            if self._starter is not None:
                await self._starter.stop()
            await self._following.close()
        await self._compare()

    def _guard(self, child: Child, log: Path | None = None) -> None:
        """Wait for nothing any more once a child ends that must not."""

        async def give_up() -> None:
            code = await child.wait()
            why = f": {last_line(log)}" if log is not None else ""
            self._following.give_up(NotInTimeError(f"{child.name} ended by itself with exit code {code}{why}"))

        self._guards.append(asyncio.create_task(give_up()))

    async def _start(self) -> None:
        self._display.heading("The agents begin to work")
        files = tuple(self._examples / name for name in manifests(self._missing))
        self._expect_done(await self._stage.hands.carry_out(Apply(self._place, files)), "the tasks were not created")
        self._starter = await self._start_the_starter()
        for name in tasks(self._missing):
            if EXPECTED[name].verdict is not None:
                await self._until(name, Phase.RUNNING, self._stage.start_seconds)
                # Only what has printed something has set up its handling of SIGTERM.
                await self._until_printed(name)
        await self._stage.hands.carry_out(Logs(self._place, "researcher", 2))

    async def _start_the_starter(self) -> Child:
        options = (HELPER, "--lease", LEASE, "--duration", f"{LEASE_SECONDS}s")
        words = ("tether", *self._place.words(*options))
        self._display.command(["agentstop", *words])
        starter = await Child.start("agentstop tether", words, environment={}, log=self._stage.starter_log)
        self._guard(starter, self._stage.starter_log)
        return starter

    async def _stop_the_researcher(self) -> None:
        self._display.heading("(a) The researcher is stopped, and saves its work")
        await self._patch("researcher", stop_patch("RunawayCost"))
        await self._until("researcher", Phase.STOPPED)
        answer = await self._stage.hands.carry_out(Logs(self._place, "researcher", 3))
        if answer.refused or "checkpoint written" not in answer.text:
            self.problems.append("researcher: its log does not show that it wrote its checkpoint")

    async def _stop_the_deaf(self) -> None:
        self._display.heading("(b) An agent that ignores SIGTERM is stopped")
        await self._patch("deaf", stop_patch("PolicyViolation"))
        await self._until("deaf", Phase.STOPPING, or_later=True)
        self._display.say(f"it has {DEAF_GRACE_SECONDS} seconds; meanwhile:")

    async def _wait_for_the_deaf(self) -> None:
        self._display.heading("(b) The time of the deaf agent is up")
        await self._until("deaf", Phase.STOPPED)

    async def _kill_the_starter(self) -> None:
        self._display.heading(f"(c) The program that the {HELPER} is tethered to is killed")
        await self._following.until(HELPER, _is_held, "was not held by its Lease", STOP_SECONDS)
        assert self._starter is not None  # noqa: S101  (it began with the agents)
        self._guards.pop().cancel()
        self._display.command(["kill", "-9", str(self._starter.pid)])
        self._starter.kill()
        self._display.say(f"its Lease lasts for {LEASE_SECONDS} seconds more; meanwhile:")

    async def _wait_for_the_helper(self) -> None:
        self._display.heading(f"(c) Nobody renews the Lease of the {HELPER} any more")
        await self._until(HELPER, Phase.STOPPED)
        await self._show(HELPER, "message")

    async def _stop_the_finished(self) -> None:
        self._display.heading("(d) A stop that comes after the end changes nothing")
        before = await self._until("quick", Phase.COMPLETED)
        await self._patch("quick", stop_patch("RunawayCost"))
        after = await self._following.until(
            "quick",
            lambda task: task.spec.stop_requested and task.status.observed_generation == task.metadata["generation"],
            "was not looked at after its patch",
            STOP_SECONDS,
        )
        unseen = {"observed_generation": 0}
        if before.status.but(**unseen) != after.status.but(**unseen):
            self.problems.append("quick: the late stop changed its status")
        self._display.say(f"still {after.status.phase}")

    async def _take_back(self) -> None:
        self._display.heading("(e) A stop cannot be taken back")
        answer = await self._stage.hands.carry_out(self._patching("researcher", {"spec": {"stopRequested": False}}))
        if not answer.refused:
            self.problems.append("researcher: the API server let its stop be taken back")
        elif "cannot be taken back" not in answer.text:
            self.problems.append("researcher: taking its stop back was refused, but not with the reason")

    async def _stop_twice(self) -> None:
        self._display.heading("(f) The same patch again: the same answer, and nothing changes")
        before = await self._stage.requests.task(self._place.namespace, "researcher")
        await self._patch("researcher", stop_patch("RunawayCost"))
        if await self._stage.requests.task(self._place.namespace, "researcher") != before:
            self.problems.append("researcher: the second patch changed it")

    async def _stop_the_sandbox(self) -> None:
        self._display.heading("(g) An agent in a Sandbox is stopped: no new pod is made for it")
        if IN_SANDBOX in self._missing:
            self._display.say(f"skipped: the cluster does not serve {SANDBOX_KIND[1]} of {SANDBOX_KIND[0]}")
            return
        await self._patch(IN_SANDBOX, stop_patch("RunawayCost"))
        await self._until(IN_SANDBOX, Phase.STOPPED)
        sandbox = ObjectRef(SANDBOX_KIND[1], self._place.namespace, IN_SANDBOX, SANDBOX_KIND[0])
        show = Show(self._place, sandbox, "sandbox", ("spec", "operatingMode"))
        answer = await self._stage.hands.carry_out(show)
        if answer.refused or answer.text.strip() != "Suspended":
            self.problems.append(f"{IN_SANDBOX}: its Sandbox is not suspended")

    async def _stop_the_family(self) -> None:
        self._display.heading(f"(h) The {PARENT} is stopped, and with it the {' and the '.join(CHILDREN)}")
        await self._patch(PARENT, stop_patch("RunawayCost"))
        ended = await self._until(PARENT, Phase.STOPPED)
        await self._show(PARENT, "children")
        for name in CHILDREN:
            child = await self._until(name, Phase.STOPPED)
            if not _ended_before(child, ended):
                self.problems.append(f"{PARENT}: it was called stopped before {name} was")

    async def _spend_too_much(self) -> None:
        self._display.heading(f"(i) The {TALKER} has spent what it may, and is stopped by its budget")
        version, kind = NEEDED[TALKER]
        if TALKER in self._missing:
            self._display.say(f"skipped: the cluster does not serve {kind} of {version}")
            return
        usage = ObjectRef(kind, self._place.namespace, TALKER, version)
        report = Patch(self._place, usage, USAGE_SHORT_NAME, {"spec": {"cost": TOO_MUCH}})
        self._expect_done(await self._stage.hands.carry_out(report), f"{TALKER}: the report was refused")
        await self._until(TALKER, Phase.STOPPED)
        await self._show(TALKER, "message")

    async def _freeze_one(self) -> None:
        name = CRAWLERS[0]
        self._display.heading(f"(j) The {name} is frozen, and goes on where it was")
        await self._patch(name, {"spec": {"paused": True, "pausePolicy": "Freeze"}}, "the pause")
        task = await self._following.until(name, _is_settled, "was not frozen", STOP_SECONDS)
        held, last = stalled(task.status.conditions), 0
        if held is not None:
            self._display.say(f"skipped: {held.message}")
        else:
            last = await self._is_silent(name)
            self._display.say(f"step {last} was its last, and for {SILENT_SECONDS:.0f} second nothing has followed")
        await self._patch(name, {"spec": {"paused": False}}, "the thaw")
        task = await self._until(name, Phase.RUNNING)
        if held is None:
            await self._until_further(name, last)
            self._display.say(f"it went on with step {last + 1}, where it was")
            if task.status.attempts != 1:
                self.problems.append(f"{name}: it was started again")

    async def _freeze_all(self) -> None:
        self._display.heading("(k) One order freezes all crawlers, and stops them once somebody says so")
        order = ObjectRef(ORDER_KIND, self._place.namespace, ORDER, API_VERSION)
        made = await self._stage.hands.carry_out(Apply(self._place, (self._examples / ORDER_FILE,)))
        self._expect_done(made, "the order was refused")
        tasks = [await self._following.until(name, _is_settled, "was not frozen", STOP_SECONDS) for name in CRAWLERS]
        held = next(filter(None, (stalled(task.status.conditions) for task in tasks)), None)
        if held is not None:
            self._display.say(f"what cannot be frozen runs on: {held.message}")
        else:
            await self._until_order(order, OrderPhase.FROZEN)
            answer = await self._stage.hands.carry_out(Show(self._place, order, ORDER_SHORT_NAME, ("status", "frozen")))
            if answer.text.strip() != str(len(CRAWLERS)):
                self.problems.append(f"{ORDER}: it has not frozen all crawlers")
        then = Patch(self._place, order, ORDER_SHORT_NAME, {"spec": {"then": "Stop"}})
        self._expect_done(await self._stage.hands.carry_out(then), f"{ORDER}: the stop was refused")
        for name in CRAWLERS:
            await self._until(name, Phase.STOPPED)
        await self._until_order(order, OrderPhase.COMPLETE)
        await self._stage.hands.carry_out(Show(self._place, order, ORDER_SHORT_NAME, ("status", "stopped")))

    async def _compare(self) -> None:
        """Compare what the API server has now with what is expected, and show it."""
        self._display.heading("How they ended")
        rows = []
        for name in tasks(self._missing):
            expected = EXPECTED[name]
            task = AgentTask.model_validate(await self._stage.requests.task(self._place.namespace, name))
            self.problems += mismatches(task, expected)
            status = task.status
            source, verdict = (status.stop.source, status.stop.verdict) if status.stop else ("-", None)
            manual = str(status.manually_stopped).lower()
            rows.append(
                (name, status.phase.value, source, manual, verdict or "-", exit_codes(task), stop_seconds(task))
            )
        self._display.table(("Task", "Phase", "Source", "Manual", "Verdict", "Exit codes", "Stop took"), rows)

    async def _patch(self, name: str, body: dict[str, Any], what: str = "the stop") -> None:
        answer = await self._stage.hands.carry_out(self._patching(name, body))
        self._expect_done(answer, f"{name}: {what} was refused")

    def _patching(self, name: str, body: dict[str, Any]) -> Patch:
        return Patch(self._place, task_ref(self._place.namespace, name), SHORT_NAME, body)

    async def _show(self, name: str, field: str) -> None:
        """Show one field of a task's status."""
        ref = task_ref(self._place.namespace, name)
        await self._stage.hands.carry_out(Show(self._place, ref, SHORT_NAME, ("status", field)))

    def _expect_done(self, answer: Answer, problem: str) -> None:
        """Without this step the rest cannot come out: do not wait for it."""
        if answer.refused:
            raise NotInTimeError(f"{problem}: {' '.join(answer.text.split())}")

    async def _until(
        self, name: str, phase: Phase, seconds: float = STOP_SECONDS, *, or_later: bool = False
    ) -> AgentTask:
        def met(task: AgentTask) -> bool:
            return task.status.phase is phase or (or_later and task.status.phase.terminal)

        return await self._following.until(name, met, f"did not become {phase}", seconds)

    async def _until_order(self, order: ObjectRef, phase: OrderPhase) -> None:
        found: Any = None
        try:
            async with asyncio.timeout(STOP_SECONDS):
                while found != phase:
                    await asyncio.sleep(ORDER_POLL_SECONDS)
                    found = (await self._stage.requests.read(order)).get("status", {}).get("phase")
        except TimeoutError:
            raise NotInTimeError(f"{order.name} was not {phase} within {STOP_SECONDS:.0f} s") from None

    async def _until_printed(self, name: str) -> None:
        said = ""
        try:
            async with asyncio.timeout(STOP_SECONDS):
                while len(said.splitlines()) < 2:
                    await asyncio.sleep(LOG_POLL_SECONDS)
                    said = await self._log(name)
        except TimeoutError:
            raise NotInTimeError(f"{name} printed nothing within {STOP_SECONDS:.0f} s") from None

    async def _until_further(self, name: str, step: int) -> None:
        """Wait until a worker is further than this step, and see that it went on where it was."""
        steps: list[int] = []
        try:
            async with asyncio.timeout(STOP_SECONDS):
                while max(steps, default=0) <= step:
                    await asyncio.sleep(LOG_POLL_SECONDS)
                    steps = await self._steps(name)
        except TimeoutError:
            raise NotInTimeError(f"{name} did not go on within {STOP_SECONDS:.0f} s") from None
        if steps != list(range(1, steps[-1] + 1)):
            self.problems.append(f"{name}: it did not go on where it was")

    async def _is_silent(self, name: str) -> int:
        """See that a worker that is frozen prints nothing; return its last step."""
        await asyncio.sleep(ON_THE_WAY_SECONDS)
        before = await self._steps(name)
        await asyncio.sleep(SILENT_SECONDS)
        if await self._steps(name) != before:
            self.problems.append(f"{name}: it worked on while it was frozen")
        return max(before, default=0)

    async def _steps(self, name: str) -> list[int]:
        """Return the numbers of the steps that a worker has printed."""
        said = await self._log(name, LOGGED)
        return [int(number) for number in re.findall(r"[(]step (\d+)[)]", said)]

    async def _log(self, name: str, lines: int = 3) -> str:
        try:
            return await self._stage.requests.log(self._place.namespace, name, lines)
        except ApiError as error:
            if error.code in {400, 404}:  # not started yet
                return ""
            raise


def _is_held(task: AgentTask) -> bool:
    found = find_condition(task.status.conditions, ConditionType.TETHERED)
    return found is not None and found.status == "True"


def _is_settled(task: AgentTask) -> bool:
    """Whether a task that is to be frozen is, or something keeps it from that."""
    status = task.status
    return status.phase is Phase.PAUSED or (status.phase is Phase.PAUSING and stalled(status.conditions) is not None)


def _ended_before(child: AgentTask, parent: AgentTask) -> bool:
    first, last = child.status.finished_at, parent.status.finished_at
    return first is not None and last is not None and first <= last
