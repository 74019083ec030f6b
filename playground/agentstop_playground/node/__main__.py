"""``python -m agentstop_playground.node``: one node in a process of its own."""

import argparse
import asyncio
import logging
import signal
import sys
from pathlib import Path

from agentstop_playground.node.kubeconfig import KubeconfigError, load
from agentstop_playground.node.node import Node


async def serve(arguments: argparse.Namespace) -> None:
    """Run the node until SIGTERM or SIGINT."""
    connection = load(arguments.kubeconfig)
    node = Node(
        url=connection.url,
        token=connection.token,
        ssl=connection.ssl,
        name=arguments.name,
        data_dir=arguments.data_dir,
        namespaces=arguments.namespace,
        component=arguments.component,
    )
    ending = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, ending.set)
    await node.start()
    try:
        await ending.wait()
    finally:
        await node.stop()


def main() -> int:
    """Parse the command line and run."""
    parser = argparse.ArgumentParser(
        prog="python -m agentstop_playground.node", description="Run pods as local processes."
    )
    parser.add_argument("--kubeconfig", type=Path, required=True, metavar="FILE", help="how to reach the API server")
    parser.add_argument("--data-dir", type=Path, required=True, metavar="DIR", help="where pods' files and logs go")
    parser.add_argument("--name", default="playground", help="name of the Node (default: %(default)s)")
    parser.add_argument("-n", "--namespace", action="append", help="take pods of this namespace only; repeatable")
    parser.add_argument("--component", action="store_true", help="answer PodControls, as agentstop node does")
    parser.add_argument("-v", "--verbose", action="store_true", help="say more")
    arguments = parser.parse_args()
    logging.basicConfig(
        level=logging.DEBUG if arguments.verbose else logging.INFO, format="%(asctime)s %(name)s %(message)s"
    )
    try:
        asyncio.run(serve(arguments))
    except (KubeconfigError, RuntimeError, OSError) as error:
        print(f"agentstop playground node: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
