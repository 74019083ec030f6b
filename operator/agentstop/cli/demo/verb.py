"""The verb: its options, and what an end by a signal does."""

import argparse
import asyncio
import signal
from pathlib import Path
from typing import Any

from agentstop.cli.errors import UserError
from agentstop.cli.playground import MissingError, check_installed


def add_parser(verbs: Any, about: str) -> None:
    """Add the verb."""
    parser: argparse.ArgumentParser = verbs.add_parser(
        "demo",
        help=about,
        description="Stops agents in ten ways, freezes some, shows the kubectl commands, and checks how each ended."
        " Without a kubeconfig it plays on a playground of its own; with one, on that cluster in a namespace of its"
        " own, which it removes at the end. An operator that serves this namespace already plays the stops; where there"
        " is none, one runs here for as long as the demo takes.",
    )
    parser.add_argument("--kubeconfig", type=Path, metavar="FILE", help="play on this cluster")
    parser.add_argument("--namespace", metavar="NAME", help="make and use this namespace")
    parser.set_defaults(carry_out=carry_out)


def carry_out(options: argparse.Namespace) -> int:
    """Play the demo. Returns 0 if everything came out as it should, 1 if not, 128 + N after signal N."""
    try:
        from agentstop.cli.demo.display import Display
        from agentstop.cli.demo.play import play
    except ModuleNotFoundError as error:
        raise MissingError("the demo", error.name) from error
    kubeconfig = options.kubeconfig.absolute() if options.kubeconfig is not None else None
    if kubeconfig is None:
        check_installed("the demo without --kubeconfig")
    elif not kubeconfig.is_file():
        raise UserError(f"there is no kubeconfig {kubeconfig}")
    ended_by: list[int] = []

    async def until_signalled() -> int:
        display = Display()
        work = asyncio.ensure_future(play(display, kubeconfig, options.namespace))

        def end(number: int) -> None:
            # A second signal does not cut short the clean-up, which is bounded.
            if not ended_by:
                display.problem(f"ended by {signal.Signals(number).name}")
                ended_by.append(number)
                work.cancel()

        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            asyncio.get_running_loop().add_signal_handler(number, end, number)
        return await work

    try:
        return asyncio.run(until_signalled())
    except asyncio.CancelledError:
        return 128 + ended_by[0]
