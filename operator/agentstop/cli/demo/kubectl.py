"""Carrying out the demo's steps: with kubectl, or by the same requests where there is none."""

import asyncio
import contextlib
import shutil
from dataclasses import dataclass
from typing import Final, Protocol

from agentstop.cli.demo.display import Display
from agentstop.cli.demo.requests import Requests
from agentstop.cli.demo.steps import Step
from agentstop.cluster.errors import ApiError

TIMEOUT_SECONDS: Final = 30.0
"""How long one command may take."""


@dataclass(frozen=True)
class Answer:
    """What was said to a step; `refused` if it was not done."""

    text: str
    refused: bool = False


class Hands(Protocol):
    """Whatever carries out steps."""

    async def carry_out(self, step: Step) -> Answer:
        """Carry out a step and return what was said to it."""


class Kubectl:
    """Runs kubectl. It finds the cluster by KUBECONFIG in our own environment."""

    async def carry_out(self, step: Step) -> Answer:
        """Run the command."""
        process = await asyncio.create_subprocess_exec(
            "kubectl",
            *step.words(),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            # Ctrl-C is ours to handle; it must not end the kubectl that clears up.
            start_new_session=True,
        )
        try:
            output, _ = await asyncio.wait_for(process.communicate(step.stdin().encode()), TIMEOUT_SECONDS)
        except TimeoutError:
            return Answer(f"kubectl did not end within {TIMEOUT_SECONDS:.0f} s", refused=True)
        finally:
            if process.returncode is None:
                with contextlib.suppress(ProcessLookupError):
                    process.kill()
                await process.wait()
        return Answer(output.decode(errors="replace"), refused=process.returncode != 0)


class Directly:
    """Makes the requests itself."""

    def __init__(self, requests: Requests) -> None:
        self._requests = requests

    async def carry_out(self, step: Step) -> Answer:
        """Make the request."""
        try:
            return Answer(await step.request(self._requests))
        except ApiError as error:
            return Answer(error.message, refused=True)


class Stagehand:
    """Shows every step before it is carried out, and what was said to it after."""

    def __init__(self, display: Display, requests: Requests) -> None:
        self._display = display
        self.has_kubectl = shutil.which("kubectl") is not None
        self._hands: Hands = Kubectl() if self.has_kubectl else Directly(requests)

    async def carry_out(self, step: Step) -> Answer:
        """Show, carry out, show."""
        self._display.command(["kubectl", *step.words()], prefix=step.prefix)
        answer = await self._hands.carry_out(step)
        self._display.output(answer.text, failed=answer.refused)
        return answer
