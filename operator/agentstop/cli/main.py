"""`agentstop`: one console script, one module a verb."""

import argparse
import sys
from collections.abc import Sequence

from agentstop import __version__
from agentstop.cli import crds, demo, playground, run
from agentstop.cli.errors import UserError


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    parser = argparse.ArgumentParser(
        prog="agentstop", description="Stops AI-agent work on Kubernetes: fast, gracefully, and with proof."
    )
    parser.add_argument("--version", action="version", version=f"agentstop {__version__}")
    verbs = parser.add_subparsers(dest="verb", metavar="VERB", required=True)
    for verb in (run, playground, demo, crds):
        verb.add_parser(verbs)
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the console script and return its exit code: 0 for success, 1 for an error, 2 for a wrong usage."""
    options = build_parser().parse_args(arguments)
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
