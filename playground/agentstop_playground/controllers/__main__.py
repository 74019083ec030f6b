"""``python -m agentstop_playground.controllers``: the controllers in a process of their own."""

import argparse
import asyncio
import logging
import signal
import sys
from pathlib import Path

from agentstop_playground.controllers.controllers import ALL, Controllers
from agentstop_playground.node.kubeconfig import KubeconfigError, load


async def serve(arguments: argparse.Namespace) -> None:
    """Run the controllers until SIGTERM or SIGINT."""
    connection = load(arguments.kubeconfig)
    controllers = Controllers(
        url=connection.url,
        token=connection.token,
        ssl=connection.ssl,
        wanted=arguments.only or ALL,
        namespaces=arguments.namespace,
    )
    ending = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, ending.set)
    # An API server that is away is waited for, and so is the end meanwhile.
    starting = asyncio.create_task(controllers.start())
    waiting = asyncio.create_task(ending.wait())
    await asyncio.wait((starting, waiting), return_when=asyncio.FIRST_COMPLETED)
    if not starting.done():
        starting.cancel()
        return
    await starting
    try:
        await waiting
    finally:
        await controllers.stop()


def main() -> int:
    """Parse the command line and run."""
    parser = argparse.ArgumentParser(
        prog="python -m agentstop_playground.controllers", description="Look after Jobs, Deployments and sandboxes."
    )
    parser.add_argument("--kubeconfig", type=Path, required=True, metavar="FILE", help="how to reach the API server")
    parser.add_argument("--only", action="append", choices=sorted(ALL), help="run this one only; repeatable")
    parser.add_argument("-n", "--namespace", action="append", help="look after this namespace only; repeatable")
    parser.add_argument("-v", "--verbose", action="store_true", help="say more")
    arguments = parser.parse_args()
    logging.basicConfig(
        level=logging.DEBUG if arguments.verbose else logging.INFO, format="%(asctime)s %(name)s %(message)s"
    )
    try:
        asyncio.run(serve(arguments))
    except (KubeconfigError, OSError) as error:
        print(f"agentstop playground controllers: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
