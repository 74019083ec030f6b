"""`agentstop`: one console script, one module a verb.

The operator's own verbs stand here, and need nothing but the operator's libraries. All others are the plugin's.
"""

import argparse
import os
import sys
from collections.abc import Sequence
from typing import Final

from agentstop.cli.errors import UserError

VERBS: Final = ("run", "playground", "demo", "crds", "try", "unprotect")
"""Verbs with a parser in this module."""

COMPLETION_VARIABLE: Final = "_AGENTSTOP_COMPLETE"
"""Set by the scripts of `agentstop completion`."""


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of the verbs that need no more than the operator does."""
    from agentstop import __version__
    from agentstop.cli import crds, demo, playground, run, trying, unprotect

    parser = argparse.ArgumentParser(
        prog="agentstop", description="Stops AI-agent work on Kubernetes: fast, gracefully, and with proof."
    )
    parser.add_argument("--version", action="version", version=f"agentstop {__version__}")
    verbs = parser.add_subparsers(dest="verb", metavar="VERB", required=True)
    for verb in (run, playground, demo, crds, trying, unprotect):
        verb.add_parser(verbs)
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the console script and return its exit code; `docs/kubectl-plugin.md` lists them."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    if words and words[0] in VERBS and COMPLETION_VARIABLE not in os.environ:
        return operate(words)
    try:
        from agentstop.cli.plugin import app
    except ModuleNotFoundError as error:
        if error.name not in {"click", "rich"}:
            raise
        if not words or words[0].startswith("-"):
            return operate(words)
        print(
            f"agentstop: {words[0]} needs {error.name}, which is not installed: pip install 'agentstop[cli]'",
            file=sys.stderr,
        )
        return 1
    return app.run(words)


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


if __name__ == "__main__":
    sys.exit(main())
