"""Options that several verbs of the console script have, and what they take."""

import argparse


def add_namespaces(parser: argparse.ArgumentParser, what: str = "serve this namespace") -> None:
    """Add `--namespace`; `what` is done with each that is named, and with all where none is."""
    parser.add_argument(
        "-n", "--namespace", action="append", default=[], metavar="NAME", help=f"{what}; repeatable; default all"
    )


def add_probes(parser: argparse.ArgumentParser) -> None:
    """Add where a process listens for probes and metrics."""
    parser.add_argument(
        "--bind-address",
        default="127.0.0.1",
        metavar="ADDRESS",
        help="listen here for probes and metrics (%(default)s)",
    )
    parser.add_argument("--health-port", type=port, metavar="PORT", help="serve /healthz and /readyz on this port")
    parser.add_argument("--metrics-port", type=port, metavar="PORT", help="serve /metrics on this port")


def add_logs(parser: argparse.ArgumentParser) -> None:
    """Add how a process logs."""
    parser.add_argument("--log-format", choices=("plain", "json"), default="plain", help="(%(default)s)")
    parser.add_argument("-v", "--verbose", action="store_true", help="log what is done in detail")


def port(text: str) -> int:
    """Read a port. Raises argparse.ArgumentTypeError for what is none."""
    if not text.isdigit() or not 1 <= int(text) <= 65535:
        raise argparse.ArgumentTypeError(f"{text!r} is not a port: give a number from 1 to 65535")
    return int(text)
