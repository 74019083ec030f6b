"""The operator's own verbs: they need nothing but the operator's libraries."""

import argparse
import sys
from collections.abc import Mapping, Sequence
from importlib import import_module
from typing import Final

from agentstop.cli.errors import UserError

VERBS: Final[Mapping[str, str]] = {
    "run": "run",
    "gateway": "gateway",
    "playground": "playground",
    "demo": "demo",
    "crds": "crds",
    "try": "smoke",
    "unprotect": "unprotect",
}
"""Each verb with its module beside this one. They are imported only once one of them is wanted: the plugin's verbs,
which go by the same console script, have no time for that."""

COMPLETION_VARIABLE: Final = "_AGENTSTOP_COMPLETE"
"""Set by the scripts of `agentstop completion`."""


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of these verbs."""
    from agentstop import __version__

    parser = argparse.ArgumentParser(
        prog="agentstop", description="Stops AI-agent work on Kubernetes: fast, gracefully, and with proof."
    )
    parser.add_argument("--version", action="version", version=f"agentstop {__version__}")
    verbs = parser.add_subparsers(dest="verb", metavar="VERB", required=True)
    for module in VERBS.values():
        import_module(f"agentstop.cli.{module}").add_parser(verbs)
    return parser


def operate(words: Sequence[str]) -> int:
    """Run one of the operator's verbs and return its exit code: 0 for success, 1 for an error, 2 for a wrong usage."""
    options = build_parser().parse_args(words)
    try:
        code: int = options.carry_out(options)
    except UserError as error:
        print(f"agentstop: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return code
