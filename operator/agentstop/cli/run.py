"""`agentstop run`: the operator."""

import argparse
import asyncio
import logging
import os
from typing import Any

from agentstop.cli.errors import UserError
from agentstop.cli.logs import set_up_logs


def add_parser(verbs: Any) -> None:
    """Add the verb."""
    parser: argparse.ArgumentParser = verbs.add_parser(
        "run",
        help="run the operator",
        description="Runs the operator against KUBECONFIG, the default kubeconfig, or the pod's service account.",
    )
    parser.add_argument(
        "-n",
        "--namespace",
        action="append",
        default=[],
        metavar="NAME",
        help="serve this namespace; repeatable; default all",
    )
    parser.add_argument(
        "--bind-address",
        default="127.0.0.1",
        metavar="ADDRESS",
        help="listen here for probes and metrics (%(default)s)",
    )
    parser.add_argument("--health-port", type=_port, metavar="PORT", help="serve /healthz and /readyz on this port")
    parser.add_argument("--metrics-port", type=_port, metavar="PORT", help="serve /metrics on this port")
    parser.add_argument(
        "--trust-requested-by",
        action="store_true",
        help="write down who asked for a stop, as annotations say; only where admission policies stamp and guard these",
    )
    parser.add_argument("--log-format", choices=("plain", "json"), default="plain", help="(%(default)s)")
    parser.add_argument("-v", "--verbose", action="store_true", help="log what is done in detail")
    parser.set_defaults(carry_out=carry_out)


def carry_out(options: argparse.Namespace) -> int:
    """Run the operator until SIGTERM or SIGINT."""
    # Imported here, so that the other verbs do not wait for kopf and the Kubernetes client.
    from agentstop.cluster.connection import NoConnectionError
    from agentstop.controller.operator import Operator, Options
    from agentstop.controller.probes import PortInUseError

    set_up_logs(json=options.log_format == "json", verbose=options.verbose)

    async def serve() -> None:
        wanted = Options(
            namespaces=tuple(dict.fromkeys(options.namespace)),
            host=options.bind_address,
            health_port=options.health_port,
            metrics_port=options.metrics_port,
            trust_requested_by=options.trust_requested_by,
        )
        await Operator(wanted).run()
        logging.getLogger("agentstop").info("ended")
        # All that is ours has come to its end. What kopf has left to cancel it may wait for without us.
        logging.shutdown()
        os._exit(0)

    try:
        asyncio.run(serve())
    except (NoConnectionError, PortInUseError) as error:
        raise UserError(str(error)) from error
    return 0


def _port(text: str) -> int:
    if not text.isdigit() or not 1 <= int(text) <= 65535:
        raise argparse.ArgumentTypeError(f"{text!r} is not a port: give a number from 1 to 65535")
    return int(text)
