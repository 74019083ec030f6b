"""Where the demo plays: a playground or a cluster, a namespace, an operator; and the removal of all of it."""

import asyncio
import os
import secrets
import shutil
import socket
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import aiohttp

from agentstop.api.meta import GROUP
from agentstop.api.task import PLURAL
from agentstop.cli.child import Child, last_line
from agentstop.cli.demo.display import Display
from agentstop.cli.demo.following import NotInTimeError
from agentstop.cli.demo.kubectl import Stagehand
from agentstop.cli.demo.requests import CRDS, NAMESPACES, Requests
from agentstop.cli.demo.steps import CreateNamespace, DeleteNamespace, InstallCrds, Place, Step
from agentstop.cli.errors import UserError
from agentstop.cluster.connection import load_configuration
from agentstop.cluster.resources import collection, task_ref

READY_SECONDS: Final = 60.0
"""How long the playground, and then the operator, may take to be ready."""

POLL_SECONDS: Final = 0.05

INSTALLED_SECONDS: Final = 5.0
"""How long an operator that is installed on a cluster may take to answer; it takes a fraction of a second."""

PLAYGROUND_START_SECONDS: Final = 30.0
CLUSTER_START_SECONDS: Final = 180.0
"""How long a pod may take to start; a cluster may have to pull its image first."""


@dataclass(frozen=True)
class Stage:
    """What the story needs."""

    requests: Requests
    hands: Stagehand
    place: Place
    operator: Child | None
    """The operator that plays the stops, where it is ours; None for one that the cluster has."""
    start_seconds: float
    """How long a pod may take to start."""
    starter_log: Path
    """Where the program may write that holds a tether."""


class Wings:
    """What is behind the stage: the children and their logs, which are kept if something goes wrong."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="agentstop-demo-"))
        self.operator_log = self.folder / "operator.log"
        self.playground_log = self.folder / "playground.log"
        self.starter_log = self.folder / "starter.log"

    def clear(self) -> None:
        """Remove the logs."""
        shutil.rmtree(self.folder, ignore_errors=True)


@asynccontextmanager
async def set_stage(
    display: Display, wings: Wings, kubeconfig: Path | None, namespace: str | None
) -> AsyncIterator[Stage]:
    """Set everything up, and remove it at the end.

    Raises UserError where the cluster does not let us, NotInTimeError where something does not start.
    """
    async with AsyncExitStack() as stack:
        display.heading("Setting up")
        stack.callback(display.say, "everything that was started here is ended")
        if kubeconfig is None:
            where = await _playground(stack, display, wings)
            place = Place(namespace or "default", implied=namespace is None)
        else:
            where = kubeconfig
            place = Place(namespace or f"agentstop-demo-{secrets.token_hex(3)}")
        # For kubectl, for the operator and for our own requests alike.
        os.environ["KUBECONFIG"] = str(where)
        requests = Requests(await load_configuration())
        stack.push_async_callback(requests.close)
        hands = Stagehand(display, requests)
        display.command(["export", f"KUBECONFIG={where}"])
        if not hands.has_kubectl:
            display.say("kubectl is not on PATH: what these commands ask for is asked directly")
        await _install_crds(requests, hands, display)
        if not place.implied:
            await _make_namespace(stack, requests, hands, display, place.namespace)
        operator = None
        if kubeconfig is not None and await requests.answers_drill(place.namespace, INSTALLED_SECONDS):
            display.say("an operator serves this namespace already: it plays the stops, with the rights that it has")
        else:
            # Only the node of a playground of our own is known to answer.
            operator = await _operator(stack, display, wings, place.namespace, ask_nodes=kubeconfig is None)
        start_seconds = PLAYGROUND_START_SECONDS if kubeconfig is None else CLUSTER_START_SECONDS
        yield Stage(requests, hands, place, operator, start_seconds, wings.starter_log)


async def _playground(stack: AsyncExitStack, display: Display, wings: Wings) -> Path:
    kubeconfig = wings.folder / "kubeconfig"
    words = ["playground", "--node-component", "--kubeconfig", str(kubeconfig)]
    arguments = [*words, "--data-dir", str(wings.folder)]
    display.command(["agentstop", *words])
    child = await Child.start("the playground", arguments, environment={}, log=wings.playground_log)
    stack.push_async_callback(child.stop)

    async def written() -> bool:
        return kubeconfig.exists() and kubeconfig.stat().st_size > 0

    await _until_ready(child, written, wings.playground_log)
    display.say("a Kubernetes of our own: agents run as processes here, no image is pulled")
    return kubeconfig


async def _operator(stack: AsyncExitStack, display: Display, wings: Wings, namespace: str, *, ask_nodes: bool) -> Child:
    port = _free_port()
    words = ["run", "-n", namespace, *(["--ask-nodes"] if ask_nodes else [])]
    display.command(["agentstop", *words])
    arguments = [*words, "--health-port", str(port), "-v"]
    child = await Child.start("the operator", arguments, environment={}, log=wings.operator_log)
    stack.push_async_callback(child.stop)
    async with aiohttp.ClientSession() as session:

        async def ready() -> bool:
            try:
                async with session.get(f"http://127.0.0.1:{port}/readyz") as answer:
                    return answer.status == 200
            except aiohttp.ClientError:
                return False

        await _until_ready(child, ready, wings.operator_log)
    display.say("the operator runs here, for this namespace alone")
    return child


async def _until_ready(child: Child, ready: Callable[[], Awaitable[bool]], log: Path) -> None:
    try:
        async with asyncio.timeout(READY_SECONDS):
            while not await ready():
                if child.exit_code is not None:
                    raise UserError(f"{child.name} ended at its start: {last_line(log)}")
                await asyncio.sleep(POLL_SECONDS)
    except TimeoutError:
        raise NotInTimeError(f"{child.name} was not ready within {READY_SECONDS:.0f} s; its log is {log}") from None


async def _install_crds(requests: Requests, hands: Stagehand, display: Display) -> None:
    if await requests.exists(f"{CRDS}/{PLURAL}.{GROUP}"):
        return
    display.say("the cluster does not know AgentTask yet: its definition is installed to stay")
    await _must(hands, InstallCrds())
    try:
        async with asyncio.timeout(READY_SECONDS):
            while not await requests.exists(collection(task_ref("", ""))):  # noqa: ASYNC110  (nothing tells when a group begins to be served)
                await asyncio.sleep(POLL_SECONDS)
    except TimeoutError:
        raise NotInTimeError(f"the cluster did not serve {PLURAL} within {READY_SECONDS:.0f} s") from None


async def _make_namespace(
    stack: AsyncExitStack, requests: Requests, hands: Stagehand, display: Display, name: str
) -> None:
    if await requests.exists(f"{NAMESPACES}/{name}"):
        raise UserError(f"namespace {name} exists already, and the demo removes its own at the end: give a free name")

    async def remove() -> None:
        answer = await hands.carry_out(DeleteNamespace(name))
        if answer.refused:
            display.problem(f"namespace {name} is still there: remove it with kubectl delete namespace {name}")

    await _must(hands, CreateNamespace(name))
    # Not before: what we did not make may be somebody else's.
    stack.push_async_callback(remove)


async def _must(hands: Stagehand, step: Step) -> None:
    answer = await hands.carry_out(step)
    if answer.refused:
        raise UserError(f"the cluster refused: {' '.join(answer.text.split())}")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
