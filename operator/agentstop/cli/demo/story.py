"""The story: seven agents, seven stops, and what must come of them."""

import asyncio
from pathlib import Path
from typing import Any, Final

from agentstop.api.task import AgentTask, Phase
from agentstop.cli.demo.cast import (
    CHILDREN,
    DEAF_GRACE_SECONDS,
    EXPECTED,
    IN_SANDBOX,
    PARENT,
    SANDBOX_KIND,
    manifests,
    tasks,
)
from agentstop.cli.demo.display import Display
from agentstop.cli.demo.expectations import mismatches
from agentstop.cli.demo.following import Following, NotInTimeError, exit_codes, stop_seconds
from agentstop.cli.demo.kubectl import Answer
from agentstop.cli.demo.stage import Stage
from agentstop.cli.demo.steps import SHORT_NAME, Apply, Logs, PatchTask, Show
from agentstop.cluster.errors import ApiError
from agentstop.cluster.resources import task_ref
from agentstop.workloads.objects import ObjectRef

STOP_SECONDS: Final = 60.0
"""How long anything but a pod's start may take before the demo gives up; far more than it needs."""
LOG_POLL_SECONDS: Final = 0.2


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
        self._sandboxes = False
        self.problems: list[str] = []

    async def play(self) -> None:
        """Play all of it. Raises NotInTimeError where something does not happen at all."""
        guard = asyncio.create_task(self._guard_the_operator())
        try:
            self._sandboxes = await self._stage.requests.serves(*SANDBOX_KIND)
            self._following.begin(*tasks(sandboxes=self._sandboxes))
            await self._start()
            await self._stop_the_researcher()
            await self._stop_the_deaf()
            await self._stop_the_finished()
            await self._take_back()
            await self._stop_twice()
            await self._stop_the_sandbox()
            await self._stop_the_family()
            await self._wait_for_the_deaf()
        finally:
            guard.cancel()
            await self._following.close()
        await self._compare()

    async def _guard_the_operator(self) -> None:
        if self._stage.operator is None:
            return
        code = await self._stage.operator.wait()
        self._following.give_up(NotInTimeError(f"the operator ended by itself with exit code {code}"))

    async def _start(self) -> None:
        self._display.heading("The agents begin to work")
        files = tuple(self._examples / name for name in manifests(sandboxes=self._sandboxes))
        self._expect_done(await self._stage.hands.carry_out(Apply(self._place, files)), "the tasks were not created")
        for name in tasks(sandboxes=self._sandboxes):
            if EXPECTED[name].verdict is not None:
                await self._until(name, Phase.RUNNING, self._stage.start_seconds)
                # Only what has printed something has set up its handling of SIGTERM.
                await self._until_printed(name)
        await self._stage.hands.carry_out(Logs(self._place, "researcher", 2))

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

    async def _stop_the_finished(self) -> None:
        self._display.heading("(c) A stop that comes after the end changes nothing")
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
        self._display.heading("(d) A stop cannot be taken back")
        answer = await self._stage.hands.carry_out(
            PatchTask(self._place, "researcher", {"spec": {"stopRequested": False}})
        )
        if not answer.refused:
            self.problems.append("researcher: the API server let its stop be taken back")
        elif "cannot be taken back" not in answer.text:
            self.problems.append("researcher: taking its stop back was refused, but not with the reason")

    async def _stop_twice(self) -> None:
        self._display.heading("(e) The same patch again: the same answer, and nothing changes")
        before = await self._stage.requests.task(self._place.namespace, "researcher")
        await self._patch("researcher", stop_patch("RunawayCost"))
        if await self._stage.requests.task(self._place.namespace, "researcher") != before:
            self.problems.append("researcher: the second patch changed it")

    async def _stop_the_sandbox(self) -> None:
        self._display.heading("(f) An agent in a Sandbox is stopped: no new pod is made for it")
        if not self._sandboxes:
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
        self._display.heading(f"(g) The {PARENT} is stopped, and with it the {' and the '.join(CHILDREN)}")
        await self._patch(PARENT, stop_patch("RunawayCost"))
        ended = await self._until(PARENT, Phase.STOPPED)
        family = Show(self._place, task_ref(self._place.namespace, PARENT), SHORT_NAME, ("status", "children"))
        await self._stage.hands.carry_out(family)
        for name in CHILDREN:
            child = await self._until(name, Phase.STOPPED)
            if not _ended_before(child, ended):
                self.problems.append(f"{PARENT}: it was called stopped before {name} was")

    async def _compare(self) -> None:
        """Compare what the API server has now with what is expected, and show it."""
        self._display.heading("How they ended")
        rows = []
        for name in tasks(sandboxes=self._sandboxes):
            expected = EXPECTED[name]
            task = AgentTask.model_validate(await self._stage.requests.task(self._place.namespace, name))
            self.problems += mismatches(task, expected)
            status = task.status
            verdict = status.stop.verdict if status.stop else None
            manual = str(status.manually_stopped).lower()
            rows.append((name, status.phase.value, manual, verdict or "-", exit_codes(task), stop_seconds(task)))
        self._display.table(("Task", "Phase", "Manual", "Verdict", "Exit codes", "Stop took"), rows)

    async def _patch(self, name: str, body: dict[str, Any]) -> None:
        answer = await self._stage.hands.carry_out(PatchTask(self._place, name, body))
        self._expect_done(answer, f"{name}: the stop was refused")

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

    async def _until_printed(self, name: str) -> None:
        said = ""
        try:
            async with asyncio.timeout(STOP_SECONDS):
                while len(said.splitlines()) < 2:
                    await asyncio.sleep(LOG_POLL_SECONDS)
                    said = await self._log(name)
        except TimeoutError:
            raise NotInTimeError(f"{name} printed nothing within {STOP_SECONDS:.0f} s") from None

    async def _log(self, name: str) -> str:
        try:
            return await self._stage.requests.log(self._place.namespace, name, 3)
        except ApiError as error:
            if error.code in {400, 404}:  # not started yet
                return ""
            raise


def _ended_before(child: AgentTask, parent: AgentTask) -> bool:
    first, last = child.status.finished_at, parent.status.finished_at
    return first is not None and last is not None and first <= last
