"""`agentstop playground`: a Kubernetes of one's own, on loopback, for trying things."""

import argparse
import asyncio
import shlex
import signal
from collections.abc import Sequence
from contextlib import AsyncExitStack
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

from agentstop.api.crd import crds
from agentstop.cli.child import Child
from agentstop.cli.errors import UserError
from agentstop.cli.examples import find_examples
from agentstop.cli.logs import set_up_logs

PACKAGE: Final = "agentstop_playground"
"""What is served: a distribution of its own, which the operator and its image do without."""

DEFAULT_KUBECONFIG: Final = Path("playground.kubeconfig")

STOP_COMMAND: Final = (
    "kubectl patch atask researcher --field-manager=agentstop --type=merge \\\n"
    """      -p '{"spec":{"stopRequested":true,"stop":{"reason":"RunawayCost"}}}'"""
)


class MissingError(UserError):
    """What a verb needs besides the operator's own libraries is not installed."""

    def __init__(self, verb: str, module: str | None) -> None:
        library = (module or "a library").partition(".")[0]
        super().__init__(f"{verb} needs {library}, which is not installed: pip install 'agentstop[playground]'")


def check_installed(verb: str) -> None:
    """Raise MissingError where there is no playground."""
    if find_spec(PACKAGE) is None:
        raise MissingError(verb, PACKAGE)


def add_parser(verbs: Any, about: str) -> None:
    """Add the verb."""
    parser: argparse.ArgumentParser = verbs.add_parser(
        "playground",
        help=about,
        description="Serves a Kubernetes API on 127.0.0.1 and a node that runs pods as local processes."
        " For trying things: nothing is kept.",
    )
    parser.add_argument(
        "--kubeconfig",
        type=Path,
        default=DEFAULT_KUBECONFIG,
        metavar="FILE",
        help="write the way to it here, and remove it at the end (%(default)s)",
    )
    parser.add_argument("--port", type=_port, default=0, metavar="PORT", help="serve on this port; default a free one")
    parser.add_argument(
        "--data-dir",
        type=Path,
        metavar="DIR",
        help="put pods' files and logs here while it runs; default a temporary folder",
    )
    parser.add_argument("--with-operator", action="store_true", help="run the operator as well")
    parser.add_argument(
        "--node-component",
        action="store_true",
        help="have the node answer PodControls, as `agentstop node` does, and the operator ask it",
    )
    parser.add_argument(
        "--ui", action="store_true", help="show all tasks in the browser as well, as `agentstop ui` does"
    )
    parser.add_argument("-v", "--verbose", action="store_true", help="log what is done in detail")
    parser.set_defaults(carry_out=carry_out)


def carry_out(options: argparse.Namespace) -> int:
    """Serve until SIGINT, SIGTERM or SIGHUP."""
    set_up_logs(json=False, verbose=options.verbose)
    try:
        from agentstop_playground.kubeconfig_file import KubeconfigTakenError
        from agentstop_playground.serve import Playground
    except ModuleNotFoundError as error:
        raise MissingError("the playground", error.name) from error

    async def serve() -> int:
        ending = _ending_signals()
        playground = Playground(
            crds=list(crds().values()),
            kubeconfig=options.kubeconfig,
            port=options.port,
            data_dir=options.data_dir,
            component=options.node_component,
        )
        async with AsyncExitStack() as stack:
            try:
                await stack.enter_async_context(playground)
            except (KubeconfigTakenError, OSError, RuntimeError) as error:
                raise UserError(str(error)) from error
            operator = ["run", "--ask-nodes"] if options.node_component else ["run"]
            print(
                _greeting(playground.url, playground.kubeconfig, None if options.with_operator else operator),
                flush=True,
            )
            beside = [("operator", operator)] if options.with_operator else []
            beside += [("page", ["ui"])] if options.ui else []
            return await _accompany(beside, playground.kubeconfig, ending)
        return 0

    return asyncio.run(serve())


def _ending_signals() -> asyncio.Event:
    ending = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        asyncio.get_running_loop().add_signal_handler(number, ending.set)
    return ending


async def _accompany(beside: Sequence[tuple[str, list[str]]], kubeconfig: Path, ending: asyncio.Event) -> int:
    """Run commands, each with its name, beside the playground until asked to end, or until one ends by itself."""
    asked = asyncio.create_task(ending.wait())
    async with AsyncExitStack() as stack:
        stack.callback(asked.cancel)
        running: dict[asyncio.Task[int], Child] = {}
        for name, command in beside:
            child = await Child.start(name, command, environment={"KUBECONFIG": str(kubeconfig)})
            ended = asyncio.create_task(child.wait())
            stack.callback(ended.cancel)
            stack.push_async_callback(child.stop)
            running[ended] = child
        await asyncio.wait((asked, *running), return_when=asyncio.FIRST_COMPLETED)
        for ended, child in running.items():
            if ended.done() and not asked.done():
                raise UserError(f"the {child.name} ended by itself with exit code {child.exit_code}; its log is above")
    return 0


def _greeting(url: str, kubeconfig: Path, operator: Sequence[str] | None) -> str:
    """Return what to try; `operator` is the command that is still to be given, if any."""
    variable = f"export KUBECONFIG={shlex.quote(str(kubeconfig))}"
    manifest = (find_examples() or Path("examples")) / "researcher.yaml"
    command = "" if operator is None else shlex.join(["agentstop", *operator])
    start = f"  {command:<40}  # the operator, in a terminal of its own\n" if command else ""
    return (
        f"The playground serves Kubernetes on {url}. In another terminal:\n\n"
        f"  {variable}\n"
        f"{start}"
        "  kubectl get nodes\n"
        f"  kubectl apply -f {manifest}\n"
        "  kubectl get atask --watch\n"
        f"  {STOP_COMMAND}\n"
        "  kubectl logs researcher\n\n"
        "Images are not pulled: pods' commands run as processes on this machine, with your own rights.\n"
        "Ctrl-C ends the playground and everything that runs in it."
    )


def _port(text: str) -> int:
    if not text.isdigit() or int(text) > 65535:
        raise argparse.ArgumentTypeError(f"{text!r} is not a port: give a number from 1 to 65535, or 0 for a free one")
    return int(text)
