"""The operator's own verbs: they need nothing but the operator's libraries."""

import argparse
import sys
from collections.abc import Mapping, Sequence
from importlib import import_module
from typing import Final, NamedTuple

from agentstop.cli.errors import UserError


class Verb(NamedTuple):
    """One of the operator's own verbs."""

    module: str
    """Its module beside this one."""
    about: str
    """What it does, for the list of verbs."""


VERBS: Final[Mapping[str, Verb]] = {
    "run": Verb("run", "run the operator"),
    "gateway": Verb("gateway", "serve the HTTP gateway, or make an API key for it"),
    "node": Verb("node", "run the component on a node"),
    "playground": Verb("playground", "serve a small Kubernetes on this machine"),
    "demo": Verb("demo", "play stops of real agents and check how they end"),
    "crds": Verb("crds", "print the CustomResourceDefinitions"),
    "try": Verb("smoke", "run a task, stop it, and say how that ended"),
    "unprotect": Verb("unprotect", "take the operator's finalizer off tasks and orders"),
}
"""Their modules are imported only once one of them is wanted: the plugin's verbs, which go by the same console script,
have no time for that."""

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
    for verb in VERBS.values():
        import_module(f"agentstop.cli.{verb.module}").add_parser(verbs, verb.about)
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
