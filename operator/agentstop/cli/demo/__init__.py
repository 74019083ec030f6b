"""`agentstop demo`: stops of real processes, played and checked."""

from agentstop.cli.demo.verb import add_parser, carry_out

__all__ = ["add_parser", "carry_out"]
