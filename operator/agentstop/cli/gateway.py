"""`agentstop gateway`: the HTTP door, and the keys for it."""

import argparse
import asyncio
import logging
from pathlib import Path
from typing import Any, Final

import yaml

from agentstop.cli.errors import UserError
from agentstop.cli.logs import set_up_logs
from agentstop.cli.options import add_logs, add_namespaces, port

MAX_WAIT: Final = 60


def add_parser(verbs: Any, about: str) -> None:
    """Add the verb."""
    parser: argparse.ArgumentParser = verbs.add_parser(
        "gateway",
        help=about,
        description="Serves stops over HTTP, in the words of several platforms. Acts as whoever asks, never as itself."
        " It reaches the API server by KUBECONFIG, the default kubeconfig, or the pod's service account.",
    )
    add_namespaces(parser, "serve the tasks of this namespace")
    parser.add_argument("--bind-address", default="127.0.0.1", metavar="ADDRESS", help="listen here (%(default)s)")
    parser.add_argument("--port", type=port, default=8090, metavar="PORT", help="listen on this port (%(default)s)")
    parser.add_argument(
        "--tls-cert", type=Path, metavar="FILE", help="serve TLS with this certificate; read anew when it changes"
    )
    parser.add_argument("--tls-key", type=Path, metavar="FILE", help="the certificate's private key; the same")
    parser.add_argument(
        "--keys",
        type=Path,
        metavar="FILE",
        help="API keys and whom they stand for, as `agentstop gateway key` prints them; read anew when it changes",
    )
    parser.add_argument(
        "--hosts",
        type=Path,
        metavar="FILE",
        help="which dialect is spoken at which host name, for clients whose host cannot be changed",
    )
    parser.add_argument(
        "--hooks",
        type=Path,
        metavar="FILE",
        help="which webhooks may stop what, such as Alertmanager's; without it there are none",
    )
    parser.add_argument(
        "--meter",
        type=Path,
        metavar="FILE",
        help="count what agents spend, from OpenTelemetry, LiteLLM and reports, as this file says",
    )
    parser.add_argument(
        "--wait",
        type=_wait,
        default=10.0,
        metavar="SECONDS",
        help="how long the answer to a stop waits for the proof (%(default)g)",
    )
    add_logs(parser)
    parser.set_defaults(carry_out=serve)
    inner = parser.add_subparsers(dest="what", metavar="[key]")
    key = inner.add_parser(
        "key",
        help="make an API key",
        description="Makes an API key, prints it once, and its entry for the file of keys. The entry holds no secret.",
    )
    key.add_argument("name", metavar="NAME", help="what the key is called in logs")
    key.add_argument("--user", required=True, metavar="USER", help="the user of Kubernetes that it stands for")
    key.add_argument(
        "--group", action="append", default=[], metavar="GROUP", help="a group that the user is in; repeatable"
    )
    key.set_defaults(carry_out=make_key)


def serve(options: argparse.Namespace) -> int:
    """Serve until SIGTERM or SIGINT."""
    # Imported here, so that the other verbs do not wait for the Kubernetes client.
    from agentstop.cluster.connection import NoConnectionError
    from agentstop.gateway.server import Options, Server, StartError
    from agentstop.gateway.tls import CertificateError

    set_up_logs(json=options.log_format == "json", verbose=options.verbose)
    if (options.tls_cert is None) != (options.tls_key is None):
        raise UserError("--tls-cert and --tls-key go together: give both or neither")
    wanted = Options(
        host=options.bind_address,
        port=options.port,
        namespaces=tuple(dict.fromkeys(options.namespace)),
        keys=options.keys,
        hosts=options.hosts,
        hooks=options.hooks,
        meter=options.meter,
        certificate=options.tls_cert,
        certificate_key=options.tls_key,
        wait=options.wait,
    )

    async def run() -> None:
        await Server(wanted).run()

    try:
        asyncio.run(run())
    except (NoConnectionError, StartError, CertificateError) as error:
        raise UserError(str(error)) from error
    logging.getLogger("agentstop").info("ended")
    return 0


def make_key(options: argparse.Namespace) -> int:
    """Print a new key and its entry."""
    from agentstop.gateway import keys

    try:
        key, entry = keys.make_key(options.name, options.user, options.group)
    except ValueError as error:
        raise UserError(str(error)) from error
    listed = yaml.safe_dump({"keys": [entry.model_dump(mode="json")]}, sort_keys=False)
    print(f"# The key, which is shown this once: {key}")
    print("# Put its entry into the file of keys:")
    print(listed, end="")
    return 0


def _wait(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1.0
    if not 0 <= seconds <= MAX_WAIT:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of seconds from 0 to {MAX_WAIT}")
    return seconds
